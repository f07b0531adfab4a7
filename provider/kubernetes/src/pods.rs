//! The pods of a Tempo, and why one does not serve.

use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use kube::api::{Api, ListParams, LogParams};
use kube::{Client, ResourceExt};

use crate::requests::persist;

/// Ends of a container after its start, from which on it is not waited for any more.
const CRASH_LOOP: i32 = 3;
/// How long they are waited for.
const LAST_WORDS: std::time::Duration = std::time::Duration::from_secs(10);
/// Last lines of the log of one that crashed.
const LAST_LINES: i64 = 5;

/// Pods by their labels.
pub(crate) async fn list(client: &Client, namespace: &str, labels: &str) -> kube::Result<Vec<Pod>> {
    let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let params = ListParams::default().labels(labels);
    let mut pods = persist(|| api.list(&params)).await?.items;
    pods.sort_by_key(ResourceExt::name_any);
    Ok(pods)
}

/// Why a pod does not serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// It may come yet.
    Waiting(String),
    /// It will not come by waiting. `crashed` is the container whose log may tell why.
    Failed { reason: String, crashed: Option<String> },
}

/// Why a pod is not ready; `None` when it is, or is going.
pub(crate) fn trouble(pod: &Pod) -> Option<Trouble> {
    if pod.metadata.deletion_timestamp.is_some() || is_ready(pod) || has_ended(pod) {
        return None;
    }
    let name = pod.name_any();
    let status = pod.status.as_ref();
    let conditions = status.and_then(|status| status.conditions.as_ref());
    let unscheduled =
        conditions.into_iter().flatten().find(|c| c.type_ == "PodScheduled" && c.status == "False");
    if let Some(condition) = unscheduled {
        let why = condition.message.as_deref().unwrap_or("no node takes it");
        return Some(Trouble::Waiting(format!("pod {name} has no node: {why}")));
    }
    let of = |list: Option<&Vec<ContainerStatus>>| list.cloned().unwrap_or_default();
    let init = of(status.and_then(|status| status.init_container_statuses.as_ref()));
    let main = of(status.and_then(|status| status.container_statuses.as_ref()));
    let troubles: Vec<Trouble> =
        init.iter().chain(&main).filter_map(|container| trouble_of(&name, container)).collect();
    let failed = troubles.iter().find(|trouble| matches!(trouble, Trouble::Failed { .. }));
    let first = failed.or_else(|| troubles.first()).cloned();
    first.or_else(|| {
        let phase = status.and_then(|status| status.phase.as_deref()).unwrap_or("Pending");
        Some(Trouble::Waiting(match phase {
            "Running" => format!("pod {name} runs and is not ready"),
            _ => format!("pod {name} is starting"),
        }))
    })
}

fn trouble_of(pod: &str, container: &ContainerStatus) -> Option<Trouble> {
    let ContainerStatus { name, restart_count, state, last_state, .. } = container;
    let ended = last_state.as_ref().or(state.as_ref()).and_then(|state| state.terminated.as_ref());
    let waiting = state.as_ref().and_then(|state| state.waiting.as_ref());
    let reason = waiting.and_then(|waiting| waiting.reason.as_deref()).unwrap_or_default();
    let message = waiting.and_then(|waiting| waiting.message.as_deref()).unwrap_or_default();
    if *restart_count >= CRASH_LOOP && reason == "CrashLoopBackOff" {
        let how = ended.map_or_else(String::new, |end| {
            format!(
                ", last with exit code {}{}",
                end.exit_code,
                end.reason.as_deref().map(|r| format!(" ({r})")).unwrap_or_default()
            )
        });
        let reason = format!("container {name} of pod {pod} ended {restart_count} times{how}");
        return Some(Trouble::Failed { reason, crashed: Some(name.clone()) });
    }
    match reason {
        "" | "ContainerCreating" | "PodInitializing" => None,
        "InvalidImageName" => Some(Trouble::Failed {
            reason: format!("container {name} of pod {pod}: {message}"),
            crashed: None,
        }),
        reason => Some(Trouble::Waiting(match message {
            "" => format!("container {name} of pod {pod}: {reason}"),
            message => format!("container {name} of pod {pod}: {reason}: {message}"),
        })),
    }
}

/// Whether it will do nothing more, such as one that was evicted; another has its place.
pub(crate) fn has_ended(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Failed" | "Succeeded"))
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.into_iter().flatten().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// What a container wrote before it ended; empty when that cannot be had.
pub(crate) async fn last_words(client: &Client, namespace: &str, pod: &str, container: &str) -> String {
    let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let params = LogParams {
        container: Some(container.to_owned()),
        previous: true,
        tail_lines: Some(LAST_LINES),
        ..LogParams::default()
    };
    let logs = tokio::time::timeout(LAST_WORDS, api.logs(pod, &params)).await;
    logs.ok().and_then(Result::ok).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(status: serde_json::Value) -> Pod {
        serde_json::from_value(json!({"metadata": {"name": "a-0"}, "status": status})).unwrap()
    }

    fn container(state: serde_json::Value, restarts: i32) -> serde_json::Value {
        json!({"phase": "Running", "containerStatuses": [{"name": "tempo", "image": "i", "imageID": "", "ready": false,
            "restartCount": restarts, "state": state, "lastState": {"terminated": {"exitCode": 64, "reason": "Error"}}}]})
    }

    #[test]
    fn why_a_pod_does_not_serve() {
        let told = |status| match trouble(&pod(status)) {
            Some(Trouble::Waiting(reason)) => format!("waiting: {reason}"),
            Some(Trouble::Failed { reason, .. }) => format!("failed: {reason}"),
            None => "ready".to_owned(),
        };
        assert_eq!(told(json!({"conditions": [{"type": "Ready", "status": "True"}]})), "ready");
        assert_eq!(
            told(
                json!({"conditions": [{"type": "PodScheduled", "status": "False", "message": "0/3 nodes: no memory"}]})
            ),
            "waiting: pod a-0 has no node: 0/3 nodes: no memory"
        );
        let pull = json!({"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}});
        assert_eq!(
            told(container(pull, 0)),
            "waiting: container tempo of pod a-0: ImagePullBackOff: no such image"
        );
        let crash = json!({"waiting": {"reason": "CrashLoopBackOff"}});
        assert_eq!(
            told(container(crash.clone(), 3)),
            "failed: container tempo of pod a-0 ended 3 times, last with exit code 64 (Error)"
        );
        assert!(told(container(crash, 1)).starts_with("waiting: "));
        // It is starting once more, and may come.
        assert!(told(container(json!({"running": {}}), 7)).starts_with("waiting: "));
        assert_eq!(told(json!({"phase": "Failed", "reason": "Evicted"})), "ready");
        assert_eq!(told(container(json!({"running": {}}), 0)), "waiting: pod a-0 runs and is not ready");
    }
}
