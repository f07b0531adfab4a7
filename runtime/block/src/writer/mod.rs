//! Builds a vParquet4 block from traces in encoded OTLP.
//!
//! Spans are never decoded into messages: their protobuf fields go straight to column buffers
//! ([`shred`]), strings as numbers of a dictionary. Every few thousand spans the buffers become one page
//! in each of the 103 columns ([`rows`], [`chunk`]), all cut at the same rows, so that levels are
//! encoded once for all columns that share them, and a reader finds a trace in one page a column.
//! Pages are kept encoded until the row group is written; that, one batch of buffers, and the row
//! group's dictionaries are all the memory used.

use std::io::Write;

use bytes::Bytes;
use parquet::errors::ParquetError;
use tempoform_core::TraceId;
use tempoform_core::protobuf::WireError;

use crate::dedicated::DedicatedColumn;
use crate::extra;

mod attributes;
mod chunk;
mod columns;
pub(crate) mod copied;
pub(crate) mod dictionary;
mod encode;
mod encoded;
mod nested_set;
mod output;
mod page;
mod pages;
mod resources;
mod rows;
mod shell;
mod shred;
mod spans;

pub use encoded::EncodedTrace;
pub use nested_set::{Node as NestedSetNode, Numbers as NestedSetNumbers, numbers as nested_set_numbers};
use rows::RowGroup;
use shell::Shell;
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
    /// Most bytes of `tempoform.extra`, not compressed. Readers take no more than [`extra::MAX_BYTES`].
    pub max_sidecar_bytes: u64,
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
            max_sidecar_bytes: extra::MAX_BYTES,
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
    /// Nobody could read the fields that have no column. The block is unusable.
    #[error(
        "the block's {} would have {bytes} bytes (or too many entries), over the {limit} that readers take of it; it has \
         to become several blocks",
        extra::OBJECT_NAME
    )]
    SidecarTooLarge {
        /// How large it would be, before compression; about.
        bytes: u64,
        /// The most it may be.
        limit: u64,
    },
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
    shell: Shell<W>,
    row_group_bytes: usize,
    rows: RowGroup,
    layout: TraceLayout,
}

/// Offsets within a page are 31 bits; the encoded form is never much longer than the spans.
const MAX_TRACE_BYTES: usize = 1 << 30;

impl<W: Write + Send> BlockWriter<W> {
    /// A writer of one block's data to `output`.
    ///
    /// # Errors
    /// When `output` fails.
    pub fn new(output: W, options: WriterOptions) -> Result<Self, WriteError> {
        Ok(Self {
            shell: Shell::new(output, &options)?,
            row_group_bytes: options.row_group_bytes,
            rows: RowGroup::new(&options),
            layout: TraceLayout::default(),
        })
    }

    /// Adds one trace, with all its spans. A trace without spans is left out. Spans with the id and kind
    /// of one before them are left out; resources and scopes with the same bytes are merged.
    ///
    /// # Errors
    /// When the trace does not come after the last one, is too large or not protobuf: the block is then as
    /// before. When the output fails: the block is then unusable.
    pub fn add_trace(&mut self, id: TraceId, resources: &[EncodedResource<'_>]) -> Result<(), WriteError> {
        self.shell.check_order(id)?;
        let bytes = encoded_bytes(resources);
        if bytes > MAX_TRACE_BYTES {
            return Err(WriteError::TraceTooLarge { id, bytes, limit: MAX_TRACE_BYTES });
        }
        if self.rows.rows() > 0 && self.rows.bytes().saturating_add(bytes) > self.row_group_bytes {
            self.end_row_group()?;
        }
        let trace = self
            .layout
            .read(resources, &mut self.rows.numbering(&mut self.shell.extra))
            .map_err(|problem| WriteError::Malformed { id, problem })?;
        if !trace.spans.is_empty() {
            let times = self.rows.push(&id, &trace, bytes, &mut self.shell.extra)?;
            self.shell.add(id, trace.spans.len() as u64, trace.duplicates, times);
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
        self.shell.finish(self.rows.malformed_parts())
    }

    /// Bytes of `data.parquet` written so far; more is in memory.
    pub fn bytes_written(&self) -> u64 {
        self.shell.bytes_written()
    }

    fn end_row_group(&mut self) -> Result<(), WriteError> {
        self.rows.end(&mut self.shell.file)?;
        self.shell.end_row_group()
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

#[cfg(test)]
pub(crate) mod tests;
