//! The meaning of filters, span by span on plain structures: what the columns are checked against.

use std::cell::Cell;

use super::model::{Attributes, Below, InContext};
use crate::ast::{Comparison, Expr, Logical};
use crate::pattern::Pattern;
use crate::{AttributeScope, Identifier, Level, Static, operate};

/// What evaluating a filter on one span may come to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Verdict {
    /// Whether the span is kept; `None` if the query must fail.
    pub(super) kept: Option<bool>,
    /// Whether it may fail: depends on the order in which terms are looked at.
    pub(super) may_fail: bool,
}

pub(super) fn judge(expr: &Expr, span: InContext<'_>) -> Verdict {
    let naive = Naive { span, failed: Cell::new(false) };
    let kept = naive.truth(expr);
    Verdict { kept, may_fail: naive.failed.get() }
}

struct Naive<'a> {
    span: InContext<'a>,
    failed: Cell<bool>,
}

#[derive(Clone, Copy, Default)]
struct Place<'a> {
    event: Option<&'a Below>,
    link: Option<&'a Below>,
}

impl<'a> Naive<'a> {
    /// `None` is a failure.
    fn truth(&self, expr: &Expr) -> Option<bool> {
        match expr {
            Expr::Literal(value) => Some(value.is_true()),
            Expr::Identifier(name) => Some(self.condition(name, Comparison::Equal, &Static::Bool(true))),
            Expr::Logical { op, terms } => {
                let all: Vec<Option<bool>> = terms.iter().map(|term| self.truth(term)).collect();
                let decisive = *op == Logical::Or;
                if all.contains(&Some(decisive)) {
                    return Some(decisive);
                }
                if all.contains(&None) { None } else { Some(!decisive) }
            }
            Expr::Not(inner)
                if matches!(**inner, Expr::Not(_) | Expr::Compare { .. } | Expr::Logical { .. }) =>
            {
                self.truth(inner).map(|value| !value)
            }
            Expr::Compare { op, lhs, rhs } => match (&**lhs, &**rhs) {
                (Expr::Identifier(name), Expr::Literal(value)) => Some(self.condition(name, *op, value)),
                (Expr::Literal(value), Expr::Identifier(name)) => {
                    Some(self.condition(name, op.flipped(), value))
                }
                _ => self.anywhere(expr),
            },
            _ => self.anywhere(expr),
        }
    }

    /// True for some event and link, if it looks at any.
    fn anywhere(&self, expr: &Expr) -> Option<bool> {
        let some_or_none = |below: &'a [Below], level: Level| -> Vec<Option<&'a Below>> {
            match below.is_empty() || !mentions(expr, level) {
                true => vec![None],
                false => below.iter().map(Some).collect(),
            }
        };
        for event in some_or_none(&self.span.span.events, Level::Event) {
            for link in some_or_none(&self.span.span.links, Level::Link) {
                if self.value(expr, Place { event, link })?.is_true() {
                    return Some(true);
                }
            }
        }
        Some(false)
    }

    fn value(&self, expr: &Expr, place: Place<'a>) -> Option<Static> {
        let nested = |side: &Expr| match side {
            Expr::Compare { .. } | Expr::Logical { .. } => self.truth(side).map(Static::Bool),
            side => self.value(side, place),
        };
        let result = match expr {
            Expr::Literal(value) => Ok(value.clone()),
            Expr::Identifier(name) => Ok(self.lookup(name, place)),
            Expr::Logical { .. } => Ok(Static::Bool(self.truth(expr)?)),
            Expr::Not(operand) => operate::not(&nested(operand)?, String::new),
            Expr::Negate(operand) => operate::negate(&nested(operand)?, String::new),
            Expr::Compare { op, lhs, rhs } => {
                operate::compare(*op, &nested(lhs)?, &nested(rhs)?, String::new).map(Static::Bool)
            }
            Expr::Arithmetic { op, lhs, rhs } => {
                operate::calculate(*op, &nested(lhs)?, &nested(rhs)?, String::new)
            }
        };
        result.inspect_err(|_| self.failed.set(true)).ok()
    }

    fn lookup(&self, name: &Identifier, place: Place<'a>) -> Static {
        let bound = match level(name) {
            Level::Event => place.event,
            Level::Link => place.link,
            _ => None,
        };
        if let Some(below) = bound {
            return value_below(name, below).unwrap_or(Static::Nil);
        }
        self.values(name).into_iter().flatten().next().unwrap_or(Static::Nil)
    }

    /// The values in the places where the field may be; `None` in one that lacks it.
    fn values(&self, name: &Identifier) -> Vec<Option<Static>> {
        let InContext { trace, resource, scope, span } = self.span;
        let get = |attributes: &Attributes, key: &str| attributes.get(key).cloned();
        match (name, level(name)) {
            (name, Level::Event) => span.events.iter().map(|below| value_below(name, below)).collect(),
            (name, Level::Link) => span.links.iter().map(|below| value_below(name, below)).collect(),
            (Identifier::Unscoped(key), _) => {
                vec![get(&span.attributes, key).or_else(|| get(&resource.attributes, key))]
            }
            (Identifier::Scoped(AttributeScope::Span, key), _) => vec![get(&span.attributes, key)],
            (Identifier::Scoped(AttributeScope::Resource, key), _) => vec![get(&resource.attributes, key)],
            (Identifier::Scoped(_, key), _) => vec![get(&scope.attributes, key)],
            (Identifier::Intrinsic(intrinsic), level) => vec![
                match level {
                    Level::Trace => &trace.intrinsics,
                    Level::Scope => &scope.intrinsics,
                    _ => &span.intrinsics,
                }
                .get(intrinsic)
                .cloned(),
            ],
            (Identifier::ParentAttribute(..) | Identifier::Parent, _) => Vec::new(),
        }
    }

    fn condition(&self, name: &Identifier, op: Comparison, literal: &Static) -> bool {
        if *literal == Static::Nil {
            let missing = match name {
                // Looked for on both levels.
                Identifier::Unscoped(key) if op == Comparison::Equal => {
                    let InContext { resource, span, .. } = self.span;
                    return !span.attributes.contains_key(key) || !resource.attributes.contains_key(key);
                }
                name => self.values(name),
            };
            return match op {
                Comparison::Equal => missing.iter().any(Option::is_none),
                _ => missing.iter().any(Option::is_some),
            };
        }
        let trimmed;
        let literal = match (name, literal) {
            (Identifier::Intrinsic(crate::Intrinsic::TraceId), Static::String(id)) if !op.is_regex() => {
                trimmed = Static::String(id.trim_start_matches('0').to_owned());
                &trimmed
            }
            (_, literal) => literal,
        };
        let is_intrinsic = matches!(name, Identifier::Intrinsic(_));
        let fits = |value: &Static| is_intrinsic || element_type(value) == element_type(literal);
        self.values(name).iter().flatten().any(|value| fits(value) && holds(op, value, literal))
    }
}

fn holds(op: Comparison, value: &Static, literal: &Static) -> bool {
    let (true, Static::String(pattern)) = (op.is_regex(), literal) else {
        return operate::compare(op, value, literal, String::new).unwrap();
    };
    let pattern = Pattern::new(pattern).unwrap();
    match value {
        Static::String(value) => pattern.matches(value) == (op == Comparison::Matches),
        Static::StringArray(values) if op == Comparison::Matches => {
            values.iter().any(|value| pattern.matches(value))
        }
        Static::StringArray(values) => !values.iter().any(|value| pattern.matches(value)),
        _ => false,
    }
}

fn element_type(value: &Static) -> &'static str {
    value.type_name().trim_end_matches(" array")
}

fn level(name: &Identifier) -> Level {
    name.fields().first().map_or(Level::Span, |field| field.level())
}

fn value_below(name: &Identifier, below: &Below) -> Option<Static> {
    match name {
        Identifier::Scoped(_, key) => below.attributes.get(key).cloned(),
        Identifier::Intrinsic(intrinsic) => below.intrinsics.get(intrinsic).cloned(),
        _ => None,
    }
}

/// Whether it names something of `wanted` outside conditions that stand for themselves.
fn mentions(expr: &Expr, wanted: Level) -> bool {
    let side = |expr: &Expr| match expr {
        Expr::Compare { .. } | Expr::Logical { .. } => false,
        expr => mentions(expr, wanted),
    };
    match expr {
        Expr::Literal(_) | Expr::Logical { .. } => false,
        Expr::Identifier(name) => level(name) == wanted,
        Expr::Not(operand) | Expr::Negate(operand) => side(operand),
        Expr::Compare { lhs, rhs, .. } | Expr::Arithmetic { lhs, rhs, .. } => side(lhs) || side(rhs),
    }
}
