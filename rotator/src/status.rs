//! `rotator status`: where every credential and every Secret stands, how old it is, and who still uses the one before.
//!
//! Nothing is changed, synced or restarted: journals are read, metadata of paths, and lists of sessions.

use std::io::Write;

use futures::{StreamExt as _, stream};
use jiff::Timestamp;
use shared::exit::Exit;
use shared::journal::{Phase, Record};

use crate::cli::{StatusArgs, StatusFormat};
use crate::manifest::Manifests;
use crate::manifest::external_secret::ExternalSecretSpec;
use crate::manifest::object::Object;
use crate::manifest::rotation::RotationSpec;
use crate::provider::{Provider, VersionState};
use crate::rotate_command::select;
use crate::rotation::context::{Backend, Journal as _};
use crate::rotation::discovered;
use crate::rotation::freeze;
use crate::rotation::production::open_backend;
use crate::rotation::resolve::{Resolved, resolve};
use crate::rotation::spec::Strategy;
use crate::rotation::stored::StoredJournal;
use crate::runner;
use crate::source::{Source, read_or_say, runtime};
use crate::sync::objects::Objects;
use crate::sync::stores::Stores;
use crate::target::Target;

pub mod line;
pub mod page;
pub mod secret;
pub mod table;

use line::{Facts, Line, OldSession, Report, printable};
use secret::{Facts as SecretFacts, SecretLine};

/// How many Rotations are asked about at once.
const CONCURRENCY: usize = 16;
/// A target with more sessions than this is shown with these and no more.
const SESSIONS_MAX: usize = 100;

/// Says where each Rotation stands.
///
/// # Errors
/// When the configuration cannot be used or output cannot be written.
pub fn run(args: &StatusArgs, out: &mut dyn Write) -> anyhow::Result<Exit> {
    let runtime = runtime()?;
    let report = runtime.block_on(async {
        let Some(source) = read_or_say(&args.source).await? else { return Ok(None) };
        let target = match &args.target {
            Some(name) => Some(runner::open_target(name).await?),
            None => None,
        };
        report(&source, &args.names, target.as_ref()).await.map(Some)
    });
    runtime.shutdown_background();
    let Some(report) = report? else { return Ok(Exit::Usage) };
    match args.format {
        StatusFormat::Table => table::write(&report, out)?,
        StatusFormat::Json => {
            serde_json::to_writer_pretty(&mut *out, &report)?;
            writeln!(out)?;
        }
        StatusFormat::Html => page::write(&report, out)?,
    }
    Ok(report.exit())
}

/// Everything that is known now about the Rotations and ExternalSecrets of these names (all, if none is named).
/// ExternalSecrets of files are looked for at the target.
///
/// # Errors
/// When a name is none of theirs.
pub async fn report(source: &Source, names: &[String], target: Option<&Target>) -> anyhow::Result<Report> {
    let manifests = &source.manifests;
    let is_secret = |name: &str| {
        let named = |full: &str| full == name || full.split_once('/').is_some_and(|(_, short)| short == name);
        manifests.external_secrets.iter().any(|object| named(&object.full_name()))
            || manifests.unreadable_external_secrets.iter().any(|(full, _)| named(full))
    };
    let rotations: Vec<String> = names.iter().filter(|name| !is_secret(name)).cloned().collect();
    let selected = if rotations.is_empty() && !names.is_empty() {
        // An ExternalSecret and a Rotation may have one name.
        let of = |object: &&Object<RotationSpec>| names.contains(&object.full_name());
        manifests.rotations.iter().filter(of).collect()
    } else {
        select(manifests, &rotations).map_err(|error| {
            let text = error.to_string();
            anyhow::Error::msg(text.replace("no such Rotation;", "no such Rotation or ExternalSecret;"))
        })?
    };
    let stores = Stores::new(manifests, Objects::new(manifests, source.client.clone()));
    let now = Timestamp::now();
    let mut lines: Vec<(usize, Line)> = stream::iter(selected.into_iter().enumerate())
        .map(|(index, object)| {
            let stores = &stores;
            async move { (index, one(object, manifests, stores, now).await) }
        })
        .buffer_unordered(CONCURRENCY)
        .collect()
        .await;
    stores.close().await;
    lines.sort_by_key(|(index, _)| *index);
    let secrets = secrets(manifests, names, target, now).await;
    Ok(Report::new(now, lines.into_iter().map(|(_, line)| line).collect(), secrets))
}

async fn secrets(
    manifests: &Manifests,
    names: &[String],
    target: Option<&Target>,
    now: Timestamp,
) -> Vec<SecretLine> {
    let wanted = |full: &str| {
        let short = full.split_once('/').map_or(full, |(_, short)| short);
        names.is_empty() || names.iter().any(|name| name == full || name == short)
    };
    let mut lines = Vec::new();
    for object in manifests.external_secrets.iter().filter(|object| wanted(&object.full_name())) {
        let facts = match (manifests.external_secret_status.get(&object.full_name()), target) {
            (Some(status), _) => SecretFacts::Reported(status.clone()),
            (None, Some(target)) => at(target, object).await,
            (None, None) => SecretFacts::Nothing,
        };
        lines.push(SecretLine::of(object, &facts, now));
    }
    for (full, problems) in manifests.unreadable_external_secrets.iter().filter(|(full, _)| wanted(full)) {
        lines.push(SecretLine::unreadable(full.clone(), problems));
    }
    lines.sort_by(|left, right| left.external_secret.cmp(&right.external_secret));
    lines
}

/// What lies where the Secret of an ExternalSecret should.
async fn at(target: &Target, object: &Object<ExternalSecretSpec>) -> SecretFacts {
    let name = object.spec.target_name(object.name());
    let written_at = match target {
        Target::Folder(folder) => folder.written_at(object.namespace(), name),
        Target::Cluster(_) | Target::Sealed(_) | Target::Planned(_) => None,
    };
    if let Target::Folder(folder) = target
        && let Ok(Some(text)) = folder.text(object.namespace(), name)
        && text.contains("\nkind: SealedSecret\n")
    {
        // What is in it only the controller knows.
        return SecretFacts::Found { intact: Some(true), written_at };
    }
    match target.read(object.namespace(), name).await {
        Ok(found) => SecretFacts::Found { intact: found.map(|secret| secret.is_intact()), written_at },
        Err(error) => SecretFacts::Unknown(error.to_string()),
    }
}

async fn one(
    object: &Object<RotationSpec>,
    manifests: &Manifests,
    stores: &Stores<'_>,
    now: Timestamp,
) -> Line {
    match facts(object, manifests, stores).await {
        Ok(facts) => Line::of(object, &facts, now),
        Err(why) => Line::unreadable(object, why),
    }
}

async fn facts(
    object: &Object<RotationSpec>,
    manifests: &Manifests,
    stores: &Stores<'_>,
) -> Result<Facts, String> {
    let resolved = resolve(object, manifests)
        .map_err(|problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))?;
    let publish = &object.spec.publish;
    let store =
        stores.open(&publish.store_ref, object.namespace()).await.map_err(|error| error.to_string())?;
    let provider = store.provider();
    let journal = StoredJournal::new(provider.clone(), object.namespace(), object.name());
    let record = journal.load().await.map_err(|error| error.to_string())?.map(|(_, record)| record);
    let frozen = freeze::read(provider).await.map_err(|lost| lost.to_string())?;
    let path_written_at = written_at(provider, &publish.key).await;
    let consumers = discovered::names(object, manifests);
    let external = resolved.spec.external.clone();
    let schedule = resolved.schedule.clone();
    let (sessions, sessions_unknown) = match &record {
        Some(record) => sessions(object, resolved, stores, record).await,
        None => (Vec::new(), None),
    };
    Ok(Facts { record, schedule, frozen, path_written_at, consumers, external, sessions, sessions_unknown })
}

/// When the path was last written, where the store keeps that.
async fn written_at(provider: &Provider, key: &str) -> Option<Timestamp> {
    let metadata = provider.metadata(key).await.ok()?;
    match metadata.versions.get(&metadata.current_version)? {
        VersionState::Live { created_time } => created_time.parse().ok(),
        VersionState::Deleted { .. } | VersionState::Destroyed => None,
    }
}

/// The account whose sessions matter: the old one while it is to go, the idle one while it is not idle.
fn account_in_question(record: &Record, strategy: &Strategy) -> Option<String> {
    let Strategy::Alternating { .. } = strategy else { return None };
    let current = record.current.as_ref().map(|current| current.slot.as_str());
    match &record.phase {
        Phase::Published { .. } | Phase::Spread { .. } | Phase::Revoked { .. } => current.map(str::to_owned),
        Phase::Planned => Some(strategy.next_slot(current).to_owned()),
        Phase::Staged { .. }
        | Phase::Applied { .. }
        | Phase::Tested { .. }
        | Phase::Proven { .. }
        | Phase::Aborting { .. }
        | Phase::Aborted { .. }
        | Phase::Adopted { .. } => None,
    }
}

async fn sessions(
    object: &Object<RotationSpec>,
    resolved: Resolved,
    stores: &Stores<'_>,
    record: &Record,
) -> (Vec<OldSession>, Option<String>) {
    let Some(account) = account_in_question(record, &resolved.spec.strategy) else {
        return (Vec::new(), None);
    };
    let backend = match open_backend(object, &resolved.spec.strategy, resolved.backend, stores).await {
        Ok(backend) => backend,
        Err(error) => return (Vec::new(), Some(error.to_string())),
    };
    let mut all = Vec::new();
    for endpoint in backend.endpoints() {
        match backend.sessions(&endpoint.name, &account).await {
            Ok(Some(open)) => all.extend(open.into_iter().map(|session| OldSession {
                endpoint: endpoint.name.clone(),
                account: account.clone(),
                client: printable(&session.client),
            })),
            Ok(None) => {}
            Err(lost) => return (all, Some(lost.to_string())),
        }
        if all.len() > SESSIONS_MAX {
            all.truncate(SESSIONS_MAX);
            return (all, Some(format!("more than {SESSIONS_MAX} are open")));
        }
    }
    (all, None)
}
