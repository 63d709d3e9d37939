//! Targets that are read once, front to back: standard input, and archives compressed as a whole.
//!
//! `docker save … | scanner scan -` may name its layers last. So everything that can be a layer is searched as one
//! when it comes by, small documents are kept, and the images are put together at the end.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::sync::{Arc, OnceLock};

use shared::coverage::{Coverage, Skipped};

use super::SourceOptions;
use super::images::{Configured, claims, described, document, report};
use crate::blob::{Content, Origin, Provenance, Sink, Site, Source};
use crate::image::catalog::{MemberId, Members, Names, catalog, is_image};
use crate::image::layer::{Hashed, LayerScan, Scanned, WHOLE, verify};
use crate::image::{ImageSet, in_archive};
use crate::limits::DOCUMENT_BYTES_MAX;
use crate::mmap::Mapped;
use crate::unpack::compression::decode;
use crate::unpack::format::{Codec, Format, HEAD_BYTES};
use crate::unpack::tar::{Entry, Kind, StreamWalk, TarError, read_full};
use crate::unpack::{self, Nesting, SMALL_MEMBER_BYTES, broken, decoder_memory, label, tar_broken};
use crate::walk::{Over, Place, Walk, Watched};

/// Documents that are kept until the end, all together.
const KEPT_BYTES_MAX: usize = 64 << 20;

/// Names that are kept: an archive with more members is an archive of files.
const NAMES_MAX: u32 = 200_000;

/// A target that is read once.
pub(super) struct StreamSource {
    target: String,
    options: SourceOptions,
    input: Input,
    set: OnceLock<Option<ImageSet>>,
}

enum Input {
    Standard,
    Compressed(Arc<Mapped>),
}

impl StreamSource {
    /// Standard input.
    pub(super) fn standard_input(options: &SourceOptions) -> Self {
        Self::new("-", Input::Standard, options)
    }

    /// A file that is compressed as a whole.
    pub(super) fn compressed(target: &str, map: Arc<Mapped>, options: &SourceOptions) -> Self {
        Self::new(target, Input::Compressed(map), options)
    }

    fn new(target: &str, input: Input, options: &SourceOptions) -> Self {
        Self { target: target.to_owned(), options: options.clone(), input, set: OnceLock::new() }
    }

    /// The provenance of the stream itself.
    fn whole(&self) -> Provenance {
        let path = if self.target == "-" { "-".to_owned() } else { label::path(self.target.as_bytes()) };
        let (origin, path) = (Origin::Stream, path.into());
        Provenance { target: self.options.target, origin, path, entries: Vec::new() }
    }

    fn search(&self, walk: &Walk<'_>, reader: &mut dyn Read) -> Result<Option<ImageSet>, Over> {
        let mut head = vec![0; 1 << 16];
        let count = match read_full(reader, &mut head) {
            Ok(count) => count,
            Err(error) => {
                walk.skip(&Place::Target, Skipped::Unreadable, error.kind().to_string());
                return Ok(None);
            }
        };
        head.truncate(count);
        if head.is_empty() {
            walk.skip(&Place::Target, Skipped::Empty, "there is nothing to read".to_owned());
            return Ok(None);
        }
        let format = Format::of(&head[..head.len().min(HEAD_BYTES)]);
        let mut input = Watched::new(head.chain(reader));
        let (set, error) = match format {
            Format::Tar => self.archive(walk, &mut input)?,
            Format::Compressed(codec) => self.decompressed(walk, codec, &head, &mut input)?,
            Format::Plain | Format::Zip | Format::Ar | Format::Cpio | Format::Rpm | Format::Foreign(_) => {
                (None, unpack::stream(walk, self.whole(), &mut input, None, Nesting::TARGET)?)
            }
        };
        if let Some(error) = input.error {
            walk.skip(&Place::Target, Skipped::Unreadable, error.kind().to_string());
        } else if let Some(error) = error {
            broken(walk, &self.whole(), Nesting::TARGET, "the stream is damaged or cut off", Some(&error));
        }
        Ok(set)
    }

    fn decompressed(
        &self,
        walk: &Walk<'_>,
        codec: Codec,
        head: &[u8],
        input: &mut dyn Read,
    ) -> Result<(Option<ImageSet>, Option<io::Error>), Over> {
        let Some(memory) = decoder_memory(walk, &self.whole(), codec, head, Nesting::TARGET) else {
            walk.emit(self.whole(), Content::Stream { reader: input, size_hint: None })?;
            return Ok((None, None));
        };
        let mut decoded = match decode(walk, codec, input, memory, None) {
            Ok(decoded) => decoded,
            Err(error) => return Ok((None, Some(error))),
        };
        let mut head = [0; HEAD_BYTES];
        let count = match read_full(&mut decoded, &mut head) {
            Ok(count) => count,
            Err(error) => return Ok((None, Some(error))),
        };
        let head = &head[..count];
        let mut whole = head.chain(decoded);
        if Format::of(head) == Format::Tar {
            return self.archive(walk, &mut whole);
        }
        let at = self.whole();
        let inner = unpack::member(&at, codec.inner_name(&at.path).to_owned());
        Ok((None, unpack::stream(walk, inner, &mut whole, None, Nesting::TARGET.inner())?))
    }

    /// Searches a tar archive that may turn out to hold images. Returns the reader's error, if it failed.
    fn archive(
        &self,
        walk: &Walk<'_>,
        reader: &mut dyn Read,
    ) -> Result<(Option<ImageSet>, Option<io::Error>), Over> {
        let mut tour = Tour { source: self, walk, set: ImageSet::default(), seen: Seen::default() };
        let mut members = StreamWalk::new(reader);
        let error = loop {
            match members.next() {
                Ok(Some(entry)) => {
                    if let Some(error) = tour.entry(&entry, &mut members)? {
                        break Some(error);
                    }
                }
                Ok(None) => break None,
                Err(TarError::Read(error)) => break Some(error),
                Err(error) => {
                    tar_broken(walk, &self.whole(), Nesting::TARGET, &error);
                    break None;
                }
            }
        };
        if error.is_none() && !members.ended() {
            broken(
                walk,
                &self.whole(),
                Nesting::TARGET,
                "the tar archive has no end marker: it may be cut off",
                None,
            );
        }
        tour.images()?;
        Ok((Some(tour.set), error))
    }
}

/// What came by.
#[derive(Default)]
struct Seen {
    labels: Vec<Arc<str>>,
    names: Names,
    documents: HashMap<MemberId, Vec<u8>>,
    kept_bytes: usize,
}

impl Members for Seen {
    fn find(&self, name: &str) -> Option<MemberId> {
        self.names.find(name)
    }

    fn document(&self, member: MemberId) -> Option<&[u8]> {
        self.documents.get(&member).map(Vec::as_slice)
    }
}

struct Tour<'a> {
    source: &'a StreamSource,
    walk: &'a Walk<'a>,
    set: ImageSet,
    seen: Seen,
}

impl Tour<'_> {
    fn entry(&mut self, entry: &Entry, data: &mut impl Read) -> Result<Option<io::Error>, Over> {
        self.walk.count_entry()?;
        let name = label::path(&entry.path);
        let few = entry.ordinal < NAMES_MAX;
        match entry.kind {
            Kind::File => {
                let member = entry.ordinal;
                let label: Arc<str> = name.into();
                if few {
                    self.seen.names.file(&label, member);
                }
                return self.file(member, label, entry.size, data);
            }
            Kind::HardLink if few => self.seen.names.hard_link(&name, &entry.link),
            Kind::Other if few && !entry.link.is_empty() => self.seen.names.symbolic_link(&name, &entry.link),
            Kind::HardLink | Kind::Other | Kind::Directory => {}
        }
        Ok(None)
    }

    fn file(
        &mut self,
        member: MemberId,
        label: Arc<str>,
        size: u64,
        data: &mut impl Read,
    ) -> Result<Option<io::Error>, Over> {
        let whole = self.whole(member, &label);
        let kept = if may_be_document(&label) { DOCUMENT_BYTES_MAX } else { SMALL_MEMBER_BYTES };
        if size > kept {
            return self.large(member, &label, size, data);
        }
        let mut bytes = Vec::new();
        let error = data.take(size).read_to_end(&mut bytes).err();
        let is_json = matches!(bytes.trim_ascii_start().first(), Some(b'{' | b'['));
        if may_be_document(&label) && is_json && self.seen.kept_bytes + bytes.len() <= KEPT_BYTES_MAX {
            self.seen.kept_bytes += bytes.len();
            self.seen.documents.insert(member, bytes);
            self.seen.labels.push(label);
        } else if may_be_layer(&label) {
            let head = &bytes[..bytes.len().min(HEAD_BYTES)];
            if let Some(memory) = self.memory(&whole, Format::of(head), &bytes) {
                let scanned = self.layer(member, label).slice(&bytes, memory)?;
                self.set.scanned.insert(member, scanned);
            }
        } else {
            unpack::slice(self.walk, whole, &bytes, Nesting::TARGET.inner())?;
        }
        Ok(error)
    }

    /// What a layer's decoder may take; none if that is more than there is, which is said.
    fn memory(&self, whole: &Provenance, format: Format, head: &[u8]) -> Option<u64> {
        match format {
            Format::Compressed(codec) => decoder_memory(self.walk, whole, codec, head, Nesting::TARGET),
            _ => Some(0),
        }
    }

    fn large(
        &mut self,
        member: MemberId,
        label: &Arc<str>,
        size: u64,
        data: &mut impl Read,
    ) -> Result<Option<io::Error>, Over> {
        let whole = self.whole(member, label);
        if !may_be_layer(label) {
            return unpack::stream(self.walk, whole, data, Some(size), Nesting::TARGET.inner());
        }
        let mut head = vec![0; 1 << 16];
        let count = match read_full(data, &mut head) {
            Ok(count) => count,
            Err(error) => return Ok(Some(error)),
        };
        head.truncate(count);
        let format = Format::of(&head[..head.len().min(HEAD_BYTES)]);
        let Some(memory) = self.memory(&whole, format, &head) else { return Ok(None) };
        let scan = self.layer(member, Arc::clone(label));
        let mut input = Watched::new(Hashed::new(head.chain(data), true));
        let mut scanned = match format {
            Format::Compressed(codec) => match decode(self.walk, codec, &mut input, memory, None) {
                Ok(decoded) => scan.decoded(decoded, None)?,
                Err(error) => return Ok(Some(error)),
            },
            Format::Tar => {
                let (index, error) = scan.tar_stream(&mut input)?;
                if error.is_some() {
                    return Ok(input.error);
                }
                Scanned { index: Some(index), ..Scanned::default() }
            }
            _ => {
                unpack::stream(self.walk, whole, &mut input, Some(size), Nesting::TARGET.inner())?;
                Scanned::default()
            }
        };
        // The digest covers what is behind the end of the archive, too.
        let rest = io::copy(&mut input, &mut io::sink()).err();
        let (hashed, error) = input.into_parts();
        if rest.is_none() && error.is_none() {
            scanned.stored = hashed.digest();
            if !matches!(format, Format::Compressed(_)) {
                scanned.diff_id.clone_from(&scanned.stored);
            }
        }
        self.set.scanned.insert(member, scanned);
        Ok(error)
    }

    /// Puts the images together, and searches the documents.
    fn images(&mut self) -> Result<(), Over> {
        let images =
            is_image(&self.seen).then(|| catalog(&self.seen, self.source.options.platform.as_deref()));
        let configured = images.as_ref().map(|images| Configured::of(images, &self.seen)).unwrap_or_default();
        let mut labels: HashMap<MemberId, Arc<str>> = HashMap::new();
        for label in &self.seen.labels {
            if let Some(member) = self.seen.names.find(label) {
                labels.insert(member, Arc::clone(label));
            }
        }
        for (member, bytes) in &self.seen.documents {
            let Some(label) = labels.get(member) else { continue };
            let Some(catalog) = &images else {
                unpack::slice(self.walk, self.whole(*member, label), bytes, Nesting::TARGET.inner())?;
                continue;
            };
            let role = catalog.roles.get(member).copied();
            let at = described(self.source.options.target, *member, label);
            document(self.walk, at, bytes, role, &configured)?;
            let stored = Some(crate::image::catalog::sha256(bytes));
            let scanned = Scanned { stored, ..Scanned::default() };
            verify(self.walk, label, claims(catalog, *member), &scanned);
        }
        if let Some(catalog) = &images {
            report(self.walk, catalog);
            for (member, scanned) in &self.set.scanned {
                verify(self.walk, &format!("member {member}"), claims(catalog, *member), scanned);
            }
        }
        self.set.catalog = images;
        Ok(())
    }

    fn whole(&self, member: MemberId, label: &Arc<str>) -> Provenance {
        let origin = Origin::Entry { blob: member, ordinal: WHOLE };
        Provenance {
            target: self.source.options.target,
            origin,
            path: Arc::clone(label),
            entries: Vec::new(),
        }
    }

    fn layer(&self, member: MemberId, name: Arc<str>) -> LayerScan<'_> {
        LayerScan {
            walk: self.walk,
            paths: &self.set.paths,
            target: self.source.options.target,
            member,
            name,
            is_layer: false,
            verify_diff_id: self.source.options.verify_diff_ids,
            nesting: Nesting::TARGET.inner().inner(),
        }
    }
}

/// Names under which archives of images keep their JSON.
fn may_be_document(label: &str) -> bool {
    let in_root = !label.contains('/');
    label.starts_with("blobs/")
        || label.ends_with("/json")
        || in_root && (label.ends_with(".json") || label == "oci-layout" || label == "repositories")
}

/// Names under which archives of images keep their layers.
fn may_be_layer(label: &str) -> bool {
    let base = label.rsplit('/').next().unwrap_or(label);
    let hex = base.split('.').next().unwrap_or(base);
    let digest = hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
    base == "layer.tar" || digest
}

/// Counts what is read of the target.
struct Progress<'a, R> {
    reader: R,
    walk: &'a Walk<'a>,
}

impl<R: Read> Read for Progress<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(buffer)?;
        self.walk.count_stored(count as u64);
        Ok(count)
    }
}

impl Source for StreamSource {
    fn blobs(&self, sink: &dyn Sink) -> Coverage {
        let walk = Walk::new(sink, &self.options.limits, &self.target);
        let searched = match &self.input {
            Input::Standard => match io::stdin().as_fd().try_clone_to_owned() {
                Ok(input) => self.search(&walk, &mut Progress { reader: File::from(input), walk: &walk }),
                Err(error) => {
                    walk.skip(&Place::Target, Skipped::Unreadable, error.kind().to_string());
                    Ok(None)
                }
            },
            Input::Compressed(map) => {
                let searched = self.search(&walk, &mut Progress { reader: map.bytes(), walk: &walk });
                if map.changed() {
                    walk.skip(&Place::Target, Skipped::ChangedWhileRead, None);
                }
                searched
            }
        };
        let _ = self.set.set(searched.ok().flatten());
        walk.finish()
    }

    fn locate(&self, provenance: &Provenance) -> Vec<Site> {
        match (self.set.get(), provenance.origin) {
            (Some(Some(set)), Origin::Entry { .. } | Origin::Config { .. }) => set.locate(provenance),
            _ => vec![in_archive(provenance)],
        }
    }

    fn bytes_stored(&self) -> Option<u64> {
        match &self.input {
            Input::Standard => None,
            Input::Compressed(map) => Some(map.bytes().len() as u64),
        }
    }
}
