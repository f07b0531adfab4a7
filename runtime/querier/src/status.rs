//! The endpoints that ask no source.

use axum::Router;
use axum::response::IntoResponse;
use axum::routing::any;
use http::header::CONTENT_TYPE;

use crate::BuildInfo;

/// `/api/echo`, Grafana's health check, and `/api/status/buildinfo`.
pub(crate) fn routes<S: Clone + Send + Sync + 'static>(build: &BuildInfo) -> Router<S> {
    let build = serde_json::json!({
        "version": build.version,
        "revision": build.revision,
        "branch": "",
        "buildDate": "",
        "buildUser": "",
        "goVersion": "",
    })
    .to_string();
    Router::new().route("/api/echo", any(|| async { "echo\n" })).route(
        "/api/status/buildinfo",
        any(move || async move { ([(CONTENT_TYPE, "application/json")], build).into_response() }),
    )
}
