use super::*;

#[test]
fn an_entry_inherits_what_it_leaves_out() {
    let tempo = single(json!({
        "tenancy": { "tenants": [{ "name": "dev", "id": "1610b0c3" }, { "name": "prod" }] },
        "limits": {
            "global": { "ingestion": { "maxBytesPerTrace": "10MB" }, "query": { "maxSearchDuration": "24h" } },
            "perTenant": { "dev": { "ingestion": { "rateLimitBytes": "50MB" } } },
        },
        "retention": { "perTenant": { "prod": "30d" } },
    }));
    let overrides = tempo.tenant_overrides();
    let dev = overrides["1610b0c3"];
    assert_eq!(dev.limits.ingestion.rate_limit_bytes, ByteSize(50_000_000));
    assert_eq!(dev.limits.ingestion.burst_size_bytes, ByteSize(50_000_000), "not below the rate");
    assert_eq!(dev.limits.ingestion.max_bytes_per_trace, ByteSize(10_000_000));
    assert_eq!(dev.limits.query.max_search_duration, GoDuration::from_hours(24));
    assert_eq!(dev.retention, GoDuration::from_hours(336));
    let prod = overrides["prod"];
    assert_eq!(prod.limits, &tempo.limits.global, "a tenant with only a retention keeps its rates");
    assert_eq!(prod.retention, GoDuration::from_hours(720));
}

#[test]
fn any_tenant_may_have_an_entry_when_none_is_listed() {
    let tempo =
        single(json!({ "tenancy": { "enabled": true }, "retention": { "perTenant": { "anyone": "48h" } } }));
    assert_eq!(tempo.tenant_overrides()["anyone"].retention, GoDuration::from_hours(48));
    assert!(!single(json!({})).tenancy.enabled);
}

#[test]
fn tenants_are_told_apart() {
    let tenants = |tenants: Value| json!({ "tenancy": { "tenants": tenants } });
    let path = "spec.tenancy.tenants[1]";
    refused(
        "singleBinary",
        tenants(json!([{ "name": "a" }, { "name": "a" }])),
        &format!("{path}.name"),
        "twice",
    );
    let same_id = json!([{ "name": "a" }, { "name": "b", "id": "a" }]);
    refused("singleBinary", tenants(same_id), &format!("{path}.id"), "share");
    refused(
        "singleBinary",
        tenants(json!([{ "name": "a" }, { "name": "a/b" }])),
        &format!("{path}.name"),
        "a/b",
    );
    assert_eq!(single(tenants(json!([{ "name": "team a/b", "id": "ab" }]))).tenancy.tenants[0].id, "ab");
}

#[test]
fn entries_need_their_tenant() {
    let entry = json!({ "perTenant": { "dev": {} } });
    refused("singleBinary", json!({ "limits": entry }), "spec.limits.perTenant", "not enabled");
    let unlisted = json!({ "tenancy": { "tenants": [{ "name": "prod" }] }, "limits": entry });
    refused("singleBinary", unlisted, "spec.limits.perTenant.dev", "no tenant");
    let off = json!({ "tenancy": { "enabled": false, "tenants": [{ "name": "prod" }] } });
    refused("singleBinary", off, "spec.tenancy.tenants", "not enabled");
}

#[test]
fn limits_and_retention_leave_something() {
    let rate = json!({ "limits": { "global": { "ingestion": { "rateLimitBytes": 0 } } } });
    refused("singleBinary", rate, "spec.limits.global.ingestion.rateLimitBytes", "every span");
    refused(
        "singleBinary",
        json!({ "retention": { "global": "0" } }),
        "spec.retention.global",
        "keeps nothing",
    );
    refused("singleBinary", json!({ "retention": { "global": "1m" } }), "spec.retention.global", "every 5m");
}
