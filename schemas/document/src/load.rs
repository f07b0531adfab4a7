//! From YAML's events to values with places, within bounds.

use std::collections::{BTreeMap, HashMap};

use saphyr::{Scalar, ScalarStyle, Tag};
use saphyr_parser::{Event, Marker, Parser, Span};
use serde_json::{Map, Number, Value};

use crate::document::{Inner, Place};
use crate::{Problem, Problems};

const MAX_TEXT: usize = 4 << 20;
const MAX_DEPTH: usize = 64;
const MAX_VALUES: usize = 200_000;
const MAX_TEXT_OF_VALUES: usize = 8 << 20;
/// Repeated problems help nobody; the rest shows once these are gone.
const MAX_PROBLEMS: usize = 200;

/// Reads a stream's documents; what is wrong goes to `problems`.
pub(crate) fn load(text: &str, problems: &mut Problems) -> Vec<(Value, Place)> {
    if text.len() > MAX_TEXT {
        let message = format!("the file has {} bytes; at most {MAX_TEXT} are read", text.len());
        problems.push(Problem::new("", message));
        return Vec::new();
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut loader = Loader::new(problems);
    for event in Parser::new_from_str(text) {
        let step = match event {
            Ok((event, span)) => loader.event(event, span),
            Err(error) => Err(syntax_problem(text, *error.marker(), error.info())),
        };
        if let Err(problem) = step {
            loader.problems.push(problem);
            break;
        }
    }
    loader.documents
}

fn syntax_problem(text: &str, marker: Marker, info: &str) -> Problem {
    let problem = Problem::new("", format!("this is not YAML: {info}")).at(position(marker));
    let line = text.lines().nth(marker.line().saturating_sub(1)).unwrap_or_default();
    let indent: &str = &line[..line.len() - line.trim_start().len()];
    if indent.contains('\t') { problem.help("indent with spaces, not tabs") } else { problem }
}

fn position(marker: Marker) -> (usize, usize) {
    (marker.line(), marker.col() + 1)
}

/// What a subtree costs when it is copied, and how deep it is.
#[derive(Clone, Copy, Default)]
struct Size {
    values: usize,
    text: usize,
    depth: usize,
}

/// A value that is complete.
struct Node {
    value: Value,
    place: Place,
    size: Size,
    /// Its text, if it is a scalar and so can be a key; plain style is told apart for `<<`.
    key: Option<(String, ScalarStyle)>,
}

/// A collection that is not complete.
struct Frame {
    at: (usize, usize),
    anchor: usize,
    size: Size,
    kind: Collection,
}

enum Collection {
    List { values: Vec<Value>, places: Vec<Place> },
    Mapping(Mapping),
}

#[derive(Default)]
struct Mapping {
    values: Map<String, Value>,
    places: BTreeMap<String, Place>,
    /// Mappings merged in by `<<`; earlier ones win.
    merged: Vec<(Value, Place)>,
    key: Key,
}

/// What a mapping waits for.
#[derive(Default)]
enum Key {
    /// A key.
    #[default]
    Expected,
    /// The value of this key, which stands here.
    Of(String, (usize, usize)),
    /// The value of `<<`.
    Merge,
    /// The value of a key that was refused.
    Refused,
}

struct Loader<'p> {
    problems: &'p mut Problems,
    documents: Vec<(Value, Place)>,
    open: Vec<Frame>,
    anchors: HashMap<usize, (Value, Place, Size)>,
    total: Size,
}

/// An `Err` ends the reading.
type Step = Result<(), Problem>;

impl<'p> Loader<'p> {
    fn new(problems: &'p mut Problems) -> Self {
        Self {
            problems,
            documents: Vec::new(),
            open: Vec::new(),
            anchors: HashMap::new(),
            total: Size::default(),
        }
    }

    fn event(&mut self, event: Event<'_>, span: Span) -> Step {
        let at = position(span.start);
        match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
            Event::DocumentStart(_) => {
                self.anchors.clear();
                Ok(())
            }
            Event::Scalar(text, style, anchor, tag) => self.scalar(&text, style, anchor, tag.as_deref(), at),
            Event::Alias(anchor) => self.alias(anchor, at),
            Event::SequenceStart(anchor, tag) => {
                let kind = Collection::List { values: Vec::new(), places: Vec::new() };
                self.start(kind, anchor, tag.as_deref(), at)
            }
            Event::MappingStart(anchor, tag) => {
                self.start(Collection::Mapping(Mapping::default()), anchor, tag.as_deref(), at)
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(),
        }
    }

    fn scalar(
        &mut self,
        text: &str,
        style: ScalarStyle,
        anchor: usize,
        tag: Option<&Tag>,
        at: (usize, usize),
    ) -> Step {
        let size = Size { values: 1, text: text.len(), depth: 0 };
        self.charge(size, at)?;
        let value = match value_of_scalar(text, style, tag) {
            Ok(value) => value,
            Err(message) => {
                self.complain(Problem::new("", message).at(at))?;
                Value::Null
            }
        };
        let prints_as_written = value.is_string() || value.to_string().as_str() == text;
        let written = (!prints_as_written).then(|| text.into());
        let place = Place { line: at.0, column: at.1, written, inner: Inner::Nothing };
        self.complete(Node { value, place, size, key: Some((text.to_owned(), style)) }, anchor)
    }

    fn alias(&mut self, anchor: usize, at: (usize, usize)) -> Step {
        let Some((_, _, size)) = self.anchors.get(&anchor) else {
            return Err(Problem::new("", "an alias is inside the value it stands for").at(at));
        };
        let size = *size;
        self.charge(size, at)?;
        let Some((value, place, _)) = self.anchors.get(&anchor) else { return Ok(()) };
        let place = Place { line: at.0, column: at.1, ..place.clone() };
        let key = value.as_str().map(|text| (text.to_owned(), ScalarStyle::DoubleQuoted));
        let node = Node { value: value.clone(), place, size, key };
        self.complete(node, 0)
    }

    fn start(&mut self, kind: Collection, anchor: usize, tag: Option<&Tag>, at: (usize, usize)) -> Step {
        if let Some(tag) = tag.filter(|tag| !tag.is_yaml_core_schema()) {
            self.complain(Problem::new("", unknown_tag(tag)).at(at))?;
        }
        let size = Size { values: 1, text: 0, depth: 1 };
        self.charge(size, at)?;
        self.open.push(Frame { at, anchor, size, kind });
        Ok(())
    }

    fn end(&mut self) -> Step {
        let Some(Frame { at, anchor, size, kind }) = self.open.pop() else { return Ok(()) };
        let (value, inner) = match kind {
            Collection::List { values, places } => (Value::Array(values), Inner::List(places)),
            Collection::Mapping(mapping) => mapping.finish(),
        };
        let place = Place { line: at.0, column: at.1, written: None, inner };
        self.complete(Node { value, place, size, key: None }, anchor)
    }

    /// Counts what is about to be kept.
    fn charge(&mut self, size: Size, at: (usize, usize)) -> Step {
        self.total.values = self.total.values.saturating_add(size.values);
        self.total.text = self.total.text.saturating_add(size.text);
        let too = if self.open.len() + size.depth > MAX_DEPTH {
            format!("values are nested more than {MAX_DEPTH} deep")
        } else if self.total.values > MAX_VALUES {
            format!("there are more than {MAX_VALUES} values, those that aliases repeat included")
        } else if self.total.text > MAX_TEXT_OF_VALUES {
            format!("there are more than {MAX_TEXT_OF_VALUES} bytes of text, what aliases repeat included")
        } else {
            return Ok(());
        };
        Err(Problem::new("", too).at(at))
    }

    /// Puts a complete value where it belongs.
    fn complete(&mut self, node: Node, anchor: usize) -> Step {
        if anchor > 0 {
            self.charge(Size { depth: 0, ..node.size }, (node.place.line, node.place.column))?;
            self.anchors.insert(anchor, (node.value.clone(), node.place.clone(), node.size));
        }
        let Some(frame) = self.open.last_mut() else {
            if !node.value.is_null() {
                self.documents.push((node.value, node.place));
            }
            return Ok(());
        };
        frame.size.values += node.size.values;
        frame.size.text += node.size.text;
        frame.size.depth = frame.size.depth.max(node.size.depth + 1);
        let problem = match &mut frame.kind {
            Collection::List { values, places } => {
                values.push(node.value);
                places.push(node.place);
                None
            }
            Collection::Mapping(mapping) => mapping.accept(node),
        };
        problem.map_or(Ok(()), |problem| self.complain(problem))
    }

    fn complain(&mut self, problem: Problem) -> Step {
        if self.problems.len() >= MAX_PROBLEMS {
            return Err(Problem::new("", "there are more problems; reading stopped here"));
        }
        self.problems.push(problem);
        Ok(())
    }
}

impl Mapping {
    /// Takes the next key or value.
    fn accept(&mut self, node: Node) -> Option<Problem> {
        let at = (node.place.line, node.place.column);
        match std::mem::take(&mut self.key) {
            Key::Expected => {
                let (key, problem) = self.next_key(node);
                self.key = key;
                problem
            }
            Key::Of(key, at) => {
                let place = Place { line: at.0, column: at.1, ..node.place };
                self.values.insert(key.clone(), node.value);
                self.places.insert(key, place);
                None
            }
            Key::Merge => self.merge(node.value, node.place, at),
            Key::Refused => None,
        }
    }

    fn next_key(&self, node: Node) -> (Key, Option<Problem>) {
        let at = (node.place.line, node.place.column);
        let refused = |message: String| (Key::Refused, Some(Problem::new("", message).at(at)));
        match node.key {
            None => refused("a key must be text, not a list or a mapping".to_owned()),
            Some((key, ScalarStyle::Plain)) if key == "<<" => (Key::Merge, None),
            Some((key, ScalarStyle::Plain)) if key.is_empty() => {
                refused("a key is missing before \":\"".to_owned())
            }
            Some((key, _)) => match self.places.get(&key) {
                Some(first) => refused(format!("key {key:?} is given twice, first in line {}", first.line)),
                None => (Key::Of(key, at), None),
            },
        }
    }

    fn merge(&mut self, value: Value, place: Place, at: (usize, usize)) -> Option<Problem> {
        match (value, place.inner) {
            (value @ Value::Object(_), inner) => {
                self.merged.push((value, Place { inner, ..Place::default() }))
            }
            (Value::Array(values), Inner::List(places)) if values.iter().all(Value::is_object) => {
                self.merged.extend(values.into_iter().zip(places));
            }
            _ => return Some(Problem::new("", "\"<<\" takes a mapping or a list of mappings").at(at)),
        }
        None
    }

    fn finish(mut self) -> (Value, Inner) {
        for (value, place) in std::mem::take(&mut self.merged) {
            let (Value::Object(values), Inner::Mapping(mut places)) = (value, place.inner) else { continue };
            for (key, value) in values {
                if !self.values.contains_key(&key) {
                    self.places.insert(key.clone(), places.remove(&key).unwrap_or_default());
                    self.values.insert(key, value);
                }
            }
        }
        (Value::Object(self.values), Inner::Mapping(self.places))
    }
}

fn value_of_scalar(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Result<Value, String> {
    if let Some(tag) = tag.filter(|tag| !tag.is_yaml_core_schema()) {
        return Err(unknown_tag(tag));
    }
    let tag_in_use = tag.map(|tag| std::borrow::Cow::Owned(tag.clone()));
    let scalar = Scalar::parse_from_cow_and_metadata(text.into(), style, tag_in_use.as_ref());
    Ok(match scalar {
        Some(Scalar::Null) => Value::Null,
        Some(Scalar::Boolean(value)) => Value::Bool(value),
        Some(Scalar::Integer(value)) => Value::from(value),
        Some(Scalar::FloatingPoint(value)) => return number(text, value.into_inner()),
        Some(Scalar::String(value)) => Value::String(value.into_owned()),
        None => {
            let suffix = tag.map_or("", |tag| tag.suffix.as_str());
            return Err(format!("{text:?} is not what its tag !!{suffix} says"));
        }
    })
}

/// A number that is no `i64`; integers up to `u64` keep every digit.
fn number(text: &str, value: f64) -> Result<Value, String> {
    if let Ok(integer) = text.parse::<u64>() {
        return Ok(Value::from(integer));
    }
    Number::from_f64(value).map(Value::Number).ok_or_else(|| format!("{text:?} is not a finite number"))
}

fn unknown_tag(tag: &Tag) -> String {
    format!("tag {:?} is not known here; remove it", format!("{}{}", tag.handle, tag.suffix))
}

#[cfg(test)]
pub(crate) mod tests;
