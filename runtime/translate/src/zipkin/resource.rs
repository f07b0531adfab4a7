//! Which tags are of the resource: Zipkin has no place for them but the span.

use tempoform_wire::otlp::{KeyValue, Resource};

use crate::attributes::{NO_SERVICE_NAME, SERVICE_NAME, take_text, text};

/// Takes the resource's attributes out of `attributes`.
pub(super) fn take_resource(service_name: String, attributes: &mut Vec<KeyValue>) -> Resource {
    let (mut own, of_span): (Vec<_>, Vec<_>) =
        std::mem::take(attributes).into_iter().partition(|attribute| is_of_resource(&attribute.key));
    *attributes = of_span;
    let key = take_text(attributes, "otlp.service.name.source").filter(|key| !key.is_empty());
    let key = key.unwrap_or_else(|| SERVICE_NAME.to_owned());
    let has_name = own.iter().any(|attribute| attribute.key == key);
    if !has_name && !service_name.is_empty() && service_name != NO_SERVICE_NAME {
        own.push(text(key, service_name));
    }
    // One resource, however its tags were ordered.
    own.sort_by(|a, b| a.key.cmp(&b.key));
    Resource { attributes: own, ..Resource::default() }
}

fn is_of_resource(key: &str) -> bool {
    OF_RESOURCE.binary_search(&key).is_ok()
}

/// Resource attributes of the semantic conventions that the Collector's translator follows (1.6.1), and
/// OpenCensus's, sorted.
const OF_RESOURCE: [&str; 84] = [
    "aws.ecs.cluster.arn",
    "aws.ecs.container.arn",
    "aws.ecs.launchtype",
    "aws.ecs.task.arn",
    "aws.ecs.task.family",
    "aws.ecs.task.revision",
    "aws.eks.cluster.arn",
    "aws.log.group.arns",
    "aws.log.group.names",
    "aws.log.stream.arns",
    "aws.log.stream.names",
    "cloud.account.id",
    "cloud.availability_zone",
    "cloud.platform",
    "cloud.provider",
    "cloud.region",
    "container.id",
    "container.image.name",
    "container.image.tag",
    "container.name",
    "container.runtime",
    "deployment.environment",
    "device.id",
    "device.model.identifier",
    "device.model.name",
    "faas.id",
    "faas.instance",
    "faas.max_memory",
    "faas.name",
    "faas.version",
    "host.arch",
    "host.id",
    "host.image.id",
    "host.image.name",
    "host.image.version",
    "host.name",
    "host.type",
    "k8s.cluster.name",
    "k8s.container.name",
    "k8s.cronjob.name",
    "k8s.cronjob.uid",
    "k8s.daemonset.name",
    "k8s.daemonset.uid",
    "k8s.deployment.name",
    "k8s.deployment.uid",
    "k8s.job.name",
    "k8s.job.uid",
    "k8s.namespace.name",
    "k8s.node.name",
    "k8s.node.uid",
    "k8s.pod.name",
    "k8s.pod.uid",
    "k8s.replicaset.name",
    "k8s.replicaset.uid",
    "k8s.statefulset.name",
    "k8s.statefulset.uid",
    "opencensus.exporterversion",
    "opencensus.resourcetype",
    "opencensus.starttime",
    "os.description",
    "os.name",
    "os.type",
    "os.version",
    "process.command",
    "process.command_args",
    "process.command_line",
    "process.executable.name",
    "process.executable.path",
    "process.owner",
    "process.pid",
    "process.runtime.description",
    "process.runtime.name",
    "process.runtime.version",
    "service.instance.id",
    "service.name",
    "service.namespace",
    "service.version",
    "telemetry.auto.version",
    "telemetry.sdk.language",
    "telemetry.sdk.name",
    "telemetry.sdk.version",
    "webengine.description",
    "webengine.name",
    "webengine.version",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_can_be_searched() {
        assert!(OF_RESOURCE.is_sorted());
        assert!(is_of_resource("service.name") && is_of_resource("webengine.version"));
        assert!(!is_of_resource("http.url"));
    }
}
