//! YAML text of JSON values, the same bytes for the same value: keys sorted, two spaces, no folded lines, and every
//! string quoted that a YAML 1.1 reader (kubectl, Grafana Tempo) would take for something else.

use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};
use serde_json::Value;
use serde_saphyr::SingleQuoted;

/// The value as one YAML document that ends with a newline.
pub(crate) fn to_string(value: &Value) -> String {
    let options = serde_saphyr::ser_options! { folded_wrap_chars: usize::MAX };
    serde_saphyr::to_string_with_options(&Sorted(value), options)
        .expect("a JSON value has string keys and finite numbers only")
}

/// Sorted whatever map type `serde_json` was built with.
struct Sorted<'a>(&'a Value);

impl Serialize for Sorted<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Object(map) => {
                let mut entries: Vec<_> = map.iter().collect();
                entries.sort_unstable_by_key(|(key, _)| *key);
                let mut out = serializer.serialize_map(Some(entries.len()))?;
                for (key, value) in entries {
                    out.serialize_entry(key, &Sorted(value))?;
                }
                out.end()
            }
            Value::Array(list) => {
                let mut out = serializer.serialize_seq(Some(list.len()))?;
                for value in list {
                    out.serialize_element(&Sorted(value))?;
                }
                out.end()
            }
            // The value replaces the reference before the text is read as YAML. Variables of ours always stand for text,
            // whatever is in it; those of a document may stand for numbers.
            Value::String(text) if text.contains("${TEMPO_") && !text.contains('\n') => {
                SingleQuoted(text.as_str()).serialize(serializer)
            }
            scalar => scalar.serialize(serializer),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn keys_are_sorted_and_text_is_a_literal_block() {
        let text = to_string(
            &json!({"b": "1e3", "a": {"file": "x: 1\ny: on\n"}, "c": [{"k": "on"}], "d": "x".repeat(200)}),
        );
        assert_eq!(
            text,
            format!(
                "a:\n  file: |\n    x: 1\n    y: on\nb: \"1e3\"\nc:\n- k: \"on\"\nd: {}\n",
                "x".repeat(200)
            )
        );
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "\\PC{0,40}".prop_map(Value::from),
            "[ -~\n\t]{0,60}".prop_map(Value::from),
            "[a-z'$ ]{0,4}\\$\\{TEMPO_[A-Z]{1,4}\\}[a-z'\"]{0,4}".prop_map(Value::from),
            "(yes|No|~|null|0x1F|1_000|12:30:00|2020-01-01|\\.5|\\+1|-|\\?|:|#a|a: b|- a|\\{\\}|\\[|@a|%a|!a|&a|\\*a)"
                .prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::btree_map("[ -~]{1,12}", inner, 0..5)
                    .prop_map(|m| Value::Object(m.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(value in value()) {
            let text = to_string(&value);
            let back: Value = serde_saphyr::from_str(&text).unwrap();
            prop_assert_eq!(back, value);
        }
    }
}
