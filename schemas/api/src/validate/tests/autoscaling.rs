use super::*;

#[test]
fn a_range_is_enough() {
    let tempo = distributed(json!({ "querier": { "autoscaling": { "maxReplicas": 5 } } }));
    let querier = tempo.component(Component::Querier).unwrap();
    let autoscaling = querier.autoscaling.as_ref().unwrap();
    assert_eq!((autoscaling.min_replicas, autoscaling.max_replicas), (1, 5));
    assert_eq!(autoscaling.target_cpu_utilization_percentage, 75);
    assert_eq!(autoscaling.target_memory_utilization_percentage, None);
    assert_eq!(querier.replicas, 1, "on this machine");
    assert_eq!(tempo.component(Component::Distributor).unwrap().autoscaling, None);
    assert!(tempo.target_warnings(Target::Local)[0].message.contains("querier.autoscaling"));
    assert_eq!(tempo.target_warnings(Target::Kubernetes), []);
}

#[test]
fn ranges_that_no_autoscaler_acts_on_are_refused() {
    for (patch, path, words) in [
        (json!({ "minReplicas": 0, "maxReplicas": 3 }), "autoscaling.minReplicas", "never starts"),
        (json!({ "minReplicas": 4, "maxReplicas": 3 }), "autoscaling.maxReplicas", "at least 4"),
        (json!({ "maxReplicas": 0 }), "autoscaling.maxReplicas", "at least 1"),
        (
            json!({ "maxReplicas": 3, "targetCpuUtilizationPercentage": 0 }),
            "autoscaling.targetCpuUtilizationPercentage",
            "0 percent",
        ),
        (
            json!({ "maxReplicas": 3, "targetMemoryUtilizationPercentage": 0 }),
            "autoscaling.targetMemoryUtilizationPercentage",
            "0 percent",
        ),
    ] {
        let path = format!("spec.distributor.{path}");
        refused("distributed", json!({ "distributor": { "autoscaling": patch } }), &path, words);
    }
}

#[test]
fn the_number_is_decided_by_one() {
    for component in ["distributor", "querier", "queryFrontend"] {
        let patch = json!({ component: { "replicas": 2, "autoscaling": { "maxReplicas": 3 } } });
        refused("distributed", patch, &format!("spec.{component}.replicas"), "autoscaler decides");
    }
}

#[test]
fn a_target_is_a_share_of_a_request() {
    let querier = |resources: Value, memory: Value| {
        json!({ "querier": { "resources": resources,
            "autoscaling": { "maxReplicas": 3, "targetMemoryUtilizationPercentage": memory } } })
    };
    let memory_only = json!({ "requests": { "memory": "1Gi" } });
    let cpu_only = json!({ "requests": { "cpu": "1" } });
    let path = "spec.querier.resources.requests";
    refused("distributed", querier(memory_only, json!(80)), &format!("{path}.cpu"), "nothing is requested");
    refused("distributed", querier(cpu_only.clone(), json!(80)), &format!("{path}.memory"), "Memory");
    distributed(querier(cpu_only, Value::Null));
    // Kubernetes requests what is limited, where nothing else is said.
    distributed(querier(json!({ "limits": { "cpu": "1", "memory": "1Gi" } }), json!(80)));
}

#[test]
fn those_that_hold_something_are_not_scaled_automatically() {
    let scaled = json!({ "autoscaling": { "maxReplicas": 3 } });
    for (component, words) in
        [("ingester", "recent traces"), ("retriever", "cache"), ("compactor", "blocks in the bucket")]
    {
        let path = format!("spec.{component}.autoscaling");
        refused("distributed", json!({ component: scaled }), &path, words);
    }
    refused("singleBinary", json!({ "tempo": scaled }), "spec.tempo.autoscaling", "runs once");
}
