use std::path::PathBuf;

use crate::failure::Failure;

/// What Linux appends to the path of a running program whose file was replaced or removed.
const DELETED: &str = " (deleted)";

/// The file of this program, for the processes that it starts. A rebuilt program has a new file of
/// the same name, which is then used.
pub(crate) fn current() -> Result<PathBuf, Failure> {
    let path = std::env::current_exe()
        .map_err(|error| Failure::new("cannot find the file of this program").because(&error))?;
    let path = match path.to_str().and_then(|text| text.strip_suffix(DELETED)) {
        Some(original) => PathBuf::from(original),
        None => path,
    };
    if path.exists() {
        return Ok(path);
    }
    Err(Failure::new(format!("the file of this program is gone: {}", path.display()))
        .help("run the command again from where the program is now"))
}
