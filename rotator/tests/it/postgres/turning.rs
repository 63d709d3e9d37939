//! A credential is turned, at every address, and the old one is dead.

use std::io::Write as _;
use std::process::Stdio;

use shared::fingerprint::FingerprintKey;
use shared::journal::ProofKind;
use shared::receipt::Answer;
use shared::require;
use shared::secret::Redacted;

use super::Shop;
use crate::stopping::Running;

#[test]
fn two_accounts_take_turns_and_the_old_one_is_dead_everywhere() {
    let shop = require!(Shop::large());
    let (first, old) = shop.first_run();
    assert_eq!(first, "orders_a");
    assert_eq!(shop.receipts().len(), 0, "nothing was replaced");

    // A consumer that nobody declared holds a session; with no grace left it is ended.
    let mut client = shop.primary.psql(&first, &old);
    let mut client = client.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut input = client.stdin.take().unwrap();
    input.write_all(b"select 'here';\nselect pg_sleep(600);\n").unwrap();
    drop(input);
    let sessions = "select count(*) from pg_stat_activity where usename = 'orders_a' and query ~ 'pg_sleep'";
    while shop.primary.sql(sessions) != "1" {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }

    let ended = shop.rotate(&["--now"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(ended.out.contains("run 2: the old secret is dead"), "{ended:?}");
    let (second, new) = shop.published();
    assert_eq!(second, "orders_b");
    assert!(shop.lets_in((&second, &new)) && !shop.lets_in((&first, &old)));
    let told = client.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&told.stderr);
    assert!(said.contains("terminating connection due to administrator command"), "{said}");

    let receipts = shop.receipts();
    let [receipt] = receipts.as_slice() else { panic!("{} receipts", receipts.len()) };
    let key = FingerprintKey::read(&shop.workshop.path("keys/fingerprint.key")).unwrap();
    assert!(receipt.receipt().proves_dead(key.key_id(), &key.fingerprint(Redacted::new(old.as_bytes()))));
    let proof = &receipt.receipt().proof;
    assert_eq!((proof.kind, proof.sessions_left), (ProofKind::Refused, Some(0)));
    let names: Vec<_> = proof.endpoints.iter().map(|e| e.name.as_str()).collect();
    assert_eq!(names, ["pool", "ro", "rw"]);
    for at in &proof.endpoints {
        assert_eq!((at.old, at.new, at.control), (Answer::Refused, Answer::Accepted, Answer::Refused));
    }

    let third = shop.rotate(&["--now"]);
    assert_eq!(third.code, 0, "{third:?}");
    let (back, newest) = shop.published();
    assert_eq!(back, "orders_a");
    assert!(shop.lets_in((&back, &newest)));
    assert!(!shop.lets_in((&second, &new)) && !shop.lets_in((&first, &old)));

    // One statement for each slot and revision: set in runs 1 and 3, set in run 2, and the two that went.
    assert_eq!((shop.alters("orders_a", "LOGIN"), shop.alters("orders_b", "LOGIN")), (2, 1));
    assert_eq!((shop.alters("orders_a", "NOLOGIN"), shop.alters("orders_b", "NOLOGIN")), (1, 1));
    let written = [shop.primary.log(), ended.out, ended.err, third.out, third.err].concat();
    assert!(written.contains("SCRAM-SHA-256$"));
    for secret in [&old, &new, &newest, &shop.admin] {
        assert!(!written.contains(secret.as_str()));
    }
}

/// A session on a replica is a consumer that nobody declared: it gets the whole grace, and is ended then.
#[test]
fn an_old_session_on_a_replica_extends_the_grace_and_is_ended_at_its_end() {
    let mut shop = require!(Shop::small());
    shop.replica = Some(require!(shop.primary.replica()));
    shop.grace = "0s, max: 12s";
    shop.write();
    let (account, old) = shop.first_run();
    let replica = shop.replica.as_ref().unwrap();
    let mut client = replica.psql(&account, &old).stderr(Stdio::piped()).spawn().unwrap();
    client.stdin.take().unwrap().write_all(b"select pg_sleep(600);\n").unwrap();
    while replica
        .sql("select count(*) from pg_stat_activity where query ~ 'sleep.600'  and usename = 'orders_a'")
        != "1"
    {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let running = Running::start(&shop.workshop, &shop.arguments(&["--now"]), "before revoke");
    let running = running.reach().unwrap_or_else(|ended| panic!("{ended:?}"));
    assert!(client.try_wait().unwrap().is_none(), "it was ended before the end of the grace");
    let journal = shop.journal();
    let at = |name: &str| journal[name].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    assert!(at("graceUntil").duration_since(at("spreadAt")).as_secs() >= 10, "{}", journal["graceUntil"]);
    running.go_on();
    let ended = running.end();
    assert!(ended.code == 0 && ended.out.contains("the old secret is dead"), "{ended:?}");
    let told = client.wait_with_output().unwrap();
    assert!(String::from_utf8_lossy(&told.stderr).contains("terminating connection"), "{told:?}");
}
