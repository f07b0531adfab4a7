//! Spansets, their combinations, scalar filters and the stages around them.

use super::{COMPARISON, LOGICAL, Parser, arithmetic, comparison, logical, negated, right_level};
use crate::ast::{
    Aggregate, Arithmetic, Comparison, Hint, Logical, Pipeline, Root, Scalar, ScalarFilter, SpansetExpr,
    Stage, Structural,
};
use crate::lexer::{self, Token};
use crate::{ParseError, Static};

/// What a stage's expression can be; which one decides what operators around it mean.
enum Node {
    Spansets(SpansetExpr),
    Scalar(Scalar),
    Filter(ScalarFilter),
}

impl Node {
    fn describe(&self) -> &'static str {
        match self {
            Self::Spansets(_) => "a spanset",
            Self::Scalar(_) => "a number",
            Self::Filter(_) => "a comparison",
        }
    }
}

impl Parser<'_> {
    pub(super) fn root(&mut self) -> Result<Root, ParseError> {
        self.not_coalesce()?;
        let mut stages = vec![self.stage()?];
        let mut metrics = None;
        while metrics.is_none() && self.eat("|") {
            match self.metrics()? {
                None => stages.push(self.stage()?),
                found => metrics = found,
            }
        }
        let mut hints = Vec::new();
        while self.is_word("with") {
            hints = self.hints()?;
        }
        Ok(Root { pipeline: Pipeline { stages }, metrics, hints })
    }

    fn not_coalesce(&self) -> Result<(), ParseError> {
        match self.is_word("coalesce") {
            true => Err(self.error("coalesce() cannot be the first stage")),
            false => Ok(()),
        }
    }

    fn hints(&mut self) -> Result<Vec<Hint>, ParseError> {
        self.bump();
        self.expect("(")?;
        let mut hints = vec![self.hint()?];
        while self.eat(",") {
            hints.push(self.hint()?);
        }
        self.expect(")")?;
        Ok(hints)
    }

    fn hint(&mut self) -> Result<Hint, ParseError> {
        let Token::Word(name) = self.peek().clone() else {
            return Err(self.unexpected("the name of a hint"));
        };
        self.bump();
        self.expect("=")?;
        let value = self.signed_literal()?;
        Ok(Hint { name, value })
    }

    /// A stage that is complete by itself.
    fn stage(&mut self) -> Result<Stage, ParseError> {
        if let Some(stage) = self.keyword_stage()? {
            return Ok(stage);
        }
        match self.node(0)? {
            Node::Spansets(expr) => Ok(Stage::Spansets(expr)),
            Node::Filter(filter) => Ok(Stage::Scalar(filter)),
            Node::Scalar(_) => Err(self.unexpected("a comparison, as in `count() > 1`")),
        }
    }

    fn keyword_stage(&mut self) -> Result<Option<Stage>, ParseError> {
        let Token::Word(word) = self.peek() else { return Ok(None) };
        let stage = match word.as_str() {
            "by" => {
                self.bump();
                self.expect("(")?;
                let expr = self.expression()?;
                self.expect(")")?;
                Stage::By(expr)
            }
            "coalesce" => {
                self.bump();
                self.empty_arguments()?;
                Stage::Coalesce
            }
            "select" => {
                self.bump();
                Stage::Select(self.identifiers()?)
            }
            _ => return Ok(None),
        };
        Ok(Some(stage))
    }

    /// Operators of at least `level`.
    fn node(&mut self, level: u8) -> Result<Node, ParseError> {
        self.nested(|parser| {
            let mut lhs = parser.node_operand()?;
            let mut previous: Option<&str> = None;
            while let Some(symbol) = parser.symbol() {
                let Some(op_level) = node_level(symbol).filter(|op| *op >= level) else { break };
                let flat = previous.is_none_or(|one| op_level == LOGICAL && one == symbol);
                if !flat {
                    parser.count_chained()?;
                }
                let offset = parser.offset();
                parser.bump();
                let rhs = parser.node(right_level(op_level))?;
                let (left, right) = (lhs.describe(), rhs.describe());
                lhs = join(symbol, lhs, rhs).ok_or_else(|| {
                    let message = format!("`{symbol}` cannot stand between {left} and {right}");
                    lexer::error_at(parser.text, offset, message)
                })?;
                previous = Some(symbol);
            }
            Ok(lhs)
        })
    }

    fn node_operand(&mut self) -> Result<Node, ParseError> {
        match self.peek() {
            Token::Symbol("{") => self.filter().map(|expr| Node::Spansets(SpansetExpr::Filter(expr))),
            Token::Symbol("(") => self.parenthesised(),
            Token::Symbol("-") => {
                self.bump();
                let literal = self.literal().as_ref().and_then(negated);
                let literal = literal.ok_or_else(|| self.unexpected("a number"))?;
                Ok(Node::Scalar(Scalar::Literal(literal)))
            }
            Token::Word(_) | Token::Literal(_) => self.scalar_operand().map(Node::Scalar),
            _ => Err(self.unexpected("`{`")),
        }
    }

    fn scalar_operand(&mut self) -> Result<Scalar, ParseError> {
        if let Some(aggregate) = self.aggregate()? {
            return Ok(Scalar::Aggregate(aggregate));
        }
        let position = self.offset();
        match self.literal() {
            Some(Static::Nil) => Err(lexer::error_at(self.text, position, "nil is no number")),
            Some(value) => Ok(Scalar::Literal(value)),
            None => Err(self.unknown_word()),
        }
    }

    fn aggregate(&mut self) -> Result<Option<Aggregate>, ParseError> {
        let Token::Word(word) = self.peek() else { return Ok(None) };
        let with_argument = match word.as_str() {
            "count" => {
                self.bump();
                self.empty_arguments()?;
                return Ok(Some(Aggregate::Count));
            }
            "min" => Aggregate::Min,
            "max" => Aggregate::Max,
            "avg" => Aggregate::Avg,
            "sum" => Aggregate::Sum,
            _ => return Ok(None),
        };
        self.bump();
        self.expect("(")?;
        let argument = self.expression()?;
        self.expect(")")?;
        Ok(Some(with_argument(argument)))
    }

    /// A combination, a pipeline, or a pipeline that ends in an aggregate, in parentheses.
    fn parenthesised(&mut self) -> Result<Node, ParseError> {
        self.expect("(")?;
        self.not_coalesce()?;
        let mut stages = Vec::new();
        let aggregate = loop {
            if let Some(stage) = self.keyword_stage()? {
                stages.push(stage);
            } else {
                match self.node(0)? {
                    Node::Spansets(expr) => stages.push(Stage::Spansets(expr)),
                    Node::Filter(filter) => stages.push(Stage::Scalar(filter)),
                    Node::Scalar(scalar) => break Some(scalar),
                }
            }
            if !self.eat("|") {
                break None;
            }
        };
        self.expect(")")?;
        if stages.is_empty() {
            return Ok(Node::Scalar(aggregate.ok_or_else(|| self.unexpected("a spanset"))?));
        }
        match aggregate {
            Some(Scalar::Aggregate(aggregate)) => {
                Ok(Node::Scalar(Scalar::Pipeline(Pipeline { stages }, aggregate)))
            }
            Some(_) => Err(self.unexpected("an aggregate at the end of the pipeline")),
            None => Ok(Node::Spansets(in_parentheses(stages))),
        }
    }
}

/// Parentheses around a single combination of spansets only group.
fn in_parentheses(mut stages: Vec<Stage>) -> SpansetExpr {
    match (stages.pop(), stages.is_empty()) {
        (Some(Stage::Spansets(expr)), true) => expr,
        (last, _) => {
            stages.extend(last);
            SpansetExpr::Pipeline(Pipeline { stages })
        }
    }
}

fn node_level(symbol: &str) -> Option<u8> {
    if logical(symbol).is_some() {
        return Some(LOGICAL);
    }
    if scalar_comparison(symbol).is_some() || Structural::from_symbol(symbol).is_some() {
        return Some(COMPARISON);
    }
    arithmetic(symbol).map(|(_, level)| level)
}

fn scalar_comparison(symbol: &str) -> Option<Comparison> {
    comparison(symbol).filter(|op| !op.is_regex())
}

fn join(symbol: &str, lhs: Node, rhs: Node) -> Option<Node> {
    match (lhs, rhs) {
        (Node::Spansets(lhs), Node::Spansets(rhs)) => join_spansets(symbol, lhs, rhs).map(Node::Spansets),
        (Node::Scalar(lhs), Node::Scalar(rhs)) => match arithmetic(symbol) {
            Some((op, _)) => Some(Node::Scalar(join_scalars(op, lhs, rhs))),
            None => scalar_comparison(symbol).map(|op| Node::Filter(ScalarFilter { lhs, op, rhs })),
        },
        _ => None,
    }
}

fn join_scalars(op: Arithmetic, lhs: Scalar, rhs: Scalar) -> Scalar {
    Scalar::Binary { op, lhs: Box::new(lhs), rhs: Box::new(rhs) }
}

fn join_spansets(symbol: &str, lhs: SpansetExpr, rhs: SpansetExpr) -> Option<SpansetExpr> {
    if let Some(op) = logical(symbol) {
        return Some(join_logical(op, lhs, rhs));
    }
    let op = Structural::from_symbol(symbol)?;
    Some(SpansetExpr::Structural { op, lhs: Box::new(lhs), rhs: Box::new(rhs) })
}

/// Flat, like the operators inside a filter.
fn join_logical(op: Logical, lhs: SpansetExpr, rhs: SpansetExpr) -> SpansetExpr {
    let terms_of = |expr| match expr {
        SpansetExpr::Logical { op: inner, terms } if inner == op => terms,
        expr => vec![expr],
    };
    let mut terms = terms_of(lhs);
    terms.extend(terms_of(rhs));
    SpansetExpr::Logical { op, terms }
}
