//! Parts of a repository: what a range of commits brought, what the next commit would bring.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};

use gix::ObjectId;
use gix::objs::{FindExt, TreeRefIter};
use gix::revision::plumbing::Spec;
use shared::coverage::{Excluded, Skipped};

use super::GitSource;
use super::objects::{Short, read, reason, short};
use crate::unpack::{self, Nesting};
use crate::walk::{Over, Place, Walk};

/// Objects that a thread takes at once.
const CHUNK: usize = 64;

/// What a range means: the tips to walk from, and the commits whose history is left out.
pub(super) fn range(
    repository: &gix::Repository,
    range: &str,
) -> Result<(Vec<ObjectId>, Vec<ObjectId>), String> {
    let spec = repository.rev_parse(range).map_err(|error| reason(&error))?.detach();
    match spec {
        Spec::Include(id) => Ok((vec![id], Vec::new())),
        Spec::Range { from, to } => Ok((vec![to], vec![from])),
        Spec::Merge { theirs, ours } => {
            let base = repository.merge_base(theirs, ours).map_err(|error| reason(&error))?;
            Ok((vec![theirs, ours], base.map(gix::Id::detach).into_iter().collect()))
        }
        Spec::Exclude(_) | Spec::IncludeOnlyParents(_) | Spec::ExcludeParents(_) => {
            Err("write two commits, as in main..HEAD".to_owned())
        }
    }
}

/// Searches what the commits from the tips brought that the trees before them did not have.
pub(super) fn between(
    source: &GitSource,
    walk: &Walk<'_>,
    tips: &[ObjectId],
    hidden: &[ObjectId],
) -> Result<(), Over> {
    let handle = source.repositories[0].handle();
    let mut commits = Vec::new();
    let mut parents = HashSet::new();
    let order = gix::revision::walk::Sorting::ByCommitTime(Default::default());
    let walked =
        handle.rev_walk(tips.iter().copied()).with_hidden(hidden.iter().copied()).sorting(order).all();
    let gap = |detail: String| walk.skip(&Place::Path("history"), Skipped::MissingObject, Some(detail));
    match walked {
        Ok(walked) => {
            for commit in walked {
                match commit {
                    Ok(commit) => {
                        parents.extend(commit.parent_ids.iter().copied());
                        commits.push(commit.id);
                    }
                    Err(error) => {
                        gap(reason(&error));
                        break;
                    }
                }
            }
        }
        Err(error) => gap(reason(&error)),
    }
    let inside: HashSet<ObjectId> = commits.iter().copied().collect();
    let shallow = handle.shallow_commits().ok().flatten();
    let mut trees = Trees { handle: &handle, seen: HashSet::new(), brought: Vec::new(), gaps: Vec::new() };
    for before in parents.difference(&inside) {
        trees.commit(before, shallow.is_none());
    }
    trees.brought.clear();
    for commit in &commits {
        walk.count_entry()?;
        let mut buffer = Vec::new();
        if let Some(data) = read(walk, &handle, commit, "", &mut buffer)? {
            walk.emit_slice(source.object(0, commit, "commit"), data.data)?;
        }
        trees.commit(commit, true);
    }
    if shallow.is_some_and(|shallow| shallow.iter().any(|commit| inside.contains(commit))) {
        let detail = "the history is cut off inside the range: run `git fetch --unshallow`";
        walk.skip(&Place::Path("history"), Skipped::Shallow, detail.to_owned());
    }
    for detail in trees.gaps {
        gap(detail);
    }
    search(source, walk, &trees.brought)
}

/// Trees and blobs that were seen, and the blobs that came with the last trees.
struct Trees<'r> {
    handle: &'r gix::Repository,
    seen: HashSet<Short>,
    brought: Vec<ObjectId>,
    gaps: Vec<String>,
}

impl Trees<'_> {
    fn commit(&mut self, id: &ObjectId, must_be_there: bool) {
        let mut buffer = Vec::new();
        match self.handle.objects.find_commit_iter(id, &mut buffer).and_then(|mut commit| commit.tree_id()) {
            Ok(tree) => self.tree(tree),
            Err(error) if must_be_there => self.gaps.push(format!("commit {id}: {}", reason(&error))),
            Err(_) => {}
        }
    }

    fn tree(&mut self, root: ObjectId) {
        let hash = self.handle.object_hash();
        let mut pending = vec![root];
        let mut buffer = Vec::new();
        while let Some(id) = pending.pop() {
            if id.is_empty_tree() || !self.seen.insert(short(&id)) {
                continue;
            }
            match self.handle.objects.find(&id, &mut buffer) {
                Ok(data) => {
                    for entry in TreeRefIter::from_bytes(data.data, hash).flatten() {
                        if entry.mode.is_tree() {
                            pending.push(entry.oid.to_owned());
                        } else if !entry.mode.is_commit() && self.seen.insert(short(entry.oid)) {
                            self.brought.push(entry.oid.to_owned());
                        }
                    }
                }
                Err(error) => self.gaps.push(format!("tree {id}: {}", reason(&error))),
            }
        }
    }
}

/// Searches what is staged and differs from HEAD; returns the paths of each object.
pub(super) fn staged(source: &GitSource, walk: &Walk<'_>) -> Result<HashMap<ObjectId, Vec<String>>, Over> {
    let repository = &source.repositories[0];
    let handle = repository.handle();
    let mut places: HashMap<ObjectId, Vec<String>> = HashMap::new();
    // A hook of `git commit FILE` gets an index of its own.
    let index = match std::env::var_os("GIT_INDEX_FILE") {
        Some(path) => {
            gix::index::File::at(path, handle.object_hash(), false, gix::index::decode::Options::default())
        }
        // Nothing was ever added.
        None if !handle.index_path().exists() => {
            walk.emit_slice(super::file(source, ".git/index"), &[])?;
            return Ok(places);
        }
        None => handle.open_index(),
    };
    let index = match index {
        Ok(index) => index,
        Err(error) => {
            walk.skip(&Place::Path("index"), Skipped::Corrupt, Some(reason(&error)));
            return Ok(places);
        }
    };
    let mut at_head: HashMap<Vec<u8>, ObjectId> = HashMap::new();
    if let Ok(tree) = handle.head_tree_id_or_empty() {
        let missing = super::history::entries(&handle, tree.detach(), &mut |path, entry| {
            at_head.insert(path.to_vec(), entry.oid.to_owned());
        });
        for what in missing {
            walk.skip(&Place::Path("HEAD"), Skipped::MissingObject, Some(what));
        }
    }
    // Nothing staged is no gap: the index itself was read.
    walk.emit_slice(super::file(source, ".git/index"), &[])?;
    for entry in index.entries() {
        walk.count_entry()?;
        let path: &[u8] = entry.path(&index);
        let label = repository.path(path);
        if at_head.get(path) == Some(&entry.id)
            || entry.flags.contains(gix::index::entry::Flags::INTENT_TO_ADD)
        {
            continue;
        }
        if entry.mode.is_submodule() {
            walk.exclude(&Place::Path(&label), Excluded::Submodule);
        } else if entry.mode.is_sparse() {
            // A folder that is not checked out, with all that it holds.
            if at_head.keys().any(|head| head.starts_with(path)) {
                continue;
            }
            walk.skip(&Place::Path(&label), Skipped::Unsupported, "a folder in a sparse index".to_owned());
        } else {
            places.entry(entry.id).or_default().push(label);
        }
    }
    let ids: Vec<ObjectId> = places.keys().copied().collect();
    search(source, walk, &ids)?;
    Ok(places)
}

/// Searches objects, on all threads.
fn search(source: &GitSource, walk: &Walk<'_>, ids: &[ObjectId]) -> Result<(), Over> {
    let queue = Mutex::new(ids.chunks(CHUNK));
    let result = Mutex::new(Ok(()));
    rayon::scope(|scope| {
        for _ in 0..rayon::current_num_threads() {
            scope.spawn(|_| {
                let handle = source.repositories[0].handle();
                let mut buffer = Vec::new();
                let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
                while let Some(chunk) = next() {
                    for id in chunk {
                        if let Err(over) = one(source, walk, &handle, id, &mut buffer) {
                            *result.lock().unwrap_or_else(PoisonError::into_inner) = Err(over);
                            return;
                        }
                    }
                }
            });
        }
    });
    result.into_inner().unwrap_or_else(PoisonError::into_inner)
}

fn one(
    source: &GitSource,
    walk: &Walk<'_>,
    handle: &gix::Repository,
    id: &ObjectId,
    buffer: &mut Vec<u8>,
) -> Result<(), Over> {
    walk.count_entry()?;
    let Some(data) = read(walk, handle, id, "", buffer)? else { return Ok(()) };
    walk.count_stored(data.data.len() as u64);
    unpack::slice(walk, source.object(0, id, "object"), data.data, Nesting::TARGET.inner())
}
