//! A deterministic simulation of the rotation machine.
//!
//! One seeded loop owns the clock, the network, the servers, the store and the crashes. Several rotators run the
//! production driver; each call that they make is an event, which the loop may answer, lose, delay or repeat.
//! After every event the invariants of [`check`] are tried. A seed always gives the same run.

pub mod check;
pub mod event;
pub mod parts;
pub mod person;
pub mod random;
pub mod set_up;
pub mod state;

#[cfg(test)]
mod stories;
#[cfg(test)]
mod tests;

pub use event::{Outcome, simulate};
