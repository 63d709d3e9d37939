//! Images written by the real tools: skopeo and umoci.

use std::path::Path;
use std::process::Command;

use shared::testkit::{find, required};
use tempfile::TempDir;
use testdata::archive::{Compression, Tar};

use super::sources::{Seen, scan};

/// Runs a tool that has to succeed.
fn run(program: &Path, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}
