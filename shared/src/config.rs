//! Configuration files: read strictly, every problem reported together.
//!
//! A [`Source`] is a file's text with a bounded size. TOML comes out of [`Source::toml`], YAML document by
//! document out of [`Source::documents`]. Fields that no type knows, values of the wrong shape and what the
//! caller finds wrong afterwards all go into one [`Problems`], each with file, line, column and what to write
//! instead. Messages never quote a value of the wrong shape: a password pasted into the wrong field stays out
//! of the log.
//!
//! Unknown fields are collected for the whole document, whether or not the type says `deny_unknown_fields`
//! (types with `#[serde(flatten)]` must say it). The first value of a wrong shape ends its document; the next
//! document is still read.

use std::fmt;
use std::io::Read;
use std::path::Path;

use serde::Deserialize;

use collect::{Collector, Unknown};

mod collect;
mod toml_file;
mod yaml;

pub use yaml::Document;

/// The largest configuration file that is read, in bytes.
pub const FILE_BYTES_MAX: usize = 4 << 20;
/// How many problems are listed one by one; the rest are counted.
const LISTED_MAX: usize = 100;

/// A place in a file: line and column count from 1, the column in code points.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The line, from 1.
    pub line: u64,
    /// The column, from 1, in code points.
    pub column: u64,
}

impl Place {
    /// The first character of a file.
    pub const START: Self = Self { line: 1, column: 1 };

    /// The place of a byte of a text; the end for an offset beyond it.
    pub fn of_byte(text: &str, offset: usize) -> Self {
        let mut end = offset.min(text.len());
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let before = &text[..end];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = before.bytes().filter(|&byte| byte == b'\n').count() as u64 + 1;
        Self { line, column: before[line_start..].chars().count() as u64 + 1 }
    }
}

/// One thing that is wrong in a configuration file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file as the user named it.
    pub file: String,
    /// Where in the file.
    pub place: Place,
    /// What is wrong, in a few words, without a full stop.
    pub what: String,
    /// What to write instead; empty when `what` already says it.
    pub instead: String,
}

impl fmt::Display for Problem {
    /// `FILE:LINE:COLUMN: what; instead`, on one line whatever the parts hold.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Place { line, column } = self.place;
        let separator = if self.instead.is_empty() { "" } else { "; " };
        let text = format!("{}:{line}:{column}: {}{separator}{}", self.file, self.what, self.instead);
        text.chars().try_for_each(|c| match c {
            c if c.is_control() => write!(f, "{}", c.escape_default()),
            c => write!(f, "{c}"),
        })
    }
}

/// Everything that is wrong in the configuration, to be shown together. One line per problem.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems {
    listed: Vec<Problem>,
    unlisted: usize,
}

impl Problems {
    /// Nothing wrong yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a problem. Beyond the first hundred, problems are only counted.
    pub fn push(&mut self, problem: Problem) {
        if self.listed.len() < LISTED_MAX {
            self.listed.push(problem);
        } else {
            self.unlisted += 1;
        }
    }

    /// Adds all problems of another list.
    pub fn absorb(&mut self, other: Self) {
        self.unlisted += other.unlisted;
        other.listed.into_iter().for_each(|problem| self.push(problem));
    }

    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.listed.is_empty()
    }

    /// The number of problems, listed or not.
    pub fn len(&self) -> usize {
        self.listed.len() + self.unlisted
    }

    /// The listed problems, in the order in which they were found.
    pub fn iter(&self) -> std::slice::Iter<'_, Problem> {
        self.listed.iter()
    }

    /// The value if nothing is wrong.
    ///
    /// # Errors
    /// All problems, ordered by file and place.
    pub fn unless_any<T>(mut self, value: T) -> Result<T, Self> {
        if self.is_empty() {
            return Ok(value);
        }
        self.listed.sort_by(|a, b| a.file.cmp(&b.file).then(a.place.cmp(&b.place)));
        Err(self)
    }
}

impl<'a> IntoIterator for &'a Problems {
    type Item = &'a Problem;
    type IntoIter = std::slice::Iter<'a, Problem>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.listed.iter().enumerate() {
            let newline = if index == 0 { "" } else { "\n" };
            write!(f, "{newline}{problem}")?;
        }
        match self.unlisted {
            0 => Ok(()),
            more => write!(f, "\nand {more} more problems"),
        }
    }
}

impl std::error::Error for Problems {}

/// The text of a configuration file and the name that problems call it by.
#[derive(Clone, Debug)]
pub struct Source {
    file: String,
    text: String,
}

impl Source {
    /// A text that is already in memory.
    pub fn from_text(file: impl Into<String>, text: impl Into<String>) -> Self {
        Self { file: file.into(), text: text.into() }
    }

    /// Reads a file of at most [`FILE_BYTES_MAX`]. What is wrong with it goes to `problems`.
    pub fn read(path: &Path, problems: &mut Problems) -> Option<Self> {
        let file = path.display().to_string();
        let mut refuse = |what: String, instead: &str| {
            problems.push(Problem {
                file: file.clone(),
                place: Place::START,
                what,
                instead: instead.to_owned(),
            });
        };
        let mut bytes = Vec::new();
        let read = std::fs::File::open(path)
            .and_then(|opened| opened.take(FILE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes));
        if let Err(error) = read {
            refuse(format!("cannot be read: {error}"), "name a file that exists and that you may read");
            return None;
        }
        if bytes.len() > FILE_BYTES_MAX {
            refuse(format!("larger than {} MiB", FILE_BYTES_MAX >> 20), "split the file");
            return None;
        }
        match String::from_utf8(bytes) {
            Ok(text) => Some(Self { file, text }),
            Err(error) => {
                let valid = error.utf8_error().valid_up_to();
                let place = Place::of_byte(&String::from_utf8_lossy(&error.as_bytes()[..valid]), valid);
                problems.push(Problem {
                    file,
                    place,
                    what: "not UTF-8".into(),
                    instead: "save the file as UTF-8".into(),
                });
                None
            }
        }
    }

    /// The name that problems call the file by.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The whole text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// A problem at a place of this file.
    pub fn problem(&self, place: Place, what: impl Into<String>, instead: impl Into<String>) -> Problem {
        Problem { file: self.file.clone(), place, what: what.into(), instead: instead.into() }
    }

    /// Reads the file as one TOML document. Use `toml::Spanned` for values that are checked later, and
    /// [`Place::of_byte`] with the start of their span.
    ///
    /// The answer is `None` when the shape is wrong; unknown fields alone give a value and problems.
    pub fn toml<'de, T: Deserialize<'de>>(&'de self, problems: &mut Problems) -> Option<T> {
        toml_file::read(self, problems)
    }

    /// The documents of a YAML file, in order; empty ones (comments alone) are left out.
    pub fn documents(&self, problems: &mut Problems) -> Vec<Document<'_>> {
        yaml::documents(self, problems)
    }

    fn take_unknown(&self, unknown: Vec<Unknown>, problems: &mut Problems) {
        for Unknown { place, field, expected } in unknown {
            problems.push(self.problem(place, format!("unknown field `{field}`"), nearest(&field, expected)));
        }
    }
}

/// `did you mean …` for a typing error, else the whole list.
fn nearest(given: &str, expected: &[&str]) -> String {
    let best = expected.iter().map(|name| (edits(given, name), name)).min();
    match best {
        Some((distance, name)) if distance <= 1 + name.len() / 4 => format!("did you mean `{name}`?"),
        _ => one_of(expected),
    }
}

/// `expected one of …`.
fn one_of(expected: &[&str]) -> String {
    match expected {
        [] => "remove it: nothing is expected here".to_owned(),
        [one] => format!("expected `{one}`"),
        many => format!("expected one of `{}`", many.join("`, `")),
    }
}

/// Levenshtein's distance, ignoring case, `-` and `_` (kebab, snake and camel case name the same field).
fn edits(a: &str, b: &str) -> usize {
    let plain = |text: &str| {
        let kept = text.chars().filter(|c| !matches!(c, '-' | '_')).take(64);
        kept.flat_map(char::to_lowercase).collect::<Vec<_>>()
    };
    let (a, b) = (plain(a), plain(b));
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

/// A message of serde without the value that it quotes: `invalid type: string "…", expected u64` becomes
/// `found a string, expected u64`.
fn without_values(message: &str) -> String {
    let rest = message.strip_prefix("invalid type: ").or_else(|| message.strip_prefix("invalid value: "));
    let Some((found, expected)) = rest.and_then(|rest| rest.rsplit_once(", expected ")) else {
        return message.lines().next().unwrap_or_default().to_owned();
    };
    format!("found {}, expected {}", kind_of(found), expected.lines().next().unwrap_or_default())
}

/// The kind that serde's `Unexpected` names, without the value behind it.
fn kind_of(unexpected: &str) -> String {
    let kind = unexpected.split(['"', '`']).next().unwrap_or_default().trim();
    let article = if kind.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
    match kind {
        "" => "another value".to_owned(),
        "null" | "unit value" => "nothing".to_owned(),
        kind => format!("{article} {kind}"),
    }
}

#[cfg(test)]
mod tests;
