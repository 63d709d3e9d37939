//! What a layer does to the paths below it, in 16 bytes an entry.
//!
//! Paths are held as keyed hashes: a layer may have a million entries, and only those with a finding are ever shown.
//! A collision would give one location a wrong state, no more; the key is random, so that nobody can prepare one.
//! Rules: OCI image specification, "Image Layer Filesystem Changeset" (whiteouts hide lower layers only, whatever
//! the order of entries), and what runtimes do where it is silent (the last entry of a path wins, anything that is
//! no directory replaces a whole subtree).

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};

use shared::finding::State;

use crate::unpack::tar::Kind;

const WHITEOUT: &str = ".wh.";
const OPAQUE: &str = ".wh..wh..opq";

/// Hashes paths, all with one key.
#[derive(Debug, Default)]
pub(crate) struct Paths {
    key: RandomState,
}

impl Paths {
    /// The hash of one path.
    fn hash(&self, path: &str) -> u64 {
        let mut hasher = self.key.build_hasher();
        hasher.write(path.as_bytes());
        hasher.finish()
    }

    /// The hashes of a path's ancestors, the root first, and of the path itself, last.
    pub(crate) fn lineage(&self, path: &str) -> Vec<u64> {
        let mut lineage = vec![self.hash("")];
        if path.is_empty() {
            return lineage;
        }
        lineage.extend(path.match_indices('/').map(|(at, _)| self.hash(&path[..at])));
        lineage.push(self.hash(path));
        lineage
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Node {
    Directory,
    /// Anything else: replaces what was there, with all below it.
    Leaf,
    /// The path is deleted.
    Whiteout,
    /// Everything inside the directory is deleted.
    Opaque,
}

#[derive(Debug)]
struct Link {
    ordinal: u32,
    target: u64,
    path: Box<str>,
    /// The entry of this layer that has the bytes, once the layer is complete; none if it lies in a lower layer.
    content: Option<u32>,
}

/// The entries of one layer.
#[derive(Debug, Default)]
pub(crate) struct LayerIndex {
    /// Sorted by hash and ordinal once the layer is complete.
    nodes: Vec<(u64, u32, Node)>,
    links: Vec<Link>,
}

impl LayerIndex {
    /// Adds the next entry, by its label.
    pub(crate) fn add(&mut self, paths: &Paths, ordinal: u32, path: &str, kind: Kind, link: &[u8]) {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        if name == OPAQUE {
            self.nodes.push((paths.hash(folder), ordinal, Node::Opaque));
        } else if let Some(hidden) = name.strip_prefix(WHITEOUT) {
            // `.wh..wh.…` is aufs' own bookkeeping and hides nothing.
            if !hidden.starts_with(WHITEOUT) {
                let hidden = if folder.is_empty() { hidden.to_owned() } else { format!("{folder}/{hidden}") };
                self.nodes.push((paths.hash(&hidden), ordinal, Node::Whiteout));
            }
        } else {
            let node = if kind == Kind::Directory { Node::Directory } else { Node::Leaf };
            self.nodes.push((paths.hash(path), ordinal, node));
            if kind == Kind::HardLink {
                let target = paths.hash(&crate::unpack::label::path(link));
                self.links.push(Link { ordinal, target, path: path.into(), content: None });
            }
        }
    }

    /// Call when all entries are in.
    pub(crate) fn complete(&mut self) {
        self.nodes.sort_unstable();
        self.nodes.shrink_to_fit();
        // A link names the last entry of its target before it; that may be a link itself.
        let mut resolved: HashMap<u32, Option<u32>> = HashMap::new();
        for at in 0..self.links.len() {
            let (ordinal, target) = (self.links[at].ordinal, self.links[at].target);
            let content =
                self.last_leaf_before(target, ordinal).and_then(|named| match resolved.get(&named) {
                    Some(content) => *content,
                    None => Some(named),
                });
            resolved.insert(ordinal, content);
            self.links[at].content = content;
        }
    }

    fn of_path(&self, hash: u64) -> &[(u64, u32, Node)] {
        let start = self.nodes.partition_point(|node| node.0 < hash);
        let end = self.nodes.partition_point(|node| node.0 <= hash);
        &self.nodes[start..end]
    }

    fn last_leaf_before(&self, hash: u64, ordinal: u32) -> Option<u32> {
        let leaves = self.of_path(hash).iter().filter(|node| node.2 == Node::Leaf && node.1 < ordinal);
        leaves.map(|node| node.1).next_back()
    }

    /// Further names of an entry's bytes in this layer: hard links, with their ordinals.
    pub(crate) fn links_to_entry(&self, ordinal: u32) -> impl Iterator<Item = (u32, &str)> {
        let links = self.links.iter().filter(move |link| link.content == Some(ordinal));
        links.map(|link| (link.ordinal, &*link.path))
    }

    /// Hard links of this layer to a path of a lower one.
    pub(crate) fn links_to_lower(&self, hash: u64) -> impl Iterator<Item = (u32, &str)> {
        let links = self.links.iter().filter(move |link| link.content.is_none() && link.target == hash);
        links.map(|link| (link.ordinal, &*link.path))
    }

    /// Whether a later entry of this layer replaces an entry.
    pub(crate) fn replaces_within(&self, lineage: &[u64], ordinal: u32) -> bool {
        let Some((own, ancestors)) = lineage.split_last() else { return false };
        let later = |node: &&(u64, u32, Node)| node.1 > ordinal;
        self.of_path(*own).iter().filter(later).any(|node| matches!(node.2, Node::Leaf | Node::Directory))
            || ancestors
                .iter()
                .any(|&hash| self.of_path(hash).iter().filter(later).any(|node| node.2 == Node::Leaf))
    }

    /// What this layer does to a path of a lower one.
    pub(crate) fn hides(&self, lineage: &[u64]) -> Option<State> {
        let (own, ancestors) = lineage.split_last()?;
        let own = self.of_path(*own);
        if own.iter().any(|node| matches!(node.2, Node::Leaf | Node::Directory)) {
            return Some(State::Overwritten);
        }
        let mut deleted = own.iter().any(|node| node.2 == Node::Whiteout);
        for &hash in ancestors {
            for node in self.of_path(hash) {
                match node.2 {
                    Node::Leaf => return Some(State::Overwritten),
                    Node::Whiteout | Node::Opaque => deleted = true,
                    Node::Directory => {}
                }
            }
        }
        deleted.then_some(State::Deleted)
    }
}

#[cfg(test)]
mod tests {
    use shared::finding::State;

    use super::{LayerIndex, Paths};
    use crate::unpack::tar::Kind;

    fn layer(paths: &Paths, entries: &[(&str, Kind, &str)]) -> LayerIndex {
        let mut index = LayerIndex::default();
        for (ordinal, (path, kind, link)) in entries.iter().enumerate() {
            index.add(paths, u32::try_from(ordinal).unwrap(), path, *kind, link.as_bytes());
        }
        index.complete();
        index
    }

    #[test]
    fn whiteouts_opaque_markers_and_replaced_folders_hide_what_lies_below() {
        let paths = Paths::default();
        let upper = layer(
            &paths,
            &[
                ("etc/.wh.gone", Kind::File, ""),
                ("opt/app/.wh..wh..opq", Kind::File, ""),
                ("opt/app/kept", Kind::File, ""),
                ("srv", Kind::Other, ""),
                ("var", Kind::Directory, ""),
                (".wh..wh.plnk", Kind::Directory, ""),
            ],
        );
        let state = |path| upper.hides(&paths.lineage(path));
        assert_eq!(state("etc/gone"), Some(State::Deleted));
        assert_eq!(state("etc/gone/below"), Some(State::Deleted));
        assert_eq!(state("etc/other"), None);
        assert_eq!(state("opt/app/old"), Some(State::Deleted));
        assert_eq!(state("opt/app/kept"), Some(State::Overwritten));
        assert_eq!(state("srv/data/key"), Some(State::Overwritten));
        assert_eq!(state("var/key"), None);
        assert_eq!(state("etc/.wh.gone"), None);
    }

    #[test]
    fn whiteouts_hide_nothing_of_their_own_layer_but_later_entries_do() {
        let paths = Paths::default();
        let index = layer(
            &paths,
            &[
                ("a/key", Kind::File, ""),
                ("a/.wh.key", Kind::File, ""),
                ("b", Kind::File, ""),
                ("b", Kind::File, ""),
                ("c/d", Kind::File, ""),
                ("c", Kind::Other, ""),
            ],
        );
        assert!(!index.replaces_within(&paths.lineage("a/key"), 0));
        assert!(index.replaces_within(&paths.lineage("b"), 2));
        assert!(!index.replaces_within(&paths.lineage("b"), 3));
        assert!(index.replaces_within(&paths.lineage("c/d"), 4));
    }

    #[test]
    fn hard_links_name_the_bytes_that_were_there_when_they_were_made() {
        let paths = Paths::default();
        let index = layer(
            &paths,
            &[
                ("key", Kind::File, ""),
                ("first", Kind::HardLink, "./key"),
                ("second", Kind::HardLink, "first"),
                ("key", Kind::File, ""),
                ("third", Kind::HardLink, "key"),
                ("below", Kind::HardLink, "lower/key"),
            ],
        );
        let names = |ordinal| index.links_to_entry(ordinal).map(|link| link.1).collect::<Vec<_>>();
        assert_eq!(names(0), ["first", "second"]);
        assert_eq!(names(3), ["third"]);
        let lower = *paths.lineage("lower/key").last().unwrap();
        assert_eq!(index.links_to_lower(lower).collect::<Vec<_>>(), [(5, "below")]);
    }
}
