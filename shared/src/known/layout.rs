//! The bytes of a known file: header, body, signature; and every check before one of them is believed.

use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce};
use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::key::EntryId;
use super::{KNOWN_VERSION, KnownKey, LeftOutCounts, SPAN, STRIDE, VALUE_BYTES_MAX, ValueState, WINDOW};
use crate::fingerprint::KeyId;
use crate::signing::{PrivateKey, SIGNATURE_BYTES, SignerId, TrustedKeys};

/// What the signature is bound to besides the bytes.
pub const PAYLOAD_TYPE: &str = "application/vnd.keyturn.known";
/// The largest file that is read: ten times that of 100,000 values.
pub const FILE_BYTES_MAX: usize = 80 << 20;
const MAGIC: &[u8; 8] = b"KTKNOWN1";
const HEADER_BYTES_MAX: usize = 4096;
const SIGNER_BYTES: usize = 8;
const BODY_HEAD_BYTES: usize = 24;
const ENTRY_BYTES: usize = 33;
/// Clocks of two machines may differ by this.
const SKEW: SignedDuration = SignedDuration::from_mins(5);

/// What everybody can read of a known file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Header {
    /// [`KNOWN_VERSION`].
    pub version: u32,
    /// The key that opens the body.
    pub key_id: KeyId,
    /// Counts files under one key; a scanner that has seen a later one refuses an earlier one.
    pub generation: u64,
    /// When the file was written.
    #[schemars(with = "String")]
    pub created: Timestamp,
    /// When it stops being believed.
    #[schemars(with = "String")]
    pub expires: Timestamp,
    /// How many values it is about.
    pub count: u32,
    /// The nonce of the body's encryption; also part of every [proof](super::proof).
    pub nonce: Nonce,
}

/// 24 random bytes, in hex.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nonce(pub [u8; 24]);

impl Serialize for Nonce {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&data_encoding::HEXLOWER.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Nonce {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes =
            data_encoding::HEXLOWER.decode(text.as_bytes()).ok().and_then(|bytes| bytes.try_into().ok());
        bytes.map(Self).ok_or_else(|| serde::de::Error::custom("a nonce is 48 hexadecimal digits"))
    }
}

impl JsonSchema for Nonce {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Nonce".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "pattern": "^[0-9a-f]{48}$", "description": "24 random bytes." })
    }
}

/// What the reader knows about the present.
#[derive(Clone, Copy, Debug)]
pub struct Freshness {
    /// The time.
    pub now: Timestamp,
    /// The highest generation under this key that was seen before; 0 when none was.
    pub generation_seen: u64,
}

/// Why a known file is not believed. Each makes a scan incomplete: not knowing is not passing.
#[derive(Debug, thiserror::Error)]
pub enum KnownError {
    /// Not a known file, or cut short.
    #[error("not a known file, or cut short; run `rotator known` again")]
    Malformed,
    /// Larger than [`FILE_BYTES_MAX`].
    #[error("larger than {} MiB", FILE_BYTES_MAX >> 20)]
    TooLarge,
    /// Written by a newer program.
    #[error("it has version {found}; this program reads up to {KNOWN_VERSION}: update it")]
    Newer {
        /// The version in the file.
        found: u32,
    },
    /// Signed by somebody whom nobody trusts here.
    #[error("its key {signer} is not trusted here; give the rotator's public key")]
    UntrustedKey {
        /// The name of the signer.
        signer: String,
    },
    /// The signature is not that of these bytes.
    #[error("its signature is wrong: it was changed after it was signed")]
    Signature,
    /// For another known key.
    #[error("it is for the known key {wanted}; the key at hand is {given}")]
    OtherKey {
        /// The key's name in the file.
        wanted: KeyId,
        /// The name of the key at hand.
        given: KeyId,
    },
    /// The key has the right name and does not open the body.
    #[error("the known key does not open it")]
    Decrypt,
    /// Too old.
    #[error("it expired at {at}; run `rotator known` again")]
    Expired {
        /// When.
        at: Timestamp,
    },
    /// From the future.
    #[error("it was written at {at}, which is to come; set the clock")]
    NotYet {
        /// When.
        at: Timestamp,
    },
    /// Older than one that was seen before.
    #[error("it has generation {found}, and {seen} was seen before: somebody put an old one in its place")]
    Replayed {
        /// The generation in the file.
        found: u64,
        /// The highest that was seen.
        seen: u64,
    },
    /// Signed well, and impossible.
    #[error("it contradicts itself: {0}")]
    Contradiction(&'static str),
}

/// One entry, as it is stored.
#[derive(Clone, Copy)]
pub(super) struct Entry {
    pub(super) offset: u16,
    pub(super) length: u16,
    pub(super) tag: u32,
    pub(super) mac: [u8; 16],
    pub(super) id: EntryId,
    pub(super) state: ValueState,
}

/// What is inside the encryption.
pub(super) struct Body {
    pub(super) tag_bits: u32,
    pub(super) bitmap_log2: u32,
    pub(super) left_out: LeftOutCounts,
    pub(super) entries: Vec<Entry>,
    pub(super) bitmap: Vec<u8>,
}

impl Body {
    fn encode(&self) -> Zeroizing<Vec<u8>> {
        let length = BODY_HEAD_BYTES + self.entries.len() * ENTRY_BYTES + self.bitmap.len();
        let mut bytes = Zeroizing::new(Vec::with_capacity(length));
        bytes.extend([WINDOW as u8, STRIDE as u8, self.tag_bits as u8, self.bitmap_log2 as u8]);
        bytes.extend((self.entries.len() as u32).to_le_bytes());
        self.left_out.each().iter().for_each(|count| bytes.extend(count.to_le_bytes()));
        for entry in &self.entries {
            bytes.extend(entry.offset.to_le_bytes());
            bytes.extend(entry.length.to_le_bytes());
            bytes.extend(entry.tag.to_le_bytes());
            bytes.extend(entry.mac);
            bytes.extend(entry.id.0);
            bytes.push(entry.state.to_byte());
        }
        bytes.extend(&self.bitmap);
        bytes
    }

    fn decode(bytes: &[u8]) -> Result<Self, KnownError> {
        let wrong = KnownError::Contradiction;
        let (head, rest) = bytes.split_at_checked(BODY_HEAD_BYTES).ok_or(wrong("its body is cut short"))?;
        let number = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        if usize::from(head[0]) != WINDOW || usize::from(head[1]) != STRIDE {
            return Err(wrong("its windows are not those of version 1"));
        }
        let (tag_bits, bitmap_log2) = (u32::from(head[2]), u32::from(head[3]));
        if !(8..=30).contains(&tag_bits) || !(9..=32).contains(&bitmap_log2) {
            return Err(wrong("its tag or its bitmap has an impossible size"));
        }
        let entries_bytes = (number(4) as usize).saturating_mul(ENTRY_BYTES);
        let (entries, bitmap) = rest.split_at_checked(entries_bytes).ok_or(wrong("entries are missing"))?;
        if bitmap.len() as u64 != (1_u64 << bitmap_log2) / 8 {
            return Err(wrong("its bitmap has another size than it says"));
        }
        let entries = entries.chunks_exact(ENTRY_BYTES).map(|bytes| Entry::decode(bytes, tag_bits));
        let entries = entries.collect::<Option<Vec<_>>>().ok_or(wrong("an entry is impossible"))?;
        if !entries.is_sorted_by_key(|entry| (entry.tag, entry.mac, entry.offset)) {
            return Err(wrong("its entries are not in order"));
        }
        let left_out = LeftOutCounts::from_each([number(8), number(12), number(16), number(20)]);
        Ok(Self { tag_bits, bitmap_log2, left_out, entries, bitmap: bitmap.to_vec() })
    }
}

impl Entry {
    fn decode(bytes: &[u8], tag_bits: u32) -> Option<Self> {
        let short = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
        let entry = Self {
            offset: short(0),
            length: short(2),
            tag: u32::from_le_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]),
            mac: super::key::first(&bytes[8..24]),
            id: EntryId(super::key::first(&bytes[24..32])),
            state: ValueState::from_byte(bytes[32])?,
        };
        let fits = usize::from(entry.offset) + SPAN <= usize::from(entry.length)
            && usize::from(entry.length) <= VALUE_BYTES_MAX;
        (fits && entry.tag >> tag_bits == 0).then_some(entry)
    }
}

/// Encrypts and signs.
pub(super) fn seal(header: &Header, body: &Body, key: &KnownKey, signer: &PrivateKey) -> Option<Vec<u8>> {
    let header = serde_json::to_vec(header).ok()?;
    let mut file = MAGIC.to_vec();
    file.extend(u32::try_from(header.len()).ok()?.to_le_bytes());
    file.extend(&header);
    let nonce = serde_json::from_slice::<Header>(&header).ok()?.nonce;
    let plain = body.encode();
    let payload = Payload { msg: &plain, aad: &file };
    let sealed = cipher(key).encrypt(&XNonce::from(nonce.0), payload).ok()?;
    file.extend((sealed.len() as u64).to_le_bytes());
    file.extend(sealed);
    let signature = signer.sign(PAYLOAD_TYPE, &file);
    file.extend(data_encoding::HEXLOWER.decode(signer.public().id().as_str().as_bytes()).ok()?);
    file.extend(signature);
    Some(file)
}

/// Checks everything, and decrypts.
pub(super) fn unseal(
    file: &[u8],
    key: &KnownKey,
    trusted: &TrustedKeys,
    freshness: Freshness,
) -> Result<(Header, Body, SignerId), KnownError> {
    if file.len() > FILE_BYTES_MAX {
        return Err(KnownError::TooLarge);
    }
    let malformed = || KnownError::Malformed;
    let signed_length = file.len().checked_sub(SIGNER_BYTES + SIGNATURE_BYTES).ok_or_else(malformed)?;
    let (signed, trailer) = file.split_at(signed_length);
    let (associated, sealed) = split(signed).ok_or_else(malformed)?;
    let name = data_encoding::HEXLOWER.encode(&trailer[..SIGNER_BYTES]);
    let public = trusted.iter().find(|public| public.id().as_str() == name);
    let Some(public) = public else {
        return Err(KnownError::UntrustedKey { signer: name });
    };
    if !public.verifies(PAYLOAD_TYPE, signed, &super::key::first(&trailer[SIGNER_BYTES..])) {
        return Err(KnownError::Signature);
    }
    let header = parse_header(&associated[MAGIC.len() + 4..])?;
    check(&header, key, freshness)?;
    let payload = Payload { msg: sealed, aad: associated };
    let plain =
        cipher(key).decrypt(&XNonce::from(header.nonce.0), payload).map_err(|_| KnownError::Decrypt)?;
    let body = Body::decode(&Zeroizing::new(plain))?;
    if body.entries.len() != header.count as usize {
        return Err(KnownError::Contradiction("its header counts other values than its body"));
    }
    Ok((header, body, public.id()))
}

/// Splits what is signed into magic, length and header, and the encrypted body.
fn split(signed: &[u8]) -> Option<(&[u8], &[u8])> {
    let rest = signed.strip_prefix(MAGIC)?;
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let length = u32::from_le_bytes(*length) as usize;
    let rest = rest.get(length..).filter(|_| length <= HEADER_BYTES_MAX)?;
    let (body_length, sealed) = rest.split_first_chunk::<8>()?;
    let associated = &signed[..MAGIC.len() + 4 + length];
    (u64::from_le_bytes(*body_length) == sealed.len() as u64).then_some((associated, sealed))
}

fn parse_header(json: &[u8]) -> Result<Header, KnownError> {
    #[derive(Deserialize)]
    struct Version {
        version: u32,
    }
    let wrong = KnownError::Contradiction("its header is not one");
    let Ok(Version { version }) = serde_json::from_slice(json) else {
        return Err(wrong);
    };
    // Version 1 is the first: there is no older one to read yet.
    match version {
        0 => Err(wrong),
        1..=KNOWN_VERSION => serde_json::from_slice(json).map_err(|_| wrong),
        found => Err(KnownError::Newer { found }),
    }
}

fn check(
    header: &Header,
    key: &KnownKey,
    Freshness { now, generation_seen }: Freshness,
) -> Result<(), KnownError> {
    let given = key.key_id();
    if header.key_id != given {
        return Err(KnownError::OtherKey { wanted: header.key_id, given });
    }
    if header.expires <= now {
        return Err(KnownError::Expired { at: header.expires });
    }
    if header.created.duration_since(now) > SKEW {
        return Err(KnownError::NotYet { at: header.created });
    }
    if header.generation < generation_seen {
        return Err(KnownError::Replayed { found: header.generation, seen: generation_seen });
    }
    Ok(())
}

fn cipher(key: &KnownKey) -> XChaCha20Poly1305 {
    let mut body = chacha20poly1305::Key::default();
    body.copy_from_slice(&*key.body());
    let cipher = XChaCha20Poly1305::new(&body);
    zeroize::Zeroize::zeroize(body.as_mut_slice());
    cipher
}
