//! Where the members of an archive or a layout lie, and their bytes.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use shared::coverage::Skipped;

use super::super::{folder, open_regular};
use crate::image::catalog::{MemberId, Members, Names, is_image};
use crate::limits::DOCUMENT_BYTES_MAX;
use crate::mmap::{Mapped, is_remote};
use crate::unpack::label;
use crate::unpack::tar::{Kind, SliceWalk, TarError};

/// An archive with more members is an archive of files: image archives have a few hundred.
const MEMBERS_MAX: usize = 200_000;

/// Where the members lie.
pub(super) struct Store {
    pub(super) members: Vec<Member>,
    names: Names,
    pub(super) place: StoredIn,
    /// Why the list of members is not complete.
    pub(super) broken: Option<(Skipped, String)>,
}

pub(super) enum StoredIn {
    Archive(Arc<Mapped>),
    Folder(PathBuf),
}

pub(super) struct Member {
    pub(super) name: Arc<str>,
    /// Of a folder's file: its path below the root.
    path: PathBuf,
    /// In the archive's map; of a folder's file, from 0.
    pub(super) range: Range<usize>,
    /// Of a folder's file that is small enough to be a document.
    document: OnceLock<Option<Box<[u8]>>>,
    pub(super) cut_off: bool,
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
    pub(super) fn of_archive(map: &Arc<Mapped>) -> Option<Self> {
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
    pub(super) fn of_folder(root: &Path) -> Option<Self> {
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
    pub(super) fn with<T>(
        &self,
        member: &Member,
        use_bytes: impl FnOnce(&[u8]) -> T,
    ) -> std::io::Result<(T, bool)> {
        match &self.place {
            StoredIn::Archive(map) => {
                Ok((use_bytes(map.bytes().get(member.range.clone()).unwrap_or_default()), false))
            }
            StoredIn::Folder(root) => {
                let file = open_regular(&root.join(&member.path))?;
                let map = if is_remote(&file) { Mapped::copy_of(file)? } else { Mapped::new(file)? };
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
