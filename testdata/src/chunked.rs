//! Layers that runtimes can fetch file by file: eStargz (stargz-snapshotter, "eStargz: Standard-Compatible Extension
//! to Container Image Layers") and zstd:chunked (containers/storage, `pkg/chunked`).

use std::io::{self, Write};

use serde_json::{Value, json};

use crate::archive::Tar;
use crate::image::digest;

/// The name of the table of contents in an eStargz layer.
const TABLE: &str = "stargz.index.json";

/// Appends what eStargz adds to an archive: a landmark, and the table of contents as the last entry.
///
/// # Errors
/// Those of the compressor; writing to memory, it has none to make.
pub fn with_table(archive: Tar) -> io::Result<Tar> {
    let archive = archive.file(".no.prefetch.landmark", &[0x0f]);
    let bytes = archive.clone().unfinished();
    let mut offset = 0;
    let mut entries = Vec::new();
    for entry in split(&bytes) {
        entries.push(described(entry.name, entry.data, offset));
        offset += gzip(entry.whole)?.len();
    }
    let table = json!({ "version": 1, "entries": entries }).to_string();
    Ok(archive.file(TABLE, table.as_bytes()))
}

fn described(name: &str, data: &[u8], offset: usize) -> Value {
    json!({
        "name": name, "type": "reg", "size": data.len(), "offset": offset, "mode": 0o644,
        "digest": digest(data), "chunkDigest": digest(data),
    })
}

/// Compresses an archive entry by entry, each a gzip member of its own, with the footer that says where the table is.
///
/// # Errors
/// Those of the compressor; writing to memory, it has none to make.
pub fn estargz(tar: &[u8]) -> io::Result<Vec<u8>> {
    let mut out = Vec::new();
    let mut table = 0;
    for entry in split(tar) {
        if entry.name == TABLE {
            table = out.len();
        }
        out.extend(gzip(entry.whole)?);
    }
    // An empty member whose extra field holds the offset.
    let extra = format!("{table:016x}STARGZ");
    let mut footer = flate2::GzBuilder::new()
        .extra([b"SG\x16\0".as_slice(), extra.as_bytes()].concat())
        .write(Vec::new(), flate2::Compression::none());
    footer.flush()?;
    out.extend(footer.finish()?);
    Ok(out)
}

/// Compresses an archive entry by entry, each a zstd frame of its own, with the table of contents and the footer in
/// skippable frames.
///
/// # Errors
/// Those of the compressor; writing to memory, it has none to make.
pub fn zstd_chunked(tar: &[u8]) -> io::Result<Vec<u8>> {
    let mut out = Vec::new();
    let mut entries = Vec::new();
    for entry in split(tar) {
        entries.push(described(entry.name, entry.data, out.len()));
        out.extend(zstd::encode_all(entry.whole, 3)?);
    }
    let table = json!({ "version": 1, "entries": entries }).to_string();
    let packed = zstd::encode_all(table.as_bytes(), 3)?;
    let start = out.len() + 8;
    skippable(&mut out, &packed);
    let mut footer = Vec::new();
    for number in [start, packed.len(), table.len(), 1, 0, 0, 0] {
        footer.extend_from_slice(&(number as u64).to_le_bytes());
    }
    footer.extend_from_slice(b"GNUlInUx");
    skippable(&mut out, &footer);
    Ok(out)
}

fn skippable(out: &mut Vec<u8>, content: &[u8]) {
    out.extend_from_slice(&[0x50, 0x2a, 0x4d, 0x18]);
    out.extend_from_slice(&u32::try_from(content.len()).unwrap_or(0).to_le_bytes());
    out.extend_from_slice(content);
}

struct Entry<'a> {
    name: &'a str,
    data: &'a [u8],
    /// Header, data and padding.
    whole: &'a [u8],
}

/// The entries of an archive that [`Tar`] wrote, and what follows the last one, without a name.
fn split(tar: &[u8]) -> Vec<Entry<'_>> {
    let mut entries = Vec::new();
    let mut rest = tar;
    while rest.first().is_some_and(|byte| *byte != 0) {
        let header = tar::Header::from_byte_slice(&rest[..512]);
        let size = usize::try_from(header.entry_size().unwrap_or(0)).unwrap_or(0);
        let (whole, after) = rest.split_at((512 + size.next_multiple_of(512)).min(rest.len()));
        let name = whole[..100].split(|byte| *byte == 0).next().unwrap_or_default();
        let data = whole.get(512..512 + size).unwrap_or_default();
        entries.push(Entry { name: std::str::from_utf8(name).unwrap_or_default(), data, whole });
        rest = after;
    }
    if !rest.is_empty() {
        entries.push(Entry { name: "", data: &[], whole: rest });
    }
    entries
}

fn gzip(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    writer.write_all(bytes)?;
    writer.finish()
}
