//! What the grammar allows but the language does not: types, ranges, and what cannot be run.

use std::fmt::Display;

use crate::ast::{
    Aggregate, Arithmetic, Comparison, Expr, Logical, Metrics, MetricsFunction, Pipeline, Root, Scalar,
    ScalarFilter, SecondStage, SpansetExpr, Stage,
};
use crate::identifier::IntrinsicType;
use crate::pattern::Pattern;
use crate::{AttributeScope, Identifier, ParseError, Static};

/// Compiled patterns are bounded one by one; this bounds them together.
const MAX_PATTERNS: usize = 64;
/// Most attributes in the `by` of a metrics function.
const MAX_METRICS_GROUPS: usize = 5;

type Result<T> = std::result::Result<T, ParseError>;

/// The type of an expression, as far as it is known before the query runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Type {
    Nil,
    Number,
    String,
    Bool,
    Status,
    Kind,
    /// Of an attribute: known when the query runs.
    Unknown,
}

/// Checks a whole query.
pub(crate) fn validate(root: &Root) -> Result<()> {
    let mut validator = Validator { patterns: 0 };
    validator.pipeline(&root.pipeline)?;
    root.metrics.as_ref().map_or(Ok(()), |metrics| validator.metrics(metrics))
}

/// Checks the inside of a `{ … }`.
pub(crate) fn validate_filter(expr: &Expr) -> Result<()> {
    Validator { patterns: 0 }.filter(expr)
}

struct Validator {
    patterns: usize,
}

impl Validator {
    fn pipeline(&mut self, pipeline: &Pipeline) -> Result<()> {
        pipeline.stages.iter().try_for_each(|stage| self.stage(stage))
    }

    fn stage(&mut self, stage: &Stage) -> Result<()> {
        match stage {
            Stage::Spansets(expr) => self.spansets(expr),
            Stage::Scalar(filter) => self.scalar_filter(filter),
            Stage::By(expr) => {
                self.expression(expr)?;
                mentions_span(expr, format_args!("by({expr})"))
            }
            Stage::Coalesce => Ok(()),
            Stage::Select(names) => names.iter().try_for_each(runnable),
        }
    }

    fn spansets(&mut self, expr: &SpansetExpr) -> Result<()> {
        match expr {
            SpansetExpr::Filter(expr) => self.filter(expr),
            SpansetExpr::Pipeline(pipeline) => self.pipeline(pipeline),
            SpansetExpr::Logical { terms, .. } => terms.iter().try_for_each(|term| self.spansets(term)),
            SpansetExpr::Structural { lhs, rhs, .. } => {
                self.spansets(lhs)?;
                self.spansets(rhs)
            }
        }
    }

    fn filter(&mut self, expr: &Expr) -> Result<()> {
        let found = self.expression(expr)?;
        match (found, expr) {
            (Type::Bool, _) | (Type::Unknown, Expr::Identifier(_)) => Ok(()),
            _ => invalid(format_args!("a filter must be a condition: `{{ {expr} }}` is not")),
        }
    }

    fn scalar_filter(&mut self, filter: &ScalarFilter) -> Result<()> {
        self.scalar(&filter.lhs)?;
        self.scalar(&filter.rhs)?;
        let (Scalar::Aggregate(_), Scalar::Literal(value)) = (&filter.lhs, &filter.rhs) else {
            let form =
                "only an aggregate compared with a literal, as in `count() > 2`, can be run; anything else";
            return Err(ParseError::Unsupported(format!("`{filter}`: {form}")));
        };
        match literal_type(value) {
            Type::Number => Ok(()),
            _ => invalid(format_args!("`{filter}` compares a number with something else")),
        }
    }

    fn scalar(&mut self, scalar: &Scalar) -> Result<()> {
        match scalar {
            Scalar::Literal(_) => Ok(()),
            Scalar::Aggregate(aggregate) => self.aggregate(aggregate),
            Scalar::Pipeline(pipeline, aggregate) => {
                self.pipeline(pipeline)?;
                self.aggregate(aggregate)
            }
            Scalar::Binary { lhs, rhs, .. } => {
                self.scalar(lhs)?;
                self.scalar(rhs)
            }
        }
    }

    fn aggregate(&mut self, aggregate: &Aggregate) -> Result<()> {
        let Some(argument) = aggregate.argument() else { return Ok(()) };
        match self.expression(argument)? {
            Type::Number | Type::Unknown => mentions_span(argument, aggregate),
            _ => invalid(format_args!("`{aggregate}` needs a number")),
        }
    }

    fn expression(&mut self, expr: &Expr) -> Result<Type> {
        match expr {
            Expr::Literal(value) => Ok(literal_type(value)),
            Expr::Identifier(name) => {
                runnable(name)?;
                Ok(identifier_type(name))
            }
            Expr::Not(operand) => match self.expression(operand)? {
                Type::Bool | Type::Unknown => Ok(Type::Bool),
                _ => invalid(format_args!("`!` needs a boolean in `{expr}`")),
            },
            Expr::Negate(operand) => match self.expression(operand)? {
                Type::Number | Type::Unknown => Ok(Type::Number),
                _ => invalid(format_args!("`-` needs a number in `{expr}`")),
            },
            Expr::Logical { op, terms } => self.logical(expr, *op, terms),
            Expr::Compare { op, lhs, rhs } => self.compare(expr, *op, lhs, rhs),
            Expr::Arithmetic { op, lhs, rhs } => self.arithmetic(expr, *op, lhs, rhs),
        }
    }

    fn logical(&mut self, expr: &Expr, op: Logical, terms: &[Expr]) -> Result<Type> {
        for term in terms {
            if !matches!(self.expression(term)?, Type::Bool | Type::Unknown) {
                return invalid(format_args!("`{}` needs booleans in `{expr}`", op.as_str()));
            }
        }
        Ok(Type::Bool)
    }

    fn arithmetic(&mut self, expr: &Expr, op: Arithmetic, lhs: &Expr, rhs: &Expr) -> Result<Type> {
        for side in [lhs, rhs] {
            if !matches!(self.expression(side)?, Type::Number | Type::Unknown) {
                return invalid(format_args!("`{}` needs numbers in `{expr}`", op.as_str()));
            }
        }
        Ok(Type::Number)
    }

    fn compare(&mut self, expr: &Expr, op: Comparison, lhs: &Expr, rhs: &Expr) -> Result<Type> {
        let (left, right) = (self.expression(lhs)?, self.expression(rhs)?);
        if left == Type::Nil || right == Type::Nil {
            return match (op, lhs, rhs) {
                (Comparison::Equal, Expr::Identifier(name), _)
                | (Comparison::Equal, _, Expr::Identifier(name))
                    if never_nil(name) =>
                {
                    invalid(format_args!("`{name}` is never nil, so `{expr}` cannot match"))
                }
                _ => Ok(Type::Bool),
            };
        }
        if left != right && left != Type::Unknown && right != Type::Unknown {
            return invalid(format_args!("`{expr}` compares values of different types"));
        }
        if ![left, right].into_iter().all(|side| is_comparable(side, op)) {
            return invalid(format_args!("`{}` is not defined for the types in `{expr}`", op.as_str()));
        }
        if op.is_regex() {
            self.pattern(expr, rhs)?;
        }
        Ok(Type::Bool)
    }

    fn pattern(&mut self, expr: &Expr, rhs: &Expr) -> Result<()> {
        let Expr::Literal(Static::String(pattern)) = rhs else {
            return invalid(format_args!("the regular expression must be a string literal in `{expr}`"));
        };
        self.patterns += 1;
        if self.patterns > MAX_PATTERNS {
            return invalid(format_args!("more than {MAX_PATTERNS} regular expressions: join them with `|`"));
        }
        Pattern::new(pattern).map(|_| ()).map_err(ParseError::Invalid)
    }

    fn metrics(&mut self, metrics: &Metrics) -> Result<()> {
        metrics.by.iter().try_for_each(runnable)?;
        self.metrics_function(&metrics.function)?;
        let most = match metrics.function {
            MetricsFunction::AvgOverTime(_)
            | MetricsFunction::HistogramOverTime(_)
            | MetricsFunction::QuantileOverTime(..) => MAX_METRICS_GROUPS - 1,
            _ => MAX_METRICS_GROUPS,
        };
        if metrics.by.len() > most {
            let groups = format!("grouping `{}` by more than {most} attributes", metrics.function);
            return Err(ParseError::Unsupported(groups));
        }
        metrics.second.iter().try_for_each(second_stage)?;
        let is_compare = matches!(metrics.function, MetricsFunction::Compare { .. });
        if is_compare && !metrics.second.is_empty() {
            return invalid("nothing can follow compare()");
        }
        Ok(())
    }

    fn metrics_function(&mut self, function: &MetricsFunction) -> Result<()> {
        match function {
            MetricsFunction::Rate | MetricsFunction::CountOverTime => Ok(()),
            MetricsFunction::MinOverTime(name)
            | MetricsFunction::MaxOverTime(name)
            | MetricsFunction::AvgOverTime(name)
            | MetricsFunction::SumOverTime(name)
            | MetricsFunction::HistogramOverTime(name) => runnable(name),
            MetricsFunction::QuantileOverTime(name, quantiles) => {
                match quantiles.iter().find(|quantile| !(0.0..=1.0).contains(*quantile)) {
                    Some(quantile) => {
                        invalid(format_args!("the quantile {quantile:?} is not between 0 and 1"))
                    }
                    None => runnable(name),
                }
            }
            MetricsFunction::Compare { filter, top, window } => {
                if top.is_some_and(|top| top <= 0) {
                    return invalid("compare() needs a number of values above 0");
                }
                if window.is_some_and(|(start, end)| start >= end) {
                    return invalid("the start of compare() must be before its end");
                }
                self.filter(filter)
            }
        }
    }
}

fn second_stage(stage: &SecondStage) -> Result<()> {
    match stage {
        SecondStage::TopK(n) | SecondStage::BottomK(n) if *n < 1 => {
            invalid(format_args!("`{}` needs a number above 0", stage.to_string().trim_start_matches(" | ")))
        }
        SecondStage::TopK(_) | SecondStage::BottomK(_) | SecondStage::Compare(..) => Ok(()),
    }
}

fn invalid<T>(message: impl Display) -> Result<T> {
    Err(ParseError::Invalid(message.to_string()))
}

fn runnable(name: &Identifier) -> Result<()> {
    match name {
        Identifier::Parent | Identifier::ParentAttribute(..) => {
            Err(ParseError::Unsupported(format!("`{name}`: looking at the parent span")))
        }
        Identifier::Scoped(..) | Identifier::Unscoped(_) | Identifier::Intrinsic(_) => Ok(()),
    }
}

fn never_nil(name: &Identifier) -> bool {
    match name {
        Identifier::Intrinsic(_) => true,
        Identifier::Scoped(AttributeScope::Resource, name) => name == "service.name",
        _ => false,
    }
}

fn mentions_span(expr: &Expr, whole: impl Display) -> Result<()> {
    match expr.identifiers().is_empty() {
        true => invalid(format_args!("`{whole}` does not look at the span")),
        false => Ok(()),
    }
}

fn literal_type(value: &Static) -> Type {
    match value {
        Static::Nil => Type::Nil,
        Static::Int(_) | Static::Float(_) | Static::Duration(_) => Type::Number,
        Static::String(_) => Type::String,
        Static::Bool(_) => Type::Bool,
        Static::Status(_) => Type::Status,
        Static::Kind(_) => Type::Kind,
        Static::IntArray(_) | Static::FloatArray(_) | Static::StringArray(_) | Static::BoolArray(_) => {
            Type::Unknown
        }
    }
}

fn identifier_type(name: &Identifier) -> Type {
    let Identifier::Intrinsic(intrinsic) = name else { return Type::Unknown };
    match intrinsic.value_type() {
        IntrinsicType::Int | IntrinsicType::Duration => Type::Number,
        IntrinsicType::String => Type::String,
        IntrinsicType::Status => Type::Status,
        IntrinsicType::Kind => Type::Kind,
    }
}

fn is_comparable(side: Type, op: Comparison) -> bool {
    match side {
        Type::Unknown => true,
        Type::String => true,
        Type::Number => !op.is_regex(),
        Type::Nil | Type::Bool | Type::Status | Type::Kind => op.is_equality(),
    }
}
