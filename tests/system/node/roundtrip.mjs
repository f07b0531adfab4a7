// Sends spans with the OpenTelemetry SDK for JavaScript, whose exporter speaks OTLP over HTTP in JSON, and compares what
// the query API gives back.
//
//   node roundtrip.mjs http://HOST:PORT/v1/traces http://HOST:PORT
//
// Run in a folder with the packages; `cargo xtask test` makes one.

import { createRequire } from "node:module";
import { deepStrictEqual, strictEqual } from "node:assert";

const require = createRequire(`${process.cwd()}/package.json`);
const { SpanKind, SpanStatusCode, TraceFlags, trace, context } = require("@opentelemetry/api");
const { resourceFromAttributes } = require("@opentelemetry/resources");
const { BasicTracerProvider, SimpleSpanProcessor } = require("@opentelemetry/sdk-trace-base");
const { OTLPTraceExporter } = require("@opentelemetry/exporter-trace-otlp-http");

const [receiver, api] = process.argv.slice(2);
const sent = [];
const exporter = new OTLPTraceExporter({ url: receiver, compression: process.env.COMPRESSION });
const watched = {
  export: (spans, done) => {
    sent.push(...spans);
    exporter.export(spans, done);
  },
  shutdown: () => exporter.shutdown(),
  forceFlush: () => exporter.forceFlush(),
};
const provider = new BasicTracerProvider({
  resource: resourceFromAttributes({ "service.name": "shop-js", "service.replicas": 3, "service.ratio": 0.25 }),
  spanProcessors: [new SimpleSpanProcessor(watched)],
});
const tracer = provider.getTracer("roundtrip", "1.2.3");

const attributes = {
  text: "grüße \u{1F600}",
  empty: "",
  int: 42,
  negative: -7,
  large: Number.MAX_SAFE_INTEGER,
  double: 1.5,
  yes: true,
  no: false,
  texts: ["a", "b"],
  ints: [1, 2, 3],
  doubles: [0.5, 2.25],
  bools: [true, false],
};
const root = tracer.startSpan("root", { kind: SpanKind.SERVER, attributes });
const inRoot = trace.setSpan(context.active(), root);
const child = tracer.startSpan(
  "child",
  {
    kind: SpanKind.CLIENT,
    links: [{ context: { traceId: "0af7651916cd43dd8448eb211c80319c", spanId: "b7ad6b7169203331", traceFlags: TraceFlags.SAMPLED }, attributes: { why: "retry" } }],
  },
  inRoot,
);
child.addEvent("exception", { "exception.message": "no luck", attempt: 2 });
child.setStatus({ code: SpanStatusCode.ERROR, message: "failed" });
child.end();
root.setStatus({ code: SpanStatusCode.OK });
root.end();
await provider.forceFlush();

const id = root.spanContext().traceId;
const answer = await fetch(`${api}/api/v2/traces/${id}`);
strictEqual(answer.status, 200, await answer.clone().text());
const { trace: found } = await answer.json();

// An attribute's value as JavaScript has it.
const value = ({ stringValue, intValue, doubleValue, boolValue, arrayValue }) =>
  stringValue ?? (intValue === undefined ? undefined : Number(intValue)) ?? doubleValue ?? boolValue ??
  (arrayValue?.values ?? []).map(value);
const table = (list) => Object.fromEntries((list ?? []).map((entry) => [entry.key, value(entry.value)]));
const hex = (base64) => Buffer.from(base64 ?? "", "base64").toString("hex");
const nanos = ([seconds, rest]) => BigInt(seconds) * 1_000_000_000n + BigInt(rest);

const spans = new Map();
for (const resource of found.resourceSpans) {
  deepStrictEqual(table(resource.resource.attributes), { "service.name": "shop-js", "service.replicas": 3, "service.ratio": 0.25 });
  for (const scope of resource.scopeSpans) {
    strictEqual(`${scope.scope.name} ${scope.scope.version}`, "roundtrip 1.2.3");
    for (const span of scope.spans) spans.set(hex(span.spanId), span);
  }
}
strictEqual(spans.size, sent.length);
for (const original of sent) {
  const span = spans.get(original.spanContext().spanId);
  strictEqual(hex(span.traceId), id);
  strictEqual(hex(span.parentSpanId), original.parentSpanContext?.spanId ?? "");
  strictEqual(span.name, original.name);
  strictEqual(span.kind, ["", "SPAN_KIND_INTERNAL", "SPAN_KIND_SERVER", "SPAN_KIND_CLIENT"][original.kind + 1]);
  strictEqual(BigInt(span.startTimeUnixNano), nanos(original.startTime));
  strictEqual(BigInt(span.endTimeUnixNano), nanos(original.endTime));
  deepStrictEqual(table(span.attributes), { ...original.attributes });
  strictEqual(span.status?.code ?? "STATUS_CODE_UNSET", ["STATUS_CODE_UNSET", "STATUS_CODE_OK", "STATUS_CODE_ERROR"][original.status.code]);
  strictEqual(span.status?.message ?? "", original.status.message ?? "");
  deepStrictEqual((span.events ?? []).map((event) => [event.name, table(event.attributes), BigInt(event.timeUnixNano)]),
    original.events.map((event) => [event.name, { ...event.attributes }, nanos(event.time)]));
  deepStrictEqual((span.links ?? []).map((link) => [hex(link.traceId), hex(link.spanId), table(link.attributes)]),
    original.links.map((link) => [link.context.traceId, link.context.spanId, { ...link.attributes }]));
}
await provider.shutdown();
console.log(`${spans.size} spans read back as sent`);
