//! Values of the language.

use std::fmt;

use crate::duration;

/// A value: a literal of a query, or what an attribute of a span holds.
#[derive(Clone, Debug, PartialEq)]
pub enum Static {
    /// Missing.
    Nil,
    /// Integer.
    Int(i64),
    /// Float.
    Float(f64),
    /// String.
    String(String),
    /// Boolean.
    Bool(bool),
    /// Nanoseconds.
    Duration(i64),
    /// Span status.
    Status(Status),
    /// Span kind.
    Kind(Kind),
    /// Several integers; arrays come from attributes only, there are no literals.
    IntArray(Vec<i64>),
    /// Several floats.
    FloatArray(Vec<f64>),
    /// Several strings.
    StringArray(Vec<String>),
    /// Several booleans.
    BoolArray(Vec<bool>),
}

/// The status words of the language.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    /// `error`
    Error,
    /// `ok`
    Ok,
    /// `unset`
    Unset,
}

impl Status {
    /// Every status, in the order of the language's own numbers (error 0, ok 1, unset 2).
    pub const ALL: [Self; 3] = [Self::Error, Self::Ok, Self::Unset];

    /// From the number of OTLP; an unknown one counts as unset.
    pub fn from_otlp(code: i64) -> Self {
        match code {
            1 => Self::Ok,
            2 => Self::Error,
            _ => Self::Unset,
        }
    }

    /// The number in OTLP.
    pub fn otlp(self) -> i64 {
        match self {
            Self::Unset => 0,
            Self::Ok => 1,
            Self::Error => 2,
        }
    }

    /// The number that the language compares with integers.
    pub(crate) fn number(self) -> i64 {
        match self {
            Self::Error => 0,
            Self::Ok => 1,
            Self::Unset => 2,
        }
    }

    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Ok => "ok",
            Self::Unset => "unset",
        }
    }
}

/// The kind words of the language.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `unspecified`
    Unspecified,
    /// `internal`
    Internal,
    /// `server`
    Server,
    /// `client`
    Client,
    /// `producer`
    Producer,
    /// `consumer`
    Consumer,
}

impl Kind {
    /// Every kind, in the order of OTLP's numbers.
    pub const ALL: [Self; 6] =
        [Self::Unspecified, Self::Internal, Self::Server, Self::Client, Self::Producer, Self::Consumer];

    /// From the number of OTLP; an unknown one counts as unspecified.
    pub fn from_otlp(kind: i64) -> Self {
        usize::try_from(kind).ok().and_then(|kind| Self::ALL.get(kind)).copied().unwrap_or(Self::Unspecified)
    }

    /// The number in OTLP.
    pub fn otlp(self) -> i64 {
        self as i64
    }

    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unspecified => "unspecified",
            Self::Internal => "internal",
            Self::Server => "server",
            Self::Client => "client",
            Self::Producer => "producer",
            Self::Consumer => "consumer",
        }
    }
}

/// As a literal of the language, so that a printed query can be parsed again. (Arrays have no literal
/// form and print as a list in brackets.)
impl fmt::Display for Static {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nil => f.write_str("nil"),
            Self::Int(i64::MIN) => f.write_str("minInt"),
            Self::Int(value) => write!(f, "{value}"),
            Self::Float(value) => write!(f, "{value:?}"),
            Self::String(value) => write_quoted(f, value),
            Self::Bool(value) => write!(f, "{value}"),
            Self::Duration(nanos) => f.write_str(&duration::format(*nanos)),
            Self::Status(status) => f.write_str(status.as_str()),
            Self::Kind(kind) => f.write_str(kind.as_str()),
            Self::IntArray(values) => write_list(f, values, |f, value| write!(f, "{value}")),
            Self::FloatArray(values) => write_list(f, values, |f, value| write!(f, "{value:?}")),
            Self::StringArray(values) => write_list(f, values, |f, value| write_quoted(f, value)),
            Self::BoolArray(values) => write_list(f, values, |f, value| write!(f, "{value}")),
        }
    }
}

fn write_list<T>(
    f: &mut fmt::Formatter<'_>,
    values: &[T],
    write: impl Fn(&mut fmt::Formatter<'_>, &T) -> fmt::Result,
) -> fmt::Result {
    f.write_str("[")?;
    for (position, value) in values.iter().enumerate() {
        if position > 0 {
            f.write_str(", ")?;
        }
        write(f, value)?;
    }
    f.write_str("]")
}

/// With the escapes of Go string literals.
fn write_quoted(f: &mut fmt::Formatter<'_>, value: &str) -> fmt::Result {
    f.write_str("\"")?;
    for c in value.chars() {
        match c {
            '"' => f.write_str("\\\"")?,
            '\\' => f.write_str("\\\\")?,
            '\n' => f.write_str("\\n")?,
            '\r' => f.write_str("\\r")?,
            '\t' => f.write_str("\\t")?,
            c if c.is_control() => write!(f, "\\u{:04x}", u32::from(c))?,
            c => write!(f, "{c}")?,
        }
    }
    f.write_str("\"")
}
