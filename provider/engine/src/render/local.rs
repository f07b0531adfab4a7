//! A Tempo as processes on one machine.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use tempoform_api::{BLOCKS_FOLDER, Component, ComponentSettings, Problem, Storage, ValidatedTempo};

use super::RenderError;
use super::config::storage::{Source, Variable};
use super::config::{self, Place, Process, Rendered};
use super::flavour::Flavour;
use super::names::Names;
use super::process::{Endpoint, EnvironmentName, OVERRIDES_FILE, PortRequest, ProcessDefinition};

/// The processes, component by component in start order, each component's instances in the order of their numbers.
pub(super) fn processes(tempo: &ValidatedTempo) -> Result<Vec<ProcessDefinition>, RenderError> {
    check(tempo)?;
    let overrides = config::overrides_file(tempo, Flavour::Native)?;
    let mut all = Vec::new();
    for component in START_ORDER {
        let Some(settings) = tempo.component(component) else { continue };
        for number in 0..settings.replicas {
            all.push(process(tempo, settings, number, &overrides)?);
        }
    }
    Ok(all)
}

/// Reads the configurations of all components as the runtime does, and gives what is allowed but not meant.
pub(super) fn check(tempo: &ValidatedTempo) -> Result<Vec<Problem>, RenderError> {
    let first = tempo.components.values().map(|settings| (native(settings), place(tempo, settings, 0)));
    config::check(tempo, first)
}

const START_ORDER: [Component; 7] = [
    Component::Tempo,
    Component::Ingester,
    Component::Retriever,
    Component::Distributor,
    Component::Querier,
    Component::QueryFrontend,
    Component::Compactor,
];

/// Whom a component cannot serve without.
const fn depends_on(component: Component) -> &'static [Component] {
    match component {
        Component::Tempo | Component::Ingester | Component::Retriever | Component::Compactor => &[],
        Component::Distributor => &[Component::Ingester],
        Component::Querier => &[Component::Ingester, Component::Retriever],
        Component::QueryFrontend => &[Component::Querier],
    }
}

fn instance(component: Component, number: u32) -> String {
    format!("{}-{number}", component.kubernetes_name())
}

fn process(
    tempo: &ValidatedTempo,
    settings: &ComponentSettings,
    number: u32,
    overrides: &str,
) -> Result<ProcessDefinition, RenderError> {
    let component = settings.component;
    let name = instance(component, number);
    let Rendered { config, access } =
        config::render(tempo, &native(settings), &place(tempo, settings, number))?;
    Ok(ProcessDefinition {
        component,
        target: component.target().to_owned(),
        extra_args: settings.extra_args.clone(),
        host: settings.local.address,
        config,
        overrides: overrides.to_owned(),
        endpoints: endpoints(tempo, settings, number),
        environment: environment(settings, &access.variables),
        directories: directories(tempo, &name),
        depends_on: depends_on(component).to_vec(),
        stop_grace_seconds: u32::try_from(settings.pod_template.termination_grace_period_seconds)
            .unwrap_or(u32::MAX),
        instance: name,
    })
}

/// Images mean nothing here: the runtime is the one that comes with this program.
fn native(settings: &ComponentSettings) -> Process<'_> {
    Process { component: settings.component, flavour: Flavour::Native, settings }
}

fn place(tempo: &ValidatedTempo, settings: &ComponentSettings, number: u32) -> Place {
    let own = instance(settings.component, number);
    let port = |endpoint: Endpoint| format!("@(port:{own}/{endpoint})").into();
    let address = |endpoint: Endpoint| format!("@(address:{own}/{endpoint})");
    Place {
        address: Some(settings.local.address.to_string()),
        http_port: port(Endpoint::Http),
        grpc_port: port(Endpoint::Grpc),
        gossip_port: port(Endpoint::Gossip),
        otlp_grpc: address(Endpoint::OtlpGrpc),
        otlp_http: address(Endpoint::OtlpHttp),
        cluster_label: Names::new(&tempo.name).cluster_label(Some("local")),
        node_name: own.clone(),
        advertise_address: Some(reachable(settings.local.address).to_string()),
        join_members: seeds(tempo),
        // Messages between processes of one machine cost nothing, and a start waits for a few rounds.
        gossip_interval: Some("200ms"),
        frontend_address: format!("@(address:{}/{})", instance(Component::QueryFrontend, 0), Endpoint::Grpc),
        data: format!("@(state)/{}", data(&own)),
        blocks_root: "@(state)".to_owned(),
        overrides_path: format!("@(state)/{OVERRIDES_FILE}"),
        zone: zone(tempo, settings.component, number),
        states_memory_limit: true,
    }
}

/// The first instance of each component. They stay the same whatever is scaled, so that scaling one component changes
/// the configuration of no other process.
fn seeds(tempo: &ValidatedTempo) -> Vec<String> {
    let processes: u32 = tempo.components.values().map(|settings| settings.replicas).sum();
    let running = tempo.components.values().filter(|settings| settings.replicas > 0 && processes > 1);
    running
        .map(|settings| format!("@(address:{}/{})", instance(settings.component, 0), Endpoint::Gossip))
        .collect()
}

/// Peers cannot call "every address".
fn reachable(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(v4) if v4.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(v6) if v6.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        address => address,
    }
}

fn data(instance: &str) -> String {
    format!("data/{instance}")
}

/// The zone of an ingester, as if each zone were a rack of this machine: dealt out in turns, so that a further
/// ingester moves no other.
fn zone(tempo: &ValidatedTempo, component: Component, number: u32) -> Option<String> {
    let zones = &tempo.replication.zones;
    let index = usize::try_from(number).ok()?.checked_rem(zones.len())?;
    (component == Component::Ingester).then(|| zones[index].name.clone())
}

fn endpoints(
    tempo: &ValidatedTempo,
    settings: &ComponentSettings,
    number: u32,
) -> BTreeMap<Endpoint, PortRequest> {
    let pinned = settings.local.ports;
    // Only the first instance can have a port that the document names.
    let request =
        |port: Option<u16>| port.filter(|_| number == 0).map_or(PortRequest::Choose, PortRequest::Pinned);
    let mut endpoints = BTreeMap::from([
        (Endpoint::Http, request(pinned.http)),
        (Endpoint::Grpc, request(pinned.grpc)),
        (Endpoint::Gossip, PortRequest::Choose),
    ]);
    if settings.component.receives_spans() {
        let receivers = [
            (Endpoint::OtlpGrpc, &tempo.ingestion.otlp_grpc, pinned.otlp_grpc),
            (Endpoint::OtlpHttp, &tempo.ingestion.otlp_http, pinned.otlp_http),
        ];
        let on = receivers.into_iter().filter(|(_, receiver, _)| receiver.is_some());
        endpoints.extend(on.map(|(endpoint, _, port)| (endpoint, request(port))));
    }
    endpoints
}

/// By name; a variable that the document names too is the document's.
fn environment(settings: &ComponentSettings, storage: &[Variable]) -> Vec<EnvironmentName> {
    let own = settings.extra_env.iter().map(|env| EnvironmentName {
        name: env.name.clone(),
        // A reference to a cluster's objects has no meaning here; the variable is then expected to be set.
        value: env.value_from.is_none().then(|| env.value.clone().unwrap_or_default()),
        source: env.name.clone(),
        purpose: format!("extraEnv of {}", settings.component),
    });
    let ours = storage.iter().map(|variable| match &variable.source {
        Source::Literal(value) => {
            (variable.name, Some(value.clone()), variable.name.to_owned(), "set by tempoform".to_owned())
        }
        Source::Environment(source) => {
            (variable.name, None, source.clone(), "credentials of the storage".to_owned())
        }
        Source::Secret { name, key } => {
            (variable.name, None, variable.name.to_owned(), format!("entry {key} of secret {name}"))
        }
    });
    let ours = ours.map(|(name, value, source, purpose)| EnvironmentName {
        name: name.to_owned(),
        value,
        source,
        purpose,
    });
    let by_name: BTreeMap<String, EnvironmentName> =
        ours.chain(own).map(|env| (env.name.clone(), env)).collect();
    by_name.into_values().collect()
}

fn directories(tempo: &ValidatedTempo, instance: &str) -> Vec<String> {
    let mut all = vec![data(instance)];
    if let Storage::Local(local) = &tempo.storage {
        let path = local.path.as_deref().unwrap_or(BLOCKS_FOLDER);
        all.extend((!path.starts_with('/')).then(|| path.to_owned()));
    }
    all
}
