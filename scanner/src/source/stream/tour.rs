//! The members of an archive as they come by, and the images that they turn out to make.

use std::collections::HashMap;
use std::io::{self, Read};
use std::sync::Arc;

use super::super::SourceOptions;
use super::super::images::{Configured, claims, described, document, report};
use crate::batch::{Batch, Spare};
use crate::blob::{Origin, Provenance};
use crate::image::ImageSet;
use crate::image::catalog::{MemberId, Members, Names, catalog, is_image};
use crate::image::layer::{Hashed, LayerScan, Scanned, WHOLE, verify};
use crate::limits::DOCUMENT_BYTES_MAX;
use crate::unpack::compression::decode;
use crate::unpack::format::{Format, HEAD_BYTES};
use crate::unpack::tar::{Entry, Kind, read_full};
use crate::unpack::window::{Window, now_or_never};
use crate::unpack::{self, Nesting, SMALL_MEMBER_BYTES, label};
use crate::walk::{Over, Walk, Watched};

/// Documents that are kept until the end, all together.
const KEPT_BYTES_MAX: usize = 64 << 20;

/// Names that are kept: an archive with more members is an archive of files.
const NAMES_MAX: u32 = 200_000;

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

/// A layer's window is larger than what there is, which was said.
struct TooLarge;

/// One walk over an archive.
pub(super) struct Tour<'a> {
    walk: &'a Walk<'a>,
    options: &'a SourceOptions,
    spare: &'a Spare,
    /// Small members that wait for a free thread.
    batch: Batch,
    set: ImageSet,
    seen: Seen,
}

impl<'a> Tour<'a> {
    pub(super) fn new(walk: &'a Walk<'a>, options: &'a SourceOptions, spare: &'a Spare) -> Self {
        let (batch, set, seen) = (Batch::default(), ImageSet::default(), Seen::default());
        Self { walk, options, spare, batch, set, seen }
    }

    /// Searches what waits.
    pub(super) fn search_rest(&mut self) {
        std::mem::take(&mut self.batch).search(self.walk, Nesting::TARGET.inner());
    }

    /// Searches an entry, or keeps it. Returns the reader's error, if it failed.
    pub(super) fn entry(
        &mut self,
        scope: &rayon::Scope<'a>,
        entry: &Entry,
        data: &mut impl Read,
    ) -> Result<Option<io::Error>, Over> {
        self.walk.count_entry()?;
        let name = label::path(&entry.path);
        if !entry.records.is_empty() {
            let at = self.whole(entry.ordinal, &Arc::from(name.as_str()));
            unpack::records(self.walk, &at, entry)?;
        }
        let few = entry.ordinal < NAMES_MAX;
        match entry.kind {
            Kind::File => {
                let member = entry.ordinal;
                let label: Arc<str> = name.into();
                if few {
                    self.seen.names.file(&label, member);
                    self.set.sizes.insert(member, entry.size);
                }
                return self.file(scope, member, label, entry.size, data);
            }
            Kind::HardLink if few => self.seen.names.hard_link(&name, &entry.link),
            Kind::Other if few && !entry.link.is_empty() => self.seen.names.symbolic_link(&name, &entry.link),
            Kind::HardLink | Kind::Other | Kind::Directory => {}
        }
        Ok(None)
    }

    fn file(
        &mut self,
        scope: &rayon::Scope<'a>,
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
        if !may_be_document(&label) && !may_be_layer(&label) {
            if self.batch.is_full(size) {
                let full = std::mem::replace(&mut self.batch, self.spare.take());
                let (walk, spare) = (self.walk, self.spare);
                walk.tasks.run(scope, move |_| spare.give(full.search(walk, Nesting::TARGET.inner())));
            }
            return Ok(self.batch.read(whole, size, data));
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
            if let Ok(window) = self.window(&whole, Format::of(head), &bytes) {
                let scanned = self.layer(member, label).slice(&bytes, window)?;
                self.set.scanned.insert(member, scanned);
            }
        } else {
            unpack::slice(self.walk, whole, &bytes, Nesting::TARGET.inner())?;
        }
        Ok(error)
    }

    /// What a layer's decoder may take, if it needs any; an error if that is more than there is, which is said.
    fn window(&self, whole: &Provenance, format: Format, head: &[u8]) -> Result<Option<Window>, TooLarge> {
        match format {
            Format::Compressed(codec) => match now_or_never(self.walk, whole, codec, head) {
                Some(window) => Ok(Some(window)),
                None => Err(TooLarge),
            },
            _ => Ok(None),
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
        let Ok(window) = self.window(&whole, format, &head) else { return Ok(None) };
        let scan = self.layer(member, Arc::clone(label));
        let mut input = Watched::new(Hashed::new(head.chain(data), true));
        let mut scanned = match (format, window) {
            (Format::Compressed(codec), Some(window)) => {
                match decode(self.walk, (&whole, codec), &mut input, window, Nesting::TARGET) {
                    Ok(decoded) => scan.decoded(decoded, None)?,
                    Err(error) => return Ok(Some(error)),
                }
            }
            (Format::Tar, _) => {
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
    pub(super) fn images(mut self) -> Result<ImageSet, Over> {
        let images = is_image(&self.seen).then(|| catalog(&self.seen, self.options.platform.as_deref()));
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
            let at = described(self.options.target, *member, label);
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
        Ok(self.set)
    }

    fn whole(&self, member: MemberId, label: &Arc<str>) -> Provenance {
        let origin = Origin::Entry { blob: member, ordinal: WHOLE };
        Provenance { target: self.options.target, origin, path: Arc::clone(label), entries: Vec::new() }
    }

    fn layer(&self, member: MemberId, name: Arc<str>) -> LayerScan<'_> {
        LayerScan {
            walk: self.walk,
            paths: &self.set.paths,
            target: self.options.target,
            member,
            name,
            is_layer: false,
            verify_diff_id: self.options.verify_diff_ids,
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
