//! An archive of an OCI layout, its documents and layers made of the bytes.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| scanner_fuzz::scan(&testdata::samples::mend("oci", bytes)));
