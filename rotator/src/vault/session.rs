//! One login for all: made at the first call, shared, renewed at two thirds of its life, revoked at the end.
//!
//! Whoever needs the token while somebody is logging in waits for that login. A refusal is remembered for a moment, so
//! that a thousand syncs with a wrong password do not lock the account.

use std::sync::Arc;
use std::time::Duration;

use shared::secret::Secret;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::answer::{self, Granted};
use super::config::{Auth, Token};
use super::failure::Failure;
use super::login::{self, Credentials};
use super::meter::{Held, Operation};
use super::paths::ServerPath;
use super::transport::{Answer, Request, TokenHeader, Transport};

/// How long a refusal is taken as given. A person who mends the role waits no longer than this.
const REFUSAL_LASTS: Duration = Duration::from_secs(5);
/// As above, for a server in trouble: short, because the caller waits in between anyway.
const TROUBLE_LASTS: Duration = Duration::from_millis(250);

const BAD_TOKEN: &str = "the token is not valid (any more); put a new one in its place";

/// The login of one store.
pub(super) struct Session {
    auth: Auth,
    namespace: Option<String>,
    state: Mutex<State>,
}

enum State {
    LoggedOut,
    In(Arc<Login>),
    Failed { until: Instant, failure: Failure },
    Closed,
}

/// A token and what is known about it.
pub(super) struct Login {
    pub(super) header: TokenHeader,
    pub(super) accessor: Option<String>,
    /// Whether we made it, and so may make another and revoke this one; it is counted as long as it is held.
    ours: Option<Arc<Held>>,
    batch: bool,
    renewable: bool,
    /// The whole life that it was given first.
    life: Option<Duration>,
    expires: Option<Instant>,
    renew_at: Option<Instant>,
}

/// What became of a token that was denied something.
pub(super) enum Denial {
    /// The token is good; its policies are not enough.
    Policy,
    /// There is another login now.
    TryAgain,
}

impl Session {
    pub(super) fn new(auth: Auth, namespace: Option<String>) -> Self {
        Self { auth, namespace, state: Mutex::new(State::LoggedOut) }
    }

    /// How the login is called in messages: the method and the role or user, never a credential.
    pub(super) fn name(&self) -> String {
        login::name(&self.auth)
    }

    /// The login, made or renewed if need be.
    pub(super) async fn login(&self, transport: &Transport) -> Result<Arc<Login>, Failure> {
        let mut state = self.state.lock().await;
        let now = Instant::now();
        match &*state {
            State::Closed => return Err(Failure::Unexpected("the client is closed".to_owned())),
            State::Failed { until, failure } if now < *until => return Err(failure.clone()),
            State::In(login) if login.renew_at.is_none_or(|at| now < at) => return Ok(Arc::clone(login)),
            State::In(login) => {
                let old = Arc::clone(login);
                if let Some(renewed) = self.renew(transport, &old, now).await {
                    *state = State::In(Arc::clone(&renewed));
                    return Ok(renewed);
                }
                let new = self.enter(transport, &mut state).await?;
                // The old one would die by itself, but later.
                self.revoke(transport, &old).await;
                return Ok(new);
            }
            State::LoggedOut | State::Failed { .. } => {}
        }
        self.enter(transport, &mut state).await
    }

    /// Finds out whether `used` has ended, after a request with it was denied as if it had.
    pub(super) async fn denied(&self, transport: &Transport, used: &Arc<Login>) -> Result<Denial, Failure> {
        let mut state = self.state.lock().await;
        match &*state {
            State::In(current) if Arc::ptr_eq(current, used) => {}
            State::Closed => return Ok(Denial::Policy),
            State::LoggedOut | State::In(_) | State::Failed { .. } => return Ok(Denial::TryAgain),
        }
        match self.look_up(transport, &used.header).await {
            // It may be looked up, or is known but may not: it lives.
            Ok(_) | Err(Failure::Denied) => return Ok(Denial::Policy),
            Err(Failure::BadToken) => {}
            Err(failure) => return Err(failure),
        }
        if used.ours.is_some() {
            *state = State::LoggedOut;
            return Ok(Denial::TryAgain);
        }
        let failure = Failure::LoginRefused(BAD_TOKEN.to_owned());
        *state = State::Failed { until: Instant::now() + REFUSAL_LASTS, failure: failure.clone() };
        Err(failure)
    }

    /// Revokes a login of ours. Nobody logs in after this.
    pub(super) async fn close(&self, transport: &Transport) {
        let mut state = self.state.lock().await;
        if let State::In(login) = &*state {
            self.revoke(transport, login).await;
        }
        *state = State::Closed;
    }

    async fn enter(&self, transport: &Transport, state: &mut State) -> Result<Arc<Login>, Failure> {
        let entered = match &self.auth {
            Auth::Token(token) => self.take_over(transport, token).await,
            auth => self.log_in(transport, auth).await,
        };
        match entered {
            Ok(login) => {
                let login = Arc::new(login);
                *state = State::In(Arc::clone(&login));
                Ok(login)
            }
            Err(failure) => {
                let lasts =
                    if matches!(failure, Failure::LoginRefused(_)) { REFUSAL_LASTS } else { TROUBLE_LASTS };
                *state = State::Failed { until: Instant::now() + lasts, failure: failure.clone() };
                Err(failure)
            }
        }
    }

    /// Takes a token that somebody else made. Its accessor is for the audit record; a token that may not look
    /// itself up works all the same.
    async fn take_over(&self, transport: &Transport, token: &Secret) -> Result<Login, Failure> {
        let header = header(token)?;
        let found = match self.look_up(transport, &header).await {
            Ok(found) => Some(found),
            Err(Failure::Denied) => None,
            Err(Failure::BadToken) => return Err(Failure::LoginRefused(BAD_TOKEN.to_owned())),
            Err(failure) => return Err(failure),
        };
        Ok(Login {
            header,
            accessor: found.and_then(|found| found.accessor),
            ours: None,
            batch: false,
            renewable: false,
            life: None,
            expires: None,
            renew_at: None,
        })
    }

    async fn log_in(&self, transport: &Transport, auth: &Auth) -> Result<Login, Failure> {
        let credentials = Credentials::of(auth).await?;
        let hint = login::hint(auth);
        let request = self.request(Operation::Login, credentials.path, Some(credentials.body));
        let sent = Instant::now();
        let answer = transport.send(&request, None).await.map_err(|failure| match failure {
            Failure::NotFound(_) => Failure::LoginRefused(login::no_mount(auth)),
            Failure::Denied | Failure::BadToken | Failure::BadRequest => Failure::LoginRefused(hint),
            other => other,
        })?;
        let granted = answer::login(&answer.body).ok_or_else(|| {
            Failure::Unexpected("the answer to the login is not one; is this address a Vault?".to_owned())
        })?;
        let Some(token) = &granted.token else {
            let hint = "the server wants a second factor, which a program has not".to_owned();
            return Err(Failure::LoginRefused(hint));
        };
        let header = header(token)?;
        Ok(Login {
            header,
            accessor: granted.accessor,
            ours: Some(Arc::new(transport.meter().login())),
            batch: granted.batch,
            renewable: granted.renewable,
            life: granted.lease,
            expires: granted.lease.map(|lease| sent + lease),
            renew_at: granted.lease.map(|lease| sent + two_thirds(lease)),
        })
    }

    /// Makes the login live longer, or keeps it when the server cannot do it now. `None`: log in again.
    async fn renew(&self, transport: &Transport, login: &Login, now: Instant) -> Option<Arc<Login>> {
        let expires = login.expires?;
        if !login.renewable || login.batch || now >= expires {
            return None;
        }
        let body = Secret::copy_of(b"{}");
        match self.ask(transport, Operation::Renew, &["renew-self"], Some(body), &login.header).await {
            Ok(answer) => {
                let lease = answer::login(&answer.body)?.lease?;
                // Near its maximal life the server gives less and less.
                if login.life.is_some_and(|life| lease < life / 2) {
                    return None;
                }
                Some(Arc::new(Login {
                    expires: Some(now + lease),
                    renew_at: Some(now + two_thirds(lease)),
                    ..login.copy()
                }))
            }
            Err(failure) if failure.is_outage() || matches!(failure, Failure::RateLimited(_)) => {
                // It still works; the next third of what is left is soon enough.
                let renew_at = now + (expires - now) / 3;
                Some(Arc::new(Login { renew_at: Some(renew_at), ..login.copy() }))
            }
            Err(_) => None,
        }
    }

    async fn revoke(&self, transport: &Transport, login: &Login) {
        let expired = login.expires.is_some_and(|expires| Instant::now() >= expires);
        if login.ours.is_none() || login.batch || expired {
            return;
        }
        let body = Secret::copy_of(b"{}");
        if self.ask(transport, Operation::Revoke, &["revoke-self"], Some(body), &login.header).await.is_err()
        {
            let accessor = login.accessor.as_deref().unwrap_or("unknown");
            tracing::warn!(
                login = self.name(),
                accessor,
                "a login could not be revoked; it ends with its lease"
            );
        }
    }

    async fn look_up(&self, transport: &Transport, token: &TokenHeader) -> Result<Granted, Failure> {
        let answer = self.ask(transport, Operation::LookUp, &["lookup-self"], None, token).await?;
        answer::looked_up(&answer.body).ok_or_else(|| {
            Failure::Unexpected("the server does not say what it knows of the token".to_owned())
        })
    }

    async fn ask(
        &self,
        transport: &Transport,
        operation: Operation,
        what: &[&str],
        body: Option<Secret>,
        token: &TokenHeader,
    ) -> Result<Answer, Failure> {
        let path = ServerPath::of(&["auth", "token"]).join(what);
        transport.send(&self.request(operation, path, body), Some(token)).await
    }

    fn request(&self, operation: Operation, path: ServerPath, body: Option<Secret>) -> Request {
        let (version, page) = (None, None);
        Request { operation, path, version, page, body, namespace: self.namespace.clone() }
    }
}

impl Login {
    fn copy(&self) -> Self {
        Self {
            header: self.header.clone(),
            accessor: self.accessor.clone(),
            ours: self.ours.clone(),
            ..*self
        }
    }
}

fn header(token: &Secret) -> Result<TokenHeader, Failure> {
    // A line end that an editor added is no part of a token.
    let trimmed = token.expose(|bytes| Secret::copy_of(bytes.trim_ascii()));
    let header = if trimmed.is_empty() { None } else { TokenHeader::new(&trimmed) };
    header.ok_or_else(|| Failure::LoginRefused("the token is empty or no text".to_owned()))
}

fn two_thirds(life: Duration) -> Duration {
    life * 2 / 3
}

/// Reads a token where it comes from.
pub(super) async fn fetch(token: &Token) -> Result<Secret, Failure> {
    // Service account tokens take a few KiB; Vault refuses requests of 32 MiB.
    const TOKEN_BYTES_MAX: usize = 256 * 1024;
    match token {
        Token::Fixed(secret) => Ok(secret.duplicate()),
        Token::Minted(mint) => mint.mint().await.map_err(|error| Failure::LoginRefused(error.to_string())),
        Token::File(path) => {
            let file = path.clone();
            let read = tokio::task::spawn_blocking(move || {
                Secret::read_from(&mut std::fs::File::open(file)?, TOKEN_BYTES_MAX)
            });
            let failed =
                |reason: String| Failure::LoginRefused(format!("cannot read {}: {reason}", path.display()));
            match read.await {
                Ok(Ok(secret)) => Ok(secret),
                Ok(Err(error)) => Err(failed(error.to_string())),
                Err(_) => Err(failed("the program is ending".to_owned())),
            }
        }
    }
}
