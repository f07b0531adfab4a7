//! From a schema validator's errors to words for the person who wrote the document.

use jsonschema::ValidationError;
use jsonschema::error::{TypeKind, ValidationErrorKind as Kind};
use jsonschema::paths::{Location, LocationSegment};
use serde_json::Value;

use crate::path::{self, Step};
use crate::{Problem, units};

/// What one error of the validator means; more than one problem where it lumps several together.
pub(crate) fn explain(error: &ValidationError<'_>, schema: &Value) -> Vec<Problem> {
    let path = path::join(steps_of(error.instance_path()));
    let here = enclosing(schema, error.schema_path());
    let found = Found { value: error.instance(), secret: is_secret(here) };
    let one = |message: String| vec![Problem::new(path.clone(), message)];
    match error.kind() {
        Kind::AdditionalProperties { unexpected } | Kind::UnevaluatedProperties { unexpected } => {
            let known = known_keys(here, schema);
            unexpected.iter().map(|key| unknown_key(&path, key, &known)).collect()
        }
        Kind::Required { property } => vec![missing_key(&path, property, here)],
        Kind::Type { kind } => wrong_type(&path, &expected_types(kind), here, &found).into_iter().collect(),
        Kind::Enum { options } => {
            let options = options.as_array().map_or_else(Vec::new, |options| options.iter().collect());
            vec![not_an_option(&path, &options, &found)]
        }
        Kind::Constant { expected_value } => vec![not_an_option(&path, &[expected_value], &found)],
        Kind::AnyOf { context } | Kind::OneOfNotValid { context } => {
            no_alternative(&path, context, schema, here, &found)
        }
        Kind::Pattern { pattern } => vec![pattern_not_met(&path, pattern, here, &found)],
        Kind::Minimum { limit } => one(format!("must be {limit} or more, found {found}")),
        Kind::Maximum { limit } => one(format!("must be {limit} or less, found {found}")),
        Kind::ExclusiveMinimum { limit } => one(format!("must be more than {limit}, found {found}")),
        Kind::ExclusiveMaximum { limit } => one(format!("must be less than {limit}, found {found}")),
        Kind::MinLength { limit: 1 } | Kind::MinItems { limit: 1 } | Kind::MinProperties { limit: 1 } => {
            one("must not be empty".to_owned())
        }
        Kind::MinLength { limit } => one(format!("must have {limit} characters or more, found {found}")),
        Kind::MaxLength { limit } => one(format!("must have {limit} characters or fewer, found {found}")),
        Kind::MinItems { limit } => one(format!("must have {limit} items or more, found {found}")),
        Kind::MaxItems { limit } => one(format!("must have {limit} items or fewer, found {found}")),
        Kind::MinProperties { limit } => one(format!("must have {limit} keys or more")),
        Kind::MaxProperties { limit } => one(format!("must have {limit} keys or fewer")),
        Kind::UniqueItems => one("has the same item twice".to_owned()),
        Kind::PropertyNames { error } => one(format!("has a key that is not allowed: {}", error.masked())),
        _ => one(error.masked().to_string()),
    }
}

/// The steps of a place in the document.
pub(crate) fn steps_of(location: &Location) -> Vec<Step<'_>> {
    let step = |segment| match segment {
        LocationSegment::Property(key) => Step::Key(key),
        LocationSegment::Index(index) => Step::Index(index),
    };
    location.segments().map(step).collect()
}

/// The schema that has the keyword at `location`.
fn enclosing<'s>(schema: &'s Value, location: &Location) -> Option<&'s Value> {
    let (parent, _) = location.as_str().rsplit_once('/')?;
    schema.pointer(parent)
}

fn is_secret(schema: Option<&Value>) -> bool {
    schema.and_then(|schema| schema.get("format")).is_some_and(|format| format == "password")
}

/// A value as a person would name it.
struct Found<'a> {
    value: &'a Value,
    secret: bool,
}

impl std::fmt::Display for Found<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.value {
            Value::Null => f.write_str("nothing"),
            Value::Bool(value) => write!(f, "{value}"),
            Value::Array(list) => write!(f, "a list of {}", list.len()),
            Value::Object(_) => f.write_str("a mapping"),
            Value::Number(_) if self.secret => f.write_str("a number"),
            Value::Number(number) => write!(f, "the number {number}"),
            Value::String(_) if self.secret => f.write_str("a text"),
            Value::String(text) => write!(f, "the text {:?}", shortened(text)),
        }
    }
}

/// Enough of a text to recognise it.
fn shortened(text: &str) -> String {
    const ENOUGH: usize = 60;
    match text.char_indices().nth(ENOUGH) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// The keys that a schema knows, those of the schemas it is put together from included.
fn known_keys<'s>(here: Option<&'s Value>, root: &'s Value) -> Vec<&'s str> {
    let mut keys = Vec::new();
    let mut open: Vec<&Value> = here.into_iter().collect();
    // A schema may refer to itself: a bound, not a set of those seen, keeps this simple.
    for _ in 0..200 {
        let Some(schema) = open.pop() else { break };
        if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
            keys.extend(properties.keys().map(String::as_str));
        }
        for keyword in ["allOf", "anyOf", "oneOf"] {
            open.extend(schema.get(keyword).and_then(Value::as_array).into_iter().flatten());
        }
        let reference = schema.get("$ref").and_then(Value::as_str).and_then(|r| r.strip_prefix('#'));
        open.extend(reference.and_then(|pointer| root.pointer(pointer)));
    }
    keys.sort_unstable();
    keys.dedup();
    keys
}

fn unknown_key(parent: &str, key: &str, known: &[&str]) -> Problem {
    let problem = Problem::new(path::child(parent, key), "unknown key");
    if let Some(near) = nearest(key, known) {
        return problem.help(format!("did you mean {near}?"));
    }
    match known {
        [] => problem,
        _ if known.len() > 30 => problem,
        _ => problem.help(format!("known keys here are {}", known.join(", "))),
    }
}

/// The one of `known` that `word` was most likely meant to be.
fn nearest<'s>(word: &str, known: &[&'s str]) -> Option<&'s str> {
    let plain = |text: &str| text.replace(['_', '-', '.'], "").to_lowercase();
    let wanted = plain(word);
    let distance = |candidate: &str| strsim::damerau_levenshtein(&wanted, &plain(candidate));
    let (best, steps) = known.iter().map(|key| (*key, distance(key))).min_by_key(|(_, steps)| *steps)?;
    let tolerated = (wanted.chars().count() / 3).min(4);
    (steps <= tolerated).then_some(best)
}

fn missing_key(parent: &str, property: &Value, here: Option<&Value>) -> Problem {
    let key = property.as_str().unwrap_or_default();
    let problem = Problem::new(path::child(parent, key), "is required");
    let described = here.and_then(|schema| schema.get("properties")?.get(key)?.get("description")?.as_str());
    match described {
        Some(text) => problem.help(text.replace('\n', " ")),
        None => problem,
    }
}

fn expected_types(kind: &TypeKind) -> Vec<&'static str> {
    match kind {
        TypeKind::Single(kind) => vec![kind.as_str()],
        TypeKind::Multiple(kinds) => {
            kinds.iter().map(|kind| kind.as_str()).filter(|k| *k != "null").collect()
        }
    }
}

fn in_words(json_type: &str) -> &str {
    match json_type {
        "boolean" => "true or false",
        "integer" => "an integer",
        "number" => "a number",
        "string" => "a text",
        "array" => "a list",
        "object" => "a mapping",
        "null" => "nothing",
        other => other,
    }
}

fn wrong_type(path: &str, types: &[&str], here: Option<&Value>, found: &Found<'_>) -> Option<Problem> {
    let pattern = here.and_then(|schema| schema.get("pattern")).and_then(Value::as_str);
    let is_duration = pattern.is_some_and(units::is_duration);
    // As in Go, a duration of zero needs no unit.
    if is_duration && *found.value == 0 {
        return None;
    }
    let expected = match pattern.and_then(units::words_for_pattern) {
        Some(words) => words.to_owned(),
        None => types.iter().map(|name| in_words(name)).collect::<Vec<_>>().join(" or "),
    };
    let problem = Problem::new(path, format!("expected {expected}, found {found}"));
    let advice = match found.value {
        Value::Number(number) if is_duration => Some(format!("add the unit, such as {number}s")),
        Value::Number(_) | Value::Bool(_) if types == ["string"] => Some("put it in quotes".to_owned()),
        Value::String(text) => advice_on_text(text, types),
        _ => None,
    };
    Some(match advice {
        Some(advice) => problem.help(advice),
        None => problem,
    })
}

/// What a text in the place of a number, a boolean or a list should be.
fn advice_on_text(text: &str, types: &[&str]) -> Option<String> {
    let unquoted = match types {
        ["integer"] => text.parse::<i64>().is_ok(),
        ["number"] => text.parse::<f64>().is_ok(),
        ["boolean"] => match text.to_lowercase().as_str() {
            "yes" | "on" | "y" => return Some("write true".to_owned()),
            "no" | "off" | "n" => return Some("write false".to_owned()),
            other => other == "true" || other == "false",
        },
        ["array"] if !text.is_empty() => return Some(format!("write [{text}] for a list of one")),
        _ => false,
    };
    unquoted.then(|| "remove the quotes".to_owned())
}

fn not_an_option(path: &str, options: &[&Value], found: &Found<'_>) -> Problem {
    let name = |option: &Value| option.as_str().map_or_else(|| option.to_string(), str::to_owned);
    let names: Vec<String> = options.iter().filter(|o| !o.is_null()).map(|o| name(o)).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let expected = match names.as_slice() {
        [] => "nothing".to_owned(),
        [only] => (*only).to_owned(),
        several => format!("one of {}", several.join(", ")),
    };
    let problem = Problem::new(path, format!("expected {expected}, found {found}"));
    match found.value.as_str().and_then(|text| nearest(text, &names)) {
        Some(near) => problem.help(format!("did you mean {near}?")),
        None => problem,
    }
}

fn pattern_not_met(path: &str, pattern: &str, here: Option<&Value>, found: &Found<'_>) -> Problem {
    if let Some(words) = units::words_for_pattern(pattern) {
        let problem = Problem::new(path, format!("expected {words}, found {found}"));
        let number = found.value.as_str().filter(|text| text.bytes().all(|b| b.is_ascii_digit()));
        return match number.filter(|text| !text.is_empty() && units::is_duration(pattern)) {
            Some(number) => problem.help(format!("add the unit, such as {number}s")),
            None => problem,
        };
    }
    let problem = Problem::new(path, format!("{found} is not of the form {pattern}"));
    match here.and_then(|schema| schema.get("description")).and_then(Value::as_str) {
        Some(description) => problem.help(description.replace('\n', " ")),
        None => problem,
    }
}

/// None of several alternatives fits: what is wrong with the one that was most likely meant.
fn no_alternative(
    path: &str,
    branches: &[Vec<ValidationError<'static>>],
    schema: &Value,
    here: Option<&Value>,
    found: &Found<'_>,
) -> Vec<Problem> {
    let depth = |error: &ValidationError<'_>| error.instance_path().segments().count();
    let all: Vec<_> = branches.iter().flatten().collect();
    let shallowest = all.iter().map(|error| depth(error)).min().unwrap_or_default();
    let options: Vec<&Value> = all.iter().flat_map(|error| options_of(error)).collect();
    let only_options = all.iter().all(|error| is_about_kind(error) || !options_of(error).is_empty());
    if only_options && !options.is_empty() && all.iter().all(|error| depth(error) == shallowest) {
        return vec![not_an_option(path, &options, found)];
    }
    if let Some(problems) = unknown_variant(path, branches, schema, shallowest) {
        return problems;
    }
    let wrong_kind = |branch: &&Vec<ValidationError<'_>>| {
        branch.iter().any(|error| is_about_kind(error) && depth(error) == shallowest)
    };
    let best = branches.iter().filter(|branch| !wrong_kind(branch)).max_by_key(|branch| {
        let deepest = branch.iter().map(depth).max().unwrap_or_default();
        (deepest, usize::MAX - branch.len())
    });
    match best {
        Some(branch) => branch.iter().flat_map(|error| explain(error, schema)).collect(),
        None => {
            let mut types: Vec<&str> = all.iter().flat_map(|error| types_of(error)).collect();
            types.dedup();
            types.retain(|name| *name != "null");
            wrong_type(path, &types, here, found).into_iter().collect()
        }
    }
}

/// A key that no alternative knows, where each alternative is a mapping with a key of its own: what could
/// stand there is in all of them together.
fn unknown_variant(
    path: &str,
    branches: &[Vec<ValidationError<'static>>],
    schema: &Value,
    shallowest: usize,
) -> Option<Vec<Problem>> {
    let mut known = Vec::new();
    let mut unknown: Option<Vec<&String>> = None;
    for branch in branches {
        let mut here = branch.iter().filter(|e| e.instance_path().segments().count() == shallowest);
        if here.clone().any(is_about_kind) {
            continue;
        }
        let refusal = here.find_map(|error| match error.kind() {
            Kind::AdditionalProperties { unexpected } => Some((error, unexpected)),
            _ => None,
        });
        // An alternative that knows every key was the one meant.
        let (error, unexpected) = refusal?;
        known.extend(known_keys(enclosing(schema, error.schema_path()), schema));
        unknown = Some(match unknown {
            Some(keys) => keys.into_iter().filter(|key| unexpected.contains(key)).collect(),
            None => unexpected.iter().collect(),
        });
    }
    let unknown = unknown.filter(|keys| !keys.is_empty())?;
    Some(unknown.into_iter().map(|key| unknown_key(path, key, &known)).collect())
}

fn is_about_kind(error: &ValidationError<'_>) -> bool {
    matches!(error.kind(), Kind::Type { .. })
}

fn types_of(error: &ValidationError<'_>) -> Vec<&'static str> {
    match error.kind() {
        Kind::Type { kind } => expected_types(kind),
        _ => Vec::new(),
    }
}

fn options_of<'e>(error: &'e ValidationError<'_>) -> Vec<&'e Value> {
    match error.kind() {
        Kind::Enum { options } => options.as_array().into_iter().flatten().collect(),
        Kind::Constant { expected_value } => vec![expected_value],
        _ => Vec::new(),
    }
}
