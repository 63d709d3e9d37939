//! The commands: each joins the stages and says how it ended.

use std::fs::File;
use std::io::{IsTerminal as _, Write};
use std::os::fd::AsFd as _;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use kube::CustomResourceExt;
use shared::clock::{Clock as _, SystemClock};
use shared::exit::Exit;
use shared::journal::Trigger;

use crate::cli::{CheckArgs, DriveArgs, RotateArgs, SyncArgs};
use crate::controller::audit_of;
use crate::manifest::Manifests;
use crate::manifest::check::check as check_manifests;
use crate::manifest::cluster::{ClusterReadError, Live, read as read_cluster};
use crate::manifest::external_secret::{ClusterExternalSecret, ExternalSecret, ExternalSecretSpec};
use crate::manifest::load::load;
use crate::manifest::object::Object;
use crate::manifest::problem::Problem;
use crate::manifest::rotation::{ClusterRotationTarget, Rotation};
use crate::manifest::store::{ClusterSecretStore, SecretStore};
use crate::orders::actor;
use crate::rotate_command::{self, Means, Occasion};
use crate::rotation::production::Keys;
use crate::seal_command::SealArgs;
use crate::source::{read_or_say, runtime};
use crate::store_command::{self, StoreArgs, Streams};
use crate::sync::events::Events;
use crate::sync::objects::Objects;
use crate::sync::outcome::Summary;
use crate::sync::stores::Stores;
use crate::sync::{Round, Wanted, many, store_status};
use crate::target::cluster::Cluster;
use crate::target::folder::Folder;
use crate::target::sealed::SealedFolder;
use crate::target::{Target, TargetName};

/// Longest wait for a connection to the API server.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest wait for an answer of the API server; it gives up on its own requests after 60 s.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// How many problems are printed; the rest are counted.
const PROBLEMS_SHOWN_MAX: usize = 100;

/// `rotator check`: names everything that is wrong.
///
/// # Errors
/// When standard output or error cannot be written.
pub fn check(args: &CheckArgs, out: &mut dyn Write) -> anyhow::Result<Exit> {
    let (manifests, mut problems) = load(&args.config);
    problems.extend(check_manifests(&manifests));
    if !problems.is_empty() {
        print_problems(problems)?;
        return Ok(Exit::Usage);
    }
    let stores = manifests.stores.len() + manifests.cluster_stores.len();
    let secrets = manifests.external_secrets.len();
    write!(out, "{}, {}: no mistakes found", count(stores, "store"), count(secrets, "ExternalSecret"))?;
    if manifests.others > 0 {
        write!(out, " ({} of other kinds left alone)", count(manifests.others, "object"))?;
    }
    writeln!(out)?;
    Ok(Exit::Done)
}

/// `rotator sync`: one round.
///
/// # Errors
/// When the configuration cannot be used or output cannot be written.
pub fn sync(args: &SyncArgs, verbose: bool, out: &mut dyn Write) -> anyhow::Result<Exit> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let result = runtime.block_on(sync_once(args));
    // A name that is still being resolved must not hold the process.
    runtime.shutdown_background();
    match result? {
        Synced::Problems(problems) => {
            print_problems(problems)?;
            Ok(Exit::Usage)
        }
        Synced::NotDone(why) => {
            writeln!(std::io::stderr().lock(), "error: nothing was synced: {why}")?;
            Ok(Exit::Blocked)
        }
        Synced::Round { summary, target } => {
            summary.write(&target, verbose, out)?;
            Ok(summary.exit())
        }
    }
}

/// How a round of syncs ended.
pub(crate) enum Synced {
    Problems(Vec<Problem>),
    NotDone(String),
    Round { summary: Summary, target: String },
}

/// One round of syncs.
pub(crate) async fn sync_once(args: &SyncArgs) -> anyhow::Result<Synced> {
    let files = match &args.source.config {
        Some(config) => {
            let (manifests, mut problems) = load(config);
            problems.extend(check_manifests(&manifests));
            if !problems.is_empty() {
                return Ok(Synced::Problems(problems));
            }
            Some(manifests)
        }
        None => None,
    };
    let client = match (&args.target, args.source.cluster) {
        (TargetName::Folder(_), false) => None,
        (TargetName::Folder(_), true) | (TargetName::Cluster, _) => Some(connect().await?),
    };
    let (manifests, wanted) = match (files, &client) {
        (Some(mut manifests), client) => {
            let mut objects = std::mem::take(&mut manifests.external_secrets);
            objects.extend(many::of_files(&manifests));
            let mut wanted = Vec::with_capacity(objects.len());
            for object in objects {
                wanted.push(match client {
                    Some(client) => find_live(client, object).await,
                    None => Wanted::of_file(object),
                });
            }
            (manifests, wanted)
        }
        (None, Some(client)) => match read_with_many(client, args).await {
            Ok((manifests, live)) => (manifests, live.into_iter().map(Wanted::of_cluster).collect()),
            Err(error @ ClusterReadError::NoSuchKind { .. }) => return Err(error.into()),
            Err(error) => return Ok(Synced::NotDone(error.to_string())),
        },
        (None, None) => anyhow::bail!("no manifests are named; give --config PATH or --cluster"),
    };
    let target = match &args.target {
        TargetName::Folder(path) => folder_target(path, &args.seal)?,
        TargetName::Cluster => {
            anyhow::ensure!(
                args.seal.certificate.is_none(),
                "--seal writes manifests; give --target dir:PATH"
            );
            let client = client.clone().context("no cluster")?;
            Target::Cluster(Cluster::new(client))
        }
    };
    let audit = audit_of(args.audit.as_ref()).map_err(anyhow::Error::msg)?;
    let stores = Stores::new(&manifests, Objects::new(&manifests, client.clone())).audited(audit);
    let clock = SystemClock::new();
    let reports_to = client.filter(|_| args.target == TargetName::Cluster);
    let round = Round {
        stores: &stores,
        target: &target,
        events: reports_to.clone().map(Events::new),
        reports_to: reports_to.clone(),
        clock: &clock,
        concurrency: usize::from(args.concurrency),
        everything: args.now,
    };
    let reports = round.run(&wanted).await;
    let (removed, orphans_error) = match round.remove_orphans(&wanted) {
        Ok(removed) => (removed, None),
        Err(error) => (Vec::new(), Some(error.to_string())),
    };
    if let Some(client) = &reports_to {
        store_status::report(client, &manifests, &stores.standings().await, clock.now()).await;
    }
    stores.close().await;
    let summary = Summary { reports, removed, orphans_error };
    Ok(Synced::Round { summary, target: target.to_string() })
}

/// Everything of the cluster, after the ExternalSecrets of its ClusterExternalSecrets were made.
async fn read_with_many(
    client: &kube::Client,
    args: &SyncArgs,
) -> Result<(Manifests, Vec<Live>), ClusterReadError> {
    let namespace = args.namespace.as_deref();
    // Whoever serves one namespace makes nothing in others, and whoever fills a folder changes no cluster.
    if namespace.is_none() && args.target == TargetName::Cluster && many::exist(client).await {
        let (manifests, _) = read_cluster(client, None).await?;
        let stores = Stores::new(&manifests, Objects::new(&manifests, Some(client.clone())));
        if let Err(why) = many::reconcile(client, &stores).await {
            tracing::warn!(%why, "ClusterExternalSecrets were left out");
        }
    }
    read_cluster(client, namespace).await
}

/// An ExternalSecret of a file that may live in the cluster too: then it owns its Secret and is told how it went.
/// Without the definitions, or without permission to look, it does not.
async fn find_live(client: &kube::Client, object: Object<ExternalSecretSpec>) -> Wanted {
    let api: kube::Api<ExternalSecret> = kube::Api::namespaced(client.clone(), object.namespace());
    let mut wanted = Wanted::of_file(object);
    if let Ok(object) = &mut wanted.object
        && let Ok(Some(live)) = api.get_opt(object.name()).await
    {
        object.meta.uid = live.metadata.uid;
        object.meta.generation = live.metadata.generation;
        wanted.status = Some(live.status.unwrap_or_default());
    }
    wanted
}

/// `rotator rotate`: as far as it goes now.
///
/// # Errors
/// When the configuration cannot be used or output cannot be written.
pub fn rotate(args: &RotateArgs, out: &mut dyn Write) -> anyhow::Result<Exit> {
    let occasion = match (args.now, args.resume) {
        (true, _) => Occasion::Now(Trigger::Manual { actor: actor() }),
        (false, true) => Occasion::None,
        (false, false) => Occasion::Due,
    };
    drive(&args.drive, &args.names, &occasion, out)
}

/// Drives the Rotations of these names (all, if none is named), and says where each stands.
///
/// # Errors
/// When the configuration cannot be used or output cannot be written.
pub fn drive(
    args: &DriveArgs,
    names: &[String],
    occasion: &Occasion,
    out: &mut dyn Write,
) -> anyhow::Result<Exit> {
    let runtime = runtime()?;
    let Some(source) = runtime.block_on(read_or_say(&args.source))? else { return Ok(Exit::Usage) };
    let target = runtime.block_on(open_target(&args.target))?;
    let keys = Keys {
        fingerprint_key: args.fingerprint_key.clone(),
        receipt_key: args.receipt_key.clone(),
        receipts: args.receipts.clone(),
    };
    let means =
        Means { target: &target, keys: &keys, wait: args.wait.0, concurrency: usize::from(args.concurrency) };
    let standings = runtime.block_on(rotate_command::rotate(&source, names, occasion, &means));
    runtime.shutdown_background();
    let standings = standings?;
    rotate_command::write(&standings, out)?;
    Ok(rotate_command::exit(&standings))
}

/// Where the Secrets of consumers go.
///
/// # Errors
/// When the folder cannot be used, or no cluster is known.
pub(crate) async fn open_target(name: &TargetName) -> anyhow::Result<Target> {
    Ok(match name {
        TargetName::Folder(folder) => Target::Folder(Folder::open(folder)?),
        TargetName::Cluster => Target::Cluster(Cluster::new(connect().await?)),
    })
}

fn folder_target(path: &Path, seal: &SealArgs) -> anyhow::Result<Target> {
    Ok(match seal.open()? {
        Some(sealing) => Target::Sealed(Box::new(SealedFolder::open(path, sealing)?)),
        None => Target::Folder(Folder::open(path)?),
    })
}

/// A client for the cluster of the kubeconfig, or for the one that this pod runs in.
pub(crate) async fn connect() -> anyhow::Result<kube::Client> {
    // The error itself quotes the kubeconfig, which holds credentials.
    let mut config = kube::Config::infer().await.map_err(|_| {
        anyhow::anyhow!("no cluster is known: set KUBECONFIG to a valid kubeconfig, or run this in a pod")
    })?;
    // The defaults wait for minutes, which a person or a CronJob takes for a hang.
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    config.read_timeout = Some(ANSWER_TIMEOUT);
    kube::Client::try_from(config).map_err(|_| {
        anyhow::anyhow!("the kubeconfig cannot be used; check its certificates, keys and addresses")
    })
}

/// `rotator store`: standard input to the store, the store to standard output.
///
/// # Errors
/// When the runtime cannot be started. What the store refuses is printed and becomes the exit code.
pub fn store(args: &StoreArgs) -> anyhow::Result<Exit> {
    // Not through the standard library's buffers, which nobody wipes.
    let mut input = File::from(std::io::stdin().as_fd().try_clone_to_owned().context("no standard input")?);
    let mut output =
        File::from(std::io::stdout().as_fd().try_clone_to_owned().context("no standard output")?);
    let (input_is_terminal, output_is_terminal) = (input.is_terminal(), output.is_terminal());
    let streams = Streams { input: &mut input, input_is_terminal, output: &mut output, output_is_terminal };
    let runtime = tokio::runtime::Builder::new_current_thread().build().context("cannot start")?;
    match runtime.block_on(store_command::run(args, streams)) {
        Ok(()) => Ok(Exit::Done),
        Err(error) => {
            writeln!(std::io::stderr(), "error: {error}")?;
            Ok(error.exit())
        }
    }
}

/// `rotator crds`: the definitions as YAML documents.
///
/// # Errors
/// When standard output cannot be written.
pub fn crds(out: &mut dyn Write) -> anyhow::Result<Exit> {
    for crd in [
        SecretStore::crd(),
        ClusterSecretStore::crd(),
        ExternalSecret::crd(),
        ClusterExternalSecret::crd(),
        ClusterRotationTarget::crd(),
        Rotation::crd(),
    ] {
        let text = serde_saphyr::to_string(&crd).context("cannot write a definition as YAML")?;
        write!(out, "---\n{text}")?;
    }
    Ok(Exit::Done)
}

/// `1 store`, `2 stores`.
pub(crate) fn count(number: usize, noun: &str) -> String {
    let end = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{end}")
}

/// One line a problem, to standard error.
pub(crate) fn print_problems(mut problems: Vec<Problem>) -> std::io::Result<()> {
    problems.sort();
    problems.dedup();
    let mut stderr = std::io::stderr().lock();
    for problem in problems.iter().take(PROBLEMS_SHOWN_MAX) {
        writeln!(stderr, "error: {problem}")?;
    }
    if problems.len() > PROBLEMS_SHOWN_MAX {
        writeln!(stderr, "error: and {} more", problems.len() - PROBLEMS_SHOWN_MAX)?;
    }
    Ok(())
}
