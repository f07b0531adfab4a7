//! `tags=service.name=web error=true msg="two words"`.

use tempoform_core::{Error, ErrorKind, Result};

/// The pairs in order. A key without `=` has an empty value; a key given twice is refused.
pub(crate) fn parse(text: &str) -> Result<Vec<(String, String)>> {
    let mut pairs: Vec<(String, String)> = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (pair, after) = pair(rest)?;
        if pairs.iter().any(|(key, _)| *key == pair.0) {
            return Err(invalid(text, &format!("tag {:?} stands twice", pair.0)));
        }
        pairs.push(pair);
        rest = after.trim_start();
    }
    Ok(pairs)
}

fn pair(text: &str) -> Result<((String, String), &str)> {
    let key_end = text.find(|c: char| c == '=' || c == '"' || c.is_whitespace()).unwrap_or(text.len());
    let (key, rest) = text.split_at(key_end);
    if key.is_empty() {
        return Err(invalid(text, "a key is missing"));
    }
    let Some(value) = rest.strip_prefix('=') else {
        if rest.starts_with('"') {
            return Err(invalid(text, "a quote in a key"));
        }
        return Ok(((key.to_owned(), String::new()), rest));
    };
    let (value, rest) = match value.strip_prefix('"') {
        Some(quoted) => quoted_value(quoted).ok_or_else(|| invalid(text, "a quote is not closed"))?,
        None => {
            let end = value.find(char::is_whitespace).unwrap_or(value.len());
            (value[..end].to_owned(), &value[end..])
        }
    };
    Ok(((key.to_owned(), value), rest))
}

fn quoted_value(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => value.push(match chars.next()?.1 {
                'n' => '\n',
                't' => '\t',
                'r' => '\r',
                other => other,
            }),
            other => value.push(other),
        }
    }
    None
}

fn invalid(text: &str, why: &str) -> Error {
    Error::new(
        ErrorKind::Invalid,
        format!("invalid tags: {why} in {text:?}; right is key=value key2=\"v 2\""),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &str) -> Vec<(String, String)> {
        parse(text).unwrap()
    }

    fn owned(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn plain_quoted_and_bare() {
        assert_eq!(
            pairs(r#"  a.b=c d="e f" g h="" i="say \"x\"" "#),
            owned(&[("a.b", "c"), ("d", "e f"), ("g", ""), ("h", ""), ("i", "say \"x\"")])
        );
        assert!(pairs(" ").is_empty());
    }

    #[test]
    fn refused() {
        for wrong in ["=x", "a=1 a=2", r#"a="open"#, r#""a"=1"#, r#"a"b=1"#] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
