//! Reads `jaeger.api_v2.PostSpansRequest`.

use tempoform_core::protobuf::Value as Field;
use tempoform_wire::otlp::KeyValue;
use tempoform_wire::otlp::any_value::Value;

use super::{
    Batch, LOG_MEMORY, Log, Process, REFERENCE_MEMORY, Reference, ReferenceKind, SPAN_MEMORY, Span,
    unix_nanos,
};
use crate::attributes::attribute;
use crate::fault::Fault;
use crate::memory::Memory;
use crate::wire;

type Result<T> = std::result::Result<T, Fault>;

pub(crate) fn request(body: &[u8], memory: &mut Memory) -> Result<Batch> {
    let mut batch = Batch::default();
    wire::each(body, |number, value| match number {
        1 => read_batch(wire::bytes(value, "batch")?, &mut batch, memory).map_err(|at| at.within("batch")),
        _ => Ok(()),
    })?;
    Ok(batch)
}

fn read_batch(body: &[u8], batch: &mut Batch, memory: &mut Memory) -> Result<()> {
    wire::each(body, |number, value| {
        match number {
            1 => push("spans", value, &mut batch.spans, SPAN_MEMORY, memory, span)?,
            2 => batch.process = Some(read_process(value, memory)?),
            _ => {}
        }
        Ok(())
    })
}

fn read_process(value: Field<'_>, memory: &mut Memory) -> Result<Process> {
    let mut process = Process::default();
    wire::each(wire::bytes(value, "process")?, |number, value| {
        match number {
            1 => process.service_name = wire::text(value, "service_name", memory)?,
            2 => push("tags", value, &mut process.tags, size_of::<KeyValue>(), memory, key_value)?,
            _ => {}
        }
        Ok(())
    })
    .map_err(|at| at.within("process"))?;
    Ok(process)
}

fn span(body: &[u8], memory: &mut Memory) -> Result<Span> {
    let mut span = Span::default();
    let (mut trace_id, mut span_id) = (None, None);
    let (mut start, mut duration) = (0, 0);
    wire::each(body, |number, value| {
        match number {
            1 => trace_id = Some(wire::trace_id(value, "trace_id")?),
            2 => span_id = Some(wire::span_id(value, "span_id")?),
            3 => span.operation_name = wire::text(value, "operation_name", memory)?,
            4 => push("references", value, &mut span.references, REFERENCE_MEMORY, memory, reference)?,
            // As a 32 bit number, whatever it was written as.
            5 => span.flags = wire::varint(value, "flags")? as u32,
            6 => start = nanos(value, "start_time")?,
            7 => duration = nanos(value, "duration")?,
            8 => push("tags", value, &mut span.tags, size_of::<KeyValue>(), memory, key_value)?,
            9 => push("logs", value, &mut span.logs, LOG_MEMORY, memory, log)?,
            10 => span.process = Some(read_process(value, memory)?),
            _ => {}
        }
        Ok(())
    })?;
    span.trace_id = trace_id.ok_or_else(|| Fault::missing("trace_id"))?;
    span.span_id = span_id.ok_or_else(|| Fault::missing("span_id"))?;
    span.start = unix_nanos(start, "start_time")?;
    span.end = unix_nanos(start + duration, "start_time + duration")?;
    Ok(span)
}

fn reference(body: &[u8], _: &mut Memory) -> Result<Reference> {
    let (mut trace_id, mut span_id, mut kind) = (None, None, ReferenceKind::default());
    wire::each(body, |number, value| {
        match number {
            1 => trace_id = Some(wire::trace_id(value, "trace_id")?),
            2 => span_id = Some(wire::span_id(value, "span_id")?),
            3 => kind = ReferenceKind::of(wire::varint(value, "ref_type")?),
            _ => {}
        }
        Ok(())
    })?;
    Ok(Reference {
        kind,
        trace_id: trace_id.ok_or_else(|| Fault::missing("trace_id"))?,
        span_id: span_id.ok_or_else(|| Fault::missing("span_id"))?,
    })
}

fn log(body: &[u8], memory: &mut Memory) -> Result<Log> {
    let mut log = Log::default();
    wire::each(body, |number, value| {
        match number {
            1 => log.time = unix_nanos(nanos(value, "timestamp")?, "timestamp")?,
            2 => push("fields", value, &mut log.fields, size_of::<KeyValue>(), memory, key_value)?,
            _ => {}
        }
        Ok(())
    })?;
    Ok(log)
}

fn key_value(body: &[u8], memory: &mut Memory) -> Result<KeyValue> {
    let (mut key, mut kind) = (String::new(), 0);
    let (mut text, mut boolean, mut int, mut double, mut binary) = (String::new(), false, 0, 0.0, Vec::new());
    wire::each(body, |number, value| {
        match number {
            1 => key = wire::text(value, "key", memory)?,
            2 => kind = wire::varint(value, "v_type")?,
            3 => text = wire::text(value, "v_str", memory)?,
            4 => boolean = wire::varint(value, "v_bool")? != 0,
            5 => int = wire::varint(value, "v_int64")?.cast_signed(),
            6 => double = f64::from_bits(wire::fixed64(value, "v_float64")?),
            7 => {
                binary = wire::bytes(value, "v_binary")?.to_vec();
                memory.take(binary.len())?;
            }
            _ => {}
        }
        Ok(())
    })?;
    let value = match kind {
        0 => Value::StringValue(text),
        1 => Value::BoolValue(boolean),
        2 => Value::IntValue(int),
        3 => Value::DoubleValue(double),
        4 => Value::BytesValue(binary),
        other => Value::StringValue(format!("<Unknown Jaeger TagType {other}>")),
    };
    Ok(attribute(key, value))
}

/// Nanoseconds of a `Timestamp` or a `Duration`.
fn nanos(value: Field<'_>, name: &str) -> Result<i128> {
    let (mut seconds, mut nanos) = (0, 0);
    wire::each(wire::bytes(value, name)?, |number, value| {
        match number {
            1 => seconds = wire::varint(value, "seconds")?.cast_signed(),
            2 => nanos = wire::varint(value, "nanos")?.cast_signed(),
            _ => {}
        }
        Ok(())
    })
    .map_err(|at| at.within(name))?;
    Ok(i128::from(seconds) * 1_000_000_000 + i128::from(nanos))
}

/// Adds an element, which takes `size` bytes, to a repeated field.
fn push<T>(
    name: &str,
    value: Field<'_>,
    list: &mut Vec<T>,
    size: usize,
    memory: &mut Memory,
    read: impl Fn(&[u8], &mut Memory) -> Result<T>,
) -> Result<()> {
    memory.take(size)?;
    let element = read(wire::bytes(value, name)?, memory);
    list.push(element.map_err(|at| at.within(format_args!("{name}[{}]", list.len())))?);
    Ok(())
}
