//! Fixtures that start real servers for tests: a test says what it needs and talks to the real thing.
//!
//! ```no_run
//! # use shared::{require, testkit::{Kube, OpenBao}};
//! # fn a_test() {
//! let bao = require!(OpenBao::dev());
//! let kube = require!(Kube::start());
//! bao.api("PUT", "secret/data/app", Some(serde_json::json!({ "data": { "user": "ada" } })));
//! # }
//! ```
//!
//! What they promise:
//! - Each fixture is a server of its own, on loopback, on ports and in a folder that nobody else has: tests run
//!   in parallel, several of a kind at once.
//! - A fixture that returns is ready. One that does not come up within its limit fails the test and shows the
//!   end of the server's log.
//! - Nothing outlives its test: a fixture kills its servers when it is dropped (a failed test drops it too), and
//!   the kernel kills them when the test process itself is killed. Their folders go the same way.
//! - A machine without the server skips the test aloud, in one line; with `KEYTURN_REQUIRE_SERVERS=1` (as CI sets)
//!   that is a failure.
//!
//! `make install` brings the servers.
#![allow(
    clippy::needless_pass_by_value,
    reason = "a test builds a request's body where it sends it: `Some(json!({ ... }))`, without an `&` each time"
)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "this is test code: a panic is how a fixture tells the test that it failed"
)]

mod binary;
mod folder;
mod http;
mod kube;
mod openbao;
mod pgbouncer;
mod pki;
mod port;
mod postgres;
mod process;

pub use binary::{Missing, find, required};
pub use folder::Folder;
pub use http::Http;
pub use kube::{Kube, OpenBaoRole};
pub use openbao::OpenBao;
pub use pgbouncer::PgBouncer;
pub use pki::{Authority, Issued};
pub use port::Port;
pub use postgres::Postgres;
pub use process::{Launch, Server};
