//! What holds for every parser of bytes from outside, whatever the bytes.
//!
//! Each [`Target`] is a property of one parser: no panic, memory and output in proportion to the input, and what is
//! accepted is what comes out again. `cargo xtask fuzz` runs them with libFuzzer (the crate in `libfuzzer/` has a binary
//! for each); `cargo test` runs them over their seeds, over the inputs in `corpus/` that once failed, and over mutations
//! of both.
//!
//! Properties fail by panics, which libFuzzer takes for a find.

mod blocks;
mod columns;
mod documents;
mod input;
mod log;
mod metas;
mod mutation;
mod otlp;
mod pushes;
mod receivers;
mod resources;
mod seeds;
mod traceql;

use std::path::PathBuf;

pub use mutation::Mutations;

/// A property of one parser.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name, that of its libFuzzer binary too.
    pub name: &'static str,
    /// Panics if the property does not hold for these bytes.
    pub check: fn(&[u8]),
    /// Inputs to begin with.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// Mutations that `cargo test` tries: what takes about a second.
    pub mutations: usize,
}

const fn target(
    name: &'static str,
    check: fn(&[u8]),
    seeds: fn() -> Vec<Vec<u8>>,
    mutations: usize,
) -> Target {
    Target { name, check, seeds, mutations }
}

/// Every target.
pub const TARGETS: &[Target] = &[
    target("wal", log::segment, seeds::log, 300),
    target("followed", log::followed, seeds::followed, 300),
    target("stored_batches", pushes::stored_batches, seeds::stored_batches, 4000),
    target("meta", metas::meta, seeds::metas, 4000),
    target("tenant_index", metas::tenant_index, seeds::tenant_indexes, 2000),
    target("bloom", metas::bloom, seeds::blooms, 4000),
    target("extra", blocks::extra, seeds::extras, 2000),
    target("parquet_footer", columns::footer, seeds::footers, 2000),
    target("parquet_column", columns::column, seeds::columns, 2000),
    target("block", blocks::block, seeds::blocks, 60),
    target("otlp", otlp::scan, seeds::requests, 4000),
    target("otlp_json", otlp::json, seeds::json_requests, 2000),
    target("otlp_block", otlp::block, seeds::requests, 100),
    target("zipkin_json", receivers::zipkin_json, seeds::zipkin_json, 4000),
    target("zipkin_proto", receivers::zipkin_proto, seeds::zipkin_proto, 4000),
    target("jaeger_proto", receivers::jaeger_proto, seeds::jaeger_proto, 4000),
    target("jaeger_thrift", receivers::jaeger_thrift, seeds::jaeger_thrift, 4000),
    target("jaeger_compact", receivers::jaeger_compact, seeds::jaeger_compact, 4000),
    target("jaeger_binary", receivers::jaeger_binary, seeds::jaeger_binary, 4000),
    target("document", documents::document, seeds::documents, 500),
    target("config", documents::config, seeds::configs, 100),
    target("tenant_limits", documents::tenant_limits, seeds::tenant_limits, 200),
    target("traceql", traceql::query, seeds::queries, 3000),
    target("push", pushes::push, seeds::pushes, 4000),
    target("compressed", pushes::compressed, seeds::compressed, 4000),
    target("tenant", pushes::tenant, seeds::tenants, 4000),
];

/// Checks the property `name`, for libFuzzer.
///
/// # Panics
/// When it does not hold for `data`, or there is none of that name.
pub fn check(name: &str, data: &[u8]) {
    let target = TARGETS.iter().find(|target| target.name == name);
    (target.expect("libfuzzer/ has a binary for each target").check)(data);
}

impl Target {
    /// Its seeds, and the inputs in `corpus/` on which it failed once.
    pub fn inputs(&self) -> Vec<Vec<u8>> {
        let mut inputs = (self.seeds)();
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("corpus").join(self.name);
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let mut paths: Vec<_> = entries.map(|entry| entry.path()).collect();
        paths.sort();
        inputs.extend(paths.iter().map(|path| std::fs::read(path).expect("the corpus can be read")));
        inputs
    }
}
