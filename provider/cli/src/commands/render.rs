use std::fs;
use std::path::Path;
use std::process::ExitCode;

use serde_json::Value;
use tempoform_api::{Target, TempoDocument};
use tempoform_engine::render::{self, Manifest, to_yaml_stream};

use crate::args::{Encoding, Render, RenderAs};
use crate::documents::{self, Declared, Purpose};
use crate::failure::Failure;
use crate::output;

pub(crate) fn run(args: &Render) -> Result<ExitCode, Failure> {
    let purpose = match args.form {
        RenderAs::Manifests => Purpose::Manifests,
        RenderAs::Tempo => Purpose::Name,
        RenderAs::Processes => Purpose::Processes,
    };
    let mut rendered = Vec::new();
    for declared in documents::load(&args.files, purpose)? {
        rendered.extend(render(&declared, args.form)?);
    }
    match &args.output_dir {
        Some(folder) => write(folder, &rendered, args.output)?,
        None => output::data(&text(&rendered, args.output)?)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn render(declared: &Declared, form: RenderAs) -> Result<Vec<Manifest>, Failure> {
    let document = &declared.document;
    let target = match form {
        // An operator runs on Kubernetes.
        RenderAs::Manifests | RenderAs::Tempo => Target::Kubernetes,
        RenderAs::Processes => Target::Local,
    };
    document.check_target(target)?;
    warn(document, &[target])?;
    match form {
        RenderAs::Manifests => {
            render::manifests(&document.validated).map_err(|error| declared.failure(error))
        }
        RenderAs::Tempo => Ok(vec![render::tempo_resource(&document.tempo)]),
        RenderAs::Processes => {
            let definitions = render::local(&document.validated).map_err(|error| declared.failure(error))?;
            definitions.iter().map(|definition| process(&document.validated.name, definition)).collect()
        }
    }
}

/// Prints what none of the targets takes any notice of. What only one of them does is meant for that one.
pub(super) fn warn(document: &TempoDocument, targets: &[Target]) -> Result<(), Failure> {
    let each = targets.iter().map(|target| render::warnings(&document.validated, *target));
    let each = each.collect::<Result<Vec<_>, _>>()?;
    let mut common = each.first().cloned().unwrap_or_default();
    common.retain(|warning| each.iter().all(|warnings| warnings.contains(warning)));
    for warning in &document.locate(common) {
        output::note(&format!("warning: {}:{warning}", document.source_name()));
    }
    Ok(())
}

/// A process definition in the shape of an object, so that all forms are printed alike.
fn process(tempo: &str, definition: &render::ProcessDefinition) -> Result<Manifest, Failure> {
    let fields = serde_json::to_value(definition)
        .map_err(|error| Failure::new("cannot write a process definition").because(&error))?;
    let name = definition.instance.clone();
    let value = serde_json::json!({
        "apiVersion": "local.tempoform.io/v1",
        "kind": "Process",
        "metadata": {"name": name, "labels": {"app.kubernetes.io/instance": tempo}},
        "spec": fields,
    });
    Ok(Manifest {
        api_version: "local.tempoform.io/v1".to_owned(),
        kind: "Process".to_owned(),
        namespace: None,
        name,
        value,
    })
}

fn text(rendered: &[Manifest], encoding: Encoding) -> Result<String, Failure> {
    match encoding {
        Encoding::Yaml => Ok(to_yaml_stream(rendered)),
        Encoding::Json => {
            let values: Vec<&Value> = rendered.iter().map(|manifest| &manifest.value).collect();
            let text = serde_json::to_string_pretty(&values)
                .map_err(|error| Failure::new("cannot write the objects as JSON").because(&error))?;
            Ok(text + "\n")
        }
    }
}

/// One file an object: `statefulset-tempo-ingester.yaml`.
fn write(folder: &Path, rendered: &[Manifest], encoding: Encoding) -> Result<(), Failure> {
    let failed = |path: &Path| {
        let message = format!("cannot write {}", path.display());
        move |error: std::io::Error| Failure::new(message).because(&error)
    };
    fs::create_dir_all(folder).map_err(failed(folder))?;
    for manifest in rendered {
        let (extension, content) = match encoding {
            Encoding::Yaml => ("yaml", to_yaml_stream(std::slice::from_ref(manifest))),
            Encoding::Json => ("json", text(std::slice::from_ref(manifest), encoding)?),
        };
        let path = folder.join(format!("{}-{}.{extension}", manifest.kind.to_lowercase(), manifest.name));
        fs::write(&path, content).map_err(failed(&path))?;
        output::note(&format!("wrote {}", path.display()));
    }
    Ok(())
}
