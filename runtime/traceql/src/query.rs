//! A query, ready to run.

use crate::{Batch, Condition, EvaluateError, Field, ParseError, Static};

/// A parsed and validated query.
#[derive(Clone, Debug)]
pub struct Query {}

/// A trace that matches.
#[derive(Clone, Debug, PartialEq)]
pub struct Match {
    /// Trace row of the batch.
    pub trace: u32,
    /// At least one.
    pub spansets: Vec<SpanSet>,
}

/// Spans of one trace that matched together.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SpanSet {
    /// Every matching span row of the batch, ascending.
    pub spans: Vec<u32>,
    /// What `by()` and aggregates computed: key as the query prints it, value.
    pub attributes: Vec<(String, Static)>,
}

impl Query {
    /// Parses and validates.
    ///
    /// # Errors
    /// [`ParseError`], whose text is meant for the one who wrote the query.
    pub fn parse(_text: &str) -> Result<Self, ParseError> {
        Err(ParseError::Unsupported("this query".into()))
    }

    /// The columns that [`evaluate`](Self::evaluate) and the values of the result need. An unscoped
    /// attribute reads two: the span's and the resource's.
    pub fn fields(&self) -> Vec<Field> {
        Vec::new()
    }

    /// The fields whose values are shown as attributes of a resulting span: those of conditions,
    /// `select()` and `by()`, without the intrinsics that have their own place in a result or belong
    /// to the trace. See [`value_of`](crate::value_of).
    pub fn selected_fields(&self) -> Vec<Field> {
        Vec::new()
    }

    /// Whether a resulting span shows its name: only if the query looked at names.
    pub fn needs_span_name(&self) -> bool {
        false
    }

    /// Whether the query cannot match anything, whatever the data: `{ false }`.
    pub fn never_matches(&self) -> bool {
        false
    }

    /// Conditions that each must hold for at least one span of a batch, or else the query matches
    /// nothing in it.
    pub fn prune(&self) -> Vec<Condition> {
        Vec::new()
    }

    /// The traces of `batch` that match, ascending. `batch` has the columns of
    /// [`fields`](Self::fields); one that is absent counts as empty.
    ///
    /// # Errors
    /// When an operator meets a value that it is not defined for.
    pub fn evaluate(&self, _batch: &Batch) -> Result<Vec<Match>, EvaluateError> {
        Ok(Vec::new())
    }
}
