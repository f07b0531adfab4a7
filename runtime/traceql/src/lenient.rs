//! Half-typed filters, as the tag endpoints get them while the user types.

use crate::ast::{Expr, Logical};
use crate::lexer::{self, Spanned, Token};
use crate::{Query, parse};

/// Deeper parentheses are dropped with their contents.
const MAX_NESTING: u32 = 16;

/// What can be understood of `text`: its first `{ … }`, closed if need be, without conditions that lack
/// a value or make no sense. `None` if nothing is left to filter by.
pub fn lenient_filter(text: &str) -> Option<Query> {
    let (tokens, _) = lexer::tokens_until_error(text);
    let start = tokens.iter().position(|one| one.token == Token::Symbol("{"))? + 1;
    let inside = &tokens[start..];
    let is_end = |one: &Spanned| matches!(one.token, Token::Symbol("}" | "{") | Token::End);
    let end = inside.iter().position(is_end).unwrap_or(inside.len());
    let filter = understood(text, &inside[..end], 0)?;
    Query::from_filter(filter).ok()
}

/// The conditions that make sense, joined by the operators before them.
fn understood(text: &str, tokens: &[Spanned], nesting: u32) -> Option<Expr> {
    let mut filter: Option<Expr> = None;
    for (op, term) in terms(tokens) {
        let Some(term) = understood_term(text, term, nesting) else { continue };
        filter = Some(match filter {
            Some(filter) => parse::join_logical(op, filter, term),
            None => term,
        });
    }
    filter
}

fn understood_term(text: &str, tokens: &[Spanned], nesting: u32) -> Option<Expr> {
    if let Ok(expr) = parse::parse_expression(text, tokens)
        && Query::from_filter(expr.clone()).is_ok()
    {
        return Some(expr);
    }
    let (first, rest) = tokens.split_first()?;
    if first.token != Token::Symbol("(") || nesting == MAX_NESTING {
        return None;
    }
    let rest = match rest.split_last() {
        Some((last, inside)) if last.token == Token::Symbol(")") => inside,
        _ => rest,
    };
    understood(text, rest, nesting + 1)
}

/// Parts between `&&` and `||` outside parentheses, each with the operator before it.
fn terms(tokens: &[Spanned]) -> Vec<(Logical, &[Spanned])> {
    let mut terms = Vec::new();
    let (mut op, mut start, mut depth) = (Logical::And, 0, 0_i32);
    for (position, one) in tokens.iter().enumerate() {
        let next = match one.token {
            Token::Symbol("(") => {
                depth += 1;
                continue;
            }
            Token::Symbol(")") => {
                depth -= 1;
                continue;
            }
            Token::Symbol("&&") if depth == 0 => Logical::And,
            Token::Symbol("||") if depth == 0 => Logical::Or,
            _ => continue,
        };
        terms.push((op, &tokens[start..position]));
        (op, start) = (next, position + 1);
    }
    terms.push((op, &tokens[start..]));
    terms
}

#[cfg(test)]
mod tests {
    use super::lenient_filter;

    #[test]
    fn keeps_what_makes_sense() {
        for (text, understood) in [
            ("", None),
            ("{", None),
            ("{}", None),
            ("{ .a = }", None),
            ("{ .a = 1", Some("{ .a = 1 }")),
            ("{ .a = 1 && .b = }", Some("{ .a = 1 }")),
            ("{ .a = && .b = 2 }", Some("{ .b = 2 }")),
            ("{ .a = 1 && .b =~ }", Some("{ .a = 1 }")),
            ("{ .a = 1 && .b = \"unfinis", Some("{ .a = 1 }")),
            ("{ .a = 1 && ", Some("{ .a = 1 }")),
            ("{ .a = 1 || .b = 2 }", Some("{ (.a = 1) || (.b = 2) }")),
            ("{ .a = 1 && (.b = 2 || .c = ) }", Some("{ (.a = 1) && (.b = 2) }")),
            ("{ .a = 1 && (.b = 2 || .c", Some("{ (.a = 1) && ((.b = 2) || .c) }")),
            ("{ .a = 1 } && { .b = 2 }", Some("{ .a = 1 }")),
            ("{ .a = 1 } | count() >", Some("{ .a = 1 }")),
            ("{ name = 1 && kind = server }", Some("{ kind = server }")),
            ("{ .a = 1 && span. }", Some("{ .a = 1 }")),
            ("no filter", None),
        ] {
            assert_eq!(lenient_filter(text).map(|query| query.to_string()).as_deref(), understood, "{text}");
        }
    }

    #[test]
    fn deep_nesting_is_dropped() {
        assert!(lenient_filter(&format!("{{ {}", "(".repeat(60_000))).is_none());
    }
}
