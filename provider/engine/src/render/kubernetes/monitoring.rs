//! Objects for Prometheus and Grafana.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use serde::Serialize;
use tempoform_api::{Component, Datasource, GoDuration, ValidatedTempo};

use super::meta::Meta;
use super::ports;
use crate::render::config::Process;
use crate::render::custom::{GrafanaDatasource, PrometheusRule, ServiceMonitor};
use crate::render::names::Names;
use crate::render::{Manifest, RenderError, engine, typed, yaml};

pub(super) fn manifests(tempo: &ValidatedTempo) -> Result<Vec<Manifest>, RenderError> {
    let observability = &tempo.observability;
    let mut all = Vec::new();
    if let Some(monitoring) = &observability.service_monitors {
        for process in Process::all(tempo) {
            all.push(service_monitor(tempo, process.component, &monitoring.labels, monitoring.interval)?);
        }
    }
    if let Some(labels) = &observability.rules {
        all.push(rules(tempo, labels)?);
    }
    if let Some(labels) = &observability.dashboards {
        all.push(dashboard(tempo, labels)?);
    }
    if let Some(wanted) = &observability.grafana_datasource {
        all.extend(datasource(tempo, wanted)?);
    }
    Ok(all)
}

fn service_monitor(
    tempo: &ValidatedTempo,
    component: Component,
    labels: &BTreeMap<String, String>,
    interval: Option<GoDuration>,
) -> Result<Manifest, RenderError> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Values<'a> {
        #[serde(flatten)]
        meta: Meta<'a>,
        extra_labels: BTreeMap<&'a str, &'a str>,
        interval: Option<String>,
        job: String,
    }
    let meta = Meta::new(tempo, component.kubernetes_name(), Names::new(&tempo.name).component(component));
    typed::render::<ServiceMonitor>(
        "kubernetes/monitoring/servicemonitor.yaml",
        &Values {
            extra_labels: own_labels(tempo, labels),
            interval: interval.map(prometheus_duration),
            job: format!("$1/{}", component.kubernetes_name()),
            meta,
        },
    )
}

/// Prometheus knows no fractions: `90s`, or `1500ms`.
fn prometheus_duration(interval: GoDuration) -> String {
    let duration = std::time::Duration::from(interval);
    match duration.subsec_millis() {
        0 => format!("{}s", duration.as_secs()),
        _ => format!("{}ms", duration.as_millis()),
    }
}

fn rules(tempo: &ValidatedTempo, labels: &BTreeMap<String, String>) -> Result<Manifest, RenderError> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Values<'a> {
        #[serde(flatten)]
        meta: Meta<'a>,
        extra_labels: BTreeMap<&'a str, &'a str>,
        /// Matchers of this Tempo's own series, as they stand inside `{}`.
        scope: String,
        components: Vec<&'static str>,
        group: String,
    }
    let scope = match &tempo.namespace {
        Some(namespace) => format!(r#"cluster="{}",namespace="{namespace}""#, tempo.name),
        None => format!(r#"cluster="{}""#, tempo.name),
    };
    let name = Names::new(&tempo.name).whole();
    typed::render::<PrometheusRule>(
        "kubernetes/monitoring/prometheusrule.yaml",
        &Values {
            meta: Meta::new(tempo, "monitoring", name.clone()),
            extra_labels: own_labels(tempo, labels),
            scope,
            components: Process::all(tempo).map(|process| process.component.kubernetes_name()).collect(),
            group: name,
        },
    )
}

fn dashboard(tempo: &ValidatedTempo, labels: &BTreeMap<String, String>) -> Result<Manifest, RenderError> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Values<'a> {
        #[serde(flatten)]
        meta: Meta<'a>,
        extra_labels: BTreeMap<&'a str, &'a str>,
        file: String,
        dashboard: &'static str,
    }
    let name = Names::new(&tempo.name).with("dashboards");
    typed::render::<ConfigMap>(
        "kubernetes/monitoring/dashboards-configmap.yaml",
        &Values {
            extra_labels: own_labels(tempo, labels),
            file: format!("{name}.json"),
            meta: Meta::new(tempo, "monitoring", name),
            dashboard: tempoform_templates::DASHBOARD,
        },
    )
}

/// For the Grafana Operator, and as a file for the sidecar of a Grafana without it.
fn datasource(tempo: &ValidatedTempo, wanted: &Datasource) -> Result<Vec<Manifest>, RenderError> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Source<'a> {
        title: String,
        uid: String,
        url: String,
        /// Whose traces are shown; Grafana must send one where tenants are told apart.
        tenant: Option<&'a str>,
        /// Whether searches are answered piece by piece, which ours does not do.
        streaming: bool,
    }
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Values<'a> {
        #[serde(flatten)]
        meta: Meta<'a>,
        #[serde(flatten)]
        source: &'a Source<'a>,
        instance_selector: &'a LabelSelector,
        allow_cross_namespace_import: bool,
        file: String,
        provisioning: String,
    }
    let names = Names::new(&tempo.name);
    let api =
        if tempo.component(Component::Tempo).is_some() { Component::Tempo } else { Component::QueryFrontend };
    let host = match &tempo.namespace {
        Some(namespace) => format!("{}.{namespace}.svc", names.component(api)),
        None => names.component(api),
    };
    let qualified = names.cluster_label(tempo.namespace.as_deref());
    let source = Source {
        title: format!("Tempo {qualified}"),
        uid: format!("tempo-{}", crate::render::hash::fingerprint(&qualified)),
        url: format!("http://{host}:{}", ports::http(tempo, api)),
        tenant: tempo
            .tenancy
            .tenants
            .first()
            .map(|tenant| tenant.id.as_str())
            .filter(|_| tempo.tenancy.enabled),
        streaming: tempo.component(api).is_some_and(|settings| settings.image.is_grafana_tempo()),
    };
    let file = yaml::to_string(&engine::render_value("config/grafana-datasource.yaml", &source)?);
    let name = names.with("datasource");
    let values = Values {
        file: format!("{name}.yaml"),
        meta: Meta::new(tempo, "monitoring", name),
        source: &source,
        instance_selector: &wanted.instance_selector,
        allow_cross_namespace_import: wanted.allow_cross_namespace_import,
        provisioning: file,
    };
    Ok(vec![
        typed::render::<ConfigMap>("kubernetes/monitoring/grafana-datasource-configmap.yaml", &values)?,
        typed::render::<GrafanaDatasource>("kubernetes/monitoring/grafana-datasource.yaml", &values)?,
    ])
}

/// Labels for one kind of object. Those that all objects carry stand there already.
fn own_labels<'a>(
    tempo: &ValidatedTempo,
    labels: &'a BTreeMap<String, String>,
) -> BTreeMap<&'a str, &'a str> {
    labels
        .iter()
        .filter(|(label, _)| !super::meta::is_reserved(label) && !tempo.labels.contains_key(*label))
        .map(|(label, value)| (label.as_str(), value.as_str()))
        .collect()
}
