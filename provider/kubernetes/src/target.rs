use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use futures::stream::{self, StreamExt as _};
use futures::{TryStreamExt as _, future::try_join_all};
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::api::{Api, PostParams};
use kube::{Client, Error, ResourceExt as _};
use serde_json::Value;
use tempoform_api::Component;
use tempoform_engine::object::{
    Condition, Desired, Guarded, Instance, Object, ObjectId, Observed, ObservedObject,
};
use tempoform_engine::plan::{Action, Change, Danger, DangerKind};
use tempoform_engine::render::kubernetes_object;
use tempoform_engine::target::{
    DataPolicy, Listener, LogLine, LogQuery, Prospect, Readiness, Target, TargetError,
};
use tokio::sync::mpsc;

use crate::change::{self, Dependents};
use crate::connection::{Access, Connection};
use crate::dry_run::{Foreseen, Unknown, foresee};
use crate::failure::explain;
use crate::forward::Forward;
use crate::inventory::{Inventory, Place};
use crate::kinds::GroupKind;
use crate::replicas::{autoscaled, without_replicas};
use crate::requests::{Objects, declared, persist};
use crate::{FIELD_MANAGER, logs, pods, readiness, removal};

/// Requests at a time, to look and to try.
const CONCURRENCY: usize = 16;

/// What a cluster target is made of.
#[derive(Clone, Debug)]
pub struct ClusterOptions {
    /// How the cluster is reached.
    pub access: Access,
    /// Where objects are that name no namespace; default: the namespace of the context.
    pub namespace: Option<String>,
    /// The Tempo's name.
    pub tempo: String,
}

/// Components as workloads of a Kubernetes cluster.
pub struct ClusterTarget {
    client: Client,
    context: String,
    place: Place,
    declared: Vec<Object>,
    guarded: Option<Guarded>,
    /// Whether fields of others are taken.
    force: bool,
    seen: Mutex<Seen>,
    forwards: Mutex<Vec<Forward>>,
}

/// What was found out while looking, and is needed while changing.
#[derive(Default)]
struct Seen {
    /// Whether the namespace is there.
    namespace: bool,
    inventory: Inventory,
    /// Objects that are there and do not belong to this Tempo, and who made them.
    foreign: BTreeMap<ObjectId, String>,
    /// Workloads whose replicas an autoscaler decides about: its name.
    autoscaled: BTreeMap<ObjectId, String>,
    /// Workloads that are applied without replicas.
    yields: BTreeSet<ObjectId>,
    /// Workloads that are applied with the replicas they have.
    keeps: BTreeMap<ObjectId, Value>,
    /// Kinds that are declared and the cluster does not know.
    missing_kinds: BTreeSet<String>,
}

impl ClusterTarget {
    /// Finds the cluster; makes no request yet.
    ///
    /// # Errors
    /// When the kubeconfig cannot be used.
    pub async fn open(options: ClusterOptions) -> Result<Self, TargetError> {
        let ClusterOptions { access, namespace, tempo } = options;
        let Connection { client, context, namespace: of_context } = access.connect().await?;
        Ok(Self {
            client,
            context,
            place: Place { namespace: namespace.unwrap_or(of_context), tempo },
            declared: Vec::new(),
            guarded: None,
            force: false,
            seen: Mutex::default(),
            forwards: Mutex::default(),
        })
    }

    /// Where objects are that name no namespace.
    pub fn namespace(&self) -> &str {
        &self.place.namespace
    }

    /// The context of the kubeconfig.
    pub fn context(&self) -> &str {
        &self.context
    }

    /// Says what is wanted. `objects` are those of [`tempoform_engine::render::kubernetes`].
    pub fn declare(&mut self, tempo: &str, objects: Vec<Object>, guarded: Guarded) -> Desired {
        let member = |object: Object| Object { value: self.place.member(object.value), ..object };
        self.declared = objects.into_iter().map(member).collect();
        self.guarded = Some(guarded.clone());
        Desired { name: tempo.to_owned(), guarded, objects: self.declared.clone() }
    }

    /// Takes fields that others own, as [`DangerKind::Conflict`] and [`DangerKind::Adopt`] ask for.
    pub fn take_from_others(&mut self) {
        self.force = true;
    }

    fn objects(&self) -> Objects<'_> {
        Objects { client: &self.client }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        // Every change of it is one assignment.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the namespace is there. Who may not look at namespaces is taken to have one.
    async fn has_namespace(&self) -> Result<bool, TargetError> {
        let api: Api<Namespace> = Api::all(self.client.clone());
        match persist(|| api.get_opt(&self.place.namespace)).await {
            Ok(found) => Ok(found.is_some()),
            Err(Error::Api(status)) if status.code == 403 => Ok(true),
            Err(error) => {
                Err(explain(&format!("cannot look at namespace {:?}", self.place.namespace), error))
            }
        }
    }

    /// The members of the inventory.
    async fn members(&self, inventory: &Inventory) -> Result<Vec<Value>, TargetError> {
        let selector = self.place.selector();
        let listed = inventory.kinds.iter().map(|kind| {
            let selector = selector.as_str();
            async move {
                match self.objects().list(kind, &self.place.namespace, selector).await {
                    Ok(found) => Ok(found),
                    // Its CustomResourceDefinition is gone, and all of them with it.
                    Err(Error::Api(status)) if status.code == 404 => Ok(Vec::new()),
                    Err(error) => Err(explain(&format!("cannot list {kind}"), error)),
                }
            }
        });
        Ok(try_join_all(listed).await?.into_iter().flatten().collect())
    }

    /// Declared objects that are there and are no members.
    async fn strangers(&self, members: &BTreeSet<ObjectId>) -> Result<Vec<Value>, TargetError> {
        let mut looks = Vec::new();
        for object in self.declared.iter().filter(|object| !members.contains(&object.id)) {
            looks.push(async move {
                match self.objects().get(&object.value).await {
                    Ok(found) => Ok(found),
                    Err(Error::Api(status)) if status.code == 404 => Ok(None),
                    Err(error) => Err(explain(&format!("cannot look at {}", object.id), error)),
                }
            });
        }
        let found: Vec<Option<Value>> =
            stream::iter(looks).buffer_unordered(CONCURRENCY).try_collect().await?;
        Ok(found.into_iter().flatten().collect())
    }

    /// The namespace, and the inventory of what will be there.
    async fn make_room(&self) -> Result<(), TargetError> {
        let (has_namespace, mut inventory, missing_kinds) = {
            let seen = self.seen();
            (seen.namespace, seen.inventory.clone(), seen.missing_kinds.clone())
        };
        if !missing_kinds.is_empty() {
            let kinds: Vec<String> = missing_kinds.into_iter().collect();
            return Err(TargetError::new(format!("the cluster does not know {}", kinds.join(", "))).help(
                "install their CustomResourceDefinitions, or switch off what asks for them in spec.observability and spec.gatewayApi",
            ));
        }
        if !has_namespace {
            let api: Api<Namespace> = Api::all(self.client.clone());
            let namespace = Namespace {
                metadata: kube::core::ObjectMeta {
                    name: Some(self.place.namespace.clone()),
                    ..Default::default()
                },
                ..Namespace::default()
            };
            let params =
                PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
            match persist(|| api.create(&params, &namespace)).await {
                Ok(_) => {}
                Err(Error::Api(status)) if status.code == 409 => {}
                Err(error) => {
                    return Err(explain(
                        &format!("cannot create namespace {:?}", self.place.namespace),
                        error,
                    ));
                }
            }
        }
        inventory.kinds.extend(self.declared.iter().filter_map(|object| GroupKind::of(&object.value)));
        inventory.guarded.clone_from(&self.guarded);
        self.place.write(&self.objects(), &inventory).await
    }

    /// An object as it is sent.
    fn sent(&self, object: &Object) -> (Value, bool) {
        let mut value = object.value.clone();
        let seen = self.seen();
        if seen.yields.contains(&object.id) {
            without_replicas(&mut value);
        }
        if let Some(number) = seen.keeps.get(&object.id) {
            value["spec"]["replicas"] = number.clone();
        }
        (value, self.force)
    }

    async fn pods(&self) -> Result<Vec<Pod>, TargetError> {
        let labels =
            format!("app.kubernetes.io/instance={},app.kubernetes.io/managed-by=tempoform", self.place.tempo);
        let listed = pods::list(&self.client, &self.place.namespace, &labels).await;
        listed.map_err(|error| explain("cannot list the pods", error))
    }

    async fn instance(&self, pod: &Pod) -> Result<Instance, TargetError> {
        let name = pod.name_any();
        let spec = pod.spec.as_ref();
        let container = spec.and_then(|spec| spec.containers.iter().find(|c| c.name == logs::CONTAINER));
        let is_running = pod.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Running");
        let mut endpoints = BTreeMap::new();
        for port in container.into_iter().flat_map(|c| c.ports.iter().flatten()).filter(|_| is_running) {
            let Some(key) = port.name.as_deref().and_then(endpoint) else { continue };
            let Ok(number) = u16::try_from(port.container_port) else { continue };
            let forward = Forward::new(self.client.clone(), &self.place.namespace, &name, number).await;
            let forward = forward.map_err(|error| {
                TargetError::new("cannot listen on a port of this machine").caused_by(error)
            })?;
            endpoints.insert(key.to_owned(), forward.address.to_string());
            self.forwards.lock().unwrap_or_else(PoisonError::into_inner).push(forward);
        }
        let statuses = pod.status.as_ref().and_then(|status| status.container_statuses.as_ref());
        let restarts: i32 = statuses.into_iter().flatten().map(|container| container.restart_count).sum();
        let note = pods::trouble(pod).map(|trouble| match trouble {
            pods::Trouble::Waiting(reason) | pods::Trouble::Failed { reason, .. } => reason,
        });
        Ok(Instance {
            name: component(pod),
            instance: name,
            pid: None,
            endpoints,
            tls: BTreeMap::new(),
            restarts: u32::try_from(restarts).unwrap_or(0),
            note,
        })
    }
}

/// The component of a pod as the document names it.
fn component(pod: &Pod) -> String {
    let label = pod.labels().get("app.kubernetes.io/component").map_or("", String::as_str);
    let component = Component::ALL.into_iter().find(|component| component.kubernetes_name() == label);
    component.map_or_else(|| label.to_owned(), |component| component.name().to_owned())
}

/// The endpoint that a named port is.
fn endpoint(port: &str) -> Option<&'static str> {
    match port {
        "http" => Some("http"),
        "grpc" => Some("grpc"),
        "otlp-grpc" => Some("otlpGrpc"),
        "otlp-http" => Some("otlpHttp"),
        _ => None,
    }
}

/// Who has set fields of an object.
fn managers(value: &Value) -> String {
    let fields = value["metadata"]["managedFields"].as_array();
    let names: BTreeSet<&str> =
        fields.into_iter().flatten().filter_map(|entry| entry["manager"].as_str()).collect();
    names.into_iter().collect::<Vec<_>>().join(", ")
}

#[async_trait]
impl Target for ClusterTarget {
    fn name(&self) -> &str {
        &self.context
    }

    async fn observe(&self) -> Result<Observed, TargetError> {
        let (namespace, inventory, autoscaled) = tokio::join!(
            self.has_namespace(),
            self.place_inventory(),
            autoscaled(&self.client, &self.place, &self.declared)
        );
        let (namespace, inventory) = (namespace?, inventory?);
        let mut notes = Vec::new();
        if !namespace && !self.declared.is_empty() {
            notes.push(format!("namespace {:?} does not exist yet: apply creates it", self.place.namespace));
        }
        let known = inventory.clone().unwrap_or_default();
        if !known.unknown.is_empty() {
            notes.push(format!(
                "objects of kinds that this version does not know stay: {}",
                known.unknown.join(", ")
            ));
        }
        let members = self.members(&known).await?;
        let ids: BTreeSet<ObjectId> =
            members.iter().map(|value| kubernetes_object(value.clone()).id).collect();
        let strangers = self.strangers(&ids).await?;
        let foreign = strangers
            .iter()
            // One of ours may not be in the inventory's kinds after a crash.
            .filter(|value| !self.place.has(value))
            .map(|value| (kubernetes_object(value.clone()).id, managers(value)))
            .collect();
        let found = members.into_iter().chain(strangers).map(|value| ObservedObject {
            object: kubernetes_object(declared(value)),
            condition: Condition::Live,
        });
        let objects = found.collect();
        let guarded = known.guarded.clone();
        *self.seen() = Seen { namespace, inventory: known, foreign, autoscaled, ..Seen::default() };
        Ok(Observed { guarded, objects, notes })
    }

    async fn prospect(&self, desired: &Desired, observed: &Observed) -> Result<Prospect, TargetError> {
        let there: BTreeSet<&ObjectId> = observed.objects.iter().map(|found| &found.object.id).collect();
        let (foreign, autoscaled) = {
            let seen = self.seen();
            (seen.foreign.clone(), seen.autoscaled.clone())
        };
        let mut tries = Vec::with_capacity(desired.objects.len());
        for object in &desired.objects {
            let (is_there, is_autoscaled) = (there.contains(&object.id), autoscaled.contains_key(&object.id));
            tries.push(async move { foresee(&self.objects(), object, is_there, is_autoscaled).await });
        }
        let tried: Vec<Result<Foreseen, TargetError>> =
            stream::iter(tries).buffered(CONCURRENCY).collect().await;
        let tried = all_or_errors(tried)?;

        let mut prospect = Prospect {
            desired: Desired { objects: Vec::with_capacity(tried.len()), ..desired.clone() },
            ..Prospect::default()
        };
        let mut missing_kinds = BTreeSet::new();
        let (mut yields, mut keeps) = (BTreeSet::new(), BTreeMap::new());
        for Foreseen { object, conflicts, replaced, yields_replicas, keeps_replicas, unknown } in tried {
            let id = object.id.clone();
            keeps.extend(keeps_replicas.map(|number| (id.clone(), number)));
            if let Some(managers) = foreign.get(&id) {
                let message = format!(
                    "{id} is there already and is not part of {} (made by {managers}): it would be changed, and be \
                     removed with {}",
                    desired.name, desired.name
                );
                prospect.dangers.push(Danger { kind: DangerKind::Adopt, message });
            } else if !conflicts.is_empty() {
                let list: Vec<_> =
                    conflicts.iter().map(|c| format!("{} by {}", c.field, c.manager)).collect();
                let message = format!("{id}: fields were last set by others: {}", list.join(", "));
                prospect.dangers.push(Danger { kind: DangerKind::Conflict, message });
            }
            if let Some(reason) = replaced {
                prospect.replaced.insert(
                    id.clone(),
                    format!("cannot be changed in place, its pods go on running: {reason}"),
                );
            }
            if yields_replicas {
                let scaler = autoscaled.get(&id).map_or("an autoscaler", String::as_str);
                prospect
                    .notes
                    .push(format!("the replicas of {id} are left to HorizontalPodAutoscaler {scaler:?}"));
                yields.insert(id);
            }
            if let Some(Unknown::Kind(kind)) = unknown {
                missing_kinds.insert(kind);
            }
            prospect.desired.objects.push(object);
        }
        if !missing_kinds.is_empty() {
            let kinds: Vec<&str> = missing_kinds.iter().map(String::as_str).collect();
            prospect.notes.push(format!(
                "the cluster does not know {}: an apply is refused until their CustomResourceDefinitions are installed, or \
                 nothing asks for them",
                kinds.join(", ")
            ));
        }
        let mut seen = self.seen();
        (seen.yields, seen.keeps, seen.missing_kinds) = (yields, keeps, missing_kinds);
        drop(seen);
        Ok(prospect)
    }

    async fn begin(&self) -> Result<(), TargetError> {
        self.make_room().await
    }

    async fn apply_change(&self, change: &Change, desired: Option<&Object>) -> Result<(), TargetError> {
        let objects = self.objects();
        match (change.action, desired) {
            (_, None) => {
                let kinds = self.seen().inventory.kinds.clone();
                let value = removed(&change.object, &kinds)?;
                change::remove(&objects, &change.object, &value, Dependents::Go).await
            }
            (Action::Replace, Some(object)) => {
                let (value, force) = self.sent(object);
                change::replace(&objects, &object.id, &value, force).await
            }
            (_, Some(object)) => {
                let (value, force) = self.sent(object);
                change::put(&objects, &object.id, &value, force).await
            }
        }
    }

    async fn readiness(&self, id: &ObjectId) -> Result<Readiness, TargetError> {
        let Some(object) = self.declared.iter().find(|object| object.id == *id) else {
            return Ok(Readiness::Failed(format!("{id} is not declared")));
        };
        let live = self.objects().get(&object.value).await;
        match live.map_err(|error| explain(&format!("cannot look at {id}"), error))? {
            Some(live) => readiness::look(&self.client, id, live).await,
            None => Ok(Readiness::Failed(format!("{id} was deleted by someone else"))),
        }
    }

    /// Nothing to write down: the cluster itself is the record.
    async fn settle(&self, _object: &ObjectId) -> Result<(), TargetError> {
        Ok(())
    }

    async fn destroy(&self, data: DataPolicy, progress: &Listener<'_>) -> Result<Vec<String>, TargetError> {
        let found = self.observe().await?.objects;
        removal::destroy(&self.objects(), &self.place, found, data, progress).await
    }

    async fn logs(&self, query: LogQuery) -> Result<mpsc::Receiver<LogLine>, TargetError> {
        let mut pods = self.pods().await?;
        let selector = query.selector.as_deref();
        let all = pods.clone();
        pods.retain(|pod| logs::is_selected(pod, &component(pod), selector));
        match selector {
            Some(selector) if pods.is_empty() => Err(logs::none_selected(selector, &all)),
            _ => Ok(logs::lines(&self.client, &self.place.namespace, &pods, &query)),
        }
    }

    async fn endpoints(&self) -> Result<Vec<Instance>, TargetError> {
        self.forwards.lock().unwrap_or_else(PoisonError::into_inner).clear();
        let pods = self.pods().await?;
        let going = |pod: &&Pod| pod.metadata.deletion_timestamp.is_none();
        try_join_all(pods.iter().filter(going).map(|pod| self.instance(pod))).await
    }
}

impl ClusterTarget {
    async fn place_inventory(&self) -> Result<Option<Inventory>, TargetError> {
        self.place.read(&self.objects()).await
    }
}

/// All of them, or all that is wrong in one error.
fn all_or_errors(tried: Vec<Result<Foreseen, TargetError>>) -> Result<Vec<Foreseen>, TargetError> {
    let (good, mut bad): (Vec<_>, Vec<_>) = tried.into_iter().partition(Result::is_ok);
    match bad.len() {
        0 => Ok(good.into_iter().flatten().collect()),
        1 => Err(bad.remove(0).err().unwrap_or_else(|| TargetError::new("refused"))),
        count => {
            let list: Vec<String> =
                bad.into_iter().filter_map(Result::err).map(|error| format!("\n  {error}")).collect();
            Err(TargetError::new(format!("the API server would refuse {count} objects:{}", list.concat())))
        }
    }
}

/// Enough of an object to delete it by.
fn removed(id: &ObjectId, kinds: &BTreeSet<GroupKind>) -> Result<Value, TargetError> {
    let kind = kinds.iter().find(|kind| kind.resource().kind == id.kind);
    let kind =
        kind.ok_or_else(|| TargetError::new(format!("{id} is of a kind that the inventory does not have")))?;
    Ok(serde_json::json!({
        "apiVersion": kind.resource().api_version,
        "kind": id.kind,
        "metadata": {"name": id.name, "namespace": id.namespace},
    }))
}
