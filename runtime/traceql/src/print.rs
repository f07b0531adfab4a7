//! The syntax tree as text: canonical TraceQL that parses to the same tree.

use std::fmt::{self, Display, Formatter};

use crate::Static;
use crate::ast::{
    Aggregate, Expr, Hint, Metrics, MetricsFunction, Pipeline, Root, Scalar, ScalarFilter, SecondStage,
    SpansetExpr, Stage,
};

impl Display for Root {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.pipeline)?;
        if let Some(metrics) = &self.metrics {
            write!(f, " | {metrics}")?;
        }
        if !self.hints.is_empty() {
            f.write_str(" with (")?;
            write_list(f, &self.hints)?;
            f.write_str(")")?;
        }
        Ok(())
    }
}

impl Display for Hint {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.name, self.value)
    }
}

impl Display for Pipeline {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write_joined(f, &self.stages, " | ", |f, stage| write!(f, "{stage}"))
    }
}

impl Display for Stage {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Spansets(expr) => write!(f, "{expr}"),
            Self::Scalar(filter) => write!(f, "{filter}"),
            Self::By(expr) => write!(f, "by({expr})"),
            Self::Coalesce => f.write_str("coalesce()"),
            Self::Select(names) => {
                f.write_str("select(")?;
                write_list(f, names)?;
                f.write_str(")")
            }
        }
    }
}

impl Display for SpansetExpr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Filter(expr) => write!(f, "{{ {expr} }}"),
            Self::Pipeline(pipeline) => write!(f, "({pipeline})"),
            Self::Logical { op, terms } => {
                write_joined(f, terms, &format!(" {} ", op.as_str()), write_spanset_operand)
            }
            Self::Structural { op, lhs, rhs } => {
                write_spanset_operand(f, lhs)?;
                write!(f, " {} ", op.as_str())?;
                write_spanset_operand(f, rhs)
            }
        }
    }
}

fn write_spanset_operand(f: &mut Formatter<'_>, expr: &SpansetExpr) -> fmt::Result {
    match expr {
        SpansetExpr::Filter(_) | SpansetExpr::Pipeline(_) => write!(f, "{expr}"),
        SpansetExpr::Logical { .. } | SpansetExpr::Structural { .. } => write!(f, "({expr})"),
    }
}

impl Display for ScalarFilter {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write_scalar_operand(f, &self.lhs)?;
        write!(f, " {} ", self.op.as_str())?;
        write_scalar_operand(f, &self.rhs)
    }
}

impl Display for Scalar {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Literal(value) => write!(f, "{value}"),
            Self::Aggregate(aggregate) => write!(f, "{aggregate}"),
            Self::Pipeline(pipeline, aggregate) => write!(f, "({pipeline} | {aggregate})"),
            Self::Binary { op, lhs, rhs } => {
                write_scalar_operand(f, lhs)?;
                write!(f, " {} ", op.as_str())?;
                write_scalar_operand(f, rhs)
            }
        }
    }
}

fn write_scalar_operand(f: &mut Formatter<'_>, scalar: &Scalar) -> fmt::Result {
    match scalar {
        Scalar::Binary { .. } => write!(f, "({scalar})"),
        Scalar::Literal(value) if is_negative(value) => write!(f, "({scalar})"),
        Scalar::Literal(_) | Scalar::Aggregate(_) | Scalar::Pipeline(..) => write!(f, "{scalar}"),
    }
}

impl Display for Aggregate {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count => f.write_str("count()"),
            Self::Min(expr) => write!(f, "min({expr})"),
            Self::Max(expr) => write!(f, "max({expr})"),
            Self::Avg(expr) => write!(f, "avg({expr})"),
            Self::Sum(expr) => write!(f, "sum({expr})"),
        }
    }
}

impl Display for Expr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Literal(value) => write!(f, "{value}"),
            Self::Identifier(name) => write!(f, "{name}"),
            Self::Not(operand) => {
                f.write_str("!")?;
                write_operand(f, operand)
            }
            Self::Negate(operand) => {
                f.write_str("-")?;
                write_operand(f, operand)
            }
            Self::Logical { op, terms } => {
                write_joined(f, terms, &format!(" {} ", op.as_str()), write_operand)
            }
            Self::Compare { op, lhs, rhs } => write_binary(f, op.as_str(), lhs, rhs),
            Self::Arithmetic { op, lhs, rhs } => write_binary(f, op.as_str(), lhs, rhs),
        }
    }
}

fn write_binary(f: &mut Formatter<'_>, op: &str, lhs: &Expr, rhs: &Expr) -> fmt::Result {
    write_operand(f, lhs)?;
    write!(f, " {op} ")?;
    match rhs {
        Expr::Literal(value) => write!(f, "{value}"),
        rhs => write_operand(f, rhs),
    }
}

/// In parentheses unless it is a single word. A negative number is none on the left: `-1 ^ 2` is
/// `-(1 ^ 2)`.
fn write_operand(f: &mut Formatter<'_>, expr: &Expr) -> fmt::Result {
    match expr {
        Expr::Identifier(_) => write!(f, "{expr}"),
        Expr::Literal(value) if !is_negative(value) => write!(f, "{expr}"),
        _ => write!(f, "({expr})"),
    }
}

fn is_negative(value: &Static) -> bool {
    match value {
        Static::Int(value) | Static::Duration(value) => *value < 0,
        Static::Float(value) => value.is_sign_negative(),
        _ => false,
    }
}

impl Display for Metrics {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.function)?;
        if !self.by.is_empty() {
            f.write_str(" by (")?;
            write_list(f, &self.by)?;
            f.write_str(")")?;
        }
        self.second.iter().try_for_each(|stage| write!(f, "{stage}"))
    }
}

impl Display for MetricsFunction {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rate => f.write_str("rate()"),
            Self::CountOverTime => f.write_str("count_over_time()"),
            Self::MinOverTime(name) => write!(f, "min_over_time({name})"),
            Self::MaxOverTime(name) => write!(f, "max_over_time({name})"),
            Self::AvgOverTime(name) => write!(f, "avg_over_time({name})"),
            Self::SumOverTime(name) => write!(f, "sum_over_time({name})"),
            Self::HistogramOverTime(name) => write!(f, "histogram_over_time({name})"),
            Self::QuantileOverTime(name, quantiles) => {
                write!(f, "quantile_over_time({name}")?;
                quantiles.iter().try_for_each(|quantile| write!(f, ", {quantile:?}"))?;
                f.write_str(")")
            }
            Self::Compare { filter, top, window } => {
                write!(f, "compare({{ {filter} }}")?;
                if let Some(top) = top {
                    write!(f, ", {top}")?;
                }
                if let Some((start, end)) = window {
                    write!(f, ", {start}, {end}")?;
                }
                f.write_str(")")
            }
        }
    }
}

impl Display for SecondStage {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::TopK(n) => write!(f, " | topk({n})"),
            Self::BottomK(n) => write!(f, " | bottomk({n})"),
            Self::Compare(op, value) => write!(f, " {} {value}", op.as_str()),
        }
    }
}

fn write_list<T: Display>(f: &mut Formatter<'_>, items: &[T]) -> fmt::Result {
    write_joined(f, items, ", ", |f, item| write!(f, "{item}"))
}

fn write_joined<T>(
    f: &mut Formatter<'_>,
    items: &[T],
    separator: &str,
    write: impl Fn(&mut Formatter<'_>, &T) -> fmt::Result,
) -> fmt::Result {
    for (position, item) in items.iter().enumerate() {
        if position > 0 {
            f.write_str(separator)?;
        }
        write(f, item)?;
    }
    Ok(())
}
