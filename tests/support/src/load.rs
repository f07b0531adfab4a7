//! Spans as a small shop's services would send them. Everything follows from the trace's number, so that
//! what was sent can be told without keeping it.

use std::collections::BTreeSet;

use bytes::Bytes;
use prost::Message as _;
use tempoform_core::TraceId;
use tempoform_wire::otlp::any_value::Value;
use tempoform_wire::otlp::{
    AnyValue, ExportTraceServiceRequest, InstrumentationScope, KeyValue, Resource, ResourceSpans, ScopeSpans,
    Span, Status,
};

/// A load: each trace goes through every service, and each service sends its spans of a batch of traces
/// in one request, so that a trace comes in several requests.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Distinguishes loads: their trace ids differ.
    pub seed: u64,
    /// Traces whose spans one request holds.
    pub traces_per_request: u64,
    /// Wall-clock start of the first trace, unix nanoseconds.
    pub start_unix_nano: u64,
}

pub(crate) const SERVICES: [&str; 5] = ["frontend", "checkout", "inventory", "payment", "postgres-proxy"];
const OPERATIONS: [&str; 8] = [
    "GET /cart",
    "POST /orders",
    "reserve",
    "charge",
    "SELECT orders",
    "GET /items/{id}",
    "publish",
    "refresh",
];
pub(crate) const SPANS_PER_SERVICE: u64 = 2;

impl Load {
    /// A load whose traces began just now.
    pub fn new(seed: u64) -> Self {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let start_unix_nano = now.map_or(0, |now| now.as_nanos() as u64);
        Self { seed, traces_per_request: 64, start_unix_nano }
    }

    /// Spans of each trace.
    pub const fn spans_per_trace(&self) -> u64 {
        SERVICES.len() as u64 * SPANS_PER_SERVICE
    }

    /// The id of trace `n`.
    pub fn trace_id(&self, n: u64) -> TraceId {
        let high = mix(self.seed ^ mix(n));
        TraceId::new((u128::from(high) << 64 | u128::from(mix(high ^ n))).to_be_bytes())
    }

    /// What is sent of trace `n`: of each span its service, id and name.
    pub fn spans(&self, n: u64) -> BTreeSet<(String, Vec<u8>, String)> {
        let of_service = |(service, name): (usize, &&str)| {
            let name = (*name).to_owned();
            (0..SPANS_PER_SERVICE).map(move |at| {
                let span = self.span(n, service as u64, at);
                (name.clone(), span.span_id, span.name)
            })
        };
        SERVICES.iter().enumerate().flat_map(of_service).collect()
    }

    /// The requests that carry traces `first..first + traces_per_request`: one a service.
    pub fn requests(&self, first: u64) -> Vec<Bytes> {
        SERVICES.iter().enumerate().map(|(at, name)| self.request(first, at as u64, name).into()).collect()
    }

    fn request(&self, first: u64, service: u64, name: &str) -> Vec<u8> {
        let spans = (first..first + self.traces_per_request)
            .flat_map(|trace| (0..SPANS_PER_SERVICE).map(move |span| self.span(trace, service, span)))
            .collect();
        let scope = InstrumentationScope {
            name: "go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp".to_owned(),
            version: "0.61.0".to_owned(),
            ..Default::default()
        };
        let resource_spans = ResourceSpans {
            resource: Some(resource(name)),
            scope_spans: vec![ScopeSpans { scope: Some(scope), spans, ..Default::default() }],
            ..Default::default()
        };
        ExportTraceServiceRequest { resource_spans: vec![resource_spans] }.encode_to_vec()
    }

    fn span_id(&self, trace: u64, service: u64, span: u64) -> Vec<u8> {
        (mix(self.seed ^ mix(trace * 100 + service * 10 + span)) | 1).to_be_bytes().to_vec()
    }

    pub(crate) fn span(&self, trace: u64, service: u64, span: u64) -> Span {
        let chance = mix(trace * 31 + service * 7 + span);
        let operation = OPERATIONS[(chance % 8) as usize];
        let start = self.start_unix_nano + trace * 1_000_000 + service * 200_000 + span * 50_000;
        let failed = chance.is_multiple_of(50);
        let parent = match (service, span) {
            (0, 0) => Vec::new(),
            (_, 0) => self.span_id(trace, service - 1, 1),
            _ => self.span_id(trace, service, 0),
        };
        Span {
            trace_id: self.trace_id(trace).as_bytes().to_vec(),
            span_id: self.span_id(trace, service, span),
            parent_span_id: parent,
            name: operation.to_owned(),
            kind: if span == 0 { 2 } else { 3 },
            start_time_unix_nano: start,
            end_time_unix_nano: start + 100_000 + chance % 5_000_000,
            attributes: attributes(trace, chance, operation, failed),
            status: Some(Status { code: if failed { 2 } else { 0 }, message: String::new() }),
            flags: 0x101,
            ..Default::default()
        }
    }
}

fn attributes(trace: u64, chance: u64, operation: &str, failed: bool) -> Vec<KeyValue> {
    vec![
        text("http.request.method", ["GET", "POST", "PUT"][(chance % 3) as usize]),
        int("http.response.status_code", if failed { 503 } else { 200 }),
        text("http.route", operation),
        text("url.path", &format!("/api/v1/items/{}", chance % 5000)),
        text("url.scheme", "http"),
        text("server.address", ["cart.shop.svc", "orders.shop.svc"][(chance % 2) as usize]),
        int("server.port", 8080),
        text("network.protocol.version", "1.1"),
        text("network.peer.address", &format!("10.2.{}.{}", chance % 8, chance % 250)),
        text("user_agent.original", "Mozilla/5.0 (X11; Linux x86_64)"),
        text("enduser.id", &format!("user-{:08x}", mix(trace) as u32)),
        int("http.request.body.size", (chance % 4096) as i64),
        bool("cache.hit", chance.is_multiple_of(3)),
        double("shop.cart.total", (chance % 10_000) as f64 / 100.0),
        text("thread.name", &format!("worker-{}", chance % 16)),
    ]
}

pub(crate) fn resource(service: &str) -> Resource {
    let attributes = vec![
        text("service.name", service),
        text("service.namespace", "shop"),
        text("service.version", "2.14.3"),
        text("k8s.cluster.name", "prod-eu-1"),
        text("k8s.namespace.name", "shop"),
        text("k8s.pod.name", &format!("{service}-7c9d6f5b8-x2x7k")),
        text("telemetry.sdk.name", "opentelemetry"),
        text("telemetry.sdk.language", "go"),
        text("host.name", "ip-10-2-3-4"),
    ];
    Resource { attributes, ..Default::default() }
}

fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }) }
}

fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, Value::StringValue(value.to_owned()))
}

fn int(key: &str, value: i64) -> KeyValue {
    attribute(key, Value::IntValue(value))
}

fn double(key: &str, value: f64) -> KeyValue {
    attribute(key, Value::DoubleValue(value))
}

fn bool(key: &str, value: bool) -> KeyValue {
    attribute(key, Value::BoolValue(value))
}

/// Spreads bits (the finaliser of SplitMix64).
const fn mix(value: u64) -> u64 {
    let mut value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}
