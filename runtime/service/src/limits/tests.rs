use axum::body::{Body, to_bytes};
use axum::http::Request;
use serde_json::{Value, json};
use tempoform_config::Config;
use tower::ServiceExt as _;

use super::*;
use crate::component_options;
use crate::overrides::TenantLimits;

async fn get(admin: &Arc<Admin>, path: &str, accept: &str) -> (StatusCode, String) {
    let request = Request::get(path).header("accept", accept).body(Body::empty()).expect("a request");
    let answer = admin.router().oneshot(request).await.expect("an answer");
    let status = answer.status();
    let body = to_bytes(answer.into_body(), 1 << 20).await.expect("a body");
    (status, String::from_utf8(body.to_vec()).expect("text"))
}

/// A process whose configuration and file of tenants are these.
fn admin(folder: &tempfile::TempDir, tenants: &str) -> Arc<Admin> {
    let file = folder.path().join("overrides.yaml");
    std::fs::write(&file, tenants).expect("written");
    let text = format!(
        "overrides:\n  defaults: {{ingestion: {{rate_limit_bytes: 7MB}}}}\n  per_tenant_override_config: {}\n",
        file.display()
    );
    let config = Config::load(&text, "tempo.yaml", false).expect("a configuration");
    let admin = Admin::new(config.clone());
    drop(admin.limits.set(TenantLimits::load(config.overrides).expect("limits")));
    admin
}

/// Ask 7: a tenant with only a retention keeps its rates.
#[tokio::test]
async fn a_tenant_with_only_a_retention_keeps_its_rates() {
    let folder = tempfile::tempdir().expect("a folder");
    let admin = admin(&folder, "overrides:\n  team-a: {compaction: {block_retention: 720h}}\n");
    let (status, shown) = get(&admin, "/status/overrides/team-a", "application/json").await;
    assert_eq!(status, StatusCode::OK, "{shown}");
    let shown: Value = serde_json::from_str(&shown).expect("JSON");
    assert_eq!(shown["tenant"], "team-a");
    let limits = &shown["limits"];
    assert_eq!(limits["compaction"]["block_retention"], json!({"value": "720h", "origin": "tenant"}));
    assert_eq!(limits["ingestion"]["rate_limit_bytes"], json!({"value": 7_000_000, "origin": "default"}));
    assert_eq!(limits["ingestion"]["burst_size_bytes"], json!({"value": 30_000_000, "origin": "default"}));
    let window =
        json!({"value": "1h", "origin": "default", "setting": "compactor.compaction.compaction_window"});
    assert_eq!(limits["compaction"]["compaction_window"], window);
    // What is shown is what the distributor holds the tenant to.
    let enforced =
        component_options::distributor(admin.config(), admin.limits.get().expect("set"), Arc::new(|| 1));
    let enforced = (enforced.limits)(&"team-a".parse().expect("a name"));
    assert_eq!((enforced.rate_limit_bytes, enforced.burst_size_bytes), (7_000_000, 30_000_000));

    let (_, yaml) = get(&admin, "/status/overrides/team-a", "*/*").await;
    assert!(yaml.contains("  rate_limit_bytes: 7000000 # default\n"), "{yaml}");
    assert!(yaml.contains("  block_retention: \"720h\" # tenant\n"), "{yaml}");
}

#[tokio::test]
async fn entries_are_listed_and_names_that_are_none_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let admin = admin(&folder, "overrides:\n  team-a: {compaction: {block_retention: 720h}}\n");
    let (_, listed) = get(&admin, "/status/overrides", "application/json").await;
    let listed: Value = serde_json::from_str(&listed).expect("JSON");
    assert_eq!(listed["overrides"], json!({"team-a": {"compaction": {"block_retention": "720h"}}}));
    assert_eq!(listed["defaults"]["ingestion"]["rate_limit_bytes"], 7_000_000);
    let (_, yaml) = get(&admin, "/status/overrides", "").await;
    assert!(yaml.contains("team-a:"), "{yaml}");
    assert_eq!(get(&admin, "/status/overrides/a%7Cb", "").await.0, StatusCode::BAD_REQUEST);

    let starting = Admin::new(Config::default());
    assert_eq!(get(&starting, "/status/overrides", "").await.0, StatusCode::SERVICE_UNAVAILABLE);
}
