//! The commands: each joins the stages and says how it ended.

use std::fs::File;
use std::io::{IsTerminal as _, Write};
use std::os::fd::AsFd as _;

use anyhow::Context as _;
use kube::CustomResourceExt;
use shared::exit::Exit;

use crate::cli::{CheckArgs, SyncArgs};
use crate::manifest::check::check as check_manifests;
use crate::manifest::external_secret::{ClusterExternalSecret, ExternalSecret};
use crate::manifest::load::load;
use crate::manifest::problem::Problem;
use crate::manifest::store::{ClusterSecretStore, SecretStore};
use crate::store_command::{self, StoreArgs, Streams};
use crate::sync::Round;
use crate::sync::objects::Objects;
use crate::sync::outcome::Summary;
use crate::sync::stores::Stores;
use crate::target::cluster::Cluster;
use crate::target::folder::Folder;
use crate::target::{Target, TargetName};

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
        Synced::Round { summary, target } => {
            summary.write(&target, verbose, out)?;
            Ok(summary.exit())
        }
    }
}

enum Synced {
    Problems(Vec<Problem>),
    Round { summary: Summary, target: String },
}

async fn sync_once(args: &SyncArgs) -> anyhow::Result<Synced> {
    let Some(config) = &args.source.config else { anyhow::bail!("--cluster is not supported yet") };
    let (manifests, mut problems) = load(config);
    problems.extend(check_manifests(&manifests));
    if !problems.is_empty() {
        return Ok(Synced::Problems(problems));
    }
    let (target, client) = match &args.target {
        TargetName::Folder(path) => (Target::Folder(Folder::open(path)?), None),
        TargetName::Cluster => {
            let client = connect().await?;
            (Target::Cluster(Cluster::new(client.clone())), Some(client))
        }
    };
    let stores = Stores::new(&manifests, Objects::new(&manifests, client));
    let round = Round { stores: &stores, target: &target, concurrency: usize::from(args.concurrency) };
    let reports = round.run(&manifests.external_secrets).await;
    let (removed, orphans_error) = match round.remove_orphans(&manifests.external_secrets) {
        Ok(removed) => (removed, None),
        Err(error) => (Vec::new(), Some(error.to_string())),
    };
    stores.close().await;
    let summary = Summary { reports, removed, orphans_error };
    Ok(Synced::Round { summary, target: target.to_string() })
}

/// A client for the cluster of the kubeconfig, or for the one that this pod runs in.
async fn connect() -> anyhow::Result<kube::Client> {
    let config =
        kube::Config::infer().await.context("no kubeconfig and no pod's service account can be read")?;
    kube::Client::try_from(config).context("the kubeconfig cannot be used")
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
    for crd in
        [SecretStore::crd(), ClusterSecretStore::crd(), ExternalSecret::crd(), ClusterExternalSecret::crd()]
    {
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
fn print_problems(mut problems: Vec<Problem>) -> std::io::Result<()> {
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
