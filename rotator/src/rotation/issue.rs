//! Receipts: signed, chained, kept in a folder; the head of the chain in the store.
//!
//! The head is written first, with the whole envelope in it, under check-and-set: two rotators never take the same
//! number, and a crash before the file is written leaves it to be written by the next one.

use std::collections::BTreeSet;
use std::path::PathBuf;

use data_encoding::BASE64;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use shared::fingerprint::{Fingerprint, FingerprintKey};
use shared::journal::{Order, Ordered, Phase, PhaseName, Progress, ProofKind, Record};
use shared::known::parts;
use shared::receipt::{
    Answer, EndpointProof, Forced, Part, PhaseAt, Proof, RECEIPT_VERSION, Receipt, ReceiptId, RotationRef,
    Signed, chain::Head,
};
use shared::secret::{Redacted, Secret};
use shared::signing::{PrivateKey, TrustedKeys};

use crate::provider::{Document, Key, Provider, ReadError, WriteError};
use crate::rotation::context::{NoAnswer, Receipts};
use crate::rotation::failpoint::reach;

/// How many Rotations may finish at once, each of them taking the next number before us.
const TRIES: usize = 64;
/// Where the head lies in the store.
const HEAD_PATH: &str = "keyturn/receipts/head";
/// How many parts of a secret a receipt lists: more lines than the longest private key has.
const PARTS_MAX: usize = 512;

/// The book of receipts.
pub struct ReceiptBook {
    /// The store that holds the head.
    pub provider: Provider,
    /// The folder of the receipts; made when it is not there.
    pub folder: PathBuf,
    /// Signs.
    pub key: PrivateKey,
    /// Names secrets.
    pub names: FingerprintKey,
    /// The Rotation that this book is opened for.
    pub rotation: RotationRef,
    /// The property that holds the secret.
    pub part: String,
}

/// The head as it is stored: the last receipt whole, so that its file can be written again.
#[derive(Serialize, Deserialize)]
struct StoredHead {
    #[serde(flatten)]
    head: Head,
    envelope: String,
}

/// The head of the chain that a store keeps; `None` before its first receipt.
///
/// # Errors
/// When the store does not answer, or holds something else there.
pub async fn stored_head(provider: &Provider) -> Result<Option<Head>, NoAnswer> {
    match provider.read(&Key::latest(HEAD_PATH)).await {
        Ok(document) => parse_head(&document).map(|stored| Some(stored.head)),
        Err(ReadError::NotFound { .. }) => Ok(None),
        Err(error) => Err(no_answer(error, "receipt store")),
    }
}

fn parse_head(document: &Document) -> Result<StoredHead, NoAnswer> {
    document.json().expose(|bytes| serde_json::from_slice(bytes)).map_err(|_| not_ours())
}

fn not_ours() -> NoAnswer {
    no_answer("the head of the receipts is not one of ours", "receipt head")
}

fn no_answer(what: impl std::fmt::Display, class: &str) -> NoAnswer {
    NoAnswer { what: what.to_string(), class: class.to_owned() }
}

impl ReceiptBook {
    async fn head(&self) -> Result<(u64, Option<Signed>), NoAnswer> {
        let document = match self.provider.read(&Key::latest(HEAD_PATH)).await {
            Ok(document) => document,
            Err(ReadError::NotFound { .. }) => return Ok((0, None)),
            Err(error) => return Err(no_answer(error, "receipt store")),
        };
        let stored = parse_head(&document)?;
        let envelope = BASE64.decode(stored.envelope.as_bytes()).map_err(|_| not_ours())?;
        // A head that was signed by an earlier key of ours is still a head; its chain is verified by readers.
        let trusted = TrustedKeys::new(vec![self.key.public()]);
        let signed = Signed::verify(&envelope, &trusted).map_err(|error| no_answer(error, "receipt head"))?;
        if signed.head() != stored.head {
            return Err(not_ours());
        }
        Ok((document.version.unwrap_or(0), Some(signed)))
    }

    /// Writes the receipt's file, unless it is there.
    fn keep(&self, signed: &Signed) -> std::io::Result<()> {
        use std::io::Write as _;
        use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
        std::fs::DirBuilder::new().recursive(true).mode(0o755).create(&self.folder)?;
        let path = self.folder.join(signed.file_name());
        if std::fs::read(&path).is_ok_and(|bytes| bytes == signed.as_bytes()) {
            return Ok(());
        }
        let new = self.folder.join(format!(".{}.new", signed.file_name()));
        let mut file =
            std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o644).open(&new)?;
        file.write_all(signed.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&new, &path)?;
        std::fs::File::open(&self.folder)?.sync_all()
    }

    fn issued(&self, id: &ReceiptId) -> std::io::Result<bool> {
        let end = format!("-{id}.json");
        match std::fs::read_dir(&self.folder) {
            Ok(entries) => entries
                .map(|entry| Ok(entry?.file_name().to_string_lossy().ends_with(&end)))
                .find(|found| !matches!(found, Ok(false)))
                .unwrap_or(Ok(false)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn id(&self, record: &Record) -> Result<ReceiptId, NoAnswer> {
        // A hash, because names and uids may hold anything; short, because people read it.
        let mut hash = blake3::Hasher::new_derive_key("keyturn 2026 receipt id/1");
        hash.update(record.rotation_uid.as_bytes());
        let prefix = data_encoding::HEXLOWER.encode(&hash.finalize().as_bytes()[..4]);
        ReceiptId::new(format!("{prefix}-{}", record.revision))
            .ok_or_else(|| no_answer("the receipt has no name", "bug"))
    }

    /// The keyed names of a secret and of each part of it that leaks alone, as the known file lists them.
    fn parts(&self, secret: &Secret) -> BTreeSet<Fingerprint> {
        let name =
            |part: &parts::Part| part.value().expose(|bytes| self.names.fingerprint(Redacted::new(bytes)));
        parts::of(secret).iter().map(name).collect()
    }

    fn receipt(&self, record: &Record, id: ReceiptId, head: Option<&Signed>) -> Option<Receipt> {
        let current = record.current.as_ref()?;
        let (_, pending) = record.phase.pending()?;
        let phases = phases(record);
        let issued_at = phases.last().map_or(Timestamp::MIN, |last| last.at).max(Timestamp::now());
        let part = |fingerprint| Part { part: self.part.clone(), fingerprint };
        let new = self.parts(&pending.value.0);
        let mut old = vec![part(current.fingerprint)];
        // What leaks alone dies with its whole, unless the new secret has it too.
        for fingerprint in current.value.iter().flat_map(|value| self.parts(&value.0)).take(PARTS_MAX) {
            if fingerprint != current.fingerprint && !new.contains(&fingerprint) {
                old.push(part(fingerprint));
            }
        }
        Some(Receipt {
            version: RECEIPT_VERSION,
            id,
            seq: head.map_or(0, |signed| signed.head().seq) + 1,
            previous_hash: head.map(Signed::link),
            rotation: self.rotation.clone(),
            revision: record.revision,
            trigger: record.trigger.clone(),
            forced: record.forced().and_then(forced),
            key_id: self.names.key_id(),
            old,
            new: vec![part(pending.fingerprint)],
            phases,
            proof: proof(record)?,
            issued_at,
        })
    }
}

fn forced(ordered: &Ordered) -> Option<Forced> {
    let Order::ForceRevoke { reason } = &ordered.order else { return None };
    Some(Forced { actor: ordered.actor.clone(), reason: reason.clone(), at: ordered.at })
}

/// When each phase was reached; proven with the last endpoint's proof. A clock that was set back between two
/// phases must not make the run look impossible: no phase comes before the one before it.
fn phases(record: &Record) -> Vec<PhaseAt> {
    let proven = record.endpoints.values().filter_map(|p| Some(p.proven.as_ref()?.at)).max();
    let reached = record.reached.iter().map(|(&phase, &at)| (phase, at));
    let mut latest = Timestamp::MIN;
    reached
        .chain(proven.map(|at| (PhaseName::Proven, at)))
        .map(|(phase, at)| {
            latest = latest.max(at);
            PhaseAt { phase, at: latest }
        })
        .collect()
}

/// The proofs of all endpoints together: as strong as the weakest.
fn proof(record: &Record) -> Option<Proof> {
    let Phase::Revoked { .. } = &record.phase else { return None };
    let proofs: Vec<(&String, &shared::journal::Proof, &Progress)> =
        record.endpoints.iter().filter_map(|(name, p)| Some((name, p.proven.as_ref()?, p))).collect();
    let kind = proofs.iter().map(|(_, proof, _)| proof.kind).max()?;
    let endpoints = proofs
        .iter()
        .map(|(name, proof, progress)| {
            let asked = |answer| if proof.kind == ProofKind::Refused { answer } else { Answer::NotAsked };
            EndpointProof {
                name: (*name).clone(),
                old: asked(Answer::Refused),
                new: asked(Answer::Accepted),
                // The test phase tried a random password at every endpoint and went on only when it was refused.
                control: if progress.tested.is_some() { Answer::Refused } else { Answer::NotAsked },
                at: proof.at,
            }
        })
        .collect();
    let sessions_left = proofs.iter().map(|(_, proof, _)| proof.sessions_left).sum();
    Some(Proof { kind, endpoints, sessions_left })
}

impl ReceiptBook {
    /// One try; `None` when another Rotation took this number in between.
    async fn try_issue(&self, record: &Record) -> Result<Option<String>, NoAnswer> {
        let id = self.id(record)?;
        let (version, last) = self.head().await?;
        let written =
            |error: std::io::Error| no_answer(format!("{}: {error}", self.folder.display()), "receipt file");
        if let Some(last) = &last {
            self.keep(last).map_err(written)?;
        }
        // Every earlier receipt has its file by now: the run may have been issued one before a crash.
        if self.issued(&id).map_err(written)? {
            return Ok(Some(id.to_string()));
        }
        let receipt = self
            .receipt(record, id.clone(), last.as_ref())
            .ok_or_else(|| no_answer("the run is not complete", "bug"))?;
        let signed = Signed::new(receipt, &self.key).map_err(|error| no_answer(error, "receipt"))?;
        let stored = StoredHead { head: signed.head(), envelope: BASE64.encode(signed.as_bytes()) };
        let json = serde_json::to_vec(&stored).map_err(|_| no_answer("the head has no JSON form", "bug"))?;
        reach(format_args!("before receipt"));
        let written_head = self.provider.write(HEAD_PATH, Secret::new(json), Some(version)).await;
        reach(format_args!("after receipt"));
        match written_head {
            Ok(_) => {}
            Err(WriteError::Cas { .. }) => return Ok(None),
            Err(error) => return Err(no_answer(error, "receipt store")),
        }
        self.keep(&signed).map_err(written)?;
        Ok(Some(id.to_string()))
    }
}

impl Receipts for ReceiptBook {
    async fn issue(&self, record: &Record) -> Result<String, NoAnswer> {
        // Whoever loses a number has seen somebody else get one: with so many at work, everybody gets on.
        for _ in 0..TRIES {
            if let Some(id) = self.try_issue(record).await? {
                return Ok(id);
            }
        }
        Err(no_answer("other receipts were issued", "conflict"))
    }
}
