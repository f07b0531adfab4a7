//! Traces as plain structures, and how they become a batch.

use std::collections::{BTreeMap, BTreeSet};

use crate::{AttributeScope, Batch, Column, Field, Intrinsic, Kind, Level, Static, Status};

pub(super) type Attributes = BTreeMap<String, Static>;

#[derive(Clone, Debug, Default)]
pub(super) struct Trace {
    pub(super) intrinsics: BTreeMap<Intrinsic, Static>,
    pub(super) resources: Vec<Resource>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Resource {
    pub(super) attributes: Attributes,
    pub(super) scopes: Vec<Scope>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Scope {
    pub(super) intrinsics: BTreeMap<Intrinsic, Static>,
    pub(super) attributes: Attributes,
    pub(super) spans: Vec<Span>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Span {
    pub(super) intrinsics: BTreeMap<Intrinsic, Static>,
    pub(super) attributes: Attributes,
    pub(super) events: Vec<Below>,
    pub(super) links: Vec<Below>,
}

/// An event or a link.
#[derive(Clone, Debug, Default)]
pub(super) struct Below {
    pub(super) intrinsics: BTreeMap<Intrinsic, Static>,
    pub(super) attributes: Attributes,
}

/// A span with everything above it.
#[derive(Clone, Copy)]
pub(super) struct InContext<'a> {
    pub(super) trace: &'a Trace,
    pub(super) resource: &'a Resource,
    pub(super) scope: &'a Scope,
    pub(super) span: &'a Span,
}

/// All spans, in the order of their rows.
pub(super) fn spans(traces: &[Trace]) -> Vec<InContext<'_>> {
    let mut all = Vec::new();
    for trace in traces {
        for resource in &trace.resources {
            for scope in &resource.scopes {
                all.extend(scope.spans.iter().map(|span| InContext { trace, resource, scope, span }));
            }
        }
    }
    all
}

/// The batch with the columns of `fields`.
pub(super) fn batch(traces: &[Trace], fields: &[Field]) -> Batch {
    let mut builder = Builder { batch: Batch::default(), fields: fields.iter().cloned().collect() };
    traces.iter().for_each(|trace| builder.trace(trace));
    builder.batch
}

struct Builder {
    batch: Batch,
    fields: BTreeSet<Field>,
}

impl Builder {
    fn trace(&mut self, trace: &Trace) {
        let row = self.batch.layout.traces;
        self.batch.layout.traces += 1;
        self.intrinsics(row, &trace.intrinsics);
        for resource in &trace.resources {
            self.batch.layout.trace_of_resource.push(row);
            self.resource(resource);
        }
    }

    fn resource(&mut self, resource: &Resource) {
        let row = self.batch.layout.trace_of_resource.len() as u32 - 1;
        self.attributes(row, AttributeScope::Resource, &resource.attributes);
        for scope in &resource.scopes {
            self.batch.layout.resource_of_scope.push(row);
            self.scope(scope);
        }
    }

    fn scope(&mut self, scope: &Scope) {
        let row = self.batch.layout.resource_of_scope.len() as u32 - 1;
        self.intrinsics(row, &scope.intrinsics);
        self.attributes(row, AttributeScope::Instrumentation, &scope.attributes);
        for span in &scope.spans {
            self.batch.layout.scope_of_span.push(row);
            self.span(span);
        }
    }

    fn span(&mut self, span: &Span) {
        let row = self.batch.layout.spans() - 1;
        self.intrinsics(row, &span.intrinsics);
        self.attributes(row, AttributeScope::Span, &span.attributes);
        for event in &span.events {
            let below = self.batch.layout.span_of_event.len() as u32;
            self.batch.layout.span_of_event.push(row);
            self.intrinsics(below, &event.intrinsics);
            self.attributes(below, AttributeScope::Event, &event.attributes);
        }
        for link in &span.links {
            let below = self.batch.layout.span_of_link.len() as u32;
            self.batch.layout.span_of_link.push(row);
            self.intrinsics(below, &link.intrinsics);
            self.attributes(below, AttributeScope::Link, &link.attributes);
        }
    }

    fn intrinsics(&mut self, row: u32, values: &BTreeMap<Intrinsic, Static>) {
        for (intrinsic, value) in values {
            self.push(Field::Intrinsic(*intrinsic), row, value);
        }
    }

    fn attributes(&mut self, row: u32, scope: AttributeScope, values: &Attributes) {
        for (name, value) in values {
            self.push(Field::Attribute { scope, name: name.clone() }, row, value);
        }
    }

    fn push(&mut self, field: Field, row: u32, value: &Static) {
        if !self.fields.contains(&field) {
            return;
        }
        let level: Level = field.level();
        let column = self.batch.columns.entry(field).or_insert_with(|| Column::new(level));
        match value {
            Static::Nil => {}
            Static::Int(value) | Static::Duration(value) => column.ints.push(row, *value),
            Static::Status(status) => column.ints.push(row, status.otlp()),
            Static::Kind(kind) => column.ints.push(row, kind.otlp()),
            Static::Float(value) => column.floats.push(row, *value),
            Static::Bool(value) => column.bools.push(row, *value),
            Static::String(value) => push_string(column, row, value),
            Static::IntArray(values) => values.iter().for_each(|value| column.ints.push(row, *value)),
            Static::FloatArray(values) => values.iter().for_each(|value| column.floats.push(row, *value)),
            Static::BoolArray(values) => values.iter().for_each(|value| column.bools.push(row, *value)),
            Static::StringArray(values) => values.iter().for_each(|value| push_string(column, row, value)),
        }
    }
}

fn push_string(column: &mut Column, row: u32, value: &str) {
    let dictionary = &mut column.strings.dictionary;
    let id = dictionary.iter().position(|one| one == value).unwrap_or_else(|| {
        dictionary.push(value.to_owned());
        dictionary.len() - 1
    });
    column.strings.ids.push(row, id as u32);
}

/// The attributes of `pairs`.
pub(super) fn attributes(pairs: &[(&str, Static)]) -> Attributes {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
}

/// A string value.
pub(super) fn text(value: &str) -> Static {
    Static::String(value.to_owned())
}

/// A span with the intrinsics that every span has.
pub(super) fn span(name: &str, duration: i64, status: Status, kind: Kind) -> Span {
    let intrinsics = BTreeMap::from([
        (Intrinsic::Name, text(name)),
        (Intrinsic::Duration, Static::Duration(duration)),
        (Intrinsic::Status, Static::Status(status)),
        (Intrinsic::Kind, Static::Kind(kind)),
    ]);
    Span { intrinsics, ..Span::default() }
}
