//! The listeners of a distributor: OTLP, Jaeger, Zipkin.

use std::sync::Arc;

use tempoform_config::{Config, GrpcReceiver, HttpReceiver, ReceiverTls, Target, UdpReceiver};
use tempoform_core::Result;
use tempoform_core::push_rpc::{Export, ExportServer, PostSpans};
use tempoform_distributor::{
    AgentProtocol, Distributor, JaegerGrpc, OtlpGrpc, jaeger_agent, jaeger_http, otlp_http, zipkin_http,
};
use tokio::net::UdpSocket;
use tokio_util::sync::CancellationToken;
use tonic::service::RoutesBuilder;

use crate::listen::{Listener, bind_udp};
use crate::servers::{self, Servers};
use crate::tls::ServerFiles;

/// Bound before anything starts, so that an occupied port or a missing certificate ends the process at once.
#[derive(Default)]
pub(crate) struct Receivers {
    otlp_grpc: Option<Limited<Listener>>,
    otlp_http: Option<Limited<Listener>>,
    jaeger_grpc: Option<Limited<Listener>>,
    jaeger_http: Option<Limited<Listener>>,
    jaeger_agents: Vec<(AgentProtocol, Limited<UdpSocket>)>,
    zipkin: Option<Limited<Listener>>,
}

/// A socket and how much it takes at once: bytes of a request, or datagrams.
struct Limited<T> {
    socket: T,
    limit: usize,
}

impl Receivers {
    /// The receivers that this process has; `None` if it is no distributor.
    pub(crate) async fn bind(config: &Config) -> Result<Option<Self>> {
        if !config.target.runs(Target::Distributor) {
            return Ok(None);
        }
        let named = &config.distributor.receivers;
        let mut receivers = Self::default();
        if let Some(otlp) = &named.otlp {
            const PATH: &str = "distributor.receivers.otlp.protocols";
            receivers.otlp_grpc = grpc(otlp.protocols.grpc.as_ref(), &format!("{PATH}.grpc")).await?;
            receivers.otlp_http = http(otlp.protocols.http.as_ref(), &format!("{PATH}.http")).await?;
        }
        if let Some(jaeger) = &named.jaeger {
            const PATH: &str = "distributor.receivers.jaeger.protocols";
            let protocols = &jaeger.protocols;
            receivers.jaeger_grpc = grpc(protocols.grpc.as_ref(), &format!("{PATH}.grpc")).await?;
            receivers.jaeger_http =
                http(protocols.thrift_http.as_ref(), &format!("{PATH}.thrift_http")).await?;
            for (protocol, settings, key) in [
                (AgentProtocol::Compact, &protocols.thrift_compact, "thrift_compact"),
                (AgentProtocol::Binary, &protocols.thrift_binary, "thrift_binary"),
            ] {
                let bound = udp(settings.as_ref(), &format!("{PATH}.{key}")).await?;
                receivers.jaeger_agents.extend(bound.map(|socket| (protocol, socket)));
            }
        }
        receivers.zipkin = http(named.zipkin.as_ref(), "distributor.receivers.zipkin").await?;
        Ok(Some(receivers))
    }

    /// Takes spans in until `until`.
    pub(crate) fn start(self, distributor: &Arc<Distributor>, servers: &Servers, until: &CancellationToken) {
        let Self { otlp_grpc, otlp_http: otlp, jaeger_grpc, jaeger_http: thrift, jaeger_agents, zipkin } =
            self;
        let distributor = || Arc::clone(distributor);
        if let Some(Limited { socket, limit }) = otlp_grpc {
            let mut routes = RoutesBuilder::default();
            routes.add_service(ExportServer::<Export, _>::new(Arc::new(OtlpGrpc(distributor())), limit));
            servers.grpc(socket, routes, until.clone());
        }
        if let Some(Limited { socket, .. }) = otlp {
            servers.http(socket, otlp_http(distributor()), until.clone());
        }
        if let Some(Limited { socket, limit }) = jaeger_grpc {
            let mut routes = RoutesBuilder::default();
            routes.add_service(ExportServer::<PostSpans, _>::new(Arc::new(JaegerGrpc(distributor())), limit));
            servers.grpc(socket, routes, until.clone());
        }
        if let Some(Limited { socket, limit }) = thrift {
            servers.http(socket, jaeger_http(distributor(), limit), until.clone());
        }
        for (protocol, Limited { socket, limit }) in jaeger_agents {
            let agent = jaeger_agent(distributor(), protocol, socket, limit, until.clone());
            servers.tasks().spawn(agent);
        }
        if let Some(Limited { socket, limit }) = zipkin {
            servers.http(socket, zipkin_http(distributor(), limit), until.clone());
        }
    }
}

async fn grpc(settings: Option<&GrpcReceiver>, path: &str) -> Result<Option<Limited<Listener>>> {
    let Some(GrpcReceiver { endpoint, tls, max_recv_msg_size_mib }) = settings else { return Ok(None) };
    let socket = listen(endpoint, tls.as_ref(), path, servers::GRPC).await?;
    Ok(Some(Limited { socket, limit: *max_recv_msg_size_mib as usize * (1 << 20) }))
}

async fn http(settings: Option<&HttpReceiver>, path: &str) -> Result<Option<Limited<Listener>>> {
    let Some(HttpReceiver { endpoint, tls, max_request_body_size }) = settings else { return Ok(None) };
    let socket = listen(endpoint, tls.as_ref(), path, servers::HTTP).await?;
    Ok(Some(Limited { socket, limit: usize::try_from(max_request_body_size.0).unwrap_or(usize::MAX) }))
}

async fn udp(settings: Option<&UdpReceiver>, path: &str) -> Result<Option<Limited<UdpSocket>>> {
    let Some(UdpReceiver { endpoint, queue_size }) = settings else { return Ok(None) };
    let socket = bind_udp(endpoint, &format!("{path}.endpoint")).await?;
    Ok(Some(Limited { socket, limit: *queue_size as usize }))
}

async fn listen(
    endpoint: &str,
    tls: Option<&ReceiverTls>,
    path: &str,
    protocols: &'static [&'static str],
) -> Result<Listener> {
    let tls = tls.map(|tls| ServerFiles::of_receiver(&format!("{path}.tls"), tls));
    Listener::bind(endpoint, &format!("{path}.endpoint"), tls, protocols).await
}
