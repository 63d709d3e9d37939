//! Readers of untrusted formats under damage: whatever the bytes say, they end, within their limits, and say so.

use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::Index;
use scanner::limits::Limits;
use scanner::source::SourceOptions;
use tempfile::TempDir;
use testdata::samples;

use crate::sources::scan_with;

/// Something done to a file.
#[derive(Clone, Debug)]
enum Damage {
    /// A byte becomes another one.
    Byte(Index, u8),
    /// Numbers are where bytes of all ones or zeros do most.
    Number(Index, bool),
    Cut(Index),
    /// A part is put where another one was.
    Copy(Index, Index, u8),
    Insert(Index, Vec<u8>),
}

fn damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Damage::Byte(at, byte)),
        (any::<Index>(), any::<bool>()).prop_map(|(at, ones)| Damage::Number(at, ones)),
        any::<Index>().prop_map(Damage::Cut),
        (any::<Index>(), any::<Index>(), any::<u8>())
            .prop_map(|(from, to, length)| Damage::Copy(from, to, length)),
        (any::<Index>(), prop::collection::vec(any::<u8>(), 0..40))
            .prop_map(|(at, new)| Damage::Insert(at, new)),
    ]
}

fn apply(bytes: &mut Vec<u8>, damage: &Damage) {
    if bytes.is_empty() {
        return;
    }
    let length = bytes.len();
    match damage {
        Damage::Byte(at, byte) => bytes[at.index(length)] = *byte,
        Damage::Number(at, ones) => {
            let from = at.index(length);
            let to = length.min(from + 8);
            bytes[from..to].fill(if *ones { 0xff } else { 0 });
        }
        Damage::Cut(at) => bytes.truncate(at.index(length)),
        Damage::Copy(from, to, count) => {
            let from = from.index(length);
            let part = bytes[from..length.min(from + usize::from(*count))].to_vec();
            let to = to.index(length);
            let end = length.min(to + part.len());
            bytes.splice(to..end, part);
        }
        Damage::Insert(at, new) => {
            let at = at.index(length);
            bytes.splice(at..at, new.iter().copied());
        }
    }
}

fn small() -> SourceOptions {
    let limits = Limits {
        expanded_bytes: 32 << 20,
        entries: 20_000,
        time: Duration::from_secs(60),
        decoder_memory: 24 << 20,
        spill: 16 << 20,
        ..Limits::default()
    };
    SourceOptions { limits, ..SourceOptions::default() }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn damaged_files_of_every_format_end_and_are_told(
        reader in 0..samples::READERS.len(),
        which in any::<Index>(),
        damages in prop::collection::vec(damage(), 0..6),
    ) {
        let reader = samples::READERS[reader];
        let all = samples::of(reader).unwrap();
        let mut bytes = all[which.index(all.len())].clone();
        for damage in &damages {
            apply(&mut bytes, damage);
        }
        let bytes = samples::mend(reader, &bytes);
        let folder = TempDir::new().unwrap();
        let target = folder.path().join("target");
        std::fs::write(&target, &bytes).unwrap();
        let seen = scan_with(&target, &[], &small());
        prop_assert!(seen.coverage.blobs > 0 || seen.coverage.skipped.total > 0);
    }

    #[test]
    fn bytes_that_fuzzers_would_try_end_and_are_told(
        reader in 0..samples::READERS.len(),
        bytes in prop::collection::vec(any::<u8>(), 0..2000),
    ) {
        let bytes = samples::mend(samples::READERS[reader], &bytes);
        let folder = TempDir::new().unwrap();
        let target = folder.path().join("target");
        std::fs::write(&target, &bytes).unwrap();
        let seen = scan_with(&target, &[], &small());
        prop_assert!(seen.coverage.blobs > 0 || seen.coverage.skipped.total > 0);
    }
}

#[test]
fn every_sample_is_read_without_a_gap() {
    let folder = TempDir::new().unwrap();
    for reader in samples::READERS {
        for (index, bytes) in samples::of(reader).unwrap().iter().enumerate() {
            let target = folder.path().join(format!("{reader}-{index}"));
            std::fs::write(&target, bytes).unwrap();
            let seen = scan_with(&target, &[], &small());
            assert_eq!(seen.coverage.opaque.entries, [], "{reader} {index}");
            // The one without an end marker is told.
            assert!(
                seen.skips().len() <= usize::from(reader == "tar"),
                "{reader} {index}: {:?}",
                seen.coverage.skipped
            );
            assert!(seen.coverage.blobs > 0, "{reader} {index}");
        }
    }
}
