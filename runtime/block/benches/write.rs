//! Building a block: CPU time per span, with a realistic load: several services a trace, 15 attributes and
//! about 430 bytes a span.

use divan::Bencher;
use divan::counter::ItemsCount;
use prost::Message as _;
use tempoform_block::dedicated::{default_dedicated_columns, filter_for_version};
use tempoform_block::{
    BlockVersion, BlockWriter, EncodedResource, EncodedScope, PageCompression, WriterOptions,
};
use tempoform_core::TraceId;
use tempoform_wire::otlp::{self, any_value};

fn main() {
    divan::main();
}

const TRACES: usize = 6_700;
const SPANS_PER_TRACE: usize = 10;

#[divan::bench(sample_count = 20)]
fn snappy(bencher: Bencher<'_, '_>) {
    bench(bencher, PageCompression::Snappy);
}

#[divan::bench(sample_count = 20)]
fn zstd_1(bencher: Bencher<'_, '_>) {
    bench(bencher, PageCompression::Zstd(1));
}

#[expect(clippy::print_stderr, reason = "the size is a result of the bench too")]
fn bench(bencher: Bencher<'_, '_>, compression: PageCompression) {
    let traces: Vec<EncodedTrace> = Load::new(7).traces(TRACES);
    let size = write(&traces, compression);
    let spans = TRACES * SPANS_PER_TRACE;
    let input: usize = traces.iter().flat_map(|t| &t.services).flat_map(|s| &s.spans).map(Vec::len).sum();
    eprintln!(
        "{compression:?}: {} bytes of OTLP, {} bytes in the block a span",
        input / spans,
        size as usize / spans
    );
    bencher.counter(ItemsCount::new(spans)).bench(|| write(&traces, compression));
}

fn write(traces: &[EncodedTrace], compression: PageCompression) -> u64 {
    let dedicated_columns = filter_for_version(&BlockVersion::VParquet4, &default_dedicated_columns());
    let options = WriterOptions {
        dedicated_columns,
        compression,
        expected_traces: TRACES as u64,
        ..WriterOptions::default()
    };
    let mut writer = BlockWriter::new(std::io::sink(), options).expect("a sink takes everything");
    for trace in traces {
        writer.add_trace(trace.id, &trace.resources()).expect("the traces are sorted and well-formed");
    }
    writer.finish().expect("a sink takes everything").size
}

struct EncodedTrace {
    id: TraceId,
    services: Vec<EncodedService>,
}

struct EncodedService {
    resource: Vec<u8>,
    scope: Vec<u8>,
    spans: Vec<Vec<u8>>,
}

impl EncodedTrace {
    fn resources(&self) -> Vec<EncodedResource<'_>> {
        self.services
            .iter()
            .map(|service| EncodedResource {
                resource: &service.resource,
                schema_url: b"https://opentelemetry.io/schemas/1.26.0",
                scopes: vec![EncodedScope {
                    scope: &service.scope,
                    schema_url: b"",
                    spans: service.spans.iter().map(Vec::as_slice).collect(),
                }],
            })
            .collect()
    }
}

/// Makes traces; the same from the same seed.
struct Load {
    state: u64,
}

impl Load {
    fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// splitmix64.
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    fn traces(&mut self, count: usize) -> Vec<EncodedTrace> {
        let mut traces: Vec<EncodedTrace> = (0..count).map(|_| self.trace()).collect();
        traces.sort_by_key(|trace| trace.id);
        traces
    }

    fn trace(&mut self) -> EncodedTrace {
        let id = (u128::from(self.next()) << 64 | u128::from(self.next())).to_be_bytes();
        let first = self.below(40);
        let mut services: Vec<EncodedService> = (0..4).map(|i| self.service((first + i * 7) % 40)).collect();
        let start = 1_735_689_600_000_000_000 + self.below(600_000_000_000);
        let mut parents: Vec<Vec<u8>> = vec![Vec::new()];
        for i in 0..SPANS_PER_TRACE {
            let span_id = self.next().to_be_bytes().to_vec();
            let parent = parents[self.below(parents.len() as u64) as usize].clone();
            let span = self.span(id.to_vec(), span_id.clone(), parent, start + i as u64 * 1_000_000);
            services[i * 4 / SPANS_PER_TRACE].spans.push(span.encode_to_vec());
            if i == 0 {
                parents.clear();
            }
            parents.push(span_id);
        }
        EncodedTrace { id: TraceId::new(id), services }
    }

    fn service(&mut self, number: u64) -> EncodedService {
        let pod = self.below(6);
        let resource = otlp::Resource {
            attributes: vec![
                text("service.name", format!("service-{number}")),
                text("service.version", format!("1.{}.0", number % 5)),
                text("service.instance.id", format!("instance-{number}-{pod}")),
                text("telemetry.sdk.name", "opentelemetry"),
                text("telemetry.sdk.language", "java"),
                text("k8s.namespace.name", format!("namespace-{}", number % 8)),
                text("k8s.pod.name", format!("service-{number}-6f7d8c9b5-{pod}")),
                text("host.name", format!("node-{}", (number + pod) % 12)),
            ],
            dropped_attributes_count: 0,
        };
        let scope = otlp::InstrumentationScope {
            name: format!("io.opentelemetry.library-{}", number % 6),
            version: "2.10.0-alpha".to_owned(),
            ..Default::default()
        };
        EncodedService { resource: resource.encode_to_vec(), scope: scope.encode_to_vec(), spans: Vec::new() }
    }

    fn span(
        &mut self,
        trace_id: Vec<u8>,
        span_id: Vec<u8>,
        parent_span_id: Vec<u8>,
        start: u64,
    ) -> otlp::Span {
        let route = self.below(60);
        let method = ["GET", "POST", "PUT", "DELETE"][self.below(4) as usize];
        let failed = self.below(50) == 0;
        let attributes = vec![
            text("http.request.method", method),
            text("url.path", format!("/v1/res{route}/{}", self.below(2000))),
            text("http.route", format!("/v1/res{route}/{{id}}")),
            text("server.address", format!("svc{}.internal", self.below(20))),
            int("server.port", 8080),
            int("http.response.status_code", if failed { 500 } else { 200 }),
            text("http.flavor", "1.1"),
            text("client.address", format!("10.0.{}.{}", self.below(40), self.below(250))),
            int("thread.id", self.below(200) as i64),
            text("thread.name", format!("exec-{}", self.below(50))),
            text("user.id", format!("user-{}", self.below(20_000))),
            text("request.id", format!("{:012x}", self.next() >> 16)),
            double("queue.wait", self.below(1_000_000) as f64 / 1000.0),
            flag("cache.hit", self.below(2) == 0),
            int("size", self.below(100_000) as i64),
        ];
        otlp::Span {
            trace_id,
            span_id,
            parent_span_id,
            name: format!("{method} /v1/res{route}/{{id}}"),
            kind: 1 + self.below(3) as i32,
            start_time_unix_nano: start,
            end_time_unix_nano: start + self.below(100_000_000),
            attributes,
            status: failed.then(|| otlp::Status { code: 2, message: "internal error".to_owned() }),
            flags: 0x101,
            ..Default::default()
        }
    }
}

fn attribute(key: &str, value: any_value::Value) -> otlp::KeyValue {
    otlp::KeyValue { key: key.to_owned(), value: Some(otlp::AnyValue { value: Some(value) }) }
}

fn text(key: &str, value: impl Into<String>) -> otlp::KeyValue {
    attribute(key, any_value::Value::StringValue(value.into()))
}

fn int(key: &str, value: i64) -> otlp::KeyValue {
    attribute(key, any_value::Value::IntValue(value))
}

fn double(key: &str, value: f64) -> otlp::KeyValue {
    attribute(key, any_value::Value::DoubleValue(value))
}

fn flag(key: &str, value: bool) -> otlp::KeyValue {
    attribute(key, any_value::Value::BoolValue(value))
}
