//! What is wrong with the manifests, all of it, with file, line and column.

use std::fmt;
use std::path::PathBuf;

use super::decode::Mistake;
use super::node::Place;

/// One thing to correct.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// The file; none for an object of a cluster.
    pub file: Option<PathBuf>,
    /// Line and column; zero where unknown.
    pub place: Place,
    /// The object, as in `ExternalSecret shop/orders`; empty where it is not known.
    pub object: String,
    /// The field; empty where the whole object is meant.
    pub path: String,
    /// What is wrong and what to write instead.
    pub what: String,
}

impl Problem {
    /// A problem of a whole file or folder.
    pub fn of_file(file: impl Into<PathBuf>, what: impl Into<String>) -> Self {
        Self {
            file: Some(file.into()),
            place: Place::default(),
            object: String::new(),
            path: String::new(),
            what: what.into(),
        }
    }

    /// A mistake of one object.
    pub fn of_mistake(file: Option<PathBuf>, object: &str, mistake: Mistake) -> Self {
        Self { file, place: mistake.place, object: object.to_owned(), path: mistake.path, what: mistake.what }
    }
}

impl fmt::Display for Problem {
    /// One line: `file:line:column: object: field: what`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{}", file.display())?;
            if self.place.line > 0 {
                write!(f, ":{}:{}", self.place.line, self.place.column)?;
            }
            f.write_str(": ")?;
        }
        if !self.object.is_empty() {
            write!(f, "{}: ", self.object)?;
        }
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.what)
    }
}
