//! Git's objects, loose and in packs (`gitformat-loose(5)`, `gitformat-pack(5)`).

use std::io::{self, Write};

use sha1::{Digest, Sha1};

/// The name of a blob, in hexadecimal.
pub fn blob_name(content: &[u8]) -> String {
    let mut digest = Sha1::new();
    digest.update(format!("blob {}\0", content.len()));
    digest.update(content);
    data_encoding::HEXLOWER.encode(&digest.finalize())
}

/// A loose blob.
///
/// # Errors
/// Those of the compressor; writing to memory, it has none to make.
pub fn loose_blob(content: &[u8]) -> io::Result<Vec<u8>> {
    zlib(&[format!("blob {}\0", content.len()).as_bytes(), content].concat())
}

/// How a pack keeps a blob.
#[derive(Clone, Copy, Debug)]
pub enum Kept<'a> {
    /// By itself.
    Whole(&'a [u8]),
    /// As so many bytes of the blob before it in the pack, and others behind them.
    After(usize, &'a [u8]),
    /// The same, with the base by its name; the base is the blob at this place in the pack.
    Named(usize, usize, &'a [u8]),
}

/// A pack of blobs, and the content of each.
///
/// # Errors
/// Those of the compressor; writing to memory, it has none to make.
pub fn pack(blobs: &[Kept<'_>]) -> io::Result<(Vec<u8>, Vec<Vec<u8>>)> {
    let contents = contents(blobs);
    let mut out = b"PACK\0\0\0\x02".to_vec();
    out.extend_from_slice(&u32::try_from(blobs.len()).unwrap_or(0).to_be_bytes());
    let mut before = 0;
    for (index, blob) in blobs.iter().enumerate() {
        let offset = out.len();
        match blob {
            Kept::Whole(content) => {
                object(&mut out, 3, content.len());
                out.extend(zlib(content)?);
            }
            Kept::After(copied, added) => {
                let difference = difference(contents[index - 1].len(), *copied, added);
                object(&mut out, 6, difference.len());
                out.extend(distance(offset - before));
                out.extend(zlib(&difference)?);
            }
            Kept::Named(base, copied, added) => {
                let difference = difference(contents[*base].len(), *copied, added);
                object(&mut out, 7, difference.len());
                let name = blob_name(&contents[*base]);
                out.extend(data_encoding::HEXLOWER.decode(name.as_bytes()).unwrap_or_default());
                out.extend(zlib(&difference)?);
            }
        }
        before = offset;
    }
    let digest = Sha1::digest(&out);
    out.extend_from_slice(&digest);
    Ok((out, contents))
}

/// A pack of objects as they are given, right or wrong: a kind of 0 to 7 and the content, or the difference. Differences
/// are against the object before, or against no name that there is.
///
/// # Errors
/// Those of the compressor; writing to memory, it has none to make.
pub fn pack_of_objects(objects: &[(usize, &[u8])]) -> io::Result<Vec<u8>> {
    let mut out = b"PACK\0\0\0\x02".to_vec();
    out.extend_from_slice(&u32::try_from(objects.len()).unwrap_or(0).to_be_bytes());
    let mut before = 0;
    for (kind, data) in objects {
        let offset = out.len();
        object(&mut out, *kind, data.len());
        match kind {
            6 => out.extend(distance(offset - before)),
            7 => out.extend([7; 20]),
            _ => {}
        }
        out.extend(zlib(data)?);
        before = offset;
    }
    let digest = Sha1::digest(&out);
    out.extend_from_slice(&digest);
    Ok(out)
}

fn contents(blobs: &[Kept<'_>]) -> Vec<Vec<u8>> {
    let mut contents: Vec<Vec<u8>> = vec![Vec::new(); blobs.len()];
    // A base may stand behind what is made of it.
    for _ in 0..2 {
        for (index, blob) in blobs.iter().enumerate() {
            contents[index] = match blob {
                Kept::Whole(content) => content.to_vec(),
                Kept::After(copied, added) => made(contents.get(index.wrapping_sub(1)), *copied, added),
                Kept::Named(base, copied, added) => made(contents.get(*base), *copied, added),
            };
        }
    }
    contents
}

fn made(base: Option<&Vec<u8>>, copied: usize, added: &[u8]) -> Vec<u8> {
    let copied = base.and_then(|base| base.get(..copied)).unwrap_or_default();
    [copied, added].concat()
}

/// The kind and the length of an object.
fn object(out: &mut Vec<u8>, kind: usize, length: usize) {
    let mut rest = length >> 4;
    let mut byte = kind << 4 | length & 0x0f;
    while rest > 0 {
        out.push(low(byte | 0x80));
        byte = rest & 0x7f;
        rest >>= 7;
    }
    out.push(low(byte));
}

/// How far back a base lies.
fn distance(back: usize) -> Vec<u8> {
    let mut bytes = vec![low(back & 0x7f)];
    let mut rest = back >> 7;
    while rest > 0 {
        rest -= 1;
        bytes.insert(0, low(rest & 0x7f | 0x80));
        rest >>= 7;
    }
    bytes
}

/// Copies from the base's beginning, then adds.
fn difference(base: usize, copied: usize, added: &[u8]) -> Vec<u8> {
    let mut out = length(base);
    out.extend(length(copied + added.len()));
    if copied > 0 {
        // The offset is zero and left out, the length has two bytes.
        out.extend([0xb0, low(copied & 0xff), low(copied >> 8)]);
    }
    for piece in added.chunks(127) {
        out.push(low(piece.len()));
        out.extend_from_slice(piece);
    }
    out
}

fn length(value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = value;
    while rest > 0x7f {
        bytes.push(low(rest & 0x7f | 0x80));
        rest >>= 7;
    }
    bytes.push(low(rest));
    bytes
}

fn low(value: usize) -> u8 {
    u8::try_from(value & 0xff).unwrap_or(0)
}

fn zlib(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut writer = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    writer.write_all(bytes)?;
    writer.finish()
}
