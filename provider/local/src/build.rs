//! Which build of the program runs: two of the same version may differ.

use std::fs::{self, File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tempoform_engine::target::TargetError;

use crate::files::hexadecimal;

/// Bytes read at a time.
const PIECE: usize = 256 << 10;
/// Digits of a digest that tell builds apart.
const DIGITS: usize = 12;

/// A digest of a program's file, and what the file looked like then, so that it is read only once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Build {
    pub(crate) digest: String,
    stamp: String,
}

impl Build {
    /// The build in a file; `known` spares reading it when it did not change since. None for a program that is
    /// found by its name alone.
    pub(crate) fn of(executable: &Path, known: Option<&Self>) -> Result<Option<Self>, TargetError> {
        if !executable.is_absolute() {
            return Ok(None);
        }
        let failed = |error: io::Error| {
            TargetError::new(format!("cannot read the program {}", executable.display())).caused_by(error)
        };
        let stamp = stamp(&fs::metadata(executable).map_err(failed)?);
        if let Some(known) = known.filter(|known| known.stamp == stamp) {
            return Ok(Some(known.clone()));
        }
        Ok(Some(Self { digest: digest(executable).map_err(failed)?, stamp }))
    }
}

/// Every way of changing a file changes one of these.
fn stamp(file: &Metadata) -> String {
    let (device, inode, size) = (file.dev(), file.ino(), file.size());
    format!("{device}:{inode}:{size}:{}.{}", file.ctime(), file.ctime_nsec())
}

fn digest(executable: &Path) -> io::Result<String> {
    let mut file = File::open(executable)?;
    let mut hash = Sha256::new();
    let mut piece = vec![0; PIECE];
    loop {
        match file.read(&mut piece)? {
            0 => break,
            length => hash.update(&piece[..length]),
        }
    }
    let mut digest = hexadecimal(&hash.finalize());
    digest.truncate(DIGITS);
    Ok(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_content_is_another_build_and_the_same_is_not_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("program");
        fs::write(&file, "one").unwrap();
        let first = Build::of(&file, None).unwrap().unwrap();
        let trusted = Build { digest: "as known".to_owned(), ..first.clone() };
        assert_eq!(Build::of(&file, Some(&trusted)).unwrap().unwrap().digest, "as known");
        fs::write(&file, "two").unwrap();
        assert_ne!(Build::of(&file, Some(&first)).unwrap().unwrap().digest, first.digest);
        assert_eq!(Build::of(Path::new("python3"), None).unwrap(), None);
    }
}
