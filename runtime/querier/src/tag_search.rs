//! Search by tags, from before TraceQL, as a TraceQL query.

use std::time::Duration;

use tempoform_core::Result;

use crate::ApiError;

/// Attributes that a tag matches by substring; others have to be equal.
const SUBSTRING: [&str; 7] = [
    "service.name",
    "http.method",
    "http.url",
    "k8s.cluster.name",
    "k8s.namespace.name",
    "k8s.pod.name",
    "k8s.container.name",
];

/// The query of traces in which every tag is found on some span or resource, and that are as long as asked.
///
/// `service.name`, `name`, `root.name`, `root.service.name` and the attributes with a column of their own match by
/// case-sensitive substring; any other by equality with a string.
pub(crate) fn query(
    tags: &[(String, String)],
    shortest: Option<Duration>,
    longest: Option<Duration>,
) -> Result<String, ApiError> {
    let mut filters = tags.iter().map(|(key, value)| filter(key, value)).collect::<Result<Vec<_>, _>>()?;
    let milliseconds = |duration: Duration| duration.as_millis();
    if let Some(shortest) = shortest.map(milliseconds).filter(|ms| *ms > 0) {
        filters.push(format!("traceDuration >= {shortest}ms"));
    }
    if let Some(longest) = longest.map(milliseconds).filter(|ms| *ms > 0) {
        filters.push(format!("traceDuration <= {longest}ms"));
    }
    if filters.is_empty() {
        return Ok("{}".to_owned());
    }
    let spansets: Vec<_> = filters.iter().map(|filter| format!("{{ {filter} }}")).collect();
    Ok(spansets.join(" && "))
}

fn filter(key: &str, value: &str) -> Result<String, ApiError> {
    Ok(match key {
        "name" => format!("name =~ {}", substring(value)),
        "root.name" => format!("rootName =~ {}", substring(value)),
        "root.service.name" => format!("rootServiceName =~ {}", substring(value)),
        "error" if value == "true" => "status = error".to_owned(),
        "status.code" => match value {
            "unset" | "ok" | "error" => format!("status = {value}"),
            other => {
                return Err(ApiError::invalid(format!("invalid tag status.code={other:?}; right is unset, ok or error")));
            }
        },
        "http.status_code" if value.parse::<i64>().is_ok() => either(key, "=", value),
        _ if SUBSTRING.contains(&key) => either(key, "=~", &substring(value)),
        _ => either(key, "=", &quoted(value)),
    })
}

/// The attribute of the span or of its resource.
fn either(key: &str, operator: &str, operand: &str) -> String {
    let key = quoted(key);
    format!("span.{key} {operator} {operand} || resource.{key} {operator} {operand}")
}

/// A TraceQL string whose regular expression finds `value` anywhere.
fn substring(value: &str) -> String {
    let mut pattern = String::from("(?s).*");
    for c in value.chars() {
        if c.is_ascii_punctuation() && !matches!(c, '<' | '>') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern.push_str(".*");
    quoted(&pattern)
}

fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(tags: &[(&str, &str)]) -> String {
        let tags: Vec<_> = tags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        query(&tags, None, None).unwrap()
    }

    #[test]
    fn tags_become_queries() {
        assert_eq!(of(&[]), "{}");
        assert_eq!(of(&[("x y", "a\"b")]), r#"{ span."x y" = "a\"b" || resource."x y" = "a\"b" }"#);
        assert_eq!(of(&[("name", "GET /a.b"), ("status.code", "error")]), r#"{ name =~ "(?s).*GET \\/a\\.b.*" } && { status = error }"#);
        assert_eq!(of(&[("http.status_code", "500")]), r#"{ span."http.status_code" = 500 || resource."http.status_code" = 500 }"#);
        assert!(query(&[("status.code".to_owned(), "5".to_owned())], None, None).is_err());
    }

    #[test]
    fn durations_are_the_traces() {
        let (shortest, longest) = (Some(Duration::from_micros(1500)), Some(Duration::ZERO));
        assert_eq!(query(&[], shortest, longest).unwrap(), "{ traceDuration >= 1ms }");
        assert_eq!(query(&[], None, Some(Duration::from_secs(2))).unwrap(), "{ traceDuration <= 2000ms }");
    }

    #[test]
    fn every_query_parses() {
        for key in ["service.name", "name", "root.name", "root.service.name", "error", "http.status_code", "a \"b\\", "Ä"] {
            for value in ["true", "500", "a\nb", "\\", "\"", "(", "é<>", ""] {
                let text = of(&[(key, value)]);
                assert!(tempoform_traceql::Query::parse(&text).is_ok(), "{text}");
            }
        }
    }
}
