//! Receives OTLP, Jaeger and Zipkin, regroups spans by trace id on the encoded bytes, hands them to their ingesters.

mod complaints;
mod distributor;
mod http_body;
mod jaeger;
mod jaeger_udp;
mod lane;
mod metrics;
mod otlp_grpc;
mod otlp_http;
mod placement;
mod rate_limit;
mod rendezvous;
mod replication;
mod source;
mod status;
mod translated;
mod truncate;
mod zipkin;

pub use distributor::{Distributor, Options, TenantLimits};
pub use jaeger::{JaegerGrpc, jaeger_http};
pub use jaeger_udp::{AgentProtocol, jaeger_agent};
pub use otlp_grpc::OtlpGrpc;
pub use otlp_http::otlp_http;
pub use placement::{Member, Placement};
pub use rendezvous::ownership;
pub use zipkin::zipkin_http;
