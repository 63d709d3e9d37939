//! Targets: what the user names, opened by what it is and not by what it is called.

mod file;
mod folder;
mod git;
mod images;
mod stream;

use std::fs::{File, FileType};
use std::io;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;

use thiserror::Error;

use crate::blob::Source;
use crate::limits::Limits;
use crate::mmap::{Mapped, is_remote};

/// What the user wants of every target.
#[derive(Clone, Debug, Default)]
pub struct SourceOptions {
    /// The target's place on the command line; goes into every provenance.
    pub target: u32,
    /// What it may cost.
    pub limits: Limits,
    /// `os/architecture[/variant]`; none for all platforms.
    pub platform: Option<String>,
    /// Hash the uncompressed form of compressed layers, too. It costs more than the search.
    pub verify_diff_ids: bool,
    /// What of git repositories is searched.
    pub git: GitScope,
}

/// What of a git repository is searched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum GitScope {
    /// Every object, of all branches and of none.
    #[default]
    All,
    /// What the commits of a range brought: `main..HEAD`.
    Range(String),
    /// What the next commit would bring.
    Staged,
}

/// Why a target cannot be scanned at all. Each message names the target and what to do.
#[derive(Debug, Error)]
pub enum TargetError {
    /// It is not there.
    #[error("{target}: there is no such file or folder; check the path")]
    Missing {
        /// As the user wrote it.
        target: String,
    },
    /// The system refuses it.
    #[error("{target}: cannot be opened; check its permissions")]
    Unreadable {
        /// As the user wrote it.
        target: String,
        /// What the system said.
        source: io::Error,
    },
    /// There is no repository.
    #[error(
        "{target}: there is no git repository that can be read; name the folder that holds `.git`, or a bare repository"
    )]
    NoRepository {
        /// As the user wrote it.
        target: String,
    },
    /// The range names nothing.
    #[error(
        "{target}: --range {range}: {why}; name two commits, as in main..HEAD, and fetch both (a shallow clone has few)"
    )]
    Range {
        /// As the user wrote it.
        target: String,
        /// As the user wrote it.
        range: String,
        /// What is wrong.
        why: String,
    },
    /// A FIFO, a socket or a device.
    #[error("{target}: is {kind}, not a file or folder; pipe its content and scan `-`")]
    Special {
        /// As the user wrote it.
        target: String,
        /// `a named pipe`, for instance.
        kind: &'static str,
    },
}

/// Opens a target. Nothing is searched yet, but an archive's table of contents may be read.
pub fn open(target: &str, options: &SourceOptions) -> Result<Box<dyn Source>, TargetError> {
    if target == "-" {
        return Ok(Box::new(stream::StreamSource::standard_input(options)));
    }
    if let Some(path) = target.strip_prefix(git::PREFIX) {
        return Ok(Box::new(git::open(target, path, options)?));
    }
    let path = Path::new(target);
    let meta = std::fs::metadata(path).map_err(|error| refused(target, error))?;
    if meta.is_dir() {
        return open_folder(target, path, options);
    }
    if let Some(kind) = special(meta.file_type()) {
        return Err(TargetError::Special { target: target.to_owned(), kind });
    }
    let file = open_regular(path).map_err(|error| refused(target, error))?;
    if is_remote(&file) {
        return stream::StreamSource::file(target, file, options)
            .map(|source| Box::new(source) as Box<dyn Source>)
            .map_err(|error| refused(target, error));
    }
    let mapped = Mapped::new(file).map_err(|error| refused(target, error))?;
    Ok(file::open(target, Arc::new(mapped), options))
}

fn open_folder(target: &str, path: &Path, options: &SourceOptions) -> Result<Box<dyn Source>, TargetError> {
    let root = folder::Root::open(path).map_err(|error| refused(target, error))?;
    if let Some(images) = images::ImageSource::from_folder(target, path, options) {
        return Ok(Box::new(images));
    }
    Ok(Box::new(folder::FolderSource::new(target, root, options)))
}

/// Opens for reading without waiting for a writer, should the path have become a FIFO meanwhile.
fn open_regular(path: &Path) -> io::Result<File> {
    let nonblocking = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let file = File::options().read(true).custom_flags(nonblocking).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::ErrorKind::InvalidInput.into()) }
}

fn refused(target: &str, source: io::Error) -> TargetError {
    let target = target.to_owned();
    match source.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => TargetError::Missing { target },
        _ => TargetError::Unreadable { target, source },
    }
}

fn special(kind: FileType) -> Option<&'static str> {
    if kind.is_fifo() {
        Some("a named pipe")
    } else if kind.is_socket() {
        Some("a socket")
    } else if kind.is_char_device() || kind.is_block_device() {
        Some("a device")
    } else {
        None
    }
}
