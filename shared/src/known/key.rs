//! The user's key, its subkeys, and the ids that only the rotator can map back.

use std::fmt;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use siphasher::sip::SipHasher24;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::WINDOW;
use crate::fingerprint::KeyId;

const KEY_BYTES: usize = 32;

/// The key of the known file, shared by the rotator and the scanners that may recognise its values. Wiped on drop.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct KnownKey([u8; KEY_BYTES]);

/// Why the key of the known file could not be had.
#[derive(Debug, thiserror::Error)]
pub enum KnownKeyError {
    /// The file could not be read.
    #[error("known key {path}: {source}")]
    Io {
        /// The key file.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is not a key.
    #[error(
        "known key {path}: expected 64 hexadecimal digits (32 bytes); make one with `openssl rand -hex 32`"
    )]
    Malformed {
        /// The key file.
        path: String,
    },
    /// The file can be read by others.
    #[error("known key {path}: others may read it (mode {mode:04o}); run `chmod 600 {path}`")]
    TooOpen {
        /// The key file.
        path: String,
        /// Its permission bits.
        mode: u32,
    },
}

impl KnownKey {
    /// A key from its bytes.
    pub fn from_bytes(bytes: [u8; KEY_BYTES]) -> Self {
        Self(bytes)
    }

    /// Reads a key file: 64 hexadecimal digits and nothing else but white space, readable by its owner alone.
    ///
    /// # Errors
    /// When the file cannot be read, is open to others, or holds something else.
    pub fn read(path: &Path) -> Result<Self, KnownKeyError> {
        let name = || path.display().to_string();
        let io = |source| KnownKeyError::Io { path: name(), source };
        let file = std::fs::File::open(path).map_err(io)?;
        let mode = file.metadata().map_err(io)?.mode() & 0o7777;
        if mode & 0o077 != 0 {
            return Err(KnownKeyError::TooOpen { path: name(), mode });
        }
        // A key with its newline takes 65 bytes; more is another kind of file, and is not read on.
        let mut text = Zeroizing::new(Vec::with_capacity(256));
        file.take(256).read_to_end(&mut text).map_err(io)?;
        let hex = text.trim_ascii();
        let mut key = Self([0; KEY_BYTES]);
        let whole = hex.len() == KEY_BYTES * 2
            && data_encoding::HEXLOWER_PERMISSIVE.decode_mut(hex, &mut key.0).is_ok();
        whole.then_some(key).ok_or_else(|| KnownKeyError::Malformed { path: name() })
    }

    /// The public name of the key.
    pub fn key_id(&self) -> KeyId {
        let mut id = [0; 4];
        self.expand("keyturn/known/1/key id", &mut id);
        KeyId::from_bytes(id)
    }

    /// A subkey for one use: HKDF-SHA-256 (RFC 5869) without salt, the use as info.
    fn expand(&self, info: &str, subkey: &mut [u8]) {
        // The only error is a length over 8160 bytes; a subkey left as zeros would be caught by the vectors.
        let _ = Hkdf::<Sha256>::new(None, &self.0).expand(info.as_bytes(), subkey);
    }

    fn subkey<const N: usize>(&self, info: &str) -> Zeroizing<[u8; N]> {
        let mut subkey = Zeroizing::new([0; N]);
        self.expand(info, &mut *subkey);
        subkey
    }

    pub(super) fn body(&self) -> Zeroizing<[u8; 32]> {
        self.subkey("keyturn/known/1/body")
    }

    pub(super) fn proof(&self) -> Hmac<Sha256> {
        keyed(&self.subkey("keyturn/known/1/proof"))
    }

    pub(super) fn windows(&self) -> WindowHash {
        let bytes = self.subkey::<24>("keyturn/known/1/window");
        let [a, b, c] = [0, 8, 16].map(|at| word(&bytes[at..at + 8]));
        WindowHash { a: a | 1, b: b | 1, c }
    }

    pub(super) fn tags(&self) -> TagHash {
        TagHash(SipHasher24::new_with_key(&self.subkey::<16>("keyturn/known/1/tag")))
    }

    pub(super) fn decoys(&self) -> SipHasher24 {
        SipHasher24::new_with_key(&self.subkey::<16>("keyturn/known/1/decoy"))
    }

    pub(super) fn macs(&self) -> MacHash {
        MacHash(keyed(&self.subkey("keyturn/known/1/mac")))
    }

    pub(super) fn offsets(&self) -> MacHash {
        MacHash(keyed(&self.subkey("keyturn/known/1/offset")))
    }
}

impl fmt::Debug for KnownKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KnownKey({})", self.key_id())
    }
}

fn word(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte))
}

/// HMAC-SHA-256 under a subkey. Copies of it are cheap: the key's block is already hashed.
fn keyed(subkey: &[u8; 32]) -> Hmac<Sha256> {
    // A key of a block's length or less is padded (RFC 2104), which is what this constructor is given.
    let mut block = hmac::digest::Key::<Hmac<Sha256>>::default();
    block[..subkey.len()].copy_from_slice(subkey);
    let hmac = Hmac::new(&block);
    block.as_mut_slice().zeroize();
    hmac
}

/// The hash behind the bitmap: one multiplication for 8 bytes, one for 4.
///
/// Two windows that differ share a bit of a bitmap of 2ˢ bits with a probability of at most 2⁻ˢ⁺² over the keys
/// (Dietzfelbinger's multiply-shift on each part), which no choice of content can raise without the key.
#[derive(Clone, Copy)]
pub(super) struct WindowHash {
    a: u64,
    b: u64,
    c: u64,
}

impl WindowHash {
    #[inline(always)]
    pub(super) fn of(&self, first: u64, last: u32) -> u64 {
        let sum = first.wrapping_mul(self.a).wrapping_add(u64::from(last).wrapping_mul(self.b));
        sum.wrapping_add(self.c)
    }

    pub(super) fn of_window(&self, window: &[u8]) -> u64 {
        self.of(word(&window[..8]), word(&window[8..WINDOW]) as u32)
    }
}

/// The hash behind the tags.
#[derive(Clone)]
pub(super) struct TagHash(SipHasher24);

impl TagHash {
    #[inline]
    pub(super) fn of(&self, window: &[u8], bits: u32) -> u32 {
        (self.0.hash(window) & ((1 << bits) - 1)) as u32
    }
}

/// HMAC-SHA-256 of the length and the value.
#[derive(Clone)]
pub(super) struct MacHash(Hmac<Sha256>);

impl MacHash {
    pub(super) fn of(&self, value: &[u8]) -> [u8; 16] {
        let mut hmac = self.0.clone();
        hmac.update(&(value.len() as u16).to_le_bytes());
        hmac.update(value);
        first(&hmac.finalize().into_bytes())
    }
}

pub(super) fn first<const N: usize>(bytes: &[u8]) -> [u8; N] {
    std::array::from_fn(|index| bytes[index])
}

/// The key under which the rotator names values in known files. It never leaves the rotator. Wiped on drop.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct IdKey([u8; KEY_BYTES]);

impl IdKey {
    /// From 32 bytes that the rotator keeps.
    pub fn from_bytes(bytes: [u8; KEY_BYTES]) -> Self {
        Self(bytes)
    }

    /// The id of a value: HMAC-SHA-256 of it, cut to 8 bytes. The rotator maps a finding back by computing the
    /// ids of the values that it knows; nobody else can test an id against a guess.
    pub fn id(&self, value: &[u8]) -> EntryId {
        let mut hmac = keyed(&self.0);
        hmac.update(b"keyturn/known/1/id");
        hmac.update(value);
        EntryId(first(&hmac.finalize().into_bytes()))
    }
}

/// The name of a known value: 16 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EntryId(pub(super) [u8; 8]);

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&data_encoding::HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl serde::Serialize for EntryId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for EntryId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <String as serde::Deserialize>::deserialize(deserializer)?;
        let bytes =
            data_encoding::HEXLOWER.decode(text.as_bytes()).ok().and_then(|bytes| bytes.try_into().ok());
        bytes.map(Self).ok_or_else(|| serde::de::Error::custom("a known value's id is 16 hexadecimal digits"))
    }
}

impl schemars::JsonSchema for EntryId {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "EntryId".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "pattern": "^[0-9a-f]{16}$",
            "description": "The name of a known value, which only the rotator can map back.",
        })
    }
}
