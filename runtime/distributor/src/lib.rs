//! Receives OTLP, regroups spans by trace id on the encoded bytes, hands them to their ingesters.

mod distributor;
mod metrics;
mod otlp_grpc;
mod otlp_http;
mod placement;
mod rate_limit;
mod replication;
mod status;
mod truncate;

pub use distributor::{Distributor, Options, TenantLimits};
pub use otlp_grpc::OtlpGrpc;
pub use otlp_http::otlp_http;
pub use placement::{Member, Placement};
