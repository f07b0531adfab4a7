//! A plan as programs read it. Stable: fields are added, never renamed or removed, within one
//! `formatVersion`.

use serde_json::{Value, json};

use super::{Action, Change, FieldDiff, Plan, Summary};

/// The version of the shape that [`Plan::to_json`] gives.
const FORMAT_VERSION: u32 = 1;

impl Plan {
    /// The plan as JSON:
    ///
    /// ```json
    /// {
    ///   "formatVersion": 1,
    ///   "name": "traces", "target": "local",
    ///   "summary": {"create": 1, "update": 0, "replace": 0, "restart": 0, "delete": 0, "noChange": 0},
    ///   "changes": [{
    ///     "object": {"kind": "Process", "name": "ingester-0"}, "component": "ingester",
    ///     "action": "update", "reason": "differs from the document",
    ///     "fields": [{"path": "config.ingester.x", "before": 1, "after": 2, "note": null}]
    ///   }],
    ///   "dangers": [{"kind": "storage-move", "message": "…"}],
    ///   "notes": []
    /// }
    /// ```
    ///
    /// `action` is `create`, `update`, `replace`, `restart`, `delete` or `noChange`; `before` and
    /// `after` are null where the field is not set. Secrets are masked.
    pub fn to_json(&self) -> Value {
        let Self { name, target, changes, dangers, notes } = self;
        let Summary { create, update, replace, restart, delete, no_change } = self.summary();
        json!({
            "formatVersion": FORMAT_VERSION,
            "name": name,
            "target": target,
            "summary": {
                "create": create, "update": update, "replace": replace, "restart": restart,
                "delete": delete, "noChange": no_change,
            },
            "changes": changes.iter().map(change).collect::<Vec<_>>(),
            "dangers": dangers
                .iter()
                .map(|danger| json!({"kind": danger.kind.word(), "message": danger.message}))
                .collect::<Vec<_>>(),
            "notes": notes,
        })
    }
}

impl Action {
    /// The action's word in JSON.
    pub fn word(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Replace => "replace",
            Self::Restart => "restart",
            Self::Delete => "delete",
            Self::NoChange => "noChange",
        }
    }
}

fn change(change: &Change) -> Value {
    let Change { object, component, action, fields, reason, wave: _, stateful: _ } = change;
    json!({
        "object": object,
        "component": component,
        "action": action.word(),
        "reason": reason,
        "fields": fields.iter().map(field).collect::<Vec<_>>(),
    })
}

fn field(field: &FieldDiff) -> Value {
    let FieldDiff { path, before, after, note } = field;
    json!({"path": path.to_string(), "before": before, "after": after, "note": note})
}
