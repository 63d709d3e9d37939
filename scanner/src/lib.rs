//! Finds leaked secrets in images, trees and archives.
//!
//! Data flows one way: source → unpack → chunk → matcher → verify → finding → verdict → report, and the modules
//! are listed in that order. A source walks a target and hands out blobs with their provenance; what is packed is
//! unpacked on the way. The matcher searches a blob for the rules, and checks decide what a match is worth.

pub mod blob;
pub mod limits;
pub mod mmap;
mod walk;
mod tasks;
pub mod source;
mod image;
mod unpack;
pub mod matcher;
pub mod decode;
pub mod rules;
pub mod check;
