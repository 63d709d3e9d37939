//! What the rotator tells the gate: which secrets are live, by the known file, and which are dead, by receipts.
//!
//! Both are signed, and count only under the public keys of the file that `--receipt-key` names. A known file that
//! is not believed makes the run incomplete: not knowing is not passing. A receipt that is not believed counts for
//! nothing, so that what it was about blocks again.

use std::io::Read;
use std::path::Path;

use jiff::Timestamp;
use shared::fingerprint::{Fingerprint, KeyId};
use shared::known::{FILE_BYTES_MAX, Freshness, KnownIndex, KnownKey, ValueState};
use shared::receipt::{Folder, ReceiptId};
use shared::signing::TrustedKeys;

use crate::cli::ScanArgs;

/// How many receipts that do not count are named; the rest are counted.
const REFUSED_NAMED: usize = 20;

/// What a run was told.
#[derive(Debug, Default)]
pub struct Told {
    /// The known file, if there is one that is believed.
    pub index: Option<KnownIndex>,
    /// The path of a known file that is not believed, and why.
    pub refused: Option<(String, String)>,
    /// The receipts that count.
    pub receipts: Folder,
    /// What a person should know of all this.
    pub notices: Vec<String>,
}

/// What is known of the life of a secret that the known file lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Life {
    /// It may open something.
    Live,
    /// The known file does not list it as live, and no receipt proves it dead.
    Unproven,
    /// A receipt proves it dead, and the known file does not list it as live.
    Dead(ReceiptId),
}

impl Told {
    /// Reads everything that the options name. `key` is the key of this run's fingerprints.
    pub fn read(args: &ScanArgs, key: Option<KeyId>, now: Timestamp, mistakes: &mut Vec<String>) -> Self {
        let mut told = Self::default();
        let trusted = args.receipt_key.as_deref().and_then(|path| {
            TrustedKeys::read(path).map_err(|error| mistakes.push(format!("--receipt-key: {error}"))).ok()
        });
        let Some(trusted) = trusted else { return told };
        if let Some((file, known_key)) = args.known.as_deref().zip(args.known_key.as_deref()) {
            let freshness = Freshness { now, generation_seen: args.known_generation };
            let known_key = KnownKey::read(known_key).map_err(|error| format!("--known-key: {error}"));
            match known_key.and_then(|key| Ok((key, bytes_of(file)?))) {
                Ok((key, bytes)) => match KnownIndex::open(&bytes, &key, &trusted, freshness) {
                    Ok(index) => {
                        let left_out = index.left_out().total();
                        tracing::info!(values = index.len(), left_out, "known file opened");
                        told.index = Some(index);
                    }
                    Err(error) => told.refused = Some((file.display().to_string(), error.to_string())),
                },
                Err(mistake) => mistakes.push(mistake),
            }
        }
        if let Some((folder, key)) = args.receipts.as_deref().zip(key) {
            told.read_receipts(folder, &trusted, key, mistakes);
        }
        told
    }

    fn read_receipts(&mut self, path: &Path, trusted: &TrustedKeys, key: KeyId, mistakes: &mut Vec<String>) {
        let name = path.display();
        match Folder::read(path, trusted) {
            Ok(folder) => self.receipts = folder,
            Err(error) => return mistakes.push(format!("--receipts {name}: {error}")),
        }
        let refused = &self.receipts.refused;
        for one in refused.iter().take(REFUSED_NAMED) {
            self.notices.push(format!("{one}; it does not count"));
        }
        if let Some(more) = refused.len().checked_sub(REFUSED_NAMED).filter(|more| *more > 0) {
            self.notices.push(format!("{more} more files in {name} do not count as receipts"));
        }
        let made: Vec<KeyId> = self.receipts.receipts.iter().map(|signed| signed.receipt().key_id).collect();
        let others = made.iter().filter(|made| **made != key).count();
        // Receipts outlive a fingerprint key; with none of this key, the key is the wrong one.
        match made.last() {
            Some(other) if others == made.len() => mistakes.push(format!(
                "--receipts {name}: its fingerprints were made under key {other}, this run has {key}; give the \
                 rotator's key with --fingerprint-key"
            )),
            _ if others > 0 => self.notices.push(format!(
                "{others} receipts in {name} were made under another fingerprint key than {key}; they do not count"
            )),
            _ => {}
        }
    }

    /// What is known of the life of a secret. Receipts are asked only for what a fresh known file does not list
    /// as live: a restored database revives old passwords.
    pub fn life(&self, state: ValueState, key: KeyId, fingerprint: &Fingerprint) -> Life {
        if state.is_live() {
            return Life::Live;
        }
        match self.receipts.proof_of_death(key, fingerprint) {
            Some(signed) => Life::Dead(signed.receipt().id.clone()),
            None => Life::Unproven,
        }
    }
}

fn bytes_of(path: &Path) -> Result<Vec<u8>, String> {
    let failed = |error: std::io::Error| format!("--known {}: {error}", path.display());
    let file = std::fs::File::open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    // One byte more than is allowed, so that a file that is too large is told from one that just fits.
    file.take(FILE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}
