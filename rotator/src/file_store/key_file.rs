//! The key file: 32 random bytes, as they are or as 64 hexadecimal digits.
//!
//! Nothing is encrypted with these bytes themselves; each use takes a subkey of its own (HKDF, RFC 5869).

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use hkdf::Hkdf;
use sha2::Sha256;
use shared::secret::Secret;
use zeroize::{Zeroize as _, Zeroizing};

use super::{FileStoreError, disk};

const KEY_BYTES: usize = 32;
/// 64 digits and whatever line end an editor adds.
const FILE_BYTES_MAX: usize = 128;
const ENCRYPTION: &[u8] = b"keyturn/file-store/1 encryption";
const KEY_ID: &[u8] = b"keyturn/file-store/1 key id";

/// What a key file gives to a store.
#[derive(Debug)]
pub(super) struct StoreKey {
    file: PathBuf,
    encryption: Secret,
    id: KeyId,
}

/// Names a key without telling anything about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct KeyId(pub(super) [u8; 8]);

impl std::fmt::Display for KeyId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl StoreKey {
    /// Reads a key file, and refuses one that other users can read.
    pub(super) fn load(file: &Path) -> Result<Self, FileStoreError> {
        let unreadable = |error| FileStoreError::io(file, "read the key file", &error);
        let mut opened = disk::open_without_waiting(file).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => bad(file, "no such key file; `rotator store init` makes one"),
            _ => unreadable(error),
        })?;
        let found = opened.metadata().map_err(unreadable)?;
        if !found.is_file() {
            return Err(bad(file, "a key file must be a regular file"));
        }
        refuse_open_modes(file, found.mode(), found.uid())?;
        let content = Secret::read_from(&mut opened, FILE_BYTES_MAX).map_err(|error| match error.kind() {
            std::io::ErrorKind::FileTooLarge => not_a_key(file),
            _ => unreadable(error),
        })?;
        let key = content.expose(parse).ok_or_else(|| not_a_key(file))?;
        Self::derive(file, &key)
    }

    /// Makes a key file with a new key, mode 0600; never replaces one.
    pub(super) fn create(file: &Path) -> Result<(), FileStoreError> {
        let failed = |error| FileStoreError::io(file, "write the key file", &error);
        let mut key = Zeroizing::new([0_u8; KEY_BYTES]);
        getrandom::fill(key.as_mut())
            .map_err(|error| FileStoreError::io(file, "get random bytes", &std::io::Error::other(error)))?;
        let mut digits = Zeroizing::new([0_u8; 2 * KEY_BYTES + 1]);
        HEXLOWER.encode_mut(key.as_ref(), &mut digits[..2 * KEY_BYTES]);
        digits[2 * KEY_BYTES] = b'\n';
        let mut made = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(file)
            .map_err(|error| FileStoreError::exists_or(file, "make the key file", &error))?;
        let written = made.write_all(digits.as_ref()).and_then(|()| made.sync_all());
        written.map_err(|error| {
            // Half a key is worse than none. If this fails too, the next run says that it is no key.
            let _ = std::fs::remove_file(file);
            failed(error)
        })
    }

    /// The key file's path, for messages.
    pub(super) fn file(&self) -> &Path {
        &self.file
    }

    pub(super) fn id(&self) -> KeyId {
        self.id
    }

    /// The key of the cipher, 32 bytes.
    pub(super) fn encryption(&self) -> &Secret {
        &self.encryption
    }

    fn derive(file: &Path, key: &[u8; KEY_BYTES]) -> Result<Self, FileStoreError> {
        let extracted = Hkdf::<Sha256>::new(None, key);
        // Sizes far below HKDF's limit (8,160 bytes) cannot be refused; the error is passed on all the same.
        let refused = |_| bad(file, "no key can be derived from it");
        let mut encryption = Zeroizing::new([0_u8; KEY_BYTES]);
        extracted.expand(ENCRYPTION, encryption.as_mut()).map_err(refused)?;
        let mut id = [0_u8; 8];
        extracted.expand(KEY_ID, &mut id).map_err(refused)?;
        Ok(Self { file: file.to_owned(), encryption: Secret::copy_of(encryption.as_ref()), id: KeyId(id) })
    }
}

/// Exactly 32 bytes are the key; else, without white space around them, 64 hexadecimal digits.
fn parse(content: &[u8]) -> Option<Zeroizing<[u8; KEY_BYTES]>> {
    let mut key = Zeroizing::new([0_u8; KEY_BYTES]);
    if content.len() == KEY_BYTES {
        key.copy_from_slice(content);
        return Some(key);
    }
    let digits = content.trim_ascii();
    if digits.len() != 2 * KEY_BYTES {
        return None;
    }
    match HEXLOWER_PERMISSIVE.decode_mut(digits, key.as_mut()) {
        Ok(_) => Some(key),
        Err(_) => {
            key.zeroize();
            None
        }
    }
}

/// A file of ours must be ours alone. One that somebody else gives us may be readable by our group: that is how
/// Kubernetes mounts a Secret for a user that is not root.
fn refuse_open_modes(file: &Path, mode: u32, owner: u32) -> Result<(), FileStoreError> {
    let ours = owner == rustix::process::geteuid().as_raw();
    let forbidden = if ours { 0o077 } else { 0o037 };
    if mode & forbidden == 0 {
        return Ok(());
    }
    Err(bad(file, &format!("mode {:04o} lets other users at the key; run `chmod 600` on it", mode & 0o7777)))
}

fn not_a_key(file: &Path) -> FileStoreError {
    bad(file, "not a key: it must hold 64 hexadecimal digits or exactly 32 bytes")
}

fn bad(file: &Path, problem: &str) -> FileStoreError {
    FileStoreError::KeyFile { file: file.to_owned(), problem: problem.to_owned() }
}
