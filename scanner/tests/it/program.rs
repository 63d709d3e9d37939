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
        command.args(arguments);
        self.settle(&mut command);
        command
    }

    /// The scanner, started by another program.
    pub fn wrapped(&self, wrapper: &str, options: &[&str], arguments: &[&str]) -> std::process::Command {
        let mut command = std::process::Command::new(wrapper);
        command.args(options).arg(program()).args(arguments);
        self.settle(&mut command);
        command
    }

    fn settle(&self, command: &mut std::process::Command) {
        command.current_dir(self.folder.path()).env_clear();
        command.env("XDG_CONFIG_HOME", self.path("config"));
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

/// A tar archive of regular files; an empty content with a name that ends in `/` is a folder.
pub fn tar_of(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (name, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, name, *content).unwrap();
    }
    archive.into_inner().unwrap()
}

/// An image as `docker save` writes it, from the files of its layers and its configuration.
pub fn image_archive(layers: &[Vec<u8>], config: serde_json::Value, tag: &str) -> Vec<u8> {
    use sha2::Digest;
    let digest = |bytes: &[u8]| data_encoding::HEXLOWER.encode(&sha2::Sha256::digest(bytes));
    let mut config = config;
    let diff_ids: Vec<String> = layers.iter().map(|layer| format!("sha256:{}", digest(layer))).collect();
    config["architecture"] = "amd64".into();
    config["os"] = "linux".into();
    config["rootfs"] = serde_json::json!({ "type": "layers", "diff_ids": diff_ids });
    let config = serde_json::to_vec(&config).unwrap();
    let config_name = format!("{}.json", digest(&config));
    let names: Vec<String> = layers.iter().map(|layer| format!("{}/layer.tar", digest(layer))).collect();
    let manifest = serde_json::json!([{ "Config": config_name, "RepoTags": [tag], "Layers": names }]);
    let manifest = serde_json::to_vec(&manifest).unwrap();
    let mut files: Vec<(&str, &[u8])> = vec![(&config_name, &config)];
    files.extend(names.iter().map(String::as_str).zip(layers.iter().map(Vec::as_slice)));
    files.push(("manifest.json", &manifest));
    tar_of(&files)
}
