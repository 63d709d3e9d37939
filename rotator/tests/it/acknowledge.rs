//! Other clusters in a rotation: each moves its own consumers and says so in the store.

use serde_json::{Value, json};
use shared::require;
use shared::testkit::Kube;

use crate::cluster::{secret, wait_until};
use crate::rotate::{MANIFESTS, Site};
use crate::rotate_cluster::{run_pods, workload};
use crate::workshop::Ended;

/// A site whose credential is used in these clusters too.
fn site(clusters: &str) -> Site {
    let site = Site::new("the-first-password");
    let with = format!("  consumers: {{clusters: [{clusters}]}}\n  grace:");
    site.workshop.write("config/all.yaml", &MANIFESTS.replace("  grace:", &with));
    site
}

fn acknowledge(site: &Site, cluster: &str, target: &str) -> Ended {
    let arguments =
        ["acknowledge", "--as", cluster, "--config", "config", "--target", target, "--wait", "0s"];
    site.workshop.run(&arguments)
}

fn phase(site: &Site) -> Value {
    let status = site.workshop.run(&["status", "--config", "config", "--format", "json"]);
    let status: Value = serde_json::from_str(&status.out).unwrap();
    status["rotations"][0]["phase"].clone()
}

#[test]
fn the_old_secret_lives_until_every_cluster_has_moved() {
    let site = site("berlin, oslo");
    let nothing_new = acknowledge(&site, "berlin", "dir:berlin");
    assert!(
        nothing_new.code == 0 && nothing_new.out.contains("moved      1 consumer of berlin"),
        "{nothing_new:?}"
    );

    let begun = site.rotate(&["--now", "--wait", "0s"]);
    assert!(begun.code == 0 && begun.out.contains("Published"), "{begun:?}");
    let new = site.published()["password"].as_str().unwrap().to_owned();
    // What berlin said was about the version before.
    assert!(site.rotate(&["--resume", "--wait", "0s"]).out.contains("Published"));

    let moved = acknowledge(&site, "berlin", "dir:berlin");
    assert!(
        moved.code == 0 && moved.out.contains("moved      1 consumer of berlin with version 2"),
        "{moved:?}"
    );
    let manifest = std::fs::read_dir(site.path("berlin")).unwrap().next().unwrap().unwrap().path();
    let manifest = std::fs::read_to_string(manifest).unwrap();
    assert!(
        manifest.contains(&data_encoding::BASE64.encode(new.as_bytes())),
        "its own Secret is up to date first"
    );
    assert!(site.rotate(&["--resume", "--wait", "0s"]).out.contains("Published"), "oslo has said nothing");
    let again = acknowledge(&site, "berlin", "dir:berlin");
    assert!(again.out.contains("moved      1 consumer of berlin with version 2"), "{again:?}");

    assert_eq!(acknowledge(&site, "oslo", "dir:oslo").code, 0);
    let ended = site.rotate(&["--resume", "--wait", "0s"]);
    assert!(ended.code == 0 && ended.out.contains("proven     run 1"), "{ended:?}");
    for ended in [&moved, &again, &ended] {
        assert!(!ended.out.contains(&new) && !ended.err.contains(&new));
    }
}

#[test]
fn a_cluster_that_no_rotation_names_or_that_has_no_consumer_says_nothing() {
    let site = site("berlin");
    let stranger = acknowledge(&site, "paris", "dir:paris");
    assert_eq!(stranger.code, 2, "{stranger:?}");
    assert!(stranger.err.contains("no Rotation names the cluster paris"), "{stranger:?}");

    let all = std::fs::read_to_string(site.path("config/all.yaml")).unwrap();
    let (before, rest) = all.split_once("---\n").unwrap();
    let (_, behind) = rest.split_once("---\n").unwrap();
    site.workshop.write("config/all.yaml", &format!("{before}---\n{behind}"));
    let empty = acknowledge(&site, "berlin", "dir:berlin");
    assert_eq!(empty.code, 1, "{empty:?}");
    assert!(empty.out.contains("no ExternalSecret here reads shop/site"), "{empty:?}");

    site.workshop.write("config/all.yaml", &all.replace("[berlin]", "[Berlin, a, a]"));
    let check = site.workshop.run(&["check", "--config", "config"]);
    assert_eq!(check.code, 2);
    assert!(check.err.contains("clusters[0]") && check.err.contains("a is named twice"), "{check:?}");
}

#[test]
fn workloads_of_another_cluster_are_restarted_there() {
    let kube = require!(Kube::start_with_controllers());
    kube.namespace("shop");
    let account = || kube.api("GET", "api/v1/namespaces/shop/serviceaccounts/default", None).0 == 200;
    wait_until("pods can be made", account);
    let site = site("berlin");
    workload(&kube, "Deployment", "api", &json!({ "replicas": 1 }));
    let ready = || {
        run_pods(&kube);
        let path = "apis/apps/v1/namespaces/shop/deployments/api";
        kube.api("GET", path, None).1["status"]["availableReplicas"] == 1
    };
    wait_until("the application runs", ready);

    assert_eq!(site.rotate(&["--now", "--wait", "0s"]).code, 0);
    assert_eq!(phase(&site), "Published");
    let arguments = ["acknowledge", "--as", "berlin", "--config", "config", "--wait", "0s"];
    let first = site.workshop.run_with(&kube.kubeconfig(), &arguments);
    assert!(first.code == 0 && first.out.contains("moving     Deployment shop/api"), "{first:?}");
    let here = secret(&kube, "shop", "site").expect("the Secret was made before");
    let new = site.published()["password"].as_str().unwrap().to_owned();
    assert_eq!(here["data"]["password"], data_encoding::BASE64.encode(new.as_bytes()));
    assert!(site.rotate(&["--resume", "--wait", "0s"]).out.contains("Published"), "it restarts still");
    wait_until("berlin has moved", || {
        run_pods(&kube);
        let said = site.workshop.run_with(&kube.kubeconfig(), &arguments);
        assert_eq!(said.code, 0, "{said:?}");
        said.out.contains("moved      2 consumers of berlin")
    });
    let ended = site.rotate(&["--resume", "--wait", "0s"]);
    assert!(ended.out.contains("proven     run 1"), "{ended:?}");
}
