//! The CEL rules, evaluated.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::schema;
use crate::spec::Tempo;
use crate::validate::validate_for;
use crate::validated::Target;

fn document(spec: Value) -> Value {
    json!({ "apiVersion": crate::API_VERSION, "kind": crate::KIND, "metadata": { "name": "traces" }, "spec": spec })
}

fn s3() -> Value {
    json!({ "trace": { "backend": "s3", "s3": { "bucket": "my-traces", "region": "eu-west-1" } } })
}

fn with_s3(fields: Value) -> Value {
    let mut storage = s3();
    for (name, value) in fields.as_object().unwrap() {
        storage["trace"]["s3"][name] = value.clone();
    }
    document(json!({ "mode": "distributed", "storage": storage }))
}

fn distributed(mut fields: Value) -> Value {
    fields["mode"] = json!("distributed");
    fields["storage"] = s3();
    document(fields)
}

fn single(mut fields: Value) -> Value {
    fields["mode"] = json!("singleBinary");
    fields["storage"] = s3();
    document(fields)
}

fn stored(trace: Value) -> Value {
    document(json!({ "mode": "singleBinary", "storage": { "trace": trace } }))
}

fn named(name: &str) -> Value {
    let mut document = single(json!({}));
    document["metadata"]["name"] = json!(name);
    document
}

fn messages(schema: &Value, document: &Value) -> BTreeSet<String> {
    match kube_cel::validate(schema, document, None) {
        Ok(()) => BTreeSet::new(),
        Err(errors) => errors.into_vec().into_iter().map(|error| error.message).collect(),
    }
}

/// Documents that are refused, each with words of the rule that refuses it.
fn refused() -> Vec<(Value, &'static str)> {
    let tls = |tls: Value| distributed(json!({ "distributor": { "tls": tls } }));
    let ca = |ca: Value| with_s3(json!({ "tls": { "ca": ca } }));
    let zones = |zones: Value| distributed(json!({ "replication": { "factor": 3, "zones": zones } }));
    let gcs = json!({ "bucket": "traces" });
    let azure = json!({ "container": "traces", "account": "account" });
    vec![
        (named("a-name-of-more-than-thirty-chars"), "at most 30"),
        (named("my.tempo"), "DNS label"),
        (single(json!({ "querier": {} })), "instead of component blocks"),
        (distributed(json!({ "tempo": {} })), "the tempo block belongs"),
        (
            document(json!({ "mode": "distributed", "storage": { "trace": { "backend": "local" } } })),
            "do not share a disk",
        ),
        (distributed(json!({ "replication": { "factor": 4 } })), "larger than ingester.replicas"),
        (
            distributed(json!({ "ingester": { "replicas": 2 }, "replication": { "factor": 3 } })),
            "larger than ingester.replicas",
        ),
        (single(json!({ "replication": { "factor": 3 } })), "keeps one copy"),
        (single(json!({ "tempo": { "replicas": 2 } })), "runs one instance"),
        (zones(json!(["a", "b"])), "zone of its own"),
        (single(json!({ "limits": { "perTenant": { "dev": {} } } })), "limits.perTenant needs"),
        (
            single(json!({ "limits": { "perTenant": { "dev": {} } }, "tenancy": { "enabled": false } })),
            "limits.perTenant needs",
        ),
        (single(json!({ "retention": { "perTenant": { "dev": "48h" } } })), "retention.perTenant needs"),
        (stored(json!({ "backend": "s3" })), "needs the section s3"),
        (stored(json!({ "backend": "gcs" })), "needs the section gcs"),
        (stored(json!({ "backend": "azure" })), "needs the section azure"),
        (
            stored(json!({ "backend": "local", "s3": { "bucket": "traces", "region": "r" } })),
            "section s3 needs backend",
        ),
        (stored(json!({ "backend": "local", "gcs": gcs })), "section gcs needs backend"),
        (stored(json!({ "backend": "local", "azure": azure })), "section azure needs backend"),
        (stored(json!({ "backend": "gcs", "gcs": gcs, "local": {} })), "section local needs backend"),
        (
            with_s3(json!({ "credentials": { "secretRef": { "name": "keys" }, "workloadIdentity": {} } })),
            "secretRef or workloadIdentity",
        ),
        (with_s3(json!({ "credentials": { "env": {} } })), "credentials.env is for the local target"),
        (ca(json!({})), "either a configMap or a secret"),
        (ca(json!({ "file": "/ca.pem" })), "file is for the local target"),
        (tls(json!({})), "name the secret"),
        (tls(json!({ "certFile": "c", "keyFile": "k" })), "certFile and keyFile are for"),
    ]
}

#[test]
fn rules_refuse_what_they_say() {
    let schema = schema();
    for (document, words) in refused() {
        let messages = messages(&schema, &document);
        assert!(
            messages.iter().any(|message| message.contains(words)),
            "{words:?} in {messages:?} for {document}"
        );
    }
}

#[test]
fn every_rule_has_its_case() {
    let schema = schema();
    let told: BTreeSet<_> = refused().iter().flat_map(|(document, _)| messages(&schema, document)).collect();
    let mut rules = BTreeSet::new();
    super::walk("", schema.as_object().unwrap(), &mut |_, schema| {
        let validations = schema.get("x-kubernetes-validations").and_then(Value::as_array);
        for rule in validations.into_iter().flatten() {
            rules.insert(rule["message"].as_str().unwrap().to_owned());
        }
    });
    assert_eq!(rules.difference(&told).cloned().collect::<Vec<_>>(), super::NONE);
}

#[test]
fn validation_refuses_whatever_the_rules_refuse() {
    for (document, words) in refused() {
        let tempo: Tempo = serde_json::from_value(document).unwrap();
        assert!(validate_for(&tempo, Target::Kubernetes).is_err(), "{words}");
    }
}

#[test]
fn valid_documents_pass() {
    let schema = schema();
    for document in [
        single(json!({})),
        single(json!({ "tempo": { "replicas": 0 }, "replication": { "factor": 1 } })),
        stored(json!({ "backend": "local" })),
        distributed(json!({})),
        distributed(json!({ "ingester": { "replicas": 5 }, "replication": { "factor": 5, "zones": [] } })),
        distributed(json!({ "ingester": { "replicas": 0 }, "replication": { "factor": 3 } })),
        distributed(json!({ "replication": { "factor": 3, "zones": ["a", "b", "c"] } })),
        distributed(
            json!({ "networkPolicy": { "extraEgress": [{ "ports": [{ "port": 3128 }, { "port": "proxy" }] }] } }),
        ),
        distributed(json!({
            "tenancy": { "tenants": [{ "name": "dev" }] },
            "limits": { "perTenant": { "dev": {} } },
            "retention": { "perTenant": { "dev": "48h" } },
        })),
        with_s3(json!({ "credentials": {}, "tls": { "ca": { "secret": { "name": "ca" } } } })),
        with_s3(json!({ "credentials": { "workloadIdentity": {} } })),
        distributed(
            json!({ "distributor": { "tls": { "secretName": "otlp", "clientCa": { "configMap": { "name": "ca" } } } } }),
        ),
    ] {
        assert_eq!(messages(&schema, &document), BTreeSet::new(), "{document}");
        let tempo: Tempo = serde_json::from_value(document).unwrap();
        validate_for(&tempo, Target::Kubernetes).unwrap();
    }
}
