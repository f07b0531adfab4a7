//! A plan as a person reads it.

use std::fmt::{self, Write as _};

use serde_json::Value;

use super::{Action, Change, FieldDiff, Plan, Summary};

/// How much of a plan is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// Of new objects, large parts are counted instead of listed.
    Summary,
    /// Every field.
    Full,
}

/// Parts of new objects with more fields than this are counted in [`Detail::Summary`].
const LISTED_FIELDS: usize = 8;
/// What a Kubernetes object is, which is not news about it.
const IDENTITY: [&str; 3] = ["apiVersion", "kind", "metadata"];
/// Paths longer than this do not widen the column of paths.
const WIDEST_PATH: usize = 48;

impl Plan {
    /// The plan as text, with ANSI colours if wanted. Nothing is told by colour alone.
    pub fn to_human(&self, detail: Detail, colour: bool) -> String {
        let mut out = String::new();
        // Writing to a String cannot fail.
        let _ = Page { out: &mut out, detail, ink: Ink(colour) }.plan(self);
        out
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { create, update, replace, restart, delete, no_change: _ } = self;
        write!(f, "Plan: {create} to create, {update} to change, {delete} to destroy")?;
        if *replace > 0 {
            write!(f, ", {replace} to replace")?;
        }
        if *restart > 0 {
            write!(f, ", {restart} to restart")?;
        }
        f.write_str(".")
    }
}

struct Page<'a> {
    out: &'a mut String,
    detail: Detail,
    ink: Ink,
}

impl Page<'_> {
    fn plan(&mut self, plan: &Plan) -> fmt::Result {
        for note in &plan.notes {
            writeln!(self.out, "note: {note}")?;
        }
        if plan.is_empty() {
            let count = plan.changes.len();
            writeln!(
                self.out,
                "No changes. {} on target {:?} is as declared ({count} objects).",
                plan.name, plan.target
            )?;
        } else {
            writeln!(self.out, "tempoform will change {} on target {:?}:", plan.name, plan.target)?;
            for change in plan.changes.iter().filter(|change| change.action != Action::NoChange) {
                self.change(change)?;
            }
        }
        for danger in &plan.dangers {
            let word = self.ink.red(&format!("! dangerous ({})", danger.kind));
            writeln!(self.out, "\n{word}: {}", danger.message)?;
        }
        if !plan.is_empty() {
            writeln!(self.out, "\n{}", plan.summary())?;
        }
        Ok(())
    }

    fn change(&mut self, change: &Change) -> fmt::Result {
        let Change { object, component, action, fields, reason, wave: _, stateful: _ } = change;
        writeln!(self.out)?;
        let headline = format!("{} {object}", symbol(*action));
        let headline = self.ink.of(*action, &headline);
        let component = if component.is_empty() { String::new() } else { format!(" ({component})") };
        writeln!(self.out, "  {headline}{component} {}: {reason}", future(*action))?;
        if *action == Action::Delete && self.detail == Detail::Summary {
            return Ok(());
        }
        let rows = self.rows(*action, fields);
        let width =
            rows.iter().map(|row| row.path.chars().count()).filter(|w| *w <= WIDEST_PATH).max().unwrap_or(0);
        for Row { action, path, text } in rows {
            let sign = self.ink.of(action, symbol(action));
            writeln!(self.out, "      {sign} {path:<width$} {text}")?;
        }
        Ok(())
    }

    fn rows(&self, action: Action, fields: &[FieldDiff]) -> Vec<Row> {
        if self.detail == Detail::Full || action != Action::Create {
            return fields.iter().map(Row::of).collect();
        }
        // The headline has them.
        let is_identity =
            |field: &FieldDiff| field.path.keys().next().is_some_and(|key| IDENTITY.contains(&key));
        let fields: Vec<&FieldDiff> = fields.iter().filter(|field| !is_identity(field)).collect();
        let mut rows = Vec::new();
        for part in fields.chunk_by(|a, b| a.path.keys().next() == b.path.keys().next()) {
            match part[0].path.keys().next() {
                Some(key) if part.len() > LISTED_FIELDS => rows.push(Row {
                    action,
                    path: key.to_owned(),
                    text: format!("= ({} fields; --full lists them)", part.len()),
                }),
                _ => rows.extend(part.iter().copied().map(Row::of)),
            }
        }
        rows
    }
}

struct Row {
    action: Action,
    path: String,
    text: String,
}

impl Row {
    fn of(field: &FieldDiff) -> Self {
        let FieldDiff { path, before, after, note } = field;
        let (action, mut text) = match (before, after) {
            (Some(before), Some(after)) => (Action::Update, format!("= {} -> {}", show(before), show(after))),
            (Some(before), None) => (Action::Delete, format!("= {}", show(before))),
            (None, after) => (Action::Create, format!("= {}", show(after.as_ref().unwrap_or(&Value::Null)))),
        };
        if let Some(note) = note {
            let _ = write!(text, "  # {note}");
        }
        Self { action, path: path.to_string(), text }
    }
}

fn show(value: &Value) -> String {
    value.to_string()
}

fn symbol(action: Action) -> &'static str {
    match action {
        Action::Create => "+",
        Action::Update | Action::Restart => "~",
        Action::Replace => "±",
        Action::Delete => "-",
        Action::NoChange => " ",
    }
}

fn future(action: Action) -> &'static str {
    match action {
        Action::Create => "will be created",
        Action::Update => "will be changed",
        Action::Replace => "will be created anew",
        Action::Restart => "will be restarted",
        Action::Delete => "will be destroyed",
        Action::NoChange => "stays",
    }
}

/// Colours, or none.
struct Ink(bool);

impl Ink {
    fn of(&self, action: Action, text: &str) -> String {
        match action {
            Action::Create => self.paint("32", text),
            Action::Update | Action::Replace | Action::Restart => self.paint("33", text),
            Action::Delete => self.red(text),
            Action::NoChange => text.to_owned(),
        }
    }

    fn red(&self, text: &str) -> String {
        self.paint("31", text)
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.0 { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}
