//! Traces of the Tempo's own work: OpenTelemetry's variables, which both runtimes heed.

use tempoform_api::{Component, ValidatedTempo};

use super::storage::{Access, Source, Variable, is_service, port};

/// Adds the variables, and the port of the receiver.
pub(super) fn add(tempo: &ValidatedTempo, component: Component, access: &mut Access) {
    let Some(tracing) = &tempo.observability.self_tracing else { return };
    let variables = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", tracing.endpoint.clone()),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf".to_owned()),
        ("OTEL_SERVICE_NAME", service_name(component)),
        ("OTEL_TRACES_SAMPLER", "parentbased_traceidratio".to_owned()),
        ("OTEL_TRACES_SAMPLER_ARG", tracing.sampling_fraction.to_string()),
    ];
    access.variables.extend(variables.map(|(name, value)| Variable { name, source: Source::Literal(value) }));
    access.in_cluster |= is_service(&tracing.endpoint);
    access.ports.push(port(&tracing.endpoint, false));
    access.ports.sort_unstable();
    access.ports.dedup();
}

fn service_name(component: Component) -> String {
    match component {
        Component::Tempo => "tempo".to_owned(),
        part => format!("tempo-{}", part.kubernetes_name()),
    }
}
