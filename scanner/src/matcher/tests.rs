//! The search as its callers see it.

use shared::finding::Confidence;
use shared::fingerprint::FingerprintKey;

use super::{Engine, Hit};
use crate::blob::Content;
use crate::rules::RuleSet;

const RULES: &str = r##"
version = 1

[[rule]]
id = "acme-token"
description = "a token of a provider that is not there"
regex = '''\b(?P<secret>acme_[0-9A-Za-z]{16})\b'''
preview = 5

[[rule]]
id = "acme-id"
description = "the public half of a pair"
regex = '''\b(?P<secret>ACID[0-9]{8})\b'''

[[rule]]
id = "acme-pair"
description = "the secret half of a pair"
confidence = "guessed"
regex = '''(?i)[a-z_]{0,20}acsecret[a-z_]{0,10}\s{0,3}=\s{0,3}"(?P<secret>[a-z0-9]{12,40})"'''
near = [{ rule = "acme-id", lines = 2, required = true }]

[[rule]]
id = "assignment"
description = "a value with a telling name"
confidence = "guessed"
regex = '''(?i)[\w.-]{0,50}?(?:password|secret|token)[\w.-]{0,20}["']?\s{0,3}[=:]\s{0,3}["'](?P<secret>[^"'\s]{8,150})["']'''
entropy = 2.5
stopwords = ["example"]

[rule.context]
regex = '''production'''
lines = 1

[[rule.allow]]
on = "line"
regex = ['''not-a-secret''']
reason = "said so"

[[rule]]
id = "acme-key"
description = "a key over several lines"
regex = '''-----BEGIN ACME KEY-----(?P<secret>[0-9A-Za-z+/=\s]{20,60000})-----END ACME KEY-----'''
max_match = "64KiB"
"##;

fn engine() -> Engine {
    let rules = RuleSet::from_text("rules.toml", RULES).unwrap();
    Engine::new(rules, FingerprintKey::from_bytes([7; 32])).unwrap()
}

fn search(text: &[u8]) -> Vec<Hit> {
    let engine = engine();
    engine.search(Content::Slice(text), &mut engine.scratch()).unwrap().hits
}

fn names(text: &[u8]) -> Vec<(String, String)> {
    let engine = engine();
    let hits = engine.search(Content::Slice(text), &mut engine.scratch()).unwrap().hits;
    let secret = |hit: &Hit| text[hit.span.start as usize..hit.span.end as usize].to_vec();
    hits.iter()
        .map(|hit| {
            (engine.rules().rule(hit.rule).id.0.clone(), String::from_utf8_lossy(&secret(hit)).into_owned())
        })
        .collect()
}

fn named(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(rule, secret)| ((*rule).to_owned(), (*secret).to_owned())).collect()
}

#[test]
fn a_hit_names_its_place_and_not_its_secret() {
    let text = "first\nlet t = \"acme_0123456789abcdef\";\n";
    let hits = search(text.as_bytes());
    assert_eq!(hits.len(), 1);
    assert_eq!((hits[0].line, hits[0].column), (2, 10));
    assert_eq!(hits[0].span, 15..36);
    assert_eq!(hits[0].preview, "acme_… (21 bytes)");
    assert_eq!(hits[0].confidence, Confidence::Shaped);
    assert!(!format!("{hits:?}").contains("0123456789abcdef"));
}

#[test]
fn a_format_beats_a_guess_on_the_same_text() {
    let text = b"password = \"acme_0123456789abcdef\"";
    assert_eq!(names(text), named(&[("acme-token", "acme_0123456789abcdef")]));
}

#[test]
fn entropy_stopwords_and_allows_refuse() {
    assert_eq!(names(b"password = \"aaaaaaaaaaaaaaaa\""), []);
    assert_eq!(names(b"password = \"example-aX91kd02\""), []);
    assert_eq!(names(b"password = \"aX91kd02mmPq\" // not-a-secret"), []);
    assert_eq!(names(b"password = \"aX91kd02mmPq\""), named(&[("assignment", "aX91kd02mmPq")]));
}

#[test]
fn context_makes_a_shape_of_a_guess() {
    let guess = search(b"# production\n\n\npassword = \"aX91kd02mmPq\"");
    assert_eq!(guess[0].confidence, Confidence::Guessed);
    let shape = search(b"# production\npassword = \"aX91kd02mmPq\"");
    assert_eq!(shape[0].confidence, Confidence::Shaped);
}

#[test]
fn a_required_neighbour_must_be_there() {
    assert_eq!(names(b"acsecret = \"abcdef012345\""), named(&[("assignment", "abcdef012345")]));
    let both = b"id: ACID12345678\nacsecret = \"abcdef012345\"";
    assert_eq!(names(both), named(&[("acme-id", "ACID12345678"), ("acme-pair", "abcdef012345")]));
}

#[test]
fn several_on_a_line_are_several() {
    let text = br#"{"password":"aX91kd02mmPq","db_password":"zX91kd02mmPq","token":"bX91kd02mmPq"}"#;
    assert_eq!(names(text).len(), 3);
}

#[test]
fn encoded_secrets_are_found_where_they_stand() {
    let secret = "acme_0123456789abcdef";
    let inner = data_encoding::BASE64.encode(format!("password: {secret} and more").as_bytes());
    let text = format!("first\ndata: {inner}\n");
    let hits = search(text.as_bytes());
    assert_eq!(hits.len(), 1);
    assert_eq!((hits[0].line, &*hits[0].decoded), (2, ["base64"].as_slice()));
    assert!(hits[0].span.start >= 12 && hits[0].span.end <= text.len() as u64);
    let plain = search(secret.as_bytes());
    assert_eq!(hits[0].fingerprint, plain[0].fingerprint);

    let twice = data_encoding::BASE64.encode(text.as_bytes());
    assert_eq!(search(twice.as_bytes())[0].decoded, ["base64", "base64"]);

    let wide: Vec<u8> =
        format!("one\r\nxyz {secret}\r\n").encode_utf16().flat_map(u16::to_le_bytes).collect();
    let hits = search(&wide);
    assert_eq!((hits.len(), hits[0].line, hits[0].column, hits[0].span.clone()), (1, 2, 5, 18..60));
    assert_eq!(hits[0].fingerprint, plain[0].fingerprint);
}

#[test]
fn a_decoded_secret_beats_its_encoding_and_a_plain_one_its_escape() {
    let encoded = data_encoding::BASE64.encode(b"acme_0123456789abcdef, see you");
    let hits = search(format!("token = \"{encoded}\"").as_bytes());
    assert_eq!(hits.len(), 1);
    assert_eq!(hits[0].decoded, ["base64"]);
    let hits = search(b"q=%41&acme_0123456789abcdef");
    assert_eq!((hits.len(), hits[0].decoded.len()), (1, 0));
}

#[test]
fn hostile_haystacks_end_soon() {
    let begun = std::time::Instant::now();
    for piece in
        ["a", "\0", "=", "acme_", "acsecret", "password = \"", "-----BEGIN ACME KEY-----", "%41", "QUFB"]
    {
        let text = piece.repeat(4_000_000 / piece.len());
        let found = search(text.as_bytes());
        assert!(found.len() < 100_000, "{piece}");
    }
    // Anything quadratic would take hours.
    assert!(begun.elapsed().as_secs() < 600, "{:?}", begun.elapsed());
}

#[test]
fn a_file_of_matches_keeps_the_first_and_says_so() {
    let text = "acme_0123456789abcdef\n".repeat(60_000);
    let engine = engine();
    let mut scratch = engine.scratch();
    let mut search =
        |window| engine.search_in_windows(Content::Slice(text.as_bytes()), &mut scratch, window).unwrap();
    let whole = search(usize::MAX);
    assert!(whole.is_cut);
    assert_eq!((whole.hits.len(), whole.bytes), (super::MATCHES_MAX, text.len() as u64));
    assert_eq!(search(100_000).hits, whole.hits);
    let few = engine.search(Content::Slice(&text.as_bytes()[..22_000]), &mut scratch).unwrap();
    assert!(!few.is_cut);
}

#[test]
fn a_checksum_that_holds_outranks_what_a_value_looks_like() {
    let rules = RuleSet::embedded().unwrap();
    let engine = Engine::new(rules, FingerprintKey::from_bytes([7; 32])).unwrap();
    let mut random = crate::rules::example::seeded(5);
    let body = crate::rules::example::make("{base62:12}xxxxXXXX{base62:10}", &mut random).unwrap();
    let sum =
        crate::check::alphabet::to_base(crc32fast::hash(body.as_bytes()), crate::check::alphabet::BASE62, 6);
    let text = format!("token: ghp_{body}{}\n", String::from_utf8(sum).unwrap());
    let hits = engine.search(Content::Slice(text.as_bytes()), &mut engine.scratch()).unwrap().hits;
    assert_eq!(hits.len(), 1);
    assert_eq!(hits[0].confidence, Confidence::Checked);
}

/// A reader that gives a few bytes at a time and may fail at the end.
struct Drip<'a> {
    bytes: &'a [u8],
    step: usize,
    fails: bool,
}

impl std::io::Read for Drip<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.bytes.is_empty() && self.fails {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let length = self.step.min(buffer.len()).min(self.bytes.len());
        let (now, later) = self.bytes.split_at(length);
        buffer[..length].copy_from_slice(now);
        self.bytes = later;
        Ok(length)
    }
}

#[test]
fn a_stream_that_fails_keeps_what_was_found() {
    let engine = engine();
    let text = b"let t = \"acme_0123456789abcdef\";\n";
    let mut reader = Drip { bytes: text, step: 5, fails: true };
    let content = Content::Stream { reader: &mut reader, size_hint: None };
    let error = engine.search(content, &mut engine.scratch()).unwrap_err();
    assert_eq!(error.source.kind(), std::io::ErrorKind::UnexpectedEof);
    assert_eq!(error.searched.hits.len(), 1);
    assert_eq!(error.searched.bytes, text.len() as u64);
}

mod invariance {
    use super::{Drip, RULES, engine};
    use crate::blob::Content;
    use crate::matcher::Scratches;
    use proptest::prelude::*;

    /// Secrets, beginnings of secrets, and text between them.
    fn piece() -> impl Strategy<Value = Vec<u8>> {
        let fixed = |text: &str| Just(text.as_bytes().to_vec());
        prop_oneof![
            fixed("acme_0123456789abcdef"),
            fixed("acme_0123"),
            fixed(" acme_acme_0123456789abcdef "),
            fixed("password = \"aX91kd02mmPq\"\n"),
            fixed("password = \"token = \"aX91kd02mmPq\""),
            fixed("# production\n"),
            fixed("id: ACID12345678\nacsecret = \"abcdef012345\"\n"),
            fixed("-----BEGIN ACME KEY-----"),
            fixed("-----END ACME KEY-----"),
            fixed("YWNtZV8wMTIzNDU2Nzg5YWJjZGVm"),
            fixed("\n"),
            fixed("ü→"),
            (1_usize..6000, prop_oneof![Just(b'a'), Just(b' '), Just(0_u8), Just(b'0')])
                .prop_map(|(length, byte)| vec![byte; length]),
            (1_usize..3000).prop_map(|length| {
                data_encoding::BASE64
                    .encode("acme_0123456789abcdef, password = \"aX91kd02mmPq\"; ".repeat(length).as_bytes())
                    .into_bytes()
            }),
            (1_usize..2000).prop_map(|length| {
                "acme_0123456789abcdef\n".repeat(length).encode_utf16().flat_map(u16::to_le_bytes).collect()
            }),
            fixed("a%3D%22acme_0123456789abcde%66 \\u003d"),
            (1_usize..40_000).prop_map(|length| {
                b"0123456789abcdefghij\n".iter().copied().cycle().take(length).collect()
            }),
            prop::collection::vec(any::<u8>(), 0..200),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn windows_and_streams_change_nothing(
            pieces in prop::collection::vec(piece(), 1..24),
            window in 1_usize..70_000,
            step in 1_usize..100_000,
        ) {
            let haystack = pieces.concat();
            let engine = engine();
            let mut scratch = engine.scratch();
            let whole = engine.search_in_windows(Content::Slice(&haystack), &mut scratch, usize::MAX).unwrap();
            let cut = engine.search_in_windows(Content::Slice(&haystack), &mut scratch, window.max(64)).unwrap();
            prop_assert_eq!(&whole.hits, &cut.hits);
            let mut reader = Drip { bytes: &haystack, step, fails: false };
            let content = Content::Stream { reader: &mut reader, size_hint: None };
            let streamed = engine.search_in_windows(content, &mut scratch, window.max(512)).unwrap();
            prop_assert_eq!(&whole.hits, &streamed.hits);
            let parted = engine.search_in_parts(&haystack, window.max(64), &Scratches::default());
            prop_assert_eq!(&whole.hits, &parted.hits);
            prop_assert_eq!((whole.bytes, whole.gaps), (parted.bytes, parted.gaps));
            prop_assert_eq!(streamed.bytes, haystack.len() as u64);
            prop_assert!(!RULES.is_empty());
        }
    }
}
