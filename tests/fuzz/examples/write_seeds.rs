//! Writes the inputs that each target begins with into a folder of its name below the folder given: the corpus that
//! libFuzzer goes on with. What is there already stays.

use std::path::PathBuf;

use tempoform_fuzz::TARGETS;

fn main() -> std::io::Result<()> {
    let folder = std::env::args_os().nth(1).map(PathBuf::from);
    let folder = folder.ok_or_else(|| std::io::Error::other("say which folder to write to"))?;
    for target in TARGETS {
        let folder = folder.join(target.name);
        std::fs::create_dir_all(&folder)?;
        for (at, input) in target.inputs().into_iter().enumerate() {
            std::fs::write(folder.join(format!("seed-{at}")), input)?;
        }
    }
    Ok(())
}
