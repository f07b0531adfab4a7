//! The servers of a process, with and without TLS.

use std::time::{Duration, Instant};

use axum::Router;
use tempoform_config::Server as Settings;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::service::RoutesBuilder;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;

use crate::listen::{Listener, TlsListener};

/// What clients of an HTTP listener may choose by ALPN.
pub(crate) const HTTP: &[&str] = &["h2", "http/1.1"];
/// What clients of a gRPC listener may choose by ALPN.
pub(crate) const GRPC: &[&str] = &["h2"];

/// Starts servers and waits for them at the end.
pub(crate) struct Servers {
    tasks: TaskTracker,
    max_streams: u32,
}

impl Servers {
    pub(crate) fn new(settings: &Settings) -> Self {
        Self { tasks: TaskTracker::new(), max_streams: settings.grpc_server_max_concurrent_streams }
    }

    /// Tasks that end with the servers.
    pub(crate) fn tasks(&self) -> &TaskTracker {
        &self.tasks
    }

    /// Waits until all have ended, or until `deadline`.
    pub(crate) async fn drained(&self, deadline: Instant) {
        self.tasks.close();
        if tokio::time::timeout_at(deadline.into(), self.tasks.wait()).await.is_err() {
            tracing::warn!("some connections were still open and are cut");
        }
    }

    pub(crate) fn http(&self, listener: Listener, router: Router, until: CancellationToken) {
        let Listener { socket, certificate } = listener;
        let stop = until.clone().cancelled_owned();
        match certificate {
            None => {
                self.spawn("HTTP", axum::serve(socket, router).with_graceful_shutdown(stop).into_future())
            }
            Some(certificate) => {
                self.tasks.spawn(until_cancelled(until, std::sync::Arc::clone(&certificate).follow()));
                let listener = TlsListener::new(socket, certificate);
                self.spawn("HTTPS", axum::serve(listener, router).with_graceful_shutdown(stop).into_future());
            }
        }
    }

    pub(crate) fn grpc(&self, listener: Listener, routes: RoutesBuilder, until: CancellationToken) {
        let Listener { socket, certificate } = listener;
        // Large windows: an exporter's batch comes in one go instead of window by window.
        let server = Server::builder()
            .initial_stream_window_size(8 << 20)
            .initial_connection_window_size(16 << 20)
            .max_frame_size(1 << 20)
            .max_concurrent_streams(self.max_streams)
            .http2_keepalive_interval(Some(Duration::from_secs(30)))
            .add_routes(routes.routes());
        let stop = until.clone().cancelled_owned();
        match certificate {
            None => {
                let incoming = TcpIncoming::from(socket).with_nodelay(Some(true));
                self.spawn("gRPC", server.serve_with_incoming_shutdown(incoming, stop));
            }
            Some(certificate) => {
                self.tasks.spawn(until_cancelled(until, std::sync::Arc::clone(&certificate).follow()));
                let incoming = TlsListener::new(socket, certificate).into_stream();
                self.spawn("gRPC over TLS", server.serve_with_incoming_shutdown(incoming, stop));
            }
        }
    }

    fn spawn<E: std::fmt::Display>(
        &self,
        kind: &'static str,
        server: impl Future<Output = Result<(), E>> + Send + 'static,
    ) {
        self.tasks.spawn(async move {
            if let Err(error) = server.await {
                tracing::error!(%error, kind, "a server failed");
            }
        });
    }
}

/// Runs `task` until it ends or `until` is cancelled.
pub(crate) async fn until_cancelled(until: CancellationToken, task: impl Future<Output = ()>) {
    tokio::select! {
        biased;
        () = until.cancelled() => {}
        () = task => {}
    }
}
