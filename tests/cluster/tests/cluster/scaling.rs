//! The number of replicas goes from the document to an autoscaler, and back.

use anyhow::{Context as _, Result};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;
use tempoform_engine::plan::{DangerKind, Detail};
use tempoform_test_support::ControlPlane;

use crate::target::{DOCUMENT, applied, namespaced, planned, told};

const FIXED: &str = "distributor:\n    replicas: 2";
const DISTRIBUTOR: &str = "tempo-shop-distributor";

#[tokio::test(flavor = "multi_thread")]
async fn an_autoscaler_takes_over_and_gives_back_without_a_pod_less() -> Result<()> {
    let Some(plane) = ControlPlane::with_nodes(&["a"]).await? else { return Ok(()) };
    let client = plane.client();
    let deployments: Api<Deployment> = namespaced(&client);
    let replicas =
        async || anyhow::Ok(deployments.get(DISTRIBUTOR).await?.spec.and_then(|spec| spec.replicas));
    applied(&plane, DOCUMENT, &[]).await?;

    // Nobody but us has set the number yet: left out, it would become 1.
    let elastic =
        DOCUMENT.replace(FIXED, "distributor:\n    autoscaling: { minReplicas: 2, maxReplicas: 9 }");
    let over = planned(&plane, &elastic).await?;
    assert_eq!(told(&over), [format!("create HorizontalPodAutoscaler/tracing/{DISTRIBUTOR}")]);
    applied(&plane, &elastic, &[]).await?;
    assert_eq!(replicas().await?, Some(2));
    let next = elastic.replace("tempoform:1", "tempoform:2");
    applied(&plane, &next, &[]).await?;
    assert_eq!(replicas().await?, Some(2), "an apply of something else");
    let again = planned(&plane, &next).await?;
    assert_eq!(told(&again), Vec::<String>::new(), "{}", again.to_human(Detail::Full, false));

    // As the autoscaler's controller sets it.
    let scaler =
        PatchParams { field_manager: Some("kube-controller-manager".to_owned()), ..Default::default() };
    let four = Patch::Merge(json!({"spec": {"replicas": 4}}));
    deployments.patch_scale(DISTRIBUTOR, &scaler, &four).await?;
    let again = planned(&plane, &next).await?;
    assert!(again.dangers.is_empty() && told(&again).is_empty(), "{}", again.to_human(Detail::Full, false));
    applied(&plane, &elastic, &[]).await?;
    assert_eq!(replicas().await?, Some(4), "the number is the autoscaler's");

    // The document takes it back, and says so.
    let back = DOCUMENT.replace(FIXED, "distributor:\n    replicas: 3");
    let danger = planned(&plane, &back).await?.dangers.into_iter().next().context("a danger")?;
    assert_eq!(danger.kind, DangerKind::Conflict);
    assert!(danger.message.contains(".spec.replicas by \"kube-controller-manager\""), "{}", danger.message);
    applied(&plane, &back, &[DangerKind::Conflict]).await?;
    assert_eq!(replicas().await?, Some(3));
    let scalers: Api<HorizontalPodAutoscaler> = namespaced(&client);
    assert!(scalers.get_opt(DISTRIBUTOR).await?.is_none());
    plane.stop()
}
