//! Fingerprints against committed vectors, and keys from files.

use std::os::unix::fs::PermissionsExt;

use super::{Fingerprint, FingerprintKey, KeyError, KeyOrigin};
use crate::secret::Redacted;

/// `vectors/fingerprint.json` was computed by an independent BLAKE3 (see its `by`), not by this code.
#[test]
fn fingerprints_equal_the_committed_vectors() {
    let vectors: serde_json::Value =
        serde_json::from_str(include_str!("../../vectors/fingerprint.json")).unwrap();
    let cases = vectors["cases"].as_array().unwrap();
    assert!(cases.len() >= 4);
    for case in cases {
        let hex =
            |name: &str| data_encoding::HEXLOWER.decode(case[name].as_str().unwrap().as_bytes()).unwrap();
        let key = FingerprintKey::from_bytes(hex("key").try_into().unwrap());
        assert_eq!(key.key_id().to_string(), case["key_id"].as_str().unwrap());
        let fingerprint = key.fingerprint(Redacted::new(&hex("secret")));
        assert_eq!(fingerprint.to_string(), case["fingerprint"].as_str().unwrap());
        assert_eq!(fingerprint.to_string().parse::<Fingerprint>(), Ok(fingerprint));
    }
}

#[test]
fn another_key_gives_another_fingerprint() {
    let secret = Redacted::new(b"the same secret");
    let one = FingerprintKey::from_bytes([1; 32]);
    let two = FingerprintKey::from_bytes([2; 32]);
    assert_ne!(one.fingerprint(secret), two.fingerprint(secret));
    assert_ne!(one.key_id(), two.key_id());
}

#[test]
fn texts_that_are_no_fingerprints_are_refused() {
    for text in
        ["", "k1:", "k1:00", "k2:000102030405060708090a0b0c0d0e0f", "k1:000102030405060708090A0B0C0D0E0F"]
    {
        assert!(text.parse::<Fingerprint>().is_err(), "{text}");
    }
}

#[test]
fn a_key_file_is_read_when_it_is_private_and_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    std::fs::write(&path, "07".repeat(32) + "\n").unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
    let key = FingerprintKey::read(&path).unwrap();
    assert_eq!(key.key_id(), FingerprintKey::from_bytes([7; 32]).key_id());
    assert_eq!(key.origin(), KeyOrigin::Kept);

    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o640)).unwrap();
    let open = FingerprintKey::read(&path).unwrap_err();
    assert!(matches!(open, KeyError::TooOpen { mode: 0o640, .. }));
    assert!(open.to_string().contains("chmod 600"), "{open}");

    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
    std::fs::write(&path, "07".repeat(31)).unwrap();
    let short = FingerprintKey::read(&path).unwrap_err();
    assert!(matches!(short, KeyError::Malformed { .. }));
    assert!(!short.to_string().contains("0707"), "{short}");
}

#[test]
fn a_key_of_one_run_says_so_and_is_never_shown() {
    let key = FingerprintKey::one_run().unwrap();
    assert_eq!(key.origin(), KeyOrigin::OneRun);
    assert_eq!(format!("{key:?}"), format!("FingerprintKey({})", key.key_id()));
}
