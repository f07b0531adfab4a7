//! `spec.observability`: monitoring of the Tempo itself.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use tempoform_document::GoDuration;

/// Monitoring of the Tempo itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct ObservabilitySpec {
    /// Prometheus Operator's `ServiceMonitor` for every component. Default: off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_monitors: Option<ServiceMonitorsSpec>,
    /// Prometheus Operator's `PrometheusRule` with alerts and recording rules. Default: off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rules: Option<PrometheusObjectSpec>,
    /// Grafana dashboards, as config maps for its sidecar. Default: off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dashboards: Option<DashboardsSpec>,
    /// Grafana Operator's `GrafanaDatasource` for the query API. Default: off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grafana_datasource: Option<DatasourceSpec>,
    /// Traces of the Tempo's own work. Default: off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub self_tracing: Option<SelfTracingSpec>,
    /// The least important log lines that are written. Default: `info`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_level: Option<LogLevel>,
    /// How log lines look. Default: `logfmt`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_format: Option<LogFormat>,
}

/// An object for the Prometheus Operator.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct PrometheusObjectSpec {
    /// Whether it is created. Default: true when the block is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// Labels by which Prometheus finds it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// The service monitors.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct ServiceMonitorsSpec {
    /// Whether they are created. Default: true when the block is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// Labels by which Prometheus finds them.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Time between two scrapes. Default: Prometheus' own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<GoDuration>,
}

/// The dashboards.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct DashboardsSpec {
    /// Whether they are created. Default: true when the block is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// Labels by which Grafana's sidecar finds them. Default: `grafana_dashboard: "1"`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// The data source.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct DatasourceSpec {
    /// Whether it is created. Default: true when the block is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// Which Grafana instances get it. Default: all in the namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_selector: Option<LabelSelector>,
    /// Whether Grafana instances of other namespaces may get it. Default: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow_cross_namespace_import: Option<bool>,
}

/// Traces of the Tempo's own work.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct SelfTracingSpec {
    /// OTLP/HTTP endpoint that takes them, as a URL. Better another Tempo than this one.
    pub endpoint: String,
    /// The share of traces that is kept, from 0 to 1. Default: 0.1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub sampling_fraction: Option<f64>,
}

/// How important a log line is.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub enum LogLevel {
    /// For those who read the code beside it.
    Debug,
    /// What is going on.
    #[default]
    Info,
    /// What may become a problem.
    Warn,
    /// What went wrong.
    Error,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum LogFormat {
    /// `key=value` pairs.
    #[default]
    Logfmt,
    /// One JSON object a line.
    Json,
}
