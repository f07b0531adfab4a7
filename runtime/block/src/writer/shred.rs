//! Spans, events and links, from their protobuf fields to columns.

use tempoform_core::protobuf::{Fields, Value, WireError};

use super::attributes::{AnyValue, AttributeColumns, key_value};
use super::columns::{ByteColumn, DictColumn, SlotColumn};
use super::dictionary::Dictionary;
use super::nested_set::Numbers;
use super::resources::dedicated_names;
use super::spans::{SpanHead, TraceSpans};
use crate::dedicated::{DedicatedColumn, DedicatedScope, HTTP_STATUS_CODE, PROMOTED_SPAN};
use crate::schema::v4;

/// Definition level of a span that is there.
const SPAN_DEF: u8 = 3;
/// Repetition level of a second span in a scope.
const SPAN_REP: u8 = 3;
/// Definition level of an event or link that is there, and the repetition level of a second one.
const PART_LEVEL: u8 = 4;
/// Repetition level of a second attribute of a span.
const SPAN_ATTRIBUTE_REP: u8 = 4;
/// Repetition level of a second attribute of an event or link.
const PART_ATTRIBUTE_REP: u8 = 5;

/// The columns of spans.
pub(super) struct SpanColumns {
    pub(super) reps: Vec<u8>,
    pub(super) id: ByteColumn,
    pub(super) parent_id: ByteColumn,
    pub(super) parent: Vec<i32>,
    pub(super) left: Vec<i32>,
    pub(super) right: Vec<i32>,
    pub(super) name: DictColumn,
    pub(super) kind: Vec<i64>,
    pub(super) trace_state: ByteColumn,
    pub(super) start: Vec<i64>,
    pub(super) duration: Vec<i64>,
    pub(super) status_code: Vec<i64>,
    pub(super) status_message: ByteColumn,
    pub(super) attributes: AttributeColumns,
    pub(super) dropped_attributes: Vec<i32>,
    pub(super) events: EventColumns,
    pub(super) dropped_events: Vec<i32>,
    pub(super) links: LinkColumns,
    pub(super) dropped_links: Vec<i32>,
    /// `http.method`, `http.url`, then dedicated attributes.
    pub(super) slots: Vec<SlotColumn>,
    /// Spans with an integer `http.status_code`, and the code.
    pub(super) http_status: Vec<(u32, i64)>,
    routes: Routes,
}

/// The columns of events. One entry for each, and for each span that has none.
pub(super) struct EventColumns {
    pub(super) reps: Vec<u8>,
    pub(super) defs: Vec<u8>,
    pub(super) time: Vec<i64>,
    pub(super) name: DictColumn,
    pub(super) attributes: AttributeColumns,
    pub(super) dropped_attributes: Vec<i32>,
}

/// The columns of links, likewise.
pub(super) struct LinkColumns {
    pub(super) reps: Vec<u8>,
    pub(super) defs: Vec<u8>,
    pub(super) trace_id: ByteColumn,
    pub(super) span_id: ByteColumn,
    pub(super) trace_state: ByteColumn,
    pub(super) attributes: AttributeColumns,
    pub(super) dropped_attributes: Vec<i32>,
}

/// Where the attributes of each key go. Every key met in the row group has one.
#[derive(Default)]
struct Routes {
    special: Vec<(Box<[u8]>, Target)>,
    keys: Dictionary,
    routes: Vec<Route>,
    /// The route met last.
    last: usize,
}

#[derive(Clone, Copy)]
struct Route {
    target: Target,
    /// The key's number in the dictionary of generic attributes, once it is there.
    generic: Option<u32>,
    /// The key that came after this one the last time.
    next: u32,
}

#[derive(Clone, Copy)]
enum Target {
    Generic,
    /// Text goes to this slot.
    Slot(u8),
    /// Integers go to `HttpStatusCode`.
    HttpStatus,
}

/// What a link says of its span's place.
#[derive(Debug, Default)]
pub(super) struct LinkFacts {
    pub(super) flags: u32,
    /// Links to a span of the same trace with `opentracing.ref_type="child_of"`: the span is no root.
    pub(super) child_of_same_trace: bool,
}

impl Routes {
    fn new(columns: &[DedicatedColumn]) -> Self {
        let promoted = PROMOTED_SPAN.iter().map(|(key, _)| key.as_bytes());
        let names = promoted.chain(dedicated_names(columns, DedicatedScope::Span));
        let mut special: Vec<(Box<[u8]>, Target)> =
            vec![(HTTP_STATUS_CODE.as_bytes().into(), Target::HttpStatus)];
        special.extend(names.zip(0..).map(|(name, slot)| (name.into(), Target::Slot(slot))));
        Self { special, ..Self::default() }
    }

    #[inline]
    fn route_of(&mut self, key: &[u8]) -> &mut Route {
        // Instrumentation adds attributes in the same order each time.
        let guess = self.routes.get(self.last).map_or(0, |last| last.next);
        let number = self.keys.intern_guessed(key, guess);
        if number as usize == self.routes.len() {
            let special = self.special.iter().find(|(name, _)| **name == *key);
            let target = special.map_or(Target::Generic, |(_, target)| *target);
            self.routes.push(Route { target, generic: None, next: 0 });
        }
        if number != guess
            && let Some(last) = self.routes.get_mut(self.last)
        {
            last.next = number;
        }
        self.last = number as usize;
        &mut self.routes[number as usize]
    }
}

impl SpanColumns {
    pub(super) fn new(columns: &[DedicatedColumn]) -> Self {
        let slots = PROMOTED_SPAN.len() + v4::DEDICATED_SLOTS as usize;
        Self {
            reps: Vec::new(),
            id: ByteColumn::default(),
            parent_id: ByteColumn::default(),
            parent: Vec::new(),
            left: Vec::new(),
            right: Vec::new(),
            name: DictColumn::default(),
            kind: Vec::new(),
            trace_state: ByteColumn::default(),
            start: Vec::new(),
            duration: Vec::new(),
            status_code: Vec::new(),
            status_message: ByteColumn::default(),
            attributes: AttributeColumns::new(SPAN_DEF + 1),
            dropped_attributes: Vec::new(),
            events: EventColumns::new(),
            dropped_events: Vec::new(),
            links: LinkColumns::new(),
            dropped_links: Vec::new(),
            slots: std::iter::repeat_with(SlotColumn::default).take(slots).collect(),
            http_status: Vec::new(),
            routes: Routes::new(columns),
        }
    }

    /// Adds a span; counts parts that cannot be read.
    pub(super) fn push(
        &mut self,
        trace: &TraceSpans<'_>,
        span: &SpanHead<'_>,
        rep: u8,
        numbers: Numbers,
        malformed: &mut u64,
    ) {
        self.push_attributes(trace.attributes_of(span), rep, malformed);
        self.reps.push(rep);
        self.id.push(span.id);
        self.parent_id.push(span.parent);
        self.parent.push(numbers.parent);
        self.left.push(numbers.left);
        self.right.push(numbers.right);
        self.name.push(span.name);
        self.kind.push(span.kind);
        self.trace_state.push(span.trace_state);
        self.start.push(span.start as i64);
        self.duration.push(span.end.wrapping_sub(span.start) as i64);
        self.status_code.push(span.status_code);
        self.status_message.push(span.status_message);
        self.dropped_attributes.push(span.dropped_attributes);
        self.events.push_all(trace.events_of(span), rep, span.start, malformed);
        self.dropped_events.push(span.dropped_events);
        self.links.push_all(trace.links_of(span), rep, malformed);
        self.dropped_links.push(span.dropped_links);
    }

    /// Repetition level of a span: that of its scope when it is the first.
    pub(super) const fn rep_of(first: bool, scope_rep: u8) -> u8 {
        if first { scope_rep } else { SPAN_REP }
    }

    fn push_attributes(&mut self, bodies: &[&[u8]], span_rep: u8, malformed: &mut u64) {
        let (mut rep, mut any) = (span_rep, false);
        for body in bodies {
            let Ok((key, value)) = key_value(body) else {
                *malformed += 1;
                continue;
            };
            if self.push_attribute(rep, key, value) {
                rep = SPAN_ATTRIBUTE_REP;
                any = true;
            }
        }
        if !any {
            self.attributes.push_none(span_rep, SPAN_DEF);
        }
    }

    /// Adds one attribute; whether it went to the generic ones.
    #[inline]
    fn push_attribute(&mut self, rep: u8, key: &[u8], value: AnyValue<'_>) -> bool {
        let at = self.reps.len() as u32;
        let route = self.routes.route_of(key);
        match (route.target, value) {
            (Target::Generic, _) => {}
            (Target::Slot(slot), AnyValue::Text(text)) => {
                if self.slots[usize::from(slot)].push(at, text) {
                    return false;
                }
            }
            (Target::HttpStatus, AnyValue::Int(code)) => {
                if self.http_status.last().is_none_or(|(last, _)| *last != at) {
                    self.http_status.push((at, code));
                    return false;
                }
            }
            (Target::Slot(_) | Target::HttpStatus, _) => {}
        }
        let number = match route.generic {
            Some(number) => number,
            None => *route.generic.insert(self.attributes.key_number(key)),
        };
        self.attributes.push(rep, number, value);
        true
    }

    pub(super) fn end_page(&mut self) {
        let Self {
            reps,
            id,
            parent_id,
            parent,
            left,
            right,
            name,
            kind,
            trace_state,
            start,
            duration,
            status_code,
            status_message,
            attributes,
            dropped_attributes,
            events,
            dropped_events,
            links,
            dropped_links,
            slots,
            http_status,
            routes: _,
        } = self;
        reps.clear();
        attributes.buffers.clear();
        name.numbers.clear();
        for column in [id, parent_id, trace_state, status_message] {
            column.clear();
        }
        for column in [parent, left, right, dropped_attributes, dropped_events, dropped_links] {
            column.clear();
        }
        for column in [kind, start, duration, status_code] {
            column.clear();
        }
        slots.iter_mut().for_each(|slot| slot.entries.clear());
        http_status.clear();
        events.end_page();
        links.end_page();
    }

    pub(super) fn end_row_group(&mut self) {
        self.routes.keys.clear();
        self.routes.routes.clear();
    }
}

impl EventColumns {
    fn new() -> Self {
        Self {
            reps: Vec::new(),
            defs: Vec::new(),
            time: Vec::new(),
            name: DictColumn::default(),
            attributes: AttributeColumns::new(PART_LEVEL + 1),
            dropped_attributes: Vec::new(),
        }
    }

    fn push_all(&mut self, bodies: &[&[u8]], span_rep: u8, span_start: u64, malformed: &mut u64) {
        let mut rep = span_rep;
        for body in bodies {
            if self.push(body, rep, span_start, malformed).is_err() {
                *malformed += 1;
            }
            rep = PART_LEVEL;
        }
        if bodies.is_empty() {
            self.reps.push(span_rep);
            self.defs.push(SPAN_DEF);
            self.attributes.push_none(span_rep, SPAN_DEF);
        }
    }

    /// Adds an event: as much of it as can be read.
    fn push(&mut self, body: &[u8], rep: u8, span_start: u64, malformed: &mut u64) -> Result<(), WireError> {
        let (mut name, mut time, mut dropped): (&[u8], u64, i32) = (&[], 0, 0);
        let mut attributes = PartAttributes::new(&mut self.attributes, rep);
        let mut fields = Fields::new(body);
        let read = loop {
            match fields.next_field() {
                Ok(Some((1, Value::Fixed64(nanos)))) => time = nanos,
                Ok(Some((2, Value::Bytes(text)))) => name = text,
                Ok(Some((3, Value::Bytes(attribute)))) => attributes.push(attribute, malformed),
                Ok(Some((4, Value::Varint(count)))) => dropped = count as i32,
                Ok(Some(_)) => {}
                Ok(None) => break Ok(()),
                Err(problem) => break Err(problem),
            }
        };
        attributes.finish();
        self.reps.push(rep);
        self.defs.push(PART_LEVEL);
        self.time.push(time.wrapping_sub(span_start) as i64);
        self.name.push(name);
        self.dropped_attributes.push(dropped);
        read
    }

    fn end_page(&mut self) {
        self.reps.clear();
        self.defs.clear();
        self.time.clear();
        self.name.numbers.clear();
        self.attributes.buffers.clear();
        self.dropped_attributes.clear();
    }
}

impl LinkColumns {
    fn new() -> Self {
        Self {
            reps: Vec::new(),
            defs: Vec::new(),
            trace_id: ByteColumn::default(),
            span_id: ByteColumn::default(),
            trace_state: ByteColumn::default(),
            attributes: AttributeColumns::new(PART_LEVEL + 1),
            dropped_attributes: Vec::new(),
        }
    }

    fn push_all(&mut self, bodies: &[&[u8]], span_rep: u8, malformed: &mut u64) {
        let mut rep = span_rep;
        for body in bodies {
            if self.push(body, rep, malformed).is_err() {
                *malformed += 1;
            }
            rep = PART_LEVEL;
        }
        if bodies.is_empty() {
            self.reps.push(span_rep);
            self.defs.push(SPAN_DEF);
            self.attributes.push_none(span_rep, SPAN_DEF);
        }
    }

    /// Adds a link: as much of it as can be read.
    fn push(&mut self, body: &[u8], rep: u8, malformed: &mut u64) -> Result<(), WireError> {
        let (mut trace_id, mut span_id, mut state, mut dropped): (&[u8], &[u8], &[u8], i32) =
            (&[], &[], &[], 0);
        let mut attributes = PartAttributes::new(&mut self.attributes, rep);
        let mut fields = Fields::new(body);
        let read = loop {
            match fields.next_field() {
                Ok(Some((1, Value::Bytes(id)))) => trace_id = id,
                Ok(Some((2, Value::Bytes(id)))) => span_id = id,
                Ok(Some((3, Value::Bytes(text)))) => state = text,
                Ok(Some((4, Value::Bytes(attribute)))) => attributes.push(attribute, malformed),
                Ok(Some((5, Value::Varint(count)))) => dropped = count as i32,
                Ok(Some(_)) => {}
                Ok(None) => break Ok(()),
                Err(problem) => break Err(problem),
            }
        };
        attributes.finish();
        self.reps.push(rep);
        self.defs.push(PART_LEVEL);
        self.trace_id.push(trace_id);
        self.span_id.push(span_id);
        self.trace_state.push(state);
        self.dropped_attributes.push(dropped);
        read
    }

    fn end_page(&mut self) {
        self.reps.clear();
        self.defs.clear();
        self.trace_id.clear();
        self.span_id.clear();
        self.trace_state.clear();
        self.attributes.buffers.clear();
        self.dropped_attributes.clear();
    }
}

/// Pushes the attributes of one event or link.
struct PartAttributes<'c> {
    columns: &'c mut AttributeColumns,
    rep: u8,
    any: bool,
}

impl<'c> PartAttributes<'c> {
    const fn new(columns: &'c mut AttributeColumns, rep: u8) -> Self {
        Self { columns, rep, any: false }
    }

    fn push(&mut self, body: &[u8], malformed: &mut u64) {
        let Ok((key, value)) = key_value(body) else {
            *malformed += 1;
            return;
        };
        let key = self.columns.key_number(key);
        self.columns.push(self.rep, key, value);
        self.rep = PART_ATTRIBUTE_REP;
        self.any = true;
    }

    fn finish(self) {
        if !self.any {
            self.columns.push_none(self.rep, PART_LEVEL);
        }
    }
}

impl LinkFacts {
    /// What a link of a span of `trace_id` says.
    pub(super) fn read(body: &[u8], trace_id: &[u8; 16]) -> Self {
        let mut facts = Self::default();
        let (mut same_trace, mut child_of) = (false, false);
        let mut fields = Fields::new(body);
        while let Ok(Some(field)) = fields.next_field() {
            match field {
                (1, Value::Bytes(id)) => same_trace = id == trace_id,
                (4, Value::Bytes(attribute)) => {
                    child_of |= key_value(attribute)
                        .is_ok_and(|found| found == (b"opentracing.ref_type", AnyValue::Text(b"child_of")));
                }
                (6, Value::Fixed32(flags)) => facts.flags = flags,
                _ => {}
            }
        }
        facts.child_of_same_trace = same_trace && child_of;
        facts
    }
}
