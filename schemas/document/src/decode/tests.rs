use std::collections::BTreeMap;

use proptest::prelude::*;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::load::tests::json_value;
use crate::{ByteSize, Document, GoDuration, Scalars, Secret};

#[derive(Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Spec {
    #[serde(default)]
    replicas: u32,
    #[serde(default)]
    small: u8,
    #[serde(default)]
    timeout: GoDuration,
    #[serde(default)]
    size: ByteSize,
    #[serde(default)]
    enabled: bool,
    #[serde(default)]
    mode: Mode,
    #[serde(default)]
    password: Secret,
    #[serde(default)]
    names: Vec<String>,
    #[serde(default)]
    tenants: BTreeMap<String, Tenant>,
    inner: Option<Inner>,
    store: Option<Store>,
    choice: Option<Choice>,
}

#[derive(Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
enum Mode {
    /// One process.
    #[default]
    SingleBinary,
    /// Many.
    Distributed,
}

#[derive(Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Tenant {
    #[serde(default)]
    retention: GoDuration,
}

#[derive(Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Inner {
    /// The bucket's name.
    bucket: String,
    #[serde(default)]
    ratio: f64,
}

#[derive(Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Store {
    S3(Inner),
    Local(Tenant),
}

#[derive(Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(untagged)]
enum Choice {
    Number(u64),
    Many(Vec<u64>),
}

#[track_caller]
fn document(text: &str) -> Document {
    Document::parse_all("t.yaml", text).unwrap().remove(0)
}

#[track_caller]
fn refused(text: &str) -> String {
    document(text).decode::<Spec>().unwrap_err().to_string()
}

#[test]
fn a_right_document_becomes_the_type() {
    let text = "replicas: 3\ntimeout: 1h30m\nsize: 5MB\nmode: distributed\npassword: p\nnames: [a]\n\
        tenants:\n  a.b: {retention: 0}\ninner: {bucket: b}\nstore:\n  s3: {bucket: c, ratio: 0.5}\nchoice: [1]\n";
    let spec: Spec = document(text).decode().unwrap();
    assert_eq!(spec.replicas, 3);
    assert_eq!(spec.timeout, GoDuration::from_mins(90));
    assert_eq!(spec.size, ByteSize(5_000_000));
    assert_eq!(spec.mode, Mode::Distributed);
    assert_eq!(spec.password.expose(), "p");
    assert_eq!(spec.names, ["a"]);
    assert_eq!(spec.tenants["a.b"].retention, GoDuration::ZERO);
    assert_eq!(spec.inner, Some(Inner { bucket: "b".to_owned(), ratio: 0.0 }));
    assert_eq!(spec.store, Some(Store::S3(Inner { bucket: "c".to_owned(), ratio: 0.5 })));
    assert_eq!(spec.choice, Some(Choice::Many(vec![1])));
}

#[test]
fn every_problem_is_reported_in_the_order_of_the_file() {
    insta::assert_snapshot!(
        refused("replicas: 3x\nTimeout: 5m\nsize: 5 apples\nenabled: yes\nmode: singlebinary\nnames: [1]\ninner: {ratio: \"2\"}\n"),
        @r#"
    t.yaml:1:1: replicas: expected an integer, found the text "3x"
    t.yaml:2:1: Timeout: unknown key
        did you mean timeout?
    t.yaml:3:1: size: expected a size in bytes such as 1048576, 512MiB or 5MB, found the text "5 apples"
    t.yaml:4:1: enabled: expected true or false, found the text "yes"
        write true
    t.yaml:5:1: mode: expected one of singleBinary, distributed, found the text "singlebinary"
        did you mean singleBinary?
    t.yaml:6:9: names[0]: expected a text, found the number 1
        put it in quotes
    t.yaml:7:1: inner.bucket: is required
        The bucket's name.
    t.yaml:7:9: inner.ratio: expected a number, found the text "2"
        remove the quotes
    "#
    );
}

#[test]
fn unknown_keys_come_with_the_nearest_or_all_known_ones() {
    insta::assert_snapshot!(refused("replica: 1\ntenants:\n  a.b: {x: 1, Retention: 1h}\n"), @r#"
    t.yaml:1:1: replica: unknown key
        did you mean replicas?
    t.yaml:3:9: tenants["a.b"].x: unknown key
        known keys here are retention
    t.yaml:3:15: tenants["a.b"].Retention: unknown key
        did you mean retention?
    "#);
}

#[test]
fn numbers_out_of_range_are_refused_with_the_bound() {
    insta::assert_snapshot!(
        refused("replicas: 4294967296\nsmall: -1\ninner: {bucket: b, ratio: x}\nsize: -5\n"),
        @r#"
    t.yaml:1:1: replicas: must be 4294967295 or less, found the number 4294967296
    t.yaml:2:1: small: must be 0 or more, found the number -1
    t.yaml:3:20: inner.ratio: expected a number, found the text "x"
    t.yaml:4:1: size: must be 0 or more, found the number -5
    "#
    );
}

#[test]
fn units_are_explained() {
    insta::assert_snapshot!(refused("timeout: 5\nsize: [1]\n"), @r#"
    t.yaml:1:1: timeout: expected a duration such as 250ms, 30s or 1h30m, found the number 5
        add the unit, such as 5s
    t.yaml:2:1: size: expected a size in bytes such as 1048576, 512MiB or 5MB, found a list of 1
    "#);
    insta::assert_snapshot!(refused("timeout: soon\nsize: 1.5\n"), @r#"
    t.yaml:1:1: timeout: expected a duration such as 250ms, 30s or 1h30m, found the text "soon"
    t.yaml:2:1: size: expected a size in bytes such as 1048576, 512MiB or 5MB, found the number 1.5
    "#);
}

#[test]
fn what_no_schema_sees_is_still_located() {
    insta::assert_snapshot!(refused("tenants:\n  b:\n    retention: 9999999h\n"), @r#"t.yaml:3:5: tenants.b.retention: duration "9999999h" is longer than 2562047h47m (292 years)"#);
}

#[test]
fn alternatives_are_explained_by_the_one_meant() {
    insta::assert_snapshot!(refused("store: {s3: {buckt: b}}\n"), @r#"
    t.yaml:1:9: store.s3.bucket: is required
        The bucket's name.
    t.yaml:1:14: store.s3.buckt: unknown key
        did you mean bucket?
    "#);
    insta::assert_snapshot!(refused("store: {s4: {bucket: b}}\n"), @r#"
    t.yaml:1:9: store.s4: unknown key
        known keys here are s3, local
    "#);
    insta::assert_snapshot!(refused("store: s3\nchoice: x\n"), @r#"
    t.yaml:1:1: store: expected a mapping, found the text "s3"
    t.yaml:2:1: choice: expected an integer or a list, found the text "x"
    "#);
    insta::assert_snapshot!(refused("choice: [x]\n"), @r#"t.yaml:1:10: choice[0]: expected an integer, found the text "x""#);
}

#[test]
fn a_document_that_is_no_mapping_is_refused() {
    insta::assert_snapshot!(refused("- a\n"), @r#"t.yaml:1:1: expected a mapping, found a list of 1"#);
}

#[test]
fn a_secret_is_not_in_the_message() {
    let message = refused("password: 12345\nreplicas: x\n");
    insta::assert_snapshot!(message, @r#"
    t.yaml:1:1: password: expected a text, found a number
        put it in quotes
    t.yaml:2:1: replicas: expected an integer, found the text "x"
    "#);
}

#[test]
fn scalars_may_be_taken_as_written_where_a_text_belongs() {
    let document = document("password: 0123\nnames: [1e5, 0x10, true, a]\ninner: {bucket: 7.0, ratio: 1}\n");
    let spec: Spec = document.decode_with(Scalars::AsWritten).unwrap();
    assert_eq!(spec.password.expose(), "0123");
    assert_eq!(spec.names, ["1e5", "0x10", "true", "a"]);
    assert_eq!(spec.inner.unwrap().bucket, "7.0");
}

#[test]
fn keys_can_be_moved_and_taken_out() {
    let mut document = document("old: {a: 1}\nlist: [1]\nkept: {b: 2}\n");
    assert!(document.rename("old.a", "new.deep.b"));
    assert!(!document.rename("old.a", "elsewhere"), "nothing is left there");
    assert!(!document.rename("new.deep.b", "kept.b"), "something is there already");
    assert!(!document.rename("new.deep.b", "list.x"), "a list is on the way");
    assert_eq!(document.get("new.deep.b").unwrap(), 1);
    assert_eq!(document.position("new.deep.b"), Some((1, 7)));
    assert_eq!(document.remove("kept.b").unwrap(), 2);
    assert_eq!(document.remove("kept.b"), None);
    assert_eq!(*document.value(), json!({"old": {}, "list": [1], "new": {"deep": {"b": 1}}, "kept": {}}));
}

proptest! {
    /// Whatever stands at a known key is decoded, or refused with a position.
    #[test]
    fn any_value_is_decoded_or_refused(
        key in prop::sample::select(vec!["replicas", "timeout", "size", "mode", "tenants", "inner", "store", "choice"]),
        value in json_value(),
    ) {
        let text = serde_json::to_string(&json!({ key: value })).unwrap();
        let refusal = document(&text).decode_with::<Spec>(Scalars::AsWritten).err();
        for problem in refusal.iter().flatten() {
            prop_assert!(problem.line.is_some(), "{problem}");
            prop_assert!(problem.path.starts_with(key), "{problem}");
        }
        prop_assert!(refusal.is_none_or(|problems| !problems.is_empty()));
    }
}

#[test]
fn a_document_can_be_checked_against_a_schema_without_a_type() {
    let schema: Value =
        json!({ "properties": { "a": { "type": "integer" } }, "additionalProperties": false });
    assert!(document("a: 1").check(&schema).is_empty());
    insta::assert_snapshot!(document("a: x\nb: 1").check(&schema), @r#"
    t.yaml:1:1: a: expected an integer, found the text "x"
    t.yaml:2:1: b: unknown key
        known keys here are a
    "#);
}
