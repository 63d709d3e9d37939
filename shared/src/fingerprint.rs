//! Names for secrets that reveal nothing without a key.
//!
//! A fingerprint is `k1:` and the first 16 bytes, in hex, of keyed BLAKE3 over `keyturn/secret/1` and the
//! decoded secret. Neither the rule nor the path takes part: one secret has one fingerprint wherever it lies.
//! Without the key a fingerprint cannot be tested against guesses, which an unkeyed hash would allow.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::secret::Redacted;

/// Separates this use of the key from every other one.
const DOMAIN: &[u8] = b"keyturn/secret/1";
/// The derivation context of the public name of a key (BLAKE3's key derivation wants a fixed, unique text).
const KEY_ID_CONTEXT: &str = "keyturn 2026 fingerprint key id/1";
/// A key of 256 bits, in bytes.
const KEY_BYTES: usize = 32;
/// 128 bits: no two secrets of any fleet share one by chance.
const FINGERPRINT_BYTES: usize = 16;

/// The keyed name of a secret: `k1:` and 32 hexadecimal digits.
#[derive(Clone, Copy)]
pub struct Fingerprint([u8; FINGERPRINT_BYTES]);

impl Fingerprint {
    /// The 16 bytes.
    pub fn as_bytes(&self) -> &[u8; FINGERPRINT_BYTES] {
        &self.0
    }

    /// From the 16 bytes of another fingerprint.
    pub fn from_bytes(bytes: [u8; FINGERPRINT_BYTES]) -> Self {
        Self(bytes)
    }
}

impl PartialEq for Fingerprint {
    /// In constant time: how far two fingerprints agree is nobody's to measure.
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for Fingerprint {}

impl std::hash::Hash for Fingerprint {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl PartialOrd for Fingerprint {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Fingerprint {
    /// For stable reports, where both fingerprints are printed anyway.
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.cmp(&other.0)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "k1:{}", data_encoding::HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a text is not a fingerprint.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("not a fingerprint: expected `k1:` and 32 lower-case hexadecimal digits")]
pub struct NotAFingerprint;

impl FromStr for Fingerprint {
    type Err = NotAFingerprint;

    fn from_str(text: &str) -> Result<Self, NotAFingerprint> {
        let hex = text.strip_prefix("k1:").ok_or(NotAFingerprint)?;
        let bytes = data_encoding::HEXLOWER.decode(hex.as_bytes()).map_err(|_| NotAFingerprint)?;
        Ok(Self(bytes.try_into().map_err(|_| NotAFingerprint)?))
    }
}

impl Serialize for Fingerprint {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Fingerprint {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Fingerprint {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Fingerprint".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "pattern": "^k1:[0-9a-f]{32}$",
            "description": "The keyed name of a secret; the same secret has the same fingerprint under one key.",
        })
    }
}

/// Whether fingerprints of two runs can be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyOrigin {
    /// From a file: the next run has the same one.
    Kept,
    /// Made for this run: reports say `stable: false`.
    OneRun,
}

/// The key under which fingerprints are made. Wiped on drop.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct FingerprintKey {
    bytes: [u8; KEY_BYTES],
    #[zeroize(skip)]
    origin: KeyOrigin,
}

/// Why a fingerprint key could not be had.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file could not be read or written.
    #[error("fingerprint key {path}: {source}")]
    Io {
        /// The key file.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is not a key.
    #[error(
        "fingerprint key {path}: expected 64 hexadecimal digits (32 bytes); make one with `openssl rand -hex 32`"
    )]
    Malformed {
        /// The key file.
        path: String,
    },
    /// The file can be read by others.
    #[error("fingerprint key {path}: others may read it (mode {mode:04o}); run `chmod 600 {path}`")]
    TooOpen {
        /// The key file.
        path: String,
        /// Its permission bits.
        mode: u32,
    },
    /// The operating system gave no random bytes.
    #[error("no random bytes from the operating system: {0}")]
    Random(getrandom::Error),
}

impl FingerprintKey {
    /// A key from its bytes, as read from a file that is kept.
    pub fn from_bytes(bytes: [u8; KEY_BYTES]) -> Self {
        Self { bytes, origin: KeyOrigin::Kept }
    }

    /// A random key for one run.
    ///
    /// # Errors
    /// When the operating system gives no random bytes.
    pub fn one_run() -> Result<Self, KeyError> {
        let mut bytes = [0; KEY_BYTES];
        getrandom::fill(&mut bytes).map_err(KeyError::Random)?;
        Ok(Self { bytes, origin: KeyOrigin::OneRun })
    }

    /// Reads a key file: 64 hexadecimal digits and nothing else but white space, readable by its owner alone.
    ///
    /// # Errors
    /// When the file cannot be read, is open to others, or holds something else.
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        use std::io::Read;
        use std::os::unix::fs::MetadataExt;
        let name = || path.display().to_string();
        let io = |source| KeyError::Io { path: name(), source };
        let mut file = std::fs::File::open(path).map_err(io)?;
        let mode = file.metadata().map_err(io)?.mode() & 0o7777;
        if mode & 0o077 != 0 {
            return Err(KeyError::TooOpen { path: name(), mode });
        }
        // A key with its newline takes 65 bytes; more is another kind of file, and is not read on.
        let mut text = zeroize::Zeroizing::new(Vec::with_capacity(256));
        (&mut file).take(256).read_to_end(&mut text).map_err(io)?;
        let mut bytes = [0; KEY_BYTES];
        let hex = text.trim_ascii();
        if hex.len() != KEY_BYTES * 2
            || data_encoding::HEXLOWER_PERMISSIVE.decode_mut(hex, &mut bytes).is_err()
        {
            return Err(KeyError::Malformed { path: name() });
        }
        Ok(Self { bytes, origin: KeyOrigin::Kept })
    }

    /// The fingerprint of a decoded secret.
    pub fn fingerprint(&self, secret: Redacted<'_>) -> Fingerprint {
        let mut hasher = blake3::Hasher::new_keyed(&self.bytes);
        hasher.update(DOMAIN);
        secret.expose(|bytes| hasher.update(bytes));
        let mut output = [0; FINGERPRINT_BYTES];
        hasher.finalize_xof().fill(&mut output);
        hasher.zeroize();
        Fingerprint(output)
    }

    /// The public name of this key, 8 hexadecimal digits: reports, baselines and policies carry it, so that
    /// fingerprints of different keys are never compared.
    pub fn key_id(&self) -> KeyId {
        let mut hasher = blake3::Hasher::new_derive_key(KEY_ID_CONTEXT);
        hasher.update(&self.bytes);
        let mut id = [0; 4];
        hasher.finalize_xof().fill(&mut id);
        hasher.zeroize();
        KeyId(id)
    }

    /// Whether the next run will have the same key.
    pub fn origin(&self) -> KeyOrigin {
        self.origin
    }
}

impl fmt::Debug for FingerprintKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FingerprintKey({})", self.key_id())
    }
}

/// The public name of a key: 8 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId([u8; 4]);

impl KeyId {
    /// From the 4 bytes that a key of another kind is named by.
    pub fn from_bytes(bytes: [u8; 4]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&data_encoding::HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a text is not a key id.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("not a key id: expected 8 lower-case hexadecimal digits")]
pub struct NotAKeyId;

impl FromStr for KeyId {
    type Err = NotAKeyId;

    fn from_str(text: &str) -> Result<Self, NotAKeyId> {
        let bytes = data_encoding::HEXLOWER.decode(text.as_bytes()).map_err(|_| NotAKeyId)?;
        Ok(Self(bytes.try_into().map_err(|_| NotAKeyId)?))
    }
}

impl Serialize for KeyId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for KeyId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for KeyId {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "KeyId".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "pattern": "^[0-9a-f]{8}$",
            "description": "The public name of a key.",
        })
    }
}

#[cfg(test)]
mod tests;
