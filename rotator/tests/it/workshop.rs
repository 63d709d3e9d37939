//! A folder to work in, and the program to work with.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A folder, gone at the end of the test.
pub struct Workshop(tempfile::TempDir);

/// How a run of the program ended.
#[derive(Debug)]
pub struct Ended {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().expect("an exit code"),
            out: String::from_utf8(output.stdout).expect("UTF-8"),
            err: String::from_utf8(output.stderr).expect("UTF-8"),
        }
    }
}

impl Workshop {
    pub fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("make the folder");
        std::fs::write(&path, text).expect("write the file");
        path
    }

    /// The program with an environment of its own.
    pub fn rotator(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rotator"));
        command.args(arguments).current_dir(self.0.path()).env_clear().env("HOME", self.0.path());
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Ended {
        self.rotator(arguments).output().expect("run rotator").into()
    }

    pub fn run_with(&self, kubeconfig: &Path, arguments: &[&str]) -> Ended {
        self.rotator(arguments).env("KUBECONFIG", kubeconfig).output().expect("run rotator").into()
    }
}
