//! `rotator run`: stays, and does what `sync` and `rotate` do, again and again, until it is told to stop.
//!
//! Manifests are read anew each time; while they have a mistake the round is left out and the mistake is named. Of
//! several that run, one leads. SIGTERM ends it: what is under way gets a moment to finish, and what does not is
//! gone on with by the next one.

use std::io::Write;
use std::pin::pin;
use std::time::Duration;

use anyhow::Context as _;
use jiff::Timestamp;
use shared::exit::Exit;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::cli::{RunArgs, SyncArgs};
use crate::manifest::Manifests;
use crate::provider::Provider;
use crate::rotate_command::{self, Means, Occasion};
use crate::rotation::leader;
use crate::rotation::production::Keys;
use crate::rotation::system::{holder, is_gone};
use crate::runner::{self, Synced};
use crate::source::{Read, Source, read};
use crate::sync::objects::Objects;
use crate::sync::stores::Stores;
use crate::target::Target;

/// A leader that misses two rounds is no leader any more.
const LEASE_ROUNDS: u32 = 3;
/// At least this long, however short the rounds are: a step may take half a minute.
const LEASE_MIN: Duration = Duration::from_secs(60);
/// How long a round under way may go on after SIGTERM; Kubernetes kills after 30 s by default.
const GOODBYE: Duration = Duration::from_secs(20);

/// Runs until SIGTERM or SIGINT.
///
/// # Errors
/// When it cannot be started or standard output is gone.
pub fn run(args: &RunArgs, out: &mut dyn Write) -> anyhow::Result<Exit> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let exit = runtime.block_on(stay(args, out));
    runtime.shutdown_background();
    exit
}

struct Stop {
    terminate: Signal,
    interrupt: Signal,
}

impl Stop {
    fn new() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("cannot listen to signals");
        Ok(Self { terminate: listen(SignalKind::terminate())?, interrupt: listen(SignalKind::interrupt())? })
    }

    async fn come(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

async fn stay(args: &RunArgs, out: &mut dyn Write) -> anyhow::Result<Exit> {
    let mut stop = Stop::new()?;
    let target = runner::open_target(&args.drive.target).await?;
    let rounds = Rounds { args, target: &target, holder: holder() };
    let mut last = String::new();
    loop {
        let mut stopped = false;
        let said = {
            let mut round = pin!(rounds.one());
            tokio::select! {
                said = &mut round => Some(said),
                () = stop.come() => {
                    stopped = true;
                    tokio::time::timeout(GOODBYE, round).await.ok()
                }
            }
        };
        // The same words each minute would hide the ones that are new.
        if let Some(said) = said.filter(|said| *said != last) {
            out.write_all(said.as_bytes()).and_then(|()| out.flush()).context("standard output is gone")?;
            last = said;
        }
        if !stopped {
            tokio::select! {
                () = tokio::time::sleep(args.interval.0.max(Duration::from_secs(1))) => {}
                () = stop.come() => stopped = true,
            }
        }
        if stopped {
            rounds.leave().await;
            writeln!(out, "stopped").context("standard output is gone")?;
            return Ok(Exit::Done);
        }
    }
}

struct Rounds<'a> {
    args: &'a RunArgs,
    target: &'a Target,
    holder: String,
}

impl Rounds<'_> {
    /// One round, and what is to be said of it.
    async fn one(&self) -> String {
        let source = match read(&self.args.drive.source).await {
            Ok(Read::Usable(source)) => source,
            Ok(Read::Mistakes(problems)) => {
                let lines: Vec<String> =
                    problems.iter().map(|problem| format!("error: {problem}\n")).collect();
                return format!("{}error: this round was left out; correct the manifests\n", lines.concat());
            }
            Err(error) => return format!("error: this round was left out: {error:#}\n"),
        };
        match self.lead(&source).await {
            Ok(true) => {}
            Ok(false) => return "another rotator leads\n".to_owned(),
            Err(why) => return format!("error: nobody knows who leads: {why}\n"),
        }
        let mut said = Vec::new();
        self.sync(&mut said).await;
        self.rotate(&source, &mut said).await;
        String::from_utf8_lossy(&said).into_owned()
    }

    async fn sync(&self, said: &mut Vec<u8>) {
        let drive = &self.args.drive;
        let sync = SyncArgs {
            source: drive.source.clone(),
            namespace: None,
            target: drive.target.clone(),
            now: false,
            concurrency: drive.concurrency,
        };
        let written = match runner::sync_once(&sync).await {
            Ok(Synced::Round { summary, target }) => summary.write(&target, false, said),
            Ok(Synced::Problems(_)) => Ok(()),
            Ok(Synced::NotDone(why)) => {
                writeln!(said, "error: nothing was synced: {why}")
            }
            Err(error) => writeln!(said, "error: nothing was synced: {error:#}"),
        };
        // Memory takes every line.
        written.unwrap_or_default();
    }

    async fn rotate(&self, source: &Source, said: &mut Vec<u8>) {
        let drive = &self.args.drive;
        let keys = Keys {
            fingerprint_key: drive.fingerprint_key.clone(),
            receipt_key: drive.receipt_key.clone(),
            receipts: drive.receipts.clone(),
        };
        // A round does not wait for what only takes time: the next one comes.
        let wait = drive.wait.0.min(self.args.interval.0);
        let concurrency = usize::from(drive.concurrency);
        let means = Means { target: self.target, keys: &keys, wait, concurrency };
        let written = match rotate_command::rotate(source, &[], &Occasion::Due, &means).await {
            Ok(standings) => rotate_command::write(&standings, said),
            Err(error) => writeln!(said, "error: nothing was rotated: {error:#}").map_err(Into::into),
        };
        written.unwrap_or_default();
    }

    async fn lead(&self, source: &Source) -> Result<bool, String> {
        let manifests = &source.manifests;
        let client = source.client.as_ref().or(self.target.client()).cloned();
        let stores = Stores::new(manifests, Objects::new(manifests, client));
        let leads = match provider(manifests, &stores).await? {
            // Nothing to rotate: syncs of two rotators do not harm each other.
            None => Ok(true),
            Some(provider) => {
                let length = (self.args.interval.0 * LEASE_ROUNDS).max(LEASE_MIN);
                leader::take(&provider, &self.holder, is_gone, Timestamp::now(), length).await
            }
        };
        stores.close().await;
        leads
    }

    /// The next one need not wait for the end of the lease.
    async fn leave(&self) {
        let Ok(Read::Usable(source)) = read(&self.args.drive.source).await else { return };
        let manifests = &source.manifests;
        let client = source.client.as_ref().or(self.target.client()).cloned();
        let stores = Stores::new(manifests, Objects::new(manifests, client));
        if let Ok(Some(provider)) = provider(manifests, &stores).await
            && let Err(why) = leader::give_back(&provider, &self.holder, Timestamp::now()).await
        {
            tracing::warn!(%why, "the lead was not given back; it ends by itself");
        }
        stores.close().await;
    }
}

/// The store of the first Rotation by name: the same for all who have the same manifests.
async fn provider(manifests: &Manifests, stores: &Stores<'_>) -> Result<Option<Provider>, String> {
    let Some(first) = manifests.rotations.iter().min_by_key(|object| object.full_name()) else {
        return Ok(None);
    };
    let opened = stores.open(&first.spec.publish.store_ref, first.namespace()).await;
    opened.map(|store| Some(store.provider().clone())).map_err(|error| error.to_string())
}
