//! Small files of each format: the corpora of the fuzzers, and what the property tests damage.

use std::io::{self, Write};

use serde_json::json;

use crate::archive::{Compression, Tar, ar, cpio, zip};
use crate::git::{self, Kept};
use crate::image::{Image, Layer};
use crate::pack::{Packaging, pack};
use crate::sqlite;

/// The readers, by the names of their fuzzers.
pub const READERS: [&str; 6] = ["tar", "oci", "zip", "compressed", "sqlite", "git"];

/// Whole files that a reader knows, before [`mend`].
///
/// # Errors
/// Those of the compressors; writing to memory, they have none to make.
pub fn of(reader: &str) -> io::Result<Vec<Vec<u8>>> {
    let text = b"first line\nkey = value\n".repeat(8);
    let inner = Tar::new().folder("a").file("a/b", &text).symbolic_link("c", "a/b").hard_link("d", "a/b");
    Ok(match reader {
        "tar" => vec![
            inner.finish(),
            Tar::new().file(&"long/".repeat(30), &text).gnu_long_name("other").file("x", &text).finish(),
            Tar::new().pax(&[("size", b"5"), ("path", b"p/q")]).file("y", b"12345").unfinished(),
            ar(&[("x.o", &text), ("/", b"names")]),
            cpio(&[("bin/x", &text)]),
        ],
        "oci" => {
            let image = Image::new("a:b")
                .layer(Layer::new("one", inner))
                .layer(Layer::new("two", Tar::new().file("a/.wh.b", b"")))
                .variable("KEY", "value");
            let mut all = Vec::new();
            for packaging in
                [Packaging::DockerLegacy, Packaging::DockerModern, Packaging::Oci(Compression::Gzip)]
            {
                all.push(pack(std::slice::from_ref(&image), packaging)?.tar());
            }
            all
        }
        "zip" => vec![
            zip(&[("stored", &text, false), ("dir/deflated", &text, true)])?,
            zip(&[("inner.jar", &zip(&[("x", &text, true)])?, false)])?,
            pdf(&text)?,
        ],
        "compressed" => {
            let tar = inner.finish();
            let forms = [
                Compression::Gzip,
                Compression::EStargz,
                Compression::Zstd,
                Compression::ZstdFrames,
                Compression::ZstdChunked,
                Compression::Bzip2,
                Compression::Xz,
                Compression::Lz4,
            ];
            forms.into_iter().map(|form| form.pack(&tar)).collect::<io::Result<_>>()?
        }
        "sqlite" => {
            vec![sqlite::database(&[&text, &text.repeat(6)], b"free"), sqlite::database(&[b"short"], b"")]
        }
        "git" => {
            let kept = [
                Kept::Whole(&text),
                Kept::After(20, b"other"),
                Kept::Named(3, 10, b"x"),
                Kept::Whole(b"base of it"),
            ];
            vec![git::pack(&kept)?.0, git::loose_blob(&text)?]
        }
        _ => Vec::new(),
    })
}

/// A file with one compressed stream.
fn pdf(text: &[u8]) -> io::Result<Vec<u8>> {
    let mut writer = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    writer.write_all(text)?;
    let stream = writer.finish()?;
    let head = b"%PDF-1.4\n4 0 obj\n<< /Filter /FlateDecode >>\nstream\n".as_slice();
    Ok([head, &stream, b"\nendstream\nendobj\n%%EOF\n"].concat())
}

/// A small input in the form that [`mend`] makes a file of.
pub fn dictionary(reader: &str) -> Option<Vec<u8>> {
    match reader {
        "oci" => Some(
            b"\x01{\"schemaVersion\":2,\"manifests\":[{\"digest\":\"@2\"}]}\xff\xff{\"schemaVersion\":2,\
              \"config\":{\"digest\":\"@3\"},\"layers\":[{\"digest\":\"@4\"}]}\xff{\"rootfs\":{\"diff_ids\":\
              [\"@4\"]},\"config\":{\"Env\":[\"A=b\"]}}\xfflayer"
                .to_vec(),
        ),
        "git" => Some(b"\x01\x03\x06base\nx\x06\x06\x06\x06\x90\x04\x02no\x07\x03abc".to_vec()),
        _ => None,
    }
}

/// Makes right what chance hardly ever would, so that damage gets further than the first check: checksums of tar
/// headers; digests of an image's members; the compression of a pack's objects.
pub fn mend(reader: &str, bytes: &[u8]) -> Vec<u8> {
    match (reader, bytes.first()) {
        ("tar", _) => mend_tar(bytes),
        ("oci", Some(byte)) if byte.is_ascii_graphic() => mend_tar(bytes),
        ("oci", _) => layout_of(bytes),
        ("git", Some(byte)) if *byte < 32 => pack_of(bytes),
        _ => bytes.to_vec(),
    }
}

fn mend_tar(bytes: &[u8]) -> Vec<u8> {
    let mut mended = bytes.to_vec();
    let mut at = 0;
    while let Some(block) = mended.get_mut(at..at + 512) {
        let mut header = tar::Header::new_old();
        header.as_mut_bytes().copy_from_slice(block);
        let is_end = block.iter().all(|byte| *byte == 0);
        if !is_end {
            header.set_cksum();
            block.copy_from_slice(header.as_bytes());
        }
        let size = header.entry_size().ok().and_then(|size| usize::try_from(size).ok()).unwrap_or(0);
        let Some(next) = size.checked_next_multiple_of(512).and_then(|size| at.checked_add(512 + size))
        else {
            break;
        };
        at = next;
    }
    mended
}

/// Parts cut at bytes of 0xff: an index, a list of saved images, and blobs that both may name by their number.
fn layout_of(bytes: &[u8]) -> Vec<u8> {
    let parts: Vec<&[u8]> = bytes.get(1..).unwrap_or_default().split(|byte| *byte == 0xff).collect();
    let digest = |index: usize| format!("{index:064x}");
    let named = |part: &[u8]| {
        // `@3` stands for the digest of the third blob.
        let mut text = Vec::new();
        let mut rest = part;
        while let Some((byte, after)) = rest.split_first() {
            rest = after;
            match (byte, after.first()) {
                (b'@', Some(digit)) if digit.is_ascii_digit() => {
                    text.extend(format!("sha256:{}", digest(usize::from(digit - b'0'))).bytes());
                    rest = &after[1..];
                }
                _ => text.push(*byte),
            }
        }
        text
    };
    let default = json!({ "schemaVersion": 2, "manifests": [{ "digest": "@2" }] }).to_string();
    let index = named(parts.first().copied().filter(|part| !part.is_empty()).unwrap_or(default.as_bytes()));
    let mut tar = Tar::new().file("oci-layout", b"{}").file("index.json", &index);
    if let Some(saved) = parts.get(1).filter(|part| !part.is_empty()) {
        tar = tar.file("manifest.json", &named(saved));
    }
    for (number, part) in parts.iter().enumerate().skip(2).take(12) {
        tar = tar.file(&format!("blobs/sha256/{}", digest(number)), &named(part));
    }
    tar.finish()
}

/// Objects: a kind, a length, and so many bytes; those of differences begin with how far back their base lies.
fn pack_of(bytes: &[u8]) -> Vec<u8> {
    let mut objects = Vec::new();
    let mut rest = bytes.get(1..).unwrap_or_default();
    while let [kind, length, after @ ..] = rest {
        let (data, next) = after.split_at(after.len().min(usize::from(*length)));
        objects.push((usize::from(kind % 8), data));
        rest = next;
    }
    git::pack_of_objects(&objects).unwrap_or_default()
}
