//! The administrator: whose credential comes from a store, and what it does on one session.
//!
//! Every effect runs on a session that holds the advisory lock of its role. Whoever comes later with a valid lease
//! and finds the lock taken ends the session that holds it: a process that was paused in the middle of an effect has
//! no session left to go on with when it wakes up.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use shared::secret::Secret;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Error, Row};

use super::connect::{Link, connect};
use super::failure::Failure;
use super::settings::Door;
use super::tls::Tls;
use crate::json_text;
use crate::manifest::postgresql::AdminRef;
use crate::provider::{Key, Provider, ReadError};
use crate::rotation::context::{Lease, NoAnswer, Session, SetError};
use crate::rotation::stored;

/// Whose locks these are: "keyt" as a number, beside the role's oid.
const LOCK_CLASS: i32 = 0x6b65_7974;
/// How long somebody else's effect, or the end of a session, is waited for.
const WAIT_MAX: Duration = Duration::from_secs(4);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(30);
/// Limits on the server's side, so that a lock somebody holds does not hold us for ever; and names that mean the
/// server's own functions, whatever anybody made in this database. Versions before 14 do not know one of them. An
/// asynchronous commit could be lost in a crash after we wrote down that it happened.
const PREPARE: &str = "SET search_path = pg_catalog; SET statement_timeout = '5s'; SET lock_timeout = '3s'; \
     SELECT pg_catalog.set_config('idle_session_timeout', '60s', false) \
     WHERE pg_catalog.current_setting('idle_session_timeout', true) IS NOT NULL; \
     SELECT pg_catalog.set_config('synchronous_commit', 'local', false) \
     WHERE pg_catalog.current_setting('synchronous_commit') = 'off'";

/// Where the administrator's credential comes from.
pub(super) struct AdminKey {
    provider: Provider,
    reference: AdminRef,
    /// Read once; again when a server refuses it, because administrators are rotated too.
    last: Mutex<Option<Arc<Known>>>,
}

struct Known {
    user: String,
    secret: Secret,
}

impl AdminKey {
    pub(super) fn new(provider: Provider, reference: AdminRef) -> Self {
        Self { provider, reference, last: Mutex::new(None) }
    }

    fn place(&self) -> String {
        format!("{}: {}", self.provider.name(), self.reference.key)
    }

    async fn read(&self) -> Result<Arc<Known>, SetError> {
        let document = match self.provider.read(&Key::latest(&self.reference.key)).await {
            Ok(document) => document,
            Err(error @ ReadError::NotFound { .. }) => {
                return Err(SetError::NeedsPerson {
                    why: format!("the administrator's credential is not there: {error}"),
                    next: "write it, then `rotator retry`".into(),
                });
            }
            Err(error) => return Err(stored::no_answer(&error).into()),
        };
        let names = &self.reference.properties;
        let text = |name: &str| {
            document.json().expose(|bytes| json_text::string(json_text::properties(bytes)?.get(name)?))
        };
        let missing = |name: &str| SetError::NeedsPerson {
            why: format!("{} lacks the property `{name}`", self.place()),
            next: "write the administrator's user name and password there, then `rotator retry`".into(),
        };
        let user = text(&names.username).ok_or_else(|| missing(&names.username))?;
        let secret = text(&names.password).ok_or_else(|| missing(&names.password))?;
        let user = user.expose(|bytes| String::from_utf8_lossy(bytes).into_owned());
        let known = Arc::new(Known { user, secret });
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&known));
        Ok(known)
    }

    fn last(&self) -> Option<Arc<Known>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Logs in at a door.
    pub(super) async fn open(&self, door: &Door, tls: &Tls) -> Result<Admin, SetError> {
        let remembered = self.last();
        let known = match &remembered {
            Some(known) => Arc::clone(known),
            None => self.read().await?,
        };
        match connect(door, tls, &known.user, &known.secret).await {
            Err(Failure::Refused | Failure::NoLogin) if remembered.is_some() => {
                let fresh = self.read().await?;
                let answer = connect(door, tls, &fresh.user, &fresh.secret).await;
                self.admit(door, &fresh, answer).await
            }
            answer => self.admit(door, &known, answer).await,
        }
    }

    /// The same, with the credential that the store holds now.
    pub(super) async fn open_afresh(&self, door: &Door, tls: &Tls) -> Result<Admin, SetError> {
        let known = self.read().await?;
        let answer = connect(door, tls, &known.user, &known.secret).await;
        self.admit(door, &known, answer).await
    }

    /// A bare connection, where the administrator may be a stranger: `None` if it does not come in.
    pub(super) async fn visit(&self, door: &Door, tls: &Tls) -> Option<Link> {
        let known = match self.last() {
            Some(known) => known,
            None => self.read().await.ok()?,
        };
        connect(door, tls, &known.user, &known.secret).await.ok()
    }

    async fn admit(
        &self,
        door: &Door,
        known: &Known,
        answer: Result<Link, Failure>,
    ) -> Result<Admin, SetError> {
        let user = known.user.clone();
        match answer {
            Ok(link) => {
                let admin = Admin { link, door: door.clone(), user };
                admin.link.client.batch_execute(PREPARE).await.map_err(|e| admin.failed("begin", &e))?;
                Ok(admin)
            }
            Err(Failure::Refused | Failure::NoLogin) => Err(SetError::NeedsPerson {
                why: format!("{} refuses the login of the administrator {user}", door.label),
                next: format!("write its password to {}, then `rotator retry`", self.place()),
            }),
            Err(Failure::NotLetIn) => Err(SetError::NeedsPerson {
                why: format!(
                    "pg_hba.conf of {} does not let the administrator {user} in from here",
                    door.label
                ),
                next: "add a line for it, reload the server, then `rotator retry`".into(),
            }),
            Err(failure) => Err(no_answer(door, "logging in as the administrator", &failure).into()),
        }
    }
}

/// No answer from a door.
pub(super) fn no_answer(door: &Door, doing: &str, failure: &Failure) -> NoAnswer {
    NoAnswer { what: format!("{}: {doing}", door.label), class: failure.class().to_owned() }
}

/// An administrator's session.
pub(super) struct Admin {
    link: Link,
    door: Door,
    /// Who we are.
    pub(super) user: String,
}

impl Admin {
    /// Ends the session, and gives its locks back.
    pub(super) async fn close(self) {
        self.link.close().await;
    }

    /// What a failed statement means.
    pub(super) fn failed(&self, doing: &str, error: &Error) -> SetError {
        match Failure::of(error, self.door.kind) {
            Failure::Denied => SetError::NeedsPerson {
                why: format!("{}: the administrator {} may not {doing}", self.door.label, self.user),
                next: "grant it that right, then `rotator retry`".into(),
            },
            Failure::Rejected => {
                SetError::Rejected(format!("{}: a check of the server's passwords", self.door.label))
            }
            failure => no_answer(&self.door, doing, &failure).into(),
        }
    }

    /// At most one row.
    pub(super) async fn one(
        &self,
        doing: &str,
        sql: &str,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<Option<Row>, SetError> {
        self.link.client.query_opt(sql, values).await.map_err(|error| self.failed(doing, &error))
    }

    /// One value; `None` where there is no row or it is null.
    pub(super) async fn value<T: for<'a> tokio_postgres::types::FromSql<'a>>(
        &self,
        doing: &str,
        sql: &str,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<Option<T>, SetError> {
        match self.one(doing, sql, values).await? {
            Some(row) => row.try_get(0).map_err(|error| self.failed(doing, &error)),
            None => Ok(None),
        }
    }

    /// The role's oid and whether it may log in.
    pub(super) async fn role(&self, account: &str) -> Result<(u32, bool), SetError> {
        let sql = "SELECT oid, rolcanlogin FROM pg_catalog.pg_roles WHERE rolname = $1";
        let doing = "look the role up";
        let Some(row) = self.one(doing, sql, &[&account]).await? else {
            return Err(SetError::NeedsPerson {
                why: format!("{} has no role {account}", self.door.label),
                next: "create the role or correct the Rotation, then `rotator retry`".into(),
            });
        };
        let read = |error: Error| self.failed(doing, &error);
        Ok((row.try_get(0).map_err(read)?, row.try_get(1).map_err(read)?))
    }

    /// Refuses to act when the lease is over.
    pub(super) fn check(&self, lease: Lease) -> Result<(), SetError> {
        if Timestamp::now() < lease.until {
            return Ok(());
        }
        Err(no_answer(&self.door, "changing a role", &Failure::lost("the lease is over")).into())
    }

    /// Takes the lock of a role for the rest of this session.
    pub(super) async fn lock(&self, role: u32, lease: Lease) -> Result<(), SetError> {
        // Signed and unsigned numbers of the same bits: the server has no unsigned ones.
        let key = role.cast_signed();
        let start = Instant::now();
        loop {
            self.check(lease)?;
            let sql = "SELECT pg_catalog.pg_try_advisory_lock($1::int4, $2::int4)";
            if self.value("lock the role", sql, &[&LOCK_CLASS, &key]).await? == Some(true) {
                return self.check(lease);
            }
            if start.elapsed() > WAIT_MAX {
                return Err(no_answer(&self.door, "locking the role", &Failure::lost("locked")).into());
            }
            let sql = "SELECT count(pg_catalog.pg_terminate_backend(pid)) FROM pg_catalog.pg_locks \
                 WHERE locktype = 'advisory' AND granted AND objsubid = 2 AND pid <> pg_catalog.pg_backend_pid() \
                 AND classid = $1::int4::pg_catalog.oid AND objid = $2 AND database = \
                 (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())";
            self.one("end the session of a rotator whose lease is over", sql, &[&LOCK_CLASS, &role]).await?;
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Runs one statement that changes a role.
    pub(super) async fn alter(&self, statement: &str) -> Result<(), SetError> {
        let done = self.link.client.batch_execute(statement).await;
        done.map_err(|error| self.failed("change the role", &error))
    }

    /// Open sessions of a role, with their process and where their client is.
    pub(super) async fn sessions(&self, role: u32) -> Result<Vec<(i32, Session)>, SetError> {
        let doing = "list sessions";
        // Addresses are shown to members of pg_read_all_stats alone; the sessions themselves to everybody.
        let sql = "SELECT pid, CASE WHEN client_addr IS NOT NULL \
             THEN pg_catalog.host(client_addr) || ':' || client_port \
             WHEN client_port = -1 THEN 'local' ELSE 'unknown' END \
             FROM pg_catalog.pg_stat_activity WHERE usesysid = $1 AND pid <> pg_catalog.pg_backend_pid() \
             ORDER BY backend_start LIMIT 1000";
        let failed = |error: Error| self.failed(doing, &error);
        let rows = self.link.client.query(sql, &[&role]).await.map_err(failed)?;
        rows.iter()
            .map(|row| {
                let client = row.try_get(1).map_err(failed)?;
                Ok((row.try_get(0).map_err(failed)?, Session { client }))
            })
            .collect()
    }

    /// Ends every session of a role, and waits until they are gone.
    pub(super) async fn end_sessions(&self, role: u32, lease: Lease) -> Result<(), SetError> {
        let start = Instant::now();
        loop {
            let sql = "SELECT count(pg_catalog.pg_terminate_backend(pid)) FROM pg_catalog.pg_stat_activity \
                 WHERE usesysid = $1 AND pid <> pg_catalog.pg_backend_pid()";
            self.check(lease)?;
            let ended: Option<i64> =
                self.value("end sessions of the role (it needs pg_signal_backend)", sql, &[&role]).await?;
            if ended.unwrap_or(0) == 0 {
                return Ok(());
            }
            if start.elapsed() > WAIT_MAX {
                let left = Failure::lost("sessions do not end");
                return Err(no_answer(&self.door, "ending sessions", &left).into());
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}
