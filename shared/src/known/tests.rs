//! Known files: no included value is missed wherever it lies, nothing else is found, and a file that was changed,
//! replaced or is too old is not believed.

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::{Just, Strategy, any, prop_assert, prop_assert_eq, proptest};

use super::proof::ProofOfValue;
use super::{
    Built, FLOOR_BITS, Freshness, IdKey, Issue, KnownError, KnownFileBuilder, KnownHit, KnownIndex, KnownKey,
    LeftOut, Nonce, STRIDE, Strength, ValueState, tag_bits,
};
use crate::secret::{Redacted, Secret};
use crate::signing::{PrivateKey, TrustedKeys};

mod parts;
mod strength;
mod vector;

const STRONG: Strength = Strength::Generated { bits: 1_000.0 };

fn key() -> KnownKey {
    KnownKey::from_bytes([7; 32])
}

fn id_key() -> IdKey {
    IdKey::from_bytes([8; 32])
}

fn signer() -> PrivateKey {
    PrivateKey::from_seed(&[9; 32])
}

fn trusted() -> TrustedKeys {
    TrustedKeys::new(vec![signer().public()])
}

fn time() -> Timestamp {
    "2026-03-01T02:00:00Z".parse().unwrap()
}

fn issue() -> Issue {
    let expires = time() + SignedDuration::from_hours(24);
    Issue { generation: 5, created: time(), expires, nonce: Nonce([3; 24]) }
}

fn fresh() -> Freshness {
    Freshness { now: time(), generation_seen: 5 }
}

/// Random bytes, the same in every run (SplitMix64).
fn random(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed;
    let words = std::iter::repeat_with(move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    });
    words.flat_map(u64::to_le_bytes).take(length).collect()
}

fn alphanumeric(seed: u64, length: usize) -> Vec<u8> {
    const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    random(seed, length).iter().map(|&byte| ALPHABET[usize::from(byte) % 62]).collect()
}

fn build(values: &[Vec<u8>]) -> Built {
    let (key, id_key) = (key(), id_key());
    let mut builder = KnownFileBuilder::new(&key, &id_key);
    for value in values {
        builder.add(&Secret::copy_of(value), ValueState::Current, STRONG);
    }
    builder.build(issue(), &signer()).unwrap()
}

fn index(values: &[Vec<u8>]) -> KnownIndex {
    KnownIndex::open(&build(values).file, &key(), &trusted(), fresh()).unwrap()
}

fn scan(index: &KnownIndex, haystack: &[u8]) -> Vec<KnownHit> {
    let mut hits = Vec::new();
    index.scan(haystack, &mut |hit| hits.push(hit));
    hits.sort_by_key(|hit| hit.start);
    hits
}

/// Values of every length from the shortest, random or alphanumeric.
fn values() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let value = (16_usize..200, any::<u64>(), any::<bool>()).prop_map(|(length, seed, text)| {
        if text { alphanumeric(seed, length) } else { random(seed, length) }
    });
    proptest::collection::vec(value, 1..12)
}

proptest! {
    #[test]
    fn every_value_is_found_wherever_it_lies(
        values in values(),
        gaps in proptest::collection::vec(0_usize..70, 12),
        filler in any::<u64>(),
    ) {
        let index = index(&values);
        let mut haystack = Vec::new();
        let mut expected = Vec::new();
        for (n, value) in values.iter().enumerate() {
            haystack.extend(random(filler ^ n as u64, gaps[n]));
            expected.push((haystack.len(), haystack.len() + value.len(), id_key().id(value)));
            haystack.extend(value);
        }
        let hits: Vec<_> = scan(&index, &haystack).iter().map(|hit| (hit.start, hit.end, hit.id)).collect();
        prop_assert_eq!(hits, expected);
    }

    #[test]
    fn chunks_with_the_overlap_find_the_same_as_the_whole(
        values in values(),
        at in 0_usize..3_000,
        chunk in 200_usize..1_000,
        filler in any::<u64>(),
    ) {
        let index = index(&values);
        let mut haystack = random(filler, 4_000);
        let value = &values[0];
        haystack[at..at + value.len()].copy_from_slice(value);
        let step = chunk.saturating_sub(index.overlap()).max(1);
        let mut hits = std::collections::BTreeSet::new();
        for start in (0..haystack.len()).step_by(step) {
            let end = (start + chunk.max(index.overlap() + 1)).min(haystack.len());
            index.scan(&haystack[start..end], &mut |hit| {
                hits.insert((start + hit.start, start + hit.end));
            });
        }
        prop_assert!(hits.contains(&(at, at + value.len())));
        prop_assert_eq!(hits.len(), scan(&index, &haystack).len());
    }

    #[test]
    fn no_bytes_at_all_crash_the_opener(bytes in proptest::collection::vec(any::<u8>(), 0..300), cut in any::<bool>()) {
        let mut file = if cut { b"KTKNOWN1".to_vec() } else { Vec::new() };
        file.extend(bytes);
        prop_assert!(KnownIndex::open(&file, &key(), &trusted(), fresh()).is_err());
    }

    #[test]
    fn a_value_changed_anywhere_is_not_found(value in (16_usize..64, any::<u64>()), flip in any::<usize>(), bit in 0..8_u32, _n in Just(())) {
        let value = random(value.1, value.0);
        let index = index(std::slice::from_ref(&value));
        let mut other = value.clone();
        let at = flip % other.len();
        other[at] ^= 1 << bit;
        prop_assert!(scan(&index, &other).is_empty());
        prop_assert!(scan(&index, &value[1..]).is_empty());
        prop_assert!(scan(&index, &value[..value.len() - 1]).is_empty());
    }
}

#[test]
fn values_back_to_back_and_inside_each_other_are_all_found() {
    let outer = alphanumeric(1, 90);
    let inner = outer[20..52].to_vec();
    let index = index(&[outer.clone(), inner]);
    let haystack = [outer.clone(), outer].concat();
    let found: Vec<_> = scan(&index, &haystack).iter().map(|hit| (hit.start, hit.end)).collect();
    assert_eq!(found, [(0, 90), (20, 52), (90, 180), (110, 142)]);
}

#[test]
fn the_bitmap_is_dense_enough_to_hide_in_and_sparse_enough_to_be_fast() {
    for count in [1, 2, 100, 5_000] {
        let values: Vec<_> = (0..count).map(|n| random(n, 32)).collect();
        let index = index(&values);
        let density = index.density();
        assert!(density >= 1.0 / 64.0, "{count} values: {density}");
        assert!(density <= 1.0 / 20.0, "{count} values: {density}");
    }
}

/// Random windows meet the bitmap as often as its density says: the hash has no weak places.
#[test]
fn false_positives_are_at_the_computed_odds() {
    let values: Vec<_> = (0..2_000).map(|n| random(n, 32)).collect();
    let index = index(&values);
    for (name, windows) in [
        ("random", random(1 << 40, 2_400_000)),
        ("text", alphanumeric(2 << 40, 2_400_000)),
        ("counting", (0..200_000_u32).flat_map(|n| [n, 0, 0].map(u32::to_le_bytes).concat()).collect()),
    ] {
        let looks = windows.len() / 12;
        let hits = windows.chunks_exact(12).filter(|window| index.bit_is_set(window)).count();
        let expected = index.density() * looks as f64;
        // Five standard deviations of a binomial distribution; the counting windows are not independent.
        let allowed = if name == "counting" { expected * 0.5 } else { 5.0 * expected.sqrt() };
        assert!((hits as f64 - expected).abs() < allowed, "{name}: {hits} hits, {expected} expected");
    }
    assert!(scan(&index, &random(3 << 40, 4_000_000)).is_empty());
}

#[test]
fn bits_that_stay_over_generations_are_still_hidden() {
    // Somebody keeps two files under one key, between which every other value was replaced.
    let kept = random(1, 32);
    let with = |seed: u64| {
        let mut values: Vec<_> = (0..500).map(|n| random(seed + n, 32)).collect();
        values.push(kept.clone());
        index(&values)
    };
    let (one, two) = (with(1_000), with(2_000));
    let windows = random(5, 1_200_000);
    let both = windows.chunks_exact(12).filter(|w| one.bit_is_set(w) && two.bit_is_set(w)).count();
    assert!(both as f64 / 100_000.0 > 1.0 / 64.0, "{both} of 100000 random windows are in both");
}

#[test]
fn values_that_could_be_guessed_are_left_out_and_counted() {
    let (key, id_key) = (key(), id_key());
    let mut builder = KnownFileBuilder::new(&key, &id_key);
    let mut add =
        |value: &[u8], strength| builder.add(&Secret::copy_of(value), ValueState::Current, strength);
    assert_eq!(add(b"short", STRONG), Some(LeftOut::TooShort));
    assert_eq!(add(&alphanumeric(1, 15), STRONG), Some(LeftOut::TooShort));
    assert_eq!(add(b"correct-horse-battery-staple-2026", Strength::Unknown), Some(LeftOut::TooWeak));
    assert_eq!(add(&alphanumeric(1, 32), Strength::Generated { bits: 99.0 }), Some(LeftOut::TooWeak));
    assert_eq!(add(b"-----BEGIN CERTIFICATE-----\nAAAA\n", STRONG), Some(LeftOut::Public));
    assert_eq!(add(b"abababababababababababab", STRONG), Some(LeftOut::Monotonous));
    assert_eq!(add(&alphanumeric(1, 32), Strength::Unknown), None);
    assert_eq!(add(&alphanumeric(1, 32), Strength::Unknown), None, "the same value is one value");
    let built = builder.build(issue(), &signer()).unwrap();
    let counts = built.left_out;
    assert_eq!((counts.too_short, counts.too_weak, counts.public, counts.monotonous), (2, 2, 1, 1));
    assert_eq!((counts.total(), built.header.count), (6, 1));
    let index = KnownIndex::open(&built.file, &key, &trusted(), fresh()).unwrap();
    assert_eq!(index.left_out(), counts);
}

/// The bound of the module's text, computed from what is stored.
#[test]
fn what_remains_after_all_that_is_given_away_is_the_floor() {
    for count in [1_usize, 16, 1_000, 4_000] {
        let given = f64::from(tag_bits(count)) + 7.0 * STRIDE as f64 + (count as f64).log2();
        let (key, id_key) = (key(), id_key());
        let included = |bits: f64| {
            let mut builder = KnownFileBuilder::new(&key, &id_key);
            for n in 0..count {
                builder.add(
                    &Secret::new(random(n as u64, 64)),
                    ValueState::Current,
                    Strength::Generated { bits },
                );
            }
            builder.build(issue(), &signer()).unwrap().header.count as usize
        };
        assert_eq!(included(FLOOR_BITS + given + 0.01), count);
        assert_eq!(included(FLOOR_BITS + given - 0.01), 0);
    }
}

#[test]
fn the_most_alive_state_of_a_value_is_kept() {
    let (key, id_key) = (key(), id_key());
    let value = Secret::new(random(1, 32));
    let mut builder = KnownFileBuilder::new(&key, &id_key);
    for state in [ValueState::Dead, ValueState::Current, ValueState::Previous] {
        builder.add(&value, state, STRONG);
    }
    let file = builder.build(issue(), &signer()).unwrap().file;
    let index = KnownIndex::open(&file, &key, &trusted(), fresh()).unwrap();
    let hits = value.expose(|bytes| scan(&index, bytes));
    assert!(matches!(hits.as_slice(), [hit] if hit.state == ValueState::Current && hit.state.is_live()));
}

#[test]
fn a_file_says_nothing_about_its_values_without_the_key() {
    let value = alphanumeric(1, 40);
    let file = build(std::slice::from_ref(&value)).file;
    let id = id_key().id(&value);
    assert!(!file.windows(8).any(|window| window == id.0 || window == &value[..8]));
    let head = String::from_utf8_lossy(&file[12..300]).into_owned();
    assert!(head.starts_with(r#"{"version":1,"keyId":""#), "{head}");
}

#[test]
fn forged_stale_replayed_and_foreign_files_are_refused_with_the_reason() {
    let built = build(&[random(1, 32)]);
    let open =
        |file: &[u8], key: &KnownKey, freshness| KnownIndex::open(file, key, &trusted(), freshness).err();
    let at = |hours, generation_seen| Freshness {
        now: time() + SignedDuration::from_hours(hours),
        generation_seen,
    };
    assert!(open(&built.file, &key(), fresh()).is_none());
    assert!(matches!(open(&built.file, &key(), at(24, 0)), Some(KnownError::Expired { .. })));
    assert!(matches!(open(&built.file, &key(), at(-1, 0)), Some(KnownError::NotYet { .. })));
    assert!(matches!(open(&built.file, &key(), at(1, 6)), Some(KnownError::Replayed { found: 5, seen: 6 })));
    let other = KnownKey::from_bytes([1; 32]);
    assert!(matches!(open(&built.file, &other, fresh()), Some(KnownError::OtherKey { .. })));
    let stranger = TrustedKeys::new(vec![PrivateKey::from_seed(&[1; 32]).public()]);
    let untrusted = KnownIndex::open(&built.file, &key(), &stranger, fresh()).err();
    assert!(matches!(untrusted, Some(KnownError::UntrustedKey { .. })));
    let nobody = KnownIndex::open(&built.file, &key(), &TrustedKeys::default(), fresh()).err();
    assert!(matches!(nobody, Some(KnownError::UntrustedKey { .. })));
    assert!(matches!(open(b"", &key(), fresh()), Some(KnownError::Malformed)));
}

#[test]
fn every_flipped_or_missing_byte_is_refused() {
    let file = build(&[random(1, 32)]).file;
    for index in 0..file.len() {
        let mut flipped = file.clone();
        flipped[index] ^= 1 << (index % 8);
        assert!(KnownIndex::open(&flipped, &key(), &trusted(), fresh()).is_err(), "byte {index}");
        assert!(KnownIndex::open(&file[..index], &key(), &trusted(), fresh()).is_err(), "cut at {index}");
    }
}

#[test]
fn a_proof_is_for_one_value_one_target_and_one_file() {
    let value = random(1, 32);
    let index = index(std::slice::from_ref(&value));
    let hit = scan(&index, &value)[0];
    let shown = index.prove(&hit, Redacted::new(&value), "sha256:00");
    assert_eq!((shown.id, shown.generation, shown.key_id), (id_key().id(&value), 5, key().key_id()));
    let of = |key: &KnownKey, value: &[u8], nonce: u8, target: &str| {
        ProofOfValue::of(key, Redacted::new(value), &Nonce([nonce; 24]), target)
    };
    assert_eq!(of(&key(), &value, 3, "sha256:00"), shown.proof);
    assert_ne!(of(&key(), &value[1..], 3, "sha256:00"), shown.proof);
    assert_ne!(of(&key(), &value, 4, "sha256:00"), shown.proof);
    assert_ne!(of(&key(), &value, 3, "sha256:01"), shown.proof);
    assert_ne!(of(&KnownKey::from_bytes([1; 32]), &value, 3, "sha256:00"), shown.proof);
    let json = serde_json::to_string(&shown).unwrap();
    assert_eq!(serde_json::from_str::<super::proof::KnownMatch>(&json).unwrap(), shown);
}

#[test]
fn an_empty_file_finds_nothing() {
    let index = index(&[]);
    assert!(index.is_empty() && index.overlap() == 0);
    assert!(scan(&index, &random(1, 1_000)).is_empty());
}

#[test]
fn neither_key_nor_index_show_their_keys() {
    let shown = format!("{:?} {:?}", key(), index(&[random(1, 32)]));
    assert!(shown.contains(&key().key_id().to_string()));
    assert!(!shown.contains("7, 7") && !shown.contains("0707"), "{shown}");
}

#[test]
fn a_key_file_is_read_when_it_is_private_and_whole() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("known.key");
    std::fs::write(&path, "07".repeat(32) + "\n").unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
    assert_eq!(KnownKey::read(&path).unwrap().key_id(), key().key_id());
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).unwrap();
    assert!(KnownKey::read(&path).unwrap_err().to_string().contains("chmod 600"));
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
    std::fs::write(&path, "07".repeat(33)).unwrap();
    let refused = KnownKey::read(&path).unwrap_err().to_string();
    assert!(refused.contains("openssl rand -hex 32") && !refused.contains("0707"), "{refused}");
}
