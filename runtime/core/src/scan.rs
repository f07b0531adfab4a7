//! Finds every span of an OTLP request on its encoded bytes, checking the whole message on the way:
//! what passes here decodes, so that nothing malformed reaches the log or a block.

use std::ops::Range;

use bytes::Bytes;

use crate::protobuf::{Fields, Value, WireError};
use crate::{Error, ErrorKind, TraceId};

/// An OTLP request (`ExportTraceServiceRequest`, `TracesData`) and where its spans are.
///
/// Ranges are offsets into [`payload`](Self::payload) and hold message bodies, without tag and
/// length. Absent submessages and strings are empty ranges.
#[derive(Clone, Debug, Default)]
pub struct SpanBatch {
    /// The request as received.
    pub payload: Bytes,
    /// Every `ResourceSpans` that has spans.
    pub resources: Vec<ResourceRef>,
    /// Every `ScopeSpans` that has spans.
    pub scopes: Vec<ScopeRef>,
    /// Every span, in the order of the request.
    pub spans: Vec<SpanRef>,
    /// The longest attribute key or string value seen, bytes (for `max_attribute_bytes`).
    pub longest_attribute: usize,
}

/// A `ResourceSpans`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResourceRef {
    /// The `Resource` body.
    pub resource: Range<u32>,
    /// The schema URL.
    pub schema_url: Range<u32>,
}

/// A `ScopeSpans`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScopeRef {
    /// Index into [`SpanBatch::resources`].
    pub resource: u32,
    /// The `InstrumentationScope` body.
    pub scope: Range<u32>,
    /// The schema URL.
    pub schema_url: Range<u32>,
}

/// A `Span`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpanRef {
    /// Its trace.
    pub trace_id: TraceId,
    /// Index into [`SpanBatch::scopes`].
    pub scope: u32,
    /// The `Span` body.
    pub span: Range<u32>,
    /// Where the span's field begins in its `ScopeSpans`: its tag and length come before the body.
    pub field_start: u32,
}

/// Why a request is refused as a whole.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MalformedRequest {
    /// Not protobuf of the OTLP schema.
    #[error("malformed OTLP request: {message} at byte {offset} {problem}")]
    Wire {
        /// The message type.
        message: &'static str,
        /// Where in the request.
        offset: usize,
        /// What is wrong.
        problem: Problem,
    },
    /// A trace id that is not 16 bytes, or all zero.
    #[error("trace ids must be 128 bit and not zero, received {0} bytes")]
    TraceId(usize),
    /// A span id that is not 8 bytes, or all zero.
    #[error("span ids must be 64 bit and not all zero, received {0} bytes")]
    SpanId(usize),
    /// Offsets are 32 bit.
    #[error("a request of {0} bytes is larger than 4 GiB")]
    TooLarge(usize),
}

/// What is wrong with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// Not wire format.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// A known field with another wire type.
    #[error("has field {0} with the wrong wire type")]
    FieldType(u32),
    /// A string that is not UTF-8.
    #[error("has text in field {0} that is not UTF-8")]
    NotUtf8(u32),
    /// Attribute values nested deeper than a decoder follows.
    #[error("nests attribute values deeper than {MAX_DEPTH}")]
    TooDeep,
    /// A field that may stand once stands twice.
    #[error("has field {0} twice")]
    Twice(u32),
}

impl MalformedRequest {
    /// The `reason` label under which Tempo counts spans refused for this.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Wire { .. } | Self::TooLarge(_) => "malformed",
            Self::TraceId(_) => "invalid_trace_id",
            Self::SpanId(_) => "invalid_span_id",
        }
    }
}

impl From<MalformedRequest> for Error {
    fn from(error: MalformedRequest) -> Self {
        Self::new(ErrorKind::Invalid, error.to_string())
    }
}

/// Levels of nested lists in an attribute value that are followed. Each is up to three messages deep,
/// and decoders stop at 100 messages in all.
const MAX_DEPTH: u32 = 28;

impl SpanBatch {
    /// Bytes of memory that the references to spans take, beside those of the payload.
    pub fn references_bytes(&self) -> u64 {
        fn taken<T>(of: &Vec<T>) -> usize {
            of.capacity() * size_of::<T>()
        }
        (taken(&self.resources) + taken(&self.scopes) + taken(&self.spans)) as u64
    }

    /// Bytes of memory that the references to spans take at most while `bytes` bytes are scanned: the smallest span under
    /// a scope and resource of its own has 36 bytes, and a list that is moved to one twice as long is there twice.
    pub const fn references_bytes_at_most(bytes: u64) -> u64 {
        const SMALLEST: u64 = 36;
        const REFERENCES: u64 =
            (size_of::<ResourceRef>() + size_of::<ScopeRef>() + size_of::<SpanRef>()) as u64;
        bytes.saturating_mul(REFERENCES * 3).div_ceil(SMALLEST)
    }
}

/// Checks the request in `payload` and finds its spans.
///
/// # Errors
/// The first defect; the request is then refused as a whole, as Tempo does.
pub fn scan_export_request(payload: Bytes) -> Result<SpanBatch, MalformedRequest> {
    if u32::try_from(payload.len()).is_err() {
        return Err(MalformedRequest::TooLarge(payload.len()));
    }
    let mut scan = Scan { payload: &payload, batch: SpanBatch::default() };
    scan.request()?;
    let mut batch = scan.batch;
    batch.payload = payload;
    Ok(batch)
}

impl SpanBatch {
    /// The bytes of a range.
    pub fn bytes(&self, range: &Range<u32>) -> &[u8] {
        &self.payload[range.start as usize..range.end as usize]
    }
}

struct Scan<'a> {
    payload: &'a [u8],
    batch: SpanBatch,
}

/// Field shapes for the check of what is not looked into otherwise.
#[derive(Clone, Copy)]
enum Shape {
    Unknown,
    Varint,
    Fixed64,
    Fixed32,
    Bytes,
    Text,
    Attribute,
    Event,
    Link,
    Status,
}

impl Shape {
    #[inline]
    const fn of_resource(number: u32) -> Self {
        match number {
            1 => Self::Attribute,
            2 => Self::Varint,
            _ => Self::Unknown,
        }
    }

    #[inline]
    const fn of_scope(number: u32) -> Self {
        match number {
            1 | 2 => Self::Text,
            3 => Self::Attribute,
            4 => Self::Varint,
            _ => Self::Unknown,
        }
    }

    #[inline]
    const fn of_span(number: u32) -> Self {
        match number {
            1 | 2 | 4 => Self::Bytes,
            3 | 5 => Self::Text,
            6 | 10 | 12 | 14 => Self::Varint,
            7 | 8 => Self::Fixed64,
            9 => Self::Attribute,
            11 => Self::Event,
            13 => Self::Link,
            15 => Self::Status,
            16 => Self::Fixed32,
            _ => Self::Unknown,
        }
    }

    #[inline]
    const fn of_event(number: u32) -> Self {
        match number {
            1 => Self::Fixed64,
            2 => Self::Text,
            3 => Self::Attribute,
            4 => Self::Varint,
            _ => Self::Unknown,
        }
    }

    #[inline]
    const fn of_link(number: u32) -> Self {
        match number {
            1 | 2 => Self::Bytes,
            3 => Self::Text,
            4 => Self::Attribute,
            5 => Self::Varint,
            6 => Self::Fixed32,
            _ => Self::Unknown,
        }
    }

    #[inline]
    const fn of_status(number: u32) -> Self {
        match number {
            2 => Self::Text,
            3 => Self::Varint,
            _ => Self::Unknown,
        }
    }
}

impl<'a> Scan<'a> {
    fn request(&mut self) -> Result<(), MalformedRequest> {
        let payload = self.payload;
        let mut fields = Fields::new(payload);
        while let Some((number, value)) = self.field(&mut fields, payload, "ExportTraceServiceRequest")? {
            if number == 1 {
                let body = self.body(value, number, payload, "ExportTraceServiceRequest")?;
                self.resource_spans(body)?;
            }
        }
        Ok(())
    }

    fn resource_spans(&mut self, body: &'a [u8]) -> Result<(), MalformedRequest> {
        const NAME: &str = "ResourceSpans";
        let index = self.batch.resources.len() as u32;
        let scopes_before = self.batch.scopes.len();
        let (mut resource, mut schema_url) = (None, None);
        let mut fields = Fields::new(body);
        while let Some((number, value)) = self.field(&mut fields, body, NAME)? {
            match number {
                1 => {
                    let found = self.body(value, number, body, NAME)?;
                    self.message(found, "Resource", Shape::of_resource)?;
                    self.once(&mut resource, found, number, NAME)?;
                }
                2 => {
                    let found = self.body(value, number, body, NAME)?;
                    self.scope_spans(found, index)?;
                }
                3 => {
                    let found = self.text(value, number, body, NAME)?;
                    self.once(&mut schema_url, found, number, NAME)?;
                }
                _ => {}
            }
        }
        if self.batch.scopes.len() > scopes_before {
            let found = ResourceRef {
                resource: resource.unwrap_or_default(),
                schema_url: schema_url.unwrap_or_default(),
            };
            self.batch.resources.push(found);
        }
        Ok(())
    }

    fn scope_spans(&mut self, body: &'a [u8], resource: u32) -> Result<(), MalformedRequest> {
        const NAME: &str = "ScopeSpans";
        let index = self.batch.scopes.len() as u32;
        let spans_before = self.batch.spans.len();
        let (mut scope, mut schema_url) = (None, None);
        let base = self.range(body).start;
        let mut fields = Fields::new(body);
        let mut field_start = base;
        while let Some((number, value)) = self.field(&mut fields, body, NAME)? {
            match number {
                1 => {
                    let found = self.body(value, number, body, NAME)?;
                    self.message(found, "InstrumentationScope", Shape::of_scope)?;
                    self.once(&mut scope, found, number, NAME)?;
                }
                2 => {
                    let found = self.body(value, number, body, NAME)?;
                    self.span(found, index, field_start)?;
                }
                3 => {
                    let found = self.text(value, number, body, NAME)?;
                    self.once(&mut schema_url, found, number, NAME)?;
                }
                _ => {}
            }
            field_start = base + fields.position() as u32;
        }
        if self.batch.spans.len() > spans_before {
            let found = ScopeRef {
                resource,
                scope: scope.unwrap_or_default(),
                schema_url: schema_url.unwrap_or_default(),
            };
            self.batch.scopes.push(found);
        }
        Ok(())
    }

    fn span(&mut self, body: &'a [u8], scope: u32, field_start: u32) -> Result<(), MalformedRequest> {
        const NAME: &str = "Span";
        let (mut trace_id, mut span_id): (&[u8], &[u8]) = (&[], &[]);
        let mut fields = Fields::new(body);
        while let Some((number, value)) = self.field(&mut fields, body, NAME)? {
            match (number, value) {
                (1, Value::Bytes(id)) => trace_id = id,
                (2, Value::Bytes(id)) => span_id = id,
                _ => self.known(Shape::of_span(number), number, value, body, NAME)?,
            }
        }
        let id = TraceId::from_slice(trace_id).filter(|id| *id != TraceId::default());
        let Some(id) = id else { return Err(MalformedRequest::TraceId(trace_id.len())) };
        if span_id.len() != 8 || span_id == [0; 8] {
            return Err(MalformedRequest::SpanId(span_id.len()));
        }
        let span = self.range(body);
        self.batch.spans.push(SpanRef { trace_id: id, scope, span, field_start });
        Ok(())
    }

    /// Checks a message whose fields are known by `shape`.
    #[inline]
    fn message(
        &mut self,
        body: &'a [u8],
        name: &'static str,
        shape: fn(u32) -> Shape,
    ) -> Result<(), MalformedRequest> {
        let mut fields = Fields::new(body);
        while let Some((number, value)) = self.field(&mut fields, body, name)? {
            self.known(shape(number), number, value, body, name)?;
        }
        Ok(())
    }

    #[inline]
    fn known(
        &mut self,
        shape: Shape,
        number: u32,
        value: Value<'a>,
        within: &'a [u8],
        name: &'static str,
    ) -> Result<(), MalformedRequest> {
        match (shape, value) {
            (Shape::Unknown, _)
            | (Shape::Varint, Value::Varint(_))
            | (Shape::Fixed64, Value::Fixed64(_))
            | (Shape::Fixed32, Value::Fixed32(_))
            | (Shape::Bytes, Value::Bytes(_)) => Ok(()),
            (Shape::Text, value) => self.text(value, number, within, name).map(|_| ()),
            (Shape::Attribute, Value::Bytes(body)) => self.key_value(body, 0),
            (Shape::Event, Value::Bytes(body)) => self.message(body, "Event", Shape::of_event),
            (Shape::Link, Value::Bytes(body)) => self.message(body, "Link", Shape::of_link),
            (Shape::Status, Value::Bytes(body)) => self.message(body, "Status", Shape::of_status),
            _ => Err(self.malformed(within, name, Problem::FieldType(number))),
        }
    }

    fn key_value(&mut self, body: &'a [u8], depth: u32) -> Result<(), MalformedRequest> {
        const NAME: &str = "KeyValue";
        let mut fields = Fields::new(body);
        while let Some((number, value)) = self.field(&mut fields, body, NAME)? {
            match number {
                1 => {
                    let key = self.text(value, number, body, NAME)?;
                    self.batch.longest_attribute = self.batch.longest_attribute.max(key.len());
                }
                2 => {
                    let found = self.body(value, number, body, NAME)?;
                    self.any_value(found, depth)?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn any_value(&mut self, body: &'a [u8], depth: u32) -> Result<(), MalformedRequest> {
        const NAME: &str = "AnyValue";
        if depth > MAX_DEPTH {
            return Err(self.malformed(body, NAME, Problem::TooDeep));
        }
        let mut fields = Fields::new(body);
        while let Some((number, value)) = self.field(&mut fields, body, NAME)? {
            match (number, value) {
                (1, value) => {
                    let text = self.text(value, number, body, NAME)?;
                    self.batch.longest_attribute = self.batch.longest_attribute.max(text.len());
                }
                (2 | 3, Value::Varint(_)) | (4, Value::Fixed64(_)) | (7, Value::Bytes(_)) => {}
                (5 | 6, Value::Bytes(list)) => self.values(list, number, depth + 1)?,
                (2..=7, _) => return Err(self.malformed(body, NAME, Problem::FieldType(number))),
                _ => {}
            }
        }
        Ok(())
    }

    /// The elements of an `ArrayValue` (5) or `KeyValueList` (6).
    fn values(&mut self, list: &'a [u8], kind: u32, depth: u32) -> Result<(), MalformedRequest> {
        let name = if kind == 5 { "ArrayValue" } else { "KeyValueList" };
        let mut fields = Fields::new(list);
        while let Some((number, value)) = self.field(&mut fields, list, name)? {
            if number == 1 {
                let found = self.body(value, number, list, name)?;
                if kind == 5 { self.any_value(found, depth)? } else { self.key_value(found, depth)? }
            }
        }
        Ok(())
    }

    #[inline]
    fn field(
        &self,
        fields: &mut Fields<'a>,
        within: &'a [u8],
        name: &'static str,
    ) -> Result<Option<(u32, Value<'a>)>, MalformedRequest> {
        fields.next_field().map_err(|error| self.malformed(&within[fields.position()..], name, error.into()))
    }

    #[inline]
    fn body(
        &self,
        value: Value<'a>,
        number: u32,
        within: &'a [u8],
        name: &'static str,
    ) -> Result<&'a [u8], MalformedRequest> {
        match value {
            Value::Bytes(body) => Ok(body),
            _ => Err(self.malformed(within, name, Problem::FieldType(number))),
        }
    }

    #[inline]
    fn text(
        &self,
        value: Value<'a>,
        number: u32,
        within: &'a [u8],
        name: &'static str,
    ) -> Result<&'a [u8], MalformedRequest> {
        let text = self.body(value, number, within, name)?;
        if text.is_ascii() || std::str::from_utf8(text).is_ok() {
            Ok(text)
        } else {
            Err(self.malformed(text, name, Problem::NotUtf8(number)))
        }
    }

    fn once(
        &self,
        slot: &mut Option<Range<u32>>,
        found: &'a [u8],
        number: u32,
        name: &'static str,
    ) -> Result<(), MalformedRequest> {
        match slot.replace(self.range(found)) {
            None => Ok(()),
            Some(_) => Err(self.malformed(found, name, Problem::Twice(number))),
        }
    }

    /// Where `part` lies in the payload, of which it is a subslice.
    fn range(&self, part: &[u8]) -> Range<u32> {
        let start = part.as_ptr() as usize - self.payload.as_ptr() as usize;
        start as u32..(start + part.len()) as u32
    }

    #[cold]
    fn malformed(&self, at: &[u8], message: &'static str, problem: Problem) -> MalformedRequest {
        MalformedRequest::Wire { message, offset: self.range(at).start as usize, problem }
    }
}

#[cfg(test)]
mod tests;
