//! The seven columns of generic attributes, which resources, scopes, spans, events and links all have.

use prost::Message as _;
use tempoform_core::protobuf::{Fields, Value, WireError};
use tempoform_wire::otlp;

use super::columns::ByteColumn;
use super::dictionary::Dictionary;

/// A value as it stands in a message.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum AnyValue<'a> {
    /// No value at all.
    Absent,
    Text(&'a [u8]),
    Bool(bool),
    Int(i64),
    Double(f64),
    /// The body of an `ArrayValue`.
    Array {
        body: &'a [u8],
        whole: &'a [u8],
    },
    /// The body of an `AnyValue` that has no column: bytes, key-value lists, null.
    Other(&'a [u8]),
}

/// Splits a `KeyValue`.
///
/// # Errors
/// When it is not protobuf.
#[inline]
pub(super) fn key_value(body: &[u8]) -> Result<(&[u8], AnyValue<'_>), WireError> {
    let mut key: &[u8] = &[];
    let mut any = AnyValue::Absent;
    let mut fields = Fields::new(body);
    while let Some(field) = fields.next_field()? {
        match field {
            (1, Value::Bytes(found)) => key = found,
            (2, Value::Bytes(found)) => any = any_value(found)?,
            _ => {}
        }
    }
    Ok((key, any))
}

#[inline]
fn any_value(body: &[u8]) -> Result<AnyValue<'_>, WireError> {
    let mut any = AnyValue::Other(body);
    let mut fields = Fields::new(body);
    while let Some(field) = fields.next_field()? {
        match field {
            (1, Value::Bytes(text)) => any = AnyValue::Text(text),
            (2, Value::Varint(value)) => any = AnyValue::Bool(value != 0),
            (3, Value::Varint(value)) => any = AnyValue::Int(value as i64),
            (4, Value::Fixed64(bits)) => any = AnyValue::Double(f64::from_bits(bits)),
            (5, Value::Bytes(array)) => any = AnyValue::Array { body: array, whole: body },
            (6 | 7, Value::Bytes(_)) => any = AnyValue::Other(body),
            _ => {}
        }
    }
    Ok(any)
}

/// What a level entry of the group stands for; below these are the definition levels of "no attribute here".
pub(super) mod code {
    pub(crate) const TEXT: u8 = 8;
    pub(crate) const INT: u8 = 9;
    pub(crate) const DOUBLE: u8 = 10;
    pub(crate) const BOOL: u8 = 11;
    pub(crate) const UNSUPPORTED: u8 = 12;
    /// An attribute without a value, or an empty array.
    pub(crate) const EMPTY: u8 = 13;
}

/// Buffered attributes: one entry of `reps` and `codes` for each, and for each parent that has none.
/// All seven leaves' levels follow from these.
#[derive(Clone, Debug, Default)]
pub(super) struct AttributeBuffers {
    pub(super) reps: Vec<u8>,
    pub(super) codes: Vec<u8>,
    /// Entries that stand for more than one element: the entry, and the elements beyond the first.
    pub(super) long_arrays: Vec<(u32, u32)>,
    pub(super) keys: Vec<u32>,
    pub(super) is_array: Vec<bool>,
    pub(super) texts: Vec<u32>,
    pub(super) ints: Vec<i64>,
    pub(super) doubles: Vec<f64>,
    pub(super) bools: Vec<bool>,
    pub(super) unsupported: ByteColumn,
}

impl AttributeBuffers {
    pub(super) fn clear(&mut self) {
        let Self { reps, codes, long_arrays, keys, is_array, texts, ints, doubles, bools, unsupported } =
            self;
        reps.clear();
        codes.clear();
        long_arrays.clear();
        keys.clear();
        is_array.clear();
        texts.clear();
        ints.clear();
        doubles.clear();
        bools.clear();
        unsupported.clear();
    }

    /// Appends the attributes of one parent, recorded before, with `rep` for the first entry.
    pub(super) fn append(&mut self, recorded: &Self, rep: u8) {
        let first = self.reps.len();
        self.long_arrays.extend(recorded.long_arrays.iter().map(|(at, more)| (*at + first as u32, *more)));
        self.reps.extend_from_slice(&recorded.reps);
        if let Some(entry) = self.reps.get_mut(first) {
            *entry = rep;
        }
        self.codes.extend_from_slice(&recorded.codes);
        self.keys.extend_from_slice(&recorded.keys);
        self.is_array.extend_from_slice(&recorded.is_array);
        self.texts.extend_from_slice(&recorded.texts);
        self.ints.extend_from_slice(&recorded.ints);
        self.doubles.extend_from_slice(&recorded.doubles);
        self.bools.extend_from_slice(&recorded.bools);
        self.unsupported.append(&recorded.unsupported);
    }
}

/// The columns: what is buffered, and the dictionaries.
#[derive(Debug)]
pub(super) struct AttributeColumns {
    pub(super) buffers: AttributeBuffers,
    /// Definition level of `Key`, and the repetition level of a second attribute.
    pub(super) level: u8,
    pub(super) keys: Dictionary,
    pub(super) values: Dictionary,
    /// By key, the number of the last text: many keys have the same one most of the time.
    last_texts: Vec<u32>,
}

impl AttributeColumns {
    pub(super) fn new(level: u8) -> Self {
        Self {
            buffers: AttributeBuffers::default(),
            level,
            keys: Dictionary::default(),
            values: Dictionary::default(),
            last_texts: Vec::new(),
        }
    }

    /// The number of a key, for [`Self::push`].
    pub(super) fn key_number(&mut self, key: &[u8]) -> u32 {
        let number = self.keys.intern(key);
        if self.last_texts.len() <= number as usize {
            self.last_texts.push(0);
        }
        number
    }

    /// A parent without attributes, which itself is there (or not) up to the level `def`.
    #[inline]
    pub(super) fn push_none(&mut self, rep: u8, def: u8) {
        self.buffers.reps.push(rep);
        self.buffers.codes.push(def);
    }

    /// An attribute whose key has the number `key`.
    #[inline]
    pub(super) fn push(&mut self, rep: u8, key: u32, value: AnyValue<'_>) {
        let Self { buffers, values, last_texts, .. } = self;
        buffers.reps.push(rep);
        buffers.keys.push(key);
        let code = match value {
            AnyValue::Text(text) => {
                let last = &mut last_texts[key as usize];
                *last = values.intern_guessed(text, *last);
                buffers.texts.push(*last);
                code::TEXT
            }
            AnyValue::Int(value) => {
                buffers.ints.push(value);
                code::INT
            }
            AnyValue::Bool(value) => {
                buffers.bools.push(value);
                code::BOOL
            }
            AnyValue::Double(value) => {
                buffers.doubles.push(value);
                code::DOUBLE
            }
            AnyValue::Array { body, whole } => return self.push_array(body, whole),
            AnyValue::Other(body) => {
                buffers.unsupported.push(&json(body));
                code::UNSUPPORTED
            }
            AnyValue::Absent => code::EMPTY,
        };
        buffers.codes.push(code);
        buffers.is_array.push(false);
    }

    /// Records all attributes of one parent, without pushing them. Those in `bodies` that are not
    /// protobuf are left out and counted.
    pub(super) fn record(&mut self, bodies: &[(&[u8], AnyValue<'_>)], parent_def: u8) -> AttributeBuffers {
        let pushed = std::mem::take(&mut self.buffers);
        if bodies.is_empty() {
            self.push_none(0, parent_def);
        }
        for (key, value) in bodies {
            let key = self.key_number(key);
            self.push(self.level, key, *value);
        }
        std::mem::replace(&mut self.buffers, pushed)
    }

    fn push_array(&mut self, body: &[u8], whole: &[u8]) {
        let Self { buffers, values, .. } = self;
        let (code, elements) = match elements_of(body) {
            Some((code, elements)) => (code, elements),
            None => {
                buffers.unsupported.push(&json(whole));
                buffers.codes.push(code::UNSUPPORTED);
                buffers.is_array.push(false);
                return;
            }
        };
        for element in &elements {
            match *element {
                AnyValue::Text(text) => buffers.texts.push(values.intern(text)),
                AnyValue::Int(value) => buffers.ints.push(value),
                AnyValue::Double(value) => buffers.doubles.push(value),
                AnyValue::Bool(value) => buffers.bools.push(value),
                AnyValue::Absent | AnyValue::Array { .. } | AnyValue::Other(_) => {}
            }
        }
        if elements.len() > 1 {
            buffers.long_arrays.push((buffers.codes.len() as u32, elements.len() as u32 - 1));
        }
        buffers.codes.push(code);
        buffers.is_array.push(true);
    }
}

/// The elements of an array whose elements all have the same one of the four types with columns, and
/// the code of that type; `None` for other arrays.
fn elements_of(body: &[u8]) -> Option<(u8, Vec<AnyValue<'_>>)> {
    let mut elements = Vec::new();
    let mut array_code = code::EMPTY;
    let mut fields = Fields::new(body);
    while let Some(field) = fields.next_field().ok()? {
        let (1, Value::Bytes(element)) = field else { continue };
        let element = any_value(element).ok()?;
        let element_code = match element {
            AnyValue::Text(_) => code::TEXT,
            AnyValue::Int(_) => code::INT,
            AnyValue::Double(_) => code::DOUBLE,
            AnyValue::Bool(_) => code::BOOL,
            AnyValue::Absent | AnyValue::Array { .. } | AnyValue::Other(_) => return None,
        };
        if !elements.is_empty() && element_code != array_code {
            return None;
        }
        array_code = element_code;
        elements.push(element);
    }
    Some((array_code, elements))
}

/// The protobuf JSON of an `AnyValue`; that of null for what cannot be decoded.
fn json(body: &[u8]) -> Vec<u8> {
    let value = otlp::AnyValue::decode(body).unwrap_or_default();
    serde_json::to_vec(&value).unwrap_or_else(|_| b"{}".to_vec())
}
