//! Generators of images, trees and synthetic secrets. For tests, benches and the demo; never shipped.
//!
//! Everything is made from a seed: the same seed gives the same bytes, and no secret is written down anywhere. A
//! [`random::Random`] makes [`token`]s, an [`image::Image`] holds layers and configuration, [`pack`] writes it as
//! the tools of the world do, and [`traps`] hides one token in each place where scanners have been seen to miss
//! them.

pub mod archive;
pub mod chunked;
pub mod git;
pub mod image;
pub mod pack;
pub mod random;
pub mod samples;
pub mod sqlite;
pub mod token;
pub mod traps;
