//! A receipt counts unchanged, under a trusted key, in an unbroken chain; in every other case it says why not.

use jiff::Timestamp;

use super::chain::verify;
use super::{
    Answer, ChainError, EndpointProof, Folder, Head, Link, Part, PhaseAt, Proof, Receipt, ReceiptError,
    ReceiptId, RotationRef, Signed,
};
use crate::fingerprint::{Fingerprint, KeyId};
use crate::journal::{PhaseName, ProofKind, Trigger};
use crate::signing::{PrivateKey, TrustedKeys};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_772_330_400 + second).unwrap()
}

fn key_id() -> KeyId {
    "9f2c41aa".parse().unwrap()
}

fn old() -> Fingerprint {
    Fingerprint::from_bytes([1; 16])
}

pub(crate) fn receipt(seq: u64, previous_hash: Option<Link>) -> Receipt {
    let part = |fingerprint| vec![Part { part: "password".into(), fingerprint }];
    Receipt {
        version: super::RECEIPT_VERSION,
        id: ReceiptId::new(format!("r-{seq}")).unwrap(),
        seq,
        previous_hash,
        rotation: RotationRef { namespace: "shop".into(), name: "orders".into(), uid: "u-1".into() },
        revision: 3,
        trigger: Trigger::Leak { finding_id: "f-1".into(), actor: "scanner".into() },
        forced: None,
        key_id: key_id(),
        old: part(old()),
        new: part(Fingerprint::from_bytes([2; 16])),
        phases: PhaseName::ALL.iter().zip(0..).map(|(&phase, n)| PhaseAt { phase, at: at(n) }).collect(),
        proof: Proof {
            kind: ProofKind::Refused,
            endpoints: vec![EndpointProof {
                name: "rw".into(),
                old: Answer::Refused,
                new: Answer::Accepted,
                control: Answer::Refused,
                at: at(7),
            }],
            sessions_left: Some(0),
        },
        issued_at: at(9),
    }
}

fn key() -> PrivateKey {
    PrivateKey::from_seed(&[5; 32])
}

fn trusted() -> TrustedKeys {
    TrustedKeys::new(vec![key().public()])
}

fn chain(length: u64) -> Vec<Signed> {
    let mut signed: Vec<Signed> = Vec::new();
    for seq in 1..=length {
        let before = signed.last().map(Signed::link);
        signed.push(Signed::new(receipt(seq, before), &key()).unwrap());
    }
    signed
}

#[test]
fn a_receipt_comes_back_as_it_was_signed() {
    let signed = Signed::new(receipt(1, None), &key()).unwrap();
    let read = Signed::verify(signed.as_bytes(), &trusted()).unwrap();
    assert_eq!(read, signed);
    assert_eq!(read.signer(), &key().public().id());
    assert_eq!(read.file_name(), "0000000001-r-1.json");
}

#[test]
fn every_flipped_bit_and_every_missing_or_added_byte_is_refused() {
    let signed = Signed::new(receipt(1, None), &key()).unwrap();
    let bytes = signed.as_bytes();
    for index in 0..bytes.len() {
        for bit in 0..8 {
            let mut flipped = bytes.to_vec();
            flipped[index] ^= 1 << bit;
            assert!(Signed::verify(&flipped, &trusted()).is_err(), "byte {index} bit {bit}");
        }
        assert!(Signed::verify(&bytes[..index], &trusted()).is_err(), "cut at {index}");
    }
    let mut longer = bytes.to_vec();
    longer.push(b'\n');
    assert!(matches!(Signed::verify(&longer, &trusted()), Err(ReceiptError::Envelope)));
}

#[test]
fn reasons_name_what_failed() {
    let signed = Signed::new(receipt(1, None), &key()).unwrap();
    let stranger = TrustedKeys::new(vec![PrivateKey::from_seed(&[6; 32]).public()]);
    let refused = Signed::verify(signed.as_bytes(), &stranger).unwrap_err();
    assert!(refused.to_string().contains(key().public().id().as_str()), "{refused}");

    let text = String::from_utf8(signed.as_bytes().to_vec()).unwrap();
    let payload_at = text.find("\"payload\":\"").unwrap() + 20;
    let mut changed = text.clone().into_bytes();
    changed[payload_at] = if changed[payload_at] == b'A' { b'B' } else { b'A' };
    assert!(matches!(Signed::verify(&changed, &trusted()), Err(ReceiptError::Signature)));

    let spaced = text.replacen("\":\"", "\": \"", 1);
    assert!(matches!(Signed::verify(spaced.as_bytes(), &trusted()), Err(ReceiptError::Envelope)));
    let large = vec![b' '; super::RECEIPT_BYTES_MAX + 1];
    assert!(matches!(Signed::verify(&large, &trusted()), Err(ReceiptError::TooLarge)));
}

/// Signs any payload with the right key, as a rotator of another version or with a fault would.
fn signed_payload(payload: &str) -> Vec<u8> {
    let signature = key().sign(super::PAYLOAD_TYPE, payload.as_bytes());
    let encode = |bytes: &[u8]| data_encoding::BASE64.encode(bytes);
    format!(
        "{{\"payloadType\":\"{}\",\"payload\":\"{}\",\"signatures\":[{{\"keyid\":\"{}\",\"sig\":\"{}\"}}]}}\n",
        super::PAYLOAD_TYPE,
        encode(payload.as_bytes()),
        key().public().id(),
        encode(&signature)
    )
    .into_bytes()
}

#[test]
fn what_was_signed_well_must_still_be_a_receipt() {
    let good = serde_json::to_string(&receipt(1, None)).unwrap();
    assert!(Signed::verify(&signed_payload(&good), &trusted()).is_ok());
    let refused = |from: &str, to: &str| {
        let payload = good.replacen(from, to, 1);
        assert_ne!(payload, good, "{from}");
        Signed::verify(&signed_payload(&payload), &trusted()).unwrap_err()
    };
    assert!(matches!(refused("\"version\":1", "\"version\":2"), ReceiptError::Newer { found: 2 }));
    assert!(matches!(refused("\"version\":1", "\"version\":0"), ReceiptError::Schema));
    assert!(matches!(refused("\"seq\":1", "\"seq\":1,\"note\":\"x\""), ReceiptError::Schema));
    assert!(matches!(refused("\"r-1\"", "\"../r\""), ReceiptError::Schema));
    assert!(matches!(refused("\"seq\":1", "\"seq\":2"), ReceiptError::Contradiction(_)));
    assert!(matches!(refused("\"old\":\"refused\"", "\"old\":\"accepted\""), ReceiptError::Contradiction(_)));
    assert!(matches!(refused("\"Proven\"", "\"Planned\""), ReceiptError::Contradiction(_)));
}

#[test]
fn a_signature_from_another_signer_is_checked_before_it_is_taken() {
    use ed25519_dalek::Signer;
    let message = Signed::message(&receipt(1, None)).unwrap();
    let transit = ed25519_dalek::SigningKey::from_bytes(&[5; 32]);
    let signature = transit.sign(&message).to_bytes();
    let signed = Signed::from_signature(receipt(1, None), &key().public(), &signature).unwrap();
    assert_eq!(signed, Signed::new(receipt(1, None), &key()).unwrap());
    let refused = Signed::from_signature(receipt(1, None), &key().public(), &[0; 64]);
    assert!(matches!(refused, Err(ReceiptError::Signature)));
}

#[test]
fn only_a_refusal_at_every_endpoint_without_sessions_opens_the_gate() {
    let proven = receipt(1, None);
    assert!(proven.proves_dead(key_id(), &old()));
    assert!(!proven.proves_dead("00000000".parse().unwrap(), &old()), "another key's fingerprint");
    assert!(!proven.proves_dead(key_id(), &Fingerprint::from_bytes([2; 16])), "the new one lives");
    let weaker: [fn(&mut Receipt); 7] = [
        |receipt| receipt.proof.kind = ProofKind::Absent,
        |receipt| receipt.proof.endpoints.clear(),
        |receipt| receipt.proof.endpoints[0].new = Answer::NotAsked,
        |receipt| receipt.proof.endpoints[0].control = Answer::Accepted,
        |receipt| receipt.proof.endpoints[0].old = Answer::NotAsked,
        |receipt| receipt.proof.sessions_left = Some(1),
        |receipt| receipt.new = receipt.old.clone(),
    ];
    for weaken in weaker {
        let mut receipt = proven.clone();
        weaken(&mut receipt);
        assert!(!receipt.proves_dead(key_id(), &old()), "{receipt:?}");
    }
}

#[test]
fn a_chain_shows_what_was_removed_replaced_or_forked() {
    let whole = chain(4);
    let head = [whole[3].head()];
    let verify = |receipts: &[Signed], first, heads: Option<&[Head]>| {
        verify(receipts, first, heads).map(|ends| ends.len())
    };
    assert_eq!(verify(&whole, 1, Some(&head)), Ok(1));
    assert_eq!(verify(&whole[2..], 3, Some(&head)), Ok(1), "older ones may lie in an archive");
    assert_eq!(verify(&[], 1, None), Ok(0));

    let without = |index: usize| {
        let mut some = whole.clone();
        some.remove(index);
        some
    };
    assert_eq!(verify(&without(0), 1, Some(&head)), Err(ChainError::Missing { seq: 1 }));
    assert_eq!(verify(&without(2), 1, Some(&head)), Err(ChainError::Missing { seq: 3 }));
    assert_eq!(verify(&without(3), 1, Some(&head)), Err(ChainError::Truncated { last: 3, head: 4 }));
    assert_eq!(verify(&[], 1, Some(&head)), Err(ChainError::Truncated { last: 0, head: 4 }));

    let mut other = receipt(2, Some(whole[0].link()));
    other.revision = 9;
    let other = Signed::new(other, &key()).unwrap();
    let mut replaced = whole.clone();
    replaced[1] = other.clone();
    assert_eq!(verify(&replaced, 1, Some(&head)), Err(ChainError::Broken { seq: 3 }));
    assert_eq!(verify(&replaced[..2], 1, Some(&[whole[1].head()])), Err(ChainError::Replaced { seq: 2 }));
    let forked = [whole.clone(), vec![other]].concat();
    assert_eq!(verify(&forked, 1, Some(&head)), Err(ChainError::Forked { seq: 2 }));
    let stale = Head { seq: 2, ..whole[1].head() };
    assert_eq!(
        verify(&whole, 1, Some(&[stale])),
        Err(ChainError::Replaced { seq: 4 }),
        "the store was restored"
    );
}

#[test]
fn the_chains_of_two_stores_lie_in_one_folder() {
    let mut second = Vec::new();
    for seq in 1..=2 {
        let mut next = receipt(seq, second.last().map(Signed::link));
        next.rotation.name = "another".into();
        second.push(Signed::new(next, &key()).unwrap());
    }
    let first = chain(3);
    let both = [first.clone(), second.clone()].concat();
    let heads = [first[2].head(), second[1].head()];
    let ends = verify(&both, 1, Some(&heads)).unwrap();
    assert_eq!(ends.iter().map(|end| end.head()).collect::<Vec<_>>(), [heads[1], heads[0]]);

    let without = |index: usize| {
        let mut some = both.clone();
        some.remove(index);
        some
    };
    assert_eq!(verify(&without(0), 1, None), Err(ChainError::Broken { seq: 2 }));
    assert_eq!(verify(&without(4), 1, Some(&heads)), Err(ChainError::Truncated { last: 1, head: 2 }));
    assert_eq!(verify(&first, 1, Some(&heads)), Err(ChainError::Truncated { last: 0, head: 2 }));
    assert_eq!(verify(&both, 1, Some(&heads[..1])), Err(ChainError::Replaced { seq: 2 }));
}

#[test]
fn one_bad_file_does_not_spoil_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let whole = chain(3);
    for signed in &whole {
        Folder::write(folder.path(), signed).unwrap();
    }
    let second = folder.path().join(whole[1].file_name());
    // A write that was killed half-way is completed by the next one.
    std::fs::write(&second, &whole[1].as_bytes()[..100]).unwrap();
    Folder::write(folder.path(), &whole[1]).unwrap();
    assert_eq!(Folder::read(folder.path(), &trusted()).unwrap().receipts, whole);

    let mut bytes = whole[1].as_bytes().to_vec();
    bytes[50] ^= 4;
    std::fs::write(&second, bytes).unwrap();
    std::fs::write(folder.path().join("notes.txt"), "not a receipt").unwrap();
    std::fs::create_dir(folder.path().join("0.json")).unwrap();
    let status = std::process::Command::new("mkfifo").arg(folder.path().join("1.json")).status().unwrap();
    assert!(status.success());
    let read = Folder::read(folder.path(), &trusted()).unwrap();
    assert_eq!(read.receipts.len(), 2);
    let refused: Vec<_> = read.refused.iter().map(|refused| refused.file.as_str()).collect();
    assert_eq!(refused, ["0.json", "0000000002-r-2.json", "1.json"]);
    assert!(Folder::write(folder.path(), &whole[1]).is_err(), "another file has its name");

    assert!(read.proof_of_death(key_id(), &old()).is_some());
    assert!(read.proof_of_death(key_id(), &Fingerprint::from_bytes([9; 16])).is_none());
}
