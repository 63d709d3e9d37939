//! Finds leaked secrets in images, trees and archives.
//!
//! Data flows one way: source → unpack → chunk → matcher → verify → finding → verdict → report, and the modules
//! are listed in that order. A source walks a target and hands out blobs with their provenance; what is packed is
//! unpacked on the way.

pub mod blob;
pub mod rules;
pub mod check;
