//! YAML: several documents in one file, limits on aliases and depth, lines counted through the whole file.

use serde::Deserialize;
use serde_saphyr::{DuplicateKeyPolicy, Error, Location, MergeKeyPolicy, Options, Spanned};

use super::collect::{Noting, PlacedKey};
use super::{Collector, Place, Problem, Problems, Source, kind_of, nearest, one_of, without_values};

/// More documents than any cluster has manifests in one file.
const DOCUMENTS_MAX: usize = 10_000;

/// One document of a YAML file.
#[derive(Clone, Copy, Debug)]
pub struct Document<'s> {
    source: &'s Source,
    text: &'s str,
    lines_before: u64,
}

impl<'s> Document<'s> {
    /// The file that the document is part of.
    pub fn source(&self) -> &'s Source {
        self.source
    }

    /// The document's own text, with its `---` line if it has one.
    pub fn text(&self) -> &'s str {
        self.text
    }

    /// The place in the file of a value that was read as `serde_saphyr::Spanned` (its `referenced`).
    /// A value without a location (serde loses it in untagged enums) has the document's first line.
    pub fn place(&self, location: &Location) -> Place {
        Place { line: self.lines_before + location.line().max(1), column: location.column().max(1) }
    }

    /// A problem at a value of this document.
    pub fn problem(&self, at: &Location, what: impl Into<String>, instead: impl Into<String>) -> Problem {
        self.source.problem(self.place(at), what, instead)
    }

    /// Reads the document. The answer is `None` when its shape is wrong; unknown fields alone give a value and
    /// problems. A document can be read more than once: first its kind, then the type of that kind.
    pub fn read<T: Deserialize<'s>>(&self, problems: &mut Problems) -> Option<T> {
        let collector = Collector::new(self.text);
        let value =
            serde_saphyr::with_deserializer_from_str_with_options(self.text, options(), |deserializer| {
                T::deserialize(Noting::<_, Spanned<String>>::new(deserializer, &collector))
            });
        let mut unknown = collector.into_unknown();
        unknown.iter_mut().for_each(|unknown| unknown.place.line += self.lines_before);
        self.source.take_unknown(unknown, problems);
        value.map_err(|error| problems.push(self.explain(error.without_snippet()))).ok()
    }

    /// Reads a few fields and ignores the others: what kind of document this is.
    pub fn peek<T: Deserialize<'s>>(&self, problems: &mut Problems) -> Option<T> {
        serde_saphyr::from_str_with_options(self.text, options())
            .map_err(|error| problems.push(self.explain(error.without_snippet())))
            .ok()
    }

    fn explain(&self, error: &Error) -> Problem {
        let at = error.location().unwrap_or(Location::UNKNOWN);
        let error = match error {
            Error::AliasError { error, .. } => error,
            other => other,
        };
        let (what, instead) = match error {
            Error::SerdeMissingField { field, .. } => {
                (format!("`{field}` is missing"), format!("add `{field}: …`"))
            }
            Error::SerdeUnknownField { field, expected, .. } => {
                (format!("unknown field `{field}`"), nearest(field, expected))
            }
            Error::SerdeUnknownVariant { expected, .. } => ("unknown value".into(), one_of(expected)),
            Error::SerdeInvalidType { unexpected, expected, .. }
            | Error::SerdeInvalidValue { unexpected, expected, .. } => {
                (format!("found {}", kind_of(unexpected)), format!("expected {expected}"))
            }
            Error::DuplicateMappingKey { .. } => ("the same key twice".into(), "keep one of the two".into()),
            Error::Budget { .. }
            | Error::AliasReplayLimitExceeded { .. }
            | Error::AliasExpansionLimitExceeded { .. }
            | Error::AliasReplayStackDepthExceeded { .. } => {
                ("more aliases, values or nesting than a manifest needs".into(), "write it out".into())
            }
            // The other errors are about syntax and name no value.
            other => (without_values(&plain(other)), String::new()),
        };
        self.problem(&at, what, instead)
    }
}

/// The error's text without the location that its rendering appends.
fn plain(error: &Error) -> String {
    let text = error.to_string();
    match text.split_once(" at line ") {
        Some((message, _)) => message.to_owned(),
        None => text,
    }
}

impl PlacedKey for Spanned<String> {
    fn name(&self) -> &str {
        &self.value
    }

    fn place(&self, _: &str) -> Place {
        Place { line: self.referenced.line().max(1), column: self.referenced.column().max(1) }
    }
}

/// Strict reading within small limits: a manifest has a few hundred values, an alias bomb has billions.
fn options() -> Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_events: 400_000,
            max_nodes: 200_000,
            max_depth: 64,
            max_aliases: 1_000,
            max_anchors: 1_000,
            max_documents: 1,
        },
        duplicate_keys: DuplicateKeyPolicy::Error,
        merge_keys: MergeKeyPolicy::Merge,
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: 50_000,
            max_replay_stack_depth: 16,
        },
        strict_booleans: true,
        with_snippet: false,
    }
}

/// Splits a file at its document markers. By YAML 1.2 (9.1.2) a line that begins with `---` or `...` and white
/// space ends a document even inside a quoted or block scalar, so that no parsing is needed to see it.
pub(super) fn documents<'s>(source: &'s Source, problems: &mut Problems) -> Vec<Document<'s>> {
    let mut documents = Vec::new();
    let mut start = 0;
    let mut start_line = 0;
    let mut offset = 0;
    let text = source.text();
    let mut line_number = 0;
    let mut cut = |from: usize, to: usize, lines_before: u64| {
        documents.push(Document { source, text: &text[from..to], lines_before });
    };
    for line in text.split_inclusive('\n') {
        // Directives (`%YAML`) stand before the marker of the document that they belong to.
        if is_marker(line, "---") && !begins_with_directive(&text[start..offset]) {
            cut(start, offset, start_line);
            (start, start_line) = (offset, line_number);
        }
        offset += line.len();
        line_number += 1;
        if is_marker(line, "...") {
            cut(start, offset, start_line);
            (start, start_line) = (offset, line_number);
        }
    }
    cut(start, offset, start_line);
    documents.retain(|document| !is_empty(document.text));
    if documents.len() > DOCUMENTS_MAX {
        let place = Place { line: documents[DOCUMENTS_MAX].lines_before + 1, column: 1 };
        problems.push(source.problem(
            place,
            format!("more than {DOCUMENTS_MAX} documents"),
            "split the file",
        ));
        documents.truncate(DOCUMENTS_MAX);
    }
    documents
}

fn is_marker(line: &str, marker: &str) -> bool {
    line.strip_prefix(marker).is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']))
}

fn begins_with_directive(text: &str) -> bool {
    let mut lines = text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#'));
    lines.next().is_some_and(|line| line.starts_with('%')) && !text.lines().any(|line| is_marker(line, "---"))
}

/// Whether there are only markers, comments and blank lines.
fn is_empty(text: &str) -> bool {
    text.trim_start_matches('\u{feff}').lines().all(|line| {
        let line = line.strip_prefix("---").or_else(|| line.strip_prefix("...")).unwrap_or(line).trim();
        line.is_empty() || line.starts_with('#')
    })
}
