//! The syntax tree.
//!
//! Chains of `&&` and of `||` are flat lists, so that long ones are not deep ones.

use crate::{Identifier, Static};

/// A whole query.
#[derive(Clone, Debug, PartialEq)]
pub struct Root {
    /// What is searched.
    pub pipeline: Pipeline,
    /// What is computed of it, in a metrics query.
    pub metrics: Option<Metrics>,
    /// The last `with (…)`.
    pub hints: Vec<Hint>,
}

/// Stages joined by `|`; at least one.
#[derive(Clone, Debug, PartialEq)]
pub struct Pipeline {
    /// In order.
    pub stages: Vec<Stage>,
}

/// A step from spansets to spansets.
#[derive(Clone, Debug, PartialEq)]
pub enum Stage {
    /// `{ … }` and its combinations.
    Spansets(SpansetExpr),
    /// `count() > 2`
    Scalar(ScalarFilter),
    /// `by(…)`
    By(Expr),
    /// `coalesce()`
    Coalesce,
    /// `select(…)`
    Select(Vec<Identifier>),
}

/// A combination of spansets.
#[derive(Clone, Debug, PartialEq)]
pub enum SpansetExpr {
    /// `{ … }`
    Filter(Expr),
    /// A pipeline of several stages in parentheses.
    Pipeline(Pipeline),
    /// `&&` or `||` between two or more, none of them of the same operator.
    Logical {
        /// Which.
        op: Logical,
        /// Operands.
        terms: Vec<SpansetExpr>,
    },
    /// `>`, `>>`, `~`, …
    Structural {
        /// Which.
        op: Structural,
        /// Left side.
        lhs: Box<SpansetExpr>,
        /// Right side: what positive operators return.
        rhs: Box<SpansetExpr>,
    },
}

/// `&&` or `||`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Logical {
    /// `&&`
    And,
    /// `||`
    Or,
}

/// A structural operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Structural {
    /// What the right side is to the left.
    pub relation: Relation,
    /// What is returned.
    pub mode: StructuralMode,
}

/// What spans of the right side are to a span of the left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// `>`
    Child,
    /// `<`
    Parent,
    /// `>>`
    Descendant,
    /// `<<`
    Ancestor,
    /// `~`
    Sibling,
}

/// Which spans a structural operator returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StructuralMode {
    /// Those of the right side that have the relation.
    Right,
    /// `!`: those of the right side that do not.
    NotRight,
    /// `&`: those of both sides that have it.
    Both,
}

/// `lhs op rhs` between numbers of a spanset.
#[derive(Clone, Debug, PartialEq)]
pub struct ScalarFilter {
    /// Left side.
    pub lhs: Scalar,
    /// Neither of the regular expressions.
    pub op: Comparison,
    /// Right side.
    pub rhs: Scalar,
}

/// A number of a spanset.
#[derive(Clone, Debug, PartialEq)]
pub enum Scalar {
    /// A literal.
    Literal(Static),
    /// `avg(duration)`
    Aggregate(Aggregate),
    /// `({ … } | count())`
    Pipeline(Pipeline, Aggregate),
    /// Arithmetic.
    Binary {
        /// Which.
        op: Arithmetic,
        /// Left side.
        lhs: Box<Scalar>,
        /// Right side.
        rhs: Box<Scalar>,
    },
}

/// A function over the spans of a spanset.
#[derive(Clone, Debug, PartialEq)]
pub enum Aggregate {
    /// `count()`
    Count,
    /// `min(…)`
    Min(Expr),
    /// `max(…)`
    Max(Expr),
    /// `avg(…)`
    Avg(Expr),
    /// `sum(…)`
    Sum(Expr),
}

/// An expression over one span.
#[derive(Clone, Debug, PartialEq)]
pub enum Expr {
    /// A literal; a negative number is a literal too.
    Literal(Static),
    /// An attribute or intrinsic.
    Identifier(Identifier),
    /// `!…`
    Not(Box<Expr>),
    /// `-…`
    Negate(Box<Expr>),
    /// `&&` or `||` between two or more, none of them of the same operator.
    Logical {
        /// Which.
        op: Logical,
        /// Operands.
        terms: Vec<Expr>,
    },
    /// `=`, `<`, `=~`, …
    Compare {
        /// Which.
        op: Comparison,
        /// Left side.
        lhs: Box<Expr>,
        /// Right side.
        rhs: Box<Expr>,
    },
    /// `+`, `*`, …
    Arithmetic {
        /// Which.
        op: Arithmetic,
        /// Left side.
        lhs: Box<Expr>,
        /// Right side.
        rhs: Box<Expr>,
    },
}

/// A comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Comparison {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
    /// `=~`
    Matches,
    /// `!~`
    NotMatches,
}

/// An arithmetic operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arithmetic {
    /// `+`
    Add,
    /// `-`
    Subtract,
    /// `*`
    Multiply,
    /// `/`
    Divide,
    /// `%`
    Remainder,
    /// `^`
    Power,
}

/// What a metrics query computes.
#[derive(Clone, Debug, PartialEq)]
pub struct Metrics {
    /// The function.
    pub function: MetricsFunction,
    /// `by (…)`
    pub by: Vec<Identifier>,
    /// What follows, in order.
    pub second: Vec<SecondStage>,
}

/// A metrics function.
#[derive(Clone, Debug, PartialEq)]
pub enum MetricsFunction {
    /// `rate()`
    Rate,
    /// `count_over_time()`
    CountOverTime,
    /// `min_over_time(…)`
    MinOverTime(Identifier),
    /// `max_over_time(…)`
    MaxOverTime(Identifier),
    /// `avg_over_time(…)`
    AvgOverTime(Identifier),
    /// `sum_over_time(…)`
    SumOverTime(Identifier),
    /// `histogram_over_time(…)`
    HistogramOverTime(Identifier),
    /// `quantile_over_time(…, q, …)`
    QuantileOverTime(Identifier, Vec<f64>),
    /// `compare({…}, …)`
    Compare {
        /// What is the selection.
        filter: Expr,
        /// Most values an attribute.
        top: Option<i64>,
        /// Start and end of the selection, unix nanoseconds.
        window: Option<(i64, i64)>,
    },
}

/// What is done with the series of a metrics query.
#[derive(Clone, Debug, PartialEq)]
pub enum SecondStage {
    /// `| topk(n)`
    TopK(i64),
    /// `| bottomk(n)`
    BottomK(i64),
    /// `> 5`
    Compare(Comparison, Static),
}

/// `name=value` of a `with (…)`.
#[derive(Clone, Debug, PartialEq)]
pub struct Hint {
    /// Name.
    pub name: String,
    /// Value.
    pub value: Static,
}

impl Logical {
    /// The operator.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::And => "&&",
            Self::Or => "||",
        }
    }
}

impl Comparison {
    /// Every comparison.
    pub const ALL: [Self; 8] = [
        Self::Equal,
        Self::NotEqual,
        Self::Less,
        Self::LessOrEqual,
        Self::Greater,
        Self::GreaterOrEqual,
        Self::Matches,
        Self::NotMatches,
    ];

    /// The operator.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
            Self::Matches => "=~",
            Self::NotMatches => "!~",
        }
    }

    /// The comparison that says the same with the sides swapped.
    pub(crate) fn flipped(self) -> Self {
        match self {
            Self::Less => Self::Greater,
            Self::LessOrEqual => Self::GreaterOrEqual,
            Self::Greater => Self::Less,
            Self::GreaterOrEqual => Self::LessOrEqual,
            same => same,
        }
    }

    pub(crate) fn is_regex(self) -> bool {
        matches!(self, Self::Matches | Self::NotMatches)
    }

    pub(crate) fn is_equality(self) -> bool {
        matches!(self, Self::Equal | Self::NotEqual)
    }
}

impl Arithmetic {
    /// The operator.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
            Self::Remainder => "%",
            Self::Power => "^",
        }
    }
}

impl Structural {
    /// Every structural operator.
    pub const ALL: [(&'static str, Self); 15] = [
        (">", Self::new(Relation::Child, StructuralMode::Right)),
        ("<", Self::new(Relation::Parent, StructuralMode::Right)),
        (">>", Self::new(Relation::Descendant, StructuralMode::Right)),
        ("<<", Self::new(Relation::Ancestor, StructuralMode::Right)),
        ("~", Self::new(Relation::Sibling, StructuralMode::Right)),
        ("!>", Self::new(Relation::Child, StructuralMode::NotRight)),
        ("!<", Self::new(Relation::Parent, StructuralMode::NotRight)),
        ("!>>", Self::new(Relation::Descendant, StructuralMode::NotRight)),
        ("!<<", Self::new(Relation::Ancestor, StructuralMode::NotRight)),
        ("!~", Self::new(Relation::Sibling, StructuralMode::NotRight)),
        ("&>", Self::new(Relation::Child, StructuralMode::Both)),
        ("&<", Self::new(Relation::Parent, StructuralMode::Both)),
        ("&>>", Self::new(Relation::Descendant, StructuralMode::Both)),
        ("&<<", Self::new(Relation::Ancestor, StructuralMode::Both)),
        ("&~", Self::new(Relation::Sibling, StructuralMode::Both)),
    ];

    const fn new(relation: Relation, mode: StructuralMode) -> Self {
        Self { relation, mode }
    }

    /// The operator.
    pub fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(_, op)| *op == self).map_or("", |(text, _)| text)
    }

    pub(crate) fn from_symbol(symbol: &str) -> Option<Self> {
        Self::ALL.iter().find(|(text, _)| *text == symbol).map(|(_, op)| *op)
    }
}

impl Relation {
    /// What the left side is to the right.
    pub(crate) fn inverse(self) -> Self {
        match self {
            Self::Child => Self::Parent,
            Self::Parent => Self::Child,
            Self::Descendant => Self::Ancestor,
            Self::Ancestor => Self::Descendant,
            Self::Sibling => Self::Sibling,
        }
    }
}

impl Aggregate {
    /// The expression aggregated; `count()` has none.
    pub(crate) fn argument(&self) -> Option<&Expr> {
        match self {
            Self::Count => None,
            Self::Min(expr) | Self::Max(expr) | Self::Avg(expr) | Self::Sum(expr) => Some(expr),
        }
    }
}
