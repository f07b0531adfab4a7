use super::*;
use crate::Component;
use crate::validated::Storage;

const QUICKSTART: &str = "\
apiVersion: tempoform.io/v1alpha1
kind: Tempo
metadata:
  name: quickstart
spec:
  mode: singleBinary
  storage:
    trace:
      backend: local
";

const FULL: &str = r#"
apiVersion: tempoform.io/v1alpha1
kind: Tempo
metadata:
  name: traces
  namespace: observability
  labels: {team: platform}
spec:
  mode: distributed
  image: docker.io/grafana/tempo:2.10.5
  imagePullSecrets: [{name: registry}]
  storage:
    trace:
      backend: s3
      s3:
        bucket: my-traces
        endpoint: https://minio.example.org:9000
        prefix: /team-a/
        tls: {ca: {configMap: {name: minio-ca}}}
        credentials: {secretRef: {name: s3-keys}}
  distributor:
    replicas: 2
    tls: {secretName: otlp-tls}
    extraEnv: [{name: GOGC, value: "80"}]
    podTemplate:
      labels: {tier: front}
      sidecars: [{name: proxy, image: "envoy:1"}]
  ingester:
    replicas: 6
    resources: {requests: {cpu: 1, memory: 4Gi}, limits: {memory: 4Gi}}
    tolerations: [{key: dedicated, operator: Exists}]
    persistence: {size: 50Gi, storageClass: fast}
  query: {maxDuration: 30d, defaultResultLimit: 50}
  limits:
    global: {ingestion: {rateLimitBytes: 50MB}}
    perTenant:
      dev: {ingestion: {rateLimitBytes: 1MB, burstSizeBytes: 2MB}}
  retention:
    global: 720h
    perTenant: {dev: 48h}
  tenancy:
    tenants: [{name: dev, id: 1610b0c3}, {name: prod}]
  replication: {factor: 3, zones: [a, b, c]}
  wal: {durability: async}
  blocks: {dedicatedColumns: [{scope: resource, name: k8s.cluster.name}]}
  observability:
    serviceMonitors: {labels: {release: prometheus}}
    selfTracing: {endpoint: "http://collector:4318"}
    logLevel: warn
  config: {query_frontend: {mcp_server: {enabled: true}}}
  deletionPolicy: delete
"#;

fn problems(text: &str) -> Problems {
    load("tempo.yaml", text).expect_err("the document is refused")
}

#[track_caller]
fn assert_refused(text: &str, line: usize, path: &str, words: &str) {
    let problems = problems(text);
    let found = problems.iter().any(|problem| {
        problem.line == Some(line)
            && problem.path == path
            && (problem.message.contains(words)
                || problem.help.as_deref().is_some_and(|help| help.contains(words)))
    });
    assert!(found, "{words:?} at line {line}, {path}, in:\n{problems}");
}

#[test]
fn a_short_document_is_enough() {
    let loaded = load("quickstart.yaml", QUICKSTART).unwrap();
    assert_eq!(loaded.len(), 1);
    let tempo = &loaded[0].validated;
    assert_eq!(tempo.name, "quickstart");
    assert_eq!(tempo.components.keys().collect::<Vec<_>>(), [&Component::Tempo]);
    loaded[0].check_target(Target::Local).unwrap();
    loaded[0].check_target(Target::Kubernetes).unwrap();
}

#[test]
fn a_long_document_is_resolved_whole() {
    let loaded = load("traces.yaml", FULL).unwrap();
    let tempo = &loaded[0].validated;
    let Storage::S3(s3) = &tempo.storage else { panic!("s3 is declared") };
    assert_eq!(
        (s3.endpoint.as_str(), s3.insecure, s3.force_path_style),
        ("minio.example.org:9000", false, true)
    );
    assert_eq!(s3.prefix, "team-a");
    assert_eq!(tempo.tenant_overrides().keys().collect::<Vec<_>>(), [&"1610b0c3"], "by id, not by name");
    insta::assert_json_snapshot!(tempo);
}

#[test]
fn every_problem_is_found_at_once() {
    let text = "\
apiVersion: tempoform.io/v1alpha1
kind: Tempo
metadata:
  name: quickstart
spec:
  mode: single
  storage:
    trace:
      backend: s4
  ingestor:
    replicas: 3
  retention:
    global: 2 weeks
";
    assert_refused(text, 6, "spec.mode", "singleBinary");
    assert_refused(text, 9, "spec.storage.trace.backend", "s3");
    assert_refused(text, 10, "spec.ingestor", "ingester");
    assert_refused(text, 13, "spec.retention.global", "2 weeks");
    assert_eq!(problems(text).len(), 4, "{}", problems(text));
}

#[test]
fn fields_that_kubernetes_would_skip_are_refused_too() {
    let text = format!(
        "{QUICKSTART}  tempo:\n    resources:\n      limit: {{memory: 1Gi}}\n    tolerations:\n    - kye: dedicated\n"
    );
    assert_refused(&text, 12, "spec.tempo.resources.limit", "limits");
    assert_refused(&text, 14, "spec.tempo.tolerations[0].kye", "key");
}

#[test]
fn metadata_is_checked_but_takes_what_kubectl_prints() {
    let text = QUICKSTART.replace("  name: quickstart\n", "  name: quickstart\n  lables: {a: b}\n");
    assert_refused(&text, 5, "metadata.lables", "labels");
    let printed = QUICKSTART.replace(
        "  name: quickstart\n",
        "  name: quickstart\n  creationTimestamp: null\n  generation: 2\n  uid: 8a3c\n  resourceVersion: \"7\"\n",
    ) + "status: {observedGeneration: 2, health: healthy}\n";
    load("printed.yaml", &printed).unwrap();
}

#[test]
fn quantities_may_be_numbers() {
    let text = format!("{QUICKSTART}  tempo:\n    resources: {{limits: {{cpu: 2, memory: 1073741824}}}}\n");
    let loaded = load("tempo.yaml", &text).unwrap();
    let tempo = loaded[0].validated.component(Component::Tempo).unwrap();
    assert_eq!(tempo.memory_limit, Some(crate::ByteSize(1 << 30)));
}

#[test]
fn what_validation_refuses_has_a_position() {
    let text = format!("{QUICKSTART}  replication:\n    factor: 3\n");
    assert_refused(&text, 11, "spec.replication.factor", "single binary");
}

#[test]
fn what_the_target_refuses_has_a_position() {
    let text = QUICKSTART.replace("      backend: local\n", "      backend: s3\n      s3:\n        bucket: my-traces\n        region: eu-west-1\n        credentials:\n          secretRef: {name: keys}\n");
    let loaded = load("tempo.yaml", &text).unwrap();
    loaded[0].check_target(Target::Kubernetes).unwrap();
    let problems = loaded[0].check_target(Target::Local).unwrap_err();
    assert_eq!(problems.problems[0].line, Some(14));
    assert!(
        problems.to_string().starts_with("tempo.yaml:14:11: spec.storage.trace.s3.credentials.secretRef: ")
    );
}

#[test]
fn other_kinds_are_told_apart() {
    for (from, to, words) in [
        ("kind: Tempo", "kind: Deployment", "no kind \"Deployment\""),
        ("tempoform.io/v1alpha1", "apps/v1", "not a Tempo"),
        ("tempoform.io/v1alpha1", "tempoform.io/v1", "version"),
        (
            "apiVersion: tempoform.io/v1alpha1\nkind: Tempo",
            "apiVersion: tempo.grafana.com/v1alpha1\nkind: TempoStack",
            "TempoStack",
        ),
        ("kind: Tempo\n", "", "kind is missing"),
        ("apiVersion: tempoform.io/v1alpha1\n", "", "apiVersion is missing"),
    ] {
        let problems = problems(&QUICKSTART.replace(from, to));
        assert_eq!(problems.len(), 1, "{problems}");
        let problem = &problems.problems[0];
        assert!(problem.message.contains(words), "{words:?} in {problem:?}");
        assert!(
            problem
                .help
                .as_deref()
                .is_some_and(|help| help.contains("tempoform.io/v1alpha1") || help.contains("kind: Tempo")),
            "{problem:?}"
        );
    }
}

#[test]
fn problems_of_every_document_are_told() {
    let bad = QUICKSTART.replace("quickstart", "Quick_Start");
    let text = format!("{bad}---\n{}", QUICKSTART.replace("singleBinary", "both"));
    assert_refused(&text, 4, "metadata.name", "quick-start");
    assert_refused(&text, 16, "spec.mode", "both");
}

#[test]
fn a_tempo_is_declared_once() {
    let text = format!("{QUICKSTART}---\n{QUICKSTART}");
    assert_refused(&text, 14, "metadata.name", "line 4");
    let elsewhere = QUICKSTART.replace("  name: quickstart", "  name: quickstart\n  namespace: other");
    assert_eq!(load("two.yaml", &format!("{QUICKSTART}---\n{elsewhere}")).unwrap().len(), 2);
}

#[test]
fn an_empty_file_is_no_declaration() {
    for text in ["", "---\n", "# nothing\n"] {
        assert!(problems(text).to_string().contains("no document"), "{text:?}");
    }
}

#[test]
fn a_value_that_is_written_for_a_variables_name_is_not_printed() {
    let text = QUICKSTART.replace("      backend: local\n", "      backend: s3\n      s3:\n        bucket: my-traces\n        region: eu-west-1\n        credentials:\n          env: {secretAccessKey: wJalrXUtnFEMI/K7MDENG}\n");
    let problems = problems(&text).to_string();
    assert!(problems.contains("environment variable"), "{problems}");
    assert!(!problems.contains("wJalr"), "{problems}");
}

#[test]
fn what_is_written_reads_back() {
    for text in [QUICKSTART, FULL] {
        let tempo = load("tempo.yaml", text).unwrap().remove(0).tempo;
        let again = serde_saphyr::to_string(&tempo).unwrap();
        let read = load("again.yaml", &again).unwrap_or_else(|problems| panic!("{problems}\n{again}"));
        assert_eq!(read[0].tempo, tempo);
    }
}
