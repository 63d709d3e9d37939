//! A git object or a pack; objects are packed here, which chance would not do.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| scanner_fuzz::scan(&testdata::samples::mend("git", bytes)));
