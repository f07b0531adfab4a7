//! Blocks written by real Grafana Tempo, for tests.

use std::path::PathBuf;

use bytes::Bytes;

const TENANT: &str = "single-tenant";

/// The folder with one folder per kind of block.
pub(crate) fn folder() -> PathBuf {
    let folder = std::env::var_os("TEMPOFORM_TEST_BLOCKS").expect(
        "set TEMPOFORM_TEST_BLOCKS to the folder of blocks written by Tempo, as `cargo xtask test` does",
    );
    PathBuf::from(folder)
}

/// The folder of the only block of `kind`, e.g. `v2.10.8-vp4-default`.
pub(crate) fn block(kind: &str) -> PathBuf {
    let tenant = folder().join(kind).join(TENANT);
    let entries = std::fs::read_dir(&tenant).unwrap_or_else(|e| panic!("{}: {e}", tenant.display()));
    let mut folders = entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_dir());
    folders.next().unwrap_or_else(|| panic!("no block in {}", tenant.display()))
}

/// An object of the only block of `kind`.
pub(crate) fn object(kind: &str, name: &str) -> Bytes {
    let path = block(kind).join(name);
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display())).into()
}

/// The data of the only block of `kind`.
pub(crate) fn parquet(kind: &str) -> Bytes {
    object(kind, "data.parquet")
}
