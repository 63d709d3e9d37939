//! A compressed stream: gzip, zstd, xz, bzip2 or lz4.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| scanner_fuzz::scan(&testdata::samples::mend("compressed", bytes)));
