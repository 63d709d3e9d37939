//! A baseline file under work.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use jiff::civil::Date;
use shared::config::Problems;
use shared::finding::Finding;
use shared::fingerprint::{Fingerprint, KeyId};
use toml_edit::{ArrayOfTables, DocumentMut, Item, Table, value};

use crate::policy::{Acceptance, Suppression, load};
use crate::report::destination::{Destination, DestinationError};

/// The name of the list of entries.
const ENTRIES: &str = "suppress";

/// A baseline: what it says, and the text that says it.
pub struct Book {
    path: PathBuf,
    /// Everything but the entries.
    document: DocumentMut,
    tables: ArrayOfTables,
    key_id: Option<KeyId>,
    /// The same entries as the tables, in the same order.
    entries: Vec<Suppression>,
    /// By secret and the path condition as it is written.
    places: HashMap<(Fingerprint, String), usize>,
}

/// Why a baseline cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BookError {
    /// Mistakes in the file.
    #[error("{0}")]
    Mistakes(Problems),
    /// It is TOML for the reader, and not for the editor.
    #[error("{}: its entries cannot be edited; write each as a [[suppress]] table", path.display())]
    Shape {
        /// The file as the user named it.
        path: PathBuf,
    },
    /// Its fingerprints cannot be compared.
    #[error("{}: its fingerprints were made under key {found}, and those of {other} under {expected}; scan again with the key that made the baseline", path.display())]
    OtherKey {
        /// The file as the user named it.
        path: PathBuf,
        /// Its key.
        found: KeyId,
        /// What it is compared with.
        other: String,
        /// The other's key.
        expected: KeyId,
    },
}

impl Book {
    /// An empty baseline, to be written to a file later.
    pub fn new(path: &Path, key_id: KeyId) -> Self {
        let mut document = DocumentMut::new();
        document["version"] = value(1);
        document["key_id"] = value(key_id.to_string());
        if let Some(mut key) = document.key_mut("version") {
            key.leaf_decor_mut().set_prefix(format!("{}\n", super::HEADING));
        }
        Self {
            path: path.to_owned(),
            document,
            tables: ArrayOfTables::new(),
            key_id: Some(key_id),
            entries: Vec::new(),
            places: HashMap::new(),
        }
    }

    /// Reads a baseline.
    ///
    /// # Errors
    /// Every mistake of the file.
    pub fn read(path: &Path) -> Result<Self, BookError> {
        let shape = || BookError::Shape { path: path.to_owned() };
        let mut problems = Problems::new();
        let Some(source) = shared::config::Source::read(path, &mut problems) else {
            return Err(BookError::Mistakes(problems));
        };
        let read = load::parse_baseline(&source).map_err(BookError::Mistakes)?;
        let mut document: DocumentMut = source.text().parse().map_err(|_| shape())?;
        // An array of inline tables means the same, and becomes what can be edited.
        let tables = match document.remove(ENTRIES) {
            Some(item) => item.into_array_of_tables().map_err(|_| shape())?,
            None => ArrayOfTables::new(),
        };
        if tables.len() != read.suppressions.len() {
            return Err(shape());
        }
        let mut book = Self {
            path: path.to_owned(),
            document,
            tables,
            key_id: read.key_id,
            entries: read.suppressions,
            places: HashMap::new(),
        };
        book.index();
        Ok(book)
    }

    /// The first entry counts where two are for the same.
    fn index(&mut self) {
        self.places.clear();
        for index in 0..self.entries.len() {
            let place = (self.entries[index].fingerprint, self.path_text(index));
            self.places.entry(place).or_insert(index);
        }
    }

    /// The entries, in the order of the file.
    pub fn entries(&self) -> &[Suppression] {
        &self.entries
    }

    /// The key of its fingerprints; a file without entries may have none.
    pub fn key_id(&self) -> Option<KeyId> {
        self.key_id
    }

    /// Holds the key of something else against the file's own, which it takes over if it has none.
    ///
    /// # Errors
    /// When the two differ.
    pub fn agree_on_key(&mut self, expected: KeyId, other: &str) -> Result<(), BookError> {
        match self.key_id {
            Some(found) if found != expected => {
                Err(BookError::OtherKey { path: self.path.clone(), found, other: other.to_owned(), expected })
            }
            Some(_) => Ok(()),
            None => {
                self.document["key_id"] = value(expected.to_string());
                self.key_id = Some(expected);
                Ok(())
            }
        }
    }

    /// The path condition of an entry as it is written; empty without one.
    pub fn path_text(&self, index: usize) -> String {
        let table = self.tables.get(index);
        let path = table.and_then(|table| table.get("path"));
        path.map(|item| item.to_string().trim().to_owned()).unwrap_or_default()
    }

    /// The entry for a secret under a path condition, as it is written.
    pub fn find(&self, fingerprint: Fingerprint, path_text: &str) -> Option<usize> {
        self.places.get(&(fingerprint, path_text.to_owned())).copied()
    }

    /// Accepts a secret wherever it lies. An entry for it that has no path is renewed; `true` if there was none.
    pub fn accept(&mut self, finding: &Finding, acceptance: &Acceptance) -> bool {
        let fingerprint = finding.fingerprint;
        if let Some(index) = self.find(fingerprint, "") {
            self.renew(index, acceptance);
            return false;
        }
        let mut table = Table::new();
        table.decor_mut().set_prefix(format!("\n{}\n", super::comment(finding)));
        table["fingerprint"] = value(fingerprint.to_string());
        write_acceptance(&mut table, acceptance);
        self.push(table, Suppression { fingerprint, path: None, acceptance: acceptance.clone() });
        true
    }

    /// Takes over an entry of another baseline, with the comment above it.
    pub fn take(&mut self, other: &Self, index: usize) {
        if let (Some(table), Some(entry)) = (other.tables.get(index), other.entries.get(index)) {
            let mut table = table.clone();
            if table.decor().prefix().and_then(|prefix| prefix.as_str()).is_none_or(str::is_empty) {
                table.decor_mut().set_prefix("\n");
            }
            self.push(table, entry.clone());
        }
    }

    fn push(&mut self, mut table: Table, entry: Suppression) {
        // A table remembers its place in the file that it comes from.
        table.set_position(None);
        self.tables.push(table);
        let index = self.entries.len();
        self.entries.push(entry);
        let place = (self.entries[index].fingerprint, self.path_text(index));
        self.places.entry(place).or_insert(index);
    }

    /// Gives an entry another acceptance.
    pub fn renew(&mut self, index: usize, acceptance: &Acceptance) {
        if let (Some(table), Some(entry)) = (self.tables.get_mut(index), self.entries.get_mut(index)) {
            write_acceptance(table, acceptance);
            entry.acceptance = acceptance.clone();
        }
    }

    /// Keeps the entries that a predicate on their index holds for.
    pub fn retain(&mut self, keep: impl FnMut(usize) -> bool) {
        let kept: Vec<bool> = (0..self.entries.len()).map(keep).collect();
        let mut flags = kept.iter();
        self.tables.retain(|_| flags.next().copied().unwrap_or(true));
        let mut flags = kept.iter();
        self.entries.retain(|_| flags.next().copied().unwrap_or(true));
        self.index();
    }

    /// Writes the file, as a whole or not at all.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, destination: &Destination) -> Result<(), DestinationError> {
        let mut document = self.document.clone();
        if !self.tables.is_empty() {
            document.insert(ENTRIES, Item::ArrayOfTables(self.tables.clone()));
        }
        let text = document.to_string();
        destination.write(|out| out.write_all(text.as_bytes()))
    }
}

fn write_acceptance(table: &mut Table, acceptance: &Acceptance) {
    table["owner"] = value(&acceptance.owner);
    table["reason"] = value(&acceptance.reason);
    table["expires"] = value(date(acceptance.expires));
}

/// The day as TOML writes it, without quotes.
fn date(date: Date) -> toml_edit::Datetime {
    toml_edit::Datetime {
        date: Some(toml_edit::Date {
            year: u16::try_from(date.year()).unwrap_or_default(),
            month: u8::try_from(date.month()).unwrap_or_default(),
            day: u8::try_from(date.day()).unwrap_or_default(),
        }),
        time: None,
        offset: None,
    }
}
