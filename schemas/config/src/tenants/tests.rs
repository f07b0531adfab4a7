use tempoform_document::{ByteSize, GoDuration};

use crate::{Limits, Overrides, TenantOverrides};

fn defaults() -> Limits {
    let mut limits = Limits::default();
    limits.ingestion.rate_limit_bytes = ByteSize(777);
    limits
}

#[track_caller]
fn overrides(text: &str) -> Overrides {
    let mut overrides = Overrides { defaults: defaults(), ..Overrides::default() };
    overrides.reload_tenants(text, "tenants.yaml").unwrap_or_else(|problems| panic!("{problems}"));
    overrides
}

#[track_caller]
fn refused(text: &str) -> String {
    TenantOverrides::load(text, "tenants.yaml", &defaults()).unwrap_err().to_string()
}

/// Ask 7: a tenant with only a retention keeps its rates.
#[test]
fn an_entry_inherits_what_it_does_not_name() {
    let overrides = overrides("overrides:\n  team-a:\n    compaction: {block_retention: 30d}\n");
    let limits = overrides.for_tenant("team-a");
    assert_eq!(limits.compaction.block_retention, GoDuration::from_hours(720));
    assert_eq!(limits.ingestion, defaults().ingestion);
    assert_eq!(limits.global, defaults().global);
}

#[test]
fn tenants_without_an_entry_have_the_wildcards_or_the_defaults() {
    let with = overrides(
        "overrides:\n  a: {ingestion: {rate_limit_bytes: 1}}\n  '*': {global: {max_bytes_per_trace: 2}}\n",
    );
    assert_eq!(with.for_tenant("b").global.max_bytes_per_trace, ByteSize(2));
    assert_eq!(with.for_tenant("b").ingestion.rate_limit_bytes, ByteSize(777));
    assert_eq!(with.for_tenant("a").ingestion.rate_limit_bytes, ByteSize(1));
    assert_eq!(with.for_tenant("a").global, defaults().global, "an entry does not take from the wildcard");
    let without = overrides("");
    assert_eq!(*without.for_tenant("b"), defaults());
}

#[test]
fn an_explicit_zero_is_no_inheritance() {
    let overrides = overrides("overrides:\n  closed: {ingestion: {rate_limit_bytes: 0}}\n");
    assert_eq!(overrides.for_tenant("closed").ingestion.rate_limit_bytes, ByteSize(0));
}

#[test]
fn numbers_may_be_tenants() {
    let overrides = overrides("overrides:\n  42: {ingestion: {rate_limit_bytes: 9}}\n");
    assert_eq!(overrides.for_tenant("42").ingestion.rate_limit_bytes, ByteSize(9));
    assert_eq!(overrides.tenants.iter().map(|(name, _)| name).collect::<Vec<_>>(), ["42"]);
}

#[test]
fn tempos_flat_form_is_read_and_what_has_no_effect_is_said() {
    let overrides = overrides(
        "overrides:\n  a:\n    ingestion_burst_size_bytes: 5\n    max_traces_per_user: 6\n    metrics_generator_processors: []\n",
    );
    assert_eq!(overrides.for_tenant("a").ingestion.burst_size_bytes, ByteSize(5));
    assert_eq!(overrides.for_tenant("a").ingestion.max_traces_per_user, 6);
    insta::assert_snapshot!(overrides.tenants.warnings(), @r#"tenants.yaml:5:5: overrides.a.metrics_generator_processors: has no effect: this version makes no metrics from spans"#);
}

#[test]
fn every_problem_is_named_and_the_limits_in_place_stay() {
    insta::assert_snapshot!(
        refused("overrides:\n  a:\n    ingestion: {rate_limit: 5}\n  'b/c': {}\n  d: {compaction: {block_retention: x}}\nother: 1\n"),
        @r#"
    tenants.yaml:3:17: overrides.a.ingestion.rate_limit: unknown key
        known keys here are burst_size_bytes, max_attribute_bytes, max_traces_per_user, rate_limit_bytes, rate_strategy, retry_info_enabled
    tenants.yaml:4:3: overrides["b/c"]: is not the name of a tenant
        names have 1 to 150 letters, digits and ! - _ . * ' ( ); "*" stands for all other tenants
    tenants.yaml:5:20: overrides.d.compaction.block_retention: expected a duration such as 250ms, 30s or 1h30m, found the text "x"
    tenants.yaml:6:1: other: unknown key
        known keys here are overrides
    "#
    );
    insta::assert_snapshot!(refused("overrides:\n  a: {ingestion: {burst_size_bytes: 0}}\n"), @r#"
    tenants.yaml:2:19: overrides.a.ingestion.burst_size_bytes: must be more than 0, found 0
        no request fits into a burst of 0; use the rate or more, or a rate of 0 to refuse everything
    "#);
    let mut overrides = overrides("overrides:\n  a: {ingestion: {rate_limit_bytes: 1}}\n");
    assert!(overrides.reload_tenants("overrides: [", "tenants.yaml").is_err());
    assert_eq!(overrides.for_tenant("a").ingestion.rate_limit_bytes, ByteSize(1));
}
