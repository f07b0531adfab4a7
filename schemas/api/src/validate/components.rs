//! The components that run, each with its settings resolved.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::report::Report;
use super::{autoscaling, fragments, images, listen_address, names, quantity};
use crate::Component;
use crate::defaults;
use crate::spec::{
    AutoscalingSpec, CommonSpec, ComponentSpec, Mode, PersistenceSpec, PodTemplateSpec, PortsSpec,
    ScalableSpec, TempoSpec,
};
use crate::validated::{
    ComponentSettings, Image, Ingestion, LocalListen, Persistence, PinnedPorts, PodTemplate, Ports,
    Scheduling,
};
use tempoform_document::ByteSize;
use tempoform_document::path::child;

/// A component's block, taken apart.
#[derive(Clone, Copy)]
struct Block<'a> {
    common: CommonSpec<'a>,
    persistence: Option<&'a PersistenceSpec>,
    autoscaling: Option<&'a AutoscalingSpec>,
    /// Whether it asks for an autoscaler that the component cannot have.
    asks_for_autoscaling: bool,
}

pub(super) fn resolve(
    spec: &TempoSpec,
    ingestion: &Ingestion,
    address: IpAddr,
    report: &mut Report,
) -> BTreeMap<Component, ComponentSettings> {
    refuse_blocks_of_other_mode(spec, report);
    if let Some(image) = &spec.image {
        report.check("spec.image", images::image(image));
    }
    let resolver = Resolver { spec, ingestion, address };
    defaults::components(spec.mode)
        .iter()
        .map(|component| (*component, resolver.component(*component, report)))
        .collect()
}

fn block(spec: &TempoSpec, component: Component) -> Option<Block<'_>> {
    match component {
        Component::Distributor => spec
            .distributor
            .as_ref()
            .map(|block| Block { autoscaling: block.autoscaling.as_ref(), ..whole(block.common()) }),
        Component::Ingester => spec.ingester.as_ref().map(|block| Block {
            persistence: block.persistence.as_ref(),
            asks_for_autoscaling: block.autoscaling.is_some(),
            ..whole(block.common())
        }),
        Component::Querier => spec.querier.as_ref().map(scalable),
        Component::QueryFrontend => spec.query_frontend.as_ref().map(scalable),
        Component::Retriever => spec.retriever.as_ref().map(fixed),
        Component::Compactor => spec.compactor.as_ref().map(fixed),
        Component::Tempo => spec.tempo.as_ref().map(|block| Block {
            persistence: block.persistence.as_ref(),
            asks_for_autoscaling: block.autoscaling.is_some(),
            ..whole(block.common())
        }),
    }
}

fn whole(common: CommonSpec<'_>) -> Block<'_> {
    Block { common, persistence: None, autoscaling: None, asks_for_autoscaling: false }
}

fn scalable(block: &ScalableSpec) -> Block<'_> {
    Block { autoscaling: block.autoscaling.as_ref(), ..whole(block.common()) }
}

fn fixed(block: &ComponentSpec) -> Block<'_> {
    Block { asks_for_autoscaling: block.autoscaling.is_some(), ..whole(block.common()) }
}

fn refuse_blocks_of_other_mode(spec: &TempoSpec, report: &mut Report) {
    let expected = defaults::components(spec.mode);
    let strangers = Component::ALL
        .into_iter()
        .filter(|component| !expected.contains(component) && block(spec, *component).is_some());
    for component in strangers {
        let (mode, help) = match spec.mode {
            Mode::SingleBinary => {
                ("singleBinary", "move its settings to spec.tempo, or set mode: distributed")
            }
            Mode::Distributed => {
                ("distributed", "move its settings to the components' blocks, or set mode: singleBinary")
            }
        };
        report.refuse(format!("spec.{component}"), format!("mode {mode} has no component {component}"), help);
    }
}

struct Resolver<'a> {
    spec: &'a TempoSpec,
    ingestion: &'a Ingestion,
    address: IpAddr,
}

impl Resolver<'_> {
    fn component(&self, component: Component, report: &mut Report) -> ComponentSettings {
        let path = format!("spec.{component}");
        let block = block(self.spec, component);
        let common = block.map(|block| block.common);
        let resources = resources(component, common, &path, report);
        let memory_limit = memory_limit(&resources);
        if block.is_some_and(|block| block.asks_for_autoscaling) {
            autoscaling::refuse(component, report);
        }
        let autoscaling = block.and_then(|block| block.autoscaling).map(|spec| {
            let replicas = common.and_then(|common| common.replicas);
            autoscaling::resolve(spec, replicas, &resources, &path, report)
        });
        ComponentSettings {
            component,
            replicas: replicas(component, common, &path, report),
            autoscaling,
            image: self.image(common, &path, report),
            memory_limit,
            resources,
            scheduling: common.map(|common| scheduling(common, &path, report)).unwrap_or_default(),
            extra_env: extra_env(common, &path, report),
            env_from: common.map(|common| common.env_from.to_vec()).unwrap_or_default(),
            extra_args: extra_args(common, &path, report),
            pod_template: pod_template(
                component,
                common.and_then(|common| common.pod_template),
                &format!("{path}.podTemplate"),
                report,
            ),
            ports: self.ports(component),
            local: self.local(component, common, &path, report),
            persistence: component
                .has_wal()
                .then(|| persistence(block.and_then(|block| block.persistence), &path, report)),
        }
    }

    fn image(&self, common: Option<CommonSpec<'_>>, path: &str, report: &mut Report) -> Image {
        let own = common.and_then(|common| common.image);
        if let Some(image) = own {
            report.check(format!("{path}.image"), images::image(image));
        }
        let image = own.or(self.spec.image.as_deref()).map_or_else(defaults::image, str::to_owned);
        Image(image)
    }

    fn ports(&self, component: Component) -> Ports {
        let receives = component.receives_spans();
        let port =
            |receiver: &Option<crate::Receiver>| receiver.as_ref().filter(|_| receives).map(|it| it.port);
        Ports {
            http: defaults::HTTP_PORT,
            grpc: defaults::GRPC_PORT,
            otlp_grpc: port(&self.ingestion.otlp_grpc),
            otlp_http: port(&self.ingestion.otlp_http),
        }
    }

    fn local(
        &self,
        component: Component,
        common: Option<CommonSpec<'_>>,
        path: &str,
        report: &mut Report,
    ) -> LocalListen {
        let text = common.and_then(|common| common.listen_address);
        let address = listen_address(&format!("{path}.listenAddress"), text, report).unwrap_or(self.address);
        let given = common.and_then(|common| common.ports).unwrap_or_default();
        refuse_bad_ports(given, component, &format!("{path}.ports"), report);
        let default = defaults::pinned_ports(component);
        let in_pod = self.ports(component);
        let ports = PinnedPorts {
            http: given.http.or(default.http),
            grpc: given.grpc.or(default.grpc),
            otlp_grpc: in_pod.otlp_grpc.map(|port| given.otlp_grpc.unwrap_or(port)),
            otlp_http: in_pod.otlp_http.map(|port| given.otlp_http.unwrap_or(port)),
        };
        LocalListen { address, ports }
    }
}

fn replicas(component: Component, common: Option<CommonSpec<'_>>, path: &str, report: &mut Report) -> u32 {
    let replicas = common.and_then(|common| common.replicas).unwrap_or_else(|| defaults::replicas(component));
    if component == Component::Tempo && replicas > 1 {
        report.refuse(
            format!("{path}.replicas"),
            format!("a single binary runs once, not {replicas} times"),
            "set replicas: 1, or mode: distributed to run components several times",
        );
    }
    replicas
}

fn resources(
    component: Component,
    common: Option<CommonSpec<'_>>,
    path: &str,
    report: &mut Report,
) -> k8s_openapi::api::core::v1::ResourceRequirements {
    let Some(given) = common.and_then(|common| common.resources) else {
        return defaults::resources(component);
    };
    let (requests, limits) = (given.requests.iter().flatten(), given.limits.iter().flatten());
    for (kind, name, amount) in
        requests.map(|(k, v)| ("requests", k, v)).chain(limits.map(|(k, v)| ("limits", k, v)))
    {
        let example = if name == "cpu" { "500m" } else { "2Gi" };
        let at = child(&format!("{path}.resources.{kind}"), name);
        report.check(at, quantity::positive(amount, example));
    }
    for (name, limit) in given.limits.iter().flatten() {
        let request = given.requests.as_ref().and_then(|requests| requests.get(name));
        let (Some(asked), Some(allowed)) = (request.and_then(quantity::value), quantity::value(limit)) else {
            continue;
        };
        if asked > allowed {
            let request = request.map(|request| request.0.as_str()).unwrap_or_default();
            report.refuse(
                child(&format!("{path}.resources.requests"), name),
                format!("the request {request} is above the limit {}", limit.0),
                format!("request at most {}, or raise the limit", limit.0),
            );
        }
    }
    given.clone()
}

fn memory_limit(resources: &k8s_openapi::api::core::v1::ResourceRequirements) -> Option<ByteSize> {
    resources.limits.as_ref()?.get("memory").and_then(quantity::bytes)
}

fn scheduling(common: CommonSpec<'_>, path: &str, report: &mut Report) -> Scheduling {
    names::labels(&format!("{path}.nodeSelector"), common.node_selector, report);
    for (index, constraint) in common.topology_spread_constraints.iter().enumerate() {
        let at = format!("{path}.topologySpreadConstraints[{index}].topologyKey");
        report.check(at, names::label_key(&constraint.topology_key));
    }
    if let Some(class) = common.priority_class_name {
        report.check(format!("{path}.priorityClassName"), names::dns_name(class));
    }
    Scheduling {
        node_selector: common.node_selector.clone(),
        tolerations: common.tolerations.to_vec(),
        affinity: common.affinity.cloned(),
        topology_spread_constraints: common.topology_spread_constraints.to_vec(),
        priority_class_name: common.priority_class_name.map(str::to_owned),
    }
}

fn extra_env(
    common: Option<CommonSpec<'_>>,
    path: &str,
    report: &mut Report,
) -> Vec<k8s_openapi::api::core::v1::EnvVar> {
    let env = common.map(|common| common.extra_env).unwrap_or_default();
    for (index, variable) in env.iter().enumerate() {
        report.check(format!("{path}.extraEnv[{index}].name"), names::variable(&variable.name));
        if env[..index].iter().any(|earlier| earlier.name == variable.name) {
            report.refuse(
                format!("{path}.extraEnv[{index}].name"),
                format!("variable {:?} is set twice", variable.name),
                "keep one of them",
            );
        }
    }
    env.to_vec()
}

/// Grafana Tempo takes the last of two flags of one name, so that a repeated one of ours would move what others expect.
fn extra_args(common: Option<CommonSpec<'_>>, path: &str, report: &mut Report) -> Vec<String> {
    const OURS: [(&str, &str); 8] = [
        ("target", "the component's block decides about it"),
        ("config.file", "its content goes into spec.config"),
        ("config.expand-env", "it is always set"),
        ("server.http-listen-address", "probes and services expect the rendered one"),
        ("server.http-listen-port", "probes and services expect the rendered one"),
        ("server.grpc-listen-address", "the other components expect the rendered one"),
        ("server.grpc-listen-port", "the other components expect the rendered one"),
        ("memberlist.bind-port", "the other components expect the rendered one"),
    ];
    let args = common.map(|common| common.extra_args).unwrap_or_default();
    for (index, arg) in args.iter().enumerate() {
        let flag = arg.trim_start_matches('-').split('=').next().unwrap_or_default();
        if let Some((flag, reason)) = OURS.into_iter().find(|(ours, _)| *ours == flag) {
            report.refuse(
                format!("{path}.extraArgs[{index}]"),
                format!("-{flag} cannot be given: {reason}"),
                "remove it",
            );
        }
    }
    args.to_vec()
}

fn pod_template(
    component: Component,
    spec: Option<&PodTemplateSpec>,
    path: &str,
    report: &mut Report,
) -> PodTemplate {
    let spec = spec.cloned().unwrap_or_default();
    names::labels(&format!("{path}.labels"), &spec.labels, report);
    names::annotations(&format!("{path}.annotations"), &spec.annotations, report);
    let grace = spec.termination_grace_period_seconds;
    if let Some(seconds) = grace.filter(|seconds| *seconds < 0) {
        report.refuse(
            format!("{path}.terminationGracePeriodSeconds"),
            format!("{seconds} is below zero"),
            "write a number of seconds",
        );
    }
    PodTemplate {
        labels: spec.labels,
        annotations: spec.annotations,
        security_context: spec.security_context,
        termination_grace_period_seconds: grace
            .unwrap_or_else(|| defaults::termination_grace_period_seconds(component)),
        init_containers: fragments::containers(
            &format!("{path}.initContainers"),
            &spec.init_containers,
            report,
        ),
        sidecars: fragments::containers(&format!("{path}.sidecars"), &spec.sidecars, report),
        volumes: fragments::volumes(&format!("{path}.volumes"), &spec.volumes, report),
        volume_mounts: fragments::mounts(&format!("{path}.volumeMounts"), &spec.volume_mounts, report),
    }
}

fn persistence(spec: Option<&PersistenceSpec>, path: &str, report: &mut Report) -> Persistence {
    let default = defaults::persistence();
    let Some(spec) = spec else { return default };
    if let Some(size) = &spec.size {
        report.check(format!("{path}.persistence.size"), quantity::positive(size, "50Gi"));
    }
    if let Some(class) = &spec.storage_class {
        report.check(format!("{path}.persistence.storageClass"), names::dns_name(class));
    }
    Persistence {
        size: spec.size.as_ref().map_or(default.size, |size| size.0.clone()),
        storage_class: spec.storage_class.clone(),
    }
}

fn refuse_bad_ports(ports: PortsSpec, component: Component, path: &str, report: &mut Report) {
    let PortsSpec { http, grpc, otlp_grpc, otlp_http } = ports;
    for (name, port) in [("http", http), ("grpc", grpc), ("otlpGrpc", otlp_grpc), ("otlpHttp", otlp_http)] {
        if port == Some(0) {
            report.refuse(
                format!("{path}.{name}"),
                "port 0 does not exist",
                "use a port from 1 to 65535, or leave the field out to have a free one chosen",
            );
        }
        if port.is_some() && name.starts_with("otlp") && !component.receives_spans() {
            report.refuse(
                format!("{path}.{name}"),
                format!("the {component} does not receive OTLP"),
                "pin the port of the distributor instead",
            );
        }
    }
}
