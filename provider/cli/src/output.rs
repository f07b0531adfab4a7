//! What is printed where.

use std::io::{self, IsTerminal as _, Write as _};

use crate::failure::Failure;

/// Data, to standard output. A reader that has gone away is not an error.
pub(crate) fn data(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::new("cannot write to standard output").because(&error))
        }
        _ => Ok(()),
    }
}

/// Data as indented JSON, with a line end.
pub(crate) fn json(value: &impl serde::Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|error| Failure::new("cannot write the result as JSON").because(&error))?;
    data(&format!("{text}\n"))
}

/// A line for people, to standard error. Nobody is left to hear that it could not be written.
pub(crate) fn note(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// Whether data may be coloured: standard output is a terminal, and `NO_COLOR` is not set.
pub(crate) fn colour() -> bool {
    io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Asks for the word `yes`. Without a terminal there is nobody to ask, and `flag` is needed.
pub(crate) fn confirm(question: &str, flag: &str) -> Result<bool, Failure> {
    if !io::stdin().is_terminal() {
        return Err(Failure::new("there is no terminal to ask for confirmation")
            .help(format!("look at the plan above, then run the command again with {flag}")));
    }
    let mut err = io::stderr().lock();
    write!(err, "{question} Only \"yes\" is taken as yes: ")?;
    err.flush()?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    Ok(answer.trim() == "yes")
}
