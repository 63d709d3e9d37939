//! A receipt under its signature: DSSE over JSON, in one exact form.

use serde::{Deserialize, Serialize};

use super::{Head, Link, RECEIPT_VERSION, Receipt};
use crate::signing::{PrivateKey, PublicKey, SIGNATURE_BYTES, SignerId, TrustedKeys};

/// What the signature is bound to besides the bytes.
pub const PAYLOAD_TYPE: &str = "application/vnd.keyturn.receipt+json";
/// The largest receipt that is read, in bytes: some hundred endpoints.
pub const RECEIPT_BYTES_MAX: usize = 256 * 1024;

/// A receipt whose signature was checked or just made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    receipt: Receipt,
    signer: SignerId,
    bytes: Vec<u8>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Envelope {
    payload_type: String,
    payload: String,
    signatures: Vec<EnvelopeSignature>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EnvelopeSignature {
    keyid: SignerId,
    sig: String,
}

/// Why a receipt does not count.
#[derive(Debug, thiserror::Error)]
pub enum ReceiptError {
    /// The file could not be read.
    #[error("it could not be read: {0}")]
    Io(#[from] std::io::Error),
    /// Larger than [`RECEIPT_BYTES_MAX`].
    #[error("it is larger than {} KiB", RECEIPT_BYTES_MAX / 1024)]
    TooLarge,
    /// Not an envelope of ours, or not byte for byte as it was written.
    #[error("its envelope is not as the rotator wrote it; take the original file")]
    Envelope,
    /// Signed by somebody whom nobody trusts here.
    #[error("its key {signer} is not trusted here; give the rotator's public key")]
    UntrustedKey {
        /// The name of the key.
        signer: SignerId,
    },
    /// The signature is not that of these bytes.
    #[error("its signature is wrong: it was changed after it was signed")]
    Signature,
    /// Signed well, by a newer program.
    #[error("it has version {found}; this program reads up to {RECEIPT_VERSION}: update it")]
    Newer {
        /// The version in the receipt.
        found: u32,
    },
    /// Signed well, and not a receipt.
    #[error("it was signed, but does not have the fields of a receipt")]
    Schema,
    /// Signed well, and impossible.
    #[error("it contradicts itself: {0}")]
    Contradiction(&'static str),
}

impl Signed {
    /// Signs a receipt.
    ///
    /// # Errors
    /// When the receipt contradicts itself or is too large: nobody would accept it.
    pub fn new(receipt: Receipt, key: &PrivateKey) -> Result<Self, ReceiptError> {
        let payload = payload(&receipt)?;
        let signature = key.sign(PAYLOAD_TYPE, &payload);
        Self::assemble(receipt, &payload, &key.public(), &signature)
    }

    /// The bytes that another signer (Vault Transit) signs for a receipt; [`Signed::from_signature`] takes its
    /// answer.
    ///
    /// # Errors
    /// As [`Signed::new`].
    pub fn message(receipt: &Receipt) -> Result<Vec<u8>, ReceiptError> {
        Ok(crate::signing::pre_authentication_encoding(PAYLOAD_TYPE, &payload(receipt)?))
    }

    /// Takes the signature that another signer made over [`Signed::message`].
    ///
    /// # Errors
    /// As [`Signed::new`], and when the signature is not this key's.
    pub fn from_signature(
        receipt: Receipt,
        key: &PublicKey,
        signature: &[u8; SIGNATURE_BYTES],
    ) -> Result<Self, ReceiptError> {
        let payload = payload(&receipt)?;
        if !key.verifies(PAYLOAD_TYPE, &payload, signature) {
            return Err(ReceiptError::Signature);
        }
        Self::assemble(receipt, &payload, key, signature)
    }

    fn assemble(
        receipt: Receipt,
        payload: &[u8],
        key: &PublicKey,
        signature: &[u8; SIGNATURE_BYTES],
    ) -> Result<Self, ReceiptError> {
        let signer = key.id();
        let sig = data_encoding::BASE64.encode(signature);
        let envelope = Envelope {
            payload_type: PAYLOAD_TYPE.into(),
            payload: data_encoding::BASE64.encode(payload),
            signatures: vec![EnvelopeSignature { keyid: signer.clone(), sig }],
        };
        let bytes = written(&envelope)?;
        if bytes.len() > RECEIPT_BYTES_MAX {
            return Err(ReceiptError::TooLarge);
        }
        Ok(Self { receipt, signer, bytes })
    }

    /// Reads a receipt and checks its signature.
    ///
    /// Guarantee: a change of any single byte of the file is an error, also where JSON would not mind: the
    /// envelope must be exactly as it was written.
    ///
    /// # Errors
    /// The first check that failed: size, envelope, key, signature, schema.
    pub fn verify(bytes: &[u8], trusted: &TrustedKeys) -> Result<Self, ReceiptError> {
        if bytes.len() > RECEIPT_BYTES_MAX {
            return Err(ReceiptError::TooLarge);
        }
        let envelope: Envelope = serde_json::from_slice(bytes).map_err(|_| ReceiptError::Envelope)?;
        if envelope.payload_type != PAYLOAD_TYPE || written(&envelope)? != bytes {
            return Err(ReceiptError::Envelope);
        }
        let [signature] = envelope.signatures.as_slice() else {
            return Err(ReceiptError::Envelope);
        };
        let decode =
            |text: &str| data_encoding::BASE64.decode(text.as_bytes()).map_err(|_| ReceiptError::Envelope);
        let payload = decode(&envelope.payload)?;
        let sig: [u8; SIGNATURE_BYTES] =
            decode(&signature.sig)?.try_into().map_err(|_| ReceiptError::Envelope)?;
        let signer = signature.keyid.clone();
        let Some(key) = trusted.find(&signer) else {
            return Err(ReceiptError::UntrustedKey { signer });
        };
        if !key.verifies(PAYLOAD_TYPE, &payload, &sig) {
            return Err(ReceiptError::Signature);
        }
        Ok(Self { receipt: parse(&payload)?, signer, bytes: bytes.to_vec() })
    }

    /// The receipt.
    pub fn receipt(&self) -> &Receipt {
        &self.receipt
    }

    /// Who signed it.
    pub fn signer(&self) -> &SignerId {
        &self.signer
    }

    /// The envelope as JSON, for a file or a store.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What the next receipt calls this one.
    pub fn link(&self) -> Link {
        Link::of(&self.bytes)
    }

    /// The head of a chain that ends here.
    pub fn head(&self) -> Head {
        Head { seq: self.receipt.seq, hash: self.link() }
    }

    /// The file's name in a folder of receipts; names sort in the order of the chain.
    pub fn file_name(&self) -> String {
        format!("{:010}-{}.json", self.receipt.seq, self.receipt.id)
    }
}

/// The one form in which an envelope is written: compact JSON and a newline.
fn written(envelope: &Envelope) -> Result<Vec<u8>, ReceiptError> {
    let mut bytes = serde_json::to_vec(envelope).map_err(|_| ReceiptError::Envelope)?;
    bytes.push(b'\n');
    Ok(bytes)
}

fn payload(receipt: &Receipt) -> Result<Vec<u8>, ReceiptError> {
    match receipt.contradiction() {
        Some(why) => Err(ReceiptError::Contradiction(why)),
        None => serde_json::to_vec(receipt).map_err(|_| ReceiptError::Schema),
    }
}

fn parse(payload: &[u8]) -> Result<Receipt, ReceiptError> {
    #[derive(Deserialize)]
    struct Version {
        version: u32,
    }
    let Version { version } = serde_json::from_slice(payload).map_err(|_| ReceiptError::Schema)?;
    if version > RECEIPT_VERSION {
        return Err(ReceiptError::Newer { found: version });
    }
    // Version 1 is the first: there is no older one to read yet.
    if version == 0 {
        return Err(ReceiptError::Schema);
    }
    let receipt: Receipt = serde_json::from_slice(payload).map_err(|_| ReceiptError::Schema)?;
    match receipt.contradiction() {
        Some(why) => Err(ReceiptError::Contradiction(why)),
        None => Ok(receipt),
    }
}
