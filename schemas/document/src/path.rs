//! Paths inside a document: `spec.env[0].name`, `metadata.annotations["example.com/team"]`.

use std::borrow::Cow;

use serde_json::Value;

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// Into a mapping.
    Key(Cow<'a, str>),
    /// Into a list, from 0.
    Index(usize),
}

/// The path of `key` in the mapping at `parent`; a key that is not a plain word is quoted.
pub fn child(parent: &str, key: &str) -> String {
    if !is_plain(key) {
        return format!("{parent}[{}]", Value::from(key));
    }
    if parent.is_empty() {
        return key.to_owned();
    }
    format!("{parent}.{key}")
}

/// The path of the `index`th value, from 0, of the list at `parent`.
pub fn item(parent: &str, index: usize) -> String {
    format!("{parent}[{index}]")
}

/// The path that `steps` make.
pub fn join<'a>(steps: impl IntoIterator<Item = Step<'a>>) -> String {
    steps.into_iter().fold(String::new(), |path, step| match step {
        Step::Key(key) => child(&path, &key),
        Step::Index(index) => item(&path, index),
    })
}

/// The steps of a path; `None` if the text is not one.
pub fn steps(path: &str) -> Option<Vec<Step<'_>>> {
    let mut steps = Vec::new();
    let mut rest = path;
    while !rest.is_empty() {
        let (step, after) = match rest.strip_prefix('[') {
            Some(inner) => bracketed(inner)?,
            None => word(rest)?,
        };
        steps.push(step);
        rest = match after.strip_prefix('.') {
            Some("") => return None,
            Some(after) => after,
            None => after,
        };
    }
    Some(steps)
}

fn word(rest: &str) -> Option<(Step<'_>, &str)> {
    let end = rest.find(['.', '[']).unwrap_or(rest.len());
    let (key, after) = rest.split_at(end);
    is_plain(key).then_some((Step::Key(Cow::Borrowed(key)), after))
}

fn bracketed(inner: &str) -> Option<(Step<'_>, &str)> {
    if inner.starts_with('"') {
        let mut keys = serde_json::Deserializer::from_str(inner).into_iter::<String>();
        let key = keys.next()?.ok()?;
        let after = inner.get(keys.byte_offset()..)?.strip_prefix(']')?;
        return Some((Step::Key(Cow::Owned(key)), after));
    }
    let (index, after) = inner.split_once(']')?;
    Some((Step::Index(index.parse().ok()?), after))
}

fn is_plain(key: &str) -> bool {
    !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn plain_words_are_joined_with_dots_and_others_quoted() {
        let path = child(&item(&child("spec", "env"), 0), "a.b/c");
        assert_eq!(path, r#"spec.env[0]["a.b/c"]"#);
        assert_eq!(
            steps(&path).unwrap(),
            [Step::Key("spec".into()), Step::Key("env".into()), Step::Index(0), Step::Key("a.b/c".into())]
        );
        assert_eq!(steps("").unwrap(), []);
    }

    #[test]
    fn what_is_no_path_is_refused() {
        for text in ["a..b", "a.", "a[", "a[x]", "a[\"x]", "a b", "[0"] {
            assert_eq!(steps(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn steps_survive_the_text(
            made in prop::collection::vec(
                prop_oneof![
                    "\\PC*".prop_map(|key| Step::Key(Cow::Owned(key))),
                    any::<usize>().prop_map(Step::Index),
                ],
                0..5,
            )
        ) {
            let path = join(made.clone());
            prop_assert_eq!(steps(&path), Some(made));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "\\PC*") {
            let _ = steps(&text);
        }
    }
}
