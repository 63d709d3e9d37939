//! The commands: each joins the stages and says how it ended.

use std::io::Write;

use anyhow::Context as _;
use kube::CustomResourceExt;
use shared::exit::Exit;

use crate::cli::{CheckArgs, SyncArgs};
use crate::manifest::check::check as check_manifests;
use crate::manifest::external_secret::{ClusterExternalSecret, ExternalSecret};
use crate::manifest::load::load;
use crate::manifest::problem::Problem;
use crate::manifest::store::{ClusterSecretStore, SecretStore};

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

/// `rotator sync`.
///
/// # Errors
/// When the configuration cannot be used or output cannot be written.
pub fn sync(_args: &SyncArgs, _out: &mut dyn Write) -> anyhow::Result<Exit> {
    anyhow::bail!("sync is not built yet")
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
