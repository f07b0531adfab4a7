use std::net::IpAddr;

use tempoform_document::Problem;

use super::{missing, wrong};
use crate::{Config, ReceiverTls, ServerTls, Target};

/// A place this process listens at.
struct Listener {
    path: &'static str,
    host: String,
    port: u16,
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
    let listener = |path, host: &str, port| Listener { path, host: host.to_owned(), port };
    vec![
        listener("server.http_listen_port", &server.http_listen_address, server.http_listen_port),
        listener("server.grpc_listen_port", &server.grpc_listen_address, server.grpc_listen_port),
    ]
}

fn receivers(config: &Config, problems: &mut Vec<Problem>) -> Vec<Listener> {
    const GRPC: &str = "distributor.receivers.otlp.protocols.grpc.endpoint";
    const HTTP: &str = "distributor.receivers.otlp.protocols.http.endpoint";
    let protocols = &config.distributor.receivers.otlp.protocols;
    let grpc = protocols.grpc.as_ref().map(|grpc| (GRPC, &grpc.endpoint));
    let http = protocols.http.as_ref().map(|http| (HTTP, &http.endpoint));
    if grpc.is_none() && http.is_none() {
        let path = "distributor.receivers.otlp.protocols";
        problems.push(missing(path, "to have a protocol", "name grpc, http or both"));
    }
    let mut listeners = Vec::new();
    for (path, endpoint) in [grpc, http].into_iter().flatten() {
        match host_and_port(endpoint) {
            Some((host, port)) => listeners.push(Listener { path, host: host.to_owned(), port }),
            None => problems.push(wrong(path, "host:port, such as 0.0.0.0:4317", format!("{endpoint:?}"))),
        }
    }
    for (path, size) in [
        (
            "distributor.receivers.otlp.protocols.grpc.max_recv_msg_size_mib",
            protocols.grpc.as_ref().map(|grpc| u64::from(grpc.max_recv_msg_size_mib) << 20),
        ),
        (
            "distributor.receivers.otlp.protocols.http.max_request_body_size",
            protocols.http.as_ref().map(|http| http.max_request_body_size.0),
        ),
    ] {
        let passed_on = config.server.grpc_server_max_recv_msg_size.0;
        match size {
            Some(0) => problems.push(wrong(path, "1 or more", 0)),
            Some(size) if config.target == Target::Distributor && size > passed_on => {
                let must = format!("at most server.grpc_server_max_recv_msg_size ({passed_on} bytes)");
                problems.push(wrong(path, &must, size).help("ingesters would refuse such a request"));
            }
            _ => {}
        }
    }
    listeners
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
            problems.push(Problem::new(listener.path, message).help("choose another port"));
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
        self.port == other.port && (same || everywhere(&self.host) || everywhere(&other.host))
    }
}

fn certificates(config: &Config) -> Vec<Problem> {
    let protocols = &config.distributor.receivers.otlp.protocols;
    let server = |tls: &ServerTls| [tls.cert_file.is_empty(), tls.key_file.is_empty()];
    let receiver = |tls: &ReceiverTls| [tls.cert_file.is_empty(), tls.key_file.is_empty()];
    let sections = [
        ("server.http_tls_config", config.server.http_tls_config.as_ref().map(server)),
        ("server.grpc_tls_config", config.server.grpc_tls_config.as_ref().map(server)),
        (
            "distributor.receivers.otlp.protocols.grpc.tls",
            protocols.grpc.as_ref().and_then(|grpc| grpc.tls.as_ref()).map(receiver),
        ),
        (
            "distributor.receivers.otlp.protocols.http.tls",
            protocols.http.as_ref().and_then(|http| http.tls.as_ref()).map(receiver),
        ),
    ];
    let mut problems = Vec::new();
    for (section, empty) in sections {
        for (key, empty) in ["cert_file", "key_file"].into_iter().zip(empty.into_iter().flatten()) {
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
