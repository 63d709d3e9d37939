//! Finds leaked secrets in images, trees and archives.
//!
//! Data flows one way: source → unpack → chunk → matcher → verify → finding → verdict → report, and the modules
//! are listed in that order. A source walks a target and hands out blobs with their provenance; what is packed is
//! unpacked on the way. The matcher searches a blob for the rules, and checks decide what a match is worth. The
//! collector joins hits with the places of their blobs; the redactor masks what a report copies from a target;
//! the policy decides, and the report is written. `pipeline` joins them, `cli` and `plan` stand before it.

mod aside;
pub mod attest;
pub mod baseline;
mod batch;
pub mod blob;
mod budget;
pub mod check;
pub mod cli;
pub mod collect;
pub mod commands;
pub mod console;
pub mod decode;
pub mod delivery;
pub mod explain;
pub mod harden;
mod image;
pub mod interrupt;
pub mod key;
pub mod known;
pub mod limits;
pub mod matcher;
pub mod mmap;
pub mod pipeline;
pub mod plan;
pub mod policy;
pub mod progress;
pub mod redact;
pub mod report;
pub mod rules;
pub mod source;
pub mod suggest;
mod tasks;
pub mod terminal;
mod trust;
mod unpack;
mod walk;
