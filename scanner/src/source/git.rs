//! Git repositories: every object once, however many commits hold it.
//!
//! The objects are read from packs and loose files in the order in which they are stored, so that each base of a
//! delta is decoded about once, and searched without asking which commit they belong to: what no branch reaches any
//! more is still in everyone's clone. Only for objects with hits is the history walked, to tell the paths, the first
//! and the last commit. Nothing is executed, no configuration but the repository's own is read, nothing is written.

mod history;
mod objects;
mod selected;

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use gix::ObjectId;
use shared::coverage::{Coverage, Excluded, Skipped};
use shared::finding::State;

use super::{GitScope, SourceOptions, TargetError};
use crate::blob::{Origin, Provenance, Sink, Site, Source};
use crate::unpack::label;
use crate::walk::{Place, Walk};

use history::{History, Seen};

/// What a target of this kind begins with.
pub(super) const PREFIX: &str = "git:";
/// Memory of each thread for bases of deltas.
const PACK_CACHE_BYTES: usize = 48 << 20;
/// A path below `.git` where repositories of submodules lie, and how deep they may nest.
const MODULES: &str = "modules";
const MODULES_DEPTH_MAX: usize = 8;
/// Repositories of one target. Submodules beyond are listed as not read.
const REPOSITORIES_MAX: usize = 1000;
/// Folders of submodules that are listed as not read.
const UNOPENED_MAX: usize = 1000;

/// A repository with its submodules.
pub(super) struct GitSource {
    target: String,
    options: SourceOptions,
    repositories: Vec<Repository>,
    /// Where submodules lie that are too many, too deep or cannot be opened.
    unopened: Vec<(Skipped, String)>,
    commits: Commits,
}

/// One repository.
struct Repository {
    store: gix::ThreadSafeRepository,
    /// Where it lies in the outer one: empty, or `libs/json/`.
    prefix: String,
    /// Told after the walk, for objects with hits.
    seen: OnceLock<HashMap<ObjectId, Seen>>,
}

/// What of the repository is searched.
enum Commits {
    /// All objects, whether or not a branch reaches them.
    All,
    /// What these commits brought that those did not have.
    Range { tips: Vec<ObjectId>, hidden: Vec<ObjectId> },
    /// What the next commit would bring: each object with its paths.
    Staged(Mutex<HashMap<ObjectId, Vec<String>>>),
}

impl Repository {
    fn open(path: &Path, prefix: String) -> Option<Self> {
        // An object that says to be larger is refused before it takes memory, whatever its bases and differences are.
        let limit = format!("gitoxide.objects.allocLimit={}", objects::OBJECT_BYTES_MAX);
        let options = gix::open::Options::isolated().config_overrides([limit]);
        let store = gix::ThreadSafeRepository::open_opts(path, options).ok()?;
        Some(Self { store, prefix, seen: OnceLock::new() })
    }

    /// A handle for one thread.
    fn handle(&self) -> gix::Repository {
        let mut handle = self.store.to_thread_local();
        handle.objects.set_pack_cache(|| {
            Box::new(gix::odb::pack::cache::lru::MemoryCappedHashmap::new(PACK_CACHE_BYTES))
        });
        handle
    }

    /// How a path of it is called in a report.
    fn path(&self, path: &[u8]) -> String {
        format!("{}{}", self.prefix, label::path(path))
    }
}

/// Opens a repository: a folder with `.git`, a bare one, or a linked worktree.
pub(super) fn open(target: &str, path: &str, options: &SourceOptions) -> Result<GitSource, TargetError> {
    let missing = || TargetError::NoRepository { target: target.to_owned() };
    let main = Repository::open(Path::new(path), String::new()).ok_or_else(missing)?;
    let mut repositories = vec![main];
    let mut unopened = Vec::new();
    let handle = repositories[0].handle();
    let commits = match &options.git {
        GitScope::All => {
            let modules = handle.common_dir().join(MODULES);
            submodules(&modules, &mut PathBuf::new(), &mut repositories, &mut unopened);
            Commits::All
        }
        GitScope::Range(range) => {
            let (tips, hidden) = selected::range(&handle, range).map_err(|why| TargetError::Range {
                target: target.to_owned(),
                range: range.clone(),
                why,
            })?;
            Commits::Range { tips, hidden }
        }
        GitScope::Staged => Commits::Staged(Mutex::default()),
    };
    Ok(GitSource { target: target.to_owned(), options: options.clone(), repositories, unopened, commits })
}

/// The repositories of submodules that were fetched, by their names, which are their paths if nobody moved them.
fn submodules(
    modules: &Path,
    below: &mut PathBuf,
    repositories: &mut Vec<Repository>,
    unopened: &mut Vec<(Skipped, String)>,
) {
    let label = |path: &Path| format!("submodules/{}", label::path(path.as_os_str().as_encoded_bytes()));
    if repositories.len() >= REPOSITORIES_MAX || below.components().count() >= MODULES_DEPTH_MAX {
        if unopened.len() < UNOPENED_MAX {
            unopened.push((Skipped::Limit, label(below)));
        }
        return;
    }
    let entries = match std::fs::read_dir(modules.join(&*below)) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return,
        Err(_) => return unopened.push((Skipped::Unreadable, label(below))),
    };
    // Not through links: what lies elsewhere is not part of this repository.
    let folders = entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    let mut names: Vec<_> = folders.map(|entry| entry.file_name()).collect();
    names.sort();
    for name in names {
        below.push(name);
        let folder = modules.join(&*below);
        if folder.join("objects").is_dir() {
            let prefix = format!("{}/", label::path(below.as_os_str().as_encoded_bytes()));
            match Repository::open(&folder, prefix) {
                Some(repository) => repositories.push(repository),
                None => unopened.push((Skipped::Corrupt, label(below))),
            }
            // A submodule may have some of its own.
            let mut inner = PathBuf::new();
            let from = repositories.len();
            submodules(&folder.join(MODULES), &mut inner, repositories, unopened);
            let outer = label::path(below.as_os_str().as_encoded_bytes());
            for repository in &mut repositories[from..] {
                repository.prefix = format!("{outer}/{}", repository.prefix);
            }
        } else {
            submodules(modules, below, repositories, unopened);
        }
        below.pop();
    }
}

impl GitSource {
    /// The provenance of an object.
    fn object(&self, repository: usize, id: &ObjectId, kind: &str) -> Provenance {
        Provenance {
            target: self.options.target,
            origin: Origin::Object { repository: u32::try_from(repository).unwrap_or(u32::MAX) },
            path: format!("{kind}:{id}").into(),
            entries: Vec::new(),
        }
    }

    fn search(&self, walk: &Walk<'_>) {
        for (reason, at) in &self.unopened {
            let detail = "a submodule that is not searched: name its folder as a target of its own";
            walk.skip(&Place::Path(at), *reason, detail.to_owned());
        }
        for (index, repository) in self.repositories.iter().enumerate() {
            let result = match &self.commits {
                Commits::All => {
                    repository.gaps(walk);
                    objects::all(self, walk, index)
                }
                Commits::Range { tips, hidden } => selected::between(self, walk, tips, hidden),
                Commits::Staged(places) => selected::staged(self, walk).map(|found| {
                    *places.lock().unwrap_or_else(PoisonError::into_inner) = found;
                }),
            };
            // Over: the walk remembers why it ended.
            if result.is_err() {
                return;
            }
        }
    }
}

impl Repository {
    /// What is known not to be there.
    fn gaps(&self, walk: &Walk<'_>) {
        let handle = self.handle();
        let at = |what: &str| format!("{}{what}", self.prefix);
        if handle.is_shallow().unwrap_or(true) {
            let detail = "the history is cut off: run `git fetch --unshallow`";
            walk.skip(&Place::Path(&at("history")), Skipped::Shallow, detail.to_owned());
        }
        if handle.config_snapshot().string("extensions.partialClone").is_some() {
            let detail =
                "a partial clone: what was not fetched is not there; run `git fetch --refetch --no-filter`";
            walk.skip(&Place::Path(&at("objects")), Skipped::MissingObject, detail.to_owned());
        }
        for (reason, detail) in history::dangling(self.handle()) {
            walk.skip(&Place::Path(&at("references")), reason, Some(detail));
        }
        for path in absent_submodules(&handle, self, walk) {
            walk.exclude(&Place::Path(&path), Excluded::Submodule);
        }
    }
}

/// Submodules that the tip of HEAD names and that were not fetched.
fn absent_submodules(handle: &gix::Repository, repository: &Repository, walk: &Walk<'_>) -> Vec<String> {
    let Ok(tree) = handle.head_tree_id_or_empty() else { return Vec::new() };
    let modules = handle.common_dir().join(MODULES);
    let mut absent = Vec::new();
    let missing = history::entries(handle, tree.detach(), &mut |path, entry| {
        let fetched = || modules.join(OsStr::from_bytes(path)).join("objects").is_dir();
        if entry.mode.is_commit() && !fetched() {
            absent.push(repository.path(path));
        }
    });
    for what in missing {
        let at = format!("{}HEAD", repository.prefix);
        walk.skip(&Place::Path(&at), Skipped::MissingObject, Some(what));
    }
    absent
}

impl Source for GitSource {
    fn blobs(&self, sink: &dyn Sink) -> Coverage {
        let walk = Walk::new(sink, &self.options.limits, &self.target);
        self.search(&walk);
        walk.finish()
    }

    fn resolve(&self, hits: &[&Provenance]) -> Coverage {
        let mut coverage = Coverage::default();
        for (index, repository) in self.repositories.iter().enumerate() {
            let of_it = hits.iter().filter(
                |at| matches!(at.origin, Origin::Object { repository } if repository as usize == index),
            );
            let wanted: HashSet<ObjectId> = of_it.filter_map(|at| object_of(at)).collect();
            if wanted.is_empty() {
                continue;
            }
            let (tips, hidden): (Option<&[ObjectId]>, &[ObjectId]) = match &self.commits {
                Commits::All => (None, &[]),
                Commits::Range { tips, hidden } => (Some(tips), hidden),
                Commits::Staged(_) => continue,
            };
            let history = History::new(repository.handle(), wanted);
            let (seen, gaps) = history.walk(tips, hidden);
            for gap in gaps {
                let at = format!("{}: {}history", self.target, repository.prefix);
                coverage.skipped.push(at, gap.0, Some(gap.1));
            }
            let _ = repository.seen.set(seen);
        }
        coverage
    }

    fn locate(&self, provenance: &Provenance) -> Vec<Site> {
        let entries: Vec<String> = provenance.entries.iter().map(ToString::to_string).collect();
        let plain = |path: String, state: State| Site {
            image: None,
            layer: None,
            git: None,
            path,
            entries: entries.clone(),
            state,
            hidden_by: None,
        };
        let Origin::Object { repository: index } = provenance.origin else {
            return vec![plain(provenance.path.to_string(), State::Visible)];
        };
        let (Some(repository), Some(id)) = (self.repositories.get(index as usize), object_of(provenance))
        else {
            return vec![plain(provenance.path.to_string(), State::Orphan)];
        };
        if let Commits::Staged(places) = &self.commits {
            let places = places.lock().unwrap_or_else(PoisonError::into_inner);
            let paths = places.get(&id).cloned().unwrap_or_default();
            return paths.into_iter().map(|path| plain(path, State::Visible)).collect();
        }
        let seen = repository.seen.get().and_then(|seen| seen.get(&id));
        let Some(seen) = seen else {
            let git = Some(shared::finding::GitPlace {
                object: id.to_string(),
                first: None,
                last: None,
                at_head: false,
            });
            return vec![Site {
                git,
                ..plain(format!("{}{}", repository.prefix, provenance.path), State::Orphan)
            }];
        };
        seen.places
            .iter()
            .map(|place| {
                let path = if place.path.is_empty() {
                    format!("{}{}", repository.prefix, provenance.path)
                } else {
                    repository.path(&place.path)
                };
                Site { git: Some(place.git(&id)), ..plain(path, place.state) }
            })
            .collect()
    }
}

/// The object that a blob is, from its label.
fn object_of(at: &Provenance) -> Option<ObjectId> {
    let (_, hex) = at.path.split_once(':')?;
    ObjectId::from_hex(hex.as_bytes()).ok()
}

/// A file of the repository's own: configuration, hooks, logs.
fn file(source: &GitSource, path: &str) -> Provenance {
    let path: Arc<str> = path.into();
    Provenance { target: source.options.target, origin: Origin::File, path, entries: Vec::new() }
}
