use std::fmt;
use std::str::FromStr;

use super::{Action, Change};
use crate::object::{Desired, Guarded, Observed};

/// A kind of change that loses or hides data when it happens by accident.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DangerKind {
    /// Fewer ingesters than copies of each span are asked for.
    FewerIngesters,
    /// More than one ingester is removed at once.
    SeveralIngesters,
    /// Blocks would be looked for elsewhere.
    StorageMove,
    /// Multi-tenancy is switched on or off.
    TenancyChange,
    /// Fields that someone else has set last would be set.
    Conflict,
    /// Something of that name is there already, and was not made by an apply of this document.
    Adopt,
}

impl DangerKind {
    /// Every kind, in the order of their names on the command line.
    pub const ALL: [Self; 6] = [
        Self::FewerIngesters,
        Self::SeveralIngesters,
        Self::StorageMove,
        Self::TenancyChange,
        Self::Conflict,
        Self::Adopt,
    ];

    /// The word for `--allow`.
    pub fn word(self) -> &'static str {
        match self {
            Self::FewerIngesters => "fewer-ingesters",
            Self::SeveralIngesters => "several-ingesters",
            Self::StorageMove => "storage-move",
            Self::TenancyChange => "tenancy-change",
            Self::Conflict => "conflict",
            Self::Adopt => "adopt",
        }
    }
}

impl fmt::Display for DangerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl FromStr for DangerKind {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        let known = || Self::ALL.map(Self::word).join(", ");
        Self::ALL
            .into_iter()
            .find(|kind| kind.word() == word)
            .ok_or_else(|| format!("{word:?} is not a kind of dangerous change: {}", known()))
    }
}

/// A dangerous change in a plan: refused unless its kind is allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Danger {
    /// Which kind.
    pub kind: DangerKind,
    /// What would happen, and what to do instead.
    pub message: String,
}

/// Every danger of these changes.
pub(super) fn find(desired: &Desired, observed: &Observed, changes: &[Change]) -> Vec<Danger> {
    let mut dangers = Vec::new();
    let mut add = |kind, message| dangers.push(Danger { kind, message });

    // Destructured: a new guarded fact must be thought about here.
    let Guarded { replication_factor, ingesters, storage, multitenancy } = &desired.guarded;
    if ingesters < replication_factor {
        add(
            DangerKind::FewerIngesters,
            format!(
                "{ingesters} ingesters cannot keep {replication_factor} copies of each span: writes would be \
                 refused or less safe; lower the replication factor or keep {replication_factor} ingesters"
            ),
        );
    }
    if let Some(now) = &observed.guarded {
        if *storage != now.storage {
            add(
                DangerKind::StorageMove,
                format!(
                    "blocks move from {} to {storage}: traces stored so far will not be found there; \
                     copy the blocks first",
                    now.storage
                ),
            );
        }
        if *multitenancy != now.multitenancy {
            add(DangerKind::TenancyChange, tenancy_message(*multitenancy));
        }
    }
    let fewer = observed.guarded.as_ref().map_or(0, |now| now.ingesters.saturating_sub(*ingesters));
    if fewer > 1 {
        let removed = removed_ingesters(changes);
        let which = if removed.is_empty() { format!("{fewer} ingesters") } else { removed.join(", ") };
        add(
            DangerKind::SeveralIngesters,
            format!(
                "{which} go in one step: a span may have all its copies on them; remove one ingester at a time"
            ),
        );
    }
    dangers
}

fn tenancy_message(on: bool) -> String {
    let (now, seen) = match on {
        true => ("on", "traces stored without a tenant are found only as tenant \"single-tenant\""),
        false => ("off", "traces stored for tenants will not be found"),
    };
    format!("multi-tenancy is switched {now}: {seen}")
}

fn removed_ingesters(changes: &[Change]) -> Vec<&str> {
    changes
        .iter()
        .filter(|change| {
            change.action == Action::Delete && change.stateful && change.object.kind == "Process"
        })
        .map(|change| change.object.name.as_str())
        .collect()
}
