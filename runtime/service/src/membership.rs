//! Who else is there: gossip between all processes of a cluster.

use std::collections::{BTreeMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::{Arc, PoisonError, RwLock, Weak};
use std::time::{Duration, Instant, SystemTime};

use chitchat::transport::UdpTransport;
use chitchat::{
    Chitchat, ChitchatConfig, ChitchatHandle, ChitchatId, FailureDetectorConfig, NodeState, spawn_chitchat,
};
use serde::Serialize;
use tempoform_config::{Memberlist, Target};
use tempoform_core::{Error, ErrorKind, Result};

/// A process as others see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Member {
    /// Unique and stable over restarts.
    pub(crate) name: String,
    /// What it runs.
    pub(crate) target: Target,
    pub(crate) state: State,
    /// `host:port` of its gRPC server.
    pub(crate) grpc: String,
    /// `host:port` of its HTTP server.
    pub(crate) http: String,
    pub(crate) zone: String,
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
    const fn as_str(self) -> &'static str {
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

/// Membership in the cluster. A process without `join_members` and without others is alone.
pub(crate) struct Membership {
    members: Arc<RwLock<Members>>,
    gossip: tokio::sync::Mutex<Option<ChitchatHandle>>,
    own_name: String,
    /// Time that gossip needs to reach everybody, as a rule.
    spread: Duration,
}

impl Membership {
    /// A process on its own.
    pub(crate) fn alone(own: Member) -> Self {
        let own_name = own.name.clone();
        let members = Arc::new(RwLock::new(Arc::new(BTreeMap::from([(own_name.clone(), own)]))));
        Self { members, gossip: tokio::sync::Mutex::new(None), own_name, spread: Duration::ZERO }
    }

    /// Joins the cluster as `own`. A member that is silent for `heartbeat_timeout` counts as unhealthy.
    pub(crate) async fn join(
        own: Member,
        settings: &Memberlist,
        heartbeat_timeout: Duration,
    ) -> Result<Self> {
        let failed = |error: &dyn std::fmt::Display| {
            Error::new(
                ErrorKind::Unavailable,
                format!(
                    "could not start gossip on UDP port {} (memberlist.bind_port): {error}",
                    settings.bind_port
                ),
            )
        };
        let ip = listen_ip(settings)?;
        let listen_addr = SocketAddr::new(ip, settings.bind_port);
        let advertise_port =
            if settings.advertise_port == 0 { settings.bind_port } else { settings.advertise_port };
        let advertise = SocketAddr::new(advertise_ip(settings, ip)?, advertise_port);
        let generation = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .map_or(0, |since| since.as_millis() as u64);
        let interval = settings.gossip_interval.0;
        let config = ChitchatConfig {
            chitchat_id: ChitchatId::new(own.name.clone(), generation, advertise),
            cluster_id: format!("tempoform/{}", settings.cluster_label),
            gossip_interval: interval,
            listen_addr,
            seed_nodes: settings.join_members.clone(),
            failure_detector_config: FailureDetectorConfig {
                // Phi is the silence over the usual interval between signs of life.
                phi_threshold: (heartbeat_timeout.as_secs_f64() / interval.as_secs_f64()).max(MIN_PHI),
                initial_interval: interval,
                max_interval: heartbeat_timeout.max(interval * 2),
                dead_node_grace_period: settings.left_ingesters_timeout.0,
                ..FailureDetectorConfig::default()
            },
            marked_for_deletion_grace_period: Duration::from_secs(3600),
            catchup_callback: None,
            extra_liveness_predicate: None,
            protocol_version: chitchat::ProtocolVersion::V1,
        };
        let own_name = own.name.clone();
        let gossip =
            spawn_chitchat(config, key_values(&own), &UdpTransport).await.map_err(|error| failed(&error))?;
        let members = Arc::new(RwLock::new(Arc::new(BTreeMap::from([(own_name.clone(), own)]))));
        tokio::spawn(follow(Arc::downgrade(&gossip.chitchat()), Arc::clone(&members), interval));
        let joined =
            Self { members, gossip: tokio::sync::Mutex::new(Some(gossip)), own_name, spread: interval * 3 };
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
        Arc::clone(&self.members.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Tells everybody.
    pub(crate) async fn set_state(&self, state: State) {
        if let Some(gossip) = &*self.gossip.lock().await {
            gossip.with_chitchat(|chitchat| chitchat.self_node_state().set(STATE, state.as_str())).await;
        }
        let mut members = self.members.write().unwrap_or_else(PoisonError::into_inner);
        let mut changed = BTreeMap::clone(&members);
        if let Some(own) = changed.get_mut(&self.own_name) {
            own.state = state;
        }
        *members = Arc::new(changed);
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

const TARGET: &str = "target";
const STATE: &str = "state";
const GRPC: &str = "grpc";
const HTTP: &str = "http";
const ZONE: &str = "zone";

fn key_values(own: &Member) -> Vec<(String, String)> {
    let Member { name: _, target, state, grpc, http, zone } = own;
    [
        (TARGET, target.to_string()),
        (STATE, state.as_str().to_owned()),
        (GRPC, grpc.clone()),
        (HTTP, http.clone()),
        (ZONE, zone.clone()),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into()
}

/// A node's key values as a member; `None` while some have not come yet, or of a later version.
fn member(id: &ChitchatId, state: &NodeState) -> Option<Member> {
    Some(Member {
        name: id.node_id.to_string(),
        target: serde_json::from_value(state.get(TARGET)?.into()).ok()?,
        state: State::parse(state.get(STATE)?)?,
        grpc: state.get(GRPC)?.to_owned(),
        http: state.get(HTTP)?.to_owned(),
        zone: state.get(ZONE)?.to_owned(),
    })
}

/// Keeps `members` what gossip says, until it ends.
async fn follow(
    gossip: Weak<tokio::sync::Mutex<Chitchat>>,
    members: Arc<RwLock<Members>>,
    interval: Duration,
) {
    let Some(started) = gossip.upgrade() else { return };
    let mut changes = started.lock().await.live_nodes_watcher();
    drop(started);
    loop {
        // Which members are unhealthy changes without a change among the live ones.
        if let Ok(Err(_ended)) = tokio::time::timeout(interval, changes.changed()).await {
            return;
        }
        let Some(gossip) = gossip.upgrade() else { return };
        let now = by_name(&*gossip.lock().await);
        let mut members = members.write().unwrap_or_else(PoisonError::into_inner);
        if **members != now {
            *members = Arc::new(now);
        }
    }
}

/// The members that gossip knows.
fn by_name(gossip: &Chitchat) -> BTreeMap<String, Member> {
    let live: HashSet<&ChitchatId> = gossip.live_nodes().collect();
    let known = gossip.node_states().iter().filter_map(|(id, state)| {
        let is_live = id == gossip.self_chitchat_id() || live.contains(id);
        Some(Known { is_live, generation: id.generation_id, member: member(id, state)? })
    });
    one_of_each_name(known)
}

/// A process that gossip knows of.
struct Known {
    is_live: bool,
    /// When it started, by its own clock.
    generation: u64,
    member: Member,
}

/// A name that stands twice (a restart) is the one that lives, or else the one of the later generation: a clock may have
/// been set back in between.
fn one_of_each_name(known: impl Iterator<Item = Known>) -> BTreeMap<String, Member> {
    let mut by_name: BTreeMap<String, Known> = BTreeMap::new();
    for mut known in known {
        if !known.is_live && known.member.state != State::Left {
            known.member.state = State::Unhealthy;
        }
        let rank = |known: &Known| (known.is_live, known.generation);
        if by_name.get(&known.member.name).is_none_or(|other| rank(other) < rank(&known)) {
            by_name.insert(known.member.name.clone(), known);
        }
    }
    by_name.into_iter().map(|(name, known)| (name, known.member)).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    fn known(is_live: bool, generation: u64, grpc: &str) -> Known {
        let member = Member {
            name: "ingester-0".to_owned(),
            target: Target::Ingester,
            state: State::Active,
            grpc: grpc.to_owned(),
            http: String::new(),
            zone: String::new(),
        };
        Known { is_live, generation, member }
    }

    fn seen(known: impl IntoIterator<Item = Known>) -> (String, State) {
        let member = one_of_each_name(known.into_iter()).remove("ingester-0").expect("it is known");
        (member.grpc, member.state)
    }

    #[test]
    fn a_restart_takes_the_place_of_what_was_there_before() {
        let (before, after) = (|live| known(live, 1, "before"), |live| known(live, 2, "after"));
        assert_eq!(seen([before(true), after(true)]), ("after".to_owned(), State::Active));
        assert_eq!(seen([after(true), before(false)]), ("after".to_owned(), State::Active));
        assert_eq!(seen([after(false), before(false)]), ("after".to_owned(), State::Unhealthy));
        // Its clock was set back meanwhile.
        assert_eq!(seen([after(false), before(true)]), ("before".to_owned(), State::Active));
    }
}
