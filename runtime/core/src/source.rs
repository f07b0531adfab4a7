use bytes::Bytes;
use tempoform_wire::internal::{
    FindTraceRequest, FindTraceResponse, SearchRequest, SearchResponse, SettleRequest, SettleResponse,
    TagNamesRequest, TagNamesResponse, TagValuesRequest, TagValuesResponse,
};

use crate::{Result, TenantId};

/// Answers queries over some of the traces: an ingester over recent ones, a retriever over blocks.
///
/// A part that could not be read does not fail the whole: it is named in `failures` of the answer.
#[async_trait::async_trait]
pub trait TraceSource: Send + Sync {
    /// All spans of one trace, as encoded pieces.
    async fn find_trace(&self, tenant: &TenantId, request: FindTraceRequest) -> Result<FindTraceResponse>;

    /// Traces that match a TraceQL query.
    async fn search(&self, tenant: &TenantId, request: SearchRequest) -> Result<SearchResponse>;

    /// Takes note of blocks (texts of their `meta.json`) that were uploaded just now. Those that read no blocks need
    /// not.
    async fn announce(&self, tenant: &TenantId, metas: Vec<Bytes>) -> Result<()> {
        let _ = (tenant, metas);
        Ok(())
    }

    /// Attribute names by scope.
    async fn tag_names(&self, tenant: &TenantId, request: TagNamesRequest) -> Result<TagNamesResponse>;

    /// Values of one attribute.
    async fn tag_values(&self, tenant: &TenantId, request: TagValuesRequest) -> Result<TagValuesResponse>;

    /// What became of batches that another ingester follows. A source that leads none knows of none.
    ///
    /// # Errors
    /// When the request cannot be read.
    async fn settle(&self, tenant: &TenantId, request: SettleRequest) -> Result<SettleResponse> {
        let _ = (tenant, request);
        Ok(SettleResponse::default())
    }
}
