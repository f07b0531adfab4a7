//! A query, ready to run.

use std::fmt;
use std::sync::Arc;

use crate::ast::{Aggregate, Root, Scalar, SpansetExpr, Stage};
use crate::batch::Spans;
use crate::pipeline::Pipeline;
use crate::reads::FieldTypes;
use crate::{
    Batch, Condition, EvaluateError, Field, Identifier, Intrinsic, ParseError, Static, Types, ast, fold,
    parse, validate,
};

/// A parsed and validated query. Prints as canonical TraceQL, which parses to the same query. Cheap to
/// clone.
#[derive(Clone, Debug)]
pub struct Query {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    root: Root,
    pipeline: Pipeline,
}

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
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let root = parse::parse(text)?;
        validate::validate(&root)?;
        Ok(Self::from_valid(root))
    }

    /// The query `{ filter }`.
    pub(crate) fn from_filter(filter: ast::Expr) -> Result<Self, ParseError> {
        validate::validate_filter(&filter)?;
        let stages = vec![Stage::Spansets(SpansetExpr::Filter(filter))];
        let pipeline = ast::Pipeline { stages };
        Ok(Self::from_valid(Root { pipeline, metrics: None, hints: Vec::new() }))
    }

    pub(crate) fn from_valid(mut root: Root) -> Self {
        fold::fold(&mut root);
        let pipeline = Pipeline::new(&root.pipeline);
        Self { inner: Arc::new(Inner { root, pipeline }) }
    }

    /// The syntax tree, constants folded.
    pub fn root(&self) -> &Root {
        &self.inner.root
    }

    /// The columns that [`evaluate`](Self::evaluate) and the values of the result need, each once. An
    /// unscoped attribute reads two: the span's and the resource's.
    pub fn fields(&self) -> Vec<Field> {
        let mut fields = self.named_fields();
        if has_structure(&self.inner.root.pipeline) {
            let numbers = [Intrinsic::NestedSetLeft, Intrinsic::NestedSetRight, Intrinsic::NestedSetParent];
            fields.extend(numbers.map(Field::Intrinsic));
        }
        distinct(fields)
    }

    /// What [`evaluate`](Self::evaluate) looks at: fields, each once, and the types it reads of each. A batch needs no
    /// more for the same matches. (What is only shown, like that of `select()`, is not among them.)
    pub fn reads(&self) -> Vec<(Field, Types)> {
        let mut fields = FieldTypes::default();
        self.inner.pipeline.reads(&mut fields);
        if has_structure(&self.inner.root.pipeline) {
            let numbers = [Intrinsic::NestedSetLeft, Intrinsic::NestedSetRight, Intrinsic::NestedSetParent];
            numbers.into_iter().for_each(|number| fields.add(&Field::Intrinsic(number), Types::ALL));
        }
        fields.into_list()
    }

    /// The fields whose values are shown as attributes of a resulting span: those of conditions,
    /// `select()`, `by()` and aggregates, without the intrinsics that have their own place in a result
    /// or belong to the trace. See [`value_of`](crate::value_of), [`Field::key`].
    pub fn selected_fields(&self) -> Vec<Field> {
        let mut fields = distinct(self.named_fields());
        fields.retain(|field| !has_own_place(field));
        fields
    }

    /// Whether a resulting span shows its name: only if the query looked at names.
    pub fn needs_span_name(&self) -> bool {
        self.named_fields().contains(&Field::Intrinsic(Intrinsic::Name))
    }

    /// Whether the query cannot match anything, whatever the data: `{ false }`.
    pub fn never_matches(&self) -> bool {
        self.inner.pipeline.never_matches()
    }

    /// Conditions that each must hold for at least one span of a trace for the trace to match, and so of a batch, or else the query matches
    /// nothing in it: a store whose statistics or dictionaries rule one out can skip the batch. (A
    /// query that would fail on the batch may so succeed.)
    pub fn prune(&self) -> Vec<Condition> {
        self.inner.pipeline.required()
    }

    /// The traces of `batch` that match, ascending. `batch` has the columns of
    /// [`fields`](Self::fields); one that is absent counts as empty.
    ///
    /// # Errors
    /// When an operator meets a value that it is not defined for.
    pub fn evaluate(&self, batch: &Batch) -> Result<Vec<Match>, EvaluateError> {
        let mut matches: Vec<Match> = Vec::new();
        for group in self.inner.pipeline.run(&Spans::new(batch))? {
            match matches.last_mut().filter(|last| last.trace == group.trace) {
                Some(last) => last.spansets.push(group.set),
                None => matches.push(Match { trace: group.trace, spansets: vec![group.set] }),
            }
        }
        Ok(matches)
    }

    fn named_fields(&self) -> Vec<Field> {
        let mut names = Vec::new();
        pipeline_names(&self.inner.root.pipeline, &mut names);
        names.into_iter().flat_map(Identifier::fields).collect()
    }
}

impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.root.fmt(f)
    }
}

fn distinct(fields: Vec<Field>) -> Vec<Field> {
    let mut distinct: Vec<Field> = Vec::with_capacity(fields.len());
    let mut seen = std::collections::HashSet::new();
    distinct.extend(fields.into_iter().filter(|field| seen.insert(field.clone())));
    distinct
}

fn has_own_place(field: &Field) -> bool {
    let Field::Intrinsic(intrinsic) = field else { return false };
    matches!(
        intrinsic,
        Intrinsic::Name
            | Intrinsic::Duration
            | Intrinsic::TraceDuration
            | Intrinsic::RootName
            | Intrinsic::RootService
            | Intrinsic::TraceId
            | Intrinsic::SpanId
    )
}

fn pipeline_names<'a>(pipeline: &'a ast::Pipeline, names: &mut Vec<&'a Identifier>) {
    for stage in &pipeline.stages {
        match stage {
            Stage::Spansets(expr) => spanset_names(expr, names),
            Stage::Scalar(filter) => {
                for side in [&filter.lhs, &filter.rhs] {
                    if let Scalar::Aggregate(aggregate) = side {
                        names.extend(
                            Aggregate::argument(aggregate).into_iter().flat_map(|one| one.identifiers()),
                        );
                    }
                }
            }
            Stage::By(expr) => names.extend(expr.identifiers()),
            Stage::Select(selected) => names.extend(selected),
            Stage::Coalesce => {}
        }
    }
}

fn spanset_names<'a>(expr: &'a SpansetExpr, names: &mut Vec<&'a Identifier>) {
    match expr {
        SpansetExpr::Filter(expr) => names.extend(expr.identifiers()),
        SpansetExpr::Pipeline(pipeline) => pipeline_names(pipeline, names),
        SpansetExpr::Logical { terms, .. } => terms.iter().for_each(|term| spanset_names(term, names)),
        SpansetExpr::Structural { lhs, rhs, .. } => {
            spanset_names(lhs, names);
            spanset_names(rhs, names);
        }
    }
}

fn has_structure(pipeline: &ast::Pipeline) -> bool {
    fn in_spansets(expr: &SpansetExpr) -> bool {
        match expr {
            SpansetExpr::Filter(_) => false,
            SpansetExpr::Pipeline(pipeline) => has_structure(pipeline),
            SpansetExpr::Logical { terms, .. } => terms.iter().any(in_spansets),
            SpansetExpr::Structural { .. } => true,
        }
    }
    pipeline.stages.iter().any(|stage| matches!(stage, Stage::Spansets(expr) if in_spansets(expr)))
}
