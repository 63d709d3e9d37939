//! Finds leaked secrets in images, trees and archives.
//!
//! Data flows one way: source → unpack → chunk → matcher → verify → finding → verdict → report, and the modules
//! are listed in that order. A source walks a target and hands out blobs with their provenance; what is packed is
//! unpacked on the way. The matcher searches a blob for the rules, and checks decide what a match is worth.

pub mod blob;
pub mod check;
pub mod decode;
mod image;
pub mod limits;
pub mod matcher;
pub mod mmap;
pub mod rules;
pub mod source;
mod tasks;
mod unpack;
mod walk;
