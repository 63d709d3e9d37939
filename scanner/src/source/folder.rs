//! Folders, walked in parallel and without leaving the root.
//!
//! Files are opened below the root with `openat2` and without following links, so that a tree that changes while it
//! is walked cannot lead outside. FIFOs, sockets and devices are never opened; an inode with several names is
//! searched once and reported under all of them.

use std::collections::{BTreeSet, HashMap};
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags};
use shared::coverage::{Coverage, Excluded, Skipped};
use shared::finding::State;

use super::SourceOptions;
use crate::blob::{Content, Origin, Provenance, Sink, Site, Source};
use crate::mmap::{Mapped, Stamp, is_remote};
use crate::tasks::Tasks;
use crate::unpack::{self, Nesting, label};
use crate::walk::{Over, Place, Walk, Watched};

/// Files up to this size are read; larger ones are mapped, which costs more to begin with.
const READ_BYTES_MAX: u64 = 1 << 20;

/// Files of one task.
const BATCH_FILES: usize = 64;

/// Names of files with several links that are remembered; beyond, such a file is searched once for each name.
const LINKED_MAX: usize = 200_000;

/// The folder that the user named.
pub(super) struct Root {
    folder: OwnedFd,
    device: u64,
    /// The kernel knows `openat2` and the sandbox allows it.
    beneath: bool,
}

impl Root {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
        let folder = rustix::fs::open(path, flags, Mode::empty())?;
        let device = rustix::fs::fstat(&folder)?.st_dev;
        let mut root = Self { folder, device, beneath: true };
        let refused = root.open_below(Path::new("."), OFlags::PATH).err();
        root.beneath = !matches!(refused, Some(rustix::io::Errno::NOSYS | rustix::io::Errno::PERM));
        Ok(root)
    }

    /// Opens what lies below the root, not through links.
    fn open_below(&self, path: &Path, flags: OFlags) -> rustix::io::Result<OwnedFd> {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        let flags = flags | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        if self.beneath {
            let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
            rustix::fs::openat2(&self.folder, path, flags, Mode::empty(), resolve)
        } else {
            rustix::fs::openat(&self.folder, path, flags, Mode::empty())
        }
    }

    fn open_folder(&self, path: &Path) -> rustix::io::Result<OwnedFd> {
        self.open_below(path, OFlags::RDONLY | OFlags::DIRECTORY)
    }

    fn open_file(&self, path: &Path) -> rustix::io::Result<File> {
        self.open_below(path, OFlags::RDONLY).map(File::from)
    }
}

/// Opens a file of an open folder. One name without a link leads nowhere else, and costs less than a path.
fn open_in(folder: &OwnedFd, name: &OsStr) -> rustix::io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    rustix::fs::openat(folder, name, flags, Mode::empty()).map(File::from)
}

/// A tree of files.
pub(super) struct FolderSource {
    target: String,
    options: SourceOptions,
    root: Root,
    /// All names of inodes with several, by each name that was searched.
    linked: OnceLock<HashMap<Arc<str>, BTreeSet<Arc<str>>>>,
}

impl FolderSource {
    pub(super) fn new(target: &str, root: Root, options: &SourceOptions) -> Self {
        Self { target: target.to_owned(), options: options.clone(), root, linked: OnceLock::new() }
    }
}

/// One walk over the tree.
struct Tour<'a> {
    walk: &'a Walk<'a>,
    source: &'a FolderSource,
    tasks: Tasks,
    linked: Mutex<Linked>,
}

/// All names that were met of each device and inode; the first one was searched.
type Linked = HashMap<(u64, u64), Vec<Arc<str>>>;

impl<'scope> Tour<'scope> {
    /// Walks folders until none is left, and gives some to idle threads.
    fn folders(&'scope self, scope: &rayon::Scope<'scope>, mut pending: Vec<PathBuf>) {
        while let Some(folder) = pending.pop() {
            if self.folder(scope, &folder, &mut pending).is_err() {
                return;
            }
            while pending.len() > 1 && self.tasks.has_room() {
                let other = vec![pending.remove(0)];
                self.tasks.run(scope, move |scope| self.folders(scope, other));
            }
        }
    }

    /// Searches the files of one folder and adds its folders to what is pending.
    fn folder(
        &'scope self,
        scope: &rayon::Scope<'scope>,
        path: &Path,
        pending: &mut Vec<PathBuf>,
    ) -> Result<(), Over> {
        let opened = self.source.root.open_folder(path).and_then(|folder| {
            let made_up = self.is_made_up(&folder)?;
            Ok((made_up, Dir::read_from(&folder)?, Arc::new(folder)))
        });
        let (entries, opened) = match opened {
            Ok((false, entries, folder)) => (entries, folder),
            Ok((true, ..)) => {
                self.walk.exclude(&Place::Path(&label_of(path)), Excluded::KernelFilesystem);
                return Ok(());
            }
            Err(error) => {
                self.unreadable(&label_of(path), error.into());
                return Ok(());
            }
        };
        let mut batch = Vec::new();
        for entry in entries {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => {
                    self.unreadable(&label_of(path), error.into());
                    break;
                }
            };
            let name = entry.file_name().to_bytes();
            if matches!(name, b"." | b"..") {
                continue;
            }
            self.walk.count_entry()?;
            let child = path.join(OsStr::from_bytes(name));
            match self.kind(&child, entry.file_type()) {
                FileType::Directory if name == b".git" => self.exclude(&child, Excluded::GitFolder),
                FileType::Directory => pending.push(child),
                FileType::RegularFile => batch.push(child),
                FileType::Symlink => self.exclude(&child, Excluded::Symlink),
                FileType::Fifo => self.exclude(&child, Excluded::Fifo),
                FileType::Socket => self.exclude(&child, Excluded::Socket),
                FileType::CharacterDevice | FileType::BlockDevice => self.exclude(&child, Excluded::Device),
                FileType::Unknown => self.unreadable(&label_of(&child), io::ErrorKind::Unsupported.into()),
            }
            if batch.len() >= BATCH_FILES {
                let full = std::mem::take(&mut batch);
                let folder = Arc::clone(&opened);
                self.tasks.run(scope, move |_| self.files(&folder, &full));
            }
        }
        self.files(&opened, &batch);
        self.walk.check_stopped()
    }

    /// Some file systems do not say the kind in the listing.
    fn kind(&self, path: &Path, listed: FileType) -> FileType {
        if listed != FileType::Unknown {
            return listed;
        }
        let stat = rustix::fs::statat(&self.source.root.folder, path, AtFlags::SYMLINK_NOFOLLOW);
        stat.map_or(FileType::Unknown, |stat| FileType::from_raw_mode(stat.st_mode))
    }

    /// Whether a folder below the root begins a file system that the kernel makes up as it is read.
    fn is_made_up(&self, folder: &OwnedFd) -> rustix::io::Result<bool> {
        if rustix::fs::fstat(folder)?.st_dev == self.source.root.device {
            return Ok(false);
        }
        let kind = rustix::fs::fstatfs(folder)?.f_type;
        Ok(MADE_UP.contains(&kind))
    }

    fn files(&self, folder: &OwnedFd, paths: &[PathBuf]) {
        let mut buffer = Vec::new();
        for path in paths {
            // Over is remembered by the walk: the next check meets it.
            if self.file(folder, path, &mut buffer).is_err() {
                return;
            }
        }
    }

    fn file(&self, folder: &OwnedFd, path: &Path, buffer: &mut Vec<u8>) -> Result<(), Over> {
        let label: Arc<str> = label_of(path).into();
        match self.open_and_search(folder, path, &label, buffer) {
            Ok(result) => result,
            Err(error) => {
                self.unreadable(&label, error);
                self.walk.check_stopped()
            }
        }
    }

    /// The outer error is the system's.
    fn open_and_search(
        &self,
        folder: &OwnedFd,
        path: &Path,
        label: &Arc<str>,
        buffer: &mut Vec<u8>,
    ) -> io::Result<Result<(), Over>> {
        let mut file = open_in(folder, path.file_name().unwrap_or_default())?;
        let meta = file.metadata()?;
        if !meta.is_file() {
            // It was one when the folder was listed.
            self.walk.skip(&Place::Path(label), Skipped::ChangedWhileRead, None);
            return Ok(Ok(()));
        }
        if meta.nlink() > 1 && self.was_searched((meta.dev(), meta.ino()), label) {
            return Ok(Ok(()));
        }
        let at = Provenance {
            target: self.source.options.target,
            origin: Origin::File,
            path: Arc::clone(label),
            entries: Vec::new(),
        };
        self.walk.count_stored(meta.len());
        if meta.len() <= READ_BYTES_MAX {
            let there = read_whole(&mut file, meta.len() as usize, buffer)?;
            if there.len() as u64 == meta.len() {
                return Ok(unpack::slice(self.walk, at, there, Nesting::TARGET.inner()));
            }
            self.walk.skip(&Place::Path(label), Skipped::ChangedWhileRead, None);
            let result = unpack::slice(self.walk, at.clone(), there, Nesting::TARGET.inner());
            return Ok(result.and_then(|()| self.rest(at, file)));
        }
        if is_remote(&file) {
            return Ok(self.stream(at, file, meta.len()));
        }
        match Mapped::new(file) {
            Ok(mapped) => {
                let result = unpack::slice(self.walk, at, mapped.bytes(), Nesting::TARGET.inner());
                if mapped.changed() {
                    self.walk.skip(&Place::Path(label), Skipped::ChangedWhileRead, None);
                }
                Ok(result)
            }
            // Some file systems cannot map.
            Err(_) => Ok(self.stream(at, self.source.root.open_file(path)?, meta.len())),
        }
    }

    /// Searches a file that is not mapped, and what is packed in it.
    fn stream(&self, at: Provenance, file: File, length: u64) -> Result<(), Over> {
        let label = Arc::clone(&at.path);
        let before = Stamp::of(&file).ok();
        let mut reader = Watched::new(file);
        unpack::stream(self.walk, at, &mut reader, Some(length), Nesting::TARGET.inner())?;
        let (file, error) = reader.into_parts();
        if Stamp::of(&file).ok() != before {
            self.walk.skip(&Place::Path(&label), Skipped::ChangedWhileRead, None);
        }
        if let Some(error) = error {
            self.unreadable(&label, error);
        }
        Ok(())
    }

    /// Searches what a file has grown by.
    fn rest(&self, at: Provenance, file: File) -> Result<(), Over> {
        let label = Arc::clone(&at.path);
        let mut reader = Watched::new(file);
        self.walk.emit(at, Content::Stream { reader: &mut reader, size_hint: None })?;
        if let Some(error) = reader.error {
            self.unreadable(&label, error);
        }
        Ok(())
    }

    /// Notes a name of an inode that has several; `true` if another name was searched.
    fn was_searched(&self, inode: (u64, u64), label: &Arc<str>) -> bool {
        let mut linked = self.linked.lock().unwrap_or_else(PoisonError::into_inner);
        if linked.len() >= LINKED_MAX && !linked.contains_key(&inode) {
            return false;
        }
        let names = linked.entry(inode).or_default();
        names.push(Arc::clone(label));
        names.len() > 1
    }

    fn exclude(&self, path: &Path, reason: Excluded) {
        self.walk.exclude(&Place::Path(&label_of(path)), reason);
    }

    #[expect(
        clippy::needless_pass_by_value,
        reason = "callers have the error and nothing else to do with it"
    )]
    fn unreadable(&self, label: &str, error: io::Error) {
        self.walk.skip(&Place::Path(label), Skipped::Unreadable, error.kind().to_string());
    }
}

/// Reads a file of so many bytes; one that did not change takes one call to the system. Of one that grew, at most one
/// byte more than [`READ_BYTES_MAX`] is read.
fn read_whole<'b>(file: &mut File, length: usize, buffer: &'b mut Vec<u8>) -> io::Result<&'b [u8]> {
    if buffer.len() <= length {
        buffer.resize((length + 1).next_power_of_two().max(64 * 1024), 0);
    }
    // One byte more than there should be tells that it grew.
    let mut filled = 0;
    loop {
        match file.read(&mut buffer[filled..=length]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        }
        // A regular file gives less than was asked for at its end alone.
        if filled >= length {
            break;
        }
    }
    if filled > length {
        buffer.truncate(filled);
        file.take((READ_BYTES_MAX + 1).saturating_sub(filled as u64)).read_to_end(buffer)?;
        return Ok(buffer);
    }
    Ok(&buffer[..filled])
}

/// The f_type of file systems without files: proc, sysfs, debugfs, tracefs, securityfs, cgroup, cgroup2, bpf,
/// devpts, efivarfs, pstore, configfs, selinuxfs (linux/magic.h).
const MADE_UP: [i64; 13] = [
    0x9fa0,
    0x6265_6572,
    0x6462_6720,
    0x7472_6163,
    0x7363_6673,
    0x27_e0eb,
    0x6367_7270,
    0xcafe_4a11,
    0x1cd1,
    0xde5e_81e4,
    0x6165_676c,
    0x6265_6570,
    0xf97c_ff8c,
];

fn label_of(path: &Path) -> String {
    label::path(path.as_os_str().as_bytes())
}

impl Source for FolderSource {
    fn blobs(&self, sink: &dyn Sink) -> Coverage {
        let walk = Walk::new(sink, &self.options.limits, &self.target);
        let tour = Tour { walk: &walk, source: self, tasks: Tasks::default(), linked: Mutex::default() };
        rayon::scope(|scope| tour.folders(scope, vec![PathBuf::new()]));
        let linked = tour.linked.into_inner().unwrap_or_else(PoisonError::into_inner);
        let mut by_name = HashMap::new();
        for names in linked.into_values().filter(|names| names.len() > 1) {
            let searched = Arc::clone(&names[0]);
            let names: BTreeSet<Arc<str>> = names.into_iter().collect();
            for further in names.iter().skip(1) {
                walk.exclude(&Place::Path(further), Excluded::SameInode);
            }
            by_name.insert(searched, names);
        }
        let _ = self.linked.set(by_name);
        walk.finish()
    }

    fn locate(&self, provenance: &Provenance) -> Vec<Site> {
        let site = |path: &str| Site {
            image: None,
            layer: None,
            git: None,
            path: path.to_owned(),
            entries: provenance.entries.iter().map(ToString::to_string).collect(),
            state: State::Visible,
            hidden_by: None,
        };
        match self.linked.get().and_then(|linked| linked.get(&provenance.path)) {
            Some(names) => names.iter().map(|name| site(name)).collect(),
            None => vec![site(&provenance.path)],
        }
    }
}

/// A file of a listed folder: its label, its path below the root, its length.
pub(super) type Listed = (String, PathBuf, u64);

/// All regular files below a folder, links not followed, and the first path that could not be read. None if there
/// are more than `most`.
pub(super) fn list(root: &Path, most: usize) -> Option<(Vec<Listed>, Option<String>)> {
    let mut files = Vec::new();
    let mut refused = None;
    let mut pending = vec![PathBuf::new()];
    while let Some(folder) = pending.pop() {
        let Ok(entries) = std::fs::read_dir(root.join(&folder)) else {
            refused.get_or_insert_with(|| label_of(&folder));
            continue;
        };
        for entry in entries.flatten() {
            let path = folder.join(OsStr::from_bytes(&entry.file_name().into_vec()));
            let Ok(meta) = entry.metadata() else {
                refused.get_or_insert_with(|| label_of(&path));
                continue;
            };
            if meta.is_dir() {
                pending.push(path);
            } else if meta.is_file() {
                files.push((label_of(&path), path, meta.len()));
            }
            if files.len() + pending.len() > most {
                return None;
            }
        }
    }
    files.sort();
    Some((files, refused))
}
