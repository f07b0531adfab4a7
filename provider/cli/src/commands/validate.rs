use std::process::ExitCode;

use tempoform_api::Target;
use tempoform_engine::render;

use super::render::warn;
use crate::args::Validate;
use crate::documents::{self, Declared, Purpose};
use crate::failure::Failure;
use crate::invocation::Invocation;
use crate::output;

pub(crate) fn run(args: &Validate, invocation: &Invocation) -> Result<ExitCode, Failure> {
    let mut code = ExitCode::SUCCESS;
    for declared in documents::load(&args.files, Purpose::Anything)? {
        let document = &declared.document;
        let name = &document.validated.name;
        let mut valid = Vec::new();
        let mut refused = Vec::new();
        for target in args.target.map_or(vec![Target::Kubernetes, Target::Local], |one| vec![one.into()]) {
            match check(&declared, target) {
                Ok(()) => valid.push(target),
                Err(failure) => refused.push((target, failure)),
            }
        }
        tell(&declared, &refused, invocation);
        match valid.as_slice() {
            [] => code = ExitCode::FAILURE,
            targets => {
                warn(document, targets)?;
                let targets: Vec<String> = targets.iter().map(ToString::to_string).collect();
                let targets = targets.join(" and ");
                output::data(&format!("{}: {name} is valid for {targets}\n", declared.file.display()))?;
            }
        }
    }
    Ok(code)
}

/// What is wrong for every target alike is told once.
fn tell(declared: &Declared, refused: &[(Target, Failure)], invocation: &Invocation) {
    if let [(_, first), (_, second)] = refused
        && format!("{first:?}") == format!("{second:?}")
    {
        first.print(invocation);
        return;
    }
    for (target, failure) in refused {
        let name = &declared.document.validated.name;
        output::note(&format!("{}: {name} cannot run on target {target}:", declared.file.display()));
        failure.print(invocation);
    }
}

/// Whether the document can run there. What `spec.config` merges in is only checked where it is merged.
fn check(declared: &Declared, target: Target) -> Result<(), Failure> {
    let document = &declared.document;
    document.check_target(target)?;
    let rendered = match target {
        Target::Kubernetes => render::manifests(&document.validated).map(drop),
        Target::Local => render::local(&document.validated).map(drop),
    };
    rendered.map_err(|error| declared.failure(error))
}
