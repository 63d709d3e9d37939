//! The audit trail: one record for each access to a secret, in a chain that shows a missing or changed line.
//!
//! A record says who read (the login and its accessor), what (store, path, version), for which object, when, how it
//! ended, and the server's request id, by which it is found in the server's own audit log. It never holds a value.
//! Each line ends with a hash of itself and of the line before. The file is changed for a new one at 16 MiB, the last
//! ones are kept, and the chain goes on through all of them.

use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::provider::{Access, ReadError};

/// A file grows to this.
const FILE_BYTES_MAX: u64 = 16 << 20;
/// Files that are kept beside the one that is written.
const FILES_KEPT: usize = 9;
/// The hash before the first record.
const START: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// One access.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Record<'a> {
    /// The object that the value is for, such as `ExternalSecret shop/db`.
    pub object: &'a str,
    /// The store.
    pub store: &'a str,
    /// The path in the store.
    pub path: &'a str,
    /// The version that was read; none for the latest of a store that counts none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// `read`, or in one word why not.
    pub outcome: &'static str,
    /// The login, without anything that could log in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
    /// The accessor of its token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accessor: Option<&'a str>,
    /// The server's id of the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<&'a str>,
}

/// How an access ended, in one word.
pub fn outcome(error: Option<&ReadError>) -> &'static str {
    match error {
        None => "read",
        Some(ReadError::NotFound { .. }) => "absent",
        Some(ReadError::LoginRefused { .. }) => "login-refused",
        Some(ReadError::Sealed { .. }) => "sealed",
        Some(ReadError::Unreachable { .. }) => "unreachable",
        Some(_) => "refused",
    }
}

/// The parts of a record that the access itself tells.
pub fn accessor(access: &Access) -> (Option<&str>, Option<&str>) {
    (access.accessor.as_deref(), access.request_id.as_deref())
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line<'a> {
    time: String,
    #[serde(flatten)]
    record: &'a Record<'a>,
    previous: &'a str,
}

#[derive(Deserialize)]
struct Ending {
    hash: String,
}

/// Where records go. Nobody's work stops because a record cannot be written; that is said once a change.
#[derive(Debug)]
pub struct Audit {
    path: Option<PathBuf>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    file: Option<File>,
    bytes: u64,
    previous: String,
    failing: bool,
}

impl Audit {
    /// Goes on with the chain of a file, or starts one; without a file records go to standard output.
    ///
    /// # Errors
    /// When the file cannot be opened or its last line is no record.
    pub fn open(path: Option<&Path>) -> Result<Self, String> {
        let Some(path) = path else {
            let state = State { file: None, bytes: 0, previous: START.to_owned(), failing: false };
            return Ok(Self { path: None, state: Mutex::new(state) });
        };
        let previous = last_hash(path)?;
        let file = append(path).map_err(|error| format!("{}: {}", path.display(), error.kind()))?;
        let bytes = file.metadata().map(|meta| meta.len()).unwrap_or(0);
        let state = State { file: Some(file), bytes, previous, failing: false };
        Ok(Self { path: Some(path.to_owned()), state: Mutex::new(state) })
    }

    /// Writes one record.
    pub fn record(&self, record: &Record<'_>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let time = Timestamp::now().to_string();
        let line = Line { time, record, previous: &state.previous };
        let Ok(mut text) = serde_json::to_string(&line) else { return };
        let hash = blake3::hash(text.as_bytes()).to_hex().to_string();
        text.truncate(text.len().saturating_sub(1));
        text.push_str(&format!(",\"hash\":\"{hash}\"}}\n"));
        let written = self.write(&mut state, text.as_bytes());
        match written {
            Ok(()) => {
                state.previous = hash;
                state.failing = false;
            }
            Err(error) if !state.failing => {
                state.failing = true;
                tracing::error!(why = %error.kind(), "audit records cannot be written");
            }
            Err(_) => {}
        }
    }

    fn write(&self, state: &mut State, text: &[u8]) -> std::io::Result<()> {
        let Some(path) = &self.path else { return std::io::stdout().lock().write_all(text) };
        if state.bytes + text.len() as u64 > FILE_BYTES_MAX && state.bytes > 0 {
            for number in (1..FILES_KEPT).rev() {
                // A file that is not there yet is no mistake.
                let _ = std::fs::rename(numbered(path, number), numbered(path, number + 1));
            }
            std::fs::rename(path, numbered(path, 1))?;
            state.file = Some(append(path)?);
            state.bytes = 0;
        }
        if let Some(file) = &mut state.file {
            file.write_all(text)?;
            state.bytes += text.len() as u64;
        }
        Ok(())
    }
}

fn numbered(path: &Path, number: usize) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    PathBuf::from(name)
}

fn append(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)
}

/// The hash of the last record of a file.
fn last_hash(path: &Path) -> Result<String, String> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(START.to_owned()),
        Err(error) => return Err(format!("{}: {}", path.display(), error.kind())),
    };
    let mut last = None;
    for line in BufReader::new(file).lines() {
        last = Some(line.map_err(|error| format!("{}: {}", path.display(), error.kind()))?);
    }
    let Some(last) = last.filter(|line| !line.is_empty()) else { return Ok(START.to_owned()) };
    let ending: Result<Ending, _> = serde_json::from_str(&last);
    let broken = || format!("{}: the last line is no audit record; move the file away", path.display());
    ending.map(|ending| ending.hash).map_err(|_| broken())
}

/// Checks a chain: the number of records, or the first line that does not fit, from 1.
///
/// # Errors
/// The line.
pub fn verify(text: &str, mut previous: String) -> Result<usize, usize> {
    let mut count = 0;
    for (index, line) in text.lines().enumerate() {
        let number = index + 1;
        let (body, ending) = line.rsplit_once(",\"hash\":\"").ok_or(number)?;
        let hash = ending.strip_suffix("\"}").ok_or(number)?;
        let body = format!("{body}}}");
        let names_previous = body.ends_with(&format!("\"previous\":\"{previous}\"}}"));
        if !names_previous || blake3::hash(body.as_bytes()).to_hex().as_str() != hash {
            return Err(number);
        }
        previous = hash.to_owned();
        count += 1;
    }
    Ok(count)
}

/// The hash before the first record of a trail.
pub fn start() -> String {
    START.to_owned()
}

#[cfg(test)]
mod tests {
    use super::{Audit, Record, start, verify};

    fn record(path: &str) -> Record<'_> {
        Record {
            object: "ExternalSecret a/b",
            store: "SecretStore a/vault",
            path,
            version: Some(3),
            outcome: "read",
            identity: None,
            accessor: Some("acc"),
            request_id: Some("id"),
        }
    }

    #[test]
    fn a_chain_goes_on_after_a_restart_and_shows_what_was_changed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        for round in 0..2 {
            let audit = Audit::open(Some(&path)).unwrap();
            audit.record(&record(&format!("x/{round}")));
            audit.record(&record("y\"\n"));
        }
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(verify(&text, start()), Ok(4));
        assert_eq!(verify(&text.replace("x/1", "x/2"), start()), Err(3));
        let without_second: Vec<&str> =
            text.lines().enumerate().filter(|(index, _)| *index != 1).map(|(_, line)| line).collect();
        assert_eq!(verify(&without_second.join("\n"), start()), Err(2));
        std::fs::write(&path, "garbage\n").unwrap();
        assert!(Audit::open(Some(&path)).is_err());
    }
}
