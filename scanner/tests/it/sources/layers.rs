//! Property tests: packaging changes nothing of what is seen, and damage is always said.

use std::io::Read;
use std::path::Path;

use proptest::prelude::*;
use scanner::source::SourceOptions;
use tempfile::TempDir;
use testdata::archive::{Compression, Tar};
use testdata::image::{Image, Layer};
use testdata::pack::{Packaging, pack};
use testdata::traps;

use super::{PACKAGINGS, scan, scan_with, write};

/// Layers of a few files with colliding names, whiteouts and links.
fn layers() -> impl Strategy<Value = Vec<Layer>> {
    let path = prop::sample::select(vec![
        "a",
        "a/b",
        "a/b/c",
        "d",
        "d/.wh.e",
        "d/e",
        ".wh.a",
        "d/.wh..wh..opq",
        "./a//b",
    ]);
    let entry = (path, 0_u8..4, prop::collection::vec(any::<u8>(), 0..3000));
    let layer = prop::collection::vec(entry, 0..8).prop_map(|entries| {
        let tar = entries.into_iter().fold(Tar::new(), |tar, (path, kind, data)| match kind {
            0 => tar.folder(path),
            1 => tar.hard_link(path, "a/b"),
            _ => tar.file(path, &data),
        });
        Layer::new("made", tar)
    });
    prop::collection::vec(layer, 1..4)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_packaging_makes_no_difference_to_what_is_seen_of_the_layers(layers in layers()) {
        let folder = TempDir::new().unwrap();
        let image = Image { layers, ..Image::new("a:1") };
        let mut first = None;
        for packaging in PACKAGINGS {
            let files = pack(std::slice::from_ref(&image), packaging).unwrap();
            let seen = scan(&write(&folder, "a.tar", &files.tar()), &[]);
            prop_assert_eq!(&seen.coverage.skipped.entries, &[]);
            prop_assert_eq!(first.get_or_insert_with(|| seen.files.clone()), &seen.files, "{:?}", packaging);
            let stream = Compression::Gzip.pack(&files.tar()).unwrap();
            let seen = scan(&write(&folder, "a.tgz", &stream), &[]);
            prop_assert_eq!(first.as_ref(), Some(&seen.files), "{:?} compressed as a whole", packaging);
        }
    }

    #[test]
    fn a_layer_with_a_changed_byte_is_said_and_no_damage_anywhere_crashes(
        seed in any::<u64>(), flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20),
    ) {
        let folder = TempDir::new().unwrap();
        let image = traps::build(seed).unwrap().image;
        for packaging in [Packaging::DockerLegacy, Packaging::Oci(Compression::Gzip)] {
            let files = pack(std::slice::from_ref(&image), packaging).unwrap();
            let mut bytes = files.tar();
            for (at, value) in &flips {
                let at = at.index(bytes.len());
                bytes[at] = *value;
            }
            scan(&write(&folder, "a.tar", &bytes), &[]);

            let mut damaged = files.clone();
            let is_layer = |name: &str| name.ends_with("layer.tar") || name.starts_with("blobs/");
            let mut layers: Vec<_> = damaged.0.iter_mut().filter(|(name, _)| is_layer(name)).collect();
            let chosen = flips[0].0.index(layers.len());
            let layer = &mut layers[chosen].1;
            let at = flips[0].0.index(layer.len());
            layer[at] ^= 1 | flips[0].1;
            let seen = scan(&write(&folder, "b.tar", &damaged.tar()), &[]);
            prop_assert!(!seen.skips().is_empty(), "{packaging:?}: nothing said of byte {at} of file {chosen}");
        }
    }
}

/// An OCI layout with one layer as it is stored.
fn layout(layer: &[u8], diff_id: &str) -> Vec<u8> {
    let digest = testdata::image::digest;
    let blob = |bytes: &[u8]| (format!("blobs/{}", digest(bytes).replace(':', "/")), bytes.to_vec());
    let config = serde_json::json!({ "rootfs": { "type": "layers", "diff_ids": [diff_id] } }).to_string();
    let manifest = serde_json::json!({
        "schemaVersion": 2,
        "config": { "digest": digest(config.as_bytes()) },
        "layers": [{ "digest": digest(layer) }],
    });
    let manifest = manifest.to_string();
    let index =
        serde_json::json!({ "schemaVersion": 2, "manifests": [{ "digest": digest(manifest.as_bytes()) }] });
    let files = [
        ("oci-layout".to_owned(), b"{}".to_vec()),
        ("index.json".to_owned(), index.to_string().into_bytes()),
        blob(manifest.as_bytes()),
        blob(config.as_bytes()),
        blob(layer),
    ];
    files.iter().fold(Tar::new(), |tar, (name, bytes)| tar.file(name, bytes)).finish()
}

#[test]
fn layers_that_real_tools_made_show_what_the_plain_archive_shows() {
    let folder = TempDir::new().unwrap();
    let needles = ["needle-one", "needle-two", "needle-three", "needle-in-an-attribute"].map(str::to_owned);
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/layers");
    let options = SourceOptions { verify_diff_ids: true, ..SourceOptions::default() };
    let mut plain = None;
    for name in ["plain.tar.gz", "estargz.tar.gz", "chunked.tar.zst"] {
        let layer = std::fs::read(samples.join(name)).unwrap();
        let mut unpacked = Vec::new();
        if name.ends_with(".gz") {
            flate2::read::MultiGzDecoder::new(layer.as_slice()).read_to_end(&mut unpacked).unwrap();
        } else {
            zstd::stream::read::Decoder::new(layer.as_slice()).unwrap().read_to_end(&mut unpacked).unwrap();
        }
        let archive = layout(&layer, &testdata::image::digest(&unpacked));
        let streamed = Compression::Gzip.pack(&archive).unwrap();
        for (file, bytes) in [("image.tar", &archive), ("image.tar.gz", &streamed)] {
            let seen = scan_with(&write(&folder, file, bytes), &needles, &options);
            assert_eq!(seen.coverage.skipped.entries, [], "{name} {file}");
            assert_eq!(seen.coverage.opaque.entries, [], "{name} {file}");
            let places: Vec<_> = (0..needles.len()).map(|needle| seen.places(needle)).collect();
            assert!(places.iter().all(|places| !places.is_empty()), "{name} {file}: {places:?}");
            assert_eq!(plain.get_or_insert_with(|| places.clone()), &places, "{name} {file}");
        }
    }
}
