//! Whole traces, put back together from columns.

use std::collections::HashMap;
use std::ops::Range;

use prost::Message;
use tempoform_core::{Account, TraceId};
use tempoform_wire::otlp::{
    AnyValue, InstrumentationScope, KeyValue, Resource, ResourceSpans, ScopeSpans, Span, Status, TracesData,
    any_value::Value, span,
};

use super::attributes::{self, Attributes, Owner, text};
use super::fetch::RowsPlan;
use super::parquet::column::Column;
use super::placed::{Layers, Placed};
use super::{BlockReader, Fetched, Malformed, TracePlace, level};
use crate::combine_traces;
use crate::error::{BlockError, Result};
use crate::extra::{self, Extra};
use crate::paths::BlockObject;

/// Columns of traces besides attributes.
const COLUMNS: [&str; 26] = [
    "TraceID",
    "rs.Resource.DroppedAttributesCount",
    "rs.ss.Scope.Name",
    "rs.ss.Scope.Version",
    "rs.ss.Scope.DroppedAttributesCount",
    SPAN_ID,
    "rs.ss.Spans.ParentSpanID",
    "rs.ss.Spans.Name",
    "rs.ss.Spans.Kind",
    "rs.ss.Spans.TraceState",
    "rs.ss.Spans.StartTimeUnixNano",
    "rs.ss.Spans.DurationNano",
    "rs.ss.Spans.StatusCode",
    "rs.ss.Spans.StatusMessage",
    "rs.ss.Spans.DroppedAttributesCount",
    "rs.ss.Spans.DroppedEventsCount",
    "rs.ss.Spans.DroppedLinksCount",
    EVENT_NAME,
    "rs.ss.Spans.Events.TimeSinceStartNano",
    "rs.ss.Spans.Events.TimeUnixNano",
    "rs.ss.Spans.Events.DroppedAttributesCount",
    LINK_TRACE_ID,
    "rs.ss.Spans.Links.SpanID",
    "rs.ss.Spans.Links.TraceState",
    "rs.ss.Spans.Links.DroppedAttributesCount",
    "rs.ss.Spans.Links",
];

/// What Tempo's Parquet library calls itself.
const TEMPOS_WRITER: &str = "github.com/parquet-go/";

pub(super) const SPAN_ID: &str = "rs.ss.Spans.SpanID";
const EVENT_NAME: &str = "rs.ss.Spans.Events.Name";
const LINK_TRACE_ID: &str = "rs.ss.Spans.Links.TraceID";

/// Some rows of a row group that are to be read, see [`BlockReader::plan_traces`].
#[derive(Debug)]
pub struct TracesPlan {
    row_group: usize,
    first: u64,
    plan: RowsPlan,
    memory: u64,
}

impl TracesPlan {
    /// Bytes in memory of reading the traces, roughly.
    pub fn memory(&self) -> u64 {
        self.memory
    }
}

impl BlockReader {
    /// All traces of a row group, ids ascending.
    ///
    /// # Errors
    /// [`BlockError::Corrupt`](crate::BlockError::Corrupt) or the store's error.
    pub async fn traces(&self, row_group: usize, account: &Account) -> Result<Vec<(TraceId, TracesData)>> {
        let columns = self.trace_columns();
        let names: Vec<_> = columns.iter().map(String::as_str).collect();
        let fetched = self.fetch(row_group, &names, account);
        let (fetched, ()) = tokio::try_join!(fetched, self.load_extra(account))?;
        let traces = self.compute(move || Assembly::new(&fetched)?.traces()).await?;
        Ok(self.with_extra(row_group, 0, traces))
    }

    /// What it takes to read the traces of some rows of a row group: only the pages that touch them.
    ///
    /// # Errors
    /// As [`traces`](Self::traces).
    pub async fn plan_traces(
        &self,
        row_group: usize,
        rows: Range<u64>,
        account: &Account,
    ) -> Result<TracesPlan> {
        let columns = self.trace_columns();
        let names: Vec<_> = columns.iter().map(String::as_str).collect();
        let indexes = self.indexes(row_group, &names, None, account).await?;
        let first = rows.start;
        let plan = self.plan_rows(&indexes, &names, vec![rows])?;
        let memory = plan.memory(self, SPAN_ID);
        Ok(TracesPlan { row_group, first, plan, memory })
    }

    /// The traces that were planned to be read, ids ascending.
    ///
    /// # Errors
    /// As [`traces`](Self::traces).
    pub async fn read_traces(
        &self,
        plan: TracesPlan,
        account: &Account,
    ) -> Result<Vec<(TraceId, TracesData)>> {
        let TracesPlan { row_group, first, plan, memory: _ } = plan;
        let (fetched, ()) = tokio::try_join!(self.fetch_rows(plan, account), self.load_extra(account))?;
        let traces = self.compute(move || Assembly::new(&fetched)?.traces()).await?;
        Ok(self.with_extra(row_group, first, traces))
    }

    /// The traces of some rows of a row group, out of columns that were decoded already. Without what the sidecar has.
    ///
    /// # Errors
    /// [`BlockError::Corrupt`](crate::BlockError::Corrupt) when columns do not fit each other, or what `column` says.
    pub(crate) fn traces_of_columns(
        &self,
        row_group: usize,
        column: impl Fn(usize) -> Result<Column, Malformed>,
    ) -> Result<Vec<(TraceId, TracesData)>> {
        let mut decoded = HashMap::new();
        for name in self.trace_columns() {
            let Some(at) = self.column_named(&name) else { continue };
            decoded.insert(at, column(at).map_err(|error| self.damaged(&name, error))?);
        }
        Assembly::new(&Fetched::of_decoded(self, row_group, decoded))?.traces()
    }

    /// The trace at a place that [`locate`](Self::locate) found.
    ///
    /// # Errors
    /// [`BlockError::Corrupt`](crate::BlockError::Corrupt), also when another trace is there, or the store's error.
    pub async fn read_trace(&self, place: TracePlace, account: &Account) -> Result<TracesData> {
        let TracePlace { id, row_group, rows, plan, memory: _, window } = place;
        let reader = Self { window, ..self.clone() };
        let fetched = reader.fetch_rows(plan, account).await?;
        let traces = self.compute(move || Assembly::new(&fetched)?.traces()).await?;
        let mut traces = self.with_extra(row_group, rows.start, traces);
        if traces.is_empty() || traces.iter().any(|(found, _)| *found != id) {
            return Err(self.damaged("TraceID", Malformed::new("has another trace than its index says")));
        }
        match (traces.pop(), traces.is_empty()) {
            (Some((_, trace)), true) => Ok(trace),
            (last, _) => {
                let pieces = traces.into_iter().chain(last).map(|(_, piece)| piece);
                Ok(combine_traces(pieces.collect()))
            }
        }
    }

    /// Looks for the sidecar with what vParquet has no columns for, once a block. Tempo's own blocks have none.
    pub(crate) async fn load_extra(&self, account: &Account) -> Result<()> {
        let file = &self.inner.file;
        if file.footer.created_by.starts_with(TEMPOS_WRITER) {
            return Ok(());
        }
        let object = BlockObject::Sidecar(extra::OBJECT_NAME);
        let load = async || match self
            .inner
            .store
            .read_cached(&self.inner.path, &object, (&self.inner.meta).into(), account)
            .await
        {
            Ok(bytes) => Extra::decode(&bytes).map(Some).map_err(|error| BlockError::Corrupt {
                block: self.inner.path.clone(),
                object: object.to_string(),
                what: error.to_string(),
            }),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        };
        let was_loaded = file.extra.initialized();
        let extra = file.extra.get_or_try_init(load).await?;
        if !was_loaded && extra.is_some() {
            // It weighs more than when it was put there.
            self.inner.store.keep_parsed(&self.inner.path, (&self.inner.meta).into(), file);
        }
        Ok(())
    }

    /// Adds what the sidecar has to traces that begin at a row of a row group.
    fn with_extra(
        &self,
        row_group: usize,
        row: u64,
        mut traces: Vec<(TraceId, TracesData)>,
    ) -> Vec<(TraceId, TracesData)> {
        if let Some(Some(extra)) = self.inner.file.extra.get() {
            let before: u64 = (0..row_group).map(|group| self.traces_in(group)).sum();
            let rows = before + row..;
            traces.iter_mut().zip(rows).for_each(|((_, trace), row)| extra.apply(row, trace));
        }
        traces
    }

    pub(super) fn trace_columns(&self) -> Vec<String> {
        let owners = [Owner::Resource, Owner::Scope, Owner::Span, Owner::Event, Owner::Link];
        let attributes = owners.into_iter().flat_map(|owner| attributes::columns(self, owner));
        COLUMNS.iter().map(|name| (*name).to_owned()).chain(attributes).collect()
    }
}

/// Columns of some rows, and where reading them stands. Every column is read once, from front to back.
struct Assembly {
    reader: BlockReader,
    ids: Placed,
    layers: Layers,
    resource: ResourceColumns,
    scope: ScopeColumns,
    span: SpanColumns,
    events: EventColumns,
    links: LinkColumns,
}

struct ResourceColumns {
    dropped: Option<Placed>,
    attributes: Attributes,
}

struct ScopeColumns {
    name: Placed,
    version: Placed,
    dropped: Option<Placed>,
    attributes: Attributes,
}

struct SpanColumns {
    id: Placed,
    parent: Placed,
    name: Placed,
    kind: Placed,
    trace_state: Placed,
    start: Placed,
    duration: Placed,
    status: Placed,
    status_message: Placed,
    dropped_attributes: Placed,
    dropped_events: Placed,
    dropped_links: Placed,
    attributes: Attributes,
}

struct EventColumns {
    layers: Layers,
    name: Placed,
    since_start: Option<Placed>,
    /// vParquet3 stores the time itself.
    time: Option<Placed>,
    dropped: Placed,
    attributes: EventAttributes,
}

/// vParquet3 stores an event attribute's value as protobuf (very old blocks: as JSON).
enum EventAttributes {
    Columns(Attributes),
    Encoded { layers: Layers, keys: Placed, values: Placed },
}

enum LinkColumns {
    Columns {
        layers: Box<Layers>,
        trace_id: Box<Placed>,
        span_id: Box<Placed>,
        trace_state: Box<Placed>,
        dropped: Box<Placed>,
        attributes: Box<Attributes>,
    },
    /// vParquet3: all links of a span as one protobuf message.
    Encoded(Box<Placed>),
}

/// The links of a span in vParquet3.
#[derive(Clone, PartialEq, Message)]
struct EncodedLinks {
    #[prost(message, repeated, tag = "1")]
    links: Vec<span::Link>,
}

impl Assembly {
    fn new(fetched: &Fetched) -> Result<Self> {
        let span = |leaf: &str| fetched.required(&format!("rs.ss.Spans.{leaf}"), level::SPAN);
        let (span_ids, layers) = fetched.required_in_layers(SPAN_ID, level::SPAN)?;
        let assembly = Self {
            reader: fetched.reader().clone(),
            ids: fetched.required("TraceID", level::TRACE)?,
            layers,
            resource: ResourceColumns {
                dropped: fetched.placed("rs.Resource.DroppedAttributesCount", level::RESOURCE)?,
                attributes: Attributes::new(fetched, Owner::Resource)?,
            },
            scope: ScopeColumns {
                name: fetched.required("rs.ss.Scope.Name", level::SCOPE)?,
                version: fetched.required("rs.ss.Scope.Version", level::SCOPE)?,
                dropped: fetched.placed("rs.ss.Scope.DroppedAttributesCount", level::SCOPE)?,
                attributes: Attributes::new(fetched, Owner::Scope)?,
            },
            span: SpanColumns {
                id: span_ids,
                parent: span("ParentSpanID")?,
                name: span("Name")?,
                kind: span("Kind")?,
                trace_state: span("TraceState")?,
                start: span("StartTimeUnixNano")?,
                duration: span("DurationNano")?,
                status: span("StatusCode")?,
                status_message: span("StatusMessage")?,
                dropped_attributes: span("DroppedAttributesCount")?,
                dropped_events: span("DroppedEventsCount")?,
                dropped_links: span("DroppedLinksCount")?,
                attributes: Attributes::new(fetched, Owner::Span)?,
            },
            events: EventColumns::new(fetched)?,
            links: LinkColumns::new(fetched)?,
        };
        assembly.check()?;
        Ok(assembly)
    }

    /// Required columns must have a value a row, or columns do not belong together.
    fn check(&self) -> Result<()> {
        let SpanColumns { id, parent, name, kind, trace_state, start, duration, status, .. } = &self.span;
        let rows = self.layers.rows(level::SPAN) as usize;
        let spans = [id, parent, name, kind, trace_state, start, duration, status];
        let scopes = self.layers.rows(level::SCOPE) as usize;
        let fits = spans.into_iter().all(|column| column.rows.len() == rows)
            && [&self.scope.name, &self.scope.version].into_iter().all(|column| column.rows.len() == scopes)
            && self.ids.rows.len() == self.layers.traces as usize;
        if fits {
            Ok(())
        } else {
            Err(self.reader.damaged("", Malformed::new("has columns of different lengths")))
        }
    }

    fn traces(mut self) -> Result<Vec<(TraceId, TracesData)>> {
        (0..self.layers.traces)
            .map(|trace| {
                let bytes = self.ids.bytes(trace as usize).to_vec();
                let id = TraceId::from_slice(&bytes).ok_or_else(|| {
                    self.reader.damaged("TraceID", Malformed::new("has an id that has not 16 bytes"))
                })?;
                let resources = self.layers.children(level::RESOURCE, trace);
                let resource_spans =
                    resources.map(|resource| self.resource_spans(resource, &bytes)).collect();
                Ok((id, TracesData { resource_spans }))
            })
            .collect()
    }

    fn resource_spans(&mut self, row: u32, trace_id: &[u8]) -> ResourceSpans {
        let resource = Resource {
            attributes: self.resource.attributes.of_row(row),
            dropped_attributes_count: optional_count(self.resource.dropped.as_ref(), row),
        };
        let scopes = self.layers.children(level::SCOPE, row);
        ResourceSpans {
            resource: Some(resource),
            scope_spans: scopes.map(|scope| self.scope_spans(scope, trace_id)).collect(),
            schema_url: String::new(),
        }
    }

    fn scope_spans(&mut self, row: u32, trace_id: &[u8]) -> ScopeSpans {
        let scope = InstrumentationScope {
            name: text(self.scope.name.bytes(row as usize)),
            version: text(self.scope.version.bytes(row as usize)),
            attributes: self.scope.attributes.of_row(row),
            dropped_attributes_count: optional_count(self.scope.dropped.as_ref(), row),
        };
        let spans = self.layers.children(level::SPAN, row);
        ScopeSpans {
            scope: Some(scope),
            spans: spans.map(|span| self.span(span, trace_id)).collect(),
            schema_url: String::new(),
        }
    }

    fn span(&mut self, row: u32, trace_id: &[u8]) -> Span {
        let at = row as usize;
        let attributes = self.span.attributes.of_row(row);
        let columns = &self.span;
        let start = columns.start.int(at) as u64;
        Span {
            trace_id: trace_id.to_vec(),
            span_id: columns.id.bytes(at).to_vec(),
            trace_state: text(columns.trace_state.bytes(at)),
            parent_span_id: columns.parent.bytes(at).to_vec(),
            name: text(columns.name.bytes(at)),
            kind: columns.kind.int(at) as i32,
            start_time_unix_nano: start,
            end_time_unix_nano: start.wrapping_add(columns.duration.int(at) as u64),
            attributes,
            dropped_attributes_count: columns.dropped_attributes.int(at) as u32,
            events: self.events.of_span(row, start),
            dropped_events_count: columns.dropped_events.int(at) as u32,
            links: self.links.of_span(row),
            dropped_links_count: columns.dropped_links.int(at) as u32,
            status: Some(Status {
                message: text(columns.status_message.bytes(at)),
                code: columns.status.int(at) as i32,
            }),
            flags: 0,
        }
    }
}

/// A count in a column that vParquet3 does not have.
fn optional_count(column: Option<&Placed>, row: u32) -> u32 {
    column.map_or(0, |column| column.int(row as usize) as u32)
}

impl EventColumns {
    fn new(fetched: &Fetched) -> Result<Self> {
        let event = |leaf: &str| fetched.placed(&format!("rs.ss.Spans.Events.{leaf}"), level::EVENT);
        let (name, layers) = fetched.required_in_layers(EVENT_NAME, level::EVENT)?;
        Ok(Self {
            layers,
            name,
            since_start: event("TimeSinceStartNano")?,
            time: event("TimeUnixNano")?,
            dropped: fetched.required("rs.ss.Spans.Events.DroppedAttributesCount", level::EVENT)?,
            attributes: EventAttributes::new(fetched)?,
        })
    }

    fn of_span(&mut self, span: u32, start: u64) -> Vec<span::Event> {
        let events = self.layers.children(level::EVENT, span);
        events
            .map(|row| {
                let at = row as usize;
                let since_start = self.since_start.as_ref().map(|times| times.int(at) as u64);
                let time = self.time.as_ref().map_or(0, |times| times.int(at) as u64);
                span::Event {
                    time_unix_nano: since_start.map_or(time, |since| start.wrapping_add(since)),
                    name: text(self.name.bytes(at)),
                    attributes: self.attributes.of_event(row),
                    dropped_attributes_count: self.dropped.int(at) as u32,
                }
            })
            .collect()
    }
}

impl EventAttributes {
    fn new(fetched: &Fetched) -> Result<Self> {
        if fetched.reader().meta().version != crate::BlockVersion::VParquet3 {
            return Attributes::new(fetched, Owner::Event).map(Self::Columns);
        }
        let (keys, layers) = fetched.required_in_layers("rs.ss.Spans.Events.Attrs.Key", level::EVENT + 1)?;
        Ok(Self::Encoded {
            layers,
            keys,
            values: fetched.required("rs.ss.Spans.Events.Attrs.Value", level::EVENT + 1)?,
        })
    }

    fn of_event(&mut self, row: u32) -> Vec<KeyValue> {
        match self {
            Self::Columns(attributes) => attributes.of_row(row),
            Self::Encoded { layers, keys, values } => {
                let attributes = layers.children(level::EVENT + 1, row);
                attributes
                    .map(|attribute| KeyValue {
                        key: text(keys.bytes(attribute as usize)),
                        value: Some(encoded_value(values.bytes(attribute as usize))),
                    })
                    .collect()
            }
        }
    }
}

/// A value that is neither protobuf nor JSON is given as the text it is.
fn encoded_value(bytes: &[u8]) -> AnyValue {
    AnyValue::decode(bytes)
        .ok()
        .or_else(|| serde_json::from_slice(bytes).ok())
        .unwrap_or_else(|| AnyValue { value: Some(Value::StringValue(text(bytes))) })
}

impl LinkColumns {
    fn new(fetched: &Fetched) -> Result<Self> {
        if let Some(encoded) = fetched.placed("rs.ss.Spans.Links", level::SPAN)? {
            return Ok(Self::Encoded(Box::new(encoded)));
        }
        let link = |leaf: &str| fetched.required(&format!("rs.ss.Spans.Links.{leaf}"), level::LINK);
        let (trace_id, layers) = fetched.required_in_layers(LINK_TRACE_ID, level::LINK)?;
        Ok(Self::Columns {
            layers: Box::new(layers),
            trace_id: Box::new(trace_id),
            span_id: Box::new(link("SpanID")?),
            trace_state: Box::new(link("TraceState")?),
            dropped: Box::new(link("DroppedAttributesCount")?),
            attributes: Box::new(Attributes::new(fetched, Owner::Link)?),
        })
    }

    fn of_span(&mut self, span: u32) -> Vec<span::Link> {
        match self {
            Self::Encoded(encoded) => {
                EncodedLinks::decode(encoded.bytes(span as usize)).unwrap_or_default().links
            }
            Self::Columns { layers, trace_id, span_id, trace_state, dropped, attributes } => {
                let links = layers.children(level::LINK, span);
                links
                    .map(|row| span::Link {
                        trace_id: trace_id.bytes(row as usize).to_vec(),
                        span_id: span_id.bytes(row as usize).to_vec(),
                        trace_state: text(trace_state.bytes(row as usize)),
                        attributes: attributes.of_row(row),
                        dropped_attributes_count: dropped.int(row as usize) as u32,
                        flags: 0,
                    })
                    .collect()
            }
        }
    }
}
