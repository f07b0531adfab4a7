use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use futures::{FutureExt as _, StreamExt as _, stream};
use jiff::Timestamp;
use tempoform_block::BlockStore;
use tempoform_core::{Account, MemoryBudget, Result, TenantId};
use tokio::sync::Semaphore;

use crate::status::Status;
use crate::tenant::{Known, Tenant};
use crate::{Options, metrics, uploads};

/// The share of the memory ceiling that merges have: one of so many.
const MERGING_SHARE: u64 = 3;

/// Works through the tenants, cycle by cycle.
#[derive(Debug)]
pub struct Compactor {
    shared: Arc<Shared>,
    /// What is known of each from the cycles before.
    tenants: HashMap<TenantId, Known>,
    uploads_swept: Option<Instant>,
}

/// What the work on all tenants has in common.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) store: BlockStore,
    pub(crate) options: Options,
    /// What merges may have of the memory: they can wait, and queries and writes cannot.
    pub(crate) memory: MemoryBudget,
    pub(crate) account: Account,
    /// Merges under way, of all tenants. Who waits longest is next, so that a large backlog holds up nobody else.
    pub(crate) merges: Arc<Semaphore>,
    pub(crate) status: Arc<Status>,
}

impl Compactor {
    /// A compactor over `store`.
    pub fn new(store: BlockStore, options: Options) -> Self {
        metrics::register();
        let merges = Arc::new(Semaphore::new(options.concurrent_merges.clamp(1, Semaphore::MAX_PERMITS)));
        let (account, status) = (Account::default(), Arc::default());
        let memory = options.memory.part(options.memory.limit() / MERGING_SHARE);
        let shared = Arc::new(Shared { store, options, memory, account, merges, status });
        Self { shared, tenants: HashMap::new(), uploads_swept: None }
    }

    /// What it has left to do, kept up to date.
    pub fn status(&self) -> Arc<Status> {
        Arc::clone(&self.shared.status)
    }

    /// Runs cycle after cycle, for ever.
    pub async fn run(mut self) {
        loop {
            let started = Instant::now();
            if let Err(error) = self.cycle().await {
                tracing::error!(%error, "could not list the tenants");
            }
            metrics::CYCLE_SECONDS.observe(started.elapsed().as_secs_f64());
            tokio::time::sleep(self.shared.options.cycle).await;
        }
    }

    /// One cycle. A tenant that fails does not keep the others waiting.
    ///
    /// # Errors
    /// When the tenants cannot be listed.
    pub async fn cycle(&mut self) -> Result<()> {
        let found = self.shared.store.tenants(&self.shared.account).await?;
        let mut known = std::mem::take(&mut self.tenants);
        let tenants: Vec<Tenant> = found
            .into_iter()
            .map(|id| Tenant {
                shared: Arc::clone(&self.shared),
                known: known.remove(&id).unwrap_or_default(),
                id,
            })
            .collect();
        for gone in known.keys() {
            self.shared.status.forget(gone);
        }
        self.tenants = stream::iter(tenants)
            // Boxed: the compiler cannot show that the bare future is `Send` for every lifetime.
            .map(|mut tenant| {
                async move {
                    if let Err(error) = tenant.cycle().await {
                        metrics::TENANT_ERRORS.inc();
                        tracing::error!(tenant = %tenant.id, %error, "could not bring a tenant's blocks in order");
                    }
                    (tenant.id, tenant.known)
                }
                .boxed()
            })
            .buffer_unordered(self.shared.options.concurrent_merges.max(1))
            .collect()
            .await;
        self.sweep_uploads().await;
        Ok(())
    }

    /// One compactor does it, and not in each cycle: it is a listing of the whole bucket.
    async fn sweep_uploads(&mut self) {
        let is_due = self.uploads_swept.is_none_or(|last| last.elapsed() >= uploads::PERIOD);
        if is_due && (self.shared.options.owns)("unfinished uploads") {
            self.uploads_swept = Some(Instant::now());
            uploads::sweep(&self.shared, Timestamp::now()).await;
        }
    }
}
