//! A server's own folder: gone with the fixture, unless the test failed and somebody wants to look.

use std::fs;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// A temporary folder of mode 0700 that is removed on drop. With `KEYTURN_KEEP=1` it stays, to be looked at.
pub struct Folder(tempfile::TempDir);

impl Folder {
    /// A new folder; `name` becomes part of its path.
    pub fn new(name: &str) -> Self {
        let keep = std::env::var("KEYTURN_KEEP").as_deref() == Ok("1");
        let made = tempfile::Builder::new()
            .prefix(&format!("keyturn-{name}-"))
            .permissions(fs::Permissions::from_mode(0o700))
            .disable_cleanup(keep)
            .tempdir();
        Self(made.expect("make a temporary folder"))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// The path of `name` inside.
    pub fn join(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// Writes a file that only its owner may read, and returns its path.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.join(name);
        let file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path);
        std::io::Write::write_all(&mut file.expect("make a file"), text.as_bytes()).expect("write a file");
        path
    }
}
