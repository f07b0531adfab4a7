//! Jaeger's agent: Thrift in UDP datagrams. Nobody hears of a refusal, so each is counted, and told in the log now
//! and then.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tempoform_core::{Error, Reservation};
use tempoform_translate::Format;
use tokio::net::UdpSocket;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::complaints::Complaints;
use crate::distributor::Distributor;
use crate::source::Source;

/// The longest datagram that there is.
const LONGEST: usize = 65_535;
/// Wait after a socket's error, which may come again at once.
const PAUSE: Duration = Duration::from_millis(100);

/// Thrift's protocols in datagrams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AgentProtocol {
    /// Compact, by default on port 6831.
    Compact,
    /// Binary, by default on port 6832.
    Binary,
}

/// Takes datagrams in until `until`; then ends with those that it has. At most `queue_size` are worked on at once, the
/// others are dropped.
pub async fn jaeger_agent(
    distributor: Arc<Distributor>,
    protocol: AgentProtocol,
    socket: UdpSocket,
    queue_size: usize,
    until: CancellationToken,
) {
    let (format, source) = match protocol {
        AgentProtocol::Compact => (Format::JaegerAgentCompact, Source::JAEGER_COMPACT),
        AgentProtocol::Binary => (Format::JaegerAgentBinary, Source::JAEGER_BINARY),
    };
    let agent = Arc::new(Agent { distributor, format, source, complaints: Complaints::default() });
    let places = Arc::new(Semaphore::new(queue_size.min(Semaphore::MAX_PERMITS)));
    let tasks = TaskTracker::new();
    let mut buffer = vec![0; LONGEST];
    loop {
        let received = tokio::select! {
            biased;
            () = until.cancelled() => break,
            received = socket.recv(&mut buffer) => received,
        };
        let length = match received {
            Ok(length) => length,
            Err(error) => {
                agent.complain("socket", &error);
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let Ok(queued) = Arc::clone(&places).try_acquire_owned() else {
            agent.distributor.refuse("queue_full", source);
            agent.complain("queue_full", &"queue_size datagrams are worked on already");
            continue;
        };
        let Some(place) = agent.admit(length) else { continue };
        let datagram = Bytes::copy_from_slice(&buffer[..length]);
        let agent = Arc::clone(&agent);
        tasks.spawn(async move {
            agent.take(datagram, place).await;
            drop(queued);
        });
    }
    tasks.close();
    tasks.wait().await;
}

struct Agent {
    distributor: Arc<Distributor>,
    format: Format,
    source: Source,
    complaints: Complaints,
}

impl Agent {
    fn complain(&self, reason: &'static str, error: &dyn std::fmt::Display) {
        let transport = self.source.transport;
        self.complaints
            .tell(|untold| tracing::warn!(reason, transport, untold, %error, "a datagram was dropped"));
    }

    fn admit(&self, length: usize) -> Option<Reservation> {
        let place = self.distributor.admit(length as u64);
        place
            .inspect_err(|error| {
                self.distributor.refuse("inflight_bytes", self.source);
                self.complain("inflight_bytes", error);
            })
            .ok()
    }

    async fn take(&self, datagram: Bytes, place: Reservation) {
        let taken: Result<_, Error> = async {
            let tenant = self
                .distributor
                .tenant(None)
                .inspect_err(|_| self.distributor.refuse("tenant", self.source))?;
            self.distributor.receive_as(self.format, self.source, &tenant, datagram, place).await
        }
        .await;
        if let Err(error) = taken {
            self.complain("refused", &error);
        }
    }
}
