//! The world as the machine sees it. Production and the simulation each bring their own.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use shared::fingerprint::Fingerprint;
use shared::journal::{Moved, Record};
use shared::secret::Secret;

use crate::rotation::generate::Policy;
use crate::rotation::pairs::Neighbour;
use crate::rotation::spec::Endpoint;

/// One set of parts.
pub trait World {
    /// Where the journal lies.
    type Journal: Journal;
    /// Where the published credential lies.
    type Publication: Publication;
    /// The server that checks the credential.
    type Backend: Backend;
    /// Who uses the published credential.
    type Consumers: Consumers;
    /// Time.
    type Clock: Clock;
    /// Randomness, and the keyed names of what was made from it.
    type Maker: Maker;
    /// Where receipts are issued.
    type Receipts: Receipts;
}

/// Everything that one run touches.
pub struct Context<W: World> {
    /// Who this process is, in the journal.
    pub holder: String,
    /// Whether a holder is known to be dead, so that its lease need not be waited for.
    pub is_gone: fn(&str) -> bool,
    /// See [`World`].
    pub journal: W::Journal,
    /// See [`World`].
    pub publication: W::Publication,
    /// See [`World`].
    pub backend: W::Backend,
    /// See [`World`].
    pub consumers: W::Consumers,
    /// See [`World`].
    pub clock: W::Clock,
    /// See [`World`].
    pub maker: W::Maker,
    /// See [`World`].
    pub receipts: W::Receipts,
}

/// Something did not answer, or its answer was lost: the effect may or may not have happened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}: no answer ({class})")]
pub struct NoAnswer {
    /// What was asked, without any secret.
    pub what: String,
    /// A short class: `unreachable`, `timeout`, `sealed`, `denied`.
    pub class: String,
}

/// Why a check-and-set write did not happen, or may not have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CasError {
    /// Somebody else wrote first: nothing was written.
    #[error("{0} was changed by somebody else")]
    Conflict(String),
    /// The write may or may not have happened.
    #[error(transparent)]
    NoAnswer(#[from] NoAnswer),
}

/// The journal of one Rotation, under check-and-set.
pub trait Journal {
    /// The record and its version; `None` when there never was one (version 0).
    fn load(&self) -> impl Future<Output = Result<Option<(u64, Record)>, LoadError>>;
    /// Writes over exactly the given version; answers the new one.
    fn store(&self, record: &Record, version: u64) -> impl Future<Output = Result<u64, CasError>>;
    /// Whether a person has frozen every Rotation whose journal lies in this store.
    fn frozen(&self) -> impl Future<Output = Result<Option<Freeze>, NoAnswer>>;
    /// The Rotations that are paired with this one, as their journals stand.
    fn neighbours(&self) -> impl Future<Output = Result<Vec<Neighbour>, NoAnswer>>;
}

/// A person's word that nothing starts and nothing is revoked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Freeze {
    /// Who.
    pub actor: String,
    /// Why, in their words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Since when.
    pub since: Timestamp,
}

impl std::fmt::Display for Freeze {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "frozen by {} since {:.0}", self.actor, self.since)?;
        self.reason.as_ref().map_or(Ok(()), |reason| write!(f, " ({reason})"))
    }
}

/// Why a journal could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The store did not answer.
    #[error(transparent)]
    NoAnswer(#[from] NoAnswer),
    /// It answered with something that is no journal.
    #[error(transparent)]
    Unusable(#[from] shared::journal::JournalError),
}

/// A credential as consumers read it.
#[derive(Debug)]
pub struct Credential {
    /// The account.
    pub account: String,
    /// The secret.
    pub secret: Secret,
}

/// What is published now.
#[derive(Debug)]
pub struct Published {
    /// The version of the path.
    pub version: u64,
    /// The credential.
    pub credential: Credential,
}

/// The path that consumers read.
pub trait Publication {
    /// What is there; `None` when nothing ever was. `Ok(Err(_))` when the path has other properties than ours.
    fn read(&self) -> impl Future<Output = Result<Option<Published>, PublicationError>>;
    /// What an earlier version of the path held; `None` when it is gone.
    fn earlier(&self, version: u64) -> impl Future<Output = Result<Option<Published>, PublicationError>>;
    /// Writes over exactly the given version (0: nothing there), keeping properties that are not ours.
    fn publish(&self, credential: &Credential, version: u64) -> impl Future<Output = Result<u64, CasError>>;
}

/// Why the published path could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublicationError {
    /// The store did not answer.
    #[error(transparent)]
    NoAnswer(#[from] NoAnswer),
    /// It lacks a property that the Rotation names.
    #[error("the published path lacks the property `{0}`")]
    Incomplete(String),
}

/// What a login attempt showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Answer {
    /// The server accepted the secret.
    Accepted,
    /// The server said that the secret is wrong, or that this account may not log in.
    Refused,
}

/// Why a secret was not set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SetError {
    /// The target's policy rejects this value; nothing was changed.
    #[error("the target rejects the value: {0}")]
    Rejected(String),
    /// The administrator may not do this, or the account is not as it must be; trying again does not help.
    #[error("{why}; {next}")]
    NeedsPerson {
        /// What is wrong.
        why: String,
        /// What to do.
        next: String,
    },
    /// The effect may or may not have happened.
    #[error(transparent)]
    NoAnswer(#[from] NoAnswer),
}

/// The right to act: effects carry it, and a target that can lock refuses one that is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The journal's epoch.
    pub epoch: u64,
    /// When the lease ends.
    pub until: Timestamp,
}

/// A login of the target that is still open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Where the client is, as the server tells it.
    pub client: String,
}

/// A kind of server whose credentials can be rotated.
///
/// Each method works on one endpoint and one account and is idempotent: calling it again with the same words
/// leaves the same state. Implementations never put a plaintext secret into a statement that a server logs.
pub trait Backend {
    /// The addresses, writable ones first.
    fn endpoints(&self) -> &[Endpoint];
    /// Whether effects of a holder whose lease is over are refused by the target itself. Where not, the proof
    /// is taken one lease after the last effect.
    fn locks(&self) -> bool;
    /// What a person looks at when an endpoint goes on to answer against what was done: "look at the server's log".
    fn advice(&self, endpoint: &str) -> String {
        format!("look at {endpoint}")
    }
    /// Whether the account can get a new secret: it exists and is what the strategy needs. One that `must_be_idle`
    /// has no open session either: `NoAnswer` of class `busy` until then.
    fn ready(&self, account: &str, must_be_idle: bool) -> impl Future<Output = Result<(), SetError>>;
    /// Makes the account accept exactly `accepts` (one secret, or two with the dual strategy).
    fn set(
        &self,
        endpoint: &str,
        account: &str,
        accepts: &[&Secret],
        lease: Lease,
    ) -> impl Future<Output = Result<(), SetError>>;
    /// Makes the account accept `remaining` alone, or nothing at all, and ends the sessions of the old secret.
    fn revoke(
        &self,
        endpoint: &str,
        account: &str,
        remaining: Option<&Secret>,
        lease: Lease,
    ) -> impl Future<Output = Result<(), SetError>>;
    /// Tries to log in. A time-out is no answer; only the server's own word counts.
    fn test(
        &self,
        endpoint: &str,
        account: &str,
        secret: &Secret,
    ) -> impl Future<Output = Result<Answer, NoAnswer>>;
    /// Open logins of the account; `None` when the target cannot tell.
    fn sessions(
        &self,
        endpoint: &str,
        account: &str,
    ) -> impl Future<Output = Result<Option<Vec<Session>>, NoAnswer>>;
}

/// Whether a consumer uses the new credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConsumerState {
    /// Uses it and is ready.
    Moved,
    /// Does not yet.
    Moving,
}

/// A declared consumer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consumer {
    /// A name for people, unique in its Rotation.
    pub name: String,
    /// Where it stands.
    pub state: ConsumerState,
}

/// Those who use the published credential.
pub trait Consumers {
    /// Every declared consumer, asked whether it uses the given version of the published path; starts what must
    /// be started for it to move (a sync, a restart), once. `moved` are those that were seen to have moved before.
    fn observe(
        &self,
        version: u64,
        moved: &BTreeMap<String, Moved>,
    ) -> impl Future<Output = Result<Vec<Consumer>, NoAnswer>>;
}

/// Time as a value.
pub trait Clock {
    /// Now.
    fn now(&self) -> Timestamp;
    /// Ends the future with `None` when it takes longer.
    fn within<T>(&self, limit: Duration, future: impl Future<Output = T>) -> impl Future<Output = Option<T>>;
}

/// Makes secrets, and names them.
pub trait Maker {
    /// A new secret to the policy, from the operating system.
    ///
    /// # Errors
    /// When there are no random bytes.
    fn make(&self, policy: &Policy) -> Result<Secret, NoAnswer>;
    /// The keyed name of a secret.
    fn name(&self, secret: &Secret) -> Fingerprint;
}

/// Issues receipts.
pub trait Receipts {
    /// Signs and stores the receipt of a finished run; called again for the same run it answers the same id.
    fn issue(&self, record: &Record) -> impl Future<Output = Result<String, NoAnswer>>;
}
