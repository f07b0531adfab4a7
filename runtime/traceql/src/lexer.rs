//! Text to tokens.

use crate::identifier::ends_name;
use crate::{AttributeScope, Identifier, ParseError, Static, duration};

/// More tokens than this are no query anybody wrote.
const MAX_TOKENS: usize = 65_536;

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Token {
    /// A bare word, or an intrinsic with scope: `name`, `count`, `span:duration`.
    Word(String),
    /// An attribute.
    Name(Identifier),
    /// Number, duration or string.
    Literal(Static),
    /// Operator or bracket.
    Symbol(&'static str),
    /// After the last token.
    End,
}

impl Token {
    /// For error messages.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Word(word) => format!("`{word}`"),
            Self::Name(name) => format!("`{name}`"),
            Self::Literal(value) => format!("`{value}`"),
            Self::Symbol(symbol) => format!("`{symbol}`"),
            Self::End => "end of the query".to_owned(),
        }
    }
}

/// A token and where it starts, in bytes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Spanned {
    pub(crate) token: Token,
    pub(crate) offset: usize,
}

/// Longest first.
const SYMBOLS: [&str; 34] = [
    "&>>", "&<<", "!>>", "!<<", "&>", "&<", "&~", "&&", "||", "!>", "!<", "!~", "!=", ">>", ">=", "<<", "<=",
    "=~", "|", "!", ">", "<", "=", "~", "+", "-", "*", "/", "%", "^", "{", "}", "(", ")",
];

/// Scope words that take a `:` and the name of an intrinsic.
const INTRINSIC_SCOPES: [&str; 5] = ["span", "trace", "event", "link", "instrumentation"];

/// All tokens, with [`Token::End`] last.
pub(crate) fn tokens(text: &str) -> Result<Vec<Spanned>, ParseError> {
    let (tokens, error) = tokens_until_error(text);
    error.map_or(Ok(tokens), Err)
}

/// The tokens up to the first thing that is none, with [`Token::End`] last, and what was wrong.
pub(crate) fn tokens_until_error(text: &str) -> (Vec<Spanned>, Option<ParseError>) {
    let mut lexer = Lexer { text, at: 0 };
    let mut tokens = Vec::new();
    let error = loop {
        match lexer.next() {
            Ok(Some(_)) if tokens.len() == MAX_TOKENS => {
                break Some(ParseError::Invalid("the query is too long".to_owned()));
            }
            Ok(Some(token)) => tokens.push(token),
            Ok(None) => break None,
            Err(error) => break Some(error),
        }
    };
    tokens.push(Spanned { token: Token::End, offset: text.len() });
    (tokens, error)
}

/// A syntax error at a byte of the text.
pub(crate) fn error_at(text: &str, offset: usize, message: impl Into<String>) -> ParseError {
    let before = &text[..offset];
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    ParseError::Syntax { line: line as u32, column: column as u32, message: message.into() }
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
}

impl Lexer<'_> {
    fn next(&mut self) -> Result<Option<Spanned>, ParseError> {
        self.skip_blanks()?;
        let offset = self.at;
        let Some(first) = self.peek() else { return Ok(None) };
        let token = match first {
            '"' => Token::Literal(Static::String(self.string()?)),
            '`' => Token::Literal(Static::String(self.raw_string()?)),
            c if c.is_ascii_digit() => Token::Literal(self.number()?),
            '.' if self.second().is_some_and(|c| c.is_ascii_digit()) => Token::Literal(self.number()?),
            '.' => {
                self.at += 1;
                Token::Name(Identifier::Unscoped(self.attribute_name()?))
            }
            ',' => {
                self.at += 1;
                Token::Symbol(",")
            }
            c if is_word(c) => self.word()?,
            c => self.symbol().ok_or_else(|| self.error(offset, format!("unexpected character {c:?}")))?,
        };
        Ok(Some(Spanned { token, offset }))
    }

    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn second(&self) -> Option<char> {
        self.rest().chars().nth(1)
    }

    fn bump(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        Some(c)
    }

    fn error(&self, offset: usize, message: impl Into<String>) -> ParseError {
        error_at(self.text, offset, message)
    }

    fn skip_blanks(&mut self) -> Result<(), ParseError> {
        loop {
            let rest = self.rest();
            let trimmed = rest.trim_start();
            let skipped = rest.len() - trimmed.len();
            let comment = if trimmed.starts_with("//") {
                trimmed.find('\n').unwrap_or(trimmed.len())
            } else if trimmed.starts_with("/*") {
                let end = trimmed
                    .find("*/")
                    .ok_or_else(|| self.error(self.at + skipped, "comment is not terminated"))?;
                end + 2
            } else {
                self.at += skipped;
                return Ok(());
            };
            self.at += skipped + comment;
        }
    }

    fn symbol(&mut self) -> Option<Token> {
        let symbol = SYMBOLS.into_iter().find(|symbol| self.rest().starts_with(symbol))?;
        self.at += symbol.len();
        Some(Token::Symbol(symbol))
    }

    fn take_word(&mut self) -> String {
        let rest = self.rest();
        let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
        let word = rest[..end].to_owned();
        self.at += end;
        word
    }

    /// A bare word, a scope with its attribute, or a scope with its intrinsic.
    fn word(&mut self) -> Result<Token, ParseError> {
        let word = self.take_word();
        if self.peek() == Some('.') {
            if word == "parent" {
                self.at += 1;
                return self.parent_attribute();
            }
            if let Some(scope) = AttributeScope::ALL.into_iter().find(|scope| scope.as_str() == word) {
                self.at += 1;
                return Ok(Token::Name(Identifier::Scoped(scope, self.attribute_name()?)));
            }
        }
        if self.peek() == Some(':') && INTRINSIC_SCOPES.contains(&word.as_str()) {
            self.at += 1;
            return Ok(Token::Word(format!("{word}:{}", self.take_word())));
        }
        Ok(Token::Word(word))
    }

    fn parent_attribute(&mut self) -> Result<Token, ParseError> {
        let scope = [AttributeScope::Span, AttributeScope::Resource]
            .into_iter()
            .find(|scope| self.rest().strip_prefix(scope.as_str()).is_some_and(|rest| rest.starts_with('.')));
        if let Some(scope) = scope {
            self.at += scope.as_str().len() + 1;
        }
        Ok(Token::Name(Identifier::ParentAttribute(scope, self.attribute_name()?)))
    }

    /// What follows the dot of an attribute.
    fn attribute_name(&mut self) -> Result<String, ParseError> {
        let start = self.at;
        let mut name = String::new();
        let mut quoted = false;
        while let Some(c) = self.peek().filter(|c| !ends_name(*c)) {
            if c == '"' {
                quoted = true;
                self.quoted_part(&mut name)?;
            } else {
                self.at += c.len_utf8();
                name.push(c);
            }
        }
        if name.is_empty() && !quoted {
            return Err(self.error(start, "the name of an attribute is missing after the dot"));
        }
        Ok(name)
    }

    fn quoted_part(&mut self, name: &mut String) -> Result<(), ParseError> {
        let start = self.at;
        self.at += 1;
        while let Some(c) = self.bump() {
            match c {
                '"' => return Ok(()),
                '\\' => match self.bump() {
                    Some(c @ ('"' | '\\')) => name.push(c),
                    _ => return Err(self.error(start, r#"only \" and \\ are escapes in an attribute name"#)),
                },
                c => name.push(c),
            }
        }
        Err(self.error(start, "the quoted attribute name is not terminated"))
    }

    fn raw_string(&mut self) -> Result<String, ParseError> {
        let body = &self.rest()[1..];
        let end = body.find('`').ok_or_else(|| self.error(self.at, "string is not terminated"))?;
        // Like Go: carriage returns are no part of a raw string.
        let value = body[..end].replace('\r', "");
        self.at += end + 2;
        Ok(value)
    }

    /// With Go's escapes.
    fn string(&mut self) -> Result<String, ParseError> {
        let start = self.at;
        self.at += 1;
        let mut bytes = Vec::new();
        loop {
            match self.bump() {
                None | Some('\n') => return Err(self.error(start, "string is not terminated")),
                Some('"') => break,
                Some('\\') => self.escape(&mut bytes)?,
                Some(c) => bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        String::from_utf8(bytes).map_err(|_| self.error(start, "string is not UTF-8"))
    }

    fn escape(&mut self, bytes: &mut Vec<u8>) -> Result<(), ParseError> {
        let start = self.at - 1;
        let simple = match self.bump() {
            Some('a') => 7,
            Some('b') => 8,
            Some('f') => 12,
            Some('n') => b'\n',
            Some('r') => b'\r',
            Some('t') => b'\t',
            Some('v') => 11,
            Some('\\') => b'\\',
            Some('"') => b'"',
            Some('x') => self.code(start, 2, 16).map(|byte| byte as u8)?,
            Some('u') => return self.code(start, 4, 16).and_then(|code| self.push_char(start, code, bytes)),
            Some('U') => return self.code(start, 8, 16).and_then(|code| self.push_char(start, code, bytes)),
            Some('0'..='7') => {
                self.at -= 1;
                let code = self.code(start, 3, 8)?;
                u8::try_from(code).map_err(|_| self.error(start, "octal escape is above 255"))?
            }
            _ => return Err(self.error(start, "unknown escape in string")),
        };
        bytes.push(simple);
        Ok(())
    }

    fn code(&mut self, start: usize, digits: usize, radix: u32) -> Result<u32, ParseError> {
        let code = self
            .rest()
            .get(..digits)
            .filter(|text| text.chars().all(|c| c.is_digit(radix)))
            .and_then(|text| u32::from_str_radix(text, radix).ok())
            .ok_or_else(|| self.error(start, "incomplete escape in string"))?;
        self.at += digits;
        Ok(code)
    }

    fn push_char(&self, start: usize, code: u32, bytes: &mut Vec<u8>) -> Result<(), ParseError> {
        let c = char::from_u32(code).ok_or_else(|| self.error(start, "escape is no Unicode character"))?;
        bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        Ok(())
    }

    /// A duration if the text up to the next non-letter is one; else integer or float.
    fn number(&mut self) -> Result<Static, ParseError> {
        let rest = self.rest();
        let run = rest.find(|c: char| !c.is_alphanumeric() && c != '.').unwrap_or(rest.len());
        if let Some(nanos) = duration::parse(&rest[..run]) {
            self.at += run;
            return Ok(Static::Duration(nanos));
        }
        let (length, is_float) = number_length(rest);
        let text = &rest[..length];
        let value = if is_float {
            text.parse().ok().filter(|value: &f64| value.is_finite()).map(Static::Float)
        } else {
            text.parse().ok().map(Static::Int)
        };
        let value = value.ok_or_else(|| self.error(self.at, format!("number out of range: {text}")))?;
        self.at += length;
        Ok(value)
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// How many bytes the number at the start of `text` has, and whether it is a float.
fn number_length(text: &str) -> (usize, bool) {
    let digits = |from: usize| text[from..].bytes().take_while(u8::is_ascii_digit).count();
    let mut length = digits(0);
    let mut is_float = false;
    if text[length..].starts_with('.') {
        is_float = true;
        length += 1;
        length += digits(length);
    }
    let exponent = &text[length..];
    if exponent.starts_with(['e', 'E']) {
        let sign = usize::from(exponent[1..].starts_with(['+', '-']));
        let exponent_digits = digits(length + 1 + sign);
        if exponent_digits > 0 {
            is_float = true;
            length += 1 + sign + exponent_digits;
        }
    }
    (length, is_float)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn symbols_and_words(text: &str) -> Vec<String> {
        tokens(text).unwrap().into_iter().map(|one| one.token.describe()).collect()
    }

    #[test]
    fn names_take_everything_up_to_a_terminator() {
        for (text, name) in [
            (".a+1", "a+1"),
            (".a/*b*/c", "a/*b*/c"),
            (".a-b:c.d@[0]", "a-b:c.d@[0]"),
            (".größe", "größe"),
            (r#"."user id".x"#, "user id.x"),
            (r#".a"b c"d"#, "ab cd"),
            (r#"."say \"hi\" \\""#, r#"say "hi" \"#),
        ] {
            assert_eq!(
                tokens(text).unwrap()[0].token,
                Token::Name(Identifier::Unscoped(name.into())),
                "{text}"
            );
        }
        assert_eq!(symbols_and_words("span.5xx")[0], "`span.5xx`");
        assert_eq!(symbols_and_words("parent.span.x")[0], "`parent.span.x`");
    }

    #[test]
    fn operators_match_longest() {
        assert_eq!(
            symbols_and_words("&>>&>&&&~!>>!>!~!=!>=>>><<=")[..12],
            ["`&>>`", "`&>`", "`&&`", "`&~`", "`!>>`", "`!>`", "`!~`", "`!=`", "`!>`", "`=`", "`>>`", "`>`"]
        );
    }

    #[test]
    fn numbers() {
        for (text, value) in [
            ("010", Static::Int(10)),
            ("1.5", Static::Float(1.5)),
            (".5", Static::Float(0.5)),
            ("1e3", Static::Float(1000.0)),
            ("1.5e-3", Static::Float(0.0015)),
            ("1h30m", Static::Duration(5_400_000_000_000)),
            ("1.5h", Static::Duration(5_400_000_000_000)),
            ("2µs", Static::Duration(2_000)),
        ] {
            assert_eq!(tokens(text).unwrap()[0].token, Token::Literal(value), "{text}");
        }
        assert_eq!(symbols_and_words("1.5d"), ["`1.5`", "`d`", "end of the query"]);
        assert_eq!(symbols_and_words("0x10"), ["`0`", "`x10`", "end of the query"]);
        assert_eq!(symbols_and_words("1_000"), ["`1`", "`_000`", "end of the query"]);
        assert!(tokens("9223372036854775808").is_err());
    }

    #[test]
    fn strings() {
        for (text, value) in [
            (r#""a\n\t\"\\\x41\u00e9\101""#, "a\n\t\"\\AéA"),
            (r"`C:\tmp`", r"C:\tmp"),
            ("`two\nlines`", "two\nlines"),
        ] {
            assert_eq!(
                tokens(text).unwrap()[0].token,
                Token::Literal(Static::String(value.into())),
                "{text}"
            );
        }
        for text in ["\"a", "`a", r#""\q""#, r#""\xff""#, "'a'", r#""\ud800""#, "span.", ". a", r#"."a\nb""#]
        {
            assert!(tokens(text).is_err(), "{text}");
        }
    }

    #[test]
    fn errors_have_positions_in_characters() {
        let error = tokens("{ .ä = \"é\"\n && 'x' }").unwrap_err();
        assert_eq!(error.to_string(), "parse error at line 2, col 5: unexpected character '\\''");
    }

    #[test]
    fn comments_are_blanks() {
        assert_eq!(symbols_and_words("{ /* a\n b */ } // c\n // d"), ["`{`", "`}`", "end of the query"]);
        assert!(tokens("{} /* a").is_err());
    }
}
