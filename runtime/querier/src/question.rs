//! What is asked: the four questions of a [`TraceSource`] behind one trait.

use bytes::Bytes;
use tempoform_core::{Result, TenantId, TraceSource};
use tempoform_wire::internal::{
    Failure, FindTraceRequest, FindTraceResponse, ReadAccount, SearchRequest, SearchResponse,
    TagNamesRequest, TagNamesResponse, TagValuesRequest, TagValuesResponse,
};

/// One of the four questions that a [`TraceSource`] answers.
#[async_trait::async_trait]
pub(crate) trait Question: Clone + Send + Sync {
    type Answer: prost::Message;

    /// Memory that an answer takes for each byte of its encoded form.
    const MEMORY_FACTOR: u64;

    async fn ask(self, source: &dyn TraceSource, tenant: &TenantId) -> Result<Self::Answer>;

    /// Blocks that a retriever reads although its list may not have them yet.
    fn set_fresh_blocks(&mut self, metas: Vec<Bytes>);

    /// Asks for the blocks of one of several retrievers, see [`tempoform_core::owner`].
    fn set_share(&mut self, retrievers: &[String], share_of: &str);

    /// Asks an ingester for what it follows too.
    fn set_with_followed(&mut self);

    /// Takes the parts that all answers have.
    fn take_common(answer: &mut Self::Answer) -> Common;
}

#[derive(Debug, Default)]
pub(crate) struct Common {
    pub(crate) fresh_blocks: Vec<Bytes>,
    pub(crate) failures: Vec<Failure>,
    pub(crate) account: Option<ReadAccount>,
}

/// About what decoded messages take: many small strings and lists.
pub(crate) const DECODED: u64 = 4;

/// Pieces of traces stay as they are until they are combined.
const ENCODED: u64 = 1;

macro_rules! question {
    ($request:ident, $answer:ident, $method:ident, $memory:ident $(, $limit:ident)?) => {
        #[async_trait::async_trait]
        impl Question for $request {
            type Answer = $answer;

            const MEMORY_FACTOR: u64 = $memory;

            async fn ask(self, source: &dyn TraceSource, tenant: &TenantId) -> Result<$answer> {
                source.$method(tenant, self).await
            }

            fn set_fresh_blocks(&mut self, metas: Vec<Bytes>) {
                self.fresh_blocks = metas;
            }

            fn set_share(&mut self, retrievers: &[String], share_of: &str) {
                self.retrievers = retrievers.to_vec();
                self.share_of = share_of.to_owned();
                // A limit on blocks is for all shares together.
                $(self.$limit = self.$limit.div_ceil(retrievers.len().max(1) as u32);)?
            }

            fn set_with_followed(&mut self) {
                self.with_followed = true;
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

question!(FindTraceRequest, FindTraceResponse, find_trace, ENCODED);
question!(SearchRequest, SearchResponse, search, DECODED);
question!(TagNamesRequest, TagNamesResponse, tag_names, DECODED);
question!(TagValuesRequest, TagValuesResponse, tag_values, DECODED, max_blocks);
