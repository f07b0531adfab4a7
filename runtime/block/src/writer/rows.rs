//! The current row group: the columns being filled, and their pages so far.

use std::io::Write;

use parquet::file::writer::SerializedFileWriter;
use tempoform_core::TraceId;

use super::chunk::{Chunk, Compressor};
use super::columns::{ByteColumn, DictColumn};
use super::dictionary::Dictionary;
use super::nested_set::{NestedSet, Node};
use super::pages::{PageEncoder, Scratch};
use super::resources::{ResourceColumns, ScopeColumns};
use super::shred::{LinkFacts, SpanColumns};
use super::spans::{Numbering, SpanHead, TraceSpans, id_number};
use super::{WriteError, WriterOptions};
use crate::dedicated::PROMOTED_SPAN;
use crate::extra::ExtraBuilder;
use crate::schema::v4::{self, at, attribute};
use crate::schema::{LeafEncoding, vparquet4};

/// A page ends at this many bytes of spans.
pub(super) const PAGE_BYTES: usize = 2 << 20;
/// A page ends at this many traces, so that a lookup decodes few.
pub(super) const PAGE_ROWS: usize = 4096;

/// Everything of the current row group.
pub(super) struct RowGroup {
    chunks: Vec<Chunk>,
    compressor: Compressor,
    scratch: Scratch,
    traces: TraceColumns,
    resources: ResourceColumns,
    scopes: ScopeColumns,
    spans: SpanColumns,
    nested_set: NestedSet,
    nodes: Vec<Node>,
    services: Vec<ServiceCount>,
    page: Size,
    group: Size,
    malformed_parts: u64,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Size {
    pub(super) rows: usize,
    pub(super) bytes: usize,
}

impl Size {
    const fn add(&mut self, bytes: usize) {
        self.rows += 1;
        self.bytes += bytes;
    }
}

/// The columns of traces.
#[derive(Debug, Default)]
pub(super) struct TraceColumns {
    pub(super) id: ByteColumn,
    pub(super) id_text: ByteColumn,
    pub(super) start: Vec<i64>,
    pub(super) end: Vec<i64>,
    pub(super) duration: Vec<i64>,
    pub(super) root_service: DictColumn,
    pub(super) root_name: DictColumn,
    pub(super) stats_reps: Vec<u8>,
    pub(super) stats_service: ByteColumn,
    pub(super) stats_spans: Vec<i32>,
    pub(super) stats_errors: Vec<i32>,
}

/// Spans of one service in one trace.
#[derive(Clone, Copy, Debug)]
struct ServiceCount {
    /// Its number in the dictionary of services.
    service: u32,
    spans: i32,
    errors: i32,
}

/// When a trace's spans were.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TraceTimes {
    /// Earliest start.
    pub(super) start: u64,
    /// Latest end.
    pub(super) end: u64,
}

/// A span's status code for an error.
const STATUS_ERROR: i64 = 2;

/// Gives resources and scopes their numbers in the row group, schema URLs theirs in the block.
pub(super) struct RowNumbering<'a> {
    rows: &'a mut RowGroup,
    extra: &'a mut ExtraBuilder,
}

impl Numbering for RowNumbering<'_> {
    fn resource(&mut self, body: &[u8]) -> u32 {
        self.rows.resources.number(body, &mut self.rows.malformed_parts)
    }

    fn scope(&mut self, body: &[u8]) -> u32 {
        self.rows.scopes.number(body, &mut self.rows.malformed_parts)
    }

    fn schema_url(&mut self, url: &[u8]) -> u32 {
        self.extra.url_number(url)
    }
}

impl RowGroup {
    pub(super) fn new(options: &WriterOptions) -> Self {
        Self {
            chunks: chunks(),
            compressor: Compressor::new(options.compression),
            scratch: Scratch::default(),
            traces: TraceColumns::default(),
            resources: ResourceColumns::new(&options.dedicated_columns),
            scopes: ScopeColumns::new(),
            spans: SpanColumns::new(&options.dedicated_columns),
            nested_set: NestedSet::default(),
            nodes: Vec::new(),
            services: Vec::new(),
            page: Size::default(),
            group: Size::default(),
            malformed_parts: 0,
        }
    }

    /// Traces in the row group.
    pub(super) const fn rows(&self) -> usize {
        self.group.rows
    }

    /// Bytes of spans in the row group.
    pub(super) const fn bytes(&self) -> usize {
        self.group.bytes
    }

    /// Attributes, events and links left out since the start.
    pub(super) const fn malformed_parts(&self) -> u64 {
        self.malformed_parts
    }

    /// For [`super::spans::TraceLayout::read`].
    pub(super) const fn numbering<'a>(&'a mut self, extra: &'a mut ExtraBuilder) -> RowNumbering<'a> {
        RowNumbering { rows: self, extra }
    }

    /// Adds a trace of at least one span as a row. `bytes` is the size of its spans as they came.
    pub(super) fn push(
        &mut self,
        id: &TraceId,
        trace: &TraceSpans<'_>,
        bytes: usize,
        extra: &mut ExtraBuilder,
    ) -> Result<TraceTimes, WriteError> {
        let root = self.push_spans(id, trace, extra);
        let times = times_of(&trace.spans);
        self.traces.push(id, times);
        self.push_root(root);
        self.push_service_stats();
        extra.end_row();
        self.page.add(bytes);
        self.group.add(bytes);
        if self.page.bytes >= PAGE_BYTES || self.page.rows >= PAGE_ROWS {
            self.end_page()?;
        }
        Ok(times)
    }

    /// Pushes resources, scopes and spans; gives the root's service and name.
    fn push_spans<'s>(
        &mut self,
        id: &TraceId,
        trace: &'s TraceSpans<'_>,
        extra: &mut ExtraBuilder,
    ) -> Option<(u32, &'s SpanHead<'s>)> {
        self.nodes.clear();
        self.nodes.extend(trace.spans.iter().map(node));
        let numbers = self.nested_set.number(&self.nodes);
        self.services.clear();
        let mut root: Option<(u32, &SpanHead<'_>)> = None;
        let mut group = None;
        let mut row_order = numbers.iter();
        for (key, spans) in trace.by_scope() {
            let first_of_resource = group != Some(key.group);
            if first_of_resource {
                let rep = u8::from(group.is_some());
                self.resources.push(key.resource, rep);
                extra.push_resource(key.resource_url);
                group = Some(key.group);
            }
            let scope_rep =
                if first_of_resource { self.resources.reps.last().copied().unwrap_or(0) } else { 2 };
            self.scopes.push(key.scope, scope_rep);
            extra.push_scope(key.scope_url);
            let service = self.resources.service_of(key.resource);
            let mut count = ServiceCount { service, spans: 0, errors: 0 };
            for (i, (span, numbers)) in spans.iter().zip(&mut row_order).enumerate() {
                let rep = SpanColumns::rep_of(i == 0, scope_rep);
                self.spans.push(trace, span, rep, *numbers, &mut self.malformed_parts);
                extra.push_span(span.flags);
                count.spans = count.spans.saturating_add(1);
                count.errors = count.errors.saturating_add(i32::from(span.status_code == STATUS_ERROR));
                let mut child_of_same_trace = false;
                for link in trace.links_of(span) {
                    let facts = LinkFacts::read(link, id.as_bytes());
                    extra.push_link(facts.flags);
                    child_of_same_trace |= facts.child_of_same_trace;
                }
                let is_root = span.parent.is_empty() && !child_of_same_trace;
                if is_root && root.is_none_or(|(_, last)| last.ordinal < span.ordinal) {
                    root = Some((service, span));
                }
            }
            self.services.push(count);
        }
        root
    }

    fn push_root(&mut self, root: Option<(u32, &SpanHead<'_>)>) {
        let service: &[u8] = root.map_or(&[], |(service, _)| self.resources.service.dictionary.get(service));
        self.traces.root_service.push(service);
        self.traces.root_name.push(root.map_or(&[], |(_, span)| span.name));
    }

    /// One entry a service, sorted by name.
    fn push_service_stats(&mut self) {
        let names = &self.resources.service.dictionary;
        self.services.sort_unstable_by(|a, b| {
            if a.service == b.service {
                std::cmp::Ordering::Equal
            } else {
                names.get(a.service).cmp(names.get(b.service))
            }
        });
        for (i, counts) in self.services.chunk_by(|a, b| a.service == b.service).enumerate() {
            self.traces.stats_reps.push(u8::from(i > 0));
            self.traces.stats_service.push(names.get(counts[0].service));
            self.traces.stats_spans.push(counts.iter().map(|count| count.spans).sum());
            self.traces.stats_errors.push(counts.iter().map(|count| count.errors).sum());
        }
    }

    fn end_page(&mut self) -> Result<(), WriteError> {
        if self.page.rows == 0 {
            return Ok(());
        }
        let mut pages = PageEncoder {
            chunks: &mut self.chunks,
            compressor: &mut self.compressor,
            rows: self.page.rows,
            scratch: &mut self.scratch,
        };
        pages.traces(&self.traces)?;
        pages.resources(&self.resources)?;
        pages.scopes(&self.scopes)?;
        pages.spans(&self.spans)?;
        self.traces.end_page();
        self.resources.end_page();
        self.scopes.end_page();
        self.spans.end_page();
        self.page = Size::default();
        Ok(())
    }

    /// Writes the row group to `file` and starts the next.
    pub(super) fn end<W: Write + Send>(
        &mut self,
        file: &mut SerializedFileWriter<W>,
    ) -> Result<(), WriteError> {
        self.end_page()?;
        let chunks = std::mem::replace(&mut self.chunks, chunks());
        let rows = self.group.rows;
        let mut writer = file.next_row_group()?;
        for (leaf, chunk) in chunks.into_iter().enumerate() {
            let dictionary =
                dictionary_of(leaf, &mut self.traces, &mut self.resources, &mut self.scopes, &mut self.spans);
            let (bytes, close) = chunk.finish(rows, dictionary.as_deref(), &mut self.compressor)?;
            writer.append_column(&bytes, close)?;
            if let Some(dictionary) = dictionary {
                dictionary.clear();
            }
        }
        writer.close()?;
        self.resources.end_row_group();
        self.scopes.end_row_group();
        self.spans.end_row_group();
        self.group = Size::default();
        Ok(())
    }
}

pub(super) fn chunks() -> Vec<Chunk> {
    let schema = vparquet4();
    v4::LEAVES.iter().enumerate().map(|(i, leaf)| Chunk::new(leaf, schema.column(i))).collect()
}

/// The dictionary of a leaf, if it has one.
fn dictionary_of<'a>(
    leaf: usize,
    traces: &'a mut TraceColumns,
    resources: &'a mut ResourceColumns,
    scopes: &'a mut ScopeColumns,
    spans: &'a mut SpanColumns,
) -> Option<&'a mut Dictionary> {
    let groups = [
        (at::RESOURCE_ATTRIBUTES, &mut resources.attributes),
        (at::SCOPE_ATTRIBUTES, &mut scopes.attributes),
        (at::SPAN_ATTRIBUTES, &mut spans.attributes),
        (at::EVENT_ATTRIBUTES, &mut spans.events.attributes),
        (at::LINK_ATTRIBUTES, &mut spans.links.attributes),
    ];
    for (first, group) in groups {
        match leaf.wrapping_sub(first) {
            attribute::KEY => return Some(&mut group.keys),
            attribute::VALUE => return Some(&mut group.values),
            _ => {}
        }
    }
    if v4::LEAVES[leaf].encoding != LeafEncoding::Dictionary {
        return None;
    }
    match leaf {
        at::ROOT_SERVICE_NAME => Some(&mut traces.root_service.dictionary),
        at::ROOT_SPAN_NAME => Some(&mut traces.root_name.dictionary),
        at::SERVICE_NAME => Some(&mut resources.service.dictionary),
        at::SCOPE_NAME => Some(&mut scopes.name.dictionary),
        at::SCOPE_VERSION => Some(&mut scopes.version.dictionary),
        at::SPAN_NAME => Some(&mut spans.name.dictionary),
        at::EVENT_NAME => Some(&mut spans.events.name.dictionary),
        _ if leaf < at::SCOPE_NAME => Some(&mut resources.slots[leaf - at::RESOURCE_PROMOTED].dictionary),
        at::HTTP_METHOD | at::HTTP_URL => Some(&mut spans.slots[leaf - at::HTTP_METHOD].dictionary),
        _ => Some(&mut spans.slots[leaf - at::SPAN_DEDICATED + PROMOTED_SPAN.len()].dictionary),
    }
}

fn node(span: &SpanHead<'_>) -> Node {
    let parent = (!span.parent.is_empty()).then(|| id_number(span.parent));
    Node { id: id_number(span.id), parent, kind: span.kind }
}

fn times_of(spans: &[SpanHead<'_>]) -> TraceTimes {
    let start = spans.iter().map(|span| span.start).min().unwrap_or(0);
    let end = spans.iter().map(|span| span.end).max().unwrap_or(0);
    TraceTimes { start, end }
}

impl TraceColumns {
    fn push(&mut self, id: &TraceId, times: TraceTimes) {
        self.id.push(id.as_bytes());
        self.id_text.push(text_of(id).as_bytes());
        self.start.push(times.start as i64);
        self.end.push(times.end as i64);
        self.duration.push(times.end.wrapping_sub(times.start) as i64);
    }

    fn end_page(&mut self) {
        let Self {
            id,
            id_text,
            start,
            end,
            duration,
            root_service,
            root_name,
            stats_reps,
            stats_service,
            stats_spans,
            stats_errors,
        } = self;
        for column in [id, id_text, stats_service] {
            column.clear();
        }
        for column in [start, end, duration] {
            column.clear();
        }
        for column in [stats_spans, stats_errors] {
            column.clear();
        }
        root_service.numbers.clear();
        root_name.numbers.clear();
        stats_reps.clear();
    }
}

/// Lowercase hex without leading zeros.
fn text_of(id: &TraceId) -> String {
    id.to_short_hex()
}
