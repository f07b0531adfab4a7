//! `autoscaling` of a component: an autoscaler of Kubernetes decides how many instances run.

use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscalerBehavior;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Between which numbers of instances a `HorizontalPodAutoscaler` chooses, and by what (Kubernetes).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = crate::crd::rules::autoscaling()))]
pub struct AutoscalingSpec {
    /// The fewest instances. Default: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub min_replicas: Option<u32>,
    /// The most instances.
    #[schemars(range(min = 1, max = 1000))]
    pub max_replicas: u32,
    /// The CPU use that is aimed at, on average over the instances, in percent of the CPU that each requests. Default: 75.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub target_cpu_utilization_percentage: Option<u32>,
    /// The same for memory, in percent of what each requests; whichever asks for more instances counts. Default: memory is not looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub target_memory_utilization_percentage: Option<u32>,
    /// How fast instances are added and removed, as in a `HorizontalPodAutoscaler`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub behavior: Option<HorizontalPodAutoscalerBehavior>,
}
