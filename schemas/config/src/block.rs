use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tempoform_document::ByteSize;

/// How blocks are written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Block {
    /// Format of new blocks; only vParquet4 is written, all three are read. Default vParquet4.
    pub version: BlockVersion,
    /// Share of blocks without a trace that its bloom filter does not rule out, between 0 and 1.
    /// Default 0.01.
    pub bloom_filter_false_positive: f64,
    /// Size of one part of a bloom filter, bytes. Default 102400.
    pub bloom_filter_shard_size_bytes: ByteSize,
    /// Size at which a row group is closed, bytes before compression. Default 100000000.
    pub parquet_row_group_size_bytes: ByteSize,
    /// Attributes with a column of their own, at most 10 of text per scope in vParquet4. Default: those
    /// of Tempo that vParquet4 has no column for yet.
    pub parquet_dedicated_columns: Vec<DedicatedColumn>,
}

impl Default for Block {
    fn default() -> Self {
        let span = |name: &str| DedicatedColumn::new(ColumnScope::Span, name);
        Self {
            version: BlockVersion::VParquet4,
            bloom_filter_false_positive: 0.01,
            bloom_filter_shard_size_bytes: ByteSize(102_400),
            parquet_row_group_size_bytes: ByteSize(100_000_000),
            parquet_dedicated_columns: vec![
                span("http.request.method"),
                span("url.path"),
                span("url.route"),
                span("server.address"),
                span("http.route"),
            ],
        }
    }
}

impl Block {
    /// The columns of `parquet_dedicated_columns` that vParquet4 has, in order. Others are left out, as
    /// Tempo does, so that one list serves several formats; [`crate::Config::warnings`] names them.
    pub fn stored_columns(&self) -> impl Iterator<Item = &DedicatedColumn> {
        self.parquet_dedicated_columns.iter().filter(|column| column.is_stored())
    }
}

/// Attributes of resources that have a column in every block of vParquet4.
const PROMOTED_OF_RESOURCES: &[&str] = &[
    "service.name",
    "cluster",
    "namespace",
    "pod",
    "container",
    "k8s.cluster.name",
    "k8s.namespace.name",
    "k8s.pod.name",
    "k8s.container.name",
];

/// The same of spans.
const PROMOTED_OF_SPANS: &[&str] = &["http.method", "http.url", "http.status_code"];

/// A block format.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum BlockVersion {
    /// Tempo 2.0 to 2.6's format.
    #[serde(rename = "vParquet3")]
    VParquet3,
    /// The format of Tempo 2.7 and later.
    #[default]
    #[serde(rename = "vParquet4")]
    VParquet4,
    /// The format of Tempo 3.
    #[serde(rename = "vParquet5")]
    VParquet5,
}

impl BlockVersion {
    /// The name, as `format` of a block's meta.json has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::VParquet3 => "vParquet3",
            Self::VParquet4 => "vParquet4",
            Self::VParquet5 => "vParquet5",
        }
    }
}

/// An attribute with a column of its own.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DedicatedColumn {
    /// What the attribute belongs to. Default span.
    #[serde(default)]
    pub scope: ColumnScope,
    /// The attribute's key. Required.
    pub name: String,
    /// The attribute's type. Default string.
    #[serde(rename = "type", default)]
    pub kind: ColumnType,
    /// How the column is stored. Default none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<ColumnOption>,
}

impl DedicatedColumn {
    /// A column of text for attribute `name`.
    pub fn new(scope: ColumnScope, name: impl Into<String>) -> Self {
        Self { scope, name: name.into(), kind: ColumnType::String, options: Vec::new() }
    }

    /// Whether blocks of vParquet4 have this column, see [`Block::stored_columns`].
    pub fn is_stored(&self) -> bool {
        self.why_not_stored().is_none()
    }

    pub(crate) fn why_not_stored(&self) -> Option<&'static str> {
        let promoted = match self.scope {
            ColumnScope::Event => return Some("vParquet4 has none for events"),
            ColumnScope::Resource => PROMOTED_OF_RESOURCES,
            ColumnScope::Span => PROMOTED_OF_SPANS,
        };
        if promoted.contains(&self.name.as_str()) {
            return Some("vParquet4 always has one");
        }
        if self.kind != ColumnType::String || !self.options.is_empty() {
            return Some("vParquet4 has them for text only, without options");
        }
        None
    }
}

/// What an attribute belongs to.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum ColumnScope {
    /// The resource.
    Resource,
    /// The span.
    #[default]
    Span,
    /// The event (vParquet5).
    Event,
}

/// An attribute's type.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum ColumnType {
    /// Text.
    #[default]
    String,
    /// A 64-bit integer (vParquet5).
    Int,
}

/// How a dedicated column is stored (vParquet5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ColumnOption {
    /// Values are arrays.
    Array,
    /// Values are long and seldom repeat: no dictionary.
    Blob,
}
