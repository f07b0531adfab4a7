//! An OTLP client that sends requests already encoded.

use std::time::Duration;

use bytes::Bytes;
use tempoform_core::push_rpc::RemoteExporter;
use tonic::Status;
use tonic::transport::{ClientTlsConfig, Endpoint};

/// One gRPC connection to a receiver.
#[derive(Clone, Debug)]
pub struct Exporter(RemoteExporter);

impl Exporter {
    /// A connection to `address` (`host:port`); it connects when used.
    ///
    /// # Errors
    /// When that is no address.
    pub fn new(address: &str) -> anyhow::Result<Self> {
        let endpoint = Endpoint::from_shared(format!("http://{address}"))?
            .connect_timeout(Duration::from_secs(5))
            .timeout(Duration::from_secs(30));
        Ok(Self(RemoteExporter::new(endpoint.connect_lazy())))
    }

    /// The same over TLS.
    ///
    /// # Errors
    /// When that is no address, or `tls` cannot be used.
    pub fn with_tls(address: &str, tls: ClientTlsConfig) -> anyhow::Result<Self> {
        let endpoint = Endpoint::from_shared(format!("https://{address}"))?
            .tls_config(tls)?
            .connect_timeout(Duration::from_secs(5))
            .timeout(Duration::from_secs(30));
        Ok(Self(RemoteExporter::new(endpoint.connect_lazy())))
    }

    /// The same connection, sending as a tenant.
    #[must_use]
    pub fn with_tenant(&self, tenant: &str) -> Self {
        Self(self.0.clone().with_tenant(tenant))
    }

    /// Sends one request; `Ok` is the acknowledgement.
    ///
    /// # Errors
    /// The receiver's status.
    pub async fn export(&self, request: Bytes) -> Result<(), Status> {
        self.0.export(request).await
    }
}
