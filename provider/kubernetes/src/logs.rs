//! Logs of pods, line by line.

use futures::AsyncBufReadExt as _;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, LogParams};
use kube::{Client, ResourceExt};
use tempoform_engine::target::{LogLine, LogQuery, TargetError};
use tokio::sync::mpsc;

/// Log lines that a receiver may lag behind.
const LOG_QUEUE: usize = 256;
/// The container that a component runs in.
pub(crate) const CONTAINER: &str = "tempo";

/// The log lines of pods; each pod's in order.
pub(crate) fn lines(
    client: &Client,
    namespace: &str,
    pods: &[Pod],
    query: &LogQuery,
) -> mpsc::Receiver<LogLine> {
    let (lines, received) = mpsc::channel(LOG_QUEUE);
    for pod in pods {
        let (client, namespace, pod, lines) =
            (client.clone(), namespace.to_owned(), pod.name_any(), lines.clone());
        let query = query.clone();
        tokio::spawn(async move {
            if let Err(error) = of_pod(client, &namespace, &pod, &query, &lines).await {
                let text = format!("(the log cannot be read: {error})");
                // Nobody may listen any more.
                drop(lines.send(LogLine { instance: pod, text }).await);
            }
        });
    }
    received
}

async fn of_pod(
    client: Client,
    namespace: &str,
    pod: &str,
    query: &LogQuery,
    lines: &mpsc::Sender<LogLine>,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let api: Api<Pod> = Api::namespaced(client, namespace);
    let params = LogParams {
        container: Some(CONTAINER.to_owned()),
        follow: query.follow,
        tail_lines: Some(i64::try_from(query.tail)?),
        ..LogParams::default()
    };
    let mut log = api.log_stream(pod, &params).await?;
    let mut line = Vec::new();
    loop {
        line.clear();
        if log.read_until(b'\n', &mut line).await? == 0 {
            break;
        }
        let text = String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_owned();
        if lines.send(LogLine { instance: pod.to_owned(), text }).await.is_err() {
            break;
        }
    }
    Ok(())
}

/// Whether a pod is meant by a selector: its component as the document or Kubernetes names it, or its own name.
pub(crate) fn is_selected(pod: &Pod, component: &str, selector: Option<&str>) -> bool {
    let label = pod.labels().get("app.kubernetes.io/component").map(String::as_str);
    selector
        .is_none_or(|selector| selector == component || Some(selector) == label || selector == pod.name_any())
}

/// What to say when no pod is meant.
pub(crate) fn none_selected(selector: &str, pods: &[Pod]) -> TargetError {
    let names: Vec<String> = pods.iter().map(ResourceExt::name_any).collect();
    TargetError::new(format!("there is no component and no pod {selector:?}")).help(if names.is_empty() {
        "no pod runs".to_owned()
    } else {
        format!("pods: {}", names.join(", "))
    })
}
