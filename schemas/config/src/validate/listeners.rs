use std::net::IpAddr;

use tempoform_document::Problem;

use super::{missing, wrong};
use crate::{Config, JaegerProtocols, Listening, ListeningLimit, ServerTls, Target};

/// A place this process listens at.
struct Listener {
    path: String,
    host: String,
    port: u16,
    udp: bool,
}

/// Checks addresses, ports and certificates.
pub(super) fn validate(config: &Config) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut listeners = servers(config);
    if config.target.runs(Target::Distributor) {
        listeners.extend(receivers(config, &mut problems));
    }
    problems.extend(occupied_twice(&listeners));
    problems.extend(certificates(config));
    problems.extend(gossip(config));
    problems
}

fn servers(config: &Config) -> Vec<Listener> {
    let server = &config.server;
    let listener = |path: &str, host: &str, port| Listener {
        path: path.to_owned(),
        host: host.to_owned(),
        port,
        udp: false,
    };
    vec![
        listener("server.http_listen_port", &server.http_listen_address, server.http_listen_port),
        listener("server.grpc_listen_port", &server.grpc_listen_address, server.grpc_listen_port),
    ]
}

fn receivers(config: &Config, problems: &mut Vec<Problem>) -> Vec<Listener> {
    let receivers = &config.distributor.receivers;
    if receivers
        .otlp
        .as_ref()
        .is_some_and(|otlp| otlp.protocols.grpc.is_none() && otlp.protocols.http.is_none())
    {
        let path = "distributor.receivers.otlp.protocols";
        problems.push(missing(path, "to have a protocol", "name grpc, http or both"));
    }
    if receivers.jaeger.as_ref().is_some_and(|jaeger| jaeger.protocols == NO_JAEGER) {
        let path = "distributor.receivers.jaeger.protocols";
        let help = "name grpc, thrift_http, thrift_compact or thrift_binary";
        problems.push(missing(path, "to have a protocol", help));
    }
    let mut listeners = Vec::new();
    for receiver in receivers.listening() {
        match listener(&receiver) {
            Ok(listener) => listeners.push(listener),
            Err(problem) => problems.push(problem),
        }
        problems.extend(limit(config, &receiver));
    }
    listeners
}

const NO_JAEGER: JaegerProtocols =
    JaegerProtocols { grpc: None, thrift_http: None, thrift_compact: None, thrift_binary: None };

fn listener(receiver: &Listening<'_>) -> Result<Listener, Problem> {
    let (path, endpoint) = (format!("{}.endpoint", receiver.path), receiver.endpoint);
    match host_and_port(endpoint) {
        Some((host, port)) => {
            let udp = matches!(receiver.limit, ListeningLimit::Datagrams(_));
            Ok(Listener { path, host: host.to_owned(), port, udp })
        }
        None => Err(wrong(&path, "host:port, such as 0.0.0.0:4317", format!("{endpoint:?}"))),
    }
}

fn limit(config: &Config, receiver: &Listening<'_>) -> Option<Problem> {
    let (key, size) = match receiver.limit {
        ListeningLimit::Message(bytes) => ("max_recv_msg_size_mib", bytes),
        ListeningLimit::Body(bytes) => ("max_request_body_size", bytes),
        ListeningLimit::Datagrams(_) if config.multitenancy_enabled => {
            let message = "cannot be used together with multitenancy_enabled: a datagram names no tenant";
            return Some(Problem::new(receiver.path, message).help(
                "take it out, and let clients send to jaeger.protocols.grpc or thrift_http with the header X-Scope-OrgID",
            ));
        }
        ListeningLimit::Datagrams(datagrams) => ("queue_size", datagrams.into()),
    };
    let path = format!("{}.{key}", receiver.path);
    let passed_on = config.server.grpc_server_max_recv_msg_size.0;
    let is_bytes = !matches!(receiver.limit, ListeningLimit::Datagrams(_));
    if size == 0 {
        return Some(wrong(&path, "1 or more", 0));
    }
    (is_bytes && config.target == Target::Distributor && size > passed_on).then(|| {
        let must = format!("at most server.grpc_server_max_recv_msg_size ({passed_on} bytes)");
        wrong(&path, &must, size).help("ingesters would refuse such a request")
    })
}

/// The parts of `host:port`; an IPv6 host is in brackets, an empty one means every address.
fn host_and_port(endpoint: &str) -> Option<(&str, u16)> {
    let (host, port) = endpoint.rsplit_once(':')?;
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    if bare.is_none() && host.contains([':', '/', ' ', '[', ']']) {
        return None;
    }
    Some((bare.unwrap_or(host), port.parse().ok()?))
}

fn occupied_twice(listeners: &[Listener]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (index, listener) in listeners.iter().enumerate() {
        let other = listeners[..index].iter().find(|other| listener.port != 0 && listener.meets(other));
        if let Some(other) = other {
            let message = format!("port {} is used by {} already", listener.port, other.path);
            problems.push(Problem::new(&*listener.path, message).help("choose another port"));
        }
    }
    problems
}

impl Listener {
    fn meets(&self, other: &Self) -> bool {
        let address = |host: &str| match host {
            "localhost" => Some(IpAddr::from([127, 0, 0, 1])),
            host => host.parse().ok(),
        };
        let everywhere = |host: &str| host.is_empty() || address(host).is_some_and(|ip| ip.is_unspecified());
        let same = self.host == other.host
            || (address(&self.host).is_some() && address(&self.host) == address(&other.host));
        self.udp == other.udp
            && self.port == other.port
            && (same || everywhere(&self.host) || everywhere(&other.host))
    }
}

fn certificates(config: &Config) -> Vec<Problem> {
    let server =
        |path: &str, tls: &ServerTls| (path.to_owned(), tls.cert_file.is_empty(), tls.key_file.is_empty());
    let http = config.server.http_tls_config.as_ref().map(|tls| server("server.http_tls_config", tls));
    let grpc = config.server.grpc_tls_config.as_ref().map(|tls| server("server.grpc_tls_config", tls));
    let listening = config.distributor.receivers.listening();
    let receivers = listening.iter().filter_map(|receiver| {
        let tls = receiver.tls?;
        Some((format!("{}.tls", receiver.path), tls.cert_file.is_empty(), tls.key_file.is_empty()))
    });
    let mut problems = Vec::new();
    for (section, no_certificate, no_key) in http.into_iter().chain(grpc).chain(receivers) {
        for (key, empty) in [("cert_file", no_certificate), ("key_file", no_key)] {
            if empty {
                problems.push(missing(&format!("{section}.{key}"), "for TLS", "name a PEM file"));
            }
        }
    }
    problems.extend(client_certificate(config));
    problems
}

fn client_certificate(config: &Config) -> Option<Problem> {
    let client = &config.ingester_client.grpc_client_config;
    let (key, other) = match (client.tls_cert_path.is_empty(), client.tls_key_path.is_empty()) {
        (true, false) => ("tls_cert_path", "tls_key_path"),
        (false, true) => ("tls_key_path", "tls_cert_path"),
        _ => return None,
    };
    let path = format!("ingester_client.grpc_client_config.{key}");
    Some(missing(&path, &format!("with {other}"), "name the PEM files of the certificate and of its key"))
}

fn gossip(config: &Config) -> Vec<Problem> {
    let memberlist = &config.memberlist;
    let mut problems = Vec::new();
    if memberlist.bind_addr.len() > 1 {
        let found = memberlist.bind_addr.join(", ");
        problems.push(wrong("memberlist.bind_addr", "a list of one address", found));
    }
    let addresses = memberlist.bind_addr.iter().map(|address| ("memberlist.bind_addr", address));
    let advertised = Some(("memberlist.advertise_addr", &memberlist.advertise_addr));
    for (path, address) in addresses.chain(advertised.filter(|(_, address)| !address.is_empty())) {
        if address.parse::<IpAddr>().is_err() {
            problems.push(wrong(path, "an IP address", format!("{address:?}")));
        }
    }
    for (index, member) in memberlist.join_members.iter().enumerate() {
        if member.is_empty() {
            problems.push(wrong(&format!("memberlist.join_members[{index}]"), "host:port", "an empty text"));
        }
    }
    problems
}
