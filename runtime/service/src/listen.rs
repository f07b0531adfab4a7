//! Sockets, with errors that name the setting.

use std::net::SocketAddr;

use std::sync::Arc;
use std::time::Duration;

use axum::serve::Listener as AxumListener;
use tempoform_core::{Error, ErrorKind, Result};
use tokio::net::{TcpListener, TcpStream, UdpSocket, lookup_host};
use tokio::sync::{Semaphore, mpsc};
use tokio_rustls::server::TlsStream;

use crate::tls::{ServerCertificate, ServerFiles};

/// Longest time for a client to agree on TLS.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Clients that agree on TLS at once, and that have but are not taken on yet.
const HANDSHAKES: usize = 256;

/// A bound socket, with a certificate if its connections are encrypted.
pub(crate) struct Listener {
    pub(crate) socket: TcpListener,
    pub(crate) certificate: Option<Arc<ServerCertificate>>,
}

impl Listener {
    /// Listens on `endpoint` (`host:port`); `setting` is where that was configured. With `tls`, clients may choose
    /// among the application `protocols`.
    pub(crate) async fn bind(
        endpoint: &str,
        setting: &str,
        tls: Option<ServerFiles>,
        protocols: &'static [&'static str],
    ) -> Result<Self> {
        let certificate = tls.map(|files| ServerCertificate::load(files, protocols)).transpose()?;
        Ok(Self { socket: bind(endpoint, setting).await?, certificate })
    }

    pub(crate) fn local_address(&self) -> Result<SocketAddr> {
        self.socket.local_addr().map_err(|error| {
            Error::new(ErrorKind::Internal, format!("a listener without an address: {error}"))
        })
    }
}

/// Connections that have agreed on TLS. A slow or wrong client holds up nobody else.
pub(crate) struct TlsListener {
    agreed: mpsc::Receiver<(TlsStream<TcpStream>, SocketAddr)>,
    address: std::io::Result<SocketAddr>,
}

impl TlsListener {
    pub(crate) fn new(socket: TcpListener, certificate: Arc<ServerCertificate>) -> Self {
        let address = socket.local_addr();
        let (sender, agreed) = mpsc::channel(HANDSHAKES);
        tokio::spawn(accept(socket, certificate, sender));
        Self { agreed, address }
    }

    /// The connections, for a gRPC server.
    pub(crate) fn into_stream(self) -> impl futures::Stream<Item = std::io::Result<TlsStream<TcpStream>>> {
        futures::stream::unfold(self.agreed, async |mut agreed| {
            let (connection, _) = agreed.recv().await?;
            Some((Ok(connection), agreed))
        })
    }
}

impl AxumListener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        match self.agreed.recv().await {
            Some(connection) => connection,
            // Its task ends only with this listener.
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        match &self.address {
            Ok(address) => Ok(*address),
            Err(error) => Err(std::io::Error::new(error.kind(), error.to_string())),
        }
    }
}

/// Takes connections until nobody wants them.
async fn accept(
    mut socket: TcpListener,
    certificate: Arc<ServerCertificate>,
    agreed: mpsc::Sender<(TlsStream<TcpStream>, SocketAddr)>,
) {
    let places = Arc::new(Semaphore::new(HANDSHAKES));
    loop {
        // axum's accept waits out errors such as too many open files.
        let (connection, from) = tokio::select! {
            biased;
            () = agreed.closed() => return,
            accepted = AxumListener::accept(&mut socket) => accepted,
        };
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let (acceptor, agreed) = (certificate.acceptor(), agreed.clone());
        tokio::spawn(async move {
            let _place = place;
            // A latency setting; the connection works without.
            drop(connection.set_nodelay(true));
            match tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(connection)).await {
                // The server may have ended meanwhile.
                Ok(Ok(connection)) => drop(agreed.send((connection, from)).await),
                Ok(Err(error)) => tracing::debug!(%from, %error, "a client did not agree on TLS"),
                Err(_) => tracing::debug!(%from, "a client took too long to agree on TLS"),
            }
        });
    }
}

async fn bind(endpoint: &str, setting: &str) -> Result<TcpListener> {
    let addresses = addresses(endpoint, setting).await?;
    TcpListener::bind(addresses.as_slice()).await.map_err(|error| not_bound(endpoint, setting, &error))
}

/// Takes datagrams at `endpoint` (`host:port`); `setting` is where that was configured.
pub(crate) async fn bind_udp(endpoint: &str, setting: &str) -> Result<UdpSocket> {
    let addresses = addresses(endpoint, setting).await?;
    UdpSocket::bind(addresses.as_slice()).await.map_err(|error| not_bound(endpoint, setting, &error))
}

/// An empty host is every interface.
async fn addresses(endpoint: &str, setting: &str) -> Result<Vec<SocketAddr>> {
    let named = if endpoint.starts_with(':') { format!("0.0.0.0{endpoint}") } else { endpoint.to_owned() };
    let found = lookup_host(named).await.map_err(|error| {
        Error::new(ErrorKind::Invalid, format!("{setting}: {endpoint:?} is no address: {error}"))
    })?;
    Ok(found.collect())
}

fn not_bound(endpoint: &str, setting: &str, error: &std::io::Error) -> Error {
    let help = match error.kind() {
        std::io::ErrorKind::AddrInUse => "; another process listens there: stop it or choose another port",
        std::io::ErrorKind::PermissionDenied => "; ports below 1024 need a privilege: choose another port",
        _ => "",
    };
    let message = format!("{setting}: could not listen on {endpoint}: {error}{help}");
    Error::new(ErrorKind::Unavailable, message)
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
