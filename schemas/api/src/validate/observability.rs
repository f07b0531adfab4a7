//! Monitoring: a block that is there is wanted, unless it says otherwise.

use super::report::Report;
use crate::defaults;
use crate::spec::{ObservabilitySpec, SelfTracingSpec};
use crate::validated::{Monitoring, Observability, SelfTracing};

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
    let wanted = |enabled: Option<bool>| enabled.unwrap_or(true);
    Observability {
        service_monitors: service_monitors
            .filter(|monitors| wanted(monitors.enabled))
            .map(|monitors| Monitoring { labels: monitors.labels, interval: monitors.interval }),
        rules: rules.filter(|rules| wanted(rules.enabled)).map(|rules| rules.labels),
        dashboards: dashboards.filter(|dashboards| wanted(dashboards.enabled)).map(|dashboards| {
            if dashboards.labels.is_empty() { defaults::dashboard_labels() } else { dashboards.labels }
        }),
        grafana_datasource: grafana_datasource
            .filter(|datasource| wanted(datasource.enabled))
            .map(|datasource| datasource.instance_selector.unwrap_or_default()),
        self_tracing: self_tracing.map(|tracing| resolve_tracing(&tracing, report)),
        log_level: log_level.unwrap_or_default(),
        log_format: log_format.unwrap_or_default(),
    }
}

fn resolve_tracing(spec: &SelfTracingSpec, report: &mut Report) -> SelfTracing {
    let path = "spec.observability.selfTracing";
    let host = spec.endpoint.strip_prefix("http://").or_else(|| spec.endpoint.strip_prefix("https://"));
    if host.is_none_or(|host| host.is_empty() || host.starts_with('/')) {
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
