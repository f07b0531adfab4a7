//! Expressions over one span: the inside of `{ … }`.

use super::{
    ADDITION, AFTER_MINUS, AFTER_NOT, COMPARISON, LOGICAL, Parser, arithmetic, comparison, logical, negated,
    right_level,
};
use crate::ast::{Arithmetic, Comparison, Expr, Logical};
use crate::lexer::{self, Token};
use crate::{ParseError, Static};

#[derive(Clone, Copy)]
enum Operator {
    Logical(Logical),
    Compare(Comparison),
    Arithmetic(Arithmetic, u8),
}

impl Operator {
    fn from_symbol(symbol: &str) -> Option<Self> {
        logical(symbol)
            .map(Self::Logical)
            .or_else(|| comparison(symbol).map(Self::Compare))
            .or_else(|| arithmetic(symbol).map(|(op, level)| Self::Arithmetic(op, level)))
    }

    fn level(self) -> u8 {
        match self {
            Self::Logical(_) => LOGICAL,
            Self::Compare(_) => COMPARISON,
            Self::Arithmetic(_, level) => level,
        }
    }

    fn accepts_nil(self) -> bool {
        matches!(self, Self::Compare(op) if op.is_equality())
    }

    fn join(self, lhs: Expr, rhs: Expr) -> Expr {
        let sides = |lhs, rhs| (Box::new(lhs), Box::new(rhs));
        match self {
            Self::Logical(op) => join_logical(op, lhs, rhs),
            Self::Compare(op) => {
                let (lhs, rhs) = sides(lhs, rhs);
                Expr::Compare { op, lhs, rhs }
            }
            Self::Arithmetic(op, _) => {
                let (lhs, rhs) = sides(lhs, rhs);
                Expr::Arithmetic { op, lhs, rhs }
            }
        }
    }
}

/// Flat: `(a && b) && (c && d)` has four terms.
pub(crate) fn join_logical(op: Logical, lhs: Expr, rhs: Expr) -> Expr {
    let terms_of = |expr| match expr {
        Expr::Logical { op: inner, terms } if inner == op => terms,
        expr => vec![expr],
    };
    let mut terms = terms_of(lhs);
    terms.extend(terms_of(rhs));
    Expr::Logical { op, terms }
}

fn is_nil(expr: &Expr) -> bool {
    matches!(expr, Expr::Literal(Static::Nil))
}

const NIL_MISPLACED: &str = "nil can only be compared with = and !=";

impl Parser<'_> {
    /// `{ … }`, the opening brace not yet read.
    pub(super) fn filter(&mut self) -> Result<Expr, ParseError> {
        self.expect("{")?;
        if self.eat("}") {
            return Ok(Expr::Literal(Static::Bool(true)));
        }
        let expr = self.expression()?;
        self.expect("}")?;
        Ok(expr)
    }

    pub(super) fn expression(&mut self) -> Result<Expr, ParseError> {
        let start = self.offset();
        let expr = self.binary(0)?;
        if is_nil(&expr) {
            return Err(lexer::error_at(self.text, start, NIL_MISPLACED));
        }
        Ok(expr)
    }

    /// Operators of at least `level`.
    fn binary(&mut self, level: u8) -> Result<Expr, ParseError> {
        self.nested(|parser| {
            let mut lhs = parser.unary()?;
            let mut previous: Option<Operator> = None;
            while let Some(op) = parser.symbol().and_then(Operator::from_symbol) {
                if op.level() < level {
                    break;
                }
                let flat = match (op, previous) {
                    (_, None) => true,
                    (Operator::Logical(op), Some(Operator::Logical(previous))) => op == previous,
                    _ => false,
                };
                if !flat {
                    parser.count_chained()?;
                }
                lhs = parser.right_side(op, lhs)?;
                previous = Some(op);
            }
            Ok(lhs)
        })
    }

    fn right_side(&mut self, op: Operator, lhs: Expr) -> Result<Expr, ParseError> {
        let position = self.offset();
        self.bump();
        let rhs = self.binary(right_level(op.level()))?;
        if !op.accepts_nil() && (is_nil(&lhs) || is_nil(&rhs)) {
            return Err(lexer::error_at(self.text, position, NIL_MISPLACED));
        }
        Ok(op.join(lhs, rhs))
    }

    fn unary(&mut self) -> Result<Expr, ParseError> {
        let position = self.offset();
        let (level, is_not) = match self.symbol() {
            Some("-") => (AFTER_MINUS, false),
            Some("!") => (AFTER_NOT, true),
            _ => return self.operand(),
        };
        debug_assert!(level > ADDITION, "binary minus is not part of an operand");
        self.bump();
        let operand = self.binary(level)?;
        if is_nil(&operand) {
            return Err(lexer::error_at(self.text, position, NIL_MISPLACED));
        }
        Ok(match operand {
            operand if is_not => Expr::Not(Box::new(operand)),
            Expr::Literal(value) => match negated(&value) {
                Some(value) => Expr::Literal(value),
                None => Expr::Negate(Box::new(Expr::Literal(value))),
            },
            operand => Expr::Negate(Box::new(operand)),
        })
    }

    fn operand(&mut self) -> Result<Expr, ParseError> {
        if self.eat("(") {
            let expr = self.binary(0)?;
            self.expect(")")?;
            return Ok(expr);
        }
        if let Some(value) = self.literal() {
            return Ok(Expr::Literal(value));
        }
        match self.peek() {
            Token::Word(_) | Token::Name(_) => self.identifier().map(Expr::Identifier),
            _ => Err(self.unexpected("an attribute, an intrinsic or a literal")),
        }
    }
}
