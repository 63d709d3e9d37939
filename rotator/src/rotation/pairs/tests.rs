//! Who waits for whom.

use jiff::{SignedDuration, Timestamp};
use shared::journal::{Phase, Record};
use shared::secret::Secret;

use super::{Neighbour, check, depth, neighbours, waits_for};
use crate::manifest::Manifests;
use crate::manifest::load::load;

fn manifests(after: &[(&str, &str)]) -> Manifests {
    let folder = tempfile::tempdir().unwrap();
    let text: String = after
        .iter()
        .map(|(name, after)| {
            format!(
                "---\napiVersion: keyturn.dev/v1alpha1\nkind: Rotation\nmetadata: {{name: {name}, namespace: shop}}\n\
                 spec:\n  targetRef: {{name: db}}\n  schedule: '0 2 * * 0'\n  after: [{after}]\n  \
                 strategy: {{dual: {{account: a}}}}\n  publish: {{storeRef: {{name: s}}, key: k, \
                 properties: {{password: p}}}}\n"
            )
        })
        .collect();
    std::fs::write(folder.path().join("a.yaml"), text).unwrap();
    let (manifests, problems) = load(folder.path());
    assert!(problems.is_empty(), "{problems:?}");
    manifests
}

fn record(phase: &str, deadline: &str) -> Record {
    let text = format!(
        r#"{{"version":1,"rotationUid":"u","revision":1,"epoch":1,"holder":"h","deadline":"{deadline}",
        "startedAt":"2026-03-01T02:00:00Z","trigger":{{"kind":"Schedule"}},{phase}}}"#
    );
    Record::parse(&Secret::from_string(text)).unwrap()
}

const PLANNED: &str = r#""phase":"Planned""#;
const ABORTED: &str = r#""phase":"Aborted","abortedAt":"2026-03-01T02:00:00Z""#;
const STAGED: &str = r#""phase":"Staged","slot":"b","pending":{"value":"bmV3",
    "fingerprint":"k1:0f0e0d0c0b0a09080706050403020100","attempt":1}"#;

#[test]
fn who_is_under_way_is_waited_for_and_at_the_start_the_named_goes_first() {
    let now: Timestamp = "2026-03-01T02:00:30Z".parse().unwrap();
    let (past, future) = ("2026-03-01T02:00:10Z", "2026-03-01T02:01:00Z");
    for (phase, deadline, goes_first, waits) in [
        (STAGED, past, false, true),
        (STAGED, past, true, true),
        (ABORTED, future, true, false),
        (PLANNED, past, true, true),
        (PLANNED, future, true, true),
        (PLANNED, past, false, false),
        (PLANNED, future, false, true),
    ] {
        let neighbour =
            Neighbour { name: "shop/other".into(), goes_first, record: Some(record(phase, deadline)) };
        let found = waits_for(std::slice::from_ref(&neighbour), now);
        assert_eq!(found.is_some(), waits, "{phase} {deadline} {goes_first}");
    }
    let never = Neighbour { name: "shop/other".into(), goes_first: true, record: None };
    assert_eq!(waits_for(&[never], now), None);
    let at_its_end = Neighbour {
        name: "shop/other".into(),
        goes_first: false,
        record: Some(record(PLANNED, "2026-03-01T02:00:30Z")),
    };
    assert_eq!(waits_for(&[at_its_end], now + SignedDuration::ZERO), None);
    assert!(matches!(record(PLANNED, past).phase, Phase::Planned));
}

#[test]
fn pairs_know_each_other_from_both_sides() {
    let manifests = manifests(&[("app", "admin"), ("admin", ""), ("other", "")]);
    let names = |index: usize| -> Vec<(String, bool)> {
        neighbours(&manifests.rotations[index], &manifests)
            .into_iter()
            .map(|(object, first)| (object.full_name(), first))
            .collect()
    };
    assert_eq!(names(0), [("shop/admin".to_owned(), true)]);
    assert_eq!(names(1), [("shop/app".to_owned(), false)]);
    assert_eq!(names(2), []);
    assert_eq!(depth(&manifests.rotations[0], &manifests), 1);
    assert_eq!(depth(&manifests.rotations[1], &manifests), 0);
    assert!(check(&manifests).is_empty());
}

#[test]
fn cycles_and_unknown_names_are_refused_with_their_place() {
    let problems = |after: &[(&str, &str)]| -> Vec<String> {
        check(&manifests(after)).iter().map(ToString::to_string).collect()
    };
    let cycle = problems(&[("a", "b"), ("b", "c"), ("c", "shop/a")]);
    assert_eq!(cycle.len(), 3, "{cycle:?}");
    assert!(cycle[0].contains("shop/b after shop/c after shop/a"), "{cycle:?}");
    assert!(problems(&[("a", "a")])[0].contains("cannot wait for itself"));
    assert!(problems(&[("a", "nobody")])[0].contains("there is no Rotation nobody"));
    assert!(problems(&[("a", "b"), ("b", ""), ("c", "b, a")]).is_empty(), "a diamond is no cycle");
    // One that waits for a cycle is not part of it, and the search for a way comes to an end.
    let behind = problems(&[("a", "b"), ("b", "c"), ("c", "d"), ("d", "c")]);
    assert_eq!(behind.len(), 2, "{behind:?}");
    assert!(behind.iter().all(|problem| !problem.contains("shop/b")), "{behind:?}");
}
