//! `rotator store`: the local store by hand.
//!
//! Values come from standard input or from files, never from arguments, which every user of the machine can list.
//! They go to standard output, which must not be a terminal unless the caller says so.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use shared::exit::Exit;
use shared::secret::Secret;

use crate::file_store::{FileStore, FileStoreError};
use crate::json_text;
use crate::provider::{Key, ReadError, WriteError};

mod input;
mod put;

pub use put::PutArgs;

/// The arguments of `rotator store`.
#[derive(Debug, Args)]
pub struct StoreArgs {
    /// What to do
    #[command(subcommand)]
    pub command: StoreCommand,
}

/// What to do with the store.
#[derive(Debug, Subcommand)]
pub enum StoreCommand {
    /// Make an empty store, and its key file unless there is one
    Init {
        /// Which store
        #[command(flatten)]
        at: StoreFiles,
    },
    /// Write a new version of a path, from standard input or files
    Put(PutArgs),
    /// Print what a path holds
    Get(GetArgs),
    /// Print the names below a folder, one a line; folders end in `/`
    List {
        /// Which store
        #[command(flatten)]
        at: StoreFiles,
        /// The folder; without it the whole store
        #[arg(value_name = "FOLDER", default_value = "", hide_default_value = true)]
        folder: String,
    },
    /// Hide the latest version of a path
    Delete {
        /// Which store
        #[command(flatten)]
        at: StoreFiles,
        /// The path
        path: String,
        /// Remove the path with all its versions, for good
        #[arg(long)]
        all_versions: bool,
    },
}

/// The two files of a store.
#[derive(Debug, Args)]
pub struct StoreFiles {
    /// The encrypted store
    #[arg(long, value_name = "FILE", env = "KEYTURN_STORE")]
    pub file: PathBuf,
    /// The key: 64 hexadecimal digits or 32 bytes, readable by you alone; keep it apart from the store
    #[arg(long, value_name = "FILE", env = "KEYTURN_STORE_KEY")]
    pub key_file: PathBuf,
}

/// The arguments of `rotator store get`.
#[derive(Debug, Args)]
pub struct GetArgs {
    /// Which store
    #[command(flatten)]
    pub at: StoreFiles,
    /// The path
    pub path: String,
    /// Print this property alone: the bytes of a string, the JSON of anything else
    #[arg(long, value_name = "NAME")]
    pub property: Option<String>,
    /// The version; without it the latest
    #[arg(long, value_name = "N")]
    pub version: Option<u64>,
    /// Print even to a terminal
    #[arg(long)]
    pub reveal: bool,
}

/// Where values come from and go to.
pub struct Streams<'a> {
    /// Standard input.
    pub input: &'a mut dyn Read,
    /// Whether a person types there.
    pub input_is_terminal: bool,
    /// Standard output.
    pub output: &'a mut dyn Write,
    /// Whether a person, and whoever stands behind them, reads there.
    pub output_is_terminal: bool,
}

/// Why `rotator store` did not do it.
#[derive(Debug, thiserror::Error)]
pub enum StoreCommandError {
    /// The store could not be made or opened.
    #[error(transparent)]
    Open(FileStoreError),
    /// The path could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The path could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The document has no such property.
    #[error("{path}: no property {property:?}; it has {names}")]
    NoProperty {
        /// The path.
        path: String,
        /// What was asked for.
        property: String,
        /// What is there.
        names: String,
    },
    /// A value must not be shown by accident.
    #[error("standard output is a terminal: pipe it on, or show the value with --reveal")]
    Terminal,
    /// The value cannot be taken.
    #[error("{0}")]
    Input(String),
    /// Standard output is gone.
    #[error("cannot write to standard output: {0}")]
    Output(std::io::Error),
}

impl StoreCommandError {
    /// How the program ends.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Open(_) | Self::Terminal | Self::Input(_) => Exit::Usage,
            Self::Read(_) | Self::Write(_) | Self::NoProperty { .. } | Self::Output(_) => Exit::Blocked,
        }
    }
}

/// Does what the arguments say.
///
/// # Errors
/// What kept it from being done; nothing is half-written.
pub async fn run(args: &StoreArgs, streams: Streams<'_>) -> Result<(), StoreCommandError> {
    match &args.command {
        StoreCommand::Init { at } => init(at, streams.output),
        StoreCommand::Put(args) => put::put(args, streams).await,
        StoreCommand::Get(args) => get(args, streams).await,
        StoreCommand::List { at, folder } => {
            let names = open(at)?.list(folder).await?;
            let lines: String = names.iter().flat_map(|name| [name, "\n"]).collect();
            print(streams.output, lines.as_bytes())
        }
        StoreCommand::Delete { at, path, all_versions } => {
            let store = open(at)?;
            let removed = if *all_versions { store.destroy(path).await } else { store.delete(path).await };
            Ok(removed?)
        }
    }
}

fn init(at: &StoreFiles, output: &mut dyn Write) -> Result<(), StoreCommandError> {
    FileStore::init(&at.file, &at.key_file).map_err(StoreCommandError::Open)?;
    let said = format!(
        "made {}; without {} nobody can read it: back it up elsewhere\n",
        at.file.display(),
        at.key_file.display()
    );
    print(output, said.as_bytes())
}

async fn get(args: &GetArgs, streams: Streams<'_>) -> Result<(), StoreCommandError> {
    if streams.output_is_terminal && !args.reveal {
        return Err(StoreCommandError::Terminal);
    }
    let store = open(&args.at)?;
    let document = store.read(&Key { path: args.path.clone(), version: args.version }).await?;
    match &args.property {
        None => document.json().expose(|json| print(streams.output, json))?,
        Some(property) => {
            let value = document.json().expose(|json| find(json, &args.path, property))?;
            value.expose(|bytes| print(streams.output, bytes))?;
        }
    }
    // A whole document is text; a property is given out exactly, unless a person looks at it.
    if args.property.is_none() || streams.output_is_terminal { print(streams.output, b"\n") } else { Ok(()) }
}

fn find(json: &[u8], path: &str, property: &str) -> Result<Secret, StoreCommandError> {
    let properties = json_text::properties(json).unwrap_or_default();
    let Some(raw) = properties.get(property) else {
        // Names are no secrets; they are what a person who mistyped needs.
        let names: Vec<_> = properties.keys().take(20).map(|name| format!("{name:?}")).collect();
        let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        return Err(StoreCommandError::NoProperty {
            path: path.to_owned(),
            property: property.to_owned(),
            names,
        });
    };
    Ok(json_text::string(raw).unwrap_or_else(|| Secret::copy_of(raw.get().as_bytes())))
}

fn open(at: &StoreFiles) -> Result<FileStore, StoreCommandError> {
    FileStore::open(&shown(&at.file), &at.file, &at.key_file).map_err(StoreCommandError::Open)
}

fn shown(file: &Path) -> String {
    file.display().to_string()
}

fn print(output: &mut dyn Write, bytes: &[u8]) -> Result<(), StoreCommandError> {
    output.write_all(bytes).and_then(|()| output.flush()).map_err(StoreCommandError::Output)
}

#[cfg(test)]
mod tests;
