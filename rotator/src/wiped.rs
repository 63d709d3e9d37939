//! A buffer that grows without leaving copies behind.

use std::io::{Error, ErrorKind, Result, Write};

use shared::secret::Secret;
use zeroize::Zeroizing;

/// Collects secret bytes. When it grows, the old memory is wiped before it is given back.
pub(crate) struct WipedBuffer {
    bytes: Zeroizing<Vec<u8>>,
    bytes_max: usize,
}

impl WipedBuffer {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self::with_capacity(4096, bytes_max)
    }

    pub(crate) fn with_capacity(bytes: usize, bytes_max: usize) -> Self {
        Self { bytes: Zeroizing::new(Vec::with_capacity(bytes.min(bytes_max))), bytes_max }
    }

    /// The bytes as a secret. They move; nothing is copied.
    pub(crate) fn into_secret(mut self) -> Secret {
        Secret::new(std::mem::take(&mut *self.bytes))
    }

    pub(crate) fn into_inner(self) -> Zeroizing<Vec<u8>> {
        self.bytes
    }
}

impl Write for WipedBuffer {
    fn write(&mut self, more: &[u8]) -> Result<usize> {
        let needed = self.bytes.len() + more.len();
        if needed > self.bytes_max {
            return Err(Error::from(ErrorKind::FileTooLarge));
        }
        if needed > self.bytes.capacity() {
            let mut larger = Zeroizing::new(Vec::with_capacity(needed.max(2 * self.bytes.capacity())));
            larger.extend_from_slice(&self.bytes);
            // The old buffer is wiped as it is dropped here.
            self.bytes = larger;
        }
        self.bytes.extend_from_slice(more);
        Ok(more.len())
    }

    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}
