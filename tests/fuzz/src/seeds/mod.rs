//! Inputs to begin with, made by the writers of each format.

mod files;
mod texts;
mod thrift;
mod traces;

pub(crate) use files::{
    blocks, blooms, columns, extras, followed, footers, log, metas, stored_batches, tenant_indexes,
};
pub(crate) use texts::{configs, documents, json_requests, queries, tenant_limits, tenants, zipkin_json};
pub(crate) use thrift::{jaeger_binary, jaeger_compact, jaeger_thrift};
pub(crate) use traces::{compressed, jaeger_proto, pushes, requests, zipkin_proto};
