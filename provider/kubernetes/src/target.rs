//! The target that commands and the operator see.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures::future::try_join_all;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, PostParams};
use kube::{Client, Error};
use serde_json::Value;
use tempoform_engine::object::{Desired, Guarded, Instance, Object, ObjectId, Observed};
use tempoform_engine::plan::{Action, Change};
use tempoform_engine::target::{
    DataPolicy, Listener, LogLine, LogQuery, Prospect, Readiness, Target, TargetError,
};
use tokio::sync::{RwLock, mpsc};

use crate::change::{self, Dependents};
use crate::connection::{Access, Connection};
use crate::failure::explain;
use crate::forward::Forward;
use crate::inventory::Place;
use crate::kinds::GroupKind;
use crate::lock::Lock;
use crate::look::{Looker, Seen};
use crate::readiness::{self, Look};
use crate::replicas::Yields;
use crate::requests::{Objects, persist};
use crate::{FIELD_MANAGER, instances, logs, removal};

/// Between two looks at an object that does not serve yet.
const POLL: Duration = Duration::from_secs(1);

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
    lock: tokio::sync::Mutex<Option<Lock>>,
    /// Read by work that must not stop half-way.
    critical: Arc<RwLock<()>>,
}

impl ClusterTarget {
    /// Finds the cluster and asks it for its version.
    ///
    /// # Errors
    /// When the kubeconfig cannot be used, or nothing answers.
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
            lock: tokio::sync::Mutex::default(),
            critical: Arc::default(),
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

    /// Keeps others from applying this Tempo, until [`unlock`](Self::unlock). Before there is a namespace it does so only from
    /// when an apply has made it.
    ///
    /// # Errors
    /// When somebody else is at it, by name.
    pub async fn lock(&self) -> Result<(), TargetError> {
        let mut lock = self.lock.lock().await;
        if lock.is_none() {
            *lock = Lock::take(&self.client, &self.place).await?;
        }
        Ok(())
    }

    /// Lets others apply, once what must not stop half-way has ended.
    pub async fn unlock(&self) {
        drop(self.critical.write().await);
        if let Some(lock) = self.lock.lock().await.take() {
            lock.release().await;
        }
    }

    async fn still_locked(&self) -> Result<(), TargetError> {
        match self.lock.lock().await.as_ref().and_then(Lock::lost_to) {
            None => Ok(()),
            Some(other) => {
                Err(TargetError::new(format!("{} is being applied by {other} meanwhile", self.place.tempo))
                    .help("this one kept silent for too long; apply again when that is done"))
            }
        }
    }

    /// Volume claims of its pods that there are, also after everything else has gone.
    ///
    /// # Errors
    /// When they cannot be listed.
    pub async fn claims(&self) -> Result<Vec<String>, TargetError> {
        removal::claims_of(&self.objects(), &self.place).await
    }

    /// Takes fields that others own of objects where the plan told of it: the dangers
    /// [`Conflict`](tempoform_engine::plan::DangerKind::Conflict) and [`Adopt`](tempoform_engine::plan::DangerKind::Adopt).
    pub fn take_from_others(&mut self) {
        self.force = true;
    }

    fn objects(&self) -> Objects<'_> {
        Objects { client: &self.client }
    }

    fn looker(&self) -> Looker<'_> {
        Looker { objects: self.objects(), place: &self.place, declared: &self.declared }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        // Every change of it is one assignment.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
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
                "install their CustomResourceDefinitions, or switch off what asks for them in spec.observability",
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
        self.lock().await?;
        inventory.kinds.extend(self.declared.iter().filter_map(|object| GroupKind::of(&object.value)));
        inventory.guarded.clone_from(&self.guarded);
        self.place.write(&self.objects(), &inventory).await
    }

    /// An object as it is sent.
    fn sent(&self, object: &Object) -> (Value, bool) {
        let mut value = object.value.clone();
        let seen = self.seen();
        if let Some(yields) = seen.yields.get(&object.id) {
            yields.apply_to(&mut value);
        }
        (value, self.force && seen.contested.contains(&object.id))
    }

    /// Puts an object there that cannot be changed in place. Not to be interrupted: between the old and the new one its pods
    /// belong to nobody.
    async fn replace(&self, object: &Object) -> Result<(), TargetError> {
        let (value, force) = self.sent(object);
        let (client, place, id) = (self.client.clone(), self.place.clone(), object.id.clone());
        let critical = Arc::clone(&self.critical).read_owned().await;
        let work = tokio::spawn(async move {
            let _critical = critical;
            change::replace(&Objects { client: &client }, &place, &id, &value, force).await
        });
        work.await.unwrap_or_else(|error| {
            Err(TargetError::new(format!("{} may be gone: apply again", object.id)).caused_by(error))
        })
    }

    async fn look(&self, id: &ObjectId) -> Result<Look, TargetError> {
        let failed = |reason: String| Look { readiness: Readiness::Failed(reason), progress: 0 };
        let Some(object) = self.declared.iter().find(|object| object.id == *id) else {
            return Ok(failed(format!("{id} is not declared")));
        };
        let live = self.objects().get(&object.value).await;
        match live.map_err(|error| explain(&format!("cannot look at {id}"), error))? {
            Some(live) => readiness::look(&self.client, id, live).await,
            None => Ok(failed(format!("{id} was deleted by someone else"))),
        }
    }
}

#[async_trait]
impl Target for ClusterTarget {
    fn name(&self) -> &str {
        &self.context
    }

    async fn observe(&self) -> Result<Observed, TargetError> {
        let (observed, seen) = self.looker().observe().await?;
        *self.seen() = seen;
        Ok(observed)
    }

    async fn prospect(&self, desired: &Desired, observed: &Observed) -> Result<Prospect, TargetError> {
        let mut seen = self.seen().clone();
        let prospect = self.looker().prospect(desired, observed, &mut seen).await?;
        *self.seen() = seen;
        Ok(prospect)
    }

    async fn begin(&self) -> Result<(), TargetError> {
        self.make_room().await
    }

    async fn apply_change(&self, change: &Change, desired: Option<&Object>) -> Result<(), TargetError> {
        self.still_locked().await?;
        let objects = self.objects();
        match (change.action, desired) {
            (_, None) => {
                let kinds = self.seen().inventory.kinds.clone();
                let value = removed(&change.object, &kinds)?;
                change::remove(&objects, &self.place, &change.object, &value, Dependents::Go).await
            }
            (Action::Replace, Some(object)) => self.replace(object).await,
            (_, Some(object)) => {
                let (mut value, force) = self.sent(object);
                let going = self.seen().going.get(&object.id).cloned();
                if let Some(going) = going {
                    change::gone(&objects, &object.id, &going).await?;
                }
                // The autoscaler may have set the number since the plan.
                let keeps = matches!(self.seen().yields.get(&object.id), Some(Yields::As(_)));
                if keeps {
                    value = change::without_stale_replicas(&objects, value).await;
                }
                change::put(&objects, &object.id, &value, force).await
            }
        }
    }

    async fn readiness(&self, id: &ObjectId) -> Result<Readiness, TargetError> {
        Ok(self.look(id).await?.readiness)
    }

    /// The time is for each step of a rollout: as long as more pods become what they should be there is reason to wait.
    async fn wait(
        &self,
        id: &ObjectId,
        deadline: Instant,
        waiting: &Listener<'_>,
    ) -> Result<(), TargetError> {
        let patience = deadline.saturating_duration_since(Instant::now());
        let (mut deadline, mut best, mut told) = (deadline, i32::MIN, String::new());
        loop {
            let Look { readiness, progress } = self.look(id).await?;
            if progress > best {
                (best, deadline) = (progress, Instant::now() + patience);
            }
            match readiness {
                Readiness::Ready => return Ok(()),
                Readiness::Failed(reason) => return Err(TargetError::new(reason)),
                Readiness::Waiting(reason) if Instant::now() >= deadline => {
                    return Err(TargetError::new(format!("{id} does not get on: {reason}"))
                        .help("raise --timeout, or look at `tempoform logs`"));
                }
                Readiness::Waiting(reason) => {
                    if reason != told {
                        waiting(&reason);
                        told = reason;
                    }
                    tokio::time::sleep(POLL).await;
                }
            }
        }
    }

    /// Nothing to write down: the cluster itself is the record.
    async fn settle(&self, _object: &ObjectId) -> Result<(), TargetError> {
        Ok(())
    }

    async fn destroy(&self, data: DataPolicy, progress: &Listener<'_>) -> Result<Vec<String>, TargetError> {
        let mut found = self.observe().await?.objects;
        found.retain(|found| self.place.has(&found.object.value));
        let unknown = self.seen().inventory.unknown.clone();
        if !unknown.is_empty() {
            return Err(TargetError::new(format!(
                "{} has objects of kinds that this version does not know: {}",
                self.place.tempo,
                unknown.join(", ")
            ))
            .help("use the version of tempoform that applied them"));
        }
        removal::destroy(&self.objects(), &self.place, found, data, progress).await
    }

    async fn logs(&self, query: LogQuery) -> Result<mpsc::Receiver<LogLine>, TargetError> {
        let mut pods = instances::pods_of(&self.client, &self.place).await?;
        let selector = query.selector.as_deref();
        let all = pods.clone();
        pods.retain(|pod| logs::is_selected(pod, &instances::component(pod), selector));
        match selector {
            Some(selector) if pods.is_empty() => Err(logs::none_selected(selector, &all)),
            _ => Ok(logs::lines(&self.client, &self.place.namespace, &pods, &query)),
        }
    }

    async fn endpoints(&self) -> Result<Vec<Instance>, TargetError> {
        let pods = instances::pods_of(&self.client, &self.place).await?;
        let mut each = Vec::with_capacity(pods.len());
        for pod in &pods {
            each.push(instances::instance(&self.client, &self.place, pod));
        }
        let (instances, forwards): (Vec<_>, Vec<_>) = try_join_all(each).await?.into_iter().unzip();
        *self.forwards.lock().unwrap_or_else(PoisonError::into_inner) =
            forwards.into_iter().flatten().collect();
        Ok(instances)
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
