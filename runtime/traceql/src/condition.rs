//! A condition: one attribute or intrinsic against one literal, evaluated on columns.

use std::collections::{BTreeSet, HashSet};

use crate::ast::Comparison;
use crate::batch::Spans;
use crate::bitmap::Bitmap;
use crate::identifier::IntrinsicType;
use crate::operate::ordering_satisfies;
use crate::pattern::Pattern;
use crate::{Batch, Column, Field, Identifier, Intrinsic, Sparse, Static};

/// What a value of a field must satisfy. Reads only values of the literal's type: an integer is neither
/// `= "5"` nor `!= "5"` nor `= 5.0`.
#[derive(Clone, Debug)]
pub struct Condition {
    /// The columns looked at. A value in any of them may satisfy it; for a span, the first column that
    /// has a value decides.
    pub fields: Vec<Field>,
    test: Test,
}

/// The values that a condition reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reads {
    /// Only strings.
    Strings,
    /// Only integers (durations, status, kind).
    Ints,
    /// Only floats.
    Floats,
    /// Only booleans.
    Bools,
    /// A value of any type satisfies it: `!= nil`.
    Any,
    /// It is satisfied where there is no value: `= nil`. (Never among [`prune`](crate::Query::prune)'s.)
    Absence,
}

#[derive(Clone, Debug)]
enum Test {
    String(Comparison, String),
    /// Equal to any of them.
    OneString(HashSet<String>),
    Pattern {
        pattern: Pattern,
        negated: bool,
    },
    Int(Comparison, i64),
    /// Equal to any of them.
    OneInt(BTreeSet<i64>),
    IntToFloat(Comparison, f64),
    Float(Comparison, f64),
    Bool(Comparison, bool),
    Exists,
    Missing,
}

impl Test {
    /// An equality as a set of one.
    fn into_set(self) -> Self {
        match self {
            Self::String(Comparison::Equal, literal) => Self::OneString(HashSet::from([literal])),
            Self::Int(Comparison::Equal, literal) => Self::OneInt(BTreeSet::from([literal])),
            test => test,
        }
    }
}

impl Condition {
    /// `name op literal`, validated. `None` if it never holds: no attribute holds a duration, status or
    /// kind.
    pub(crate) fn new(name: &Identifier, op: Comparison, literal: &Static) -> Option<Self> {
        let test = match name {
            Identifier::Intrinsic(intrinsic) => intrinsic_test(*intrinsic, op, literal)?,
            _ => attribute_test(op, literal)?,
        };
        Some(Self { fields: name.fields(), test })
    }

    /// Which values it reads: a store without any value of this kind in `fields` can skip the rows.
    pub fn reads(&self) -> Reads {
        match self.test {
            Test::String(..) | Test::OneString(_) | Test::Pattern { .. } => Reads::Strings,
            Test::Int(..) | Test::OneInt(_) | Test::IntToFloat(..) => Reads::Ints,
            Test::Float(..) => Reads::Floats,
            Test::Bool(..) => Reads::Bools,
            Test::Exists => Reads::Any,
            Test::Missing => Reads::Absence,
        }
    }

    /// Whether a string satisfies it. False if it does not read strings.
    pub fn matches_string(&self, value: &str) -> bool {
        match &self.test {
            Test::String(op, literal) => ordering_satisfies(*op, Some(value.cmp(literal))),
            Test::OneString(literals) => literals.contains(value),
            Test::Pattern { pattern, negated } => pattern.matches(value) != *negated,
            Test::Exists => true,
            _ => false,
        }
    }

    /// Whether an integer in `min..=max` may satisfy it. False if it does not read integers.
    pub fn may_match_ints(&self, min: i64, max: i64) -> bool {
        match &self.test {
            Test::Int(op, literal) => may_match(*op, &min, &max, literal),
            Test::OneInt(literals) => min <= max && literals.range(min..=max).next().is_some(),
            Test::IntToFloat(op, literal) => may_match(*op, &(min as f64), &(max as f64), literal),
            Test::Exists => true,
            _ => false,
        }
    }

    /// Whether a float in `min..=max` may satisfy it (NaN aside, which satisfies any `!=`). False if it
    /// does not read floats.
    pub fn may_match_floats(&self, min: f64, max: f64) -> bool {
        match self.test {
            Test::Float(Comparison::NotEqual, _) | Test::Exists => true,
            Test::Float(op, literal) => may_match(op, &min, &max, &literal),
            _ => false,
        }
    }

    /// Whether the store must have a value for the condition to hold.
    pub(crate) fn needs_value(&self) -> bool {
        !matches!(self.test, Test::Missing)
    }

    /// The trace rows of a batch, ascending, that have a span which satisfies it.
    pub fn traces(&self, batch: &Batch) -> Vec<u32> {
        let found = self.spans(&Spans::new(batch));
        let mut traces: Vec<_> = found.iter().map(|span| batch.layout.trace_of_span(span)).collect();
        traces.dedup();
        traces
    }

    /// Whether it is `= literal`, of strings or integers.
    pub(crate) fn is_equality(&self) -> bool {
        use Comparison::Equal;
        matches!(
            self.test,
            Test::String(Equal, _) | Test::OneString(_) | Test::Int(Equal, _) | Test::OneInt(_)
        )
    }

    /// Lets it hold also where `other` does: both are equalities of the same fields and type.
    pub(crate) fn or_equal(&mut self, other: Self) {
        let test = std::mem::replace(&mut self.test, Test::Missing);
        self.test = match (test.into_set(), other.test.into_set()) {
            (Test::OneString(mut literals), Test::OneString(more)) => {
                literals.extend(more);
                Test::OneString(literals)
            }
            (Test::OneInt(mut literals), Test::OneInt(more)) => {
                literals.extend(more);
                Test::OneInt(literals)
            }
            (test, _) => test,
        };
    }

    /// The spans that satisfy it.
    pub(crate) fn spans(&self, spans: &Spans<'_>) -> Bitmap {
        if matches!(self.test, Test::Missing) {
            return self.spans_without(spans);
        }
        let mut undecided = Bitmap::full(spans.count());
        let mut found = Bitmap::empty(spans.count());
        for field in &self.fields {
            let Some(column) = spans.column(field) else { continue };
            let mut satisfied = spans.at_level(column.level, self.rows(column, spans));
            satisfied.intersect(&undecided);
            found.unite(&satisfied);
            if self.fields.len() > 1 {
                undecided.subtract(&spans.at_level(column.level, present_rows(column, spans)));
            }
        }
        found
    }

    /// Spans that lack the field. Of an unscoped attribute, one level that lacks it is enough: so does
    /// Tempo, which looks for it in both.
    fn spans_without(&self, spans: &Spans<'_>) -> Bitmap {
        let mut found = Bitmap::empty(spans.count());
        for field in &self.fields {
            let level = field.level();
            let mut rows = match spans.column(field) {
                Some(column) => present_rows(column, spans),
                None => Bitmap::empty(spans.rows(level)),
            };
            rows.invert();
            found.unite(&spans.at_level(level, rows));
        }
        found
    }

    /// The rows of `column` that satisfy it. Negative comparisons must hold for all elements of an
    /// array, the others for any.
    fn rows(&self, column: &Column, spans: &Spans<'_>) -> Bitmap {
        let rows = spans.rows(column.level);
        match &self.test {
            Test::String(op, _) => self.string_rows(column, rows, *op == Comparison::NotEqual),
            Test::OneString(_) => self.string_rows(column, rows, false),
            Test::Pattern { negated, .. } => self.string_rows(column, rows, *negated),
            Test::OneInt(literals) => {
                value_rows(&column.ints, rows, Comparison::Equal, |value| literals.contains(value))
            }
            Test::Int(op, literal) => {
                value_rows(&column.ints, rows, *op, |value| ordering_satisfies(*op, Some(value.cmp(literal))))
            }
            Test::IntToFloat(op, literal) => value_rows(&column.ints, rows, *op, |value| {
                ordering_satisfies(*op, (*value as f64).partial_cmp(literal))
            }),
            Test::Float(op, literal) => value_rows(&column.floats, rows, *op, |value| {
                ordering_satisfies(*op, value.partial_cmp(literal))
            }),
            Test::Bool(op, literal) => value_rows(&column.bools, rows, *op, |value| {
                ordering_satisfies(*op, Some(value.cmp(literal)))
            }),
            Test::Exists => present_rows(column, spans),
            Test::Missing => Bitmap::empty(rows),
        }
    }

    /// Looks at each distinct string once.
    fn string_rows(&self, column: &Column, rows: u32, all_elements: bool) -> Bitmap {
        let strings = &column.strings;
        let wanted: Vec<bool> = strings.dictionary.iter().map(|value| self.matches_string(value)).collect();
        if !wanted.contains(&true) {
            return Bitmap::empty(rows);
        }
        let is_wanted = |id: &u32| wanted.get(*id as usize).copied().unwrap_or(false);
        matching_rows(&strings.ids, rows, all_elements, is_wanted)
    }
}

fn value_rows<T>(values: &Sparse<T>, rows: u32, op: Comparison, holds: impl Fn(&T) -> bool) -> Bitmap {
    matching_rows(values, rows, op == Comparison::NotEqual, holds)
}

fn matching_rows<T>(values: &Sparse<T>, rows: u32, all_elements: bool, holds: impl Fn(&T) -> bool) -> Bitmap {
    let mut found = Bitmap::empty(rows);
    let pairs = || values.rows.iter().zip(&values.values);
    pairs().filter(|(_, value)| holds(value)).for_each(|(row, _)| found.insert(*row));
    if all_elements {
        pairs().filter(|(_, value)| !holds(value)).for_each(|(row, _)| found.remove(*row));
    }
    found
}

/// Rows with a value of any type.
fn present_rows(column: &Column, spans: &Spans<'_>) -> Bitmap {
    let mut found = Bitmap::empty(spans.rows(column.level));
    let lists = [&column.strings.ids.rows, &column.ints.rows, &column.floats.rows, &column.bools.rows];
    lists.into_iter().flatten().for_each(|row| found.insert(*row));
    found
}

fn attribute_test(op: Comparison, literal: &Static) -> Option<Test> {
    match literal {
        Static::Nil => nil_test(op),
        Static::Int(value) => Some(Test::Int(op, *value)),
        Static::Float(value) => Some(Test::Float(op, *value)),
        Static::Bool(value) => Some(Test::Bool(op, *value)),
        Static::String(value) => string_test(op, value),
        _ => None,
    }
}

fn intrinsic_test(intrinsic: Intrinsic, op: Comparison, literal: &Static) -> Option<Test> {
    match (intrinsic.value_type(), literal) {
        (_, Static::Nil) => nil_test(op),
        (IntrinsicType::Int | IntrinsicType::Duration, Static::Int(value) | Static::Duration(value)) => {
            Some(Test::Int(op, *value))
        }
        (IntrinsicType::Int | IntrinsicType::Duration, Static::Float(value)) => {
            Some(Test::IntToFloat(op, *value))
        }
        (IntrinsicType::Status, Static::Status(status)) => Some(Test::Int(op, status.otlp())),
        (IntrinsicType::Kind, Static::Kind(kind)) => Some(Test::Int(op, kind.otlp())),
        (IntrinsicType::String, Static::String(value)) => {
            let trimmed = intrinsic == Intrinsic::TraceId && !op.is_regex();
            string_test(op, if trimmed { value.trim_start_matches('0') } else { value })
        }
        _ => None,
    }
}

fn nil_test(op: Comparison) -> Option<Test> {
    match op {
        Comparison::Equal => Some(Test::Missing),
        Comparison::NotEqual => Some(Test::Exists),
        _ => None,
    }
}

fn string_test(op: Comparison, value: &str) -> Option<Test> {
    match op {
        Comparison::Matches | Comparison::NotMatches => {
            let pattern = Pattern::new(value).ok()?;
            Some(Test::Pattern { pattern, negated: op == Comparison::NotMatches })
        }
        op => Some(Test::String(op, value.to_owned())),
    }
}

fn may_match<T: PartialOrd>(op: Comparison, min: &T, max: &T, literal: &T) -> bool {
    match op {
        Comparison::Equal => min <= literal && literal <= max,
        Comparison::NotEqual => !(min == literal && max == literal),
        Comparison::Less => min < literal,
        Comparison::LessOrEqual => min <= literal,
        Comparison::Greater => max > literal,
        Comparison::GreaterOrEqual => max >= literal,
        Comparison::Matches | Comparison::NotMatches => false,
    }
}
