//! Asking the sources: all ingesters first, then the retrievers, which share the blocks among them and also hear
//! of the blocks that the ingesters uploaded lately.

use std::collections::HashSet;
use std::time::Duration;

use futures::future::join_all;
use futures::stream::FuturesUnordered;
use futures::{StreamExt as _, stream};
use prost::Message as _;
use tempoform_core::{Error, ErrorKind, MemoryBudget, Reservation, Result, TenantId, TraceSource};
use tokio::time::Instant;

use crate::gathered::Gathered;
use crate::metrics::SOURCE_FAILURES;
use crate::question::Question;
use crate::staggered::{Try, staggered};
use crate::{Availability, NamedSource, QuerierOptions, QueryTimeouts, Sources};

/// Share of a query's time that one source may take before it counts as failed: the rest is for saying so.
const SOURCE_SHARE: f64 = 0.8;

/// Share of a query's time after which another retriever is asked as well.
const PATIENCE_SHARE: f64 = 0.4;

/// How long the last ingesters are waited for when enough of them answered.
const LAST_MOMENT: Duration = Duration::from_millis(200);

/// Tenants asked about at once.
const TENANTS_AT_ONCE: usize = 8;

/// The sources and how to ask them.
pub(crate) struct Fanout {
    recent: Sources,
    blocks: Sources,
    timeouts: QueryTimeouts,
    tolerated_recent_failures: usize,
    min_recent_sources: usize,
    memory: MemoryBudget,
}

/// A source that can be asked.
#[derive(Clone, Copy)]
struct Serving<'a> {
    name: &'a str,
    source: &'a dyn TraceSource,
}

/// An answer and the memory that it takes.
type Answered<A> = (A, Reservation);

/// Why there is no answer.
enum Refusal {
    /// The query is wrong, or too large for this process: no other source helps.
    Query(Error),
    /// This source failed.
    Source { name: String, error: Error },
}

impl Fanout {
    pub(crate) fn new(recent: Sources, blocks: Sources, options: &QuerierOptions) -> Self {
        Self {
            recent,
            blocks,
            timeouts: options.timeouts,
            tolerated_recent_failures: options.tolerated_recent_failures,
            min_recent_sources: options.min_recent_sources,
            memory: options.memory.clone(),
        }
    }

    /// What queries hold is reserved from this.
    pub(crate) fn memory(&self) -> &MemoryBudget {
        &self.memory
    }

    /// Asks about several tenants, see [`gather`](Self::gather).
    ///
    /// # Errors
    /// When a source calls the question wrong, the answers do not fit into memory, or no source answered.
    pub(crate) async fn gather_all<Q: Question>(
        &self,
        tenants: &[TenantId],
        recent: Option<Q>,
        blocks: Option<Q>,
    ) -> Result<Gathered<Q::Answer>> {
        let asked: Vec<_> =
            tenants.iter().map(|tenant| self.gather(tenant, recent.clone(), blocks.clone())).collect();
        let mut asked = stream::iter(asked).buffered(TENANTS_AT_ONCE);
        let mut all = Gathered::default();
        while let Some(gathered) = asked.next().await {
            all.merge(gathered?);
        }
        for failure in &all.failures {
            SOURCE_FAILURES.with_label_values(&["part"]).inc();
            tracing::warn!(?tenants, source = failure.source, message = failure.message, "partial answer");
        }
        all.any_answered()
    }

    /// Asks the ingesters the one question, then the retrievers the other; `None` leaves them out.
    async fn gather<Q: Question>(
        &self,
        tenant: &TenantId,
        recent: Option<Q>,
        blocks: Option<Q>,
    ) -> Result<Gathered<Q::Answer>> {
        let mut gathered = Gathered::default();
        if let Some(question) = recent {
            self.ask_recent(tenant, question, &mut gathered).await?;
        }
        if let Some(mut question) = blocks {
            question.set_fresh_blocks(gathered.take_fresh_blocks());
            self.ask_blocks(tenant, question, &mut gathered).await?;
        }
        Ok(gathered)
    }

    /// Asks all ingesters for what they lead. When one does not answer, the others are asked for what they follow as well:
    /// what it leads is there too.
    async fn ask_recent<Q: Question>(
        &self,
        tenant: &TenantId,
        mut question: Q,
        gathered: &mut Gathered<Q::Answer>,
    ) -> Result<()> {
        let sources = (self.recent)();
        if sources.len() < self.min_recent_sources {
            let (known, needed) = (sources.len(), self.min_recent_sources);
            gathered.add_missing(
                "ingesters",
                format!("{known} are known, {needed} are needed; recent spans may be missing"),
            );
        }
        gathered.asked += sources.len() as u32;
        let (mut serving, mut failed) = (Vec::new(), Vec::new());
        for NamedSource { name, availability } in &sources {
            match availability {
                Availability::Missing { why } => failed.push((name.as_str(), missing(why))),
                Availability::Serving(source) => serving.push(Serving { name, source: &**source }),
            }
        }
        let has_copies = self.tolerated_recent_failures > 0;
        let mut answered = if failed.is_empty() || !has_copies {
            let (answered, unanswered) = self.ask_ingesters(tenant, &question, &serving, gathered).await?;
            failed.extend(unanswered);
            answered
        } else {
            serving
        };
        if !failed.is_empty() && has_copies {
            question.set_with_followed();
            let (again, unanswered) = self.ask_ingesters(tenant, &question, &answered, gathered).await?;
            failed.extend(unanswered);
            answered = again;
        }
        let complete =
            failed.len() <= self.tolerated_recent_failures && answered.len() >= self.min_recent_sources;
        for (ingester, error) in failed {
            SOURCE_FAILURES.with_label_values(&["ingester"]).inc();
            tracing::warn!(%tenant, ingester, %error, "an ingester did not answer a query");
            gathered.add_unanswered(error.kind());
            if !complete {
                gathered.add_missing(ingester, error.message());
            }
        }
        Ok(())
    }

    /// Asks these ingesters: those that answered, and why the others did not. When so many answered that the others may
    /// fail, these are waited for only a moment more.
    async fn ask_ingesters<'a, Q: Question>(
        &self,
        tenant: &TenantId,
        question: &Q,
        sources: &[Serving<'a>],
        gathered: &mut Gathered<Q::Answer>,
    ) -> Result<(Vec<Serving<'a>>, Vec<(&'a str, Error)>)> {
        let enough = sources.len().saturating_sub(self.tolerated_recent_failures).max(1);
        let (mut answered, mut failed) = (Vec::new(), Vec::new());
        let mut running: FuturesUnordered<_> = sources
            .iter()
            .map(|source| async { (*source, self.ask(*source, tenant, question.clone()).await) })
            .collect();
        let mut last_moment = None;
        loop {
            let next = match last_moment {
                None => running.next().await,
                Some(moment) => tokio::time::timeout_at(moment, running.next()).await.unwrap_or_default(),
            };
            let Some((source, outcome)) = next else { break };
            match outcome {
                Ok((answer, held)) => {
                    gathered.add::<Q>(answer, held);
                    answered.push(source);
                }
                Err(Refusal::Query(error)) => return Err(error),
                Err(Refusal::Source { error, .. }) => failed.push((source.name, error)),
            }
            if answered.len() >= enough {
                last_moment.get_or_insert_with(|| Instant::now() + LAST_MOMENT);
            }
        }
        let known: HashSet<&str> =
            answered.iter().map(|source| source.name).chain(failed.iter().map(|(name, _)| *name)).collect();
        let late = sources.iter().filter(|source| !known.contains(source.name));
        let error = || Error::new(ErrorKind::Timeout, "had not answered when enough others had");
        failed.extend(late.map(|source| (source.name, error())));
        Ok((answered, failed))
    }

    /// Asks each retriever for its share of the blocks.
    async fn ask_blocks<Q: Question>(
        &self,
        tenant: &TenantId,
        question: Q,
        gathered: &mut Gathered<Q::Answer>,
    ) -> Result<()> {
        let sources = (self.blocks)();
        let mut serving = Vec::new();
        for source in &sources {
            match &source.availability {
                Availability::Serving(retriever) => {
                    serving.push(Serving { name: &source.name, source: &**retriever });
                }
                Availability::Missing { why } => {
                    tracing::debug!(retriever = source.name, why, "a retriever is missing; others stand in");
                }
            }
        }
        if serving.is_empty() {
            gathered.asked += 1;
            gathered.add_missing("retrievers", none_serves(&sources));
            return Ok(());
        }
        gathered.asked += serving.len() as u32;
        let shares =
            (0..serving.len()).map(|share| self.ask_share(tenant, question.clone(), &serving, share));
        for outcome in join_all(shares).await {
            match outcome {
                Ok((answer, held)) => gathered.add::<Q>(answer, held),
                Err(Refusal::Query(error)) => return Err(error),
                Err(Refusal::Source { name, error }) => {
                    gathered.add_unanswered(error.kind());
                    gathered.add_missing(name, error.message());
                }
            }
        }
        Ok(())
    }

    /// Asks the retriever with this index for its share of the blocks, or else the next ones for the same share.
    async fn ask_share<Q: Question>(
        &self,
        tenant: &TenantId,
        mut question: Q,
        serving: &[Serving<'_>],
        share: usize,
    ) -> Result<Answered<Q::Answer>, Refusal> {
        if serving.len() > 1 {
            let names: Vec<_> = serving.iter().map(|source| source.name.to_owned()).collect();
            question.set_share(&names, serving[share].name);
        }
        let tries = (0..serving.len()).map(|next| {
            let asked = self.ask(serving[(share + next) % serving.len()], tenant, question.clone());
            async move {
                match asked.await {
                    Err(Refusal::Source { name, error }) => {
                        SOURCE_FAILURES.with_label_values(&["retriever"]).inc();
                        tracing::warn!(%tenant, retriever = name, %error, "a retriever did not answer a query");
                        let next_may_do = matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Timeout);
                        let refusal = Err(Refusal::Source { name, error });
                        if next_may_do { Try::Failed(refusal) } else { Try::Final(refusal) }
                    }
                    outcome => Try::Final(outcome),
                }
            }
        });
        let patience = Q::timeout(&self.timeouts).mul_f64(PATIENCE_SHARE);
        staggered(tries, patience, serving.len()).await.unwrap_or_else(|failed| {
            failed.into_iter().next_back().unwrap_or_else(|| {
                Err(Refusal::Source { name: "retrievers".to_owned(), error: missing("none was asked") })
            })
        })
    }

    async fn ask<Q: Question>(
        &self,
        Serving { name, source }: Serving<'_>,
        tenant: &TenantId,
        question: Q,
    ) -> Result<Answered<Q::Answer>, Refusal> {
        let timeout = Q::timeout(&self.timeouts).mul_f64(SOURCE_SHARE);
        let answer = tokio::time::timeout(timeout, question.ask(source, tenant))
            .await
            .unwrap_or_else(|_| Err(Error::new(ErrorKind::Timeout, format!("no answer within {timeout:?}"))))
            .map_err(|error| match error.kind() {
                ErrorKind::Invalid => Refusal::Query(error),
                _ => Refusal::Source { name: name.to_owned(), error },
            })?;
        let bytes = (answer.encoded_len() as u64).saturating_mul(Q::MEMORY_FACTOR);
        let held = self.memory.reserve(bytes, "what a query found").map_err(Refusal::Query)?;
        Ok((answer, held))
    }
}

fn missing(why: &str) -> Error {
    Error::new(ErrorKind::Unavailable, why)
}

fn none_serves(sources: &[NamedSource]) -> String {
    let why = |source: &NamedSource| match &source.availability {
        Availability::Missing { why } => Some(format!("{}: {why}", source.name)),
        Availability::Serving(_) => None,
    };
    let missing: Vec<_> = sources.iter().filter_map(why).collect();
    if missing.is_empty() {
        return "none is known; blocks could not be read".to_owned();
    }
    format!("none can answer ({}); blocks could not be read", missing.join(", "))
}
