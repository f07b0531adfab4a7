//! The template engine: handlebars in strict mode over the embedded templates.
//!
//! A template decides nothing. It has three ways to write a value:
//! * `{{yaml value}}` writes any value as one line of flow YAML, strings always quoted. Whatever a user may have typed
//!   goes through it.
//! * `{{value}}` writes numbers, booleans and words of our own. Should other text come by, it is quoted (see
//!   [`guard`]), so that it cannot change the structure of the document.
//! * `{{#if}}` and `{{#each}}` choose and repeat.

use std::sync::LazyLock;

use handlebars::{
    Context, Handlebars, Helper, HelperDef, HelperResult, Output, RenderContext, RenderErrorReason,
    ScopedJson,
};
use serde::Serialize;
use serde_json::Value;

use super::RenderError;

/// Renders the embedded template of that name.
pub(crate) fn render(template: &'static str, values: &impl Serialize) -> Result<String, RenderError> {
    REGISTRY
        .render(template, values)
        .map_err(|source| RenderError::Template { template, source: Box::new(source) })
}

/// Renders the embedded template of that name and reads the text as YAML.
pub(crate) fn render_value(template: &'static str, values: &impl Serialize) -> Result<Value, RenderError> {
    let text = render(template, values)?;
    serde_saphyr::from_str(&text).map_err(|error| RenderError::Object {
        template,
        kind: "YAML document",
        message: error.to_string(),
    })
}

static REGISTRY: LazyLock<Handlebars<'static>> = LazyLock::new(|| {
    let mut registry = Handlebars::new();
    registry.set_strict_mode(true);
    registry.register_escape_fn(guard);
    registry.register_helper("yaml", Box::new(Unescaped(Yaml)));
    for template in tempoform_templates::ALL {
        registry
            .register_template_string(template.name, template.text)
            .expect("the embedded templates are well formed: a test compiles each");
    }
    registry
});

/// `{{yaml value}}`: the value as one line of JSON, which is flow YAML.
struct Yaml;

impl HelperDef for Yaml {
    fn call_inner<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        _: &'reg Handlebars<'reg>,
        _: &'rc Context,
        _: &mut RenderContext<'reg, 'rc>,
    ) -> Result<ScopedJson<'rc>, handlebars::RenderError> {
        let value = helper.param(0).ok_or(RenderErrorReason::ParamNotFoundForIndex("yaml", 0))?;
        if value.is_value_missing() {
            return Err(RenderErrorReason::MissingVariable(value.relative_path().cloned()).into());
        }
        Ok(ScopedJson::Derived(flow(&value.value().to_string()).into()))
    }
}

/// A helper whose text is written as it is, yet indented like any other.
struct Unescaped<H>(H);

impl<H: HelperDef> HelperDef for Unescaped<H> {
    fn call<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        registry: &'reg Handlebars<'reg>,
        context: &'rc Context,
        render: &mut RenderContext<'reg, 'rc>,
        out: &mut dyn Output,
    ) -> HelperResult {
        let before = render.is_disable_escape();
        render.set_disable_escape(true);
        let result = self.0.call(helper, registry, context, render, out);
        render.set_disable_escape(before);
        result
    }
}

/// JSON text that a YAML reader takes for the same value: YAML allows fewer characters to stand as they are.
fn flow(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            // Outside strings JSON is ASCII, so these can only stand inside one, where both languages read \u alike.
            '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}' => {
                out.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            c => out.push(c),
        }
    }
    out
}

/// Text without any meaning to YAML stays as it is; all else becomes a quoted string.
fn guard(text: &str) -> String {
    let harmless = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | '/');
    if !text.is_empty() && text.chars().all(harmless) {
        text.to_owned()
    } else {
        flow(&Value::from(text).to_string())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn render_text(template: &str, values: &Value) -> Result<String, handlebars::RenderError> {
        REGISTRY.render_template(template, values)
    }

    #[test]
    fn an_unknown_variable_is_an_error() {
        assert!(render_text("a: {{b}}", &json!({})).is_err());
        assert!(render_text("a: {{yaml b}}", &json!({})).is_err());
        assert!(render_text("a: {{yaml b.c}}", &json!({"b": {}})).is_err());
        assert_eq!(render_text("a: {{b}}", &json!({"b": 3})).unwrap(), "a: 3");
    }

    #[test]
    fn every_template_compiles() {
        for template in tempoform_templates::ALL {
            assert!(REGISTRY.has_template(template.name), "{}", template.name);
        }
    }

    proptest! {
        #[test]
        fn no_text_leaves_its_place(text in "\\PC{0,30}|[ -~\n\t\u{85}\u{2028}]{0,30}|true|null|12|1e3") {
            let values = json!({"text": text});
            let rendered = render_text("a: {{yaml text}}\nb: 1\n", &values).unwrap();
            let back: Value = serde_saphyr::from_str(&rendered).unwrap();
            prop_assert_eq!(back, json!({"a": text, "b": 1}));
            let guarded = render_text("a: {{text}}\nb: 1\n", &values).unwrap();
            let back: Value = serde_saphyr::from_str(&guarded).unwrap();
            prop_assert_eq!(&back["b"], &json!(1));
            prop_assert_eq!(back.as_object().unwrap().len(), 2);
        }
    }
}
