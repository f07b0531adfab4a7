//! The OTLP listeners of a distributor.

use tempoform_config::{Config, Target};
use tempoform_core::Result;
use tempoform_core::push_rpc::{Export, ExportServer};
use tempoform_distributor::{Distributor, OtlpGrpc, otlp_http};
use tokio_util::sync::CancellationToken;
use tonic::service::RoutesBuilder;

use std::sync::Arc;

use crate::listen::Listener;
use crate::servers::{self, Servers};
use crate::tls::ServerFiles;

/// Bound before anything starts, so that an occupied port or a missing certificate ends the process at once.
pub(crate) struct Receivers {
    grpc: Option<(Listener, usize)>,
    http: Option<Listener>,
}

impl Receivers {
    /// The receivers that this process has; `None` if it is no distributor.
    pub(crate) async fn bind(config: &Config) -> Result<Option<Self>> {
        if !config.target.runs(Target::Distributor) {
            return Ok(None);
        }
        let protocols = &config.distributor.receivers.otlp.protocols;
        let mut receivers = Self { grpc: None, http: None };
        if let Some(grpc) = &protocols.grpc {
            const SETTING: &str = "distributor.receivers.otlp.protocols.grpc.endpoint";
            let tls = grpc
                .tls
                .as_ref()
                .map(|tls| ServerFiles::of_receiver("distributor.receivers.otlp.protocols.grpc.tls", tls));
            let listener = Listener::bind(&grpc.endpoint, SETTING, tls, servers::GRPC).await?;
            receivers.grpc = Some((listener, grpc.max_recv_msg_size_mib as usize * (1 << 20)));
        }
        if let Some(http) = &protocols.http {
            const SETTING: &str = "distributor.receivers.otlp.protocols.http.endpoint";
            let tls = http
                .tls
                .as_ref()
                .map(|tls| ServerFiles::of_receiver("distributor.receivers.otlp.protocols.http.tls", tls));
            receivers.http = Some(Listener::bind(&http.endpoint, SETTING, tls, servers::HTTP).await?);
        }
        Ok(Some(receivers))
    }

    /// Takes spans in until `until`.
    pub(crate) fn start(self, distributor: Arc<Distributor>, servers: &Servers, until: CancellationToken) {
        let Self { grpc, http } = self;
        if let Some((listener, max_message)) = grpc {
            let mut routes = RoutesBuilder::default();
            let handler = Arc::new(OtlpGrpc(Arc::clone(&distributor)));
            routes.add_service(ExportServer::<Export, _>::new(handler, max_message));
            servers.grpc(listener, routes, until.clone());
        }
        if let Some(listener) = http {
            servers.http(listener, otlp_http(distributor), until);
        }
    }
}
