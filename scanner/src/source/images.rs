//! Archives of `docker save`, OCI layouts as archive or folder: anything with images that can be read in any order.
//!
//! Members are read in place, from the map of the archive or from a map of each file. The manifests are read first,
//! so that every layer is known before it is searched; locations are told afterwards, from all layers together.

use std::collections::HashSet;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use serde_json::Value;
use shared::coverage::{Coverage, Skipped};

use super::{SourceOptions, folder, open_regular};
use crate::blob::{Origin, Provenance, Sink, Site, Source};
use crate::image::catalog::{Catalog, Expected, MemberId, Members, Names, Role, catalog, is_image};
use crate::image::document::parts;
use crate::image::layer::{LayerScan, Scanned, verify};
use crate::image::{CONFIGURATION, ImageSet, is_old_metadata};
use crate::limits::DOCUMENT_BYTES_MAX;
use crate::mmap::Mapped;
use crate::unpack::compression::memory_needed;
use crate::unpack::format::{Format, HEAD_BYTES};
use crate::unpack::tar::{Kind, SliceWalk, TarError};
use crate::unpack::{Nesting, label};
use crate::walk::{Over, Place, Walk};

/// An archive with more members is an archive of files: image archives have a few hundred.
const MEMBERS_MAX: usize = 200_000;

/// A target that holds images.
pub(super) struct ImageSource {
    target: String,
    options: SourceOptions,
    store: Store,
    catalog: Mutex<Option<Catalog>>,
    set: OnceLock<ImageSet>,
}

/// Where the members lie.
struct Store {
    members: Vec<Member>,
    names: Names,
    place: StoredIn,
    /// Why the list of members is not complete.
    broken: Option<(Skipped, String)>,
}

enum StoredIn {
    Archive(Arc<Mapped>),
    Folder(PathBuf),
}

struct Member {
    name: Arc<str>,
    /// Of a folder's file: its path below the root.
    path: PathBuf,
    /// In the archive's map; of a folder's file, from 0.
    range: Range<usize>,
    /// Of a folder's file that is small enough to be a document.
    document: OnceLock<Option<Box<[u8]>>>,
    cut_off: bool,
}

impl Members for Store {
    fn find(&self, name: &str) -> Option<MemberId> {
        self.names.find(name)
    }

    fn document(&self, member: MemberId) -> Option<&[u8]> {
        let member = self.members.get(member as usize)?;
        if member.range.len() as u64 > DOCUMENT_BYTES_MAX {
            return None;
        }
        match &self.place {
            StoredIn::Archive(map) => map.bytes().get(member.range.clone()),
            StoredIn::Folder(root) => {
                let read = || std::fs::read(root.join(&member.path)).ok().map(Vec::into_boxed_slice);
                member.document.get_or_init(read).as_deref()
            }
        }
    }
}

impl Store {
    /// Lists an archive. None if it has no images.
    fn of_archive(map: &Arc<Mapped>) -> Option<Self> {
        let mut names = Names::default();
        let mut members = Vec::new();
        let mut broken = None;
        let start = map.bytes().as_ptr() as usize;
        for next in SliceWalk::new(map.bytes()) {
            let member = match next {
                Ok(member) => member,
                Err(error) => {
                    broken = Some(reason(&error));
                    break;
                }
            };
            let name = label::path(&member.entry.path);
            match member.entry.kind {
                Kind::File => {
                    let from = member.data.as_ptr() as usize - start;
                    names.file(&name, MemberId::try_from(members.len()).ok()?);
                    members.push(Member {
                        name: name.into(),
                        path: PathBuf::new(),
                        range: from..from + member.data.len(),
                        document: OnceLock::new(),
                        cut_off: (member.data.len() as u64) < member.entry.size,
                    });
                }
                Kind::HardLink => names.hard_link(&name, &member.entry.link),
                Kind::Other if !member.entry.link.is_empty() => {
                    names.symbolic_link(&name, &member.entry.link);
                }
                Kind::Other | Kind::Directory => {}
            }
            if members.len() > MEMBERS_MAX {
                return None;
            }
        }
        let store = Self { members, names, place: StoredIn::Archive(Arc::clone(map)), broken };
        is_image(&store).then_some(store)
    }

    /// Lists a folder. None if it has no images.
    fn of_folder(root: &Path) -> Option<Self> {
        let mut store = Self {
            members: Vec::new(),
            names: Names::default(),
            place: StoredIn::Folder(root.to_owned()),
            broken: None,
        };
        // The root first: listing a whole tree that has no images would be for nothing.
        for sign in ["oci-layout", "index.json", "manifest.json"] {
            if let Ok(meta) = root.join(sign).symlink_metadata()
                && meta.is_file()
            {
                store.add(sign, PathBuf::from(sign), meta.len())?;
            }
        }
        if !is_image(&store) {
            return None;
        }
        let (files, refused) = folder::list(root, MEMBERS_MAX)?;
        store.broken = refused.map(|path| (Skipped::Unreadable, format!("{path} cannot be read")));
        for (name, path, length) in files {
            if store.names.find(&name).is_none() {
                store.add(&name, path, length)?;
            }
        }
        Some(store)
    }

    fn add(&mut self, name: &str, path: PathBuf, length: u64) -> Option<()> {
        self.names.file(name, MemberId::try_from(self.members.len()).ok()?);
        let range = 0..usize::try_from(length).ok()?;
        self.members.push(Member {
            name: name.into(),
            path,
            range,
            document: OnceLock::new(),
            cut_off: false,
        });
        Some(())
    }

    /// Lends the bytes of a member. Says by `true` that the file changed meanwhile.
    fn with<T>(&self, member: &Member, use_bytes: impl FnOnce(&[u8]) -> T) -> std::io::Result<(T, bool)> {
        match &self.place {
            StoredIn::Archive(map) => {
                Ok((use_bytes(map.bytes().get(member.range.clone()).unwrap_or_default()), false))
            }
            StoredIn::Folder(root) => {
                let map = Mapped::new(open_regular(&root.join(&member.path))?)?;
                let result = use_bytes(map.bytes());
                Ok((result, map.changed()))
            }
        }
    }
}

fn reason(error: &TarError) -> (Skipped, String) {
    match error {
        TarError::Truncated => {
            (Skipped::Truncated, "the archive is cut off: save the image again".to_owned())
        }
        TarError::Corrupt(why) => (Skipped::Corrupt, format!("the archive is damaged: {why}")),
        TarError::Read(_) => (Skipped::Unreadable, "the archive cannot be read".to_owned()),
    }
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
        let schedule = Schedule { waiting: Mutex::new((self.options.limits.decoder_memory, jobs)) };
        let paths = &set.paths;
        let configured = Configured::of(catalog, &self.store);
        let run = |job: &Job| {
            let member = &self.store.members[job.member as usize];
            let result = match job.role {
                Some(Role::Configuration | Role::Description) => {
                    self.document(walk, catalog, &configured, job)
                }
                None if is_old_metadata(&member.name) => self.document(walk, catalog, &configured, job),
                Some(Role::Layer) | None => self.layer(walk, paths, catalog, job, member),
            };
            if let Ok(Some(result)) = result {
                scanned.lock().unwrap_or_else(PoisonError::into_inner).push((job.member, result));
            }
        };
        rayon::scope(|scope| schedule.start(scope, &run));
        set.scanned = scanned.into_inner().unwrap_or_else(PoisonError::into_inner).into_iter().collect();
    }

    /// What there is to do, the largest first.
    fn jobs(&self, walk: &Walk<'_>, catalog: &Catalog) -> Vec<Job> {
        let mut jobs = Vec::with_capacity(self.store.members.len());
        for (member, stored) in (0..).zip(&self.store.members) {
            let role = catalog.roles.get(&member).copied();
            let memory =
                self.store.with(stored, |bytes| match Format::of(&bytes[..bytes.len().min(HEAD_BYTES)]) {
                    Format::Compressed(codec) => {
                        memory_needed(codec, &bytes[..bytes.len().min(1 << 16)]).max(DECODER_BYTES_MIN)
                    }
                    _ => 0,
                });
            match memory {
                Ok((memory, _)) => {
                    // What needs more than there ever is says so and takes nothing.
                    let share = if memory > self.options.limits.decoder_memory { 0 } else { memory };
                    jobs.push(Job { member, role, memory, share, size: stored.range.len() });
                }
                Err(error) => {
                    walk.skip(&Place::Path(&stored.name), Skipped::Unreadable, error.kind().to_string());
                }
            }
        }
        jobs.sort_by_key(|job| std::cmp::Reverse(job.size));
        jobs
    }

    fn layer(
        &self,
        walk: &Walk<'_>,
        paths: &crate::image::index::Paths,
        catalog: &Catalog,
        job: &Job,
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
        if job.memory > self.options.limits.decoder_memory {
            let mib = job.memory.div_ceil(1 << 20);
            let detail =
                format!("its window of {mib} MiB is larger than the limit `decoder-memory`: raise it");
            walk.skip(&Place::Path(&member.name), Skipped::Limit, detail);
            return Ok(None);
        }
        let lent = self.store.with(member, |bytes| {
            let scanned = scan.slice(bytes, job.memory)?;
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

/// The texts of all configurations. Docker's old metadata repeats them for each layer.
#[derive(Default)]
pub(super) struct Configured(HashSet<String>);

impl Configured {
    /// Of all images of a catalog.
    pub(super) fn of(catalog: &Catalog, members: &impl Members) -> Self {
        let configurations = catalog.images.iter().filter_map(|image| members.document(image.configuration?));
        let parsed = configurations.filter_map(|bytes| serde_json::from_slice(bytes).ok());
        Self(parsed.flat_map(|configuration| parts(&configuration)).map(|(_, text)| text).collect())
    }

    /// Whether a document says nothing that a configuration does not say.
    fn says_all(&self, document: &Value) -> bool {
        parts(document).iter().all(|(_, text)| self.0.contains(text) || is_bookkeeping(text))
    }
}

/// Digests, times and short words: nothing that a secret looks like.
fn is_bookkeeping(text: &str) -> bool {
    const KEYS: [&str; 8] =
        ["id=", "parent=", "created=", "docker_version=", "os=", "architecture=", "Hostname=", "Image="];
    let plain =
        |byte: u8| byte.is_ascii_digit() || matches!(byte, b'a'..=b'f' | b':' | b'.' | b'-' | b'T' | b'Z');
    let value = KEYS.iter().find_map(|key| text.strip_prefix(key));
    value.is_some_and(|value| value.len() <= 12 || value.trim_start_matches("sha256:").bytes().all(plain))
}

/// Searches the parts of a configuration, or another document as it is.
pub(super) fn document(
    walk: &Walk<'_>,
    at: Provenance,
    bytes: &[u8],
    role: Option<Role>,
    configured: &Configured,
) -> Result<(), Over> {
    let readable = bytes.len() as u64 <= DOCUMENT_BYTES_MAX;
    let parse = || if readable { serde_json::from_slice::<Value>(bytes).ok() } else { None };
    let repeats =
        role.is_none() && is_old_metadata(&at.path) && parse().is_some_and(|json| configured.says_all(&json));
    if repeats {
        return walk.emit_slice(at, &[]);
    }
    let parsed = if role == Some(Role::Configuration) { parse() } else { None };
    let Some(configuration) = parsed else { return walk.emit_slice(at, bytes) };
    for (path, text) in parts(&configuration) {
        debug_assert!(path.starts_with(CONFIGURATION));
        walk.emit_slice(Provenance { path: path.into(), ..at.clone() }, text.as_bytes())?;
    }
    Ok(())
}

/// The provenance of a document.
pub(super) fn described(target: u32, member: MemberId, name: &Arc<str>) -> Provenance {
    let origin = Origin::Config { document: member };
    Provenance { target, origin, path: Arc::clone(name), entries: Vec::new() }
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
        let mut set = ImageSet { catalog, ..ImageSet::default() };
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

    fn bytes_stored(&self) -> Option<u64> {
        Some(self.store.members.iter().map(|member| member.range.len() as u64).sum())
    }
}

/// What a decoder takes beside its window.
const DECODER_BYTES_MIN: u64 = 1 << 20;

struct Job {
    member: MemberId,
    role: Option<Role>,
    /// What its decoder needs; 0 without one.
    memory: u64,
    /// What it takes from the budget.
    share: u64,
    size: usize,
}

/// Starts jobs as long as there is memory for their decoders. Nothing waits inside a job: a thread that waited for
/// memory could be the one that holds it, further down on its stack.
struct Schedule {
    /// Free memory, and jobs not started.
    waiting: Mutex<(u64, Vec<Job>)>,
}

impl Schedule {
    fn start<'scope, F>(&'scope self, scope: &rayon::Scope<'scope>, run: &'scope F)
    where
        F: Fn(&Job) + Sync,
    {
        let ready: Vec<Job> = {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            let (free, jobs) = &mut *waiting;
            let fits = |job: &mut Job| {
                let left = free.checked_sub(job.share);
                *free = left.unwrap_or(*free);
                left.is_some()
            };
            jobs.extract_if(.., fits).collect()
        };
        // A thread runs first what it spawned last: the largest.
        for job in ready.into_iter().rev() {
            scope.spawn(move |scope| {
                run(&job);
                let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
                waiting.0 += job.share;
                drop(waiting);
                self.start(scope, run);
            });
        }
    }
}
