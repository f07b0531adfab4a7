use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use crate::path::{self, Step};
use crate::{Problem, Problems, load};

/// One YAML document: its value, and where in the source each part of it stands.
#[derive(Clone, Debug)]
pub struct Document {
    source_name: Arc<str>,
    value: Value,
    place: Place,
}

/// Where a value stands, and the values in it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Place {
    /// Line from 1 of the key (in a mapping) or the value (in a list).
    pub(crate) line: usize,
    /// Column from 1.
    pub(crate) column: usize,
    /// What the source says, where that is not what the value prints as: `1e5`, `0x1F`, `~`.
    pub(crate) written: Option<Box<str>>,
    pub(crate) inner: Inner,
}

#[derive(Clone, Debug, Default)]
pub(crate) enum Inner {
    #[default]
    Nothing,
    Mapping(BTreeMap<String, Place>),
    List(Vec<Place>),
}

impl Document {
    /// Reads every document of a YAML stream; empty ones are left out.
    ///
    /// Anchors, aliases and merge keys (`<<`) are resolved. Bounds: 4 MiB of text, 64 levels of nesting,
    /// 200,000 values and 8 MiB of texts once aliases are resolved.
    ///
    /// # Errors
    /// Everything that is wrong: YAML that cannot be parsed (reading stops there), keys given twice, keys
    /// that are not text, numbers that are not finite, unknown tags, a bound passed.
    pub fn parse_all(source_name: impl Into<String>, text: &str) -> Result<Vec<Self>, Problems> {
        let mut problems = Problems::new(source_name);
        let source_name: Arc<str> = problems.source_name.as_str().into();
        let values = load::load(text, &mut problems);
        let document = |(value, place)| Self { source_name: Arc::clone(&source_name), value, place };
        problems.into_result(values.into_iter().map(document).collect())
    }

    /// The document as JSON.
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// Name of the source for messages.
    pub fn source_name(&self) -> &str {
        &self.source_name
    }

    /// An empty list of problems in this document's source.
    pub fn problems(&self) -> Problems {
        Problems::new(&*self.source_name)
    }

    /// Line and column, from 1, of the key or list item at `path`; of the nearest one that encloses it
    /// if there is nothing at `path`. `None` if `path` is not a path.
    pub fn position(&self, path: &str) -> Option<(usize, usize)> {
        let mut place = &self.place;
        for step in path::steps(path)? {
            match place.step(&step) {
                Some(inner) => place = inner,
                None => break,
            }
        }
        Some((place.line, place.column))
    }

    /// The problem with the position that its path has here; one that has a position keeps it.
    #[must_use]
    pub fn locate(&self, problem: Problem) -> Problem {
        match self.position(&problem.path) {
            Some(position) if problem.line.is_none() => problem.at(position),
            _ => problem,
        }
    }

    /// The value at `path`.
    pub fn get(&self, path: &str) -> Option<&Value> {
        path::steps(path)?.iter().try_fold(&self.value, |value, step| match step {
            Step::Key(key) => value.get(key.as_ref()),
            Step::Index(index) => value.get(index),
        })
    }

    /// Takes the value at `path`, a mapping's, out of the document.
    pub fn remove(&mut self, path: &str) -> Option<Value> {
        let (value, _) = self.detach(path)?;
        Some(value)
    }

    /// Moves the value at `from`, a mapping's, to `to`, with its position; mappings on the way to `to`
    /// are made. Nothing happens, and the answer is false, if there is nothing at `from`, something at `to`, or
    /// something other than a mapping on the way.
    pub fn rename(&mut self, from: &str, to: &str) -> bool {
        if self.get(to).is_some_and(|value| !value.is_null()) || !self.can_hold(to) {
            return false;
        }
        match self.detach(from) {
            Some((value, place)) => self.attach(to, value, place),
            None => false,
        }
    }

    /// Whether only mappings, or nothing, are on the way to `path`.
    fn can_hold(&self, path: &str) -> bool {
        let Some(steps) = path::steps(path) else { return false };
        let mut value = Some(&self.value);
        for step in steps {
            let Step::Key(key) = step else { return false };
            match value {
                None | Some(Value::Null) => return true,
                Some(Value::Object(map)) => value = map.get(key.as_ref()),
                Some(_) => return false,
            }
        }
        true
    }

    fn detach(&mut self, path: &str) -> Option<(Value, Place)> {
        let mut steps = path::steps(path)?;
        let Some(Step::Key(last)) = steps.pop() else { return None };
        let (mut value, mut place) = (&mut self.value, &mut self.place);
        for step in &steps {
            let Step::Key(key) = step else { return None };
            value = value.get_mut(key.as_ref())?;
            place = place.mapping().get_mut(key.as_ref())?;
        }
        let taken = value.as_object_mut()?.remove(last.as_ref())?;
        Some((taken, place.mapping().remove(last.as_ref()).unwrap_or_default()))
    }

    fn attach(&mut self, path: &str, new: Value, new_place: Place) -> bool {
        let Some(mut steps) = path::steps(path) else { return false };
        let Some(Step::Key(last)) = steps.pop() else { return false };
        let (mut value, mut place) = (&mut self.value, &mut self.place);
        for step in steps {
            let Step::Key(key) = step else { return false };
            let Some(map) = as_mapping(value) else { return false };
            value = map.entry(key.as_ref()).or_insert(Value::Null);
            let made = Place { line: new_place.line, column: new_place.column, ..Place::default() };
            place = place.mapping().entry(key.into_owned()).or_insert(made);
        }
        let Some(map) = as_mapping(value) else { return false };
        map.insert(last.as_ref().to_owned(), new);
        place.mapping().insert(last.into_owned(), new_place);
        true
    }

    /// The scalar at a JSON pointer as the source has it, if that is not how its value prints.
    pub(crate) fn written(&self, steps: &[Step<'_>]) -> Option<&str> {
        steps.iter().try_fold(&self.place, |place, step| place.step(step))?.written.as_deref()
    }
}

/// The mapping that `value` is, or becomes where it is null.
fn as_mapping(value: &mut Value) -> Option<&mut serde_json::Map<String, Value>> {
    if value.is_null() {
        *value = Value::Object(serde_json::Map::new());
    }
    value.as_object_mut()
}

impl Place {
    fn step(&self, step: &Step<'_>) -> Option<&Self> {
        match (&self.inner, step) {
            (Inner::Mapping(map), Step::Key(key)) => map.get(key.as_ref()),
            (Inner::List(list), Step::Index(index)) => list.get(*index),
            _ => None,
        }
    }

    /// The places of a mapping's values; what was no mapping becomes an empty one.
    fn mapping(&mut self) -> &mut BTreeMap<String, Self> {
        if !matches!(self.inner, Inner::Mapping(_)) {
            self.inner = Inner::Mapping(BTreeMap::new());
        }
        match &mut self.inner {
            Inner::Mapping(map) => map,
            Inner::Nothing | Inner::List(_) => unreachable!("made a mapping above"),
        }
    }
}
