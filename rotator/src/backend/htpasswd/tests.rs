//! The file itself, and a service that reads it.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use jiff::Timestamp;
use shared::secret::Secret;

use super::Htpasswd;
use crate::rotation::context::{Answer, Backend as _, Lease, SetError};

const LEASE: Lease = Lease { epoch: 1, until: Timestamp::MAX };

fn secret(text: &str) -> Secret {
    Secret::from_string(text.into())
}

fn target(folder: &Path, text: &str) -> Htpasswd {
    let path = folder.join("htpasswd");
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o640)).unwrap();
    Htpasswd::new(path, None).unwrap()
}

#[tokio::test]
async fn a_new_password_is_accepted_the_old_refused_and_other_lines_stay() {
    let folder = tempfile::tempdir().unwrap();
    let target = target(folder.path(), "# staff\nann:$apr1$x$y\ndemo:!\n\nbob:{SHA}zz");
    target.set("file", "demo", &[&secret("first")], LEASE).await.unwrap();
    assert_eq!(target.test("file", "demo", &secret("first")).await, Ok(Answer::Accepted));
    target.set("file", "demo", &[&secret("second")], LEASE).await.unwrap();
    assert_eq!(target.test("file", "demo", &secret("first")).await, Ok(Answer::Refused));
    assert_eq!(target.test("file", "demo", &secret("second")).await, Ok(Answer::Accepted));
    let text = std::fs::read_to_string(folder.path().join("htpasswd")).unwrap();
    let lines: Vec<_> = text.split('\n').collect();
    assert_eq!((lines[0], lines[1], lines[3], lines[4]), ("# staff", "ann:$apr1$x$y", "", "bob:{SHA}zz"));
    assert!(lines[2].starts_with("demo:$2"), "{}", lines[2]);
    assert!(!text.contains("second"));
    let mode = std::fs::metadata(folder.path().join("htpasswd")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o640);
}

#[tokio::test]
async fn a_change_after_the_end_of_its_lease_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let target = target(folder.path(), "demo:!\n");
    let over = Lease { epoch: 1, until: Timestamp::UNIX_EPOCH };
    assert!(target.set("file", "demo", &[&secret("late")], over).await.is_err());
    assert!(target.revoke("file", "demo", None, over).await.is_err());
    assert_eq!(std::fs::read_to_string(folder.path().join("htpasswd")).unwrap(), "demo:!\n");
}

#[tokio::test]
async fn a_revoked_account_accepts_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let target = target(folder.path(), "app_a:!\napp_b:!\n");
    target.set("file", "app_a", &[&secret("one")], LEASE).await.unwrap();
    target.revoke("file", "app_a", None, LEASE).await.unwrap();
    assert_eq!(target.test("file", "app_a", &secret("one")).await, Ok(Answer::Refused));
    target.revoke("file", "app_a", None, LEASE).await.unwrap();
}

#[tokio::test]
async fn what_only_a_person_can_mend_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let target = target(folder.path(), "demo:!\n");
    let missing = target.ready("nobody", false).await.unwrap_err();
    assert!(matches!(&missing, SetError::NeedsPerson { why, .. } if why.contains("`nobody` has no line")));
    let two = target.set("file", "demo", &[&secret("a"), &secret("b")], LEASE).await.unwrap_err();
    assert!(matches!(two, SetError::NeedsPerson { .. }));
    let long = target.set("file", "demo", &[&secret(&"x".repeat(73))], LEASE).await.unwrap_err();
    assert!(matches!(long, SetError::Rejected(_)));
    let injected = target.set("file", "demo:!\nroot", &[&secret("a")], LEASE).await.unwrap_err();
    assert!(matches!(injected, SetError::NeedsPerson { .. }));
    std::fs::remove_file(folder.path().join("htpasswd")).unwrap();
    assert!(target.ready("demo", false).await.unwrap_err().to_string().contains("no such file"));
}

/// `/dev/full` cannot be a folder, so the full disk is a small file system of its own, where we may mount one.
#[tokio::test]
async fn a_full_disk_leaves_the_file_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let mounted = std::process::Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=16k", "tmpfs"])
        .arg(folder.path())
        .status();
    if !mounted.is_ok_and(|status| status.success()) {
        assert!(std::env::var_os("KEYTURN_REQUIRE_SERVERS").is_none(), "cannot mount a tmpfs");
        eprintln!("skipped: mounting a tmpfs needs root");
        return;
    }
    let target = target(folder.path(), "demo:!\n");
    // Whatever room is left goes to somebody else's file.
    let hog = std::fs::write(folder.path().join("hog"), vec![0_u8; 64 * 1024]);
    assert!(hog.is_err());
    let full = target.set("file", "demo", &[&secret("new")], LEASE).await;
    let text = std::fs::read_to_string(folder.path().join("htpasswd")).unwrap();
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    std::process::Command::new("umount").arg(folder.path()).status().unwrap();
    assert!(matches!(&full, Err(SetError::NoAnswer(lost)) if lost.class == "disk full"), "{full:?}");
    assert_eq!(text, "demo:!\n");
    assert!(!left.iter().any(|name| name.to_string_lossy().contains("keyturn-new")), "{left:?}");
}
