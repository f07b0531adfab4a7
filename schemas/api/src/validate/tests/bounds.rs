use super::*;

#[test]
fn blocks_and_queries_have_the_runtimes_defaults() {
    let tempo = single(json!({}));
    assert_eq!(tempo.blocks.max_duration, GoDuration::from_mins(5));
    assert_eq!(tempo.blocks.dedicated_columns.len(), 5);
    assert_eq!(single(json!({ "blocks": { "dedicatedColumns": [] } })).blocks.dedicated_columns, []);
    assert_eq!(tempo.query.max_duration, GoDuration::from_hours(168));
    assert_eq!(tempo.cache.memory, ByteSize(512 << 20), "a quarter of 2Gi");
}

#[test]
fn bad_values_are_named() {
    let columns: Vec<_> = (0..11).map(|n| json!({ "scope": "span", "name": format!("a{n}") })).collect();
    for (patch, path, words) in [
        (json!({ "query": { "searchTimeout": "0" } }), "spec.query.searchTimeout", "no query"),
        (
            json!({ "query": { "defaultResultLimit": 50, "maxResultLimit": 10 } }),
            "spec.query.defaultResultLimit",
            "50",
        ),
        (json!({ "blocks": { "maxDuration": "10ms" } }), "spec.blocks.maxDuration", "10ms"),
        (json!({ "blocks": { "maxBytes": 1000 } }), "spec.blocks.maxBytes", "1000"),
        (
            json!({ "blocks": { "dedicatedColumns": columns } }),
            "spec.blocks.dedicatedColumns[10]",
            "10 dedicated",
        ),
        (
            json!({ "blocks": { "dedicatedColumns": [{ "scope": "span", "name": "a" }, { "scope": "span", "name": "a" }] } }),
            "spec.blocks.dedicatedColumns[1]",
            "already",
        ),
        (json!({ "cache": { "memory": "2GiB" } }), "spec.cache.memory", "nothing"),
        (
            json!({ "observability": { "selfTracing": { "endpoint": "collector:4318" } } }),
            "spec.observability.selfTracing.endpoint",
            "URL",
        ),
        (
            json!({ "observability": { "selfTracing": { "endpoint": "http://c", "samplingFraction": 50 } } }),
            "spec.observability.selfTracing.samplingFraction",
            "50 is not",
        ),
        (
            json!({ "ingestion": { "otlp": { "grpc": { "enabled": false }, "http": { "enabled": false } } } }),
            "spec.ingestion.otlp",
            "no span",
        ),
        (
            json!({ "ingestion": { "otlp": { "http": { "port": 4317 } } } }),
            "spec.ingestion.otlp.http.port",
            "gRPC",
        ),
        (
            json!({ "ingestion": { "otlp": { "http": { "port": 3200 } } } }),
            "spec.ingestion.otlp.http.port",
            "API",
        ),
        (json!({ "tempo": { "tls": {} } }), "spec.tempo.tls", "no certificate"),
        (json!({ "serviceAccount": { "name": "My SA" } }), "spec.serviceAccount.name", "My SA"),
    ] {
        let problems = validate(&tempo("singleBinary", patch)).unwrap_err();
        let paths: Vec<_> = problems.iter().map(|problem| problem.path.as_str()).collect();
        assert!(paths.contains(&path), "{problems}");
        assert!(problems.to_string().contains(words), "{words:?} in {problems}");
    }
}

#[test]
fn monitoring_is_on_when_its_block_is_there() {
    let tempo = single(json!({ "observability": { "rules": {}, "dashboards": { "enabled": false } } }));
    assert!(tempo.observability.rules.is_some());
    assert!(tempo.observability.dashboards.is_none());
    assert!(tempo.observability.service_monitors.is_none());
}

#[test]
fn a_given_service_account_is_not_created() {
    let account = |patch: Value| single(patch).service_account;
    let default = account(json!({}));
    assert_eq!((default.name.as_str(), default.create), ("tempo-traces", true));
    let given = account(json!({ "serviceAccount": { "name": "mine" } }));
    assert_eq!((given.name.as_str(), given.create), ("mine", false));
}
