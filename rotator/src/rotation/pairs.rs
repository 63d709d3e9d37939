//! Paired credentials: two that must never be replaced together, such as an application's login and the
//! administrator that sets it.
//!
//! Each Rotation that names another by `after` waits while that one is under way, and the other way round. Who
//! begins first writes `Planned` into its own journal and then looks at the others' journals; whoever looks second
//! sees the first one. When both stand at `Planned`, those that are named go first.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use shared::journal::{Phase, Record};

use crate::manifest::Manifests;
use crate::manifest::object::Object;
use crate::manifest::problem::Problem;
use crate::manifest::rotation::RotationSpec;

/// Another Rotation that is paired with one.
#[derive(Debug)]
pub struct Neighbour {
    /// `namespace/name`.
    pub name: String,
    /// Whether it goes first when both are due.
    pub goes_first: bool,
    /// Its journal, if it ever ran.
    pub record: Option<Record>,
}

/// Whom a run that stands at `Planned` waits for, if it waits.
pub fn waits_for(neighbours: &[Neighbour], now: Timestamp) -> Option<&str> {
    let in_the_way = |neighbour: &&Neighbour| match &neighbour.record {
        None => false,
        Some(record) if record.phase.is_over() => false,
        // Planned and at rest: it looks at us before it does anything.
        Some(Record { phase: Phase::Planned, deadline, .. }) => neighbour.goes_first || now < *deadline,
        Some(_) => true,
    };
    neighbours.iter().find(in_the_way).map(|neighbour| neighbour.name.as_str())
}

/// The Rotation that a name in `after` means.
fn named<'m>(
    name: &str,
    object: &Object<RotationSpec>,
    manifests: &'m Manifests,
) -> Option<&'m Object<RotationSpec>> {
    let full = if name.contains('/') { name.to_owned() } else { format!("{}/{name}", object.namespace()) };
    manifests.rotations.iter().find(|other| other.full_name() == full)
}

/// Those that are paired with a Rotation, and whether each goes first.
pub fn neighbours<'m>(
    object: &Object<RotationSpec>,
    manifests: &'m Manifests,
) -> Vec<(&'m Object<RotationSpec>, bool)> {
    let own = object.full_name();
    let before =
        object.spec.after.iter().filter_map(|name| named(name, object, manifests)).map(|o| (o, true));
    let behind = manifests.rotations.iter().filter(|other| {
        other
            .spec
            .after
            .iter()
            .any(|name| named(name, other, manifests).is_some_and(|o| o.full_name() == own))
    });
    before.chain(behind.map(|other| (other, false))).collect()
}

/// How many others must go before: 0 for those that wait for none. Cycles count what is left of them.
pub fn depth(object: &Object<RotationSpec>, manifests: &Manifests) -> usize {
    fn walk(object: &Object<RotationSpec>, manifests: &Manifests, seen: &mut BTreeSet<String>) -> usize {
        if !seen.insert(object.full_name()) {
            return 0;
        }
        let before = object.spec.after.iter().filter_map(|name| named(name, object, manifests));
        before.map(|other| walk(other, manifests, seen) + 1).max().unwrap_or(0)
    }
    walk(object, manifests, &mut BTreeSet::new())
}

/// What is wrong with the names in `after`.
pub fn check(manifests: &Manifests) -> Vec<Problem> {
    let mut problems = Vec::new();
    for object in &manifests.rotations {
        for (index, name) in object.spec.after.iter().enumerate() {
            let path = format!("spec.after[{index}]");
            let what = match named(name, object, manifests) {
                None => format!("there is no Rotation {name}; correct the name"),
                Some(other) if other.full_name() == object.full_name() => {
                    "a Rotation cannot wait for itself; take this out".to_owned()
                }
                Some(other) => match way(other, object, manifests) {
                    Some(way) => format!(
                        "{} waits for this one too ({}): neither would ever begin; take one of them out",
                        other.full_name(),
                        way.join(" after ")
                    ),
                    None => continue,
                },
            };
            problems.push(object.problem("Rotation", &path, what));
        }
    }
    problems
}

/// The names along which `from` waits for `to`, if it does.
fn way(from: &Object<RotationSpec>, to: &Object<RotationSpec>, manifests: &Manifests) -> Option<Vec<String>> {
    let mut came_from: BTreeMap<String, String> = BTreeMap::new();
    let mut left = vec![from];
    while let Some(object) = left.pop() {
        for other in object.spec.after.iter().filter_map(|name| named(name, object, manifests)) {
            let name = other.full_name();
            if name == from.full_name() || came_from.contains_key(&name) {
                continue;
            }
            came_from.insert(name.clone(), object.full_name());
            if name == to.full_name() {
                let mut names = vec![name];
                while let Some(before) = names.last().and_then(|last| came_from.get(last)) {
                    names.push(before.clone());
                }
                names.reverse();
                return Some(names);
            }
            left.push(other);
        }
    }
    None
}

#[cfg(test)]
mod tests;
