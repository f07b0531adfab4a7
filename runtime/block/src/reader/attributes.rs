//! Attributes of resources, scopes, spans, events and links, put back together from generic,
//! dedicated and promoted columns.

use std::ops::Range;

use tempoform_wire::otlp::{AnyValue, ArrayValue, KeyValue, any_value::Value};

use super::parquet::column::Values;
use super::placed::{Layers, Placed};
use super::{Fetched, level};
use crate::dedicated::{DedicatedScope, HTTP_STATUS_CODE, PROMOTED_RESOURCE, PROMOTED_SPAN, SERVICE_NAME};
use crate::error::Result;
use crate::meta::BlockVersion;

/// Who has attributes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Owner {
    Resource,
    Scope,
    Span,
    Event,
    Link,
}

impl Owner {
    /// The group of columns that belongs to it.
    pub(crate) fn group(self) -> &'static str {
        match self {
            Self::Resource => "rs.Resource",
            Self::Scope => "rs.ss.Scope",
            Self::Span => "rs.ss.Spans",
            Self::Event => "rs.ss.Spans.Events",
            Self::Link => "rs.ss.Spans.Links",
        }
    }

    /// The level of its rows.
    pub(crate) fn level(self) -> u8 {
        match self {
            Self::Resource => level::RESOURCE,
            Self::Scope => level::SCOPE,
            Self::Span => level::SPAN,
            Self::Event => level::EVENT,
            Self::Link => level::LINK,
        }
    }

    pub(crate) fn dedicated_scope(self) -> Option<DedicatedScope> {
        match self {
            Self::Resource => Some(DedicatedScope::Resource),
            Self::Span => Some(DedicatedScope::Span),
            Self::Event => Some(DedicatedScope::Event),
            Self::Scope | Self::Link => None,
        }
    }

    /// Keys with a column of their own in this block and the column's name, promoted and dedicated.
    pub(crate) fn own_columns(self, reader: &super::BlockReader) -> Vec<(String, String)> {
        let schema = &reader.inner.file.schema;
        let dedicated = self
            .dedicated_scope()
            .map(|scope| schema.dedicated(&reader.inner.meta.dedicated_columns, scope))
            .unwrap_or_default();
        let promoted: Vec<(&str, &str)> = match self {
            Self::Resource => PROMOTED_RESOURCE.into_iter().chain([(SERVICE_NAME, "ServiceName")]).collect(),
            Self::Span => PROMOTED_SPAN.into_iter().chain([(HTTP_STATUS_CODE, "HttpStatusCode")]).collect(),
            Self::Scope | Self::Event | Self::Link => Vec::new(),
        };
        let promoted =
            promoted.into_iter().map(|(key, name)| (key.to_owned(), format!("{}.{name}", self.group())));
        dedicated.into_iter().chain(promoted.filter(|(_, name)| schema.find(name).is_some())).collect()
    }
}

/// Leaves of a generic attribute group.
const GENERIC: [&str; 9] = [
    "Key",
    "IsArray",
    "Value",
    "ValueInt",
    "ValueDouble",
    "ValueBool",
    "ValueUnsupported",
    "ValueArray",
    "ValueKVList",
];

/// Names of all columns that hold attributes of `owner`.
pub(super) fn columns(reader: &super::BlockReader, owner: Owner) -> Vec<String> {
    let generic = GENERIC.iter().map(|leaf| format!("{}.Attrs.{leaf}", owner.group()));
    generic.chain(owner.own_columns(reader).into_iter().map(|(_, column)| column)).collect()
}

/// The attributes of one kind of owner, read row by row in order.
pub(super) struct Attributes {
    generic: Option<Generic>,
    own: Vec<(String, Cursor)>,
}

struct Cursor {
    placed: Placed,
    at: usize,
}

impl Cursor {
    fn next(&mut self, row: u32) -> Range<usize> {
        self.placed.advance(&mut self.at, row)
    }
}

/// The generic group: a row an attribute.
struct Generic {
    /// Attribute rows by owner row.
    layers: Layers,
    level: u8,
    keys: Placed,
    is_array: Option<Cursor>,
    scalars: Vec<Cursor>,
    /// Values as protobuf JSON.
    json: Vec<Cursor>,
    /// An attribute without any value: vParquet4 has it without value, vParquet5 not at all.
    keeps_empty: bool,
}

impl Attributes {
    pub(super) fn new(fetched: &Fetched, owner: Owner) -> Result<Self> {
        let mut own = Vec::new();
        for (key, column) in owner.own_columns(fetched.reader()) {
            if let Some(placed) = fetched.placed(&column, owner.level())? {
                own.push((key, Cursor { placed, at: 0 }));
            }
        }
        Ok(Self { generic: Generic::new(fetched, owner)?, own })
    }

    /// The attributes of an owner's row; rows are asked for in order.
    pub(super) fn of_row(&mut self, row: u32) -> Vec<KeyValue> {
        let mut attributes = Vec::new();
        if let Some(generic) = &mut self.generic {
            generic.append(row, &mut attributes);
        }
        for (key, cursor) in &mut self.own {
            let range = cursor.next(row);
            let value = own_value(&cursor.placed, range);
            // A missing service name is stored as an empty one: the column is required.
            let missing = key == SERVICE_NAME && value == Some(Value::StringValue(String::new()));
            if let Some(value) = value.filter(|_| !missing) {
                attributes.push(KeyValue { key: key.clone(), value: Some(AnyValue { value: Some(value) }) });
            }
        }
        attributes
    }
}

/// No value, one, or an array.
fn own_value(placed: &Placed, range: Range<usize>) -> Option<Value> {
    match range.len() {
        0 => None,
        1 => scalar(placed, range.start),
        _ => Some(array(placed, range)),
    }
}

fn scalar(placed: &Placed, position: usize) -> Option<Value> {
    Some(match &placed.values {
        Values::Strings(strings) => Value::StringValue(text(strings.value(position))),
        Values::Ints(ints) => Value::IntValue(*ints.get(position)?),
        Values::Doubles(doubles) => Value::DoubleValue(*doubles.get(position)?),
        Values::Bools(bools) => Value::BoolValue(*bools.get(position)?),
    })
}

fn array(placed: &Placed, range: Range<usize>) -> Value {
    let values = range.map(|position| AnyValue { value: scalar(placed, position) }).collect();
    Value::ArrayValue(ArrayValue { values })
}

pub(super) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

impl Generic {
    fn new(fetched: &Fetched, owner: Owner) -> Result<Option<Self>> {
        let level = owner.level() + 1;
        let name = |leaf: &str| format!("{}.Attrs.{leaf}", owner.group());
        let Some((keys, layers)) = fetched.placed_in_layers(&name("Key"), level)? else { return Ok(None) };
        let cursor = |leaf: &str| -> Result<Option<Cursor>> {
            Ok(fetched.placed(&name(leaf), level)?.map(|placed| Cursor { placed, at: 0 }))
        };
        let cursors = |leaves: &[&str]| -> Result<Vec<Cursor>> {
            leaves.iter().filter_map(|leaf| cursor(leaf).transpose()).collect()
        };
        Ok(Some(Self {
            layers,
            level,
            keys,
            is_array: cursor("IsArray")?,
            scalars: cursors(&["Value", "ValueInt", "ValueDouble", "ValueBool"])?,
            json: cursors(&["ValueUnsupported", "ValueArray", "ValueKVList"])?,
            keeps_empty: fetched.reader().meta().version != BlockVersion::VParquet5,
        }))
    }

    fn append(&mut self, owner_row: u32, out: &mut Vec<KeyValue>) {
        for row in self.layers.children(self.level, owner_row) {
            let value = self.value(row);
            if value.is_none() && !self.keeps_empty {
                continue;
            }
            let key = text(self.keys.bytes(row as usize));
            out.push(KeyValue { key, value: Some(AnyValue { value }) });
        }
    }

    fn value(&mut self, row: u32) -> Option<Value> {
        let is_array = self.is_array.as_mut().is_some_and(|cursor| {
            let range = cursor.next(row);
            matches!(&cursor.placed.values, Values::Bools(bools) if bools[range].first() == Some(&true))
        });
        let mut found = None;
        for cursor in &mut self.scalars {
            let range = cursor.next(row);
            if found.is_none() && !range.is_empty() {
                found = if is_array {
                    Some(array(&cursor.placed, range))
                } else {
                    scalar(&cursor.placed, range.start)
                };
            }
        }
        let json = self.json.iter_mut().filter_map(|cursor| {
            let range = cursor.next(row);
            // vParquet3 has empty text in the column that does not apply.
            let json = cursor.placed.bytes(range.start);
            (!range.is_empty() && !json.is_empty()).then(|| json.to_vec())
        });
        let json = json.last();
        if is_array {
            return Some(found.unwrap_or(Value::ArrayValue(ArrayValue::default())));
        }
        found.or_else(|| serde_json::from_slice::<AnyValue>(&json?).ok()?.value)
    }
}
