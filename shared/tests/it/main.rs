//! Tests of `shared` against the real world.
#[cfg(feature = "testkit")]
mod testkit;
