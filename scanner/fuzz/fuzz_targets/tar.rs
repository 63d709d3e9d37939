//! A tar archive; its checksums are made right, which chance would not do.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| scanner_fuzz::scan(&testdata::samples::mend("tar", bytes)));
