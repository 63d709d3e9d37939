//! What a user reads when manifests are wrong, and that right ones pass.

use std::path::Path;

use super::check::check;
use super::load::load;

const GOOD: &str = "
apiVersion: external-secrets.io/v1
kind: SecretStore
metadata: {name: vault, namespace: shop}
spec:
  provider:
    vault:
      server: https://vault.example:8200
      path: secret
      auth:
        kubernetes: {mountPath: kubernetes, role: shop, serviceAccountRef: {name: sync}}
---
apiVersion: external-secrets.io/v1
kind: ExternalSecret
metadata: {name: orders, namespace: shop}
spec:
  refreshInterval: 1h
  secretStoreRef: {name: vault}
  target: {name: orders-db, template: {type: kubernetes.io/basic-auth, metadata: {labels: {app: orders}}}}
  data:
  - secretKey: password
    remoteRef: {key: shop/orders, property: password, version: \"3\"}
  dataFrom:
  - extract: {key: shop/orders}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: orders}
";

/// Every problem as a user reads it, with `f.yaml` for the file.
fn problems(text: &str) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("f.yaml");
    std::fs::write(&file, text).unwrap();
    let (manifests, mut problems) = load(&file);
    problems.extend(check(&manifests));
    problems.sort();
    let folder = folder.path().display().to_string();
    problems.iter().map(|problem| problem.to_string().replace(&format!("{folder}/"), "")).collect()
}

#[test]
fn right_manifests_pass_and_other_kinds_are_left_alone() {
    assert_eq!(problems(GOOD), Vec::<String>::new());
}

#[test]
fn every_mistake_is_named_at_once() {
    let text = "
apiVersion: external-secrets.io/v1
kind: SecretStore
metadata: {name: vault, namespace: shop}
spec:
  provider:
    vault:
      server: vault.example
      paht: secret
      version: v3
      auth: {tokenSecretRef: {name: token, namespace: other}}
---
apiVersion: external-secrets.io/v1
kind: ExternalSecret
metadata: {name: Orders, namespace: shop}
spec: {}
---
apiVersion: external-secrets.io/v1
kind: ExternalSecret
metadata: {name: orders, namespace: shop}
spec:
  refreshInterval: soon
  refreshPolicy: Sometimes
  secretStoreRef: {name: valut}
  data:
  - secretKey: pass word
    remoteRef: {key: shop/orders, version: 3}
  - remoteRef: {}
  dataFrom:
  - {}
---
apiVersion: external-secrets.io/v1beta1
kind: ExternalSecret
metadata: {name: old}
---
apiVersion: external-secrets.io/v1alpha1
kind: PushSecret
metadata: {name: push}
";
    insta::assert_snapshot!(problems(text).join("\n"));
}

#[test]
fn references_duplicates_and_types_are_checked() {
    let text = "
apiVersion: external-secrets.io/v1
kind: ExternalSecret
metadata: {name: a}
spec:
  secretStoreRef: {name: gone, kind: ClusterSecretStore}
  target: {name: same, template: {type: bootstrap.kubernetes.io/token}}
  data: [{secretKey: '..x', remoteRef: {key: k, version: one}}]
---
apiVersion: external-secrets.io/v1
kind: ExternalSecret
metadata: {name: b}
spec:
  target: {name: same}
  data: [{secretKey: x, remoteRef: {key: k}}]
  dataFrom:
  - sourceRef: {generatorRef: {kind: Password, name: p}}
  - find: {name: {regexp: '('}}
    rewrite: [{}]
---
apiVersion: external-secrets.io/v1
kind: ExternalSecret
metadata: {name: b}
spec:
  secretStoreRef: {name: s}
  syncWindows: {kind: allow, windows: [{schedule: soon, duration: 1h}]}
  data: [{secretKey: x, remoteRef: {key: k}}]
";
    insta::assert_snapshot!(problems(text).join("\n"));
}

#[test]
fn files_that_cannot_be_read_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let (_, gone) = load(&folder.path().join("gone.yaml"));
    assert!(
        gone[0].to_string().ends_with("gone.yaml: cannot be read: there is no such file or folder"),
        "{}",
        gone[0]
    );
    let (_, empty) = load(folder.path());
    assert!(empty[0].to_string().contains("no .yaml, .yml or .json file is in this folder"));
    std::fs::write(folder.path().join("binary.yaml"), [0xff_u8, 0xfe, 0x00]).unwrap();
    std::fs::write(folder.path().join("ok.yml"), GOOD).unwrap();
    std::fs::write(folder.path().join("notes.txt"), "not yaml: [").unwrap();
    let (manifests, found) = load(folder.path());
    assert_eq!(manifests.external_secrets.len(), 1, "one bad file hides no good one");
    assert_eq!(found.len(), 1);
    assert!(found[0].to_string().ends_with("binary.yaml: cannot be read: the file is not UTF-8 text"));
}

#[test]
fn secrets_in_manifests_never_reach_a_message() {
    let canary = format!("canary-{}", std::process::id());
    for text in [
        format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: s}}\ndata: {{k: '{canary}!'}}\n"),
        format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: s}}\nstringData: {{k: [{canary}]}}\n"),
        format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: s}}\nstringData: {canary}\n"),
        format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: s}}\nstringData: {{k: \"{canary}\n"),
        format!(
            "apiVersion: v1\nkind: Secret\nmetadata: {{name: s}}\nimmutable: true\nstringData: {{k: a, k: {canary}}}\n"
        ),
        format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: s}}\nstringData: {{k: *{canary}}}\n"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("f.yaml");
        std::fs::write(&file, text).unwrap();
        let (manifests, problems) = load(&file);
        assert!(!problems.is_empty());
        let all = format!("{problems:?} {manifests:?} {}", problems[0]);
        assert!(!all.contains(&canary), "{all}");
    }
}

#[test]
fn a_mounted_config_map_is_read_once() {
    let folder = tempfile::tempdir().unwrap();
    let version = folder.path().join("..2026_01");
    std::fs::create_dir(&version).unwrap();
    std::fs::write(version.join("f.yaml"), GOOD).unwrap();
    std::os::unix::fs::symlink("..2026_01", folder.path().join("..data")).unwrap();
    std::os::unix::fs::symlink(Path::new("..data").join("f.yaml"), folder.path().join("f.yaml")).unwrap();
    let (manifests, problems) = load(folder.path());
    assert_eq!(problems, Vec::new());
    assert_eq!(manifests.external_secrets.len(), 1);
}
