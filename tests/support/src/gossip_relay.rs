//! A network for gossip that can be parted: UDP relays between processes.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

/// Largest datagram.
const DATAGRAM: usize = 65_507;

/// Relays of all members of a cluster: a member is reached through the relay that stands before it. What a member sends
/// comes from the port it listens on, which tells who it is.
#[derive(Debug, Default)]
pub struct GossipNetwork {
    parted: Arc<Mutex<Parted>>,
    relays: BTreeMap<u16, JoinHandle<()>>,
}

/// The ports of members that reach each other, and nobody else, and are reached by nobody else.
type Parted = BTreeSet<u16>;

impl GossipNetwork {
    /// Puts a relay before the member that listens on `port`; the port of the relay.
    ///
    /// # Errors
    /// When there are no ports.
    pub async fn add(&mut self, port: u16) -> Result<u16> {
        let socket = UdpSocket::bind(local(0)).await?;
        let relay = socket.local_addr()?.port();
        let task = tokio::spawn(relay_to(port, Arc::new(socket), Arc::clone(&self.parted)));
        self.relays.insert(relay, task);
        Ok(relay)
    }

    /// Cuts the members that listen on these ports off from all others.
    pub fn part(&self, ports: impl IntoIterator<Item = u16>) {
        *self.parted.lock().unwrap_or_else(PoisonError::into_inner) = ports.into_iter().collect();
    }
}

impl Drop for GossipNetwork {
    fn drop(&mut self) {
        self.relays.values().for_each(JoinHandle::abort);
    }
}

fn local(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

fn passes(parted: &Mutex<Parted>, one: u16, other: u16) -> bool {
    let parted = parted.lock().unwrap_or_else(PoisonError::into_inner);
    parted.contains(&one) == parted.contains(&other)
}

/// Each sender gets a socket of its own, so that the answers to it can be told from those to others.
async fn relay_to(port: u16, socket: Arc<UdpSocket>, parted: Arc<Mutex<Parted>>) {
    let mut senders: HashMap<SocketAddr, Arc<UdpSocket>> = HashMap::new();
    let mut answers = tokio::task::JoinSet::new();
    let mut datagram = vec![0; DATAGRAM];
    loop {
        // An error tells of an earlier datagram that nobody took; as on any network, it is lost.
        let Ok((length, from)) = socket.recv_from(&mut datagram).await else { continue };
        if !passes(&parted, from.port(), port) {
            continue;
        }
        let out = match senders.get(&from) {
            Some(known) => known,
            None => {
                let Ok(new) = UdpSocket::bind(local(0)).await else { continue };
                let new = Arc::new(new);
                answers.spawn(relay_back(
                    port,
                    from,
                    Arc::clone(&new),
                    Arc::clone(&socket),
                    Arc::clone(&parted),
                ));
                senders.entry(from).or_insert(new)
            }
        };
        drop(out.send_to(&datagram[..length], local(port)).await);
    }
}

async fn relay_back(
    port: u16,
    to: SocketAddr,
    answers: Arc<UdpSocket>,
    socket: Arc<UdpSocket>,
    parted: Arc<Mutex<Parted>>,
) {
    let mut datagram = vec![0; DATAGRAM];
    loop {
        let Ok((length, _)) = answers.recv_from(&mut datagram).await else { continue };
        if passes(&parted, to.port(), port) {
            drop(socket.send_to(&datagram[..length], to).await);
        }
    }
}
