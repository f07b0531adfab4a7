//! One trace before it becomes a row: the fields of its spans, without duplicates, in row order.

use std::ops::Range;

use hashbrown::HashMap;
use tempoform_core::protobuf::{Fields, Value, WireError};

use super::EncodedResource;

/// A span's own fields, and where its parts are in [`TraceSpans`].
#[derive(Clone, Debug, Default)]
pub(super) struct SpanHead<'a> {
    pub(super) id: &'a [u8],
    pub(super) parent: &'a [u8],
    pub(super) name: &'a [u8],
    pub(super) trace_state: &'a [u8],
    pub(super) status_message: &'a [u8],
    pub(super) kind: i64,
    pub(super) status_code: i64,
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) flags: u32,
    pub(super) dropped_attributes: i32,
    pub(super) dropped_events: i32,
    pub(super) dropped_links: i32,
    pub(super) attributes: Range<u32>,
    pub(super) events: Range<u32>,
    pub(super) links: Range<u32>,
    /// Position among the spans as they came in, by which "the first" and "the last" are meant.
    pub(super) ordinal: u32,
    /// Index into [`TraceSpans::scopes`]; first the scope's first appearance, in the end its row order.
    scope: u32,
}

/// A scope within the row.
#[derive(Clone, Copy, Debug)]
pub(super) struct ScopeKey {
    /// Number of the resource in this trace, by first appearance.
    pub(super) group: u32,
    /// The resource, by its number in the row group.
    pub(super) resource: u32,
    /// The resource's schema URL, by its number in the block.
    pub(super) resource_url: u32,
    /// The scope, by its number in the row group.
    pub(super) scope: u32,
    /// The scope's schema URL, by its number in the block.
    pub(super) scope_url: u32,
}

/// Gives the parts of a trace that are repeated between traces their numbers.
pub(super) trait Numbering {
    fn resource(&mut self, body: &[u8]) -> u32;
    fn scope(&mut self, body: &[u8]) -> u32;
    fn schema_url(&mut self, url: &[u8]) -> u32;
}

/// The spans of one trace: in row order, grouped by resource and scope.
#[derive(Debug, Default)]
pub(super) struct TraceSpans<'a> {
    pub(super) spans: Vec<SpanHead<'a>>,
    pub(super) attributes: Vec<&'a [u8]>,
    pub(super) events: Vec<&'a [u8]>,
    pub(super) links: Vec<&'a [u8]>,
    scopes: Vec<ScopeKey>,
    pub(super) duplicates: u64,
}

/// The memory of [`TraceSpans`], from one trace to the next.
#[derive(Debug, Default)]
pub(super) struct TraceLayout {
    empty: TraceSpans<'static>,
    resources: HashMap<(u32, u32), u32>,
    scopes: HashMap<(u32, u32, u32), u32>,
    by_id: Vec<(u64, i64, u32)>,
    row_order: Vec<u32>,
}

/// Over this many places a map is made anew rather than cleared.
const MAX_KEPT_CAPACITY: usize = 1 << 12;

impl TraceLayout {
    /// Reads the spans of one trace.
    ///
    /// # Errors
    /// When a span is not protobuf.
    pub(super) fn read<'a>(
        &mut self,
        resources: &[EncodedResource<'a>],
        numbers: &mut impl Numbering,
    ) -> Result<TraceSpans<'a>, WireError> {
        let mut trace = recycle(std::mem::take(&mut self.empty));
        let read = self.read_spans(resources, numbers, &mut trace);
        if let Err(problem) = read {
            self.put_back(trace);
            return Err(problem);
        }
        self.drop_duplicates(&mut trace);
        self.sort_into_row_order(&mut trace);
        Ok(trace)
    }

    /// Takes the memory of a trace back.
    pub(super) fn put_back(&mut self, trace: TraceSpans<'_>) {
        self.empty = recycle(trace);
    }

    fn read_spans<'a>(
        &mut self,
        resources: &[EncodedResource<'a>],
        numbers: &mut impl Numbering,
        trace: &mut TraceSpans<'a>,
    ) -> Result<(), WireError> {
        clear(&mut self.resources);
        clear(&mut self.scopes);
        let with_spans =
            |resource: &&EncodedResource<'_>| resource.scopes.iter().any(|scope| !scope.spans.is_empty());
        for resource in resources.iter().filter(with_spans) {
            let key = (numbers.resource(resource.resource), numbers.schema_url(resource.schema_url));
            let next = self.resources.len() as u32;
            let group = *self.resources.entry(key).or_insert(next);
            for scope in resource.scopes.iter().filter(|scope| !scope.spans.is_empty()) {
                let found = ScopeKey {
                    group,
                    resource: key.0,
                    resource_url: key.1,
                    scope: numbers.scope(scope.scope),
                    scope_url: numbers.schema_url(scope.schema_url),
                };
                let next = self.scopes.len() as u32;
                let index = *self.scopes.entry((group, found.scope, found.scope_url)).or_insert(next);
                if index == next {
                    trace.scopes.push(found);
                }
                for span in &scope.spans {
                    trace.read_span(span, index)?;
                }
            }
        }
        Ok(())
    }

    /// Leaves out what has the id and kind of a span before it.
    fn drop_duplicates(&mut self, trace: &mut TraceSpans<'_>) {
        self.by_id.clear();
        self.by_id.extend(trace.spans.iter().map(|span| (id_number(span.id), span.kind, span.ordinal)));
        self.by_id.sort_unstable();
        let mut any = false;
        for i in 1..self.by_id.len() {
            let (before, this) = (self.by_id[i - 1], self.by_id[i]);
            any |= (before.0, before.1) == (this.0, this.1);
        }
        if !any {
            return;
        }
        let before = trace.spans.len();
        let by_id = &self.by_id;
        trace.spans.retain(|span| {
            let key = (id_number(span.id), span.kind);
            let first = by_id.partition_point(|(id, kind, _)| (*id, *kind) < key);
            by_id.get(first).is_none_or(|(_, _, ordinal)| *ordinal == span.ordinal)
        });
        trace.duplicates = (before - trace.spans.len()) as u64;
    }

    /// Brings scopes of one resource, and spans of one scope, together; else keeps the order.
    fn sort_into_row_order(&mut self, trace: &mut TraceSpans<'_>) {
        if !trace.scopes.is_sorted_by_key(|scope| scope.group) {
            let order = &mut self.row_order;
            order.clear();
            order.extend(0..trace.scopes.len() as u32);
            order.sort_by_key(|index| trace.scopes[*index as usize].group);
            let mut rank = vec![0; order.len()];
            for (place, index) in order.iter().enumerate() {
                rank[*index as usize] = place as u32;
            }
            for span in &mut trace.spans {
                span.scope = rank[span.scope as usize];
            }
            trace.scopes.sort_by_key(|scope| scope.group);
        }
        if !trace.spans.is_sorted_by_key(|span| span.scope) {
            trace.spans.sort_by_key(|span| span.scope);
        }
    }
}

/// A span id as a number; only ids that are not 8 bytes are padded or cut.
pub(super) fn id_number(id: &[u8]) -> u64 {
    if let Some(id) = id.first_chunk() {
        return u64::from_be_bytes(*id);
    }
    let mut padded = [0; 8];
    padded[..id.len()].copy_from_slice(id);
    u64::from_be_bytes(padded)
}

fn clear<K, V>(map: &mut HashMap<K, V>) {
    if map.capacity() > MAX_KEPT_CAPACITY { *map = HashMap::new() } else { map.clear() }
}

/// An empty trace in the memory of another. `collect` keeps the allocation, as nothing changes but a lifetime.
fn recycle<'b>(trace: TraceSpans<'_>) -> TraceSpans<'b> {
    let TraceSpans { mut spans, mut attributes, mut events, mut links, mut scopes, duplicates: _ } = trace;
    spans.clear();
    attributes.clear();
    events.clear();
    links.clear();
    scopes.clear();
    TraceSpans {
        spans: spans.into_iter().map(|_| SpanHead::default()).collect(),
        attributes: attributes.into_iter().map(|_| [].as_slice()).collect(),
        events: events.into_iter().map(|_| [].as_slice()).collect(),
        links: links.into_iter().map(|_| [].as_slice()).collect(),
        scopes,
        duplicates: 0,
    }
}

impl<'a> TraceSpans<'a> {
    /// The spans by scope, in row order; no scope is empty.
    pub(super) fn by_scope(&self) -> impl Iterator<Item = (ScopeKey, &[SpanHead<'a>])> {
        self.spans
            .chunk_by(|a, b| a.scope == b.scope)
            .map(|spans| (self.scopes[spans[0].scope as usize], spans))
    }

    pub(super) fn attributes_of(&self, span: &SpanHead<'_>) -> &[&'a [u8]] {
        &self.attributes[span.attributes.start as usize..span.attributes.end as usize]
    }

    pub(super) fn events_of(&self, span: &SpanHead<'_>) -> &[&'a [u8]] {
        &self.events[span.events.start as usize..span.events.end as usize]
    }

    pub(super) fn links_of(&self, span: &SpanHead<'_>) -> &[&'a [u8]] {
        &self.links[span.links.start as usize..span.links.end as usize]
    }

    fn read_span(&mut self, body: &'a [u8], scope: u32) -> Result<(), WireError> {
        let mut span = SpanHead { scope, ordinal: self.spans.len() as u32, ..SpanHead::default() };
        let before = self.lengths();
        let mut fields = Fields::new(body);
        while let Some((number, value)) = fields.next_field()? {
            match (number, value) {
                (9, Value::Bytes(attribute)) => self.attributes.push(attribute),
                (2, Value::Bytes(id)) => span.id = id,
                (3, Value::Bytes(state)) => span.trace_state = state,
                (4, Value::Bytes(id)) => span.parent = id,
                (5, Value::Bytes(name)) => span.name = name,
                (6, Value::Varint(kind)) => span.kind = i64::from(kind as i32),
                (7, Value::Fixed64(time)) => span.start = time,
                (8, Value::Fixed64(time)) => span.end = time,
                (10, Value::Varint(count)) => span.dropped_attributes = count as i32,
                (11, Value::Bytes(event)) => self.events.push(event),
                (12, Value::Varint(count)) => span.dropped_events = count as i32,
                (13, Value::Bytes(link)) => self.links.push(link),
                (14, Value::Varint(count)) => span.dropped_links = count as i32,
                (15, Value::Bytes(status)) => span.read_status(status)?,
                (16, Value::Fixed32(flags)) => span.flags = flags,
                _ => {}
            }
        }
        let after = self.lengths();
        span.attributes = before[0]..after[0];
        span.events = before[1]..after[1];
        span.links = before[2]..after[2];
        self.spans.push(span);
        Ok(())
    }

    fn lengths(&self) -> [u32; 3] {
        [self.attributes.len() as u32, self.events.len() as u32, self.links.len() as u32]
    }
}

impl<'a> SpanHead<'a> {
    fn read_status(&mut self, body: &'a [u8]) -> Result<(), WireError> {
        let mut fields = Fields::new(body);
        while let Some((number, value)) = fields.next_field()? {
            match (number, value) {
                (2, Value::Bytes(message)) => self.status_message = message,
                (3, Value::Varint(code)) => self.status_code = i64::from(code as i32),
                _ => {}
            }
        }
        Ok(())
    }
}
