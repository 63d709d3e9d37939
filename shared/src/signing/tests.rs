//! Keys go through files; signatures hold for one type and one payload.

use std::os::unix::fs::PermissionsExt;

use super::{KeyFileError, PrivateKey, PublicKey, TrustedKeys, pre_authentication_encoding};

/// The example of the DSSE protocol text.
#[test]
fn the_encoding_is_dsses() {
    let encoded = pre_authentication_encoding("http://example.com/HelloWorld", b"hello world");
    assert_eq!(encoded, b"DSSEv1 29 http://example.com/HelloWorld 11 hello world");
}

#[test]
fn a_private_key_is_kept_in_a_file_of_its_owner() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("receipts.key");
    let key = PrivateKey::generate().unwrap();
    key.write_new(&path).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
    assert_eq!(PrivateKey::read(&path).unwrap().public(), key.public());
    assert!(matches!(key.write_new(&path), Err(KeyFileError::Io { .. })), "a key is never overwritten");

    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o604)).unwrap();
    assert!(matches!(PrivateKey::read(&path), Err(KeyFileError::TooOpen { mode: 0o604, .. })));
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
    std::fs::write(&path, key.public().to_pem()).unwrap();
    assert!(matches!(PrivateKey::read(&path), Err(KeyFileError::NotPrivate { .. })));
}

#[test]
fn openssl_reads_our_keys_and_we_read_its() {
    let folder = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| {
        let run = std::process::Command::new("openssl").current_dir(folder.path()).args(arguments).output();
        let output = run.expect("openssl is needed for this test: apt-get install openssl");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let ours = PrivateKey::generate().unwrap();
    ours.write_new(&folder.path().join("ours.pem")).unwrap();
    assert_eq!(run(&["pkey", "-in", "ours.pem", "-pubout"]), ours.public().to_pem());

    run(&["genpkey", "-algorithm", "ed25519", "-out", "theirs.pem"]);
    std::fs::set_permissions(folder.path().join("theirs.pem"), PermissionsExt::from_mode(0o600)).unwrap();
    let theirs = PrivateKey::read(&folder.path().join("theirs.pem")).unwrap();
    std::fs::write(folder.path().join("public.pem"), run(&["pkey", "-in", "theirs.pem", "-pubout"])).unwrap();
    let trusted = TrustedKeys::read(&folder.path().join("public.pem")).unwrap();
    assert_eq!(trusted.find(&theirs.public().id()), Some(&theirs.public()));
}

#[test]
fn several_public_keys_share_a_file_while_one_is_replaced() {
    let (old, new) = (PrivateKey::from_seed(&[1; 32]), PrivateKey::from_seed(&[2; 32]));
    let text = format!("# old\n{}# new\n{}", old.public().to_pem(), new.public().to_pem());
    let trusted = TrustedKeys::parse(&text).unwrap();
    assert_eq!(trusted.iter().count(), 2);
    assert!(trusted.find(&new.public().id()).is_some());
    for broken in ["", "no key", super::PUBLIC_BEGIN, &text.replace('M', "N")] {
        assert!(TrustedKeys::parse(broken).is_none(), "{broken}");
    }
}

#[test]
fn a_signature_holds_for_its_payload_its_type_and_its_key_alone() {
    let key = PrivateKey::from_seed(&[3; 32]);
    let signature = key.sign("type/a", b"payload");
    assert!(key.public().verifies("type/a", b"payload", &signature));
    assert!(!key.public().verifies("type/b", b"payload", &signature));
    assert!(!key.public().verifies("type/a", b"payloae", &signature));
    assert!(!PrivateKey::from_seed(&[4; 32]).public().verifies("type/a", b"payload", &signature));
    for byte in 0..signature.len() {
        let mut flipped = signature;
        flipped[byte] ^= 1;
        assert!(!key.public().verifies("type/a", b"payload", &flipped), "byte {byte}");
    }
}

#[test]
fn keys_for_which_anyone_can_sign_are_refused() {
    let mut identity = [0; 32];
    identity[0] = 1;
    assert!(PublicKey::from_bytes(&identity).is_none());
    assert!(PublicKey::from_bytes(&[0; 32]).is_none());
}

#[test]
fn debug_shows_the_public_name_alone() {
    let key = PrivateKey::from_seed(&[7; 32]);
    assert_eq!(format!("{key:?}"), format!("PrivateKey({})", key.public().id()));
}
