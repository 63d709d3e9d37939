//! What a target may cost. Every limit has a name, a default that real images stay below, and a reason.
//!
//! A limit that is reached is never silent: the part that was not read becomes a skip that names the limit, and
//! the verdict is incomplete. `--limit NAME=VALUE` and the policy change them.

use std::time::Duration;

use thiserror::Error;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// Memory for archives inside streams, all threads together: beyond, each lies in a temporary file.
pub(crate) const BUFFER_BYTES: u64 = 8 * MIB;

/// The largest manifest, index or configuration that is parsed. Registries refuse manifests over 4 MiB.
pub(crate) const DOCUMENT_BYTES_MAX: u64 = 8 * MIB;

/// Until a stream has grown to this size its ratio is not looked at: a log file of 500 MB may well compress a
/// thousandfold.
pub(crate) const RATIO_FLOOR_BYTES: u64 = GIB;

/// The limits of one run. Each holds for one target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes that decompression may produce.
    pub expanded_bytes: u64,
    /// How many times larger than its stored form a compressed stream may become.
    pub ratio: u64,
    /// How deep archives may nest. A layer of an image, or a plain archive, is one level.
    pub depth: u32,
    /// Entries of archives and folders, all together.
    pub entries: u64,
    /// Wall-clock time.
    pub time: Duration,
    /// Memory for windows and dictionaries of decoders, all threads together, in bytes.
    pub decoder_memory: u64,
    /// Disk space for one unlinked temporary file, in bytes: for an archive inside a stream, a window that finds no
    /// memory, and what waits for memory.
    pub spill: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            expanded_bytes: 64 * GIB,
            ratio: 250,
            depth: 8,
            entries: 4_000_000,
            time: Duration::from_secs(3600),
            decoder_memory: 48 * MIB,
            spill: 2 * GIB,
        }
    }
}

/// A row of the table of limits, for `--help`, the README and error messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitRow {
    /// The name in `--limit NAME=VALUE` and under `[limits]` of a policy.
    pub name: &'static str,
    /// The default, written as a person would write it.
    pub default: &'static str,
    /// What it bounds, and why this number.
    pub meaning: &'static str,
}

/// All limits.
pub const TABLE: [LimitRow; 7] = [
    LimitRow {
        name: "expanded-bytes",
        default: "64GiB",
        meaning: "bytes that decompression of one target may produce; the largest public images unpack to 30 GB",
    },
    LimitRow {
        name: "ratio",
        default: "250",
        meaning: "expanded : stored of one compressed stream beyond its first GiB; real layers stay below 20",
    },
    LimitRow {
        name: "depth",
        default: "8",
        meaning: "nesting of archives; a jar in a war in a layer in an image is 4",
    },
    LimitRow {
        name: "entries",
        default: "4000000",
        meaning: "files and archive members of one target; 16 bytes of memory each",
    },
    LimitRow { name: "time", default: "1h", meaning: "wall-clock time of one target" },
    LimitRow {
        name: "decoder-memory",
        default: "48MiB",
        meaning: "windows of all decoders together; one of zstd or xz that finds no room lies in a file",
    },
    LimitRow {
        name: "spill",
        default: "2GiB",
        meaning: "an unlinked temporary file: an archive inside a stream, a large window, what waits; 0 for none",
    },
];

/// Why a limit was not understood.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum LimitError {
    /// No equals sign.
    #[error("`{given}` is no limit: write NAME=VALUE, for instance `depth=4`")]
    Shape {
        /// What was typed.
        given: String,
    },
    /// No such limit.
    #[error("no limit is named `{name}`: use one of {}", names())]
    Name {
        /// What was typed.
        name: String,
    },
    /// Not a number with a unit that the limit takes.
    #[error("`{value}` is no value for the limit `{name}`: write {wanted}")]
    Value {
        /// The limit.
        name: &'static str,
        /// What was typed.
        value: String,
        /// What to write instead.
        wanted: &'static str,
    },
}

impl Limits {
    /// Changes one limit, written `NAME=VALUE`.
    pub fn set(&mut self, assignment: &str) -> Result<(), LimitError> {
        let (name, value) =
            assignment.split_once('=').ok_or_else(|| LimitError::Shape { given: assignment.to_owned() })?;
        self.set_named(name.trim(), value.trim())
    }

    /// Changes one limit by its name, as a policy does.
    pub fn set_named(&mut self, name: &str, value: &str) -> Result<(), LimitError> {
        match name {
            "expanded-bytes" => self.expanded_bytes = bytes("expanded-bytes", value)?,
            "ratio" => self.ratio = count("ratio", value)?.max(1),
            "depth" => self.depth = u32::try_from(count("depth", value)?).unwrap_or(u32::MAX).min(DEPTH_MAX),
            "entries" => self.entries = count("entries", value)?.min(u64::from(u32::MAX)),
            "time" => self.time = duration(value)?,
            "decoder-memory" => self.decoder_memory = bytes("decoder-memory", value)?,
            "spill" => self.spill = bytes("spill", value)?,
            _ => return Err(LimitError::Name { name: name.to_owned() }),
        }
        Ok(())
    }
}

/// Each level of nesting takes a few KiB of stack on threads that have 2 MiB.
const DEPTH_MAX: u32 = 32;

fn names() -> String {
    TABLE.map(|row| format!("`{}`", row.name)).join(", ")
}

fn count(name: &'static str, value: &str) -> Result<u64, LimitError> {
    value.replace('_', "").parse().map_err(|_| LimitError::Value {
        name,
        value: value.to_owned(),
        wanted: "a whole number",
    })
}

fn bytes(name: &'static str, value: &str) -> Result<u64, LimitError> {
    let digits = value.trim_end_matches(|c: char| c.is_ascii_alphabetic()).trim_end();
    let factor = match value[digits.len()..].trim_start() {
        "" | "B" => Some(1),
        "KiB" | "K" | "k" => Some(KIB),
        "MiB" | "M" => Some(MIB),
        "GiB" | "G" => Some(GIB),
        "TiB" | "T" => Some(KIB * GIB),
        "kB" | "KB" => Some(1_000),
        "MB" => Some(1_000_000),
        "GB" => Some(1_000_000_000),
        "TB" => Some(1_000_000_000_000),
        _ => None,
    };
    let number: Option<u64> = digits.replace('_', "").parse().ok();
    number.zip(factor).and_then(|(number, factor)| number.checked_mul(factor)).ok_or_else(|| {
        LimitError::Value {
            name,
            value: value.to_owned(),
            wanted: "bytes with a unit, for instance `512MiB`",
        }
    })
}

fn duration(value: &str) -> Result<Duration, LimitError> {
    let digits = value.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let seconds = match &value[digits.len()..] {
        "" | "s" => Some(1),
        "m" | "min" => Some(60),
        "h" => Some(3600),
        _ => None,
    };
    let number: Option<u64> = digits.parse().ok();
    number
        .zip(seconds)
        .and_then(|(number, seconds)| number.checked_mul(seconds))
        .map(Duration::from_secs)
        .ok_or_else(|| LimitError::Value {
            name: "time",
            value: value.to_owned(),
            wanted: "a number with `s`, `m` or `h`, for instance `90s`",
        })
}

#[cfg(test)]
mod tests {
    use super::{GIB, LimitError, Limits, MIB, TABLE};

    #[test]
    fn the_table_says_the_defaults_that_the_code_has() {
        let mut limits = Limits {
            expanded_bytes: 0,
            ratio: 0,
            depth: 0,
            entries: 0,
            time: std::time::Duration::ZERO,
            decoder_memory: 0,
            spill: 0,
        };
        for row in TABLE {
            limits.set(&format!("{}={}", row.name, row.default)).unwrap();
        }
        assert_eq!(limits, Limits::default());
    }

    #[test]
    fn the_readme_has_the_table_that_the_code_has() {
        let readme = include_str!("../../README.md");
        for row in TABLE {
            let line = format!("| `{}` | {} | {} |", row.name, row.default, row.meaning);
            assert!(readme.contains(&line), "README.md, section Limits, wants this line:\n{line}");
        }
    }

    #[test]
    fn units_are_understood_and_nonsense_is_explained() {
        let mut limits = Limits::default();
        limits.set("decoder-memory=1_024MiB").unwrap();
        assert_eq!(limits.decoder_memory, GIB);
        limits.set("expanded-bytes = 512 MiB").unwrap();
        assert_eq!(limits.expanded_bytes, 512 * MIB);
        limits.set("time=90s").unwrap();
        assert_eq!(limits.time.as_secs(), 90);
        assert!(matches!(limits.set("depth"), Err(LimitError::Shape { .. })));
        assert!(matches!(limits.set("depht=3"), Err(LimitError::Name { .. })));
        assert!(matches!(limits.set("spill=99999999999TiB"), Err(LimitError::Value { .. })));
        assert!(matches!(limits.set("time=ä"), Err(LimitError::Value { .. })));
        assert!(limits.set("nonsense=1").unwrap_err().to_string().contains("`decoder-memory`"));
    }
}
