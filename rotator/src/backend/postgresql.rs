//! A PostgreSQL server, its streaming replicas, and the PgBouncers before it.
//!
//! Two accounts of one role take turns: the idle one gets a new password and LOGIN, later the old one loses its
//! password and LOGIN, and its sessions are ended. The administrator needs CREATEROLE and pg_signal_backend, not
//! superuser (and pg_read_all_stats, if session lists are to show client addresses).
//!
//! Guarantees: statements carry SCRAM verifiers that are made here, never a password. Every effect runs on a session
//! that holds the advisory lock of its role and has checked its lease there; a paused process loses that session to
//! whoever comes next. A password that is already accepted is not set again, so an answer that was lost costs no
//! second `ALTER ROLE`. Only the server's own word on the login counts as refused: not a time-out, not a full server,
//! not a missing line of pg_hba.conf. Replicas are asked after they have replayed what their primary had written.
//! Caveats: after `PASSWORD NULL NOLOGIN` a role that somebody gives LOGIN back has no password, but one that
//! somebody else set to NOLOGIN before keeps its old one. Clients of a PgBouncer stay connected to it when their
//! login ends; they are listed where its console lets the administrator in.

mod account;
mod admin;
mod connect;
mod failure;
mod pooler;
mod replay;
mod settings;
mod tls;

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use postgres_protocol::escape::{escape_identifier, escape_literal};
use postgres_protocol::password::scram_sha_256;
use shared::secret::Secret;

use self::account::Wanted;
use self::admin::{Admin, AdminKey, no_answer};
use self::connect::connect;
use self::failure::Failure;
use self::settings::{Door, DoorKind};
pub use self::settings::{Settings, unsuited};
use crate::provider::Provider;
use crate::rotation::context::{Answer, Backend, Lease, NoAnswer, Session, SetError};
use crate::rotation::failpoint::reach;
use crate::rotation::spec::{Endpoint, Strategy};

/// How many of our own test logins are remembered, so that they are not taken for consumers while the server still
/// ends them.
const VISITS_MAX: usize = 64;

/// One PostgreSQL target, as one Rotation sees it.
pub struct PostgreSql {
    settings: Settings,
    key: AdminKey,
    pair: Option<Pair>,
    visits: Mutex<VecDeque<(String, i32)>>,
}

/// Two accounts that take turns.
struct Pair {
    accounts: [String; 2],
    role: String,
}

impl PostgreSql {
    /// A target for a Rotation of this strategy; `provider` is the store that holds the administrator's credential.
    pub fn new(settings: Settings, provider: Provider, strategy: &Strategy, role: Option<&str>) -> Self {
        let pair = match (strategy, role) {
            (Strategy::Alternating { accounts }, Some(role)) => {
                Some(Pair { accounts: accounts.clone(), role: role.to_owned() })
            }
            (Strategy::Alternating { .. } | Strategy::Dual { .. } | Strategy::Single { .. }, _) => None,
        };
        let key = AdminKey::new(provider, settings.admin().clone());
        Self { settings, key, pair, visits: Mutex::default() }
    }

    fn door(&self, endpoint: &str) -> Result<&Door, NoAnswer> {
        let unknown = || NoAnswer { what: endpoint.to_owned(), class: "no such endpoint".into() };
        self.settings.door(endpoint).ok_or_else(unknown)
    }

    async fn admin(&self, door: &Door) -> Result<Admin, SetError> {
        self.key.open(door, &self.settings.tls).await
    }

    /// A door where passwords are set; the machine asks for no other.
    fn writable(&self, endpoint: &str) -> Result<&Door, SetError> {
        let door = self.door(endpoint)?;
        match door.kind {
            DoorKind::Primary => Ok(door),
            DoorKind::Replica | DoorKind::Pooler => Err(SetError::NeedsPerson {
                why: format!("{}: nothing is set at a replica or a pooler", door.label),
                next: "name a server that takes writes".into(),
            }),
        }
    }

    /// Tries to log in, and asks for something: a pooler shows only then whether its server let it in.
    async fn login(&self, door: &Door, account: &str, secret: &Secret) -> Result<Answer, NoAnswer> {
        let doing = format!("logging in as {account}");
        let link = match connect(door, &self.settings.tls, account, secret).await {
            Ok(link) => link,
            Err(Failure::Refused | Failure::NoLogin) => return Ok(Answer::Refused),
            Err(failure) => return Err(no_answer(door, &doing, &failure)),
        };
        let asked = link.client.simple_query("SELECT pg_catalog.pg_backend_pid()").await;
        let messages = asked.map_err(|error| match Failure::of(&error, door.kind) {
            // The login was taken: whatever was refused now is something else.
            Failure::Refused | Failure::NoLogin => {
                no_answer(door, &doing, &Failure::lost("login refused behind it"))
            }
            failure => no_answer(door, &doing, &failure),
        })?;
        let process = messages.iter().find_map(|message| match message {
            tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0)?.parse::<i32>().ok(),
            _ => None,
        });
        if let (Some(process), DoorKind::Primary | DoorKind::Replica) = (process, door.kind) {
            let mut visits = self.visits.lock().unwrap_or_else(PoisonError::into_inner);
            visits.push_front((door.name.clone(), process));
            visits.truncate(VISITS_MAX);
        }
        link.close().await;
        Ok(Answer::Accepted)
    }

    /// Whether a session is one of our own test logins, which the server has not ended yet.
    fn is_visit(&self, door: &Door, process: i32) -> bool {
        let visits = self.visits.lock().unwrap_or_else(PoisonError::into_inner);
        visits.iter().any(|(name, visitor)| *name == door.name && *visitor == process)
    }

    async fn open_sessions(&self, door: &Door, account: &str) -> Result<Vec<Session>, SetError> {
        let admin = self.admin(door).await?;
        let (role, _) = admin.role(account).await?;
        let sessions = admin.sessions(role).await?;
        admin.close().await;
        let others = sessions.into_iter().filter(|(process, _)| !self.is_visit(door, *process));
        Ok(others.map(|(_, session)| session).collect())
    }

    /// An endpoint must let nobody in with a wrong password, and must let the account come to the question.
    async fn check_door(&self, door: &Door, account: &str) -> Result<(), SetError> {
        let person = |why: String, next: &str| SetError::NeedsPerson {
            why: format!("{}: {why}", door.label),
            next: format!("{next}, then `rotator retry`"),
        };
        let mut bytes = [0_u8; 16];
        getrandom::fill(&mut bytes)
            .map_err(|_| NoAnswer { what: "random bytes".into(), class: "no random bytes".into() })?;
        let random = Secret::from_string(data_encoding::HEXLOWER.encode(&bytes));
        match connect(door, &self.settings.tls, account, &random).await {
            Err(Failure::Refused) => Ok(()),
            // An idle account has no LOGIN: to come as far as that, the password was not looked at.
            Ok(_) | Err(Failure::NoLogin) => Err(person(
                format!("any password lets {account} in: nothing is checked there"),
                "make it check passwords (no `trust` in pg_hba.conf)",
            )),
            Err(Failure::NotLetIn) => Err(person(
                format!("pg_hba.conf does not let {account} in from here"),
                "add lines for both accounts, reload the server",
            )),
            Err(failure) => Err(no_answer(door, &format!("logging in as {account}"), &failure).into()),
        }
    }

    async fn check_idle(&self, account: &str) -> Result<(), SetError> {
        for door in self.settings.doors.iter().filter(|door| door.kind != DoorKind::Pooler) {
            let open = self.open_sessions(door, account).await?;
            if let Some(first) = open.first() {
                return Err(SetError::NoAnswer(NoAnswer {
                    what: format!(
                        "{}: the idle login {account} has {} open session(s), one from {}",
                        door.label,
                        open.len(),
                        first.client
                    ),
                    class: "busy".into(),
                }));
            }
        }
        Ok(())
    }

    /// An administrator's session that holds the role's lock; with the role's number and whether it may log in.
    async fn locked(&self, door: &Door, account: &str, lease: Lease) -> Result<(Admin, u32, bool), SetError> {
        let mut admin = self.admin(door).await?;
        if admin.user == account {
            // Administrators that rotate each other: the store has the other one by now.
            admin.close().await;
            admin = self.key.open_afresh(door, &self.settings.tls).await?;
            if admin.user == account {
                return Err(SetError::NeedsPerson {
                    why: format!("{}: the administrator {account} would change itself", door.label),
                    next: "let another administrator do it (adminRef), then `rotator retry`".into(),
                });
            }
        }
        let (role, _) = admin.role(account).await?;
        admin.lock(role, lease).await?;
        // Under the lock nobody of ours changes it any more.
        let (role, may_log_in) = admin.role(account).await?;
        Ok((admin, role, may_log_in))
    }
}

impl Backend for PostgreSql {
    fn endpoints(&self) -> &[Endpoint] {
        self.settings.endpoints()
    }

    fn locks(&self) -> bool {
        true
    }

    fn advice(&self, endpoint: &str) -> String {
        match self.settings.door(endpoint).map(|door| door.kind) {
            Some(DoorKind::Pooler) => format!(
                "make the PgBouncer {endpoint} ask the server (auth_query); with auth_file its file decides: rewrite it and RELOAD"
            ),
            Some(DoorKind::Replica) => format!("look at the replication to {endpoint}"),
            Some(DoorKind::Primary) | None => {
                format!(
                    "look for who else changes this role at {endpoint}, or for a login that PostgreSQL does not check itself"
                )
            }
        }
    }

    async fn ready(&self, account: &str, must_be_idle: bool) -> Result<(), SetError> {
        let wanted = match &self.pair {
            Some(Pair { accounts: [first, second], role }) => {
                let other = if account == first { second } else { first };
                Wanted::OneOfTwo { other, role }
            }
            None => Wanted::Only,
        };
        for door in self.settings.of_kind(DoorKind::Primary) {
            let admin = self.admin(door).await?;
            replay::check_primary(&admin, door).await?;
            account::check(&admin, door, account, &wanted).await?;
            admin.close().await;
        }
        replay::check_replicas(self).await?;
        for door in &self.settings.doors {
            self.check_door(door, account).await?;
        }
        if must_be_idle { self.check_idle(account).await } else { Ok(()) }
    }

    async fn set(
        &self,
        endpoint: &str,
        account: &str,
        accepts: &[&Secret],
        lease: Lease,
    ) -> Result<(), SetError> {
        let door = self.writable(endpoint)?;
        let [secret] = accepts else {
            return Err(SetError::NeedsPerson {
                why: format!("{}: a role has one password", door.label),
                next: "use the strategy `alternating` or `single`".into(),
            });
        };
        let (admin, _, may_log_in) = self.locked(door, account, lease).await?;
        if may_log_in && self.login(door, account, secret).await? == Answer::Accepted {
            admin.close().await;
            return Ok(());
        }
        let verifier = secret.expose(scram_sha_256);
        admin.check(lease)?;
        let (role, verifier) = (escape_identifier(account), escape_literal(&verifier));
        reach(format_args!("before alter"));
        admin.alter(&format!("ALTER ROLE {role} WITH LOGIN PASSWORD {verifier}")).await?;
        admin.close().await;
        Ok(())
    }

    async fn revoke(
        &self,
        endpoint: &str,
        account: &str,
        remaining: Option<&Secret>,
        lease: Lease,
    ) -> Result<(), SetError> {
        let door = self.writable(endpoint)?;
        let (admin, role, may_log_in) = self.locked(door, account, lease).await?;
        // With one account the old password went when the new one was set; its sessions are still there.
        if remaining.is_none() && may_log_in {
            let role = escape_identifier(account);
            reach(format_args!("before alter"));
            admin.alter(&format!("ALTER ROLE {role} WITH NOLOGIN PASSWORD NULL")).await?;
        }
        reach(format_args!("before sessions end"));
        admin.end_sessions(role, lease).await?;
        for replica in self.settings.of_kind(DoorKind::Replica) {
            replay::wait(self, replica).await?;
            let there = self.admin(replica).await?;
            // A replica has its primary's roles under the same numbers.
            there.end_sessions(role, lease).await?;
            there.close().await;
        }
        admin.close().await;
        pooler::remind(self, account).await;
        Ok(())
    }

    async fn test(&self, endpoint: &str, account: &str, secret: &Secret) -> Result<Answer, NoAnswer> {
        let door = self.door(endpoint)?;
        match door.kind {
            DoorKind::Primary => {}
            DoorKind::Replica => replay::wait(self, door).await.map_err(lost)?,
            // It may stand before any of them.
            DoorKind::Pooler => {
                for replica in self.settings.of_kind(DoorKind::Replica) {
                    replay::wait(self, replica).await.map_err(lost)?;
                }
            }
        }
        self.login(door, account, secret).await
    }

    async fn sessions(&self, endpoint: &str, account: &str) -> Result<Option<Vec<Session>>, NoAnswer> {
        let door = self.door(endpoint)?;
        match door.kind {
            DoorKind::Primary | DoorKind::Replica => {
                self.open_sessions(door, account).await.map(Some).map_err(lost)
            }
            DoorKind::Pooler => pooler::clients(self, door, account).await,
        }
    }
}

/// Where only an answer or none is possible, a right that lacks is no answer.
fn lost(error: SetError) -> NoAnswer {
    match error {
        SetError::NoAnswer(lost) => lost,
        SetError::NeedsPerson { why, .. } | SetError::Rejected(why) => {
            NoAnswer { what: why, class: "denied".into() }
        }
    }
}
