//! One process: what it runs, in which order it starts, and in which order it ends.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use tempoform_block::BlockStore;
use tempoform_compactor::Compactor;
use tempoform_config::{Config, Target};
use tempoform_core::push_rpc::{ExportServer, ToIngester};
use tempoform_core::{Account, Error, ErrorKind, MemoryBudget, Result, SourceService, SpanSink, TraceSource};
use tempoform_distributor::Distributor;
use tempoform_ingester::Ingester;
use tempoform_querier::{Frontend, Querier};
use tempoform_retriever::Retriever;
use tempoform_wire::internal::blocks_server::BlocksServer;
use tempoform_wire::internal::recent_server::RecentServer;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tonic::service::RoutesBuilder;

use crate::admin::{Admin, Phase};
use crate::ingester_rpc::IngesterRpc;
use crate::listen::{Listener, endpoint};
use crate::membership::{Member, Membership, State, own_ip};
use crate::overrides::TenantLimits;
use crate::peers::Peers;
use crate::receivers::Receivers;
use crate::servers::{self, Servers, until_cancelled};
use crate::tls::ServerFiles;
use crate::{component_options, memory_limit};

/// How long requests under way may take to end once the process stops.
const REQUESTS_TIMEOUT: Duration = Duration::from_secs(5);

/// Runs until a signal or an operator ends the process.
pub(crate) async fn run(config: Config) -> Result<()> {
    let mut end = End::listen()?;
    let running = tokio::select! {
        started = Process::start(config) => started?,
        // During a long replay too.
        () = end.signal() => return Ok(()),
    };
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
    /// Ends receivers.
    intake: CancellationToken,
    /// Ends everything else.
    end: CancellationToken,
    servers: Servers,
    /// Those that take spans in, which end first.
    receivers: Servers,
}

/// What the parts of a process use together.
struct Parts {
    limits: Arc<TenantLimits>,
    memory: MemoryBudget,
    peers: Peers,
    ingester: Option<Arc<Ingester>>,
    retriever: Option<Arc<Retriever>>,
}

impl Process {
    async fn start(config: Config) -> Result<Self> {
        let (http, grpc) = bind(&config).await?;
        let receivers = Receivers::bind(&config).await?;
        let process = Self {
            admin: Admin::new(config.clone()),
            servers: Servers::new(&config.server),
            receivers: Servers::new(&config.server),
            config,
            intake: CancellationToken::new(),
            end: CancellationToken::new(),
        };
        let (http_address, grpc_address) = (http.local_address()?, grpc.local_address()?);
        // Readiness and metrics answer during a long replay.
        process.servers.http(http, process.admin.router(), process.end.clone());
        process.join(http_address, grpc_address).await?;
        let parts = process.parts().await?;
        process.serve_grpc(grpc, &parts);
        if let Some(receivers) = receivers {
            receivers.start(&process.distributor(&parts), &process.receivers, &process.intake);
        }
        process.admin.set_api(process.api(&parts)?);
        process.admin.set_phase(Phase::Serving);
        if let Some(membership) = process.admin.membership.get() {
            membership.set_state(State::Active).await;
        }
        tracing::info!(target = %process.config.target, http = %http_address, grpc = %grpc_address, "started");
        Ok(process)
    }

    fn runs(&self, target: Target) -> bool {
        self.config.target.runs(target)
    }

    /// Runs `task` until the process ends.
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.servers.tasks().spawn(until_cancelled(self.end.clone(), task));
    }

    async fn parts(&self) -> Result<Parts> {
        let config = &self.config;
        let limits = TenantLimits::load(config.overrides.clone())?;
        self.spawn(Arc::clone(&limits).follow());
        // Set once, here.
        drop(self.admin.limits.set(Arc::clone(&limits)));
        let mut parts = Parts {
            limits,
            memory: memory_limit::budget(&config.memory),
            peers: Peers::new(Arc::clone(&self.admin), config)?,
            ingester: None,
            retriever: None,
        };
        if let Some(tls) = parts.peers.tls() {
            self.spawn(Arc::clone(tls).follow());
        }
        let needs_store = [Target::Ingester, Target::Retriever, Target::Compactor]
            .into_iter()
            .any(|target| self.runs(target));
        if !needs_store {
            return Ok(parts);
        }
        let store = self.open_store(&parts.memory).await?;
        if self.runs(Target::Ingester) {
            parts.ingester = Some(self.ingester(&parts, store.clone()).await?);
        }
        if self.runs(Target::Retriever) {
            parts.retriever = Some(self.retriever(&parts, store.clone()));
        }
        if self.runs(Target::Compactor) {
            let owns = parts.peers.owns(Target::Compactor);
            let options = component_options::compactor(config, &parts.limits, &parts.memory, owns);
            let compactor = Compactor::new(store, options);
            // Set once, here.
            drop(self.admin.compactor.set(compactor.status()));
            self.spawn(compactor.run());
        }
        Ok(parts)
    }

    async fn open_store(&self, memory: &MemoryBudget) -> Result<BlockStore> {
        let options = component_options::store(&self.config, memory);
        let registry = Some(prometheus::default_registry());
        let store = BlockStore::open(&self.config.storage.trace, options, registry)?;
        if self.runs(Target::Retriever)
            && let Some(options) = component_options::disk_cache(&self.config)
        {
            store.use_disk_cache(&options).await?;
        }
        Ok(store)
    }

    async fn ingester(&self, parts: &Parts, store: BlockStore) -> Result<Arc<Ingester>> {
        let options = component_options::ingester(&self.config, &parts.limits, &parts.peers);
        let ingester = Ingester::start(options, store, parts.memory.clone()).await?;
        // Set once, here.
        drop(self.admin.ingester.set(Arc::clone(&ingester)));
        let checked = Arc::clone(&ingester);
        self.admin.add_check("ingester", Arc::new(move || checked.check()));
        self.spawn(tell_unflushed(Arc::clone(&self.admin), Arc::clone(&ingester)));
        Ok(ingester)
    }

    fn retriever(&self, parts: &Parts, store: BlockStore) -> Arc<Retriever> {
        let retriever = Retriever::new(store, component_options::retriever(&self.config, &parts.memory));
        // Set once, here.
        drop(self.admin.retriever.set(Arc::clone(&retriever)));
        let running = Arc::clone(&retriever);
        // Dropped when the process ends, which ends the polling.
        let (polling, stopped) = tokio::sync::watch::channel(false);
        self.servers.tasks().spawn(running.run(stopped));
        let until = self.end.clone();
        self.servers.tasks().spawn(async move {
            until.cancelled().await;
            drop(polling);
        });
        let checked = Arc::clone(&retriever);
        self.admin.add_check(
            "retriever",
            Arc::new(move || {
                if checked.is_ready() { Ok(()) } else { Err("the block list was not read yet".to_owned()) }
            }),
        );
        retriever
    }

    async fn join(&self, http: SocketAddr, grpc: SocketAddr) -> Result<()> {
        let settings = &self.config.memberlist;
        let name = if settings.node_name.is_empty() { host_name() } else { settings.node_name.clone() };
        let own = Member::starting(
            name,
            self.config.target,
            self.advertised(grpc),
            self.advertised(http),
            self.config.ingester.lifecycler.availability_zone.clone(),
        );
        let alone = self.config.target == Target::All && settings.join_members.is_empty();
        let membership =
            if alone { Membership::alone(own) } else { Membership::join(own, &self.config).await? };
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

    fn serve_grpc(&self, listener: Listener, parts: &Parts) {
        let size = |size: u64| usize::try_from(size).unwrap_or(usize::MAX);
        let incoming = size(self.config.server.grpc_server_max_recv_msg_size.0);
        let mut routes = RoutesBuilder::default();
        if let Some(ingester) = &parts.ingester {
            let sink = Arc::clone(ingester) as Arc<dyn SpanSink>;
            // Blocks must be built meanwhile.
            let share = parts.memory.part(parts.memory.limit() / 4);
            let handler = Arc::new(IngesterRpc::new(sink, share));
            routes.add_service(ExportServer::<ToIngester, _>::new(handler, incoming));
            let source = SourceService::new(
                Arc::clone(ingester) as Arc<dyn TraceSource>,
                Arc::new(Account::default()),
            );
            routes.add_service(RecentServer::new(source).max_decoding_message_size(incoming));
        }
        if let Some(retriever) = &parts.retriever {
            let source =
                SourceService::new(Arc::clone(retriever) as Arc<dyn TraceSource>, retriever.account());
            routes.add_service(BlocksServer::new(source).max_decoding_message_size(incoming));
        }
        self.servers.grpc(listener, routes, self.end.clone());
    }

    fn distributor(&self, parts: &Parts) -> Arc<Distributor> {
        let placements = parts.peers.placements(parts.ingester.as_ref());
        let checked = Arc::clone(&placements);
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
        let options = component_options::distributor(&self.config, &parts.limits, parts.peers.distributors());
        Distributor::new(options, placements, parts.memory.clone())
    }

    /// The query API, where this process has it.
    fn api(&self, parts: &Parts) -> Result<Router> {
        if self.config.target == Target::QueryFrontend {
            return self.frontend(parts);
        }
        if !self.runs(Target::Querier) {
            return Ok(Router::new());
        }
        let recent = parts.peers.recent(parts.ingester.clone());
        let blocks = parts.peers.blocks(parts.retriever.clone());
        let checked = (Arc::clone(&recent), Arc::clone(&blocks));
        self.admin.add_check(
            "querier",
            Arc::new(move || match (checked.0().len(), checked.1().len()) {
                (0, _) => Err("no ingester is known yet".to_owned()),
                (_, 0) => Err("no retriever is known yet".to_owned()),
                _ => Ok(()),
            }),
        );
        Ok(Querier::new(
            recent,
            blocks,
            component_options::querier(&self.config, &parts.limits, &parts.memory),
        )
        .router())
    }

    fn frontend(&self, parts: &Parts) -> Result<Router> {
        let queriers = parts.peers.queriers();
        let checked = Arc::clone(&queriers);
        self.admin.add_check(
            "query-frontend",
            Arc::new(
                move || if checked().is_empty() { Err("no querier is known yet".to_owned()) } else { Ok(()) },
            ),
        );
        let tls = parts.peers.tls().map(|tls| tls.config(&[]));
        let options = component_options::frontend(&self.config, &parts.limits);
        Ok(Frontend::new(queriers, tls, options)?.router())
    }

    /// Intake ends, what is in the log goes to storage, then servers end. `/ready` and `/metrics` answer almost to
    /// the last.
    async fn stop(self) {
        let deadline = Instant::now() + self.config.server.graceful_shutdown_timeout.0;
        self.admin.set_phase(Phase::Stopping);
        if let Some(membership) = self.admin.membership.get() {
            membership.set_state(State::Leaving).await;
        }
        tokio::time::sleep(self.config.shutdown_delay.0).await;
        self.intake.cancel();
        self.receivers.drained(deadline.min(Instant::now() + REQUESTS_TIMEOUT)).await;
        let mut handed_over = true;
        if let Some(ingester) = self.admin.ingester.get() {
            ingester.stop_writes();
            handed_over = self.config.ingester.flush_all_on_shutdown;
            if handed_over && let Err(error) = flush_and_hand_over(ingester, deadline).await {
                handed_over = false;
                tracing::warn!(%error, "not everything was flushed; the log keeps it for the next start");
            }
        }
        // A write that was under way may have come after the flush.
        let unflushed = self.admin.ingester.get().map_or(0, |ingester| ingester.unflushed_segments());
        if let Some(membership) = self.admin.membership.get() {
            membership.leave(handed_over && unflushed == 0).await;
        }
        self.end.cancel();
        self.servers.drained(Instant::now() + REQUESTS_TIMEOUT).await;
        tracing::info!("stopped");
    }
}

/// How often others are told how much of the log is not in storage.
const TELL_PERIOD: Duration = Duration::from_secs(5);

/// Tells others what an operator may want to know once this process does not answer any more.
async fn tell_unflushed(admin: Arc<Admin>, ingester: Arc<Ingester>) {
    while let Some(membership) = admin.membership.get() {
        membership.set_unflushed(ingester.unflushed_segments() as u64).await;
        tokio::time::sleep(TELL_PERIOD).await;
    }
}

/// Leaves nothing behind that only this ingester would bring to storage.
pub(crate) async fn flush_and_hand_over(ingester: &Ingester, deadline: Instant) -> Result<()> {
    let left = || deadline.saturating_duration_since(Instant::now());
    ingester.flush(left()).await?;
    ingester.hand_over(left()).await
}

/// The two listeners that every process has, bound before anything starts.
async fn bind(config: &Config) -> Result<(Listener, Listener)> {
    const HTTP: &str = "server.http_listen_port";
    const GRPC: &str = "server.grpc_listen_port";
    let server = &config.server;
    let tls = |setting, tls: &Option<tempoform_config::ServerTls>| {
        tls.as_ref().map(|tls| ServerFiles::of_server(setting, tls))
    };
    let http = endpoint(&server.http_listen_address, server.http_listen_port);
    let grpc = endpoint(&server.grpc_listen_address, server.grpc_listen_port);
    let http_tls = tls("server.http_tls_config", &server.http_tls_config);
    let grpc_tls = tls("server.grpc_tls_config", &server.grpc_tls_config);
    Ok((
        Listener::bind(&http, HTTP, http_tls, servers::HTTP).await?,
        Listener::bind(&grpc, GRPC, grpc_tls, servers::GRPC).await?,
    ))
}

fn host_name() -> String {
    std::env::var("HOSTNAME").ok().filter(|name| !name.is_empty()).unwrap_or_else(|| {
        std::fs::read_to_string("/proc/sys/kernel/hostname")
            .map_or_else(|_| "localhost".to_owned(), |name| name.trim().to_owned())
    })
}
