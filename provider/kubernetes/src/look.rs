//! What is there, and what would come of what is declared.

use std::collections::{BTreeMap, BTreeSet};

use futures::TryStreamExt as _;
use futures::future::try_join_all;
use futures::stream::{self, StreamExt as _};
use k8s_openapi::api::core::v1::Namespace;
use kube::Error;
use kube::api::Api;
use serde_json::Value;
use tempoform_engine::object::{Condition, Desired, Object, ObjectId, Observed, ObservedObject};
use tempoform_engine::plan::{Danger, DangerKind};
use tempoform_engine::render::kubernetes_object;
use tempoform_engine::target::{Prospect, TargetError};

use crate::dry_run::{Foreseen, Unknown, foresee};
use crate::failure::{Conflict, explain};
use crate::inventory::{Inventory, Place, part_of};
use crate::replicas::{Scaling, Yields, autoscaled, is_ours_alone};
use crate::requests::{Objects, declared, persist};

/// Requests at a time, to look and to try.
const CONCURRENCY: usize = 16;

/// What was found out while looking, and is needed while changing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    /// Whether the namespace is there.
    pub(crate) namespace: bool,
    pub(crate) inventory: Inventory,
    /// Objects that are there and do not belong to this Tempo, and who made them.
    foreign: BTreeMap<ObjectId, String>,
    /// Workloads whose replicas an autoscaler decides about: its name.
    autoscaled: BTreeMap<ObjectId, String>,
    /// Workloads whose replicas were last set from here.
    own_replicas: BTreeSet<ObjectId>,
    /// Objects that are being deleted, as they were.
    pub(crate) going: BTreeMap<ObjectId, Value>,
    /// Workloads whose number of replicas is left to an autoscaler.
    pub(crate) yields: BTreeMap<ObjectId, Yields>,
    /// Objects with fields of others.
    pub(crate) contested: BTreeSet<ObjectId>,
    /// Kinds that are declared and the cluster does not know.
    pub(crate) missing_kinds: BTreeSet<String>,
}

/// Where is looked, and for what.
pub(crate) struct Looker<'a> {
    pub(crate) objects: Objects<'a>,
    pub(crate) place: &'a Place,
    pub(crate) declared: &'a [Object],
}

impl Looker<'_> {
    /// The members of the inventory, and declared objects that are there without being one.
    pub(crate) async fn observe(&self) -> Result<(Observed, Seen), TargetError> {
        let (namespace, inventory, autoscaled) = tokio::join!(
            self.has_namespace(),
            self.place.read(&self.objects),
            autoscaled(self.objects.client, self.place, self.declared)
        );
        let namespace = namespace?;
        let inventory = inventory?.unwrap_or_default();
        let mut notes = Vec::new();
        if !namespace && !self.declared.is_empty() {
            notes.push(format!("namespace {:?} does not exist yet: apply creates it", self.place.namespace));
        }
        if !inventory.unknown.is_empty() {
            let kinds = inventory.unknown.join(", ");
            notes.push(format!("objects of kinds that this version does not know stay: {kinds}"));
        }
        let members = self.members(&inventory).await?;
        let ids = members.iter().map(|value| kubernetes_object(value.clone()).id).collect();
        let strangers = self.strangers(&ids).await?;
        let mut seen = Seen { namespace, autoscaled, ..Seen::default() };
        for stranger in strangers.iter().filter(|value| !self.place.has(value)) {
            let id = kubernetes_object(stranger.clone()).id;
            if let Some(other) = part_of(stranger) {
                return Err(TargetError::new(format!("{id} belongs to another set of objects, {other}"))
                    .help("give this Tempo, or what of it has that name, another name"));
            }
            seen.foreign.insert(id, managers(stranger));
        }
        let mut objects = Vec::with_capacity(members.len() + strangers.len());
        for value in members.into_iter().chain(strangers) {
            if is_ours_alone(&value) {
                seen.own_replicas.insert(kubernetes_object(value.clone()).id);
            }
            let is_going = value["metadata"]["deletionTimestamp"].is_string();
            let object = kubernetes_object(declared(value.clone()));
            let condition = match is_going {
                false => Condition::Live,
                true => {
                    seen.going.insert(object.id.clone(), value);
                    Condition::Unfinished("is being deleted".to_owned())
                }
            };
            objects.push(ObservedObject { object, condition });
        }
        let guarded = inventory.guarded.clone();
        seen.inventory = inventory;
        Ok((Observed { guarded, objects, notes }, seen))
    }

    /// Whether the namespace is there. Who may not look at namespaces is taken to have one.
    async fn has_namespace(&self) -> Result<bool, TargetError> {
        let api: Api<Namespace> = Api::all(self.objects.client.clone());
        match persist(|| api.get_opt(&self.place.namespace)).await {
            Ok(found) => Ok(found.is_some()),
            Err(Error::Api(status)) if status.code == 403 => Ok(true),
            Err(error) => {
                Err(explain(&format!("cannot look at namespace {:?}", self.place.namespace), error))
            }
        }
    }

    async fn members(&self, inventory: &Inventory) -> Result<Vec<Value>, TargetError> {
        let selector = self.place.selector();
        let mut lists = Vec::with_capacity(inventory.kinds.len());
        for kind in &inventory.kinds {
            let selector = selector.as_str();
            lists.push(async move {
                match self.objects.list(kind, &self.place.namespace, selector).await {
                    Ok(found) => Ok(found),
                    // Its CustomResourceDefinition is gone, and all of them with it.
                    Err(Error::Api(status)) if status.code == 404 => Ok(Vec::new()),
                    Err(error) => Err(explain(&format!("cannot list {kind}"), error)),
                }
            });
        }
        Ok(try_join_all(lists).await?.into_iter().flatten().collect())
    }

    /// Declared objects that are there and are not among the members.
    async fn strangers(&self, members: &BTreeSet<ObjectId>) -> Result<Vec<Value>, TargetError> {
        let mut looks = Vec::new();
        for object in self.declared.iter().filter(|object| !members.contains(&object.id)) {
            looks.push(async move {
                match self.objects.get(&object.value).await {
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

    /// Tries every declared object. What is found out for changing goes into `seen`.
    pub(crate) async fn prospect(
        &self,
        desired: &Desired,
        observed: &Observed,
        seen: &mut Seen,
    ) -> Result<Prospect, TargetError> {
        let live: BTreeMap<&ObjectId, &Object> =
            observed.objects.iter().map(|found| (&found.object.id, &found.object)).collect();
        let mut tries = Vec::with_capacity(desired.objects.len());
        for object in &desired.objects {
            let live = live.get(&object.id).copied();
            let scaling = Scaling {
                is_autoscaled: seen.autoscaled.contains_key(&object.id),
                is_ours: seen.own_replicas.contains(&object.id),
            };
            tries.push(async move { foresee(&self.objects, object, live, scaling).await });
        }
        let tried = stream::iter(tries).buffered(CONCURRENCY).collect().await;
        let mut prospect = Prospect {
            desired: Desired { objects: Vec::with_capacity(desired.objects.len()), ..desired.clone() },
            ..Prospect::default()
        };
        let mut untried = 0;
        for (foreseen, object) in all_or_errors(tried)?.into_iter().zip(&desired.objects) {
            untried += usize::from(foreseen.unknown == Some(Unknown::Namespace));
            let id = &foreseen.object.id;
            if let (Some(reason), Some(managers)) = (&foreseen.replaced, seen.foreign.get(id)) {
                return Err(TargetError::new(format!(
                    "{id} is there already (made by {managers}), and cannot be changed into what is declared: {reason}"
                ))
                .help("only what this Tempo has made is created anew: delete it yourself, or give the Tempo another name"));
            }
            // Where none is declared it is no news that an autoscaler decides.
            let is_declared = !object.value["spec"]["replicas"].is_null();
            add(&mut prospect, seen, foreseen, is_declared);
        }
        if untried > 0 {
            prospect
                .notes
                .push(format!("{untried} objects could not be tried before the namespace is there"));
            seen.namespace = false;
        }
        if !seen.missing_kinds.is_empty() {
            let kinds: Vec<&str> = seen.missing_kinds.iter().map(String::as_str).collect();
            prospect.notes.push(format!(
                "the cluster does not know {}: an apply is refused until their CustomResourceDefinitions are installed, or \
                 nothing asks for them",
                kinds.join(", ")
            ));
        }
        Ok(prospect)
    }
}

/// What came of one object, for which a number of replicas is declared or not.
fn add(prospect: &mut Prospect, seen: &mut Seen, foreseen: Foreseen, is_declared: bool) {
    let Foreseen { object, conflicts, replaced, yields, unknown } = foreseen;
    let id = object.id.clone();
    let tempo = &prospect.desired.name;
    let fields = fields_of_others(&conflicts);
    let danger = match seen.foreign.get(&id) {
        Some(managers) => Some((
            DangerKind::Adopt,
            format!(
                "{id} is there already and is not part of {tempo} (made by {managers}): it would be changed, and go when \
                 {tempo} goes{}",
                if fields.is_empty() {
                    String::new()
                } else {
                    format!("; fields are set by others: {fields}")
                }
            ),
        )),
        None if conflicts.is_empty() => None,
        None => Some((DangerKind::Conflict, format!("{id}: fields were last set by others: {fields}"))),
    };
    if let Some((kind, message)) = danger {
        prospect.dangers.push(Danger { kind, message });
        seen.contested.insert(id.clone());
    }
    if let Some(reason) = replaced {
        let reason = format!("cannot be changed in place, its pods go on running: {reason}");
        prospect.replaced.insert(id.clone(), reason);
    }
    if let Some(yields) = yields {
        let scaler = seen.autoscaled.get(&id).filter(|_| is_declared);
        if let Some(scaler) = scaler {
            let note = format!("the replicas of {id} are left to HorizontalPodAutoscaler {scaler:?}");
            prospect.notes.push(note);
        }
        seen.yields.insert(id, yields);
    }
    if let Some(Unknown::Kind(kind)) = unknown {
        seen.missing_kinds.insert(kind);
    }
    prospect.desired.objects.push(object);
}

fn fields_of_others(conflicts: &[Conflict]) -> String {
    let fields: Vec<String> = conflicts.iter().map(|c| format!("{} by {}", c.field, c.manager)).collect();
    fields.join(", ")
}

/// Who has set fields of an object.
fn managers(value: &Value) -> String {
    let fields = value["metadata"]["managedFields"].as_array();
    let names: BTreeSet<&str> =
        fields.into_iter().flatten().filter_map(|entry| entry["manager"].as_str()).collect();
    names.into_iter().collect::<Vec<_>>().join(", ")
}

/// All of them, or all that is wrong in one error.
fn all_or_errors(tried: Vec<Result<Foreseen, TargetError>>) -> Result<Vec<Foreseen>, TargetError> {
    let mut all = Vec::with_capacity(tried.len());
    let mut errors = Vec::new();
    for tried in tried {
        match tried {
            Ok(foreseen) => all.push(foreseen),
            Err(error) => errors.push(error),
        }
    }
    if errors.len() < 2 {
        return errors.pop().map_or(Ok(all), Err);
    }
    // Where the server has become unreachable, or access has ended, each says the same: the first is told as it is.
    if let Some(at) = errors.iter().position(|error| std::error::Error::source(error).is_some()) {
        return Err(errors.swap_remove(at));
    }
    let list: Vec<String> = errors.iter().map(|error| format!("\n  {error}")).collect();
    let error = TargetError::new(format!("{} objects cannot be applied:{}", list.len(), list.concat()));
    let help = errors.iter().find_map(|error| error.advice().map(str::to_owned));
    Err(match help {
        Some(help) => error.help(help),
        None => error,
    })
}
