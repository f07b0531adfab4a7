//! One process: what it runs, in which order it starts, and in which order it ends.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tempoform_block::{BlockStore, StoreOptions};
use tempoform_compactor::Compactor;
use tempoform_config::{Config, Target};
use tempoform_core::push_rpc::{Export, ExportServer, Push};
use tempoform_core::{
    Account, Error, ErrorKind, MemoryBudget, RemoteBlocks, RemoteRecent, Result, SourceService, SpanSink,
    TraceSource, push_rpc::RemoteIngester,
};
use tempoform_distributor::{Distributor, OtlpGrpc, Placement, otlp_http};
use tempoform_ingester::Ingester;
use tempoform_querier::{Frontend, NamedSource, Querier, Sources};
use tempoform_retriever::Retriever;
use tempoform_wire::internal::blocks_server::BlocksServer;
use tempoform_wire::internal::recent_server::RecentServer;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tonic::service::RoutesBuilder;
use tonic::transport::Server;

use crate::admin::{Admin, Phase};
use crate::channels::Channels;
use crate::component_options;
use crate::ingester_rpc::IngesterRpc;
use crate::listen::{bind, endpoint};
use crate::membership::{Member, Members, Membership, State, own_ip};
use crate::memory_limit;
use crate::overrides::TenantLimits;

/// Most bytes of one gRPC message between components.
const MAX_INTERNAL_MESSAGE: usize = 100 << 20;

/// Runs until a signal or an operator ends the process.
pub(crate) async fn run(config: Config) -> Result<()> {
    let mut end = End::listen()?;
    let running = Process::start(config).await?;
    tokio::select! {
        () = end.signal() => {}
        () = running.admin.shutdown.notified() => tracing::info!("an operator ordered the end"),
    }
    tokio::select! {
        () = running.stop() => Ok(()),
        () = end.signal() => Err(Error::new(ErrorKind::Unavailable, "a second signal ended the process at once; the log keeps what was not flushed")),
    }
}

/// SIGTERM and SIGINT.
struct End {
    term: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl End {
    fn listen() -> Result<Self> {
        let listen = |kind| {
            signal(kind).map_err(|error| {
                Error::new(ErrorKind::Internal, format!("could not listen for signals: {error}"))
            })
        };
        Ok(Self { term: listen(SignalKind::terminate())?, interrupt: listen(SignalKind::interrupt())? })
    }

    async fn signal(&mut self) {
        tokio::select! {
            _ = self.term.recv() => tracing::info!("received SIGTERM"),
            _ = self.interrupt.recv() => tracing::info!("received SIGINT"),
        }
    }
}

struct Process {
    config: Config,
    admin: Arc<Admin>,
    /// Ends intake (receivers), then everything else.
    intake: CancellationToken,
    servers: CancellationToken,
    tasks: tokio_util::task::TaskTracker,
}

/// What the parts of a process use together.
struct Parts {
    limits: Arc<TenantLimits>,
    memory: MemoryBudget,
    channels: Arc<Channels>,
    ingester: Option<Arc<Ingester>>,
    retriever: Option<Arc<Retriever>>,
}

impl Process {
    async fn start(config: Config) -> Result<Self> {
        let server = &config.server;
        let http =
            bind(&endpoint(&server.http_listen_address, server.http_listen_port), "server.http_listen_port")
                .await?;
        let grpc =
            bind(&endpoint(&server.grpc_listen_address, server.grpc_listen_port), "server.grpc_listen_port")
                .await?;
        let receivers = Receivers::bind(&config).await?;
        let process = Self {
            admin: Admin::new(config.clone()),
            config,
            intake: CancellationToken::new(),
            servers: CancellationToken::new(),
            tasks: tokio_util::task::TaskTracker::new(),
        };
        let (http_address, grpc_address) = (local_address(&http)?, local_address(&grpc)?);
        // Readiness and metrics answer during a long replay.
        process.serve_http(http, process.admin.router(), process.servers.clone());
        let parts = process.parts().await?;
        process.join(http_address, grpc_address).await?;
        process.serve_grpc(grpc, &parts)?;
        process.start_receivers(receivers, &parts);
        process.admin.set_api(process.api(&parts));
        process.admin.set_phase(Phase::Serving);
        if let Some(membership) = process.admin.membership.get() {
            membership.set_state(State::Active).await;
        }
        tracing::info!(target = %process.config.target, http = %http_address, grpc = %grpc_address, "started");
        Ok(process)
    }

    fn runs(&self, target: Target) -> bool {
        self.config.target == target || self.config.target == Target::All
    }

    async fn parts(&self) -> Result<Parts> {
        let config = &self.config;
        let limits = TenantLimits::load(config.overrides.clone())?;
        self.tasks.spawn(stop_with(self.servers.clone(), Arc::clone(&limits).follow()));
        let memory = memory_limit::budget(&config.memory);
        let needs_store = [Target::Ingester, Target::Retriever, Target::Compactor]
            .into_iter()
            .any(|target| self.runs(target));
        let store = needs_store.then(|| open_store(config)).transpose()?;
        let mut parts = Parts { limits, memory, channels: Arc::default(), ingester: None, retriever: None };
        let Some(store) = store else { return Ok(parts) };
        if self.runs(Target::Ingester) {
            let options = component_options::ingester(config, &parts.limits);
            let ingester = Ingester::start(options, store.clone(), parts.memory.clone()).await?;
            // Set once, here.
            drop(self.admin.ingester.set(Arc::clone(&ingester)));
            parts.ingester = Some(ingester);
        }
        if self.runs(Target::Retriever) {
            let retriever =
                Retriever::new(store.clone(), component_options::retriever(config, &parts.memory));
            let running = Arc::clone(&retriever);
            // Dropped when the servers end, which ends the polling.
            let (polling, stopped) = tokio::sync::watch::channel(false);
            self.tasks.spawn(running.run(stopped));
            let until = self.servers.clone();
            self.tasks.spawn(async move {
                until.cancelled().await;
                drop(polling);
            });
            let checked = Arc::clone(&retriever);
            self.admin.add_check(
                "retriever",
                Arc::new(move || {
                    if checked.is_ready() {
                        Ok(())
                    } else {
                        Err("the block list was not read yet".to_owned())
                    }
                }),
            );
            parts.retriever = Some(retriever);
        }
        if self.runs(Target::Compactor) {
            let compactor = Compactor::new(store, component_options::compactor(config, &parts.limits));
            self.tasks.spawn(stop_with(self.servers.clone(), compactor.run()));
        }
        Ok(parts)
    }

    async fn join(&self, http: SocketAddr, grpc: SocketAddr) -> Result<()> {
        let settings = &self.config.memberlist;
        let name = if settings.node_name.is_empty() { host_name() } else { settings.node_name.clone() };
        let own = Member {
            name,
            target: self.config.target,
            state: State::Joining,
            grpc: self.advertised(grpc),
            http: self.advertised(http),
            zone: self.config.ingester.lifecycler.availability_zone.clone(),
        };
        let alone = self.config.target == Target::All && settings.join_members.is_empty();
        let membership = if alone { Membership::alone(own) } else { Membership::join(own, settings).await? };
        // Set once, here.
        drop(self.admin.membership.set(membership));
        Ok(())
    }

    /// A server's address as others reach it.
    fn advertised(&self, address: SocketAddr) -> String {
        if !address.ip().is_unspecified() {
            return address.to_string();
        }
        match self.config.memberlist.advertise_addr.parse() {
            Ok(ip) => SocketAddr::new(ip, address.port()).to_string(),
            Err(_) => SocketAddr::new(own_ip(), address.port()).to_string(),
        }
    }

    fn serve_http(&self, listener: TcpListener, router: Router, until: CancellationToken) {
        self.tasks.spawn(async move {
            let served = axum::serve(listener, router).with_graceful_shutdown(until.cancelled_owned()).await;
            if let Err(error) = served {
                tracing::error!(%error, "an HTTP server failed");
            }
        });
    }

    fn serve_grpc(&self, listener: TcpListener, parts: &Parts) -> Result<()> {
        let mut routes = RoutesBuilder::default();
        let account = Arc::new(Account::default());
        if let Some(ingester) = &parts.ingester {
            let handler = Arc::new(IngesterRpc::new(Arc::clone(ingester) as Arc<dyn SpanSink>));
            routes.add_service(ExportServer::<Push, _>::new(handler, MAX_INTERNAL_MESSAGE));
            let source = SourceService::new(Arc::clone(ingester) as Arc<dyn TraceSource>, account);
            routes.add_service(RecentServer::new(source).max_encoding_message_size(MAX_INTERNAL_MESSAGE));
        }
        if let Some(retriever) = &parts.retriever {
            let source =
                SourceService::new(Arc::clone(retriever) as Arc<dyn TraceSource>, retriever.account());
            routes.add_service(BlocksServer::new(source).max_encoding_message_size(MAX_INTERNAL_MESSAGE));
        }
        self.spawn_grpc(listener, routes, self.servers.clone());
        Ok(())
    }

    fn spawn_grpc(&self, listener: TcpListener, routes: RoutesBuilder, until: CancellationToken) {
        let incoming = tonic::transport::server::TcpIncoming::from(listener).with_nodelay(Some(true));
        // Large windows: an exporter's batch comes in one go instead of window by window.
        let server = Server::builder()
            .initial_stream_window_size(8 << 20)
            .initial_connection_window_size(16 << 20)
            .max_frame_size(1 << 20)
            .http2_keepalive_interval(Some(Duration::from_secs(30)))
            .add_routes(routes.routes())
            .serve_with_incoming_shutdown(incoming, until.cancelled_owned());
        self.tasks.spawn(async move {
            if let Err(error) = server.await {
                tracing::error!(%error, "a gRPC server failed");
            }
        });
    }

    fn start_receivers(&self, receivers: Receivers, parts: &Parts) {
        let Receivers { grpc, http } = receivers;
        if grpc.is_none() && http.is_none() {
            return;
        }
        let placement = self.placement(parts);
        let checked = Arc::clone(&placement);
        self.admin.add_check(
            "distributor",
            Arc::new(move || {
                let placement = checked();
                let (have, need) = (placement.members().len(), placement.quorum());
                if have >= need {
                    Ok(())
                } else {
                    Err(format!("{have} ingesters take writes, {need} are needed"))
                }
            }),
        );
        let options = component_options::distributor(&self.config, &parts.limits);
        let distributor = Distributor::new(options, placement, parts.memory.clone());
        if let Some((listener, max_message)) = grpc {
            let mut routes = RoutesBuilder::default();
            let handler = Arc::new(OtlpGrpc(Arc::clone(&distributor)));
            routes.add_service(ExportServer::<Export, _>::new(handler, max_message));
            self.spawn_grpc(listener, routes, self.intake.clone());
        }
        if let Some(listener) = http {
            self.serve_http(listener, otlp_http(distributor), self.intake.clone());
        }
    }

    /// The ingesters to write to: the own one, or all active ones of the cluster.
    fn placement(&self, parts: &Parts) -> Arc<dyn Fn() -> Arc<Placement> + Send + Sync> {
        let factor = self.config.ingester.lifecycler.ring.replication_factor as usize;
        if let Some(ingester) = &parts.ingester {
            let own =
                tempoform_distributor::Member::new("ingester", Arc::clone(ingester) as Arc<dyn SpanSink>);
            let placement = Arc::new(Placement::new(vec![own], 1));
            return Arc::new(move || Arc::clone(&placement));
        }
        let (admin, channels) = (Arc::clone(&self.admin), Arc::clone(&parts.channels));
        let cache = crate::watched::Watched::new(move |members: &Members| {
            channels.retain(|address| members.values().any(|member| member.grpc == address));
            let active = of_target(members, Target::Ingester).filter(|member| member.state == State::Active);
            let ingesters = active.filter_map(|member| {
                let sink = RemoteIngester::new(channels.get(&member.grpc)?, MAX_INTERNAL_MESSAGE);
                Some(tempoform_distributor::Member::new(member.name.clone(), Arc::new(sink)))
            });
            Arc::new(Placement::new(ingesters.collect(), factor))
        });
        Arc::new(move || cache.get(&members(&admin)))
    }

    fn sources(
        &self,
        own: Option<Arc<dyn TraceSource>>,
        target: Target,
        channels: &Arc<Channels>,
        remote: fn(tonic::transport::Channel) -> Arc<dyn TraceSource>,
    ) -> Sources {
        if let Some(own) = own {
            let name = target.to_string();
            return Arc::new(move || vec![NamedSource::new(name.clone(), Arc::clone(&own))]);
        }
        let (admin, channels) = (Arc::clone(&self.admin), Arc::clone(channels));
        Arc::new(move || {
            of_target(&members(&admin), target)
                .filter(|member| member.state != State::Joining)
                .filter_map(|member| {
                    Some(NamedSource::new(member.name.clone(), remote(channels.get(&member.grpc)?)))
                })
                .collect()
        })
    }

    /// The query API, where this process has it.
    fn api(&self, parts: &Parts) -> Router {
        if self.config.target == Target::QueryFrontend {
            return self.frontend(parts);
        }
        if !self.runs(Target::Querier) {
            return Router::new();
        }
        let own_recent = parts.ingester.clone().map(|ingester| ingester as Arc<dyn TraceSource>);
        let own_blocks = parts.retriever.clone().map(|retriever| retriever as Arc<dyn TraceSource>);
        let recent = self.sources(own_recent, Target::Ingester, &parts.channels, |channel| {
            Arc::new(RemoteRecent::new(channel))
        });
        let blocks = self.sources(own_blocks, Target::Retriever, &parts.channels, |channel| {
            Arc::new(RemoteBlocks::new(channel))
        });
        let checked = (Arc::clone(&recent), Arc::clone(&blocks));
        self.admin.add_check(
            "querier",
            Arc::new(move || match (checked.0().len(), checked.1().len()) {
                (0, _) => Err("no ingester is known yet".to_owned()),
                (_, 0) => Err("no retriever is known yet".to_owned()),
                _ => Ok(()),
            }),
        );
        Querier::new(recent, blocks, component_options::querier(&self.config, &parts.limits)).router()
    }

    fn frontend(&self, parts: &Parts) -> Router {
        let admin = Arc::clone(&self.admin);
        let queriers = Arc::new(move || -> Vec<String> {
            of_target(&members(&admin), Target::Querier)
                .filter(|member| member.state == State::Active)
                .map(|member| format!("http://{}", member.http))
                .collect()
        });
        let checked = Arc::clone(&queriers);
        self.admin.add_check(
            "query-frontend",
            Arc::new(
                move || if checked().is_empty() { Err("no querier is known yet".to_owned()) } else { Ok(()) },
            ),
        );
        Frontend::new(queriers, component_options::frontend(&self.config, &parts.limits)).router()
    }

    /// Intake ends, what is in memory or in the log goes to storage, then servers end. `/ready` and
    /// `/metrics` answer almost to the last.
    async fn stop(self) {
        let deadline = self.config.server.graceful_shutdown_timeout.0;
        self.admin.set_phase(Phase::Stopping);
        if let Some(membership) = self.admin.membership.get() {
            membership.set_state(State::Leaving).await;
        }
        tokio::time::sleep(self.config.shutdown_delay.0).await;
        self.intake.cancel();
        if let Some(ingester) = self.admin.ingester.get() {
            ingester.stop_writes();
            if self.config.ingester.flush_all_on_shutdown
                && let Err(error) = ingester.flush(deadline).await
            {
                tracing::warn!(%error, "not everything was flushed; the log keeps it for the next start");
            }
        }
        self.servers.cancel();
        self.tasks.close();
        if tokio::time::timeout(Duration::from_secs(5), self.tasks.wait()).await.is_err() {
            tracing::warn!("some connections were still open and are cut");
        }
        if let Some(membership) = self.admin.membership.get() {
            membership.leave().await;
        }
        tracing::info!("stopped");
    }
}

fn members(admin: &Admin) -> Members {
    admin.membership.get().map(Membership::members).unwrap_or_default()
}

fn of_target(members: &Members, target: Target) -> impl Iterator<Item = &Member> {
    members.values().filter(move |member| member.target == target || member.target == Target::All)
}

/// The OTLP listeners, bound before anything starts, so that an occupied port ends the process at once.
struct Receivers {
    grpc: Option<(TcpListener, usize)>,
    http: Option<TcpListener>,
}

impl Receivers {
    async fn bind(config: &Config) -> Result<Self> {
        if ![Target::All, Target::Distributor].contains(&config.target) {
            return Ok(Self { grpc: None, http: None });
        }
        let protocols = &config.distributor.receivers.otlp.protocols;
        let grpc = match &protocols.grpc {
            Some(grpc) => {
                let listener =
                    bind(&grpc.endpoint, "distributor.receivers.otlp.protocols.grpc.endpoint").await?;
                Some((listener, grpc.max_recv_msg_size_mib as usize * (1 << 20)))
            }
            None => None,
        };
        let http = match &protocols.http {
            Some(http) => {
                Some(bind(&http.endpoint, "distributor.receivers.otlp.protocols.http.endpoint").await?)
            }
            None => None,
        };
        Ok(Self { grpc, http })
    }
}

fn open_store(config: &Config) -> Result<BlockStore> {
    let cache_bytes = usize::try_from(config.retriever.cache_bytes.0).unwrap_or(usize::MAX);
    let options = StoreOptions { cache_bytes, ..StoreOptions::default() };
    Ok(BlockStore::open(&config.storage.trace, options, Some(prometheus::default_registry()))?)
}

fn local_address(listener: &TcpListener) -> Result<SocketAddr> {
    listener
        .local_addr()
        .map_err(|error| Error::new(ErrorKind::Internal, format!("a listener without an address: {error}")))
}

fn host_name() -> String {
    std::env::var("HOSTNAME").ok().filter(|name| !name.is_empty()).unwrap_or_else(|| {
        std::fs::read_to_string("/proc/sys/kernel/hostname")
            .map_or_else(|_| "localhost".to_owned(), |name| name.trim().to_owned())
    })
}

/// Runs `task` until it ends or `until` is cancelled.
fn stop_with(
    until: CancellationToken,
    task: impl Future<Output = ()> + Send + 'static,
) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(async move {
        tokio::select! {
            biased;
            () = until.cancelled() => {}
            () = task => {}
        }
    })
}
