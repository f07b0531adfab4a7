"""Sends one trace to each receiver of Jaeger and Zipkin with the clients that people have, and reads it back.

    receivers.py --api HOST:PORT --jaeger-grpc HOST:PORT --jaeger-http HOST:PORT --jaeger-compact PORT
        --jaeger-binary PORT --zipkin HOST:PORT

Each trace is read by id and found by search, with its names, service, attributes, parent, events and status.
"""

import argparse
import base64
import json
import socket
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

import jaeger_client
from opentelemetry.exporter.jaeger.proto.grpc import JaegerExporter as JaegerGrpcExporter
from opentelemetry.exporter.jaeger.thrift import JaegerExporter as JaegerThriftExporter
from opentelemetry.exporter.jaeger.thrift.gen.agent import Agent
from opentelemetry.exporter.zipkin.json import ZipkinExporter as ZipkinJsonExporter
from opentelemetry.exporter.zipkin.proto.http import ZipkinExporter as ZipkinProtoExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, Status, StatusCode
from thrift.protocol import TBinaryProtocol
from thrift.transport import TTransport


def sdk_spans(service):
    memory = InMemorySpanExporter()
    provider = TracerProvider(resource=Resource.create({"service.name": service, "deployment.environment": "test"}))
    provider.add_span_processor(SimpleSpanProcessor(memory))
    tracer = provider.get_tracer("receivers-lib", "1.2.3")
    with tracer.start_as_current_span("root", kind=SpanKind.SERVER) as root:
        root.set_attribute("http.route", "/orders")
        with tracer.start_as_current_span("child", kind=SpanKind.CLIENT) as child:
            child.set_attributes({"text": "grüße ✓", "number": 7})
            child.add_event("sold out", {"item": "tea"})
            child.set_status(Status(StatusCode.ERROR, "it failed"))
    return memory.get_finished_spans()


def trace_id_of(spans):
    return format(spans[0].get_span_context().trace_id, "032x")


def export(exporter, service):
    spans = sdk_spans(service)
    if exporter.export(spans) is not SpanExportResult.SUCCESS:
        sys.exit(f"{type(exporter).__module__} did not export")
    return trace_id_of(spans)


def binary_datagrams(port):
    """The agent's client of the SDK, which speaks the compact protocol, made to speak the binary one."""
    exporter = JaegerThriftExporter(agent_host_name="127.0.0.1", agent_port=port)
    agent = exporter._agent_client
    agent.client = Agent.Client(iprot=TBinaryProtocol.TBinaryProtocol(trans=agent.buffer))
    return exporter


def opentracing_client(port, service):
    """Jaeger's own client, whose spans have 64 bit ids and say what it is and where it runs."""
    config = jaeger_client.Config(
        config={
            "sampler": {"type": "const", "param": 1},
            "local_agent": {"reporting_host": "127.0.0.1", "reporting_port": port},
            "tags": {"deployment.environment": "test"},
        },
        service_name=service,
        validate=True,
    )
    tracer = config.new_tracer()
    with tracer.start_span("root", tags={"span.kind": "server", "http.route": "/orders"}) as root:
        with tracer.start_span("child", child_of=root, tags={"span.kind": "client", "text": "grüße ✓", "number": 7}) as child:
            child.log_kv({"event": "sold out", "item": "tea"})
            child.set_tag("error", True)
    flushed = tracer.close()
    for _ in range(100):
        if flushed.done():
            break
        time.sleep(0.05)
    return format(root.trace_id, "032x")


def get(url):
    with urllib.request.urlopen(urllib.request.Request(url, headers={"Accept": "application/json"}), timeout=10) as answer:
        return json.load(answer)


def eventually(what, attempt):
    """Datagrams are not acknowledged: what was sent may be on its way."""
    last = None
    for _ in range(100):
        try:
            found = attempt()
            if found:
                return found
        except urllib.error.HTTPError as error:
            last = error
        time.sleep(0.05)
    sys.exit(f"{what}: not there ({last})")


def attributes(holder):
    return {one["key"]: next(iter(one["value"].values())) for one in holder.get("attributes", [])}


def check(api, way, service, trace_id):
    differences = []

    def same(what, have, want):
        if have != want:
            differences.append(f"{what}: {have!r} instead of {want!r}")

    def whole():
        trace = get(f"http://{api}/api/traces/{trace_id}")
        spans = {}
        for batch in trace["batches"]:
            for scope in batch["scopeSpans"]:
                for span in scope["spans"]:
                    spans[span["name"]] = (batch.get("resource", {}), scope.get("scope", {}), span)
        return spans if len(spans) == 2 else None

    spans = eventually(f"{way}: trace {trace_id}", whole)
    resource, scope, root = spans["root"]
    _, _, child = spans["child"]
    same("service", attributes(resource).get("service.name"), service)
    same("trace id", base64.b64decode(root["traceId"]).hex(), trace_id)
    same("root's parent", root.get("parentSpanId"), None)
    same("child's parent", child.get("parentSpanId"), root["spanId"])
    same("root's kind", root.get("kind"), "SPAN_KIND_SERVER")
    same("child's kind", child.get("kind"), "SPAN_KIND_CLIENT")
    same("route", attributes(root).get("http.route"), "/orders")
    same("text", attributes(child).get("text"), "grüße ✓")
    same("number", str(attributes(child).get("number")), "7")
    same("status", child.get("status", {}).get("code"), "STATUS_CODE_ERROR")
    same("root's status", root.get("status", {}).get("code"), None)
    same("root's duration", int(root["endTimeUnixNano"]) >= int(root["startTimeUnixNano"]) > 0, True)
    (event,) = child["events"]
    if way.startswith("zipkin"):
        # The SDK's way to say it; Zipkin itself has only the text.
        same("event", json.loads(event["name"]), {"sold out": {"item": "tea"}})
    else:
        same("event", event["name"], "sold out")
        same("event's item", attributes(event).get("item"), "tea")
    if way == "jaeger client":
        same("client", attributes(resource).get("opencensus.exporterversion", "").startswith("Jaeger-Python-"), True)
        same("host", attributes(resource).get("host.name"), socket.gethostname())
    else:
        same("scope", (scope.get("name"), scope.get("version")), ("receivers-lib", "1.2.3"))
        same("message", child["status"].get("message"), "it failed")
    query = urllib.parse.quote(f'{{ resource.service.name = "{service}" && name = "child" && status = error && kind = client && span.text = "grüße ✓" }}')
    found = eventually(f"{way}: search", lambda: get(f"http://{api}/api/search?q={query}").get("traces"))
    same("found", [trace["traceID"].rjust(32, "0") for trace in found], [trace_id])
    same("found root", [(trace["rootServiceName"], trace["rootTraceName"]) for trace in found], [(service, "root")])
    if differences:
        sys.exit(f"{way}:\n  " + "\n  ".join(differences))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for option in ("--api", "--jaeger-grpc", "--jaeger-http", "--zipkin"):
        parser.add_argument(option, required=True)
    for option in ("--jaeger-compact", "--jaeger-binary"):
        parser.add_argument(option, type=int, required=True)
    args = parser.parse_args()
    zipkin = f"http://{args.zipkin}/api/v2/spans"
    ways = {
        "jaeger grpc": lambda name: export(JaegerGrpcExporter(collector_endpoint=args.jaeger_grpc, insecure=True), name),
        "jaeger http": lambda name: export(
            JaegerThriftExporter(collector_endpoint=f"http://{args.jaeger_http}/api/traces?format=jaeger.thrift"), name
        ),
        "jaeger compact": lambda name: export(
            JaegerThriftExporter(agent_host_name="127.0.0.1", agent_port=args.jaeger_compact), name
        ),
        "jaeger binary": lambda name: export(binary_datagrams(args.jaeger_binary), name),
        "jaeger client": lambda name: opentracing_client(args.jaeger_compact, name),
        "zipkin json": lambda name: export(with_service(ZipkinJsonExporter(endpoint=zipkin), name), name),
        "zipkin proto": lambda name: export(with_service(ZipkinProtoExporter(endpoint=zipkin), name), name),
    }
    for way, send in ways.items():
        service = "shop-" + way.replace(" ", "-")
        check(args.api, way, service, send(service))
    print(f"{len(ways)} traces read back as sent")


def with_service(exporter, name):
    """Its endpoint's name is that of the global provider."""
    exporter.local_node.service_name = name
    return exporter


if __name__ == "__main__":
    main()
