//! `rotator status` and `rotator plan` for ExternalSecrets: of a cluster by what is reported on them, of files by what lies at the target.

use serde_json::{Value, json};
use shared::require;
use shared::testkit::{Kube, OpenBao};

use crate::cluster::{create, install_definitions};
use crate::workshop::Workshop;

const VALUE: &str = "canary-value-of-status";

#[test]
fn a_cluster_tells_the_state_of_each_secret() {
    let (kube, bao) = (require!(Kube::shared()), require!(OpenBao::dev()));
    install_definitions(kube);
    let namespace = kube.fresh_namespace();
    kube.create(
        &format!("api/v1/namespaces/{namespace}/secrets"),
        json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "token" },
            "stringData": { "token": bao.token() } }),
    );
    create(
        kube,
        &namespace,
        json!({ "kind": "SecretStore", "metadata": { "name": "vault" }, "spec": { "provider": { "vault": {
            "server": bao.url(), "path": "secret", "auth": { "tokenSecretRef": { "name": "token", "key": "token" } } } } } }),
    );
    bao.api("POST", "secret/data/app/good", Some(json!({ "data": { "k": VALUE } })));
    let named = |name: &str| format!("{namespace}/{name}");
    for name in ["good", "bad"] {
        create(
            kube,
            &namespace,
            json!({ "kind": "ExternalSecret", "metadata": { "name": name }, "spec": {
                "secretStoreRef": { "name": "vault", "kind": "SecretStore" }, "refreshInterval": "1h",
                "target": { "name": format!("{name}-secret") },
                "data": [{ "secretKey": "k", "remoteRef": { "key": format!("app/{name}"), "property": "k" } }] } }),
        );
    }
    let workshop = Workshop::new();
    let status = |names: &[&str], more: &[&str]| {
        let names: Vec<String> = names.iter().map(|name| named(name)).collect();
        let names = names.iter().map(String::as_str);
        let words: Vec<&str> =
            ["status", "--cluster"].into_iter().chain(names).chain(more.iter().copied()).collect();
        workshop.run_with(&kube.kubeconfig(), &words)
    };
    let before = status(&["good"], &[]);
    assert_eq!(before.code, 1, "{before:?}");
    assert!(before.out.contains("NEVER SYNCED"), "{}", before.out);
    assert_eq!(
        workshop.run_with(&kube.kubeconfig(), &["sync", "--cluster", "--namespace", &namespace]).code,
        1
    );

    let good = status(&["good"], &[]);
    assert_eq!(good.code, 0, "{good:?}");
    assert!(good.out.starts_with("SECRET"), "{}", good.out);
    for text in [&named("good-secret"), "SecretStore vault: app/good", "0m", "synced"] {
        assert!(good.out.contains(text), "{text}: {}", good.out);
    }
    let both = status(&["good", "bad"], &[]);
    assert_eq!(both.code, 1, "{both:?}");
    assert!(both.out.contains("FAILED: SecretSyncedError"), "{}", both.out);
    assert!(both.out.contains("nothing is stored there"), "{}", both.out);

    let report = status(&["good", "bad"], &["--format", "json"]);
    let report: Value = serde_json::from_str(&report.out).expect("JSON");
    let lines = report["externalSecrets"].as_array().expect("lines");
    assert_eq!(lines.len(), 2);
    let (bad, good) = (&lines[0], &lines[1]);
    assert_eq!((&bad["state"], &bad["reason"]), (&json!("failed"), &json!("SecretSyncedError")));
    assert_eq!(good["secret"], json!(named("good-secret")));
    assert_eq!(good["source"], json!(["SecretStore vault: app/good"]));
    assert_eq!(good["state"], "synced");
    let time =
        |field: &str| good[field].as_str().expect("a time").parse::<jiff::Timestamp>().expect("a time");
    assert_eq!(time("nextRefresh").duration_since(time("refreshedAt")), jiff::SignedDuration::from_hours(1));

    let page = status(&["good", "bad"], &["--format", "html"]);
    assert_eq!(page.code, 1);
    assert!(page.out.starts_with("<!doctype html>") && page.out.ends_with("</html>\n"), "{}", page.out);
    assert!(
        page.out.contains("One needs a look.") && page.out.contains(&named("bad-secret")),
        "{}",
        page.out
    );
    for text in [VALUE, "Y2FuYXJ5", bao.token()] {
        let said = format!("{}{report}{}", both.out, page.out);
        assert!(!said.contains(text), "no value is shown");
    }
    let wrong = status(&["nope"], &[]);
    assert_eq!(wrong.code, 2);
    assert!(wrong.err.contains("there is no such Rotation or ExternalSecret"), "{wrong:?}");
}

#[test]
fn of_files_the_target_is_looked_at() {
    let bao = require!(OpenBao::dev());
    let mut objects = vec![
        json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "token", "namespace": "shop" },
            "stringData": { "token": bao.token() } }),
        json!({ "apiVersion": "external-secrets.io/v1", "kind": "SecretStore",
            "metadata": { "name": "vault", "namespace": "shop" }, "spec": { "provider": { "vault": {
                "server": bao.url(), "path": "secret",
                "auth": { "tokenSecretRef": { "name": "token", "key": "token" } } } } } }),
    ];
    for name in ["a", "b", "c"] {
        bao.api("POST", &format!("secret/data/app/{name}"), Some(json!({ "data": { "k": VALUE } })));
        objects.push(json!({ "apiVersion": "external-secrets.io/v1", "kind": "ExternalSecret",
            "metadata": { "name": name, "namespace": "shop" }, "spec": { "secretStoreRef": { "name": "vault" },
                "dataFrom": [{ "extract": { "key": format!("app/{name}") } }] } }));
    }
    let workshop = Workshop::new();
    let text: String = objects.iter().map(|object| format!("---\n{object}\n")).collect();
    workshop.write("config/all.yaml", &text);
    let plan = |more: &[&str]| {
        let words = ["plan", "--config", "config", "--target", "dir:out"];
        workshop.run(&[&words[..], more].concat())
    };
    let first = plan(&[]);
    assert!(first.code == 0 && first.out.contains("CREATE     shop/a: k\n"), "{first:?}");
    assert!(first.out.contains("3 Secrets to write, 0 that would fail, 0 with nothing to do"), "{first:?}");
    assert_eq!(std::fs::read_dir(workshop.path("out")).map_or(0, Iterator::count), 0, "nothing is written");
    assert_eq!(workshop.run(&["sync", "--config", "config", "--target", "dir:out"]).code, 0);
    assert!(plan(&[]).out.contains("0 Secrets to write, 0 that would fail, 3 with nothing to do"));
    bao.api("POST", "secret/data/app/a", Some(json!({ "data": { "k": VALUE, "more": VALUE } })));
    bao.api("DELETE", "secret/data/app/b", None);
    let changed = plan(&["shop/a", "b"]);
    assert!(
        changed.out.contains("CHANGE     shop/a: more\n") && changed.out.contains("WOULD FAIL shop/b: "),
        "{changed:?}"
    );
    assert!(!changed.out.contains(VALUE) && !changed.out.contains("shop/c"), "{changed:?}");
    bao.api("POST", "secret/data/app/b", Some(json!({ "data": { "k": VALUE } })));
    bao.api("POST", "secret/data/app/a", Some(json!({ "data": { "k": VALUE } })));
    let blind = workshop.run(&["status", "--config", "config"]);
    assert_eq!((blind.code, blind.out.matches("not looked at").count()), (0, 3), "{blind:?}");
    let look = ["status", "--config", "config", "--target", "dir:out"];
    let good = workshop.run(&look);
    assert_eq!((good.code, good.out.matches("in place").count()), (0, 3), "{good:?}");

    let file = workshop.path("out/shop.b.yaml");
    let edited = std::fs::read_to_string(&file).expect("a Secret").replace("Y2FuYXJ5", "Y2FuYXJ6");
    std::fs::write(&file, edited).expect("an edit");
    std::fs::remove_file(workshop.path("out/shop.c.yaml")).expect("a file");
    let bad = workshop.run(&look);
    assert_eq!(bad.code, 1, "{bad:?}");
    for (name, state) in [("shop/a", "in place"), ("shop/b", "EDITED"), ("shop/c", "ABSENT")] {
        let line = bad.out.lines().find(|line| line.starts_with(name)).expect("a line");
        assert!(line.ends_with(state), "{line}");
    }
}
