//! Every object of a repository, from its packs and loose files, in the order in which they lie there.

use std::collections::HashSet;
use std::hash::{BuildHasher, Hasher};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use gix::ObjectId;
use gix::objs::{CommitRefIter, Find, Kind, TreeRefIter};
use gix::odb::store::iter::Ordering;
use gix::prelude::Header;
use shared::coverage::Skipped;

use super::{GitSource, file};
use crate::unpack::{self, Nesting};
use crate::walk::{Over, Place, Walk};

/// An object is decoded as a whole. What is larger is not read, and said.
pub(super) const OBJECT_BYTES_MAX: u64 = 512 << 20;
/// Objects that a thread takes at once: the more, the more bases of deltas it finds in its own cache; and each thread
/// shall have several turns.
const CHUNK_MIN: usize = 2048;
const CHUNK_MAX: usize = 64 << 10;
const TURNS: usize = 8;
/// A file of the repository's own that is read: logs grow.
const FILE_BYTES_MAX: u64 = 64 << 20;
/// Such files of one repository.
const FILES_MAX: usize = 20_000;
/// What lies beside the objects and is text.
const FILES: [&str; 9] = [
    "config",
    "config.worktree",
    "FETCH_HEAD",
    "COMMIT_EDITMSG",
    "MERGE_MSG",
    "packed-refs",
    "hooks",
    "info",
    "logs",
];

/// The beginning of an object's name. No two objects of a repository share 128 bits by chance.
pub(super) type Short = u128;

/// Names of objects. They are spread evenly already, so that two multiplications with secret numbers do for a hash.
type Shorts = HashSet<Short, Spread>;

/// Makes hashers with numbers that nobody can know beforehand.
#[derive(Clone)]
struct Spread(u64, u64);

impl Default for Spread {
    fn default() -> Self {
        let random = std::hash::RandomState::new();
        Self(random.hash_one(0) | 1, random.hash_one(1) | 1)
    }
}

impl BuildHasher for Spread {
    type Hasher = Spreading;

    fn build_hasher(&self) -> Spreading {
        Spreading(self.0, self.1, 0)
    }
}

/// The numbers, and the hash so far.
struct Spreading(u64, u64, u64);

impl Hasher for Spreading {
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u128(u128::from(byte));
        }
    }

    fn write_u128(&mut self, number: u128) {
        let (low, high) = (number as u64, (number >> 64) as u64);
        let product = u128::from(low ^ self.2 ^ self.0) * u128::from(high ^ self.1);
        self.2 = product as u64 ^ (product >> 64) as u64;
    }

    fn finish(&self) -> u64 {
        self.2
    }
}

pub(super) fn short(id: &gix::oid) -> Short {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&id.as_bytes()[..16]);
    Short::from_le_bytes(bytes)
}

/// Searches every object once, and the repository's own files.
pub(super) fn all(source: &GitSource, walk: &Walk<'_>, index: usize) -> Result<(), Over> {
    let repository = &source.repositories[index];
    let handle = repository.handle();
    let at = |what: &str| format!("{}{what}", repository.prefix);
    own_files(source, walk, handle.common_dir(), &repository.prefix)?;
    let listed = |ordering| handle.objects.iter().map(|iter| iter.with_ordering(ordering));
    let mut known = Shorts::default();
    let ids = match listed(Ordering::PackLexicographicalThenLooseLexicographical) {
        Ok(ids) => ids,
        Err(error) => {
            walk.skip(&Place::Path(&at("objects")), Skipped::Corrupt, Some(reason(&error)));
            return Ok(());
        }
    };
    for id in ids {
        match id {
            Ok(id) if known.insert(short(&id)) => walk.count_entry()?,
            Ok(_) => {}
            Err(error) => walk.skip(&Place::Path(&at("objects")), Skipped::Unreadable, Some(reason(&error))),
        }
    }
    let Ok(ids) = listed(Ordering::PackAscendingOffsetThenLooseLexicographical) else { return Ok(()) };
    let shallow = handle.is_shallow().unwrap_or(true);
    let chunk = (known.len() / TURNS / rayon::current_num_threads()).clamp(CHUNK_MIN, CHUNK_MAX);
    let total = known.len().max(1) as u64;
    let stored = stored_bytes(handle.objects.store_ref().path());
    // The same object may lie in two packs.
    let queue = Mutex::new((ids, Shorts::default()));
    let several = handle.objects.store_ref().path().join("pack");
    let several = std::fs::read_dir(several).map_or(0, Iterator::count) > 0;
    let result = Mutex::new(Ok(()));
    rayon::scope(|scope| {
        for _ in 0..rayon::current_num_threads() {
            scope.spawn(|_| {
                let reader = Reader { source, walk, index, known: &known, shallow };
                let worked = reader.run(|taken| {
                    let mut queue = queue.lock().unwrap_or_else(PoisonError::into_inner);
                    let (ids, done) = &mut *queue;
                    while taken.len() < chunk {
                        match ids.next() {
                            // An error was told when the objects were counted.
                            Some(Err(_)) => {}
                            Some(Ok(id)) if several && !done.insert(short(&id)) => {}
                            Some(Ok(id)) => taken.push(id),
                            None => break,
                        }
                    }
                    walk.count_stored(stored * taken.len() as u64 / total);
                });
                if worked.is_err() {
                    *result.lock().unwrap_or_else(PoisonError::into_inner) = worked;
                }
            });
        }
    });
    result.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// One thread at work.
struct Reader<'a, 'w> {
    source: &'a GitSource,
    walk: &'a Walk<'w>,
    index: usize,
    known: &'a Shorts,
    /// Whether the history is cut off somewhere.
    shallow: bool,
}

impl Reader<'_, '_> {
    fn run(&self, refill: impl Fn(&mut Vec<ObjectId>)) -> Result<(), Over> {
        let handle = self.source.repositories[self.index].handle();
        let (mut chunk, mut buffer) = (Vec::new(), Vec::new());
        loop {
            chunk.clear();
            refill(&mut chunk);
            if chunk.is_empty() {
                return Ok(());
            }
            for id in &chunk {
                self.object(&handle, id, &mut buffer)?;
            }
        }
    }

    fn object(&self, handle: &gix::Repository, id: &ObjectId, buffer: &mut Vec<u8>) -> Result<(), Over> {
        let prefix = &self.source.repositories[self.index].prefix;
        let Some(data) = read(self.walk, handle, id, prefix, buffer)? else { return Ok(()) };
        let kind = data.kind;
        match kind {
            Kind::Blob => {
                let at = self.source.object(self.index, id, "object");
                unpack::slice(self.walk, at, data.data, Nesting::TARGET.inner())
            }
            Kind::Commit | Kind::Tag => {
                let word = if kind == Kind::Commit { "commit" } else { "tag" };
                if kind == Kind::Commit && !self.shallow {
                    self.commit(id, data.data, prefix, handle.object_hash());
                }
                self.walk.emit_slice(self.source.object(self.index, id, word), data.data)
            }
            Kind::Tree => {
                self.tree(id, data.data, prefix, handle.object_hash());
                self.walk.check_stopped()
            }
        }
    }

    /// A commit names a tree and parents. Where the history is cut off they may be missing, which is said already.
    fn commit(&self, id: &ObjectId, data: &[u8], prefix: &str, hash: gix::hash::Kind) {
        let mut commit = CommitRefIter::from_bytes(data, hash);
        let named = commit.tree_id().into_iter().chain(commit.parent_ids());
        for missing in named.filter(|id| !id.is_empty_tree() && !self.known.contains(&short(id))) {
            let detail = format!("it names {missing}, which is not there");
            self.walk.skip(
                &Place::Path(&format!("{prefix}commit:{id}")),
                Skipped::MissingObject,
                Some(detail),
            );
        }
    }

    /// A tree names what must be there.
    fn tree(&self, id: &ObjectId, data: &[u8], prefix: &str, hash: gix::hash::Kind) {
        for entry in TreeRefIter::from_bytes(data, hash) {
            let gap = match entry {
                Ok(entry) if entry.mode.is_commit() || self.known.contains(&short(entry.oid)) => continue,
                Ok(entry) => (Skipped::MissingObject, format!("it names {}, which is not there", entry.oid)),
                Err(_) => (Skipped::Corrupt, "it does not decode".to_owned()),
            };
            self.walk.skip(&Place::Path(&format!("{prefix}tree:{id}")), gap.0, Some(gap.1));
        }
    }
}

/// Decodes an object; none if it cannot be, which is told.
pub(super) fn read<'b>(
    walk: &Walk<'_>,
    handle: &gix::Repository,
    id: &ObjectId,
    prefix: &str,
    buffer: &'b mut Vec<u8>,
) -> Result<Option<gix::objs::Data<'b>>, Over> {
    let at = || format!("{prefix}object:{id}");
    // Its length is asked for only when it cannot be had: to tell it, all bases of a difference are looked at.
    let gap = match handle.objects.try_find(id, buffer) {
        Ok(Some(data)) => return Ok(Some(data)),
        Ok(None) => (Skipped::MissingObject, "it is not there".to_owned()),
        Err(error) => match handle.objects.try_header(id) {
            Ok(Some(header)) if header.size() > OBJECT_BYTES_MAX => {
                let mib = header.size() >> 20;
                let most = OBJECT_BYTES_MAX >> 20;
                (Skipped::Limit, format!("an object of {mib} MiB; those of up to {most} MiB are read"))
            }
            Ok(_) | Err(_) => (Skipped::Corrupt, reason(&error)),
        },
    };
    walk.skip(&Place::Path(&at()), gap.0, Some(gap.1));
    walk.check_stopped()?;
    Ok(None)
}

/// The first line of an error, which holds no content.
pub(super) fn reason(error: &impl ToString) -> String {
    error.to_string().lines().next().unwrap_or_default().chars().take(200).collect()
}

/// Configuration, hooks, logs: they hold addresses with passwords.
fn own_files(source: &GitSource, walk: &Walk<'_>, folder: &Path, prefix: &str) -> Result<(), Over> {
    let mut pending: Vec<PathBuf> = FILES.iter().map(PathBuf::from).collect();
    let mut count = 0;
    while let Some(path) = pending.pop() {
        // Not through links.
        let label =
            format!("{prefix}.git/{}", crate::unpack::label::path(path.as_os_str().as_encoded_bytes()));
        let unreadable = |error: io::Error| {
            walk.skip(&Place::Path(&label), Skipped::Unreadable, error.kind().to_string());
        };
        let meta = match std::fs::symlink_metadata(folder.join(&path)) {
            Ok(meta) => meta,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => {
                unreadable(error);
                continue;
            }
        };
        if meta.is_dir() {
            match std::fs::read_dir(folder.join(&path)) {
                Ok(entries) => pending.extend(entries.flatten().map(|entry| path.join(entry.file_name()))),
                Err(error) => unreadable(error),
            }
            continue;
        }
        if !meta.is_file() {
            continue;
        }
        count += 1;
        if count > FILES_MAX || meta.len() > FILE_BYTES_MAX {
            let detail = if count > FILES_MAX { "too many files" } else { "larger than 64 MiB" };
            walk.skip(&Place::Path(&label), Skipped::Limit, detail.to_owned());
            continue;
        }
        let mut bytes = Vec::new();
        let read = std::fs::File::open(folder.join(&path))
            .and_then(|file| file.take(FILE_BYTES_MAX).read_to_end(&mut bytes));
        match read {
            Ok(_) => walk.emit_slice(file(source, &label), &bytes)?,
            Err(error) => unreadable(error),
        }
    }
    Ok(())
}

/// Bytes of packs and loose objects, about.
fn stored_bytes(objects: &Path) -> u64 {
    let length = |path: PathBuf| std::fs::metadata(path).map_or(0, |meta| meta.len());
    let folders = std::fs::read_dir(objects).into_iter().flatten().flatten();
    let files = folders.flat_map(|folder| std::fs::read_dir(folder.path()).into_iter().flatten().flatten());
    files.map(|entry| length(entry.path())).sum()
}
