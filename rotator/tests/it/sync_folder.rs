//! `rotator sync --target dir:`: from the encrypted file store into a folder of manifests.

use std::os::unix::fs::{MetadataExt, PermissionsExt};

use rotator::file_store::FileStore;
use rotator::provider::Provider;
use shared::secret::Secret;

use crate::workshop::{Ended, Workshop};

fn config(names: &[&str]) -> String {
    let mut text = String::from(
        "apiVersion: external-secrets.io/v1\nkind: SecretStore\nmetadata: {name: local, namespace: shop}\n\
         spec: {provider: {file: {path: ../store, keyFile: ../key}}}\n",
    );
    for name in names {
        text.push_str(&format!(
            "---\napiVersion: external-secrets.io/v1\nkind: ExternalSecret\n\
             metadata: {{name: {name}, namespace: shop}}\nspec:\n  secretStoreRef: {{name: local}}\n  \
             dataFrom: [{{extract: {{key: shop/{name}}}}}]\n"
        ));
    }
    text
}

fn store(workshop: &Workshop) -> Provider {
    let (file, key) = (workshop.path("store"), workshop.path("key"));
    if !file.exists() {
        FileStore::init(&file, &key).unwrap();
    }
    Provider::File(std::sync::Arc::new(FileStore::open("local", &file, &key).unwrap()))
}

fn put(workshop: &Workshop, path: &str, json: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(store(workshop).write(path, Secret::from_string(json.to_owned()), None)).unwrap();
}

fn sync(workshop: &Workshop) -> Ended {
    workshop.run(&["sync", "--config", "config", "--target", "dir:out"])
}

#[test]
fn one_manifest_serves_many_namespaces() {
    let workshop = Workshop::new();
    put(&workshop, "app", "{\"k\":\"v\"}");
    workshop.write(
        "config/all.yaml",
        "apiVersion: external-secrets.io/v1\nkind: ClusterSecretStore\nmetadata: {name: local}\n\
         spec: {provider: {file: {path: ../store, keyFile: ../key}}}\n---\n\
         apiVersion: v1\nkind: Namespace\nmetadata: {name: by-label, labels: {team: a}}\n---\n\
         apiVersion: v1\nkind: Namespace\nmetadata: {name: another, labels: {team: b}}\n---\n\
         apiVersion: external-secrets.io/v1\nkind: ClusterExternalSecret\nmetadata: {name: many}\nspec:\n  \
         externalSecretName: es\n  namespaceSelectors: [{matchExpressions: [{key: team, operator: In, values: [a]}]}]\n  \
         namespaces: [by-name]\n  externalSecretSpec:\n    \
         secretStoreRef: {name: local, kind: ClusterSecretStore}\n    dataFrom: [{extract: {key: app}}]\n",
    );
    let ended = sync(&workshop);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(ended.out.contains("2 created"), "{}", ended.out);
    for (namespace, there) in [("by-label", true), ("by-name", true), ("another", false)] {
        assert_eq!(workshop.path(&format!("out/{namespace}.es.yaml")).exists(), there, "{namespace}");
    }
}

#[test]
fn a_folder_follows_the_store() {
    let workshop = Workshop::new();
    let canary = format!("canary-{}-value", std::process::id());
    put(&workshop, "shop/a", &format!("{{\"password\":\"{canary}\",\"port\":5432}}"));
    put(&workshop, "shop/b", "{\"k\":\"v\"}");
    workshop.write("config/all.yaml", &config(&["a", "b"]));

    let first = sync(&workshop);
    assert_eq!(first.code, 0, "{first:?}");
    assert!(first.out.contains("created    shop/a: password, port\n"), "{}", first.out);
    assert!(first.out.ends_with("2 created, 0 changed, 0 unchanged, 0 failed\n"), "{}", first.out);
    let file = workshop.path("out/shop.a.yaml");
    let written = std::fs::read_to_string(&file).unwrap();
    assert!(written.contains("port: NTQzMg=="), "{written}");
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);

    let (inode, changed) = (file.metadata().unwrap().ino(), file.metadata().unwrap().ctime_nsec());
    let second = sync(&workshop);
    assert!(second.out.ends_with("0 created, 0 changed, 2 unchanged, 0 failed\n"), "{}", second.out);
    assert_eq!((file.metadata().unwrap().ino(), file.metadata().unwrap().ctime_nsec()), (inode, changed));

    put(&workshop, "shop/a", &format!("{{\"password\":\"{canary}2\",\"port\":5432}}"));
    let third = sync(&workshop);
    assert!(third.out.contains("changed    shop/a: password\n"), "{}", third.out);

    workshop.write("config/all.yaml", &config(&["a"]));
    let fourth = sync(&workshop);
    assert!(fourth.out.contains("removed    shop/b"), "{}", fourth.out);
    assert!(!workshop.path("out/shop.b.yaml").exists());

    for ended in [first, second, third, fourth] {
        assert_eq!(ended.err, "");
        assert!(!ended.out.contains(&canary));
    }
}

#[test]
fn one_that_fails_stops_no_other_and_keeps_its_file() {
    let workshop = Workshop::new();
    put(&workshop, "shop/a", "{\"k\":\"old\"}");
    put(&workshop, "shop/b", "{\"k\":\"v\"}");
    workshop.write("config/all.yaml", &config(&["a", "b"]));
    assert_eq!(sync(&workshop).code, 0);
    let before = std::fs::read(workshop.path("out/shop.a.yaml")).unwrap();

    // A key that no Secret can have, twice.
    put(&workshop, "shop/a", "{\"a/b\":\"1\",\"a b\":\"2\"}");
    put(&workshop, "shop/b", "{\"k\":\"w\"}");
    let ended = sync(&workshop);
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(ended.out.contains("changed    shop/b: k\n"), "{}", ended.out);
    let line = "FAILED     shop/a: spec.dataFrom[0].extract: SecretStore shop/local: shop/a: two keys become \"a_b\"";
    assert!(ended.out.contains(line), "{}", ended.out);
    assert_eq!(std::fs::read(workshop.path("out/shop.a.yaml")).unwrap(), before);
}

#[test]
fn a_store_that_cannot_be_opened_names_every_secret_it_failed() {
    let workshop = Workshop::new();
    put(&workshop, "shop/a", "{\"k\":\"v\"}");
    std::fs::remove_file(workshop.path("key")).unwrap();
    workshop.write("config/all.yaml", &config(&["a", "b"]));
    let ended = sync(&workshop);
    assert_eq!(ended.code, 1, "{ended:?}");
    assert_eq!(ended.out.matches("FAILED").count(), 2, "{}", ended.out);
    assert!(ended.out.contains("SecretStore shop/local"), "{}", ended.out);
    assert_eq!(std::fs::read_dir(workshop.path("out")).unwrap().count(), 0);
}

#[test]
fn a_file_that_is_not_ours_is_left_alone() {
    let workshop = Workshop::new();
    put(&workshop, "shop/a", "{\"k\":\"v\"}");
    workshop.write("config/all.yaml", &config(&["a"]));
    let theirs = workshop.write("out/shop.a.yaml", "mine: true\n");
    let ended = sync(&workshop);
    assert_eq!(ended.code, 1);
    assert!(ended.out.contains("this file was not made by rotator; move it away"), "{}", ended.out);
    assert_eq!(std::fs::read_to_string(theirs).unwrap(), "mine: true\n");
}
