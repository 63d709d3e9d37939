use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::PathBuf;

use shared::clock::TestClock;
use shared::retry::Retry;
use shared::secret::Secret;
use tempfile::TempDir;

use super::{FileStore, FileStoreError, MetadataChange};
use crate::provider::{Absence, Key, Provider, ReadError, VersionState, WriteError};

struct Fixture {
    folder: TempDir,
    store: FileStore,
}

impl Fixture {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (file, key) = (folder.path().join("store"), folder.path().join("key"));
        FileStore::init(&file, &key).unwrap();
        let store = FileStore::open("local", &file, &key).unwrap();
        Self { folder, store }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("store")
    }

    fn key(&self) -> PathBuf {
        self.folder.path().join("key")
    }

    fn open(&self) -> Result<FileStore, FileStoreError> {
        FileStore::open("local", &self.file(), &self.key())
    }

    async fn put(&self, path: &str, json: &str, cas: Option<u64>) -> Result<u64, WriteError> {
        self.store.write(path, Secret::copy_of(json.as_bytes()), cas).await
    }

    async fn get(&self, path: &str, version: Option<u64>) -> Result<String, ReadError> {
        let document = self.store.read(&Key { path: path.to_owned(), version }).await?;
        Ok(document.json().expose(|bytes| String::from_utf8(bytes.to_vec()).unwrap()))
    }
}

#[tokio::test]
async fn a_value_comes_back_as_it_was_written_with_the_text_of_its_numbers() {
    let fixture = Fixture::new();
    let text = r#"{"b": 1.10, "a": 12345678901234567890123, "e":"\u00e9\n"}"#;
    assert_eq!(fixture.put("team/app", text, None).await.unwrap(), 1);
    assert_eq!(fixture.get("team/app", None).await.unwrap(), text);
    // Another process sees it too, and a leading slash is the same path.
    let again = fixture.open().unwrap();
    let document = again.read(&Key::latest("/team/app")).await.unwrap();
    assert_eq!(document.version, Some(1));
    assert!(document.created_time.is_some());
}

#[tokio::test]
async fn versions_count_up_and_the_oldest_go_away() {
    let fixture = Fixture::new();
    for number in 1..=12 {
        assert_eq!(fixture.put("a", &format!(r#"{{"n":{number}}}"#), None).await.unwrap(), number);
    }
    assert_eq!(fixture.get("a", Some(3)).await.unwrap(), r#"{"n":3}"#);
    assert_eq!(fixture.get("a", Some(0)).await.unwrap(), r#"{"n":12}"#);
    let gone = fixture.get("a", Some(2)).await.unwrap_err();
    assert!(matches!(gone, ReadError::NotFound { why: Absence::Missing, .. }), "{gone}");

    let change = MetadataChange { max_versions: Some(2), ..MetadataChange::default() };
    fixture.store.change_metadata("a", change).await.unwrap();
    let metadata = fixture.store.metadata("a").await.unwrap();
    assert_eq!(metadata.versions.keys().copied().collect::<Vec<_>>(), [11, 12]);
    assert_eq!(metadata.current_version, 12);
}

#[tokio::test]
async fn check_and_set_writes_only_over_the_version_that_it_names() {
    let fixture = Fixture::new();
    assert_eq!(fixture.put("a", "{}", Some(0)).await.unwrap(), 1);
    let taken = fixture.put("a", r#"{"x":1}"#, Some(0)).await.unwrap_err();
    assert_eq!(
        taken.to_string(),
        "local: a: version 0 was to be replaced, but version 1 is there; read it again"
    );
    assert_eq!(taken.retry(), Retry::Never);
    let absent = fixture.put("b", "{}", Some(4)).await.unwrap_err();
    assert!(matches!(absent, WriteError::Cas { expected: 4, found: Some(0), .. }), "{absent}");
    assert_eq!(fixture.put("a", r#"{"x":1}"#, Some(1)).await.unwrap(), 2);

    let change = MetadataChange { cas_required: Some(true), ..MetadataChange::default() };
    fixture.store.change_metadata("a", change).await.unwrap();
    let blind = fixture.put("a", "{}", None).await.unwrap_err();
    assert!(matches!(blind, WriteError::CasRequired { .. }), "{blind}");
    assert_eq!(fixture.put("a", "{}", Some(2)).await.unwrap(), 3);
}

#[tokio::test]
async fn a_deleted_version_hides_and_its_number_is_not_used_again() {
    let fixture = Fixture::new();
    fixture.put("a", "{}", None).await.unwrap();
    fixture.store.delete("a").await.unwrap();
    let hidden = fixture.get("a", None).await.unwrap_err();
    assert_eq!(hidden.to_string(), "local: a: this version was deleted");
    let states = fixture.store.metadata("a").await.unwrap().versions;
    assert!(matches!(states[&1], VersionState::Deleted { .. }));
    assert_eq!(fixture.put("a", "{}", None).await.unwrap(), 2);

    fixture.store.destroy("a").await.unwrap();
    assert!(fixture.store.metadata("a").await.is_err());
    assert!(fixture.store.destroy("a").await.is_err());
}

#[tokio::test]
async fn listing_shows_names_and_folders_right_below() {
    let fixture = Fixture::new();
    for path in ["a", "a/x", "a/y/z", "a.b", "b/c/d", "b/c/e"] {
        fixture.put(path, "{}", None).await.unwrap();
    }
    assert_eq!(fixture.store.list("").await.unwrap(), ["a", "a.b", "a/", "b/"]);
    assert_eq!(fixture.store.list("/a/").await.unwrap(), ["x", "y/"]);
    assert_eq!(fixture.store.list("b/c").await.unwrap(), ["d", "e"]);
    assert!(fixture.store.list("nothing").await.unwrap().is_empty());
}

#[tokio::test]
async fn custom_metadata_and_times_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let (file, key) = (folder.path().join("store"), folder.path().join("key"));
    FileStore::init(&file, &key).unwrap();
    let clock = TestClock::at("2026-01-02T03:04:05Z".parse().unwrap());
    let store = FileStore::open_at("local", &file, &key, Box::new(clock.clone())).unwrap();
    store.write("a", Secret::copy_of(b"{}"), None).await.unwrap();
    clock.advance(std::time::Duration::from_secs(60));
    let owner = BTreeMap::from([("owner".to_owned(), "shop".to_owned())]);
    let change = MetadataChange { custom_metadata: Some(owner.clone()), ..MetadataChange::default() };
    store.change_metadata("a", change).await.unwrap();
    let metadata = store.metadata("a").await.unwrap();
    assert_eq!(metadata.created_time, "2026-01-02T03:04:05Z");
    assert_eq!(metadata.updated_time, "2026-01-02T03:05:05Z");
    let document = store.read(&Key::latest("a")).await.unwrap();
    assert_eq!(document.custom_metadata, owner);
    assert_eq!(document.created_time.unwrap().to_string(), "2026-01-02T03:04:05Z");
}

#[tokio::test]
async fn only_json_objects_of_a_sane_size_at_sane_paths_are_taken() {
    let fixture = Fixture::new();
    for json in ["", "[]", "1", "{", "{} {}", "\u{feff}{}", "{\"a\":\"\u{1}\"}"] {
        let refused = fixture.put("a", json, None).await.unwrap_err();
        assert!(matches!(refused, WriteError::NotAnObject { .. }), "{json:?}: {refused}");
    }
    let invalid = fixture.store.write("a", Secret::copy_of(b"{\"a\":\"\xff\"}"), None).await;
    assert!(matches!(invalid, Err(WriteError::NotAnObject { .. })));
    let large = format!(r#"{{"a":"{}"}}"#, "x".repeat(1024 * 1024));
    let refused = fixture.put("a", &large, None).await.unwrap_err().to_string();
    assert!(refused.contains("1048584 bytes are more than the 1048576 allowed"), "{refused}");
    for path in ["", "/", "a//b", "a/../b", "./a", "a\nb", &"x".repeat(513)] {
        let refused = fixture.put(path, "{}", None).await.unwrap_err();
        assert!(matches!(&refused, WriteError::Refused(ReadError::File(FileStoreError::Refused { .. }))));
        assert!(refused.to_string().lines().count() == 1 && refused.to_string().len() < 250, "{refused}");
    }
    // Nothing of all that was written.
    assert!(fixture.store.list("").await.unwrap().is_empty());
    // A million open brackets must not exhaust the stack, neither now nor when the store is read.
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(400_000), "]".repeat(400_000));
    let _ = fixture.put("deep", &deep, None).await;
    fixture.open().unwrap();
}

#[tokio::test]
async fn files_are_their_owners_alone_and_nothing_is_left_beside_them() {
    let fixture = Fixture::new();
    fixture.put("a", "{}", None).await.unwrap();
    for file in [fixture.file(), fixture.key()] {
        assert_eq!(file.metadata().unwrap().mode() & 0o7777, 0o600, "{}", file.display());
    }
    let mut names: Vec<_> =
        fs::read_dir(fixture.folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["key", "store"]);
}

#[tokio::test]
async fn init_overwrites_neither_store_nor_key() {
    let fixture = Fixture::new();
    fixture.put("a", "{}", None).await.unwrap();
    let before = (fs::read(fixture.file()).unwrap(), fs::read(fixture.key()).unwrap());
    let refused = FileStore::init(&fixture.file(), &fixture.key()).unwrap_err();
    assert!(matches!(refused, FileStoreError::Exists { .. }), "{refused}");
    // A second store under the key that is there.
    FileStore::init(&fixture.folder.path().join("deep/er/second"), &fixture.key()).unwrap();
    assert_eq!(before, (fs::read(fixture.file()).unwrap(), fs::read(fixture.key()).unwrap()));
}

#[tokio::test]
async fn the_file_holds_no_path_name_or_value_in_the_clear() {
    let fixture = Fixture::new();
    let value = "canary-value-0123456789";
    fixture.put("canary-path", &format!(r#"{{"canary-name":"{value}"}}"#), None).await.unwrap();
    let bytes = fs::read(fixture.file()).unwrap();
    assert!(!bytes.windows(6).any(|window| window == b"canary"));
    // The same content never gives the same bytes.
    fixture.put("canary-path", "{}", None).await.unwrap();
    let again = fs::read(fixture.file()).unwrap();
    assert_ne!(bytes[28..52], again[28..52], "the nonce must be fresh");
    let shown = format!("{:?} {:?}", fixture.store, fixture.store.read(&Key::latest("canary-path")).await);
    assert!(!shown.contains("canary-value"), "{shown}");
}

#[tokio::test]
async fn every_changed_byte_and_every_length_is_noticed() {
    let fixture = Fixture::new();
    fixture.put("a", r#"{"x":"y"}"#, None).await.unwrap();
    let whole = fs::read(fixture.file()).unwrap();
    for index in 0..whole.len() {
        let mut changed = whole.clone();
        changed[index] ^= 0x20;
        fs::write(fixture.file(), &changed).unwrap();
        let error = fixture.open().expect_err(&format!("byte {index} was changed"));
        assert_eq!(error.to_string().lines().count(), 1, "{error}");
    }
    for length in 0..whole.len() {
        fs::write(fixture.file(), &whole[..length]).unwrap();
        let error = fixture.open().expect_err(&format!("cut to {length} bytes"));
        let wanted = if length == 0 { "no store" } else { "truncated" };
        assert!(error.to_string().contains(wanted), "{length}: {error}");
    }
    fs::write(fixture.file(), [whole.as_slice(), b"x"].concat()).unwrap();
    assert!(fixture.open().unwrap_err().to_string().contains("bytes after its end"));
    // A write must not paper over the damage either.
    let refused = fixture.put("a", "{}", None).await.unwrap_err();
    assert!(matches!(refused, WriteError::Refused(ReadError::File(FileStoreError::Damaged { .. }))));
    assert_eq!(fs::read(fixture.file()).unwrap().len(), whole.len() + 1);

    fs::write(fixture.file(), &whole).unwrap();
    assert_eq!(fixture.get("a", None).await.unwrap(), r#"{"x":"y"}"#);
}

#[test]
fn a_newer_format_a_foreign_file_and_an_absent_one_are_told_apart() {
    let fixture = Fixture::new();
    let mut newer = fs::read(fixture.file()).unwrap();
    newer[8..12].copy_from_slice(&2_u32.to_le_bytes());
    fs::write(fixture.file(), &newer[..20]).unwrap();
    let error = fixture.open().unwrap_err().to_string();
    assert!(
        error.contains("format version 2 is newer than this program's 1; use a newer rotator"),
        "{error}"
    );

    fs::write(fixture.file(), "apiVersion: v1\n").unwrap();
    assert!(fixture.open().unwrap_err().to_string().contains("this is no store"));
    fs::remove_file(fixture.file()).unwrap();
    assert!(matches!(fixture.open(), Err(FileStoreError::NoStore { .. })));
    fs::create_dir(fixture.file()).unwrap();
    assert!(fixture.open().unwrap_err().to_string().contains("not a regular file"));
}

#[test]
fn a_key_file_holds_digits_or_bytes_and_nothing_else() {
    let fixture = Fixture::new();
    let digits = fs::read_to_string(fixture.key()).unwrap();
    let raw = data_encoding::HEXLOWER.decode(digits.trim().as_bytes()).unwrap();
    for content in
        [raw.clone(), digits.to_uppercase().into_bytes(), format!(" {}\r\n", digits.trim()).into_bytes()]
    {
        fs::write(fixture.key(), content).unwrap();
        fixture.open().unwrap();
    }
    let wrong = digits.replace(|digit: char| digit.is_ascii_digit(), "g");
    for content in [wrong.into_bytes(), Vec::new(), raw[..31].to_vec(), vec![b'a'; 4096]] {
        fs::write(fixture.key(), &content).unwrap();
        let error = fixture.open().unwrap_err().to_string();
        assert!(
            error.ends_with("not a key: it must hold 64 hexadecimal digits or exactly 32 bytes"),
            "{error}"
        );
    }
    fs::write(fixture.key(), [7; 32]).unwrap();
    let error = fixture.open().unwrap_err();
    assert!(matches!(error, FileStoreError::WrongKey { .. }), "{error}");
    fs::set_permissions(fixture.key(), fs::Permissions::from_mode(0o640)).unwrap();
    let error = fixture.open().unwrap_err().to_string();
    assert!(error.contains("mode 0640 lets other users at the key; run `chmod 600` on it"), "{error}");
    fs::remove_file(fixture.key()).unwrap();
    assert!(fixture.open().unwrap_err().to_string().contains("no such key file"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_writers_lose_no_write() {
    let fixture = Fixture::new();
    // Eight handles of their own, as eight processes would have.
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..8 {
        let store = fixture.open().unwrap();
        writers.spawn(async move {
            for number in 0..10 {
                store.write(&format!("w{writer}/{number}"), Secret::copy_of(b"{}"), Some(0)).await.unwrap();
                store.write("shared", Secret::copy_of(b"{}"), None).await.unwrap();
            }
        });
    }
    while let Some(ended) = writers.join_next().await {
        ended.unwrap();
    }
    assert_eq!(fixture.store.metadata("shared").await.unwrap().current_version, 80);
    for writer in 0..8 {
        assert_eq!(fixture.store.list(&format!("w{writer}")).await.unwrap().len(), 10);
    }
}

#[tokio::test]
async fn a_store_behind_a_link_stays_behind_it() {
    let fixture = Fixture::new();
    let link = fixture.folder.path().join("link");
    std::os::unix::fs::symlink(fixture.file(), &link).unwrap();
    let store = FileStore::open("local", &link, &fixture.key()).unwrap();
    store.write("a", Secret::copy_of(b"{}"), None).await.unwrap();
    assert!(link.symlink_metadata().unwrap().is_symlink());
    assert_eq!(fixture.get("a", None).await.unwrap(), "{}");
}

#[tokio::test]
async fn the_provider_serves_it_as_any_other_store() {
    let fixture = Fixture::new();
    let provider = Provider::File(std::sync::Arc::new(fixture.open().unwrap()));
    assert_eq!(provider.write("a", Secret::copy_of(b"{}"), None).await.unwrap(), 1);
    let pass = crate::provider::Pass::new(provider.clone());
    let first = pass.read(&Key::latest("a")).await.unwrap();
    provider.write("a", Secret::copy_of(b"{}"), None).await.unwrap();
    // A pass sees one state of a path from its beginning to its end.
    assert_eq!(pass.read(&Key::latest("a")).await.unwrap().version, first.version);
    assert_eq!(provider.read(&Key::latest("a")).await.unwrap().version, Some(2));
    assert_eq!(provider.list("").await.unwrap(), ["a"]);
    assert_eq!(provider.metadata("a").await.unwrap().current_version, 2);
    assert_eq!(provider.name(), "local");
}
