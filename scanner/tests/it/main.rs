//! The program as a person and a pipeline use it: command line in, reports and exit codes out.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "tests say what they expect, and what they skip"
)]

mod attest;
mod bad_input;
mod beside;
mod bombs;
mod browser;
mod canary;
mod changing;
mod commands;
mod gate;
mod git;
mod gitleaks;
mod html;
mod keystores;
mod known;
mod mounted;
mod pipelines;
mod program;
mod readers;
mod reports;
mod sources;
mod sources_real;
mod traps;
mod variations;
