//! Names of attributes and intrinsics.

use std::fmt;

use crate::{AttributeScope, Field, Intrinsic};

/// What a query can name: an attribute, with or without scope, or an intrinsic.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Identifier {
    /// `span.foo`
    Scoped(AttributeScope, String),
    /// `.foo`: the span's, and if it has none, the resource's.
    Unscoped(String),
    /// `duration`
    Intrinsic(Intrinsic),
    /// `parent.foo`, `parent.span.foo`: in the grammar, but cannot be run.
    ParentAttribute(Option<AttributeScope>, String),
    /// `parent`: in the grammar, but cannot be run.
    Parent,
}

impl Identifier {
    /// The columns it reads, the one that wins first.
    pub fn fields(&self) -> Vec<Field> {
        let attribute = |scope, name: &String| Field::Attribute { scope, name: name.clone() };
        match self {
            Self::Scoped(scope, name) => vec![attribute(*scope, name)],
            Self::Unscoped(name) => {
                vec![attribute(AttributeScope::Span, name), attribute(AttributeScope::Resource, name)]
            }
            Self::Intrinsic(intrinsic) => vec![Field::Intrinsic(*intrinsic)],
            Self::ParentAttribute(..) | Self::Parent => Vec::new(),
        }
    }
}

/// Canonical: intrinsics in their old form where they have one, names quoted only when they must be.
impl fmt::Display for Identifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scoped(scope, name) => {
                f.write_str(scope.as_str())?;
                write_name(f, name, needs_quotes(name))
            }
            Self::Unscoped(name) => {
                let reads_as_number = name.starts_with(|c: char| c.is_ascii_digit());
                write_name(f, name, reads_as_number || needs_quotes(name))
            }
            Self::Intrinsic(intrinsic) => f.write_str(intrinsic.name()),
            Self::ParentAttribute(Some(scope), name) => {
                write!(f, "parent.{}", scope.as_str())?;
                write_name(f, name, needs_quotes(name))
            }
            Self::ParentAttribute(None, name) => {
                let reads_as_scope = name.starts_with("span.") || name.starts_with("resource.");
                f.write_str("parent")?;
                write_name(f, name, reads_as_scope || needs_quotes(name))
            }
            Self::Parent => f.write_str("parent"),
        }
    }
}

fn needs_quotes(name: &str) -> bool {
    name.is_empty() || name.chars().any(|c| c == '"' || ends_name(c))
}

/// Whether `c` ends an attribute name outside quotes.
pub(crate) fn ends_name(c: char) -> bool {
    c.is_whitespace() || "{}()=~!<>&|^,".contains(c)
}

fn write_name(f: &mut fmt::Formatter<'_>, name: &str, quoted: bool) -> fmt::Result {
    if quoted {
        write!(f, ".\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\""))
    } else {
        write!(f, ".{name}")
    }
}

impl AttributeScope {
    /// Every scope.
    pub const ALL: [Self; 5] = [Self::Span, Self::Resource, Self::Event, Self::Link, Self::Instrumentation];

    /// The word before the dot.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Span => "span",
            Self::Resource => "resource",
            Self::Event => "event",
            Self::Link => "link",
            Self::Instrumentation => "instrumentation",
        }
    }
}

impl fmt::Display for AttributeScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What kind of values an intrinsic has in the language.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IntrinsicType {
    Int,
    Duration,
    String,
    Status,
    Kind,
}

impl Intrinsic {
    /// Every intrinsic.
    pub const ALL: [Self; 21] = [
        Self::Duration,
        Self::Name,
        Self::Status,
        Self::StatusMessage,
        Self::Kind,
        Self::SpanId,
        Self::ParentId,
        Self::ChildCount,
        Self::RootName,
        Self::RootService,
        Self::TraceDuration,
        Self::TraceId,
        Self::EventName,
        Self::EventTimeSinceStart,
        Self::LinkTraceId,
        Self::LinkSpanId,
        Self::InstrumentationName,
        Self::InstrumentationVersion,
        Self::NestedSetLeft,
        Self::NestedSetRight,
        Self::NestedSetParent,
    ];

    /// As it is printed: the form without scope where there is one.
    pub fn name(self) -> &'static str {
        match self {
            Self::Duration => "duration",
            Self::Name => "name",
            Self::Status => "status",
            Self::StatusMessage => "statusMessage",
            Self::Kind => "kind",
            Self::SpanId => "span:id",
            Self::ParentId => "span:parentID",
            Self::ChildCount => "span:childCount",
            Self::RootName => "rootName",
            Self::RootService => "rootServiceName",
            Self::TraceDuration => "traceDuration",
            Self::TraceId => "trace:id",
            Self::EventName => "event:name",
            Self::EventTimeSinceStart => "event:timeSinceStart",
            Self::LinkTraceId => "link:traceID",
            Self::LinkSpanId => "link:spanID",
            Self::InstrumentationName => "instrumentation:name",
            Self::InstrumentationVersion => "instrumentation:version",
            Self::NestedSetLeft => "nestedSetLeft",
            Self::NestedSetRight => "nestedSetRight",
            Self::NestedSetParent => "nestedSetParent",
        }
    }

    /// The scoped form of those that also have one without scope.
    fn scoped_name(self) -> Option<&'static str> {
        match self {
            Self::Duration => Some("span:duration"),
            Self::Name => Some("span:name"),
            Self::Status => Some("span:status"),
            Self::StatusMessage => Some("span:statusMessage"),
            Self::Kind => Some("span:kind"),
            Self::RootName => Some("trace:rootName"),
            Self::RootService => Some("trace:rootService"),
            Self::TraceDuration => Some("trace:duration"),
            _ => None,
        }
    }

    /// By either of its names: `duration`, `span:duration`.
    pub(crate) fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.name() == name || one.scoped_name() == Some(name))
    }

    pub(crate) fn value_type(self) -> IntrinsicType {
        match self {
            Self::Duration | Self::TraceDuration | Self::EventTimeSinceStart => IntrinsicType::Duration,
            Self::Status => IntrinsicType::Status,
            Self::Kind => IntrinsicType::Kind,
            Self::ChildCount | Self::NestedSetLeft | Self::NestedSetRight | Self::NestedSetParent => {
                IntrinsicType::Int
            }
            Self::Name
            | Self::StatusMessage
            | Self::SpanId
            | Self::ParentId
            | Self::RootName
            | Self::RootService
            | Self::TraceId
            | Self::EventName
            | Self::LinkTraceId
            | Self::LinkSpanId
            | Self::InstrumentationName
            | Self::InstrumentationVersion => IntrinsicType::String,
        }
    }
}

impl fmt::Display for Intrinsic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Field {
    /// The key under which a search result shows the value: attributes without their scope.
    pub fn key(&self) -> &str {
        match self {
            Self::Intrinsic(intrinsic) => intrinsic.name(),
            Self::Attribute { name, .. } => name,
        }
    }
}
