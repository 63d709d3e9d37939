//! What the rotator alone keeps about known files: the key of their ids, and which it has issued.
//!
//! A file beside the known key, named like it with `.rotator` at the end. Scanners get the known key and the
//! known file, never this. Without it ids cannot be mapped back, and findings made with the files are refused.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use shared::fingerprint::KeyId;
use shared::known::{Header, IdKey, Nonce};
use zeroize::{Zeroize as _, Zeroizing};

const LEDGER_VERSION: u32 = 1;
/// One file every five minutes, each believed for two days, are fewer.
const ISSUED_MAX: usize = 1_000;
const LEDGER_BYTES_MAX: u64 = 1 << 20;
const MAGIC: &[u8; 8] = b"KTKNOWN1";

/// Why the ledger cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The system said no.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// It can be read by others.
    #[error("{path}: others may read it (mode {mode:04o}); run `chmod 600 {path}`")]
    TooOpen {
        /// The file.
        path: String,
        /// Its permission bits.
        mode: u32,
    },
    /// Not a ledger.
    #[error("{path}: this is not the ledger of known files, or of a newer program; put back the original")]
    Malformed {
        /// The file.
        path: String,
    },
    /// There is none.
    #[error("{path}: there is none; `rotator known` with the same key makes it")]
    Missing {
        /// The file.
        path: String,
    },
    /// The operating system gave no random bytes.
    #[error("no random bytes from the operating system")]
    Random,
    /// What is to be replaced is something else.
    #[error("{path}: this is not a known file; remove it, or name another one")]
    NotKnown {
        /// The file.
        path: String,
    },
}

/// One known file that was issued.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Issued {
    /// Its generation.
    pub generation: u64,
    /// Its nonce, which proofs are bound to.
    pub nonce: Nonce,
    /// When it stops being believed, and with it the findings made with it.
    pub expires: Timestamp,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Stored {
    version: u32,
    /// Wiped by hand after each use.
    id_key: String,
    issued: Vec<Issued>,
}

/// The ledger of one known key.
pub struct Ledger {
    path: PathBuf,
    bytes: Zeroizing<[u8; 32]>,
    issued: Vec<Issued>,
}

impl Ledger {
    fn path_of(key_file: &Path) -> PathBuf {
        let mut path = key_file.as_os_str().to_owned();
        path.push(".rotator");
        path.into()
    }

    /// Reads the ledger of a key.
    ///
    /// # Errors
    /// When there is none, or it is not one.
    pub fn read(key_file: &Path) -> Result<Self, LedgerError> {
        let path = Self::path_of(key_file);
        let name = || path.display().to_string();
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(LedgerError::Missing { path: name() });
            }
            Err(source) => return Err(LedgerError::Io { path: name(), source }),
        };
        let io = |source| LedgerError::Io { path: name(), source };
        let metadata = file.metadata().map_err(io)?;
        let mode = metadata.mode() & 0o7777;
        if mode & 0o077 != 0 {
            return Err(LedgerError::TooOpen { path: name(), mode });
        }
        let malformed = || LedgerError::Malformed { path: name() };
        let length = usize::try_from(metadata.len().min(LEDGER_BYTES_MAX)).map_err(|_| malformed())?;
        let mut text = Zeroizing::new(Vec::with_capacity(length + 1));
        file.take(LEDGER_BYTES_MAX).read_to_end(&mut text).map_err(io)?;
        let mut stored: Stored = serde_json::from_slice(&text).map_err(|_| malformed())?;
        let mut bytes = Zeroizing::new([0_u8; 32]);
        let whole = stored.version == LEDGER_VERSION
            && stored.id_key.len() == 64
            && data_encoding::HEXLOWER.decode_mut(stored.id_key.as_bytes(), &mut *bytes).is_ok();
        stored.id_key.zeroize();
        if !whole {
            return Err(malformed());
        }
        Ok(Self { path, bytes, issued: stored.issued })
    }

    /// Reads the ledger of a key, or begins one.
    ///
    /// # Errors
    /// When what is there is not one, or there are no random bytes.
    pub fn open(key_file: &Path) -> Result<Self, LedgerError> {
        match Self::read(key_file) {
            Err(LedgerError::Missing { .. }) => {
                let mut bytes = Zeroizing::new([0_u8; 32]);
                getrandom::fill(&mut *bytes).map_err(|_| LedgerError::Random)?;
                Ok(Self { path: Self::path_of(key_file), bytes, issued: Vec::new() })
            }
            read => read,
        }
    }

    /// The key of the ids.
    pub fn id_key(&self) -> IdKey {
        IdKey::from_bytes(*self.bytes)
    }

    /// The known file of this generation, if it was issued here and is remembered.
    pub fn issued(&self, generation: u64) -> Option<&Issued> {
        self.issued.iter().find(|issued| issued.generation == generation)
    }

    /// The highest generation that was issued; 0 for none.
    pub fn generation(&self) -> u64 {
        self.issued.iter().map(|issued| issued.generation).max().unwrap_or(0)
    }

    /// Notes a file before it is written: a crash in between leaves a generation out and uses none twice.
    ///
    /// # Errors
    /// When the disk says no.
    pub fn note(&mut self, issued: Issued, now: Timestamp) -> Result<(), LedgerError> {
        self.issued.retain(|before| before.expires > now);
        self.issued.push(issued);
        let surplus = self.issued.len().saturating_sub(ISSUED_MAX);
        self.issued.drain(..surplus);
        let id_key = data_encoding::HEXLOWER.encode(&*self.bytes);
        let mut stored = Stored { version: LEDGER_VERSION, id_key, issued: self.issued.clone() };
        let io = |source| LedgerError::Io { path: self.path.display().to_string(), source };
        let mut text = Zeroizing::new(Vec::with_capacity(256 + 200 * self.issued.len()));
        let encoded = serde_json::to_writer(&mut *text, &stored);
        stored.id_key.zeroize();
        encoded.map_err(|error| io(error.into()))?;
        replace(&self.path, &text).map_err(io)
    }
}

/// The generation of the known file that is there, if it is one of this key; 0 for none. It is not believed, only
/// surpassed, so that its signature does not matter.
///
/// # Errors
/// When something else is there.
pub fn generation_there(path: &Path, key_id: KeyId) -> Result<u64, LedgerError> {
    let name = || path.display().to_string();
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(0),
        Err(source) => return Err(LedgerError::Io { path: name(), source }),
    };
    let header = (|| {
        if !file.metadata().ok()?.is_file() {
            return None;
        }
        let mut start = [0_u8; 12];
        file.read_exact(&mut start).ok()?;
        let length = u32::from_le_bytes(start[8..].try_into().ok()?);
        if start[..8] != *MAGIC || length > 4096 {
            return None;
        }
        let mut json = Vec::new();
        file.take(u64::from(length)).read_to_end(&mut json).ok()?;
        serde_json::from_slice::<Header>(&json).ok()
    })();
    let header = header.ok_or_else(|| LedgerError::NotKnown { path: name() })?;
    Ok(if header.key_id == key_id { header.generation } else { 0 })
}

/// Writes beside the file with mode 0600, to the disk, and then renames over it.
///
/// # Errors
/// When the disk says no; the old file is then unchanged.
pub fn replace(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let beside = folder.join(format!(".{name}.{}.new", std::process::id()));
    let written = (|| {
        // A file that a killed run left behind is in the way of `create_new`.
        match std::fs::remove_file(&beside) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
        file.set_permissions(std::fs::Permissions::from_mode(0o600))?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&beside, path)?;
        File::open(folder)?.sync_all()
    })();
    if written.is_err() {
        let _ = std::fs::remove_file(&beside);
    }
    written
}
