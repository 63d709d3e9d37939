//! Connections whose server is known, and those whose server is not.

use shared::require;
use shared::testkit::Authority;

use super::Shop;
use crate::stopping::Running;

/// A shop whose server takes logins over TLS alone, with a certificate for this name; and the authority.
fn encrypted(name: &str) -> Option<(Shop, Authority)> {
    let mut shop = shared::testkit::required(Shop::small())?;
    let authority = Authority::new("the shop's own");
    shop.primary.encrypt(&authority.server(&[name]));
    shop.primary.let_in("hostnossl all keyturn,orders_a,orders_b 127.0.0.1/32 reject");
    shop.primary_address = Some(format!("localhost:{}", shop.primary.port()));
    shop.workshop.write("config/ca.pem", authority.pem());
    shop.tls = "{caFile: ca.pem}".to_owned();
    shop.write();
    Some((shop, authority))
}

#[test]
fn logins_are_made_over_tls_to_a_server_that_is_known() {
    let Some((mut shop, authority)) = encrypted("localhost") else { return };
    let ended = shop.rotate(&["--now"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    let ended = shop.rotate(&["--now"]);
    assert!(ended.code == 0 && ended.out.contains("the old secret is dead"), "{ended:?}");

    // The same certificates in the manifest itself, and a name other than the address's.
    let bundle = authority.pem().replace('\n', "\\n");
    shop.tls = format!("{{mode: verify-full, caBundle: \"{bundle}\", serverName: localhost}}");
    shop.primary_address = None;
    shop.write();
    let ended = shop.rotate(&["--now"]);
    assert!(ended.code == 0 && ended.out.contains("run 3: the old secret is dead"), "{ended:?}");
}

#[test]
fn a_server_that_is_not_known_gets_no_login() {
    for (name, authority_of) in [("elsewhere.example", "the shop"), ("localhost", "somebody else")] {
        let Some((shop, _)) = encrypted(name) else { return };
        if authority_of == "somebody else" {
            shop.workshop.write("config/ca.pem", Authority::new("another").pem());
        }
        let mut running = Running::start(&shop.workshop, &shop.arguments(&["--now"]), "none");
        running.wait_for("no TLS with a trusted certificate");
        running.kill();
        assert_eq!(shop.alters("orders_a", ""), 0);
    }
}

#[test]
fn a_server_without_tls_gets_no_login_where_tls_is_asked_for() {
    let mut shop = require!(Shop::small());
    shop.workshop.write("config/ca.pem", Authority::new("any").pem());
    shop.tls = "{caFile: ca.pem}".to_owned();
    shop.write();
    let mut running = Running::start(&shop.workshop, &shop.arguments(&["--now"]), "none");
    running.wait_for("no TLS with a trusted certificate");
    running.kill();
}
