//! Signatures: Ed25519 over DSSE's pre-authentication encoding, and the files that keys live in.
//!
//! The rotator signs receipts and known files; the scanner checks them with public keys that a person named.
//! Private keys are PKCS#8 in PEM (RFC 8410), in files that their owner alone may read; public keys are SPKI in
//! PEM, several in one file while a key is replaced. `openssl pkey` reads and makes both.

use std::fmt;
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{
    DecodePrivateKey, DecodePublicKey, EncodePrivateKey, EncodePublicKey, KeypairBytes,
};
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// The length of an Ed25519 signature in bytes.
pub const SIGNATURE_BYTES: usize = 64;
/// More than any file of a few keys.
const KEY_FILE_BYTES_MAX: u64 = 64 * 1024;
const PUBLIC_BEGIN: &str = "-----BEGIN PUBLIC KEY-----";
const PUBLIC_END: &str = "-----END PUBLIC KEY-----";

/// The bytes that are signed for a payload: DSSE's pre-authentication encoding, `DSSEv1`, the type and the
/// payload with their lengths (<https://github.com/secure-systems-lab/dsse/blob/master/protocol.md>). A
/// signature for one type is never one for another.
pub fn pre_authentication_encoding(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let head = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len());
    [head.as_bytes(), payload].concat()
}

/// The public name of a signing key: the first 8 bytes, in hex, of SHA-256 over the public key's 32 bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct SignerId(String);

impl SignerId {
    fn of(key: &VerifyingKey) -> Self {
        Self(data_encoding::HEXLOWER.encode(&Sha256::digest(key.as_bytes())[..8]))
    }

    /// The 16 hexadecimal digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SignerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a key file could not be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// The file could not be read or written.
    #[error("key {path}: {source}")]
    Io {
        /// The key file.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file can be read by others.
    #[error("key {path}: others may read it (mode {mode:04o}); run `chmod 600 {path}`")]
    TooOpen {
        /// The key file.
        path: String,
        /// Its permission bits.
        mode: u32,
    },
    /// Not a private key that we can sign with.
    #[error(
        "key {path}: expected an Ed25519 private key in PEM; make one with `openssl genpkey -algorithm ed25519`"
    )]
    NotPrivate {
        /// The key file.
        path: String,
    },
    /// No public key in the file, or one of another kind.
    #[error(
        "key {path}: expected Ed25519 public keys in PEM; make one with `openssl pkey -in PRIVATE -pubout`"
    )]
    NotPublic {
        /// The key file.
        path: String,
    },
    /// The operating system gave no random bytes.
    #[error("no random bytes from the operating system: {0}")]
    Random(getrandom::Error),
}

/// A private key that signs. Its bytes are wiped on drop; `Debug` shows its public name.
pub struct PrivateKey(SigningKey);

impl PrivateKey {
    /// A new random key.
    ///
    /// # Errors
    /// When the operating system gives no random bytes.
    pub fn generate() -> Result<Self, KeyFileError> {
        let mut seed = Zeroizing::new([0; 32]);
        getrandom::fill(&mut *seed).map_err(KeyFileError::Random)?;
        Ok(Self::from_seed(&seed))
    }

    /// The key of a seed (RFC 8032, 5.1.5).
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(seed))
    }

    /// Reads a private key, from a file that its owner alone may read.
    ///
    /// # Errors
    /// When the file cannot be read, is open to others, or holds something else.
    pub fn read(path: &Path) -> Result<Self, KeyFileError> {
        let name = || path.display().to_string();
        let io = |source| KeyFileError::Io { path: name(), source };
        let file = std::fs::File::open(path).map_err(io)?;
        let mode = file.metadata().map_err(io)?.mode() & 0o7777;
        if mode & 0o077 != 0 {
            return Err(KeyFileError::TooOpen { path: name(), mode });
        }
        // Reserved at once, so that the text does not move and leave copies behind.
        let mut text = Zeroizing::new(String::with_capacity(4096));
        file.take(4096).read_to_string(&mut text).map_err(io)?;
        let key =
            SigningKey::from_pkcs8_pem(text.trim()).map_err(|_| KeyFileError::NotPrivate { path: name() })?;
        Ok(Self(key))
    }

    /// Writes the key to a new file with mode 0600. A file that exists is never overwritten: it may be the only
    /// copy of a key.
    ///
    /// # Errors
    /// When the file exists or cannot be written.
    pub fn write_new(&self, path: &Path) -> Result<(), KeyFileError> {
        let io = |source| KeyFileError::Io { path: path.display().to_string(), source };
        // Without the public half (PKCS#8 version 1): the form that every openssl reads.
        let pair = KeypairBytes { secret_key: self.0.to_bytes(), public_key: None };
        let text = pair.to_pkcs8_pem(LineEnding::LF).map_err(|error| io(std::io::Error::other(error)))?;
        let mut file =
            std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(io)?;
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(io)
    }

    /// The public key.
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key())
    }

    /// Signs a payload of a type.
    pub fn sign(&self, payload_type: &str, payload: &[u8]) -> [u8; SIGNATURE_BYTES] {
        self.0.sign(&pre_authentication_encoding(payload_type, payload)).to_bytes()
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrivateKey({})", self.public().id())
    }
}

/// A public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublicKey(VerifyingKey);

impl PublicKey {
    /// From the 32 bytes; `None` when they are no point of the curve, or one of small order, for which anyone
    /// can sign.
    pub fn from_bytes(bytes: &[u8; 32]) -> Option<Self> {
        VerifyingKey::from_bytes(bytes).ok().filter(|key| !key.is_weak()).map(Self)
    }

    /// The public name of the key.
    pub fn id(&self) -> SignerId {
        SignerId::of(&self.0)
    }

    /// The key as SPKI in PEM.
    pub fn to_pem(&self) -> String {
        // The encoding of 32 bytes cannot fail; an empty text would be refused wherever it is read.
        self.0.to_public_key_pem(LineEnding::LF).unwrap_or_default()
    }

    /// Whether the signature is this key's, for this payload of this type. Strict: no second signature of the
    /// same payload can be made from a first one.
    pub fn verifies(&self, payload_type: &str, payload: &[u8], signature: &[u8; SIGNATURE_BYTES]) -> bool {
        let message = pre_authentication_encoding(payload_type, payload);
        self.0.verify_strict(&message, &Signature::from_bytes(signature)).is_ok()
    }
}

/// The public keys that a person trusts. Empty, it trusts nobody.
#[derive(Clone, Debug, Default)]
pub struct TrustedKeys(Vec<PublicKey>);

impl TrustedKeys {
    /// Trusts these keys.
    pub fn new(keys: Vec<PublicKey>) -> Self {
        Self(keys)
    }

    /// Reads one or more public keys from a file.
    ///
    /// # Errors
    /// When the file cannot be read, holds no key, or holds one of another kind.
    pub fn read(path: &Path) -> Result<Self, KeyFileError> {
        let name = || path.display().to_string();
        let mut text = String::new();
        std::fs::File::open(path)
            .and_then(|file| file.take(KEY_FILE_BYTES_MAX).read_to_string(&mut text))
            .map_err(|source| KeyFileError::Io { path: name(), source })?;
        Self::parse(&text).ok_or_else(|| KeyFileError::NotPublic { path: name() })
    }

    fn parse(text: &str) -> Option<Self> {
        let mut keys = Vec::new();
        let mut rest = text;
        while let Some(begin) = rest.find(PUBLIC_BEGIN) {
            let end = begin + rest[begin..].find(PUBLIC_END)? + PUBLIC_END.len();
            let key = VerifyingKey::from_public_key_pem(&rest[begin..end]).ok()?;
            keys.push(PublicKey::from_bytes(key.as_bytes())?);
            rest = &rest[end..];
        }
        (!keys.is_empty()).then_some(Self(keys))
    }

    /// The trusted key of this name.
    pub fn find(&self, id: &SignerId) -> Option<&PublicKey> {
        self.0.iter().find(|key| key.id() == *id)
    }

    /// All trusted keys.
    pub fn iter(&self) -> std::slice::Iter<'_, PublicKey> {
        self.0.iter()
    }
}

impl<'a> IntoIterator for &'a TrustedKeys {
    type Item = &'a PublicKey;
    type IntoIter = std::slice::Iter<'a, PublicKey>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

#[cfg(test)]
mod tests;
