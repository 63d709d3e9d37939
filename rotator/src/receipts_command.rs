//! `rotator receipts`: the receipts of a folder, listed, shown and checked.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args, Subcommand};
use shared::exit::Exit;
use shared::receipt::{Folder, Head, Receipt, chain};
use shared::signing::TrustedKeys;

use crate::manifest::check::check as check_manifests;
use crate::manifest::load::load;
use crate::rotation::issue::stored_head;
use crate::runner;
use crate::sync::objects::Objects;
use crate::sync::stores::Stores;

/// The arguments of `rotator receipts`.
#[derive(Debug, Args)]
pub struct ReceiptsArgs {
    /// What to do
    #[command(subcommand)]
    pub command: ReceiptsCommand,
}

/// What to do with receipts.
#[derive(Debug, Subcommand)]
pub enum ReceiptsCommand {
    /// One line for each receipt
    List {
        /// Which receipts
        #[command(flatten)]
        at: FolderArgs,
    },
    /// One receipt as JSON
    Show {
        /// Which receipts
        #[command(flatten)]
        at: FolderArgs,
        /// The receipt's id, as `list` prints it
        id: String,
    },
    /// Check every signature, and that no receipt is missing
    #[command(after_help = "\
Without --config the receipts are checked against each other alone: that the newest ones were taken away shows only
against the stores, which know the last receipt.")]
    Verify {
        /// Which receipts
        #[command(flatten)]
        at: FolderArgs,
        /// Manifests: the last receipts are compared with those that the stores of their Rotations know
        #[arg(long, value_name = "PATH")]
        config: Option<PathBuf>,
    },
}

/// Which receipts.
#[derive(Debug, Args)]
pub struct FolderArgs {
    /// The folder of receipts
    #[arg(long, value_name = "DIR")]
    pub receipts: PathBuf,
    /// The rotator's public keys: Ed25519, SPKI in PEM
    #[arg(long, value_name = "FILE")]
    pub receipt_key: PathBuf,
}

impl FolderArgs {
    fn read(&self) -> anyhow::Result<Folder> {
        let trusted = TrustedKeys::read(&self.receipt_key)?;
        let folder = self.receipts.display();
        Folder::read(&self.receipts, &trusted).with_context(|| format!("{folder}: receipts cannot be read"))
    }
}

/// Runs the command. A receipt that does not count is named on standard error and makes the exit code 1.
///
/// # Errors
/// When the key or the folder cannot be read, or output cannot be written.
pub fn run(args: &ReceiptsArgs, out: &mut dyn Write) -> anyhow::Result<Exit> {
    match &args.command {
        ReceiptsCommand::List { at } => {
            let folder = at.read()?;
            for signed in &folder.receipts {
                writeln!(out, "{}", line(signed.receipt()))?;
            }
            refused(&folder)
        }
        ReceiptsCommand::Show { at, id } => show(&at.read()?, id, out),
        ReceiptsCommand::Verify { at, config } => {
            let heads = match config.as_deref().map(heads).transpose()? {
                Some(Heads::Known(heads)) => Some(heads),
                Some(Heads::Unknown(exit)) => return Ok(exit),
                None => None,
            };
            verify(&at.read()?, heads.as_deref(), out)
        }
    }
}

fn line(receipt: &Receipt) -> String {
    let Receipt { seq, id, rotation, revision, proof, issued_at, .. } = receipt;
    let dead: Vec<String> = receipt.old.iter().map(|part| part.fingerprint.to_string()).collect();
    let kind = format!("{:?}", proof.kind).to_lowercase();
    let (namespace, name) = (&rotation.namespace, &rotation.name);
    format!("{seq} {id} {namespace}/{name} run {revision}: dead {} ({kind}) {issued_at:.0}", dead.join(" "))
}

fn refused(folder: &Folder) -> anyhow::Result<Exit> {
    let mut stderr = std::io::stderr().lock();
    for refused in &folder.refused {
        writeln!(stderr, "error: {refused}")?;
    }
    Ok(if folder.refused.is_empty() { Exit::Done } else { Exit::Blocked })
}

fn show(folder: &Folder, id: &str, out: &mut dyn Write) -> anyhow::Result<Exit> {
    let Some(signed) = folder.receipts.iter().find(|signed| signed.receipt().id.as_str() == id) else {
        refused(folder)?;
        writeln!(
            std::io::stderr().lock(),
            "error: no receipt that counts has this id; `rotator receipts list` names them"
        )?;
        return Ok(Exit::Blocked);
    };
    let json = serde_json::to_string_pretty(signed.receipt()).context("the receipt has no JSON form")?;
    writeln!(out, "{json}")?;
    Ok(Exit::Done)
}

/// What the stores know as their last receipts.
enum Heads {
    Known(Vec<Head>),
    /// They could not be asked; why was said.
    Unknown(Exit),
}

/// Asks every store that a Rotation publishes to.
fn heads(config: &Path) -> anyhow::Result<Heads> {
    let (manifests, mut problems) = load(config);
    problems.extend(check_manifests(&manifests));
    if !problems.is_empty() {
        runner::print_problems(problems)?;
        return Ok(Heads::Unknown(Exit::Usage));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let stores = Stores::new(&manifests, Objects::new(&manifests, None));
        let mut heads = Vec::new();
        let mut answer = None;
        for object in &manifests.rotations {
            let head = match stores.open(&object.spec.publish.store_ref, object.namespace()).await {
                Ok(store) => stored_head(store.provider()).await.map_err(|error| error.to_string()),
                Err(error) => Err(error.to_string()),
            };
            match head {
                // Several Rotations publish to one store.
                Ok(Some(head)) if !heads.contains(&head) => heads.push(head),
                Ok(_) => {}
                Err(why) => {
                    let name = object.full_name();
                    writeln!(
                        std::io::stderr().lock(),
                        "error: Rotation {name}: {why}; nothing was compared"
                    )?;
                    answer = Some(Exit::Blocked);
                    break;
                }
            }
        }
        stores.close().await;
        Ok(answer.map_or(Heads::Known(heads), Heads::Unknown))
    })
}

fn verify(folder: &Folder, heads: Option<&[Head]>, out: &mut dyn Write) -> anyhow::Result<Exit> {
    // A receipt that does not count is also a gap in the chain; the first is the reason.
    if !folder.refused.is_empty() {
        return refused(folder);
    }
    let ends = match chain::verify(&folder.receipts, 1, heads) {
        Ok(ends) => ends,
        Err(error) => {
            writeln!(std::io::stderr().lock(), "error: {error}")?;
            return Ok(Exit::Blocked);
        }
    };
    let links: Vec<String> = ends.iter().map(|last| last.link().to_string()).collect();
    let count = match folder.receipts.len() {
        1 => "1 receipt".to_owned(),
        many => format!("{many} receipts"),
    };
    let compared = if heads.is_some() { ", which the stores know" } else { "" };
    match links.as_slice() {
        [] => writeln!(out, "no receipts")?,
        [last] => {
            writeln!(out, "{count}: every signature and the chain hold; the last is {last}{compared}")?;
        }
        many => writeln!(
            out,
            "{count}: every signature and {} chains hold; the last are {}{compared}",
            many.len(),
            many.join(", ")
        )?,
    }
    Ok(Exit::Done)
}
