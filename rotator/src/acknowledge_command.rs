//! `rotator acknowledge`: the part of another cluster in a rotation. It brings its own Secrets up to date, restarts
//! its own workloads, and says in the store when they have moved. It needs neither the administrator of the target
//! nor any key: to read the published path and to write its own word is enough.

use std::io::Write;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use shared::exit::Exit;
use shared::journal::Moved;

use crate::cli::AcknowledgeArgs;
use crate::manifest::Manifests;
use crate::manifest::object::Object;
use crate::manifest::rotation::RotationSpec;
use crate::provider::{Key, ReadError};
use crate::rotation::acknowledged::{Place, Word};
use crate::rotation::context::{ConsumerState, Consumers as _};
use crate::rotation::discovered::{Discovered, names};
use crate::runner;
use crate::source::{Source, read_or_say, runtime};
use crate::sync::objects::Objects;
use crate::sync::stores::Stores;
use crate::target::Target;

/// Between two looks at consumers that still move.
const PAUSE: Duration = Duration::from_secs(2);

/// Where one Rotation stands in this cluster.
enum Standing {
    /// Nothing is published yet.
    Nothing,
    /// Every consumer here uses this version.
    Moved { version: u64, consumers: usize },
    /// Some do not yet.
    Moving { version: u64, waiting: Vec<String> },
}

/// Acknowledges every Rotation that names this cluster.
///
/// # Errors
/// When the configuration cannot be used or output cannot be written.
pub fn run(args: &AcknowledgeArgs, out: &mut dyn Write) -> anyhow::Result<Exit> {
    let cluster = &args.name;
    let runtime = runtime()?;
    let exit = runtime.block_on(async {
        let Some(source) = read_or_say(&args.source).await? else { return Ok(Exit::Usage) };
        let names_us = |object: &&Object<RotationSpec>| object.spec.consumers.clusters.contains(cluster);
        let named: Vec<&Object<RotationSpec>> = source.manifests.rotations.iter().filter(names_us).collect();
        anyhow::ensure!(
            !named.is_empty(),
            "no Rotation names the cluster {cluster}; write it into spec.consumers.clusters, or correct --as"
        );
        let target = runner::open_target(&args.target).await?;
        let mut exit = Exit::Done;
        for object in named {
            let line = match patiently(object, &source, &target, cluster, args.wait.0).await {
                Ok(Standing::Nothing) => "nothing is published yet".to_owned(),
                Ok(Standing::Moved { version, consumers }) => {
                    let who = runner::count(consumers, "consumer");
                    format!("moved      {who} of {cluster} with version {version}")
                }
                Ok(Standing::Moving { version, waiting }) => {
                    format!("moving     {} to version {version}; run this again", waiting.join(", "))
                }
                Err(why) => {
                    exit = Exit::Blocked;
                    format!("FAILED     {why}")
                }
            };
            writeln!(out, "{}: {line}", object.full_name()).context("cannot write to standard output")?;
        }
        Ok(exit)
    });
    runtime.shutdown_background();
    exit
}

async fn patiently(
    object: &Object<RotationSpec>,
    source: &Source,
    target: &Target,
    cluster: &str,
    patience: Duration,
) -> Result<Standing, String> {
    let end = Instant::now() + patience;
    loop {
        let standing = once(object, source, target, cluster).await?;
        if !matches!(standing, Standing::Moving { .. }) || Instant::now() + PAUSE > end {
            return Ok(standing);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn once(
    object: &Object<RotationSpec>,
    source: &Source,
    target: &Target,
    cluster: &str,
) -> Result<Standing, String> {
    let manifests = &source.manifests;
    let client = source.client.as_ref().or(target.client()).cloned();
    let stores = Stores::new(manifests, Objects::new(manifests, client));
    let standing = look(object, manifests, target, cluster, &stores).await;
    stores.close().await;
    standing
}

async fn look(
    object: &Object<RotationSpec>,
    manifests: &Manifests,
    target: &Target,
    cluster: &str,
    stores: &Stores<'_>,
) -> Result<Standing, String> {
    let publish = &object.spec.publish;
    let store =
        stores.open(&publish.store_ref, object.namespace()).await.map_err(|error| error.to_string())?;
    let version = match store.provider().read(&Key::latest(&publish.key)).await {
        Ok(document) => document.version.unwrap_or(0),
        Err(ReadError::NotFound { .. }) => return Ok(Standing::Nothing),
        Err(error) => return Err(error.to_string()),
    };
    // A cluster that is declared and has no consumer is a mistake: its word would release a secret that is in use.
    if names(object, manifests).is_empty() {
        return Err(format!(
            "no ExternalSecret here reads {}; add it to the manifests, or take {cluster} out of spec.consumers.clusters",
            publish.key
        ));
    }
    let place = Place::new(store.provider().clone(), object, cluster);
    let (stored, said) = place.read().await.map_err(|lost| lost.to_string())?;
    let said = said.filter(|word| word.kv_version == version);
    if let Some(word) = said.as_ref().filter(|word| word.moved_at.is_some()) {
        return Ok(Standing::Moved { version, consumers: word.consumers.len() });
    }
    let before = said.unwrap_or_else(|| Word::about(version));
    let discovered = Discovered::new(object, manifests, target);
    let consumers = discovered.observe(version, &before.consumers).await.map_err(|lost| lost.to_string())?;
    let now = jiff::Timestamp::now();
    let (moved, moving): (Vec<_>, Vec<_>) =
        consumers.into_iter().partition(|consumer| consumer.state == ConsumerState::Moved);
    let mut word = before.clone();
    for consumer in moved {
        word.consumers.entry(consumer.name).or_insert(Moved { version, at: now });
    }
    word.moved_at = moving.is_empty().then_some(now);
    if word != before {
        place.write(&word, stored).await.map_err(|lost| lost.to_string())?;
    }
    Ok(if moving.is_empty() {
        Standing::Moved { version, consumers: word.consumers.len() }
    } else {
        Standing::Moving { version, waiting: moving.into_iter().map(|consumer| consumer.name).collect() }
    })
}
