//! A pipeline ready to run: from the spans of a batch to spansets.

use std::collections::HashMap;

use crate::aggregate::AggregateFilter;
use crate::ast::{self, Logical, Scalar, Structural, StructuralMode};
use crate::batch::Spans;
use crate::bitmap::Bitmap;
use crate::compute::Computation;
use crate::filter::Filter;
use crate::reads::FieldTypes;
use crate::structure;
use crate::{Condition, EvaluateError, SpanSet};

/// Stages in order.
#[derive(Clone, Debug)]
pub(crate) struct Pipeline {
    stages: Vec<Stage>,
}

#[derive(Clone, Debug)]
enum Stage {
    Spansets(Combination),
    Aggregate(AggregateFilter),
    By {
        value: Computation,
        name: String,
    },
    Coalesce,
    /// Only says what results show.
    Select,
}

#[derive(Clone, Debug)]
enum Combination {
    Filter(Filter),
    Pipeline(Pipeline),
    Logical { op: Logical, terms: Vec<Combination> },
    Structural { op: Structural, sides: Box<[Combination; 2]> },
}

/// A spanset on its way through the pipeline.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub(crate) trace: u32,
    /// What it came from: position in the input, or the trace. Only spansets of one origin are combined.
    origin: u32,
    pub(crate) set: SpanSet,
}

/// What a stage works on.
#[derive(Clone, Copy)]
enum Input<'a> {
    /// All spans, a spanset a trace.
    Everything,
    /// Spansets, by trace.
    Groups(&'a [Group]),
}

impl Input<'_> {
    fn spans(self, spans: &Spans<'_>) -> Bitmap {
        match self {
            Self::Everything => Bitmap::full(spans.count()),
            Self::Groups(groups) => spans_of(groups, spans),
        }
    }

    /// As groups whose origins are their positions (or traces).
    fn groups(self, spans: &Spans<'_>) -> Vec<Group> {
        self.only(&self.spans(spans), spans)
    }

    /// The spansets cut down to `kept`, without those that become empty.
    fn only(self, kept: &Bitmap, spans: &Spans<'_>) -> Vec<Group> {
        match self {
            Self::Everything => by_trace(kept, spans),
            Self::Groups(groups) => groups
                .iter()
                .enumerate()
                .filter_map(|(position, group)| {
                    let members: Vec<u32> =
                        group.set.spans.iter().copied().filter(|span| kept.contains(*span)).collect();
                    let set = SpanSet { spans: members, attributes: group.set.attributes.clone() };
                    (!set.spans.is_empty()).then_some(Group {
                        trace: group.trace,
                        origin: position as u32,
                        set,
                    })
                })
                .collect(),
        }
    }
}

fn spans_of(groups: &[Group], spans: &Spans<'_>) -> Bitmap {
    let mut all = Bitmap::empty(spans.count());
    groups.iter().flat_map(|group| &group.set.spans).for_each(|span| all.insert(*span));
    all
}

fn by_trace(kept: &Bitmap, spans: &Spans<'_>) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    let mut end = 0;
    for span in kept.iter() {
        if span >= end || groups.is_empty() {
            let trace = spans.layout().trace_of_span(span);
            end = spans.of_trace(trace).end;
            groups.push(Group { trace, origin: trace, set: SpanSet::default() });
        }
        if let Some(group) = groups.last_mut() {
            group.set.spans.push(span);
        }
    }
    groups
}

impl Pipeline {
    /// From a validated and folded tree.
    pub(crate) fn new(pipeline: &ast::Pipeline) -> Self {
        Self { stages: pipeline.stages.iter().map(Stage::new).collect() }
    }

    /// The resulting spansets, by trace.
    ///
    /// # Errors
    /// See [`EvaluateError`].
    pub(crate) fn run(&self, spans: &Spans<'_>) -> Result<Vec<Group>, EvaluateError> {
        self.run_on(spans, Input::Everything)
    }

    fn run_on(&self, spans: &Spans<'_>, input: Input<'_>) -> Result<Vec<Group>, EvaluateError> {
        let mut stages = self.stages.iter();
        let mut groups = match stages.next() {
            Some(first) => first.run(spans, input)?,
            None => input.groups(spans),
        };
        for stage in stages {
            if groups.is_empty() {
                break;
            }
            let results = stage.run(spans, Input::Groups(&groups))?;
            let origin_of = |one: u32| groups.get(one as usize).map_or(one, |group| group.origin);
            groups = results
                .into_iter()
                .map(|result| Group { origin: origin_of(result.origin), ..result })
                .collect();
        }
        Ok(groups)
    }

    /// Whether the result is empty whatever the data.
    pub(crate) fn never_matches(&self) -> bool {
        self.stages.iter().any(|stage| matches!(stage, Stage::Spansets(one) if one.never_matches()))
    }

    /// Adds the fields that it looks at.
    pub(crate) fn reads(&self, fields: &mut FieldTypes) {
        for stage in &self.stages {
            match stage {
                Stage::Spansets(combination) => combination.reads(fields),
                Stage::Aggregate(filter) => filter.reads(fields),
                Stage::By { value, .. } => value.reads(fields),
                Stage::Coalesce | Stage::Select => {}
            }
        }
    }

    /// Conditions that each must hold for some span of a batch.
    pub(crate) fn required(&self) -> Vec<Condition> {
        let required = |stage: &Stage| match stage {
            Stage::Spansets(combination) => combination.required(),
            _ => Vec::new(),
        };
        self.stages.iter().flat_map(required).collect()
    }
}

impl Stage {
    fn new(stage: &ast::Stage) -> Self {
        match stage {
            ast::Stage::Spansets(expr) => Self::Spansets(Combination::new(expr)),
            ast::Stage::Scalar(filter) => match (&filter.lhs, &filter.rhs) {
                (Scalar::Aggregate(aggregate), Scalar::Literal(literal)) => {
                    Self::Aggregate(AggregateFilter::new(aggregate, filter.op, literal))
                }
                // Validation lets nothing else through.
                _ => Self::Spansets(Combination::Filter(Filter::Constant(false))),
            },
            ast::Stage::By(expr) => Self::By { value: Computation::new(expr), name: stage.to_string() },
            ast::Stage::Coalesce => Self::Coalesce,
            ast::Stage::Select(_) => Self::Select,
        }
    }

    fn run(&self, spans: &Spans<'_>, input: Input<'_>) -> Result<Vec<Group>, EvaluateError> {
        match self {
            Self::Spansets(combination) => combination.run(spans, input),
            Self::Select => Ok(input.groups(spans)),
            Self::Coalesce => Ok(coalesce(input.groups(spans))),
            Self::By { value, name } => split(value, name, spans, input),
            Self::Aggregate(filter) => {
                let mut groups = input.groups(spans);
                let candidates = input.spans(spans);
                let sets = groups.iter_mut().map(|group| &mut group.set);
                let mut kept = filter.keep(spans, &candidates, sets)?.into_iter();
                groups.retain(|_| kept.next().unwrap_or(false));
                Ok(groups)
            }
        }
    }
}

/// A spanset a trace.
fn coalesce(groups: Vec<Group>) -> Vec<Group> {
    let mut merged: Vec<Group> = Vec::new();
    for group in groups {
        match merged.last_mut().filter(|last| last.trace == group.trace) {
            Some(last) => last.set.spans.extend(group.set.spans),
            None => {
                let set = SpanSet { spans: group.set.spans, attributes: Vec::new() };
                merged.push(Group { set, ..group });
            }
        }
    }
    for group in &mut merged {
        group.set.spans.sort_unstable();
        group.set.spans.dedup();
    }
    merged
}

/// A spanset a distinct value, nil included, in order of first occurrence.
fn split(
    value: &Computation,
    name: &str,
    spans: &Spans<'_>,
    input: Input<'_>,
) -> Result<Vec<Group>, EvaluateError> {
    let values = value.values(spans, &input.spans(spans))?;
    let mut result = Vec::new();
    for group in input.groups(spans) {
        let first = result.len();
        let mut position_of: HashMap<String, usize> = HashMap::new();
        for span in &group.set.spans {
            let value = values.of(*span)?;
            // As text, because floats have no hash; the type is part of it.
            let key = format!("{value:?}");
            let position = *position_of.entry(key).or_insert_with(|| {
                let mut attributes = group.set.attributes.clone();
                attributes.push((name.to_owned(), value));
                let set = SpanSet { spans: Vec::new(), attributes };
                result.push(Group { trace: group.trace, origin: group.origin, set });
                result.len() - 1
            });
            debug_assert!(position >= first, "positions are of this spanset's parts");
            result[position].set.spans.push(*span);
        }
    }
    Ok(result)
}

impl Combination {
    fn new(expr: &ast::SpansetExpr) -> Self {
        match expr {
            ast::SpansetExpr::Filter(expr) => Self::Filter(Filter::new(expr)),
            ast::SpansetExpr::Pipeline(pipeline) => Self::Pipeline(Pipeline::new(pipeline)),
            ast::SpansetExpr::Logical { op, terms } => {
                Self::Logical { op: *op, terms: terms.iter().map(Self::new).collect() }
            }
            ast::SpansetExpr::Structural { op, lhs, rhs } => {
                Self::Structural { op: *op, sides: Box::new([Self::new(lhs), Self::new(rhs)]) }
            }
        }
    }

    /// The result's origins are positions in `input` (or traces).
    fn run(&self, spans: &Spans<'_>, input: Input<'_>) -> Result<Vec<Group>, EvaluateError> {
        match self {
            Self::Filter(filter) => Ok(input.only(&filter.spans(spans, input.spans(spans))?, spans)),
            Self::Pipeline(pipeline) => match input {
                Input::Everything => pipeline.run_on(spans, input),
                // Each spanset is its own origin.
                Input::Groups(_) => pipeline.run_on(spans, Input::Groups(&input.groups(spans))),
            },
            Self::Logical { op, terms } => {
                let mut result: Option<Vec<Group>> = None;
                for term in terms {
                    if *op == Logical::And && result.as_ref().is_some_and(Vec::is_empty) {
                        break;
                    }
                    let next = term.run(spans, input)?;
                    result = Some(match result {
                        Some(result) => combine(*op, result, next),
                        None => next,
                    });
                }
                Ok(result.unwrap_or_default())
            }
            Self::Structural { op, sides } => {
                one_spanset_a_trace(*op, input)?;
                let right = sides[1].run(spans, input)?;
                if right.is_empty() {
                    return Ok(right);
                }
                let left = sides[0].run(spans, input)?;
                relate(*op, spans, left, right)
            }
        }
    }

    fn never_matches(&self) -> bool {
        match self {
            Self::Filter(filter) => filter.never_matches(),
            Self::Pipeline(pipeline) => pipeline.never_matches(),
            Self::Logical { op: Logical::And, terms } => terms.iter().any(Self::never_matches),
            Self::Logical { op: Logical::Or, terms } => terms.iter().all(Self::never_matches),
            Self::Structural { op, sides } => {
                sides[1].never_matches() || op.mode != StructuralMode::NotRight && sides[0].never_matches()
            }
        }
    }

    fn reads(&self, fields: &mut FieldTypes) {
        match self {
            Self::Filter(filter) => filter.reads(fields),
            Self::Pipeline(pipeline) => pipeline.reads(fields),
            Self::Logical { terms, .. } => terms.iter().for_each(|term| term.reads(fields)),
            Self::Structural { sides, .. } => sides.iter().for_each(|side| side.reads(fields)),
        }
    }

    fn required(&self) -> Vec<Condition> {
        match self {
            Self::Filter(filter) => filter.required(),
            Self::Pipeline(pipeline) => pipeline.required(),
            Self::Logical { op: Logical::And, terms } => terms.iter().flat_map(Self::required).collect(),
            Self::Logical { op: Logical::Or, .. } => Vec::new(),
            Self::Structural { op, sides } => {
                let mut required = sides[1].required();
                if op.mode != StructuralMode::NotRight {
                    required.extend(sides[0].required());
                }
                required
            }
        }
    }
}

/// Calls `join` for each origin with its groups of both sides.
fn by_origin(
    left: Vec<Group>,
    right: Vec<Group>,
    mut join: impl FnMut(Vec<Group>, Vec<Group>) -> Result<Vec<Group>, EvaluateError>,
) -> Result<Vec<Group>, EvaluateError> {
    let mut result = Vec::new();
    let (mut left, mut right) = (left.into_iter().peekable(), right.into_iter().peekable());
    while let Some(origin) = left.peek().into_iter().chain(right.peek()).map(|one| one.origin).min() {
        let lefts = std::iter::from_fn(|| left.next_if(|one| one.origin == origin)).collect();
        let rights = std::iter::from_fn(|| right.next_if(|one| one.origin == origin)).collect();
        result.extend(join(lefts, rights)?);
    }
    Ok(result)
}

fn combine(op: Logical, left: Vec<Group>, right: Vec<Group>) -> Vec<Group> {
    let joined = by_origin(left, right, |mut left, right| {
        Ok(match (op, left.is_empty(), right.is_empty()) {
            (Logical::And, true, _) | (Logical::And, _, true) => Vec::new(),
            (Logical::Or, _, true) => left,
            (Logical::Or, true, _) => right,
            _ => {
                left.extend(right);
                union(left).into_iter().collect()
            }
        })
    });
    joined.unwrap_or_default()
}

/// All in one spanset, with the attributes of all.
fn union(groups: Vec<Group>) -> Option<Group> {
    groups.into_iter().reduce(|mut all, next| {
        all.set.spans = structure::union(&all.set.spans, &next.set.spans);
        for attribute in next.set.attributes {
            if !all.set.attributes.contains(&attribute) {
                all.set.attributes.push(attribute);
            }
        }
        all
    })
}

fn relate(
    op: Structural,
    spans: &Spans<'_>,
    left: Vec<Group>,
    right: Vec<Group>,
) -> Result<Vec<Group>, EvaluateError> {
    by_origin(left, right, |left, right| {
        if left.len() > 1 || right.len() > 1 {
            return Err(EvaluateError::ManySpansets(op.as_str().to_owned()));
        }
        let Some(mut group) = right.into_iter().next() else { return Ok(Vec::new()) };
        let left_spans = left.first().map_or(&[][..], |one| &one.set.spans);
        group.set.spans = structure::related(op, spans.tree(), left_spans, &group.set.spans);
        Ok(if group.set.spans.is_empty() { Vec::new() } else { vec![group] })
    })
}

/// After `by()` it is not defined which spansets a relation is between.
fn one_spanset_a_trace(op: Structural, input: Input<'_>) -> Result<(), EvaluateError> {
    let Input::Groups(groups) = input else { return Ok(()) };
    match groups.windows(2).any(|pair| pair[0].trace == pair[1].trace) {
        true => Err(EvaluateError::ManySpansets(op.as_str().to_owned())),
        false => Ok(()),
    }
}
