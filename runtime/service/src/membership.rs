//! Who else is there: gossip between all processes of a cluster.

mod said;
mod view;

#[cfg(test)]
pub(crate) mod tests;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::{Arc, PoisonError, RwLock, Weak};
use std::time::{Duration, Instant, SystemTime};

use chitchat::transport::UdpTransport;
use chitchat::{Chitchat, ChitchatConfig, ChitchatHandle, ChitchatId, FailureDetectorConfig, spawn_chitchat};
use jiff::Timestamp;
use serde::Serialize;
use tempoform_config::{Config, Memberlist, Target};
use tempoform_core::{Error, ErrorKind, Result};

/// A process as others see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Member {
    /// Unique and stable over restarts.
    pub(crate) name: String,
    /// What it runs.
    pub(crate) target: Target,
    pub(crate) state: State,
    /// Since when it is in that state; `None` for a process of a version that does not tell.
    pub(crate) since: Option<Timestamp>,
    /// Higher after each restart.
    #[serde(skip)]
    pub(crate) generation: u64,
    /// `host:port` of its gRPC server.
    pub(crate) grpc: String,
    /// `host:port` of its HTTP server.
    pub(crate) http: String,
    pub(crate) zone: String,
}

impl Member {
    /// This process, as it starts.
    pub(crate) fn starting(name: String, target: Target, grpc: String, http: String, zone: String) -> Self {
        let generation = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .map_or(0, |since| since.as_millis() as u64);
        let since = Some(Timestamp::now());
        Self { name, target, state: State::Joining, since, generation, grpc, http, zone }
    }
}

/// How far a member is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    /// Answers nothing yet.
    Joining,
    /// Serves.
    Active,
    /// Takes no more writes.
    Leaving,
    /// Went away with nothing left to be read from it.
    Left,
    /// Does not answer gossip, but did not leave: what it holds cannot be read for now.
    Unhealthy,
}

impl State {
    /// As it stands in gossip and in JSON.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Joining => "joining",
            Self::Active => "active",
            Self::Leaving => "leaving",
            Self::Left => "left",
            Self::Unhealthy => "unhealthy",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::Joining, Self::Active, Self::Leaving, Self::Left]
            .into_iter()
            .find(|state| state.as_str() == text)
    }
}

/// The members at one moment, this process and those that went away lately among them, by name.
pub(crate) type Members = Arc<BTreeMap<String, Member>>;

/// Why a member is not forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotForgotten {
    /// No member has the name.
    Unknown,
    /// It is there, in this state.
    Present(State),
}

/// What is known of the others.
#[derive(Debug)]
struct Known {
    members: RwLock<Members>,
    /// Segments not in storage, of ingesters that told.
    unflushed: RwLock<BTreeMap<String, u64>>,
    /// How long an ingester that does not answer is waited for; zero: for ever.
    forget_after: Duration,
}

/// Membership in the cluster. A process without `join_members` and without others is alone.
pub(crate) struct Membership {
    known: Arc<Known>,
    gossip: tokio::sync::Mutex<Option<ChitchatHandle>>,
    own_name: String,
    /// Time that gossip needs to reach everybody, as a rule.
    spread: Duration,
}

impl Membership {
    /// A process on its own.
    pub(crate) fn alone(own: Member) -> Self {
        let own_name = own.name.clone();
        let known = Arc::new(Known::new(own, Duration::ZERO));
        Self { known, gossip: tokio::sync::Mutex::new(None), own_name, spread: Duration::ZERO }
    }

    /// Joins the cluster as `own`.
    pub(crate) async fn join(own: Member, config: &Config) -> Result<Self> {
        let (settings, ring) = (&config.memberlist, &config.ingester.lifecycler.ring);
        let failed = |error: &dyn std::fmt::Display| {
            Error::new(
                ErrorKind::Unavailable,
                format!(
                    "could not start gossip on UDP port {} (memberlist.bind_port): {error}",
                    settings.bind_port
                ),
            )
        };
        let own_name = own.name.clone();
        let gossip = chitchat_config(&own, settings, ring.heartbeat_timeout.0)?;
        let gossip = spawn_chitchat(gossip, said::at_start(&own), &UdpTransport)
            .await
            .map_err(|error| failed(&error))?;
        let interval = settings.gossip_interval.0;
        let known = Arc::new(Known::new(own, ring.forget_unhealthy_after.0));
        tokio::spawn(follow(Arc::downgrade(&gossip.chitchat()), Arc::clone(&known), interval));
        let joined =
            Self { known, gossip: tokio::sync::Mutex::new(Some(gossip)), own_name, spread: interval * 3 };
        if settings.abort_if_cluster_join_fails && !settings.join_members.is_empty() {
            joined.wait_for_another().await?;
        }
        Ok(joined)
    }

    /// Waits until another member is seen.
    async fn wait_for_another(&self) -> Result<()> {
        let started = Instant::now();
        while self.members().len() < 2 {
            if started.elapsed() > JOIN_TIMEOUT {
                return Err(Error::new(
                    ErrorKind::Unavailable,
                    "none of memberlist.join_members answered (memberlist.abort_if_cluster_join_fails is set); check the addresses, UDP must pass",
                ));
            }
            tokio::time::sleep(self.spread).await;
        }
        Ok(())
    }

    /// This process's name.
    pub(crate) fn own_name(&self) -> &str {
        &self.own_name
    }

    /// The members now.
    pub(crate) fn members(&self) -> Members {
        self.known.members()
    }

    /// Segments of members' logs that are not in storage, as far as they told.
    pub(crate) fn unflushed(&self) -> BTreeMap<String, u64> {
        self.known.unflushed.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Tells everybody.
    pub(crate) async fn set_state(&self, state: State) {
        let since = Timestamp::now();
        if let Some(gossip) = &*self.gossip.lock().await {
            gossip
                .with_chitchat(|chitchat| {
                    said::say_state(chitchat.self_node_state(), state, since);
                    self.known.refresh(chitchat);
                })
                .await;
            return;
        }
        let mut changed = BTreeMap::clone(&self.members());
        if let Some(own) = changed.get_mut(&self.own_name) {
            (own.state, own.since) = (state, Some(since));
        }
        self.known.set_members(changed);
    }

    /// Tells everybody how many segments of the own log are not in storage.
    pub(crate) async fn set_unflushed(&self, segments: u64) {
        match &*self.gossip.lock().await {
            Some(gossip) => {
                gossip
                    .with_chitchat(|chitchat| said::say_unflushed(chitchat.self_node_state(), segments))
                    .await;
            }
            None => {
                let mut unflushed = self.known.unflushed.write().unwrap_or_else(PoisonError::into_inner);
                unflushed.insert(self.own_name.clone(), segments);
            }
        }
    }

    /// Nobody waits any more for a member that went away. Others take the order over, so that it outlives this process;
    /// the member counts again once it returns.
    pub(crate) async fn forget(&self, name: &str) -> std::result::Result<(), NotForgotten> {
        let gossip = self.gossip.lock().await;
        let members = self.members();
        let member = members.get(name).ok_or(NotForgotten::Unknown)?;
        let (State::Unhealthy | State::Left, Some(gossip)) = (member.state, &*gossip) else {
            return Err(NotForgotten::Present(member.state));
        };
        let forgotten = BTreeMap::from([(name.to_owned(), member.generation)]);
        gossip
            .with_chitchat(|chitchat| {
                said::say_forgotten(chitchat.self_node_state(), &forgotten);
                self.known.refresh(chitchat);
            })
            .await;
        tracing::warn!(
            member = name,
            "forgotten on an operator's order; spans that only it has are not looked for"
        );
        Ok(())
    }

    /// Leaves the cluster. With `everything_handed_over` nobody will wait for what this process held.
    pub(crate) async fn leave(&self, everything_handed_over: bool) {
        if everything_handed_over {
            self.set_state(State::Left).await;
            tokio::time::sleep(self.spread).await;
        }
        if let Some(gossip) = self.gossip.lock().await.take()
            && let Err(error) = gossip.shutdown().await
        {
            tracing::warn!(%error, "gossip did not end well");
        }
    }
}

/// Longest wait for another member at the start.
const JOIN_TIMEOUT: Duration = Duration::from_secs(30);
/// Below this a lost packet or two would make a member unhealthy.
const MIN_PHI: f64 = 5.0;

/// A member that is silent for `heartbeat_timeout` counts as unhealthy.
fn chitchat_config(
    own: &Member,
    settings: &Memberlist,
    heartbeat_timeout: Duration,
) -> Result<ChitchatConfig> {
    let ip = listen_ip(settings)?;
    let advertise_port =
        if settings.advertise_port == 0 { settings.bind_port } else { settings.advertise_port };
    let advertise = SocketAddr::new(advertise_ip(settings, ip)?, advertise_port);
    let interval = settings.gossip_interval.0;
    Ok(ChitchatConfig {
        chitchat_id: ChitchatId::new(own.name.clone(), own.generation, advertise),
        cluster_id: format!("tempoform/{}", settings.cluster_label),
        gossip_interval: interval,
        listen_addr: SocketAddr::new(ip, settings.bind_port),
        seed_nodes: settings.join_members.clone(),
        failure_detector_config: FailureDetectorConfig {
            // Phi is the silence over the usual interval between signs of life.
            phi_threshold: (heartbeat_timeout.as_secs_f64() / interval.as_secs_f64()).max(MIN_PHI),
            initial_interval: interval,
            max_interval: heartbeat_timeout.max(interval * 2),
            // Of every process there ever was, so not longer: its datagrams name all of them. Ingesters that are
            // away are remembered by `Away`.
            dead_node_grace_period: settings.left_ingesters_timeout.0,
            ..FailureDetectorConfig::default()
        },
        marked_for_deletion_grace_period: Duration::from_secs(3600),
        catchup_callback: None,
        extra_liveness_predicate: None,
        protocol_version: chitchat::ProtocolVersion::V1,
    })
}

impl Known {
    fn new(own: Member, forget_after: Duration) -> Self {
        let members = RwLock::new(Arc::new(BTreeMap::from([(own.name.clone(), own)])));
        Self { members, unflushed: RwLock::default(), forget_after }
    }

    fn members(&self) -> Members {
        Arc::clone(&self.members.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn set_members(&self, now: BTreeMap<String, Member>) {
        let mut members = self.members.write().unwrap_or_else(PoisonError::into_inner);
        if **members != now {
            *members = Arc::new(now);
        }
    }

    /// Takes note of what gossip says, and says what is this process's to say.
    fn refresh(&self, gossip: &mut Chitchat) {
        let said = said::by_everybody(gossip);
        let view = view::view(&said, &self.members(), self.forget_after, Timestamp::now());
        let own = gossip.self_node_state();
        said::say_away(own, &view.away);
        said::say_forgotten(own, &view.forgotten);
        if let Some(generation) = view.own_generation {
            tracing::warn!(
                "this process was forgotten by others while it runs; it tells them that it is there"
            );
            said::say_generation(own, generation);
        }
        *self.unflushed.write().unwrap_or_else(PoisonError::into_inner) = view.unflushed;
        self.set_members(view.members);
    }
}

/// Keeps `known` what gossip says, until it ends.
async fn follow(gossip: Weak<tokio::sync::Mutex<Chitchat>>, known: Arc<Known>, interval: Duration) {
    let Some(started) = gossip.upgrade() else { return };
    let mut changes = started.lock().await.live_nodes_watcher();
    drop(started);
    loop {
        // Which members are unhealthy changes without a change among the live ones.
        if let Ok(Err(_ended)) = tokio::time::timeout(interval, changes.changed()).await {
            return;
        }
        let Some(gossip) = gossip.upgrade() else { return };
        known.refresh(&mut *gossip.lock().await);
    }
}

fn listen_ip(settings: &Memberlist) -> Result<IpAddr> {
    let Some(address) = settings.bind_addr.first() else { return Ok(IpAddr::V4(Ipv4Addr::UNSPECIFIED)) };
    address.parse().map_err(|error| {
        Error::new(
            ErrorKind::Invalid,
            format!("memberlist.bind_addr {address:?}: {error}; give an IP address"),
        )
    })
}

fn advertise_ip(settings: &Memberlist, listen: IpAddr) -> Result<IpAddr> {
    if !settings.advertise_addr.is_empty() {
        return settings.advertise_addr.parse().map_err(|error| {
            let address = &settings.advertise_addr;
            Error::new(
                ErrorKind::Invalid,
                format!("memberlist.advertise_addr {address:?}: {error}; give an IP address"),
            )
        });
    }
    if listen.is_unspecified() { Ok(own_ip()) } else { Ok(listen) }
}

/// The address of the interface that traffic leaves by. Nothing is sent.
pub(crate) fn own_ip() -> IpAddr {
    let probe = || {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        // An address reserved for documentation: connecting a UDP socket only picks a route.
        socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9))?;
        socket.local_addr().map(|address| address.ip())
    };
    probe().unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST))
}
