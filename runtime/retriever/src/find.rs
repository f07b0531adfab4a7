//! A trace by its id, in all blocks that may have it.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bytes::Bytes;
use futures::{StreamExt as _, stream};
use prost::Message as _;
use tempoform_block::{BlockMeta, BlockReader, may_contain};
use tempoform_core::{Account, Error, ErrorKind, MemoryBudget, Reservation, Result, TraceId};
use tempoform_wire::internal::FindTraceResponse;

use crate::metrics::BLOCKS_READ;
use crate::retriever::BlockQuery;

/// A trace that takes more memory than this, by an estimate that is on the high side for small ones, waits until there is
/// that much.
const LARGE: u64 = 32 << 20;
/// The share of the memory ceiling that the pieces which a lookup found have at most, one of so many: whoever asked decodes
/// them, which takes several times as much.
const PIECES_SHARE: u64 = 16;

/// The pieces of the trace. All bloom filters are asked at once (up to a bound), then the blocks that may have it, so
/// that the number of reads one after the other does not grow with the number of blocks.
pub(crate) async fn find_trace(mut query: BlockQuery<'_>, trace_id: &[u8]) -> Result<FindTraceResponse> {
    let id = TraceId::from_slice(trace_id).ok_or_else(|| {
        Error::new(ErrorKind::Invalid, format!("a trace id has 16 bytes, not {}", trace_id.len()))
    })?;
    let pieces = Pieces::new(&query.options.memory);
    let looked: Vec<_> = stream::iter(query.blocks.iter().cloned())
        .map(|meta| filter(&query, id, meta))
        .buffer_unordered(query.options.blooms_per_query.max(1))
        .filter_map(std::future::ready)
        .map(|candidate| read(&query, id, candidate, &pieces))
        .buffer_unordered(query.options.blocks_per_query.max(1))
        .collect()
        .await;
    let mut found_pieces = Vec::new();
    for (meta, found) in looked {
        match found {
            Ok(piece) => found_pieces.extend(piece),
            Err(error) => query.failures.extend(query.failure(&meta, &error)),
        }
    }
    let account = Some(query.account.snapshot());
    Ok(FindTraceResponse {
        pieces: found_pieces,
        fresh_blocks: Vec::new(),
        failures: query.failures,
        account,
    })
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
    pieces: &Pieces,
) -> (Arc<BlockMeta>, Result<Option<Bytes>>) {
    let Candidate { meta, account, bloom } = candidate;
    let found = async {
        bloom?;
        pieces.check()?;
        BLOCKS_READ.with_label_values(&["traces"]).inc();
        let reader = query.open(&meta, &account).await?;
        let held = query.admission.memory(BlockReader::MAX_LOCATE_MEMORY).await?;
        let Some(mut place) = reader.locate(id, &account).await? else { return Ok(None) };
        let memory = if place.memory() <= BlockReader::MAX_LOCATE_MEMORY {
            held
        } else if place.memory() <= LARGE {
            drop(held);
            query.admission.memory(place.memory()).await?
        } else {
            // Many blocks may have a part of a large trace; what waits for its turn holds nothing.
            place.forget_read_ahead();
            drop(held);
            query.admission.all_memory(place.memory(), "the trace in this block").await?
        };
        pieces.check()?;
        // Until the trace is encoded and gone.
        let reader = reader.holding(memory);
        let trace = reader.read_trace(place, &account).await?;
        pieces.hold(trace.encoded_len() as u64)?;
        let piece = Bytes::from(trace.encode_to_vec());
        drop((trace, reader));
        Ok(Some(piece))
    }
    .await;
    (meta, found)
}

/// Memory of the pieces that a lookup found, until they are sent.
struct Pieces {
    memory: MemoryBudget,
    held: Mutex<Vec<Reservation>>,
    /// Why there was no room, once there was none: then no more blocks are read.
    full: OnceLock<Error>,
}

impl Pieces {
    fn new(memory: &MemoryBudget) -> Self {
        let memory = memory.part(memory.limit() / PIECES_SHARE);
        Self { memory, held: Mutex::default(), full: OnceLock::new() }
    }

    fn check(&self) -> Result<()> {
        self.full.get().map_or(Ok(()), |error| Err(error.clone()))
    }

    fn hold(&self, bytes: u64) -> Result<()> {
        match self.memory.reserve(bytes, "what a lookup found of a large trace") {
            Ok(reserved) => {
                self.held.lock().unwrap_or_else(PoisonError::into_inner).push(reserved);
                Ok(())
            }
            Err(error) => Err(self.full.get_or_init(|| error).clone()),
        }
    }
}
