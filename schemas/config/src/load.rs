use std::fmt;
use std::sync::Arc;

use tempoform_document::{Document, Problem, Problems, Scalars};

use crate::{Config, compatibility, expand};

/// Where a configuration was read from, so that later checks can name line and column. Plays no part in
/// comparisons.
#[derive(Clone, Default)]
pub struct Origin {
    document: Option<Arc<Document>>,
    notes: Vec<Problem>,
}

impl Config {
    /// Reads a configuration file. With `expand_env`, `${VAR}` and `${VAR:default}` are replaced by
    /// environment variables first; one that is not set and has no default is replaced by nothing.
    ///
    /// Only the form is checked, see [`Config::validate`] for the meaning: the command line may still change
    /// [`Config::target`]. An empty file gives the defaults.
    ///
    /// # Errors
    /// Every problem of form: YAML that cannot be parsed, unknown keys, wrong types.
    pub fn load(text: &str, source_name: impl Into<String>, expand_env: bool) -> Result<Self, Problems> {
        if !expand_env {
            return Self::parse(text, Problems::new(source_name));
        }
        Self::load_with(text, source_name, &|name| std::env::var(name).ok())
    }

    /// The same with `variables` in the place of the environment.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn load_with(
        text: &str,
        source_name: impl Into<String>,
        variables: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, Problems> {
        let mut problems = Problems::new(source_name);
        let text = expand::expand(text, variables, &mut problems);
        Self::parse(&text, problems)
    }

    fn parse(text: &str, mut problems: Problems) -> Result<Self, Problems> {
        let Some(mut document) = the_document(text, &mut problems) else {
            return problems.into_result(Self::default());
        };
        let notes = compatibility::adapt_config(&mut document, &mut problems);
        let decoded = document.decode_with::<Self>(Scalars::AsWritten).unwrap_or_else(|more| {
            problems.extend(more);
            Self::default()
        });
        let mut config = problems.into_result(decoded)?;
        config.origin = Origin { document: Some(Arc::new(document)), notes };
        Ok(config)
    }

    /// What is allowed but probably not meant: keys that have no effect, with the reason, and settings
    /// that do not go together well. One line each.
    pub fn warnings(&self) -> Problems {
        let mut warnings = self.origin.problems();
        warnings.extend(self.origin.notes.iter().cloned());
        crate::validate::warn(self, &mut warnings);
        self.origin.locate(warnings)
    }

    /// Checks what the form cannot show, for the components that [`Config::target`] runs: what is
    /// required, ranges, settings that exclude each other. Empty if all is well.
    pub fn validate(&self) -> Problems {
        let mut problems = self.origin.problems();
        crate::validate::validate(self, &mut problems);
        self.origin.locate(problems)
    }
}

/// The one document of a file; none if the file is empty.
pub(crate) fn the_document(text: &str, problems: &mut Problems) -> Option<Document> {
    match Document::parse_all(&*problems.source_name, text) {
        Ok(mut documents) => {
            if let Some(second) = documents.get(1) {
                let problem = Problem::new("", "a second document starts here; a configuration is one");
                problems.push(second.locate(problem));
            }
            (!documents.is_empty()).then(|| documents.swap_remove(0))
        }
        Err(more) => {
            problems.extend(more);
            None
        }
    }
}

impl Origin {
    fn problems(&self) -> Problems {
        self.document.as_ref().map_or_else(Problems::default, |document| document.problems())
    }

    fn locate(&self, mut problems: Problems) -> Problems {
        if let Some(document) = &self.document {
            problems.problems = problems.problems.into_iter().map(|p| document.locate(p)).collect();
        }
        problems.sort();
        problems
    }
}

impl PartialEq for Origin {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.document.as_ref().map_or("none", |document| document.source_name());
        f.debug_tuple("Origin").field(&name).finish()
    }
}
