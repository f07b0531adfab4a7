//! Datagrams between processes, which can be divided.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use tokio::net::UdpSocket;

use super::Side;

/// Each process has a socket here, by which the others reach it, and by which its own datagrams reach the others.
pub(super) struct Relay {
    shared: Arc<Shared>,
    /// A socket that takes nothing in, for a process to ask first before there are others.
    seeds: Mutex<Vec<String>>,
}

#[derive(Default)]
struct Shared {
    divided: AtomicBool,
    /// By the process's own address.
    places: Mutex<HashMap<SocketAddr, Place>>,
}

#[derive(Clone)]
struct Place {
    socket: Arc<UdpSocket>,
    side: Side,
}

impl Relay {
    pub(super) async fn new() -> Self {
        Self { shared: Arc::default(), seeds: Mutex::default() }
    }

    /// Ports for a process: the one to listen on, and the one to tell others.
    pub(super) async fn place(&self, side: Side) -> (u16, u16) {
        let free = UdpSocket::bind("127.0.0.1:0").await.expect("a free port");
        let process = free.local_addr().expect("bound");
        drop(free);
        let socket = Arc::new(UdpSocket::bind("127.0.0.1:0").await.expect("a free port"));
        let relayed = socket.local_addr().expect("bound");
        let place = Place { socket, side };
        self.shared.places.lock().expect("not poisoned").insert(process, place.clone());
        self.seeds.lock().expect("not poisoned").push(relayed.to_string());
        tokio::spawn(Arc::clone(&self.shared).pass_on(place, process));
        (process.port(), relayed.port())
    }

    /// All places so far.
    pub(super) fn seeds(&self) -> Vec<String> {
        self.seeds.lock().expect("not poisoned").clone()
    }

    /// Whether nothing passes from one side to the other.
    pub(super) fn divide(&self, divided: bool) {
        self.shared.divided.store(divided, Ordering::SeqCst);
    }
}

impl Shared {
    /// Passes on what comes for `process`, as from its sender's place.
    async fn pass_on(self: Arc<Self>, to: Place, process: SocketAddr) {
        let mut datagram = vec![0; 1 << 16];
        loop {
            // Where nobody listens any more, loopback answers with an error.
            let Ok((length, sender)) = to.socket.recv_from(&mut datagram).await else { continue };
            let sender = self.places.lock().expect("not poisoned").get(&sender).cloned();
            let Some(from) = sender else { continue };
            let apart = matches!((from.side, to.side), (Side::Left, Side::Right) | (Side::Right, Side::Left));
            if !apart || !self.divided.load(Ordering::SeqCst) {
                drop(from.socket.send_to(&datagram[..length], process).await);
            }
        }
    }
}
