//! `rotator plan` and `rotator apply`: what a run would do, on paper first; then exactly that, or nothing. With a target
//! also what a sync would write there.
//!
//! A plan holds names, paths and statements and no value. It says on what it was founded: the version of each
//! journal and published path, and a hash of the manifests that matter. `apply` looks again, and refuses a plan
//! whose ground has moved.

use std::io::{Read as _, Write};

use anyhow::Context as _;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;
use shared::exit::Exit;
use shared::journal::Trigger;

use crate::cli::{ApplyArgs, PlanArgs};
use crate::manifest::Manifests;
use crate::orders::actor;
use crate::rotate_command::{Occasion, select};
use crate::runner;
use crate::source::{Source, read_or_say, runtime};
use crate::sync::objects::Objects;
use crate::sync::stores::Stores;
use crate::target::{Target, TargetName};

pub mod entry;
pub mod secrets;
pub mod text;

use entry::{Action, Entry, Plan, entry};

/// A plan of ten thousand Rotations is smaller.
const PLAN_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// How many Rotations are asked about at once.
const CONCURRENCY: usize = 16;

/// Says what a run would do now.
///
/// # Errors
/// When the configuration cannot be used or the plan cannot be written.
pub fn plan(args: &PlanArgs, out: &mut dyn Write) -> anyhow::Result<Exit> {
    let runtime = runtime()?;
    let entries = runtime.block_on(async {
        let Some(source) = read_or_say(&args.source).await? else { return anyhow::Ok(None) };
        // Only a cluster has anything to be asked.
        let target = match &args.target {
            Some(cluster @ TargetName::Cluster) => Some(runner::open_target(cluster).await?),
            Some(TargetName::Folder(_)) | None => None,
        };
        let client = target.as_ref().and_then(Target::client);
        let names: Vec<String> =
            args.names.iter().filter(|name| !is_secret(&source.manifests, name)).cloned().collect();
        let entries = if names.is_empty() && !args.names.is_empty() {
            Ok(Vec::new())
        } else {
            entries(&source, &names, client, args.now).await
        };
        let secrets = match &args.target {
            None => None,
            Some(name) => {
                let target = runner::open_target(name).await?;
                Some(secrets::reports(&source, args, target).await.map_err(anyhow::Error::msg)?)
            }
        };
        Ok(Some((entries, secrets)))
    });
    runtime.shutdown_background();
    let Some((entries, secrets)) = entries? else { return Ok(Exit::Usage) };
    let entries = match entries {
        Ok(entries) => entries,
        Err(why) => {
            writeln!(std::io::stderr().lock(), "error: nothing was planned: {why}")?;
            return Ok(Exit::Blocked);
        }
    };
    let plan = Plan::new(Timestamp::now(), entries);
    if secrets.is_none() || !plan.rotations.is_empty() {
        text::write(&plan, out)?;
    }
    if let Some(secrets) = secrets.filter(|secrets| !secrets.is_empty()) {
        secrets::write(&secrets, out)?;
    }
    if let Some(path) = &args.out {
        let json = serde_json::to_vec_pretty(&plan).context("the plan has no JSON form")?;
        let shown = path.display();
        std::fs::write(path, json).with_context(|| format!("{shown}: cannot be written"))?;
        writeln!(out, "written to {shown}; `rotator apply {shown}` does exactly this, or nothing")?;
    }
    Ok(Exit::Done)
}

/// Does what a plan says, if everything still is as it was when it was made.
///
/// # Errors
/// When the configuration or the plan cannot be used, or output cannot be written.
pub fn apply(args: &ApplyArgs, out: &mut dyn Write) -> anyhow::Result<Exit> {
    let plan = read(&args.plan)?;
    let acting: Vec<&Entry> = plan.rotations.iter().filter(|e| e.action != Action::Nothing).collect();
    if acting.is_empty() {
        writeln!(out, "the plan has nothing to do")?;
        return Ok(Exit::Done);
    }
    let names: Vec<String> = acting.iter().map(|entry| entry.rotation.clone()).collect();
    let runtime = runtime()?;
    let now = runtime.block_on(async {
        let Some(source) = read_or_say(&args.drive.source).await? else { return anyhow::Ok(None) };
        Ok(Some(entries(&source, &names, None, true).await))
    });
    runtime.shutdown_background();
    let Some(now) = now? else { return Ok(Exit::Usage) };
    let now = match now {
        Ok(entries) => entries,
        Err(why) => {
            writeln!(std::io::stderr().lock(), "error: nothing was done: {why}")?;
            return Ok(Exit::Blocked);
        }
    };
    let mut stale = false;
    for (planned, found) in acting.iter().zip(&now) {
        if let Some(why) = planned.moved(found) {
            stale = true;
            writeln!(std::io::stderr().lock(), "error: {}: the plan is stale: {why}", planned.rotation)?;
        }
    }
    if stale {
        writeln!(std::io::stderr().lock(), "error: nothing was done; make a new plan: rotator plan")?;
        return Ok(Exit::Blocked);
    }
    let of = |action: Action| -> Vec<String> {
        acting.iter().filter(|entry| entry.action == action).map(|entry| entry.rotation.clone()).collect()
    };
    let mut exits = Vec::new();
    let started = Occasion::Now(Trigger::Manual { actor: actor() });
    for (names, occasion) in [(of(Action::Resume), &Occasion::None), (of(Action::Start), &started)] {
        if !names.is_empty() {
            exits.push(runner::drive(&args.drive, &names, occasion, out)?);
        }
    }
    // For the rotator, unlike the scanner, a person who is needed outweighs what is merely not done yet.
    let weight = |exit: &Exit| if *exit == Exit::Incomplete { 2 } else { i32::from(*exit != Exit::Done) };
    Ok(exits.into_iter().max_by_key(weight).unwrap_or(Exit::Done))
}

/// What would be done for each of these names (all, if none is named), in the order of the names.
async fn entries(
    source: &Source,
    names: &[String],
    cluster: Option<&kube::Client>,
    now: bool,
) -> Result<Vec<Entry>, String> {
    let manifests = &source.manifests;
    let selected = select(manifests, names).map_err(|error| error.to_string())?;
    let stores = Stores::new(manifests, Objects::new(manifests, source.client.clone()));
    let entries: Result<Vec<Entry>, String> = stream::iter(selected)
        .map(|object| entry(object, manifests, &stores, cluster, now))
        .buffered(CONCURRENCY)
        .try_collect()
        .await;
    stores.close().await;
    entries
}

/// Whether a name is an ExternalSecret's and no Rotation's.
fn is_secret(manifests: &Manifests, name: &str) -> bool {
    let named = |full: String| full == name || full.split_once('/').is_some_and(|(_, short)| short == name);
    manifests.external_secrets.iter().any(|object| named(object.full_name()))
        && !manifests.rotations.iter().any(|object| named(object.full_name()))
}

fn read(path: &std::path::Path) -> anyhow::Result<Plan> {
    let shown = path.display();
    let mut json = Vec::new();
    let file = std::fs::File::open(path).with_context(|| format!("{shown}: cannot be read"))?;
    file.take(PLAN_BYTES_MAX).read_to_end(&mut json).with_context(|| format!("{shown}: cannot be read"))?;
    let plan: Plan = serde_json::from_slice(&json)
        .map_err(|_| anyhow::anyhow!("{shown}: this is no plan; make one: rotator plan --out FILE"))?;
    anyhow::ensure!(plan.is_readable(), "{shown}: the plan is of a newer program; make a new one");
    Ok(plan)
}
