//! `tempoform.extra`: an object of our own in a block's folder, with the fields of OTLP that vParquet4
//! has no column for: the flags of spans and links, and the schema URLs of resources and scopes.
//!
//! Tempo passes over objects it does not know. The object is written only when some field is not zero or
//! empty. It is the four bytes `TFX1`, then one zstd frame of:
//!
//! ```text
//! urls:     count, then of each: length, bytes         number 0 is the empty URL and not written
//! patterns: count, then of each: length, bytes         number 0 is the empty pattern and not written
//! rows:     count, then of each: rows, pattern number  runs of rows, from the first of the block on
//! ```
//!
//! All integers are varints. A pattern holds the values of one row: four streams, for the schema URL (number)
//! of each resource, the schema URL of each scope, the flags of each span, and the flags of each link, all
//! in row order. A stream is its number of runs, then of each run its value and its length; the last
//! run's length is 0 and means the rest, so that traces of all sizes whose spans have the same flags share
//! one pattern. A stream without runs is all zero. A row has one pattern; the empty one is all zero.

use std::io::{Read as _, Write as _};
use std::ops::Range;

use bytes::Bytes;
use tempoform_core::protobuf::put_varint;
use tempoform_wire::otlp::TracesData;

use crate::writer::dictionary::Dictionary;

/// Name of the object in the block's folder.
pub const OBJECT_NAME: &str = "tempoform.extra";

const MAGIC: &[u8; 4] = b"TFX1";
const ZSTD_LEVEL: i32 = 3;
/// More than this, before compression, is not believed when reading, and not written; the largest blocks have a few MiB.
pub const MAX_BYTES: u64 = 1 << 28;
/// Most URLs, patterns and runs of rows each: some thirty times what the largest blocks have. An empty one takes a byte
/// in the object, and more in memory.
const MAX_ENTRIES: u64 = 1 << 24;

/// Collects the values of a block row by row.
#[derive(Debug, Default)]
pub(crate) struct ExtraBuilder {
    urls: Dictionary,
    patterns: Dictionary,
    rows: Vec<(u32, u32)>,
    streams: [Runs; 4],
    pattern: Vec<u8>,
}

/// Values and how often each stands in a row.
#[derive(Clone, Debug, Default)]
struct Runs(Vec<(u32, u32)>);

const RESOURCE_URLS: usize = 0;
const SCOPE_URLS: usize = 1;
const SPAN_FLAGS: usize = 2;
const LINK_FLAGS: usize = 3;

impl Runs {
    #[inline]
    fn push(&mut self, value: u32) {
        match self.0.last_mut() {
            Some((last, count)) if *last == value => *count += 1,
            _ => self.0.push((value, 1)),
        }
    }

    fn is_zero(&self) -> bool {
        self.0.iter().all(|(value, _)| *value == 0)
    }

    fn put(&self, out: &mut Vec<u8>) {
        let runs = if self.is_zero() { &[] } else { self.0.as_slice() };
        put_varint(out, runs.len() as u64);
        for (i, (value, count)) in runs.iter().enumerate() {
            put_varint(out, u64::from(*value));
            put_varint(out, if i + 1 == runs.len() { 0 } else { u64::from(*count) });
        }
    }
}

impl ExtraBuilder {
    /// The number of a schema URL.
    pub(crate) fn url_number(&mut self, url: &[u8]) -> u32 {
        if url.is_empty() { 0 } else { self.urls.intern(url) + 1 }
    }

    pub(crate) fn push_resource(&mut self, url: u32) {
        self.streams[RESOURCE_URLS].push(url);
    }

    pub(crate) fn push_scope(&mut self, url: u32) {
        self.streams[SCOPE_URLS].push(url);
    }

    pub(crate) fn push_span(&mut self, flags: u32) {
        self.streams[SPAN_FLAGS].push(flags);
    }

    pub(crate) fn push_link(&mut self, flags: u32) {
        self.streams[LINK_FLAGS].push(flags);
    }

    /// Adds a row with what another block's `row` has; `known` are that block's patterns.
    pub(crate) fn copy_row(&mut self, from: Option<&Extra>, row: u64, known: &mut CopiedPatterns) {
        let pattern = from.map_or(0, |from| self.copied_pattern(from, from.pattern_of(row), known));
        self.add_row(pattern);
    }

    /// The number that a pattern of another block has here.
    fn copied_pattern(&mut self, from: &Extra, pattern: u32, known: &mut CopiedPatterns) -> u32 {
        let Some(index) = (pattern as usize).checked_sub(1) else { return 0 };
        known.0.resize(from.patterns.len(), 0);
        let Some(number) = known.0.get_mut(index) else { return 0 };
        // Number 0 is never that of a pattern that is not empty.
        if *number == 0 {
            let mut cursor = Cursor { bytes: &from.body[within(&from.patterns[index])], at: 0 };
            self.pattern.clear();
            for _ in [RESOURCE_URLS, SCOPE_URLS] {
                cursor.copy_stream(&mut self.pattern, |url| match (url as usize).checked_sub(1) {
                    Some(url) if url < from.urls.len() => {
                        self.urls.intern(&from.body[within(&from.urls[url])]) + 1
                    }
                    _ => 0,
                });
            }
            for _ in [SPAN_FLAGS, LINK_FLAGS] {
                cursor.copy_stream(&mut self.pattern, |flags| flags);
            }
            *number = self.patterns.intern(&self.pattern) + 1;
        }
        *number
    }

    /// Ends a row.
    pub(crate) fn end_row(&mut self) {
        let pattern = if self.streams.iter().all(Runs::is_zero) {
            0
        } else {
            self.pattern.clear();
            self.streams.iter().for_each(|stream| stream.put(&mut self.pattern));
            self.patterns.intern(&self.pattern) + 1
        };
        self.streams.iter_mut().for_each(|stream| stream.0.clear());
        self.add_row(pattern);
    }

    fn add_row(&mut self, pattern: u32) {
        match self.rows.last_mut() {
            Some((rows, last)) if *last == pattern => *rows += 1,
            _ => self.rows.push((1, pattern)),
        }
    }

    /// About how many bytes the object has before compression; never less than it has.
    pub(crate) fn bytes(&self) -> u64 {
        // Two varints of 32 bits at most; and the lengths of the three lists.
        const ROWS_BYTES: usize = 10;
        const LENGTHS: usize = 15;
        if self.patterns.len() == 0 {
            return 0;
        }
        (LENGTHS + self.urls.page().len() + self.patterns.page().len() + self.rows.len() * ROWS_BYTES) as u64
    }

    /// Whether there are no more entries than readers take.
    pub(crate) fn has_readable_lists(&self) -> bool {
        [self.urls.len(), self.patterns.len(), self.rows.len()]
            .iter()
            .all(|entries| *entries as u64 <= MAX_ENTRIES)
    }

    /// The object; `None` when there is nothing to keep.
    ///
    /// # Errors
    /// When compression fails.
    pub(crate) fn finish(&self) -> std::io::Result<Option<Bytes>> {
        if self.patterns.len() == 0 {
            return Ok(None);
        }
        let mut body = Vec::new();
        for list in [&self.urls, &self.patterns] {
            put_varint(&mut body, list.len() as u64);
            for value in list.values() {
                put_varint(&mut body, value.len() as u64);
                body.extend_from_slice(value);
            }
        }
        put_varint(&mut body, self.rows.len() as u64);
        for (rows, pattern) in &self.rows {
            put_varint(&mut body, u64::from(*rows));
            put_varint(&mut body, u64::from(*pattern));
        }
        let mut encoder = zstd::Encoder::new(MAGIC.to_vec(), ZSTD_LEVEL)?;
        // Damage must be noticed, or spans would get the flags of others.
        encoder.include_checksum(true)?;
        encoder.write_all(&body)?;
        Ok(Some(encoder.finish()?.into()))
    }
}

/// The numbers that patterns of one block have in another, 0 where that is not known yet.
#[derive(Debug, Default)]
pub(crate) struct CopiedPatterns(Vec<u32>);

/// Bytes that are not a `tempoform.extra`.
#[derive(Debug, thiserror::Error)]
pub enum CorruptExtra {
    /// Another magic number.
    #[error("{OBJECT_NAME} does not start with TFX1: it is of another version, or not ours")]
    Magic,
    /// More than any block has.
    #[error("{OBJECT_NAME} holds more than {MAX_BYTES} bytes")]
    TooLarge,
    /// The zstd frame is damaged.
    #[error("{OBJECT_NAME} cannot be decompressed")]
    Compression(#[source] std::io::Error),
    /// The body ends early, or refers to what it does not hold.
    #[error("{OBJECT_NAME} is corrupt in its {0}")]
    Body(&'static str),
}

/// The fields of a block that are not in its columns.
#[derive(Clone, Debug)]
pub struct Extra {
    body: Bytes,
    urls: Vec<Range<u32>>,
    patterns: Vec<Range<u32>>,
    /// The first row after each run of rows, and their pattern.
    rows: Vec<(u64, u32)>,
}

impl Extra {
    /// Reads the object.
    ///
    /// # Errors
    /// When it is damaged.
    pub fn decode(object: &[u8]) -> Result<Self, CorruptExtra> {
        let frame = object.strip_prefix(MAGIC).ok_or(CorruptExtra::Magic)?;
        let decoder = zstd::Decoder::new(frame).map_err(CorruptExtra::Compression)?;
        let mut body = Vec::new();
        decoder.take(MAX_BYTES + 1).read_to_end(&mut body).map_err(CorruptExtra::Compression)?;
        if body.len() as u64 > MAX_BYTES {
            return Err(CorruptExtra::TooLarge);
        }
        let mut cursor = Cursor { bytes: &body, at: 0 };
        let urls = cursor.list().ok_or(CorruptExtra::Body("schema URLs"))?;
        let patterns = cursor.list().ok_or(CorruptExtra::Body("patterns"))?;
        let rows = cursor.rows(patterns.len()).ok_or(CorruptExtra::Body("rows"))?;
        Ok(Self { body: body.into(), urls, patterns, rows })
    }

    /// Bytes it takes in memory.
    pub(crate) fn memory(&self) -> usize {
        let Self { body, urls, patterns, rows } = self;
        body.len() + size_of_val(&urls[..]) + size_of_val(&patterns[..]) + size_of_val(&rows[..])
    }

    /// Rows that it speaks of; those behind have nothing in it.
    pub fn rows(&self) -> u64 {
        self.rows.last().map_or(0, |(end, _)| *end)
    }

    /// Fills the fields in for the trace in `row`, counted from the block's first. `trace` must be
    /// what the row's columns give, in their order.
    pub fn apply(&self, row: u64, trace: &mut TracesData) {
        let Some(pattern) = (self.pattern_of(row) as usize).checked_sub(1) else { return };
        let Some(pattern) = self.patterns.get(pattern) else { return };
        let mut cursor = Cursor { bytes: &self.body[within(pattern)], at: 0 };
        let mut streams = [(); 4].map(|()| cursor.stream());
        for resource in &mut trace.resource_spans {
            resource.schema_url = self.url(streams[RESOURCE_URLS].next_value());
            for scope in &mut resource.scope_spans {
                scope.schema_url = self.url(streams[SCOPE_URLS].next_value());
                for span in &mut scope.spans {
                    span.flags = streams[SPAN_FLAGS].next_value();
                    for link in &mut span.links {
                        link.flags = streams[LINK_FLAGS].next_value();
                    }
                }
            }
        }
    }

    fn pattern_of(&self, row: u64) -> u32 {
        let run = self.rows.partition_point(|(end, _)| *end <= row);
        self.rows.get(run).map_or(0, |(_, pattern)| *pattern)
    }

    fn url(&self, number: u32) -> String {
        let url = (number as usize).checked_sub(1).and_then(|index| self.urls.get(index));
        url.map_or_else(String::new, |range| String::from_utf8_lossy(&self.body[within(range)]).into_owned())
    }
}

/// Offsets are half as long as those of memory: a list of empty values takes little more than its bytes.
const fn within(range: &Range<u32>) -> Range<usize> {
    range.start as usize..range.end as usize
}

/// Reads varints.
#[derive(Clone, Copy)]
struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = *self.bytes.get(self.at)?;
            self.at += 1;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    fn number(&mut self) -> Option<u32> {
        self.varint()?.try_into().ok()
    }

    fn list(&mut self) -> Option<Vec<Range<u32>>> {
        let count = self.varint()?;
        let mut list = Vec::new();
        // Each takes a byte at least.
        if count > (self.bytes.len() - self.at) as u64 || count > MAX_ENTRIES {
            return None;
        }
        for _ in 0..count {
            let length = usize::try_from(self.varint()?).ok()?;
            let end = self.at.checked_add(length).filter(|end| *end <= self.bytes.len())?;
            list.push(u32::try_from(self.at).ok()?..u32::try_from(end).ok()?);
            self.at = end;
        }
        Some(list)
    }

    fn rows(&mut self, patterns: usize) -> Option<Vec<(u64, u32)>> {
        let count = self.varint()?;
        let (mut rows, mut end) = (Vec::new(), 0u64);
        if count > (self.bytes.len() - self.at) as u64 || count > MAX_ENTRIES {
            return None;
        }
        for _ in 0..count {
            end = end.checked_add(self.varint()?)?;
            let pattern = self.number().filter(|pattern| *pattern as usize <= patterns)?;
            rows.push((end, pattern));
        }
        Some(rows)
    }

    /// Copies the stream that starts here, with other values.
    fn copy_stream(&mut self, out: &mut Vec<u8>, mut value_of: impl FnMut(u32) -> u32) {
        let runs = self.varint().unwrap_or(0).min((self.bytes.len() - self.at) as u64);
        put_varint(out, runs);
        for _ in 0..runs {
            put_varint(out, u64::from(value_of(self.number().unwrap_or(0))));
            put_varint(out, self.varint().unwrap_or(0));
        }
    }

    /// The stream that starts here; goes on behind it.
    fn stream(&mut self) -> Stream<'a> {
        let runs = self.varint().unwrap_or(0);
        let stream = Stream { cursor: *self, runs, value: 0, left: 0 };
        for _ in 0..runs {
            if self.varint().and_then(|_| self.varint()).is_none() {
                break;
            }
        }
        stream
    }
}

/// Values of one stream of a pattern.
struct Stream<'a> {
    cursor: Cursor<'a>,
    runs: u64,
    value: u32,
    left: u64,
}

impl Stream<'_> {
    /// The next value; the last one goes on for ever.
    fn next_value(&mut self) -> u32 {
        if self.left == 0 && self.runs > 0 {
            self.runs -= 1;
            self.value = self.cursor.number().unwrap_or(0);
            self.left = self.cursor.varint().unwrap_or(0);
        }
        self.left = self.left.saturating_sub(1);
        self.value
    }
}

#[cfg(test)]
mod tests;
