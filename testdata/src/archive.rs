//! Tar archives entry by entry, also such as no tar program writes; and other packaging.

use std::io::Write;

use tar::{EntryType, Header};

use crate::chunked;

/// Writes a tar archive in memory.
#[derive(Clone, Debug, Default)]
pub struct Tar {
    bytes: Vec<u8>,
}

impl Tar {
    /// An archive without entries.
    pub fn new() -> Self {
        Self::default()
    }

    /// A file. Names over 100 bytes become PAX records.
    #[must_use]
    pub fn file(self, path: &str, data: &[u8]) -> Self {
        self.entry(EntryType::Regular, path, "", data)
    }

    /// A folder.
    #[must_use]
    pub fn folder(self, path: &str) -> Self {
        self.entry(EntryType::Directory, path, "", &[])
    }

    /// A symbolic link.
    #[must_use]
    pub fn symbolic_link(self, path: &str, target: &str) -> Self {
        self.entry(EntryType::Symlink, path, target, &[])
    }

    /// A hard link; the target counts from the root.
    #[must_use]
    pub fn hard_link(self, path: &str, target: &str) -> Self {
        self.entry(EntryType::Link, path, target, &[])
    }

    /// Any entry.
    #[must_use]
    pub fn entry(mut self, kind: EntryType, path: &str, link: &str, data: &[u8]) -> Self {
        if path.len() > 100 || link.len() > 100 {
            self = self.pax(&[("path", path.as_bytes()), ("linkpath", link.as_bytes())]);
        }
        let header = header(kind, path.as_bytes(), link.as_bytes(), data.len() as u64);
        self.header_and_data(&header, data)
    }

    /// A file whose name is an arbitrary sequence of at most 100 bytes.
    #[must_use]
    pub fn file_named_by_bytes(self, path: &[u8], data: &[u8]) -> Self {
        self.header_and_data(&header(EntryType::Regular, path, &[], data.len() as u64), data)
    }

    /// Extended header records for the next entry; those without a value are left out.
    #[must_use]
    pub fn pax(self, records: &[(&str, &[u8])]) -> Self {
        let mut data = Vec::new();
        for (key, value) in records.iter().filter(|record| !record.1.is_empty()) {
            let rest = key.len() + value.len() + 3;
            let mut length = rest + 1;
            while length != rest + length.to_string().len() {
                length += 1;
            }
            data.extend_from_slice(format!("{length} {key}=").as_bytes());
            data.extend_from_slice(value);
            data.push(b'\n');
        }
        let header = header(EntryType::XHeader, b"PaxHeaders/next", &[], data.len() as u64);
        self.header_and_data(&header, &data)
    }

    /// The GNU way of a long name for the next entry.
    #[must_use]
    pub fn gnu_long_name(self, path: &str) -> Self {
        let mut data = path.as_bytes().to_vec();
        data.push(0);
        let header = header(EntryType::GNULongName, b"././@LongLink", &[], data.len() as u64);
        self.header_and_data(&header, &data)
    }

    /// A header, and data of any length.
    #[must_use]
    pub fn header_and_data(mut self, header: &Header, data: &[u8]) -> Self {
        self.bytes.extend_from_slice(header.as_bytes());
        self.bytes.extend_from_slice(data);
        self.bytes.resize(self.bytes.len().next_multiple_of(512), 0);
        self
    }

    /// The archive with its end marker.
    pub fn finish(mut self) -> Vec<u8> {
        self.bytes.extend_from_slice(&[0; 1024]);
        self.bytes
    }

    /// The archive as it is, without an end marker.
    pub fn unfinished(self) -> Vec<u8> {
        self.bytes
    }
}

/// A header with a right checksum and no times, owners or modes that could differ.
pub fn header(kind: EntryType, path: &[u8], link: &[u8], size: u64) -> Header {
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(if kind == EntryType::Directory { 0o755 } else { 0o644 });
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(size);
    let old = header.as_old_mut();
    for (field, value) in [(&mut old.name, path), (&mut old.linkname, link)] {
        let length = value.len().min(field.len());
        field[..length].copy_from_slice(&value[..length]);
    }
    header.set_cksum();
    header
}

/// How bytes are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Compression {
    /// Not at all.
    None,
    /// One member.
    Gzip,
    /// Several members of 64 KiB each, as eStargz writes them.
    GzipMembers,
    /// One frame.
    Zstd,
    /// Several frames with skippable ones between them, as zstd:chunked and pzstd write them.
    ZstdFrames,
    /// One stream.
    Bzip2,
    /// One stream with a small dictionary.
    Xz,
    /// One stream as `xz -9` writes it: its decoder asks for 64 MiB.
    XzNine,
    /// One frame as `zstd --long=27` writes it into a pipe: its decoder asks for 128 MiB.
    ZstdLong,
    /// One gzip member an entry, and a footer; [`crate::chunked::with_table`] makes the archive for it.
    EStargz,
    /// One zstd frame an entry, and the table of contents in skippable frames.
    ZstdChunked,
    /// One frame.
    Lz4,
}

impl Compression {
    /// Compresses bytes.
    ///
    /// # Errors
    /// Those of the libraries; writing to memory, they have none to make.
    pub fn pack(self, bytes: &[u8]) -> std::io::Result<Vec<u8>> {
        const PART: usize = 64 << 10;
        let mut out = Vec::new();
        match self {
            Self::None => out.extend_from_slice(bytes),
            Self::Gzip => out = gzip(bytes)?,
            Self::GzipMembers => {
                for part in bytes.chunks(PART) {
                    out.extend_from_slice(&gzip(part)?);
                }
            }
            Self::Zstd => out = zstd::encode_all(bytes, 3)?,
            Self::ZstdFrames => {
                for part in bytes.chunks(PART) {
                    // A skippable frame: magic, length, anything.
                    out.extend_from_slice(&[0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 1, 2, 3, 4]);
                    out.extend_from_slice(&zstd::encode_all(part, 3)?);
                }
            }
            Self::Bzip2 => {
                let mut writer = bzip2::write::BzEncoder::new(out, bzip2::Compression::fast());
                writer.write_all(bytes)?;
                out = writer.finish()?;
            }
            Self::Xz | Self::XzNine => {
                let mut options = lzma_rust2::XzOptions::with_preset(1);
                if self == Self::XzNine {
                    options.lzma_options.dict_size = 64 << 20;
                }
                let mut writer = lzma_rust2::XzWriter::new(out, options)?;
                writer.write_all(bytes)?;
                out = writer.finish()?;
            }
            Self::ZstdLong => {
                let mut writer = zstd::stream::write::Encoder::new(out, 3)?;
                writer.window_log(27)?;
                writer.write_all(bytes)?;
                out = writer.finish()?;
            }
            Self::EStargz => out = chunked::estargz(bytes)?,
            Self::ZstdChunked => out = chunked::zstd_chunked(bytes)?,
            Self::Lz4 => {
                let mut writer = lz4_flex::frame::FrameEncoder::new(out);
                writer.write_all(bytes)?;
                out = writer.finish().map_err(std::io::Error::other)?;
            }
        }
        Ok(out)
    }
}

fn gzip(bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    writer.write_all(bytes)?;
    writer.finish()
}

/// A zip archive, every member stored or deflated as asked.
pub fn zip(members: &[(&str, &[u8], bool)]) -> std::io::Result<Vec<u8>> {
    let mut out = Vec::new();
    let mut directory = Vec::new();
    for (name, data, deflated) in members {
        let offset = u32::try_from(out.len()).unwrap_or(u32::MAX);
        let packed = if *deflated { deflate(data)? } else { data.to_vec() };
        let mut common = Vec::new();
        common.extend_from_slice(&20_u16.to_le_bytes());
        common.extend_from_slice(&0_u16.to_le_bytes());
        common.extend_from_slice(&(if *deflated { 8_u16 } else { 0 }).to_le_bytes());
        common.extend_from_slice(&[0, 0, 0x21, 0]);
        common.extend_from_slice(&crc32fast::hash(data).to_le_bytes());
        for length in [packed.len(), data.len()] {
            common.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
        }
        common.extend_from_slice(&u16::try_from(name.len()).unwrap_or(u16::MAX).to_le_bytes());
        common.extend_from_slice(&0_u16.to_le_bytes());
        out.extend_from_slice(b"PK\x03\x04");
        out.extend_from_slice(&common);
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(&packed);
        directory.extend_from_slice(b"PK\x01\x02\x14\0");
        directory.extend_from_slice(&common);
        directory.extend_from_slice(&[0; 10]);
        directory.extend_from_slice(&offset.to_le_bytes());
        directory.extend_from_slice(name.as_bytes());
    }
    let start = u32::try_from(out.len()).unwrap_or(u32::MAX);
    let length = u32::try_from(directory.len()).unwrap_or(u32::MAX);
    let count = u16::try_from(members.len()).unwrap_or(u16::MAX);
    out.extend_from_slice(&directory);
    out.extend_from_slice(b"PK\x05\x06\0\0\0\0");
    out.extend_from_slice(&count.to_le_bytes());
    out.extend_from_slice(&count.to_le_bytes());
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&start.to_le_bytes());
    out.extend_from_slice(&[0, 0]);
    Ok(out)
}

fn deflate(bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut writer = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
    writer.write_all(bytes)?;
    writer.finish()
}

/// A Unix `ar` archive, as static libraries and Debian packages are.
pub fn ar(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut out = b"!<arch>\n".to_vec();
    for (name, data) in members {
        out.extend_from_slice(
            format!("{name:<16}0           0     0     100644  {:<10}`\n", data.len()).as_bytes(),
        );
        out.extend_from_slice(data);
        if data.len() % 2 == 1 {
            out.push(b'\n');
        }
    }
    out
}

/// A cpio archive in the "new ASCII" format, as initial RAM disks and RPM packages are.
pub fn cpio(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, data) in members.iter().copied().chain([("TRAILER!!!", &[][..])]) {
        let mode = if name == "TRAILER!!!" { 0 } else { 0o100_644 };
        let fields = [0, mode, 0, 0, 1, 0, data.len(), 0, 0, 0, 0, name.len() + 1, 0];
        out.extend_from_slice(b"070701");
        for field in fields {
            out.extend_from_slice(format!("{field:08x}").as_bytes());
        }
        out.extend_from_slice(name.as_bytes());
        out.push(0);
        out.resize(out.len().next_multiple_of(4), 0);
        out.extend_from_slice(data);
        out.resize(out.len().next_multiple_of(4), 0);
    }
    out
}
