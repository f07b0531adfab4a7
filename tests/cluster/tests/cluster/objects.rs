//! Objects of any kind, as the API server takes them.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{ApiResource, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::GroupVersionKind;
use kube::{Api, Client, discovery};
use serde_json::{Value, json};

/// The namespace of objects that name none.
pub(crate) const NAMESPACE: &str = "default";
/// How long something may take that needs no more than the controllers.
const PATIENCE: Duration = Duration::from_secs(60);

/// Whether something is stored, or only checked as if it were.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Run {
    /// It is stored.
    Real,
    /// It goes all the way but into the store.
    Dry,
}

/// Applies an object as `kubectl apply --server-side --validate=strict` does, and gives what became of it.
///
/// # Errors
/// When it is refused.
pub(crate) async fn apply(client: &Client, object: &Value, run: Run) -> Result<Value, kube::Error> {
    let (kind, namespaced) = kind(client, object).await?;
    let api: Api<DynamicObject> = if namespaced {
        Api::namespaced_with(client.clone(), namespace(object), &kind)
    } else {
        Api::all_with(client.clone(), &kind)
    };
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    let mut how = PatchParams::apply("tempoform-test").validation_strict();
    how.dry_run = run == Run::Dry;
    let applied = api.patch(name, &how, &Patch::Apply(object)).await?;
    serde_json::to_value(&applied).map_err(kube::Error::SerdeError)
}

/// The namespace that an object belongs to.
pub(crate) fn namespace(object: &Value) -> &str {
    object["metadata"]["namespace"].as_str().unwrap_or(NAMESPACE)
}

async fn kind(client: &Client, object: &Value) -> Result<(ApiResource, bool), kube::Error> {
    let version = object["apiVersion"].as_str().unwrap_or_default();
    let (group, version) = version.split_once('/').unwrap_or(("", version));
    let kind = GroupVersionKind::gvk(group, version, object["kind"].as_str().unwrap_or_default());
    let (resource, capabilities) = discovery::pinned_kind(client, &kind).await?;
    Ok((resource, capabilities.scope == discovery::Scope::Namespaced))
}

/// Makes the namespaces that `objects` need.
pub(crate) async fn make_namespaces(
    client: &Client,
    objects: impl IntoIterator<Item = &Value>,
) -> Result<()> {
    let needed: BTreeSet<_> = objects.into_iter().map(namespace).filter(|name| *name != NAMESPACE).collect();
    for name in needed {
        let mut namespace = Namespace::default();
        namespace.metadata.name = Some(name.to_owned());
        Api::all(client.clone()).create(&PostParams::default(), &namespace).await?;
    }
    Ok(())
}

/// Installs a definition and waits until the server serves its kind.
pub(crate) async fn install(client: &Client, definition: &CustomResourceDefinition) -> Result<()> {
    apply(client, &serde_json::to_value(definition)?, Run::Real).await?;
    let name = definition.metadata.name.as_deref().context("a definition has a name")?;
    let definitions = Api::<CustomResourceDefinition>::all(client.clone());
    until(&format!("{name} is served"), async || {
        let conditions = definitions.get(name).await?.status.unwrap_or_default().conditions;
        let conditions = conditions.unwrap_or_default();
        let holds = |kind| conditions.iter().any(|has| has.type_ == kind && has.status == "True");
        let refusal = conditions.iter().find(|has| has.type_ == "NonStructuralSchema");
        ensure!(refusal.is_none(), "{refusal:?}");
        Ok(holds("NamesAccepted") && holds("Established"))
    })
    .await
}

/// Waits until `condition` holds.
///
/// # Errors
/// When it cannot be asked for, or does not hold within a minute.
pub(crate) async fn until(what: &str, condition: impl AsyncFn() -> Result<bool>) -> Result<()> {
    let started = Instant::now();
    while !condition().await.with_context(|| what.to_owned())? {
        ensure!(started.elapsed() < PATIENCE, "still waiting after {PATIENCE:?} until {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

/// A definition that takes anything, for a kind that only others define.
pub(crate) fn open_definition(object: &Value, plural: &str) -> Result<CustomResourceDefinition> {
    let (group, version) =
        object["apiVersion"].as_str().and_then(|version| version.split_once('/')).context("a group")?;
    let kind = &object["kind"];
    let schema = json!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true });
    Ok(serde_json::from_value(json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": format!("{plural}.{group}"),
            // Groups of the Kubernetes project, as the Gateway API's is, take no definition without a word on its review.
            "annotations": { "api-approved.kubernetes.io": "unapproved, for tests" },
        },
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": { "kind": kind, "plural": plural },
            "versions": [{
                "name": version,
                "served": true,
                "storage": true,
                "schema": { "openAPIV3Schema": schema },
            }],
        },
    }))?)
}
