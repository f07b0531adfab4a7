//! What a block has around its row groups: the file, blooms, index, sidecar, and what its meta says.

use std::io::Write;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use parquet::file::properties::{WriterProperties, WriterVersion};
use parquet::file::writer::SerializedFileWriter;
use tempoform_core::TraceId;

use super::output::TailWriter;
use super::rows::TraceTimes;
use super::{WriteError, WriterOptions, WrittenBlock};
use crate::bloom::BloomBuilder;
use crate::extra::{self, ExtraBuilder};
use crate::schema;

/// A block without its columns.
pub(super) struct Shell<W: Write + Send> {
    pub(super) file: SerializedFileWriter<TailWriter<W>>,
    pub(super) extra: ExtraBuilder,
    max_sidecar_bytes: u64,
    bloom: BloomBuilder,
    last_id: Option<TraceId>,
    last_ids: Vec<TraceId>,
    totals: Totals,
}

#[derive(Debug, Default)]
struct Totals {
    traces: u64,
    spans: u64,
    duplicates: u64,
    start: Option<u64>,
    end: u64,
}

impl<W: Write + Send> Shell<W> {
    /// # Errors
    /// When `output` fails.
    pub(super) fn new(output: W, options: &WriterOptions) -> Result<Self, WriteError> {
        let properties = WriterProperties::builder().set_writer_version(WriterVersion::PARQUET_2_0).build();
        let root = schema::vparquet4().root_schema_ptr();
        let WriterOptions { expected_traces, bloom_false_positive, bloom_shard_size_bytes, .. } = *options;
        Ok(Self {
            file: SerializedFileWriter::new(TailWriter::new(output), root, Arc::new(properties))?,
            extra: ExtraBuilder::default(),
            max_sidecar_bytes: options.max_sidecar_bytes,
            bloom: BloomBuilder::new(expected_traces, bloom_false_positive, bloom_shard_size_bytes),
            last_id: None,
            last_ids: Vec::new(),
            totals: Totals::default(),
        })
    }

    /// Whether a trace may come next.
    ///
    /// # Errors
    /// When it does not come after the last one.
    pub(super) fn check_order(&self, id: TraceId) -> Result<(), WriteError> {
        match self.last_id {
            Some(previous) if previous >= id => Err(WriteError::OutOfOrder { previous, id }),
            _ => Ok(()),
        }
    }

    /// Notes a trace that became a row.
    pub(super) fn add(&mut self, id: TraceId, spans: u64, duplicates: u64, times: TraceTimes) {
        self.bloom.add(&id);
        self.last_id = Some(id);
        self.totals.traces += 1;
        self.totals.spans += spans;
        self.totals.duplicates += duplicates;
        self.totals.start = Some(self.totals.start.map_or(times.start, |start| start.min(times.start)));
        self.totals.end = self.totals.end.max(times.end);
    }

    /// Notes that the row group with the last trace was written.
    ///
    /// # Errors
    /// When the sidecar is too large by now: better than when all the rest is written.
    pub(super) fn end_row_group(&mut self) -> Result<(), WriteError> {
        self.last_ids.extend(self.last_id);
        self.check_sidecar()
    }

    fn check_sidecar(&self) -> Result<(), WriteError> {
        let (bytes, limit) = (self.extra.bytes(), self.max_sidecar_bytes);
        if bytes > limit || !self.extra.has_readable_lists() {
            return Err(WriteError::SidecarTooLarge { bytes, limit });
        }
        Ok(())
    }

    /// Bytes of the file so far.
    pub(super) fn bytes_written(&self) -> u64 {
        self.file.inner().length()
    }

    /// Ends the file.
    ///
    /// # Errors
    /// When the output fails, or the sidecar is too large.
    pub(super) fn finish(mut self, malformed_parts: u64) -> Result<WrittenBlock, WriteError> {
        self.check_sidecar()?;
        self.file.finish()?;
        let extra =
            self.extra.finish().map_err(|source| WriteError::Compress { what: "extra fields", source })?;
        let Totals { traces, spans, duplicates, start, end } = self.totals;
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
}

/// The object `index`: the last trace id of each row group.
fn index_object(last_ids: &[TraceId]) -> Bytes {
    let ids: Vec<String> = last_ids.iter().map(|id| BASE64.encode(id.as_bytes())).collect();
    serde_json::json!({ "rowGroups": ids }).to_string().into()
}
