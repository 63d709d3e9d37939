//! The rotation machine: one credential, from the decision to rotate it to the proof that the old one is dead.
//!
//! [`plan`] looks at the journal and says the next [`step::Step`]; it is pure. [`apply`] does one step against
//! the world in a [`context::Context`], idempotently and probing first, so that doing it again after a crash
//! changes nothing. [`drive`] joins them: it takes the journal's lease, plans, applies, and writes down what was
//! done before it goes on. The same driver runs in production and in the simulation.
//!
//! What it promises: outside the `single` strategy a working credential stays published through any crash; no
//! secret is set that is not first in the journal; an old one is revoked only after every declared consumer has
//! moved (or at the deadline of a leak); one epoch at a time commits.

pub mod acknowledged;
pub mod adopt;
pub mod apply;
pub mod begin;
pub mod context;
pub mod discovered;
pub mod drive;
pub mod failpoint;
pub mod freeze;
pub mod generate;
pub mod issue;
pub mod leader;
pub mod leak;
pub mod order;
pub mod pairs;
pub mod plan;
pub mod planted;
pub mod production;
pub mod reconcile;
pub mod resolve;
pub mod retire;
pub mod rollout;
pub mod schedule;
pub mod spec;
pub mod status;
pub mod step;
pub mod stored;
pub mod system;
pub mod withdraw;
pub mod workloads;

#[cfg(test)]
pub mod simulation;
