//! What is found, what is not, and the way back.

use super::{Allowance, Gaps, Part, Progress, Totals};
use std::ops::Range;

fn decode(haystack: &[u8], found: &mut dyn FnMut(&super::Piece<'_>)) -> Gaps {
    let part = Part { bytes: haystack, base: 0, owned: 0..haystack.len() };
    let totals = Totals::new(100);
    let allowance = Allowance { totals: &totals, is_outermost: true };
    Progress::default().decode(&part, allowance, &mut Vec::new(), found);
    totals.gaps()
}

/// Label, text and the place of `secret` in the haystack, of each piece.
fn pieces(haystack: &[u8]) -> Vec<(&'static str, String)> {
    let mut all = Vec::new();
    decode(haystack, &mut |piece| {
        all.push((piece.label, String::from_utf8_lossy(piece.bytes).into_owned()));
    });
    all
}

fn place(haystack: &[u8], needle: &str) -> Range<u64> {
    let mut found = 0..0;
    decode(haystack, &mut |piece| {
        if let Some(at) = memchr::memmem::find(piece.bytes, needle.as_bytes()) {
            found = piece.map.outer(at as u64..(at + needle.len()) as u64);
        }
    });
    found
}

const TEXT: &str =
    "user = anna\npassword = a long enough text to be wrapped into several lines of base64, as mail does";

#[test]
fn base64_in_any_alphabet_and_alignment() {
    for text in [TEXT, &TEXT[1..], &TEXT[2..]] {
        let standard = data_encoding::BASE64.encode(text.as_bytes());
        assert_eq!(pieces(format!("x: {standard}\n").as_bytes()), [("base64", text.to_owned())]);
        let url = data_encoding::BASE64URL_NOPAD.encode(text.as_bytes());
        assert_eq!(pieces(format!("x: {url}\n").as_bytes()), [("base64", text.to_owned())]);
    }
}

#[test]
fn wrapped_base64_is_one_text_with_a_way_back() {
    let encoded = data_encoding::BASE64.encode(TEXT.as_bytes());
    let lines: Vec<&str> = [&encoded[..64], &encoded[64..128], &encoded[128..]].to_vec();
    let haystack = format!("body:\n  {}\n", lines.join("\n  "));
    assert_eq!(pieces(haystack.as_bytes()), [("base64", TEXT.to_owned())]);
    let place = place(haystack.as_bytes(), "wrapped");
    // The 58th byte of the text is in the second line.
    let second = haystack.find(lines[1]).unwrap() as u64;
    assert!(place.start >= second && place.end <= second + 64, "{place:?}");
}

#[test]
fn a_span_covers_the_letters_that_hold_it() {
    let haystack = format!("x={}", data_encoding::BASE64.encode(b"012345678901234567890SECRET"));
    assert_eq!(place(haystack.as_bytes(), "SECRET"), 2 + 28..2 + 36);
}

#[test]
fn hexadecimal_text_is_decoded_and_hashes_are_not() {
    let text = "token=0123456789abc";
    let haystack = format!("h {}", data_encoding::HEXLOWER.encode(text.as_bytes()));
    assert_eq!(pieces(haystack.as_bytes()), [("hex", text.to_owned())]);
    assert_eq!(pieces(b"d41d8cd98f00b204e9800998ecf8427e e3b0c44298fc1c149afbf4c8996fb92427ae41e4"), []);
    assert_eq!(
        pieces(b"/usr/share/keyrings/debian_archive_keyring_removed a_very_long_function_name_of_java"),
        []
    );
}

#[test]
fn utf16_both_ways_round() {
    let little: Vec<u8> = "\u{feff}password=hunter22".encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert_eq!(pieces(&little), [("utf-16le", "password=hunter22".to_owned())]);
    assert_eq!(place(&little, "hunter22"), 20..36);
    let big: Vec<u8> = "\u{feff}password=hunter22".encode_utf16().flat_map(u16::to_be_bytes).collect();
    assert_eq!(pieces(&big), [("utf-16be", "password=hunter22".to_owned())]);
    assert_eq!(place(&big, "hunter22"), 20..36);
}

#[test]
fn escapes_of_letters_are_decoded() {
    assert_eq!(pieces(b"url: postgres://u:p%40ss@h/"), [("percent", "postgres://u:p@ss@h/".to_owned())]);
    assert_eq!(pieces(br#"{"a":"k\u003dv\n\"x\""}"#), [("escape", "{\"a\":\"k=v\n\"x\"\"}".to_owned())]);
    assert_eq!(place(br#"{"a":"k\u003dvalue"}"#, "=value"), 7..18);
    assert_eq!(pieces(b"printf(\"%d%s\\x1b[0m\\n\")"), []);
}

fn gzipped(text: &[u8]) -> Vec<u8> {
    testdata::archive::Compression::Gzip.pack(text).unwrap()
}

/// All pieces of one label, each byte of the text once.
fn texts(haystack: &[u8], label: &str) -> Vec<String> {
    pieces(haystack).into_iter().filter(|piece| piece.0 == label).map(|piece| piece.1).collect()
}

#[test]
fn gzip_in_base64_is_inflated_also_when_it_is_encoded_twice() {
    let once = data_encoding::BASE64.encode(&gzipped(TEXT.as_bytes()));
    assert_eq!(texts(format!("content: {once}\n").as_bytes(), "base64-gzip"), [TEXT]);
    let twice = data_encoding::BASE64.encode(once.as_bytes());
    assert_eq!(texts(format!("release: {twice}\n").as_bytes(), "base64-gzip"), [TEXT]);
    let wrapped: Vec<&str> =
        (0..once.len()).step_by(64).map(|at| &once[at..once.len().min(at + 64)]).collect();
    assert_eq!(texts(wrapped.join("\n  ").as_bytes(), "base64-gzip"), [TEXT]);
    // It only begins like one.
    let text = "H4sIAAAA this is no stream, only text that begins like one in base64";
    assert_eq!(texts(data_encoding::BASE64.encode(text.as_bytes()).as_bytes(), "base64"), [text]);
}

#[test]
fn a_long_gzip_stream_is_searched_to_its_end_and_its_places_lie_in_its_letters() {
    let mut random = testdata::random::Random::new(3);
    let mut text = random.prose(900_000);
    // Bytes that do not shrink, so that the letters make several pieces.
    text.extend(data_encoding::HEXLOWER.encode(&random.bytes(200_000)).bytes());
    text.extend(b" needle-at-the-end");
    let once = data_encoding::BASE64.encode(&gzipped(&text));
    assert!(once.len() > 3 * super::PIECE);
    let haystack = format!("release: {once}\n");
    let place = place(haystack.as_bytes(), "needle-at-the-end");
    assert!(place.start > haystack.len() as u64 - 1000 && place.end < haystack.len() as u64, "{place:?}");
}

#[test]
fn a_bomb_in_base64_ends_and_is_told() {
    let packed = |mib: usize| {
        let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        std::io::Write::write_all(&mut writer, &vec![b' '; mib << 20]).unwrap();
        data_encoding::BASE64.encode(&writer.finish().unwrap())
    };
    let bomb = packed(64);
    // Many small ones are one large one.
    let small = packed(1);
    let many = format!("x: {small}\n").repeat(80);
    for bomb in [bomb, many] {
        let mut inflated = 0;
        let gaps = decode(bomb.as_bytes(), &mut |piece| inflated += piece.bytes.len());
        assert!(gaps.is_limited && !gaps.is_damaged, "{gaps:?}");
        assert!(inflated < (200 * bomb.len()).max(48 << 20), "{inflated} of {}", bomb.len());
    }
    assert_eq!(decode(small.as_bytes(), &mut |_| {}), Gaps::default());
}

#[test]
fn all_members_of_gzip_in_base64_are_inflated_and_a_damaged_one_is_told() {
    let two = [gzipped(TEXT.as_bytes()), gzipped(b" and the second one")].concat();
    let encoded = data_encoding::BASE64.encode(&two);
    assert_eq!(texts(encoded.as_bytes(), "base64-gzip"), [format!("{TEXT} and the second one")]);
    let mut random = testdata::random::Random::new(9);
    let mut damaged = gzipped(&random.prose(20_000));
    let middle = damaged.len() / 2;
    damaged[middle..middle + 64].fill(0xff);
    let gaps = decode(data_encoding::BASE64.encode(&damaged).as_bytes(), &mut |_| {});
    assert_eq!(gaps, Gaps { is_damaged: true, ..Gaps::default() });
}

#[test]
fn lists_of_lines_are_one_text() {
    let notebook = br#"{"source": [
    "key = \"\"\"-----BEGIN\n",
    "abc\n",   "def\\n\n",
    "-----END\"\"\"\n"
   ], "other": ["alone\n"]}"#;
    let joined = "key = \"\"\"-----BEGIN\nabc\ndef\\n\n-----END\"\"\"\n";
    assert_eq!(texts(notebook, "lines"), [joined]);
    let at = memchr::memmem::find(notebook, b"def").unwrap() as u64;
    assert_eq!(place(notebook, "def"), at..at + 3);
}

#[test]
fn references_of_html_are_decoded() {
    let line = br#"<a onclick="f(&quot;password&#61;&#x68;unter&quot;)">"#;
    assert_eq!(pieces(line), [("html", r#"<a onclick="f("password=hunter")">"#.to_owned())]);
    let at = memchr::memmem::find(line, b"&#x68;").unwrap() as u64;
    assert_eq!(place(line, "hunter"), at..at + 11);
    assert_eq!(pieces(b"if (a &lt; b &amp;&amp; c) &nbsp; &copy;"), []);
}

#[test]
fn quoted_printable_is_decoded_over_soft_breaks() {
    assert_eq!(pieces(b"x\nkey=3D=22abc=\ndef=22\ny"), [("quoted-printable", "key=\"abcdef\"".to_owned())]);
    assert_eq!(place(b"key=3Dabc=\r\ndef", "abcdef"), 6..15);
}

#[test]
fn strings_in_pieces_are_joined() {
    let java = b"String k = \"ab\" + \"cd\" +\n    \"ef\";\n";
    assert_eq!(pieces(java), [("joined", "String k = \"abcdef\";".to_owned())]);
    assert_eq!(place(java, "abcdef"), 12..32);
    assert_eq!(pieces(b"k = 'ab' & _\n  'cd'\n"), [("joined", "k = 'abcd'".to_owned())]);
    assert_eq!(pieces(b"x = \"a\" + name + \"b\""), []);
    assert_eq!(pieces(b"s = c + 1; t = '+'; u = \"a + b\""), []);
}

#[test]
fn utf7_is_decoded() {
    assert_eq!(pieces(b"key+AD0AIg-abc+ACI-"), [("utf-7", "key=\"abc\"".to_owned())]);
    assert_eq!(pieces(b"a+AAA-b, 1+A-2, +ABCDEFGH"), []);
}
