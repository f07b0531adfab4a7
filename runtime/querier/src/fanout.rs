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
use crate::{Availability, NamedSource, QuerierOptions, Sources};

/// Share of what is left of a query's time that its sources may take: the rest is for putting the answer together and
/// saying what is missing.
const SOURCES_SHARE: f64 = 0.9;

/// Share of that which ingesters may take where blocks are read after them.
const RECENT_SHARE: f64 = 0.5;

/// Share of that which the first round may take where a second may follow.
const FIRST_ROUND_SHARE: f64 = 0.6;

/// Share of the time for blocks after which another retriever is asked as well.
const PATIENCE_SHARE: f64 = 0.5;

/// Tenants asked about at once.
const TENANTS_AT_ONCE: usize = 8;

/// How long the last ingesters are waited for when enough of them answered.
const LAST_MOMENT: Duration = Duration::from_millis(200);

/// The sources and how to ask them.
pub(crate) struct Fanout {
    recent: Sources,
    blocks: Sources,
    tolerated_recent_failures: usize,
    min_recent_sources: usize,
    memory: MemoryBudget,
}

/// The sources, asked by one query.
#[derive(Clone, Copy)]
pub(crate) struct Asking<'a> {
    fanout: &'a Fanout,
    deadline: Instant,
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
            tolerated_recent_failures: options.tolerated_recent_failures,
            min_recent_sources: options.min_recent_sources,
            memory: options.memory.clone(),
        }
    }

    /// The sources, for a query that ends at `deadline`.
    pub(crate) fn until(&self, deadline: Instant) -> Asking<'_> {
        Asking { fanout: self, deadline }
    }
}

impl Asking<'_> {
    /// What queries hold is reserved from this.
    pub(crate) fn memory(&self) -> &MemoryBudget {
        &self.fanout.memory
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

    /// Asks the ingesters the one question, then the retrievers the other; `None` leaves them out. Who does not answer
    /// in time is named, and leaves time for the others.
    async fn gather<Q: Question>(
        &self,
        tenant: &TenantId,
        recent: Option<Q>,
        blocks: Option<Q>,
    ) -> Result<Gathered<Q::Answer>> {
        let mut gathered = Gathered::default();
        let until = part_until(self.deadline, SOURCES_SHARE);
        if let Some(question) = recent {
            let until = if blocks.is_some() { part_until(until, RECENT_SHARE) } else { until };
            self.ask_recent(tenant, question, until, &mut gathered).await?;
        }
        if let Some(mut question) = blocks {
            question.set_fresh_blocks(gathered.take_fresh_blocks());
            self.ask_blocks(tenant, question, until, &mut gathered).await?;
        }
        Ok(gathered)
    }

    /// Asks all ingesters for what they lead. When one does not answer, the others are asked for what they follow as well:
    /// what it leads is there too.
    async fn ask_recent<Q: Question>(
        &self,
        tenant: &TenantId,
        mut question: Q,
        until: Instant,
        gathered: &mut Gathered<Q::Answer>,
    ) -> Result<()> {
        let Fanout { tolerated_recent_failures, min_recent_sources, .. } = *self.fanout;
        let sources = (self.fanout.recent)();
        if sources.len() < min_recent_sources {
            let (known, needed) = (sources.len(), min_recent_sources);
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
        let has_copies = tolerated_recent_failures > 0;
        let mut answered = if failed.is_empty() || !has_copies {
            let until = if has_copies { part_until(until, FIRST_ROUND_SHARE) } else { until };
            let (answered, unanswered) =
                self.ask_ingesters(tenant, &question, &serving, until, gathered).await?;
            failed.extend(unanswered);
            answered
        } else {
            serving
        };
        if !failed.is_empty() && has_copies {
            question.set_with_followed();
            let (again, unanswered) =
                self.ask_ingesters(tenant, &question, &answered, until, gathered).await?;
            failed.extend(unanswered);
            answered = again;
        }
        let complete = failed.len() <= tolerated_recent_failures && answered.len() >= min_recent_sources;
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
        until: Instant,
        gathered: &mut Gathered<Q::Answer>,
    ) -> Result<(Vec<Serving<'a>>, Vec<(&'a str, Error)>)> {
        let enough = sources.len().saturating_sub(self.fanout.tolerated_recent_failures).max(1);
        let (mut answered, mut failed) = (Vec::new(), Vec::new());
        let mut running: FuturesUnordered<_> = sources
            .iter()
            .map(|source| async { (*source, self.ask(*source, tenant, question.clone(), until).await) })
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
        until: Instant,
        gathered: &mut Gathered<Q::Answer>,
    ) -> Result<()> {
        let sources = (self.fanout.blocks)();
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
            (0..serving.len()).map(|share| self.ask_share(tenant, question.clone(), &serving, share, until));
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
        until: Instant,
    ) -> Result<Answered<Q::Answer>, Refusal> {
        if serving.len() > 1 {
            let names: Vec<_> = serving.iter().map(|source| source.name.to_owned()).collect();
            question.set_share(&names, serving[share].name);
        }
        let tries = (0..serving.len()).map(|next| {
            let asked = self.ask(serving[(share + next) % serving.len()], tenant, question.clone(), until);
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
        let patience = until.saturating_duration_since(Instant::now()).mul_f64(PATIENCE_SHARE);
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
        until: Instant,
    ) -> Result<Answered<Q::Answer>, Refusal> {
        let time = until.saturating_duration_since(Instant::now()).as_secs_f64();
        let answer = tokio::time::timeout_at(until, question.ask(source, tenant))
            .await
            .unwrap_or_else(|_| Err(Error::new(ErrorKind::Timeout, format!("no answer within {time:.3} s"))))
            .map_err(|error| match error.kind() {
                ErrorKind::Invalid => Refusal::Query(error),
                _ => Refusal::Source { name: name.to_owned(), error },
            })?;
        let bytes = (answer.encoded_len() as u64).saturating_mul(Q::MEMORY_FACTOR);
        let held = self.memory().reserve(bytes, "what a query found").map_err(Refusal::Query)?;
        Ok((answer, held))
    }
}

/// When this share of the time until `end` will be over.
fn part_until(end: Instant, share: f64) -> Instant {
    let now = Instant::now();
    now + end.saturating_duration_since(now).mul_f64(share)
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

#[cfg(test)]
mod tests {
    use tempoform_wire::internal::{
        FindTraceRequest, FindTraceResponse, SearchRequest, SearchResponse, TagNamesRequest,
        TagNamesResponse, TagValuesRequest, TagValuesResponse,
    };

    use super::*;

    /// A source that never answers.
    struct Hung;

    #[async_trait::async_trait]
    impl TraceSource for Hung {
        async fn find_trace(&self, _: &TenantId, _: FindTraceRequest) -> Result<FindTraceResponse> {
            std::future::pending().await
        }

        async fn search(&self, _: &TenantId, _: SearchRequest) -> Result<SearchResponse> {
            std::future::pending().await
        }

        async fn tag_names(&self, _: &TenantId, _: TagNamesRequest) -> Result<TagNamesResponse> {
            std::future::pending().await
        }

        async fn tag_values(&self, _: &TenantId, _: TagValuesRequest) -> Result<TagValuesResponse> {
            std::future::pending().await
        }
    }

    fn hung(names: &'static [&'static str]) -> Sources {
        std::sync::Arc::new(|| {
            names.iter().map(|name| NamedSource::new(*name, std::sync::Arc::new(Hung))).collect()
        })
    }

    #[tokio::test]
    async fn sources_that_hang_are_named_before_the_query_ends() {
        let options = QuerierOptions { tolerated_recent_failures: 1, ..QuerierOptions::default() };
        let fanout = Fanout::new(hung(&["i0", "i1", "i2"]), hung(&["r0"]), &options);
        let time = Duration::from_millis(300);
        let started = Instant::now();
        let question = Some(FindTraceRequest::default());
        let asking = fanout.until(started + time);
        let gathered = asking.gather(&TenantId::single(), question.clone(), question).await.unwrap();
        let failures: Vec<_> =
            gathered.failures.iter().map(|one| (one.source.as_str(), one.message.as_str())).collect();
        // What each was given, not what the machine made of it.
        let given = |message: &str| message.split(' ').nth(3).and_then(|time| time.parse::<f64>().ok());
        let given: Vec<_> = failures.iter().filter_map(|(_, message)| given(message)).collect();
        assert_eq!(given.len(), 4, "{failures:?}");
        assert!(given.iter().all(|seconds| *seconds < time.as_secs_f64()), "{failures:?}");
        assert!(given[..3].iter().all(|seconds| *seconds <= 0.5 * time.as_secs_f64()), "{failures:?}");
        assert!(gathered.any_answered().unwrap_err().kind() == ErrorKind::Timeout);
    }
}
