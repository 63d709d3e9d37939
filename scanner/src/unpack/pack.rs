//! Git packfiles: every object, those kept as differences put together. Format: `gitformat-pack(5)`.
//!
//! Objects are taken in their order. A difference needs its base, which is put together again unless it is among the
//! few that are remembered; so memory stays bounded, and time is what `expanded-bytes` and `time` allow.

use std::collections::{HashMap, VecDeque};
use std::io::Read;
use std::sync::Arc;

use sha1::{Digest, Sha1};
use shared::coverage::{Opaque, Skipped};

use super::{Nesting, broken, member, slice as search, stream as search_stream};
use crate::blob::{Content, Provenance};
use crate::walk::{Over, Place, Walk};

mod delta;

pub(crate) const MAGIC: &[u8; 4] = b"PACK";

const HEADER_BYTES: usize = 12;

/// SHA-1: packs of repositories with SHA-256 are not told apart, and their differences by name find no base.
const ID_BYTES: usize = 20;

/// The largest object that is put together in memory; four such may be held at one time.
const OBJECT_BYTES_MAX: u64 = 12 << 20;

/// Git makes no longer chains.
const CHAIN_MAX: usize = 4096;

/// Names that are remembered for differences that name their base: about 40 bytes each.
const NAMES_MAX: usize = 100_000;

/// Searches a pack that lies in memory.
pub(crate) fn slice(
    walk: &Walk<'_>,
    at: &Provenance,
    bytes: &[u8],
    nesting: Nesting<'_>,
) -> Result<(), Over> {
    let largest = OBJECT_BYTES_MAX.min(walk.decoders.total() / 4);
    let Some(_share) = walk.decoders.take(4 * largest) else {
        let (place, kept) = (at.clone(), nesting.kept());
        let later = move |walk: &Walk<'_>, bytes: &[u8]| slice(walk, &place, bytes, kept.nesting());
        walk.put_aside(at, bytes, Box::new(later));
        return Ok(());
    };
    let mut pack =
        Pack { walk, at, bytes, nesting, largest, names: HashMap::new(), recent: Recent::new(largest) };
    let end = pack.objects()?;
    let Some(end) = end else { return Ok(()) };
    // Behind the objects stands their digest, and nothing else.
    walk.emit_slice(at.clone(), bytes.get(end + ID_BYTES..).unwrap_or_default())
}

/// What an object is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Base {
    /// Nothing else; its kind.
    Whole(&'static str),
    /// The object at this offset.
    At(usize),
    /// The object of this name.
    Named([u8; ID_BYTES]),
}

/// The header of an object.
#[derive(Clone, Copy, Debug)]
struct Header {
    base: Base,
    /// Of the content, or of the difference; a claim.
    size: u64,
    /// Where its zlib stream begins.
    data: usize,
}

/// An object that was put together.
type Object = (&'static str, Arc<Vec<u8>>);

/// Why an object could not be put together.
enum Closed {
    /// It needs more memory than there is for one.
    TooLarge,
    /// Its base is not in the pack, or not yet.
    NoBase,
    Damaged,
}

struct Pack<'a> {
    walk: &'a Walk<'a>,
    at: &'a Provenance,
    bytes: &'a [u8],
    nesting: Nesting<'a>,
    largest: u64,
    /// Where named objects begin.
    names: HashMap<[u8; ID_BYTES], usize>,
    recent: Recent,
}

impl Pack<'_> {
    /// Searches all objects; gives the end of the last one, or none if the pack is damaged, which is said.
    fn objects(&mut self) -> Result<Option<usize>, Over> {
        let count = be32(self.bytes, 8).unwrap_or(0);
        let mut offset = HEADER_BYTES;
        let mut without_base = Vec::new();
        for _ in 0..count {
            self.walk.count_entry()?;
            let Some(header) = header(self.bytes, offset) else { return self.damaged(offset) };
            let next = match self.end(&header)? {
                Some(end) => end,
                None => return self.damaged(offset),
            };
            if !self.object(offset, &header)? {
                without_base.push(offset);
            }
            offset = next;
        }
        // A base may stand behind what is made of it.
        let mut waiting = usize::MAX;
        while !without_base.is_empty() && without_base.len() < waiting {
            waiting = without_base.len();
            for offset in std::mem::take(&mut without_base) {
                let Some(header) = header(self.bytes, offset) else { continue };
                if !self.object(offset, &header)? {
                    without_base.push(offset);
                }
            }
        }
        for offset in without_base {
            self.difference(offset, "its base is not in the pack")?;
        }
        Ok(Some(offset))
    }

    fn damaged(&self, offset: usize) -> Result<Option<usize>, Over> {
        let what = "the git pack is damaged or cut off; its rest was searched raw";
        broken(self.walk, self.at, self.nesting, what, None);
        self.walk.emit_slice(self.at.clone(), self.bytes.get(offset..).unwrap_or_default())?;
        Ok(None)
    }

    /// Where an object's zlib stream ends; none if it does not.
    fn end(&self, header: &Header) -> Result<Option<usize>, Over> {
        let mut decoder = flate2::bufread::ZlibDecoder::new(&self.bytes[header.data..]);
        let mut buffer = [0; 32 << 10];
        loop {
            match decoder.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => self.walk.count_expanded(count as u64)?,
                Err(_) => return Ok(None),
            }
        }
        let taken = usize::try_from(decoder.total_in()).unwrap_or(usize::MAX);
        Ok((decoder.total_out() == header.size).then_some(header.data.saturating_add(taken)))
    }

    /// Searches one object; `false` if its base is not known yet.
    fn object(&mut self, offset: usize, header: &Header) -> Result<bool, Over> {
        if let Base::Whole(kind) = header.base
            && header.size > self.largest
        {
            let mut content = flate2::bufread::ZlibDecoder::new(&self.bytes[header.data..]);
            let inner = member(self.at, format!("{kind} at {offset}"));
            search_stream(self.walk, inner, &mut content, Some(header.size), self.nesting.inner())?;
            return Ok(true);
        }
        match self.put_together(offset)? {
            Ok((kind, content)) => {
                let id = name(kind, &content);
                if self.names.len() < NAMES_MAX {
                    self.names.insert(id, offset);
                }
                let inner = member(self.at, format!("{kind} {}", data_encoding::HEXLOWER.encode(&id)));
                search(self.walk, inner, &content, self.nesting.inner())?;
            }
            Err(Closed::NoBase) => return Ok(false),
            Err(Closed::TooLarge) => {
                let limit =
                    "an object kept as a difference, larger than the limit `decoder-memory` allows: raise it";
                let place = member(self.at, format!("object at {offset}"));
                self.walk.skip(&Place::Blob(&place), Skipped::Limit, limit.to_owned());
                self.inflated(offset, place)?;
            }
            Err(Closed::Damaged) => self.difference(offset, "its difference is damaged")?,
        }
        Ok(true)
    }

    /// Searches the text of a difference that cannot be applied.
    fn difference(&self, offset: usize, why: &str) -> Result<(), Over> {
        let place = member(self.at, format!("object at {offset}"));
        self.walk.opaque(
            &Place::Blob(&place),
            Opaque::Corrupt,
            format!("{why}; the difference was searched"),
        );
        self.inflated(offset, place)
    }

    fn inflated(&self, offset: usize, place: Provenance) -> Result<(), Over> {
        let Some(header) = header(self.bytes, offset) else { return Ok(()) };
        let mut content = flate2::bufread::ZlibDecoder::new(&self.bytes[header.data..]);
        self.walk.emit(place, Content::Stream { reader: &mut content, size_hint: Some(header.size) })
    }

    /// The content of an object: down to a base that is whole or remembered, and up again.
    fn put_together(&mut self, offset: usize) -> Result<Result<Object, Closed>, Over> {
        let mut chain = Vec::new();
        let mut at = offset;
        let (kind, mut content) = loop {
            if let Some(object) = self.recent.get(at) {
                break object;
            }
            let Some(header) = header(self.bytes, at) else { return Ok(Err(Closed::Damaged)) };
            let base = match header.base {
                Base::Whole(kind) => match self.inflate(&header)? {
                    Ok(content) => break self.recent.add(at, (kind, Arc::new(content))),
                    Err(why) => return Ok(Err(why)),
                },
                Base::At(base) => base,
                Base::Named(id) => match self.names.get(&id) {
                    Some(base) => *base,
                    None => return Ok(Err(Closed::NoBase)),
                },
            };
            if chain.len() >= CHAIN_MAX {
                return Ok(Err(Closed::Damaged));
            }
            chain.push((at, header));
            at = base;
        };
        while let Some((at, header)) = chain.pop() {
            let difference = match self.inflate(&header)? {
                Ok(difference) => difference,
                Err(why) => return Ok(Err(why)),
            };
            if delta::result_bytes(&difference).is_some_and(|bytes| bytes > self.largest) {
                return Ok(Err(Closed::TooLarge));
            }
            let Some(made) = delta::apply(&content, &difference) else { return Ok(Err(Closed::Damaged)) };
            self.walk.count_expanded(made.len() as u64)?;
            content = self.recent.add(at, (kind, Arc::new(made))).1;
        }
        Ok(Ok((kind, content)))
    }

    fn inflate(&self, header: &Header) -> Result<Result<Vec<u8>, Closed>, Over> {
        if header.size > self.largest {
            return Ok(Err(Closed::TooLarge));
        }
        let mut content = Vec::new();
        let decoder = flate2::bufread::ZlibDecoder::new(&self.bytes[header.data..]);
        let read = decoder.take(header.size.saturating_add(1)).read_to_end(&mut content);
        self.walk.count_expanded(content.len() as u64)?;
        let whole = read.is_ok() && content.len() as u64 == header.size;
        Ok(if whole { Ok(content) } else { Err(Closed::Damaged) })
    }
}

/// The kind and the size, seven bits a byte; then what the object is made of.
fn header(bytes: &[u8], offset: usize) -> Option<Header> {
    let mut at = offset;
    let mut take = || {
        let byte = *bytes.get(at)?;
        at += 1;
        Some(byte)
    };
    let first = take()?;
    let mut size = u64::from(first & 0x0f);
    let mut shift = 4;
    let mut more = first & 0x80 != 0;
    while more {
        let byte = take()?;
        size |= u64::from(byte & 0x7f).checked_shl(shift)?;
        shift += 7;
        more = byte & 0x80 != 0;
    }
    let base = match first >> 4 & 7 {
        1 => Base::Whole("commit"),
        2 => Base::Whole("tree"),
        3 => Base::Whole("blob"),
        4 => Base::Whole("tag"),
        6 => {
            let mut byte = take()?;
            let mut back = usize::from(byte & 0x7f);
            while byte & 0x80 != 0 {
                byte = take()?;
                back = back.checked_add(1)?.checked_mul(128)? | usize::from(byte & 0x7f);
            }
            // A base stands before what is made of it: chains end.
            Base::At(offset.checked_sub(back).filter(|base| (HEADER_BYTES..offset).contains(base))?)
        }
        7 => {
            let id = *bytes.get(at..)?.first_chunk()?;
            at += ID_BYTES;
            Base::Named(id)
        }
        _ => return None,
    };
    (at <= bytes.len()).then_some(Header { base, size, data: at })
}

/// An object's name: the digest of its kind, its length and its content.
fn name(kind: &str, content: &[u8]) -> [u8; ID_BYTES] {
    let mut digest = Sha1::new();
    digest.update(format!("{kind} {}\0", content.len()));
    digest.update(content);
    digest.finalize().into()
}

/// Objects that were put together last.
struct Recent {
    objects: VecDeque<(usize, Object)>,
    bytes: u64,
    most: u64,
}

impl Recent {
    fn new(most: u64) -> Self {
        Self { objects: VecDeque::new(), bytes: 0, most }
    }

    fn get(&self, offset: usize) -> Option<Object> {
        self.objects.iter().rev().find(|entry| entry.0 == offset).map(|entry| entry.1.clone())
    }

    /// Remembers an object, and gives it back.
    fn add(&mut self, offset: usize, object: Object) -> Object {
        /// Objects are looked for one by one.
        const OBJECTS_MAX: usize = 256;
        self.bytes += object.1.len() as u64;
        self.objects.push_back((offset, object.clone()));
        while self.bytes > self.most || self.objects.len() > OBJECTS_MAX {
            let Some((_, (_, oldest))) = self.objects.pop_front() else { break };
            self.bytes -= oldest.len() as u64;
        }
        object
    }
}

fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}
