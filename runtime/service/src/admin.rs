//! The pages that every process has: readiness, metrics, status, and what operators may order.

use std::sync::{Arc, LazyLock, OnceLock, PoisonError, RwLock};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{Query, Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use prometheus::{Encoder as _, IntGaugeVec, TextEncoder, register_int_gauge_vec};
use serde::Deserialize;
use tempoform_config::{Config, YamlMode};
use tempoform_ingester::Ingester;
use tempoform_retriever::Retriever;
use tokio::sync::Notify;
use tower::ServiceExt as _;

use crate::membership::Membership;
use crate::overrides::TenantLimits;
use crate::process::flush_and_hand_over;
use crate::{limits, ring};

static BUILD_INFO: LazyLock<IntGaugeVec> = LazyLock::new(|| {
    // Tempo's labels: dashboards find instances by this metric.
    register_int_gauge_vec!(
        "tempo_build_info",
        "Which build this is; always 1.",
        &["version", "revision", "branch", "goversion"]
    )
    .expect("the name is registered once, here")
});

/// Why a component cannot serve yet; `Ok` when it can.
pub(crate) type ReadyCheck = Arc<dyn Fn() -> Result<(), String> + Send + Sync>;

/// What the pages show. Served from the first moment, so that a long replay can be watched.
pub(crate) struct Admin {
    config: Config,
    checks: RwLock<Vec<(&'static str, ReadyCheck)>>,
    phase: RwLock<Phase>,
    api: OnceLock<Router>,
    pub(crate) ingester: OnceLock<Arc<Ingester>>,
    pub(crate) retriever: OnceLock<Arc<Retriever>>,
    pub(crate) compactor: OnceLock<Arc<tempoform_compactor::Status>>,
    pub(crate) membership: OnceLock<Membership>,
    pub(crate) limits: OnceLock<Arc<TenantLimits>>,
    /// An operator asked the process to end.
    pub(crate) shutdown: Notify,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Starting,
    Serving,
    Stopping,
}

impl Admin {
    pub(crate) fn new(config: Config) -> Arc<Self> {
        BUILD_INFO.with_label_values(&[env!("CARGO_PKG_VERSION"), "", "", ""]).set(1);
        Arc::new(Self {
            config,
            checks: RwLock::default(),
            phase: RwLock::new(Phase::Starting),
            api: OnceLock::new(),
            ingester: OnceLock::new(),
            retriever: OnceLock::new(),
            compactor: OnceLock::new(),
            membership: OnceLock::new(),
            limits: OnceLock::new(),
            shutdown: Notify::new(),
        })
    }

    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    /// The process serves once `check` says so.
    pub(crate) fn add_check(&self, component: &'static str, check: ReadyCheck) {
        self.checks.write().unwrap_or_else(PoisonError::into_inner).push((component, check));
    }

    pub(crate) fn set_phase(&self, phase: Phase) {
        *self.phase.write().unwrap_or_else(PoisonError::into_inner) = phase;
    }

    /// The components' own routes, once they are there.
    pub(crate) fn set_api(&self, api: Router) {
        if self.api.set(api).is_err() {
            tracing::error!("the routes of a process are set once");
        }
    }

    pub(crate) fn router(self: &Arc<Self>) -> Router {
        let rings = ring::PATHS.into_iter();
        rings
            .fold(Router::new(), |router, path| router.route(path, ring::route()))
            .route("/ready", get(ready))
            .route("/metrics", get(metrics))
            .route("/status", get(status))
            .route("/status/version", get(version))
            .route("/status/services", get(services))
            .route("/status/config", get(config))
            .route("/status/compactor", get(compactor))
            .route("/status/overrides", get(limits::all))
            .route("/status/overrides/{tenant}", get(limits::of_tenant))
            .route("/flush", any(flush))
            .route("/shutdown", any(shutdown))
            .fallback(api)
            .with_state(Arc::clone(self))
    }

    /// Every reason why this process cannot serve.
    fn obstacles(&self) -> Vec<String> {
        match *self.phase.read().unwrap_or_else(PoisonError::into_inner) {
            Phase::Starting => return vec!["starting".to_owned()],
            Phase::Stopping => return vec!["application is stopping".to_owned()],
            Phase::Serving => {}
        }
        let checks = self.checks.read().unwrap_or_else(PoisonError::into_inner);
        checks.iter().filter_map(|(name, check)| check().err().map(|why| format!("{name}: {why}"))).collect()
    }

    fn services(&self) -> String {
        let checks = self.checks.read().unwrap_or_else(PoisonError::into_inner);
        checks
            .iter()
            .map(|(name, check)| match check() {
                Ok(()) => format!("{name}: Running\n"),
                Err(why) => format!("{name}: Starting ({why})\n"),
            })
            .collect()
    }
}

async fn api(State(admin): State<Arc<Admin>>, request: Request) -> Response {
    match admin.api.get() {
        Some(api) => match api.clone().oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        },
        None => (StatusCode::SERVICE_UNAVAILABLE, "starting\n").into_response(),
    }
}

async fn ready(State(admin): State<Arc<Admin>>) -> Response {
    let obstacles = admin.obstacles();
    if obstacles.is_empty() {
        (StatusCode::OK, "ready\n").into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, obstacles.join("\n") + "\n").into_response()
    }
}

async fn metrics() -> Response {
    let encoder = TextEncoder::new();
    let mut text = Vec::new();
    match encoder.encode(&prometheus::gather(), &mut text) {
        Ok(()) => ([(header::CONTENT_TYPE, encoder.format_type().to_owned())], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("could not gather metrics: {error}\n"))
            .into_response(),
    }
}

fn version_text() -> String {
    format!("tempoform, version {}\n", env!("CARGO_PKG_VERSION"))
}

async fn version() -> String {
    version_text()
}

async fn services(State(admin): State<Arc<Admin>>) -> String {
    admin.services()
}

#[derive(Deserialize)]
struct ConfigMode {
    mode: Option<String>,
}

async fn config(State(admin): State<Arc<Admin>>, Query(query): Query<ConfigMode>) -> Response {
    match query.mode.as_deref().map(str::parse::<YamlMode>).transpose() {
        Ok(mode) => {
            let text = admin.config.to_yaml(mode.unwrap_or(YamlMode::Full));
            ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response()
        }
        Err(error) => (StatusCode::BAD_REQUEST, format!("{error}\n")).into_response(),
    }
}

async fn status(State(admin): State<Arc<Admin>>) -> String {
    let config = admin.config.to_yaml(YamlMode::Full);
    format!(
        "GET /status/version\n{}\nGET /status/services\n{}\nGET /status/ring\n{}\n\nGET /status/config\n{config}\n",
        version_text(),
        admin.services(),
        ring::json(&admin)
    )
}

/// What is left to merge, and which blocks are set aside and why.
async fn compactor(State(admin): State<Arc<Admin>>) -> Response {
    match admin.compactor.get() {
        Some(status) => axum::Json(status.overview()).into_response(),
        None => (StatusCode::NOT_FOUND, "this process has no compactor\n").into_response(),
    }
}

/// Longest wait of `/flush`.
const FLUSH_WAIT: Duration = Duration::from_secs(300);

async fn flush(State(admin): State<Arc<Admin>>) -> Response {
    let Some(ingester) = admin.ingester.get() else {
        return (StatusCode::NOT_FOUND, "this process has no ingester\n").into_response();
    };
    match ingester.flush(FLUSH_WAIT).await {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => (error.http_status(), format!("{error}\n")).into_response(),
    }
}

/// Flushes, answers, then ends the process. When the flush fails the process goes on, so that nothing is lost by
/// a scale-down.
async fn shutdown(State(admin): State<Arc<Admin>>) -> Response {
    if let Some(ingester) = admin.ingester.get() {
        if let Some(membership) = admin.membership.get() {
            membership.set_state(crate::membership::State::Leaving).await;
        }
        ingester.stop_writes();
        if let Err(error) = flush_and_hand_over(ingester, Instant::now() + FLUSH_WAIT).await {
            ingester.resume_writes();
            if let Some(membership) = admin.membership.get() {
                membership.set_state(crate::membership::State::Active).await;
            }
            return (error.http_status(), format!("{error}\n")).into_response();
        }
    }
    admin.shutdown.notify_one();
    StatusCode::NO_CONTENT.into_response()
}
