//! Replicas: which server they follow, and whether they have replayed what it wrote.

use std::time::{Duration, Instant};

use super::PostgreSql;
use super::admin::{Admin, no_answer};
use super::failure::Failure;
use super::settings::{Door, DoorKind};
use crate::rotation::context::SetError;

/// A replica is some tenths of a second behind; one that is further behind is asked again later.
const WAIT_MAX: Duration = Duration::from_secs(8);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(20);
const DOING: &str = "look at replication";
/// Names a cluster of servers: the same on a primary and all that follow it.
const SYSTEM: &str = "SELECT system_identifier FROM pg_catalog.pg_control_system()";

/// A primary must take writes.
pub(super) async fn check_primary(admin: &Admin, door: &Door) -> Result<(), SetError> {
    let sql = "SELECT pg_catalog.pg_is_in_recovery()";
    if admin.value(DOING, sql, &[]).await? == Some(true) {
        // After a switch of primaries the address points elsewhere soon.
        return Err(no_answer(
            door,
            "asking for a server that takes writes",
            &Failure::lost("read-only server"),
        )
        .into());
    }
    Ok(())
}

/// Every replica must follow one of the primaries: elsewhere a change would never arrive.
pub(super) async fn check_replicas(target: &PostgreSql) -> Result<(), SetError> {
    let mut systems: Vec<i64> = Vec::new();
    if target.settings.of_kind(DoorKind::Replica).next().is_none() {
        return Ok(());
    }
    for door in target.settings.of_kind(DoorKind::Primary) {
        systems.extend(system(target, door).await?);
    }
    for door in target.settings.of_kind(DoorKind::Replica) {
        if system(target, door).await?.is_none_or(|system| !systems.contains(&system)) {
            return Err(SetError::NeedsPerson {
                why: format!("{} follows none of the target's servers", door.label),
                next: "correct its address, or name its primary too, then `rotator retry`".into(),
            });
        }
    }
    Ok(())
}

async fn system(target: &PostgreSql, door: &Door) -> Result<Option<i64>, SetError> {
    let admin = target.admin(door).await?;
    let system = admin.value(DOING, SYSTEM, &[]).await?;
    admin.close().await;
    Ok(system)
}

/// Waits until a replica has replayed all that its primary has written by now.
pub(super) async fn wait(target: &PostgreSql, replica: &Door) -> Result<(), SetError> {
    let there = target.admin(replica).await?;
    let followed: Option<i64> = there.value(DOING, SYSTEM, &[]).await?;
    for door in target.settings.of_kind(DoorKind::Primary) {
        let admin = target.admin(door).await?;
        let system: Option<i64> = admin.value(DOING, SYSTEM, &[]).await?;
        let sql = "SELECT pg_catalog.pg_current_wal_flush_lsn()::text";
        let written: Option<String> =
            if system == followed { admin.value(DOING, sql, &[]).await? } else { None };
        admin.close().await;
        if let Some(written) = written {
            replayed(&there, replica, &written).await?;
        }
    }
    there.close().await;
    Ok(())
}

async fn replayed(there: &Admin, replica: &Door, written: &str) -> Result<(), SetError> {
    let sql = "SELECT NOT pg_catalog.pg_is_in_recovery() \
         OR pg_catalog.pg_last_wal_replay_lsn() >= $1::text::pg_catalog.pg_lsn";
    let start = Instant::now();
    while there.value(DOING, sql, &[&written]).await? != Some(true) {
        if start.elapsed() > WAIT_MAX {
            let behind = Failure::lost("the replica is behind");
            return Err(no_answer(replica, "waiting for replay", &behind).into());
        }
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}
