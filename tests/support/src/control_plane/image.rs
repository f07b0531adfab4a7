//! Container images without a registry: a program and the shared libraries that it needs, as an archive that can be
//! imported (the form of `docker save`).

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tar::{Builder, Header};

/// Writes an image called `reference` that runs `program` with `arguments` to `file`.
pub(super) fn write(file: &Path, reference: &str, program: &Path, arguments: &[&str]) -> Result<()> {
    let layer = file.with_extension("layer");
    write_layer(&layer, program)?;
    let mut bytes = Vec::new();
    File::open(&layer)?.read_to_end(&mut bytes)?;
    fs::remove_file(&layer)?;

    let command: Vec<_> = ["/program"].iter().chain(arguments).collect();
    let config = json!({
        "architecture": if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" },
        "os": "linux",
        "config": { "Entrypoint": command },
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{}", hex(&Sha256::digest(&bytes)))] },
    });
    let manifest = json!([{ "Config": "config.json", "RepoTags": [reference], "Layers": ["layer.tar"] }]);
    let mut image = Builder::new(File::create(file)?);
    append(&mut image, "layer.tar", &bytes)?;
    append(&mut image, "config.json", config.to_string().as_bytes())?;
    append(&mut image, "manifest.json", manifest.to_string().as_bytes())?;
    Ok(image.finish()?)
}

fn write_layer(file: &Path, program: &Path) -> Result<()> {
    let mut layer = Builder::new(File::create(file)?);
    // Containerd does not know files with holes.
    layer.sparse(false);
    layer.append_path_with_name(program, "program")?;
    for library in libraries(program)? {
        let place = library.strip_prefix("/").context("a path from the root")?;
        layer.append_path_with_name(&library, place)?;
    }
    Ok(layer.finish()?)
}

/// The shared libraries of a program, the loader included.
fn libraries(program: &Path) -> Result<Vec<PathBuf>> {
    let output = Command::new("ldd").arg(program).output().context("could not start ldd")?;
    ensure!(output.status.success(), "ldd {}: {}", program.display(), output.status);
    let text = String::from_utf8(output.stdout)?;
    let paths = text.split_whitespace().filter(|word| word.starts_with('/'));
    Ok(paths.map(PathBuf::from).collect())
}

fn append(archive: &mut Builder<File>, name: &str, content: &[u8]) -> Result<()> {
    let mut header = Header::new_gnu();
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    Ok(archive.append_data(&mut header, name, content)?)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
