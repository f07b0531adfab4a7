use std::error::Error;

use tempoform_api::Problems;
use tempoform_engine::apply::ApplyError;
use tempoform_engine::render::RenderError;
use tempoform_engine::target::TargetError;

use crate::invocation::Invocation;
use crate::output;

/// Exit code of wrong arguments, where 1 tells of something else.
pub(crate) const USAGE: u8 = 2;

/// Why a command failed, as it is told to the user.
#[derive(Debug)]
pub(crate) struct Failure {
    message: String,
    causes: Vec<String>,
    help: Option<String>,
    code: u8,
}

impl Failure {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), causes: Vec::new(), help: None, code: 1 }
    }

    /// What was asked for makes no sense, told with the exit code of wrong arguments.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self { code: USAGE, ..Self::new(message) }
    }

    /// The exit code.
    pub(crate) fn code(&self) -> u8 {
        self.code
    }

    /// With a cause, and the causes of that.
    pub(crate) fn because(mut self, cause: &dyn Error) -> Self {
        let mut next = Some(cause);
        while let Some(cause) = next {
            self.causes.push(cause.to_string());
            next = cause.source();
        }
        self
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Prints it to standard error, with advice in the user's own words.
    pub(crate) fn print(&self, invocation: &Invocation) {
        let note = |line: String| output::note(&invocation.in_own_words(&line));
        let Self { message, causes, help, code: _ } = self;
        note(format!("error: {message}"));
        for cause in causes {
            note(format!("  caused by: {cause}"));
        }
        if let Some(help) = help {
            note(format!("help: {help}"));
        }
    }
}

impl std::fmt::Display for Failure {
    /// The message and its causes in one line.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)?;
        self.causes.iter().try_for_each(|cause| write!(f, ": {cause}"))
    }
}

impl From<tempoform_block::BlockError> for Failure {
    fn from(error: tempoform_block::BlockError) -> Self {
        let mut failure = Self::new(error.to_string());
        // The first cause tells those below it as well.
        failure.causes.extend(error.source().map(ToString::to_string));
        if !error.is_denied() {
            return failure;
        }
        failure.help(
            "the store refuses: check the credentials in the environment, and that they may list the bucket and get \
             objects; to change blocks also put and delete them",
        )
    }
}

impl From<tempoform_core::Error> for Failure {
    fn from(error: tempoform_core::Error) -> Self {
        Self::new(error.to_string())
    }
}

impl From<TargetError> for Failure {
    fn from(error: TargetError) -> Self {
        let mut failure = Self::new(error.to_string());
        if let Some(cause) = error.source() {
            failure = failure.because(cause);
        }
        failure.help = error.advice().map(str::to_owned);
        failure
    }
}

impl From<ApplyError> for Failure {
    fn from(error: ApplyError) -> Self {
        let error = match error {
            ApplyError::NotBegun(error) => {
                let failure = Self::from(error);
                return Self { message: format!("{}; nothing was changed", failure.message), ..failure };
            }
            ApplyError::NotServing { .. } => {
                return Self::new(error.to_string()).help("look at `tempoform logs`, then apply again");
            }
            error => error,
        };
        let ApplyError::Failed { failures, remaining, total } = &error else {
            return Self::new(error.to_string());
        };
        let count = failures.len();
        let mut failure = Self::new(format!("{count} of {total} changes failed, {remaining} were not begun"));
        for (object, error) in failures {
            let mut text = format!("{object}: {error}");
            let mut source = error.source();
            while let Some(cause) = source {
                text.push_str(&format!(": {cause}"));
                source = cause.source();
            }
            failure.causes.push(text);
        }
        let advice = failures.iter().find_map(|(_, error)| error.advice());
        failure.help(advice.unwrap_or("what was done is kept; the next apply goes on from there"))
    }
}

impl From<RenderError> for Failure {
    fn from(error: RenderError) -> Self {
        let mut failure = Self::new(error.to_string());
        if let Some(cause) = error.source() {
            failure = failure.because(cause);
        }
        failure
    }
}

impl From<Problems> for Failure {
    fn from(problems: Problems) -> Self {
        let count = match problems.len() {
            1 => "1 problem".to_owned(),
            several => format!("{several} problems"),
        };
        Self::new(format!("{count} in {}\n{problems}", problems.source_name))
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::new("input or output failed").because(&error)
    }
}
