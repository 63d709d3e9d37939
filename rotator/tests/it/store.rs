//! `rotator store`, as a person and a script use it, and as a machine that dies under it.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::Instant;

use tempfile::TempDir;

struct Store {
    folder: TempDir,
}

impl Store {
    fn new() -> Self {
        let store = Self { folder: tempfile::tempdir().unwrap() };
        let made = store.run(&["init"], b"");
        assert!(made.status.success(), "{made:?}");
        store
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("secrets.kt")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rotator"));
        command
            .arg("store")
            .args(arguments)
            .env("KEYTURN_STORE", self.file())
            .env("KEYTURN_STORE_KEY", self.folder.path().join("secrets.key"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    fn run(&self, arguments: &[&str], input: &[u8]) -> Output {
        let mut child = self.command(arguments).spawn().unwrap();
        // A program that refuses its arguments does not read on.
        let _ = child.stdin.take().unwrap().write_all(input);
        child.wait_with_output().unwrap()
    }

    #[track_caller]
    fn done(&self, arguments: &[&str], input: &[u8]) -> String {
        let output = self.run(arguments, input);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        assert!(output.stderr.is_empty(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Fails with this code and one line, which is returned.
    #[track_caller]
    fn refused(&self, arguments: &[&str], input: &[u8], code: i32) -> String {
        let output = self.run(arguments, input);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        assert_eq!(said.lines().count(), 1, "{arguments:?}: {said}");
        assert!(output.stdout.is_empty());
        said
    }
}

#[test]
fn what_is_put_is_got_and_listed_until_it_is_deleted() {
    let store = Store::new();
    assert_eq!(
        store.done(&["put", "shop/db"], br#"{"user":"app","port":5432,"ratio":1.50}"#),
        "shop/db: version 1\n"
    );
    assert_eq!(
        store.done(&["put", "shop/db", "--property", "password"], b"s3cret\n"),
        "shop/db: version 2\n"
    );
    assert_eq!(
        store.done(&["get", "shop/db"], b""),
        "{\"password\":\"s3cret\",\"port\":5432,\"ratio\":1.50,\"user\":\"app\"}\n"
    );
    assert_eq!(store.done(&["get", "shop/db", "--property", "password"], b""), "s3cret");
    assert_eq!(store.done(&["get", "shop/db", "--property", "port"], b""), "5432");
    assert_eq!(store.done(&["get", "shop/db", "--version", "1", "--property", "user"], b""), "app");
    store.done(&["put", "shop/exact", "--property", "line", "--exact"], b"a\n");
    assert_eq!(store.done(&["get", "shop/exact", "--property", "line"], b""), "a\n");
    assert_eq!(store.done(&["list"], b""), "shop/\n");
    assert_eq!(store.done(&["list", "shop"], b""), "db\nexact\n");
    store.done(&["delete", "shop/db"], b"");
    let deleted = store.refused(&["get", "shop/db"], b"", 1);
    assert!(deleted.ends_with("secrets.kt: shop/db: this version was deleted\n"), "{deleted}");
    // Set a property of a deleted document: nothing old comes back.
    store.done(&["put", "shop/db", "--property", "only"], b"x");
    assert_eq!(store.done(&["get", "shop/db"], b""), "{\"only\":\"x\"}\n");
    store.done(&["delete", "shop/db", "--all-versions"], b"");
    store.refused(&["delete", "shop/db"], b"", 1);
}

#[test]
fn files_become_properties_byte_by_byte() {
    let store = Store::new();
    let pem = "-----BEGIN SOMETHING-----\n\"quoted\"\\ é\n-----END SOMETHING-----\n";
    let file = store.folder.path().join("x.pem");
    fs::write(&file, pem).unwrap();
    let first = format!("tls.key={}", file.display());
    store.done(&["put", "tls", "--property-file", &first, "--property", "note"], b"n");
    assert_eq!(store.done(&["get", "tls", "--property", "tls.key"], b""), pem);
    assert_eq!(store.done(&["get", "tls", "--property", "note"], b""), "n");
    fs::write(&file, b"\xff\xfe").unwrap();
    let binary = store.refused(&["put", "tls", "--property-file", &first], b"", 2);
    assert!(binary.contains("not UTF-8, which JSON cannot hold; store it as base64"), "{binary}");
}

#[test]
fn check_and_set_is_honoured() {
    let store = Store::new();
    store.done(&["put", "a", "--cas", "0"], b"{}");
    let taken = store.refused(&["put", "a", "--cas", "0"], b"{}", 1);
    assert!(taken.contains("version 0 was to be replaced, but version 1 is there; read it again"), "{taken}");
    store.done(&["put", "a", "--property", "x", "--cas", "1"], b"y");
    store.refused(&["put", "a", "--property", "x", "--cas", "1"], b"z", 1);
    assert_eq!(store.done(&["get", "a"], b""), "{\"x\":\"y\"}\n");
}

#[test]
fn a_value_typed_as_an_argument_is_refused_and_not_repeated() {
    let store = Store::new();
    let canary = "canary-5Hq2";
    for arguments in [
        vec!["put", "a", "--property", "password=canary-5Hq2"],
        vec!["put", "a", "--property-file", "password=canary-5Hq2"],
        vec!["put", "a", "--property-file", "canary-5Hq2"],
    ] {
        let said = store.refused(&arguments, b"", 2);
        assert!(!said.contains(canary), "{said}");
    }
    // What comes by standard input is not repeated either.
    for (arguments, code) in [(vec!["put", "a"], 1), (vec!["put", "a//b", "--property", "x"], 1)] {
        let said = store.refused(&arguments, canary.as_bytes(), code);
        assert!(!said.contains(canary), "{said}");
    }
    assert_eq!(store.done(&["list"], b""), "");
}

#[test]
fn a_mistake_is_one_line_that_names_the_thing() {
    let store = Store::new();
    store.done(&["put", "a"], br#"{"x":1,"y":2}"#);
    let missing = store.refused(&["get", "a", "--property", "z"], b"", 1);
    assert_eq!(missing, "error: a: no property \"z\"; it has \"x\", \"y\"\n");
    let absent = store.refused(&["get", "b"], b"", 1);
    assert!(absent.ends_with("secrets.kt: b: nothing is stored there\n"), "{absent}");
    let list = store.refused(&["put", "a"], b"[1]", 1);
    assert!(list.ends_with("secrets.kt: a: the value is not a JSON object\n"), "{list}");
    let again = store.refused(&["init"], b"", 2);
    assert!(again.contains("exists already and is left as it is"), "{again}");
    let key = store.folder.path().join("other.key");
    fs::write(&key, "00".repeat(32)).unwrap();
    let readable = store.refused(&["list", "--key-file", key.to_str().unwrap()], b"", 2);
    assert!(readable.contains("lets other users at the key"), "{readable}");
    Command::new("chmod").arg("600").arg(&key).status().unwrap();
    let wrong = store.refused(&["list", "--key-file", key.to_str().unwrap()], b"", 2);
    assert!(wrong.contains("use the key file that belongs to it"), "{wrong}");
    let nowhere = store.refused(&["list", "--file", "/nonexistent/store"], b"", 2);
    assert!(
        nowhere.contains("/nonexistent/store: there is no store; make one with `rotator store init`"),
        "{nowhere}"
    );
    fs::write(store.file(), &fs::read(store.file()).unwrap()[..90]).unwrap();
    let truncated = store.refused(&["get", "a"], b"", 2);
    assert!(truncated.ends_with("the store is truncated; restore it from a backup\n"), "{truncated}");
}

#[test]
fn a_full_disk_leaves_the_old_store() {
    let store = Store::new();
    store.done(&["put", "a", "--property", "x"], b"old");
    let before = fs::read(store.file()).unwrap();
    // The kernel refuses each byte beyond 8 KiB, in the middle of the write.
    let script = r#"trap "" XFSZ; ulimit -f 8; exec "$@""#;
    let mut limited = Command::new("bash");
    let put = store.command(&["put", "a", "--property", "y"]);
    limited.args(["-c", script, "bash"]).arg(put.get_program()).args(put.get_args());
    for (name, value) in put.get_envs() {
        limited.env(name, value.unwrap_or_default());
    }
    let mut child =
        limited.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all("y".repeat(100_000).as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("cannot write the new store (the old one is unchanged): File too large"), "{said}");
    assert_eq!(fs::read(store.file()).unwrap(), before);
    assert_eq!(names(&store), ["secrets.key", "secrets.kt"]);
}

#[test]
fn a_process_killed_at_any_moment_loses_nothing_that_it_acknowledged() {
    let store = Store::new();
    // Big enough that writing takes a while.
    store.done(&["put", "ballast", "--property", "x"], "x".repeat(1_000_000).as_bytes());
    let start = Instant::now();
    store.done(&["put", "a"], b"{\"round\":0}");
    // From before a process has started to well after it has ended, however busy the machine is.
    let step = start.elapsed() / 20;
    let mut acknowledged = 0;
    let (mut killed, mut ended) = (0, 0);
    for round in 1..=40_u32 {
        let mut child = store.command(&["put", "a"]).spawn().unwrap();
        child.stdin.take().unwrap().write_all(format!("{{\"round\":{round}}}").as_bytes()).unwrap();
        std::thread::sleep(step * round);
        child.kill().unwrap();
        let output = child.wait_with_output().unwrap();
        if output.stdout.starts_with(b"a: version ") {
            acknowledged = round;
        }
        if output.status.success() {
            ended += 1;
        } else {
            killed += 1;
        }
        // Whatever was in the way: the store opens, and has what was acknowledged or what came after it.
        let there: u32 = store.done(&["get", "a", "--property", "round"], b"").parse().unwrap();
        assert!((acknowledged..=round).contains(&there), "{there} is there, {acknowledged} was acknowledged");
    }
    assert!(killed > 0 && ended > 0, "{killed} killed, {ended} ended: choose other delays");
    store.done(&["put", "a"], b"{}");
    assert_eq!(names(&store), ["secrets.key", "secrets.kt"], "the next write clears up");
}

#[test]
fn processes_that_write_at_once_lose_no_write() {
    let store = Store::new();
    let mut children = Vec::new();
    for writer in 0..12 {
        let name = format!("p{writer}");
        let mut child = store.command(&["put", "shared", "--property", &name]).spawn().unwrap();
        child.stdin.take().unwrap().write_all(name.as_bytes()).unwrap();
        children.push(child);
    }
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let whole: BTreeMap<String, String> = serde_json::from_str(&store.done(&["get", "shared"], b"")).unwrap();
    assert_eq!(whole.len(), 12, "{whole:?}");
    assert!(whole.iter().all(|(name, value)| name == value));
}

fn names(store: &Store) -> Vec<String> {
    let entries = fs::read_dir(store.folder.path()).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}
