//! The receivers.

use super::report::Report;
use super::tls;
use crate::defaults;
use crate::spec::{Mode, ReceiverSpec, ServerTlsSpec, TempoSpec};
use crate::validated::{Ingestion, Receiver, ServerTls};

pub(super) fn resolve(spec: &TempoSpec, report: &mut Report) -> Ingestion {
    let otlp = spec.ingestion.as_ref().and_then(|ingestion| ingestion.otlp.as_ref());
    let shared = shared_tls(spec).and_then(|(path, tls)| tls::server(path, tls, report));
    let receiver = |name: &str, spec: Option<&ReceiverSpec>, port: u16, report: &mut Report| {
        resolve_receiver(&format!("spec.ingestion.otlp.{name}"), spec, shared.as_ref(), port, report)
    };
    let otlp_grpc =
        receiver("grpc", otlp.and_then(|otlp| otlp.grpc.as_ref()), defaults::OTLP_GRPC_PORT, report);
    let otlp_http =
        receiver("http", otlp.and_then(|otlp| otlp.http.as_ref()), defaults::OTLP_HTTP_PORT, report);
    refuse_clashes(otlp_grpc.as_ref(), otlp_http.as_ref(), report);
    Ingestion { otlp_grpc, otlp_http }
}

/// The certificate in the component's block, with its path.
fn shared_tls(spec: &TempoSpec) -> Option<(&'static str, &ServerTlsSpec)> {
    match spec.mode {
        Mode::SingleBinary => Some(("spec.tempo.tls", spec.tempo.as_ref()?.tls.as_ref()?)),
        Mode::Distributed => Some(("spec.distributor.tls", spec.distributor.as_ref()?.tls.as_ref()?)),
    }
}

fn resolve_receiver(
    path: &str,
    spec: Option<&ReceiverSpec>,
    shared: Option<&ServerTls>,
    default_port: u16,
    report: &mut Report,
) -> Option<Receiver> {
    let receiver = Receiver {
        port: spec.and_then(|spec| spec.port).unwrap_or(default_port),
        tls: match spec.and_then(|spec| spec.tls.as_ref()) {
            Some(own) => tls::server(&format!("{path}.tls"), own, report),
            None => shared.cloned(),
        },
    };
    if receiver.port == 0 {
        report.refuse(format!("{path}.port"), "port 0 does not exist", "use a port from 1 to 65535");
    }
    spec.and_then(|spec| spec.enabled).unwrap_or(true).then_some(receiver)
}

fn refuse_clashes(grpc: Option<&Receiver>, http: Option<&Receiver>, report: &mut Report) {
    match (grpc, http) {
        (None, None) => report.refuse(
            "spec.ingestion.otlp",
            "every receiver is switched off, so no span can come in",
            "leave grpc or http enabled",
        ),
        (Some(grpc), Some(http)) if grpc.port == http.port => report.refuse(
            "spec.ingestion.otlp.http.port",
            format!("port {} is that of OTLP over gRPC too", http.port),
            "use two ports, by custom 4317 for gRPC and 4318 for HTTP",
        ),
        _ => {}
    }
    for (path, receiver) in [("grpc", grpc), ("http", http)] {
        let taken = [(defaults::HTTP_PORT, "the HTTP API"), (defaults::GRPC_PORT, "internal gRPC")];
        let clash =
            taken.into_iter().find(|(port, _)| receiver.is_some_and(|receiver| receiver.port == *port));
        if let Some((port, owner)) = clash {
            report.refuse(
                format!("spec.ingestion.otlp.{path}.port"),
                format!("port {port} is that of {owner}"),
                "use another port",
            );
        }
    }
}
