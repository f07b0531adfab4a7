//! Ports of pods on this machine, through the API server: who may apply may also look, without a route into the cluster.

use std::net::{Ipv4Addr, SocketAddr};

use k8s_openapi::api::core::v1::Pod;
use kube::Client;
use kube::api::Api;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::AbortOnDropHandle;

/// A port of a pod, reachable for as long as this lives.
#[derive(Debug)]
pub(crate) struct Forward {
    pub(crate) address: SocketAddr,
    _task: AbortOnDropHandle<()>,
}

impl Forward {
    /// Listens on a free port of this machine.
    pub(crate) async fn new(client: Client, namespace: &str, pod: &str, port: u16) -> std::io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let api: Api<Pod> = Api::namespaced(client, namespace);
        let pod = pod.to_owned();
        let task = tokio::spawn(async move {
            // They end with the listener's task.
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((connection, _)) = listener.accept().await {
                connections.spawn(carry(api.clone(), pod.clone(), port, connection));
                while connections.try_join_next().is_some() {}
            }
        });
        Ok(Self { address, _task: AbortOnDropHandle::new(task) })
    }
}

/// One connection. A failure closes it, which the client sees and names.
async fn carry(api: Api<Pod>, pod: String, port: u16, mut connection: TcpStream) {
    let mut forwarder = match api.portforward(&pod, &[port]).await {
        Ok(forwarder) => forwarder,
        Err(error) => {
            tracing::warn!(%pod, port, %error, "a port cannot be forwarded");
            return;
        }
    };
    if let Some(mut stream) = forwarder.take_stream(port) {
        // Ends with either side.
        drop(tokio::io::copy_bidirectional(&mut connection, &mut stream).await);
    }
}
