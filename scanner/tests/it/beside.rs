//! What lies beside the content that a format shows: nobody looks there, and so it is where something hides.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;

use shared::coverage::{Opaque, Skipped};
use tempfile::TempDir;
use testdata::archive::{Compression, Tar, zip};
use testdata::image::{Image, Layer};
use testdata::pack::{Packaging, pack};

use crate::program::{Bench, token};
use crate::sources::{Seen, scan};

fn scan_bytes(bytes: &[u8]) -> Seen {
    let folder = TempDir::new().unwrap();
    let path: PathBuf = folder.path().join("file");
    std::fs::write(&path, bytes).unwrap();
    scan(&path, &[NEEDLE.to_owned()])
}

const NEEDLE: &str = "a-needle-that-nobody-shows";

/// Where the needle was seen.
#[track_caller]
fn members(seen: &Seen) -> Vec<String> {
    assert_eq!(seen.coverage.skipped.entries, []);
    let sites = seen.sites.get(&0).into_iter().flatten();
    sites
        .map(|site| [std::slice::from_ref(&site.path), site.entries.as_slice()].concat().join(" > "))
        .collect()
}

fn skippable(content: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x5a, 0x2a, 0x4d, 0x18];
    frame.extend(u32::try_from(content.len()).unwrap().to_le_bytes());
    frame.extend(content);
    frame
}

#[test]
fn skippable_frames_are_searched_and_opened_wherever_they_stand() {
    for compression in [Compression::Zstd, Compression::Lz4] {
        let data = compression.pack(b"plain text").unwrap();
        let text = skippable(NEEDLE.as_bytes());
        let packed = skippable(&Compression::Zstd.pack(NEEDLE.as_bytes()).unwrap());
        // The first frame tells the format, and lz4 is told from a frame of its own.
        let first = [&data[..], &text, b"", &data, &packed, &data].concat();
        let seen = scan_bytes(&first);
        assert_eq!(
            members(&seen),
            ["skippable frame 1", "skippable frame 2 > skippable frame 2"],
            "{compression:?}"
        );
    }
    let alone =
        scan_bytes(&[skippable(NEEDLE.as_bytes()), Compression::Zstd.pack(b"text").unwrap()].concat());
    assert_eq!(members(&alone).len(), 1);
    // A frame that says more than there is.
    let mut cut = skippable(NEEDLE.as_bytes());
    cut[4] = 0xff;
    let seen = scan_bytes(&[Compression::Zstd.pack(b"text").unwrap(), cut].concat());
    assert_eq!(seen.skips(), [Skipped::Truncated]);
    assert!(seen.sites.contains_key(&0));
}

#[test]
fn skippable_frames_of_layers_are_searched_and_tables_of_contents_too() {
    let layer = |compression| Layer::new("COPY", Tar::new().file("app", b"text")).stored(compression);
    let image = Image { layers: vec![layer(Compression::ZstdChunked)], ..Image::default() };
    let files = pack(&[image], Packaging::DockerModern).unwrap();
    let seen = scan_bytes(&files.tar());
    assert_eq!(seen.coverage.skipped.entries, []);
    let tables = seen
        .blobs
        .iter()
        .filter(|(_, entries, _)| entries.iter().any(|entry| entry.starts_with("skippable")));
    assert_eq!(tables.count(), 2, "{:?}", seen.blobs);
}

#[test]
fn all_frames_of_lz4_are_read_and_a_cut_between_blocks_is_told() {
    let first = Compression::Lz4.pack(b"the first frame").unwrap();
    let second = Compression::Lz4.pack(NEEDLE.as_bytes()).unwrap();
    assert_eq!(members(&scan_bytes(&[&first[..], &second].concat())).len(), 1);
    // The end mark is missing, and no block is cut.
    for left in [second.len() - 4, 7] {
        let seen = scan_bytes(&[&first[..], &second[..left]].concat());
        assert_eq!(seen.skips(), [Skipped::Truncated], "{left}");
    }
}

#[test]
fn what_stands_in_headers_is_searched() {
    let mut writer = flate2::GzBuilder::new().comment(NEEDLE).write(Vec::new(), flate2::Compression::fast());
    writer.write_all(b"text").unwrap();
    let commented = writer.finish().unwrap();
    assert_eq!(members(&scan_bytes(&commented)), ["gzip header 1"]);
    let records =
        Tar::new().pax(&[("SCHILY.xattr.user.note", NEEDLE.as_bytes())]).file("a", b"text").finish();
    assert_eq!(members(&scan_bytes(&records)), ["a > extended header"]);
    let inside = Tar::new().file("a.tar", &records).finish();
    assert_eq!(members(&scan_bytes(&inside)), ["a.tar > a > extended header"]);
    // What every entry has is no content.
    let times =
        Tar::new().pax(&[("mtime", b"1700000000.123456789"), ("uid", b"1000")]).file("a", b"text").finish();
    assert_eq!(scan_bytes(&times).coverage.blobs, 1);
    let mut archive = zip(&[("a", b"text", false)]).unwrap();
    // The comment of the only entry, behind its name at the end of the directory.
    let end = archive.len() - 22;
    archive.splice(end..end, NEEDLE.bytes());
    let length = u8::try_from(NEEDLE.len()).unwrap();
    let entry = end - 47;
    archive[entry + 32] = length;
    let directory = archive.len() - 22 + 12;
    archive[directory] += length;
    assert_eq!(members(&scan_bytes(&archive)), ["a > zip header"]);
}

#[test]
fn a_pdf_stream_that_is_not_read_is_listed_unless_it_is_a_picture() {
    let stream = |filter: &str| {
        format!(
            "%PDF-1.4\n4 0 obj\n<< /Filter {filter} /Length 8 >>\nstream\nabcdefgh\nendstream\nendobj\n%%EOF\n"
        )
    };
    for filter in ["/ASCII85Decode", "[/LZWDecode /FlateDecode]", "7 0 R"] {
        assert_eq!(scan_bytes(stream(filter).as_bytes()).opaques(), [Opaque::Unsupported], "{filter}");
    }
    for filter in ["/DCTDecode", "[]"] {
        assert_eq!(scan_bytes(stream(filter).as_bytes()).opaques(), [], "{filter}");
    }
    let mut long = String::new();
    for number in 0..1000 {
        write!(long, "/K{number} (v) ").unwrap();
    }
    let seen = scan_bytes(stream(&format!("/FlateDecode {long}")).as_bytes());
    assert_eq!(seen.opaques(), [Opaque::Unsupported]);
}

#[test]
fn encodings_that_are_not_followed_are_told() {
    let bench = Bench::new();
    let mut text = format!("key = {}\n", token(3));
    for _ in 0..5 {
        text = data_encoding::BASE64.encode(text.as_bytes());
    }
    bench.write("deep", &text);
    let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    writer.write_all(&vec![b' '; 64 << 20]).unwrap();
    bench.write("bomb", format!("x: {}\n", data_encoding::BASE64.encode(&writer.finish().unwrap())));
    let run = bench.run(&["scan", ".", "--format", "json", "--limit", "ratio=100"]);
    assert_eq!(run.code, 3, "{}", run.stderr);
    let report: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    let listed = |kind: &str| {
        let entries = report["coverage"][kind]["entries"].as_array().unwrap();
        let told =
            |entry: &serde_json::Value| format!("{}: {}", entry["at"], entry["detail"]).replace('"', "");
        entries.iter().map(told).collect::<Vec<_>>()
    };
    assert_eq!(listed("opaque"), ["deep: encoded more than four times, one in the other"]);
    assert_eq!(
        listed("skipped"),
        ["bomb: gzip in base64 expands too many times: see the limit `ratio`; searched as it stands"]
    );
}
