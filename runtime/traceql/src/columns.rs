//! The columns a query is evaluated on.

use std::collections::HashMap;
use std::ops::Range;

/// Something a query reads of a span: an intrinsic or an attribute in one scope. (An unscoped
/// attribute reads two fields: the span's and the resource's.)
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Field {
    /// Something every span, event, link, scope or trace has.
    Intrinsic(Intrinsic),
    /// An attribute.
    Attribute {
        /// Where it stands.
        scope: AttributeScope,
        /// Its key.
        name: String,
    },
}

/// Where an attribute stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AttributeScope {
    /// `span.`
    Span,
    /// `resource.`
    Resource,
    /// `event.`
    Event,
    /// `link.`
    Link,
    /// `instrumentation.`
    Instrumentation,
}

/// The intrinsics of TraceQL. The comment gives the type of the column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Intrinsic {
    /// Span end minus start: int, nanoseconds.
    Duration,
    /// Span name: string.
    Name,
    /// OTLP status code: int, 0 unset, 1 ok, 2 error.
    Status,
    /// Status message: string.
    StatusMessage,
    /// OTLP span kind: int, 0 unspecified to 5 consumer.
    Kind,
    /// Span id: string, 16 hex digits.
    SpanId,
    /// Parent's span id: string, 16 hex digits; empty for a root.
    ParentId,
    /// Number of direct children: int. No rows where the block does not store it (before vParquet5).
    ChildCount,
    /// Name of the trace's root span: string, trace level.
    RootName,
    /// `service.name` of the root span: string, trace level.
    RootService,
    /// Last end minus first start: int, nanoseconds, trace level.
    TraceDuration,
    /// Trace id: string, hex without leading zeros, trace level.
    TraceId,
    /// Event name: string, event level.
    EventName,
    /// Event time minus span start: int, nanoseconds, event level.
    EventTimeSinceStart,
    /// Linked trace: string, hex as stored (32 digits), link level.
    LinkTraceId,
    /// Linked span: string, 16 hex digits, link level.
    LinkSpanId,
    /// Instrumentation scope's name: string, scope level.
    InstrumentationName,
    /// Instrumentation scope's version: string, scope level.
    InstrumentationVersion,
    /// Nested set numbers: int. A root's parent is -1; 0 = not connected to a root.
    NestedSetLeft,
    /// See [`NestedSetLeft`](Self::NestedSetLeft).
    NestedSetRight,
    /// See [`NestedSetLeft`](Self::NestedSetLeft).
    NestedSetParent,
}

/// What the rows of a column are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Level {
    /// A row a trace.
    Trace,
    /// A row a resource (`ResourceSpans`).
    Resource,
    /// A row a scope (`ScopeSpans`).
    Scope,
    /// A row a span.
    Span,
    /// A row an event.
    Event,
    /// A row a link.
    Link,
}

/// How the rows of the levels hang together. Every list is ascending: a trace's resources, a
/// resource's scopes, a scope's spans are contiguous.
#[derive(Clone, Debug, Default)]
pub struct Layout {
    /// Number of traces.
    pub traces: u32,
    /// Resource row → trace row.
    pub trace_of_resource: Vec<u32>,
    /// Scope row → resource row.
    pub resource_of_scope: Vec<u32>,
    /// Span row → scope row.
    pub scope_of_span: Vec<u32>,
    /// Event row → span row. Filled only when an event-level field was asked for.
    pub span_of_event: Vec<u32>,
    /// Link row → span row. Filled only when a link-level field was asked for.
    pub span_of_link: Vec<u32>,
}

impl Layout {
    /// Number of spans.
    pub fn spans(&self) -> u32 {
        self.scope_of_span.len() as u32
    }

    /// The trace of a span.
    pub fn trace_of_span(&self, span: u32) -> u32 {
        self.trace_of_resource[self.resource_of_span(span) as usize]
    }

    /// The resource of a span.
    pub fn resource_of_span(&self, span: u32) -> u32 {
        self.resource_of_scope[self.scope_of_span[span as usize] as usize]
    }

    /// Spans of a trace.
    pub fn spans_of_trace(&self, trace: u32) -> Range<u32> {
        let first = |trace: u32| {
            let resource = self.trace_of_resource.partition_point(|t| *t < trace) as u32;
            let scope = self.resource_of_scope.partition_point(|r| *r < resource) as u32;
            self.scope_of_span.partition_point(|s| *s < scope) as u32
        };
        first(trace)..first(trace + 1)
    }
}

/// The values of one type in a column: pairs of row and value, rows ascending. A row that stands
/// several times holds an array.
#[derive(Clone, Debug, PartialEq)]
pub struct Sparse<T> {
    /// Row numbers at the column's level, ascending.
    pub rows: Vec<u32>,
    /// The value of each.
    pub values: Vec<T>,
}

impl<T> Default for Sparse<T> {
    fn default() -> Self {
        Self { rows: Vec::new(), values: Vec::new() }
    }
}

impl<T> Sparse<T> {
    /// Appends a value; `row` is not below the last one.
    pub fn push(&mut self, row: u32, value: T) {
        debug_assert!(self.rows.last().is_none_or(|last| *last <= row));
        self.rows.push(row);
        self.values.push(value);
    }

    /// Positions of the values of `row`.
    pub fn of_row(&self, row: u32) -> Range<usize> {
        let start = self.rows.partition_point(|r| *r < row);
        let length = self.rows[start..].partition_point(|r| *r == row);
        start..start + length
    }
}

/// Strings by dictionary: a predicate is evaluated once a distinct value, not once a row.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Strings {
    /// Distinct values. (May hold duplicates and values no row uses, e.g. a Parquet dictionary as it
    /// is, or one entry a row for ids.)
    pub dictionary: Vec<String>,
    /// Indexes into the dictionary.
    pub ids: Sparse<u32>,
}

/// One field's values. An attribute may have different types in different rows, so there is a list a
/// type; an intrinsic fills one. A row in none of them lacks the attribute. Values that TraceQL
/// cannot search (bytes, maps, mixed arrays) are in none.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    /// What a row is.
    pub level: Level,
    /// String values.
    pub strings: Strings,
    /// Integers, durations (ns), status and kind (OTLP numbers).
    pub ints: Sparse<i64>,
    /// Floats.
    pub floats: Sparse<f64>,
    /// Booleans.
    pub bools: Sparse<bool>,
}

impl Column {
    /// An empty column.
    pub fn new(level: Level) -> Self {
        Self {
            level,
            strings: Strings::default(),
            ints: Sparse::default(),
            floats: Sparse::default(),
            bools: Sparse::default(),
        }
    }
}

/// Whole traces as columns: what one evaluation works on (a row group of a block, a slice of the
/// live traces). Columns that were asked for but that the store does not have are absent or empty.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// How rows hang together.
    pub layout: Layout,
    /// The columns by field.
    pub columns: HashMap<Field, Column>,
}
