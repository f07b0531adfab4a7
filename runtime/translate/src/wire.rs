//! Reads protobuf field by field, so that a field takes memory only after it was paid for.

use tempoform_core::protobuf::{Fields, Value};

use crate::fault::Fault;
use crate::memory::Memory;

/// Hands each field of a message to `take`.
pub(crate) fn each<'a>(
    body: &'a [u8],
    mut take: impl FnMut(u32, Value<'a>) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let mut fields = Fields::new(body);
    while let Some((number, value)) = fields.next_field().map_err(|error| Fault::new(error.to_string()))? {
        take(number, value)?;
    }
    Ok(())
}

pub(crate) fn text(value: Value<'_>, name: &str, memory: &mut Memory) -> Result<String, Fault> {
    let bytes = bytes(value, name)?;
    let text = std::str::from_utf8(bytes).map_err(|_| Fault::new("is not UTF-8").within(name))?;
    memory.take(text.len())?;
    Ok(text.to_owned())
}

pub(crate) fn bytes<'a>(value: Value<'a>, name: &str) -> Result<&'a [u8], Fault> {
    match value {
        Value::Bytes(bytes) => Ok(bytes),
        _ => Err(wrong_type(name)),
    }
}

pub(crate) fn varint(value: Value<'_>, name: &str) -> Result<u64, Fault> {
    match value {
        Value::Varint(number) => Ok(number),
        _ => Err(wrong_type(name)),
    }
}

pub(crate) fn fixed64(value: Value<'_>, name: &str) -> Result<u64, Fault> {
    match value {
        Value::Fixed64(number) => Ok(number),
        _ => Err(wrong_type(name)),
    }
}

/// A trace id of 8 or 16 bytes, filled up with zeros on the left.
pub(crate) fn trace_id(value: Value<'_>, name: &str) -> Result<[u8; 16], Fault> {
    let bytes = bytes(value, name)?;
    let mut id = [0; 16];
    match bytes.len() {
        8 => id[8..].copy_from_slice(bytes),
        16 => id.copy_from_slice(bytes),
        found => return Err(Fault::new(format!("must be 8 or 16 bytes, found {found}")).within(name)),
    }
    Ok(id)
}

/// A span id of 8 bytes.
pub(crate) fn span_id(value: Value<'_>, name: &str) -> Result<[u8; 8], Fault> {
    let bytes = bytes(value, name)?;
    bytes.try_into().map_err(|_| Fault::new(format!("must be 8 bytes, found {}", bytes.len())).within(name))
}

fn wrong_type(name: &str) -> Fault {
    Fault::new("has the wrong wire type").within(name)
}
