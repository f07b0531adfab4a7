"""Sends traces with the OpenTelemetry SDK and reads them back by id.

    roundtrip.py send --grpc HOST:PORT --http HOST:PORT --out FILE
    roundtrip.py check --api HOST:PORT --sent FILE

`send` exports over gRPC and over HTTP and keeps what was sent, as OTLP, one trace a line. `check` compares it, span
for span and field for field, with what the query API answers now; run it again after a flush.
"""

import argparse
import base64
import json
import random
import sys
import time
import urllib.request

import grpc
from google.protobuf.json_format import MessageToDict
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import Compression, OTLPSpanExporter as HttpExporter
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.proto.trace.v1 import trace_pb2
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Link, NonRecordingSpan, SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState

RESOURCE = {
    "service.name": "roundtrip",
    "k8s.namespace.name": "default",
    "k8s.pod.name": "pod-1",
    "cluster": "east",
    "resource.ints": [1, 2, 3],
    "resource.double": 0.5,
}


def sdk_trace(exporter):
    """One trace made by the SDK, with everything its API can say; also what the SDK encodes it to."""
    memory = InMemorySpanExporter()
    provider = TracerProvider(resource=Resource.create(RESOURCE))
    provider.add_span_processor(SimpleSpanProcessor(memory))
    tracer = provider.get_tracer("roundtrip-lib", "1.2.3", "https://example.test/schema", {"scope.attr": "yes"})
    other = provider.get_tracer("other-lib")
    linked = SpanContext(random.getrandbits(128), random.getrandbits(64), True, TraceFlags(1), TraceState([("a", "b")]))
    remote = SpanContext(random.getrandbits(128) | 1, random.getrandbits(64) | 1, True, TraceFlags(1), TraceState([("vendor", "state"), ("x", "y")]))
    parent = trace.set_span_in_context(NonRecordingSpan(remote))
    with tracer.start_as_current_span("root", context=parent, kind=SpanKind.SERVER, links=[Link(linked, {"link.attr": "l", "link.n": 4})]) as root:
        root.set_attributes({
            "text": "grüße ✓", "empty": "", "int": -(2**63), "big": 2**63 - 1, "float": 1e-300, "true": True, "false": False,
            "texts": ["a", "", "c"], "ints": [-1, 0, 1], "floats": [0.25, -2.0], "bools": [True, False], "one": ["x"],
            "http.method": "GET", "http.url": "http://h/p?q", "http.status_code": 503, "http.request.method": "POST", "url.path": "/p",
        })
        root.add_event("started", {"event.text": "e", "event.int": 7, "event.list": [1.5, 2.5]})
        root.add_event("plain")
        root.record_exception(ValueError("no good"))
        root.set_status(Status(StatusCode.ERROR, "it failed"))
        for kind in (SpanKind.CLIENT, SpanKind.PRODUCER, SpanKind.CONSUMER, SpanKind.INTERNAL):
            with other.start_as_current_span(f"child {kind.name}", kind=kind) as child:
                child.set_attribute("http.status_code", "a text, where a number has its own column")
                if kind is SpanKind.CLIENT:
                    child.set_status(Status(StatusCode.OK))
    spans = memory.get_finished_spans()
    if exporter.export(spans) is not SpanExportResult.SUCCESS:
        sys.exit(f"{type(exporter).__module__} did not export")
    return encode_spans(spans)


def raw_trace():
    """What the protocol can say and the SDK's API cannot."""
    request = trace_service_pb2.ExportTraceServiceRequest()
    resource_spans = request.resource_spans.add(schema_url="https://example.test/resource")
    resource_spans.resource.dropped_attributes_count = 3
    attribute(resource_spans.resource.attributes, "service.name").string_value = "raw"
    scope_spans = resource_spans.scope_spans.add(schema_url="https://example.test/scope")
    scope_spans.scope.name = "raw-lib"
    scope_spans.scope.dropped_attributes_count = 2
    trace_id = random.getrandbits(128).to_bytes(16, "big")
    start = time.time_ns()
    for n in range(3):
        span = scope_spans.spans.add(trace_id=trace_id, span_id=random.getrandbits(64).to_bytes(8, "big"), name=f"raw {n}")
        if n:
            span.parent_span_id = scope_spans.spans[0].span_id
        span.kind = n
        span.flags = (0, 0x101, 0x300)[n]
        span.trace_state = "k=v" if n else ""
        span.start_time_unix_nano = start + n
        span.end_time_unix_nano = start + 1000 * n
        span.dropped_attributes_count, span.dropped_events_count, span.dropped_links_count = 11, 12, 13
        attribute(span.attributes, "bytes").bytes_value = b"\x00\xff"
        values = attribute(span.attributes, "map").kvlist_value.values
        attribute(values, "inner").int_value = 1
        mixed = attribute(span.attributes, "mixed").array_value.values
        mixed.add().string_value = "x"
        mixed.add().int_value = 1
        attribute(span.attributes, "nested").array_value.values.add().array_value.values.add().double_value = 2.5
        attribute(span.attributes, "no elements").array_value.SetInParent()
        event = span.events.add(time_unix_nano=start + 5, name="raw event", dropped_attributes_count=21)
        attribute(event.attributes, "event.bytes").bytes_value = b"e"
        link = span.links.add(trace_id=trace_id, span_id=b"12345678", trace_state="l=1", flags=0x1, dropped_attributes_count=31)
        attribute(link.attributes, "link.bool").bool_value = True
    return request


def attribute(attributes, key):
    added = attributes.add()
    added.key = key
    return added.value


def send(args):
    sent = [
        sdk_trace(GrpcExporter(endpoint=args.grpc, insecure=True)),
        sdk_trace(HttpExporter(endpoint=f"http://{args.http}/v1/traces")),
        sdk_trace(HttpExporter(endpoint=f"http://{args.http}/v1/traces", compression=Compression.Gzip)),
    ]
    raw = raw_trace()
    with grpc.insecure_channel(args.grpc) as channel:
        trace_service_pb2_grpc.TraceServiceStub(channel).Export(raw, timeout=10)
    sent.append(raw)
    with open(args.out, "w") as out:
        for request in sent:
            out.write(base64.b64encode(request.SerializeToString()).decode() + "\n")


def spans_of(message):
    """Every span with its surroundings, in a form that compares: order of attributes does not count."""
    found = {}
    for resource_spans in message.resource_spans:
        for scope_spans in resource_spans.scope_spans:
            for span in scope_spans.spans:
                found[span.span_id.hex()] = {
                    "span": normal(MessageToDict(span)),
                    "resource": normal(MessageToDict(resource_spans.resource)),
                    "resource schema": resource_spans.schema_url,
                    "scope": normal(MessageToDict(scope_spans.scope)),
                    "scope schema": scope_spans.schema_url,
                }
    return found


def normal(value):
    """Attributes by key; an absent submessage is an empty one."""
    if isinstance(value, dict):
        normalised = {key: normal(inner) for key, inner in value.items() if inner != {}}
        if isinstance(value.get("attributes"), list):
            normalised["attributes"] = sorted(map(json.dumps, map(normal, value["attributes"])))
        return normalised
    return [normal(inner) for inner in value] if isinstance(value, list) else value


def fetch(api, trace_id, accept):
    request = urllib.request.Request(f"http://{api}/api/traces/{trace_id}", headers={"Accept": accept})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return answer.read()


def check(args):
    differences = 0
    for line in open(args.sent):
        sent = trace_service_pb2.ExportTraceServiceRequest.FromString(base64.b64decode(line))
        trace_id = sent.resource_spans[0].scope_spans[0].spans[0].trace_id.hex()
        got = trace_pb2.TracesData.FromString(fetch(args.api, trace_id, "application/protobuf"))
        want, have = spans_of(sent), spans_of(got)
        for span_id in sorted(want.keys() | have.keys()):
            if want.get(span_id) != have.get(span_id):
                differences += 1
                if differences <= 3:
                    print(f"trace {trace_id} span {span_id}:\n  sent {want.get(span_id)}\n  got  {have.get(span_id)}")
        batches = json.loads(fetch(args.api, trace_id, "application/json"))["batches"]
        count = sum(len(scope["spans"]) for batch in batches for scope in batch["scopeSpans"])
        if count != len(want):
            differences += 1
            print(f"trace {trace_id}: JSON has {count} spans of {len(want)}")
    if differences:
        sys.exit(f"{differences} differences")
    print("equal, span for span")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True)
    sending = commands.add_parser("send")
    for option in ("--grpc", "--http", "--out"):
        sending.add_argument(option, required=True)
    sending.set_defaults(run=send)
    checking = commands.add_parser("check")
    for option in ("--api", "--sent"):
        checking.add_argument(option, required=True)
    checking.set_defaults(run=check)
    args = parser.parse_args()
    args.run(args)


if __name__ == "__main__":
    main()
