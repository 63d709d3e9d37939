//! Where objects lie in the history: their paths, the first and the last commit that has them there.
//!
//! Commits are walked once, the newest first. Of each tree only the part with wanted objects is kept, as a node that
//! equal trees share; a tree is decoded once, however many commits have it. Two commits that follow each other
//! differ in few nodes, and only those are looked at.

use std::collections::{HashMap, HashSet};

use gix::ObjectId;
use gix::bstr::{BStr, BString, ByteSlice};
use gix::objs::{FindExt, TreeRefIter};
use gix::prelude::ObjectIdExt;
use shared::coverage::Skipped;
use shared::finding::{GitCommit, GitPlace, State};

use super::objects::{Short, reason, short};

/// Folders in folders. A path has 4,096 bytes at most on the systems that people check out on.
const DEPTH_MAX: usize = 512;
/// Places of one object that are told; a report lists no more.
const PLACES_MAX: usize = 1000;
/// Steps of comparing trees. A tree may hold one folder under a million names; beyond, places are left out.
const STEPS_MAX: u64 = 5_000_000;
/// A gap of each kind that is told one by one.
const GAPS_MAX: usize = 100;

/// Everything that is known of an object.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) places: Vec<SeenAt>,
}

/// One path of an object. Empty for commits and tags.
pub(super) struct SeenAt {
    pub(super) path: Vec<u8>,
    pub(super) state: State,
    at_head: bool,
    first: Option<GitCommit>,
    last: Option<GitCommit>,
}

impl SeenAt {
    pub(super) fn git(&self, id: &ObjectId) -> GitPlace {
        GitPlace {
            object: id.to_string(),
            first: self.first.clone(),
            last: self.last.clone(),
            at_head: self.at_head,
        }
    }
}

/// A tree, as far as it holds wanted objects. Equal nodes have one number.
type Node = u32;
/// A name, and what is there.
type Child = (BString, Wanted);

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Wanted {
    Object(u32),
    Tree(Node),
}

/// When an object was at a path, by the places of commits in the walk: 0 is the newest.
struct Span {
    last: u32,
    first: u32,
    open: bool,
}

pub(super) struct History {
    repository: gix::Repository,
    wanted: HashMap<ObjectId, u32>,
    nodes: Vec<Vec<Child>>,
    numbers: HashMap<Vec<Child>, Node>,
    trees: HashMap<Short, Option<Node>>,
    spans: HashMap<(u32, Vec<u8>), Span>,
    counts: Vec<usize>,
    steps: u64,
    gaps: Vec<(Skipped, String)>,
}

/// The node without children: nothing wanted.
const NOTHING: Node = 0;

impl History {
    pub(super) fn new(repository: gix::Repository, wanted: HashSet<ObjectId>) -> Self {
        let wanted: HashMap<ObjectId, u32> = wanted.into_iter().zip(0..).collect();
        Self {
            repository,
            counts: vec![0; wanted.len()],
            wanted,
            nodes: vec![Vec::new()],
            numbers: HashMap::from([(Vec::new(), NOTHING)]),
            trees: HashMap::new(),
            spans: HashMap::new(),
            steps: 0,
            gaps: Vec::new(),
        }
    }

    /// Walks from the tips (without any: from all references), not into what the hidden ones reach.
    pub(super) fn walk(
        mut self,
        tips: Option<&[ObjectId]>,
        hidden: &[ObjectId],
    ) -> (HashMap<ObjectId, Seen>, Vec<(Skipped, String)>) {
        let repository = self.repository.clone();
        let (tips, tags) = match tips {
            Some(tips) => (tips.to_vec(), HashSet::new()),
            None => self.references(),
        };
        let mut commits: Vec<ObjectId> = Vec::new();
        let mut before = NOTHING;
        let order = gix::revision::walk::Sorting::ByCommitTime(Default::default());
        let walk = repository.rev_walk(tips).with_hidden(hidden.iter().copied()).sorting(order).all();
        match walk {
            Ok(walk) => {
                for commit in walk {
                    let id = match commit {
                        Ok(commit) => commit.id,
                        Err(error) => {
                            self.gap(Skipped::MissingObject, reason(&error));
                            break;
                        }
                    };
                    let place = u32::try_from(commits.len()).unwrap_or(u32::MAX);
                    commits.push(id);
                    let node = self.root(&id);
                    self.compare(before, node, place, &mut Vec::new());
                    before = node;
                }
            }
            Err(error) => self.gap(Skipped::MissingObject, reason(&error)),
        }
        self.compare(before, NOTHING, u32::try_from(commits.len()).unwrap_or(u32::MAX), &mut Vec::new());
        if self.steps >= STEPS_MAX {
            self.gap(
                Skipped::Limit,
                "too many places of secrets in the history: some are not listed".to_owned(),
            );
        }
        let seen = self.finish(&commits, &tags);
        (seen, self.gaps)
    }

    fn gap(&mut self, reason: Skipped, detail: String) {
        if self.gaps.len() < GAPS_MAX {
            self.gaps.push((reason, detail));
        }
    }

    /// All commits and tags that a reference names, in this and in linked worktrees.
    fn references(&mut self) -> (Vec<ObjectId>, HashSet<ObjectId>) {
        let repository = self.repository.clone();
        let mut named: Vec<ObjectId> = Vec::new();
        named.extend(repository.head_id().map(gix::Id::detach));
        if let Ok(worktrees) = repository.worktrees() {
            let repositories = worktrees
                .into_iter()
                .filter_map(|tree| tree.into_repo_with_possibly_inaccessible_worktree().ok());
            named.extend(repositories.filter_map(|tree| Some(tree.head_id().ok()?.detach())));
        }
        match repository.references().and_then(|platform| Ok(platform.all()?.collect::<Vec<_>>())) {
            Ok(references) => {
                for reference in references {
                    match reference {
                        Ok(mut reference) => match reference.follow_to_object() {
                            Ok(id) => named.push(id.detach()),
                            Err(error) => self.gap(Skipped::MissingObject, reason(&error)),
                        },
                        Err(error) => self.gap(Skipped::Corrupt, reason(&error)),
                    }
                }
            }
            Err(error) => self.gap(Skipped::Corrupt, reason(&error)),
        }
        let (mut tips, mut tags) = (Vec::new(), HashSet::new());
        for id in named {
            self.peel(id, &mut tips, &mut tags);
        }
        tips.sort();
        tips.dedup();
        (tips, tags)
    }

    /// A tag may name a tag.
    fn peel(&mut self, mut id: ObjectId, tips: &mut Vec<ObjectId>, tags: &mut HashSet<ObjectId>) {
        let repository = self.repository.clone();
        for _ in 0..DEPTH_MAX {
            let object = match repository.try_find_object(id) {
                Ok(Some(object)) => object,
                Ok(None) => {
                    let detail = format!("a reference names {id}, which is not there");
                    return self.gap(Skipped::MissingObject, detail);
                }
                Err(error) => return self.gap(Skipped::Corrupt, reason(&error)),
            };
            match object.kind {
                gix::objs::Kind::Commit => return tips.push(id),
                gix::objs::Kind::Tag => {
                    tags.insert(id);
                    let Ok(target) = object.into_tag().target_id().map(gix::Id::detach) else { return };
                    id = target;
                }
                // A reference to a blob or a tree is rare, and its object is searched.
                gix::objs::Kind::Blob | gix::objs::Kind::Tree => return,
            }
        }
    }

    /// The node of a commit's tree.
    fn root(&mut self, commit: &ObjectId) -> Node {
        let mut buffer = Vec::new();
        let tree = self
            .repository
            .objects
            .find_commit_iter(commit, &mut buffer)
            .and_then(|mut commit| commit.tree_id());
        match tree {
            Ok(tree) => self.node(&tree, 0).unwrap_or(NOTHING),
            Err(error) => {
                self.gap(Skipped::Corrupt, format!("commit {commit}: {}", reason(&error)));
                NOTHING
            }
        }
    }

    /// The node of a tree; none if nothing wanted is in it.
    fn node(&mut self, tree: &gix::oid, depth: usize) -> Option<Node> {
        if let Some(known) = self.trees.get(&short(tree)) {
            return *known;
        }
        if depth > DEPTH_MAX {
            self.gap(Skipped::Limit, format!("folders nest deeper than {DEPTH_MAX}"));
            return None;
        }
        let mut buffer = Vec::new();
        let hash = self.repository.object_hash();
        let data = match self.repository.objects.find(tree, &mut buffer) {
            Ok(data) => data.data,
            Err(error) => {
                self.gap(Skipped::MissingObject, format!("tree {tree}: {}", reason(&error)));
                self.trees.insert(short(tree), None);
                return None;
            }
        };
        // The tree's own buffer must not be held while its folders are read.
        let mut folders: Vec<(BString, ObjectId)> = Vec::new();
        let mut children: Vec<Child> = Vec::new();
        for entry in TreeRefIter::from_bytes(data, hash).flatten() {
            if entry.mode.is_tree() {
                match self.trees.get(&short(entry.oid)) {
                    Some(None) => {}
                    Some(Some(node)) => children.push((entry.filename.to_owned(), Wanted::Tree(*node))),
                    None => folders.push((entry.filename.to_owned(), entry.oid.to_owned())),
                }
            } else if let Some(object) = self.wanted.get(entry.oid) {
                children.push((entry.filename.to_owned(), Wanted::Object(*object)));
            }
        }
        drop(buffer);
        for (name, folder) in folders {
            if let Some(node) = self.node(&folder, depth + 1) {
                children.push((name, Wanted::Tree(node)));
            }
        }
        let node = (!children.is_empty()).then(|| {
            children.sort_by(|a, b| a.0.cmp(&b.0));
            self.number(children)
        });
        self.trees.insert(short(tree), node);
        node
    }

    fn number(&mut self, children: Vec<Child>) -> Node {
        if let Some(number) = self.numbers.get(&children) {
            return *number;
        }
        let number = Node::try_from(self.nodes.len()).unwrap_or(Node::MAX);
        self.nodes.push(children.clone());
        self.numbers.insert(children, number);
        number
    }

    /// Notes what is in the later of two nodes and not in the other: `place` is that of the commit of `now`, which
    /// is older than that of `before`.
    fn compare(&mut self, before: Node, now: Node, place: u32, path: &mut Vec<u8>) {
        if before == now || self.steps >= STEPS_MAX {
            return;
        }
        let (old, new) = (self.nodes[before as usize].clone(), self.nodes[now as usize].clone());
        let (mut a, mut b) = (old.iter().peekable(), new.iter().peekable());
        loop {
            self.steps += 1;
            let order = match (a.peek(), b.peek()) {
                (None, None) => return,
                (Some(_), None) => std::cmp::Ordering::Less,
                (None, Some(_)) => std::cmp::Ordering::Greater,
                (Some(left), Some(right)) => left.0.cmp(&right.0),
            };
            let left = if order.is_le() { a.next() } else { None };
            let right = if order.is_ge() { b.next() } else { None };
            let Some(name) = left.or(right).map(|(name, _)| name) else { return };
            let length = path.len();
            if length > 0 {
                path.push(b'/');
            }
            path.extend_from_slice(name);
            let node = |child: Option<&Child>| match child {
                Some((_, Wanted::Tree(node))) => *node,
                Some((_, Wanted::Object(_))) | None => NOTHING,
            };
            let object = |child: Option<&Child>| match child {
                Some((_, Wanted::Object(object))) => Some(*object),
                Some((_, Wanted::Tree(_))) | None => None,
            };
            self.compare(node(left), node(right), place, path);
            if object(left) != object(right) {
                self.ends(object(left), path, place);
                self.begins(object(right), path, place);
            }
            path.truncate(length);
        }
    }

    fn begins(&mut self, object: Option<u32>, path: &[u8], place: u32) {
        let Some(object) = object else { return };
        if let Some(span) = self.spans.get_mut(&(object, path.to_vec())) {
            span.open = true;
            return;
        }
        let count = &mut self.counts[object as usize];
        *count += 1;
        if *count <= PLACES_MAX {
            self.spans.insert((object, path.to_vec()), Span { last: place, first: place, open: true });
        }
    }

    fn ends(&mut self, object: Option<u32>, path: &[u8], place: u32) {
        let Some(object) = object else { return };
        if let Some(span) = self.spans.get_mut(&(object, path.to_vec())) {
            span.first = place.saturating_sub(1);
            span.open = false;
        }
    }

    fn finish(&mut self, commits: &[ObjectId], tags: &HashSet<ObjectId>) -> HashMap<ObjectId, Seen> {
        let head = self.repository.head_tree_id_or_empty().map(gix::Id::detach).ok();
        let names: Vec<ObjectId> = {
            let mut names: Vec<_> = self.wanted.iter().map(|(id, number)| (*number, *id)).collect();
            names.sort_unstable();
            names.into_iter().map(|(_, id)| id).collect()
        };
        let mut told: HashMap<u32, Option<GitCommit>> = HashMap::new();
        let mut seen: HashMap<ObjectId, Seen> = HashMap::new();
        for ((object, path), span) in std::mem::take(&mut self.spans) {
            let id = names[object as usize];
            let at_head = head.and_then(|tree| self.entry(&tree, &path));
            let state = match at_head {
                Some(found) if found == id => State::Visible,
                Some(_) => State::Overwritten,
                None => State::Deleted,
            };
            let mut commit = |place: u32| {
                told.entry(place).or_insert_with(|| self.commit(*commits.get(place as usize)?)).clone()
            };
            let (first, last) = (commit(span.first), commit(span.last));
            let place = SeenAt { path, state, at_head: state == State::Visible, first, last };
            seen.entry(id).or_default().places.push(place);
        }
        let reached: HashSet<&ObjectId> = commits.iter().collect();
        for id in names {
            let commit = if reached.contains(&id) { self.commit(id) } else { None };
            if commit.is_some() || tags.contains(&id) {
                let place = SeenAt {
                    path: Vec::new(),
                    state: State::Visible,
                    at_head: false,
                    first: commit.clone(),
                    last: commit,
                };
                seen.entry(id).or_default().places.push(place);
            }
        }
        for one in seen.values_mut() {
            one.places.sort_by(|a, b| a.path.cmp(&b.path));
        }
        seen
    }

    fn entry(&self, tree: &ObjectId, path: &[u8]) -> Option<ObjectId> {
        let tree = tree.attach(&self.repository).object().ok()?.try_into_tree().ok()?;
        let parts = path.split(|byte| *byte == b'/').map(<[u8]>::to_vec);
        Some(tree.lookup_entry(parts).ok()??.object_id())
    }

    fn commit(&self, id: ObjectId) -> Option<GitCommit> {
        let mut buffer = Vec::new();
        let commit = self.repository.objects.find_commit(&id, &mut buffer).ok()?;
        let seconds = commit.author().ok()?.time().ok()?.seconds;
        let author_date = jiff::Timestamp::from_second(seconds).ok()?.to_string();
        Some(GitCommit { id: id.to_string(), author_date })
    }
}

/// References that name what is not there.
pub(super) fn dangling(repository: gix::Repository) -> Vec<(Skipped, String)> {
    let mut history = History::new(repository, HashSet::new());
    history.references();
    history.gaps
}

/// Calls `found` for every entry of a tree that is no folder, and returns what is not there.
pub(super) fn entries(
    repository: &gix::Repository,
    tree: ObjectId,
    found: &mut dyn FnMut(&BStr, &gix::objs::tree::EntryRef<'_>),
) -> Vec<String> {
    let mut missing = Vec::new();
    let mut pending: Vec<(Vec<u8>, ObjectId)> = vec![(Vec::new(), tree)];
    let mut seen: HashSet<(Vec<u8>, Short)> = HashSet::new();
    let mut steps = 0_u64;
    let hash = repository.object_hash();
    while let Some((folder, id)) = pending.pop() {
        let mut buffer = Vec::new();
        if id.is_empty_tree() || !seen.insert((folder.clone(), short(&id))) {
            continue;
        }
        let data = match repository.objects.find(&id, &mut buffer) {
            Ok(data) => data.data,
            Err(error) => {
                missing.push(format!("tree {id}: {}", reason(&error)));
                continue;
            }
        };
        for entry in TreeRefIter::from_bytes(data, hash).flatten() {
            steps += 1;
            if steps > STEPS_MAX / 10 || missing.len() > GAPS_MAX {
                missing.push(
                    "a tree with too many entries, or too many gaps: the rest was not looked at".to_owned(),
                );
                return missing;
            }
            let mut path = folder.clone();
            path.extend_from_slice(entry.filename);
            if entry.mode.is_tree() {
                path.push(b'/');
                pending.push((path, entry.oid.to_owned()));
            } else {
                found(path.as_bstr(), &entry);
            }
        }
    }
    missing
}
