//! Where the servers' programs lie, and what a test does on a machine that lacks one.

use std::env;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// A program that a fixture needs and that this machine lacks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no {program} in {cache}/bin or on PATH: run `make install`, which brings {from}")]
pub struct Missing {
    program: String,
    cache: String,
    from: &'static str,
}

impl Missing {
    /// `from` says what brings the program.
    pub fn new(program: &str, from: &'static str) -> Self {
        Self { program: program.to_owned(), cache: cache().display().to_string(), from }
    }
}

/// Folders where Debian puts servers and that a user's PATH seldom has.
const SYSTEM: [&str; 2] = ["/usr/sbin", "/sbin"];
/// One folder a major version of PostgreSQL, none of them on PATH.
const POSTGRES: &str = "/usr/lib/postgresql";

/// The path of `program`: what `make install` put into the cache comes first, then PATH, then the folders of
/// Debian's servers. `from` says, in the error, what brings the program.
pub fn find(program: &str, from: &'static str) -> Result<PathBuf, Missing> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = std::iter::once(cache().join("bin"))
        .chain(env::split_paths(&path))
        .chain(SYSTEM.iter().map(PathBuf::from))
        .chain(postgres_folders());
    let mut files = folders.map(|folder| folder.join(program));
    files.find(|file| is_program(file)).ok_or_else(|| Missing::new(program, from))
}

/// The fixture if its server is on this machine. If not, says so in one line and returns `None`, so that the
/// test can return; see the `require!` macro.
///
/// # Panics
/// When the server is missing and `KEYTURN_REQUIRE_SERVERS` is `1`.
#[track_caller]
pub fn required<T>(fixture: Result<T, Missing>) -> Option<T> {
    let missing = match fixture {
        Ok(fixture) => return Some(fixture),
        Err(missing) => missing,
    };
    assert!(env::var("KEYTURN_REQUIRE_SERVERS").as_deref() != Ok("1"), "{missing}");
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test");
    // Written past the test harness, which would keep a passing test's output to itself.
    let _ = writeln!(std::io::stderr(), "skipped {test}: {missing}");
    None
}

/// Takes a fixture out of its `Result`, or ends the test when this machine lacks the server (see
/// [`testkit::required`](crate::testkit::required)).
#[macro_export]
macro_rules! require {
    ($fixture:expr) => {
        match $crate::testkit::required($fixture) {
            Some(fixture) => fixture,
            None => return,
        }
    };
}

/// Where `make install` keeps what it brings.
fn cache() -> PathBuf {
    let set = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("KEYTURN_CACHE")
        .or_else(|| set("XDG_CACHE_HOME").map(|folder| folder.join("keyturn")))
        .or_else(|| set("HOME").map(|folder| folder.join(".cache/keyturn")))
        .unwrap_or_else(|| PathBuf::from("/var/cache/keyturn"))
}

/// The newest PostgreSQL first.
fn postgres_folders() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(POSTGRES).into_iter().flatten().flatten();
    let mut versions: Vec<_> = entries
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse::<u32>().ok()?, entry.path())))
        .collect();
    versions.sort_by(|left, right| right.cmp(left));
    versions.into_iter().map(|(_, folder)| folder.join("bin")).collect()
}

fn is_program(file: &Path) -> bool {
    file.metadata().is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}
