//! Sockets, with errors that name the setting.

use std::net::SocketAddr;

use tempoform_core::{Error, ErrorKind, Result};
use tokio::net::{TcpListener, lookup_host};

/// Listens on `endpoint` (`host:port`); `setting` is where that was configured.
pub(crate) async fn bind(endpoint: &str, setting: &str) -> Result<TcpListener> {
    let addresses: Vec<SocketAddr> = lookup_host(endpoint)
        .await
        .map_err(|error| {
            Error::new(ErrorKind::Invalid, format!("{setting}: {endpoint:?} is no address: {error}"))
        })?
        .collect();
    TcpListener::bind(addresses.as_slice()).await.map_err(|error| {
        let help = match error.kind() {
            std::io::ErrorKind::AddrInUse => {
                "; another process listens there: stop it or choose another port"
            }
            std::io::ErrorKind::PermissionDenied => {
                "; ports below 1024 need a privilege: choose another port"
            }
            _ => "",
        };
        Error::new(
            ErrorKind::Unavailable,
            format!("{setting}: could not listen on {endpoint}: {error}{help}"),
        )
    })
}

/// `host:port` of a server; an empty host is every interface.
pub(crate) fn endpoint(host: &str, port: u16) -> String {
    let host = if host.is_empty() { "0.0.0.0" } else { host };
    if host.contains(':') && !host.starts_with('[') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}
