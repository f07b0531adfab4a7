//! From process definitions to the objects of a plan, and to what the supervisor runs.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use serde_json::{Map, Value, json};
use tempoform_engine::object::{Object, ObjectId};
use tempoform_engine::plan::{mask, seal};
use tempoform_engine::render::{Component, EnvironmentName, ProcessDefinition, ResolvedPorts};
use tempoform_engine::target::TargetError;

use crate::build::Build;
use crate::directory::{StateDirectory, make_folder};
use crate::files::digest;
use crate::state::ProcessRecord;
use crate::supervisor::ProcessSpec;
use crate::target::Program;

/// Digits of the digest in a seal.
const SEAL_DIGITS: usize = 16;

/// An object that is declared, with everything that is needed to make it so.
#[derive(Clone, Debug)]
pub(crate) struct Declared {
    pub(crate) object: Object,
    /// Its file.
    pub(crate) file: PathBuf,
    /// The file's text.
    pub(crate) text: String,
    pub(crate) process: Option<DeclaredProcess>,
}

#[derive(Clone, Debug)]
pub(crate) struct DeclaredProcess {
    pub(crate) definition: ProcessDefinition,
    pub(crate) addresses: Vec<SocketAddr>,
    /// Where it keeps data, absolute.
    pub(crate) folders: BTreeSet<PathBuf>,
    pub(crate) record: ProcessRecord,
}

/// What every object is made from.
pub(crate) struct Maker<'a> {
    pub(crate) directory: &'a StateDirectory,
    pub(crate) program: &'a Program,
    pub(crate) build: Option<&'a Build>,
    pub(crate) ports: &'a ResolvedPorts,
}

impl Maker<'_> {
    /// Every object of these definitions.
    pub(crate) fn declare(&self, definitions: &[ProcessDefinition]) -> Result<Vec<Declared>, TargetError> {
        let waves = waves(definitions);
        let overrides = definitions.first().map(|first| self.overrides(&first.overrides)).transpose()?;
        let processes = definitions.iter().map(|definition| {
            // The overrides file comes before any process that reads it.
            let wave = 1 + waves.get(&definition.component).copied().unwrap_or_default();
            self.process(definition, wave)
        });
        overrides.into_iter().map(Ok).chain(processes).collect()
    }

    fn overrides(&self, text: &str) -> Result<Declared, TargetError> {
        let object = Object {
            id: ObjectId::new("ConfigFile", "overrides"),
            component: "limits".to_owned(),
            wave: 0,
            stateful: false,
            value: parse("the overrides file", text)?,
        };
        let file = self.directory.overrides_file();
        Ok(Declared { object, file, text: text.to_owned(), process: None })
    }

    fn process(&self, definition: &ProcessDefinition, wave: u8) -> Result<Declared, TargetError> {
        let ProcessDefinition {
            component,
            instance,
            target,
            extra_args,
            host: _,
            config: _,
            overrides: _,
            endpoints: _,
            environment,
            directories: _,
            depends_on: _,
            stop_grace_seconds,
        } = definition;
        let text = definition
            .resolve(self.ports, self.directory.path())
            .map_err(|error| TargetError::new("the configuration cannot be completed").caused_by(error))?;
        let config = parse(instance, &text)?;
        let own = self.ports.0.get(instance).cloned().unwrap_or_default();
        let endpoints: Map<String, Value> = own
            .iter()
            .map(|(endpoint, address)| (endpoint.to_string(), address.to_string().into()))
            .collect();
        let shown: Map<String, Value> =
            environment.iter().map(|variable| (variable.name.clone(), self.recorded(variable))).collect();
        let value = json!({
            "target": target,
            "version": env!("CARGO_PKG_VERSION"),
            "executable": self.build.map(|build| &build.digest),
            "arguments": extra_args,
            "endpoints": endpoints,
            "environment": shown,
            "stopGraceSeconds": stop_grace_seconds,
            "config": config,
        });
        let object = Object {
            id: ObjectId::new("Process", instance),
            component: component.to_string(),
            wave,
            stateful: component.has_wal(),
            value: mask(&value, &|secret| self.digest_of(secret)),
        };
        let file = self.directory.config_file(instance);
        let wal = path_in(&config, "/storage/trace/wal/path").filter(|_| component.has_wal());
        let record = ProcessRecord {
            spec: self.spec(definition, &text),
            environment: environment.iter().filter(|variable| variable.value.is_none()).cloned().collect(),
            wal,
            data: self.directory.data_folder().join(instance),
        };
        let process = DeclaredProcess {
            definition: definition.clone(),
            addresses: own.into_values().collect(),
            folders: self.folders(definition, &config),
            record,
        };
        Ok(Declared { object, file, text, process: Some(process) })
    }

    /// Every folder that a process keeps data in. Relative paths of its configuration start where it runs.
    fn folders(&self, definition: &ProcessDefinition, config: &Value) -> BTreeSet<PathBuf> {
        let wal = path_in(config, "/storage/trace/wal/path").filter(|_| definition.component.has_wal());
        let own = definition.directories.iter().map(PathBuf::from);
        let all = own.chain(wal).chain(local_blocks(config));
        all.map(|folder| self.directory.path().join(folder)).collect()
    }

    /// What is recorded of a variable: where its value comes from, or a seal of the value itself.
    fn recorded(&self, variable: &EnvironmentName) -> Value {
        match &variable.value {
            Some(value) => seal(&self.digest_of(value)),
            None => format!("${{{}}}", variable.source).into(),
        }
    }

    /// Tells secrets of one Tempo apart. Short and bound to the folder, so that little can be learnt from it.
    fn digest_of(&self, secret: &str) -> String {
        let folder = self.directory.path().to_string_lossy();
        digest([folder.as_ref(), secret]).chars().take(SEAL_DIGITS).collect()
    }

    fn spec(&self, definition: &ProcessDefinition, text: &str) -> ProcessSpec {
        let instance = &definition.instance;
        let mut arguments = self.program.arguments.clone();
        arguments.push(format!("--target={}", definition.target));
        arguments.push(format!("--config.file={}", self.directory.config_file(instance).display()));
        arguments.push("--config.expand-env=true".to_owned());
        arguments.extend(definition.extra_args.iter().cloned());
        let version = env!("CARGO_PKG_VERSION");
        let literals = definition.environment.iter().filter_map(|variable| variable.value.as_deref());
        let build = self.build.map_or("", |build| build.digest.as_str());
        let parts =
            [version, build, text].into_iter().chain(definition.extra_args.iter().map(String::as_str));
        ProcessSpec {
            instance: instance.clone(),
            executable: self.program.executable.clone(),
            arguments,
            environment: definition.environment.iter().map(|variable| variable.name.clone()).collect(),
            digest: digest(parts.chain(literals)),
            environment_digest: environment_digest(&definition.environment).unwrap_or_default(),
            log: self.directory.log_file(instance),
            stop_grace_seconds: definition.stop_grace_seconds,
        }
    }
}

impl DeclaredProcess {
    /// Makes the folders that the process expects.
    pub(crate) fn make_folders(&self, directory: &StateDirectory) -> Result<(), TargetError> {
        self.definition.directories.iter().try_for_each(|folder| make_folder(&directory.path().join(folder)))
    }
}

/// The values of a process's variables, by name.
pub(crate) fn environment_values(
    variables: &[EnvironmentName],
) -> Result<BTreeMap<String, String>, TargetError> {
    let value = |variable: &EnvironmentName| match &variable.value {
        Some(value) => Ok(value.clone()),
        None => std::env::var(&variable.source).map_err(|_| {
            TargetError::new(format!(
                "the environment variable {} is not set: {}",
                variable.source, variable.purpose
            ))
            .help(format!("export {} and run the command again", variable.source))
        }),
    };
    variables.iter().map(|variable| Ok((variable.name.clone(), value(variable)?))).collect()
}

/// A digest of what comes from our own environment; none if some of it is not set.
pub(crate) fn environment_digest(variables: &[EnvironmentName]) -> Option<String> {
    let values = environment_values(variables).ok()?;
    Some(digest(values.iter().flat_map(|(name, value)| [name.as_str(), value.as_str()])))
}

/// An address that can be connected to, from one that is listened on.
pub(crate) fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

fn parse(what: &str, text: &str) -> Result<Value, TargetError> {
    if text.trim().is_empty() {
        return Ok(Value::Null);
    }
    serde_saphyr::from_str(text).map_err(|error| {
        TargetError::new(format!("the rendered configuration of {what} is not YAML")).caused_by(error)
    })
}

fn path_in(config: &Value, pointer: &str) -> Option<PathBuf> {
    config.pointer(pointer).and_then(Value::as_str).map(PathBuf::from)
}

/// The folder of blocks in a configuration, if they are on the local disk.
pub(crate) fn local_blocks(config: &Value) -> Option<PathBuf> {
    let backend = config.pointer("/storage/trace/backend").and_then(Value::as_str);
    path_in(config, "/storage/trace/local/path").filter(|_| backend == Some("local"))
}

/// By component, the length of the longest chain of those that must be there before it.
fn waves(definitions: &[ProcessDefinition]) -> BTreeMap<Component, u8> {
    let needs: BTreeMap<Component, &[Component]> = definitions
        .iter()
        .map(|definition| (definition.component, definition.depends_on.as_slice()))
        .collect();
    let mut waves: BTreeMap<Component, u8> = needs.keys().map(|component| (*component, 0)).collect();
    // Each round settles at least one component; a cycle would otherwise go on for ever.
    for _ in 0..needs.len() {
        for (component, needed) in &needs {
            let after = needed.iter().filter_map(|needed| waves.get(needed)).max().map_or(0, |wave| wave + 1);
            waves.insert(*component, after);
        }
    }
    waves
}
