//! The store's bytes on disk: a plain header and an encrypted body.
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 0 | 8 | `ktstore` and a line feed |
//! | 8 | 4 | format version, 1 |
//! | 12 | 8 | key id |
//! | 20 | 8 | generation, one more with each write |
//! | 28 | 24 | nonce, random with each write |
//! | 52 | 8 | length of the body |
//! | 60 | | body: XChaCha20-Poly1305 with the tag (16 bytes) at its end |
//!
//! Numbers are little-endian. The whole header is authenticated as associated data, so that no field of it can be
//! changed or taken from another store.
//!
//! Caveat: an older copy of the whole file is authentic too. Whoever can write the folder can bring it back.

use chacha20poly1305::aead::AeadInOut as _;
use chacha20poly1305::{KeyInit as _, Tag, XChaCha20Poly1305, XNonce};
use zeroize::Zeroizing;

use super::key_file::{KeyId, StoreKey};

/// The format that this program writes, and the newest that it reads.
pub(super) const VERSION: u32 = 1;
pub(super) const HEADER_BYTES: usize = 60;
const MAGIC: [u8; 8] = *b"ktstore\n";
const NONCE_BYTES: usize = 24;
const TAG_BYTES: usize = 16;

/// The header of one generation. Two that are equal stand over the same body: the nonce is never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) key_id: KeyId,
    pub(super) generation: u64,
    nonce: [u8; NONCE_BYTES],
    body_bytes: u64,
}

/// Why bytes are no store that we can open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unsealable {
    NotAStore,
    Truncated,
    TooLong,
    Newer(u32),
    OtherKey(KeyId),
    /// The tag does not fit: header or body were changed.
    Altered,
}

impl Header {
    /// Reads a header from the first bytes of a file.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, Unsealable> {
        let magic_length = bytes.len().min(MAGIC.len());
        if bytes.is_empty() || bytes[..magic_length] != MAGIC[..magic_length] {
            return Err(Unsealable::NotAStore);
        }
        let mut fields = Fields(bytes.get(MAGIC.len()..).unwrap_or_default());
        // The version first: a newer one may have another header.
        let version = u32::from_le_bytes(fields.take()?);
        if version > VERSION {
            return Err(Unsealable::Newer(version));
        }
        if version == 0 {
            return Err(Unsealable::NotAStore);
        }
        Ok(Self {
            key_id: KeyId(fields.take()?),
            generation: u64::from_le_bytes(fields.take()?),
            nonce: fields.take()?,
            body_bytes: u64::from_le_bytes(fields.take()?),
        })
    }

    fn to_bytes(self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[12..20].copy_from_slice(&self.key_id.0);
        bytes[20..28].copy_from_slice(&self.generation.to_le_bytes());
        bytes[28..52].copy_from_slice(&self.nonce);
        bytes[52..60].copy_from_slice(&self.body_bytes.to_le_bytes());
        bytes
    }
}

/// Encrypts `plaintext` where it stands, and returns the file's header and bytes.
pub(super) fn seal(
    key: &StoreKey,
    generation: u64,
    mut plaintext: Zeroizing<Vec<u8>>,
) -> std::io::Result<(Header, Vec<u8>)> {
    let mut nonce = [0; NONCE_BYTES];
    getrandom::fill(&mut nonce).map_err(std::io::Error::other)?;
    let body_bytes = (plaintext.len() + TAG_BYTES) as u64;
    let header = Header { key_id: key.id(), generation, nonce, body_bytes };
    let head = header.to_bytes();
    let tag = cipher(key)
        .and_then(|cipher| {
            let buffer = plaintext.as_mut_slice().into();
            cipher.encrypt_inout_detached(&XNonce::from(nonce), &head, buffer).ok()
        })
        .ok_or_else(|| std::io::Error::other("the cipher refused the store's size"))?;
    let mut file = Vec::with_capacity(HEADER_BYTES + plaintext.len() + TAG_BYTES);
    file.extend_from_slice(&head);
    file.extend_from_slice(&plaintext);
    file.extend_from_slice(&tag);
    Ok((header, file))
}

/// Decrypts a whole file where it stands. The result begins at [`HEADER_BYTES`].
pub(super) fn open(key: &StoreKey, file: Vec<u8>) -> Result<(Header, Opened), Unsealable> {
    // From here on the buffer holds, or may hold, plaintext.
    let mut file = Zeroizing::new(file);
    let header = Header::parse(&file)?;
    if header.key_id != key.id() {
        return Err(Unsealable::OtherKey(header.key_id));
    }
    let body_bytes = (file.len() - HEADER_BYTES) as u64;
    if body_bytes < header.body_bytes || header.body_bytes < TAG_BYTES as u64 {
        return Err(Unsealable::Truncated);
    }
    if body_bytes > header.body_bytes {
        return Err(Unsealable::TooLong);
    }
    let (head, body) = file.split_at_mut(HEADER_BYTES);
    let (text, tag) = body.split_at_mut(body.len() - TAG_BYTES);
    let tag = Tag::try_from(&*tag).map_err(|_| Unsealable::Truncated)?;
    cipher(key)
        .ok_or(Unsealable::Altered)?
        .decrypt_inout_detached(&XNonce::from(header.nonce), head, text.into(), &tag)
        .map_err(|_| Unsealable::Altered)?;
    Ok((header, Opened(file)))
}

/// A decrypted file, wiped on drop.
pub(super) struct Opened(Zeroizing<Vec<u8>>);

impl Opened {
    pub(super) fn plaintext(&self) -> &[u8] {
        &self.0[HEADER_BYTES..self.0.len() - TAG_BYTES]
    }
}

fn cipher(key: &StoreKey) -> Option<XChaCha20Poly1305> {
    key.encryption().expose(|bytes| XChaCha20Poly1305::new_from_slice(bytes).ok())
}

/// Takes fields of fixed size from the front.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], Unsealable> {
        let (field, rest) = self.0.split_first_chunk().ok_or(Unsealable::Truncated)?;
        self.0 = rest;
        Ok(*field)
    }
}
