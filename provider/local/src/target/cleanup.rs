//! Taking away what tempoform made in a state directory, and nothing else.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use tempoform_engine::target::{DataPolicy, TargetError};

use super::removal::bytes_below;
use crate::directory::StateDirectory;
use crate::files::remove_if_there;

/// Removes the files of this target, and of the given folders of data those that lie in the state directory, if
/// wanted; says what stays.
pub(super) fn clean(
    directory: &StateDirectory,
    folders: &BTreeSet<PathBuf>,
    data: DataPolicy,
) -> Result<Vec<String>, TargetError> {
    remove_own_files(directory)?;
    let mut left = Vec::new();
    if data == DataPolicy::Delete {
        let (inside, outside): (Vec<&PathBuf>, Vec<&PathBuf>) =
            folders.iter().partition(|folder| lies_in(directory, folder));
        inside.iter().try_for_each(|folder| remove_data(directory, folder))?;
        left.extend(outside.iter().filter(|folder| folder.exists()).map(|folder| {
            format!("data in {}, which is not in the state directory: delete it by hand", folder.display())
        }));
    }
    remove_empty(&directory.data_folder());
    left.extend(remaining(directory, data));
    if rest(directory).next().is_none() {
        remove(&directory.owner_file())?;
        // The lock is held until the command ends; its file is not needed for that.
        remove(&directory.apply_lock())?;
        remove_empty(directory.path());
    }
    Ok(left)
}

/// Whether a folder really is in the state directory, whatever `..` or links are in its path.
pub(super) fn lies_in(directory: &StateDirectory, folder: &Path) -> bool {
    match (fs::canonicalize(directory.path()), fs::canonicalize(folder)) {
        (Ok(state), Ok(folder)) => folder != state && folder.starts_with(&state),
        // What is not there can only be judged by its name.
        _ => folder
            .strip_prefix(directory.path())
            .is_ok_and(|below| below.components().all(|component| matches!(component, Component::Normal(_)))),
    }
}

/// Removes a folder of data and the folders above it that are empty then.
pub(super) fn remove_data(directory: &StateDirectory, folder: &Path) -> Result<(), TargetError> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(not_removed(folder, error)),
        _ => {}
    }
    let above = folder.ancestors().skip(1).take_while(|folder| *folder != directory.path());
    above.for_each(remove_empty);
    Ok(())
}

fn remove_own_files(directory: &StateDirectory) -> Result<(), TargetError> {
    let files =
        [directory.state_file(), directory.processes_file(), directory.socket(), directory.supervisor_lock()];
    files.iter().try_for_each(|file| remove(file))?;
    // A crash may have left files that were to replace others.
    let half_written = |name: &str| name.contains(".new.");
    remove_matching(directory.path(), half_written)?;
    remove_matching(&directory.config_folder(), half_written)?;
    // Logs are kept of instances that went long ago, too.
    remove_matching(&directory.logs_folder(), |name| name.ends_with(".log") || name.ends_with(".log.1"))?;
    remove_empty(&directory.config_folder());
    remove_empty(&directory.logs_folder());
    Ok(())
}

fn remove_matching(folder: &Path, ours: impl Fn(&str) -> bool) -> Result<(), TargetError> {
    let files = fs::read_dir(folder).into_iter().flatten().flatten();
    files
        .filter(|file| file.file_name().to_str().is_some_and(&ours))
        .filter(|file| file.file_type().is_ok_and(|kind| kind.is_file()))
        .try_for_each(|file| remove(&file.path()))
}

/// What is in the state directory still, besides what says that it is one.
fn rest(directory: &StateDirectory) -> impl Iterator<Item = PathBuf> {
    let own = [directory.owner_file(), directory.apply_lock()];
    let entries = fs::read_dir(directory.path()).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(move |path| !own.contains(path))
}

fn remaining(directory: &StateDirectory, data: DataPolicy) -> Vec<String> {
    let mut rest: Vec<PathBuf> = rest(directory).collect();
    rest.sort();
    match data {
        DataPolicy::Delete => {
            rest.iter().map(|path| format!("{}, which tempoform did not make", path.display())).collect()
        }
        DataPolicy::Keep => {
            let folders = rest.iter().filter(|path| path.is_dir() && bytes_below(path, &|_| true) > 0);
            folders.map(|folder| format!("data in {}", folder.display())).collect()
        }
    }
}

/// A folder that is not empty stays.
fn remove_empty(folder: &Path) {
    let _ = fs::remove_dir(folder);
}

fn remove(file: &Path) -> Result<(), TargetError> {
    remove_if_there(file).map_err(|error| not_removed(file, error))
}

fn not_removed(path: &Path, error: io::Error) -> TargetError {
    TargetError::new(format!("cannot remove {}", path.display()))
        .caused_by(error)
        .help("let the folder be writable, then run the command again")
}
