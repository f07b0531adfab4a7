//! Asking the sources: all ingesters first, then one retriever, which also hears of the blocks that the
//! ingesters uploaded lately.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use bytes::Bytes;
use futures::future::join_all;
use tempoform_core::{Account, Error, ErrorKind, Result, TenantId, TraceSource};
use tempoform_wire::internal::{
    Failure, FindTraceRequest, FindTraceResponse, ReadAccount, SearchRequest, SearchResponse,
    TagNamesRequest, TagNamesResponse, TagValuesRequest, TagValuesResponse,
};

use crate::metrics::SOURCE_FAILURES;
use crate::{NamedSource, QuerierOptions, QueryTimeouts, Sources};

/// Share of a query's time that one source may take before it counts as failed: the rest is for saying so.
const SOURCE_SHARE: f64 = 0.8;

/// One of the four questions that a [`TraceSource`] answers.
#[async_trait::async_trait]
pub(crate) trait Question: Clone + Send + Sync {
    type Answer: Send;

    async fn ask(self, source: &dyn TraceSource, tenant: &TenantId) -> Result<Self::Answer>;

    /// Blocks that a retriever reads although its list may not have them yet.
    fn set_fresh_blocks(&mut self, metas: Vec<Bytes>);

    /// Questions with the same affinity go to the same retriever, whose cache then has the blocks.
    fn affinity(&self) -> &[u8];

    /// The deadline of the query that asks.
    fn timeout(timeouts: &QueryTimeouts) -> Duration;

    /// Takes the parts that all answers have.
    fn take_common(answer: &mut Self::Answer) -> Common;
}

#[derive(Debug, Default)]
pub(crate) struct Common {
    fresh_blocks: Vec<Bytes>,
    failures: Vec<Failure>,
    account: Option<ReadAccount>,
}

macro_rules! question {
    ($request:ident, $answer:ident, $method:ident, $affinity:ident, $timeout:ident) => {
        #[async_trait::async_trait]
        impl Question for $request {
            type Answer = $answer;

            async fn ask(self, source: &dyn TraceSource, tenant: &TenantId) -> Result<$answer> {
                source.$method(tenant, self).await
            }

            fn set_fresh_blocks(&mut self, metas: Vec<Bytes>) {
                self.fresh_blocks = metas;
            }

            fn affinity(&self) -> &[u8] {
                self.$affinity.as_ref()
            }

            fn timeout(timeouts: &QueryTimeouts) -> Duration {
                timeouts.$timeout
            }

            fn take_common(answer: &mut $answer) -> Common {
                Common {
                    fresh_blocks: std::mem::take(&mut answer.fresh_blocks),
                    failures: std::mem::take(&mut answer.failures),
                    account: answer.account.take(),
                }
            }
        }
    };
}

question!(FindTraceRequest, FindTraceResponse, find_trace, trace_id, trace_by_id);
question!(SearchRequest, SearchResponse, search, query, search);
question!(TagNamesRequest, TagNamesResponse, tag_names, scope, search);
question!(TagValuesRequest, TagValuesResponse, tag_values, tag, search);

/// What the sources answered, and what is missing.
#[derive(Debug)]
pub(crate) struct Gathered<A> {
    pub(crate) answers: Vec<A>,
    pub(crate) failures: Vec<Failure>,
    pub(crate) account: Account,
    /// Sources that were asked.
    pub(crate) asked: u32,
    /// Why sources did not answer at all.
    errors: Vec<ErrorKind>,
    fresh_blocks: HashSet<Bytes>,
}

impl<A> Default for Gathered<A> {
    fn default() -> Self {
        Self {
            answers: Vec::new(),
            failures: Vec::new(),
            account: Account::default(),
            asked: 0,
            errors: Vec::new(),
            fresh_blocks: HashSet::new(),
        }
    }
}

impl<A> Gathered<A> {
    /// What is missing, for a person; `None` if nothing is.
    pub(crate) fn missing(&self) -> Option<String> {
        let (first, others) = self.failures.split_first()?;
        let mut text = format!("{}: {}", first.source, first.message);
        if !others.is_empty() {
            text.push_str(&format!(" (and {} more failures)", others.len()));
        }
        Some(text)
    }

    /// Takes the answers apart from what is known about them.
    pub(crate) fn split(self) -> (Vec<A>, Gathered<()>) {
        let Self { answers, failures, account, asked, errors, fresh_blocks } = self;
        (answers, Gathered { answers: Vec::new(), failures, account, asked, errors, fresh_blocks })
    }

    /// Sources that did not answer at all.
    pub(crate) fn unanswered(&self) -> u32 {
        self.errors.len() as u32
    }

    /// Adds what was gathered for another tenant.
    pub(crate) fn merge(&mut self, other: Self) {
        let Self { answers, failures, account, asked, errors, fresh_blocks: _ } = other;
        self.answers.extend(answers);
        self.failures.extend(failures);
        self.account.add(&account.snapshot());
        self.asked += asked;
        self.errors.extend(errors);
    }

    /// # Errors
    /// When no source answered: with the kind of their errors if all have the same, else "unavailable".
    pub(crate) fn any_answered(self) -> Result<Self> {
        if !self.answers.is_empty() {
            return Ok(self);
        }
        let kind = match self.errors.split_first() {
            Some((first, others)) if others.iter().all(|kind| kind == first) => match first {
                ErrorKind::Exhausted | ErrorKind::Timeout => *first,
                _ => ErrorKind::Unavailable,
            },
            _ => ErrorKind::Unavailable,
        };
        let missing = self.missing().unwrap_or_else(|| "no source is known".to_owned());
        Err(Error::new(kind, format!("nothing could be read: {missing}")))
    }

    fn add<Q: Question<Answer = A>>(&mut self, mut answer: A) {
        let Common { fresh_blocks, failures, account } = Q::take_common(&mut answer);
        self.fresh_blocks.extend(fresh_blocks);
        self.failures.extend(failures);
        self.account.add(&account.unwrap_or_default());
        self.answers.push(answer);
    }

    fn add_failure(&mut self, source: &str, message: impl Into<String>) {
        self.failures.push(Failure { source: source.to_owned(), message: message.into() });
    }
}

/// The sources and how to ask them.
pub(crate) struct Fanout {
    recent: Sources,
    blocks: Sources,
    timeouts: QueryTimeouts,
    tolerated_recent_failures: usize,
    min_recent_sources: usize,
}

impl Fanout {
    pub(crate) fn new(recent: Sources, blocks: Sources, options: &QuerierOptions) -> Self {
        Self {
            recent,
            blocks,
            timeouts: options.timeouts,
            tolerated_recent_failures: options.tolerated_recent_failures,
            min_recent_sources: options.min_recent_sources,
        }
    }

    /// Asks about several tenants, see [`gather`](Self::gather).
    ///
    /// # Errors
    /// When a source calls the question wrong, or no source answered.
    pub(crate) async fn gather_all<Q: Question>(
        &self,
        tenants: &[TenantId],
        recent: Option<Q>,
        blocks: Option<Q>,
    ) -> Result<Gathered<Q::Answer>> {
        let asked = tenants.iter().map(|tenant| self.gather(tenant, recent.clone(), blocks.clone()));
        let mut all = Gathered::default();
        for gathered in join_all(asked).await {
            all.merge(gathered?);
        }
        for failure in &all.failures {
            SOURCE_FAILURES.with_label_values(&["part"]).inc();
            tracing::warn!(?tenants, source = failure.source, message = failure.message, "partial answer");
        }
        all.any_answered()
    }

    /// Asks the ingesters the one question, then a retriever the other; `None` leaves them out.
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
            question.set_fresh_blocks(gathered.fresh_blocks.drain().collect());
            self.ask_blocks(tenant, question, &mut gathered).await?;
        }
        Ok(gathered)
    }

    async fn ask_recent<Q: Question>(
        &self,
        tenant: &TenantId,
        question: Q,
        gathered: &mut Gathered<Q::Answer>,
    ) -> Result<()> {
        let sources = (self.recent)();
        if sources.len() < self.min_recent_sources {
            let (known, needed) = (sources.len(), self.min_recent_sources);
            gathered.add_failure(
                "ingesters",
                format!("{known} are known, {needed} are needed; recent spans may be missing"),
            );
        }
        gathered.asked += sources.len() as u32;
        let answers = join_all(sources.iter().map(|source| self.ask(source, tenant, question.clone()))).await;
        let mut failed = Vec::new();
        for (source, answer) in sources.iter().zip(answers) {
            match answer {
                Ok(answer) => gathered.add::<Q>(answer),
                Err(error) if error.kind() == ErrorKind::Invalid => return Err(error),
                Err(error) => {
                    SOURCE_FAILURES.with_label_values(&["ingester"]).inc();
                    tracing::warn!(%tenant, ingester = source.name, %error, "an ingester did not answer a query");
                    failed.push((source, error));
                }
            }
        }
        gathered.errors.extend(failed.iter().map(|(_, error)| error.kind()));
        if failed.len() > self.tolerated_recent_failures {
            for (source, error) in failed {
                gathered.add_failure(&source.name, error.message());
            }
        }
        Ok(())
    }

    /// Asks the retriever that this question belongs to, or else the next one.
    async fn ask_blocks<Q: Question>(
        &self,
        tenant: &TenantId,
        question: Q,
        gathered: &mut Gathered<Q::Answer>,
    ) -> Result<()> {
        gathered.asked += 1;
        let mut last_error = None;
        for source in preferred(&(self.blocks)(), tenant, question.affinity()) {
            match self.ask(source, tenant, question.clone()).await {
                Ok(answer) => {
                    gathered.add::<Q>(answer);
                    return Ok(());
                }
                Err(error) if error.kind() == ErrorKind::Invalid => return Err(error),
                Err(error) => {
                    SOURCE_FAILURES.with_label_values(&["retriever"]).inc();
                    tracing::warn!(%tenant, retriever = source.name, %error, "a retriever did not answer a query");
                    let next_may_do = matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Timeout);
                    last_error = Some((source.name.clone(), error));
                    if !next_may_do {
                        break;
                    }
                }
            }
        }
        match last_error {
            Some((name, error)) => {
                gathered.errors.push(error.kind());
                gathered.add_failure(&name, error.message());
            }
            None => gathered.add_failure("retrievers", "none is known; blocks could not be read"),
        }
        Ok(())
    }

    async fn ask<Q: Question>(
        &self,
        source: &NamedSource,
        tenant: &TenantId,
        question: Q,
    ) -> Result<Q::Answer> {
        let timeout = Q::timeout(&self.timeouts).mul_f64(SOURCE_SHARE);
        tokio::time::timeout(timeout, question.ask(&*source.source, tenant))
            .await
            .unwrap_or_else(|_| Err(Error::new(ErrorKind::Timeout, format!("no answer within {timeout:?}"))))
    }
}

/// Rendezvous hashing: when a retriever comes or goes, only its share of the questions moves.
fn preferred<'a>(sources: &'a [NamedSource], tenant: &TenantId, affinity: &[u8]) -> Vec<&'a NamedSource> {
    let mut ranked: Vec<_> = sources.iter().collect();
    ranked.sort_by_cached_key(|source| {
        let mut hasher = DefaultHasher::new();
        (&source.name, tenant, affinity).hash(&mut hasher);
        std::cmp::Reverse(hasher.finish())
    });
    ranked
}
