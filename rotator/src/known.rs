//! `rotator known`: the file by which a scanner recognises live values without knowing them.
//!
//! An [`inventory`] holds every value that ExternalSecrets and Rotations name; the known file says what it needs to
//! recognise them and no more. A store that cannot be read leaves the old file as it is: a file without its
//! values would let them pass. The [`ledger`] is the rotator's own half.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use jiff::{SignedDuration, Timestamp};
use shared::exit::Exit;
use shared::fingerprint::FingerprintKey;
use shared::known::{Issue, KnownFileBuilder, KnownKey, Nonce, ValueState};
use shared::receipt::Folder;
use shared::signing::{PrivateKey, TrustedKeys};

use crate::cli::SourceArgs;
use crate::manifest::duration::GoDuration;
use crate::runner;
use crate::source::{read_or_say, runtime};
use crate::sync::objects::Objects;
use crate::sync::stores::Stores;

pub mod inventory;
pub mod ledger;
pub mod place;

use inventory::{Graves, Inventory, PREVIOUS_MAX, collect};
use ledger::{Issued, Ledger};

/// The arguments of `rotator known`.
#[derive(Debug, Args)]
pub struct KnownArgs {
    /// Where manifests come from
    #[command(flatten)]
    pub source: SourceArgs,
    /// The known file; replaced in one step, mode 0600
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// The known key, which scanners have too: 64 hexadecimal digits, mode 0600. Beside it lies FILE.rotator, made
    /// here at the first run, which no scanner may have
    #[arg(long, alias = "known-key", value_name = "FILE")]
    pub key_file: PathBuf,
    /// The Ed25519 key that signs: PKCS#8 PEM, mode 0600
    #[arg(long, value_name = "FILE")]
    pub receipt_key: PathBuf,
    /// How many versions before the current one, where the store keeps versions
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(..=PREVIOUS_MAX as i64))]
    pub previous: u16,
    /// How long scanners believe the file: a few intervals of writing it
    #[arg(long, value_name = "DURATION", default_value = "24h")]
    pub valid_for: GoDuration,
    /// The folder of receipts: what they prove dead is not listed as live
    #[arg(long, value_name = "DIR", requires = "fingerprint_key")]
    pub receipts: Option<PathBuf>,
    /// With --receipts: the key that names secrets in them
    #[arg(long, value_name = "FILE", requires = "receipts")]
    pub fingerprint_key: Option<PathBuf>,
}

/// Writes the file.
///
/// # Errors
/// When a key or the configuration cannot be used, or the file cannot be written.
pub fn run(args: &KnownArgs, out: &mut dyn Write) -> anyhow::Result<Exit> {
    let key = KnownKey::read(&args.key_file)?;
    let signer = PrivateKey::read(&args.receipt_key)?;
    let graves = match (&args.receipts, &args.fingerprint_key) {
        (Some(folder), Some(key)) => Some(graves(folder, key, &signer)?),
        _ => None,
    };
    let runtime = runtime()?;
    let collected = runtime.block_on(async {
        let Some(source) = read_or_say(&args.source).await? else { return anyhow::Ok(None) };
        let manifests = &source.manifests;
        let stores = Stores::new(manifests, Objects::new(manifests, source.client.clone()));
        let collected = collect(manifests, &stores, usize::from(args.previous), graves.as_ref()).await;
        stores.close().await;
        Ok(Some(collected))
    });
    runtime.shutdown_background();
    let Some(collected) = collected? else { return Ok(Exit::Usage) };
    match collected {
        Ok(inventory) => write(args, &key, &signer, &inventory, out),
        Err(error) => {
            writeln!(
                std::io::stderr().lock(),
                "error: {error}; no known file was written, because it would let values pass"
            )?;
            Ok(Exit::Blocked)
        }
    }
}

/// What receipts prove dead. A folder that is not there yet holds none.
pub(crate) fn graves(folder: &Path, key: &Path, signer: &PrivateKey) -> anyhow::Result<Graves> {
    let key = FingerprintKey::read(key)?;
    let trusted = TrustedKeys::new(vec![signer.public()]);
    let receipts = match Folder::read(folder, &trusted) {
        Ok(receipts) => receipts,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Folder::default(),
        Err(error) => {
            let folder = folder.display();
            return Err(anyhow::Error::new(error).context(format!("{folder}: receipts cannot be read")));
        }
    };
    for refused in &receipts.refused {
        tracing::warn!(%refused, "does not count");
    }
    Ok(Graves { key, receipts })
}

fn write(
    args: &KnownArgs,
    key: &KnownKey,
    signer: &PrivateKey,
    inventory: &Inventory,
    out: &mut dyn Write,
) -> anyhow::Result<Exit> {
    // One at a time: two would take the same generation.
    let lock = File::open(&args.key_file).context("the known key cannot be opened")?;
    lock.lock().context("the known key cannot be locked")?;
    let mut ledger = Ledger::open(&args.key_file)?;
    let there = ledger::generation_there(&args.out, key.key_id())?;
    let created = Timestamp::now();
    let mut nonce = Nonce([0; 24]);
    getrandom::fill(&mut nonce.0)
        .map_err(|_| anyhow::anyhow!("no random bytes from the operating system"))?;
    let valid = SignedDuration::try_from(args.valid_for.0.min(VALID_MAX)).unwrap_or_default();
    let issue =
        Issue { generation: ledger.generation().max(there) + 1, created, expires: created + valid, nonce };
    let id_key = ledger.id_key();
    let mut builder = KnownFileBuilder::new(key, &id_key);
    for value in &inventory.values {
        builder.add_with_parts(&value.secret, value.state, value.strength);
    }
    let built = builder.build(issue, signer)?;
    let Issue { generation, expires, nonce, .. } = issue;
    ledger.note(Issued { generation, nonce, expires }, created)?;
    let path = args.out.display();
    ledger::replace(&args.out, &built.file).with_context(|| format!("{path}: cannot be written"))?;
    let live = inventory.values.iter().filter(|value| value.state == ValueState::Current).count();
    let previous = inventory.values.iter().filter(|value| value.state == ValueState::Previous).count();
    let left_out = built.left_out;
    writeln!(
        out,
        "{path}: {} values and parts; generation {generation}, valid until {expires:.0}\n\
         read: {live} current, {previous} previous, {} dead; {} not there\n\
         left out: {} (too short {}, too weak {}, public {}, monotonous {})",
        built.header.count,
        inventory.values.len() - live - previous,
        runner::count(inventory.absent.len(), "path"),
        left_out.total(),
        left_out.too_short,
        left_out.too_weak,
        left_out.public,
        left_out.monotonous,
    )
    .context("cannot write to standard output")?;
    Ok(Exit::Done)
}

/// A file that is believed for longer is as good as one that never expires.
const VALID_MAX: Duration = Duration::from_secs(366 * 24 * 3600);
