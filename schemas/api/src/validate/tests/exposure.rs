use super::*;
use crate::validated::Entrance;

fn ingress(routes: Value) -> Value {
    json!({ "ingress": routes })
}

#[test]
fn all_ways_in_may_be_at_one_host() {
    let at = json!({ "host": "tempo.example.com", "annotations": { "a": "b" } });
    let tempo = distributed(ingress(json!({ "query": at, "otlpHttp": at, "otlpGrpc": at })));
    let paths: Vec<_> = tempo.ingress.values().map(|ingress| ingress.path.as_str()).collect();
    assert_eq!(paths, ["/", "/v1/traces", "/opentelemetry.proto.collector.trace.v1.TraceService"]);
    assert!(tempo.warnings.is_empty(), "{:?}", tempo.warnings);
    assert!(tempo.target_warnings(Target::Local)[0].message.contains("ingress"));
}

#[test]
fn a_controller_must_know_that_it_is_grpc() {
    let tempo = single(ingress(json!({ "otlpGrpc": { "host": "a.b" } })));
    assert_eq!(tempo.warnings.len(), 1);
    assert_eq!(tempo.warnings[0].path, "spec.ingress.otlpGrpc");
}

#[test]
fn names_and_paths_are_checked() {
    for (patch, path, words) in [
        (json!({ "host": "https://a.b" }), "host", "https://a.b"),
        (json!({ "host": "a.b:80" }), "host", "a.b:80"),
        (json!({ "host": "10.0.0.1" }), "host", "10.0.0.1"),
        (json!({ "host": "a.*.b" }), "host", "a.*.b"),
        (json!({ "host": "*.a.b", "path": "tempo" }), "path", "tempo"),
        (json!({ "host": "a.b", "path": "/a//b" }), "path", "/a//b"),
        (json!({ "host": "a.b", "path": "/../b" }), "path", "/../b"),
        (json!({ "host": "a.b", "className": "My Class" }), "className", "My Class"),
        (json!({ "host": "a.b", "annotations": { "a b": "" } }), "annotations.a b", "a b"),
        (json!({ "host": "a.b", "tls": { "secretName": "A" } }), "tls.secretName", "A"),
    ] {
        let problems = validate(&tempo("singleBinary", ingress(json!({ "query": patch })))).unwrap_err();
        assert_eq!(problems.len(), 1, "{problems}");
        let problem = &problems.problems[0];
        assert!(problem.path.starts_with("spec.ingress.query."), "{problem:?}");
        assert!(problem.path.contains(path.split('.').next().unwrap()), "{path} in {problem:?}");
        assert!(problem.message.contains(words), "{problem:?}");
    }
    single(ingress(json!({ "query": { "host": "a.b", "path": "/tempo/" } })));
    refused("singleBinary", ingress(json!({})), "spec.ingress", "no way in");
    let twice =
        json!({ "query": { "host": "a.b", "path": "/x" }, "otlpHttp": { "host": "a.b", "path": "/x/" } });
    refused("singleBinary", ingress(twice), "spec.ingress.otlpHttp", "spec.ingress.query");
}

#[test]
fn there_must_be_something_behind_a_way_in() {
    let route = |name: &str| match name {
        "ingress" => json!({ "otlpHttp": { "host": "a.b" } }),
        _ => json!({ "parentRefs": [{ "name": "public" }], "otlpHttp": { "hostnames": ["a.b"] } }),
    };
    for kind in ["ingress", "gatewayApi"] {
        let path = format!("spec.{kind}.otlpHttp");
        let off = json!({ kind: route(kind), "ingestion": { "otlp": { "http": { "enabled": false } } } });
        refused("distributed", off, &path, "spec.ingestion.otlp.http.enabled");
        let tls = json!({ kind: route(kind), "distributor": { "tls": { "secretName": "otlp" } } });
        refused("distributed", tls, &path, "spec.distributor.tls");
        let other = json!({ kind: route(kind), "ingestion": { "otlp": { "grpc": { "tls": { "secretName": "x" } } } } });
        distributed(other);
    }
}

fn gateway(routes: Value) -> Value {
    let mut gateway = json!({ "parentRefs": [{ "name": "public" }] });
    merge(&mut gateway, routes);
    json!({ "gatewayApi": gateway })
}

#[test]
fn routes_attach_to_gateways() {
    let tempo = distributed(gateway(json!({
        "parentRefs": [{ "name": "public", "namespace": "infra", "sectionName": "https" }],
        "query": { "hostnames": ["tempo.example.com"] },
        "otlpHttp": { "hostnames": ["tempo.example.com", "*.otlp.example.com"] },
    })));
    let resolved = tempo.gateway_api.as_ref().unwrap();
    assert_eq!(resolved.parents[0].section_name.as_deref(), Some("https"));
    assert_eq!(resolved.routes.keys().copied().collect::<Vec<_>>(), [Entrance::Query, Entrance::OtlpHttp]);
    for (patch, path, words) in [
        (json!({}), "", "no way in"),
        (json!({ "parentRefs": [], "query": { "hostnames": ["a.b"] } }), ".parentRefs", "no gateway"),
        (json!({ "query": { "hostnames": [] } }), ".query.hostnames", "no host name"),
        (json!({ "query": { "hostnames": ["A"] } }), ".query.hostnames[0]", "A"),
        (
            json!({ "parentRefs": [{ "name": "a", "namespace": "b.c" }], "query": { "hostnames": ["a.b"] } }),
            ".parentRefs[0].namespace",
            "b.c",
        ),
    ] {
        refused("distributed", gateway(patch), &format!("spec.gatewayApi{path}"), words);
    }
}

#[test]
fn grpc_has_host_names_of_its_own() {
    for (http, grpc) in [("a.b", "a.b"), ("*.b", "a.b"), ("a.b", "*.b"), ("*.b", "*.a.b")] {
        let routes =
            json!({ "query": { "hostnames": ["x.y", http] }, "otlpGrpc": { "hostnames": ["x.z", grpc] } });
        refused(
            "distributed",
            gateway(routes),
            "spec.gatewayApi.otlpGrpc.hostnames[1]",
            "spec.gatewayApi.query",
        );
    }
    distributed(gateway(
        json!({ "query": { "hostnames": ["a.b", "*.c"] }, "otlpGrpc": { "hostnames": ["b", "grpc.a.b", "ac"] } }),
    ));
}
