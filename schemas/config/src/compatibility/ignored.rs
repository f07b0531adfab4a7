/// Keys of Tempo that have no effect here.
pub(crate) struct Ignored {
    /// The mapping they are in.
    pub(crate) section: &'static str,
    /// The keys; a `*` at the end stands for anything.
    pub(crate) keys: &'static [&'static str],
    /// Why they have no effect, and what to use instead.
    pub(crate) why: &'static str,
}

const fn ignored(section: &'static str, keys: &'static [&'static str], why: &'static str) -> Ignored {
    Ignored { section, keys, why }
}

const GOSSIP: &str = "processes find each other by gossip, see memberlist";
const TUNED: &str = "this client needs no such tuning";
const SPAN_METRICS: &str = "this version makes no metrics from spans";
const TLS: &str = "TLS 1.2 and 1.3 with their safe ciphers are spoken";
const NO_SUCH_SETTING: &str = "this receiver has no such setting";
const RECEIVER_GRPC: &[&str] = &[
    "transport",
    "max_concurrent_streams",
    "read_buffer_size",
    "write_buffer_size",
    "keepalive",
    "include_metadata",
];
const RECEIVER_HTTP: &[&str] =
    &["cors", "include_metadata", "response_headers", "compression_algorithms", "traces_url_path"];
const RECEIVER_UDP: &[&str] = &["max_packet_size", "workers", "socket_buffer_size"];
const RECEIVER_TLS: &[&str] = &["min_version", "max_version", "cipher_suites", "ca_file", "reload_interval"];
const HEDGING: &str = "requests to storage are not doubled";

/// Outside limits.
pub(crate) const IGNORED: &[Ignored] = &[
    ignored("", &["usage_report"], "nothing is ever reported to anyone"),
    ignored(
        "",
        &["stream_over_http_enabled"],
        "this version has no streaming query API; switch streaming off in Grafana's data source",
    ),
    ignored("", &["internal_server"], "/ready and /metrics are on the main listener"),
    ignored("", &["cache"], "blocks are cached by the retriever, see retriever.cache_bytes"),
    ignored("", &["metrics_generator", "metrics_generator_client"], SPAN_METRICS),
    ignored("", &["live_store", "live_store_client"], "recent spans are kept by ingesters, see ingester"),
    ignored("", &["block_builder"], "ingesters write the blocks, see ingester"),
    ignored("", &["ingest"], "no Kafka is used: ingesters keep spans on disk before they acknowledge them"),
    ignored(
        "",
        &["backend_scheduler", "backend_scheduler_client", "backend_worker"],
        "the compactor merges and deletes blocks, see compactor",
    ),
    ignored("", &["enable_go_runtime_metrics", "span_profiling"], "there is no Go runtime here"),
    ignored("memory", &["automemlimit_enabled"], "there is always a memory ceiling"),
    ignored(
        "server",
        &["http_server_read_timeout", "http_server_write_timeout", "http_server_idle_timeout"],
        "queries end by querier.search.query_timeout and querier.trace_by_id.query_timeout",
    ),
    ignored("server", &["http_path_prefix"], "use http_api_prefix"),
    ignored("server", &["grpc_server_max_send_msg_size"], "messages sent are not limited"),
    ignored(
        "server",
        &[
            "http_listen_network",
            "http_listen_conn_limit",
            "grpc_listen_network",
            "grpc_listen_conn_limit",
            "grpc_server_max_connection_*",
            "grpc_server_keepalive_*",
            "grpc_server_min_time_between_pings",
            "grpc_server_ping_without_stream_allowed",
            "register_instrumentation",
            "log_source_ips_*",
            "log_request_*",
        ],
        "this server has no such setting",
    ),
    ignored("server", &["tls_cipher_suites", "tls_min_version"], TLS),
    ignored(
        "server.http_tls_config",
        &["client_auth_type"],
        "with client_ca_file clients must show a certificate, without it they are not asked",
    ),
    ignored(
        "server.grpc_tls_config",
        &["client_auth_type"],
        "with client_ca_file clients must show a certificate, without it they are not asked",
    ),
    ignored("distributor", &["ring", "override_ring_key"], GOSSIP),
    ignored("distributor", &["forwarders"], "spans are not forwarded by this version"),
    ignored("distributor", &["usage"], "costs are not attributed by this version"),
    ignored(
        "distributor",
        &["log_received_spans", "log_discarded_spans", "log_received_traces", "metric_received_spans"],
        "single spans are not logged by this version; discarded ones are counted by reason",
    ),
    ignored("distributor", &["artificial_delay"], "writes are not delayed"),
    ignored("distributor", &["extend_writes"], "a write goes to the ingesters that are alive"),
    ignored(
        "distributor",
        &["ingester_write_path_enabled", "kafka_write_path_enabled", "kafka_config"],
        "spans always go to ingesters",
    ),
    ignored(
        "distributor.receivers",
        &["kafka", "opencensus"],
        "this version receives OTLP, Jaeger and Zipkin; no spans come in this way",
    ),
    ignored("distributor.receivers.otlp.protocols.grpc", RECEIVER_GRPC, NO_SUCH_SETTING),
    ignored("distributor.receivers.jaeger.protocols.grpc", RECEIVER_GRPC, NO_SUCH_SETTING),
    ignored("distributor.receivers.otlp.protocols.http", RECEIVER_HTTP, NO_SUCH_SETTING),
    ignored("distributor.receivers.jaeger.protocols.thrift_http", RECEIVER_HTTP, NO_SUCH_SETTING),
    ignored("distributor.receivers.zipkin", RECEIVER_HTTP, NO_SUCH_SETTING),
    ignored(
        "distributor.receivers.jaeger.protocols.thrift_compact",
        RECEIVER_UDP,
        "datagrams are taken whole, up to queue_size at once",
    ),
    ignored(
        "distributor.receivers.jaeger.protocols.thrift_binary",
        RECEIVER_UDP,
        "datagrams are taken whole, up to queue_size at once",
    ),
    ignored("distributor.receivers.jaeger", &["remote_sampling"], "no sampling strategies are served"),
    ignored("distributor.receivers.zipkin", &["parse_string_tags"], "tags stay texts"),
    ignored("distributor.receivers.otlp.protocols.grpc.tls", RECEIVER_TLS, TLS),
    ignored("distributor.receivers.otlp.protocols.http.tls", RECEIVER_TLS, TLS),
    ignored("distributor.receivers.jaeger.protocols.grpc.tls", RECEIVER_TLS, TLS),
    ignored("distributor.receivers.jaeger.protocols.thrift_http.tls", RECEIVER_TLS, TLS),
    ignored("distributor.receivers.zipkin.tls", RECEIVER_TLS, TLS),
    ignored(
        "ingester",
        &["trace_live_period"],
        "traces are readable at once and cut with their block, see ingester.max_block_duration",
    ),
    ignored("ingester", &["flush_object_storage"], "blocks always go to storage"),
    ignored("ingester", &["override_ring_key"], GOSSIP),
    ignored("ingester.lifecycler.ring", &["kvstore", "excluded_zones", "instance_availability_zone"], GOSSIP),
    ignored(
        "ingester.lifecycler",
        &["address", "port", "id", "interface_names", "enable_inet6"],
        "set memberlist.advertise_addr and memberlist.node_name",
    ),
    ignored(
        "ingester.lifecycler",
        &[
            "num_tokens",
            "tokens_file_path",
            "heartbeat_period",
            "heartbeat_timeout",
            "observe_period",
            "join_after",
            "min_ready_duration",
            "final_sleep",
            "unregister_on_shutdown",
            "readiness_check_ring_health",
        ],
        "traces are spread without a ring of tokens",
    ),
    ignored("ingester_client", &["pool_config"], TUNED),
    ignored(
        "ingester_client.grpc_client_config",
        &[
            "max_send_msg_size",
            "grpc_compression",
            "rate_limit",
            "rate_limit_burst",
            "backoff_*",
            "connect_*",
            "initial_*",
        ],
        TUNED,
    ),
    ignored("ingester_client.grpc_client_config", &["tls_cipher_suites", "tls_min_version"], TLS),
    ignored(
        "ingester_client.grpc_client_config",
        &["tls_insecure_skip_verify"],
        "certificates are always verified, set tls_ca_path and tls_server_name",
    ),
    ignored("querier", &["frontend_worker", "partition_ring"], GOSSIP),
    ignored("querier", &["metrics"], "this version answers no TraceQL metrics queries"),
    ignored(
        "querier",
        &["query_relevant_ingesters", "query_live_store", "shuffle_sharding_ingesters_lookback_period"],
        "every ingester that may hold a trace is asked",
    ),
    ignored("querier.trace_by_id", &["external"], "no other backend is asked"),
    ignored("querier.search", &["external_*", "prefer_self"], "no other backend is asked"),
    ignored("query_frontend", &["metrics"], "this version answers no TraceQL metrics queries"),
    ignored(
        "query_frontend",
        &["trace_by_id"],
        "a trace is asked of the retrievers that own its blocks, without shards to configure",
    ),
    ignored("query_frontend", &["mcp_server"], "this version has no MCP server"),
    ignored("query_frontend", &["url_deny_list"], "every URL is served, use a proxy to deny some"),
    ignored(
        "query_frontend",
        &[
            "max_batch_size",
            "response_consumers",
            "weights",
            "max_grpc_streaming_packet_size",
            "skip_ast_transformations",
            "allowed_headers",
            "log_query_request_headers",
            "rf1_after",
        ],
        "this frontend has no such setting",
    ),
    ignored(
        "query_frontend.search",
        &["query_ingesters_until", "ingester_shards", "most_recent_shards"],
        "ingesters and blocks are both asked for every time range they cover",
    ),
    ignored(
        "query_frontend.search",
        &["concurrent_jobs", "target_bytes_per_job"],
        "a search is not cut into jobs: retrievers search retriever.concurrent_blocks blocks at once",
    ),
    ignored(
        "query_frontend.search",
        &["duration_slo", "throughput_bytes_slo", "metadata_slo"],
        "queries are not counted against objectives by this version",
    ),
    ignored("compactor", &["ring", "override_ring_key"], GOSSIP),
    ignored("compactor.compaction", &["v2_*"], "only Parquet blocks are merged"),
    ignored("storage.trace", &["pool"], "see retriever.concurrent_blocks and retriever.concurrent_requests"),
    ignored(
        "storage.trace",
        &["cache", "cache_*", "background_cache", "memcached", "redis", "search"],
        "blocks are cached by the retriever, see retriever.cache_bytes",
    ),
    ignored(
        "storage.trace",
        &[
            "blocklist_poll_fallback",
            "blocklist_poll_tenant_index_builders",
            "blocklist_poll_tolerate_*",
            "blocklist_poll_jitter_ms",
            "blocklist_poll_stale_tenant_index",
            "empty_tenant_deletion_*",
        ],
        "the list of blocks has no such setting",
    ),
    ignored(
        "storage.trace.wal",
        &["ingestion_time_range_slack"],
        "a block's time range is that of its spans",
    ),
    ignored(
        "storage.trace.wal",
        &["version", "encoding", "search_encoding", "v2_encoding"],
        "the log has one format",
    ),
    ignored("storage.trace.block", &["v2_*", "search_*"], "only Parquet blocks are written"),
    ignored("storage.trace.s3", &["bucket_lookup_type"], "use forcepathstyle"),
    ignored("storage.trace.s3", &["hedge_*"], HEDGING),
    ignored("storage.trace.s3", &["tls_cipher_suites", "tls_min_version"], TLS),
    ignored(
        "storage.trace.s3",
        &["tls_cert_path", "tls_key_path", "tls_server_name"],
        "the store is shown no certificate, and its own must be for the endpoint's name",
    ),
    ignored(
        "storage.trace.s3",
        &["native_aws_auth_enabled"],
        "without keys the machine's own identity is always used",
    ),
    ignored("storage.trace.s3", &["storage_class", "tags", "metadata"], "set it for the bucket"),
    ignored("storage.trace.s3", &["part_size", "retry_*", "list_blocks_concurrency", "signature_v2"], TUNED),
    ignored("storage.trace.gcs", &["hedge_*"], HEDGING),
    ignored("storage.trace.gcs", &["object_cache_control", "object_metadata"], "set it for the bucket"),
    ignored("storage.trace.gcs", &["chunk_buffer_size", "list_blocks_concurrency", "max_retries"], TUNED),
    ignored("storage.trace.azure", &["hedge_*"], HEDGING),
    ignored("storage.trace.azure", &["max_buffers", "buffer_size"], TUNED),
    ignored(
        "overrides",
        &["user_configurable_overrides"],
        "limits are not set over the API by this version, use per_tenant_override_config",
    ),
    ignored("overrides", &["enable_legacy_overrides"], "both forms of limits are read"),
    ignored(
        "memberlist",
        &[
            "randomize_node_name",
            "stream_timeout",
            "retransmit_factor",
            "pull_push_interval",
            "gossip_nodes",
            "gossip_to_dead_nodes_time",
            "dead_node_reclaim_time",
            "compression_enabled",
            "cluster_label_verification_disabled",
            "min_join_backoff",
            "max_join_backoff",
            "max_join_retries",
            "abort_if_fast_join_fails",
            "rejoin_interval",
            "leave_timeout",
            "message_history_buffer_bytes",
            "packet_*",
        ],
        "this gossip has no such setting",
    ),
];

/// In limits, both in Tempo's scoped and in its flat form.
pub(crate) const IGNORED_LIMITS: &[Ignored] = &[
    ignored("", &["metrics_generator", "metrics_generator_*"], SPAN_METRICS),
    ignored("", &["cost_attribution"], "costs are not attributed by this version"),
    ignored("", &["forwarders"], "spans are not forwarded by this version"),
    ignored(
        "",
        &["ingestion_tenant_shard_size", "max_global_traces_per_user"],
        "live traces are limited in each ingester, see ingestion.max_traces_per_user",
    ),
    ignored("", &["ingestion_artificial_delay"], "writes are not delayed"),
    ignored("", &["max_metrics_duration"], "this version answers no TraceQL metrics queries"),
    ignored("", &["unsafe_query_hints"], "queries have no hints here"),
    ignored(
        "ingestion",
        &["tenant_shard_size", "max_global_traces_per_user"],
        "live traces are limited in each ingester, see ingestion.max_traces_per_user",
    ),
    ignored("ingestion", &["artificial_delay"], "writes are not delayed"),
    ignored(
        "read",
        &["max_metrics_duration", "metrics_spanonly_fetch"],
        "this version answers no TraceQL metrics queries",
    ),
    ignored("read", &["unsafe_query_hints"], "queries have no hints here"),
    ignored("read", &["left_pad_trace_ids"], "short trace ids are always padded"),
    ignored("read", &["max_condition_groups_per_tag_query"], "conditions of tag queries are not limited"),
];
