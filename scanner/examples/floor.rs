//! What a scan cannot be faster than: the same input read, hashed or inflated on all cores, and nothing else.
//!
//! `floor read FOLDER` opens and reads every file; `floor inflate LAYOUT` inflates the layers of an OCI layout with
//! the decoders that the scanner uses and hashes the stored blobs.
#![allow(clippy::print_stdout)] // A measuring program for a terminal.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rayon::prelude::*;
use sha2::{Digest, Sha256};

fn files(folder: &Path, found: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            files(&entry.path(), found)?;
        } else if kind.is_file() {
            found.push(entry.path());
        }
    }
    Ok(())
}

fn read(path: &Path, buffer: &mut Vec<u8>) -> std::io::Result<u64> {
    let mut file = File::open(path)?;
    buffer.resize(256 * 1024, 0);
    let mut total = 0;
    loop {
        match file.read(buffer)? {
            0 => return Ok(total),
            read => total += read as u64,
        }
    }
}

/// A reader that hashes what passes.
struct Hashing<R>(R, Sha256);

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.0.read(buffer)?;
        self.1.update(&buffer[..read]);
        Ok(read)
    }
}

fn inflate(path: &Path, buffer: &mut Vec<u8>) -> std::io::Result<u64> {
    let mut head = [0; 4];
    let known = File::open(path)?.read(&mut head)?;
    let stored = Hashing(File::open(path)?, Sha256::new());
    let mut reader: Box<dyn Read> = match &head[..known] {
        [0x1f, 0x8b, ..] => Box::new(flate2::read::MultiGzDecoder::new(stored)),
        [0x28, 0xb5, 0x2f, 0xfd] => Box::new(zstd::Decoder::new(stored)?),
        _ => Box::new(stored),
    };
    buffer.resize(256 * 1024, 0);
    let mut total = 0;
    loop {
        match reader.read(buffer)? {
            0 => return Ok(total),
            read => total += read as u64,
        }
    }
}

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [what, folder] = arguments.as_slice() else { anyhow::bail!("usage: floor read|inflate FOLDER") };
    let work = match what.as_str() {
        "read" => read,
        "inflate" => inflate,
        _ => anyhow::bail!("usage: floor read|inflate FOLDER"),
    };
    let mut paths = Vec::new();
    files(Path::new(folder), &mut paths)?;
    let total = AtomicU64::new(0);
    paths.par_iter().with_max_len(64).try_for_each_init(Vec::new, |buffer, path| {
        total.fetch_add(work(path, buffer)?, Ordering::Relaxed);
        std::io::Result::Ok(())
    })?;
    println!("{} files, {} bytes", paths.len(), total.into_inner());
    Ok(())
}
