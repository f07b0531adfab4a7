use proptest::prelude::*;
use serde_json::Value;
use tempoform_document::{ByteSize, Document, GoDuration};

use crate::compatibility::{IGNORED, IGNORED_LIMITS, Ignored};
use crate::{Backend, ColumnScope, Config, Durability, Target, YamlMode};

#[track_caller]
fn loaded(text: &str) -> Config {
    Config::load(text, "tempo.yaml", false).unwrap_or_else(|problems| panic!("{problems}"))
}

#[track_caller]
fn refused(text: &str) -> String {
    Config::load(text, "tempo.yaml", false).unwrap_err().to_string()
}

/// The reference of all keys and their defaults.
#[test]
fn default_configuration() {
    insta::assert_snapshot!("default_configuration", Config::default().to_yaml(YamlMode::Full));
}

#[test]
fn the_defaults_are_read_again_as_they_are_written() {
    let text = Config::default().to_yaml(YamlMode::Defaults);
    assert_eq!(loaded(&text), Config::default());
    assert!(loaded(&text).warnings().is_empty());
    assert_eq!(loaded(""), Config::default());
    assert_eq!(loaded("# nothing\nserver:\ningester:\n"), Config::default());
}

#[test]
fn targets_are_named_as_in_the_file() {
    for target in Target::ALL {
        assert_eq!(target.to_string().parse(), Ok(target));
        assert_eq!(serde_json::to_value(target).unwrap(), target.as_str());
    }
    assert_eq!(
        "qurier".parse::<Target>().unwrap_err().to_string(),
        "target \"qurier\" is not known; targets are all, distributor, ingester, querier, query-frontend, retriever, compactor"
    );
}

#[test]
fn tempos_keys_are_read() {
    let config = loaded(
        "target: query-frontend
multitenancy_enabled: true
server: {http_listen_port: 3100, log_level: debug, log_format: json}
distributor:
  receivers: {otlp: {protocols: {grpc: {endpoint: 0.0.0.0:4317}}}}
ingester: {max_block_bytes: 1GiB, durability: async, lifecycler: {ring: {replication_factor: 3}}}
compactor: {compaction: {block_retention: 14d}}
storage:
  trace:
    backend: s3
    s3: {bucket: traces, endpoint: minio:9000, access_key: k, secret_key: 0123, forcepathstyle: true}
    block: {parquet_dedicated_columns: [{scope: resource, name: host.name, type: string}]}
memberlist: {join_members: [gossip:7946]}
",
    );
    assert_eq!(config.target, Target::QueryFrontend);
    assert!(config.multitenancy_enabled);
    assert_eq!(config.server.http_listen_port, 3100);
    assert_eq!(config.server.grpc_listen_port, 9095);
    assert_eq!(config.ingester.max_block_bytes, ByteSize(1 << 30));
    assert_eq!(config.ingester.durability, Durability::Async);
    assert_eq!(config.compactor.compaction.block_retention, GoDuration::from_hours(336));
    assert_eq!(config.storage.trace.backend, Some(Backend::S3));
    assert_eq!(config.storage.trace.s3.secret_key.expose(), "0123");
    let columns: Vec<_> = config.storage.trace.block.stored_columns().collect();
    assert_eq!((columns[0].scope, columns[0].name.as_str()), (ColumnScope::Resource, "host.name"));
    assert_eq!(columns.len(), 1);
}

#[test]
fn only_receivers_that_are_named_are_on() {
    let protocols = |text: &str| {
        let protocols = loaded(text).distributor.receivers.otlp.expect("OTLP is on").protocols;
        (protocols.grpc.map(|p| p.endpoint), protocols.http.map(|p| p.endpoint))
    };
    let (grpc, http) = (Some("localhost:4317".to_owned()), Some("localhost:4318".to_owned()));
    assert_eq!(protocols("distributor: {receivers: {}}"), (grpc.clone(), http.clone()));
    let both = "distributor:\n  receivers:\n    otlp:\n      protocols:\n        grpc:\n        http:\n";
    assert_eq!(protocols(both), (grpc.clone(), http));
    let one = "distributor:\n  receivers:\n    otlp:\n      protocols:\n        grpc:\n";
    assert_eq!(protocols(one), (grpc, None));
}

#[test]
fn jaeger_and_zipkin_are_on_when_they_are_named() {
    let on = |text: &str| -> Vec<String> {
        let config = loaded(text);
        let listening = config.distributor.receivers.listening();
        listening.iter().map(|one| format!("{} {}", one.path, one.endpoint)).collect()
    };
    let some = "distributor:\n  receivers:\n    jaeger:\n      protocols:\n        thrift_http:\n        thrift_compact: {endpoint: '0.0.0.0:6831'}\n    zipkin:\n";
    assert_eq!(
        on(some),
        [
            "distributor.receivers.jaeger.protocols.thrift_http localhost:14268",
            "distributor.receivers.jaeger.protocols.thrift_compact 0.0.0.0:6831",
            "distributor.receivers.zipkin localhost:9411",
        ]
    );
    assert_eq!(
        on("distributor:\n  receivers:\n    otlp:\n    jaeger:\n"),
        [
            "distributor.receivers.otlp.protocols.grpc localhost:4317",
            "distributor.receivers.otlp.protocols.http localhost:4318",
            "distributor.receivers.jaeger.protocols.grpc localhost:14250",
            "distributor.receivers.jaeger.protocols.thrift_http localhost:14268",
            "distributor.receivers.jaeger.protocols.thrift_compact localhost:6831",
            "distributor.receivers.jaeger.protocols.thrift_binary localhost:6832",
        ]
    );
    let sized =
        loaded("distributor: {receivers: {zipkin: {max_request_body_size: 1MiB}}}").distributor.receivers;
    let zipkin = sized.zipkin.expect("Zipkin is on");
    assert_eq!((&*zipkin.endpoint, zipkin.max_request_body_size), ("localhost:9411", ByteSize::from_mib(1)));
}

#[test]
fn settings_of_the_collectors_receivers_without_effect_are_told() {
    let config = loaded(
        "distributor:
  receivers:
    kafka:
    jaeger: {protocols: {grpc: {transport: tcp}, thrift_compact: {workers: 3}}, remote_sampling: {}}
    zipkin: {parse_string_tags: true, tls: {cert_file: c, key_file: k, min_version: '1.2'}}
",
    );
    insta::assert_snapshot!(config.warnings(), @r#"
    tempo.yaml:3:5: distributor.receivers.kafka: has no effect: this version receives OTLP, Jaeger and Zipkin; no spans come in this way
    tempo.yaml:4:33: distributor.receivers.jaeger.protocols.grpc.transport: has no effect: this receiver has no such setting
    tempo.yaml:4:67: distributor.receivers.jaeger.protocols.thrift_compact.workers: has no effect: datagrams are taken whole, up to queue_size at once
    tempo.yaml:4:81: distributor.receivers.jaeger.remote_sampling: has no effect: no sampling strategies are served
    tempo.yaml:5:14: distributor.receivers.zipkin.parse_string_tags: has no effect: tags stay texts
    tempo.yaml:5:72: distributor.receivers.zipkin.tls.min_version: has no effect: TLS 1.2 and 1.3 with their safe ciphers are spoken
    "#);
}

#[test]
fn unknown_keys_and_wrong_values_are_all_refused_with_suggestions() {
    insta::assert_snapshot!(
        refused(
            "targt: all
server:
  http_listen_prot: 3200
  log_level: verbose
ingester:
  max_block_duration: 5
  max_block_bytes: big
  trace_idle_perod: 5s
storage:
  trace:
    backend: aws
    block: {version: vParquet2}
usage_report: {}
"
        ),
        @r#"
    tempo.yaml:1:1: targt: unknown key
        did you mean target?
    tempo.yaml:3:3: server.http_listen_prot: unknown key
        did you mean http_listen_port?
    tempo.yaml:4:3: server.log_level: expected one of debug, info, warn, error, found the text "verbose"
    tempo.yaml:6:3: ingester.max_block_duration: expected a duration such as 250ms, 30s or 1h30m, found the text "5"
        add the unit, such as 5s
    tempo.yaml:7:3: ingester.max_block_bytes: expected a size in bytes such as 1048576, 512MiB or 5MB, found the text "big"
    tempo.yaml:8:3: ingester.trace_idle_perod: unknown key
        did you mean trace_idle_period?
    tempo.yaml:11:5: storage.trace.backend: expected one of local, s3, gcs, azure, found the text "aws"
    tempo.yaml:12:13: storage.trace.block.version: expected one of vParquet3, vParquet4, vParquet5, found the text "vParquet2"
        did you mean vParquet3?
    "#
    );
}

#[test]
fn a_configuration_is_one_document() {
    insta::assert_snapshot!(refused("target: all\n---\ntarget: ingester\n"), @r#"tempo.yaml:3:1: a second document starts here; a configuration is one"#);
}

#[test]
fn variables_are_expanded_on_request() {
    let variables = |name: &str| (name == "BUCKET").then(|| "traces".to_owned());
    let text = "storage: {trace: {s3: {bucket: '${BUCKET}', region: ${REGION:eu}, access_key: ${KEY}}}}";
    let config = Config::load_with(text, "tempo.yaml", &variables).unwrap();
    assert_eq!(config.storage.trace.s3.bucket, "traces");
    assert_eq!(config.storage.trace.s3.region, "eu");
    assert_eq!(config.storage.trace.s3.access_key, "");
    let config = loaded("storage: {trace: {s3: {bucket: '${BUCKET}'}}}");
    assert_eq!(config.storage.trace.s3.bucket, "${BUCKET}");
}

/// A file for Tempo 2 in its usual shape, flat limits included.
#[test]
fn a_tempo_2_file_loads_and_says_what_has_no_effect() {
    let config = loaded(
        "auth_enabled: true
compactor:
  compaction: {block_retention: 48h}
  ring: {kvstore: {store: memberlist}}
distributor:
  receivers:
    jaeger: {protocols: {grpc: , thrift_http: }}
    otlp: {protocols: {grpc: {endpoint: 0.0.0.0:4317, tls: {cert_file: c, key_file: k, min_version: '1.2'}}}}
  ring: {kvstore: {store: memberlist}}
ingester:
  lifecycler: {ring: {kvstore: {store: memberlist}, replication_factor: 1}, tokens_file_path: /var/tempo/t.json}
  max_block_duration: 10m
  trace_idle_period: 5s
memberlist: {abort_if_cluster_join_fails: false, join_members: [tempo-gossip-ring], retransmit_factor: 2}
overrides:
  ingestion_rate_limit_bytes: 1000
  ingestion_burst_size_bytes: 2000
  max_bytes_per_trace: 3000
  metrics_generator_processors: [span-metrics]
  per_tenant_override_config: /conf/overrides.yaml
querier:
  max_concurrent_queries: 20
  frontend_worker: {frontend_address: 'frontend:9095'}
  search: {external_hedge_requests_at: 8s}
query_frontend:
  search: {concurrent_jobs: 2000, max_duration: 0s, duration_slo: 5s}
  metrics: {max_duration: 3h}
server: {grpc_server_max_recv_msg_size: 4194304, grpc_server_max_send_msg_size: 4194304, http_server_read_timeout: 30s}
storage:
  trace:
    backend: s3
    blocklist_poll: 5m
    cache: none
    local: {path: /var/tempo/traces}
    pool: {max_workers: 100}
    s3: {bucket: b, hedge_requests_at: 500ms}
    wal: {path: /var/tempo/wal}
usage_report: {reporting_enabled: false}
",
    );
    assert!(config.multitenancy_enabled);
    assert_eq!(config.overrides.defaults.ingestion.rate_limit_bytes, ByteSize(1000));
    assert_eq!(config.overrides.defaults.ingestion.burst_size_bytes, ByteSize(2000));
    assert_eq!(config.overrides.defaults.global.max_bytes_per_trace, ByteSize(3000));
    assert!(config.validate().is_empty(), "{}", config.validate());
    insta::assert_snapshot!(config.warnings(), @r#"
    tempo.yaml:4:3: compactor.ring: has no effect: processes find each other by gossip, see memberlist
    tempo.yaml:8:88: distributor.receivers.otlp.protocols.grpc.tls.min_version: has no effect: TLS 1.2 and 1.3 with their safe ciphers are spoken
    tempo.yaml:9:3: distributor.ring: has no effect: processes find each other by gossip, see memberlist
    tempo.yaml:11:23: ingester.lifecycler.ring.kvstore: has no effect: processes find each other by gossip, see memberlist
    tempo.yaml:11:77: ingester.lifecycler.tokens_file_path: has no effect: traces are spread without a ring of tokens
    tempo.yaml:14:85: memberlist.retransmit_factor: has no effect: this gossip has no such setting
    tempo.yaml:19:3: overrides.metrics_generator_processors: has no effect: this version makes no metrics from spans
    tempo.yaml:23:3: querier.frontend_worker: has no effect: processes find each other by gossip, see memberlist
    tempo.yaml:24:12: querier.search.external_hedge_requests_at: has no effect: no other backend is asked
    tempo.yaml:26:12: query_frontend.search.concurrent_jobs: has no effect: a search is not cut into jobs: retrievers search retriever.concurrent_blocks blocks at once
    tempo.yaml:26:53: query_frontend.search.duration_slo: has no effect: queries are not counted against objectives by this version
    tempo.yaml:27:3: query_frontend.metrics: has no effect: this version answers no TraceQL metrics queries
    tempo.yaml:28:50: server.grpc_server_max_send_msg_size: has no effect: messages sent are not limited
    tempo.yaml:28:90: server.http_server_read_timeout: has no effect: queries end by querier.search.query_timeout and querier.trace_by_id.query_timeout
    tempo.yaml:33:5: storage.trace.cache: has no effect: blocks are cached by the retriever, see retriever.cache_bytes
    tempo.yaml:35:5: storage.trace.pool: has no effect: see retriever.concurrent_blocks and retriever.concurrent_requests
    tempo.yaml:36:21: storage.trace.s3.hedge_requests_at: has no effect: requests to storage are not doubled
    tempo.yaml:38:1: usage_report: has no effect: nothing is ever reported to anyone
    "#);
}

#[test]
fn a_tempo_3_file_loads_and_keeps_its_retention() {
    let config = loaded(
        "live_store: {max_block_duration: 30s}
block_builder: {consume_cycle_duration: 5m}
ingest: {kafka: {topic: t}}
backend_worker: {compaction: {block_retention: 72h, max_block_bytes: 1GB}, backend_scheduler_addr: s:9095}
backend_scheduler: {provider: {compaction: {compaction: {block_retention: 72h, compaction_window: 2h}}}}
memory: {automemlimit_enabled: true, automemlimit_ratio: 0.7}
overrides: {defaults: {ingestion: {rate_limit_bytes: 5MB, artificial_delay: 1s}, metrics_generator: {processors: []}}}
storage:
  trace:
    backend: local
    block:
      parquet_dedicated_columns:
        - {scope: resource, name: k8s.pod.name}
        - {scope: span, name: server.port, type: int}
        - {scope: event, name: exception.type, type: string}
        - {scope: span, name: url.path}
",
    );
    assert_eq!(config.compactor.compaction.block_retention, GoDuration::from_hours(72));
    assert_eq!(config.compactor.compaction.compaction_window, GoDuration::from_hours(2));
    assert_eq!(config.compactor.compaction.max_block_bytes, ByteSize(1_000_000_000));
    assert_eq!(config.overrides.defaults.ingestion.rate_limit_bytes, ByteSize(5_000_000));
    let columns: Vec<_> = config.storage.trace.block.stored_columns().map(|c| c.name.as_str()).collect();
    assert_eq!(columns, ["url.path"]);
    assert!(config.validate().is_empty(), "{}", config.validate());
    insta::assert_snapshot!(config.warnings(), @r#"
    tempo.yaml:1:1: live_store: has no effect: recent spans are kept by ingesters, see ingester
    tempo.yaml:2:1: block_builder: has no effect: ingesters write the blocks, see ingester
    tempo.yaml:3:1: ingest: has no effect: no Kafka is used: ingesters keep spans on disk before they acknowledge them
    tempo.yaml:4:1: backend_worker: has no effect: the compactor merges and deletes blocks, see compactor
    tempo.yaml:5:1: backend_scheduler: has no effect: the compactor merges and deletes blocks, see compactor
    tempo.yaml:6:10: memory.automemlimit_enabled: has no effect: there is always a memory ceiling
    tempo.yaml:7:59: overrides.defaults.ingestion.artificial_delay: has no effect: writes are not delayed
    tempo.yaml:7:82: overrides.defaults.metrics_generator: has no effect: this version makes no metrics from spans
    tempo.yaml:13:11: storage.trace.block.parquet_dedicated_columns[0]: no column is made for k8s.pod.name: vParquet4 always has one
    tempo.yaml:14:11: storage.trace.block.parquet_dedicated_columns[1]: no column is made for server.port: vParquet4 has them for text only, without options
    tempo.yaml:15:11: storage.trace.block.parquet_dedicated_columns[2]: no column is made for exception.type: vParquet4 has none for events
    "#);
}

#[test]
fn two_names_of_one_setting_must_agree() {
    insta::assert_snapshot!(
        refused("auth_enabled: true\nmultitenancy_enabled: false\noverrides:\n  block_retention: 1h\n  defaults:\n    compaction: {block_retention: 2h}\n"),
        @r#"
    tempo.yaml:1:1: auth_enabled: is another name of multitenancy_enabled, which has a different value
        remove one of them
    tempo.yaml:4:3: overrides.block_retention: is another name of overrides.defaults.compaction.block_retention, which has a different value
        remove one of them
    "#
    );
    assert!(loaded("auth_enabled: true\nmultitenancy_enabled: true\n").multitenancy_enabled);
}

#[test]
fn what_is_shown_masks_secrets_and_can_be_the_difference_only() {
    let config = loaded(
        "server: {http_listen_port: 0}\nstorage: {trace: {backend: s3, s3: {bucket: b, secret_key: hunter2}}}",
    );
    assert!(!config.to_yaml(YamlMode::Full).contains("hunter2"));
    insta::assert_snapshot!(config.to_yaml(YamlMode::Diff), @r#"
    server:
      http_listen_port: 0
    storage:
      trace:
        backend: s3
        s3:
          bucket: b
          secret_key: <secret>
    "#);
    assert_eq!(Config::default().to_yaml(YamlMode::Diff).trim(), "{}");
    assert_eq!(config.to_yaml(YamlMode::Defaults), Config::default().to_yaml(YamlMode::Full));
    assert_eq!("diff".parse(), Ok(YamlMode::Diff));
    assert_eq!(
        "changes".parse::<YamlMode>().unwrap_err().to_string(),
        r#"mode "changes" is not known; use diff, defaults, or none for everything"#
    );
}

#[test]
fn the_schema_takes_the_defaults_and_tempos_keys_and_refuses_others() {
    let schema = Config::json_schema();
    let check = |text: &str| Document::parse_all("t.yaml", text).unwrap()[0].check(&schema).to_string();
    assert_eq!(check(&Config::default().to_yaml(YamlMode::Full)), "");
    let text = "usage_report: {}\nstorage: {trace: {pool: {}, s3: {hedge_requests_at: 1s}}}\n\
        distributor: {receivers: {otlp: {protocols: {grpc: {transport: tcp}}}}}\n\
        overrides: {defaults: {metrics_generator: {}}}";
    assert_eq!(check(text), "");
    assert!(check("servr: {}").contains("did you mean server?"));
}

/// Each setting's text says what holds without it.
#[test]
fn every_setting_states_its_default_or_that_it_is_required() {
    let mut silent = Vec::new();
    collect_silent(&Config::json_schema(), "", &mut silent);
    assert_eq!(silent, Vec::<String>::new());
}

fn collect_silent(schema: &Value, at: &str, silent: &mut Vec<String>) {
    let inner = [schema].into_iter().chain(schema["anyOf"].as_array().into_iter().flatten());
    for (key, property) in inner.flat_map(|schema| schema["properties"].as_object().into_iter().flatten()) {
        let at = format!("{at}.{key}");
        let is_section = property.get("properties").is_some() || property.get("anyOf").is_some();
        let text = property["description"].as_str().unwrap_or_default();
        let says = ["Default", "Required.", "Has no effect"].iter().any(|word| text.contains(word));
        if text.is_empty() || !(is_section || says) {
            silent.push(at.clone());
        }
        collect_silent(property, &at, silent);
    }
}

/// A key that has an effect must not be taken out.
#[test]
fn no_key_is_both_known_and_without_effect() {
    let mut schema = schemars::generate::SchemaSettings::draft2020_12();
    schema.inline_subschemas = true;
    let schema = schema.into_generator().into_root_schema_for::<Config>().to_value();
    assert_unknown(&schema, IGNORED);
    assert_unknown(&schema["properties"]["overrides"], IGNORED_LIMITS);
    assert_unknown(&schema["properties"]["overrides"]["properties"]["defaults"], IGNORED_LIMITS);
}

fn assert_unknown(schema: &Value, table: &[Ignored]) {
    for Ignored { section, keys, .. } in table {
        let mut place = schema;
        for step in section.split('.').filter(|step| !step.is_empty()) {
            place = &place["properties"][step];
            if let Some(alternatives) = place["anyOf"].as_array() {
                place = alternatives.iter().find(|one| one.get("properties").is_some()).unwrap();
            }
        }
        let known: Vec<&String> =
            place["properties"].as_object().map_or_else(Vec::new, |map| map.keys().collect());
        for key in *keys {
            let matches = |name: &&String| match key.strip_suffix('*') {
                Some(prefix) => name.starts_with(prefix),
                None => name.as_str() == *key,
            };
            assert!(!known.iter().any(matches), "{section}.{key}");
        }
    }
}

proptest! {
    #[test]
    fn any_text_is_loaded_or_refused(
        key in prop::sample::select(vec!["server", "distributor", "ingester", "storage", "overrides", "x"]),
        text in "[-:\\[\\]{},&*a-c0-9<|>!'\" \n~$]{0,60}",
    ) {
        let text = format!("{key}: {text}");
        if let Ok(config) = Config::load_with(&text, "tempo.yaml", &|_| None) {
            config.validate();
            config.warnings();
        }
    }
}
