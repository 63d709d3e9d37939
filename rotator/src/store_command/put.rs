//! `rotator store put`: a whole document, or some of its properties.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use shared::secret::Secret;

use super::input::{self, LineEnd};
use super::{StoreCommandError, StoreFiles, Streams, open, print};
use crate::file_store::FileStore;
use crate::json_text::{self, Piece};
use crate::provider::{Absence, Document, Key, ReadError, VersionState, WriteError};

/// A document is at most this long; the store says so too, but only after all was read.
const DOCUMENT_BYTES_MAX: usize = 1024 * 1024;
/// How often a change is made anew because somebody else wrote in between. Each time somebody else got through.
const CONFLICTS_MAX: u32 = 32;

/// The arguments of `rotator store put`.
#[derive(Debug, Args)]
#[command(after_help = "\
Without --property and --property-file, standard input is a JSON object that becomes the whole document:
  rotator store put shop/db < db.json
With them, the named properties are set and the others kept:
  generate-password | rotator store put shop/db --property password
  rotator store put shop/tls --property-file tls.key=server.key --property-file tls.crt=server.crt")]
pub struct PutArgs {
    /// Which store
    #[command(flatten)]
    pub at: StoreFiles,
    /// The path
    pub path: String,
    /// Set this property to what standard input holds
    #[arg(long, value_name = "NAME")]
    pub property: Option<String>,
    /// Set a property to what a file holds, byte by byte; repeat for more
    #[arg(long, value_name = "NAME=FILE")]
    pub property_file: Vec<String>,
    /// Keep a line end at the end of standard input; usually it is what `echo` added, and removed
    #[arg(long, requires = "property")]
    pub exact: bool,
    /// Write only while this version is the latest; 0: only if the path is new
    #[arg(long, value_name = "N")]
    pub cas: Option<u64>,
}

pub(super) async fn put(args: &PutArgs, streams: Streams<'_>) -> Result<(), StoreCommandError> {
    let sources = sources(args)?;
    // The store first: nobody should type a value and then hear that the key file is missing.
    let store = open(&args.at)?;
    let version = if sources.is_empty() {
        if streams.input_is_terminal {
            let hint = "standard input is a terminal: give a JSON object by `< FILE` or a pipe, or name a --property";
            return Err(StoreCommandError::Input(hint.to_owned()));
        }
        let document = input::read(streams.input, "standard input", DOCUMENT_BYTES_MAX, LineEnd::Kept)?;
        store.write(&args.path, document, args.cas).await?
    } else {
        let values = read_values(args, &sources, streams.input, streams.input_is_terminal)?;
        change(&store, args, &values).await?
    };
    print(streams.output, format!("{}: version {version}\n", args.path).as_bytes())
}

/// Where the value of a property comes from.
enum Source {
    StandardInput,
    File(PathBuf),
}

/// The properties that the arguments name. Mistakes are found here and not by the argument parser, whose messages
/// repeat what was typed: somebody may have typed a value.
fn sources(args: &PutArgs) -> Result<BTreeMap<String, Source>, StoreCommandError> {
    let mistake = |hint: String| Err(StoreCommandError::Input(hint));
    let mut sources = BTreeMap::new();
    for argument in &args.property_file {
        let Some((name, file)) =
            argument.split_once('=').filter(|(name, file)| !name.is_empty() && !file.is_empty())
        else {
            return mistake("--property-file: expected NAME=FILE".to_owned());
        };
        if sources.insert(name.to_owned(), Source::File(file.into())).is_some() {
            return mistake(format!("property {name:?}: given twice"));
        }
    }
    if let Some(name) = &args.property {
        if name.is_empty() || name.contains('=') {
            let hint =
                "--property takes a name alone; its value comes from standard input, never from an argument";
            return mistake(hint.to_owned());
        }
        if sources.insert(name.clone(), Source::StandardInput).is_some() {
            return mistake(format!("property {name:?}: given twice"));
        }
    }
    Ok(sources)
}

/// The new values by name.
fn read_values(
    args: &PutArgs,
    sources: &BTreeMap<String, Source>,
    input: &mut dyn std::io::Read,
    input_is_terminal: bool,
) -> Result<BTreeMap<String, Secret>, StoreCommandError> {
    let line_end = if args.exact { LineEnd::Kept } else { LineEnd::Removed };
    let mut values = BTreeMap::new();
    for (name, source) in sources {
        let value = match source {
            Source::File(file) => input::read_file(name, file, DOCUMENT_BYTES_MAX)?,
            Source::StandardInput if input_is_terminal => {
                input::read_hidden(input, name, DOCUMENT_BYTES_MAX)?
            }
            Source::StandardInput => input::read(input, "standard input", DOCUMENT_BYTES_MAX, line_end)?,
        };
        if !value.expose(|bytes| std::str::from_utf8(bytes).is_ok()) {
            let hint = format!("property {name:?}: not UTF-8, which JSON cannot hold; store it as base64");
            return Err(StoreCommandError::Input(hint));
        }
        values.insert(name.clone(), value);
    }
    Ok(values)
}

/// Sets the values in the latest version and keeps its other properties.
async fn change(
    store: &FileStore,
    args: &PutArgs,
    values: &BTreeMap<String, Secret>,
) -> Result<u64, StoreCommandError> {
    let mut conflicts = 0;
    loop {
        let (document, latest) = latest(store, &args.path).await?;
        let changed = match &document {
            Some(document) => document.json().expose(|old| merge(old, values)),
            None => merge(b"{}", values),
        };
        let changed = changed.map_err(|error| StoreCommandError::Input(format!("{}: {error}", args.path)))?;
        // Always by check-and-set: what was read here must be what is replaced.
        let error = match store.write(&args.path, changed, Some(args.cas.unwrap_or(latest))).await {
            Ok(version) => return Ok(version),
            Err(error) => error,
        };
        conflicts += 1;
        let again =
            matches!(error, WriteError::Cas { .. }) && args.cas.is_none() && conflicts < CONFLICTS_MAX;
        if !again {
            return Err(error.into());
        }
    }
}

/// The latest document, unless it is absent or deleted, and the number of the latest version.
async fn latest(store: &FileStore, path: &str) -> Result<(Option<Arc<Document>>, u64), StoreCommandError> {
    loop {
        match store.read(&Key::latest(path)).await {
            Ok(document) => {
                let version = document.version.unwrap_or_default();
                return Ok((Some(document), version));
            }
            Err(ReadError::NotFound { why: Absence::Missing, .. }) => return Ok((None, 0)),
            Err(ReadError::NotFound { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        let metadata = store.metadata(path).await?;
        let current = metadata.current_version;
        // Between the two questions somebody may have written: a version that lives must be read, not replaced.
        if !matches!(metadata.versions.get(&current), Some(VersionState::Live { .. })) {
            return Ok((None, current));
        }
    }
}

fn merge(old: &[u8], values: &BTreeMap<String, Secret>) -> std::io::Result<Secret> {
    let old = json_text::properties(old).unwrap_or_default();
    let kept = old.iter().filter(|(name, _)| !values.contains_key(*name));
    let mut pieces: BTreeMap<String, Piece<'_>> =
        kept.map(|(name, raw)| (name.clone(), Piece::Raw(raw))).collect();
    merge_next(&mut pieces, &mut values.iter())
}

/// Opens one secret after the other, and writes the object while all are open.
fn merge_next<'a>(
    pieces: &mut BTreeMap<String, Piece<'_>>,
    values: &mut dyn Iterator<Item = (&'a String, &'a Secret)>,
) -> std::io::Result<Secret> {
    let Some((name, value)) = values.next() else {
        return json_text::object(pieces, DOCUMENT_BYTES_MAX);
    };
    value.expose(|bytes| {
        let text = std::str::from_utf8(bytes).map_err(std::io::Error::other)?;
        let mut more: BTreeMap<String, Piece<'_>> =
            pieces.iter().map(|(name, piece)| (name.clone(), piece.reborrow())).collect();
        more.insert(name.clone(), Piece::Text(text));
        merge_next(&mut more, values)
    })
}
