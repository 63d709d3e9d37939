//! `rotator check`, and what the command line refuses.

use crate::rotate::MANIFESTS;
use crate::workshop::Workshop;

const GOOD: &str = "
apiVersion: external-secrets.io/v1
kind: SecretStore
metadata: {name: local, namespace: shop}
spec: {provider: {file: {path: store, keyFile: key}}}
---
apiVersion: external-secrets.io/v1
kind: ExternalSecret
metadata: {name: orders, namespace: shop}
spec:
  secretStoreRef: {name: local}
  data: [{secretKey: password, remoteRef: {key: shop/orders, property: password}}]
";

#[test]
fn good_manifests_pass_without_any_server() {
    let workshop = Workshop::new();
    workshop.write("config/a.yaml", GOOD);
    let ended = workshop.run(&["check", "--config", "config"]);
    assert_eq!((ended.code, ended.err.as_str()), (0, ""));
    assert_eq!(ended.out, "1 store, 1 ExternalSecret: no mistakes found\n");
}

#[test]
fn every_mistake_is_one_line_with_its_place() {
    let workshop = Workshop::new();
    workshop.write("config/a.yaml", &GOOD.replace("remoteRef:", "remoteref:"));
    workshop.write("config/b.yaml", "a: [1\n");
    for command in
        [&["check", "--config", "config"][..], &["sync", "--config", "config", "--target", "dir:out"]]
    {
        let ended = workshop.run(command);
        assert_eq!(ended.code, 2, "{ended:?}");
        let lines: Vec<&str> = ended.err.lines().collect();
        assert_eq!(lines.len(), 3, "{}", ended.err);
        assert!(
            lines[1].contains(
                "config/a.yaml:12:32: ExternalSecret shop/orders: spec.data[0].remoteref: unknown field"
            ) && lines[1].ends_with("did you mean \"remoteRef\"?"),
            "{}",
            lines[1]
        );
        assert!(lines[0].contains("the field \"remoteRef\" is missing; add it"), "{}", lines[0]);
        assert!(lines[2].starts_with("error: config/b.yaml:"), "{}", lines[2]);
        assert!(!workshop.path("out").exists(), "nothing is begun with a wrong configuration");
    }
}

#[test]
fn a_window_without_a_schedule_is_named() {
    let workshop = Workshop::new();
    let window = "  syncWindows: {kind: allow, windows: [{schedule: soon, duration: 1h}]}\n  data:";
    workshop.write("a.yaml", &GOOD.replace("  data:", window));
    let ended = workshop.run(&["check", "--config", "a.yaml"]);
    assert_eq!(ended.code, 2);
    assert!(ended.err.contains("spec.syncWindows: `soon` is not a schedule"), "{}", ended.err);
}

#[test]
fn two_rotations_of_one_account_are_refused() {
    let workshop = Workshop::new();
    let (before, rotation) =
        MANIFESTS.split_once("---\napiVersion: keyturn.dev/v1alpha1\nkind: Rotation").unwrap();
    let rotation = format!("---\napiVersion: keyturn.dev/v1alpha1\nkind: Rotation{rotation}");
    let second = rotation.replace("{name: site,", "{name: twin,").replace("key: shop/site", "key: shop/twin");
    workshop.write("a.yaml", &format!("{before}{rotation}{second}"));
    let ended = workshop.run(&["check", "--config", "a.yaml"]);
    assert_eq!(ended.code, 2);
    let said = "Rotation shop/twin: spec.strategy.single.account: shop/site rotates demo of site too";
    assert!(ended.err.contains(said), "{}", ended.err);
}

#[test]
fn wrong_command_lines_are_refused_with_2() {
    let workshop = Workshop::new();
    workshop.write("a.yaml", GOOD);
    for (arguments, said) in [
        (&["sync", "--unknown"][..], "unexpected argument '--unknown'"),
        (&["sync"], "--config <PATH>|--cluster"),
        (&["sync", "--config", "a.yaml", "--cluster"], "cannot be used with"),
        (&["sync", "--config", "a.yaml", "--target", "bucket:x"], "write cluster or dir:PATH"),
        (&["sync", "--config", "a.yaml", "--concurrency", "0"], "0 is not in 1..=256"),
        (&["check", "--config", "gone"], "gone: cannot be read: there is no such file or folder"),
        (&["teleport"], "unrecognized subcommand"),
    ] {
        let ended = workshop.run(arguments);
        assert_eq!(ended.code, 2, "{arguments:?} {ended:?}");
        assert!(ended.err.contains(said), "{arguments:?}: {}", ended.err);
    }
    assert_eq!(workshop.run(&["--help"]).code, 0);
}

#[test]
fn no_kubeconfig_is_one_clear_line() {
    let workshop = Workshop::new();
    let ended = workshop.run(&["sync", "--cluster"]);
    assert_eq!(ended.code, 2);
    assert!(ended.err.starts_with("error: no cluster is known: set KUBECONFIG"), "{}", ended.err);
    assert_eq!(ended.err.lines().count(), 1, "{}", ended.err);
}

#[test]
fn a_broken_kubeconfig_is_one_clear_line() {
    let workshop = Workshop::new();
    let broken = workshop.write("kubeconfig", "clusters: [canary-token\n");
    let ended = workshop.run_with(&broken, &["sync", "--cluster"]);
    assert_eq!(ended.code, 2);
    assert_eq!(ended.err.lines().count(), 1, "{}", ended.err);
    assert!(!ended.err.contains("canary-token"), "a kubeconfig holds credentials: {}", ended.err);
}
