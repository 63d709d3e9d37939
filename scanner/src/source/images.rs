//! Archives of `docker save`, OCI layouts as archive or folder: anything with images that can be read in any order.
//!
//! Members are read in place, from the map of the archive or from a map of each file. The manifests are read first,
//! so that every layer is known before it is searched; locations are told afterwards, from all layers together.

mod described;
mod schedule;
mod store;

use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use shared::coverage::{Coverage, Skipped};
use shared::finding::ScannedImage;

pub(super) use self::described::{Configured, described, document};
use self::schedule::{Job, Schedule, WINDOW_HEAD_BYTES};
use self::store::{Member, Store, StoredIn};
use super::SourceOptions;
use crate::blob::{Provenance, Sink, Site, Source};
use crate::image::catalog::{Catalog, Expected, MemberId, Role, catalog};
use crate::image::layer::{LayerScan, Scanned, verify};
use crate::image::{ImageSet, is_old_metadata};
use crate::mmap::Mapped;
use crate::unpack::Nesting;
use crate::unpack::compression::memory_needed;
use crate::unpack::format::{Format, HEAD_BYTES};
use crate::unpack::window::{Window, too_large};
use crate::walk::{Over, Place, Walk};

/// A target that holds images.
pub(super) struct ImageSource {
    target: String,
    options: SourceOptions,
    store: Store,
    catalog: Mutex<Option<Catalog>>,
    set: OnceLock<ImageSet>,
}

impl ImageSource {
    /// An archive, if it holds images.
    pub(super) fn from_archive(target: &str, map: &Arc<Mapped>, options: &SourceOptions) -> Option<Self> {
        Some(Self::new(target, Store::of_archive(map)?, options))
    }

    /// A folder, if it holds images.
    pub(super) fn from_folder(target: &str, path: &Path, options: &SourceOptions) -> Option<Self> {
        Some(Self::new(target, Store::of_folder(path)?, options))
    }

    fn new(target: &str, store: Store, options: &SourceOptions) -> Self {
        let catalog = catalog(&store, options.platform.as_deref());
        Self {
            target: target.to_owned(),
            options: options.clone(),
            store,
            catalog: Mutex::new(Some(catalog)),
            set: OnceLock::new(),
        }
    }

    fn scan(&self, walk: &Walk<'_>, set: &mut ImageSet) {
        let Some(catalog) = &set.catalog else { return };
        let jobs = self.jobs(walk, catalog);
        let scanned = Mutex::new(Vec::new());
        let schedule = Schedule::new(walk, jobs);
        let paths = &set.paths;
        let configured = Configured::of(catalog, &self.store);
        let run = |job: &Job, window: Option<Window>| {
            let member = &self.store.members[job.member as usize];
            let result = match job.role {
                Some(Role::Configuration | Role::Description) => {
                    self.document(walk, catalog, &configured, job)
                }
                None if is_old_metadata(&member.name) => self.document(walk, catalog, &configured, job),
                Some(Role::Layer) | None => self.layer(walk, paths, catalog, (job, window), member),
            };
            if let Ok(Some(result)) = result {
                scanned.lock().unwrap_or_else(PoisonError::into_inner).push((job.member, result));
            }
        };
        rayon::scope(|scope| schedule.start(scope, &run));
        set.scanned = scanned.into_inner().unwrap_or_else(PoisonError::into_inner).into_iter().collect();
    }

    /// What there is to do, the largest last.
    fn jobs(&self, walk: &Walk<'_>, catalog: &Catalog) -> Vec<Job> {
        let mut jobs = Vec::with_capacity(self.store.members.len());
        for (member, stored) in (0..).zip(&self.store.members) {
            let role = catalog.roles.get(&member).copied();
            let codec =
                self.store.with(stored, |bytes| match Format::of(&bytes[..bytes.len().min(HEAD_BYTES)]) {
                    Format::Compressed(codec) => {
                        Some((codec, bytes[..bytes.len().min(WINDOW_HEAD_BYTES)].into()))
                    }
                    _ => None,
                });
            match codec {
                Ok((codec, _)) => jobs.push(Job { member, role, codec, size: stored.range.len() }),
                Err(error) => {
                    walk.skip(&Place::Path(&stored.name), Skipped::Unreadable, error.kind().to_string());
                }
            }
        }
        jobs.sort_by_key(|job| job.size);
        jobs
    }

    fn layer(
        &self,
        walk: &Walk<'_>,
        paths: &crate::image::index::Paths,
        catalog: &Catalog,
        (job, window): (&Job, Option<Window>),
        member: &Member,
    ) -> Result<Option<Scanned>, Over> {
        let scan = LayerScan {
            walk,
            paths,
            target: self.options.target,
            member: job.member,
            name: Arc::clone(&member.name),
            is_layer: job.role == Some(Role::Layer),
            verify_diff_id: self.options.verify_diff_ids,
            nesting: Nesting::TARGET.inner().inner(),
        };
        if let (Some((codec, head)), None) = (&job.codec, &window) {
            too_large(walk, &scan.whole(), *codec, memory_needed(*codec, head));
            return Ok(None);
        }
        let lent = self.store.with(member, |bytes| {
            let scanned = scan.slice(bytes, window)?;
            if !member.cut_off {
                verify(walk, &member.name, claims(catalog, job.member), &scanned);
            }
            Ok(scanned)
        });
        match lent {
            Ok((scanned, changed)) => {
                if changed {
                    walk.skip(&Place::Path(&member.name), Skipped::ChangedWhileRead, None);
                }
                scanned.map(Some)
            }
            Err(error) => {
                walk.skip(&Place::Path(&member.name), Skipped::Unreadable, error.kind().to_string());
                Ok(None)
            }
        }
    }

    /// Searches a manifest, an index or a configuration.
    fn document(
        &self,
        walk: &Walk<'_>,
        catalog: &Catalog,
        configured: &Configured,
        job: &Job,
    ) -> Result<Option<Scanned>, Over> {
        let member = &self.store.members[job.member as usize];
        let searched = self.store.with(member, |bytes| {
            walk.count_stored(bytes.len() as u64);
            let at = described(self.options.target, job.member, &member.name);
            document(walk, at, bytes, job.role, configured)?;
            let stored = Some(crate::image::catalog::sha256(bytes));
            let scanned = Scanned { stored, ..Scanned::default() };
            verify(walk, &member.name, claims(catalog, job.member), &scanned);
            Ok(scanned)
        });
        match searched {
            Ok((scanned, changed)) => {
                if changed {
                    walk.skip(&Place::Path(&member.name), Skipped::ChangedWhileRead, None);
                }
                scanned.map(Some)
            }
            Err(error) => {
                walk.skip(&Place::Path(&member.name), Skipped::Unreadable, error.kind().to_string());
                Ok(None)
            }
        }
    }
}

/// What manifests say about a member's digests.
pub(super) fn claims(catalog: &Catalog, member: MemberId) -> &[Expected] {
    catalog.expected.get(&member).map_or(&[], Vec::as_slice)
}

/// Says what the manifests get wrong.
pub(super) fn report(walk: &Walk<'_>, catalog: &Catalog) {
    for (at, reason, detail) in &catalog.skipped {
        walk.skip(&Place::Path(at), *reason, detail.clone());
    }
    for (at, reason) in &catalog.excluded {
        walk.exclude(&Place::Path(at), *reason);
    }
    if catalog.images.is_empty() && catalog.skipped.is_empty() {
        walk.skip(&Place::Target, Skipped::Empty, "it names no image; what is in it was searched".to_owned());
    }
}

impl Source for ImageSource {
    fn blobs(&self, sink: &dyn Sink) -> Coverage {
        let walk = Walk::new(sink, &self.options.limits, &self.target);
        let catalog = self.catalog.lock().unwrap_or_else(PoisonError::into_inner).take();
        let sizes =
            (0..).zip(&self.store.members).map(|(member, stored)| (member, stored.range.len() as u64));
        let mut set = ImageSet { catalog, sizes: sizes.collect(), ..ImageSet::default() };
        if let Some((reason, detail)) = &self.store.broken {
            walk.skip(&Place::Target, *reason, detail.clone());
        }
        if let Some(catalog) = &set.catalog {
            report(&walk, catalog);
        }
        self.scan(&walk, &mut set);
        if let StoredIn::Archive(map) = &self.store.place
            && map.changed()
        {
            walk.skip(&Place::Target, Skipped::ChangedWhileRead, None);
        }
        let _ = self.set.set(set);
        walk.finish()
    }

    fn locate(&self, provenance: &Provenance) -> Vec<Site> {
        self.set.get().map(|set| set.locate(provenance)).unwrap_or_default()
    }

    fn images(&self) -> Vec<ScannedImage> {
        self.set.get().map(ImageSet::images).unwrap_or_default()
    }

    fn bytes_stored(&self) -> Option<u64> {
        Some(self.store.members.iter().map(|member| member.range.len() as u64).sum())
    }
}
