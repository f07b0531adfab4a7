//! Text to syntax tree: the grammar.
//!
//! Precedence, weakest first: `|`; `&&` and `||` (one level); comparisons and structural operators;
//! `+ -` and unary `-`; `!`; `* / %`; `^`. All binary operators but `^` associate to the left.

mod expression;
mod metrics;
mod pipeline;

pub(crate) use expression::join_logical;

use crate::ast::{Arithmetic, Comparison, Expr, Logical, Root};
use crate::lexer::{self, Spanned, Token};
use crate::{Identifier, Intrinsic, ParseError, Static};

/// Most open calls of the parser, which bounds its stack: over a hundred nested parentheses.
const MAX_RECURSION: u32 = 300;
/// Most operators that make the tree deeper without nesting in the text: `1 + 1 + 1`, `a && b || c`.
const MAX_CHAINED: u32 = 500;

/// Parses a whole query, without looking at types.
pub(crate) fn parse(text: &str) -> Result<Root, ParseError> {
    let mut parser = Parser::new(text, lexer::tokens(text)?);
    let root = parser.root()?;
    parser.expect_end()?;
    Ok(root)
}

/// Parses the inside of a `{ … }` from tokens of `text`.
pub(crate) fn parse_expression(text: &str, tokens: &[Spanned]) -> Result<Expr, ParseError> {
    let mut tokens = tokens.to_vec();
    tokens.push(Spanned { token: Token::End, offset: text.len() });
    let mut parser = Parser::new(text, tokens);
    let expr = parser.expression()?;
    parser.expect_end()?;
    Ok(expr)
}

/// Parses what tag endpoints take: `.foo`, `span.foo`, `resource.service.name`, `name`, `span:status`.
///
/// # Errors
/// When the text is not exactly one attribute or intrinsic.
pub fn parse_attribute(text: &str) -> Result<Identifier, ParseError> {
    let mut parser = Parser::new(text, lexer::tokens(text)?);
    let identifier = parser.identifier()?;
    parser.expect_end()?;
    if identifier.fields().is_empty() {
        return Err(ParseError::Unsupported(format!("`{identifier}`")));
    }
    Ok(identifier)
}

struct Parser<'a> {
    text: &'a str,
    tokens: Vec<Spanned>,
    at: usize,
    recursion: u32,
    chained: u32,
}

impl<'a> Parser<'a> {
    fn new(text: &'a str, tokens: Vec<Spanned>) -> Self {
        Self { text, tokens, at: 0, recursion: 0, chained: 0 }
    }

    fn peek(&self) -> &Token {
        self.peek_at(0)
    }

    fn peek_at(&self, ahead: usize) -> &Token {
        self.tokens.get(self.at + ahead).map_or(&Token::End, |one| &one.token)
    }

    fn offset(&self) -> usize {
        self.tokens.get(self.at).map_or(self.text.len(), |one| one.offset)
    }

    fn bump(&mut self) {
        self.at += 1;
    }

    fn error(&self, message: impl Into<String>) -> ParseError {
        lexer::error_at(self.text, self.offset(), message)
    }

    fn unexpected(&self, expected: &str) -> ParseError {
        self.error(format!("unexpected {}, expected {expected}", self.peek().describe()))
    }

    fn symbol(&self) -> Option<&'static str> {
        match self.peek() {
            Token::Symbol(symbol) => Some(symbol),
            _ => None,
        }
    }

    fn is_symbol(&self, symbol: &str) -> bool {
        self.symbol() == Some(symbol)
    }

    fn is_word(&self, word: &str) -> bool {
        matches!(self.peek(), Token::Word(found) if found == word)
    }

    fn eat(&mut self, symbol: &str) -> bool {
        let found = self.is_symbol(symbol);
        if found {
            self.bump();
        }
        found
    }

    fn expect(&mut self, symbol: &str) -> Result<(), ParseError> {
        if self.eat(symbol) { Ok(()) } else { Err(self.unexpected(&format!("`{symbol}`"))) }
    }

    fn expect_end(&self) -> Result<(), ParseError> {
        match self.peek() {
            Token::End => Ok(()),
            _ => Err(self.unexpected("an operator, `|` or the end of the query")),
        }
    }

    /// `()`
    fn empty_arguments(&mut self) -> Result<(), ParseError> {
        self.expect("(")?;
        self.expect(")")
    }

    fn nested<T>(&mut self, parse: impl FnOnce(&mut Self) -> Result<T, ParseError>) -> Result<T, ParseError> {
        if self.recursion == MAX_RECURSION {
            return Err(self.error("the query is nested too deeply"));
        }
        self.recursion += 1;
        let result = parse(self);
        self.recursion -= 1;
        result
    }

    fn count_chained(&mut self) -> Result<(), ParseError> {
        if self.chained == MAX_CHAINED {
            return Err(self.error("too many operators in a row"));
        }
        self.chained += 1;
        Ok(())
    }

    fn identifier(&mut self) -> Result<Identifier, ParseError> {
        let identifier = match self.peek() {
            Token::Name(name) => name.clone(),
            Token::Word(word) if word == "parent" => Identifier::Parent,
            Token::Word(word) => match Intrinsic::by_name(word) {
                Some(intrinsic) => Identifier::Intrinsic(intrinsic),
                None => return Err(self.unknown_word()),
            },
            _ => return Err(self.unexpected("an attribute or intrinsic")),
        };
        self.bump();
        Ok(identifier)
    }

    fn unknown_word(&self) -> ParseError {
        match self.peek() {
            Token::Word(word) => self.error(format!("unknown identifier: {word}")),
            _ => self.unexpected("an identifier"),
        }
    }

    /// One or more, separated by commas, in parentheses.
    fn identifiers(&mut self) -> Result<Vec<Identifier>, ParseError> {
        self.expect("(")?;
        let mut identifiers = vec![self.identifier()?];
        while self.eat(",") {
            identifiers.push(self.identifier()?);
        }
        self.expect(")")?;
        Ok(identifiers)
    }

    /// A literal, if the next token is one; without sign.
    fn literal(&mut self) -> Option<Static> {
        let value = match self.peek() {
            Token::Literal(value) => value.clone(),
            Token::Word(word) => literal_word(word)?,
            _ => return None,
        };
        self.bump();
        Some(value)
    }

    /// A literal that may have a sign if it is a number.
    fn signed_literal(&mut self) -> Result<Static, ParseError> {
        let negative = self.eat("-");
        let literal = self.literal().ok_or_else(|| self.unexpected("a literal"))?;
        match negative {
            false => Ok(literal),
            true => negated(&literal).ok_or_else(|| self.error("only numbers can be negative")),
        }
    }
}

fn literal_word(word: &str) -> Option<Static> {
    use crate::{Kind, Status};
    let constant = match word {
        "true" => Static::Bool(true),
        "false" => Static::Bool(false),
        "nil" => Static::Nil,
        "minInt" => Static::Int(i64::MIN),
        "maxInt" => Static::Int(i64::MAX),
        word => {
            let status = Status::ALL.into_iter().find(|one| one.as_str() == word).map(Static::Status);
            return status
                .or_else(|| Kind::ALL.into_iter().find(|one| one.as_str() == word).map(Static::Kind));
        }
    };
    Some(constant)
}

fn negated(value: &Static) -> Option<Static> {
    match value {
        Static::Int(value) => Some(Static::Int(value.wrapping_neg())),
        Static::Float(value) => Some(Static::Float(-value)),
        Static::Duration(nanos) => Some(Static::Duration(nanos.wrapping_neg())),
        _ => None,
    }
}

fn logical(symbol: &str) -> Option<Logical> {
    match symbol {
        "&&" => Some(Logical::And),
        "||" => Some(Logical::Or),
        _ => None,
    }
}

fn comparison(symbol: &str) -> Option<Comparison> {
    Comparison::ALL.into_iter().find(|op| op.as_str() == symbol)
}

/// An arithmetic operator and its level, higher binds stronger.
fn arithmetic(symbol: &str) -> Option<(Arithmetic, u8)> {
    match symbol {
        "+" => Some((Arithmetic::Add, ADDITION)),
        "-" => Some((Arithmetic::Subtract, ADDITION)),
        "*" => Some((Arithmetic::Multiply, PRODUCT)),
        "/" => Some((Arithmetic::Divide, PRODUCT)),
        "%" => Some((Arithmetic::Remainder, PRODUCT)),
        "^" => Some((Arithmetic::Power, POWER)),
        _ => None,
    }
}

const LOGICAL: u8 = 2;
const COMPARISON: u8 = 3;
const ADDITION: u8 = 4;
const PRODUCT: u8 = 6;
const POWER: u8 = 7;
/// What binds stronger than unary `-`, and than `!`.
const AFTER_MINUS: u8 = 5;
const AFTER_NOT: u8 = PRODUCT;

/// The level that the right side of an operator is parsed at.
fn right_level(level: u8) -> u8 {
    if level == POWER { POWER } else { level + 1 }
}
