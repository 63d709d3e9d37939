//! What every backend must do, told once and run against each of them.
//!
//! A backend joins with a [`Stand`]: its server with a first secret published and in use, and the ways in which that
//! server can fail. `rotator/conformance.toml` says which test tells which story for which backend; a test here holds
//! it to what is really run.

mod ledger;
mod on_htpasswd;
mod on_postgresql;
mod stories;

use shared::receipt::Signed;

use crate::stopping::Running;
use crate::workshop::{Ended, Workshop};

/// How a server says that a secret may not be taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denial {
    /// Clearly: only a person can change that.
    NeedsPerson,
    /// As it fails for any other reason: tried again later.
    Rests,
}

/// A backend's server under test, with a Rotation called `shop/orders` whose first run is done.
pub trait Stand {
    fn workshop(&self) -> &Workshop;

    /// What consumers read: user name and password.
    fn published(&self) -> (String, String);

    /// Whether the server itself takes the login.
    fn lets_in(&self, login: &(String, String)) -> bool;

    /// Takes the server away: it gives no answer.
    fn down(&mut self);

    /// Brings it back, with what it knew.
    fn up(&mut self);

    /// From now on the server takes no new password.
    fn reject(&mut self);

    /// From now on nobody's secret can be taken away.
    fn deny_revoke(&mut self);

    /// Ends what [`Stand::deny_revoke`] began.
    fn allow_revoke(&mut self);

    /// How the server says so.
    fn denial(&self) -> Denial;

    /// From now on every password is let in.
    fn check_nothing(&mut self);

    /// What the server knows now, to be restored later.
    fn dump(&self) -> String;

    /// Has the server forget everything since.
    fn restore(&mut self, dump: &str);

    fn with_keys<'a>(&self, command: &'a str, more: &[&'a str]) -> Vec<&'a str> {
        let all = [command, "--config", "config", "--target", "dir:out"];
        let keys = ["--fingerprint-key", "keys/fingerprint.key", "--receipt-key", "keys/receipts.pem"];
        all.into_iter().chain(keys).chain(["--receipts", "receipts"]).chain(more.iter().copied()).collect()
    }

    fn rotate(&self, more: &[&str]) -> Ended {
        self.workshop().run(&self.with_keys("rotate", more))
    }

    /// Starts a run that stops at a point.
    fn stop_at(&self, point: &str) -> Running {
        let running = Running::start(self.workshop(), &self.with_keys("rotate", &["--now"]), point);
        running.reach().unwrap_or_else(|ended| panic!("it never came to `{point}`: {ended:?}"))
    }

    fn receipts(&self) -> Vec<Signed> {
        let trusted =
            shared::signing::TrustedKeys::read(&self.workshop().path("keys/receipts.pub.pem")).unwrap();
        let Ok(entries) = std::fs::read_dir(self.workshop().path("receipts")) else { return Vec::new() };
        let files = entries.map(|entry| entry.unwrap().path());
        files
            .filter(|path| path.extension().is_some_and(|end| end == "json"))
            .map(|path| Signed::verify(&std::fs::read(path).unwrap(), &trusted).unwrap())
            .collect()
    }
}
