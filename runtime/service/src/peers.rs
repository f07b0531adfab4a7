//! Other processes as this one's components see them: whom to write to, whom to ask.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tempoform_block::BlockMeta;
use tempoform_config::{Config, Target};
use tempoform_core::{
    RemoteBlocks, RemoteRecent, Result, SpanSink, TenantId, TraceSource, push_rpc::RemoteIngester,
};
use tempoform_distributor::Placement;
use tempoform_ingester::{Ingester, OtherIngesters, Uploaded};
use tempoform_querier::{NamedSource, QuerierUrls, Sources};
use tempoform_retriever::Retriever;
use tempoform_wire::internal::{SettleRequest, SettleResponse};

use crate::admin::Admin;
use crate::channels::Channels;
use crate::membership::{Member, Members, Membership, State};
use crate::tls_client::ClientTls;
use crate::watched::Watched;

/// The ingesters to write to at the moment of the call.
pub(crate) type Placements = Arc<dyn Fn() -> Arc<Placement> + Send + Sync>;

/// The cluster as gossip knows it, and connections to it.
pub(crate) struct Peers {
    admin: Arc<Admin>,
    channels: Arc<Channels>,
    tls: Option<Arc<ClientTls>>,
    replication_factor: usize,
    zone_awareness: bool,
    push_timeout: Duration,
    max_message: usize,
    http_scheme: &'static str,
}

impl Peers {
    pub(crate) fn new(admin: Arc<Admin>, config: &Config) -> Result<Self> {
        let client = &config.ingester_client.grpc_client_config;
        let ring = &config.ingester.lifecycler.ring;
        let tls = ClientTls::load(client)?;
        Ok(Self {
            admin,
            channels: Arc::new(Channels::new(tls.clone())),
            tls,
            replication_factor: ring.replication_factor as usize,
            zone_awareness: ring.zone_awareness_enabled,
            push_timeout: config.ingester_client.remote_timeout.0,
            max_message: usize::try_from(client.max_recv_msg_size.0).unwrap_or(usize::MAX),
            http_scheme: if client.tls_enabled { "https" } else { "http" },
        })
    }

    /// How calls are secured, if they are.
    pub(crate) fn tls(&self) -> Option<&Arc<ClientTls>> {
        self.tls.as_ref()
    }

    /// The active ingesters of the cluster; the own one, if there is one, without a detour over the network.
    pub(crate) fn placements(&self, own: Option<&Arc<Ingester>>) -> Placements {
        let own = own.map(|ingester| Arc::clone(ingester) as Arc<dyn SpanSink>);
        let (admin, channels) = (Arc::clone(&self.admin), Arc::clone(&self.channels));
        let (factor, zone_awareness) = (self.replication_factor, self.zone_awareness);
        let push_timeout = self.push_timeout;
        let own_name = self.own_name();
        let cache = Watched::new(move |members: &Members| {
            channels.retain(|address| members.values().any(|member| member.grpc == address));
            let active = of_target(members, Target::Ingester).filter(|member| member.state == State::Active);
            let ingesters = active.filter_map(|member| {
                let name = member.name.clone();
                // Members of one zone are all alike.
                let zone = if zone_awareness { member.zone.as_str() } else { "" };
                Some(match &own {
                    Some(own) if name == own_name => {
                        tempoform_distributor::Member::new(name, zone, Arc::clone(own))
                    }
                    _ => {
                        let remote = Arc::new(RemoteIngester::new(channels.get(&member.grpc)?));
                        tempoform_distributor::Member::remote(name, zone, remote, push_timeout)
                    }
                })
            });
            Arc::new(Placement::new(ingesters.collect(), factor))
        });
        Arc::new(move || cache.get(&members(&admin)))
    }

    /// Who answers for recent spans. Ingesters that cannot are named, since they may hold what is asked for.
    pub(crate) fn recent(&self, own: Option<Arc<Ingester>>) -> Sources {
        let max_message = self.max_message;
        let missing = |state| match state {
            State::Joining => Some("replays its log"),
            State::Unhealthy => Some("does not answer"),
            State::Active | State::Leaving | State::Left => None,
        };
        self.sources(
            own.map(|own| own as Arc<dyn TraceSource>),
            Target::Ingester,
            move |channel| Arc::new(RemoteRecent::new(channel, max_message)),
            missing,
        )
    }

    /// Who answers for blocks.
    pub(crate) fn blocks(&self, own: Option<Arc<Retriever>>) -> Sources {
        let max_message = self.max_message;
        self.sources(
            own.map(|own| own as Arc<dyn TraceSource>),
            Target::Retriever,
            move |channel| Arc::new(RemoteBlocks::new(channel, max_message)),
            // Another one reads the same blocks.
            |_| None,
        )
    }

    fn sources(
        &self,
        own: Option<Arc<dyn TraceSource>>,
        target: Target,
        remote: impl Fn(tonic::transport::Channel) -> Arc<dyn TraceSource> + Send + Sync + 'static,
        missing: impl Fn(State) -> Option<&'static str> + Send + Sync + 'static,
    ) -> Sources {
        let (admin, channels) = (Arc::clone(&self.admin), Arc::clone(&self.channels));
        let own_name = self.own_name();
        Arc::new(move || {
            let source = |member: &Member| {
                let name = member.name.clone();
                match (&own, member.state) {
                    (Some(own), _) if name == own_name => Some(NamedSource::new(name, Arc::clone(own))),
                    (_, State::Active | State::Leaving) => {
                        Some(NamedSource::new(name, remote(channels.get(&member.grpc)?)))
                    }
                    (_, state) => Some(NamedSource::missing(name, missing(state)?)),
                }
            };
            of_target(&members(&admin), target).filter_map(source).collect()
        })
    }

    fn own_name(&self) -> String {
        self.admin.membership.get().map_or_else(String::new, |membership| membership.own_name().to_owned())
    }

    /// The queriers that a frontend may call.
    pub(crate) fn queriers(&self) -> QuerierUrls {
        let (admin, scheme) = (Arc::clone(&self.admin), self.http_scheme);
        Arc::new(move || {
            of_target(&members(&admin), Target::Querier)
                .filter(|member| member.state == State::Active)
                .map(|member| format!("{scheme}://{}", member.http))
                .collect()
        })
    }

    /// Whether a piece of work is this process's among those of its kind.
    pub(crate) fn owns(&self, target: Target) -> Arc<dyn Fn(&str) -> bool + Send + Sync> {
        let (admin, own) = (Arc::clone(&self.admin), self.own_name());
        Arc::new(move |work| {
            let members = members(&admin);
            let active: Vec<String> = of_target(&members, target)
                .filter(|member| member.state == State::Active || member.name == own)
                .map(|member| member.name.clone())
                .collect();
            tempoform_core::owner(work.as_bytes(), &active) == Some(own.as_str())
        })
    }

    /// Tells all retrievers of blocks uploaded here.
    pub(crate) fn announcer(&self) -> Arc<dyn Uploaded> {
        Arc::new(Announcer {
            admin: Arc::clone(&self.admin),
            channels: Arc::clone(&self.channels),
            max_message: self.max_message,
        })
    }

    /// The ingesters that lead and follow together with this one; `None` where each span is in one ingester only.
    pub(crate) fn other_ingesters(&self) -> Option<Arc<dyn OtherIngesters>> {
        let others = Others {
            admin: Arc::clone(&self.admin),
            channels: Arc::clone(&self.channels),
            max_message: self.max_message,
        };
        (self.replication_factor > 1).then(|| Arc::new(others) as _)
    }

    /// How many distributors share a limit that holds for all together; this process is one of them.
    pub(crate) fn distributors(&self) -> Arc<dyn Fn() -> u64 + Send + Sync> {
        let admin = Arc::clone(&self.admin);
        Arc::new(move || {
            let members = members(&admin);
            let active =
                of_target(&members, Target::Distributor).filter(|member| member.state == State::Active);
            (active.count() as u64).max(1)
        })
    }
}

/// Longest wait for a retriever to take note of a block.
const ANNOUNCE_TIMEOUT: Duration = Duration::from_secs(2);

/// Tells retrievers of new blocks, the own one and all others.
struct Announcer {
    admin: Arc<Admin>,
    channels: Arc<Channels>,
    max_message: usize,
}

#[async_trait::async_trait]
impl Uploaded for Announcer {
    async fn uploaded(&self, tenant: &TenantId, meta: &BlockMeta) {
        let own_name = self.admin.membership.get().map(Membership::own_name);
        let own = self.admin.retriever.get().map(|own| Arc::clone(own) as Arc<dyn TraceSource>);
        let members = members(&self.admin);
        let others = of_target(&members, Target::Retriever)
            .filter(|member| Some(member.name.as_str()) != own_name)
            .filter(|member| matches!(member.state, State::Active | State::Leaving))
            .filter_map(|member| {
                let channel = self.channels.get(&member.grpc)?;
                Some(Arc::new(RemoteBlocks::new(channel, self.max_message)) as Arc<dyn TraceSource>)
            });
        let metas = vec![Bytes::from(meta.to_json())];
        let told = own.into_iter().chain(others).map(|retriever| {
            let metas = metas.clone();
            async move { tokio::time::timeout(ANNOUNCE_TIMEOUT, retriever.announce(tenant, metas)).await }
        });
        for told in futures::future::join_all(told).await {
            // It hears of the block with its next query, or finds it by its next look at the bucket.
            match told {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::debug!(%error, "a retriever did not take note of a block"),
                Err(_) => tracing::debug!("a retriever did not take note of a block in time"),
            }
        }
    }
}

/// Longest wait for an ingester to say what became of batches.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(5);

/// All ingesters but the own one.
struct Others {
    admin: Arc<Admin>,
    channels: Arc<Channels>,
    max_message: usize,
}

#[async_trait::async_trait]
impl OtherIngesters for Others {
    async fn settle(&self, tenant: &TenantId, request: SettleRequest) -> Vec<SettleResponse> {
        let own_name = self.admin.membership.get().map(Membership::own_name);
        let members = members(&self.admin);
        let asked = of_target(&members, Target::Ingester)
            .filter(|member| Some(member.name.as_str()) != own_name)
            .filter(|member| matches!(member.state, State::Active | State::Leaving))
            .filter_map(|member| {
                let remote = RemoteRecent::new(self.channels.get(&member.grpc)?, self.max_message);
                let (name, request) = (member.name.clone(), request.clone());
                Some(async move {
                    let asked = remote.settle(tenant, request);
                    match tokio::time::timeout(SETTLE_TIMEOUT, asked).await {
                        Ok(Ok(answer)) => Some(answer),
                        // The batches stay until it answers, or are taken over.
                        Ok(Err(error)) => {
                            tracing::debug!(ingester = name, %error, "an ingester did not say what became of batches");
                            None
                        }
                        Err(_) => None,
                    }
                })
            });
        futures::future::join_all(asked).await.into_iter().flatten().collect()
    }
}

fn members(admin: &Admin) -> Members {
    admin.membership.get().map(Membership::members).unwrap_or_default()
}

fn of_target(members: &Members, target: Target) -> impl Iterator<Item = &Member> {
    members.values().filter(move |member| member.target.runs(target))
}
