//! PgBouncer: whose clients are still connected, and what a person can do about them.

use tokio_postgres::SimpleQueryMessage;

use super::PostgreSql;
use super::admin::no_answer;
use super::failure::Failure;
use super::settings::{Door, DoorKind};
use crate::rotation::context::{NoAnswer, Session};

/// The database that PgBouncer answers itself.
const CONSOLE: &str = "pgbouncer";

/// Clients that are logged in as the account; `None` when the console does not let the administrator in.
pub(super) async fn clients(
    target: &PostgreSql,
    door: &Door,
    account: &str,
) -> Result<Option<Vec<Session>>, NoAnswer> {
    let console = Door { database: CONSOLE.to_owned(), ..door.clone() };
    let Some(link) = target.key.visit(&console, &target.settings.tls).await else { return Ok(None) };
    let asked = link.client.simple_query("SHOW CLIENTS").await;
    link.close().await;
    let lost = |_| no_answer(door, "listing clients", &Failure::lost("console"));
    let messages = asked.map_err(lost)?;
    let rows = messages.iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) if row.try_get("user").ok().flatten() == Some(account) => Some(row),
        _ => None,
    });
    let address = |row: &tokio_postgres::SimpleQueryRow| {
        let text = |name| row.try_get(name).ok().flatten().unwrap_or("unknown").to_owned();
        Session { client: format!("{}:{}", text("addr"), text("port")) }
    };
    Ok(Some(rows.map(address).collect()))
}

/// Says which PgBouncers still have clients of a login that was ended. Ending them is theirs to decide: KILL ends
/// all clients of a database, of other logins too.
pub(super) async fn remind(target: &PostgreSql, account: &str) {
    for door in target.settings.of_kind(DoorKind::Pooler) {
        if let Ok(Some(open)) = clients(target, door, account).await
            && !open.is_empty()
        {
            tracing::warn!(
                pooler = %door.label,
                %account,
                clients = open.len(),
                "clients of a login that was ended are still connected; \
                 KILL and RESUME of their database on PgBouncer's console ends them"
            );
        }
    }
}
