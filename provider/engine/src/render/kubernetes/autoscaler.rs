//! The autoscaler of a component.

use k8s_openapi::api::autoscaling::v2::{HorizontalPodAutoscaler, HorizontalPodAutoscalerBehavior};
use serde::Serialize;
use tempoform_api::Autoscaling;

use super::meta::Meta;
use crate::render::{Manifest, RenderError, typed};

/// An autoscaler of the Deployment called `workload`.
pub(super) fn render(
    template: &'static str,
    meta: Meta<'_>,
    workload: &str,
    autoscaling: &Autoscaling,
) -> Result<Manifest, RenderError> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Values<'a> {
        #[serde(flatten)]
        meta: Meta<'a>,
        workload: &'a str,
        min_replicas: u32,
        max_replicas: u32,
        target_cpu_utilization_percentage: u32,
        target_memory_utilization_percentage: Option<u32>,
        behavior: Option<&'a HorizontalPodAutoscalerBehavior>,
    }
    let Autoscaling {
        min_replicas,
        max_replicas,
        target_cpu_utilization_percentage,
        target_memory_utilization_percentage,
        ref behavior,
    } = *autoscaling;
    typed::render::<HorizontalPodAutoscaler>(
        template,
        &Values {
            meta,
            workload,
            min_replicas,
            max_replicas,
            target_cpu_utilization_percentage,
            target_memory_utilization_percentage,
            behavior: behavior.as_ref(),
        },
    )
}
