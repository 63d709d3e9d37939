//! The committed schemas are those of the types, accept what is written, and refuse what is not.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::Schema;
use crate::coverage::{Coverage, Excluded, Skipped};
use crate::journal::Record;
use crate::known::{Header, Nonce};
use crate::receipt::Receipt;
use crate::secret::Secret;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("schemas")
}

#[test]
fn committed_schemas_are_those_of_the_types() {
    let update = std::env::var_os("UPDATE_SCHEMAS").is_some();
    for schema in Schema::ALL {
        let path = folder().join(schema.file_name());
        if update {
            std::fs::write(&path, schema.to_text()).unwrap();
        }
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            committed == schema.to_text(),
            "{} differs from its type; if that is meant, run `UPDATE_SCHEMAS=1 cargo test -p shared schema`",
            path.display()
        );
    }
    let files = std::fs::read_dir(folder()).unwrap().count();
    assert_eq!(files, Schema::ALL.len(), "a schema of no type is left over");
}

fn errors(schema: Schema, instance: &Value) -> Vec<String> {
    let validator = jsonschema::validator_for(&schema.to_value()).unwrap();
    validator.iter_errors(instance).map(|error| format!("{}: {error}", error.instance_path())).collect()
}

/// A sample that is accepted, and changes to it that are not: each sets a field (or removes it, for null).
fn holds(schema: Schema, sample: &Value, changes: &[(&str, Value)]) {
    assert_eq!(errors(schema, sample), Vec::<String>::new(), "{schema:?}");
    for (field, value) in changes {
        let mut changed = sample.clone();
        let object = changed.as_object_mut().unwrap();
        match value {
            Value::Null => assert!(object.remove(*field).is_some(), "{field}"),
            value => {
                assert_ne!(object.insert((*field).into(), value.clone()).as_ref(), Some(value), "{field}");
            }
        }
        assert!(!errors(schema, &changed).is_empty(), "{schema:?} accepts {field} = {value}");
    }
}

#[test]
fn a_receipt_is_what_its_schema_says() {
    let sample = json!({
        "version": 1, "id": "r-1", "seq": 2, "previousHash": format!("sha256:{}", "00".repeat(32)),
        "rotation": {"namespace": "shop", "name": "orders", "uid": "u-1"}, "revision": 3,
        "trigger": {"kind": "Leak", "findingId": "f-1", "actor": "scanner"}, "keyId": "9f2c41aa",
        "old": [{"part": "password", "fingerprint": "k1:000102030405060708090a0b0c0d0e0f"}],
        "new": [{"part": "password", "fingerprint": "k1:0f0e0d0c0b0a09080706050403020100"}],
        "phases": [{"phase": "Proven", "at": "2026-03-01T02:00:00Z"}],
        "proof": {"kind": "refused", "endpoints": [{"name": "rw", "old": "refused", "new": "accepted",
            "control": "not-asked", "at": "2026-03-01T02:00:00Z"}], "sessionsLeft": 0},
        "issuedAt": "2026-03-01T02:00:00Z",
    });
    let receipt: Receipt = serde_json::from_value(sample.clone()).unwrap();
    assert_eq!(serde_json::to_value(&receipt).unwrap(), sample);
    let changes = [
        ("version", json!(2)),
        ("id", json!("../x")),
        ("seq", json!("2")),
        ("previousHash", json!("sha256:0")),
        ("rotation", json!({})),
        ("keyId", json!("9F2C41AA")),
        ("old", json!({})),
        ("proof", Value::Null),
        ("password", json!("x")),
    ];
    holds(Schema::Receipt, &sample, &changes);
}

#[test]
fn a_journal_is_what_its_schema_says() {
    let sample = json!({
        "version": 1, "rotationUid": "u-1", "revision": 3, "epoch": 2, "holder": "pod-a",
        "deadline": "2026-03-01T02:01:00Z", "startedAt": "2026-03-01T02:00:00Z", "trigger": {"kind": "Schedule"},
        "endpoints": {"rw": {"applied": "2026-03-01T02:00:30Z"}}, "spread": {}, "phase": "Staged", "slot": "orders_b",
        "pending": {"value": "bmV3", "fingerprint": "k1:0f0e0d0c0b0a09080706050403020100", "attempt": 1},
    });
    let record = Record::parse(&Secret::from_string(sample.to_string())).unwrap();
    let written: Value = record.to_store().unwrap().expose(|bytes| serde_json::from_slice(bytes)).unwrap();
    holds(
        Schema::Journal,
        &written,
        &[("version", json!(2)), ("epoch", json!("2")), ("phase", json!("Done")), ("pending", Value::Null)],
    );
}

#[test]
fn a_known_header_is_what_its_schema_says() {
    let header = Header {
        version: 1,
        key_id: "9f2c41aa".parse().unwrap(),
        generation: 7,
        created: "2026-03-01T02:00:00Z".parse().unwrap(),
        expires: "2026-03-02T02:00:00Z".parse().unwrap(),
        count: 1,
        nonce: Nonce([1; 24]),
    };
    let changes = [("version", json!(2)), ("nonce", json!("00")), ("count", Value::Null), ("more", json!(1))];
    holds(Schema::KnownHeader, &serde_json::to_value(header).unwrap(), &changes);
    let found = json!({"id": "00".repeat(8), "state": "current", "keyId": "9f2c41aa", "generation": 7,
        "proof": "00".repeat(32)});
    holds(
        Schema::KnownMatch,
        &found,
        &[("state", json!("alive")), ("proof", json!("00")), ("value", json!("x"))],
    );
}

#[test]
fn a_coverage_ledger_is_what_the_schema_of_reports_says() {
    let mut coverage = Coverage::default();
    coverage.skipped.push("layer 1".into(), Skipped::Truncated, Some("ends after 7 bytes".into()));
    coverage.excluded.push("a/fifo".into(), Excluded::Fifo, None);
    let mut schema = Schema::Report.to_value();
    let whole = jsonschema::validator_for(&schema).unwrap();
    assert!(!whole.is_valid(&json!({})), "an empty object is no report");
    // The part of the schema that is about coverage, alone.
    schema["$ref"] = json!("#/$defs/Coverage");
    for key in ["properties", "required", "type", "title", "$id"] {
        schema.as_object_mut().unwrap().remove(key);
    }
    let part = jsonschema::validator_for(&schema).unwrap();
    let written = serde_json::to_value(&coverage).unwrap();
    assert!(part.is_valid(&written), "{written}");
    assert!(!part.is_valid(&json!({"blobs": 1})));
}
