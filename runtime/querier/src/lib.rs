//! Tempo's query API: the querier, which asks ingesters and retrievers and merges what they answer,
//! and the query-frontend, which queues, validates and forwards to queriers.
//!
//! Ingesters are asked first. They tell which blocks they uploaded lately, and the retrievers are asked for
//! these too, so that a span which moves from an ingester into a block is never between two chairs. Retrievers
//! share the blocks by rendezvous hashing of block ids, so that each keeps its own in its cache.
//!
//! A part that could not be read is told: trace by id v2 answers `status: PARTIAL` with its name; the other
//! answers, whose messages have no place for it, carry the header `x-tempoform-partial`. "Not found" is said
//! only when everything was read.

mod admission;
#[cfg(test)]
mod api_tests;
mod body;
mod duration;
mod encode;
mod endpoint;
mod error;
mod fanout;
mod frontend;
mod gathered;
mod json;
mod logfmt;
mod metrics;
mod options;
mod params;
mod querier;
mod question;
mod request;
mod search;
mod shared_ids;
mod staggered;
mod status;
mod tags;
mod tenants;
mod trace;

pub(crate) use error::ApiError;
pub use frontend::Frontend;
pub use json::trace_json;
pub use options::{
    ApiOptions, Availability, BuildInfo, FrontendOptions, LimitsOf, NamedSource, QuerierOptions, QuerierUrls,
    QueryLimits, QueryTimeouts, Sources,
};
pub use querier::Querier;
