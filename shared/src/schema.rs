//! JSON Schemas of what the two programs write, generated from the types themselves.
//!
//! Committed copies lie in `shared/schemas/`; a test fails when they differ from the types, so that a change of a
//! format shows in a review. `UPDATE_SCHEMAS=1 cargo test -p shared schema` writes them anew.

use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Value, json};

use crate::finding::{REPORT_VERSION, Report};
use crate::journal::{JOURNAL_VERSION, Record};
use crate::known::proof::KnownMatch;
use crate::known::{Header, KNOWN_VERSION};
use crate::receipt::{RECEIPT_VERSION, Receipt};

/// A format with a schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Schema {
    /// The scanner's JSON report.
    Report,
    /// The payload of a receipt, inside its DSSE envelope.
    Receipt,
    /// The journal of a Rotation, as the store keeps it.
    Journal,
    /// The plain header of a known file.
    KnownHeader,
    /// What a finding says about the known value that it found.
    KnownMatch,
}

impl Schema {
    /// All formats.
    pub const ALL: [Self; 5] =
        [Self::Report, Self::Receipt, Self::Journal, Self::KnownHeader, Self::KnownMatch];

    /// The word by which a command line names the format.
    pub fn word(self) -> &'static str {
        match self {
            Self::Report => "report",
            Self::Receipt => "receipt",
            Self::Journal => "journal",
            Self::KnownHeader => "known-header",
            Self::KnownMatch => "known-match",
        }
    }

    /// The version of the format that this code writes.
    pub fn version(self) -> u32 {
        match self {
            Self::Report => REPORT_VERSION,
            Self::Receipt => RECEIPT_VERSION,
            Self::Journal => JOURNAL_VERSION,
            Self::KnownHeader | Self::KnownMatch => KNOWN_VERSION,
        }
    }

    /// The name of the committed copy: `report-1.json`.
    pub fn file_name(self) -> String {
        format!("{}-{}.json", self.word(), self.version())
    }

    /// The schema (JSON Schema, draft 2020-12). The version of a format is a constant in it.
    pub fn to_value(self) -> Value {
        let mut schema = match self {
            Self::Report => root::<Report>(),
            Self::Receipt => root::<Receipt>(),
            Self::Journal => root::<Record>(),
            Self::KnownHeader => root::<Header>(),
            Self::KnownMatch => root::<KnownMatch>(),
        };
        schema["$id"] = json!(format!("https://keyturn.dev/schemas/{}", self.file_name()));
        if let Some(version) = schema.pointer_mut("/properties/version") {
            version["const"] = json!(self.version());
        }
        schema
    }

    /// The schema as the text of its committed copy.
    pub fn to_text(self) -> String {
        format!("{:#}\n", self.to_value())
    }
}

fn root<T: JsonSchema>() -> Value {
    SchemaGenerator::default().into_root_schema_for::<T>().to_value()
}

#[cfg(test)]
mod tests;
