//! Which port each endpoint gets.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};

use tempoform_engine::render::{PortRequest, ProcessDefinition, ResolvedPorts};
use tempoform_engine::target::TargetError;

use crate::files::digest;
use crate::process::{command_of, process_ids};

/// Chosen ports lie here: below those that Linux gives to outgoing connections.
const FIRST: u16 = 20_000;
const COUNT: u16 = 12_000;

/// The address of every endpoint: pinned, kept from `former`, or newly chosen. The same machine
/// state gives the same answer, so that a plan shows the ports that an apply will use.
///
/// `is_running` tells whether an instance runs now, and so holds its former ports itself.
pub(crate) fn resolve(
    definitions: &[ProcessDefinition],
    former: &ResolvedPorts,
    seed: &str,
    is_running: impl Fn(&str) -> bool,
) -> Result<ResolvedPorts, TargetError> {
    let mut taken: BTreeSet<u16> = definitions
        .iter()
        .flat_map(|definition| definition.endpoints.values())
        .filter_map(|request| match request {
            PortRequest::Pinned(port) => Some(*port),
            PortRequest::Choose => None,
        })
        .chain(former.0.values().flat_map(|endpoints| endpoints.values().map(SocketAddr::port)))
        .collect();
    let mut resolved = ResolvedPorts::default();
    for definition in definitions {
        let instance = definition.instance.as_str();
        for (endpoint, request) in &definition.endpoints {
            let kept = former
                .get(instance, *endpoint)
                .filter(|address| address.ip() == definition.host)
                .filter(|address| is_running(instance) || is_free(*address));
            let address = match (request, kept) {
                (PortRequest::Pinned(port), _) => SocketAddr::new(definition.host, *port),
                (PortRequest::Choose, Some(address)) => address,
                (PortRequest::Choose, None) => {
                    let address = choose(definition.host, &format!("{seed}/{instance}/{endpoint}"), &taken)?;
                    taken.insert(address.port());
                    address
                }
            };
            resolved.insert(instance, *endpoint, address);
        }
    }
    Ok(resolved)
}

fn choose(host: IpAddr, seed: &str, taken: &BTreeSet<u16>) -> Result<SocketAddr, TargetError> {
    let hash = digest([seed]);
    let start = u32::from_str_radix(&hash[..8], 16).unwrap_or_default();
    let candidates = (0..u32::from(COUNT))
        .filter_map(|step| u16::try_from((start % u32::from(COUNT) + step) % u32::from(COUNT)).ok())
        .map(|offset| SocketAddr::new(host, FIRST + offset))
        .filter(|address| !taken.contains(&address.port()));
    for address in candidates {
        match try_listen(address) {
            Ok(()) => return Ok(address),
            Err(Obstacle::Taken(_)) => {}
            // No other port would do better.
            Err(obstacle) => return Err(obstacle.error(&format!("no port can be chosen on {host}"))),
        }
    }
    Err(TargetError::new(format!("no free port on {host} from {FIRST} to {}", FIRST + COUNT - 1))
        .help("pin ports in the document, or stop what listens there"))
}

/// Why an address cannot be listened on. Displays as the end of a sentence about it.
#[derive(Debug)]
pub(crate) enum Obstacle {
    /// Somebody listens there.
    Taken(SocketAddr),
    /// This user may not.
    Forbidden,
    /// No interface of this machine has the address.
    Elsewhere,
    /// Anything else.
    Other(io::Error),
}

/// Tries whether an address can be listened on, by TCP and by UDP.
pub(crate) fn try_listen(address: SocketAddr) -> Result<(), Obstacle> {
    let tried = TcpListener::bind(address).map(drop).and_then(|()| UdpSocket::bind(address).map(drop));
    tried.map_err(|error| Obstacle::of(address, error))
}

fn is_free(address: SocketAddr) -> bool {
    try_listen(address).is_ok()
}

impl Obstacle {
    fn of(address: SocketAddr, error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::AddrInUse => Self::Taken(address),
            io::ErrorKind::PermissionDenied => Self::Forbidden,
            io::ErrorKind::AddrNotAvailable => Self::Elsewhere,
            _ => Self::Other(error),
        }
    }

    /// The error of what cannot be done because of it.
    pub(crate) fn error(self, what: &str) -> TargetError {
        TargetError::new(format!("{what}: it {self}")).help(match self {
            Self::Taken(_) => "stop that process, or name another port in the document",
            Self::Forbidden => {
                "ports below 1024 need a privilege: name a port above that in the document, or give this \
                 program the capability CAP_NET_BIND_SERVICE"
            }
            Self::Elsewhere => {
                "name an address of this machine in spec.local.listenAddress (`ip address` lists them)"
            }
            Self::Other(_) => "name another address in spec.local.listenAddress, or another port",
        })
    }
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Taken(address) => write!(f, "is taken by {}", owner(*address)),
            Self::Forbidden => f.write_str("may not be listened on by this user"),
            Self::Elsewhere => f.write_str("is no address of this machine"),
            Self::Other(error) => write!(f, "cannot be listened on ({error})"),
        }
    }
}

/// Says who listens on an address, as far as it can be found: `pid 4711 (otelcol --config x)`.
fn owner(address: SocketAddr) -> String {
    match owner_id(address.port()) {
        Some(pid) => {
            let command = command_of(pid).map(|command| format!(" ({command})")).unwrap_or_default();
            format!("pid {pid}{command}")
        }
        None => "another process, perhaps of another user".to_owned(),
    }
}

/// The process that listens on a port.
fn owner_id(port: u16) -> Option<u32> {
    let sockets: BTreeSet<String> = ["tcp", "tcp6", "udp", "udp6"]
        .iter()
        .filter_map(|table| Some((*table, fs::read_to_string(format!("/proc/net/{table}")).ok()?)))
        .flat_map(|(table, text)| listeners(table, &text, port))
        .map(|inode| format!("socket:[{inode}]"))
        .collect();
    if sockets.is_empty() {
        return None;
    }
    process_ids().find(|pid| {
        let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        descriptors
            .filter_map(|descriptor| fs::read_link(descriptor.path()).ok())
            .any(|link| link.to_str().is_some_and(|link| sockets.contains(link)))
    })
}

/// The inodes of sockets that listen on a port, from a table of `/proc/net`.
fn listeners(table: &str, text: &str, port: u16) -> Vec<String> {
    // TCP listens in state 0A, UDP has the one state 07.
    let listening = if table.starts_with("tcp") { "0A" } else { "07" };
    let inode = |line: &str| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let (_, local_port) = fields.get(1)?.rsplit_once(':')?;
        let same = u16::from_str_radix(local_port, 16).ok()? == port && *fields.get(3)? == listening;
        same.then(|| fields.get(9).map(|inode| (*inode).to_owned())).flatten()
    };
    text.lines().skip(1).filter_map(inode).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_owner_of_a_port_is_found() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        assert!(!is_free(address));
        assert_eq!(owner_id(address.port()), Some(std::process::id()));
        assert!(owner(address).starts_with(&format!("pid {} (", std::process::id())), "{}", owner(address));
        drop(listener);
        assert!(is_free(address));
    }

    #[test]
    fn each_obstacle_has_its_own_remedy() {
        let address = "127.0.0.1:80".parse().unwrap();
        let told = |kind: io::ErrorKind| {
            let error = Obstacle::of(address, kind.into()).error("tempo-0 cannot listen on 127.0.0.1:80");
            format!("{error} | {}", error.advice().unwrap())
        };
        assert!(told(io::ErrorKind::PermissionDenied).contains("ports below 1024 need a privilege"));
        assert!(told(io::ErrorKind::AddrNotAvailable).contains("is no address of this machine"));
        assert!(told(io::ErrorKind::AddrInUse).contains("is taken by"));
    }

    #[test]
    fn an_address_of_another_machine_is_not_tried_at_every_port() {
        // Reserved for documentation: no machine has it.
        let error = choose("192.0.2.1".parse().unwrap(), "seed", &BTreeSet::new()).unwrap_err();
        assert_eq!(error.to_string(), "no port can be chosen on 192.0.2.1: it is no address of this machine");
    }

    #[test]
    fn choice_is_stable_and_avoids_what_is_taken() {
        let host = "127.0.0.1".parse().unwrap();
        let first = choose(host, "a/ingester-0/http", &BTreeSet::new()).unwrap();
        assert_eq!(choose(host, "a/ingester-0/http", &BTreeSet::new()).unwrap(), first);
        let second = choose(host, "a/ingester-0/http", &BTreeSet::from([first.port()])).unwrap();
        assert_ne!(first, second);
        let held = TcpListener::bind(second).unwrap();
        let third = choose(host, "a/ingester-0/http", &BTreeSet::from([first.port()])).unwrap();
        assert!(third != first && third != second);
        drop(held);
    }

    #[test]
    fn a_table_line_of_the_kernel_is_read() {
        let text = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   \
                    0: 0100007F:10DD 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 98765 1 0\n   \
                    1: 0100007F:10DD 0100007F:9999 01 00000000:00000000 00:00000000 00000000     0        0 11111 1 0\n";
        assert_eq!(listeners("tcp", text, 4317), ["98765"]);
        assert_eq!(listeners("tcp", text, 4318), Vec::<String>::new());
        assert_eq!(listeners("tcp", "x\ngarbage\n: :\n", 1), Vec::<String>::new());
    }
}
