//! Where manifests come from: files, or the API server.

use kube::Client;
use tokio::runtime::Runtime;

use crate::cli::SourceArgs;
use crate::manifest::Manifests;
use crate::manifest::check::check;
use crate::manifest::cluster::read_all;
use crate::manifest::load::load;
use crate::manifest::problem::Problem;
use crate::runner;

/// Manifests, and the cluster that they are objects of, if they are.
pub struct Source {
    /// The manifests.
    pub manifests: Manifests,
    /// The cluster: its Secrets are read for logins, and its objects are told how it went.
    pub client: Option<Client>,
}

/// The runtime of one command.
///
/// # Errors
/// When the system gives no threads.
pub fn runtime() -> anyhow::Result<Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?)
}

/// What reading gave.
pub enum Read {
    /// Manifests that can be used.
    Usable(Box<Source>),
    /// Mistakes in files: all of them, and nothing is begun.
    Mistakes(Vec<Problem>),
}

/// Reads everything. In files any mistake stops the command, so that it is seen where it is made. In a cluster an
/// object that is wrong is left out with a warning: one team's mistake does not stop the others.
///
/// # Errors
/// When no cluster is known, or one of the kinds cannot be listed.
pub async fn read(args: &SourceArgs) -> anyhow::Result<Read> {
    let Some(config) = &args.config else {
        let client = runner::connect().await?;
        let manifests = read_all(&client).await?;
        for problem in &manifests.unreadable {
            tracing::warn!(%problem, "left out");
        }
        return Ok(Read::Usable(Box::new(Source { manifests, client: Some(client) })));
    };
    let (manifests, mut problems) = load(config);
    problems.extend(check(&manifests));
    if problems.is_empty() {
        Ok(Read::Usable(Box::new(Source { manifests, client: None })))
    } else {
        Ok(Read::Mistakes(problems))
    }
}

/// The same for a command that ends with its mistakes, which are printed.
///
/// # Errors
/// As [`read`], or when standard error is gone.
pub async fn read_or_say(args: &SourceArgs) -> anyhow::Result<Option<Source>> {
    match read(args).await? {
        Read::Usable(source) => Ok(Some(*source)),
        Read::Mistakes(problems) => {
            runner::print_problems(problems)?;
            Ok(None)
        }
    }
}
