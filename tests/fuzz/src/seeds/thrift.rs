//! Batches of Jaeger in Thrift, see the schema in Jaeger's `jaeger.thrift`.

use thrift::protocol::{
    TBinaryOutputProtocol, TCompactOutputProtocol, TFieldIdentifier, TListIdentifier, TMessageIdentifier,
    TMessageType, TOutputProtocol, TStructIdentifier, TType,
};

/// A value of Thrift.
enum Value<'a> {
    Text(&'a str),
    Bytes(&'a [u8]),
    Int(i32),
    Long(i64),
    Double(f64),
    Bool(bool),
    Struct(Vec<(i16, Value<'a>)>),
    List(Vec<Value<'a>>),
}

impl Value<'_> {
    const fn kind(&self) -> TType {
        match self {
            Self::Text(_) | Self::Bytes(_) => TType::String,
            Self::Int(_) => TType::I32,
            Self::Long(_) => TType::I64,
            Self::Double(_) => TType::Double,
            Self::Bool(_) => TType::Bool,
            Self::Struct(_) => TType::Struct,
            Self::List(_) => TType::List,
        }
    }

    fn write(&self, out: &mut dyn TOutputProtocol) -> thrift::Result<()> {
        match self {
            Self::Text(text) => out.write_string(text),
            Self::Bytes(bytes) => out.write_bytes(bytes),
            Self::Int(value) => out.write_i32(*value),
            Self::Long(value) => out.write_i64(*value),
            Self::Double(value) => out.write_double(*value),
            Self::Bool(value) => out.write_bool(*value),
            Self::Struct(fields) => {
                out.write_struct_begin(&TStructIdentifier::new(""))?;
                for (id, value) in fields {
                    out.write_field_begin(&TFieldIdentifier::new("", value.kind(), *id))?;
                    value.write(out)?;
                    out.write_field_end()?;
                }
                out.write_field_stop()?;
                out.write_struct_end()
            }
            Self::List(values) => {
                let kind = values.first().map_or(TType::Struct, Value::kind);
                out.write_list_begin(&TListIdentifier::new(kind, values.len() as i32))?;
                values.iter().try_for_each(|value| value.write(out))?;
                out.write_list_end()
            }
        }
    }
}

fn tags() -> Value<'static> {
    let tag =
        |key, kind, at, value| Value::Struct(vec![(1, Value::Text(key)), (2, Value::Int(kind)), (at, value)]);
    Value::List(vec![
        tag("span.kind", 0, 3, Value::Text("client")),
        tag("double", 1, 4, Value::Double(0.5)),
        tag("error", 2, 5, Value::Bool(true)),
        tag("long", 3, 6, Value::Long(-7)),
        tag("binary", 4, 7, Value::Bytes(b"\xff\0")),
    ])
}

fn batch() -> Value<'static> {
    let reference = Value::Struct(vec![
        (1, Value::Int(1)),
        (2, Value::Long(1)),
        (3, Value::Long(0)),
        (4, Value::Long(9)),
    ]);
    let log = Value::Struct(vec![(1, Value::Long(5)), (2, tags())]);
    let span = Value::Struct(vec![
        (1, Value::Long(1)),
        (2, Value::Long(2)),
        (3, Value::Long(3)),
        (4, Value::Long(4)),
        (5, Value::Text("operation")),
        (6, Value::List(vec![reference])),
        (7, Value::Int(1)),
        (8, Value::Long(1_700_000_000_000_000)),
        (9, Value::Long(1000)),
        (10, tags()),
        (11, Value::List(vec![log])),
    ]);
    let process = Value::Struct(vec![(1, Value::Text("shop")), (2, tags())]);
    Value::Struct(vec![(1, process), (2, Value::List(vec![span]))])
}

fn emit(out: &mut dyn TOutputProtocol) -> thrift::Result<()> {
    out.write_message_begin(&TMessageIdentifier::new("emitBatch", TMessageType::OneWay, 1))?;
    Value::Struct(vec![(1, batch())]).write(out)?;
    out.write_message_end()
}

const WRITES: &str = "memory can be written to";

pub(crate) fn jaeger_thrift() -> Vec<Vec<u8>> {
    let mut bytes = Vec::new();
    batch().write(&mut TBinaryOutputProtocol::new(&mut bytes, true)).expect(WRITES);
    vec![bytes]
}

pub(crate) fn jaeger_binary() -> Vec<Vec<u8>> {
    let written = |is_strict| {
        let mut bytes = Vec::new();
        emit(&mut TBinaryOutputProtocol::new(&mut bytes, is_strict)).expect(WRITES);
        bytes
    };
    vec![written(true), written(false)]
}

pub(crate) fn jaeger_compact() -> Vec<Vec<u8>> {
    let mut bytes = Vec::new();
    emit(&mut TCompactOutputProtocol::new(&mut bytes)).expect(WRITES);
    vec![bytes]
}
