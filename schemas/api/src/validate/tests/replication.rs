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
    refused("singleBinary", json!({ "replication": { "factor": 3 } }), "spec.replication.factor", "one copy");
}

#[test]
fn ingesters_are_shared_out_over_zones() {
    let tempo =
        distributed(json!({ "ingester": { "replicas": 8 }, "replication": { "zones": ["a", "b", "c"] } }));
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
