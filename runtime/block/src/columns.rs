//! A row group as the columns a query asks for.

use std::collections::{HashMap, HashSet};

use tempoform_core::Account;
use tempoform_traceql::{
    AttributeScope, Batch, Column, Field, Intrinsic, Kind, Layout, Level, Sparse, Status, Types,
    format_duration,
};

use crate::dedicated::SERVICE_NAME;
use crate::error::Result;
use crate::reader::{BlockReader, Fetched, Owner, Placed, Values, level};

/// Columns of spans that every format has: the smallest one tells how rows hang together.
const SPAN_COLUMNS: [&str; 4] = [
    "rs.ss.Spans.StatusCode",
    "rs.ss.Spans.Kind",
    "rs.ss.Spans.DroppedAttributesCount",
    "rs.ss.Spans.NestedSetLeft",
];
const EVENT_NAME: &str = "rs.ss.Spans.Events.Name";
const LINK_TRACE_ID: &str = "rs.ss.Spans.Links.TraceID";

/// Attributes of which it is known that a row group's generic attributes do not have them.
pub(crate) type Absent = HashSet<(Owner, String)>;

impl BlockReader {
    /// The columns of `fields` in a row group. Only their Parquet columns are fetched, at once.
    ///
    /// # Errors
    /// [`BlockError::Corrupt`](crate::BlockError::Corrupt) or the store's error.
    pub async fn batch(&self, row_group: usize, fields: &[Field], account: &Account) -> Result<Batch> {
        let reads: Vec<_> = fields.iter().map(|field| (field.clone(), Types::ALL)).collect();
        self.run(Plan::new(self, row_group, &reads, &Absent::new()), row_group, account).await
    }

    /// As [`batch`](Self::batch) for one field, but with what stands in the block for a missing service
    /// name: an empty one, which Tempo lists among the values.
    pub(crate) async fn stored_values(
        &self,
        row_group: usize,
        field: &Field,
        account: &Account,
    ) -> Result<Batch> {
        let mut plan = Plan::new(self, row_group, &[(field.clone(), Types::ALL)], &Absent::new());
        plan.empty_service_is_missing = false;
        self.run(plan, row_group, account).await
    }

    pub(crate) async fn run(&self, plan: Plan, row_group: usize, account: &Account) -> Result<Batch> {
        let fetched = self.fetch(row_group, &plan.names(), account).await?;
        self.compute(move || plan.decode(&fetched)).await
    }

    /// As [`run`](Self::run) for some rows, whose number in the batch is their position: only the pages that hold
    /// them are fetched.
    pub(crate) async fn run_on_rows(
        &self,
        plan: Plan,
        row_group: usize,
        rows: &[u32],
        account: &Account,
    ) -> Result<Batch> {
        let fetched = self.fetch_some(row_group, &plan.names(), rows, account).await?;
        self.compute(move || plan.decode(&fetched)).await
    }

    /// Bytes that decoding `fields` of a row group takes in memory, roughly.
    pub fn memory_of(&self, row_group: usize, fields: &[Field]) -> u64 {
        let reads: Vec<_> = fields.iter().map(|field| (field.clone(), Types::ALL)).collect();
        self.memory_of_columns(row_group, &Plan::new(self, row_group, &reads, &Absent::new()).names())
    }
}

/// Which Parquet columns answer which fields.
pub(crate) struct Plan {
    columns: Vec<String>,
    layout: &'static str,
    intrinsics: Vec<(Field, Source)>,
    attributes: Vec<(Owner, Vec<String>)>,
    needs_events: bool,
    needs_links: bool,
    empty_service_is_missing: bool,
}

/// The Parquet column of an intrinsic.
#[derive(Clone, Copy)]
pub(crate) struct Source {
    pub(crate) column: &'static str,
    level: Level,
    form: Form,
}

impl Source {
    /// Whose column it is.
    pub(crate) fn owner(self) -> Owner {
        owner_of_level(self.level)
    }

    /// Whether strings are stored as queries see them.
    pub(crate) fn is_plain_text(self) -> bool {
        self.form == Form::AsIs
    }
}

/// How stored values become those of the query language.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    AsIs,
    /// Ids of spans: 16 hex digits; an empty id stays empty.
    SpanId,
    /// Ids of linked traces: hex as stored.
    Hex,
    /// Ids of traces: hex without leading zeros.
    ShortHex,
}

pub(crate) fn source(intrinsic: Intrinsic) -> Source {
    use Form::{AsIs, Hex, ShortHex, SpanId};
    let (column, level, form) = match intrinsic {
        Intrinsic::Duration => ("rs.ss.Spans.DurationNano", Level::Span, AsIs),
        Intrinsic::Name => ("rs.ss.Spans.Name", Level::Span, AsIs),
        Intrinsic::Status => ("rs.ss.Spans.StatusCode", Level::Span, AsIs),
        Intrinsic::StatusMessage => ("rs.ss.Spans.StatusMessage", Level::Span, AsIs),
        Intrinsic::Kind => ("rs.ss.Spans.Kind", Level::Span, AsIs),
        Intrinsic::SpanId => ("rs.ss.Spans.SpanID", Level::Span, SpanId),
        Intrinsic::ParentId => ("rs.ss.Spans.ParentSpanID", Level::Span, SpanId),
        Intrinsic::ChildCount => ("rs.ss.Spans.ChildCount", Level::Span, AsIs),
        Intrinsic::RootName => ("RootSpanName", Level::Trace, AsIs),
        Intrinsic::RootService => ("RootServiceName", Level::Trace, AsIs),
        Intrinsic::TraceDuration => ("DurationNano", Level::Trace, AsIs),
        Intrinsic::TraceId => ("TraceID", Level::Trace, ShortHex),
        Intrinsic::EventName => (EVENT_NAME, Level::Event, AsIs),
        Intrinsic::EventTimeSinceStart => ("rs.ss.Spans.Events.TimeSinceStartNano", Level::Event, AsIs),
        Intrinsic::LinkTraceId => (LINK_TRACE_ID, Level::Link, Hex),
        Intrinsic::LinkSpanId => ("rs.ss.Spans.Links.SpanID", Level::Link, SpanId),
        Intrinsic::InstrumentationName => ("rs.ss.Scope.Name", Level::Scope, AsIs),
        Intrinsic::InstrumentationVersion => ("rs.ss.Scope.Version", Level::Scope, AsIs),
        Intrinsic::NestedSetLeft => ("rs.ss.Spans.NestedSetLeft", Level::Span, AsIs),
        Intrinsic::NestedSetRight => ("rs.ss.Spans.NestedSetRight", Level::Span, AsIs),
        Intrinsic::NestedSetParent => ("rs.ss.Spans.ParentID", Level::Span, AsIs),
    };
    Source { column, level, form }
}

pub(crate) fn owner(scope: AttributeScope) -> Owner {
    match scope {
        AttributeScope::Span => Owner::Span,
        AttributeScope::Resource => Owner::Resource,
        AttributeScope::Event => Owner::Event,
        AttributeScope::Link => Owner::Link,
        AttributeScope::Instrumentation => Owner::Scope,
    }
}

fn scope(owner: Owner) -> (AttributeScope, Level) {
    match owner {
        Owner::Span => (AttributeScope::Span, Level::Span),
        Owner::Resource => (AttributeScope::Resource, Level::Resource),
        Owner::Event => (AttributeScope::Event, Level::Event),
        Owner::Link => (AttributeScope::Link, Level::Link),
        Owner::Scope => (AttributeScope::Instrumentation, Level::Scope),
    }
}

fn depth(level: Level) -> u8 {
    match level {
        Level::Trace => level::TRACE,
        Level::Resource => level::RESOURCE,
        Level::Scope => level::SCOPE,
        Level::Span => level::SPAN,
        Level::Event => level::EVENT,
        Level::Link => level::LINK,
    }
}

fn owner_of_level(level: Level) -> Owner {
    match level {
        Level::Trace | Level::Span => Owner::Span,
        Level::Resource => Owner::Resource,
        Level::Scope => Owner::Scope,
        Level::Event => Owner::Event,
        Level::Link => Owner::Link,
    }
}

impl Plan {
    /// For `reads`; generic attributes are not looked into for those of `absent`.
    pub(crate) fn new(
        reader: &BlockReader,
        row_group: usize,
        reads: &[(Field, Types)],
        absent: &Absent,
    ) -> Self {
        let layout = SPAN_COLUMNS
            .into_iter()
            .min_by_key(|name| reader.stored_bytes(row_group, name))
            .unwrap_or(SPAN_COLUMNS[0]);
        let mut plan = Self {
            columns: vec![layout.to_owned()],
            layout,
            intrinsics: Vec::new(),
            attributes: Vec::new(),
            needs_events: false,
            needs_links: false,
            empty_service_is_missing: true,
        };
        for (field, types) in reads {
            match field {
                Field::Intrinsic(intrinsic) => plan.add_intrinsic(reader, field, source(*intrinsic)),
                Field::Attribute { scope, name } => {
                    plan.add_attribute(reader, owner(*scope), name, *types, absent);
                }
            }
        }
        if plan.needs_events {
            plan.columns.push(EVENT_NAME.to_owned());
        }
        if plan.needs_links {
            plan.columns.push(LINK_TRACE_ID.to_owned());
        }
        plan
    }

    /// The Parquet columns, some perhaps twice.
    pub(crate) fn names(&self) -> Vec<&str> {
        self.columns.iter().map(String::as_str).collect()
    }

    fn add_intrinsic(&mut self, reader: &BlockReader, field: &Field, source: Source) {
        // What is stored in a form that cannot be searched is as if it were not there.
        if !reader.searches(owner_of_level(source.level)) {
            return;
        }
        self.columns.push(source.column.to_owned());
        self.intrinsics.push((field.clone(), source));
        self.needs_rows_of(owner_of_level(source.level));
    }

    fn add_attribute(
        &mut self,
        reader: &BlockReader,
        owner: Owner,
        name: &str,
        types: Types,
        absent: &Absent,
    ) {
        if !reader.searches(owner) {
            return;
        }
        let known = self.attributes.iter_mut().find(|(known, _)| *known == owner);
        match known {
            Some((_, names)) => names.push(name.to_owned()),
            None => self.attributes.push((owner, vec![name.to_owned()])),
        }
        if !absent.contains(&(owner, name.to_owned())) {
            let leaves = generic_leaves(types);
            self.columns.extend(leaves.map(|leaf| format!("{}.Attrs.{leaf}", owner.group())));
        }
        let own = owner.own_columns(reader).into_iter().filter(|(key, _)| key == name);
        self.columns.extend(own.map(|(_, column)| column).filter(|column| reader.may_hold(column, types)));
        self.needs_rows_of(owner);
    }

    fn needs_rows_of(&mut self, owner: Owner) {
        self.needs_events |= owner == Owner::Event;
        self.needs_links |= owner == Owner::Link;
    }

    pub(crate) fn decode(&self, fetched: &Fetched) -> Result<Batch> {
        let mut columns = HashMap::new();
        for (field, source) in &self.intrinsics {
            if let Some(placed) = fetched.placed(source.column, depth(source.level))? {
                let mut column = Column::new(source.level);
                append(&mut column, placed, source.form);
                columns.insert(field.clone(), column);
            }
        }
        for (owner, names) in &self.attributes {
            let (scope, _) = scope(*owner);
            for (name, column) in names.iter().zip(self.attribute_columns(fetched, *owner, names)?) {
                columns.insert(Field::Attribute { scope, name: name.clone() }, column);
            }
        }
        Ok(Batch { layout: self.layout(fetched)?, columns })
    }

    fn layout(&self, fetched: &Fetched) -> Result<Layout> {
        let mut layers = fetched.layers(self.layout, level::SPAN)?;
        let mut layout = Layout { traces: layers.traces, ..Layout::default() };
        let mut take = |level: u8| std::mem::take(&mut layers.parents[usize::from(level) - 1]);
        layout.trace_of_resource = take(level::RESOURCE);
        layout.resource_of_scope = take(level::SCOPE);
        layout.scope_of_span = take(level::SPAN);
        if self.needs_events {
            layout.span_of_event =
                fetched.layers(EVENT_NAME, level::EVENT)?.parents_of(level::EVENT).to_vec();
        }
        if self.needs_links {
            layout.span_of_link =
                fetched.layers(LINK_TRACE_ID, level::LINK)?.parents_of(level::LINK).to_vec();
        }
        Ok(layout)
    }

    /// The columns of some attributes of one owner, in the order of `names`.
    fn attribute_columns(&self, fetched: &Fetched, owner: Owner, names: &[String]) -> Result<Vec<Column>> {
        let (_, level) = scope(owner);
        let mut parts: Vec<Parts> = names.iter().map(|_| Parts::default()).collect();
        for (key, column) in owner.own_columns(fetched.reader()) {
            for (name, parts) in names.iter().zip(&mut parts).filter(|(name, _)| **name == key) {
                if let Some(placed) = fetched.placed(&column, owner.level())? {
                    parts.add_own(&placed, self.empty_service_is_missing && name == SERVICE_NAME);
                }
            }
        }
        add_generic(fetched, owner, names, &mut parts)?;
        Ok(parts.into_iter().map(|parts| parts.into_column(level)).collect())
    }
}

/// The leaves of a generic group for values of `types`.
fn generic_leaves(types: Types) -> impl Iterator<Item = &'static str> {
    let leaves = [
        ("Key", true),
        ("Value", types.strings),
        ("ValueInt", types.ints),
        ("ValueDouble", types.floats),
        ("ValueBool", types.bools),
    ];
    leaves.into_iter().filter(|(_, wanted)| *wanted).map(|(leaf, _)| leaf)
}

/// Adds a whole Parquet column.
fn append(column: &mut Column, placed: Placed, form: Form) {
    let Placed { rows, values } = placed;
    match values {
        Values::Ints(values) => column.ints = Sparse { rows, values },
        Values::Doubles(values) => column.floats = Sparse { rows, values },
        Values::Bools(values) => column.bools = Sparse { rows, values },
        Values::Strings(strings) => {
            let entries = (0..strings.entries() as u32).map(|id| render(strings.entry(id), form));
            column.strings.dictionary = entries.collect();
            column.strings.ids = Sparse { rows, values: strings.ids };
        }
    }
}

fn render(bytes: &[u8], form: Form) -> String {
    match form {
        Form::AsIs => String::from_utf8_lossy(bytes).into_owned(),
        Form::SpanId if bytes.is_empty() => String::new(),
        Form::SpanId => format!("{:0>16}", hex::encode(bytes)),
        Form::Hex => hex::encode(bytes),
        Form::ShortHex => {
            let hex = hex::encode(bytes);
            let short = hex.trim_start_matches('0');
            if short.is_empty() { "0".to_owned() } else { short.to_owned() }
        }
    }
}

/// Values of one attribute gathered from several columns, not yet in row order.
#[derive(Default)]
struct Parts {
    dictionary: Vec<String>,
    strings: Vec<(u32, u32)>,
    ints: Vec<(u32, i64)>,
    floats: Vec<(u32, f64)>,
    bools: Vec<(u32, bool)>,
}

impl Parts {
    /// A column that holds this attribute alone.
    fn add_own(&mut self, placed: &Placed, empty_is_missing: bool) {
        let rows = placed.rows.iter().copied();
        match &placed.values {
            Values::Ints(values) => self.ints.extend(rows.zip(values.iter().copied())),
            Values::Doubles(values) => self.floats.extend(rows.zip(values.iter().copied())),
            Values::Bools(values) => self.bools.extend(rows.zip(values.iter().copied())),
            Values::Strings(strings) => {
                let base = self.dictionary.len() as u32;
                let entries = (0..strings.entries() as u32).map(|id| render(strings.entry(id), Form::AsIs));
                self.dictionary.extend(entries);
                let is_there = |id: u32| !empty_is_missing || !strings.entry(id).is_empty();
                let kept = rows.zip(&strings.ids).filter(|(_, id)| is_there(**id));
                self.strings.extend(kept.map(|(row, id)| (row, base + id)));
            }
        }
    }

    fn into_column(self, level: Level) -> Column {
        let mut column = Column::new(level);
        column.strings.dictionary = self.dictionary;
        column.strings.ids = in_row_order(self.strings);
        column.ints = in_row_order(self.ints);
        column.floats = in_row_order(self.floats);
        column.bools = in_row_order(self.bools);
        column
    }
}

/// A stable sort: the elements of an array keep their order.
fn in_row_order<T>(mut values: Vec<(u32, T)>) -> Sparse<T> {
    if !values.is_sorted_by_key(|(row, _)| *row) {
        values.sort_by_key(|(row, _)| *row);
    }
    let (rows, values) = values.into_iter().unzip();
    Sparse { rows, values }
}

/// An attribute of the generic group that was asked for.
struct Wanted {
    /// Its row among all attributes.
    row: u32,
    owner: u32,
    /// Position in the names asked for.
    name: usize,
}

/// Scans the generic attributes for `names`. Values are decoded only when a key occurs.
fn add_generic(fetched: &Fetched, owner: Owner, names: &[String], parts: &mut [Parts]) -> Result<()> {
    let column = |leaf: &str| format!("{}.Attrs.{leaf}", owner.group());
    let level = owner.level() + 1;
    let Some((keys, layers)) = fetched.placed_in_layers(&column("Key"), level)? else { return Ok(()) };
    let Some(strings) = keys.strings() else { return Ok(()) };
    let name_of_key: Vec<Option<usize>> = (0..strings.entries() as u32)
        .map(|id| names.iter().position(|name| name.as_bytes() == strings.entry(id)))
        .collect();
    if name_of_key.iter().all(Option::is_none) {
        return Ok(());
    }
    let owners = layers.parents_of(level);
    let wanted: Vec<_> = strings
        .ids
        .iter()
        .zip(&keys.rows)
        .filter_map(|(id, row)| {
            let name = name_of_key[*id as usize]?;
            Some(Wanted { row: *row, owner: owners.get(*row as usize).copied()?, name })
        })
        .collect();
    for leaf in ["Value", "ValueInt", "ValueDouble", "ValueBool"] {
        if let Some(placed) = fetched.placed(&column(leaf), level)? {
            distribute(&placed, &wanted, parts);
        }
    }
    Ok(())
}

/// Hands the values of the wanted attributes to whom they belong. Both lists ascend by row.
fn distribute(placed: &Placed, wanted: &[Wanted], parts: &mut [Parts]) {
    let mut bases: Vec<Option<HashMap<u32, u32>>> = parts.iter().map(|_| None).collect();
    let mut at = 0;
    for Wanted { row, owner, name } in wanted {
        let range = placed.advance(&mut at, *row);
        let target = &mut parts[*name];
        match &placed.values {
            Values::Ints(values) => target.ints.extend(values[range].iter().map(|value| (*owner, *value))),
            Values::Doubles(values) => {
                target.floats.extend(values[range].iter().map(|value| (*owner, *value)))
            }
            Values::Bools(values) => target.bools.extend(values[range].iter().map(|value| (*owner, *value))),
            Values::Strings(strings) => {
                // Only the entries that this attribute uses get into its dictionary.
                let known = bases[*name].get_or_insert_default();
                for id in &strings.ids[range] {
                    let new_id = *known.entry(*id).or_insert_with(|| {
                        target.dictionary.push(render(strings.entry(*id), Form::AsIs));
                        target.dictionary.len() as u32 - 1
                    });
                    target.strings.push((*owner, new_id));
                }
            }
        }
    }
}

/// An integer value as the tag API shows it: type and text.
pub fn int_tag_value(field: &Field, value: i64) -> (&'static str, String) {
    match field {
        Field::Intrinsic(Intrinsic::Status) => ("keyword", Status::from_otlp(value).as_str().to_owned()),
        Field::Intrinsic(Intrinsic::Kind) => ("keyword", Kind::from_otlp(value).as_str().to_owned()),
        Field::Intrinsic(Intrinsic::Duration | Intrinsic::TraceDuration | Intrinsic::EventTimeSinceStart) => {
            ("duration", format_duration(value))
        }
        _ => ("int", value.to_string()),
    }
}
