//! What the scanner and the rotator agree on.
//!
//! The two programs never share a privilege; they exchange plain data, and its types live here. A [`secret`] is
//! held so that it cannot be printed; a [`fingerprint`] names it without revealing it. The scanner reports
//! [`finding`]s, a ledger of [`coverage`] and a [`verdict`]. The rotator keeps a [`journal`] of each run and ends it
//! with a [`receipt`], [signed](signing); the file of [`known`] values lets the scanner recognise a live secret that it
//! does not hold. Both read their [`config`] strictly, log through [`telemetry`], ask a
//! [`clock`] for the time and decide by [`retry`] whether to try again. The formats have [`schema`]s. Every program ends
//! with an [`exit`] code.

pub mod clock;
pub mod config;
pub mod coverage;
pub mod exit;
pub mod finding;
pub mod fingerprint;
pub mod journal;
pub mod known;
pub mod receipt;
pub mod retry;
pub mod schema;
pub mod secret;
pub mod signing;
pub mod telemetry;
pub mod verdict;

#[cfg(feature = "testkit")]
pub mod testkit;
