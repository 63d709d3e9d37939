//! Headers of tar entries, and the extended headers before them.

use tar::{EntryType, Header};

use super::{BLOCK, Entry, Kind, TarError};

/// The most that long names and extended headers may take; Go's reader has the same limit.
const EXTENSION_BYTES_MAX: u64 = 1 << 20;

/// Whether a block is a tar header: its checksum holds, or it has the mark of POSIX and GNU archives and is damaged.
/// Such an archive is opened all the same, so that the damage is said.
pub(crate) fn is_header(head: &[u8]) -> bool {
    if head.get(257..262) == Some(b"ustar".as_slice()) && head.len() >= BLOCK {
        return true;
    }
    // The checksum's field first: it rules out nearly everything that is no header.
    if head.len() < BLOCK || head[0] == 0 || !head[148..156].iter().any(u8::is_ascii_digit) {
        return false;
    }
    checksum_holds(&head[..BLOCK])
}

fn checksum_holds(block: &[u8]) -> bool {
    let header = Header::from_byte_slice(block);
    let Ok(stored) = header.cksum() else { return false };
    let field = &block[148..156];
    let spaces = 8 * u32::from(b' ');
    let unsigned: u32 = block.iter().map(|&byte| u32::from(byte)).sum::<u32>()
        - field.iter().map(|&byte| u32::from(byte)).sum::<u32>()
        + spaces;
    if unsigned == stored {
        return true;
    }
    // Some old programs summed signed bytes.
    let signed: i32 = block.iter().map(|&byte| i32::from(byte.cast_signed())).sum::<i32>()
        - field.iter().map(|&byte| i32::from(byte.cast_signed())).sum::<i32>()
        + spaces.cast_signed();
    i64::from(signed) == i64::from(stored)
}

/// What a header asks for.
pub(super) enum Step {
    /// So many bytes of extended header follow.
    Extension(Extension, u64),
    Entry(Entry),
}

#[derive(Clone, Copy)]
pub(super) enum Extension {
    LongName,
    LongLink,
    Pax,
    /// For all following entries. Runtimes take no path or size from it.
    PaxGlobal,
}

/// Extended headers that wait for the entry they describe.
#[derive(Default)]
pub(super) struct Assembler {
    next_ordinal: u32,
    long_name: Option<Vec<u8>>,
    long_link: Option<Vec<u8>>,
    pax: Pax,
}

#[derive(Default)]
struct Pax {
    path: Option<Vec<u8>>,
    /// `GNU.sparse.name`: the real name, where `path` is made up.
    sparse_name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
    /// Everything else that is longer than a number.
    others: Vec<u8>,
}

/// Values that are shorter hold no secret: times, sizes, owners.
const VALUE_BYTES_MIN: usize = 12;

impl Assembler {
    pub(super) fn header(&mut self, block: &[u8]) -> Result<Step, TarError> {
        if !checksum_holds(block) {
            return Err(TarError::Corrupt("a header's checksum is wrong"));
        }
        let header = Header::from_byte_slice(block);
        let size = header.entry_size().map_err(|_| TarError::Corrupt("a header's size is no number"))?;
        let kind = header.entry_type();
        let extension = match kind {
            EntryType::GNULongName => Some(Extension::LongName),
            EntryType::GNULongLink => Some(Extension::LongLink),
            EntryType::XHeader => Some(Extension::Pax),
            EntryType::XGlobalHeader => Some(Extension::PaxGlobal),
            _ if block[156] == b'X' => Some(Extension::Pax),
            _ => None,
        };
        if let Some(extension) = extension {
            if size > EXTENSION_BYTES_MAX {
                return Err(TarError::Corrupt("an extended header is larger than 1 MiB"));
            }
            return Ok(Step::Extension(extension, size));
        }
        Ok(Step::Entry(self.entry(header, block, kind, size)))
    }

    fn entry(&mut self, header: &Header, block: &[u8], kind: EntryType, size: u64) -> Entry {
        let pax = std::mem::take(&mut self.pax);
        let records = pax.others;
        let long_name = self.long_name.take();
        let long_link = self.long_link.take();
        let path =
            pax.sparse_name.or(pax.path).or(long_name).unwrap_or_else(|| header.path_bytes().into_owned());
        let kind = match kind {
            EntryType::Directory => Kind::Directory,
            // Before directories had a type, a final slash said it.
            EntryType::Regular if block[156] == 0 && path.ends_with(b"/") => Kind::Directory,
            EntryType::Link => Kind::HardLink,
            EntryType::Symlink | EntryType::Char | EntryType::Block | EntryType::Fifo => Kind::Other,
            _ => Kind::File,
        };
        let link = match kind {
            Kind::HardLink | Kind::Other => {
                let short = || header.link_name_bytes().unwrap_or_default().into_owned();
                pax.link.or(long_link).unwrap_or_else(short)
            }
            Kind::File | Kind::Directory => Vec::new(),
        };
        let size = if kind == Kind::File { pax.size.unwrap_or(size) } else { 0 };
        let ordinal = self.next_ordinal;
        self.next_ordinal = self.next_ordinal.saturating_add(1);
        let more_sparse_headers = header.entry_type().is_gnu_sparse() && block[482] != 0;
        Entry { ordinal, path, kind, link, size, records, more_sparse_headers }
    }

    pub(super) fn extension(&mut self, extension: Extension, data: &[u8]) {
        let until_zero = || data.split(|&byte| byte == 0).next().unwrap_or_default().to_vec();
        match extension {
            Extension::LongName => self.long_name = Some(until_zero()),
            Extension::LongLink => self.long_link = Some(until_zero()),
            Extension::Pax => self.pax.read(data),
            Extension::PaxGlobal => {
                let mut global = Pax::default();
                global.read(data);
                self.pax.others.append(&mut global.others);
            }
        }
    }
}

impl Pax {
    /// Records are `LENGTH KEY=VALUE\n`; the length counts itself. What is malformed is passed over.
    fn read(&mut self, mut data: &[u8]) {
        while let Some((record, rest)) = pax_record(data) {
            data = rest;
            let Some(equals) = record.iter().position(|&byte| byte == b'=') else { continue };
            let (key, value) = (&record[..equals], &record[equals + 1..]);
            match key {
                b"path" => self.path = Some(value.to_vec()),
                b"GNU.sparse.name" => self.sparse_name = Some(value.to_vec()),
                b"linkpath" => self.link = Some(value.to_vec()),
                b"size" => self.size = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok()),
                _ if value.len() < VALUE_BYTES_MIN || is_time(value) => {}
                _ => {
                    self.others.extend_from_slice(record);
                    self.others.push(b'\n');
                }
            }
        }
    }
}

/// Seconds with a fraction.
fn is_time(value: &[u8]) -> bool {
    value.iter().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'-'))
}

fn pax_record(data: &[u8]) -> Option<(&[u8], &[u8])> {
    let space = data.iter().take(20).position(|&byte| byte == b' ')?;
    let length: usize = std::str::from_utf8(&data[..space]).ok()?.parse().ok()?;
    if length <= space + 1 || length > data.len() || data[length - 1] != b'\n' {
        return None;
    }
    Some((&data[space + 1..length - 1], &data[length..]))
}
