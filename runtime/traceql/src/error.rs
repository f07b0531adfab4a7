//! What can be wrong with a query.

/// A text that is not a query.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// Not in the grammar.
    #[error("parse error at line {line}, col {column}: {message}")]
    Syntax {
        /// Line, from 1.
        line: u32,
        /// Character in the line, from 1.
        column: u32,
        /// What is wrong there.
        message: String,
    },
    /// In the grammar, but without a meaning: types that do not fit, a value out of range.
    #[error("{0}")]
    Invalid(String),
    /// Has a meaning, but cannot be run.
    #[error("{0} is not supported yet by this version")]
    Unsupported(String),
}

/// A query that failed while it ran.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EvaluateError {
    /// `!` on something that is no boolean, missing attributes included.
    #[error(
        "`!` needs a boolean, not {found}, in `{expression}`: test first that the attribute is there, as in `{{ .a != nil && !.a }}`"
    )]
    NotOfNonBoolean {
        /// The value's type.
        found: &'static str,
        /// The expression.
        expression: String,
    },
    /// `-` on something that is no number, missing attributes included.
    #[error(
        "`-` needs a number, not {found}, in `{expression}`: test first that the attribute is there, as in `{{ .a != nil && -.a < 0 }}`"
    )]
    NegationOfNonNumber {
        /// The value's type.
        found: &'static str,
        /// The expression.
        expression: String,
    },
    /// Integer division or remainder by zero.
    #[error("integer division by zero in `{0}`")]
    DivisionByZero(String),
    /// Two arrays compared, or arithmetic with an array.
    #[error("an array cannot be used in `{0}`: arrays can only be compared with single values")]
    Array(String),
    /// A structural operator over several groups.
    #[error("`{0}` needs one spanset on each side, but `by()` made several: put `| coalesce()` before it")]
    ManySpansets(String),
}
