//! A server's own folder: gone with the fixture, or with the test process if that is killed.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{LazyLock, Mutex};

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
        let made = made.expect("make a temporary folder");
        if !keep {
            sweep_at_the_end(made.path());
        }
        Self(made)
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
        file.expect("make a file").write_all(text.as_bytes()).expect("write a file");
        path
    }
}

/// Has the folder removed when this process is gone, however it went: a killed process drops nothing, and
/// neither does a static. A shell reads the folders' names until the pipe from here breaks. It waits a second
/// then, for servers that are being killed as well.
fn sweep_at_the_end(folder: &Path) {
    const SCRIPT: &str =
        r#"while IFS= read -r folder; do set -- "$@" "$folder"; done; sleep 1; rm -rf -- "$@""#;
    static SWEEPER: LazyLock<Mutex<Child>> = LazyLock::new(|| {
        let mut shell = Command::new("sh");
        shell.args(["-c", SCRIPT]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        // A group of its own: Ctrl-C ends the tests and must not end the cleaning.
        Mutex::new(shell.process_group(0).current_dir("/").spawn().expect("start a shell"))
    });
    let mut sweeper = SWEEPER.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let names = sweeper.stdin.as_mut().expect("the pipe to the shell");
    writeln!(names, "{}", folder.display()).expect("tell the shell of a folder");
}
