//! Constant parts of expressions computed beforehand.

use crate::ast::{
    Aggregate, Comparison, Expr, Logical, MetricsFunction, Pipeline, Root, Scalar, SpansetExpr, Stage,
};
use crate::operate;
use crate::pattern::Pattern;
use crate::{Identifier, Static};

/// Replaces constant expressions by their values. One that fails stays: it fails when it is run.
pub(crate) fn fold(root: &mut Root) {
    fold_pipeline(&mut root.pipeline);
    if let Some(MetricsFunction::Compare { filter, .. }) = root.metrics.as_mut().map(|one| &mut one.function)
    {
        fold_expr(filter);
    }
}

fn fold_pipeline(pipeline: &mut Pipeline) {
    for stage in &mut pipeline.stages {
        match stage {
            Stage::Spansets(expr) => fold_spansets(expr),
            Stage::Scalar(filter) => [&mut filter.lhs, &mut filter.rhs].into_iter().for_each(fold_scalar),
            Stage::By(expr) => fold_expr(expr),
            Stage::Coalesce | Stage::Select(_) => {}
        }
    }
}

fn fold_spansets(expr: &mut SpansetExpr) {
    match expr {
        SpansetExpr::Filter(expr) => fold_expr(expr),
        SpansetExpr::Pipeline(pipeline) => fold_pipeline(pipeline),
        SpansetExpr::Logical { terms, .. } => terms.iter_mut().for_each(fold_spansets),
        SpansetExpr::Structural { lhs, rhs, .. } => {
            fold_spansets(lhs);
            fold_spansets(rhs);
        }
    }
}

/// Only the arguments of aggregates: the scalar forms that have more are refused.
fn fold_scalar(scalar: &mut Scalar) {
    if let Scalar::Aggregate(
        Aggregate::Min(expr) | Aggregate::Max(expr) | Aggregate::Avg(expr) | Aggregate::Sum(expr),
    ) = scalar
    {
        fold_expr(expr);
    }
}

/// Folds an expression in place.
pub(crate) fn fold_expr(expr: &mut Expr) {
    match expr {
        Expr::Literal(_) | Expr::Identifier(_) => return,
        Expr::Not(operand) | Expr::Negate(operand) => fold_expr(operand),
        Expr::Logical { terms, .. } => terms.iter_mut().for_each(fold_expr),
        Expr::Compare { lhs, rhs, .. } | Expr::Arithmetic { lhs, rhs, .. } => {
            fold_expr(lhs);
            fold_expr(rhs);
        }
    }
    if let Some(value) = constant(expr).filter(is_printable) {
        *expr = Expr::Literal(value);
    }
}

fn constant(expr: &Expr) -> Option<Static> {
    match expr {
        Expr::Literal(_) | Expr::Identifier(_) => None,
        Expr::Not(operand) => operate::not(operand.as_literal()?, String::new).ok(),
        Expr::Negate(operand) => operate::negate(operand.as_literal()?, String::new).ok(),
        Expr::Logical { op, terms } => {
            let values = terms.iter().map(Expr::as_literal).collect::<Option<Vec<_>>>()?;
            Some(Static::Bool(match op {
                Logical::And => values.into_iter().all(Static::is_true),
                Logical::Or => values.into_iter().any(Static::is_true),
            }))
        }
        Expr::Compare { op, lhs, rhs } => {
            let (lhs, rhs) = (lhs.as_literal()?, rhs.as_literal()?);
            match (op, lhs, rhs) {
                (
                    Comparison::Matches | Comparison::NotMatches,
                    Static::String(text),
                    Static::String(pattern),
                ) => {
                    let found = Pattern::new(pattern).ok()?.matches(text);
                    Some(Static::Bool(found == (*op == Comparison::Matches)))
                }
                _ => operate::compare(*op, lhs, rhs, String::new).ok().map(Static::Bool),
            }
        }
        Expr::Arithmetic { op, lhs, rhs } => {
            operate::calculate(*op, lhs.as_literal()?, rhs.as_literal()?, String::new).ok()
        }
    }
}

/// Infinity and NaN have no literal.
fn is_printable(value: &Static) -> bool {
    !matches!(value, Static::Float(value) if !value.is_finite())
}

impl Expr {
    pub(crate) fn as_literal(&self) -> Option<&Static> {
        match self {
            Self::Literal(value) => Some(value),
            _ => None,
        }
    }

    /// Every attribute and intrinsic in it, from left to right.
    pub(crate) fn identifiers(&self) -> Vec<&Identifier> {
        let mut found = Vec::new();
        self.collect_identifiers(&mut found);
        found
    }

    fn collect_identifiers<'a>(&'a self, found: &mut Vec<&'a Identifier>) {
        match self {
            Self::Literal(_) => {}
            Self::Identifier(name) => found.push(name),
            Self::Not(operand) | Self::Negate(operand) => operand.collect_identifiers(found),
            Self::Logical { terms, .. } => terms.iter().for_each(|term| term.collect_identifiers(found)),
            Self::Compare { lhs, rhs, .. } | Self::Arithmetic { lhs, rhs, .. } => {
                lhs.collect_identifiers(found);
                rhs.collect_identifiers(found);
            }
        }
    }
}
