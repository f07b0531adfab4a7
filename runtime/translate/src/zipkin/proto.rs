//! Reads `zipkin.proto3.ListOfSpans`.

use std::net::IpAddr;

use tempoform_core::protobuf::Value as Field;
use tempoform_wire::otlp::SpanKind;

use super::{ANNOTATION_MEMORY, Annotation, Endpoint, SPAN_MEMORY, Span, TAG_MEMORY};
use crate::fault::Fault;
use crate::memory::Memory;
use crate::wire;

type Result<T> = std::result::Result<T, Fault>;

pub(crate) fn spans(body: &[u8], memory: &mut Memory) -> Result<Vec<Span>> {
    let mut spans = Vec::new();
    wire::each(body, |number, value| {
        if number == 1 {
            memory.take(SPAN_MEMORY)?;
            let span = span(wire::bytes(value, "spans")?, memory);
            spans.push(span.map_err(|fault| fault.within(format_args!("spans[{}]", spans.len())))?);
        }
        Ok(())
    })?;
    Ok(spans)
}

fn span(body: &[u8], memory: &mut Memory) -> Result<Span> {
    let mut span = Span::default();
    let (mut trace_id, mut id) = (None, None);
    wire::each(body, |number, value| {
        match number {
            1 => trace_id = Some(wire::trace_id(value, "trace_id")?),
            2 => span.parent_id = parent_id(value)?,
            3 => id = Some(wire::span_id(value, "id")?),
            4 => span.kind = kind(wire::varint(value, "kind")?),
            5 => span.name = wire::text(value, "name", memory)?,
            6 => span.timestamp = wire::fixed64(value, "timestamp")?,
            7 => span.duration = wire::varint(value, "duration")?,
            8 => span.local = endpoint(value, "local_endpoint", memory)?,
            9 => span.remote = endpoint(value, "remote_endpoint", memory)?,
            10 => {
                memory.take(ANNOTATION_MEMORY)?;
                span.annotations.push(annotation(value, memory)?);
            }
            11 => {
                memory.take(TAG_MEMORY)?;
                span.tags.push(tag(value, memory)?);
            }
            _ => {}
        }
        Ok(())
    })?;
    span.trace_id = trace_id.ok_or_else(|| Fault::missing("trace_id"))?;
    span.id = id.ok_or_else(|| Fault::missing("id"))?;
    Ok(span)
}

/// Absent in a root span; some clients write that as an empty field.
fn parent_id(value: Field<'_>) -> Result<Option<[u8; 8]>> {
    if wire::bytes(value, "parent_id")?.is_empty() {
        return Ok(None);
    }
    wire::span_id(value, "parent_id").map(Some)
}

const fn kind(number: u64) -> SpanKind {
    match number {
        1 => SpanKind::Client,
        2 => SpanKind::Server,
        3 => SpanKind::Producer,
        4 => SpanKind::Consumer,
        _ => SpanKind::Unspecified,
    }
}

fn endpoint(value: Field<'_>, name: &str, memory: &mut Memory) -> Result<Endpoint> {
    let mut endpoint = Endpoint::default();
    let (mut ipv4, mut ipv6) = (None, None);
    wire::each(wire::bytes(value, name)?, |number, value| {
        match number {
            1 => endpoint.service_name = wire::text(value, "service_name", memory)?,
            2 => ipv4 = address::<4>(value, "ipv4")?,
            3 => ipv6 = address::<16>(value, "ipv6")?,
            4 => {
                let port = wire::varint(value, "port")?;
                endpoint.port = u16::try_from(port)
                    .map_err(|_| Fault::new(format!("{port} is no port")).within("port"))?;
            }
            _ => {}
        }
        Ok(())
    })
    .map_err(|fault| fault.within(name))?;
    endpoint.address = ipv6.or(ipv4);
    Ok(endpoint)
}

fn address<const N: usize>(value: Field<'_>, name: &str) -> Result<Option<IpAddr>>
where
    IpAddr: From<[u8; N]>,
{
    let bytes = wire::bytes(value, name)?;
    if bytes.is_empty() {
        return Ok(None);
    }
    let address: [u8; N] = bytes
        .try_into()
        .map_err(|_| Fault::new(format!("must be {N} bytes, found {}", bytes.len())).within(name))?;
    Ok(Some(address.into()))
}

fn annotation(value: Field<'_>, memory: &mut Memory) -> Result<Annotation> {
    let mut annotation = Annotation::default();
    wire::each(wire::bytes(value, "annotations")?, |number, value| {
        match number {
            1 => annotation.timestamp = wire::fixed64(value, "timestamp")?,
            2 => annotation.value = wire::text(value, "value", memory)?,
            _ => {}
        }
        Ok(())
    })
    .map_err(|fault| fault.within("annotations"))?;
    Ok(annotation)
}

fn tag(value: Field<'_>, memory: &mut Memory) -> Result<(String, String)> {
    let mut tag = (String::new(), String::new());
    wire::each(wire::bytes(value, "tags")?, |number, value| {
        match number {
            1 => tag.0 = wire::text(value, "key", memory)?,
            2 => tag.1 = wire::text(value, "value", memory)?,
            _ => {}
        }
        Ok(())
    })
    .map_err(|fault| fault.within("tags"))?;
    Ok(tag)
}
