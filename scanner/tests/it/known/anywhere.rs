//! Property tests: no value of the known file is missed, wherever it lies and however it is written.

use std::io::Read;

use jiff::Timestamp;
use proptest::prelude::*;
use scanner::blob::Content;
use scanner::matcher::Engine;
use scanner::rules::RuleSet;
use shared::finding::Confidence;
use shared::fingerprint::FingerprintKey;
use shared::known::{Freshness, KnownIndex, ValueState};
use shared::signing::TrustedKeys;

use super::{escaped, fingerprint, issue, known_file, known_key, percent, signer, utf16, value};

/// Gives as many bytes at a time as it likes.
struct Drops<'b>(&'b [u8], usize);

impl Read for Drops<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let length = self.1.min(buffer.len());
        self.0.read(&mut buffer[..length])
    }
}

fn encoded(value: &str, form: usize) -> Vec<u8> {
    match form {
        0 => value.as_bytes().to_vec(),
        1 => format!("\"{}\"", data_encoding::BASE64.encode(value.as_bytes())).into_bytes(),
        2 => format!("\"{}\"", data_encoding::BASE64URL_NOPAD.encode(value.as_bytes())).into_bytes(),
        3 => format!("\"{}\"", data_encoding::HEXUPPER.encode(value.as_bytes())).into_bytes(),
        4 => utf16(value, false),
        5 => percent(value).into_bytes(),
        // One escape in the middle of a longer text.
        6 => format!("{}{}{}", &value[..5], percent(&value[5..6]), &value[6..]).into_bytes(),
        _ => format!("\"{}\"", escaped(value)).into_bytes(),
    }
}

const FORMS: usize = 8;

/// What lies around a value: noise, words, or one long text full of escapes.
fn filler(kind: usize, length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut noise = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    match kind {
        0 => std::iter::repeat_with(|| noise() as u8).take(length).collect(),
        1 => b"some words, and then some more of them.\n".iter().copied().cycle().take(length).collect(),
        _ => {
            let mut text = Vec::with_capacity(length + 8);
            while text.len() < length {
                let plain = noise() % 700;
                text.extend(std::iter::repeat_n(b'~', plain as usize));
                text.extend(b"%41");
            }
            text.truncate(length);
            text
        }
    }
}

fn engine(value: &str) -> Engine {
    let file = known_file(&[(value, ValueState::Current)], issue(), &signer());
    let trusted = TrustedKeys::new(vec![signer().public()]);
    let freshness = Freshness { now: Timestamp::now(), generation_seen: 0 };
    let index = KnownIndex::open(&file, &known_key(), &trusted, freshness).unwrap();
    let rules = RuleSet::from_text("none", "version = 1\n").unwrap();
    Engine::new(rules, FingerprintKey::from_bytes([0x5a; 32])).unwrap().with_known(index)
}

/// The places where the engine finds a value, each checked.
fn places(value: &str, haystack: &[u8], window: usize, drops: Option<usize>) -> Vec<(u64, u64)> {
    let engine = engine(value);
    let mut scratch = engine.scratch();
    let mut reader = Drops(haystack, drops.unwrap_or(1));
    let content = match drops {
        None => Content::Slice(haystack),
        Some(_) => Content::Stream { reader: &mut reader, size_hint: None },
    };
    let found = engine.search_in_windows(content, &mut scratch, window).unwrap();
    let name = fingerprint(value);
    assert!(found.hits.iter().all(|hit| hit.fingerprint == name && hit.confidence == Confidence::Known));
    found.hits.iter().map(|hit| (hit.span.start, hit.span.end)).collect()
}

/// An escape begins a piece of decoded text; a value with an escape of its own lies across the piece's end, and no
/// other escape follows.
#[test]
fn no_value_is_missed_where_a_text_with_escapes_is_cut() {
    let value = value(20, 40);
    let text = encoded(&value, 6);
    for before in 8 * 1024 - 2 * text.len()..8 * 1024 + 10 {
        let plain = |length| std::iter::repeat_n(b'~', length);
        let haystack: Vec<u8> = b"%41"
            .iter()
            .copied()
            .chain(plain(before))
            .chain(text.iter().copied())
            .chain(plain(5000))
            .collect();
        assert_eq!(places(&value, &haystack, 300_000, None).len(), 1, "{before}");
    }
}

fn windows() -> impl Strategy<Value = usize> {
    prop_oneof![2_000_usize..20_000, 20_000_usize..400_000]
}

/// The sizes of a stream's reads; none for a slice.
fn reads() -> impl Strategy<Value = Option<usize>> {
    prop_oneof![Just(None), (1_usize..50).prop_map(Some), (4_000_usize..70_000).prop_map(Some)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn no_value_is_missed_at_any_place_in_any_form(
        at in 0_usize..290_000,
        length in prop_oneof![17_usize..21, 17_usize..120],
        seed in any::<u64>(),
        form in 0..FORMS,
        kind in 0_usize..3,
        window in windows(),
        drops in reads(),
    ) {
        let value = value(seed, length);
        let mut haystack = filler(kind, 300_000);
        let text = encoded(&value, form);
        haystack.splice(at..at, text.iter().copied());
        let found = places(&value, &haystack, window, drops);
        prop_assert_eq!(found.len(), 1);
        let (start, end) = found[0];
        // A line break that was taken for an encoded one, and padding, may belong to the place.
        prop_assert!(at as u64 <= start && end <= (at + text.len()) as u64 + 2, "{start}..{end}, put at {at}");
    }

    /// Copies lie so close that every cut, of a window, a read, or a piece of decoded text, goes through one.
    #[test]
    fn no_value_is_missed_where_windows_and_pieces_are_cut(
        length in 17_usize..120,
        seed in any::<u64>(),
        form in 0..FORMS,
        window in windows(),
        drops in reads(),
    ) {
        let value = value(seed, length);
        let text = encoded(&value, form);
        let mut haystack = Vec::new();
        let mut copies = 0;
        while haystack.len() < 150_000 {
            haystack.extend(std::iter::repeat_n(b'~', copies % 23 + 1));
            haystack.extend(&text);
            copies += 1;
        }
        prop_assert_eq!(places(&value, &haystack, window, drops).len(), copies);
    }
}
