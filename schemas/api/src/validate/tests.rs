use serde_json::{Value, json};
use tempoform_document::{ByteSize, GoDuration};

use super::*;
use crate::Component;
use crate::validated::{GcsCredentials, S3Credentials, Storage};

/// A valid Tempo with `patch` merged over its spec; `null` removes a field.
fn tempo(mode: &str, patch: Value) -> Tempo {
    let mut spec = json!({
        "mode": mode,
        "storage": { "trace": { "backend": "s3", "s3": { "bucket": "my-traces", "region": "eu-west-1" } } },
    });
    merge(&mut spec, patch);
    serde_json::from_value(json!({
        "apiVersion": crate::API_VERSION,
        "kind": crate::KIND,
        "metadata": { "name": "traces" },
        "spec": spec,
    }))
    .unwrap()
}

fn merge(base: &mut Value, patch: Value) {
    match (base, patch) {
        (Value::Object(base), Value::Object(patch)) => {
            for (key, value) in patch {
                if value.is_null() {
                    base.remove(&key);
                } else {
                    merge(base.entry(key).or_insert(Value::Null), value);
                }
            }
        }
        (base, patch) => *base = patch,
    }
}

#[track_caller]
fn single(patch: Value) -> ValidatedTempo {
    validate(&tempo("singleBinary", patch)).unwrap()
}

#[track_caller]
fn distributed(patch: Value) -> ValidatedTempo {
    validate(&tempo("distributed", patch)).unwrap()
}

/// The one problem that the patch makes, which must name path, the given words and a remedy.
#[track_caller]
fn refused(mode: &str, patch: Value, path: &str, words: &str) {
    let problems = validate(&tempo(mode, patch)).expect_err("it is refused");
    assert_eq!(problems.len(), 1, "{problems}");
    let problem = &problems.problems[0];
    assert_eq!(problem.path, path, "{problem:?}");
    assert!(problem.message.contains(words), "{words:?} in {problem:?}");
    assert!(problem.help.as_deref().is_some_and(|help| !help.is_empty()), "a remedy in {problem:?}");
}

#[track_caller]
fn refused_by(target: Target, mode: &str, patch: Value, path: &str, words: &str) {
    let problems = validate_for(&tempo(mode, patch), target).expect_err("it is refused");
    assert_eq!(problems.len(), 1, "{problems}");
    assert_eq!(problems.problems[0].path, path, "{problems}");
    assert!(problems.problems[0].message.contains(words), "{words:?} in {problems}");
}

fn s3(section: Value) -> Value {
    json!({ "storage": { "trace": { "s3": section } } })
}

mod components {
    use super::*;

    #[test]
    fn distributed_runs_all_six_with_three_ingesters() {
        let tempo = distributed(json!({}));
        let replicas: Vec<_> =
            tempo.components.values().map(|it| (it.component.name(), it.replicas)).collect();
        assert_eq!(
            replicas,
            [
                ("distributor", 1),
                ("ingester", 3),
                ("querier", 1),
                ("queryFrontend", 1),
                ("retriever", 1),
                ("compactor", 1)
            ]
        );
        assert_eq!(tempo.replication.factor, 3);
        assert_eq!(tempo.receiver().unwrap().component, Component::Distributor);
        assert_eq!(tempo.query_api().unwrap().component, Component::QueryFrontend);
    }

    #[test]
    fn single_binary_runs_one_with_the_well_known_ports() {
        let tempo = single(json!({}));
        assert_eq!(tempo.components.len(), 1);
        let binary = tempo.component(Component::Tempo).unwrap();
        let pinned = binary.local.ports;
        assert_eq!(
            (pinned.http, pinned.grpc, pinned.otlp_grpc, pinned.otlp_http),
            (Some(3200), Some(9095), Some(4317), Some(4318))
        );
        assert_eq!(binary.local.address.to_string(), "127.0.0.1");
        assert_eq!(tempo.replication.factor, 1);
        assert!(binary.persistence.is_some());
    }

    #[test]
    fn only_what_users_need_is_pinned_in_distributed_mode() {
        let tempo = distributed(json!({ "ingestion": { "otlp": { "grpc": { "port": 14317 } } } }));
        for (component, settings) in &tempo.components {
            let pinned = settings.local.ports;
            let expected = match component {
                Component::Distributor => (None, None, Some(14317), Some(4318)),
                Component::QueryFrontend => (Some(3200), None, None, None),
                _ => (None, None, None, None),
            };
            assert_eq!(
                (pinned.http, pinned.grpc, pinned.otlp_grpc, pinned.otlp_http),
                expected,
                "{component}"
            );
        }
        assert_eq!(tempo.component(Component::Distributor).unwrap().ports.otlp_grpc, Some(14317));
    }

    #[test]
    fn a_block_wins_over_the_spec() {
        let tempo = distributed(json!({
            "image": "docker.io/grafana/tempo:2.10.5",
            "querier": { "image": "registry:5000/ours/tempo@sha256:abc", "replicas": 4, "listenAddress": "127.0.0.2" },
        }));
        let querier = tempo.component(Component::Querier).unwrap();
        assert_eq!((querier.image.repository(), querier.image.tag()), ("registry:5000/ours/tempo", None));
        assert!(!querier.image.is_grafana_tempo());
        assert_eq!((querier.replicas, querier.local.address.to_string().as_str()), (4, "127.0.0.2"));
        let compactor = tempo.component(Component::Compactor).unwrap();
        assert!(compactor.image.is_grafana_tempo());
        assert_eq!(compactor.image.tag(), Some("2.10.5"));
    }

    #[test]
    fn given_resources_replace_the_defaults() {
        let tempo = distributed(json!({ "ingester": { "resources": { "requests": { "cpu": "2" } } } }));
        let ingester = tempo.component(Component::Ingester).unwrap();
        assert_eq!(ingester.resources.limits, None);
        assert_eq!(ingester.memory_limit, None);
        let querier = tempo.component(Component::Querier).unwrap();
        assert_eq!(querier.memory_limit, Some(ByteSize(1 << 30)));
    }

    #[test]
    fn blocks_of_the_other_mode_are_refused() {
        refused("singleBinary", json!({ "ingester": { "replicas": 3 } }), "spec.ingester", "singleBinary");
        refused("distributed", json!({ "tempo": {} }), "spec.tempo", "distributed");
    }

    #[test]
    fn a_single_binary_runs_once_or_not_at_all() {
        refused("singleBinary", json!({ "tempo": { "replicas": 2 } }), "spec.tempo.replicas", "not 2 times");
        assert_eq!(
            single(json!({ "tempo": { "replicas": 0 } })).component(Component::Tempo).unwrap().replicas,
            0
        );
    }

    #[test]
    fn bad_values_are_named() {
        for (patch, path, words) in [
            (json!({ "ports": { "http": 0 } }), "spec.querier.ports.http", "port 0"),
            (json!({ "ports": { "otlpGrpc": 4317 } }), "spec.querier.ports.otlpGrpc", "does not receive"),
            (json!({ "listenAddress": "localhost" }), "spec.querier.listenAddress", "localhost"),
            (json!({ "image": "my image" }), "spec.querier.image", "my image"),
            (json!({ "image": "https://ghcr.io/tempo" }), "spec.querier.image", "https://"),
            (
                json!({ "resources": { "limits": { "memory": "2GB" } } }),
                "spec.querier.resources.limits.memory",
                "2GB",
            ),
            (
                json!({ "resources": { "limits": { "cpu": "0" } } }),
                "spec.querier.resources.limits.cpu",
                "above zero",
            ),
            (
                json!({ "resources": { "requests": { "memory": "2Gi" }, "limits": { "memory": "1Gi" } } }),
                "spec.querier.resources.requests.memory",
                "above the limit",
            ),
            (
                json!({ "extraEnv": [{ "name": "A" }, { "name": "B" }, { "name": "A" }] }),
                "spec.querier.extraEnv[2].name",
                "twice",
            ),
            (
                json!({ "podTemplate": { "volumes": [{}] } }),
                "spec.querier.podTemplate.volumes[0].name",
                "missing",
            ),
            (
                json!({ "podTemplate": { "terminationGracePeriodSeconds": -1 } }),
                "spec.querier.podTemplate.terminationGracePeriodSeconds",
                "below zero",
            ),
        ] {
            refused("distributed", json!({ "querier": patch }), path, words);
        }
        refused(
            "distributed",
            json!({ "ingester": { "persistence": { "size": "big" } } }),
            "spec.ingester.persistence.size",
            "big",
        );
    }

    #[test]
    fn names_are_dns_labels_short_enough_to_be_part_of_others() {
        for (name, words) in
            [("", "missing"), ("My_Tempo", "DNS label"), ("-a", "DNS label"), (&"a".repeat(31), "31")]
        {
            let mut tempo = tempo("singleBinary", json!({}));
            tempo.metadata.name = Some(name.to_owned());
            let problems = validate(&tempo).unwrap_err();
            assert_eq!(problems.problems[0].path, "metadata.name");
            assert!(problems.to_string().contains(words), "{problems}");
        }
    }
}

mod storage {
    use super::*;

    fn resolved(section: Value) -> crate::S3Storage {
        match single(s3(section)).storage {
            Storage::S3(s3) => s3,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn amazons_endpoint_follows_the_region() {
        let s3 = resolved(json!({}));
        assert_eq!(
            (s3.endpoint.as_str(), s3.insecure, s3.force_path_style),
            ("s3.eu-west-1.amazonaws.com", false, false)
        );
        assert_eq!(s3.credentials, S3Credentials::Ambient);
        assert_eq!(resolved(json!({ "region": "cn-north-1" })).endpoint, "s3.cn-north-1.amazonaws.com.cn");
    }

    #[test]
    fn the_scheme_decides_on_tls() {
        let minio = resolved(json!({ "endpoint": "http://minio:9000", "region": null }));
        assert_eq!(
            (minio.endpoint.as_str(), minio.insecure, minio.region.as_str()),
            ("minio:9000", true, "us-east-1")
        );
        assert!(minio.force_path_style);
        assert!(!resolved(json!({ "endpoint": "https://minio:9000" })).insecure);
        assert!(!resolved(json!({ "endpoint": "minio:9000" })).insecure, "TLS unless told otherwise");
        assert!(resolved(json!({ "endpoint": "minio:9000", "insecure": true })).insecure);
        let path = "spec.storage.trace.s3.insecure";
        refused(
            "singleBinary",
            s3(json!({ "endpoint": "https://minio", "insecure": true })),
            path,
            "contradicts",
        );
        refused(
            "singleBinary",
            s3(json!({ "endpoint": "http://minio", "insecure": false })),
            path,
            "contradicts",
        );
        refused("singleBinary", s3(json!({ "insecure": true })), path, "TLS");
    }

    #[test]
    fn credentials_have_the_usual_names_by_default() {
        let credentials = |credentials: Value| resolved(json!({ "credentials": credentials })).credentials;
        assert_eq!(
            credentials(json!({ "secretRef": { "name": "keys" } })),
            S3Credentials::Secret {
                name: "keys".into(),
                access_key_id_key: "access_key_id".into(),
                secret_access_key_key: "access_key_secret".into(),
                session_token_key: None,
            }
        );
        assert_eq!(
            credentials(json!({ "env": {} })),
            S3Credentials::Env {
                access_key_id: "AWS_ACCESS_KEY_ID".into(),
                secret_access_key: "AWS_SECRET_ACCESS_KEY".into(),
                session_token: None,
            }
        );
        let role = "arn:aws:iam::123456789012:role/traces";
        assert_eq!(
            credentials(json!({ "workloadIdentity": { "roleArn": role } })),
            S3Credentials::WorkloadIdentity {
                role_arn: Some(role.into()),
                audience: "sts.amazonaws.com".into()
            }
        );
        assert_eq!(credentials(json!({})), S3Credentials::Ambient);
    }

    #[test]
    fn bad_values_are_named() {
        for (section, field, words) in [
            (json!({ "bucket": "My_Bucket" }), "bucket", "My_Bucket"),
            (json!({ "bucket": "192.168.0.1" }), "bucket", "192.168.0.1"),
            (json!({ "bucket": "s3://traces" }), "bucket", "s3://"),
            (json!({ "region": null }), "region", "missing"),
            (json!({ "endpoint": "ftp://minio" }), "endpoint", "ftp"),
            (json!({ "endpoint": "https://minio/traces" }), "endpoint", "path"),
            (json!({ "endpoint": "https://key:secret@minio" }), "endpoint", "credentials"),
            (json!({ "prefix": "a//b" }), "prefix", "a//b"),
            (json!({ "prefix": "../b" }), "prefix", "../b"),
            (
                json!({ "credentials": { "secretRef": { "name": "My Keys" } } }),
                "credentials.secretRef.name",
                "My Keys",
            ),
            (
                json!({ "credentials": { "secretRef": { "name": "k", "accessKeyIdKey": "a b" } } }),
                "credentials.secretRef.accessKeyIdKey",
                "a b",
            ),
            (
                json!({ "credentials": { "secretRef": { "name": "k" }, "env": {} } }),
                "credentials",
                "one place",
            ),
            (
                json!({ "credentials": { "workloadIdentity": { "roleArn": "traces" } } }),
                "credentials.workloadIdentity.roleArn",
                "traces",
            ),
            (json!({ "tls": { "ca": {} } }), "tls.ca", "one place"),
            (
                json!({ "tls": { "ca": { "secret": { "name": "ca" }, "file": "ca.pem" } } }),
                "tls.ca",
                "one place",
            ),
        ] {
            refused("singleBinary", s3(section), &format!("spec.storage.trace.s3.{field}"), words);
        }
    }

    #[test]
    fn the_section_is_the_backends() {
        let only = |trace: Value| json!({ "storage": { "trace": trace } });
        refused(
            "singleBinary",
            only(json!({ "s3": null })),
            "spec.storage.trace.backend",
            "needs the section s3",
        );
        refused(
            "singleBinary",
            only(json!({ "gcs": { "bucket": "abc" } })),
            "spec.storage.trace.gcs",
            "no effect",
        );
        refused("singleBinary", only(json!({ "backend": "local" })), "spec.storage.trace.s3", "no effect");
    }

    #[test]
    fn google_and_azure_are_resolved_too() {
        let google = json!({ "backend": "gcs", "s3": null, "gcs": {
            "bucket": "my_traces", "endpoint": "http://fake-gcs:4443",
            "credentials": { "workloadIdentity": { "serviceAccountEmail": "traces@project.iam.gserviceaccount.com" } } } });
        let Storage::Gcs(gcs) = single(json!({ "storage": { "trace": google } })).storage else {
            panic!("gcs")
        };
        assert_eq!((gcs.endpoint.as_deref(), gcs.insecure), (Some("http://fake-gcs:4443"), true));
        assert!(matches!(
            gcs.credentials,
            GcsCredentials::WorkloadIdentity { service_account_email: Some(_) }
        ));
        let azure = json!({ "backend": "azure", "s3": null, "azure": { "container": "traces", "account": "myaccount" } });
        let Storage::Azure(azure) = single(json!({ "storage": { "trace": azure } })).storage else {
            panic!("azure")
        };
        assert_eq!(azure.endpoint_suffix, "blob.core.windows.net");
        let bad = json!({ "backend": "azure", "s3": null, "azure": { "container": "traces", "account": "my-account" } });
        refused(
            "singleBinary",
            json!({ "storage": { "trace": bad } }),
            "spec.storage.trace.azure.account",
            "my-account",
        );
    }
}

mod replication {
    use super::*;

    #[test]
    fn the_factor_follows_the_ingesters_unless_given() {
        for (replicas, expected) in [(1, 1), (2, 1), (3, 3), (9, 3)] {
            let tempo = distributed(json!({ "ingester": { "replicas": replicas } }));
            assert_eq!(tempo.replication.factor, expected, "{replicas} ingesters");
        }
        let tempo = distributed(json!({ "ingester": { "replicas": 5 }, "replication": { "factor": 5 } }));
        assert_eq!((tempo.replication.factor, tempo.replication.write_quorum()), (5, 3));
    }

    #[test]
    fn copies_need_ingesters() {
        let patch = json!({ "ingester": { "replicas": 2 }, "replication": { "factor": 3 } });
        refused("distributed", patch, "spec.replication.factor", "there are 2");
        refused(
            "distributed",
            json!({ "replication": { "factor": 0 } }),
            "spec.replication.factor",
            "without a copy",
        );
        refused(
            "singleBinary",
            json!({ "replication": { "factor": 3 } }),
            "spec.replication.factor",
            "one copy",
        );
    }

    #[test]
    fn ingesters_are_shared_out_over_zones() {
        let tempo = distributed(
            json!({ "ingester": { "replicas": 8 }, "replication": { "zones": ["a", "b", "c"] } }),
        );
        let shares: Vec<_> =
            tempo.replication.zones.iter().map(|zone| (zone.name.as_str(), zone.ingesters)).collect();
        assert_eq!(shares, [("a", 3), ("b", 3), ("c", 2)]);
        assert!(tempo.warnings.iter().any(|warning| warning.message.contains("evenly")));
        assert_eq!(tempo.replication.topology_key, "topology.kubernetes.io/zone");
    }

    #[test]
    fn zones_must_hold_what_they_are_for() {
        let path = "spec.replication.zones";
        let zones = |zones: Value| json!({ "replication": { "zones": zones } });
        refused("distributed", zones(json!(["a", "b"])), path, "3 copies cannot be in 2 zones");
        refused("distributed", zones(json!(["a", "b", "c", "d"])), path, "3 ingesters cannot be in 4 zones");
        refused("distributed", zones(json!(["a", "b", "b"])), "spec.replication.zones[2]", "named twice");
        refused("distributed", zones(json!(["a", "b", "c/d"])), "spec.replication.zones[2]", "c/d");
        refused("singleBinary", zones(json!(["a"])), path, "one zone");
    }

    #[test]
    fn risky_choices_are_warned_about() {
        let warned =
            |tempo: ValidatedTempo, path: &str| tempo.warnings.iter().any(|warning| warning.path == path);
        assert!(warned(distributed(json!({ "replication": { "factor": 2 } })), "spec.replication.factor"));
        assert!(warned(distributed(json!({ "replication": { "factor": 1 } })), "spec.replication.factor"));
        assert!(warned(single(json!({ "wal": { "durability": "async" } })), "spec.wal.durability"));
        assert!(distributed(json!({ "wal": { "durability": "async" } })).warnings.is_empty());
        let skip = s3(json!({ "tls": { "insecureSkipVerify": true } }));
        assert!(warned(single(skip), "spec.storage.trace.s3.tls.insecureSkipVerify"));
    }
}

mod tenants {
    use super::*;

    #[test]
    fn an_entry_inherits_what_it_leaves_out() {
        let tempo = single(json!({
            "tenancy": { "tenants": [{ "name": "dev", "id": "1610b0c3" }, { "name": "prod" }] },
            "limits": {
                "global": { "ingestion": { "maxBytesPerTrace": "10MB" }, "query": { "maxSearchDuration": "24h" } },
                "perTenant": { "dev": { "ingestion": { "rateLimitBytes": "50MB" } } },
            },
            "retention": { "perTenant": { "prod": "30d" } },
        }));
        let overrides = tempo.tenant_overrides();
        let dev = overrides["1610b0c3"];
        assert_eq!(dev.limits.ingestion.rate_limit_bytes, ByteSize(50_000_000));
        assert_eq!(dev.limits.ingestion.burst_size_bytes, ByteSize(50_000_000), "not below the rate");
        assert_eq!(dev.limits.ingestion.max_bytes_per_trace, ByteSize(10_000_000));
        assert_eq!(dev.limits.query.max_search_duration, GoDuration::from_hours(24));
        assert_eq!(dev.retention, GoDuration::from_hours(336));
        let prod = overrides["prod"];
        assert_eq!(prod.limits, &tempo.limits.global, "a tenant with only a retention keeps its rates");
        assert_eq!(prod.retention, GoDuration::from_hours(720));
    }

    #[test]
    fn any_tenant_may_have_an_entry_when_none_is_listed() {
        let tempo = single(
            json!({ "tenancy": { "enabled": true }, "retention": { "perTenant": { "anyone": "48h" } } }),
        );
        assert_eq!(tempo.tenant_overrides()["anyone"].retention, GoDuration::from_hours(48));
        assert!(!single(json!({})).tenancy.enabled);
    }

    #[test]
    fn tenants_are_told_apart() {
        let tenants = |tenants: Value| json!({ "tenancy": { "tenants": tenants } });
        let path = "spec.tenancy.tenants[1]";
        refused(
            "singleBinary",
            tenants(json!([{ "name": "a" }, { "name": "a" }])),
            &format!("{path}.name"),
            "twice",
        );
        let same_id = json!([{ "name": "a" }, { "name": "b", "id": "a" }]);
        refused("singleBinary", tenants(same_id), &format!("{path}.id"), "share");
        refused(
            "singleBinary",
            tenants(json!([{ "name": "a" }, { "name": "a/b" }])),
            &format!("{path}.name"),
            "a/b",
        );
        assert_eq!(single(tenants(json!([{ "name": "team a/b", "id": "ab" }]))).tenancy.tenants[0].id, "ab");
    }

    #[test]
    fn entries_need_their_tenant() {
        let entry = json!({ "perTenant": { "dev": {} } });
        refused("singleBinary", json!({ "limits": entry }), "spec.limits.perTenant", "not enabled");
        let unlisted = json!({ "tenancy": { "tenants": [{ "name": "prod" }] }, "limits": entry });
        refused("singleBinary", unlisted, "spec.limits.perTenant.dev", "no tenant");
        let off = json!({ "tenancy": { "enabled": false, "tenants": [{ "name": "prod" }] } });
        refused("singleBinary", off, "spec.tenancy.tenants", "not enabled");
    }

    #[test]
    fn limits_and_retention_leave_something() {
        let rate = json!({ "limits": { "global": { "ingestion": { "rateLimitBytes": 0 } } } });
        refused("singleBinary", rate, "spec.limits.global.ingestion.rateLimitBytes", "every span");
        refused(
            "singleBinary",
            json!({ "retention": { "global": "0" } }),
            "spec.retention.global",
            "keeps nothing",
        );
        refused(
            "singleBinary",
            json!({ "retention": { "global": "1m" } }),
            "spec.retention.global",
            "every 5m",
        );
    }
}

mod bounds {
    use super::*;

    #[test]
    fn blocks_and_queries_have_the_runtimes_defaults() {
        let tempo = single(json!({}));
        assert_eq!(tempo.blocks.max_duration, GoDuration::from_mins(5));
        assert_eq!(tempo.blocks.dedicated_columns.len(), 5);
        assert_eq!(single(json!({ "blocks": { "dedicatedColumns": [] } })).blocks.dedicated_columns, []);
        assert_eq!(tempo.query.max_duration, GoDuration::from_hours(168));
        assert_eq!(tempo.cache.memory, ByteSize(512 << 20), "a quarter of 2Gi");
    }

    #[test]
    fn bad_values_are_named() {
        let columns: Vec<_> = (0..11).map(|n| json!({ "scope": "span", "name": format!("a{n}") })).collect();
        for (patch, path, words) in [
            (json!({ "query": { "searchTimeout": "0" } }), "spec.query.searchTimeout", "no query"),
            (
                json!({ "query": { "defaultResultLimit": 50, "maxResultLimit": 10 } }),
                "spec.query.defaultResultLimit",
                "50",
            ),
            (json!({ "blocks": { "maxDuration": "10ms" } }), "spec.blocks.maxDuration", "10ms"),
            (json!({ "blocks": { "maxBytes": 1000 } }), "spec.blocks.maxBytes", "1000"),
            (
                json!({ "blocks": { "dedicatedColumns": columns } }),
                "spec.blocks.dedicatedColumns[10]",
                "10 dedicated",
            ),
            (
                json!({ "blocks": { "dedicatedColumns": [{ "scope": "span", "name": "a" }, { "scope": "span", "name": "a" }] } }),
                "spec.blocks.dedicatedColumns[1]",
                "already",
            ),
            (json!({ "cache": { "memory": "2GiB" } }), "spec.cache.memory", "nothing"),
            (
                json!({ "observability": { "selfTracing": { "endpoint": "collector:4318" } } }),
                "spec.observability.selfTracing.endpoint",
                "URL",
            ),
            (
                json!({ "observability": { "selfTracing": { "endpoint": "http://c", "samplingFraction": "50%" } } }),
                "spec.observability.selfTracing.samplingFraction",
                "50%",
            ),
            (
                json!({ "ingestion": { "otlp": { "grpc": { "enabled": false }, "http": { "enabled": false } } } }),
                "spec.ingestion.otlp",
                "no span",
            ),
            (
                json!({ "ingestion": { "otlp": { "http": { "port": 4317 } } } }),
                "spec.ingestion.otlp.http.port",
                "gRPC",
            ),
            (
                json!({ "ingestion": { "otlp": { "http": { "port": 3200 } } } }),
                "spec.ingestion.otlp.http.port",
                "API",
            ),
            (json!({ "tempo": { "tls": {} } }), "spec.tempo.tls", "no certificate"),
            (json!({ "serviceAccount": { "name": "My SA" } }), "spec.serviceAccount.name", "My SA"),
        ] {
            let problems = validate(&tempo("singleBinary", patch)).unwrap_err();
            let paths: Vec<_> = problems.iter().map(|problem| problem.path.as_str()).collect();
            assert!(paths.contains(&path), "{problems}");
            assert!(problems.to_string().contains(words), "{words:?} in {problems}");
        }
    }

    #[test]
    fn monitoring_is_on_when_its_block_is_there() {
        let tempo = single(json!({ "observability": { "rules": {}, "dashboards": { "enabled": false } } }));
        assert!(tempo.observability.rules.is_some());
        assert!(tempo.observability.dashboards.is_none());
        assert!(tempo.observability.service_monitors.is_none());
    }

    #[test]
    fn a_given_service_account_is_not_created() {
        let account = |patch: Value| single(patch).service_account;
        let default = account(json!({}));
        assert_eq!((default.name.as_str(), default.create), ("tempo-traces", true));
        let given = account(json!({ "serviceAccount": { "name": "mine" } }));
        assert_eq!((given.name.as_str(), given.create), ("mine", false));
    }
}

mod targets {
    use super::*;

    const LOCAL_STORAGE: &str = r#"{ "trace": { "backend": "local", "s3": null } }"#;

    fn on_disk(mut patch: Value) -> Value {
        patch["storage"] = serde_json::from_str(LOCAL_STORAGE).unwrap();
        patch
    }

    #[test]
    fn a_folder_is_shared_on_one_machine_only() {
        validate_for(&tempo("distributed", on_disk(json!({}))), Target::Local).unwrap();
        refused_by(
            Target::Kubernetes,
            "distributed",
            on_disk(json!({})),
            "spec.storage.trace.backend",
            "do not share a disk",
        );
        validate_for(&tempo("singleBinary", on_disk(json!({}))), Target::Kubernetes).unwrap();
    }

    #[test]
    fn each_target_has_its_own_sources_of_secrets() {
        let credentials = |source: &str, value: Value| s3(json!({ "credentials": { source: value } }));
        let path = |source: &str| format!("spec.storage.trace.s3.credentials.{source}");
        let (kubernetes, local) = (Target::Kubernetes, Target::Local);
        refused_by(kubernetes, "distributed", credentials("env", json!({})), &path("env"), "pods do not see");
        let secret = credentials("secretRef", json!({ "name": "keys" }));
        refused_by(local, "distributed", secret.clone(), &path("secretRef"), "no Kubernetes secrets");
        refused_by(
            local,
            "distributed",
            credentials("workloadIdentity", json!({})),
            &path("workloadIdentity"),
            "identity",
        );
        validate_for(&tempo("distributed", secret), kubernetes).unwrap();
        validate_for(&tempo("distributed", credentials("env", json!({}))), local).unwrap();
    }

    #[test]
    fn each_target_has_its_own_sources_of_certificates() {
        let ca = |ca: Value| s3(json!({ "tls": { "ca": ca } }));
        let path = "spec.storage.trace.s3.tls.ca";
        refused_by(
            Target::Kubernetes,
            "distributed",
            ca(json!({ "file": "/ca.pem" })),
            &format!("{path}.file"),
            "files",
        );
        refused_by(
            Target::Local,
            "distributed",
            ca(json!({ "secret": { "name": "ca" } })),
            path,
            "config maps",
        );
        let tls = |tls: Value| json!({ "ingestion": { "otlp": { "grpc": { "tls": tls } } } });
        let path = "spec.ingestion.otlp.grpc.tls";
        let files = tls(json!({ "certFile": "c", "keyFile": "k" }));
        refused_by(Target::Kubernetes, "distributed", files, &format!("{path}.certFile"), "files");
        let secret = tls(json!({ "secretName": "otlp" }));
        refused_by(Target::Local, "distributed", secret, &format!("{path}.secretName"), "secrets");
    }

    #[test]
    fn pinned_ports_are_taken_once() {
        let patch = json!({ "querier": { "ports": { "http": 3200 } } });
        refused_by(
            Target::Local,
            "distributed",
            patch.clone(),
            "spec.queryFrontend.ports.http",
            "spec.querier.ports.http",
        );
        validate_for(&tempo("distributed", patch), Target::Kubernetes).unwrap();
        let apart = json!({ "querier": { "ports": { "http": 3200 }, "listenAddress": "127.0.0.2" } });
        validate_for(&tempo("distributed", apart), Target::Local).unwrap();
        let everywhere = json!({ "querier": { "ports": { "http": 3200 }, "listenAddress": "0.0.0.0" } });
        refused_by(Target::Local, "distributed", everywhere, "spec.queryFrontend.ports.http", "taken");
    }

    #[test]
    fn paths_in_pods_are_absolute() {
        let patch = json!({ "storage": { "trace": { "backend": "local", "s3": null, "local": { "path": "blocks" } } } });
        refused_by(
            Target::Kubernetes,
            "singleBinary",
            patch.clone(),
            "spec.storage.trace.local.path",
            "blocks",
        );
        validate_for(&tempo("singleBinary", patch), Target::Local).unwrap();
    }
}
