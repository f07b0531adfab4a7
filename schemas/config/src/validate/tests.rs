use crate::{Config, Target};

#[track_caller]
fn loaded(text: &str) -> Config {
    Config::load(text, "tempo.yaml", false).unwrap_or_else(|problems| panic!("{problems}"))
}

#[track_caller]
fn problems(text: &str) -> String {
    loaded(text).validate().to_string()
}

#[test]
fn a_folder_is_all_that_is_needed() {
    assert_eq!(problems("storage: {trace: {backend: local}}"), "");
}

#[test]
fn a_component_asks_only_for_what_it_uses() {
    for target in [Target::Distributor, Target::Querier, Target::QueryFrontend] {
        let config = Config { target, ..Config::default() };
        assert!(config.validate().is_empty(), "{target:?}");
        assert_eq!(
            config.warnings().to_string(),
            "memberlist.join_members: no other process is named; this one is found only by those that name it"
        );
    }
    for target in [Target::All, Target::Ingester, Target::Retriever, Target::Compactor] {
        let config = Config { target, ..Config::default() };
        insta::allow_duplicates! {
            insta::assert_snapshot!(config.validate(), @r#"
            storage.trace.backend: is required for blocks
                write local, s3, gcs or azure
            "#);
        }
    }
}

#[test]
fn a_backend_needs_its_section() {
    insta::assert_snapshot!(problems("storage: {trace: {backend: s3}}"), @r#"
    tempo.yaml:1:11: storage.trace.s3.bucket: is required with backend: s3
        name a bucket
    "#);
    insta::assert_snapshot!(
        problems("storage: {trace: {backend: s3, s3: {bucket: b, access_key: k, insecure: true, endpoint: 'https://s'}}}"),
        @r#"
    tempo.yaml:1:32: storage.trace.s3.secret_key: is required with access_key
        give both keys, or neither to use the machine's own identity
    tempo.yaml:1:63: storage.trace.s3.insecure: insecure: true contradicts the endpoint "https://s"
        the scheme of the endpoint decides; remove insecure
    "#
    );
    insta::assert_snapshot!(problems("storage: {trace: {backend: gcs}}"), @r#"
    tempo.yaml:1:11: storage.trace.gcs.bucket_name: is required with backend: gcs
        name a bucket
    "#);
    insta::assert_snapshot!(
        problems("storage: {trace: {backend: azure, azure: {container_name: c, storage_account_key: k, use_managed_identity: true}}}"),
        @r#"
    tempo.yaml:1:35: storage.trace.azure.storage_account_name: is required with backend: azure
        name a storage account
    tempo.yaml:1:86: storage.trace.azure.use_managed_identity: cannot be used together with storage_account_key
        give one way to sign in
    "#
    );
    insta::assert_snapshot!(problems("storage: {trace: {backend: local, local: {path: ''}, wal: {path: ''}}}"), @r#"
    tempo.yaml:1:43: storage.trace.local.path: is required with backend: local
        name a folder
    tempo.yaml:1:60: storage.trace.wal.path: is required for the write-ahead log
        name a folder on a disk that outlives the process
    "#);
}

#[test]
fn listeners_do_not_share_a_port() {
    insta::assert_snapshot!(
        problems(
            "server: {http_listen_port: 4317, grpc_listen_port: 4317, http_listen_address: 127.0.0.1, grpc_listen_address: 127.0.0.2}
distributor: {receivers: {otlp: {protocols: {grpc: {endpoint: 'localhost:4317'}, http: {endpoint: '0.0.0.0:4317'}}}}}
storage: {trace: {backend: local}}
"
        ),
        @r#"
    tempo.yaml:2:53: distributor.receivers.otlp.protocols.grpc.endpoint: port 4317 is used by server.http_listen_port already
        choose another port
    tempo.yaml:2:89: distributor.receivers.otlp.protocols.http.endpoint: port 4317 is used by server.http_listen_port already
        choose another port
    "#
    );
    let text = "server: {http_listen_port: 0, grpc_listen_port: 0}\nstorage: {trace: {backend: local}}";
    assert_eq!(problems(text), "", "the system chooses two ports");
}

#[test]
fn endpoints_are_host_and_port() {
    insta::assert_snapshot!(
        problems(
            "distributor: {receivers: {otlp: {protocols: {grpc: {endpoint: '4317'}, http: {endpoint: 'http://x:4318'}}}}}
memberlist: {bind_addr: [a, b], advertise_addr: host, join_members: ['']}
http_api_prefix: tempo/
storage: {trace: {backend: local}}
"
        ),
        @r#"
    tempo.yaml:1:53: distributor.receivers.otlp.protocols.grpc.endpoint: must be host:port, such as 0.0.0.0:4317, found "4317"
    tempo.yaml:1:79: distributor.receivers.otlp.protocols.http.endpoint: must be host:port, such as 0.0.0.0:4317, found "http://x:4318"
    tempo.yaml:2:14: memberlist.bind_addr: must be a list of one address, found a, b
    tempo.yaml:2:14: memberlist.bind_addr: must be an IP address, found "a"
    tempo.yaml:2:14: memberlist.bind_addr: must be an IP address, found "b"
    tempo.yaml:2:33: memberlist.advertise_addr: must be an IP address, found "host"
    tempo.yaml:2:70: memberlist.join_members[0]: must be host:port, found an empty text
    tempo.yaml:3:1: http_api_prefix: must be a path such as /tempo, found "tempo/"
    "#
    );
    let text = "distributor: {receivers: {otlp: {protocols: {grpc: {endpoint: '[::1]:4317'}, http: {endpoint: ':4318'}}}}}
storage: {trace: {backend: local}}";
    assert_eq!(problems(text), "");
    insta::assert_snapshot!(
        problems("distributor: {receivers: {otlp: {protocols: {}}}}\nstorage: {trace: {backend: local}}"),
        @r#"
    tempo.yaml:1:34: distributor.receivers.otlp.protocols: is required to have a protocol
        name grpc, http or both
    "#
    );
}

#[test]
fn receivers_of_jaeger_and_zipkin_are_checked_too() {
    insta::assert_snapshot!(
        problems(
            "multitenancy_enabled: true
distributor:
  receivers:
    jaeger: {protocols: {grpc: {endpoint: '0.0.0.0:9411'}, thrift_compact: }}
    zipkin: {tls: {cert_file: c}, max_request_body_size: 0}
storage: {trace: {backend: local}}
"
        ),
        @r#"
    tempo.yaml:4:60: distributor.receivers.jaeger.protocols.thrift_compact: cannot be used together with multitenancy_enabled: a datagram names no tenant
        take it out, and let clients send to jaeger.protocols.grpc or thrift_http with the header X-Scope-OrgID
    tempo.yaml:5:5: distributor.receivers.zipkin.endpoint: port 9411 is used by distributor.receivers.jaeger.protocols.grpc.endpoint already
        choose another port
    tempo.yaml:5:14: distributor.receivers.zipkin.tls.key_file: is required for TLS
        name a PEM file
    tempo.yaml:5:35: distributor.receivers.zipkin.max_request_body_size: must be 1 or more, found 0
    "#
    );
    let text = "distributor: {receivers: {jaeger: {protocols: {grpc: {endpoint: ':6831'}, thrift_compact: {endpoint: ':6831'}}}}}
storage: {trace: {backend: local}}";
    assert_eq!(problems(text), "", "TCP and UDP have ports of their own");
    insta::assert_snapshot!(
        problems("distributor: {receivers: {jaeger: {protocols: {}}}}\nstorage: {trace: {backend: local}}"),
        @r#"
    tempo.yaml:1:36: distributor.receivers.jaeger.protocols: is required to have a protocol
        name grpc, thrift_http, thrift_compact or thrift_binary
    "#
    );
}

#[test]
fn certificates_are_whole() {
    insta::assert_snapshot!(
        problems(
            "server: {http_tls_config: {cert_file: c}}
distributor: {receivers: {otlp: {protocols: {grpc: {tls: {}}}}}}
ingester_client: {grpc_client_config: {tls_key_path: k}}
storage: {trace: {backend: local}}
"
        ),
        @r#"
    tempo.yaml:1:10: server.http_tls_config.key_file: is required for TLS
        name a PEM file
    tempo.yaml:2:53: distributor.receivers.otlp.protocols.grpc.tls.cert_file: is required for TLS
        name a PEM file
    tempo.yaml:2:53: distributor.receivers.otlp.protocols.grpc.tls.key_file: is required for TLS
        name a PEM file
    tempo.yaml:3:19: ingester_client.grpc_client_config.tls_cert_path: is required with tls_key_path
        name the PEM files of the certificate and of its key
    "#
    );
}

#[test]
fn values_without_sense_are_refused() {
    insta::assert_snapshot!(
        problems(
            "ingester:
  max_block_bytes: 1KiB
  max_block_duration: 0s
  concurrent_flushes: 0
  complete_block_timeout: 9m59s
  lifecycler: {ring: {replication_factor: 0, zone_awareness_enabled: true}}
query_frontend:
  query_end_cutoff: 2h
  search: {default_result_limit: 10, max_result_limit: 5, default_spans_per_span_set: 200}
memory: {automemlimit_ratio: 1.5}
storage:
  trace:
    backend: local
    block:
      version: vParquet5
      bloom_filter_false_positive: 1
      parquet_row_group_size_bytes: 0
      parquet_dedicated_columns: [{name: ''}, {name: a}, {name: a}]
overrides:
  per_tenant_override_config: /conf/
  defaults: {ingestion: {burst_size_bytes: 0}}
"
        ),
        @r#"
    tempo.yaml:2:3: ingester.max_block_bytes: must be between 64KiB and 16GiB, found 1KiB
    tempo.yaml:3:3: ingester.max_block_duration: must be more than 0s, found 0s
    tempo.yaml:4:3: ingester.concurrent_flushes: must be 1 or more, found 0
    tempo.yaml:5:3: ingester.complete_block_timeout: must be at least twice storage.trace.blocklist_poll (5m), found 9m59s
        a block must stay readable here until every retriever has seen it in storage
    tempo.yaml:6:3: ingester.lifecycler.availability_zone: is required with ring.zone_awareness_enabled
        name the zone of this ingester
    tempo.yaml:6:23: ingester.lifecycler.ring.replication_factor: must be 1 or more, found 0
    tempo.yaml:8:3: query_frontend.query_end_cutoff: must be at most search.query_backend_after (1h), found 2h
    tempo.yaml:9:12: query_frontend.search.default_result_limit: must be at most max_result_limit (5), found 10
    tempo.yaml:9:59: query_frontend.search.default_spans_per_span_set: must be at most max_spans_per_span_set (100), found 200
    tempo.yaml:10:10: memory.automemlimit_ratio: must be more than 0 and at most 1, found 1.5
    tempo.yaml:15:7: storage.trace.block.version: must be vParquet4, found vParquet5
        blocks of vParquet3 and vParquet5 are read, not written
    tempo.yaml:16:7: storage.trace.block.bloom_filter_false_positive: must be between 0 and 1, found 1
    tempo.yaml:17:7: storage.trace.block.parquet_row_group_size_bytes: must be more than 0, found 0
    tempo.yaml:18:36: storage.trace.block.parquet_dedicated_columns[0].name: must be an attribute's key, found an empty text
    tempo.yaml:18:58: storage.trace.block.parquet_dedicated_columns[2]: a has a column already
        remove one of them
    tempo.yaml:20:3: overrides.per_tenant_override_config: must be a file, found the folder "/conf/"
    tempo.yaml:21:26: overrides.defaults.ingestion.burst_size_bytes: must be more than 0, found 0
        no request fits into a burst of 0; use the rate or more, or a rate of 0 to refuse everything
    "#
    );
}

#[test]
fn a_scope_has_ten_text_columns_at_most() {
    let columns = |count: usize| {
        let list: Vec<String> = (0..count).map(|n| format!("{{name: a{n}}}")).collect();
        format!(
            "storage: {{trace: {{backend: local, block: {{parquet_dedicated_columns: [{}, {{name: n, type: int}}]}}}}}}",
            list.join(", ")
        )
    };
    assert_eq!(problems(&columns(10)), "");
    insta::assert_snapshot!(problems(&columns(11)), @r#"tempo.yaml:1:43: storage.trace.block.parquet_dedicated_columns: must be 10 text columns or fewer for each scope, found 11 for span"#);
}

#[test]
fn copies_need_others_to_hold_them() {
    let text =
        "ingester: {lifecycler: {ring: {replication_factor: 2}}}\nstorage: {trace: {backend: local}}\n";
    insta::assert_snapshot!(problems(text), @r#"
    tempo.yaml:1:1: memberlist.join_members: is required to keep 2 copies, as ingester.lifecycler.ring.replication_factor says
        name the other processes, or set the replication factor to 1
    "#);
    insta::assert_snapshot!(loaded(text).warnings(), @r#"tempo.yaml:1:32: ingester.lifecycler.ring.replication_factor: 2 copies survive no more failures than 1 do"#);
    assert_eq!(problems(&format!("{text}memberlist: {{join_members: ['a:7946']}}\n")), "");
}
