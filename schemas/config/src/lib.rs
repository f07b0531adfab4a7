//! The runtime's configuration file: Grafana Tempo's keys wherever the concept is the same, our own where
//! it is not, defaults in one place ([`Default`] of each section), strict checks.
//!
//! [`Config::load`] reads a file and reports every problem at once. Keys of Tempo that mean nothing here
//! are accepted, so that a Tempo file loads, and listed by [`Config::warnings`] with the reason; any other
//! unknown key is an error with a suggestion. [`Config::validate`] checks what a schema cannot.

mod block;
mod compactor;
mod compatibility;
mod distributor;
mod effective;
mod expand;
mod fallback;
mod ingester;
mod limits;
mod load;
mod membership;
mod querier;
mod receivers;
mod retriever;
mod root;
mod schema;
mod server;
mod storage;
mod tenants;
mod validate;
mod yaml;

pub use block::{Block, BlockVersion, ColumnOption, ColumnScope, ColumnType, DedicatedColumn};
pub use compactor::{Compaction, Compactor};
pub use distributor::Distributor;
pub use effective::{EffectiveLimit, EffectiveLimits, LimitOrigin, SetLimits};
pub use fallback::FallbackLimits;
pub use ingester::{Durability, Ingester, IngesterRing, Lifecycler};
pub use limits::{
    CompactionLimits, GlobalLimits, IngestionLimits, Limits, Overrides, RateStrategy, ReadLimits,
    StorageLimits,
};
pub use load::Origin;
pub use membership::{Memberlist, Memory};
pub use querier::{Querier, QuerierSearch, QuerierTraceById, QueryFrontend, QueryFrontendSearch};
pub use receivers::{
    GrpcReceiver, HttpReceiver, Jaeger, JaegerProtocols, Listening, ListeningLimit, Otlp, OtlpProtocols,
    ReceiverTls, Receivers, UdpReceiver,
};
pub use retriever::{DiskCache, Retriever};
pub use root::{Config, Target, UnknownTarget};
pub use server::{GrpcClient, IngesterClient, LogFormat, LogLevel, Server, ServerTls};
pub use storage::{Azure, Backend, Gcs, Local, S3, S3Sse, S3SseType, Storage, Trace, Wal};
pub use tenants::TenantOverrides;
pub use yaml::{UnknownMode, YamlMode};

#[cfg(test)]
mod tests;
