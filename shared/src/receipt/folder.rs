//! A folder of receipts, as the rotator writes it and the scanner reads it.

use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::{RECEIPT_BYTES_MAX, ReceiptError, Signed};
use crate::fingerprint::{Fingerprint, KeyId};
use crate::signing::TrustedKeys;

/// More receipts than a fleet writes in years; a folder with more is archived.
const FILES_MAX: usize = 200_000;

/// What a folder holds: receipts that count, and files that do not, each with its reason.
#[derive(Debug, Default)]
pub struct Folder {
    /// Receipts with a trusted signature, in the order of the chain.
    pub receipts: Vec<Signed>,
    /// Files that do not count.
    pub refused: Vec<Refused>,
}

/// A file that does not count as a receipt.
#[derive(Debug, thiserror::Error)]
#[error("receipt {file}: {error}")]
pub struct Refused {
    /// The file's name in the folder.
    pub file: String,
    /// Why.
    #[source]
    pub error: ReceiptError,
}

impl Folder {
    /// Reads every `*.json` of a folder. One bad file does not spoil the others.
    ///
    /// # Errors
    /// When the folder itself cannot be read.
    pub fn read(path: &Path, trusted: &TrustedKeys) -> std::io::Result<Self> {
        let mut folder = Self::default();
        let mut names = Vec::new();
        for entry in std::fs::read_dir(path)? {
            let name = entry?.file_name();
            if Path::new(&name).extension().is_some_and(|extension| extension == "json") {
                names.push(name);
            }
            if names.len() > FILES_MAX {
                return Err(std::io::Error::other(format!(
                    "more than {FILES_MAX} receipts; archive the older ones"
                )));
            }
        }
        names.sort();
        for name in names {
            match read_file(&path.join(&name)).and_then(|bytes| Signed::verify(&bytes, trusted)) {
                Ok(signed) => folder.receipts.push(signed),
                Err(error) => {
                    folder.refused.push(Refused { file: name.to_string_lossy().into_owned(), error });
                }
            }
        }
        folder.receipts.sort_by_key(|signed| signed.receipt().seq);
        Ok(folder)
    }

    /// The receipt that proves the secret of this fingerprint dead, if one does.
    pub fn proof_of_death(&self, key_id: KeyId, fingerprint: &Fingerprint) -> Option<&Signed> {
        self.receipts.iter().rev().find(|signed| signed.receipt().proves_dead(key_id, fingerprint))
    }

    /// Writes a receipt to a folder under its own name. Writing the same receipt again changes nothing.
    ///
    /// # Errors
    /// When the file cannot be written, or another receipt has its name.
    pub fn write(path: &Path, signed: &Signed) -> std::io::Result<()> {
        let name = path.join(signed.file_name());
        let opened = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o644).open(&name);
        match opened {
            Ok(mut file) => file.write_all(signed.as_bytes()).and_then(|()| file.sync_all())?,
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                // A write that was cut short left a beginning of the same bytes: it is completed.
                let found = std::fs::read(&name)?;
                if !signed.as_bytes().starts_with(&found) {
                    return Err(error);
                }
                let mut file = std::fs::OpenOptions::new().append(true).open(&name)?;
                file.write_all(&signed.as_bytes()[found.len()..]).and_then(|()| file.sync_all())?;
            }
            Err(error) => return Err(error),
        }
        std::fs::File::open(path)?.sync_all()
    }
}

fn read_file(path: &Path) -> Result<Vec<u8>, ReceiptError> {
    // A FIFO or a device in the folder must not hang the reader.
    let file = std::fs::OpenOptions::new()
        .read(true)
        .custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed())
        .open(path)?;
    if !file.metadata()?.is_file() {
        return Err(ReceiptError::Envelope);
    }
    let mut bytes = Vec::new();
    file.take(RECEIPT_BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}
