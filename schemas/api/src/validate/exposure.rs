//! Ways in from outside: host names, paths, and whether there is anything behind them.

use std::collections::BTreeMap;

use super::names;
use super::report::{Refusal, Report};
use crate::defaults;
use crate::spec::{GatewayApiSpec, IngressRouteSpec, IngressSpec, ParentRefSpec};
use crate::validated::{Entrance, GatewayApi, GatewayParent, Ingestion, Ingress};

const INGRESS: &str = "spec.ingress";
const GATEWAY: &str = "spec.gatewayApi";

pub(super) fn ingress(
    spec: Option<&IngressSpec>,
    ingestion: &Ingestion,
    report: &mut Report,
) -> BTreeMap<Entrance, Ingress> {
    let Some(spec) = spec else { return BTreeMap::new() };
    let IngressSpec { query, otlp_http, otlp_grpc } = spec;
    let given = present([query, otlp_http, otlp_grpc]);
    refuse_nothing(INGRESS, given.is_empty(), report);
    let mut all = BTreeMap::new();
    for (entrance, route) in given {
        let at = format!("{INGRESS}.{}", entrance.name());
        refuse_closed(entrance, &at, ingestion, report);
        let ingress = resolve_ingress(entrance, route, &at, report);
        refuse_taken(&ingress, &all, &at, report);
        all.insert(entrance, ingress);
    }
    all
}

fn resolve_ingress(entrance: Entrance, spec: &IngressRouteSpec, at: &str, report: &mut Report) -> Ingress {
    let IngressRouteSpec { host, path, class_name, annotations, tls } = spec;
    report.check(format!("{at}.host"), host_name(host));
    if let Some(path) = path {
        report.check(format!("{at}.path"), url_path(path));
    }
    if let Some(class) = class_name {
        report.check(format!("{at}.className"), names::dns_name(class));
    }
    names::annotations(&format!("{at}.annotations"), annotations, report);
    if let Some(tls) = tls {
        report.check(format!("{at}.tls.secretName"), names::dns_name(&tls.secret_name));
    }
    if entrance == Entrance::OtlpGrpc && annotations.is_empty() {
        report.warn(
            at,
            "most controllers speak HTTP/1.1 to what is behind them, and gRPC does not work over it",
            "tell yours by an annotation, for ingress-nginx nginx.ingress.kubernetes.io/backend-protocol: GRPC",
        );
    }
    Ingress {
        host: host.clone(),
        path: path.clone().unwrap_or_else(|| defaults::ingress_path(entrance).to_owned()),
        class_name: class_name.clone(),
        annotations: annotations.clone(),
        tls_secret: tls.as_ref().map(|tls| tls.secret_name.clone()),
    }
}

/// Of two that say the same, a controller serves one, and not always the same.
fn refuse_taken(ingress: &Ingress, others: &BTreeMap<Entrance, Ingress>, at: &str, report: &mut Report) {
    let path = |ingress: &Ingress| ingress.path.trim_end_matches('/').to_owned();
    let same = |other: &Ingress| other.host == ingress.host && path(other) == path(ingress);
    if let Some((owner, _)) = others.iter().find(|(_, other)| same(other)) {
        report.refuse(
            at,
            format!("{}{} is that of {INGRESS}.{} too", ingress.host, ingress.path, owner.name()),
            "give one of them another host or path",
        );
    }
}

pub(super) fn gateway_api(
    spec: Option<&GatewayApiSpec>,
    ingestion: &Ingestion,
    report: &mut Report,
) -> Option<GatewayApi> {
    let GatewayApiSpec { parent_refs, query, otlp_http, otlp_grpc } = spec?;
    let given = present([query, otlp_http, otlp_grpc]);
    refuse_nothing(GATEWAY, given.is_empty(), report);
    if parent_refs.is_empty() {
        report.refuse(
            format!("{GATEWAY}.parentRefs"),
            "a route that attaches to no gateway is served by none",
            "name a Gateway: parentRefs: [{ name: public }]",
        );
    }
    let mut routes = BTreeMap::new();
    for (entrance, route) in given {
        let at = format!("{GATEWAY}.{}", entrance.name());
        refuse_closed(entrance, &at, ingestion, report);
        if route.hostnames.is_empty() {
            report.refuse(
                format!("{at}.hostnames"),
                "no host name is given",
                "name those that clients call, for example [tempo.example.com]",
            );
        }
        for (index, host) in route.hostnames.iter().enumerate() {
            report.check(format!("{at}.hostnames[{index}]"), host_name(host));
        }
        routes.insert(entrance, route.hostnames.clone());
    }
    refuse_shared_with_grpc(&routes, report);
    Some(GatewayApi { parents: parents(parent_refs, report), routes })
}

fn parents(specs: &[ParentRefSpec], report: &mut Report) -> Vec<GatewayParent> {
    let parents = specs.iter().enumerate().map(|(index, ParentRefSpec { name, namespace, section_name })| {
        let at = format!("{GATEWAY}.parentRefs[{index}]");
        report.check(format!("{at}.name"), names::dns_name(name));
        if let Some(namespace) = namespace {
            report.check(format!("{at}.namespace"), names::dns_label(namespace, names::DNS_LABEL_LENGTH));
        }
        if let Some(section) = section_name {
            report.check(format!("{at}.sectionName"), names::dns_name(section));
        }
        GatewayParent { name: name.clone(), namespace: namespace.clone(), section_name: section_name.clone() }
    });
    parents.collect()
}

/// On one listener a host name belongs to `HTTPRoute`s or to `GRPCRoute`s: gateways refuse the later one
/// (Gateway API, `GRPCRoute`, "Cross Serving").
fn refuse_shared_with_grpc(routes: &BTreeMap<Entrance, Vec<String>>, report: &mut Report) {
    let Some(grpc) = routes.get(&Entrance::OtlpGrpc) else { return };
    for (index, host) in grpc.iter().enumerate() {
        let over_http = routes.iter().filter(|(entrance, _)| **entrance != Entrance::OtlpGrpc);
        let clash = over_http.into_iter().find(|(_, hosts)| hosts.iter().any(|other| overlap(host, other)));
        if let Some((owner, _)) = clash {
            report.refuse(
                format!("{GATEWAY}.otlpGrpc.hostnames[{index}]"),
                format!("{host:?} is a host name of {GATEWAY}.{} too, and a gateway serves either HTTPRoutes or GRPCRoutes by it", owner.name()),
                "give otlpGrpc a host name of its own, for example otlp-grpc.example.com",
            );
        }
    }
}

fn overlap(one: &str, other: &str) -> bool {
    let covers = |pattern: &str, host: &str| {
        pattern.strip_prefix('*').is_some_and(|suffix| host.trim_start_matches('*').ends_with(suffix))
    };
    one == other || covers(one, other) || covers(other, one)
}

fn present<T>(given: [&Option<T>; 3]) -> Vec<(Entrance, &T)> {
    Entrance::ALL.into_iter().zip(given).filter_map(|(entrance, it)| Some((entrance, it.as_ref()?))).collect()
}

fn refuse_nothing(at: &str, is_nothing: bool, report: &mut Report) {
    if is_nothing {
        report.refuse(at, "no way in is named", "name query, otlpHttp or otlpGrpc in it, or remove it");
    }
}

/// A receiver that is off, or one that wants to see its callers' TLS itself, is not behind a proxy.
fn refuse_closed(entrance: Entrance, at: &str, ingestion: &Ingestion, report: &mut Report) {
    let (receiver, name) = match entrance {
        Entrance::Query => return,
        Entrance::OtlpHttp => (&ingestion.otlp_http, "http"),
        Entrance::OtlpGrpc => (&ingestion.otlp_grpc, "grpc"),
    };
    match receiver {
        None => report.refuse(
            at,
            format!("the receiver is switched off by spec.ingestion.otlp.{name}.enabled"),
            "enable the receiver, or remove the way to it",
        ),
        Some(receiver) => {
            if let Some(tls) = &receiver.tls {
                report.refuse(
                    at,
                    format!("the receiver speaks TLS itself ({}), and what stands before it would speak to it in clear", tls.path),
                    format!("remove {} and give the certificate to what stands before it, or remove this way in and reach the receiver's service by itself", tls.path),
                );
            }
        }
    }
}

/// A host name as routes take it: a wildcard may stand for the first label, an address may not.
fn host_name(host: &str) -> Result<(), Refusal> {
    let name = host.strip_prefix("*.").unwrap_or(host);
    let is_address = host.parse::<std::net::IpAddr>().is_ok();
    if !is_address && names::dns_name(name).is_ok() {
        return Ok(());
    }
    Err(Refusal::new(
        format!("{host:?} is not a host name"),
        "write the name alone, in lower case, without scheme, port and path: tempo.example.com",
    ))
}

/// A path by Kubernetes' rules for `Ingress`.
fn url_path(path: &str) -> Result<(), Refusal> {
    let plain = path.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~/+@:".contains(&byte));
    let steps = path.split('/').skip(1);
    let last = path.matches('/').count().saturating_sub(1);
    let whole = steps
        .enumerate()
        .all(|(index, step)| (index == last || !step.is_empty()) && step != "." && step != "..");
    if path.starts_with('/') && plain && whole {
        return Ok(());
    }
    Err(Refusal::new(
        format!("{path:?} is not a path"),
        "write an absolute path without empty parts, dots and escapes: /tempo",
    ))
}
