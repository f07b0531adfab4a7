//! Regular expressions: Go's RE2 syntax on top of the `regex` crate.

use regex::{Regex, RegexBuilder};

/// Most memory of a compiled pattern, bytes.
const MAX_COMPILED: usize = 1 << 20;

/// A pattern that must match a whole string.
#[derive(Clone, Debug)]
pub(crate) struct Pattern {
    regex: Regex,
}

impl Pattern {
    /// Compiles; the error says what is wrong with the pattern.
    pub(crate) fn new(pattern: &str) -> Result<Self, String> {
        let translated = translate(pattern);
        // First by itself: `a)(b` must not become valid by the group around it.
        compile(&translated)
            .and_then(|_| compile(&format!(r"\A(?:{translated})\z")))
            .map(|regex| Self { regex })
            .map_err(|error| format!("invalid regular expression {pattern:?}: {}", last_line(&error)))
    }

    /// Whether the whole of `value` matches.
    pub(crate) fn matches(&self, value: &str) -> bool {
        self.regex.is_match(value)
    }
}

fn compile(pattern: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(pattern).size_limit(MAX_COMPILED).octal(true).build()
}

/// The crate draws the pattern with a marker over several lines; the last says what is wrong.
fn last_line(error: &regex::Error) -> String {
    let text = error.to_string();
    text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
}

/// Go's syntax in the crate's: both descend from RE2, these differ:
/// * Perl classes (`\d`, `\w`, `\s`, `\b`) are ASCII in Go;
/// * a brace that starts no repetition is a brace in Go;
/// * `\Q…\E` quotes in Go;
/// * set operations and nested sets inside `[…]` are not in Go.
fn translate(pattern: &str) -> String {
    let mut output = String::with_capacity(pattern.len() + 8);
    let mut rest = pattern;
    let mut class: Option<Element> = None;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        match (c, class) {
            ('\\', _) => {
                let is_set = rest.starts_with(['d', 'D', 'w', 'W', 's', 'S', 'p', 'P']);
                rest = translate_escape(rest, class.is_some(), &mut output);
                class = class.map(|element| if is_set { Element::First } else { element.next() });
            }
            ('[', None) => {
                let inside = open_class(rest, &mut output);
                let begins_with_bracket = rest.len() - inside.len() > usize::from(rest.starts_with('^'));
                class = Some(if begins_with_bracket { Element::AfterOne } else { Element::First });
                rest = inside;
            }
            ('[', Some(_)) if rest.starts_with(':') && rest.contains(":]") => {
                let end = rest.find(":]").map_or(0, |end| end + 2);
                output.push('[');
                output.push_str(&rest[..end]);
                rest = &rest[end..];
                class = Some(Element::First);
            }
            (']', Some(_)) => {
                class = None;
                output.push(']');
            }
            ('-', Some(Element::AfterOne)) if !rest.starts_with(']') => {
                class = Some(Element::AfterDash);
                output.push('-');
            }
            ('[' | '&' | '~' | '-', Some(element)) => {
                class = Some(element.next());
                output.push('\\');
                output.push(c);
            }
            ('{', None) if !is_repetition(rest) => output.push_str(r"\{"),
            (c, element) => {
                class = element.map(Element::next);
                output.push(c);
            }
        }
    }
    output
}

/// What comes next inside `[…]`: a dash makes a range only after a single character.
#[derive(Clone, Copy)]
enum Element {
    First,
    AfterOne,
    AfterDash,
}

impl Element {
    /// After one more character.
    fn next(self) -> Self {
        match self {
            Self::First | Self::AfterOne => Self::AfterOne,
            Self::AfterDash => Self::First,
        }
    }
}

/// After `[`: a negation, and a `]` that stands first and so is an element.
fn open_class<'a>(rest: &'a str, output: &mut String) -> &'a str {
    output.push('[');
    let after_negation = rest.strip_prefix('^').inspect(|_| output.push('^')).unwrap_or(rest);
    after_negation.strip_prefix(']').inspect(|_| output.push_str(r"\]")).unwrap_or(after_negation)
}

/// After `\`.
fn translate_escape<'a>(rest: &'a str, in_class: bool, output: &mut String) -> &'a str {
    let Some(c) = rest.chars().next() else {
        output.push('\\');
        return rest;
    };
    let rest = &rest[c.len_utf8()..];
    match c {
        'd' if in_class => output.push_str("0-9"),
        'w' if in_class => output.push_str("0-9A-Za-z_"),
        's' if in_class => output.push_str(r"\t\n\x0c\r "),
        'd' => output.push_str("[0-9]"),
        'w' => output.push_str("[0-9A-Za-z_]"),
        's' => output.push_str(r"[\t\n\x0c\r ]"),
        'D' => output.push_str("[^0-9]"),
        'W' => output.push_str("[^0-9A-Za-z_]"),
        'S' => output.push_str(r"[^\t\n\x0c\r ]"),
        'b' if !in_class => output.push_str(r"(?-u:\b)"),
        '<' | '>' => output.push(c),
        'Q' if !in_class => {
            let (quoted, rest) = rest.split_once(r"\E").unwrap_or((rest, ""));
            output.push_str(&regex::escape(quoted));
            return rest;
        }
        c => {
            output.push('\\');
            output.push(c);
        }
    }
    rest
}

/// Whether what follows a `{` makes it a repetition: `2}`, `2,}`, `2,3}`.
fn is_repetition(rest: &str) -> bool {
    let Some((inside, _)) = rest.split_once('}') else { return false };
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match inside.split_once(',') {
        None => is_number(inside),
        Some((low, high)) => is_number(low) && (high.is_empty() || is_number(high)),
    }
}

/// A pattern that matches every string which has `text` in it.
pub(crate) fn containing(text: &str) -> String {
    format!("(?s).*{}.*", regex::escape(text))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matches(pattern: &str, value: &str) -> bool {
        Pattern::new(pattern).unwrap().matches(value)
    }

    #[test]
    fn anchored_and_case_sensitive() {
        assert!(matches("GET", "GET"));
        assert!(!matches("GET", "GET /"));
        assert!(!matches("get", "GET"));
        assert!(matches("(?i)get", "GET"));
        assert!(matches("GET|POST", "POST"), "the anchors are around the alternatives");
        assert!(!matches("GET|POST", "GETPOST"));
        assert!(!matches(".*", "a\nb"));
        assert!(matches("(?s).*", "a\nb"));
        assert!(!matches("a", "a\n"));
    }

    #[test]
    fn what_go_takes_differently() {
        assert!(matches("/r/{id}", "/r/{id}"));
        assert!(matches("a{2,3}", "aaa"));
        assert!(matches(r"\Qa.b\E.", "a.bc"));
        assert!(!matches(r"\Qa.b\E", "axb"));
        assert!(!matches(r"\d", "٣"), "digits are ASCII");
        assert!(!matches(r"[\w]+", "é"));
        assert!(matches(r"[\s\d]+", "1 2"));
        assert!(matches(r"[]a]+", "]a"));
        assert!(matches(r"[^]a]+", "xy"));
        assert!(matches(r"[a&&b[]+", "&[ab"));
        assert!(matches(r"[[:alpha:]]+", "ab"));
        assert!(
            Pattern::new(r"[a--z]+").is_err(),
            "no set difference, but a range that ends before it starts"
        );
        assert!(matches(r"[!--]+", "-!,"), "the same where the ends are in order");
        assert!(matches(r"[+--]+", "+,-"), "a range up to the dash");
        assert!(matches(r"[--a]+", "-Aa"), "a range from the dash");
        assert!(matches(r"[a-z--]+", "az-"));
        assert!(matches(r"[\d-z]+", "1-z") && !matches(r"[\d-z]+", "y"));
        assert!(matches(r"\<a\>", "<a>"));
    }

    #[test]
    fn refused() {
        for pattern in ["(", "a)(b", "[a", "*", r"(?=x)", r"(a)\9", "(?:(?:a{1000}){1000}){1000}"] {
            let message = Pattern::new(pattern).unwrap_err();
            assert!(message.starts_with("invalid regular expression"), "{message}");
        }
    }

    proptest! {
        #[test]
        fn containing_finds_exactly_substrings(text in "\\PC{0,5}", before in ".{0,4}", after in "(?s).{0,4}") {
            let pattern = Pattern::new(&containing(&text)).unwrap();
            let whole = format!("{before}{text}{after}");
            prop_assert!(pattern.matches(&whole));
            prop_assert_eq!(pattern.matches(&before), before.contains(&text));
        }

        #[test]
        fn any_text_compiles_or_is_refused(pattern in ".{0,20}", value in ".{0,10}") {
            if let Ok(pattern) = Pattern::new(&pattern) {
                pattern.matches(&value);
            }
        }
    }
}
