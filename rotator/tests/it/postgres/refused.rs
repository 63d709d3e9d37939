//! What cannot be rotated is refused, or rests, with one line that says what to do; nothing is half-done.

use shared::require;

use super::{Shop, login, password};
use crate::stopping::Running;

/// Changes the manifests and rotates: they must be refused before anything happens.
#[test]
fn a_target_that_is_wrong_is_refused_before_anything_happens() {
    let shop = require!(Shop::small());
    let manifests = shop.manifests();
    for (from, to, says) in [
        ("namespaces: [shop]", "namespaces: [other]", "orders-db does not allow the namespace shop"),
        ("[\"orders_*\"]", "[\"web_*\"]", "orders-db does not allow the account orders_a"),
        (
            "{alternating: {accounts: [orders_a, orders_b], role: orders}}",
            "{dual: {account: orders_a}}",
            "one password",
        ),
        (", role: orders}", "}", "add role"),
        ("role: orders}", "role: orders_b}", "not one of the accounts"),
        ("address: \"", "address: \"nowhere/", "write host and port"),
        ("name: rw,", "name: \"\",", "give it a name"),
        ("name: rw,", "name: rw, readOnly: true,", "at least one server that takes writes"),
        ("name: rw,", "name: rw, surprise: 1,", "surprise"),
        ("tls: {mode: disable}", "tls: {mode: require}", "verify-full"),
        ("tls: {mode: disable}", "tls: {caFile: nowhere.pem}", "cannot read"),
        ("tls: {mode: disable}", "tls: {mode: disable, caBundle: x}", "leave the other fields out"),
        (
            "  adminRef: {storeRef: {name: vault, kind: ClusterSecretStore}, key: pg/admin}\n",
            "",
            "add adminRef",
        ),
        (
            "{storeRef: {name: vault, kind: ClusterSecretStore}, key: pg/admin}",
            "{storeRef: {name: vault}, key: a}",
            "reads from a ClusterSecretStore",
        ),
    ] {
        assert!(manifests.contains(from), "{from}");
        shop.workshop.write("config/all.yaml", &manifests.replacen(from, to, 1));
        let ended = shop.rotate(&["--now"]);
        assert_eq!(ended.code, 2, "{to}: {ended:?}");
        assert!(ended.err.contains(says) && ended.err.contains("all.yaml:"), "{to}: {ended:?}");
    }
    assert_eq!(shop.alters("orders_a", ""), 0);
}

/// One thing that is wrong on the server: with the statement that makes it so, and what is said.
struct Wrong {
    make: &'static str,
    says: &'static str,
    next: &'static str,
}

#[test]
fn an_account_that_could_not_be_turned_without_harm_needs_a_person() {
    for wrong in [
        Wrong { make: "drop role orders_a", says: "has no role orders_a", next: "create the role" },
        Wrong { make: "drop role orders_b", says: "has no role orders_b", next: "create the role" },
        Wrong {
            make: "alter role orders_a noinherit",
            says: "orders_a does not inherit the rights of orders",
            next: "INHERIT",
        },
        Wrong {
            make: "revoke orders from orders_b",
            says: "orders_b does not inherit the rights of orders",
            next: "GRANT",
        },
        Wrong {
            make: "alter role orders_b set statement_timeout = '7s'",
            says: "differ in their settings",
            next: "alike",
        },
        Wrong { make: "alter role orders_a createdb", says: "differ in their attributes", next: "alike" },
        Wrong {
            make: "create role extra; grant extra to orders_b",
            says: "differ in the roles",
            next: "alike",
        },
        Wrong {
            make: "create table t (); grant select on t to orders_b",
            says: "rights that were granted to one",
            next: "alike",
        },
        Wrong {
            make: "create table t (); alter table t owner to orders_b",
            says: "objects belong to orders_b",
            next: "REASSIGN OWNED BY",
        },
        Wrong {
            make: "create role nested; grant orders_a to nested",
            says: "orders_a is a group",
            next: "only logins",
        },
        Wrong {
            make: "alter role orders_a valid until '2001-01-01'; alter role orders_b valid until '2001-01-01'",
            says: "VALID UNTIL of orders_a is over",
            next: "infinity",
        },
        Wrong { make: "alter role orders_a superuser", says: "may not change orders_a", next: "NOSUPERUSER" },
        Wrong {
            make: "alter role keyturn nocreaterole",
            says: "keyturn may not change orders_a",
            next: "CREATEROLE",
        },
        Wrong {
            make: "revoke pg_signal_backend from keyturn",
            says: "may not end sessions",
            next: "GRANT pg_signal_backend",
        },
        Wrong {
            make: "alter role keyturn password 'another'",
            says: "refuses the login of the administrator keyturn",
            next: "pg/admin",
        },
    ] {
        let shop = require!(Shop::small());
        shop.primary.sql(wrong.make);
        let ended = shop.rotate(&["--now"]);
        assert_eq!(ended.code, 3, "{}: {ended:?}", wrong.make);
        assert!(ended.out.contains("NEEDS A PERSON"), "{ended:?}");
        assert!(
            ended.out.contains(wrong.says) && ended.out.contains(wrong.next),
            "{}: {ended:?}",
            wrong.make
        );
        assert_eq!(shop.journal()["phase"], "Planned", "nothing was generated");
        assert_eq!(shop.alters("orders_a", ""), 0);
    }
}

#[test]
fn an_endpoint_that_checks_nothing_is_found_before_anything_is_set() {
    let shop = require!(Shop::small());
    shop.primary.let_in("host all orders_a,orders_b 127.0.0.1/32 trust");
    let ended = shop.rotate(&["--now"]);
    assert_eq!(ended.code, 3, "{ended:?}");
    assert!(ended.out.contains("nothing is checked") && ended.out.contains("`trust`"), "{ended:?}");
    assert_eq!(shop.alters("orders_a", ""), 0);
}

#[test]
fn a_login_that_pg_hba_does_not_let_in_is_found_before_anything_is_set() {
    let shop = require!(Shop::small());
    shop.primary.let_in("host all orders_a 127.0.0.1/32 reject");
    let ended = shop.rotate(&["--now"]);
    assert_eq!(ended.code, 3, "{ended:?}");
    assert!(ended.out.contains("pg_hba.conf does not let orders_a in"), "{ended:?}");
    assert_eq!(shop.alters("orders_a", ""), 0);
}

#[test]
fn a_server_that_asks_for_the_password_in_the_clear_does_not_get_it() {
    let shop = require!(Shop::small());
    shop.primary.let_in("host all orders_a,orders_b 127.0.0.1/32 password");
    let ended = shop.rotate(&["--resume"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    let mut running = Running::start(&shop.workshop, &shop.arguments(&["--now"]), "none");
    running.wait_for("asks for the password in the clear");
    running.kill();
    assert_eq!(shop.alters("orders_a", ""), 0);
}

#[test]
fn an_idle_login_that_is_in_use_is_left_alone() {
    let shop = require!(Shop::small());
    let (_, _) = shop.first_run();
    let secret = password();
    shop.primary.sql(&format!("alter role orders_b login password '{secret}'"));
    let mut client = shop.primary.psql("orders_b", &secret).spawn().unwrap();
    while shop.primary.sql("select count(*) from pg_stat_activity where usename = 'orders_b'") != "1" {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let mut running = Running::start(&shop.workshop, &shop.arguments(&["--now"]), "none");
    running.wait_for("the idle login orders_b has 1 open session(s), one from 127.0.0.1");
    running.kill();
    assert_eq!(login(&shop.primary.address(), "orders_b", &secret), Ok(()));
    drop(client.stdin.take());
    client.wait().unwrap();
}

#[test]
fn a_pgbouncer_with_a_file_stops_the_run_and_says_what_to_do() {
    let mut shop = require!(Shop::small());
    let (account, old) = shop.first_run();
    let verifiers =
        "select rolname || ' ' || coalesce(rolpassword, 'none') from pg_authid where rolname ~ 'orders_'";
    let known = shop.primary.sql(verifiers);
    let file: Vec<(&str, &str)> = known.lines().filter_map(|line| line.split_once(' ')).collect();
    let mut file: Vec<_> = file.into_iter().filter(|(_, verifier)| *verifier != "none").collect();
    file.push(("keyturn", &shop.admin));
    shop.pooler = Some(require!(shared::testkit::PgBouncer::with_file(&shop.primary, &file)));
    shop.write();
    let ended = shop.rotate(&["--now"]);
    assert_eq!(ended.code, 3, "{ended:?}");
    assert!(ended.out.contains("auth_query") && ended.out.contains("RELOAD"), "{ended:?}");
    assert_eq!(shop.published(), (account.clone(), old.clone()), "nothing was published");
    assert!(shop.lets_in((&account, &old)));
}
