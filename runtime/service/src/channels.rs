//! gRPC connections to other processes, one an address.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::codegen::http::Uri;
use tonic::transport::{Channel, Endpoint};

use crate::servers::GRPC;
use crate::tls_client::ClientTls;

/// Connections by address, made when first asked for; they connect, and connect again, when used.
#[derive(Debug)]
pub(crate) struct Channels {
    tls: Option<Arc<ClientTls>>,
    by_address: Mutex<HashMap<String, Channel>>,
}

impl Channels {
    /// Connections with `tls`, or in clear.
    pub(crate) fn new(tls: Option<Arc<ClientTls>>) -> Self {
        Self { tls, by_address: Mutex::default() }
    }

    /// The connection to `address` (`host:port`); `None` if that is no address.
    pub(crate) fn get(&self, address: &str) -> Option<Channel> {
        let mut channels = self.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(channel) = channels.get(address) {
            return Some(channel.clone());
        }
        let endpoint = Endpoint::from_shared(format!("http://{address}"))
            .ok()?
            .connect_timeout(Duration::from_secs(1))
            .tcp_nodelay(true)
            .initial_stream_window_size(8 << 20)
            .initial_connection_window_size(16 << 20)
            .http2_keep_alive_interval(Duration::from_secs(5))
            .keep_alive_timeout(Duration::from_secs(5));
        let channel = match &self.tls {
            None => endpoint.connect_lazy(),
            // Agreed on by us, as tonic keeps the certificates of the start for ever.
            Some(tls) => {
                let (tls, config) = (Arc::clone(tls), Arc::new(tls.config(GRPC)));
                endpoint
                    .origin(Uri::try_from(format!("https://{address}")).ok()?)
                    .connect_with_connector_lazy(tower::service_fn(move |uri| {
                        let connector = TlsConnector::from(Arc::clone(&config));
                        let tls = Arc::clone(&tls);
                        async move { connect(&tls, &connector, &uri).await.map(TokioIo::new) }
                    }))
            }
        };
        channels.insert(address.to_owned(), channel.clone());
        Some(channel)
    }

    /// Forgets addresses that are not in `used`: processes come and go with new ones.
    pub(crate) fn retain(&self, used: impl Fn(&str) -> bool) {
        let mut channels = self.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        channels.retain(|address, _| used(address));
    }
}

/// A connection to the host and port of `uri` that has agreed on TLS.
async fn connect(
    tls: &ClientTls,
    connector: &TlsConnector,
    uri: &Uri,
) -> Result<TlsStream<TcpStream>, tonic::codegen::StdError> {
    let (Some(host), Some(port)) = (uri.host(), uri.port_u16()) else {
        return Err(format!("{uri} has no host and port").into());
    };
    let host = host.trim_matches(['[', ']']);
    let connection = TcpStream::connect((host, port)).await?;
    connection.set_nodelay(true)?;
    Ok(connector.connect(tls.name_of(host)?, connection).await?)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempoform_config::{GrpcClient, Server, ServerTls};
    use tempoform_core::push_rpc::{ExportServer, RemoteIngester, ToIngester};
    use tempoform_core::{ErrorKind, MemoryBudget, Push, PushOutcome, Result, SpanBatch, SpanSink, TenantId};
    use tokio_util::sync::CancellationToken;
    use tonic::service::RoutesBuilder;

    use super::*;
    use crate::ingester_rpc::IngesterRpc;
    use crate::listen::Listener;
    use crate::servers::Servers;
    use crate::tls::ServerFiles;
    use crate::tls::tests::Authority;

    /// Takes all spans.
    struct Takes;

    #[async_trait::async_trait]
    impl SpanSink for Takes {
        async fn push(&self, _: &TenantId, push: Push) -> Result<Vec<PushOutcome>> {
            Ok(vec![PushOutcome::default(); push.led.len()])
        }
    }

    #[tokio::test]
    async fn calls_agree_on_tls_with_the_certificates_of_both_sides() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name).display().to_string();
        let authority = Authority::new();
        fs::write(path("ca.crt"), authority.pem()).expect("writable");
        for name in ["tempo.local", "a client"] {
            let (certificate, key) = authority.issue(name);
            fs::write(path(&format!("{name}.crt")), certificate).expect("writable");
            fs::write(path(&format!("{name}.key")), key).expect("writable");
        }
        let files = ServerTls {
            cert_file: path("tempo.local.crt"),
            key_file: path("tempo.local.key"),
            client_ca_file: path("ca.crt"),
        };
        let files = ServerFiles::of_server("a test", &files);
        let listener = Listener::bind("127.0.0.1:0", "a test", Some(files), GRPC).await.expect("bound");
        let address = listener.local_address().expect("bound").to_string();
        let mut routes = RoutesBuilder::default();
        let handler = Arc::new(IngesterRpc::new(Arc::new(Takes), MemoryBudget::new(1 << 20)));
        routes.add_service(ExportServer::<ToIngester, _>::new(handler, 1 << 20));
        Servers::new(&Server::default()).grpc(listener, routes, CancellationToken::new());

        let named = GrpcClient {
            tls_enabled: true,
            tls_ca_path: path("ca.crt"),
            tls_server_name: "tempo.local".to_owned(),
            ..GrpcClient::default()
        };
        let known = GrpcClient {
            tls_cert_path: path("a client.crt"),
            tls_key_path: path("a client.key"),
            ..named.clone()
        };
        let push = async |settings: &GrpcClient| {
            let channels = Channels::new(ClientTls::load(settings).expect("valid"));
            let ingester = RemoteIngester::new(channels.get(&address).expect("an address"));
            let pushed = ingester.push(&TenantId::single(), SpanBatch::default().into()).await;
            pushed.map(|outcomes| outcomes.len()).map_err(|error| error.kind())
        };
        assert_eq!(push(&known).await, Ok(1));
        assert_eq!(push(&named).await, Err(ErrorKind::Unavailable), "without a certificate");
        let elsewhere = GrpcClient { tls_server_name: "other.local".to_owned(), ..known };
        assert_eq!(push(&elsewhere).await, Err(ErrorKind::Unavailable), "another server than expected");
    }
}
