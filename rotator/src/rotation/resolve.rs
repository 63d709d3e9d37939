//! From manifests to what the machine takes: parsed once, every mistake named with its place.

use std::time::Duration;

use crate::backend::define::{Definition, define};
use crate::manifest::Manifests;
use crate::manifest::object::Object;
use crate::manifest::problem::Problem;
use crate::manifest::rotation::{LeakDeadline, RotationSpec, StrategySpec};
use crate::rotation::acknowledged;
use crate::rotation::generate::Policy;
use crate::rotation::schedule::{Schedule, ScheduleError};
use crate::rotation::spec::{AtDeadline, Grace, OnLeak, Spec, Strategy};

/// A journal's lease: long against a pause of the process, short against the wait for a dead one.
const LEASE: Duration = Duration::from_secs(60);
/// One call to a target or a store.
const EFFECT_TIMEOUT: Duration = Duration::from_secs(10);
const KIND: &str = "Rotation";

/// A Rotation that can be driven.
pub struct Resolved {
    /// For the machine.
    pub spec: Spec,
    /// When it is due.
    pub schedule: Schedule,
    /// The target.
    pub backend: Definition,
}

/// Reads one Rotation with its target.
///
/// # Errors
/// Every mistake.
pub fn resolve(object: &Object<RotationSpec>, manifests: &Manifests) -> Result<Resolved, Vec<Problem>> {
    let mut problems: Vec<Problem> =
        manifests.rotation_conflicts.get(&object.full_name()).cloned().into_iter().collect();
    let spec = &object.spec;
    let complain = |path: &str, what: String| object.problem(KIND, path, what);
    let strategy = strategy(object, &mut problems);
    let policy = match Policy::alphabet(&spec.generate.alphabet) {
        Some(alphabet) => Policy::new(spec.generate.length, alphabet, &spec.generate.forbidden)
            .map_err(|error| problems.push(complain("spec.generate", error.to_string())))
            .ok(),
        None => {
            let what = "write alphanumeric, hex, base64url or printable".to_owned();
            problems.push(complain("spec.generate.alphabet", what));
            None
        }
    };
    let schedule = schedule(object, &mut problems);
    if spec.grace.max < spec.grace.duration {
        problems.push(complain("spec.grace.max", "shorter than duration; write at least that".to_owned()));
    }
    let clusters = &spec.consumers.clusters;
    for (index, cluster) in clusters.iter().enumerate() {
        let path = format!("spec.consumers.clusters[{index}]");
        if !acknowledged::is_name(cluster) {
            let what = "a cluster's name has lower-case letters, digits and `-`, at most 63".to_owned();
            problems.push(complain(&path, what));
        } else if clusters[..index].contains(cluster) {
            problems.push(complain(&path, format!("{cluster} is named twice; take one out")));
        }
    }
    if let (Some(Strategy::Alternating { .. }), None) = (&strategy, &spec.publish.properties.username) {
        let what = "with two accounts consumers must read which one: name the property of the user name";
        problems.push(complain("spec.publish.properties.username", what.to_owned()));
    }
    let backend = target(object, manifests, strategy.as_ref(), &mut problems);
    match (strategy, policy, schedule, backend) {
        (Some(strategy), Some(policy), Some(schedule), Some(backend)) if problems.is_empty() => {
            let spec = Spec {
                name: object.full_name(),
                uid: uid(object),
                revision_seen: manifests
                    .rotation_status
                    .get(&object.full_name())
                    .map_or(0, |status| status.revision),
                strategy,
                endpoints: backend.endpoints().to_vec(),
                policy,
                spread_timeout: spec.spread_timeout.0,
                grace: Grace { duration: spec.grace.duration.0, max: spec.grace.max.0 },
                on_leak: OnLeak {
                    deadline: spec.on_leak.deadline.0,
                    at_deadline: match spec.on_leak.at_deadline {
                        LeakDeadline::Wait => AtDeadline::Wait,
                        LeakDeadline::Revoke => AtDeadline::Revoke,
                    },
                },
                external: spec.consumers.external.clone(),
                lease: LEASE,
                effect_timeout: EFFECT_TIMEOUT,
            };
            Ok(Resolved { spec, schedule, backend })
        }
        _ => Err(problems),
    }
}

/// What makes this Rotation another one than the next of its name. Objects of files have no uid: their name is all
/// that they are.
pub(crate) fn uid(object: &Object<RotationSpec>) -> String {
    object.meta.uid.clone().unwrap_or_else(|| format!("file:{}", object.full_name()))
}

fn schedule(object: &Object<RotationSpec>, problems: &mut Vec<Problem>) -> Option<Schedule> {
    let spec = &object.spec;
    let complain = |path: &str, error: &ScheduleError| object.problem(KIND, path, error.to_string());
    let plain = Schedule::parse(&spec.schedule, &spec.time_zone)
        .map_err(|error| problems.push(complain("spec.schedule", &error)))
        .ok()?;
    let mut schedule = plain
        .with_jitter(spec.jitter.0, &uid(object))
        .map_err(|error| problems.push(complain("spec.jitter", &error)))
        .ok()?;
    for (index, freeze) in spec.freezes.iter().enumerate() {
        schedule = schedule
            .with_freeze(&freeze.schedule, freeze.duration.0)
            .map_err(|error| problems.push(complain(&format!("spec.freezes[{index}]"), &error)))
            .ok()?;
    }
    Some(schedule)
}

fn strategy(object: &Object<RotationSpec>, problems: &mut Vec<Problem>) -> Option<Strategy> {
    let mut complain = |path: &str, what: &str| {
        problems.push(object.problem(KIND, path, what));
        None
    };
    match &object.spec.strategy {
        StrategySpec { alternating: Some(two), dual: None, single: None } => match two.accounts.as_slice() {
            [first, second] if first != second => {
                Some(Strategy::Alternating { accounts: [first.clone(), second.clone()] })
            }
            _ => complain("spec.strategy.alternating.accounts", "write exactly two different accounts"),
        },
        StrategySpec { alternating: None, dual: Some(one), single: None } => {
            Some(Strategy::Dual { account: one.account.clone() })
        }
        StrategySpec { alternating: None, dual: None, single: Some(one) } if one.allow_outage => {
            Some(Strategy::Single { account: one.account.clone() })
        }
        StrategySpec { alternating: None, dual: None, single: Some(_) } => complain(
            "spec.strategy.single.allowOutage",
            "consumers are locked out until they have the new secret; write allowOutage: true if they may be",
        ),
        _ => complain("spec.strategy", "write exactly one of alternating, dual and single"),
    }
}

fn target(
    object: &Object<RotationSpec>,
    manifests: &Manifests,
    strategy: Option<&Strategy>,
    problems: &mut Vec<Problem>,
) -> Option<Definition> {
    let name = &object.spec.target_ref.name;
    let Some(target) = manifests.rotation_targets.iter().find(|target| target.name() == name) else {
        let what = format!("there is no ClusterRotationTarget {name}; create it, or correct the name");
        problems.push(object.problem(KIND, "spec.targetRef.name", what));
        return None;
    };
    let allow = &target.spec.allow;
    if !allow.namespaces.iter().any(|allowed| allowed == object.namespace()) {
        let what = format!("{name} does not allow the namespace {}; its owner can", object.namespace());
        problems.push(object.problem(KIND, "spec.targetRef", what));
    }
    let accounts: Vec<&str> = match strategy {
        None => Vec::new(),
        Some(Strategy::Alternating { accounts }) => accounts.iter().map(String::as_str).collect(),
        Some(Strategy::Dual { account } | Strategy::Single { account }) => vec![account],
    };
    for account in accounts {
        if !allow.accounts.iter().any(|pattern| fits(pattern, account)) {
            let what = format!("{name} does not allow the account {account}; its owner can");
            problems.push(object.problem(KIND, "spec.strategy", what));
        }
    }
    let definition = match define(target) {
        Ok(definition) => definition,
        Err(found) => {
            problems.extend(found);
            return None;
        }
    };
    if let Some((path, what)) = strategy.and_then(|strategy| definition.unsuited(strategy, role(object))) {
        problems.push(object.problem(KIND, path, what));
    }
    Some(definition)
}

/// The role that both accounts of an alternating credential belong to, where one is named.
pub fn role(object: &Object<RotationSpec>) -> Option<&str> {
    object.spec.strategy.alternating.as_ref()?.role.as_deref()
}

/// Whether a name fits a pattern in which `*` stands for any characters.
fn fits(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| name.strip_prefix(first)) else { return false };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::fits;

    #[test]
    fn a_star_stands_for_any_characters() {
        for (pattern, name, expected) in [
            ("orders_*", "orders_a", true),
            ("orders_*", "orders", false),
            ("*", "anything", true),
            ("orders", "orders", true),
            ("orders", "orders_a", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c", false),
            ("*_rw", "shop_rw", true),
            ("*_rw", "shop_ro", false),
            ("", "x", false),
        ] {
            assert_eq!(fits(pattern, name), expected, "{pattern} {name}");
        }
    }
}
