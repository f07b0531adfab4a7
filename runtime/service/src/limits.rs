//! The limits in force for operators: `/status/overrides`.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tempoform_core::TenantId;

use crate::admin::Admin;

/// The defaults, and what the entries of tenants set.
pub(crate) async fn all(State(admin): State<Arc<Admin>>, headers: HeaderMap) -> Response {
    let Some(limits) = admin.limits.get() else { return starting() };
    let overrides = limits.overrides();
    let set = overrides.set_limits(&admin.config().fallback_limits());
    answer(&headers, &set, || set.to_yaml())
}

/// What holds for one tenant, and where each limit was set.
pub(crate) async fn of_tenant(
    State(admin): State<Arc<Admin>>,
    Path(tenant): Path<String>,
    headers: HeaderMap,
) -> Response {
    let tenant: TenantId = match tenant.parse() {
        Ok(tenant) => tenant,
        Err(error) => return (error.http_status(), format!("{error}\n")).into_response(),
    };
    let Some(limits) = admin.limits.get() else { return starting() };
    let effective = limits.overrides().effective(tenant.as_str(), &admin.config().fallback_limits());
    answer(&headers, &effective, || effective.to_yaml())
}

fn starting() -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, "starting\n").into_response()
}

fn answer(headers: &HeaderMap, json: &impl Serialize, yaml: impl FnOnce() -> String) -> Response {
    let accepted = headers.get(header::ACCEPT).and_then(|accepted| accepted.to_str().ok());
    if accepted.is_some_and(|accepted| accepted.contains("application/json")) {
        return axum::Json(json).into_response();
    }
    ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], yaml()).into_response()
}

#[cfg(test)]
mod tests;
