//! Builds a vParquet4 block from traces in encoded OTLP.
//!
//! Spans are never decoded into messages: their protobuf fields go straight to column buffers
//! ([`shred`]), strings as numbers of a dictionary. Every few thousand spans the buffers become one page
//! in each of the 103 columns ([`rows`], [`chunk`]), all cut at the same rows, so that levels are
//! encoded once for all columns that share them, and a reader finds a trace in one page a column.
//! Pages are kept encoded until the row group is written; that, one batch of buffers, and the row
//! group's dictionaries are all the memory used.

use std::io::Write;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use parquet::errors::ParquetError;
use parquet::file::properties::{WriterProperties, WriterVersion};
use parquet::file::writer::SerializedFileWriter;
use tempoform_core::TraceId;
use tempoform_core::protobuf::WireError;

use crate::bloom::BloomBuilder;
use crate::dedicated::DedicatedColumn;
use crate::extra::{self, ExtraBuilder};
use crate::schema;

mod attributes;
mod chunk;
mod columns;
pub(crate) mod dictionary;
mod encode;
mod nested_set;
mod output;
mod page;
mod pages;
mod resources;
mod rows;
mod shred;
mod spans;

pub use nested_set::{Node as NestedSetNode, Numbers as NestedSetNumbers, numbers as nested_set_numbers};
use output::TailWriter;
use rows::RowGroup;
use spans::TraceLayout;

/// Spans of one instrumentation scope, encoded.
#[derive(Clone, Debug, Default)]
pub struct EncodedScope<'a> {
    /// Body of the `InstrumentationScope`; empty when absent.
    pub scope: &'a [u8],
    /// The schema URL of the `ScopeSpans`.
    pub schema_url: &'a [u8],
    /// Bodies of the `Span`s.
    pub spans: Vec<&'a [u8]>,
}

/// Spans of one resource, encoded.
#[derive(Clone, Debug, Default)]
pub struct EncodedResource<'a> {
    /// Body of the `Resource`; empty when absent.
    pub resource: &'a [u8],
    /// The schema URL of the `ResourceSpans`.
    pub schema_url: &'a [u8],
    /// The spans by scope.
    pub scopes: Vec<EncodedScope<'a>>,
}

/// How a block is built.
#[derive(Clone, Debug)]
pub struct WriterOptions {
    /// Attributes with a column of their own, as they will stand in meta.json: already filtered by
    /// [`crate::dedicated::filter_for_version`].
    pub dedicated_columns: Vec<DedicatedColumn>,
    /// A row group ends when the spans in it reach this many bytes of OTLP. Dictionaries and encoded
    /// pages of one row group are in memory together, at roughly half of this.
    pub row_group_bytes: usize,
    /// Rate of false positives of the bloom filter, between 0 and 1.
    pub bloom_false_positive: f64,
    /// Bytes of a bloom object.
    pub bloom_shard_size_bytes: u32,
    /// How many traces will come, for the size of the bloom filter. More may come, at a higher rate of
    /// false positives.
    pub expected_traces: u64,
    /// Codec of the columns that are compressed at all.
    pub compression: PageCompression,
}

impl Default for WriterOptions {
    fn default() -> Self {
        Self {
            dedicated_columns: Vec::new(),
            row_group_bytes: 32 << 20,
            bloom_false_positive: 0.01,
            bloom_shard_size_bytes: 100 << 10,
            expected_traces: 10_000,
            compression: PageCompression::Snappy,
        }
    }
}

/// Codec of dictionaries and of long values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PageCompression {
    /// As Tempo writes it.
    #[default]
    Snappy,
    /// Smaller, slower; Tempo reads it too. Level 1 to 22.
    Zstd(i32),
}

/// Why a block cannot be written, or a trace not be added.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// Rows are sorted by trace id and unique. The block is as before.
    #[error("trace {id} comes after {previous}: add traces in ascending order, each once")]
    OutOfOrder {
        /// The last one added.
        previous: TraceId,
        /// This one.
        id: TraceId,
    },
    /// A trace is one row and cannot be split. The block is as before.
    #[error(
        "trace {id} has {bytes} bytes of spans, over the {limit} that fit in one row; limit the size of traces"
    )]
    TraceTooLarge {
        /// The trace.
        id: TraceId,
        /// Its spans' bytes.
        bytes: usize,
        /// The most a row holds.
        limit: usize,
    },
    /// A span that is not protobuf; requests checked by the distributor have none. The block is as before.
    #[error("trace {id} holds a span that cannot be read: it {problem}")]
    Malformed {
        /// The trace.
        id: TraceId,
        /// What is wrong.
        problem: WireError,
    },
    /// The output failed, or refused the data. The block is unusable.
    #[error("writing the block's data failed")]
    Output(#[from] ParquetError),
    /// Compression failed. The block is unusable.
    #[error("compressing the block's {what} failed")]
    Compress {
        /// What was compressed.
        what: &'static str,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// A block whose data has been written; the rest of its objects, and what its meta.json says.
#[derive(Clone, Debug)]
pub struct WrittenBlock {
    /// Bytes of `data.parquet`.
    pub size: u64,
    /// Bytes of its footer, without the last 8.
    pub footer_size: u32,
    /// Traces. 0: there is nothing worth keeping.
    pub total_objects: u64,
    /// Row groups.
    pub total_records: u32,
    /// Spans, without duplicates.
    pub spans: u64,
    /// Duplicates of a span (same id and kind in one trace) left out.
    pub duplicate_spans: u64,
    /// Attributes, events and links left out because they were not protobuf; requests checked by the
    /// distributor have none.
    pub malformed_parts: u64,
    /// Earliest span start, nanoseconds since 1970; 0 without traces.
    pub start_unix_nano: u64,
    /// Latest span end, nanoseconds since 1970; 0 without traces.
    pub end_unix_nano: u64,
    /// The objects `bloom-0`, `bloom-1`, ….
    pub blooms: Vec<Bytes>,
    /// The object `index`.
    pub index: Bytes,
    /// Objects of our own, by name, that Tempo passes over.
    pub sidecars: Vec<(&'static str, Bytes)>,
}

/// Writes one block's `data.parquet` to `W`.
pub struct BlockWriter<W: Write + Send> {
    file: SerializedFileWriter<TailWriter<W>>,
    options: WriterOptions,
    rows: RowGroup,
    layout: TraceLayout,
    bloom: BloomBuilder,
    extra: ExtraBuilder,
    last_id: Option<TraceId>,
    last_ids: Vec<TraceId>,
    totals: Totals,
}

#[derive(Debug, Default)]
struct Totals {
    traces: u64,
    spans: u64,
    duplicates: u64,
    malformed_parts: u64,
    start: Option<u64>,
    end: u64,
}

/// Offsets within a page are 31 bits; the encoded form is never much longer than the spans.
const MAX_TRACE_BYTES: usize = 1 << 30;

impl<W: Write + Send> BlockWriter<W> {
    /// A writer of one block's data to `output`.
    ///
    /// # Errors
    /// When `output` fails.
    pub fn new(output: W, options: WriterOptions) -> Result<Self, WriteError> {
        let properties = WriterProperties::builder().set_writer_version(WriterVersion::PARQUET_2_0).build();
        let root = schema::vparquet4().root_schema_ptr();
        let file = SerializedFileWriter::new(TailWriter::new(output), root, Arc::new(properties))?;
        let WriterOptions { expected_traces, bloom_false_positive, bloom_shard_size_bytes, .. } = options;
        Ok(Self {
            file,
            rows: RowGroup::new(&options),
            layout: TraceLayout::default(),
            bloom: BloomBuilder::new(expected_traces, bloom_false_positive, bloom_shard_size_bytes),
            extra: ExtraBuilder::default(),
            last_id: None,
            last_ids: Vec::new(),
            totals: Totals::default(),
            options,
        })
    }

    /// Adds one trace, with all its spans. A trace without spans is left out. Spans with the id and kind
    /// of one before them are left out; resources and scopes with the same bytes are merged.
    ///
    /// # Errors
    /// When the trace does not come after the last one, is too large or not protobuf: the block is then as
    /// before. When the output fails: the block is then unusable.
    pub fn add_trace(&mut self, id: TraceId, resources: &[EncodedResource<'_>]) -> Result<(), WriteError> {
        if let Some(previous) = self.last_id.filter(|previous| *previous >= id) {
            return Err(WriteError::OutOfOrder { previous, id });
        }
        let bytes = encoded_bytes(resources);
        if bytes > MAX_TRACE_BYTES {
            return Err(WriteError::TraceTooLarge { id, bytes, limit: MAX_TRACE_BYTES });
        }
        if self.rows.rows() > 0 && self.rows.bytes().saturating_add(bytes) > self.options.row_group_bytes {
            self.end_row_group()?;
        }
        let trace = self
            .layout
            .read(resources, &mut self.rows.numbering(&mut self.extra))
            .map_err(|problem| WriteError::Malformed { id, problem })?;
        if !trace.spans.is_empty() {
            let times = self.rows.push(&id, &trace, bytes, &mut self.extra)?;
            self.bloom.add(&id);
            self.last_id = Some(id);
            self.totals.traces += 1;
            self.totals.spans += trace.spans.len() as u64;
            self.totals.duplicates += trace.duplicates;
            self.totals.start = Some(self.totals.start.map_or(times.start, |start| start.min(times.start)));
            self.totals.end = self.totals.end.max(times.end);
        }
        self.layout.put_back(trace);
        Ok(())
    }

    /// Ends the file.
    ///
    /// # Errors
    /// When the output fails; the block is then unusable.
    pub fn finish(mut self) -> Result<WrittenBlock, WriteError> {
        if self.rows.rows() > 0 {
            self.end_row_group()?;
        }
        self.totals.malformed_parts = self.rows.malformed_parts();
        self.file.finish()?;
        let extra =
            self.extra.finish().map_err(|source| WriteError::Compress { what: "extra fields", source })?;
        let Totals { traces, spans, duplicates, malformed_parts, start, end } = self.totals;
        Ok(WrittenBlock {
            size: self.file.inner().length(),
            footer_size: self.file.inner().footer_length(),
            total_objects: traces,
            total_records: self.last_ids.len() as u32,
            spans,
            duplicate_spans: duplicates,
            malformed_parts,
            start_unix_nano: start.unwrap_or(0),
            end_unix_nano: end,
            blooms: self.bloom.finish(),
            index: index_object(&self.last_ids),
            sidecars: extra.map(|object| (extra::OBJECT_NAME, object)).into_iter().collect(),
        })
    }

    /// Bytes of `data.parquet` written so far; more is in memory.
    pub fn bytes_written(&self) -> u64 {
        self.file.inner().length()
    }

    fn end_row_group(&mut self) -> Result<(), WriteError> {
        self.rows.end(&mut self.file)?;
        self.last_ids.extend(self.last_id);
        Ok(())
    }
}

fn encoded_bytes(resources: &[EncodedResource<'_>]) -> usize {
    let of_scope = |scope: &EncodedScope<'_>| {
        scope.scope.len() + scope.schema_url.len() + scope.spans.iter().map(|span| span.len()).sum::<usize>()
    };
    let of_resource = |resource: &EncodedResource<'_>| {
        resource.resource.len()
            + resource.schema_url.len()
            + resource.scopes.iter().map(of_scope).sum::<usize>()
    };
    resources.iter().map(of_resource).sum()
}

/// The object `index`: the last trace id of each row group.
fn index_object(last_ids: &[TraceId]) -> Bytes {
    let ids: Vec<String> = last_ids.iter().map(|id| BASE64.encode(id.as_bytes())).collect();
    serde_json::json!({ "rowGroups": ids }).to_string().into()
}

#[cfg(test)]
mod tests;
