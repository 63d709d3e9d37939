//! Files are private, whole, and only ours are touched.

use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret as KubeSecret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use proptest::prelude::*;

use super::{Folder, HEADER, TargetError};
use crate::sync::secret::SecretObject;

fn secret(data: &[(&str, &[u8])]) -> SecretObject {
    let data: BTreeMap<_, _> =
        data.iter().map(|(key, value)| ((*key).to_owned(), ByteString(value.to_vec()))).collect();
    SecretObject::new(KubeSecret {
        metadata: ObjectMeta {
            name: Some("orders.db".into()),
            namespace: Some("shop".into()),
            labels: Some([("a/b".to_owned(), "true".to_owned())].into()),
            ..ObjectMeta::default()
        },
        type_: Some("Opaque".into()),
        data: Some(data),
        ..KubeSecret::default()
    })
}

#[test]
fn what_is_written_is_private_and_reads_back() {
    let place = tempfile::tempdir().unwrap();
    let folder = Folder::open(&place.path().join("new/out")).unwrap();
    assert_eq!(folder.path().metadata().unwrap().permissions().mode() & 0o777, 0o700);
    let written = secret(&[("password", b"\x00\xff"), ("true", b"x")]);
    folder.write(&written).unwrap();
    let file = folder.path().join("shop.orders.db.yaml");
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.starts_with(&format!("{HEADER}apiVersion: v1\nkind: Secret\n")), "{text}");
    let read = folder.read("shop", "orders.db").unwrap().unwrap();
    assert!(read.same_as(&written));
    assert_eq!(folder.list().unwrap().len(), 1);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
    folder.delete(&read).unwrap();
    assert!(folder.read("shop", "orders.db").unwrap().is_none());
}

#[test]
fn files_of_others_are_never_touched() {
    let place = tempfile::tempdir().unwrap();
    let folder = Folder::open(place.path()).unwrap();
    let file = place.path().join("shop.orders.db.yaml");
    std::fs::write(&file, "apiVersion: v1\nkind: Secret\n").unwrap();
    assert!(matches!(folder.read("shop", "orders.db"), Err(TargetError::NotOurs { .. })));
    std::fs::remove_file(&file).unwrap();
    let elsewhere = place.path().join("elsewhere");
    std::fs::write(&elsewhere, HEADER).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &file).unwrap();
    assert!(matches!(folder.read("shop", "orders.db"), Err(TargetError::NotOurs { .. })));
    std::fs::remove_file(&file).unwrap();
    std::fs::create_dir(&file).unwrap();
    assert!(matches!(folder.read("shop", "orders.db"), Err(TargetError::NotOurs { .. })));
    assert!(folder.list().unwrap().is_empty());
}

#[test]
fn a_failed_write_leaves_the_old_file() {
    let place = tempfile::tempdir().unwrap();
    let folder = Folder::open(place.path()).unwrap();
    folder.write(&secret(&[("k", b"old")])).unwrap();
    let file = place.path().join("shop.orders.db.yaml");
    let before = file.metadata().unwrap().ino();
    // A folder in the way of the new file's name stands for a full disk: it works for root too.
    std::fs::create_dir(place.path().join(format!(".shop.orders.db.yaml.{}.new", std::process::id())))
        .unwrap();
    assert!(folder.write(&secret(&[("k", b"new")])).is_err());
    assert_eq!(file.metadata().unwrap().ino(), before);
    assert!(folder.read("shop", "orders.db").unwrap().unwrap().same_as(&secret(&[("k", b"old")])));
}

proptest! {
    #[test]
    fn any_bytes_read_back(key in "[-._a-zA-Z0-9]{1,20}", value in proptest::collection::vec(any::<u8>(), 0..200)) {
        let place = tempfile::tempdir().unwrap();
        let folder = Folder::open(place.path()).unwrap();
        let written = secret(&[(key.as_str(), value.as_slice())]);
        folder.write(&written).unwrap();
        prop_assert!(folder.read("shop", "orders.db").unwrap().unwrap().same_as(&written));
    }
}
