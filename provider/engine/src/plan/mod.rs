//! The difference between the declared and the found state, as changes of single objects.

mod danger;
mod diff;
mod human;
mod json;
mod meaning;
mod path;
mod secret;

use std::collections::{BTreeMap, BTreeSet};

use crate::object::{Condition, Desired, Object, ObjectId, Observed, ObservedObject};
use crate::target::{Prospect, Target, TargetError};

pub use danger::{Danger, DangerKind};
pub use diff::{FieldDiff, diff};
pub use human::Detail;
pub use meaning::quantity_order;
pub use path::FieldPath;
pub use secret::{MASK, is_secret_key, mask, seal};

/// What is done to one object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// It does not exist yet.
    Create,
    /// Fields change in place.
    Update,
    /// Fields change that cannot be changed in place: it is removed and created anew, what it made (pods, volumes) stays.
    Replace,
    /// It is as declared, and does not run.
    Restart,
    /// It is no longer declared.
    Delete,
    /// It is as declared.
    NoChange,
}

/// One object's part of a plan.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// Which object.
    pub object: ObjectId,
    /// The component of the document it belongs to.
    pub component: String,
    /// What is done.
    pub action: Action,
    /// Which fields differ, in the order of their paths. For creation and removal: every field.
    pub fields: Vec<FieldDiff>,
    /// Why, in a few words.
    pub reason: String,
    /// Copied from the object: see [`Object::wave`].
    pub wave: u8,
    /// Copied from the object: see [`Object::stateful`].
    pub stateful: bool,
}

/// Everything that an apply would do. Pure: the same states give the same plan.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Name of the document.
    pub name: String,
    /// Name of the target.
    pub target: String,
    /// Every object, unchanged ones too: creations and changes by wave, then removals.
    pub changes: Vec<Change>,
    /// What needs an explicit word.
    pub dangers: Vec<Danger>,
    /// What could not be found out, or will be in the way.
    pub notes: Vec<String>,
}

/// How many objects there are of each action.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the count of the action of that name")]
pub struct Summary {
    pub create: usize,
    pub update: usize,
    pub replace: usize,
    pub restart: usize,
    pub delete: usize,
    pub no_change: usize,
}

impl Plan {
    /// Whether an apply would do nothing.
    pub fn is_empty(&self) -> bool {
        self.changes.iter().all(|change| change.action == Action::NoChange)
    }

    /// The counts of the summary line.
    pub fn summary(&self) -> Summary {
        let mut summary = Summary::default();
        for change in &self.changes {
            *match change.action {
                Action::Create => &mut summary.create,
                Action::Update => &mut summary.update,
                Action::Replace => &mut summary.replace,
                Action::Restart => &mut summary.restart,
                Action::Delete => &mut summary.delete,
                Action::NoChange => &mut summary.no_change,
            } += 1;
        }
        summary
    }

    /// The dangers that are not among the allowed kinds.
    pub fn refused(&self, allowed: &[DangerKind]) -> Vec<&Danger> {
        self.dangers.iter().filter(|danger| !allowed.contains(&danger.kind)).collect()
    }
}

/// What an apply would do to a target: its own view of what it has, and of what it would make of what is declared.
///
/// # Errors
/// When the target cannot be asked.
pub async fn plan_on(target: &dyn Target, desired: &Desired) -> Result<Plan, TargetError> {
    let observed = target.observe().await?;
    let Prospect { desired, replaced, dangers, notes } = target.prospect(desired, &observed).await?;
    let mut plan = plan(target.name(), &desired, &observed);
    for change in plan.changes.iter_mut().filter(|change| change.action == Action::Update) {
        if let Some(reason) = replaced.get(&change.object) {
            change.action = Action::Replace;
            change.reason.clone_from(reason);
        }
    }
    plan.dangers.extend(dangers);
    plan.notes.extend(notes);
    Ok(plan)
}

/// Compares the declared with the found state.
pub fn plan(target: &str, desired: &Desired, observed: &Observed) -> Plan {
    let found: BTreeMap<&ObjectId, &ObservedObject> =
        observed.objects.iter().map(|found| (&found.object.id, found)).collect();
    let declared: BTreeSet<&ObjectId> = desired.objects.iter().map(|object| &object.id).collect();

    let mut changes: Vec<Change> = desired
        .objects
        .iter()
        .map(|object| match found.get(&object.id) {
            None => creation(object),
            Some(found) => comparison(object, found),
        })
        .collect();
    changes.sort_by(|a, b| (a.wave, &a.object).cmp(&(b.wave, &b.object)));

    let mut removals: Vec<Change> = observed
        .objects
        .iter()
        .filter(|found| !declared.contains(&found.object.id))
        .map(|found| removal(&found.object))
        .collect();
    removals.sort_by(|a, b| (b.wave, &b.object).cmp(&(a.wave, &a.object)));
    // An autoscaler that goes must not decide any more when the number is set that is declared instead.
    let (mut first, mut last): (Vec<_>, Vec<_>) =
        removals.into_iter().partition(|removal| removal.object.kind == "HorizontalPodAutoscaler");
    first.append(&mut changes);
    first.append(&mut last);
    let changes = first;

    let dangers = danger::find(desired, observed, &changes);
    Plan {
        name: desired.name.clone(),
        target: target.to_owned(),
        changes,
        dangers,
        notes: observed.notes.clone(),
    }
}

/// The plan that removes everything found.
pub fn plan_removal(name: &str, target: &str, observed: &Observed) -> Plan {
    let mut changes: Vec<Change> = observed.objects.iter().map(|found| removal(&found.object)).collect();
    changes.sort_by(|a, b| (b.wave, &b.object).cmp(&(a.wave, &a.object)));
    Plan {
        name: name.to_owned(),
        target: target.to_owned(),
        changes,
        dangers: Vec::new(),
        notes: observed.notes.clone(),
    }
}

fn creation(object: &Object) -> Change {
    let fields = diff::added(&object.value);
    change(object, Action::Create, fields, "declared, and not there yet")
}

fn removal(object: &Object) -> Change {
    let fields = diff::removed(&object.value);
    change(object, Action::Delete, fields, "no longer declared")
}

fn comparison(object: &Object, found: &ObservedObject) -> Change {
    let fields = diff(&found.object.value, &object.value);
    let (action, reason) = match &found.condition {
        Condition::Unfinished(reason) => (Action::Update, reason.as_str()),
        _ if !fields.is_empty() => (Action::Update, "differs from the document"),
        Condition::Down(reason) => (Action::Restart, reason.as_str()),
        Condition::Live => (Action::NoChange, "as declared"),
    };
    change(object, action, fields, reason)
}

fn change(object: &Object, action: Action, fields: Vec<FieldDiff>, reason: &str) -> Change {
    Change {
        object: object.id.clone(),
        component: object.component.clone(),
        action,
        fields,
        reason: reason.to_owned(),
        wave: object.wave,
        stateful: object.stateful,
    }
}

#[cfg(test)]
mod tests;
