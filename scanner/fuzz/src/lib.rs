//! What all targets share: bytes become a file without a name, and every blob that comes out of it is read.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::time::Duration;

use scanner::blob::{Blob, Content, Flow, Sink};
use scanner::limits::Limits;
use scanner::source::{SourceOptions, open};

/// Reads everything and keeps nothing.
struct Reading;

impl Sink for Reading {
    fn blob(&self, blob: Blob<'_>) -> Flow {
        match blob.content {
            Content::Slice(bytes) => {
                std::hint::black_box(bytes.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte)));
            }
            Content::Stream { reader, .. } => {
                let _ = io::copy(reader, &mut io::sink());
            }
        }
        Flow::Continue
    }
}

/// Scans bytes as a target. A crash, a hang or memory without end is what the fuzzer looks for.
pub fn scan(bytes: &[u8]) {
    let Ok(memory) = rustix::fs::memfd_create("target", rustix::fs::MemfdFlags::CLOEXEC) else { return };
    let mut file = File::from(memory);
    if file.write_all(bytes).is_err() {
        return;
    }
    let limits = Limits {
        expanded_bytes: 32 << 20,
        entries: 20_000,
        time: Duration::from_secs(5),
        decoder_memory: 24 << 20,
        spill: 16 << 20,
        ..Limits::default()
    };
    let options = SourceOptions { limits, ..SourceOptions::default() };
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    if let Ok(source) = open(&path, &options) {
        let coverage = source.blobs(&Reading);
        assert!(coverage.blobs > 0 || coverage.skipped.total > 0, "nothing was seen, and nothing said");
    }
}
