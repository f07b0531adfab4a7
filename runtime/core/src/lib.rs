//! Ids, tenants, limits, memory budget, span scanning and errors that every component shares.
//!
//! The two traits here are the seams of the runtime: a [`SpanSink`] takes spans in (an ingester, in
//! this process or behind gRPC), a [`TraceSource`] answers queries (ingesters for what is recent,
//! retrievers for what is in blocks). Components know each other only through them.

mod account;
mod batch;
mod compressed;
mod cpu;
mod error;
mod ids;
mod incoming;
mod memory;
pub mod metrics;
mod ownership;
pub mod protobuf;
pub mod push_rpc;
mod push_size;
mod push_wire;
mod regroup;
mod scan;
mod sink;
mod source;
mod source_rpc;
mod tenant;
mod unpack;

/// Target of the `tracing` spans that make up the runtime's own traces; off in the log.
pub const SELF_TRACE: &str = "tempoform_trace";

pub use account::{Account, CacheTier, ReadLimits, RequestKind, Step, of_kind};
pub use batch::{BatchId, BatchIds, BatchSet, Followed, Led, Push};
pub use compressed::Compressed;
pub use cpu::{SMALL, off_thread};
pub use error::{Error, ErrorKind, Result};
pub use ids::TraceId;
pub use incoming::{Late, Patience};
pub use memory::{MemoryBudget, Reservation};
pub use ownership::{mix, owner};
pub use push_size::DecodedSize;
pub use scan::{MalformedRequest, ResourceRef, ScopeRef, SpanBatch, SpanRef, scan_export_request};
pub use sink::{PushOutcome, SpanSink};
pub use source::TraceSource;
pub use source_rpc::{RemoteBlocks, RemoteRecent, SourceService};
pub use tenant::{TENANT_HEADER, TenantId};
pub use unpack::{Packing, UnpackError, unpack};
