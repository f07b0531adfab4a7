//! `spec.blocks` and `spec.cache`: how traces lie in storage, and what is kept at hand of it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use tempoform_document::{ByteSize, GoDuration};

/// When blocks are cut, and which attributes get columns of their own.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct BlocksSpec {
    /// The longest time for which an ingester collects traces into one block. Default: `5m`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_duration: Option<GoDuration>,
    /// The size at which an ingester cuts a block before that. Default: 256 MiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_bytes: Option<ByteSize>,
    /// Attributes with columns of their own, at most ten a scope; an empty list for none.
    /// Default: attributes of HTTP spans that are asked for most.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 20))]
    pub dedicated_columns: Option<Vec<DedicatedColumnSpec>>,
}

/// Where an attribute stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum ColumnScope {
    /// On the resource.
    Resource,
    /// On the span.
    Span,
}

/// What an attribute holds.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub enum ColumnType {
    /// Text.
    #[default]
    String,
}

/// An attribute with a column of its own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct DedicatedColumnSpec {
    /// Where it stands.
    pub scope: ColumnScope,
    /// Its name: `http.route`.
    #[schemars(length(min = 1, max = 256))]
    pub name: String,
    /// What it holds. Default: `string`, which is all that vParquet4 blocks have columns for.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<ColumnType>,
}

/// What each retriever keeps at hand of the bucket.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct CacheSpec {
    /// In memory. Default: a quarter of the process's memory limit, 64 MiB without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<ByteSize>,
}
