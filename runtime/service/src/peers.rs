//! Other processes as this one's components see them: whom to write to, whom to ask.

use std::sync::Arc;

use tempoform_config::{Config, Target};
use tempoform_core::{RemoteBlocks, RemoteRecent, Result, SpanSink, TraceSource, push_rpc::RemoteIngester};
use tempoform_distributor::Placement;
use tempoform_ingester::Ingester;
use tempoform_querier::{NamedSource, QuerierUrls, Sources};
use tempoform_retriever::Retriever;

use crate::admin::Admin;
use crate::channels::Channels;
use crate::membership::{Member, Members, Membership, State};
use crate::tls;
use crate::watched::Watched;

/// The ingesters to write to at the moment of the call.
pub(crate) type Placements = Arc<dyn Fn() -> Arc<Placement> + Send + Sync>;

/// The cluster as gossip knows it, and connections to it.
pub(crate) struct Peers {
    admin: Arc<Admin>,
    channels: Arc<Channels>,
    replication_factor: usize,
    zone_awareness: bool,
    max_message: usize,
    http_scheme: &'static str,
}

impl Peers {
    pub(crate) fn new(admin: Arc<Admin>, config: &Config) -> Result<Self> {
        let client = &config.ingester_client.grpc_client_config;
        let ring = &config.ingester.lifecycler.ring;
        Ok(Self {
            admin,
            channels: Arc::new(Channels::new(tls::grpc_client(client)?)),
            replication_factor: ring.replication_factor as usize,
            zone_awareness: ring.zone_awareness_enabled,
            max_message: usize::try_from(client.max_recv_msg_size.0).unwrap_or(usize::MAX),
            http_scheme: if client.tls_enabled { "https" } else { "http" },
        })
    }

    /// The own ingester, or all active ones of the cluster.
    pub(crate) fn placements(&self, own: Option<&Arc<Ingester>>) -> Placements {
        if let Some(ingester) = own {
            let sink = Arc::clone(ingester) as Arc<dyn SpanSink>;
            let own = tempoform_distributor::Member::new("ingester", "", sink);
            let placement = Arc::new(Placement::new(vec![own], 1));
            return Arc::new(move || Arc::clone(&placement));
        }
        let (admin, channels) = (Arc::clone(&self.admin), Arc::clone(&self.channels));
        let (factor, zone_awareness) = (self.replication_factor, self.zone_awareness);
        let cache = Watched::new(move |members: &Members| {
            channels.retain(|address| members.values().any(|member| member.grpc == address));
            let active = of_target(members, Target::Ingester).filter(|member| member.state == State::Active);
            let ingesters = active.filter_map(|member| {
                let sink = RemoteIngester::new(channels.get(&member.grpc)?);
                // Members of one zone are all alike.
                let zone = if zone_awareness { member.zone.as_str() } else { "" };
                Some(tempoform_distributor::Member::new(member.name.clone(), zone, Arc::new(sink)))
            });
            Arc::new(Placement::new(ingesters.collect(), factor))
        });
        Arc::new(move || cache.get(&members(&admin)))
    }

    /// Who answers for recent spans.
    pub(crate) fn recent(&self, own: Option<Arc<Ingester>>) -> Sources {
        let max_message = self.max_message;
        self.sources(own.map(|own| own as Arc<dyn TraceSource>), Target::Ingester, move |channel| {
            Arc::new(RemoteRecent::new(channel, max_message))
        })
    }

    /// Who answers for blocks.
    pub(crate) fn blocks(&self, own: Option<Arc<Retriever>>) -> Sources {
        let max_message = self.max_message;
        self.sources(own.map(|own| own as Arc<dyn TraceSource>), Target::Retriever, move |channel| {
            Arc::new(RemoteBlocks::new(channel, max_message))
        })
    }

    fn sources(
        &self,
        own: Option<Arc<dyn TraceSource>>,
        target: Target,
        remote: impl Fn(tonic::transport::Channel) -> Arc<dyn TraceSource> + Send + Sync + 'static,
    ) -> Sources {
        if let Some(own) = own {
            let name = target.to_string();
            return Arc::new(move || vec![NamedSource::new(name.clone(), Arc::clone(&own))]);
        }
        let (admin, channels) = (Arc::clone(&self.admin), Arc::clone(&self.channels));
        Arc::new(move || {
            of_target(&members(&admin), target)
                .filter(|member| member.state != State::Joining)
                .filter_map(|member| {
                    Some(NamedSource::new(member.name.clone(), remote(channels.get(&member.grpc)?)))
                })
                .collect()
        })
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

fn members(admin: &Admin) -> Members {
    admin.membership.get().map(Membership::members).unwrap_or_default()
}

fn of_target(members: &Members, target: Target) -> impl Iterator<Item = &Member> {
    members.values().filter(move |member| member.target.runs(target))
}
