//! The stories.

use shared::fingerprint::FingerprintKey;
use shared::journal::ProofKind;
use shared::secret::Redacted;

use super::{Denial, Stand};

/// Makes a test of each story for one kind of stand.
macro_rules! tell {
    ($start:expr) => {
        #[test]
        fn happy() {
            crate::conformance::stories::happy(&shared::require!($start));
        }

        #[test]
        fn rejected_password() {
            crate::conformance::stories::rejected_password(&mut shared::require!($start));
        }

        #[test]
        fn answer_lost_after_commit() {
            crate::conformance::stories::answer_lost_after_commit(&shared::require!($start));
        }

        #[test]
        fn server_down_in_each_phase() {
            crate::conformance::stories::server_down_in_each_phase(&mut shared::require!($start));
        }

        #[test]
        fn revoke_denied() {
            crate::conformance::stories::revoke_denied(&mut shared::require!($start));
        }

        #[test]
        fn endpoint_that_checks_nothing() {
            crate::conformance::stories::endpoint_that_checks_nothing(&mut shared::require!($start));
        }

        #[test]
        fn restored_from_an_old_dump() {
            crate::conformance::stories::restored_from_an_old_dump(&mut shared::require!($start));
        }
    };
}
pub(super) use tell;

/// The newest receipt proves this secret dead, because the server refused it.
fn proven_dead(stand: &impl Stand, old: &str) {
    let key = FingerprintKey::read(&stand.workshop().path("keys/fingerprint.key")).unwrap();
    let dead = key.fingerprint(Redacted::new(old.as_bytes()));
    let receipts = stand.receipts();
    let newest = receipts.iter().max_by_key(|signed| signed.receipt().seq).unwrap().receipt();
    assert_eq!(newest.proof.kind, ProofKind::Refused);
    assert!(newest.proves_dead(key.key_id(), &dead));
}

/// The run is over: a new secret is published and works, the old one is dead.
fn turned(stand: &impl Stand, old: &(String, String)) {
    let new = stand.published();
    assert_ne!(new.1, old.1);
    assert!(stand.lets_in(&new), "what is published does not work");
    assert!(!stand.lets_in(old), "the old secret lives");
    proven_dead(stand, &old.1);
}

pub fn happy(stand: &impl Stand) {
    let old = stand.published();
    assert!(stand.lets_in(&old));
    let ended = stand.rotate(&["--now"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    turned(stand, &old);
}

/// A target that takes none of our values: a few are tried, then a person is asked, and nobody was locked out.
pub fn rejected_password(stand: &mut impl Stand) {
    let old = stand.published();
    stand.reject();
    let ended = stand.rotate(&["--now"]);
    assert_eq!(ended.code, 3, "{ended:?}");
    assert!(
        ended.out.contains("rejects every generated value") && ended.out.contains("`generate`"),
        "{ended:?}"
    );
    assert_eq!(stand.published(), old);
    assert!(stand.lets_in(&old));
}

/// The target did it and nobody was told: whoever comes next sees that it is done.
pub fn answer_lost_after_commit(stand: &impl Stand) {
    for point in ["after set", "after publish", "after revoke", "after receipt"] {
        let old = stand.published();
        stand.stop_at(point).kill();
        assert!(stand.lets_in(&stand.published()), "{point}");
        let ended = stand.rotate(&["--resume"]);
        assert_eq!(ended.code, 0, "{point}: {ended:?}");
        turned(stand, &old);
    }
    assert_eq!(stand.receipts().len(), 4, "one receipt a run");
}

/// The run rests where it is, and goes on when the server is back.
pub fn server_down_in_each_phase(stand: &mut impl Stand) {
    for phase in ["Planned", "Staged", "Applied", "Tested", "Published", "Spread", "Revoked"] {
        let old = stand.published();
        let mut running = stand.stop_at(&format!("after journal {phase}"));
        stand.down();
        running.go_on();
        running.wait_for("no answer");
        running.kill();
        stand.up();
        assert!(stand.lets_in(&stand.published()), "{phase}: what is published does not work");
        let ended = stand.rotate(&["--resume"]);
        assert_eq!(ended.code, 0, "{phase}: {ended:?}");
        turned(stand, &old);
    }
}

/// The new secret is published and works, the old one works too, and it is said that it could not be taken away.
pub fn revoke_denied(stand: &mut impl Stand) {
    let old = stand.published();
    let mut running = stand.stop_at("before revoke");
    stand.deny_revoke();
    running.go_on();
    match stand.denial() {
        Denial::NeedsPerson => {
            let ended = running.end();
            assert_eq!(ended.code, 3, "{ended:?}");
            assert!(ended.out.contains("does not let go of the old secret"), "{ended:?}");
        }
        Denial::Rests => {
            running.wait_for("no answer");
            running.kill();
        }
    }
    assert!(stand.lets_in(&stand.published()));
    assert!(stand.lets_in(&old), "the old secret was not to be taken away");
    assert_eq!(stand.receipts().len(), 0, "nothing is proven");
    stand.allow_revoke();
    if stand.denial() == Denial::NeedsPerson {
        let ended = stand.workshop().run(&stand.with_keys("retry", &["orders"]));
        assert_eq!(ended.code, 0, "{ended:?}");
    }
    let ended = stand.rotate(&["--resume"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    turned(stand, &old);
}

/// An endpoint that lets anybody in would "accept" the new secret and go on accepting the old one.
pub fn endpoint_that_checks_nothing(stand: &mut impl Stand) {
    let old = stand.published();
    stand.check_nothing();
    let ended = stand.rotate(&["--now"]);
    assert_eq!(ended.code, 3, "{ended:?}");
    assert!(ended.out.contains("nothing"), "{ended:?}");
    assert_eq!(stand.published(), old);
    assert!(stand.lets_in(&old));
    assert_eq!(stand.receipts().len(), 0);
}

/// The server forgets the new secret while consumers use it already: it gets it again, and the old one dies.
pub fn restored_from_an_old_dump(stand: &mut impl Stand) {
    for phase in ["Applied", "Published", "Spread", "Revoked"] {
        let old = stand.published();
        let dump = stand.dump();
        let running = stand.stop_at(&format!("after journal {phase}"));
        stand.restore(&dump);
        running.go_on();
        let ended = running.end();
        assert_eq!(ended.code, 0, "{phase}: {ended:?}");
        turned(stand, &old);
    }
}
