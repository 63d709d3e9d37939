//! Where a report goes: standard output, or a file that is replaced as a whole.
//!
//! A file appears with its full content or not at all: the report is written beside it under another name and
//! renamed. What is not a regular file (a pipe, `/dev/stderr`) is written to as it is.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Reports hold no secret; the user's umask decides who reads them.
const MODE: u32 = 0o666;
/// A report is written in many small pieces.
const BUFFER_BYTES: usize = 64 * 1024;

/// Where one report goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// Standard output.
    Stdout,
    /// A file.
    File(PathBuf),
}

/// Why a report was not written.
#[derive(Debug, thiserror::Error)]
pub enum DestinationError {
    /// The reader went away: nobody is left to tell.
    #[error("nobody reads standard output any more")]
    BrokenPipe,
    /// Standard output failed otherwise.
    #[error("the report could not be written to standard output: {0}")]
    Stdout(io::Error),
    /// The file could not be written; an older one stays as it was.
    #[error("the report {} could not be written: {source}; name a file in a folder that exists and that you may write", path.display())]
    File {
        /// The file as the user named it.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl Destination {
    /// Runs the writer, and makes its output appear as a whole.
    ///
    /// # Errors
    /// Whatever keeps the whole report from being stored.
    pub fn write(
        &self,
        write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> Result<(), DestinationError> {
        match self {
            Self::Stdout => to_stream(io::stdout().lock(), write).map_err(|error| match error.kind() {
                io::ErrorKind::BrokenPipe => DestinationError::BrokenPipe,
                _ => DestinationError::Stdout(error),
            }),
            Self::File(path) => {
                to_file(path, write).map_err(|source| DestinationError::File { path: path.clone(), source })
            }
        }
    }
}

fn to_stream<W: Write>(stream: W, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let mut buffer = BufWriter::with_capacity(BUFFER_BYTES, stream);
    write(&mut buffer)?;
    buffer.flush()
}

fn to_file(path: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    // A link is followed, so that it stays a link; a name that is not there yet is taken as it is.
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let special = fs::metadata(&path).is_ok_and(|metadata| !metadata.is_file());
    if special {
        return to_stream(OpenOptions::new().write(true).open(&path)?, write);
    }
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    let file = tempfile::Builder::new()
        .prefix(".keyturn-report-")
        .permissions(Permissions::from_mode(MODE))
        .tempfile_in(folder)
        .map_err(|error| io::Error::new(error.kind(), os_message(&error)))?;
    to_stream(file.as_file(), write)?;
    file.as_file().sync_all()?;
    file.persist(&path).map_err(|error| error.error)?;
    // The name is durable only when its folder is; where folders cannot be synced, nothing is lost but that.
    let _ = File::open(folder).and_then(|folder| folder.sync_all());
    Ok(())
}

/// The system's own words, without the temporary name that means nothing to a person.
fn os_message(error: &io::Error) -> String {
    match error.get_ref() {
        Some(inner) => {
            let text = inner.to_string();
            text.split(" at path ").next().unwrap_or_default().to_owned()
        }
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::Destination;

    #[test]
    fn a_report_that_fails_leaves_the_old_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("report.json");
        std::fs::write(&path, "old").unwrap();
        let destination = Destination::File(path.clone());
        let failed = destination.write(|out| {
            out.write_all(b"half")?;
            Err(io::Error::other("disk full"))
        });
        assert!(failed.unwrap_err().to_string().contains("disk full"));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "old");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "no temporary file stays");
        destination.write(|out| out.write_all(b"new")).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "new");
    }

    #[test]
    fn a_link_stays_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let (real, link) = (folder.path().join("real"), folder.path().join("link"));
        std::fs::write(&real, "old").unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        Destination::File(link.clone()).write(|out| out.write_all(b"new")).unwrap();
        assert!(link.is_symlink());
        assert_eq!(std::fs::read_to_string(&real).unwrap(), "new");
    }

    #[test]
    fn what_is_not_a_file_is_written_to_and_stays() {
        Destination::File("/dev/null".into()).write(|out| out.write_all(b"x")).unwrap();
        assert!(!std::path::Path::new("/dev/null").is_file());
    }
}
