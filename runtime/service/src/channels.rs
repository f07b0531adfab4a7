//! gRPC connections to other processes, one an address.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tonic::transport::{Channel, ClientTlsConfig, Endpoint};

/// Connections by address, made when first asked for; they connect, and connect again, when used.
#[derive(Debug)]
pub(crate) struct Channels {
    tls: Option<ClientTlsConfig>,
    by_address: Mutex<HashMap<String, Channel>>,
}

impl Channels {
    /// Connections with `tls`, or in clear.
    pub(crate) fn new(tls: Option<ClientTlsConfig>) -> Self {
        Self { tls, by_address: Mutex::default() }
    }

    /// The connection to `address` (`host:port`); `None` if that is no address.
    pub(crate) fn get(&self, address: &str) -> Option<Channel> {
        let mut channels = self.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(channel) = channels.get(address) {
            return Some(channel.clone());
        }
        let endpoint = match &self.tls {
            None => Endpoint::from_shared(format!("http://{address}")).ok()?,
            Some(tls) => {
                Endpoint::from_shared(format!("https://{address}")).ok()?.tls_config(tls.clone()).ok()?
            }
        };
        let channel = endpoint
            .connect_timeout(Duration::from_secs(1))
            .tcp_nodelay(true)
            .initial_stream_window_size(8 << 20)
            .initial_connection_window_size(16 << 20)
            .http2_keep_alive_interval(Duration::from_secs(5))
            .keep_alive_timeout(Duration::from_secs(5))
            .connect_lazy();
        channels.insert(address.to_owned(), channel.clone());
        Some(channel)
    }

    /// Forgets addresses that are not in `used`: processes come and go with new ones.
    pub(crate) fn retain(&self, used: impl Fn(&str) -> bool) {
        let mut channels = self.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        channels.retain(|address, _| used(address));
    }
}
