//! Sockets, with errors that name the setting.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::serve::Listener as AxumListener;
use socket2::{SockRef, TcpKeepalive};
use tempoform_core::{Error, ErrorKind, Result};
use tokio::net::{TcpListener, TcpStream, UdpSocket, lookup_host};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::Instant;
use tokio_rustls::server::TlsStream;

use crate::tls::{ServerCertificate, ServerFiles};

/// Longest time for a client to agree on TLS.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Clients that agree on TLS at once, and that have but are not taken on yet.
const HANDSHAKES: usize = 256;
/// Clients that mean it agree on TLS within this time.
const USUAL_HANDSHAKE: Duration = Duration::from_secs(1);

/// How the system finds out that a client has vanished: after so long without a word, asked so often.
const KEEP_ALIVE: TcpKeepalive =
    TcpKeepalive::new().with_time(Duration::from_secs(60)).with_interval(Duration::from_secs(15));

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
    let mut handshakes = Handshakes::default();
    loop {
        // axum's accept waits out errors such as too many open files.
        let (connection, from) = tokio::select! {
            biased;
            () = agreed.closed() => return,
            accepted = AxumListener::accept(&mut socket) => accepted,
        };
        let (acceptor, agreed) = (certificate.acceptor(), agreed.clone());
        let handshake = tokio::spawn(async move {
            // A latency setting; the connection works without.
            drop(connection.set_nodelay(true));
            match tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(connection)).await {
                // The server may have ended meanwhile.
                Ok(Ok(connection)) => drop(agreed.send((connection, from)).await),
                Ok(Err(error)) => tracing::debug!(%from, %error, "a client did not agree on TLS"),
                Err(_) => tracing::debug!(%from, "a client took too long to agree on TLS"),
            }
        });
        if let Some(wait) = handshakes.add(handshake.abort_handle()) {
            tokio::time::sleep(wait).await;
        }
    }
}

/// Clients that agree on TLS, those that came first at the head; some may have ended.
#[derive(Default)]
struct Handshakes(VecDeque<(Instant, AbortHandle)>);

impl Handshakes {
    /// When there are too many, those are cut off that take longer than clients that mean it. Where all of them have just
    /// begun, returns how long to wait before more are accepted.
    fn add(&mut self, handshake: AbortHandle) -> Option<Duration> {
        let mut wait = None;
        if self.0.len() >= HANDSHAKES {
            self.0.retain(|(_, handshake)| !handshake.is_finished());
        }
        if self.0.len() >= HANDSHAKES {
            self.0.retain(|(since, handshake)| {
                let is_slow = since.elapsed() >= USUAL_HANDSHAKE;
                if is_slow {
                    handshake.abort();
                }
                !is_slow
            });
            let oldest = self.0.front().filter(|_| self.0.len() >= HANDSHAKES);
            wait = oldest.map(|(since, _)| USUAL_HANDSHAKE.saturating_sub(since.elapsed()));
        }
        self.0.push_back((Instant::now(), handshake));
        wait
    }
}

async fn bind(endpoint: &str, setting: &str) -> Result<TcpListener> {
    let addresses = addresses(endpoint, setting).await?;
    let socket = TcpListener::bind(addresses.as_slice())
        .await
        .map_err(|error| not_bound(endpoint, setting, &error))?;
    // Connections inherit it. Where it cannot be set, clients that vanish are noticed later.
    drop(SockRef::from(&socket).set_tcp_keepalive(&KEEP_ALIVE));
    Ok(socket)
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

#[cfg(test)]
mod tests {
    use std::io::ErrorKind::WouldBlock;

    use rustls::pki_types::ServerName;
    use tempoform_config::{GrpcClient, ServerTls};
    use tokio_rustls::TlsConnector;

    use super::*;
    use crate::tls::tests::Authority;
    use crate::tls_client::ClientTls;

    #[tokio::test]
    async fn a_crowd_of_silent_clients_holds_up_nobody() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name).display().to_string();
        let authority = Authority::new();
        let (certificate, key) = authority.issue("localhost");
        for (name, text) in [("ca.crt", authority.pem()), ("tls.crt", certificate), ("tls.key", key)] {
            std::fs::write(path(name), text).expect("writable");
        }
        let files =
            ServerTls { cert_file: path("tls.crt"), key_file: path("tls.key"), ..ServerTls::default() };
        let files = ServerFiles::of_server("a test", &files);
        let listener = Listener::bind("127.0.0.1:0", "a test", Some(files), &["h2"]).await.expect("bound");
        let address = listener.local_address().expect("bound");
        let mut listener = TlsListener::new(listener.socket, listener.certificate.expect("with TLS"));

        let mut silent = Vec::new();
        for _ in 0..HANDSHAKES {
            silent.push(TcpStream::connect(address).await.expect("accepted"));
        }
        let settings = GrpcClient { tls_enabled: true, tls_ca_path: path("ca.crt"), ..GrpcClient::default() };
        let config = ClientTls::load(&settings).expect("valid").expect("TLS").config(&["h2"]);
        let connection = TcpStream::connect(address).await.expect("accepted");
        let own = connection.local_addr().expect("connected");
        let name = ServerName::try_from("localhost").expect("a name");
        let connector = TlsConnector::from(Arc::new(config));
        let (agreed, (_, from)) = tokio::join!(connector.connect(name, connection), listener.accept());
        agreed.expect("agreed");
        assert_eq!(from, own);

        // For its sake the first of them was cut off, and none waited until all had been silent for too long.
        silent[0].readable().await.expect("an end");
        assert!(!matches!(silent[0].try_read(&mut [0]), Err(error) if error.kind() == WouldBlock));
        let last = silent[HANDSHAKES - 1].try_read(&mut [0]).expect_err("neither bytes nor the end");
        assert_eq!(last.kind(), WouldBlock);
    }

    #[tokio::test]
    async fn connections_are_kept_alive() {
        let listener = Listener::bind("127.0.0.1:0", "a test", None, &[]).await.expect("bound");
        let address = listener.local_address().expect("bound");
        let (client, accepted) = tokio::join!(TcpStream::connect(address), listener.socket.accept());
        let ((accepted, _), _client) = (accepted.expect("accepted"), client.expect("connected"));
        assert!(SockRef::from(&accepted).keepalive().expect("readable"));
    }
}
