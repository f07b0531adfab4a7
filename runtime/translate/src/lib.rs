//! Turns spans of Jaeger and Zipkin into OTLP: pure functions from bytes to bytes.
//!
//! What becomes what follows OpenTelemetry's [mapping to non-OTLP formats] and the translators of the
//! OpenTelemetry Collector (`pkg/translator/jaeger`, `pkg/translator/zipkin`), which Tempo's receivers use. Where
//! this differs, nothing is lost that they keep, and the place says so.
//!
//! [mapping to non-OTLP formats]: https://opentelemetry.io/docs/specs/otel/common/mapping-to-non-otlp/

mod attributes;
mod fault;
mod format;
mod groups;
mod jaeger;
mod memory;
#[cfg(test)]
mod tests;
mod wire;
mod zipkin;

pub use fault::Malformed;
pub use format::Format;
