//! Monitoring: a block that is there is wanted, unless it says otherwise.

use super::config;
use super::names;
use super::report::Report;
use crate::defaults;
use crate::spec::{ObservabilitySpec, SelfTracingSpec};
use crate::validated::{Datasource, Monitoring, Observability, SelfTracing};

pub(super) fn resolve(spec: Option<&ObservabilitySpec>, report: &mut Report) -> Observability {
    let ObservabilitySpec {
        service_monitors,
        rules,
        dashboards,
        grafana_datasource,
        self_tracing,
        log_level,
        log_format,
    } = spec.cloned().unwrap_or_default();
    let labels = [
        ("serviceMonitors", service_monitors.as_ref().map(|it| &it.labels)),
        ("rules", rules.as_ref().map(|it| &it.labels)),
        ("dashboards", dashboards.as_ref().map(|it| &it.labels)),
    ];
    for (field, labels) in labels.into_iter().filter_map(|(field, labels)| Some((field, labels?))) {
        names::labels(&format!("spec.observability.{field}.labels"), labels, report);
    }
    let wanted = |enabled: Option<bool>| enabled.unwrap_or(true);
    Observability {
        service_monitors: service_monitors
            .filter(|monitors| wanted(monitors.enabled))
            .map(|monitors| Monitoring { labels: monitors.labels, interval: monitors.interval }),
        rules: rules.filter(|rules| wanted(rules.enabled)).map(|rules| rules.labels),
        dashboards: dashboards.filter(|dashboards| wanted(dashboards.enabled)).map(|dashboards| {
            if dashboards.labels.is_empty() { defaults::dashboard_labels() } else { dashboards.labels }
        }),
        grafana_datasource: grafana_datasource.filter(|datasource| wanted(datasource.enabled)).map(
            |datasource| Datasource {
                instance_selector: datasource.instance_selector.unwrap_or_default(),
                allow_cross_namespace_import: datasource.allow_cross_namespace_import.unwrap_or(false),
            },
        ),
        self_tracing: self_tracing.map(|tracing| resolve_tracing(&tracing, report)),
        log_level: log_level.unwrap_or_default(),
        log_format: log_format.unwrap_or_default(),
    }
}

fn resolve_tracing(spec: &SelfTracingSpec, report: &mut Report) -> SelfTracing {
    let path = "spec.observability.selfTracing";
    if config::url_has_credentials(&spec.endpoint) {
        // The text is not repeated: it holds a secret.
        report.refuse(
            format!("{path}.endpoint"),
            "the URL contains credentials, and would come out in manifests and plans",
            "send to a collector that adds them; it takes traces without",
        );
    } else if !is_http_url(&spec.endpoint) {
        report.refuse(
            format!("{path}.endpoint"),
            format!("{:?} is not an HTTP URL", spec.endpoint),
            "write the URL of an OTLP/HTTP receiver, for example http://collector:4318",
        );
    }
    let fraction = spec.sampling_fraction.unwrap_or(defaults::SAMPLING_FRACTION);
    if !(0.0..=1.0).contains(&fraction) {
        report.refuse(
            format!("{path}.samplingFraction"),
            format!("{fraction} is not a share from 0 to 1"),
            "write for example 0.1 for a tenth",
        );
    }
    SelfTracing { endpoint: spec.endpoint.clone(), sampling_fraction: fraction }
}

fn is_http_url(text: &str) -> bool {
    let host = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    host.is_some_and(|host| !host.is_empty() && !host.starts_with('/'))
}
