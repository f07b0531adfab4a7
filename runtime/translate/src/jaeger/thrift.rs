//! Reads Thrift, with Apache's library: given limits it allocates for no declared length that is longer than the
//! bytes there are, and follows no nesting deeper than [`MAX_DEPTH`].

use tempoform_wire::otlp::KeyValue;
use tempoform_wire::otlp::any_value::Value;
use thrift::TConfiguration;
use thrift::protocol::{TBinaryInputProtocol, TCompactInputProtocol, TInputProtocol, TMessageType, TType};

use super::{
    Batch, LOG_MEMORY, Log, Process, REFERENCE_MEMORY, Reference, ReferenceKind, SPAN_MEMORY, Span,
    unix_nanos,
};
use crate::attributes::attribute;
use crate::fault::Fault;
use crate::memory::Memory;

type Result<T> = std::result::Result<T, Fault>;

/// A batch nests structures five deep, with what a newer client may add.
const MAX_DEPTH: usize = 16;

/// Reads a `Batch` in the binary protocol.
pub(crate) fn batch(body: &[u8], memory: &mut Memory) -> Result<Batch> {
    let mut rest = body;
    let protocol = TBinaryInputProtocol::with_config(&mut rest, false, limits(body));
    let batch = Reader { protocol, memory }.batch();
    batch.map_err(|fault| fault.at_byte(body.len() - rest.len()))
}

/// Reads a call of `emitBatch` in the binary protocol.
pub(crate) fn emitted_binary(body: &[u8], memory: &mut Memory) -> Result<Batch> {
    let mut rest = body;
    let protocol = TBinaryInputProtocol::with_config(&mut rest, false, limits(body));
    let batch = Reader { protocol, memory }.emitted();
    batch.map_err(|fault| fault.at_byte(body.len() - rest.len()))
}

/// Reads a call of `emitBatch` in the compact protocol.
pub(crate) fn emitted_compact(body: &[u8], memory: &mut Memory) -> Result<Batch> {
    let mut rest = body;
    let protocol = TCompactInputProtocol::with_config(&mut rest, limits(body));
    let batch = Reader { protocol, memory }.emitted();
    batch.map_err(|fault| fault.at_byte(body.len() - rest.len()))
}

fn limits(body: &[u8]) -> TConfiguration {
    let size = Some(body.len());
    TConfiguration::builder()
        .max_message_size(size)
        .max_frame_size(size)
        .max_string_size(size)
        .max_container_size(size)
        .max_recursion_depth(Some(MAX_DEPTH))
        .build()
        .unwrap_or_default()
}

fn fault(error: thrift::Error) -> Fault {
    Fault::new(match error {
        thrift::Error::Transport(_) => "ends too early".to_owned(),
        other => other.to_string(),
    })
}

struct Reader<'m, P> {
    protocol: P,
    memory: &'m mut Memory,
}

impl<P: TInputProtocol> Reader<'_, P> {
    fn emitted(mut self) -> Result<Batch> {
        let message = self.protocol.read_message_begin().map_err(fault)?;
        let is_call = matches!(message.message_type, TMessageType::OneWay | TMessageType::Call);
        if !is_call || message.name != "emitBatch" {
            let name: String = message.name.chars().take(40).collect();
            return Err(Fault::new(format!("is the message {name:?}; only calls of emitBatch are taken")));
        }
        let mut batch = None;
        self.structure(|reader, field| {
            match field {
                (1, TType::Struct) => batch = Some(reader.batch_inside()?),
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        batch.ok_or_else(|| Fault::missing("batch"))
    }

    fn batch(mut self) -> Result<Batch> {
        self.batch_inside()
    }

    fn batch_inside(&mut self) -> Result<Batch> {
        let (mut process, mut spans) = (None, None);
        self.structure(|reader, field| {
            match field {
                (1, TType::Struct) => {
                    process = Some(reader.process().map_err(|fault| fault.within("process"))?);
                }
                (2, TType::List) => spans = Some(reader.list("spans", SPAN_MEMORY, Self::span)?),
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(Batch {
            process: Some(process.ok_or_else(|| Fault::missing("process"))?),
            spans: spans.ok_or_else(|| Fault::missing("spans"))?,
        })
    }

    fn process(&mut self) -> Result<Process> {
        let (mut service_name, mut tags) = (None, Vec::new());
        self.structure(|reader, field| {
            match field {
                (1, TType::String) => service_name = Some(reader.text()?),
                (2, TType::List) => tags = reader.tags("tags")?,
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(Process { service_name: service_name.ok_or_else(|| Fault::missing("serviceName"))?, tags })
    }

    fn span(&mut self) -> Result<Span> {
        let (mut low, mut high, mut id, mut parent) = (None, None, None, None);
        let (mut name, mut start, mut duration) = (None, None, None);
        let mut span = Span::default();
        self.structure(|reader, field| {
            match field {
                (1, TType::I64) => low = Some(reader.i64()?),
                (2, TType::I64) => high = Some(reader.i64()?),
                (3, TType::I64) => id = Some(reader.i64()?),
                (4, TType::I64) => parent = Some(reader.i64()?),
                (5, TType::String) => name = Some(reader.text()?),
                (6, TType::List) => {
                    span.references = reader.list("references", REFERENCE_MEMORY, Self::reference)?;
                }
                (7, TType::I32) => span.flags = reader.i32()?.cast_unsigned(),
                (8, TType::I64) => start = Some(reader.i64()?),
                (9, TType::I64) => duration = Some(reader.i64()?),
                (10, TType::List) => span.tags = reader.tags("tags")?,
                (11, TType::List) => span.logs = reader.list("logs", LOG_MEMORY, Self::log)?,
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        span.trace_id = trace_id(high, low)?;
        span.span_id = required(id, "spanId")?.to_be_bytes();
        span.parent_span_id = parent.unwrap_or_default().to_be_bytes();
        span.operation_name = required(name, "operationName")?;
        let start = i128::from(required(start, "startTime")?);
        let duration = i128::from(required(duration, "duration")?);
        span.start = unix_nanos(start * 1000, "startTime")?;
        span.end = unix_nanos((start + duration) * 1000, "startTime + duration")?;
        Ok(span)
    }

    fn reference(&mut self) -> Result<Reference> {
        let (mut kind, mut low, mut high, mut id) = (None, None, None, None);
        self.structure(|reader, field| {
            match field {
                (1, TType::I32) => kind = Some(ReferenceKind::of(u64::from(reader.i32()? != 0))),
                (2, TType::I64) => low = Some(reader.i64()?),
                (3, TType::I64) => high = Some(reader.i64()?),
                (4, TType::I64) => id = Some(reader.i64()?),
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(Reference {
            kind: required(kind, "refType")?,
            trace_id: trace_id(high, low)?,
            span_id: required(id, "spanId")?.to_be_bytes(),
        })
    }

    fn log(&mut self) -> Result<Log> {
        let (mut time, mut fields) = (None, Vec::new());
        self.structure(|reader, field| {
            match field {
                (1, TType::I64) => time = Some(reader.i64()?),
                (2, TType::List) => fields = reader.tags("fields")?,
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        let micros = i128::from(required(time, "timestamp")?);
        Ok(Log { time: unix_nanos(micros * 1000, "timestamp")?, fields })
    }

    fn tags(&mut self, name: &str) -> Result<Vec<KeyValue>> {
        self.list(name, size_of::<KeyValue>(), Self::tag)
    }

    fn tag(&mut self) -> Result<KeyValue> {
        let (mut key, mut kind) = (None, None);
        let (mut text, mut double, mut boolean, mut long, mut binary) =
            (String::new(), 0.0, false, 0, Vec::new());
        self.structure(|reader, field| {
            match field {
                (1, TType::String) => key = Some(reader.text()?),
                (2, TType::I32) => kind = Some(reader.i32()?),
                (3, TType::String) => text = reader.text()?,
                (4, TType::Double) => double = reader.protocol.read_double().map_err(fault)?,
                (5, TType::Bool) => boolean = reader.protocol.read_bool().map_err(fault)?,
                (6, TType::I64) => long = reader.i64()?,
                (7, TType::String) => binary = reader.bytes()?,
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        let value = match required(kind, "vType")? {
            0 => Value::StringValue(text),
            1 => Value::DoubleValue(double),
            2 => Value::BoolValue(boolean),
            3 => Value::IntValue(long),
            4 => Value::BytesValue(binary),
            other => Value::StringValue(format!("<Unknown Jaeger TagType {other}>")),
        };
        Ok(attribute(required(key, "key")?, value))
    }

    /// Reads a structure. `take` reads the fields that it knows; the others, and those of another type, are skipped.
    fn structure(&mut self, mut take: impl FnMut(&mut Self, (i16, TType)) -> Result<bool>) -> Result<()> {
        self.protocol.read_struct_begin().map_err(fault)?;
        loop {
            let field = self.protocol.read_field_begin().map_err(fault)?;
            if field.field_type == TType::Stop {
                break;
            }
            if !take(self, (field.id.unwrap_or_default(), field.field_type))? {
                self.protocol.skip(field.field_type).map_err(fault)?;
            }
            self.protocol.read_field_end().map_err(fault)?;
        }
        self.protocol.read_struct_end().map_err(fault)
    }

    /// Reads a list of structures, each of which takes `memory` bytes.
    fn list<T>(
        &mut self,
        name: &str,
        memory: usize,
        mut item: impl FnMut(&mut Self) -> Result<T>,
    ) -> Result<Vec<T>> {
        let list = self.protocol.read_list_begin().map_err(fault)?;
        if list.size > 0 && list.element_type != TType::Struct {
            return Err(Fault::new("must be a list of structures").within(name));
        }
        let mut items = Vec::new();
        for index in 0..list.size {
            self.memory.take(memory)?;
            items.push(item(self).map_err(|fault| fault.within(format_args!("{name}[{index}]")))?);
        }
        self.protocol.read_list_end().map_err(fault)?;
        Ok(items)
    }

    fn text(&mut self) -> Result<String> {
        let text = self.protocol.read_string().map_err(fault)?;
        self.memory.take(text.len())?;
        Ok(text)
    }

    fn bytes(&mut self) -> Result<Vec<u8>> {
        let bytes = self.protocol.read_bytes().map_err(fault)?;
        self.memory.take(bytes.len())?;
        Ok(bytes)
    }

    fn i32(&mut self) -> Result<i32> {
        self.protocol.read_i32().map_err(fault)
    }

    fn i64(&mut self) -> Result<i64> {
        self.protocol.read_i64().map_err(fault)
    }
}

fn required<T>(value: Option<T>, name: &str) -> Result<T> {
    value.ok_or_else(|| Fault::missing(name))
}

/// Both halves; ids of 64 bits have zeros in the upper one.
fn trace_id(high: Option<i64>, low: Option<i64>) -> Result<[u8; 16]> {
    let mut id = [0; 16];
    id[..8].copy_from_slice(&required(high, "traceIdHigh")?.to_be_bytes());
    id[8..].copy_from_slice(&required(low, "traceIdLow")?.to_be_bytes());
    Ok(id)
}
