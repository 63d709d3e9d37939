//! `rotator receipts`: the receipts of a folder, listed, shown and checked.

use std::io::Write;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use shared::exit::Exit;
use shared::receipt::{Folder, Receipt, chain};
use shared::signing::TrustedKeys;

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
    /// Check every signature, and that no receipt is missing before the last one
    Verify {
        /// Which receipts
        #[command(flatten)]
        at: FolderArgs,
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
        ReceiptsCommand::Verify { at } => verify(&at.read()?, out),
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

fn verify(folder: &Folder, out: &mut dyn Write) -> anyhow::Result<Exit> {
    // A receipt that does not count is also a gap in the chain; the first is the reason.
    if !folder.refused.is_empty() {
        return refused(folder);
    }
    if let Err(error) = chain::verify(&folder.receipts, 1, None) {
        writeln!(std::io::stderr().lock(), "error: {error}")?;
        return Ok(Exit::Blocked);
    }
    match folder.receipts.last() {
        Some(last) => {
            let seq = last.receipt().seq;
            writeln!(out, "{seq} receipts: every signature and the chain hold; the last is {}", last.link())?;
        }
        None => writeln!(out, "no receipts")?,
    }
    Ok(Exit::Done)
}
