//! Secret bytes that cannot be printed.
//!
//! [`Secret`] owns its bytes and wipes them when it is dropped; [`Redacted`] borrows somebody else's. Neither
//! can be displayed, serialised, cloned or compared with `==`; `Debug` prints the length alone. The bytes are
//! seen only inside [`Secret::expose`], so that a search for `expose` lists every place that touches one.

use std::fmt;

use subtle::ConstantTimeEq;
use zeroize::{Zeroize, Zeroizing};

/// Owned secret bytes, wiped on drop.
///
/// Guarantees: no formatting or serialising shows the bytes, a panic message that contains a `Secret` shows its
/// length alone, and the buffer is zeroed before its memory is given back.
/// Caveat: bytes that were copied before they came here (a network buffer, a YAML document) are not wiped.
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Takes the bytes over. Nothing is copied.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// Takes a string over. Nothing is copied.
    pub fn from_string(text: String) -> Self {
        Self::new(text.into_bytes())
    }

    /// Copies the bytes; the caller's own copy stays the caller's to wipe.
    pub fn copy_of(bytes: &[u8]) -> Self {
        Self::new(bytes.to_vec())
    }

    /// Reads a whole stream, and wipes what was read if the stream fails or is longer than `bytes_max`.
    ///
    /// # Errors
    /// The stream's own error, or `FileTooLarge` when it holds more than `bytes_max` bytes.
    pub fn read_from(reader: &mut dyn std::io::Read, bytes_max: usize) -> std::io::Result<Self> {
        // Reserved once: a buffer that grows leaves unwiped copies behind.
        let mut bytes = Zeroizing::new(vec![0_u8; bytes_max + 1]);
        let mut length = 0;
        while length < bytes.len() {
            match reader.read(&mut bytes[length..]) {
                Ok(0) => break,
                Ok(read) => length += read,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        if length > bytes_max {
            return Err(std::io::ErrorKind::FileTooLarge.into());
        }
        Ok(Self::copy_of(&bytes[..length]))
    }

    /// Opens the bytes for the length of one call.
    pub fn expose<T>(&self, open: impl FnOnce(&[u8]) -> T) -> T {
        open(&self.0)
    }

    /// The number of bytes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A second owned copy, named so that it shows in a review; there is no `Clone`.
    pub fn duplicate(&self) -> Self {
        Self::copy_of(&self.0)
    }

    /// Whether both hold the same bytes, in time that depends on the lengths alone.
    pub fn same_as(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({} bytes)", self.len())
    }
}

impl Zeroize for Secret {
    fn zeroize(&mut self) {
        self.0.zeroize();
    }
}

/// Borrowed bytes that may hold a secret: a slice of an image, a line of a file.
#[derive(Clone, Copy)]
pub struct Redacted<'a>(&'a [u8]);

impl<'a> Redacted<'a> {
    /// Borrows the bytes.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Opens the bytes for the length of one call.
    pub fn expose<T>(&self, open: impl FnOnce(&'a [u8]) -> T) -> T {
        open(self.0)
    }

    /// The number of bytes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Redacted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Redacted({} bytes)", self.len())
    }
}

#[cfg(test)]
mod tests;
