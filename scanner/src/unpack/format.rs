//! What a piece of content is, told from its first bytes. Names and extensions are not believed.

use super::tar::is_header;
use super::{git, pack, pyc, sqlite};

/// How many first bytes [`Format::of`] looks at: one tar block.
pub(crate) const HEAD_BYTES: usize = 512;

/// Kinds of packaging.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// Nothing that we unpack.
    Plain,
    Tar,
    Zip,
    /// Unix `ar`: static libraries, Debian packages.
    Ar,
    Cpio,
    Rpm,
    Sqlite,
    Pdf,
    /// A loose object of git.
    GitObject,
    GitPack,
    /// Compiled Python.
    Pyc,
    Compressed(Codec),
    /// An archive that we know and do not read: 7z, RAR, cabinet.
    Foreign(&'static str),
}

/// Kinds of compressed streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Codec {
    Gzip,
    /// Without a header; only inside other formats.
    Deflate,
    /// Its two bytes of header are a weak sign; only inside other formats.
    Zlib,
    Zstd,
    Bzip2,
    Xz,
    Lz4,
}

impl Codec {
    /// The name in messages.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
            Self::Zlib => "zlib",
            Self::Zstd => "zstd",
            Self::Bzip2 => "bzip2",
            Self::Xz => "xz",
            Self::Lz4 => "lz4",
        }
    }

    /// Endings that people give to such files, longest first.
    fn endings(self) -> &'static [&'static str] {
        match self {
            Self::Gzip => &[".gzip", ".gz"],
            Self::Deflate | Self::Zlib => &[],
            Self::Zstd => &[".zstd", ".zst"],
            Self::Bzip2 => &[".bzip2", ".bz2", ".bz"],
            Self::Xz => &[".xz"],
            Self::Lz4 => &[".lz4"],
        }
    }

    /// What a person would call the content of a compressed file.
    pub(crate) fn inner_name(self, outer: &str) -> &str {
        let base = outer.rsplit('/').next().unwrap_or(outer);
        let stem = self.endings().iter().find_map(|ending| base.strip_suffix(ending));
        match stem {
            Some(stem) if !stem.is_empty() => stem,
            _ => base,
        }
    }
}

impl Format {
    /// Tells the format from the first [`HEAD_BYTES`] bytes, or all of them if there are fewer.
    pub(crate) fn of(head: &[u8]) -> Self {
        match head {
            [0x1f, 0x8b, 8, ..] => Self::Compressed(Codec::Gzip),
            // A frame, or a skippable frame before it (pzstd writes those, zstd:chunked at the end).
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => {
                Self::Compressed(Codec::Zstd)
            }
            [b'B', b'Z', b'h', b'1'..=b'9', 0x31, 0x41, 0x59, 0x26, 0x53, 0x59, ..] => {
                Self::Compressed(Codec::Bzip2)
            }
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Self::Compressed(Codec::Xz),
            [0x04, 0x22, 0x4d, 0x18, ..] => Self::Compressed(Codec::Lz4),
            [b'P', b'K', 3, 4, ..] | [b'P', b'K', 5, 6, ..] | [b'P', b'K', 7, 8, b'P', b'K', 3, 4, ..] => {
                Self::Zip
            }
            [b'!', b'<', b'a', b'r', b'c', b'h', b'>', b'\n', ..] => Self::Ar,
            [b'0', b'7', b'0', b'7', b'0', b'1' | b'2' | b'7', ..] => Self::Cpio,
            [0xed, 0xab, 0xee, 0xdb, ..] => Self::Rpm,
            head if head.starts_with(sqlite::MAGIC) => Self::Sqlite,
            head if head.starts_with(b"%PDF-") => Self::Pdf,
            head if head.starts_with(pack::MAGIC) && matches!(head.get(4..8), Some([0, 0, 0, 2 | 3])) => {
                Self::GitPack
            }
            head if git::is_loose(head) => Self::GitObject,
            head if pyc::is_compiled(head) => Self::Pyc,
            [b'7', b'z', 0xbc, 0xaf, 0x27, 0x1c, ..] => Self::Foreign("7z"),
            [b'R', b'a', b'r', b'!', 0x1a, 7, ..] => Self::Foreign("RAR"),
            [b'M', b'S', b'C', b'F', 0, 0, 0, 0, ..] => Self::Foreign("cabinet"),
            head if is_header(head) => Self::Tar,
            _ => Self::Plain,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Codec, Format};

    #[test]
    fn formats_are_told_from_content() {
        assert_eq!(Format::of(b"\x1f\x8b\x08\x00"), Format::Compressed(Codec::Gzip));
        assert_eq!(Format::of(b"\x5f\x2a\x4d\x18\x00"), Format::Compressed(Codec::Zstd));
        assert_eq!(Format::of(b"PK\x03\x04"), Format::Zip);
        assert_eq!(Format::of(b""), Format::Plain);
        assert_eq!(Format::of(b"PK"), Format::Plain);
        assert_eq!(Format::of(&[0; 512]), Format::Plain);
        let mut header = tar::Header::new_ustar();
        header.set_path("x").unwrap();
        header.set_size(3);
        header.set_cksum();
        assert_eq!(Format::of(header.as_bytes()), Format::Tar);
    }

    #[test]
    fn compressed_files_lose_their_ending_and_nothing_else() {
        assert_eq!(Codec::Gzip.inner_name("usr/share/doc/changelog.gz"), "changelog");
        assert_eq!(Codec::Gzip.inner_name("var/.gz"), ".gz");
        assert_eq!(Codec::Xz.inner_name("initrd"), "initrd");
    }
}
