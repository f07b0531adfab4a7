//! YAML: documents, configurations, limits of tenants.

use tempoform_config::{Config, Limits, TenantOverrides, YamlMode};
use tempoform_core::TenantId;
use tempoform_document::{Document, Problems};

use crate::resources::within;

/// What a value and its place take; there are at most 200,000 in a text, and aliases make texts of a few bytes as large.
const MOST: usize = 256 << 20;

/// A document has one value, and a text of JSON is a document with that value.
pub(crate) fn document(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let documents = match within(MOST, || Document::parse_all("input", text)) {
        Ok(documents) => documents,
        Err(problems) => return well_told(&problems, text),
    };
    for document in documents {
        let json = serde_json::to_string(document.value()).expect("a value is JSON");
        // Aliases may make a text longer than one that is read.
        if json.len() > 1 << 20 {
            continue;
        }
        let again =
            Document::parse_all("json", &json).unwrap_or_else(|problems| unreachable!("{problems}\n{json}"));
        // An empty document is left out.
        if let Some(again) = again.first() {
            assert_eq!(again.value(), document.value(), "{json}");
        }
        assert!(document.position("").is_some());
    }
}

/// Every problem has a message in one line, and a place that is in the text.
fn well_told(problems: &Problems, text: &str) {
    assert!(!problems.is_empty());
    // YAML has three more characters that end a line.
    let lines = text.chars().filter(|c| "\n\r\u{85}\u{2028}\u{2029}".contains(*c)).count() + 2;
    for problem in problems.iter() {
        assert!(!problem.message.is_empty());
        assert!(problem.line.is_none_or(|line| (1..=lines).contains(&line)), "{problem:?} in {lines} lines");
    }
    assert!(problems.to_string().starts_with("input"), "{problems}");
}

/// A configuration that is accepted and shown is accepted again as it is shown.
pub(crate) fn config(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let variables = |name: &str| name.starts_with('A').then(|| name.to_owned());
    let config = match Config::load_with(text, "input", &variables) {
        Ok(config) => config,
        Err(problems) => return assert!(!problems.is_empty() && !problems.to_string().is_empty()),
    };
    drop(config.validate().to_string());
    drop(config.warnings().to_string());
    for mode in [YamlMode::Full, YamlMode::Diff] {
        let shown = config.to_yaml(mode);
        let again = Config::load(&shown, "shown", false);
        let again = again.unwrap_or_else(|problems| unreachable!("{problems}\n{shown}"));
        assert_eq!(again.to_yaml(mode), shown);
    }
}

/// Limits of tenants that are accepted are those of names that a tenant can have.
pub(crate) fn tenant_limits(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match TenantOverrides::load(text, "input", &Limits::default()) {
        Err(problems) => well_told(&problems, text),
        Ok(overrides) => {
            for (name, limits) in overrides.iter() {
                assert!(name == "*" || name.parse::<TenantId>().is_ok(), "{name:?}");
                assert_eq!(overrides.get(name), Some(limits));
            }
            drop(overrides.warnings().to_string());
        }
    }
}
