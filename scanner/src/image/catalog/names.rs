//! Names of an archive's members, links followed.

use std::collections::{BTreeMap, HashMap};

use super::MemberId;
use crate::unpack::label;

/// Where links of the outer archive lead, followed until a file is met.
#[derive(Debug, Default)]
pub(crate) struct Names {
    files: HashMap<String, MemberId>,
    links: BTreeMap<String, String>,
}

impl Names {
    /// A file; the last one of a name wins.
    pub(crate) fn file(&mut self, name: &str, member: MemberId) {
        self.links.remove(name);
        self.files.insert(name.to_owned(), member);
    }

    /// A symbolic link, whose target counts from its folder.
    pub(crate) fn symbolic_link(&mut self, name: &str, target: &[u8]) {
        let folder = name.rsplit_once('/').map_or("", |(folder, _)| folder);
        let from_root = target.starts_with(b"/");
        let mut path = if from_root { Vec::new() } else { format!("{folder}/").into_bytes() };
        path.extend_from_slice(target);
        self.hard_link(name, &path);
    }

    /// A hard link, whose target counts from the root.
    pub(crate) fn hard_link(&mut self, name: &str, target: &[u8]) {
        self.files.remove(name);
        self.links.insert(name.to_owned(), label::path(target));
    }

    /// The file that a name leads to.
    pub(crate) fn find(&self, name: &str) -> Option<MemberId> {
        const LINKS_MAX: usize = 16;
        let mut name = name;
        for _ in 0..LINKS_MAX {
            if let Some(member) = self.files.get(name) {
                return Some(*member);
            }
            name = self.links.get(name)?;
        }
        None
    }
}
