//! Whether a workload is to be restarted. Pure.
//!
//! A workload bears two marks: what was seen (on itself) and for what it was restarted (on its template). Both are a
//! digest of the Secrets that it reads. So it is restarted once for a change, also for one that came while no rotator ran,
//! and never for its own restart.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::PodSpec;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;

use crate::manifest::store::LabelSelector;
use crate::rotation::workloads::uses;

/// `"true"` on a workload: restart it when a Secret that it reads has changed. On an ExternalSecret: restart whatever
/// reads its Secret.
pub const WANTED: &str = "keyturn.dev/restart";
/// On a workload: the Secrets that its pods have, or will have when they are ready.
pub const SEEN: &str = "keyturn.dev/secrets-seen";
/// On its template: the Secrets that it was restarted for.
pub const RESTARTED_FOR: &str = "keyturn.dev/restarted-for";

/// A Secret that a sync made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Managed {
    /// Its uid.
    pub uid: String,
    /// The hash of its values, as its mark says it.
    pub hash: String,
    /// When its values were seen to change.
    pub changed_at: Option<Timestamp>,
    /// Whether its ExternalSecret wants its readers restarted.
    pub wanted: bool,
}

/// What is to be done with a workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// It reads none of them, or nobody wants it restarted, or it has them.
    Nothing,
    /// It is seen for the first time.
    Remember(String),
    /// It runs with old values.
    Restart(String),
    /// It was restarted for what there is; is it ready?
    Watch,
}

/// What a workload says of itself.
#[derive(Clone, Copy, Debug)]
pub struct Workload<'a> {
    /// Its pods.
    pub pod: &'a PodSpec,
    /// Its annotations.
    pub annotations: Option<&'a BTreeMap<String, String>>,
    /// Those of its template.
    pub template_annotations: Option<&'a BTreeMap<String, String>>,
    /// When it was made.
    pub made_at: Option<Timestamp>,
}

impl Workload<'_> {
    fn annotation(&self, key: &str) -> Option<&str> {
        self.annotations.and_then(|all| all.get(key)).map(String::as_str)
    }

    /// What is to be done.
    pub fn step(&self, secrets: &BTreeMap<String, Managed>) -> Step {
        let asks = self.annotation(WANTED) == Some("true");
        let read: BTreeMap<&String, &Managed> = secrets
            .iter()
            .filter(|(_, secret)| asks || secret.wanted)
            .filter(|(name, _)| uses(self.pod, &BTreeSet::from([name.as_str()])))
            .collect();
        if read.is_empty() {
            return Step::Nothing;
        }
        let digest = digest(&read);
        let restarted_for = self.template_annotations.and_then(|all| all.get(RESTARTED_FOR));
        match self.annotation(SEEN) {
            Some(seen) if seen == digest => {
                if restarted_for == Some(&digest) {
                    Step::Watch
                } else {
                    Step::Nothing
                }
            }
            Some(_) => Step::Restart(digest),
            None => {
                let is_older = |secret: &&Managed| {
                    secret.changed_at.zip(self.made_at).is_some_and(|(changed, made)| made < changed)
                };
                let changed_meanwhile = read.values().any(is_older);
                if changed_meanwhile { Step::Restart(digest) } else { Step::Remember(digest) }
            }
        }
    }
}

/// One line for all of them. With the uids, which only those know who may read the Secrets: a hash of a short password
/// alone would tell it to everybody who may read workloads.
fn digest(secrets: &BTreeMap<&String, &Managed>) -> String {
    let mut hasher = blake3::Hasher::new_derive_key("keyturn 2026 secrets of a workload/1");
    for (name, secret) in secrets {
        for part in [name.as_str(), &secret.uid, &secret.hash] {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        }
    }
    let mut bytes = [0; 16];
    hasher.finalize_xof().fill(&mut bytes);
    data_encoding::HEXLOWER.encode(&bytes)
}

/// The budget that allows no disruption of pods with these labels now, by name.
pub fn forbidding<'b>(
    budgets: &'b [PodDisruptionBudget],
    labels: Option<&BTreeMap<String, String>>,
) -> Option<&'b str> {
    let labels = labels?;
    let forbids = |budget: &&PodDisruptionBudget| {
        let selector = budget.spec.as_ref().and_then(|spec| spec.selector.as_ref());
        let selector = selector.and_then(|selector| serde_json::to_value(selector).ok());
        let selector = selector.and_then(|selector| serde_json::from_value::<LabelSelector>(selector).ok());
        let status = budget.status.as_ref();
        selector.is_some_and(|selector| selector.matches(labels))
            && status
                .is_some_and(|status| status.expected_pods > Some(0) && status.disruptions_allowed == Some(0))
    };
    budgets.iter().find(forbids).and_then(|budget| budget.metadata.name.as_deref())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use jiff::Timestamp;
    use k8s_openapi::api::core::v1::PodSpec;
    use serde_json::json;

    use super::{Managed, RESTARTED_FOR, SEEN, Step, WANTED, Workload, forbidding};

    fn secrets(hash: &str, wanted: bool, changed_at: Option<&str>) -> BTreeMap<String, Managed> {
        let changed_at = changed_at.map(|at| at.parse().unwrap());
        let secret = |name: &str, hash: &str| {
            (
                name.to_owned(),
                Managed { uid: format!("uid-{name}"), hash: hash.to_owned(), changed_at, wanted },
            )
        };
        [secret("db", hash), secret("unread", hash)].into()
    }

    fn pod() -> PodSpec {
        serde_json::from_value(
            json!({ "containers": [{ "name": "a", "envFrom": [{ "secretRef": { "name": "db" } }] }] }),
        )
        .unwrap()
    }

    #[test]
    fn once_for_a_change_and_only_if_it_is_wanted() {
        let pod = pod();
        let made_at: Option<Timestamp> = Some("2026-01-01T12:00:00Z".parse().unwrap());
        let mut own: BTreeMap<String, String> = BTreeMap::new();
        let mut template: BTreeMap<String, String> = BTreeMap::new();
        let step = |own: &BTreeMap<_, _>, template: &BTreeMap<_, _>, secrets: &BTreeMap<_, _>| {
            let (annotations, template_annotations) = (Some(own), Some(template));
            Workload { pod: &pod, annotations, template_annotations, made_at }.step(secrets)
        };
        assert_eq!(step(&own, &template, &secrets("1", false, None)), Step::Nothing, "nobody wants it");
        assert!(
            matches!(step(&own, &template, &secrets("1", true, None)), Step::Remember(_)),
            "the policy does"
        );
        own.insert(WANTED.to_owned(), "true".to_owned());
        let Step::Remember(first) = step(&own, &template, &secrets("1", false, None)) else {
            panic!("it is new")
        };
        own.insert(SEEN.to_owned(), first.clone());
        assert_eq!(step(&own, &template, &secrets("1", false, None)), Step::Nothing);
        let Step::Restart(second) = step(&own, &template, &secrets("2", false, None)) else {
            panic!("it changed")
        };
        assert_ne!(first, second);
        own.insert(SEEN.to_owned(), second.clone());
        template.insert(RESTARTED_FOR.to_owned(), second);
        assert_eq!(step(&own, &template, &secrets("2", false, None)), Step::Watch, "once");
        // Not seen before, and changed since it was made.
        own.remove(SEEN);
        assert!(matches!(
            step(&own, &template, &secrets("2", false, Some("2026-01-01T13:00:00Z"))),
            Step::Restart(_)
        ));
        assert!(matches!(
            step(&own, &template, &secrets("2", false, Some("2026-01-01T11:00:00Z"))),
            Step::Remember(_)
        ));
    }

    #[test]
    fn a_budget_without_room_forbids() {
        let budget = |allowed: i32, label: &str| {
            serde_json::from_value(json!({ "metadata": { "name": "b" },
                "spec": { "selector": { "matchLabels": { "app": label } } },
                "status": { "currentHealthy": 1, "desiredHealthy": 1, "disruptionsAllowed": allowed, "expectedPods": 1 } }))
            .unwrap()
        };
        let labels: BTreeMap<String, String> = [("app".to_owned(), "shop".to_owned())].into();
        assert_eq!(forbidding(&[budget(0, "shop")], Some(&labels)), Some("b"));
        assert_eq!(forbidding(&[budget(1, "shop"), budget(0, "other")], Some(&labels)), None);
    }
}
