//! Whether a workload serves, by the conventions of kstatus: what the status says of the present generation.

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet, StatefulSet};
use kube::api::{Api, ListParams};
use kube::{Client, ResourceExt as _};
use serde_json::Value;
use tempoform_engine::object::ObjectId;
use tempoform_engine::target::{Readiness, TargetError};

use crate::failure::explain;
use crate::pods::{self, Trouble};
use crate::requests::persist;

/// What one look at an object showed.
#[derive(Debug)]
pub(crate) struct Look {
    pub(crate) readiness: Readiness,
    /// Grows while its pods become what they should be: as long as it does there is reason to wait.
    pub(crate) progress: i32,
}

/// One look at an object as the server has it.
pub(crate) async fn look(client: &Client, id: &ObjectId, value: Value) -> Result<Look, TargetError> {
    let status = &value["status"];
    let count = |key: &str| status[key].as_i64().and_then(|count| i32::try_from(count).ok()).unwrap_or(0);
    let is_of_now = status["observedGeneration"].as_i64() >= value["metadata"]["generation"].as_i64();
    // Pods that are too many going is progress too.
    let progress = count("updatedReplicas") + count("readyReplicas") - count("replicas");
    // A status of before says nothing about what is waited for.
    let progress = if is_of_now { progress } else { i32::MIN };
    Ok(Look { readiness: judge(client, id, value).await?, progress })
}

async fn judge(client: &Client, id: &ObjectId, value: Value) -> Result<Readiness, TargetError> {
    if value["metadata"]["deletionTimestamp"].is_string() {
        return Ok(Readiness::Waiting("it is being deleted".to_owned()));
    }
    let namespace = id.namespace.clone().unwrap_or_default();
    let unreadable = |error: serde_json::Error| {
        TargetError::new(format!("{id} is not as its kind has it")).caused_by(error)
    };
    let waiting = match id.kind.as_str() {
        "StatefulSet" => stateful_set(&serde_json::from_value(value.clone()).map_err(unreadable)?),
        "Deployment" => match deployment(&serde_json::from_value(value.clone()).map_err(unreadable)?) {
            Progress::Failed(reason) => return Ok(Readiness::Failed(format!("{id}: {reason}"))),
            Progress::Done => None,
            Progress::Waiting(reason) => Some(reason),
        },
        // The others are as soon as they are there.
        _ => None,
    };
    let Some(waiting) = waiting else { return Ok(Readiness::Ready) };
    if waiting == NOT_SEEN {
        return Ok(Readiness::Waiting(waiting));
    }
    let failed = |error| explain(&format!("cannot look at the pods of {id}"), error);
    let listed = pods::list(client, &namespace, &selector(&value)).await.map_err(failed)?;
    let current = revision(client, &namespace, &value).await.map_err(failed)?;
    // Those of former revisions go, whatever is wrong with them.
    let is_current = |pod: &&k8s_openapi::api::core::v1::Pod| {
        current.as_ref().is_none_or(|(label, hash)| pod.labels().get(*label) == Some(hash))
    };
    let troubles: Vec<_> =
        listed.iter().filter(is_current).filter_map(|pod| Some((pod, pods::trouble(pod)?))).collect();
    let failed = troubles.iter().find_map(|(pod, trouble)| match trouble {
        Trouble::Failed { reason, crashed } => Some((pod, reason, crashed)),
        Trouble::Waiting(_) => None,
    });
    if let Some((pod, reason, crashed)) = failed {
        let words = match crashed {
            Some(container) => pods::last_words(client, &namespace, &pod.name_any(), container).await,
            None => String::new(),
        };
        let words: String = words.lines().map(|line| format!("\n    {line}")).collect();
        return Ok(Readiness::Failed(format!("{id}: {reason}{words}")));
    }
    Ok(Readiness::Waiting(match troubles.first() {
        Some((_, Trouble::Waiting(reason))) => format!("{waiting}: {reason}"),
        _ => waiting,
    }))
}

/// While that is so, the status is of something else.
const NOT_SEEN: &str = "the controller has not looked at it yet";

/// The label that pods of the present revision have; `None` when that is not known.
async fn revision(
    client: &Client,
    namespace: &str,
    workload: &Value,
) -> kube::Result<Option<(&'static str, String)>> {
    const OF_DEPLOYMENT: &str = "deployment.kubernetes.io/revision";
    if workload["kind"] == "StatefulSet" {
        let hash = workload["status"]["updateRevision"].as_str();
        return Ok(hash.map(|hash| ("controller-revision-hash", hash.to_owned())));
    }
    let Some(number) = workload["metadata"]["annotations"][OF_DEPLOYMENT].as_str() else { return Ok(None) };
    let sets: Api<ReplicaSet> = Api::namespaced(client.clone(), namespace);
    let of_workload = ListParams::default().labels(&selector(workload));
    let sets = persist(|| sets.list(&of_workload)).await?.items;
    let current =
        sets.iter().find(|set| set.annotations().get(OF_DEPLOYMENT).map(String::as_str) == Some(number));
    let hash = current.and_then(|set| set.labels().get("pod-template-hash").cloned());
    Ok(hash.map(|hash| ("pod-template-hash", hash)))
}

enum Progress {
    Done,
    Waiting(String),
    Failed(String),
}

fn stateful_set(set: &StatefulSet) -> Option<String> {
    let spec = set.spec.as_ref()?;
    let Some(status) =
        set.status.as_ref().filter(|status| status.observed_generation >= set.metadata.generation)
    else {
        return Some(NOT_SEEN.to_owned());
    };
    let wanted = spec.replicas.unwrap_or(1);
    let updated = status.updated_replicas.unwrap_or(0);
    let ready = status.ready_replicas.unwrap_or(0);
    match () {
        () if status.replicas > wanted => {
            Some(format!("{} of {} pods are still there", status.replicas, wanted))
        }
        () if updated < wanted => Some(format!("{updated} of {wanted} pods are as declared")),
        () if ready < wanted => Some(format!("{ready} of {wanted} pods are ready")),
        () => None,
    }
}

fn deployment(deployment: &Deployment) -> Progress {
    let Some(spec) = deployment.spec.as_ref() else { return Progress::Done };
    let current = |status: &&k8s_openapi::api::apps::v1::DeploymentStatus| {
        status.observed_generation >= deployment.metadata.generation
    };
    let Some(status) = deployment.status.as_ref().filter(current) else {
        return Progress::Waiting(NOT_SEEN.to_owned());
    };
    let mut conditions = status.conditions.iter().flatten();
    if let Some(stuck) = conditions.find(|c| c.reason.as_deref() == Some("ProgressDeadlineExceeded")) {
        return Progress::Failed(stuck.message.clone().unwrap_or_else(|| "it makes no progress".to_owned()));
    }
    let wanted = spec.replicas.unwrap_or(1);
    let updated = status.updated_replicas.unwrap_or(0);
    let available = status.available_replicas.unwrap_or(0);
    let all = status.replicas.unwrap_or(0);
    Progress::Waiting(match () {
        () if updated < wanted => format!("{updated} of {wanted} pods are as declared"),
        () if all > updated => format!("{} former pods are still there", all - updated),
        () if available < wanted => format!("{available} of {wanted} pods are ready"),
        () => return Progress::Done,
    })
}

/// The labels that a workload knows its pods by.
fn selector(value: &Value) -> String {
    let labels = value["spec"]["selector"]["matchLabels"].as_object();
    let pairs =
        labels.into_iter().flatten().filter_map(|(key, value)| Some(format!("{key}={}", value.as_str()?)));
    pairs.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn set(status: Value) -> Option<String> {
        let set = json!({"metadata": {"generation": 2}, "spec": {"replicas": 3, "selector": {}, "serviceName": "a", "template": {}},
            "status": status});
        stateful_set(&serde_json::from_value(set).unwrap())
    }

    #[test]
    fn a_stateful_set_is_ready_when_all_pods_of_its_last_revision_are() {
        let status = |generation: i64, updated: i32, ready: i32, total: i32, revision: &str| {
            json!({"observedGeneration": generation, "updatedReplicas": updated, "readyReplicas": ready, "replicas": total,
                "currentRevision": "a", "updateRevision": revision})
        };
        assert_eq!(set(status(1, 3, 3, 3, "a")).unwrap(), "the controller has not looked at it yet");
        assert_eq!(set(status(2, 1, 3, 3, "b")).unwrap(), "1 of 3 pods are as declared");
        assert_eq!(set(status(2, 3, 2, 3, "a")).unwrap(), "2 of 3 pods are ready");
        // On the way back from a change that was half done, the revisions are the same again at once.
        assert_eq!(set(status(2, 2, 3, 3, "a")).unwrap(), "2 of 3 pods are as declared");
        assert_eq!(set(status(2, 3, 3, 4, "a")).unwrap(), "4 of 3 pods are still there");
        assert_eq!(set(status(2, 3, 3, 3, "a")), None);
    }

    #[test]
    fn a_deployment_that_makes_no_progress_is_not_waited_for() {
        let told = |status: Value| {
            let value = json!({"metadata": {"generation": 1}, "spec": {"replicas": 2, "selector": {}, "template": {}}, "status": status});
            match deployment(&serde_json::from_value(value).unwrap()) {
                Progress::Done => "done".to_owned(),
                Progress::Waiting(reason) | Progress::Failed(reason) => reason,
            }
        };
        let status = |updated: i32, available: i32, all: i32| json!({"observedGeneration": 1, "updatedReplicas": updated, "availableReplicas": available, "replicas": all});
        assert_eq!(told(status(1, 2, 3)), "1 of 2 pods are as declared");
        assert_eq!(told(status(2, 2, 3)), "1 former pods are still there");
        assert_eq!(told(status(2, 1, 2)), "1 of 2 pods are ready");
        assert_eq!(told(status(2, 2, 2)), "done");
        let stuck = json!({"observedGeneration": 1, "conditions": [{"type": "Progressing", "status": "False",
            "reason": "ProgressDeadlineExceeded", "message": "timed out progressing"}]});
        assert_eq!(told(stuck), "timed out progressing");
    }
}
