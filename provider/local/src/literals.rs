//! The values of environment variables that a document gives itself. They may be secrets, so they are kept in a
//! file of their own that only its owner can read, for the day when the instance is no longer declared and must
//! be started once more to flush.

use std::collections::BTreeMap;
use std::fs;
use std::io;

use tempoform_engine::render::EnvironmentName;
use tempoform_engine::target::TargetError;

use crate::directory::StateDirectory;
use crate::files::{remove_if_there, write_atomically};

/// Keeps the values of an instance; without any, there is no file.
pub(crate) fn store(
    directory: &StateDirectory,
    instance: &str,
    environment: &[EnvironmentName],
) -> Result<(), TargetError> {
    let values: BTreeMap<&str, &str> = environment
        .iter()
        .filter_map(|variable| Some((variable.name.as_str(), variable.value.as_deref()?)))
        .collect();
    let file = directory.environment_file(instance);
    let stored = match values.is_empty() {
        true => remove_if_there(&file),
        false => serde_json::to_vec(&values)
            .map_err(io::Error::from)
            .and_then(|text| write_atomically(&file, &text)),
    };
    stored.map_err(|error| {
        TargetError::new(format!("cannot write {}", file.display()))
            .caused_by(error)
            .help("make room and let the folder be writable, then apply again")
    })
}

/// The values that were kept of an instance.
pub(crate) fn load(
    directory: &StateDirectory,
    instance: &str,
) -> Result<BTreeMap<String, String>, TargetError> {
    let file = directory.environment_file(instance);
    let text = match fs::read(&file) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(error) => {
            return Err(TargetError::new(format!("cannot read {}", file.display())).caused_by(error));
        }
    };
    serde_json::from_slice(&text).map_err(|error| {
        TargetError::new(format!("{} is damaged", file.display()))
            .caused_by(error)
            .help("declare the instance again and apply: that writes the file anew")
    })
}
