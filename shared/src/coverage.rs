//! The ledger of what was scanned and what was not.
//!
//! Every byte of a target is searched or listed here. A part is *excluded* when there is nothing to search in
//! it, *opaque* when its inside could not be opened but its raw bytes were searched, and *skipped* when it was
//! not read: only a skip makes the verdict incomplete on its own.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How many entries of each list a report names one by one; the rest are counted.
///
/// A target with a million broken files must not grow memory with them.
pub const LISTED_MAX: usize = 10_000;

/// What one run saw.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Coverage {
    /// Pieces of content that were searched: files, layer entries, image configurations, nested members.
    pub blobs: u64,
    /// Bytes as they are stored: of files, and of blobs before any decompression.
    pub bytes_stored: u64,
    /// Bytes that were searched, after decompression.
    pub bytes_decoded: u64,
    /// Nothing to search: FIFOs, devices, sockets, symbolic links, `.git`.
    pub excluded: Ledger<Excluded>,
    /// Not opened, but searched as raw bytes: encrypted or corrupt nested archives.
    pub opaque: Ledger<Opaque>,
    /// Not read, in part or in whole.
    pub skipped: Ledger<Skipped>,
}

impl Coverage {
    /// Adds what another part of the same run saw.
    pub fn absorb(&mut self, other: Self) {
        self.blobs += other.blobs;
        self.bytes_stored += other.bytes_stored;
        self.bytes_decoded += other.bytes_decoded;
        self.excluded.absorb(other.excluded);
        self.opaque.absorb(other.opaque);
        self.skipped.absorb(other.skipped);
    }
}

/// A list that names its first [`LISTED_MAX`] entries and counts all of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Ledger<Reason> {
    /// All entries, named or not.
    pub total: u64,
    /// The first entries in the order of their places.
    pub entries: Vec<Entry<Reason>>,
}

impl<Reason> Default for Ledger<Reason> {
    fn default() -> Self {
        Self { total: 0, entries: Vec::new() }
    }
}

impl<Reason> Ledger<Reason> {
    /// Adds one entry.
    pub fn push(&mut self, at: String, reason: Reason, detail: Option<String>) {
        self.total += 1;
        if self.entries.len() < LISTED_MAX {
            self.entries.push(Entry { at, reason, detail });
        }
    }

    /// Adds all entries of another list.
    pub fn absorb(&mut self, other: Self) {
        self.total += other.total;
        let room = LISTED_MAX.saturating_sub(self.entries.len());
        self.entries.extend(other.entries.into_iter().take(room));
    }

    /// Sorts by place, so that a report does not depend on the number of threads.
    pub fn sort(&mut self) {
        self.entries.sort_by(|a, b| a.at.cmp(&b.at).then_with(|| a.detail.cmp(&b.detail)));
    }
}

/// One place in the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Entry<Reason> {
    /// The place, as a person would name it: target, layer, path and nested members.
    pub at: String,
    /// Why.
    pub reason: Reason,
    /// What a person needs to act: the limit, the system's error. Never content of the target.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// Why there was nothing to search.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Excluded {
    /// A named pipe: opening it would wait for a writer.
    Fifo,
    /// A character or block device.
    Device,
    /// A socket.
    Socket,
    /// A symbolic link; its target is searched where it lies, if it lies inside.
    Symlink,
    /// A `.git` folder inside a tree: scan it with `git:PATH`.
    GitFolder,
    /// A further name of an inode that was already searched.
    SameInode,
    /// An attestation manifest of an image index: it describes an image and has no file system. Its statements are
    /// searched.
    Attestation,
    /// A platform that an index names and that was not pulled into the archive.
    AbsentPlatform,
    /// An image of another platform than the one that was asked for.
    OtherPlatform,
    /// A file system that the kernel makes up: `/proc`, `/sys`.
    KernelFilesystem,
    /// A submodule that was not fetched: another repository.
    Submodule,
}

impl Excluded {
    /// The word of the reports and of `allow_skip` in a policy.
    pub fn word(self) -> &'static str {
        match self {
            Self::Fifo => "fifo",
            Self::Device => "device",
            Self::Socket => "socket",
            Self::Symlink => "symlink",
            Self::GitFolder => "git-folder",
            Self::SameInode => "same-inode",
            Self::Attestation => "attestation",
            Self::AbsentPlatform => "absent-platform",
            Self::OtherPlatform => "other-platform",
            Self::KernelFilesystem => "kernel-filesystem",
            Self::Submodule => "submodule",
        }
    }
}

/// Why the inside of something could not be opened; its raw bytes were searched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Opaque {
    /// Encrypted.
    Encrypted,
    /// Looks like an archive or a compressed stream, but does not decode to its end.
    Corrupt,
    /// A compression or variant that we do not read.
    Unsupported,
    /// Needs random access inside a stream, beyond the memory or spill limit.
    NeedsSeek,
}

impl Opaque {
    /// The word of the reports and of `allow_skip` in a policy.
    pub fn word(self) -> &'static str {
        match self {
            Self::Encrypted => "encrypted",
            Self::Corrupt => "corrupt",
            Self::Unsupported => "unsupported",
            Self::NeedsSeek => "needs-seek",
        }
    }
}

/// Why something was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Skipped {
    /// The system refused to open or read it.
    Unreadable,
    /// The file or layer ends before its own header says.
    Truncated,
    /// A layer, archive or stream of the target itself is damaged.
    Corrupt,
    /// The bytes do not have the digest that names them.
    DigestMismatch,
    /// The manifest names a layer that is not there.
    MissingLayer,
    /// The manifest names a layer that lies elsewhere.
    ForeignLayer,
    /// The manifest or index is not understood.
    Unsupported,
    /// A limit was reached.
    Limit,
    /// The file changed or shrank while it was read.
    ChangedWhileRead,
    /// A name leads out of the root of the target.
    OutsideRoot,
    /// The history of a repository was not fetched to its beginning.
    Shallow,
    /// A repository names an object that is not there.
    MissingObject,
    /// The target holds nothing.
    Empty,
    /// The known file is forged, expired, replayed or cut short: live secrets were not looked for.
    KnownFile,
    /// A person stopped the run.
    Interrupted,
}

impl Skipped {
    /// The word of the reports and of `allow_skip` in a policy.
    pub fn word(self) -> &'static str {
        match self {
            Self::Unreadable => "unreadable",
            Self::Truncated => "truncated",
            Self::Corrupt => "corrupt",
            Self::DigestMismatch => "digest-mismatch",
            Self::MissingLayer => "missing-layer",
            Self::ForeignLayer => "foreign-layer",
            Self::Unsupported => "unsupported",
            Self::Limit => "limit",
            Self::ChangedWhileRead => "changed-while-read",
            Self::OutsideRoot => "outside-root",
            Self::Shallow => "shallow",
            Self::MissingObject => "missing-object",
            Self::Empty => "empty",
            Self::KnownFile => "known-file",
            Self::Interrupted => "interrupted",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Coverage, LISTED_MAX, Opaque, Skipped};

    #[test]
    fn the_words_are_those_of_the_json() {
        for reason in [Skipped::ChangedWhileRead, Skipped::Interrupted] {
            assert_eq!(serde_json::to_value(reason).unwrap(), reason.word());
        }
        assert_eq!(serde_json::to_value(Opaque::NeedsSeek).unwrap(), Opaque::NeedsSeek.word());
    }

    #[test]
    fn a_million_skips_are_counted_but_not_kept() {
        let mut coverage = Coverage::default();
        for index in 0..LISTED_MAX + 5 {
            coverage.skipped.push(format!("file-{index}"), Skipped::Unreadable, None);
        }
        let mut sum = Coverage::default();
        sum.absorb(coverage.clone());
        sum.absorb(coverage);
        assert_eq!(sum.skipped.total, 2 * (LISTED_MAX as u64 + 5));
        assert_eq!(sum.skipped.entries.len(), LISTED_MAX);
    }
}
