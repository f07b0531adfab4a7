//! Random queries and traces.

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::select;

use super::model::{Below, Resource, Scope, Span, Trace, text};
use crate::ast::{
    Aggregate, Arithmetic, Comparison, Expr, Hint, Logical, Metrics, MetricsFunction, Pipeline, Root, Scalar,
    ScalarFilter, SecondStage, SpansetExpr, Stage, Structural,
};
use crate::parse::join_logical;
use crate::{AttributeScope, Identifier, Intrinsic, Kind, Static, Status};

pub(super) fn attribute() -> impl Strategy<Value = Identifier> {
    let name = || select(vec!["a", "b", "c"]).prop_map(str::to_owned);
    prop_oneof![
        name().prop_map(Identifier::Unscoped),
        (select(AttributeScope::ALL.to_vec()), name())
            .prop_map(|(scope, name)| Identifier::Scoped(scope, name)),
    ]
}

fn intrinsics(all: &[Intrinsic]) -> impl Strategy<Value = Identifier> + use<> {
    select(all.to_vec()).prop_map(Identifier::Intrinsic)
}

const NUMBERS: [Intrinsic; 4] = [
    Intrinsic::Duration,
    Intrinsic::TraceDuration,
    Intrinsic::EventTimeSinceStart,
    Intrinsic::NestedSetParent,
];
const STRINGS: [Intrinsic; 5] = [
    Intrinsic::Name,
    Intrinsic::EventName,
    Intrinsic::InstrumentationName,
    Intrinsic::LinkTraceId,
    Intrinsic::TraceId,
];

fn number_literal() -> impl Strategy<Value = Static> {
    prop_oneof![
        (-3_i64..6).prop_map(Static::Int),
        select(vec![-1.5, 0.0, 1.0, 2.0, 2.5, 5.0]).prop_map(Static::Float),
        (0_i64..6).prop_map(Static::Duration),
    ]
}

fn string_literal() -> impl Strategy<Value = Static> {
    select(vec!["", "x", "y", "xy", "00x"]).prop_map(text)
}

fn literal() -> impl Strategy<Value = Static> {
    prop_oneof![
        3 => number_literal(),
        3 => string_literal(),
        2 => any::<bool>().prop_map(Static::Bool),
        1 => status().prop_map(Static::Status),
        1 => kind().prop_map(Static::Kind),
    ]
}

fn status() -> impl Strategy<Value = Status> {
    select(Status::ALL.to_vec())
}

fn kind() -> impl Strategy<Value = Kind> {
    select(Kind::ALL.to_vec())
}

fn ordering() -> impl Strategy<Value = Comparison> {
    select(Comparison::ALL[..6].to_vec())
}

fn equality() -> impl Strategy<Value = Comparison> {
    select(Comparison::ALL[..2].to_vec())
}

fn regex() -> impl Strategy<Value = (Comparison, Static)> {
    let pattern = select(vec!["x", "x.*", "[xy]", "", "(?i)X|y"]).prop_map(text);
    (select(Comparison::ALL[6..].to_vec()), pattern)
}

fn compare(op: Comparison, lhs: Expr, rhs: Expr) -> Expr {
    Expr::Compare { op, lhs: Box::new(lhs), rhs: Box::new(rhs) }
}

fn comparable(op: Comparison, value: &Static) -> bool {
    op.is_equality() || !matches!(value, Static::Bool(_) | Static::Status(_) | Static::Kind(_))
}

/// A number, or an attribute that may be one.
fn number() -> impl Strategy<Value = Expr> {
    let leaf = prop_oneof![
        number_literal().prop_map(Expr::Literal),
        attribute().prop_map(Expr::Identifier),
        intrinsics(&NUMBERS).prop_map(Expr::Identifier),
    ];
    leaf.prop_recursive(3, 8, 2, |inner| {
        let operator = select(vec![
            Arithmetic::Add,
            Arithmetic::Subtract,
            Arithmetic::Multiply,
            Arithmetic::Divide,
            Arithmetic::Remainder,
            Arithmetic::Power,
        ]);
        prop_oneof![
            4 => (operator, inner.clone(), inner.clone()).prop_map(|(op, lhs, rhs)| Expr::Arithmetic {
                op,
                lhs: Box::new(lhs),
                rhs: Box::new(rhs)
            }),
            1 => inner.prop_map(|operand| match operand {
                // A negated literal is a literal.
                Expr::Literal(_) => operand,
                operand => Expr::Negate(Box::new(operand)),
            }),
        ]
    })
}

fn simple_condition() -> impl Strategy<Value = Expr> {
    prop_oneof![
        1 => attribute().prop_map(Expr::Identifier),
        4 => (attribute(), ordering(), literal())
            .prop_filter("defined for the type", |(_, op, value)| comparable(*op, value))
            .prop_map(|(name, op, value)| compare(op, Expr::Identifier(name), Expr::Literal(value))),
        1 => (attribute(), ordering(), literal())
            .prop_filter("defined for the type", |(_, op, value)| comparable(*op, value))
            .prop_map(|(name, op, value)| compare(op, Expr::Literal(value), Expr::Identifier(name))),
        1 => (attribute(), equality())
            .prop_map(|(name, op)| compare(op, Expr::Identifier(name), Expr::Literal(Static::Nil))),
        1 => (attribute(), regex())
            .prop_map(|(name, (op, value))| compare(op, Expr::Identifier(name), Expr::Literal(value))),
        2 => (intrinsics(&NUMBERS), ordering(), number_literal())
            .prop_map(|(name, op, value)| compare(op, Expr::Identifier(name), Expr::Literal(value))),
        1 => (intrinsics(&STRINGS), ordering(), string_literal())
            .prop_map(|(name, op, value)| compare(op, Expr::Identifier(name), Expr::Literal(value))),
        1 => (intrinsics(&STRINGS), regex())
            .prop_map(|(name, (op, value))| compare(op, Expr::Identifier(name), Expr::Literal(value))),
        1 => (equality(), status()).prop_map(|(op, status)| compare(
            op,
            Expr::Identifier(Identifier::Intrinsic(Intrinsic::Status)),
            Expr::Literal(Static::Status(status))
        )),
        1 => (equality(), kind()).prop_map(|(op, kind)| compare(
            op,
            Expr::Identifier(Identifier::Intrinsic(Intrinsic::Kind)),
            Expr::Literal(Static::Kind(kind))
        )),
    ]
}

/// A valid filter.
pub(super) fn condition() -> impl Strategy<Value = Expr> {
    let leaf = prop_oneof![
        6 => simple_condition(),
        1 => any::<bool>().prop_map(|value| Expr::Literal(Static::Bool(value))),
        1 => (attribute(), ordering(), attribute())
            .prop_map(|(lhs, op, rhs)| compare(op, Expr::Identifier(lhs), Expr::Identifier(rhs))),
        1 => (number(), ordering(), number()).prop_map(|(lhs, op, rhs)| compare(op, lhs, rhs)),
    ];
    leaf.prop_recursive(3, 12, 2, |inner| {
        let logical = select(vec![Logical::And, Logical::Or]);
        prop_oneof![
            5 => (logical, inner.clone(), inner.clone())
                .prop_map(|(op, lhs, rhs)| join_logical(op, lhs, rhs)),
            1 => inner.clone().prop_map(|operand| Expr::Not(Box::new(operand))),
            1 => (equality(), inner.clone(), inner)
                .prop_map(|(op, lhs, rhs)| compare(op, lhs, rhs)),
        ]
    })
}

fn spansets() -> impl Strategy<Value = SpansetExpr> {
    let leaf = condition().prop_map(SpansetExpr::Filter);
    leaf.prop_recursive(3, 5, 2, |inner| {
        let structural = select(Structural::ALL.to_vec());
        let scalar = scalar_filter().prop_map(Stage::Scalar);
        prop_oneof![
            (select(vec![Logical::And, Logical::Or]), inner.clone(), inner.clone()).prop_map(
                |(op, lhs, rhs)| {
                    let terms_of = |expr| match expr {
                        SpansetExpr::Logical { op: same, terms } if same == op => terms,
                        expr => vec![expr],
                    };
                    let terms = terms_of(lhs).into_iter().chain(terms_of(rhs)).collect();
                    SpansetExpr::Logical { op, terms }
                }
            ),
            (structural, inner.clone(), inner.clone()).prop_map(|((_, op), lhs, rhs)| {
                SpansetExpr::Structural { op, lhs: Box::new(lhs), rhs: Box::new(rhs) }
            }),
            (inner, scalar).prop_map(|(expr, filter)| SpansetExpr::Pipeline(Pipeline {
                stages: vec![Stage::Spansets(expr), filter]
            })),
        ]
    })
}

fn scalar() -> impl Strategy<Value = Scalar> {
    prop_oneof![
        Just(Scalar::Aggregate(Aggregate::Count)),
        number().prop_map(|argument| Scalar::Aggregate(Aggregate::Min(argument))),
        number().prop_map(|argument| Scalar::Aggregate(Aggregate::Max(argument))),
        number().prop_map(|argument| Scalar::Aggregate(Aggregate::Avg(argument))),
        number().prop_map(|argument| Scalar::Aggregate(Aggregate::Sum(argument))),
        number_literal().prop_map(Scalar::Literal),
        (condition(), number_literal()).prop_map(|(filter, value)| Scalar::Binary {
            op: Arithmetic::Multiply,
            lhs: Box::new(Scalar::Pipeline(
                Pipeline { stages: vec![Stage::Spansets(SpansetExpr::Filter(filter))] },
                Aggregate::Count
            )),
            rhs: Box::new(Scalar::Literal(value)),
        }),
    ]
}

fn scalar_filter() -> impl Strategy<Value = ScalarFilter> {
    (scalar(), ordering(), scalar()).prop_map(|(lhs, op, rhs)| ScalarFilter { lhs, op, rhs })
}

fn stage() -> impl Strategy<Value = Stage> {
    prop_oneof![
        2 => spansets().prop_map(Stage::Spansets),
        1 => scalar_filter().prop_map(Stage::Scalar),
        1 => condition().prop_map(Stage::By),
        1 => Just(Stage::Coalesce),
        1 => vec(any_identifier(), 1..4).prop_map(Stage::Select),
    ]
}

/// Names of every kind, needing quotes or not.
fn any_identifier() -> impl Strategy<Value = Identifier> {
    let name = || "[a-z0-9.:\"\\\\ {}=/ä-]{1,8}|(span|resource)\\.[a-z]";
    prop_oneof![
        name().prop_map(Identifier::Unscoped),
        (select(AttributeScope::ALL.to_vec()), name())
            .prop_map(|(scope, name)| Identifier::Scoped(scope, name)),
        select(Intrinsic::ALL.to_vec()).prop_map(Identifier::Intrinsic),
        name().prop_map(|name| Identifier::ParentAttribute(None, name)),
        name().prop_map(|name| Identifier::ParentAttribute(Some(AttributeScope::Resource), name)),
        Just(Identifier::Parent),
    ]
}

fn metrics() -> impl Strategy<Value = Metrics> {
    let function = prop_oneof![
        Just(MetricsFunction::Rate),
        Just(MetricsFunction::CountOverTime),
        any_identifier().prop_map(MetricsFunction::SumOverTime),
        any_identifier().prop_map(MetricsFunction::HistogramOverTime),
        (any_identifier(), vec(0.0..1.0_f64, 1..3))
            .prop_map(|(name, quantiles)| MetricsFunction::QuantileOverTime(name, quantiles)),
    ];
    let second = prop_oneof![
        (1_i64..9).prop_map(SecondStage::TopK),
        (1_i64..9).prop_map(SecondStage::BottomK),
        (ordering(), number_literal()).prop_map(|(op, value)| SecondStage::Compare(op, value)),
    ];
    let with_groups = (function, vec(any_identifier(), 0..3), vec(second, 0..3))
        .prop_map(|(function, by, second)| Metrics { function, by, second });
    let window = proptest::option::of((1_i64..9, 1_i64..9));
    let compare = (condition(), 1_i64..9, window).prop_map(|(filter, top, window)| Metrics {
        function: MetricsFunction::Compare { filter, top: Some(top), window },
        by: Vec::new(),
        second: Vec::new(),
    });
    prop_oneof![with_groups, compare]
}

/// A tree of the grammar; it need not be valid.
pub(super) fn root() -> impl Strategy<Value = Root> {
    let hint = ("[a-z_]{1,6}", literal()).prop_map(|(name, value)| Hint { name, value });
    let stages = (spansets(), vec(stage(), 0..3)).prop_map(|(first, rest)| {
        let mut stages = vec![Stage::Spansets(first)];
        stages.extend(rest);
        Pipeline { stages }
    });
    (stages, proptest::option::of(metrics()), vec(hint, 0..3)).prop_map(|(pipeline, metrics, hints)| Root {
        pipeline,
        metrics,
        hints,
    })
}

fn value() -> impl Strategy<Value = Static> {
    let string = || select(vec!["", "x", "y", "xy"]).prop_map(str::to_owned);
    let float = || select(vec![-1.5, 0.0, 1.0, 2.0, 2.5]);
    prop_oneof![
        3 => (-3_i64..6).prop_map(Static::Int),
        2 => float().prop_map(Static::Float),
        3 => string().prop_map(Static::String),
        3 => any::<bool>().prop_map(Static::Bool),
        1 => vec(-3_i64..6, 2..4).prop_map(Static::IntArray),
        1 => vec(float(), 2..4).prop_map(Static::FloatArray),
        1 => vec(string(), 2..4).prop_map(Static::StringArray),
        1 => vec(any::<bool>(), 2..4).prop_map(Static::BoolArray),
    ]
}

fn attributes() -> impl Strategy<Value = super::model::Attributes> {
    btree_map(select(vec!["a", "b", "c"]).prop_map(str::to_owned), value(), 0..3)
}

fn small_string() -> impl Strategy<Value = Static> {
    select(vec!["", "x", "y", "xy"]).prop_map(text)
}

fn below(name: Intrinsic) -> impl Strategy<Value = Below> {
    (small_string(), 0_i64..6, attributes()).prop_map(move |(text, since, attributes)| {
        let mut intrinsics = [(name, text)].into_iter().collect::<std::collections::BTreeMap<_, _>>();
        if name == Intrinsic::EventName {
            intrinsics.insert(Intrinsic::EventTimeSinceStart, Static::Duration(since));
        }
        Below { intrinsics, attributes }
    })
}

fn span() -> impl Strategy<Value = Span> {
    let events = vec(below(Intrinsic::EventName), 0..3);
    let links = vec(below(Intrinsic::LinkTraceId), 0..3);
    let numbers = (0_i64..6, -1_i64..3);
    (small_string(), numbers, status(), kind(), attributes(), events, links).prop_map(
        |(name, (duration, parent), status, kind, attributes, events, links)| {
            let intrinsics = [
                (Intrinsic::Name, name),
                (Intrinsic::Duration, Static::Duration(duration)),
                (Intrinsic::Status, Static::Status(status)),
                (Intrinsic::Kind, Static::Kind(kind)),
                (Intrinsic::NestedSetParent, Static::Int(parent)),
            ];
            Span { intrinsics: intrinsics.into_iter().collect(), attributes, events, links }
        },
    )
}

/// A few small traces; some resources have no spans.
pub(super) fn traces() -> impl Strategy<Value = Vec<Trace>> {
    let scope =
        (small_string(), attributes(), vec(span(), 0..3)).prop_map(|(name, attributes, spans)| Scope {
            intrinsics: [(Intrinsic::InstrumentationName, name)].into_iter().collect(),
            attributes,
            spans,
        });
    let resource =
        (attributes(), vec(scope, 0..3)).prop_map(|(attributes, scopes)| Resource { attributes, scopes });
    let trace = (small_string(), 0_i64..6, vec(resource, 0..3)).prop_map(|(id, duration, resources)| Trace {
        intrinsics: [(Intrinsic::TraceId, id), (Intrinsic::TraceDuration, Static::Duration(duration))]
            .into_iter()
            .collect(),
        resources,
    });
    vec(trace, 0..4)
}
