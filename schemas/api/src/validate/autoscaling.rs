//! Who may be scaled automatically, and between what.

use k8s_openapi::api::core::v1::ResourceRequirements;

use super::report::Report;
use crate::Component;
use crate::defaults;
use crate::spec::AutoscalingSpec;
use crate::validated::Autoscaling;

/// `path` is the component's; `replicas` are those that the document gives it.
pub(super) fn resolve(
    spec: &AutoscalingSpec,
    replicas: Option<u32>,
    resources: &ResourceRequirements,
    path: &str,
    report: &mut Report,
) -> Autoscaling {
    let at = format!("{path}.autoscaling");
    let autoscaling = Autoscaling {
        min_replicas: spec.min_replicas.unwrap_or(defaults::MIN_REPLICAS),
        max_replicas: spec.max_replicas,
        target_cpu_utilization_percentage: spec
            .target_cpu_utilization_percentage
            .unwrap_or(defaults::TARGET_CPU_UTILIZATION_PERCENTAGE),
        target_memory_utilization_percentage: spec.target_memory_utilization_percentage,
        behavior: spec.behavior.clone(),
    };
    if let Some(replicas) = replicas {
        report.refuse(
            format!("{path}.replicas"),
            format!("replicas: {replicas} would set what the autoscaler decides about"),
            "remove replicas, or autoscaling; autoscaling.minReplicas keeps the number from falling below it",
        );
    }
    refuse_bad_range(&autoscaling, &at, report);
    for (field, resource, percentage) in [
        ("targetCpuUtilizationPercentage", "cpu", Some(autoscaling.target_cpu_utilization_percentage)),
        ("targetMemoryUtilizationPercentage", "memory", autoscaling.target_memory_utilization_percentage),
    ] {
        if percentage == Some(0) {
            report.refuse(
                format!("{at}.{field}"),
                "0 percent is never reached",
                "write the use to aim at, for example 75",
            );
        }
        if percentage.is_some() && !is_requested(resources, resource) {
            report.refuse(
                format!("{path}.resources.requests.{resource}"),
                format!("nothing is requested, so there is nothing that {at}.{field} is a share of"),
                format!(
                    "set resources.requests.{resource}, or leave resources out, whose default has a request"
                ),
            );
        }
    }
    autoscaling
}

/// An autoscaler does not act on a range that is empty or begins with nothing.
fn refuse_bad_range(autoscaling: &Autoscaling, at: &str, report: &mut Report) {
    let Autoscaling { min_replicas: min, max_replicas: max, .. } = *autoscaling;
    if min == 0 {
        report.refuse(
            format!("{at}.minReplicas"),
            "with no instance there is no use to measure, so an autoscaler never starts the first",
            "set minReplicas: 1 or more; to switch the component off, set replicas: 0 in place of autoscaling",
        );
    } else if max < min {
        report.refuse(
            format!("{at}.maxReplicas"),
            format!("at most {max} instances cannot be at least {min}"),
            format!("set maxReplicas: {min} or more, or a lower minReplicas"),
        );
    }
}

/// What has a limit and no request requests its limit.
fn is_requested(resources: &ResourceRequirements, name: &str) -> bool {
    [&resources.requests, &resources.limits]
        .into_iter()
        .any(|amounts| amounts.as_ref().is_some_and(|amounts| amounts.contains_key(name)))
}

/// Says why the component's number of instances is the document's affair.
pub(super) fn refuse(component: Component, report: &mut Report) {
    let (reason, help) = match component {
        Component::Ingester => (
            "an ingester holds the only recent traces of its share, which each change of their number moves",
            "set replicas, and change it deliberately",
        ),
        Component::Retriever => (
            "a retriever holds a cache of its share of the blocks, which each change of their number empties",
            "set replicas, and change it deliberately",
        ),
        Component::Compactor => (
            "what a compactor has to do depends on the blocks in the bucket, not on load that another instance takes over",
            "set replicas; tempodb_compaction_outstanding_bytes says how far it is behind",
        ),
        Component::Tempo => {
            ("a single binary runs once", "set mode: distributed to run components several times")
        }
        Component::Distributor | Component::Querier | Component::QueryFrontend => return,
    };
    report.refuse(
        format!("spec.{component}.autoscaling"),
        format!("the {component} cannot be scaled automatically: {reason}"),
        help,
    );
}
