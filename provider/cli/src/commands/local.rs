//! From a document to the local target.

use std::path::{Path, PathBuf};

use tempoform_api::ValidatedTempo;
use tempoform_local::supervisor::Launcher;
use tempoform_local::{LocalOptions, LocalTarget, Owner, Program, StateDirectory};

use crate::documents::Declared;
use crate::executable;
use crate::failure::Failure;

/// The target as it was left, without anything declared.
pub(crate) fn open(declared: &Declared) -> Result<LocalTarget, Failure> {
    let tempo = &declared.document.validated;
    let owner = Owner { namespace: tempo.namespace.clone(), name: tempo.name.clone() };
    let directory = directory(tempo, &declared.file, &owner)?;
    let executable = executable::current()?;
    let supervise = ["supervise", "--state-dir"].map(str::to_owned).into_iter();
    let launcher = Launcher {
        executable: executable.clone(),
        arguments: supervise.chain([directory.path().display().to_string()]).collect(),
    };
    let program = Program { executable, arguments: vec!["runtime".to_owned()] };
    let options = LocalOptions { owner, directory, program, launcher };
    Ok(LocalTarget::open(options)?)
}

/// The folder in which a document's Tempo keeps everything on this machine.
pub(crate) fn state_directory(declared: &Declared) -> Result<StateDirectory, Failure> {
    let tempo = &declared.document.validated;
    let owner = Owner { namespace: tempo.namespace.clone(), name: tempo.name.clone() };
    directory(tempo, &declared.file, &owner)
}

fn directory(tempo: &ValidatedTempo, file: &Path, owner: &Owner) -> Result<StateDirectory, Failure> {
    let failed = |error: std::io::Error| Failure::new("cannot tell the current directory").because(&error);
    match &tempo.local.state_directory {
        Some(written) => {
            let folder = file.parent().map_or_else(PathBuf::new, Path::to_owned);
            StateDirectory::new(&folder.join(written)).map_err(failed)
        }
        None => StateDirectory::beside(file, owner).map_err(failed),
    }
}
