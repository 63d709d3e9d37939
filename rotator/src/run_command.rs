//! `rotator run`: stays, and does what `sync` and `rotate` do, again and again, until it is told to stop.
//!
//! Manifests are read anew each time; while they have a mistake the round is left out and the mistake is named. Of
//! several that run, one leads. SIGTERM ends it: what is under way gets a moment to finish, and what does not is
//! gone on with by the next one.

use std::io::Write;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use jiff::Timestamp;
use shared::exit::Exit;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};

use crate::cli::{RunArgs, SyncArgs};
use crate::controller;
use crate::manifest::Manifests;
use crate::manifest::cluster::read as read_cluster;
use crate::metrics::{self, Metrics};
use crate::provider::Provider;
use crate::rotate_command::{self, Means, Occasion};
use crate::rotation::leader;
use crate::rotation::production::Keys;
use crate::rotation::system::{holder, is_gone};
use crate::runner::{self, Synced};
use crate::seal_command::SealArgs;
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

/// What is said where Rotations cannot be driven.
const WITHOUT_KEYS: &str =
    "error: nothing was rotated: give --fingerprint-key, --receipt-key and --receipts\n";

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
    let metrics = Arc::new(Metrics::new(args.exemplars));
    if let Some(address) = args.listen {
        let bound = metrics::serve(address, Arc::clone(&metrics)).await.map_err(anyhow::Error::msg)?;
        writeln!(out, "metrics at http://{bound}/metrics").and_then(|()| out.flush())?;
    }
    let target = runner::open_target(&args.target).await?;
    let (stopping, stopped) = watch::channel(false);
    let (say, mut heard) = mpsc::unbounded_channel();
    let settings = controller_settings(args, &target, &metrics).await?;
    let controls = async {
        match &settings {
            Some(settings) => controller::run(settings, stopped.clone(), say.clone()).await,
            // Without a cluster there is nothing to follow.
            None => stop_of(stopped.clone()).await,
        }
    };
    let rounds = Rounds { args, target: &target, metrics: &metrics, holder: holder() };
    let work = async { futures::join!(controls, rounds.again_and_again(stopped.clone(), &say)) };
    let mut work = pin!(work);
    let mut is_stopping = false;
    loop {
        tokio::select! {
            _ = &mut work => break,
            () = stop.come(), if !is_stopping => {
                is_stopping = true;
                // Both sides listen until they end.
                let _ = stopping.send(true);
            }
            Some(line) = heard.recv() => write_line(out, &line)?,
        }
    }
    while let Ok(line) = heard.try_recv() {
        write_line(out, &line)?;
    }
    rounds.leave().await;
    writeln!(out, "stopped").context("standard output is gone")?;
    Ok(Exit::Done)
}

fn write_line(out: &mut dyn Write, line: &str) -> anyhow::Result<()> {
    writeln!(out, "{}", line.trim_end()).and_then(|()| out.flush()).context("standard output is gone")
}

async fn stop_of(mut stopped: watch::Receiver<bool>) {
    while !*stopped.borrow() {
        if stopped.changed().await.is_err() {
            return;
        }
    }
}

/// The controller of a cluster's ExternalSecrets, if they are what is run.
async fn controller_settings(
    args: &RunArgs,
    target: &Target,
    metrics: &Arc<Metrics>,
) -> anyhow::Result<Option<controller::Settings>> {
    if !args.source.cluster {
        return Ok(None);
    }
    let Some(client) = target.client().cloned() else {
        anyhow::bail!("with --cluster Secrets go to the cluster; write --target cluster");
    };
    // The definitions must be there before anything is followed.
    read_cluster(&client, args.namespace.as_deref()).await?;
    if args.adopt {
        controller::adopt::check(&client).await.map_err(anyhow::Error::msg)?;
    }
    let audit = controller::audit_of(args.audit.as_ref()).map_err(anyhow::Error::msg)?;
    Ok(Some(controller::Settings {
        client,
        namespace: args.namespace.clone(),
        adopt: args.adopt,
        concurrency: usize::from(args.concurrency),
        audit,
        metrics: Arc::clone(metrics),
        holder: holder(),
    }))
}

struct Rounds<'a> {
    args: &'a RunArgs,
    target: &'a Target,
    metrics: &'a Metrics,
    holder: String,
}

impl Rounds<'_> {
    /// One round after another, until it is told to stop.
    async fn again_and_again(&self, mut stopped: watch::Receiver<bool>, say: &mpsc::UnboundedSender<String>) {
        let mut last = String::new();
        while !*stopped.borrow() {
            let said = {
                let mut round = pin!(self.one());
                tokio::select! {
                    said = &mut round => Some(said),
                    () = stop_of(stopped.clone()) => tokio::time::timeout(GOODBYE, round).await.ok(),
                }
            };
            if !self.args.source.cluster {
                self.metrics.turned(true);
            }
            // The same words each minute would hide the ones that are new.
            if let Some(said) = said.filter(|said| *said != last) {
                if !said.is_empty() {
                    // Who listens ends only together with this.
                    let _ = say.send(said.clone());
                }
                last = said;
            }
            if !*stopped.borrow() {
                tokio::select! {
                    () = tokio::time::sleep(self.args.interval.0.max(Duration::from_secs(1))) => {}
                    _ = stopped.changed() => {}
                }
            }
        }
    }

    /// Whether there is nothing to do in rounds: the ExternalSecrets of a cluster are the controller's, and whoever
    /// serves one namespace without keys turns nothing, and may not read other namespaces.
    fn is_idle(&self) -> bool {
        self.args.source.cluster && self.args.namespace.is_some() && self.args.fingerprint_key.is_none()
    }

    /// One round, and what is to be said of it.
    async fn one(&self) -> String {
        if self.is_idle() {
            return String::new();
        }
        let source = match read(&self.args.source).await {
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
        // ExternalSecrets of a cluster are the controller's.
        if !self.args.source.cluster {
            self.sync(&mut said).await;
        }
        self.rotate(&source, &mut said).await;
        String::from_utf8_lossy(&said).into_owned()
    }

    async fn sync(&self, said: &mut Vec<u8>) {
        let drive = self.args;
        let sync = SyncArgs {
            source: drive.source.clone(),
            namespace: None,
            target: drive.target.clone(),
            now: false,
            audit: drive.audit.clone(),
            concurrency: drive.concurrency,
            seal: SealArgs::default(),
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
        let drive = self.args;
        let (Some(fingerprint_key), Some(receipt_key), Some(receipts)) =
            (drive.fingerprint_key.clone(), drive.receipt_key.clone(), drive.receipts.clone())
        else {
            if !source.manifests.rotations.is_empty() {
                said.extend_from_slice(WITHOUT_KEYS.as_bytes());
            }
            return;
        };
        let keys = Keys { fingerprint_key, receipt_key, receipts };
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
        if self.is_idle() {
            return;
        }
        let Ok(Read::Usable(source)) = read(&self.args.source).await else { return };
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
