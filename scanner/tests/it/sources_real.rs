//! Images written by the real tools: skopeo and umoci.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use shared::testkit::find;
use tempfile::TempDir;
use testdata::archive::Tar;
use testdata::random::Random;

use super::sources::{Seen, scan};

/// Runs a tool that has to succeed.
fn run(program: &Path, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

struct Tools {
    skopeo: PathBuf,
    umoci: PathBuf,
}

/// Makes a layout of three layers by umoci.
fn layout(tools: &Tools, folder: &TempDir) -> String {
    let layout = folder.path().join("layout").display().to_string();
    let image = format!("{layout}:v1");
    run(&tools.umoci, &["init", "--layout", &layout]);
    run(&tools.umoci, &["new", "--image", &image]);
    let mut random = Random::new(11);
    let base = (0..300).fold(Tar::new().folder("data"), |tar, index| {
        let length = random.below(20_000);
        tar.file(&format!("data/{index}"), &random.prose(length))
    });
    let layers = [
        base.file("etc/key", b"needle-1").file("big", &random.prose(5 << 20)).finish(),
        Tar::new().folder("etc").file("etc/.wh.key", b"").file("app/key", b"needle-2").finish(),
        Tar::new().folder("app").file("app/key", b"needle-3").hard_link("app/same", "app/key").finish(),
    ];
    for (index, layer) in layers.iter().enumerate() {
        let path = folder.path().join("layer.tar");
        std::fs::write(&path, layer).unwrap();
        let created_by = format!("RUN step-{index}");
        run(
            &tools.umoci,
            &[
                "raw",
                "add-layer",
                "--image",
                &image,
                "--history.created_by",
                &created_by,
                path.to_str().unwrap(),
            ],
        );
    }
    run(&tools.umoci, &["config", "--image", &image, "--config.env", "KEY=needle-4", "--no-history"]);
    image
}

fn blobs(seen: &Seen) -> BTreeSet<(String, Vec<String>, String)> {
    // Manifests, indexes and Docker's old metadata differ by packaging; files and the configuration do not.
    let is_content =
        |path: &str| path == "config:Env[0]" || !path.contains("config:") && !path.contains("json");
    let old = ["VERSION", "repositories", "oci-layout"];
    let kept = seen
        .blobs
        .iter()
        .filter(|blob| is_content(&blob.0) && !old.iter().any(|name| blob.0.ends_with(name)));
    kept.filter(|blob| !blob.0.starts_with("blobs/")).cloned().collect()
}

#[test]
fn images_of_skopeo_and_umoci_hold_the_same_blobs_in_every_packaging() {
    let tools = Tools {
        skopeo: shared::require!(find("skopeo", "Debian's package skopeo")),
        umoci: shared::require!(find("umoci", "Debian's package umoci")),
    };
    let folder = TempDir::new().unwrap();
    let image = layout(&tools, &folder);
    let path = |name: &str| folder.path().join(name).display().to_string();
    let copy = |to: &str, options: &[&str]| {
        let from = format!("oci:{image}");
        let arguments = [&["copy", "--insecure-policy", "-q"], options, &[&from, to]].concat();
        run(&tools.skopeo, &arguments);
    };
    copy(&format!("docker-archive:{}:a/b:v1", path("docker.tar")), &[]);
    copy(&format!("oci-archive:{}:v1", path("oci.tar")), &[]);
    copy(&format!("oci:{}:v1", path("zstd")), &["--dest-compress-format", "zstd", "--dest-compress"]);
    copy(&format!("oci:{}:v1", path("plain")), &["--dest-decompress"]);
    copy(&format!("dir:{}", path("dir")), &[]);

    let needles: Vec<String> = (1..=4).map(|number| format!("needle-{number}")).collect();
    let mut first: Option<BTreeSet<_>> = None;
    for target in ["layout", "docker.tar", "oci.tar", "zstd", "plain"] {
        let seen = scan(Path::new(&path(target)), &needles);
        assert_eq!(seen.coverage.skipped.entries, [], "{target}");
        assert_eq!(seen.coverage.opaque.entries, [], "{target}");
        let place = |layer, path: &str, state| (layer, path.to_owned(), vec![], state);
        assert_eq!(seen.places(0), BTreeSet::from([place(Some(0), "etc/key", "deleted")]), "{target}");
        assert_eq!(seen.places(1), BTreeSet::from([place(Some(1), "app/key", "overwritten")]), "{target}");
        let expected =
            BTreeSet::from([place(Some(2), "app/key", "visible"), place(Some(2), "app/same", "visible")]);
        assert_eq!(seen.places(2), expected, "{target}");
        assert_eq!(seen.places(3), BTreeSet::from([place(None, "config:Env[0]", "config")]), "{target}");
        let created_by = seen.sites[&0][0].layer.as_ref().unwrap().created_by.clone();
        assert_eq!(created_by.as_deref(), Some("RUN step-0"), "{target}");
        assert_eq!(seen.sites[&0][0].image.as_ref().unwrap().platform.as_deref(), Some("linux/amd64"));
        let blobs = blobs(&seen);
        assert!(blobs.len() > 300, "{target}: {}", blobs.len());
        assert_eq!(first.get_or_insert_with(|| blobs.clone()), &blobs, "{target}");
    }
    // skopeo's own folder format names no layer kinds that we know: its layers are files with archives in them.
    let seen = scan(Path::new(&path("dir")), &needles);
    assert_eq!(seen.places(0).len(), 1);
    assert_eq!(seen.coverage.skipped.entries, []);
}
