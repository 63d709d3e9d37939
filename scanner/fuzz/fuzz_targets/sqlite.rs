//! A SQLite database.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| scanner_fuzz::scan(&testdata::samples::mend("sqlite", bytes)));
