use serde_json::{Value, json};

use super::*;
use crate::object::Guarded;

fn process(name: &str, component: &str, wave: u8, value: Value) -> Object {
    let stateful = component == "ingester";
    Object { id: ObjectId::new("Process", name), component: component.to_owned(), wave, stateful, value }
}

fn ingester(index: u32) -> Object {
    let value = json!({
        "target": "ingester",
        "endpoints": {"http": "chosen", "grpc": "chosen"},
        "config": {"ingester": {"max_block_duration": "30m", "max_block_bytes": 100}},
    });
    process(&format!("ingester-{index}"), "ingester", 0, value)
}

fn distributor() -> Object {
    let value = json!({"target": "distributor", "endpoints": {"http": "127.0.0.1:3200"}});
    process("distributor-0", "distributor", 1, value)
}

fn desired(ingesters: u32) -> Desired {
    let mut objects: Vec<Object> = (0..ingesters).map(ingester).collect();
    objects.push(distributor());
    Desired {
        name: "traces".to_owned(),
        guarded: Guarded {
            replication_factor: 3,
            ingesters,
            storage: "local:/var/tempo/blocks".to_owned(),
            multitenancy: false,
        },
        objects,
    }
}

fn live(desired: &Desired) -> Observed {
    let objects = desired.objects.iter().cloned();
    Observed {
        guarded: Some(desired.guarded.clone()),
        objects: objects.map(|object| ObservedObject { object, condition: Condition::Live }).collect(),
        notes: Vec::new(),
    }
}

fn actions(plan: &Plan) -> Vec<(String, Action)> {
    plan.changes
        .iter()
        .filter(|change| change.action != Action::NoChange)
        .map(|change| (change.object.name.clone(), change.action))
        .collect()
}

#[test]
fn first_plan_creates_in_order_of_waves() {
    let plan = plan("local", &desired(3), &Observed::default());
    let names = ["ingester-0", "ingester-1", "ingester-2", "distributor-0"];
    assert_eq!(actions(&plan), names.map(|name| (name.to_owned(), Action::Create)).to_vec());
    insta::assert_snapshot!("first_plan_human", plan.to_human(Detail::Summary, false));
    // Keys in the order of their names, whatever features other crates ask of serde_json.
    let mut settings = insta::Settings::clone_current();
    settings.set_sort_maps(true);
    settings.bind(|| insta::assert_json_snapshot!("first_plan_json", plan.to_json()));
}

#[test]
fn the_same_state_changes_nothing() {
    let desired = desired(3);
    let plan = plan("local", &desired, &live(&desired));
    assert!(plan.is_empty());
    assert_eq!(plan.summary(), Summary { no_change: 4, ..Summary::default() });
    insta::assert_snapshot!(
        plan.to_human(Detail::Summary, false),
        @r#"No changes. traces on target "local" is as declared (4 objects)."#
    );
}

#[test]
fn replicas_up_and_down_are_exactly_those_changes() {
    let up = plan("local", &desired(4), &live(&desired(3)));
    assert_eq!(actions(&up), [("ingester-3".to_owned(), Action::Create)]);
    assert!(up.dangers.is_empty());
    let down = plan("local", &desired(3), &live(&desired(4)));
    assert_eq!(actions(&down), [("ingester-3".to_owned(), Action::Delete)]);
    assert!(down.dangers.is_empty());
    assert_eq!(down.summary().to_string(), "Plan: 0 to create, 0 to change, 1 to destroy.");
}

#[test]
fn a_changed_field_is_shown_by_path_and_a_respelled_one_is_not() {
    let mut declared = desired(3);
    declared.objects[1].value["config"]["ingester"] =
        json!({"max_block_duration": "1800s", "max_block_bytes": 200, "secret_key": "new"});
    let mut found = live(&desired(3));
    found.objects[1].object.value["config"]["ingester"]["secret_key"] = json!("old");
    let plan = plan("local", &declared, &found);
    assert_eq!(actions(&plan), [("ingester-1".to_owned(), Action::Update)]);
    insta::assert_snapshot!("changed_field_human", plan.to_human(Detail::Summary, false));
    assert!(!plan.to_json().to_string().contains("old"));
}

#[test]
fn a_document_in_a_field_is_compared_by_its_fields() {
    let map = |config: &str| json!({"kind": "ConfigMap", "data": {"tempo.yaml": config, "note": "a: 1"}});
    let before = map("ingester:\n  max_block_duration: 30m\nstorage:\n  s3: {secret_key: old, bucket: a}\n");
    let told = |after: &serde_json::Value| {
        let fields = diff(&before, after);
        fields.iter().map(|f| format!("{} {:?} {:?}", f.path, f.before, f.after)).collect::<Vec<_>>()
    };
    let respelled =
        map("# mine\ningester: {max_block_duration: 1800s}\nstorage: {s3: {bucket: a, secret_key: old}}\n");
    assert_eq!(told(&respelled), Vec::<String>::new());
    let after = map("ingester:\n  max_block_duration: 1h\nstorage:\n  s3: {secret_key: new, bucket: a}\n");
    let fields = told(&after);
    assert_eq!(fields.len(), 2, "{fields:?}");
    assert!(fields[0].starts_with("data[\"tempo.yaml\"].ingester.max_block_duration "), "{fields:?}");
    assert!(
        fields[1].starts_with("data[\"tempo.yaml\"].storage.s3.secret_key ") && !fields[1].contains("new"),
        "{fields:?}"
    );
    // What is no document is compared as text, and not shown, since nothing in it can be masked.
    let broken = told(&map(": no yaml ["));
    assert!(broken.len() == 1 && !broken[0].contains("old") && !broken[0].contains("no yaml"), "{broken:?}");
    let other =
        json!({"kind": "ConfigMap", "data": {"tempo.yaml": before["data"]["tempo.yaml"], "note": "a:  1"}});
    assert_eq!(told(&other).len(), 1);
}

#[test]
fn variables_and_headers_are_not_shown() {
    let pod = |value: &str| json!({"spec": {"containers": [{"name": "tempo", "env": [{"name": "KEY", "value": value}]}]}});
    let map =
        |value: &str| json!({"data": {"tempo.yaml": format!("remote:\n  headers:\n    x-scope: {value}\n")}});
    for (before, after) in [(pod("hidden-a"), pod("hidden-b")), (map("hidden-a"), map("hidden-b"))] {
        let fields = diff(&before, &after);
        assert_eq!(fields.len(), 1);
        assert!(!format!("{fields:?}").contains("hidden"), "{fields:?}");
    }
    // Below `storage` of a configuration stand no quantities.
    let bucket = |name: &str| json!({"data": {"tempo.yaml": format!("storage: {{bucket: \"{name}\"}}")}});
    assert_eq!(diff(&bucket("1000"), &bucket("1k")).len(), 1);
}

#[test]
fn colour_adds_nothing_but_colour() {
    let plan = plan("local", &desired(4), &live(&desired(3)));
    let coloured = plan.to_human(Detail::Full, true);
    assert!(coloured.contains("\u{1b}[32m+"));
    let plain = ["\u{1b}[32m", "\u{1b}[33m", "\u{1b}[31m", "\u{1b}[0m"]
        .iter()
        .fold(coloured, |text, code| text.replace(code, ""));
    assert_eq!(plain, plan.to_human(Detail::Full, false));
}

#[test]
fn what_does_not_run_is_restarted_and_what_was_interrupted_is_finished() {
    let declared = desired(3);
    let mut found = live(&declared);
    found.objects[0].condition = Condition::Down("killed by signal 9".to_owned());
    found.objects[2].condition = Condition::Unfinished("the last apply was interrupted".to_owned());
    let plan = plan("local", &declared, &found);
    let expected = [("ingester-0".to_owned(), Action::Restart), ("ingester-2".to_owned(), Action::Update)];
    assert_eq!(actions(&plan), expected);
    assert_eq!(plan.changes[0].reason, "killed by signal 9");
    assert_eq!(plan.summary().to_string(), "Plan: 0 to create, 1 to change, 0 to destroy, 1 to restart.");
}

#[test]
fn dangers_are_found_and_refused_until_allowed() {
    let mut declared = desired(2);
    declared.guarded.storage = "s3://traces".to_owned();
    declared.guarded.multitenancy = true;
    let plan = plan("local", &declared, &live(&desired(4)));
    let kinds: Vec<DangerKind> = plan.dangers.iter().map(|danger| danger.kind).collect();
    assert_eq!(
        kinds,
        [
            DangerKind::FewerIngesters,
            DangerKind::StorageMove,
            DangerKind::TenancyChange,
            DangerKind::SeveralIngesters
        ]
    );
    assert_eq!(plan.refused(&[]).len(), 4);
    let refused =
        plan.refused(&[DangerKind::StorageMove, DangerKind::TenancyChange, DangerKind::SeveralIngesters]);
    assert_eq!(refused.len(), 1);
    assert_eq!(refused[0].kind, DangerKind::FewerIngesters);
    insta::assert_snapshot!("dangers_human", plan.to_human(Detail::Summary, false));
}

#[test]
fn danger_words_round_trip() {
    for kind in DangerKind::ALL {
        assert_eq!(kind.word().parse(), Ok(kind));
    }
    assert!("everything".parse::<DangerKind>().unwrap_err().contains("storage-move"));
}

#[test]
fn a_changed_secret_is_seen_and_not_shown() {
    let mut declared = desired(1);
    declared.objects[0].value["environment"] = json!({"RUST_LOG": seal("0a1b"), "KEY": "${KEY}"});
    let mut found = live(&declared);
    found.objects[0].object.value["environment"]["RUST_LOG"] = seal("2c3d");
    let plan = plan("local", &declared, &found);
    let field = &plan.changes[0].fields[0];
    assert_eq!((&field.before, &field.after), (&Some(json!(MASK)), &Some(json!(MASK))));
    assert_eq!(field.note.as_deref(), Some("its value changes, and is not shown"));
    assert!(!plan.to_json().to_string().contains("0a1b"));
}

#[test]
fn removal_of_everything_goes_backwards() {
    let plan = plan_removal("traces", "local", &live(&desired(2)));
    let names: Vec<&str> = plan.changes.iter().map(|change| change.object.name.as_str()).collect();
    assert_eq!(names, ["distributor-0", "ingester-1", "ingester-0"]);
}

/// JSON values as documents have them.
fn value() -> impl proptest::strategy::Strategy<Value = Value> {
    use proptest::prelude::*;
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[a-z0-9./@]{0,6}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("name|[a-d]", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest::proptest! {
    #[test]
    fn a_value_does_not_differ_from_itself(value in value()) {
        proptest::prop_assert_eq!(diff(&value, &value), Vec::new());
    }

    #[test]
    fn a_difference_is_seen_from_both_sides(a in value(), b in value()) {
        let forth = diff(&a, &b);
        let back = diff(&b, &a);
        proptest::prop_assert_eq!(forth.len(), back.len());
        proptest::prop_assert_eq!(forth.is_empty(), back.is_empty());
    }
}
