//! Numbers of a spanset.

use crate::ast::{Aggregate, Comparison};
use crate::batch::Spans;
use crate::bitmap::Bitmap;
use crate::compute::{Computation, Values};
use crate::operate;
use crate::reads::FieldTypes;
use crate::{EvaluateError, SpanSet, Static};

/// `aggregate op literal`, ready to run.
#[derive(Clone, Debug)]
pub(crate) struct AggregateFilter {
    function: Function,
    argument: Option<Computation>,
    op: Comparison,
    literal: Static,
    /// The aggregate as it prints: key of its value in results.
    name: String,
}

#[derive(Clone, Copy, Debug)]
enum Function {
    Count,
    Min,
    Max,
    Avg,
    Sum,
}

impl AggregateFilter {
    pub(crate) fn new(aggregate: &Aggregate, op: Comparison, literal: &Static) -> Self {
        let function = match aggregate {
            Aggregate::Count => Function::Count,
            Aggregate::Min(_) => Function::Min,
            Aggregate::Max(_) => Function::Max,
            Aggregate::Avg(_) => Function::Avg,
            Aggregate::Sum(_) => Function::Sum,
        };
        let argument = aggregate.argument().map(Computation::new);
        Self { function, argument, op, literal: literal.clone(), name: aggregate.to_string() }
    }

    /// Adds the fields that it looks at.
    pub(crate) fn reads(&self, fields: &mut FieldTypes) {
        self.argument.iter().for_each(|argument| argument.reads(fields));
    }

    /// Keeps the spansets whose value compares; each gets the value as an attribute.
    ///
    /// # Errors
    /// When an operator meets a value that it is not defined for.
    pub(crate) fn keep<'a>(
        &self,
        spans: &Spans<'_>,
        candidates: &Bitmap,
        sets: impl Iterator<Item = &'a mut SpanSet>,
    ) -> Result<Vec<bool>, EvaluateError> {
        let values = self.argument.as_ref().map(|one| one.values(spans, candidates)).transpose()?;
        sets.map(|set| {
            let Some(value) = self.value(set, values.as_ref())? else { return Ok(false) };
            let kept = operate::compare(self.op, &value, &self.literal, || self.name.clone())?;
            set.attributes.push((self.name.clone(), value));
            Ok(kept)
        })
        .collect()
    }

    /// `None` if no span has a value.
    fn value(&self, set: &SpanSet, values: Option<&Values<'_>>) -> Result<Option<Static>, EvaluateError> {
        let Some(values) = values else { return Ok(Some(Static::Int(set.spans.len() as i64))) };
        let numbers: Vec<Static> = set
            .spans
            .iter()
            .map(|span| values.of(*span))
            .filter(|value| !matches!(value, Ok(value) if value.as_number().is_none()))
            .collect::<Result<_, _>>()?;
        Ok(match self.function {
            Function::Count => Some(Static::Int(set.spans.len() as i64)),
            Function::Min => extreme(numbers, Comparison::Less),
            Function::Max => extreme(numbers, Comparison::Greater),
            Function::Sum => sum(&numbers),
            Function::Avg => average(&numbers),
        })
    }
}

/// The value that compares with all others.
fn extreme(numbers: Vec<Static>, op: Comparison) -> Option<Static> {
    numbers.into_iter().reduce(|best, next| {
        let better = operate::compare(op, &next, &best, String::new).unwrap_or(false);
        if better { next } else { best }
    })
}

/// Of integers an integer, of durations a duration, else a float.
fn sum(numbers: &[Static]) -> Option<Static> {
    let (first, rest) = numbers.split_first()?;
    Some(rest.iter().fold(first.clone(), |sum, next| match (&sum, next) {
        (Static::Int(sum), Static::Int(next)) => Static::Int(sum.wrapping_add(*next)),
        (Static::Duration(sum), Static::Duration(next)) => Static::Duration(sum.saturating_add(*next)),
        (sum, next) => Static::Float(sum.as_number().unwrap_or(0.0) + next.as_number().unwrap_or(0.0)),
    }))
}

/// Of durations a duration, else a float.
fn average(numbers: &[Static]) -> Option<Static> {
    if numbers.is_empty() {
        return None;
    }
    let sum: f64 = numbers.iter().filter_map(Static::as_number).sum();
    let average = sum / numbers.len() as f64;
    let durations = numbers.iter().all(|number| matches!(number, Static::Duration(_)));
    Some(if durations { Static::Duration(average as i64) } else { Static::Float(average) })
}
