//! Tag search (`/api/search?tags=…`) as a query.

use std::time::Duration;

use crate::ast::{Comparison, Expr, Logical, Pipeline, Root, SpansetExpr, Stage};
use crate::pattern::containing;
use crate::{AttributeScope, Identifier, Intrinsic, Query, Static, Status};

/// The query that finds what a search for `tags` (key, value) finds: traces that have each of the tags
/// on some span, and whose duration is within the bounds, both inclusive.
///
/// * `service.name`, `name`, `root.name`, `root.service.name`: the value contains the text;
/// * `status.code`: `unset`, `ok` or `error`; `error=true` also finds spans with status error;
/// * `http.status_code`: an integer (or, if it is none, a string);
/// * any other: a string attribute of the span or its resource that equals the text.
pub fn tag_search_to_query(
    tags: &[(String, String)],
    min_duration: Option<Duration>,
    max_duration: Option<Duration>,
) -> Query {
    let bounds: Vec<Expr> =
        [(Comparison::GreaterOrEqual, min_duration), (Comparison::LessOrEqual, max_duration)]
            .into_iter()
            .filter_map(|(op, bound)| Some(trace_duration(op, bound?)))
            .collect();
    let mut filters: Vec<SpansetExpr> =
        tags.iter().map(|(key, value)| filter(tag(key, value), &bounds)).collect();
    let everything = Expr::Literal(Static::Bool(true));
    let spansets = match filters.len() {
        0 => filter(everything, &bounds),
        1 => filters.remove(0),
        _ => SpansetExpr::Logical { op: Logical::And, terms: filters },
    };
    let pipeline = Pipeline { stages: vec![Stage::Spansets(spansets)] };
    Query::from_valid(Root { pipeline, metrics: None, hints: Vec::new() })
}

fn filter(condition: Expr, bounds: &[Expr]) -> SpansetExpr {
    let mut terms = vec![condition];
    terms.extend_from_slice(bounds);
    SpansetExpr::Filter(match terms.len() {
        1 => terms.remove(0),
        _ => Expr::Logical { op: Logical::And, terms },
    })
}

fn trace_duration(op: Comparison, bound: Duration) -> Expr {
    let nanos = i64::try_from(bound.as_nanos()).unwrap_or(i64::MAX);
    compare(Identifier::Intrinsic(Intrinsic::TraceDuration), op, Static::Duration(nanos))
}

fn tag(key: &str, value: &str) -> Expr {
    let intrinsic = |intrinsic| contains(Identifier::Intrinsic(intrinsic), value);
    match key {
        "service.name" => contains(Identifier::Scoped(AttributeScope::Resource, key.to_owned()), value),
        "name" => intrinsic(Intrinsic::Name),
        "root.name" => intrinsic(Intrinsic::RootName),
        "root.service.name" => intrinsic(Intrinsic::RootService),
        "status.code" => Status::ALL
            .into_iter()
            .find(|status| status.as_str() == value)
            .map_or(Expr::Literal(Static::Bool(false)), status_is),
        "error" if value == "true" => either(vec![status_is(Status::Error), has_text(key, value)]),
        "http.status_code" => match value.parse() {
            Ok(code) => {
                let name = Identifier::Scoped(AttributeScope::Span, key.to_owned());
                compare(name, Comparison::Equal, Static::Int(code))
            }
            Err(_) => has_text(key, value),
        },
        _ => has_text(key, value),
    }
}

/// On the span or on the resource: neither hides the other.
fn has_text(key: &str, value: &str) -> Expr {
    let on = |scope| {
        let name = Identifier::Scoped(scope, key.to_owned());
        compare(name, Comparison::Equal, Static::String(value.to_owned()))
    };
    either(vec![on(AttributeScope::Span), on(AttributeScope::Resource)])
}

/// Flat.
fn either(terms: Vec<Expr>) -> Expr {
    let flat = terms.into_iter().flat_map(|term| match term {
        Expr::Logical { op: Logical::Or, terms } => terms,
        term => vec![term],
    });
    Expr::Logical { op: Logical::Or, terms: flat.collect() }
}

fn status_is(status: Status) -> Expr {
    compare(Identifier::Intrinsic(Intrinsic::Status), Comparison::Equal, Static::Status(status))
}

fn contains(name: Identifier, text: &str) -> Expr {
    compare(name, Comparison::Matches, Static::String(containing(text)))
}

fn compare(name: Identifier, op: Comparison, value: Static) -> Expr {
    Expr::Compare { op, lhs: Box::new(Expr::Identifier(name)), rhs: Box::new(Expr::Literal(value)) }
}
