//! A batch seen from its spans: rows of other levels to spans and back.

use std::cell::OnceCell;
use std::ops::Range;

use crate::bitmap::Bitmap;
use crate::identifier::IntrinsicType;
use crate::{AttributeScope, Batch, Column, Field, Intrinsic, Kind, Layout, Level, Static, Status};

impl Field {
    /// What a row of its column is.
    pub fn level(&self) -> Level {
        match self {
            Self::Intrinsic(intrinsic) => intrinsic.level(),
            Self::Attribute { scope: AttributeScope::Span, .. } => Level::Span,
            Self::Attribute { scope: AttributeScope::Resource, .. } => Level::Resource,
            Self::Attribute { scope: AttributeScope::Event, .. } => Level::Event,
            Self::Attribute { scope: AttributeScope::Link, .. } => Level::Link,
            Self::Attribute { scope: AttributeScope::Instrumentation, .. } => Level::Scope,
        }
    }
}

impl Intrinsic {
    /// What a row of its column is.
    pub fn level(self) -> Level {
        match self {
            Self::RootName | Self::RootService | Self::TraceDuration | Self::TraceId => Level::Trace,
            Self::EventName | Self::EventTimeSinceStart => Level::Event,
            Self::LinkTraceId | Self::LinkSpanId => Level::Link,
            Self::InstrumentationName | Self::InstrumentationVersion => Level::Scope,
            Self::Duration
            | Self::Name
            | Self::Status
            | Self::StatusMessage
            | Self::Kind
            | Self::SpanId
            | Self::ParentId
            | Self::ChildCount
            | Self::NestedSetLeft
            | Self::NestedSetRight
            | Self::NestedSetParent => Level::Span,
        }
    }
}

/// Numbers of a span in its trace's tree: `left` and `right` enclose those of its descendants, `parent`
/// is the parent's `left` (-1 for a root). All 0: not connected to a root.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct TreeNumbers {
    pub(crate) left: i64,
    pub(crate) right: i64,
    pub(crate) parent: i64,
}

/// A batch while a query runs on it.
pub(crate) struct Spans<'a> {
    batch: &'a Batch,
    starts: OnceCell<Starts>,
    tree: OnceCell<Vec<TreeNumbers>>,
}

/// The first span of each row, and the number of spans at the end.
struct Starts {
    scopes: Vec<u32>,
    resources: Vec<u32>,
    traces: Vec<u32>,
}

impl<'a> Spans<'a> {
    pub(crate) fn new(batch: &'a Batch) -> Self {
        Self { batch, starts: OnceCell::new(), tree: OnceCell::new() }
    }

    pub(crate) fn layout(&self) -> &'a Layout {
        &self.batch.layout
    }

    pub(crate) fn column(&self, field: &Field) -> Option<&'a Column> {
        self.batch.columns.get(field)
    }

    /// Number of spans.
    pub(crate) fn count(&self) -> u32 {
        self.batch.layout.spans()
    }

    /// Number of rows of a level.
    pub(crate) fn rows(&self, level: Level) -> u32 {
        let layout = &self.batch.layout;
        match level {
            Level::Trace => layout.traces,
            Level::Resource => layout.trace_of_resource.len() as u32,
            Level::Scope => layout.resource_of_scope.len() as u32,
            Level::Span => layout.spans(),
            Level::Event => layout.span_of_event.len() as u32,
            Level::Link => layout.span_of_link.len() as u32,
        }
    }

    /// Spans of a trace.
    pub(crate) fn of_trace(&self, trace: u32) -> Range<u32> {
        range(&self.starts().traces, trace)
    }

    /// The spans below or above `rows` of `level`; for events and links, the spans with any of them.
    pub(crate) fn at_level(&self, level: Level, rows: Bitmap) -> Bitmap {
        let layout = &self.batch.layout;
        match level {
            Level::Span => rows,
            Level::Scope => self.spread(&rows, &self.starts().scopes),
            Level::Resource => self.spread(&rows, &self.starts().resources),
            Level::Trace => self.spread(&rows, &self.starts().traces),
            Level::Event => self.gather(&rows, &layout.span_of_event),
            Level::Link => self.gather(&rows, &layout.span_of_link),
        }
    }

    fn spread(&self, rows: &Bitmap, starts: &[u32]) -> Bitmap {
        let mut spans = Bitmap::empty(self.count());
        rows.iter().for_each(|row| spans.insert_range(range(starts, row)));
        spans
    }

    fn gather(&self, rows: &Bitmap, span_of: &[u32]) -> Bitmap {
        let mut spans = Bitmap::empty(self.count());
        rows.iter().filter_map(|row| span_of.get(row as usize)).for_each(|span| spans.insert(*span));
        spans
    }

    fn starts(&self) -> &Starts {
        self.starts.get_or_init(|| {
            let layout = &self.batch.layout;
            let scopes = starts_of(&layout.scope_of_span, layout.resource_of_scope.len());
            let resources = starts_of(&layout.resource_of_scope, layout.trace_of_resource.len());
            let traces = starts_of(&layout.trace_of_resource, layout.traces as usize);
            let resources = through(&resources, &scopes);
            let traces = through(&traces, &resources);
            Starts { scopes, resources, traces }
        })
    }

    /// By span. Zeros where the store has no numbers.
    pub(crate) fn tree(&self) -> &[TreeNumbers] {
        self.tree.get_or_init(|| {
            let mut tree = vec![TreeNumbers::default(); self.count() as usize];
            let mut fill = |intrinsic, set: fn(&mut TreeNumbers, i64)| {
                let Some(column) = self.column(&Field::Intrinsic(intrinsic)) else { return };
                for (row, value) in column.ints.rows.iter().zip(&column.ints.values) {
                    if let Some(numbers) = tree.get_mut(*row as usize) {
                        set(numbers, *value);
                    }
                }
            };
            fill(Intrinsic::NestedSetLeft, |numbers, value| numbers.left = value);
            fill(Intrinsic::NestedSetRight, |numbers, value| numbers.right = value);
            fill(Intrinsic::NestedSetParent, |numbers, value| numbers.parent = value);
            tree
        })
    }
}

/// `parents` ascending: the first child of each parent, and the number of children at the end.
fn starts_of(parents: &[u32], parent_count: usize) -> Vec<u32> {
    let mut starts = Vec::with_capacity(parent_count + 1);
    let mut child = 0;
    for parent in 0..parent_count as u32 {
        while parents.get(child).is_some_and(|of| *of < parent) {
            child += 1;
        }
        starts.push(child as u32);
    }
    starts.push(parents.len() as u32);
    starts
}

/// Starts in children, as starts in grandchildren.
fn through(starts: &[u32], starts_of_children: &[u32]) -> Vec<u32> {
    let end = starts_of_children.last().copied().unwrap_or(0);
    starts.iter().map(|child| starts_of_children.get(*child as usize).copied().unwrap_or(end)).collect()
}

fn range(starts: &[u32], row: u32) -> Range<u32> {
    let at = |row: u32| starts.get(row as usize).copied().unwrap_or(0);
    at(row)..at(row + 1)
}

/// The row of `level` that a span belongs to; `None` for events and links, of which it has several.
pub(crate) fn row_above(layout: &Layout, level: Level, span: u32) -> Option<u32> {
    let scope = || layout.scope_of_span.get(span as usize).copied();
    let resource = || layout.resource_of_scope.get(scope()? as usize).copied();
    match level {
        Level::Span => Some(span),
        Level::Scope => scope(),
        Level::Resource => resource(),
        Level::Trace => layout.trace_of_resource.get(resource()? as usize).copied(),
        Level::Event | Level::Link => None,
    }
}

/// The events or links of a span.
pub(crate) fn rows_below(layout: &Layout, level: Level, span: u32) -> Range<u32> {
    let span_of = match level {
        Level::Event => &layout.span_of_event,
        Level::Link => &layout.span_of_link,
        Level::Trace | Level::Resource | Level::Scope | Level::Span => return 0..0,
    };
    let start = span_of.partition_point(|one| *one < span);
    let end = span_of.partition_point(|one| *one <= span);
    start as u32..end as u32
}

/// The value of a row: an array if it has several.
pub(crate) fn value_in(column: &Column, field: &Field, row: u32) -> Option<Static> {
    let strings = &column.strings;
    let ids = &strings.ids.values[strings.ids.of_row(row)];
    if !ids.is_empty() {
        let text = |id: &u32| strings.dictionary.get(*id as usize).cloned().unwrap_or_default();
        return Some(one_or_array(
            ids,
            |id| Static::String(text(id)),
            |ids| Static::StringArray(ids.iter().map(text).collect()),
        ));
    }
    let ints = &column.ints.values[column.ints.of_row(row)];
    if !ints.is_empty() {
        return Some(one_or_array(
            ints,
            |value| integer(field, *value),
            |all| Static::IntArray(all.to_vec()),
        ));
    }
    let floats = &column.floats.values[column.floats.of_row(row)];
    if !floats.is_empty() {
        return Some(one_or_array(
            floats,
            |value| Static::Float(*value),
            |all| Static::FloatArray(all.to_vec()),
        ));
    }
    let bools = &column.bools.values[column.bools.of_row(row)];
    if !bools.is_empty() {
        return Some(one_or_array(
            bools,
            |value| Static::Bool(*value),
            |all| Static::BoolArray(all.to_vec()),
        ));
    }
    None
}

fn one_or_array<T>(values: &[T], one: impl Fn(&T) -> Static, array: impl Fn(&[T]) -> Static) -> Static {
    match values {
        [value] => one(value),
        values => array(values),
    }
}

fn integer(field: &Field, value: i64) -> Static {
    match field {
        Field::Attribute { .. } => Static::Int(value),
        Field::Intrinsic(intrinsic) => match intrinsic.value_type() {
            IntrinsicType::Duration => Static::Duration(value),
            IntrinsicType::Status => Static::Status(Status::from_otlp(value)),
            IntrinsicType::Kind => Static::Kind(Kind::from_otlp(value)),
            IntrinsicType::Int | IntrinsicType::String => Static::Int(value),
        },
    }
}

/// The value of `field` for a span row: of the resource, scope or trace the span belongs to, of its
/// first event or link that has one. `None` when it is missing.
pub fn value_of(batch: &Batch, field: &Field, span: u32) -> Option<Static> {
    let column = batch.columns.get(field)?;
    match row_above(&batch.layout, column.level, span) {
        Some(row) => value_in(column, field, row),
        None => rows_below(&batch.layout, column.level, span).find_map(|row| value_in(column, field, row)),
    }
}
