//! Operators on values.

use std::cmp::Ordering;

use crate::ast::{Arithmetic, Comparison};
use crate::{EvaluateError, Static};

impl Static {
    /// Of the type, for messages.
    pub(crate) fn type_name(&self) -> &'static str {
        match self {
            Self::Nil => "nil",
            Self::Int(_) => "int",
            Self::Float(_) => "float",
            Self::String(_) => "string",
            Self::Bool(_) => "bool",
            Self::Duration(_) => "duration",
            Self::Status(_) => "status",
            Self::Kind(_) => "kind",
            Self::IntArray(_) => "int array",
            Self::FloatArray(_) => "float array",
            Self::StringArray(_) => "string array",
            Self::BoolArray(_) => "bool array",
        }
    }

    /// Whether a condition with this value holds.
    pub(crate) fn is_true(&self) -> bool {
        *self == Self::Bool(true)
    }

    /// As a float; durations in nanoseconds.
    pub(crate) fn as_number(&self) -> Option<f64> {
        match self {
            Self::Int(value) | Self::Duration(value) => Some(*value as f64),
            Self::Float(value) => Some(*value),
            _ => None,
        }
    }

    fn as_integer(&self) -> Option<i64> {
        match self {
            Self::Int(value) | Self::Duration(value) => Some(*value),
            _ => None,
        }
    }

    /// The values of an array.
    fn elements(&self) -> Option<Vec<Self>> {
        match self {
            Self::IntArray(values) => Some(values.iter().copied().map(Self::Int).collect()),
            Self::FloatArray(values) => Some(values.iter().copied().map(Self::Float).collect()),
            Self::StringArray(values) => Some(values.iter().cloned().map(Self::String).collect()),
            Self::BoolArray(values) => Some(values.iter().copied().map(Self::Bool).collect()),
            _ => None,
        }
    }
}

/// Whether `ordering` is what `op` asks for. `None` (a NaN) satisfies only `!=`.
pub(crate) fn ordering_satisfies(op: Comparison, ordering: Option<Ordering>) -> bool {
    match op {
        Comparison::Equal => ordering == Some(Ordering::Equal),
        Comparison::NotEqual => ordering != Some(Ordering::Equal),
        Comparison::Less => ordering == Some(Ordering::Less),
        Comparison::LessOrEqual => matches!(ordering, Some(Ordering::Less | Ordering::Equal)),
        Comparison::Greater => ordering == Some(Ordering::Greater),
        Comparison::GreaterOrEqual => matches!(ordering, Some(Ordering::Greater | Ordering::Equal)),
        Comparison::Matches | Comparison::NotMatches => false,
    }
}

/// `lhs op rhs`, not for regular expressions. Nil and values of types that do not fit are unequal *and*
/// not different: every comparison with them is false.
///
/// # Errors
/// [`EvaluateError::Array`] if both are arrays; `expression` is for its text.
pub(crate) fn compare(
    op: Comparison,
    lhs: &Static,
    rhs: &Static,
    expression: impl Fn() -> String,
) -> Result<bool, EvaluateError> {
    match (lhs.elements(), rhs.elements()) {
        (Some(_), Some(_)) => Err(EvaluateError::Array(expression())),
        (Some(values), None) => Ok(compare_elements(op, &values, rhs)),
        (None, Some(values)) => Ok(compare_elements(op.flipped(), &values, lhs)),
        (None, None) => Ok(compare_scalars(op, lhs, rhs)),
    }
}

/// `!=` must hold for all elements, the others for any.
fn compare_elements(op: Comparison, elements: &[Static], other: &Static) -> bool {
    match op {
        Comparison::NotEqual => {
            !elements.is_empty() && elements.iter().all(|one| compare_scalars(op, one, other))
        }
        op => elements.iter().any(|one| compare_scalars(op, one, other)),
    }
}

fn compare_scalars(op: Comparison, lhs: &Static, rhs: &Static) -> bool {
    match (lhs, rhs) {
        (Static::String(lhs), Static::String(rhs)) => ordering_satisfies(op, Some(lhs.cmp(rhs))),
        (Static::Bool(lhs), Static::Bool(rhs)) => {
            op.is_equality() && ordering_satisfies(op, Some(lhs.cmp(rhs)))
        }
        (Static::Status(lhs), Static::Status(rhs)) => equality(op, lhs == rhs),
        (Static::Kind(lhs), Static::Kind(rhs)) => equality(op, lhs == rhs),
        (Static::Int(number), Static::Status(status)) | (Static::Status(status), Static::Int(number)) => {
            equality(op, status.number() == *number)
        }
        (lhs, rhs) => match (lhs.as_integer(), rhs.as_integer()) {
            (Some(lhs), Some(rhs)) => ordering_satisfies(op, Some(lhs.cmp(&rhs))),
            _ => match (lhs.as_number(), rhs.as_number()) {
                (Some(lhs), Some(rhs)) => ordering_satisfies(op, lhs.partial_cmp(&rhs)),
                _ => false,
            },
        },
    }
}

fn equality(op: Comparison, equal: bool) -> bool {
    match op {
        Comparison::Equal => equal,
        Comparison::NotEqual => !equal,
        _ => false,
    }
}

/// `lhs op rhs`. With nil or something that is no number the result is false, which no comparison with
/// a number accepts.
///
/// # Errors
/// Integer division by zero, an array on a side; `expression` is for their texts.
pub(crate) fn calculate(
    op: Arithmetic,
    lhs: &Static,
    rhs: &Static,
    expression: impl Fn() -> String,
) -> Result<Static, EvaluateError> {
    if lhs.elements().is_some() || rhs.elements().is_some() {
        return Err(EvaluateError::Array(expression()));
    }
    if let (Static::Int(lhs), Static::Int(rhs)) = (lhs, rhs) {
        let result = calculate_ints(op, *lhs, *rhs);
        return result.map(Static::Int).ok_or_else(|| EvaluateError::DivisionByZero(expression()));
    }
    Ok(match (lhs.as_number(), rhs.as_number()) {
        (Some(lhs), Some(rhs)) => Static::Float(calculate_floats(op, lhs, rhs)),
        _ => Static::Bool(false),
    })
}

fn calculate_ints(op: Arithmetic, lhs: i64, rhs: i64) -> Option<i64> {
    match op {
        Arithmetic::Add => Some(lhs.wrapping_add(rhs)),
        Arithmetic::Subtract => Some(lhs.wrapping_sub(rhs)),
        Arithmetic::Multiply => Some(lhs.wrapping_mul(rhs)),
        Arithmetic::Divide => (rhs != 0).then(|| lhs.wrapping_div(rhs)),
        Arithmetic::Remainder => (rhs != 0).then(|| lhs.wrapping_rem(rhs)),
        // Tempo swaps the operands of an integer power; whoever wrote a query for it counts on that.
        Arithmetic::Power => Some(integer_power(rhs, lhs)),
    }
}

fn integer_power(base: i64, exponent: i64) -> i64 {
    if exponent < 0 {
        return (base as f64).powf(exponent as f64) as i64;
    }
    let (mut result, mut square, mut rest) = (1_i64, base, exponent);
    while rest > 0 {
        if rest & 1 == 1 {
            result = result.wrapping_mul(square);
        }
        square = square.wrapping_mul(square);
        rest >>= 1;
    }
    result
}

fn calculate_floats(op: Arithmetic, lhs: f64, rhs: f64) -> f64 {
    match op {
        Arithmetic::Add => lhs + rhs,
        Arithmetic::Subtract => lhs - rhs,
        Arithmetic::Multiply => lhs * rhs,
        Arithmetic::Divide => lhs / rhs,
        Arithmetic::Remainder => lhs % rhs,
        Arithmetic::Power => lhs.powf(rhs),
    }
}

/// `!value`.
///
/// # Errors
/// If it is no boolean.
pub(crate) fn not(value: &Static, expression: impl Fn() -> String) -> Result<Static, EvaluateError> {
    match value {
        Static::Bool(value) => Ok(Static::Bool(!value)),
        other => Err(EvaluateError::NotOfNonBoolean { found: other.type_name(), expression: expression() }),
    }
}

/// `-value`.
///
/// # Errors
/// If it is no number.
pub(crate) fn negate(value: &Static, expression: impl Fn() -> String) -> Result<Static, EvaluateError> {
    match value {
        Static::Int(value) => Ok(Static::Int(value.wrapping_neg())),
        Static::Duration(value) => Ok(Static::Duration(value.wrapping_neg())),
        Static::Float(value) => Ok(Static::Float(-value)),
        other => {
            Err(EvaluateError::NegationOfNonNumber { found: other.type_name(), expression: expression() })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Status;

    fn int(op: Arithmetic, lhs: i64, rhs: i64) -> Option<i64> {
        match calculate(op, &Static::Int(lhs), &Static::Int(rhs), String::new) {
            Ok(Static::Int(value)) => Some(value),
            _ => None,
        }
    }

    #[test]
    fn integers_stay_integers() {
        assert_eq!(int(Arithmetic::Divide, 7, 2), Some(3));
        assert_eq!(int(Arithmetic::Remainder, -7, 2), Some(-1));
        assert_eq!(int(Arithmetic::Divide, 1, 0), None);
        assert_eq!(int(Arithmetic::Divide, i64::MIN, -1), Some(i64::MIN));
        assert_eq!(int(Arithmetic::Power, 2, 3), Some(9), "operands of a power are swapped");
        assert_eq!(int(Arithmetic::Power, 3, 2), Some(8));
        assert_eq!(int(Arithmetic::Power, i64::MAX, 1), Some(1), "no loop over the exponent");
        assert_eq!(int(Arithmetic::Power, -2, 2), Some(0));
    }

    #[test]
    fn anything_else_becomes_a_float() {
        let second = Static::Duration(1_000_000_000);
        let sum = calculate(Arithmetic::Add, &second, &second, String::new);
        assert_eq!(sum, Ok(Static::Float(2e9)));
        let power = calculate(Arithmetic::Power, &Static::Float(2.0), &Static::Int(3), String::new);
        assert_eq!(power, Ok(Static::Float(8.0)));
        let infinite = calculate(Arithmetic::Divide, &Static::Float(1.0), &Static::Int(0), String::new);
        assert_eq!(infinite, Ok(Static::Float(f64::INFINITY)));
        assert_eq!(calculate(Arithmetic::Add, &Static::Nil, &second, String::new), Ok(Static::Bool(false)));
    }

    #[test]
    fn values_of_unlike_types_are_neither_equal_nor_different() {
        let holds = |op, lhs: &Static, rhs: &Static| compare(op, lhs, rhs, String::new).unwrap();
        for (lhs, rhs) in [
            (Static::String("1".into()), Static::Int(1)),
            (Static::Nil, Static::Nil),
            (Static::Nil, Static::Int(1)),
            (Static::Bool(true), Static::Int(1)),
        ] {
            for op in Comparison::ALL {
                assert!(!holds(op, &lhs, &rhs), "{lhs} {} {rhs}", op.as_str());
            }
        }
        assert!(holds(Comparison::Equal, &Static::Int(5), &Static::Float(5.0)));
        assert!(holds(Comparison::Less, &Static::Int(5), &Static::Duration(6)));
        assert!(holds(Comparison::Equal, &Static::Int(0), &Static::Status(Status::Error)));
    }

    #[test]
    fn arrays_any_and_all() {
        let array = Static::StringArray(vec!["p".into(), "q".into()]);
        let text = |value: &str| Static::String(value.into());
        let holds = |op, lhs: &Static, rhs: &Static| compare(op, lhs, rhs, String::new).unwrap();
        assert!(holds(Comparison::Equal, &array, &text("p")));
        assert!(!holds(Comparison::NotEqual, &array, &text("p")));
        assert!(holds(Comparison::NotEqual, &array, &text("r")));
        assert!(!holds(Comparison::NotEqual, &array, &Static::Int(1)));
        assert!(holds(Comparison::Less, &text("p"), &array), "flipped: any element above p");
        assert!(compare(Comparison::Equal, &array, &array, String::new).is_err());
        assert!(calculate(Arithmetic::Add, &array, &Static::Int(1), String::new).is_err());
    }
}
