//! Texts that people and libraries write.

use super::traces::some_requests;

fn texts(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

pub(crate) fn json_requests() -> Vec<Vec<u8>> {
    some_requests()
        .iter()
        .map(|request| serde_json::to_vec(request).expect("OTLP has text keys alone"))
        .collect()
}

pub(crate) fn tenants() -> Vec<Vec<u8>> {
    texts(&["single-tenant", "team-a!*'()_.", ".", "..", "a/b", "", "work.json", "tempo_cluster_seed.json"])
}

pub(crate) fn queries() -> Vec<Vec<u8>> {
    texts(&[
        "{}",
        "{ .a = 1 && resource.service.name =~ \"shop.*\" || span.b != nil } | count() > 2",
        "{ name = `x` } >> { duration > 1.5s } &>> { status = error && kind = server }",
        "{ .a } | by(resource.b) | coalesce() | select(.c, span:id) | avg(duration) <= 1m30s",
        "({ event:name = \"e\" } || { link.x = true }) !< { trace:rootService = \"y\" } ~ { instrumentation.z = 2 ^ 3 ^ 2 }",
        "{ -.a + 1 * (2 - .b) % 3 / 4 > minInt && !.c && parent.d != \"\\u00e4\\n\" }",
        "{ .a = 1 } | rate() by(.b) with(sample=true)",
        "{ .\"quoted name\" = 1h2m3s4ms5us6ns }",
        "{ nestedSetLeft < 5 && true } | max(.x) = min(.y)",
        "resource.service.name",
        "1h30m",
        "http.status_code=200",
    ])
}

pub(crate) fn zipkin_json() -> Vec<Vec<u8>> {
    texts(&[
        r#"[{"id": "352bff9a74ca9ad2", "traceId": "5af7183fb1d4cf5f", "parentId": "6b221d5bc9e6496c",
            "name": "get /api", "timestamp": 1556604172355737, "duration": 1431, "kind": "SERVER",
            "localEndpoint": {"serviceName": "backend", "ipv4": "192.168.99.1", "port": 3306},
            "remoteEndpoint": {"serviceName": "frontend", "ipv6": "2001:db8::1", "port": 58648},
            "annotations": [{"timestamp": 1556604172355800, "value": "ws"},
                {"timestamp": 1, "value": "sold|{\"n\": 1, \"item\": \"tea|milk\", \"d\": 0.5}|2"}],
            "tags": {"http.method": "GET", "otel.library.name": "lib", "otel.status_code": "ERROR", "error": "it failed",
                "w3c.tracestate": "a=b",
                "otel.link.0": "000000000000000000000000000000ff|00000000000000fe|s=t|{\"k\": true}|0"},
            "debug": true, "shared": true}]"#,
        r#"[{"id": "1", "traceId": "463ac35c9f6413ad48485a3953bb6124"}]"#,
        "[]",
    ])
}

pub(crate) fn documents() -> Vec<Vec<u8>> {
    texts(&[
        include_str!("../../../../examples/quickstart/tempo.yaml"),
        include_str!("../../../../examples/distributed-local/tempo.yaml"),
        include_str!("../../../../examples/distributed-s3/tempo.yaml"),
        "a: &x {b: [1, -0x1F, 0o17, 1e5, .5, ~, null, true, 'it''s', \"\\u00e4\\x41\\n\"]}\nc: *x\nd: {<<: *x, e: !!str 1}\n",
        "--- |\n  text\n  more\n...\n--- >-\n  folded\n  text\n",
        "? a\n: - b\n  - c: d\n    e: f\n# a comment\n\"k\": [x, {y: z}]\n",
        "{\"a\": [1, 2.5, \"x\", null, false, {}]}",
    ])
}

pub(crate) fn configs() -> Vec<Vec<u8>> {
    texts(&[
        "",
        "target: all\nserver: {http_listen_port: 3200, log_level: debug}\ndistributor:\n  receivers:\n    otlp: {protocols: {grpc: {endpoint: 0.0.0.0:4317}, http: }}\n    jaeger: {protocols: {thrift_compact: }}\n    zipkin:\n",
        "storage: {trace: {backend: s3, s3: {bucket: b, endpoint: minio:9000, access_key: ${AKEY}, secret_key: ${B:c}, insecure: true}, wal: {path: /var/tempo/wal}}}\n",
        "ingester: {max_block_duration: 5m, lifecycler: {ring: {replication_factor: 3}}}\ncompactor: {compaction: {block_retention: 48h}}\nmemberlist: {join_members: [a:7946]}\n",
        "overrides:\n  defaults: {ingestion: {rate_limit_bytes: 5MB, max_attribute_bytes: 2k}, read: {max_bytes_per_tag_values_query: 1GiB}}\n",
        "overrides: {ingestion_rate_limit_bytes: 5e6, block_retention: 1d}\nquery_frontend: {search: {concurrent_jobs: 3}}\n",
    ])
}

pub(crate) fn tenant_limits() -> Vec<Vec<u8>> {
    texts(&[
        "overrides:\n  team-a: { compaction: { block_retention: 720h } }\n  \"*\": { ingestion: { rate_limit_bytes: 5MB, burst_size_bytes: 10MB } }\n",
        "overrides: {a: {ingestion_rate_limit_bytes: 1000, max_bytes_per_trace: 5MiB}}\n",
        "",
    ])
}
