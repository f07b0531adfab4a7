//! A condition: one field against one literal.

use crate::Field;

/// What at least one value of a field must satisfy.
#[derive(Clone, Debug)]
pub struct Condition {
    /// The columns looked at; a value in any of them may satisfy it.
    pub fields: Vec<Field>,
}

/// The values that a condition reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
}

impl Condition {
    /// Which values it reads: a store without any value of this kind in `fields` can skip the rows.
    pub fn reads(&self) -> Reads {
        Reads::Any
    }

    /// Whether a string satisfies it.
    pub fn matches_string(&self, _value: &str) -> bool {
        true
    }

    /// Whether an integer in `min..=max` may satisfy it.
    pub fn may_match_ints(&self, _min: i64, _max: i64) -> bool {
        true
    }

    /// Whether a float in `min..=max` may satisfy it.
    pub fn may_match_floats(&self, _min: f64, _max: f64) -> bool {
        true
    }
}
