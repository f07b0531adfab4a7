//! Expressions computed span by span: one attribute against another, arithmetic, values to group and
//! aggregate by.

use std::fmt::{self, Write};

use crate::ast::{Arithmetic, Comparison, Expr};
use crate::batch::{Spans, row_above, rows_below, value_in};
use crate::bitmap::Bitmap;
use crate::filter::Filter;
use crate::operate;
use crate::reads::FieldTypes;
use crate::{Column, EvaluateError, Field, Layout, Level, Static, Types};

/// An expression ready to run.
#[derive(Clone, Debug)]
pub(crate) enum Computation {
    Literal(Static),
    /// The first field that has a value.
    Value(Vec<Field>),
    /// Whether a filter keeps the span.
    Truth(Filter),
    Not(Box<Computation>, Source),
    Negate(Box<Computation>, Source),
    Compare(Comparison, Box<[Computation; 2]>, Source),
    Arithmetic(Arithmetic, Box<[Computation; 2]>, Source),
}

/// An expression's text for errors, cut.
type Source = Box<str>;

impl Computation {
    /// From a validated and folded expression.
    pub(crate) fn new(expr: &Expr) -> Self {
        let sides = |lhs, rhs| Box::new([Self::operand(lhs), Self::operand(rhs)]);
        match expr {
            Expr::Literal(value) => Self::Literal(value.clone()),
            Expr::Identifier(name) => Self::Value(name.fields()),
            Expr::Not(operand) => Self::Not(Box::new(Self::operand(operand)), source(expr)),
            Expr::Negate(operand) => Self::Negate(Box::new(Self::operand(operand)), source(expr)),
            Expr::Logical { .. } => Self::Truth(Filter::new(expr)),
            Expr::Compare { op, lhs, rhs } => Self::Compare(*op, sides(lhs, rhs), source(expr)),
            Expr::Arithmetic { op, lhs, rhs } => Self::Arithmetic(*op, sides(lhs, rhs), source(expr)),
        }
    }

    /// Conditions inside run on columns.
    fn operand(expr: &Expr) -> Self {
        match expr {
            Expr::Compare { .. } | Expr::Logical { .. } => Self::Truth(Filter::new(expr)),
            _ => Self::new(expr),
        }
    }

    /// The spans among `candidates` where the result is true. What looks at events or links is true
    /// where it is for any of them.
    ///
    /// # Errors
    /// When an operator meets a value that it is not defined for.
    pub(crate) fn true_spans(&self, spans: &Spans<'_>, candidates: &Bitmap) -> Result<Bitmap, EvaluateError> {
        let prepared = self.prepare(spans, candidates)?;
        let (events, links) = (self.reads_level(Level::Event), self.reads_level(Level::Link));
        let mut found = Bitmap::empty(spans.count());
        for span in candidates.iter() {
            for place in places(spans.layout(), span, events, links) {
                if prepared.value(spans.layout(), place)?.is_true() {
                    found.insert(span);
                    break;
                }
            }
        }
        Ok(found)
    }

    /// Values by span of `candidates`; of events and links, the first that has one counts.
    ///
    /// # Errors
    /// When an operator meets a value that it is not defined for.
    pub(crate) fn values<'a>(
        &'a self,
        spans: &Spans<'a>,
        candidates: &Bitmap,
    ) -> Result<Values<'a>, EvaluateError> {
        Ok(Values { prepared: self.prepare(spans, candidates)?, layout: spans.layout() })
    }

    /// Adds the fields that it looks at.
    pub(crate) fn reads(&self, fields: &mut FieldTypes) {
        match self {
            Self::Literal(_) => {}
            Self::Value(names) => names.iter().for_each(|field| fields.add(field, Types::ALL)),
            Self::Truth(filter) => filter.reads(fields),
            Self::Not(operand, _) | Self::Negate(operand, _) => operand.reads(fields),
            Self::Compare(_, sides, _) | Self::Arithmetic(_, sides, _) => {
                sides.iter().for_each(|side| side.reads(fields));
            }
        }
    }

    fn reads_level(&self, level: Level) -> bool {
        match self {
            Self::Literal(_) | Self::Truth(_) => false,
            Self::Value(fields) => fields.iter().any(|field| field.level() == level),
            Self::Not(operand, _) | Self::Negate(operand, _) => operand.reads_level(level),
            Self::Compare(_, sides, _) | Self::Arithmetic(_, sides, _) => {
                sides.iter().any(|side| side.reads_level(level))
            }
        }
    }

    fn prepare<'a>(&'a self, spans: &Spans<'a>, candidates: &Bitmap) -> Result<Prepared<'a>, EvaluateError> {
        let both = |sides: &'a [Self; 2]| -> Result<_, EvaluateError> {
            Ok(Box::new([sides[0].prepare(spans, candidates)?, sides[1].prepare(spans, candidates)?]))
        };
        Ok(match self {
            Self::Literal(value) => Prepared::Literal(value),
            Self::Value(fields) => Prepared::Value(
                fields.iter().filter_map(|field| Some((field, spans.column(field)?))).collect(),
            ),
            Self::Truth(filter) => Prepared::Truth(filter.spans(spans, candidates.clone())?),
            Self::Not(operand, source) => {
                Prepared::Not(Box::new(operand.prepare(spans, candidates)?), source)
            }
            Self::Negate(operand, source) => {
                Prepared::Negate(Box::new(operand.prepare(spans, candidates)?), source)
            }
            Self::Compare(op, sides, source) => Prepared::Compare(*op, both(sides)?, source),
            Self::Arithmetic(op, sides, source) => Prepared::Arithmetic(*op, both(sides)?, source),
        })
    }
}

/// A span, and the event and link of it that is looked at.
#[derive(Clone, Copy)]
struct Place {
    span: u32,
    event: Option<u32>,
    link: Option<u32>,
}

/// One place an event and link, if these are looked at and there are any.
fn places(layout: &Layout, span: u32, events: bool, links: bool) -> impl Iterator<Item = Place> {
    let rows = |wanted: bool, level| {
        let rows = if wanted { rows_below(layout, level, span) } else { 0..0 };
        let none = rows.is_empty().then_some(None);
        rows.map(Some).chain(none)
    };
    let links = rows(links, Level::Link);
    rows(events, Level::Event)
        .flat_map(move |event| links.clone().map(move |link| Place { span, event, link }))
}

/// A computation bound to the columns of a batch.
enum Prepared<'a> {
    Literal(&'a Static),
    Value(Vec<(&'a Field, &'a Column)>),
    Truth(Bitmap),
    Not(Box<Prepared<'a>>, &'a str),
    Negate(Box<Prepared<'a>>, &'a str),
    Compare(Comparison, Box<[Prepared<'a>; 2]>, &'a str),
    Arithmetic(Arithmetic, Box<[Prepared<'a>; 2]>, &'a str),
}

impl Prepared<'_> {
    fn value(&self, layout: &Layout, place: Place) -> Result<Static, EvaluateError> {
        match self {
            Self::Literal(value) => Ok((*value).clone()),
            Self::Value(columns) => Ok(columns
                .iter()
                .find_map(|(field, column)| value_at(layout, column, field, place))
                .unwrap_or(Static::Nil)),
            Self::Truth(spans) => Ok(Static::Bool(spans.contains(place.span))),
            Self::Not(operand, source) => {
                operate::not(&operand.value(layout, place)?, || (*source).to_owned())
            }
            Self::Negate(operand, source) => {
                operate::negate(&operand.value(layout, place)?, || (*source).to_owned())
            }
            Self::Compare(op, sides, source) => {
                let (lhs, rhs) = (sides[0].value(layout, place)?, sides[1].value(layout, place)?);
                operate::compare(*op, &lhs, &rhs, || (*source).to_owned()).map(Static::Bool)
            }
            Self::Arithmetic(op, sides, source) => {
                let (lhs, rhs) = (sides[0].value(layout, place)?, sides[1].value(layout, place)?);
                operate::calculate(*op, &lhs, &rhs, || (*source).to_owned())
            }
        }
    }
}

fn value_at(layout: &Layout, column: &Column, field: &Field, place: Place) -> Option<Static> {
    let row = match column.level {
        Level::Event => place.event,
        Level::Link => place.link,
        level => row_above(layout, level, place.span),
    };
    match row {
        Some(row) => value_in(column, field, row),
        None => rows_below(layout, column.level, place.span).find_map(|row| value_in(column, field, row)),
    }
}

/// Values by span.
pub(crate) struct Values<'a> {
    prepared: Prepared<'a>,
    layout: &'a Layout,
}

impl Values<'_> {
    /// The value for a span; nil if there is none.
    ///
    /// # Errors
    /// When an operator meets a value that it is not defined for.
    pub(crate) fn of(&self, span: u32) -> Result<Static, EvaluateError> {
        self.prepared.value(self.layout, Place { span, event: None, link: None })
    }
}

/// Most bytes of an expression's text that are kept for errors.
const MAX_SOURCE: usize = 200;

/// Cut, because every level of a deep expression keeps its own.
fn source(expr: &Expr) -> Source {
    struct Cut(String);
    impl Write for Cut {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            let room = MAX_SOURCE.saturating_sub(self.0.len());
            let end = text.floor_char_boundary(room.min(text.len()));
            self.0.push_str(&text[..end]);
            if end < text.len() { Err(fmt::Error) } else { Ok(()) }
        }
    }
    let mut cut = Cut(String::new());
    if write!(cut, "{expr}").is_err() {
        cut.0.push('…');
    }
    cut.0.into()
}
