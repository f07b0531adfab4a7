//! A `{ … }` ready to run: conditions on columns, and what must be computed span by span.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use crate::ast::{Comparison, Expr, Logical};
use crate::batch::Spans;
use crate::bitmap::Bitmap;
use crate::compute::Computation;
use crate::reads::FieldTypes;
use crate::{Condition, EvaluateError, Field, Level, Reads, Static};

/// Which spans are kept.
#[derive(Clone, Debug)]
pub(crate) enum Filter {
    /// All or none.
    Constant(bool),
    /// On columns.
    Condition(Condition),
    /// All must hold.
    All(Vec<Filter>),
    /// One must hold.
    Any(Vec<Filter>),
    /// Must not hold.
    Not(Box<Filter>),
    /// Span by span: kept where the result is true.
    Computed(Box<Computation>),
}

impl Filter {
    /// From a validated and folded expression.
    pub(crate) fn new(expr: &Expr) -> Self {
        match expr {
            Expr::Literal(value) => Self::Constant(value.is_true()),
            Expr::Identifier(name) => condition(Condition::new(name, Comparison::Equal, &Static::Bool(true))),
            Expr::Not(operand) => match operand.as_ref() {
                // Always boolean: whatever is missing or unlike made it false already.
                Expr::Not(_) | Expr::Compare { .. } | Expr::Logical { .. } => match Self::new(operand) {
                    Self::Constant(value) => Self::Constant(!value),
                    filter => Self::Not(Box::new(filter)),
                },
                _ => Self::computed(expr),
            },
            Expr::Logical { op, terms } => Self::logical(*op, terms),
            Expr::Compare { op, lhs, rhs } => match (lhs.as_ref(), rhs.as_ref()) {
                (Expr::Identifier(name), Expr::Literal(value)) => condition(Condition::new(name, *op, value)),
                (Expr::Literal(value), Expr::Identifier(name)) => {
                    condition(Condition::new(name, op.flipped(), value))
                }
                _ => Self::computed(expr),
            },
            Expr::Negate(_) | Expr::Arithmetic { .. } => Self::computed(expr),
        }
    }

    fn computed(expr: &Expr) -> Self {
        Self::Computed(Box::new(Computation::new(expr)))
    }

    /// Cheap terms first, so that costly ones see few spans, and a test like `.a != nil` comes before
    /// what would fail on nil.
    fn logical(op: Logical, terms: &[Expr]) -> Self {
        let mut filters: Vec<Self> = terms.iter().map(Self::new).collect();
        let decisive = op == Logical::Or;
        if filters.iter().any(|filter| matches!(filter, Self::Constant(value) if *value == decisive)) {
            return Self::Constant(decisive);
        }
        filters.retain(|filter| !matches!(filter, Self::Constant(_)));
        if op == Logical::Or {
            filters = one_of(filters);
        }
        filters.sort_by_key(Self::cost);
        match (op, filters.len()) {
            (_, 0) => Self::Constant(!decisive),
            (_, 1) => filters.swap_remove(0),
            (Logical::And, _) => Self::All(filters),
            (Logical::Or, _) => Self::Any(filters),
        }
    }

    fn cost(&self) -> u32 {
        match self {
            Self::Constant(_) => 0,
            Self::Condition(condition) => match condition.fields.first().map(|field| field.level()) {
                Some(Level::Trace | Level::Resource | Level::Scope) => 1,
                _ => 2,
            },
            Self::All(filters) | Self::Any(filters) => filters.iter().map(Self::cost).max().unwrap_or(0),
            Self::Not(filter) => filter.cost(),
            Self::Computed(_) => 10,
        }
    }

    /// The spans among `candidates` that are kept.
    ///
    /// # Errors
    /// When an operator meets a value that it is not defined for, in a span that the other terms leave
    /// undecided.
    pub(crate) fn spans(&self, spans: &Spans<'_>, candidates: Bitmap) -> Result<Bitmap, EvaluateError> {
        if candidates.is_empty() {
            return Ok(candidates);
        }
        match self {
            Self::Constant(true) => Ok(candidates),
            Self::Constant(false) => Ok(Bitmap::empty(spans.count())),
            Self::Condition(condition) => {
                let mut found = condition.spans(spans);
                found.intersect(&candidates);
                Ok(found)
            }
            Self::All(filters) => {
                filters.iter().try_fold(candidates, |left, filter| filter.spans(spans, left))
            }
            Self::Any(filters) => {
                let mut found = Bitmap::empty(spans.count());
                let mut undecided = candidates;
                for filter in filters {
                    let more = filter.spans(spans, undecided.clone())?;
                    undecided.subtract(&more);
                    found.unite(&more);
                }
                Ok(found)
            }
            Self::Not(filter) => {
                let mut rest = candidates.clone();
                rest.subtract(&filter.spans(spans, candidates)?);
                Ok(rest)
            }
            Self::Computed(computation) => computation.true_spans(spans, &candidates),
        }
    }

    pub(crate) fn never_matches(&self) -> bool {
        matches!(self, Self::Constant(false))
    }

    /// Adds the fields that it looks at.
    pub(crate) fn reads(&self, fields: &mut FieldTypes) {
        match self {
            Self::Constant(_) => {}
            Self::Condition(condition) => fields.add_condition(condition),
            Self::All(filters) | Self::Any(filters) => filters.iter().for_each(|filter| filter.reads(fields)),
            Self::Not(filter) => filter.reads(fields),
            Self::Computed(computation) => computation.reads(fields),
        }
    }

    /// Conditions that each must hold for a span to be kept.
    pub(crate) fn required(&self) -> Vec<Condition> {
        match self {
            Self::Condition(condition) if condition.needs_value() => vec![condition.clone()],
            Self::All(filters) => filters.iter().flat_map(Self::required).collect(),
            _ => Vec::new(),
        }
    }
}

/// `.a = 1 || .a = 2 || …` as one test of a set: such chains are generated, and long.
fn one_of(filters: Vec<Filter>) -> Vec<Filter> {
    let mut joined: Vec<Filter> = Vec::new();
    let mut position_of: HashMap<(Vec<Field>, Reads), usize> = HashMap::new();
    for filter in filters {
        match filter {
            Filter::Condition(condition) if condition.is_equality() => {
                match position_of.entry((condition.fields.clone(), condition.reads())) {
                    Entry::Occupied(position) => {
                        if let Some(Filter::Condition(known)) = joined.get_mut(*position.get()) {
                            known.or_equal(condition);
                        }
                    }
                    Entry::Vacant(position) => {
                        position.insert(joined.len());
                        joined.push(Filter::Condition(condition));
                    }
                }
            }
            filter => joined.push(filter),
        }
    }
    joined
}

fn condition(condition: Option<Condition>) -> Filter {
    condition.map_or(Filter::Constant(false), Filter::Condition)
}
