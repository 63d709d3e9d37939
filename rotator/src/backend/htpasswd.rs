//! An htpasswd file: the embedded target, with no server of its own.
//!
//! Each line is `account:hash`; nginx, Apache and many registries read such files and re-read them when they
//! change. New hashes are bcrypt. A login is tried against the service that reads the file (the probe, HTTP Basic),
//! or, where none is named, against the file itself.
//!
//! Guarantees: the file is replaced in one step and keeps its owner, mode and every line of other accounts; a full
//! disk leaves it as it was; two writers of ours wait for each other.
//! A change asks for its lease while it holds the file's lock, and a login is tried only after that lock was free:
//! no change of a paused process can come behind a proof.
//! Caveats: one line holds one hash, so there is one secret at a time (strategies `single` and `alternating`); a
//! service may cache a login for a while after the file changed, so the proof asks the probe where there is one; the
//! lock holds among processes that share the file's machine.

mod file;

use std::path::PathBuf;
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HeaderValue};
use shared::secret::Secret;
use zeroize::Zeroizing;

use crate::rotation::context::{Answer, Backend, Lease, NoAnswer, Session, SetError};
use crate::rotation::spec::Endpoint;
use file::{FileError, Lines};

/// 2^10 rounds take about 50 ms: a guess costs that much, and so does a login.
const BCRYPT_COST: u32 = 10;
/// bcrypt ignores what lies behind its 72nd byte; a longer password would be weaker than it looks.
const PASSWORD_BYTES_MAX: usize = 72;
/// A probe answers from memory; one that takes longer does not answer.
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);
/// The name of the one endpoint.
const ENDPOINT: &str = "file";

/// One htpasswd file.
pub struct Htpasswd {
    path: PathBuf,
    probe: Option<Probe>,
    endpoints: [Endpoint; 1],
}

/// The service that reads the file.
struct Probe {
    url: reqwest::Url,
    client: reqwest::Client,
}

/// Why the target is not usable.
#[derive(Debug, thiserror::Error)]
pub enum HtpasswdError {
    /// The URL of the probe is none.
    #[error("probe `{0}` is not an http or https URL without user and password")]
    Probe(String),
    /// The HTTP client could not be made.
    #[error("no HTTP client for the probe: {0}")]
    Client(reqwest::Error),
}

impl Htpasswd {
    /// A target of a file and, if the service that reads it can be asked, the URL of a page that it protects.
    ///
    /// # Errors
    /// When the URL is not one of HTTP.
    pub fn new(path: PathBuf, probe: Option<&str>) -> Result<Self, HtpasswdError> {
        let probe = probe.map(Probe::new).transpose()?;
        let endpoints = [Endpoint { name: ENDPOINT.into(), read_only: false }];
        Ok(Self { path, probe, endpoints })
    }

    fn name(&self) -> String {
        self.path.display().to_string()
    }

    /// Reads, changes and replaces the file, away from the runtime: bcrypt takes its time on purpose.
    async fn change(
        &self,
        account: &str,
        lease: Lease,
        change: impl FnOnce(&mut Lines, &str) -> Result<bool, FileError> + Send + 'static,
    ) -> Result<(), SetError> {
        let path = self.path.clone();
        let account = account.to_owned();
        let done = tokio::task::spawn_blocking(move || {
            file::change(&path, |lines| {
                if jiff::Timestamp::now() >= lease.until {
                    return Err(FileError::LeaseOver);
                }
                change(lines, &account)
            })
        })
        .await;
        match done {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(self.failed(&error)),
            Err(_) => Err(SetError::NoAnswer(self.no_answer("interrupted"))),
        }
    }

    fn no_answer(&self, class: &str) -> NoAnswer {
        NoAnswer { what: self.name(), class: class.to_owned() }
    }

    fn failed(&self, error: &FileError) -> SetError {
        match error {
            FileError::Io { what, source } if source.kind() == std::io::ErrorKind::StorageFull => {
                tracing::warn!(file = %self.name(), what, "the disk is full; nothing was changed");
                SetError::NoAnswer(self.no_answer("disk full"))
            }
            FileError::Io { .. } | FileError::Locked | FileError::LeaseOver => {
                tracing::warn!(file = %self.name(), %error, "the file was not changed");
                SetError::NoAnswer(self.no_answer("unreachable"))
            }
            FileError::Missing | FileError::NoAccount(_) | FileError::TooLarge | FileError::BadAccount(_) => {
                SetError::NeedsPerson {
                    why: format!("{}: {error}", self.name()),
                    next: "correct the file or the Rotation, then `rotator retry`".into(),
                }
            }
            FileError::Hash => SetError::Rejected("bcrypt takes passwords of at most 72 bytes".into()),
        }
    }
}

impl Backend for Htpasswd {
    fn endpoints(&self) -> &[Endpoint] {
        &self.endpoints
    }

    fn locks(&self) -> bool {
        true
    }

    async fn ready(&self, account: &str, _must_be_idle: bool) -> Result<(), SetError> {
        // A file knows no sessions. The account must have a line: to invent one would be to let somebody new in.
        let path = self.path.clone();
        let wanted = account.to_owned();
        let found = tokio::task::spawn_blocking(move || file::read(&path)?.has(&wanted)).await;
        match found {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(self.failed(&error)),
            Err(_) => Err(SetError::NoAnswer(self.no_answer("interrupted"))),
        }
    }

    async fn set(
        &self,
        _endpoint: &str,
        account: &str,
        accepts: &[&Secret],
        lease: Lease,
    ) -> Result<(), SetError> {
        let [secret] = accepts else {
            return Err(SetError::NeedsPerson {
                why: format!("{}: one line holds one password", self.name()),
                next: "use the strategy `single` or `alternating`".into(),
            });
        };
        let hash = hash((*secret).duplicate()).await.map_err(|error| self.failed(&error))?;
        self.change(account, lease, move |lines, account| lines.set(account, &hash)).await
    }

    async fn revoke(
        &self,
        _endpoint: &str,
        account: &str,
        remaining: Option<&Secret>,
        lease: Lease,
    ) -> Result<(), SetError> {
        match remaining {
            // The one line of the account has held the new secret's hash since it was set.
            Some(_) => Ok(()),
            None => self.change(account, lease, |lines, account| lines.disable(account)).await,
        }
    }

    async fn test(&self, _endpoint: &str, account: &str, secret: &Secret) -> Result<Answer, NoAnswer> {
        let path = self.path.clone();
        let (name, copy) = (account.to_owned(), secret.duplicate());
        let ask_file = self.probe.is_none();
        let matched = tokio::task::spawn_blocking(move || {
            let lines = file::read_unlocked(&path)?;
            if ask_file { lines.accepts(&name, &copy) } else { Ok(false) }
        })
        .await;
        match (&self.probe, matched) {
            (_, Ok(Err(error))) => {
                tracing::warn!(file = %self.name(), %error, "the file was not read");
                Err(self.no_answer("unreachable"))
            }
            (_, Err(_)) => Err(self.no_answer("interrupted")),
            (Some(probe), Ok(Ok(_))) => {
                probe.ask(account, secret).await.map_err(|class| self.no_answer(class))
            }
            (None, Ok(Ok(true))) => Ok(Answer::Accepted),
            (None, Ok(Ok(false))) => Ok(Answer::Refused),
        }
    }

    /// HTTP Basic sends the password with every request: there is no session that could outlive it.
    async fn sessions(&self, _endpoint: &str, _account: &str) -> Result<Option<Vec<Session>>, NoAnswer> {
        Ok(Some(Vec::new()))
    }
}

/// The bcrypt hash of a password.
async fn hash(secret: Secret) -> Result<String, FileError> {
    let hashed = tokio::task::spawn_blocking(move || {
        if secret.len() > PASSWORD_BYTES_MAX {
            return Err(FileError::Hash);
        }
        secret.expose(|bytes| bcrypt::hash(bytes, BCRYPT_COST)).map_err(|_| FileError::Hash)
    });
    hashed.await.unwrap_or(Err(FileError::Hash))
}

impl Probe {
    fn new(url: &str) -> Result<Self, HtpasswdError> {
        let parsed = reqwest::Url::parse(url)
            .ok()
            .filter(|u| {
                matches!(u.scheme(), "http" | "https") && u.username().is_empty() && u.password().is_none()
            })
            .ok_or_else(|| HtpasswdError::Probe(url.to_owned()))?;
        let client = reqwest::Client::builder()
            // A redirect would carry the password to somebody else, and its answer would be theirs.
            .redirect(reqwest::redirect::Policy::none())
            .timeout(PROBE_TIMEOUT)
            .build()
            .map_err(HtpasswdError::Client)?;
        Ok(Self { url: parsed, client })
    }

    async fn ask(&self, account: &str, secret: &Secret) -> Result<Answer, &'static str> {
        let value = secret.expose(|bytes| {
            let pair = Zeroizing::new([account.as_bytes(), b":", bytes].concat());
            Zeroizing::new(format!("Basic {}", data_encoding::BASE64.encode(&pair)))
        });
        let mut header = HeaderValue::from_str(&value).map_err(|_| "unreachable")?;
        header.set_sensitive(true);
        let answer = self.client.get(self.url.clone()).header(AUTHORIZATION, header).send().await;
        match answer {
            Ok(response) if response.status() == reqwest::StatusCode::UNAUTHORIZED => Ok(Answer::Refused),
            // Only the page itself shows that the login was taken; 403, 5xx and redirects show nothing.
            Ok(response) if response.status().is_success() => Ok(Answer::Accepted),
            Ok(_) => Err("unexpected answer"),
            Err(error) if error.is_timeout() => Err("timeout"),
            Err(_) => Err("unreachable"),
        }
    }
}

#[cfg(test)]
mod tests;
