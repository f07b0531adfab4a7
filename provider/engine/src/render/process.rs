//! What a target that runs plain processes needs to know about each of them.
//!
//! A definition is complete but for what only the machine can tell: the ports that the document leaves open and the
//! state directory. They stand in the configuration as placeholders, so that definitions can be compared and planned
//! before a port is chosen; [`ProcessDefinition::resolve`] puts the values in.
//!
//! | placeholder | becomes |
//! |---|---|
//! | `@(port:INSTANCE/ENDPOINT)` | the port, a number |
//! | `@(address:INSTANCE/ENDPOINT)` | `host:port` |
//! | `@(state)` | the state directory |

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tempoform_api::Component;
use thiserror::Error;

/// Where [`ProcessDefinition::overrides`] is kept, below the state directory.
pub const OVERRIDES_FILE: &str = "config/overrides.yaml";

/// One address of a process. The serialised names are those of `tempoform status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Endpoint {
    /// Query API, readiness and metrics.
    Http,
    /// gRPC between components.
    Grpc,
    /// OTLP over gRPC.
    OtlpGrpc,
    /// OTLP over HTTP.
    OtlpHttp,
    /// Membership gossip (UDP).
    Gossip,
}

impl Endpoint {
    /// Every endpoint.
    pub const ALL: [Self; 5] = [Self::Http, Self::Grpc, Self::OtlpGrpc, Self::OtlpHttp, Self::Gossip];

    /// The key in `tempoform status`: `otlpGrpc`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Grpc => "grpc",
            Self::OtlpGrpc => "otlpGrpc",
            Self::OtlpHttp => "otlpHttp",
            Self::Gossip => "gossip",
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Which port an endpoint listens on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum PortRequest {
    /// The document names the port: it is this one or the process cannot run.
    Pinned(u16),
    /// The target chooses a free port at the first apply and keeps it.
    Choose,
}

/// An environment variable that the process needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EnvironmentName {
    /// The variable's name.
    pub name: String,
    /// The value when the document gives it; `None` is to be taken from the environment of `tempoform` itself.
    pub value: Option<String>,
    /// The variable of `tempoform`'s environment that has the value when `value` is `None`; mostly the same name.
    pub source: String,
    /// What the value is, in words, for the message when it is absent: `key access_key_id of secret tempo-s3`.
    pub purpose: String,
}

/// A process of a Tempo, as a target of plain processes runs it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProcessDefinition {
    /// What it is.
    pub component: Component,
    /// Its name among all processes of this Tempo: `ingester-0`; `tempo-0` for a single binary.
    pub instance: String,
    /// The value of the runtime's `-target` flag.
    pub target: String,
    /// Command-line arguments of the document's own, after ours.
    pub extra_args: Vec<String>,
    /// The address that listeners bind to and peers connect to: `127.0.0.1`.
    pub host: std::net::IpAddr,
    /// The runtime's configuration, with placeholders.
    pub config: Value,
    /// The text of the file with the limits of single tenants, which `config` refers to as
    /// [`OVERRIDES_FILE`] in the state directory. Every process of a Tempo has the same, and reads it again while it
    /// runs: a change restarts nothing.
    pub overrides: String,
    /// The endpoints that it listens on.
    pub endpoints: BTreeMap<Endpoint, PortRequest>,
    /// Environment variables, in the order of their names.
    pub environment: Vec<EnvironmentName>,
    /// Directories below the state directory that must exist before it starts: `data/ingester-0`.
    pub directories: Vec<String>,
    /// The components that are started, and awaited, before this one.
    pub depends_on: Vec<Component>,
    /// How long, in seconds, it may take to flush and stop when asked to.
    pub stop_grace_seconds: u32,
}

/// The addresses that the instances of a Tempo got.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ResolvedPorts(pub BTreeMap<String, BTreeMap<Endpoint, SocketAddr>>);

impl ResolvedPorts {
    /// The address of an instance's endpoint.
    #[must_use]
    pub fn get(&self, instance: &str, endpoint: Endpoint) -> Option<SocketAddr> {
        self.0.get(instance)?.get(&endpoint).copied()
    }

    /// Remembers the address of an instance's endpoint.
    pub fn insert(&mut self, instance: &str, endpoint: Endpoint, address: SocketAddr) {
        self.0.entry(instance.to_owned()).or_default().insert(endpoint, address);
    }
}

/// A definition names an address that no instance has.
#[derive(Debug, Error, PartialEq, Eq)]
#[error(
    "configuration of {instance} refers to {reference}, for which no port was chosen; choose a port for every endpoint of every instance before resolving"
)]
pub struct ResolveError {
    /// The process whose configuration it is.
    pub instance: String,
    /// `INSTANCE/ENDPOINT` as it stands in the placeholder.
    pub reference: String,
}

impl ProcessDefinition {
    /// The configuration file's text, as YAML, with `ports` and `state` (the state directory) put in.
    ///
    /// # Errors
    /// When a placeholder names an endpoint that `ports` does not have.
    pub fn resolve(&self, ports: &ResolvedPorts, state: &Path) -> Result<String, ResolveError> {
        let mut config = self.config.clone();
        let address = |instance: &str, endpoint| ports.get(instance, endpoint);
        Resolver { instance: &self.instance, address: &address, state: &state.to_string_lossy() }
            .value(&mut config)?;
        Ok(super::yaml::to_string(&config))
    }
}

/// The configuration with something in the place of each placeholder that is legal there.
pub(super) fn with_examples(mut config: Value) -> Value {
    let address = |_: &str, endpoint: Endpoint| {
        let number = Endpoint::ALL.into_iter().zip(1024..).find(|(e, _)| *e == endpoint);
        number.map(|(_, port)| SocketAddr::from(([127, 0, 0, 1], port)))
    };
    // A reference to no endpoint at all stays as it is, and is refused where it stands.
    let _ = Resolver { instance: "", address: &address, state: "/state" }.value(&mut config);
    config
}

struct Resolver<'a> {
    instance: &'a str,
    address: &'a dyn Fn(&str, Endpoint) -> Option<SocketAddr>,
    state: &'a str,
}

impl Resolver<'_> {
    fn value(&self, value: &mut Value) -> Result<(), ResolveError> {
        match value {
            Value::Object(map) => map.values_mut().try_for_each(|v| self.value(v)),
            Value::Array(list) => list.iter_mut().try_for_each(|v| self.value(v)),
            Value::String(text) if text.contains("@(") => {
                *value = self.text(text)?;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn text(&self, text: &str) -> Result<Value, ResolveError> {
        if let Some(reference) = text.strip_prefix("@(port:").and_then(|t| t.strip_suffix(')')) {
            return Ok(self.address(reference)?.port().into());
        }
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(start) = rest.find("@(") {
            let (before, placeholder) = rest.split_at(start);
            out.push_str(before);
            let Some(end) = placeholder.find(')') else {
                rest = placeholder;
                break;
            };
            match &placeholder[2..end] {
                "state" => out.push_str(self.state),
                name => match name.split_once(':') {
                    Some(("address", reference)) => out.push_str(&self.address(reference)?.to_string()),
                    Some(("port", reference)) => out.push_str(&self.address(reference)?.port().to_string()),
                    // Not ours: a value of the user's own that only looks alike.
                    _ => out.push_str(&placeholder[..=end]),
                },
            }
            rest = &placeholder[end + 1..];
        }
        out.push_str(rest);
        Ok(Value::String(out))
    }

    fn address(&self, reference: &str) -> Result<SocketAddr, ResolveError> {
        reference
            .split_once('/')
            .and_then(|(instance, endpoint)| {
                let endpoint = Endpoint::ALL.into_iter().find(|e| e.name() == endpoint)?;
                (self.address)(instance, endpoint)
            })
            .ok_or_else(|| ResolveError {
                instance: self.instance.to_owned(),
                reference: reference.to_owned(),
            })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn definition(config: Value) -> ProcessDefinition {
        ProcessDefinition {
            component: Component::Ingester,
            instance: "ingester-0".into(),
            target: "ingester".into(),
            extra_args: vec![],
            host: [127, 0, 0, 1].into(),
            config,
            overrides: String::new(),
            endpoints: [(Endpoint::Gossip, PortRequest::Choose)].into(),
            environment: vec![],
            directories: vec![],
            depends_on: vec![],
            stop_grace_seconds: 30,
        }
    }

    #[test]
    fn placeholders_become_ports_addresses_and_paths() {
        let mut ports = ResolvedPorts::default();
        ports.insert("ingester-0", Endpoint::Gossip, ([127, 0, 0, 1], 4001).into());
        ports.insert("ingester-1", Endpoint::Gossip, ([127, 0, 0, 1], 4002).into());
        let text = definition(json!({
            "memberlist": {
                "bind_port": "@(port:ingester-0/gossip)",
                "join_members": ["@(address:ingester-0/gossip)", "@(address:ingester-1/gossip)"],
            },
            "path": "@(state)/data/@(unknown) @(open",
        }))
        .resolve(&ports, Path::new("/state"))
        .unwrap();
        let value: Value = serde_saphyr::from_str(&text).unwrap();
        assert_eq!(
            value,
            json!({
                "memberlist": {"bind_port": 4001, "join_members": ["127.0.0.1:4001", "127.0.0.1:4002"]},
                "path": "/state/data/@(unknown) @(open",
            })
        );
    }

    #[test]
    fn a_missing_port_is_named() {
        let error = definition(json!("@(port:querier-0/http)"))
            .resolve(&ResolvedPorts::default(), Path::new("/state"))
            .unwrap_err();
        assert_eq!(error.reference, "querier-0/http");
        assert_eq!(error.instance, "ingester-0");
    }
}
