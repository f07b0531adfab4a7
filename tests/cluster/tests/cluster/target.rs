//! The cluster target against a real control plane: plan, apply, drift, conflicts, pruning, the end.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Pod, Service};
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Client, ResourceExt as _};
use serde_json::{Value, json};
use tempoform_engine::apply::{Applied, ApplyOptions, Observer, Progress, apply};
use tempoform_engine::guard::guarded;
use tempoform_engine::object::Desired;
use tempoform_engine::plan::{Action, DangerKind, Detail, Plan, plan_on};
use tempoform_engine::render;
use tempoform_engine::target::{DataPolicy, Target as _};
use tempoform_kubernetes::{Access, ClusterOptions, ClusterTarget};
use tempoform_test_support::ControlPlane;
use tokio_util::sync::CancellationToken;

const NAMESPACE: &str = "tracing";
const ZONES: [&str; 1] = ["a"];

/// A Tempo with some of everything.
pub(crate) const DOCUMENT: &str = r"
apiVersion: tempoform.io/v1alpha1
kind: Tempo
metadata:
  name: shop
  namespace: tracing
spec:
  mode: distributed
  image: registry.example.com/tempoform:1
  storage:
    trace:
      backend: s3
      s3:
        bucket: traces
        region: eu-west-1
        credentials:
          secretRef:
            name: bucket
  replication:
    factor: 1
  ingester:
    replicas: 1
  distributor:
    replicas: 2
";

/// What an apply says is not looked at.
struct Silent;

impl Observer for Silent {
    fn progress(&self, _: Progress) {}
}

/// A target with what a document declares.
async fn declare(plane: &ControlPlane, document: &str) -> Result<(ClusterTarget, Desired)> {
    let mut documents = tempoform_api::load("tempo.yaml", document)?;
    let tempo = documents.pop().context("a document")?.validated;
    let access = Access { kubeconfig: Some(plane.kubeconfig().to_owned()), context: None };
    let options = ClusterOptions { access, namespace: tempo.namespace.clone(), tempo: tempo.name.clone() };
    let mut target = ClusterTarget::open(options).await?;
    let objects = render::kubernetes(&tempo, target.namespace())?;
    let desired = target.declare(&tempo.name, objects, guarded(&tempo, "/var/tempo".as_ref()));
    Ok((target, desired))
}

pub(crate) async fn planned(plane: &ControlPlane, document: &str) -> Result<Plan> {
    let (target, desired) = declare(plane, document).await?;
    Ok(plan_on(&target, &desired).await?)
}

pub(crate) async fn applied(plane: &ControlPlane, document: &str, allowed: &[DangerKind]) -> Result<Applied> {
    let (mut target, desired) = declare(plane, document).await?;
    let plan = plan_on(&target, &desired).await?;
    let refused = plan.refused(allowed);
    ensure!(refused.is_empty(), "{refused:?}");
    if !allowed.is_empty() {
        target.take_from_others();
    }
    let options = ApplyOptions { concurrency: 8, timeout: Duration::from_secs(60) };
    let applied = apply(&target, &plan, &desired, options, &Silent, &CancellationToken::new()).await;
    target.unlock().await;
    Ok(applied?)
}

/// The changes of a plan, one a line: `update StatefulSet/tracing/a spec.replicas`.
pub(crate) fn told(plan: &Plan) -> Vec<String> {
    let due = plan.changes.iter().filter(|change| change.action != Action::NoChange);
    let line = |change: &tempoform_engine::plan::Change| {
        let fields: Vec<String> = change.fields.iter().map(|field| field.path.to_string()).collect();
        let fields = if change.action == Action::Create { String::new() } else { fields.join(" ") };
        format!("{} {} {fields}", change.action.word(), change.object).trim_end().to_owned()
    };
    due.map(line).collect()
}

pub(crate) fn namespaced<K>(client: &Client) -> Api<K>
where
    K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope>,
    K::DynamicType: Default,
{
    Api::namespaced(client.clone(), NAMESPACE)
}

/// As somebody with `kubectl` would.
async fn meddle<K>(api: &Api<K>, name: &str, change: Value) -> Result<()>
where
    K: Clone + serde::de::DeserializeOwned + std::fmt::Debug,
{
    let params = PatchParams { field_manager: Some("kubectl-edit".to_owned()), ..PatchParams::default() };
    api.patch(name, &params, &Patch::Merge(change)).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tempo_comes_changes_by_what_changed_and_goes() -> Result<()> {
    let Some(plane) = ControlPlane::with_nodes(&ZONES).await? else { return Ok(()) };
    let client = plane.client();

    let first = planned(&plane, DOCUMENT).await?;
    let told_first = told(&first);
    assert!(told_first.iter().all(|line| line.starts_with("create ")), "{told_first:?}");
    assert!(
        first.notes.iter().any(|note| note.contains("namespace \"tracing\" does not exist yet")),
        "{:?}",
        first.notes
    );
    let namespaces: Api<k8s_openapi::api::core::v1::Namespace> = Api::all(client.clone());
    assert!(namespaces.get_opt(NAMESPACE).await?.is_none(), "a plan changes nothing");

    let made = applied(&plane, DOCUMENT, &[]).await?;
    assert_eq!((made.created, made.changed, made.destroyed), (told_first.len(), 0, 0));
    eprintln!("{} objects created, and all workloads ready", made.created);
    let again = planned(&plane, DOCUMENT).await?;
    assert_eq!(told(&again), Vec::<String>::new(), "{}", again.to_human(Detail::Full, false));
    assert!(again.dangers.is_empty() && again.notes.is_empty(), "{again:?}");

    // Exactly one StatefulSet, and in it one field.
    let scaled = DOCUMENT.replace("ingester:\n    replicas: 1", "ingester:\n    replicas: 3");
    assert_eq!(
        told(&planned(&plane, &scaled).await?),
        ["update StatefulSet/tracing/tempo-shop-ingester spec.replicas"]
    );
    assert_eq!(applied(&plane, &scaled, &[]).await?.changed, 1);
    let set = namespaced::<StatefulSet>(&client).get("tempo-shop-ingester").await?;
    assert_eq!(set.status.and_then(|status| status.ready_replicas), Some(3));

    // Another image: the pod templates, and nothing else.
    let upgraded = scaled.replace("tempoform:1", "tempoform:2");
    let upgrade = planned(&plane, &upgraded).await?;
    for change in told(&upgrade) {
        let (object, field) = change.rsplit_once(' ').context("a field")?;
        let is_workload = object.contains("StatefulSet/") || object.contains("Deployment/");
        assert!(is_workload && field == "spec.template.spec.containers[name=tempo].image", "{change}");
    }
    assert_eq!(told(&upgrade).len(), 6, "{:?}", told(&upgrade));
    applied(&plane, &upgraded, &[]).await?;
    // And back.
    applied(&plane, &scaled, &[]).await?;
    let pods = namespaced::<Pod>(&client).list(&ListParams::default()).await?.items;
    let image = |pod: &Pod| pod.spec.as_ref().and_then(|spec| spec.containers[0].image.clone());
    let running: Vec<_> = pods.iter().filter(|pod| pod.metadata.deletion_timestamp.is_none()).collect();
    assert!(running.iter().all(|pod| image(pod).is_some_and(|image| image.ends_with(":1"))), "the way back");

    // Elsewhere with the blocks, or two ingesters fewer at once: not without a word.
    let moved = scaled.replace("bucket: traces", "bucket: others");
    let kinds: Vec<_> = planned(&plane, &moved).await?.dangers.iter().map(|danger| danger.kind).collect();
    assert_eq!(kinds, [DangerKind::StorageMove]);
    let kinds: Vec<_> = planned(&plane, DOCUMENT).await?.dangers.iter().map(|danger| danger.kind).collect();
    assert_eq!(kinds, [DangerKind::SeveralIngesters]);

    // What is no longer declared goes.
    let open = scaled.replace("  ingester:\n", "  networkPolicy:\n    enabled: false\n  ingester:\n");
    let pruned = planned(&plane, &open).await?;
    assert!(
        told(&pruned).iter().all(|line| line.starts_with("delete NetworkPolicy/")),
        "{:?}",
        told(&pruned)
    );
    assert_eq!(applied(&plane, &open, &[]).await?.destroyed, told(&pruned).len());

    // All of it goes, and the volumes stay, whatever was declared when the sets were applied; those of others always do.
    let goes = open.replace("  mode: distributed\n", "  mode: distributed\n  deletionPolicy: delete\n");
    applied(&plane, &goes, &[]).await?;
    let claims: Api<PersistentVolumeClaim> = namespaced(&client);
    let helm = json!({"metadata": {"name": "data-tempo-shop-0", "labels": {"app.kubernetes.io/name": "tempo",
            "app.kubernetes.io/instance": "shop", "app.kubernetes.io/managed-by": "Helm"}},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}});
    claims.create(&PostParams::default(), &serde_json::from_value(helm)?).await?;
    let (target, _) = declare(&plane, &open).await?;
    let left = target.destroy(DataPolicy::Keep, &|_| {}).await?;
    assert_eq!(left.iter().filter(|line| line.contains("tempo-shop-ingester-")).count(), 3, "{left:?}");
    let observed = target.observe().await?;
    assert!(observed.objects.is_empty() && observed.guarded.is_none(), "{observed:?}");
    let names = async || -> Result<Vec<String>> {
        Ok(claims.list(&ListParams::default()).await?.items.iter().map(|claim| claim.name_any()).collect())
    };
    assert!(names().await?.contains(&"data-tempo-shop-ingester-2".to_owned()));
    assert!(target.destroy(DataPolicy::Delete, &|_| {}).await?.is_empty());
    crate::objects::until("only the claim of another is left", async || {
        Ok(names().await? == ["data-tempo-shop-0"])
    })
    .await?;
    plane.stop()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_apply_that_ended_early_is_gone_on_with() -> Result<()> {
    // There is no node, so that no workload comes.
    let Some(plane) = ControlPlane::start().await? else { return Ok(()) };
    for is_first in [true, false] {
        let (target, desired) = declare(&plane, DOCUMENT).await?;
        let plan = plan_on(&target, &desired).await?;
        let options = ApplyOptions { concurrency: 8, timeout: Duration::from_secs(2) };
        let applied = apply(&target, &plan, &desired, options, &Silent, &CancellationToken::new()).await;
        target.unlock().await;
        let error = applied.expect_err("no pod comes").to_string();
        assert!(error.contains("does not get on: 0 of "), "{error}");
        let sets: Api<StatefulSet> = namespaced(&plane.client());
        let names: Vec<_> =
            sets.list(&ListParams::default()).await?.items.iter().map(|set| set.name_any()).collect();
        // The first time what comes after ingesters is not begun. The second time they are unchanged: that may be what
        // others are changed for, so that they are waited for last.
        let expected: &[&str] = match is_first {
            true => &["tempo-shop-ingester"],
            false => &["tempo-shop-ingester", "tempo-shop-retriever"],
        };
        assert_eq!(names, expected);
    }
    plane.stop()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_change_is_told_and_repaired() -> Result<()> {
    let Some(mut plane) = ControlPlane::with_nodes(&ZONES).await? else { return Ok(()) };
    let client = plane.client();
    applied(&plane, DOCUMENT, &[]).await?;

    // Deleted, or changed where nobody else says that it is theirs.
    let maps: Api<ConfigMap> = namespaced(&client);
    maps.delete("tempo-shop-overrides", &DeleteParams::default()).await?;
    let services: Api<Service> = namespaced(&client);
    meddle(
        &services,
        "tempo-shop-distributor",
        json!({"metadata": {"labels": {"app.kubernetes.io/instance": "other"}}}),
    )
    .await?;
    let drifted = planned(&plane, DOCUMENT).await?;
    assert!(
        told(&drifted).contains(&"create ConfigMap/tracing/tempo-shop-overrides".to_owned()),
        "{:?}",
        told(&drifted)
    );
    let label =
        "update Service/tracing/tempo-shop-distributor metadata.labels[\"app.kubernetes.io/instance\"]";
    assert!(told(&drifted).iter().any(|line| line == label), "{:?}", told(&drifted));
    // The label was set by another manager by name.
    assert_eq!(drifted.dangers.len(), 1);
    assert!(drifted.dangers[0].message.contains("kubectl-edit"), "{:?}", drifted.dangers);
    applied(&plane, DOCUMENT, &[DangerKind::Conflict]).await?;
    assert_eq!(told(&planned(&plane, DOCUMENT).await?), Vec::<String>::new());

    // A field of another manager is not taken without a word.
    let deployments: Api<Deployment> = namespaced(&client);
    meddle(&deployments, "tempo-shop-querier", json!({"spec": {"replicas": 5}})).await?;
    let conflicting = planned(&plane, DOCUMENT).await?;
    let danger = conflicting.dangers.first().context("a danger")?;
    assert_eq!(danger.kind, DangerKind::Conflict);
    assert!(danger.message.contains(".spec.replicas by \"kubectl-edit\""), "{}", danger.message);
    assert!(applied(&plane, DOCUMENT, &[]).await.is_err());
    // What the plan did not tell of is not taken either, with whatever word.
    let (mut target, desired) = declare(&plane, &DOCUMENT.replace("tempoform:1", "tempoform:3")).await?;
    let early = plan_on(&target, &desired).await?;
    meddle(&deployments, "tempo-shop-compactor", json!({"spec": {"replicas": 0}})).await?;
    target.take_from_others();
    let change = early
        .changes
        .iter()
        .find(|change| change.object.name == "tempo-shop-compactor" && change.object.kind == "Deployment");
    let change = change.context("another image")?;
    let object = desired.objects.iter().find(|object| object.id == change.object);
    let refused = target.apply_change(change, object).await.expect_err("a field of another");
    assert!(refused.to_string().contains(".spec.replicas (\"kubectl-edit\""), "{refused}");
    assert!(refused.advice().is_some_and(|advice| advice.contains("--allow conflict")));
    meddle(&deployments, "tempo-shop-compactor", json!({"spec": {"replicas": 1}})).await?;
    assert_eq!(deployments.get("tempo-shop-querier").await?.spec.and_then(|spec| spec.replicas), Some(5));
    applied(&plane, DOCUMENT, &[DangerKind::Conflict]).await?;

    // To an autoscaler the number of replicas is left.
    let scaler = json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "front"},
        "spec": {"minReplicas": 1, "maxReplicas": 9, "scaleTargetRef":
            {"apiVersion": "apps/v1", "kind": "Deployment", "name": "tempo-shop-distributor"}}});
    let scalers = namespaced::<k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler>(&client);
    scalers.create(&PostParams::default(), &serde_json::from_value(scaler)?).await?;
    let scale = Patch::Merge(json!({"spec": {"replicas": 4}}));
    deployments.patch_scale("tempo-shop-distributor", &PatchParams::default(), &scale).await?;
    let yielded = planned(&plane, DOCUMENT).await?;
    assert_eq!(told(&yielded), Vec::<String>::new(), "{:?}", yielded.dangers);
    assert!(
        yielded.notes.iter().any(|note| note.contains("left to HorizontalPodAutoscaler \"front\"")),
        "{:?}",
        yielded.notes
    );
    let upgraded = DOCUMENT.replace("tempoform:1", "tempoform:2");
    applied(&plane, &upgraded, &[]).await?;
    assert_eq!(deployments.get("tempo-shop-distributor").await?.spec.and_then(|spec| spec.replicas), Some(4));

    // The API server may be away for a moment.
    let (target, desired) = declare(&plane, &upgraded).await?;
    plane.stop_api_server();
    let (plan, restarted) = tokio::join!(plan_on(&target, &desired), plane.restart_api_server());
    restarted?;
    let plan = plan?;
    assert!(plan.is_empty(), "{:?}", told(&plan));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_there_already_is_adopted_only_on_demand() -> Result<()> {
    let Some(plane) = ControlPlane::start().await? else { return Ok(()) };
    let client = plane.client();
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}});
    Api::<k8s_openapi::api::core::v1::Namespace>::all(client.clone())
        .create(&PostParams::default(), &serde_json::from_value(namespace)?)
        .await?;
    let own = json!({"metadata": {"name": "tempo-shop-overrides"}, "data": {"overrides.yaml": "mine"}});
    let maps: Api<ConfigMap> = namespaced(&client);
    let params = PostParams { field_manager: Some("somebody".to_owned()), ..PostParams::default() };
    maps.create(&params, &serde_json::from_value(own)?).await?;

    let plan = planned(&plane, DOCUMENT).await?;
    let danger = plan.dangers.first().context("a danger")?;
    assert_eq!(danger.kind, DangerKind::Adopt);
    assert!(danger.message.contains("ConfigMap/tracing/tempo-shop-overrides"), "{}", danger.message);
    assert!(danger.message.contains("made by somebody"), "{}", danger.message);
    assert!(applied(&plane, DOCUMENT, &[]).await.is_err());
    let kept = maps.get("tempo-shop-overrides").await?;
    assert_eq!(kept.data.and_then(|data| data.get("overrides.yaml").cloned()).as_deref(), Some("mine"));

    // Adopted, it goes with the rest; what has lost the label does not.
    let declared = declare(&plane, DOCUMENT).await?;
    let (mut target, desired) = declared;
    let plan = plan_on(&target, &desired).await?;
    target.take_from_others();
    target.begin().await?;
    for change in plan.changes.iter().filter(|change| change.object.kind == "ConfigMap") {
        let object = desired.objects.iter().find(|object| object.id == change.object);
        target.apply_change(change, object).await?;
    }
    target.unlock().await;
    let adopted = maps.get("tempo-shop-overrides").await?;
    assert_ne!(adopted.data.and_then(|data| data.get("overrides.yaml").cloned()).as_deref(), Some("mine"));
    let unlabelled = json!({"metadata": {"labels": {"applyset.kubernetes.io/part-of": null}}});
    meddle(&maps, "tempo-shop-ingester-config", unlabelled).await?;
    target.destroy(DataPolicy::Keep, &|_| {}).await?;
    let left: Vec<String> =
        maps.list(&ListParams::default()).await?.items.iter().map(|map| map.name_any()).collect();
    assert!(left.contains(&"tempo-shop-ingester-config".to_owned()), "{left:?}");
    assert!(!left.contains(&"tempo-shop-overrides".to_owned()), "{left:?}");

    // One apply at a time.
    let ((one, _), (other, _)) = (declare(&plane, DOCUMENT).await?, declare(&plane, DOCUMENT).await?);
    one.lock().await?;
    let refused = other.lock().await.expect_err("it is held");
    assert!(refused.to_string().starts_with("shop is being applied by tempoform "), "{refused}");
    one.unlock().await;
    other.lock().await?;
    other.unlock().await;
    plane.stop()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_that_grows_keeps_its_pods() -> Result<()> {
    let Some(plane) = ControlPlane::with_nodes(&ZONES).await? else { return Ok(()) };
    let client = plane.client();
    let class = json!({"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": "growing"},
        "provisioner": "example.com/none", "allowVolumeExpansion": false});
    let classes = Api::<k8s_openapi::api::storage::v1::StorageClass>::all(client.clone());
    classes.create(&PostParams::default(), &serde_json::from_value(class)?).await?;
    let sized = |size: &str| {
        let volume = format!(
            "ingester:\n    persistence:\n      storageClass: growing\n      size: {size}\n    replicas: 1"
        );
        DOCUMENT.replace("ingester:\n    replicas: 1", &volume)
    };
    applied(&plane, &sized("10Gi"), &[]).await?;
    let pods: Api<Pod> = namespaced(&client);
    let before = pods.get("tempo-shop-ingester-0").await?.uid();
    // Somebody lets an autoscaler decide about ingesters.
    let scaler = json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "ingesters"},
        "spec": {"minReplicas": 2, "maxReplicas": 2, "scaleTargetRef":
            {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "tempo-shop-ingester"}}});
    let scalers = namespaced::<k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler>(&client);
    scalers.create(&PostParams::default(), &serde_json::from_value(scaler)?).await?;
    let sets: Api<StatefulSet> = namespaced(&client);
    let ready = async |count| {
        let status = sets.get("tempo-shop-ingester").await?.status;
        Ok(status.and_then(|status| status.ready_replicas) == Some(count))
    };
    crate::objects::until("two ingesters are ready", async || ready(2).await).await?;

    let larger = planned(&plane, &sized("20Gi")).await?;
    let changes = told(&larger);
    let expected = "replace StatefulSet/tracing/tempo-shop-ingester spec.volumeClaimTemplates";
    assert!(changes.len() == 1 && changes[0].starts_with(expected), "{changes:?}");
    // Where the storage class does not allow it the server says so, and nothing is changed.
    let refused = applied(&plane, &sized("20Gi"), &[]).await.expect_err("a class of fixed sizes");
    assert!(
        format!("{refused:#}").contains("PersistentVolumeClaim/tracing/data-tempo-shop-ingester-0"),
        "{refused:#}"
    );
    assert_eq!(pods.get("tempo-shop-ingester-0").await?.uid(), before);
    let allowed = Patch::Merge(json!({"allowVolumeExpansion": true}));
    classes.patch("growing", &PatchParams::default(), &allowed).await?;
    applied(&plane, &sized("20Gi"), &[]).await?;
    assert_eq!(pods.get("tempo-shop-ingester-0").await?.uid(), before, "the pod went on running");
    assert_eq!(sets.get("tempo-shop-ingester").await?.spec.and_then(|spec| spec.replicas), Some(2));
    let claims: Api<PersistentVolumeClaim> = namespaced(&client);
    let claim = serde_json::to_value(claims.get("data-tempo-shop-ingester-0").await?.spec)?;
    assert_eq!(claim["resources"]["requests"]["storage"], "20Gi");
    assert_eq!(told(&planned(&plane, &sized("20Gi")).await?), Vec::<String>::new());
    plane.stop()
}
