use std::fmt;

/// One thing that is wrong with a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where, as a path from the document's root: `spec.ingester.replicas`, `spec.env[0].name`;
    /// empty for the document as a whole.
    pub path: String,
    /// Line in the source, from 1, if known.
    pub line: Option<usize>,
    /// Column in the source, in characters from 1, if known.
    pub column: Option<usize>,
    /// What is wrong, with the value found.
    pub message: String,
    /// What would be right, if there is more to say.
    pub help: Option<String>,
}

impl Problem {
    /// A problem at `path`, with no position yet (see [`crate::Document::locate`]).
    pub fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { path: path.into(), line: None, column: None, message: message.into(), help: None }
    }

    /// The same problem with advice on what would be right.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// The same problem at a line and column, both from 1.
    #[must_use]
    pub fn at(mut self, (line, column): (usize, usize)) -> Self {
        self.line = Some(line);
        self.column = Some(column);
        self
    }
}

/// Every problem found in one source, in the order of the source.
///
/// Displays as one `source:line:column: path: message` line per problem, help indented below it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems {
    /// Name of the source for messages, normally the file as the user wrote it.
    pub source_name: String,
    /// What is wrong.
    pub problems: Vec<Problem>,
}

impl Problems {
    /// No problems yet in `source_name`.
    pub fn new(source_name: impl Into<String>) -> Self {
        Self { source_name: source_name.into(), problems: Vec::new() }
    }

    /// Adds a problem.
    pub fn push(&mut self, problem: Problem) {
        self.problems.push(problem);
    }

    /// Adds the problems of another list; its source name is dropped.
    pub fn extend(&mut self, more: impl IntoIterator<Item = Problem>) {
        self.problems.extend(more);
    }

    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.problems.is_empty()
    }

    /// How many problems there are.
    pub fn len(&self) -> usize {
        self.problems.len()
    }

    /// Iterates over the problems.
    pub fn iter(&self) -> std::slice::Iter<'_, Problem> {
        self.problems.iter()
    }

    /// `value` if nothing is wrong.
    ///
    /// # Errors
    /// These problems, sorted by position, if there are any.
    pub fn into_result<T>(mut self, value: T) -> Result<T, Self> {
        if self.is_empty() {
            return Ok(value);
        }
        self.sort();
        Err(self)
    }

    /// Sorts by position in the source; problems without one come last.
    pub fn sort(&mut self) {
        self.problems.sort_by_key(|p| (p.line.unwrap_or(usize::MAX), p.column.unwrap_or(usize::MAX)));
    }
}

impl IntoIterator for Problems {
    type Item = Problem;
    type IntoIter = std::vec::IntoIter<Problem>;

    fn into_iter(self) -> Self::IntoIter {
        self.problems.into_iter()
    }
}

impl<'a> IntoIterator for &'a Problems {
    type Item = &'a Problem;
    type IntoIter = std::slice::Iter<'a, Problem>;

    fn into_iter(self) -> Self::IntoIter {
        self.problems.iter()
    }
}

impl std::error::Error for Problems {}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            match (self.source_name.as_str(), problem.line) {
                ("", _) => {}
                (source, Some(_)) => write!(f, "{source}:")?,
                (source, None) => write!(f, "{source}: ")?,
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "{line}:{}: ", self.column.unwrap_or(1))?;
        }
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)?;
        match &self.help {
            Some(help) => write!(f, "\n    {help}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_are_shown_a_line_each_in_the_order_of_the_source() {
        let mut problems = Problems::new("tempo.yaml");
        problems.push(Problem::new("c", "has no place"));
        problems.push(Problem::new("b", "is wrong").at((2, 3)).help("do this"));
        problems.push(Problem::new("", "is wrong as a whole").at((1, 1)));
        let shown = problems.into_result(()).unwrap_err().to_string();
        insta::assert_snapshot!(shown, @r#"
        tempo.yaml:1:1: is wrong as a whole
        tempo.yaml:2:3: b: is wrong
            do this
        tempo.yaml: c: has no place
        "#);
    }

    #[test]
    fn without_a_source_nothing_stands_in_its_place() {
        let mut problems = Problems::default();
        problems.push(Problem::new("a.b", "is wrong"));
        assert_eq!(problems.to_string(), "a.b: is wrong");
        assert!(Problems::new("x").into_result(5) == Ok(5));
    }
}
