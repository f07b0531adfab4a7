//! A trace by its id, in all blocks that may have it.

use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt as _, stream};
use prost::Message as _;
use tempoform_block::{BlockMeta, BlockReader, may_contain};
use tempoform_core::{Account, Error, ErrorKind, Result, TraceId};
use tempoform_wire::internal::FindTraceResponse;

use crate::metrics::BLOCKS_READ;
use crate::retriever::BlockQuery;

/// Decoded pages take about this many times their stored size.
const DECODED: u64 = 4;

/// The pieces of the trace. All bloom filters are asked at once (up to a bound), then the blocks that may have it, so
/// that the number of reads one after the other does not grow with the number of blocks.
pub(crate) async fn find_trace(mut query: BlockQuery<'_>, trace_id: &[u8]) -> Result<FindTraceResponse> {
    let id = TraceId::from_slice(trace_id).ok_or_else(|| {
        Error::new(ErrorKind::Invalid, format!("a trace id has 16 bytes, not {}", trace_id.len()))
    })?;
    let looked: Vec<_> = stream::iter(query.blocks.iter().cloned())
        .map(|meta| filter(&query, id, meta))
        .buffer_unordered(query.options.blooms_per_query.max(1))
        .filter_map(std::future::ready)
        .map(|candidate| read(&query, id, candidate))
        .buffer_unordered(query.options.blocks_per_query.max(1))
        .collect()
        .await;
    let mut pieces = Vec::new();
    for (meta, found) in looked {
        match found {
            Ok(piece) => pieces.extend(piece),
            Err(error) => query.failures.extend(query.failure(&meta, &error)),
        }
    }
    let account = Some(query.account.snapshot());
    Ok(FindTraceResponse { pieces, fresh_blocks: Vec::new(), failures: query.failures, account })
}

/// A block that may have the trace.
struct Candidate {
    meta: Arc<BlockMeta>,
    /// The block's reads.
    account: Account,
    /// An error where its bloom filter could not be read.
    bloom: Result<()>,
}

/// The block with what its bloom filter said; `None` if it does not have the trace for sure.
async fn filter(query: &BlockQuery<'_>, id: TraceId, meta: Arc<BlockMeta>) -> Option<Candidate> {
    let account = query.account.branch();
    match may_contain(query.store, &query.path(&meta), &meta, id, &account).await {
        Ok(true) => Some(Candidate { meta, account, bloom: Ok(()) }),
        Ok(false) => None,
        Err(error) => Some(Candidate { meta, account, bloom: Err(error.into()) }),
    }
}

async fn read(
    query: &BlockQuery<'_>,
    id: TraceId,
    candidate: Candidate,
) -> (Arc<BlockMeta>, Result<Option<Bytes>>) {
    let Candidate { meta, account, bloom } = candidate;
    let found = async {
        bloom?;
        BLOCKS_READ.with_label_values(&["traces"]).inc();
        let reader = query.open(&meta, &account).await?;
        let place = {
            let _held = query.admission.memory(BlockReader::MAX_LOCATE_MEMORY).await?;
            let Some(place) = reader.locate(id, &account).await? else { return Ok(None) };
            place
        };
        let memory = query.admission.memory(place.memory(DECODED)).await?;
        let trace = reader.holding(memory).read_trace(place, &account).await?;
        Ok(Some(Bytes::from(trace.encode_to_vec())))
    }
    .await;
    (meta, found)
}
