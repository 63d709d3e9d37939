//! `rotator freeze`: everything stops, in every store that Rotations publish to.

use std::collections::BTreeMap;
use std::io::Write;

use shared::exit::Exit;

use crate::cli::FreezeArgs;
use crate::orders::actor;
use crate::rotation::context::Freeze;
use crate::rotation::freeze;
use crate::source::{Source, read_or_say, runtime};
use crate::sync::objects::Objects;
use crate::sync::stores::Stores;

/// Freezes, or lifts the freeze, and says so for each store.
///
/// # Errors
/// When the configuration cannot be used or output cannot be written.
pub fn run(args: &FreezeArgs, out: &mut dyn Write) -> anyhow::Result<Exit> {
    let runtime = runtime()?;
    let exit = runtime.block_on(async {
        let Some(source) = read_or_say(&args.source).await? else { return Ok(Exit::Usage) };
        if source.manifests.rotations.is_empty() {
            anyhow::bail!("no Rotation is in these manifests, so there is nothing to freeze");
        }
        let wanted = (!args.lift).then(|| freeze::now(actor(), args.reason.clone()));
        write_all(&source, wanted.as_ref(), out).await
    });
    runtime.shutdown_background();
    exit
}

/// One store that cannot be frozen does not keep the others from it.
async fn write_all(source: &Source, wanted: Option<&Freeze>, out: &mut dyn Write) -> anyhow::Result<Exit> {
    let manifests = &source.manifests;
    let stores = Stores::new(manifests, Objects::new(manifests, source.client.clone()));
    let mut exit = Exit::Done;
    let mut references = BTreeMap::new();
    for rotation in &manifests.rotations {
        let reference = &rotation.spec.publish.store_ref;
        let namespace = if reference.kind.serves_cluster() { "" } else { rotation.namespace() };
        references.entry((format!("{:?}", reference.kind), namespace, &reference.name)).or_insert(rotation);
    }
    for rotation in references.values() {
        let opened = stores.open(&rotation.spec.publish.store_ref, rotation.namespace()).await;
        let done = match &opened {
            Ok(store) => freeze::write(store.provider(), wanted).await,
            Err(error) => Err(error.to_string()),
        };
        let name = opened
            .as_ref()
            .map_or_else(|_| rotation.spec.publish.store_ref.name.clone(), |store| store.name().to_owned());
        match (done, wanted) {
            (Ok(_), Some(freeze)) => {
                writeln!(
                    out,
                    "{name}: {freeze}; nothing starts and nothing is revoked until `rotator freeze --lift`"
                )?;
            }
            (Ok(Some(before)), None) => writeln!(out, "{name}: no longer {before}")?,
            (Ok(None), None) => writeln!(out, "{name}: was not frozen")?,
            (Err(why), _) => {
                let what = if wanted.is_some() { "NOT FROZEN" } else { "STILL FROZEN, if it was" };
                writeln!(out, "{name}: {what}: {why}")?;
                exit = Exit::Blocked;
            }
        }
    }
    stores.close().await;
    Ok(exit)
}
