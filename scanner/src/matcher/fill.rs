//! Fills a buffer from a reader that gives what it likes.

/// How a buffer came to be as full as it is.
pub enum Filled {
    /// To its end: there may be more.
    Full,
    /// The reader has no more.
    Ended,
    /// The reader failed.
    Failed(std::io::Error),
}

/// Reads until the buffer is full or the reader ends, and says how many bytes are new.
pub fn fill(reader: &mut dyn std::io::Read, buffer: &mut [u8]) -> (usize, Filled) {
    let mut filled = 0;
    while filled < buffer.len() {
        match reader.read(&mut buffer[filled..]) {
            Ok(0) => return (filled, Filled::Ended),
            Ok(read) => filled += read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return (filled, Filled::Failed(error)),
        }
    }
    (filled, Filled::Full)
}
