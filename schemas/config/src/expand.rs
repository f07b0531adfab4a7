//! `${VAR}` in a configuration file, as Tempo's `-config.expand-env` has it.

use tempoform_document::{Problem, Problems};

/// Replaces `${VAR}` by what `lookup` says of `VAR`: nothing if it is not set. `${VAR:default}` and
/// `${VAR:-default}` give `default` if it is not set or empty; `$${` gives `${`. A replacement is not
/// looked at again.
pub(crate) fn expand(text: &str, lookup: &dyn Fn(&str) -> Option<String>, problems: &mut Problems) -> String {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        let (before, reference) = rest.split_at(start);
        if let Some(before) = before.strip_suffix('$') {
            expanded.push_str(before);
            expanded.push_str("${");
            rest = &reference[2..];
            continue;
        }
        expanded.push_str(before);
        match parse(reference) {
            Ok((variable, default, after)) => {
                let value = lookup(variable);
                match (value, default) {
                    (Some(value), Some(default)) if value.is_empty() => expanded.push_str(default),
                    (Some(value), _) => expanded.push_str(&value),
                    (None, default) => expanded.push_str(default.unwrap_or_default()),
                }
                rest = after;
            }
            Err(message) => {
                let read = text.len() - reference.len();
                let help = "write $${ for a literal ${";
                problems.push(Problem::new("", message).at(position(text, read)).help(help));
                expanded.push_str("${");
                rest = &reference[2..];
            }
        }
    }
    expanded.push_str(rest);
    expanded
}

/// The variable and default of the reference that `text` starts with, and what follows it.
fn parse(text: &str) -> Result<(&str, Option<&str>, &str), String> {
    let line = text.lines().next().unwrap_or_default();
    let Some(end) = line.find('}') else {
        return Err(format!("{:?} has no closing brace", shortened(line)));
    };
    let inner = &text[2..end];
    let (variable, default) = match inner.split_once(':') {
        Some((variable, default)) => (variable, Some(default.strip_prefix('-').unwrap_or(default))),
        None => (inner, None),
    };
    let is_name = !variable.is_empty()
        && !variable.starts_with(|c: char| c.is_ascii_digit())
        && variable.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if is_name {
        Ok((variable, default, &text[end + 1..]))
    } else {
        Err(format!("{variable:?} is not the name of an environment variable"))
    }
}

fn shortened(line: &str) -> String {
    line.chars().take(40).collect()
}

fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = &text[..offset];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn environment(name: &str) -> Option<String> {
        match name {
            "SET" => Some("value".to_owned()),
            "EMPTY" => Some(String::new()),
            "NESTED" => Some("${SET}".to_owned()),
            _ => None,
        }
    }

    #[track_caller]
    fn expanded(text: &str) -> String {
        let mut problems = Problems::new("t.yaml");
        let expanded = expand(text, &environment, &mut problems);
        assert!(problems.is_empty(), "{problems}");
        expanded
    }

    #[test]
    fn variables_are_replaced_once() {
        assert_eq!(expanded("a: ${SET}, ${SET}!"), "a: value, value!");
        assert_eq!(expanded("a: ${NESTED}"), "a: ${SET}");
        assert_eq!(expanded("no variables: $ {} $SET"), "no variables: $ {} $SET");
    }

    #[test]
    fn a_variable_that_is_not_set_is_its_default_or_nothing() {
        assert_eq!(expanded("${UNSET}|${UNSET:x}|${UNSET:-y:z}|${UNSET:}"), "|x|y:z|");
        assert_eq!(expanded("${EMPTY}|${EMPTY:x}|${SET:x}"), "|x|value");
    }

    #[test]
    fn a_doubled_dollar_is_a_literal() {
        assert_eq!(expanded("$${SET} and $$5"), "${SET} and $$5");
    }

    #[test]
    fn what_is_no_reference_is_named_with_its_position() {
        let mut problems = Problems::new("t.yaml");
        let text = "a: 1\nb: ${SET} ${1X}\nc: ${OPEN\nd: }\n";
        assert_eq!(expand(text, &environment, &mut problems), "a: 1\nb: value ${1X}\nc: ${OPEN\nd: }\n");
        insta::assert_snapshot!(problems, @r#"
        t.yaml:2:11: "1X" is not the name of an environment variable
            write $${ for a literal ${
        t.yaml:3:4: "${OPEN" has no closing brace
            write $${ for a literal ${
        "#);
    }

    proptest! {
        #[test]
        fn any_text_is_expanded_or_refused(text in "[\\PC\n${}:]{0,60}") {
            expand(&text, &environment, &mut Problems::default());
        }
    }
}
