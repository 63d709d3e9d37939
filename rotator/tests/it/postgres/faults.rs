//! A rotation that is killed, cut off, sealed out or paused, while two applications go on logging in.

use std::collections::BTreeSet;

use shared::require;

use super::{Clients, Shop};
use crate::proxy::{Proxy, Rule};
use crate::stopping::{Running, points};

/// The shop with a first secret published, an application of each kind at work, and a grace in which an application
/// can be restarted.
fn at_work(shop: &mut Shop) -> Clients {
    shop.grace = "1s, max: 1s";
    shop.write();
    shop.first_run();
    Clients::start(shop)
}

/// What is published works, everything else that was ever published does not, and each slot was set once a run.
fn in_order(shop: &Shop, seen: &[(String, String)], runs: usize) {
    let (account, secret) = shop.published();
    assert!(shop.lets_in((&account, &secret)));
    for (account, old) in seen.iter().filter(|(_, old)| *old != secret) {
        assert!(!shop.lets_in((account, old)), "an old secret of {account} lives");
    }
    let set = shop.alters("orders_a", "LOGIN") + shop.alters("orders_b", "LOGIN");
    let taken = shop.alters("orders_a", "NOLOGIN") + shop.alters("orders_b", "NOLOGIN");
    assert_eq!((set, taken), (runs, runs - 1), "one statement for each slot and revision");
    assert_eq!(shop.receipts().len(), runs - 1, "one receipt a run");
    let log = shop.primary.log();
    for (_, secret) in seen {
        assert!(!log.contains(secret.as_str()), "the server's log has a password");
    }
}

#[test]
fn a_rotator_that_is_killed_between_any_two_effects_is_resumed_and_no_application_notices() {
    let mut shop = require!(Shop::large());
    let clients = at_work(&mut shop);
    let mut seen = vec![shop.published()];
    let mut killed_at = BTreeSet::new();
    let mut runs = 1;
    for number in 1.. {
        let running = Running::start(&shop.workshop, &shop.arguments(&["--now"]), &number.to_string());
        match running.reach() {
            Ok(running) => killed_at.extend(running.kill().pop()),
            Err(ended) => {
                assert_eq!(ended.code, 0, "{ended:?}");
                runs += 1;
                seen.push(shop.published());
                break;
            }
        }
        let ended = shop.rotate(&["--resume"]);
        assert_eq!(ended.code, 0, "killed at {number}: {ended:?}");
        // Killed before its first write, it left nothing to go on with.
        if ended.out.contains("the old secret is dead") && shop.published() != seen[seen.len() - 1] {
            runs += 1;
            seen.push(shop.published());
        }
        in_order(&shop, &seen, runs);
    }
    in_order(&shop, &seen, runs);
    for point in [
        "before journal Planned",
        "after journal Planned",
        "before journal Staged",
        "after journal Staged",
        "before set",
        "before alter",
        "after set",
        "before journal Applied",
        "after journal Applied",
        "after journal Tested",
        "before publish",
        "after publish",
        "after journal Published",
        "after journal Spread",
        "before revoke",
        "before sessions end",
        "after revoke",
        "after journal Revoked",
        "before receipt",
        "after receipt",
        "before journal Proven",
        "after journal Proven",
    ] {
        assert!(killed_at.contains(point), "never killed at `{point}`: {killed_at:?}");
    }
    let logins = clients.stop();
    assert!(logins > 2 * killed_at.len(), "the applications were at work: {logins}");
}

#[test]
fn an_answer_that_is_lost_after_the_commit_costs_no_second_statement() {
    let mut shop = require!(Shop::small());
    let proxy = Proxy::before(&shop.primary.address());
    shop.primary_address = Some(proxy.address().to_owned());
    let clients = at_work(&mut shop);
    let mut seen = vec![shop.published()];
    for (runs, lost) in
        [(2, "WITH LOGIN PASSWORD"), (3, "WITH NOLOGIN PASSWORD"), (4, "pg_terminate_backend")]
    {
        proxy.apply(Rule::LoseAnswer(lost), 1);
        let ended = shop.rotate(&["--now"]);
        assert_eq!(ended.code, 0, "{lost}: {ended:?}");
        assert!(ended.err.contains("no answer"), "{lost}: {ended:?}");
        assert_eq!(proxy.applied(), runs - 1);
        seen.push(shop.published());
        in_order(&shop, &seen, runs);
    }
    clients.stop();
}

#[test]
fn a_store_that_is_sealed_in_any_phase_holds_the_run_and_loses_nothing() {
    let mut shop = require!(Shop::large());
    let clients = at_work(&mut shop);
    let mut seen = vec![shop.published()];
    let phases = ["Planned", "Staged", "Applied", "Tested", "Published", "Spread", "Revoked"];
    for (index, phase) in phases.into_iter().enumerate() {
        let point = format!("after journal {phase}");
        let running = Running::start(&shop.workshop, &shop.arguments(&["--now"]), &point);
        let running = running.reach().unwrap_or_else(|ended| panic!("{phase}: {ended:?}"));
        shop.bao.seal();
        running.go_on();
        // Long enough to run into the seal; a machine that is slower runs into it later or not at all.
        std::thread::sleep(std::time::Duration::from_millis(1500));
        shop.bao.unseal();
        // One waits by itself until the store is back; of the others somebody loses patience.
        if index == 0 {
            let ended = running.end();
            assert_eq!(ended.code, 0, "{phase}: {ended:?}");
        } else {
            running.kill();
        }
        let ended = shop.rotate(&["--resume"]);
        assert_eq!(ended.code, 0, "{phase}: {ended:?}");
        assert!(ended.out.contains("the old secret is dead"), "{phase}: {ended:?}");
        seen.push(shop.published());
        in_order(&shop, &seen, index + 2);
    }
    clients.stop();
}

#[test]
fn a_rotator_that_sleeps_past_its_lease_changes_nothing_when_it_wakes() {
    let mut shop = require!(Shop::small());
    let clients = at_work(&mut shop);
    let old = shop.published();
    // It holds the role's lock and has asked for its lease: the next thing it would do is the change itself.
    let running = Running::start(&shop.workshop, &shop.arguments(&["--now"]), "before alter");
    let asleep = running.reach().unwrap_or_else(|ended| panic!("{ended:?}"));
    let other = shop.rotate(&["--resume"]);
    assert!(other.out.contains("another rotator works on it"), "{other:?}");
    let ended = loop {
        let ended = shop.rotate(&["--resume"]);
        if !ended.out.contains("another rotator works on it") {
            break ended;
        }
        std::thread::sleep(std::time::Duration::from_secs(1));
    };
    assert_eq!(ended.code, 0, "{ended:?}");
    let new = shop.published();
    let statements = shop.alters("orders_b", "LOGIN");
    asleep.go_on();
    let awake = asleep.end();
    assert!(points(&awake.err).iter().any(|point| point == "after set"), "{awake:?}");
    assert_eq!(shop.published(), new);
    assert_eq!(shop.alters("orders_b", "LOGIN"), statements);
    in_order(&shop, &[old, new], 2);
    clients.stop();
}
