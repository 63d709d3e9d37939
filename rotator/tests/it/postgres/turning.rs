//! A credential is turned, at every address, and the old one is dead.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::Stdio;

use serde_json::json;
use shared::fingerprint::FingerprintKey;
use shared::journal::ProofKind;
use shared::receipt::Answer;
use shared::require;
use shared::secret::Redacted;
use shared::testkit::PgBouncer;

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

    // As talkative as it gets.
    let third = shop.rotate(&["--now", "-vvv"]);
    assert_eq!(third.code, 0, "{third:?}");
    let (back, newest) = shop.published();
    assert_eq!(back, "orders_a");
    assert!(shop.lets_in((&back, &newest)));
    assert!(!shop.lets_in((&second, &new)) && !shop.lets_in((&first, &old)));

    // One statement for each slot and revision: set in runs 1 and 3, set in run 2, and the two that went.
    assert_eq!((shop.alters("orders_a", "LOGIN"), shop.alters("orders_b", "LOGIN")), (2, 1));
    assert_eq!((shop.alters("orders_a", "NOLOGIN"), shop.alters("orders_b", "NOLOGIN")), (1, 1));
    assert!(!third.err.contains("SCRAM-SHA-256$"), "a verifier is in our log: {third:?}");
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

/// One account: its consumers are locked out until they have the new password, which somebody allowed.
#[test]
fn one_account_gets_a_new_password_and_its_old_sessions_end() {
    let shop = require!(Shop::small());
    let old = super::password();
    shop.primary.sql(&format!("create role orders_only login password '{old}'"));
    shop.bao.api(
        "PUT",
        "secret/data/shop/orders",
        Some(json!({ "data": { "username": "orders_only", "password": old, "note": "kept" } })),
    );
    let manifests = shop.manifests().replace(
        "{alternating: {accounts: [orders_a, orders_b], role: orders}}",
        "{single: {account: orders_only, allowOutage: true}}",
    );
    shop.workshop.write("config/all.yaml", &manifests);
    let mut client = shop.primary.psql("orders_only", &old).stderr(Stdio::piped()).spawn().unwrap();
    client.stdin.take().unwrap().write_all(b"select pg_sleep(600);\n").unwrap();
    while shop.primary.sql("select count(*) from pg_stat_activity where usename = 'orders_only'") != "1" {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }

    let ended = shop.rotate(&["--now"]);
    assert!(ended.code == 0 && ended.out.contains("the old secret is dead"), "{ended:?}");
    let (account, new) = shop.published();
    assert!(shop.lets_in((&account, &new)) && !shop.lets_in((&account, &old)));
    let told = client.wait_with_output().unwrap();
    assert!(String::from_utf8_lossy(&told.stderr).contains("terminating connection"), "{told:?}");
    assert_eq!((shop.alters("orders_only", "LOGIN"), shop.alters("orders_only", "NOLOGIN")), (1, 0));
    assert_eq!(shop.receipts().len(), 1);
}

/// Administrators are credentials like others: two of them, each turning the other, at the path that the target reads.
#[test]
fn two_administrators_turn_each_other() {
    let shop = require!(Shop::small());
    let first = super::password();
    shop.primary.sql(&format!(
        "create role keyturns; grant pg_signal_backend to keyturns; \
         create role keyturn_a login createrole in role keyturns password '{first}'; \
         create role keyturn_b createrole in role keyturns"
    ));
    let credential = json!({ "data": { "username": "keyturn_a", "password": first } });
    shop.bao.api("PUT", "secret/data/pg/admin", Some(credential));
    let manifests = shop.manifests();
    let manifests = manifests
        .replace("\"orders_*\"", "\"keyturn_*\"")
        .replace("[orders_a, orders_b], role: orders", "[keyturn_a, keyturn_b], role: keyturns")
        .replace("key: shop/orders\n", "key: pg/admin\n");
    shop.workshop.write("config/all.yaml", &manifests);
    let published = || {
        let answer = shop.bao.api("GET", "secret/data/pg/admin", None);
        let text = |name: &str| answer["data"]["data"][name].as_str().unwrap().to_owned();
        (text("username"), text("password"))
    };
    let mut old = published();
    for turn in ["keyturn_b", "keyturn_a"] {
        let ended = shop.rotate(&["--now"]);
        assert!(ended.code == 0 && ended.out.contains("the old secret is dead"), "{ended:?}");
        let new = published();
        assert_eq!(new.0, turn);
        assert!(shop.lets_in((&new.0, &new.1)) && !shop.lets_in((&old.0, &old.1)));
        old = new;
    }
    assert_eq!(shop.receipts().len(), 2);
}

/// A client that stays connected to a PgBouncer is listed, and the receipt does not count as a proof while it is there.
#[test]
fn a_client_of_a_pgbouncer_is_listed_and_can_do_nothing_more() {
    let mut shop = require!(Shop::small());
    let known = [("keyturn", shop.admin.as_str())];
    shop.pooler = Some(require!(PgBouncer::asking(&shop.primary, &known)));
    shop.write();
    let (account, old) = shop.first_run();
    let pooler = shop.pooler.as_ref().unwrap();
    let mut client = shop.primary.psql(&account, &old);
    client.arg(format!("--port={}", pooler.port())).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut client = client.spawn().unwrap();
    let mut input = client.stdin.take().unwrap();
    input.write_all(b"select 'before';\n").unwrap();
    let mut out = BufReader::new(client.stdout.take().unwrap());
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    assert_eq!(line, "before\n");

    let ended = shop.rotate(&["--now"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(ended.err.contains("KILL and RESUME") && ended.err.contains("orders-db/pool"), "{ended:?}");
    let receipts = shop.receipts();
    let receipt = receipts[0].receipt();
    assert_eq!(receipt.proof.sessions_left, Some(1));
    let key = FingerprintKey::read(&shop.workshop.path("keys/fingerprint.key")).unwrap();
    assert!(!receipt.proves_dead(key.key_id(), &key.fingerprint(Redacted::new(old.as_bytes()))));

    let _ = input.write_all(b"select 'after';\n");
    drop(input);
    let mut rest = String::new();
    out.read_to_string(&mut rest).unwrap();
    assert!(!rest.contains("after"), "its old login still does something: {rest}");
    client.wait().unwrap();
}
