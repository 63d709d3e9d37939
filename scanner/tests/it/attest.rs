//! Attestations: written from a report, checked by this program, by openssl and by cosign.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use serde_json::{Value, json};
use shared::require;
use shared::testkit::{OpenBao, find};

use crate::program::{Bench, Run, image_archive, tar_of, token};

/// A scan of an image, with an openssl key pair.
fn scanned(content: &str) -> Bench {
    let bench = Bench::new();
    bench.keep_key();
    let image = image_archive(&[tar_of(&[("app/.env", content.as_bytes())])], json!({}), "shop/api:1.2");
    bench.write("image.tar", &image);
    bench.run(&["scan", "image.tar", "--format", "json=report.json"]);
    openssl(
        &bench,
        &["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", "key.pem"],
    );
    openssl(&bench, &["pkey", "-in", "key.pem", "-pubout", "-out", "pub.pem"]);
    std::fs::set_permissions(bench.path("key.pem"), std::fs::Permissions::from_mode(0o600)).unwrap();
    bench
}

#[track_caller]
fn openssl(bench: &Bench, arguments: &[&str]) {
    let output = Command::new("openssl").args(arguments).current_dir(bench.path(".")).output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

#[track_caller]
fn attest(bench: &Bench) -> Value {
    let run = bench.run(&["attest", "--report", "report.json", "--key", "key.pem", "--output", "a.json"]);
    assert_eq!((run.code, run.stdout.as_str()), (0, ""), "{}", run.stderr);
    statement(bench)
}

fn envelope(bench: &Bench) -> Value {
    serde_json::from_slice(&std::fs::read(bench.path("a.json")).unwrap()).unwrap()
}

fn decoded(text: &Value) -> Vec<u8> {
    data_encoding::BASE64.decode(text.as_str().unwrap().as_bytes()).unwrap()
}

fn statement(bench: &Bench) -> Value {
    serde_json::from_slice(&decoded(&envelope(bench)["payload"])).unwrap()
}

fn verify(bench: &Bench, more: &[&str]) -> Run {
    bench.run(&[&["attest", "verify", "a.json", "--key", "pub.pem"], more].concat())
}

#[test]
fn a_clean_image_is_attested_and_openssl_agrees() {
    let bench = scanned("nothing\n");
    let statement = attest(&bench);
    assert_eq!(statement["_type"], "https://in-toto.io/Statement/v1");
    assert_eq!(statement["predicateType"], "https://in-toto.io/attestation/test-result/v0.1");
    assert_eq!(statement["predicate"]["result"], "PASSED");
    let report: Value = serde_json::from_slice(&std::fs::read(bench.path("report.json")).unwrap()).unwrap();
    let digest = report["images"][0]["digest"].as_str().unwrap();
    assert_eq!(format!("sha256:{}", statement["subject"][0]["digest"]["sha256"].as_str().unwrap()), digest);
    let run = verify(&bench, &["--subject", digest]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(run.stdout.starts_with("PASSED: the signature holds\n  shop/api:1.2 sha256:"), "{}", run.stdout);
    let envelope = envelope(&bench);
    let payload = decoded(&envelope["payload"]);
    let head = format!("DSSEv1 28 application/vnd.in-toto+json {} ", payload.len());
    bench.write("message", [head.as_bytes(), &payload].concat());
    bench.write("signature", decoded(&envelope["signatures"][0]["sig"]));
    openssl(&bench, &["dgst", "-sha256", "-verify", "pub.pem", "-signature", "signature", "message"]);
}

#[test]
fn what_blocks_or_was_not_seen_is_never_attested_as_passed() {
    let bench = scanned(&format!("GITHUB_TOKEN={}\n", token(1)));
    let statement = attest(&bench);
    assert_eq!(statement["predicate"]["result"], "FAILED");
    assert_eq!(statement["predicate"]["failedTests"], json!(["github-pat"]));
    let run = verify(&bench, &[]);
    assert_eq!(run.code, 1, "{}", run.stdout);
    assert!(run.stdout.contains("failed: github-pat"), "{}", run.stdout);
    // An image whose layer is cut off.
    let bench = scanned("nothing\n");
    let report = std::fs::read_to_string(bench.path("report.json")).unwrap();
    let mut changed: Value = serde_json::from_str(&report).unwrap();
    changed["verdict"] = json!({ "status": "incomplete", "blocking": 0, "skipped": 1 });
    changed["coverage"]["skipped"] =
        json!({ "total": 1, "entries": [{ "at": "layer", "reason": "truncated" }] });
    bench.write("report.json", changed.to_string());
    let statement = attest(&bench);
    assert_eq!(statement["predicate"]["result"], "FAILED");
    assert_eq!(statement["predicate"]["failedTests"], json!(["coverage"]));
    // A report that says pass, and has a gap.
    changed["verdict"] = json!({ "status": "pass", "blocking": 0, "skipped": 0 });
    bench.write("report.json", changed.to_string());
    let run = bench.run(&["attest", "--report", "report.json", "--key", "key.pem"]);
    assert_eq!((run.code, run.stdout.as_str()), (2, ""));
    assert!(run.stderr.contains("contradicts"), "{}", run.stderr);
}

#[test]
fn what_proves_nothing_is_refused() {
    let bench = scanned("nothing\n");
    attest(&bench);
    let good = envelope(&bench);
    let other = format!("sha256:{}", "0".repeat(64));
    assert!(verify(&bench, &["--subject", &other]).stderr.contains("it is not about sha256:000"));
    let mut forged = good.clone();
    let payload = String::from_utf8(decoded(&good["payload"])).unwrap().replace("PASSED", "WARNED");
    forged["payload"] = json!(data_encoding::BASE64.encode(payload.as_bytes()));
    bench.write("a.json", forged.to_string());
    let run = verify(&bench, &[]);
    assert_eq!((run.code, run.stdout.as_str()), (2, ""));
    assert!(run.stderr.contains("no signature of it is this key's"), "{}", run.stderr);
    bench.write("a.json", "{}");
    assert!(verify(&bench, &[]).stderr.contains("no DSSE envelope"));
    std::fs::set_permissions(bench.path("key.pem"), std::fs::Permissions::from_mode(0o644)).unwrap();
    let run = bench.run(&["attest", "--report", "report.json", "--key", "key.pem"]);
    assert!(run.code == 2 && run.stderr.contains("chmod 600"), "{}", run.stderr);
    bench.write("t/a", "x");
    bench.run(&["scan", "t", "--format", "json=tree.json"]);
    let run = bench.run(&["attest", "--report", "tree.json", "--key", "key.pem"]);
    assert!(run.code == 2 && run.stderr.contains("names no image"), "{}", run.stderr);
}

#[test]
fn a_key_that_stays_in_the_store_signs_and_openssl_agrees() {
    let bao = require!(OpenBao::dev());
    bao.api("POST", "sys/mounts/transit", Some(json!({ "type": "transit" })));
    bao.api("POST", "transit/keys/scans", Some(json!({ "type": "ecdsa-p256" })));
    bao.api("POST", "transit/keys/other", Some(json!({ "type": "aes256-gcm96" })));
    let policy = r#"path "transit/sign/+/sha2-256" { capabilities = ["update"] } path "transit/keys/+" { capabilities = ["read"] }"#;
    bao.api("PUT", "sys/policies/acl/signer", Some(json!({ "policy": policy })));
    let token = bao.token_with(&["signer"], "1h");
    let bench = scanned("nothing\n");
    let run = |arguments: &[&str], token: &str| {
        let mut command = bench.command(arguments);
        command.env("VAULT_ADDR", bao.url()).env("VAULT_TOKEN", token);
        Run::from(command.output().unwrap())
    };
    let sign = |key: &str, token: &str| {
        run(&["attest", "--report", "report.json", "--key", key, "--output", "a.json"], token)
    };
    let signed = sign("hashivault://scans", &token);
    assert_eq!((signed.code, signed.stderr.as_str()), (0, ""));
    let verified = run(&["attest", "verify", "a.json", "--key", "hashivault://scans"], &token);
    assert!(verified.code == 0 && verified.stdout.starts_with("PASSED"), "{}", verified.stderr);

    let keys = bao.api("GET", "transit/keys/scans", None);
    bench.write("pub.pem", keys["data"]["keys"]["1"]["public_key"].as_str().unwrap());
    assert_eq!(verify(&bench, &[]).code, 0);
    let envelope = envelope(&bench);
    let payload = decoded(&envelope["payload"]);
    let head = format!("DSSEv1 28 application/vnd.in-toto+json {} ", payload.len());
    bench.write("message", [head.as_bytes(), &payload].concat());
    bench.write("signature", decoded(&envelope["signatures"][0]["sig"]));
    openssl(&bench, &["dgst", "-sha256", "-verify", "pub.pem", "-signature", "signature", "message"]);

    std::fs::remove_file(bench.path("a.json")).unwrap();
    for (key, token, said) in [
        ("hashivault://gone", token.as_str(), "no such key that can sign"),
        ("hashivault://other", &token, "of the type ecdsa-p256"),
        ("hashivault://scans", "s.nobody", "refuses the token"),
        ("hashivault://", &token, "write the key's name"),
        ("hashivault://../sys", &token, "write the key's name"),
    ] {
        let refused = sign(key, token);
        assert_eq!(refused.code, 2, "{key}: {}", refused.stderr);
        assert!(
            refused.stderr.contains(said) && refused.stderr.lines().count() == 1,
            "{key}: {}",
            refused.stderr
        );
        assert!(!refused.stderr.contains(token), "{key}");
        assert!(!bench.path("a.json").exists(), "{key}: nothing half-written");
    }
    let nowhere = bench.run(&["attest", "--report", "report.json", "--key", "hashivault://scans"]);
    assert!(nowhere.code == 2 && nowhere.stderr.contains("VAULT_ADDR is not set"), "{}", nowhere.stderr);
}

#[test]
fn cosign_reads_ours_and_we_read_its_keys() {
    let cosign = require!(find("cosign", "testdata/install/cosign.sh"));
    let bench = scanned("nothing\n");
    let run_cosign = |arguments: &[&str]| {
        let mut command = Command::new(&cosign);
        command.args(arguments).current_dir(bench.path(".")).env("COSIGN_PASSWORD", "correct horse");
        command.env("HOME", bench.path(".")).output().unwrap()
    };
    let made = run_cosign(&["generate-key-pair"]);
    assert!(made.status.success(), "{made:?}");
    let attest = |password: &str| {
        let mut command = bench.command(&[
            "attest",
            "--report",
            "report.json",
            "--key",
            "cosign.key",
            "--output",
            "a.json",
        ]);
        Run::from(command.env("COSIGN_PASSWORD", password).output().unwrap())
    };
    let run = attest("wrong");
    assert!(run.code == 2 && run.stderr.contains("COSIGN_PASSWORD is wrong"), "{}", run.stderr);
    assert_eq!(attest("correct horse").code, 0);
    // The subject is a blob to this command of cosign's: the configuration, whose digest names the image.
    let digest = statement(&bench)["subject"][0]["digest"]["sha256"].as_str().unwrap().to_owned();
    let mut archive = tar::Archive::new(std::fs::File::open(bench.path("image.tar")).unwrap());
    archive.unpack(bench.path("unpacked")).unwrap();
    let blob = format!("unpacked/{digest}.json");
    let verify = [
        "verify-blob-attestation",
        "--key",
        "cosign.pub",
        "--signature",
        "a.json",
        "--insecure-ignore-tlog",
        "--type",
        "https://in-toto.io/attestation/test-result/v0.1",
        &blob,
    ];
    let good = run_cosign(&verify);
    assert!(good.status.success(), "{}", String::from_utf8_lossy(&good.stderr));
    bench.write(&blob, "another image");
    assert!(!run_cosign(&verify).status.success());
}
