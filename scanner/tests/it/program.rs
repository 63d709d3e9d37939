//! The program under test, and targets for it. Sample secrets are made when a test runs.

use std::path::{Path, PathBuf};
use std::process::Output;

use scanner::rules::example;
use tempfile::TempDir;

/// A folder that is removed afterwards, with a target and what else a test needs.
pub struct Bench {
    folder: TempDir,
}

/// What a run gave.
pub struct Run {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

/// A GitHub token whose checksum holds.
pub fn token(seed: u64) -> String {
    let template = format!("{}{{base62:30}}{{crc32:6}}", ["gh", "p_"].concat());
    example::make(&template, &mut example::seeded(seed)).unwrap()
}

impl Bench {
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file, with the folders it needs.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        path
    }

    /// A kept key, so that fingerprints are the same in each run.
    pub fn keep_key(&self) {
        use std::os::unix::fs::PermissionsExt;
        let key = self.write("config/keyturn/fingerprint.key", "5a".repeat(32));
        std::fs::set_permissions(key, std::fs::Permissions::from_mode(0o600)).unwrap();
    }

    /// Runs the scanner inside the folder, with an environment that holds nothing of the tester's.
    pub fn run(&self, arguments: &[&str]) -> Run {
        Run::from(self.command(arguments).output().unwrap())
    }

    pub fn command(&self, arguments: &[&str]) -> std::process::Command {
        let mut command = std::process::Command::new(program());
        command.args(arguments).current_dir(self.folder.path()).env_clear();
        command.env("XDG_CONFIG_HOME", self.path("config"));
        command
    }
}

impl From<Output> for Run {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Run {
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}{}", self.stdout, self.stderr))
    }
}

pub fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_scanner"))
}
