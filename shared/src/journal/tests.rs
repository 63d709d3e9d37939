//! Records go through the store unchanged; impossible ones are refused without quoting them.

use super::{JournalError, Phase, Plaintext, Record};
use crate::fingerprint::Fingerprint;
use crate::secret::Secret;

fn staged() -> Record {
    let text = r#"{"version":1,"rotationUid":"u-1","revision":3,"epoch":2,"holder":"pod-a",
        "deadline":"2026-03-01T02:01:00Z","startedAt":"2026-03-01T02:00:00Z","trigger":{"kind":"Schedule"},
        "current":{"kvVersion":7,"slot":"orders_a","fingerprint":"k1:000102030405060708090a0b0c0d0e0f",
        "value":"b2xkLXBhc3N3b3Jk"},"endpoints":{"rw":{}},"phase":"Staged","slot":"orders_b",
        "pending":{"value":"bmV3LXBhc3N3b3Jk","fingerprint":"k1:0f0e0d0c0b0a09080706050403020100","attempt":1}}"#;
    Record::parse(&Secret::from_string(text.into())).unwrap()
}

fn parse(text: &str) -> Result<Record, JournalError> {
    Record::parse(&Secret::from_string(text.into()))
}

fn stored(record: &Record) -> String {
    record.to_store().unwrap().expose(|bytes| String::from_utf8(bytes.to_vec()).unwrap())
}

#[test]
fn a_record_comes_back_from_the_store_as_it_went_in() {
    let text = stored(&staged());
    assert_eq!(stored(&parse(&text).unwrap()), text);
    let Phase::Staged { pending, .. } = staged().phase else { panic!("not staged") };
    assert!(pending.value.0.same_as(&Secret::from_string("new-password".into())));
    assert_eq!(pending.fingerprint.to_string(), "k1:0f0e0d0c0b0a09080706050403020100");
}

#[test]
fn a_record_shows_no_plaintext_in_debug() {
    let shown = format!("{:?}", staged());
    assert!(!shown.contains("password") && !shown.contains("bmV3") && !shown.contains("b2xk"), "{shown}");
}

#[test]
fn a_newer_journal_is_refused() {
    let newer = stored(&staged()).replacen("\"version\":1", "\"version\":2", 1);
    assert!(matches!(parse(&newer).unwrap_err(), JournalError::Newer { found: 2 }));
    let none = stored(&staged()).replacen("\"version\":1", "\"version\":0", 1);
    assert!(matches!(parse(&none).unwrap_err(), JournalError::Contradiction(_)));
}

#[test]
fn records_edited_into_impossible_states_are_refused_without_quoting_them() {
    let text = stored(&staged());
    let no_pending = text.replace("\"phase\":\"Staged\"", "\"phase\":\"Published\"");
    assert!(matches!(parse(&no_pending).unwrap_err(), JournalError::Malformed { .. }));
    let not_base64 = text.replace("bmV3LXBhc3N3b3Jk", "new~password");
    let refused = parse(&not_base64).unwrap_err().to_string();
    assert!(!refused.contains('~') && !refused.contains("new"), "{refused}");
    let revoked_early = text.replace("\"rw\":{}", "\"rw\":{\"revoked\":\"2026-03-01T02:00:30Z\"}");
    assert!(matches!(parse(&revoked_early).unwrap_err(), JournalError::Contradiction(_)));
    let epoch_zero = text.replace("\"epoch\":2", "\"epoch\":0");
    assert!(matches!(parse(&epoch_zero).unwrap_err(), JournalError::Contradiction(_)));
}

#[test]
fn a_finished_record_with_plaintext_is_refused() {
    let mut record = staged();
    record.phase = Phase::Proven {
        slot: "orders_b".into(),
        fingerprint: Fingerprint::from_bytes([3; 16]),
        kv_version: 8,
        receipt: Some("r-1".into()),
        proven_at: record.started_at,
    };
    assert!(matches!(parse(&stored(&record)).unwrap_err(), JournalError::Contradiction(_)));
    if let Some(current) = &mut record.current {
        current.value = None::<Plaintext>;
    }
    assert!(parse(&stored(&record)).is_ok());
}
