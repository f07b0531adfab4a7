use proptest::prelude::*;
use serde_json::json;

use crate::Document;

#[track_caller]
fn one(text: &str) -> Document {
    let mut documents = Document::parse_all("t.yaml", text).unwrap();
    assert_eq!(documents.len(), 1);
    documents.remove(0)
}

#[track_caller]
fn refused(text: &str) -> String {
    Document::parse_all("t.yaml", text).unwrap_err().to_string()
}

#[test]
fn scalars_become_json() {
    let text = "a: 1\nb: -2.5\nc: yes\nd: true\ne: ~\nf:\ng: '3'\nh: 0x1F\ni: 18446744073709551615\nj: !!str 5\nk: 1e3";
    assert_eq!(
        *one(text).value(),
        json!({"a": 1, "b": -2.5, "c": "yes", "d": true, "e": null, "f": null, "g": "3", "h": 31,
            "i": u64::MAX, "j": "5", "k": 1000.0})
    );
}

#[test]
fn positions_are_those_of_keys_and_items() {
    let document = one("spec:\n  env:\n    - name: A\n    - name: B\n  \"a.b/c\": {x: 1}\n");
    assert_eq!(document.position(""), Some((1, 1)));
    assert_eq!(document.position("spec.env"), Some((2, 3)));
    assert_eq!(document.position("spec.env[1]"), Some((4, 7)));
    assert_eq!(document.position("spec.env[1].name"), Some((4, 7)));
    assert_eq!(document.position(r#"spec["a.b/c"].x"#), Some((5, 13)));
}

#[test]
fn what_is_not_there_has_the_position_of_what_encloses_it() {
    let document = one("spec:\n  env: []\n");
    assert_eq!(document.position("spec.env[3].name"), Some((2, 3)));
    assert_eq!(document.position("spec.other"), Some((1, 1)));
    assert_eq!(document.position("spec..x"), None);
}

#[test]
fn a_stream_has_many_documents_and_empty_ones_are_left_out() {
    let documents = Document::parse_all("t.yaml", "---\na: 1\n---\n# nothing\n---\nb: 2\n...\n").unwrap();
    let values: Vec<_> = documents.iter().map(Document::value).collect();
    assert_eq!(values, [&json!({"a": 1}), &json!({"b": 2})]);
    assert_eq!(documents[1].position("b"), Some((6, 1)));
    assert!(Document::parse_all("t.yaml", "").unwrap().is_empty());
    assert!(Document::parse_all("t.yaml", "# only a comment\n").unwrap().is_empty());
}

#[test]
fn anchors_and_merge_keys_are_resolved() {
    let text = "base: &base {a: 1, b: 2}\nlist: [*base]\nmerged:\n  <<: *base\n  b: 3\nboth:\n  <<: [{c: 4}, *base]\n";
    let document = one(text);
    assert_eq!(document.value()["list"], json!([{"a": 1, "b": 2}]));
    assert_eq!(document.value()["merged"], json!({"a": 1, "b": 3}));
    assert_eq!(document.value()["both"], json!({"a": 1, "b": 2, "c": 4}));
    assert_eq!(document.position("merged.b"), Some((5, 3)));
    assert_eq!(document.position("merged.a"), Some((1, 14)));
    assert_eq!(document.position("list[0]"), Some((2, 8)));
}

#[test]
fn every_key_given_twice_is_named_and_the_first_kept() {
    insta::assert_snapshot!(refused("a: 1\nb:\n  c: 1\n  c: 2\na: 3\n"), @r#"
    t.yaml:4:3: key "c" is given twice, first in line 3
    t.yaml:5:1: key "a" is given twice, first in line 1
    "#);
}

#[test]
fn what_json_cannot_hold_is_refused_with_its_position() {
    insta::assert_snapshot!(
        refused("a: .nan\n[1]: x\n<<: 3\n: y\nb: !thing 1\nc: !!int x\nd: !point {x: 1}\n"),
        @r#"
    t.yaml:1:4: ".nan" is not a finite number
    t.yaml:2:1: a key must be text, not a list or a mapping
    t.yaml:3:5: "<<" takes a mapping or a list of mappings
    t.yaml:4:1: a key is missing before ":"
    t.yaml:5:4: tag "!thing" is not known here; remove it
    t.yaml:6:4: "x" is not what its tag !!int says
    t.yaml:7:4: tag "!point" is not known here; remove it
    "#
    );
}

#[test]
fn broken_yaml_is_named_with_its_position() {
    insta::assert_snapshot!(refused("a: [1, 2\nb: 3\n"), @r#"t.yaml:2:2: this is not YAML: illegal placement of ':' indicator"#);
    insta::assert_snapshot!(refused("a:\n\tb: 1\n"), @r#"
    t.yaml:2:2: this is not YAML: tabs disallowed within this context (block indentation)
        indent with spaces, not tabs
    "#);
}

#[test]
fn numbers_and_booleans_may_be_keys() {
    assert_eq!(*one("123: a\ntrue: b\n").value(), json!({"123": "a", "true": "b"}));
}

#[test]
fn an_alias_bomb_is_refused() {
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
    for level in 1..30 {
        let inner = vec![format!("*a{}", level - 1); 9].join(", ");
        bomb.push_str(&format!("a{level}: &a{level} [{inner}]\n"));
    }
    assert!(refused(&bomb).contains("there are more than 200000 values"));
}

#[test]
fn a_long_text_repeated_by_aliases_is_refused() {
    let bomb = format!("a: &a {}\nb: [{}]\n", "x".repeat(1 << 20), vec!["*a"; 100].join(", "));
    assert!(refused(&bomb).contains("bytes of text, what aliases repeat included"));
}

#[test]
fn an_alias_inside_its_own_anchor_is_refused() {
    assert!(refused("a: &a [*a]\n").contains("an alias is inside the value it stands for"));
}

#[test]
fn deep_nesting_is_refused_also_when_aliases_make_it() {
    assert!(refused(&"[".repeat(65)).contains("nested more than 64 deep"));
    assert!(refused(&"- ".repeat(65)).contains("nested more than 64 deep"));
    refused(&"[".repeat(100_000));
    refused(&"- ".repeat(100_000));
    refused(&"{a: ".repeat(100_000));
    let deep = format!("{}1{}", "[".repeat(60), "]".repeat(60));
    one(&deep);
    assert!(refused(&format!("a: &a {deep}\nb: [[[[*a]]]]\n")).contains("nested more than 64 deep"));
}

#[test]
fn too_long_a_text_is_not_read() {
    assert!(refused(&" ".repeat((4 << 20) + 1)).contains("at most 4194304 are read"));
}

#[test]
fn a_byte_order_mark_is_no_content() {
    assert_eq!(*one("\u{feff}a: 1\n").value(), json!({"a": 1}));
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "[\\PC\\n\\t]{0,200}") {
        let _ = Document::parse_all("t.yaml", &text);
    }

    #[test]
    fn any_yaml_like_text_is_read_or_refused(text in "[-:\\[\\]{},&*a<|>!?#'\" \\n]{0,80}") {
        let _ = Document::parse_all("t.yaml", &text);
    }

    /// JSON is YAML: whatever it says comes out again.
    #[test]
    fn json_is_read_as_it_is(value in json_value()) {
        let text = serde_json::to_string(&value).unwrap();
        let documents = Document::parse_all("t.yaml", &text).unwrap();
        let read = documents.first().map(|document| document.value().clone()).unwrap_or_default();
        prop_assert_eq!(read, value);
    }
}

pub(crate) fn json_value() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(|b| json!(b)),
        any::<i64>().prop_map(|n| json!(n)),
        "[a-zA-Z0-9 _:#.-]{0,12}".prop_map(|s| json!(s)),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(|list| json!(list)),
            prop::collection::btree_map("[a-z.]{1,6}", inner, 0..5).prop_map(|map| json!(map)),
        ]
    })
}
