//! Ports for the processes that tests start.

use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::sync::atomic::{AtomicU16, Ordering};

use anyhow::{Context as _, Result};

/// Below those that Linux gives to outgoing connections: such a connection would take the port of a process that is
/// restarted.
const FIRST: u16 = 10_240;
const COUNT: u16 = 20_000;

/// A port that is free now for TCP and for UDP, and that this process has not given out before.
///
/// # Errors
/// When there is none.
pub fn free_port() -> Result<u16> {
    /// Ports given out, and found taken, so far.
    static TRIED: AtomicU16 = AtomicU16::new(0);
    // Test processes that run at the same time start in different places.
    let start = std::process::id().wrapping_mul(97);
    (0..COUNT)
        .map(|_| {
            let tried = u32::from(TRIED.fetch_add(1, Ordering::Relaxed));
            FIRST + (start.wrapping_add(tried) % u32::from(COUNT)) as u16
        })
        .find(|port| {
            let address = (Ipv4Addr::LOCALHOST, *port);
            TcpListener::bind(address).is_ok() && UdpSocket::bind(address).is_ok()
        })
        .with_context(|| {
            format!("no port from {FIRST} to {} is free for both TCP and UDP", FIRST + COUNT - 1)
        })
}
