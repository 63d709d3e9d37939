//! Sources hand out every byte, say where it lies, and list what they could not read.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Mutex;

use memchr::memmem;
use scanner::blob::{Blob, Content, Flow, Provenance, Sink, Site, Source};
use scanner::source::{SourceOptions, open};
use shared::coverage::{Coverage, Excluded, Opaque, Skipped};
use tempfile::TempDir;
use testdata::archive::{Compression, Tar, header};
use testdata::image::{Image, Layer};
use testdata::pack::{Packaging, pack};
use testdata::random::Random;
use testdata::traps;

mod layers;

/// Every packaging that the generator knows.
const PACKAGINGS: [Packaging; 10] = [
    Packaging::DockerLegacy,
    Packaging::DockerLegacyManifestFirst,
    Packaging::DockerModern,
    Packaging::Oci(Compression::None),
    Packaging::Oci(Compression::Gzip),
    Packaging::Oci(Compression::GzipMembers),
    Packaging::Oci(Compression::Zstd),
    Packaging::Oci(Compression::ZstdFrames),
    Packaging::Oci(Compression::Xz),
    Packaging::Oci(Compression::Lz4),
];

/// Looks for needles, and remembers a hash of every blob.
struct Needles<'a> {
    needles: &'a [String],
    found: Mutex<Vec<(usize, Provenance)>>,
    blobs: Mutex<Vec<(Provenance, String)>>,
}

impl<'a> Needles<'a> {
    fn new(needles: &'a [String]) -> Self {
        Self { needles, found: Mutex::default(), blobs: Mutex::default() }
    }
}

impl Sink for Needles<'_> {
    fn blob(&self, blob: Blob<'_>) -> Flow {
        let mut bytes = Vec::new();
        match blob.content {
            Content::Slice(slice) => bytes.extend_from_slice(slice),
            Content::Stream { reader, .. } => {
                // What was read until an error counts.
                let _ = reader.read_to_end(&mut bytes);
            }
        }
        for (index, needle) in self.needles.iter().enumerate() {
            if memmem::find(&bytes, needle.as_bytes()).is_some() {
                self.found.lock().unwrap().push((index, blob.provenance.clone()));
            }
        }
        self.blobs.lock().unwrap().push((blob.provenance, testdata::image::digest(&bytes)));
        Flow::Continue
    }
}

/// What a scan for needles saw.
pub struct Seen {
    pub coverage: Coverage,
    /// By needle: all places.
    pub sites: BTreeMap<usize, Vec<Site>>,
    /// All blobs: path, members, hash of the bytes.
    pub blobs: BTreeSet<(String, Vec<String>, String)>,
    /// Those of layers, with the layer and the state.
    pub files: BTreeSet<(usize, String, Vec<String>, &'static str, String)>,
}

impl Seen {
    pub fn skips(&self) -> Vec<Skipped> {
        self.coverage.skipped.entries.iter().map(|entry| entry.reason).collect()
    }

    pub fn opaques(&self) -> Vec<Opaque> {
        self.coverage.opaque.entries.iter().map(|entry| entry.reason).collect()
    }

    /// Layer, path, members, state of a needle's places.
    pub fn places(&self, needle: usize) -> BTreeSet<(Option<usize>, String, Vec<String>, &'static str)> {
        let sites = self.sites.get(&needle).map(Vec::as_slice).unwrap_or_default();
        let place = |site: &Site| {
            let layer = site.layer.as_ref().map(|layer| layer.index);
            (layer, site.path.clone(), site.entries.clone(), site.state.word())
        };
        sites.iter().map(place).collect()
    }
}

pub fn scan_with(target: &Path, needles: &[String], options: &SourceOptions) -> Seen {
    let source = open(target.to_str().unwrap(), options).unwrap();
    scan_source(&*source, needles)
}

fn scan_source(source: &dyn Source, needles: &[String]) -> Seen {
    let sink = Needles::new(needles);
    let coverage = source.blobs(&sink);
    let mut sites: BTreeMap<usize, Vec<Site>> = BTreeMap::new();
    for (needle, provenance) in sink.found.into_inner().unwrap() {
        sites.entry(needle).or_default().extend(source.locate(&provenance));
    }
    let mut blobs = BTreeSet::new();
    let mut files = BTreeSet::new();
    for (provenance, hash) in sink.blobs.into_inner().unwrap() {
        for site in source.locate(&provenance) {
            if let Some(layer) = &site.layer {
                let (path, entries) = (site.path.clone(), site.entries.clone());
                files.insert((layer.index, path, entries, site.state.word(), hash.clone()));
            }
            blobs.insert((site.path, site.entries, hash.clone()));
        }
    }
    Seen { coverage, sites, blobs, files }
}

pub fn scan(target: &Path, needles: &[String]) -> Seen {
    scan_with(target, needles, &SourceOptions::default())
}

fn write(folder: &TempDir, name: &str, bytes: &[u8]) -> std::path::PathBuf {
    let path = folder.path().join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, bytes).unwrap();
    path
}

fn assert_clean(seen: &Seen, what: &str) {
    assert_eq!(seen.coverage.skipped.entries, [], "{what}");
}

#[test]
fn every_trap_is_found_at_its_place_in_every_packaging() {
    let folder = TempDir::new().unwrap();
    let traps::TrapImage { image, traps } = traps::build(7).unwrap();
    let needles: Vec<String> = traps.iter().map(|trap| trap.token.clone()).collect();
    for packaging in PACKAGINGS {
        let files = pack(std::slice::from_ref(&image), packaging).unwrap();
        let archive = write(&folder, "image.tar", &files.tar());
        let gzipped = write(&folder, "image.tar.gz", &Compression::Gzip.pack(&files.tar()).unwrap());
        let layout = folder.path().join(format!("{packaging:?}"));
        files.write_to(&layout).unwrap();
        for target in [archive, gzipped, layout] {
            let seen = scan(&target, &needles);
            let what = format!("{packaging:?} {}", target.display());
            assert_clean(&seen, &what);
            for (index, trap) in traps.iter().enumerate() {
                let entries: Vec<String> = trap.entries.iter().map(ToString::to_string).collect();
                let mut expected = BTreeSet::from([(trap.layer, trap.path.clone(), entries, trap.state)]);
                for (layer, path, state) in &trap.also_at {
                    expected.insert((Some(*layer), path.clone(), Vec::new(), *state));
                }
                if trap.encoded {
                    // Only the search decodes.
                    continue;
                }
                assert_eq!(seen.places(index), expected, "{}: {what}", trap.name);
            }
        }
    }
}

#[test]
fn hidden_files_name_the_layer_that_hides_them_and_the_line_that_made_theirs() {
    let folder = TempDir::new().unwrap();
    let traps::TrapImage { image, traps } = traps::build(8).unwrap();
    let index = traps.iter().position(|trap| trap.name == "whiteout").unwrap();
    let archive =
        write(&folder, "a.tar", &pack(std::slice::from_ref(&image), Packaging::DockerLegacy).unwrap().tar());
    let seen = scan(&archive, &[traps[index].token.clone()]);
    let [site] = &seen.sites[&0][..] else { panic!("{:?}", seen.sites) };
    let layer = site.layer.as_ref().unwrap();
    assert_eq!(layer.created_by.as_deref(), Some("COPY base / # first"));
    assert_eq!(layer.diff_id, Some(testdata::image::digest(&image.layers[0].tar)));
    assert_eq!(layer.digest, testdata::image::digest(&image.layers[0].tar));
    assert_eq!(site.hidden_by, Some(testdata::image::digest(&image.layers[1].tar)));
    let image = site.image.as_ref().unwrap();
    assert_eq!(image.tags, ["traps:latest"]);
    assert_eq!(image.platform.as_deref(), Some("linux/amd64"));
}

#[test]
fn a_layer_of_two_images_has_a_place_and_a_state_in_each() {
    let folder = TempDir::new().unwrap();
    let base = Layer::new("base", Tar::new().file("key", b"needle-1"));
    let one = Image::new("one:1").layer(base.clone());
    let two = Image::new("two:2").layer(base).layer(Layer::new("rm", Tar::new().file(".wh.key", b"")));
    for packaging in PACKAGINGS {
        let archive = write(&folder, "a.tar", &pack(&[one.clone(), two.clone()], packaging).unwrap().tar());
        let seen = scan(&archive, &["needle-1".to_owned()]);
        let places: BTreeSet<_> = seen.sites[&0]
            .iter()
            .map(|site| (site.image.as_ref().unwrap().tags.join(","), site.state.word()))
            .collect();
        let expected = BTreeSet::from([("one:1".to_owned(), "visible"), ("two:2".to_owned(), "deleted")]);
        assert_eq!(places, expected, "{packaging:?}");
        assert_clean(&seen, "two images");
    }
}

#[test]
fn blobs_that_no_manifest_names_are_searched_as_orphans() {
    let folder = TempDir::new().unwrap();
    let image = Image::new("a:1").layer(Layer::new("base", Tar::new().file("x", b"x")));
    let mut files = pack(&[image], Packaging::Oci(Compression::Gzip)).unwrap();
    let lost = Compression::Gzip.pack(&Tar::new().file("etc/lost", b"needle-1").finish()).unwrap();
    let name = format!("blobs/{}", testdata::image::digest(&lost).replace(':', "/"));
    files.0.push((name.clone(), lost));
    let seen = scan(&write(&folder, "a.tar", &files.tar()), &["needle-1".to_owned()]);
    assert_eq!(seen.places(0), BTreeSet::from([(None, name, vec!["etc/lost".to_owned()], "orphan")]));
}

#[test]
fn only_the_platform_that_was_asked_for_is_reported() {
    let folder = TempDir::new().unwrap();
    let image = |architecture: &str, needle: &str| Image {
        architecture: architecture.to_owned(),
        ..Image::new("a:1").layer(Layer::new("base", Tar::new().file("key", needle.as_bytes())))
    };
    let images = [image("amd64", "needle-1"), image("arm64", "needle-2")];
    let archive = write(&folder, "a.tar", &pack(&images, Packaging::Oci(Compression::None)).unwrap().tar());
    let options = SourceOptions { platform: Some("linux/arm64".to_owned()), ..SourceOptions::default() };
    let seen = scan_with(&archive, &["needle-1".to_owned(), "needle-2".to_owned()], &options);
    assert!(seen.places(0).is_empty());
    assert_eq!(seen.places(1).len(), 1);
    assert_eq!(seen.coverage.excluded.entries[0].reason, Excluded::OtherPlatform);
}

#[test]
fn a_changed_or_missing_layer_makes_the_verdict_incomplete() {
    let folder = TempDir::new().unwrap();
    let image = Image::new("a:1").layer(Layer::new("base", Tar::new().file("key", b"needle-1")));
    for packaging in PACKAGINGS {
        let files = pack(std::slice::from_ref(&image), packaging).unwrap();
        let is_layer = |name: &str, bytes: &[u8]| {
            name.ends_with("layer.tar") || name.starts_with("blobs/") && !bytes.starts_with(b"{")
        };
        let mut missing = files.clone();
        missing.0.retain(|(name, bytes)| !is_layer(name, bytes));
        let seen = scan(&write(&folder, "a.tar", &missing.tar()), &[]);
        assert_eq!(seen.skips(), [Skipped::MissingLayer], "{packaging:?}");

        let mut changed = files.clone();
        let other = Tar::new().file("key", b"needle-2").finish();
        for (_, bytes) in changed.0.iter_mut().filter(|(name, bytes)| is_layer(name, bytes)) {
            *bytes = other.clone();
        }
        let seen = scan(&write(&folder, "a.tar", &changed.tar()), &["needle-2".to_owned()]);
        assert!(seen.skips().contains(&Skipped::DigestMismatch), "{packaging:?} {:?}", seen.coverage.skipped);
        assert_eq!(seen.places(0).len(), 1, "what is there is searched all the same");
    }
}

#[test]
fn truncated_archives_never_pass_and_are_searched_as_far_as_they_go() {
    let folder = TempDir::new().unwrap();
    let mut random = Random::new(3);
    let tar = Tar::new().file("early", b"needle-1").file("late", &random.bytes(200_000));
    let image = Image::new("a:1").layer(Layer::new("base", tar));
    for packaging in PACKAGINGS {
        let whole = pack(std::slice::from_ref(&image), packaging).unwrap().tar();
        for cut in [whole.len() / 3, whole.len() / 2, whole.len() - 5000, whole.len() - 1600] {
            let path = write(&folder, "cut.tar", &whole[..cut]);
            let seen = scan(&path, &["needle-1".to_owned()]);
            assert!(!seen.skips().is_empty(), "{packaging:?} cut at {cut} of {}", whole.len());
        }
    }
    let gzipped = Compression::Gzip.pack(&pack(&[image], Packaging::DockerLegacy).unwrap().tar()).unwrap();
    let seen = scan(&write(&folder, "cut.tar.gz", &gzipped[..gzipped.len() / 2]), &["needle-1".to_owned()]);
    assert!(seen.skips().contains(&Skipped::Truncated), "{:?}", seen.coverage);
    assert_eq!(seen.sites[&0].len(), 1);
}

#[test]
fn nonsense_is_searched_as_bytes_or_called_empty() {
    let folder = TempDir::new().unwrap();
    let empty = scan(&write(&folder, "empty", b""), &[]);
    assert_eq!(empty.skips(), [Skipped::Empty]);
    std::fs::create_dir(folder.path().join("nothing")).unwrap();
    assert_eq!(scan(&folder.path().join("nothing"), &[]).skips(), [Skipped::Empty]);
    let mut bytes = Random::new(5).bytes(3_000_000);
    bytes[..4].copy_from_slice(b"\0\0\0\0");
    bytes.extend_from_slice(b"needle-1");
    let seen = scan(&write(&folder, "random", &bytes), &["needle-1".to_owned()]);
    assert_eq!(seen.places(0), BTreeSet::from([(None, seen.sites[&0][0].path.clone(), vec![], "visible")]));
    assert_clean(&seen, "random bytes");
    for magic in ["\u{1f}", "BZh9", "PK\u{3}\u{4}", "!<arch>\n", "070701"] {
        let bytes = [magic.as_bytes(), b" and nothing of the kind, but a needle-1"].concat();
        let seen = scan(&write(&folder, "magic", &bytes), &["needle-1".to_owned()]);
        assert_eq!(seen.sites.get(&0).map_or(0, Vec::len), 1, "{magic:?}");
    }
}

#[test]
fn sizes_that_lie_are_truncations_and_not_crashes() {
    let folder = TempDir::new().unwrap();
    for size in [u64::MAX, 1 << 63, (1 << 63) - 1, 1 << 40] {
        let mut lying = header(tar::EntryType::Regular, b"huge", &[], 0);
        let field = &mut lying.as_old_mut().size;
        field[0] = 0x80;
        field[4..].copy_from_slice(&size.to_be_bytes());
        lying.set_cksum();
        let tar = Tar::new().file("first", b"needle-1").header_and_data(&lying, b"needle-2").finish();
        let needles = ["needle-1".to_owned(), "needle-2".to_owned()];
        let seen = scan(&write(&folder, "a.tar", &tar), &needles);
        assert_eq!(seen.skips(), [Skipped::Truncated], "{size}");
        assert_eq!((seen.places(0).len(), seen.places(1).len()), (1, 1));
        let gzipped = Compression::Gzip.pack(&tar).unwrap();
        let seen = scan(&write(&folder, "a.tgz", &gzipped), &needles);
        assert!(seen.skips().contains(&Skipped::Truncated), "{size}");
    }
}

#[test]
fn indexes_that_name_themselves_end() {
    let folder = TempDir::new().unwrap();
    let index = br#"{"manifests":[{"digest":"sha256:aa"},{"digest":"sha256:bb"}]}"#;
    let files = Tar::new()
        .file("oci-layout", b"{}")
        .file("index.json", index)
        .file("blobs/sha256/aa", index)
        .file("blobs/sha256/bb", index);
    let seen = scan(&write(&folder, "a.tar", &files.finish()), &[]);
    assert!(seen.skips().contains(&Skipped::DigestMismatch), "{:?}", seen.coverage);
}

#[test]
fn an_archive_that_expands_without_end_is_stopped() {
    let folder = TempDir::new().unwrap();
    let zeros = Compression::Zstd.pack(&vec![0; 64 << 20]).unwrap();
    let mut options = SourceOptions::default();
    options.limits.set("expanded-bytes=16MiB").unwrap();
    let tree = write(&folder, "tree/zeros.zst", &zeros);
    let seen = scan_with(tree.parent().unwrap(), &[], &options);
    assert_eq!(seen.skips()[0], Skipped::Limit);
    let mut nested = b"innermost needle-1".to_vec();
    for _ in 0..12 {
        nested = Compression::Gzip.pack(&nested).unwrap();
    }
    let seen = scan(&write(&folder, "nested", &nested), &["needle-1".to_owned()]);
    assert_eq!(seen.skips(), [Skipped::Limit]);
    let mut options = SourceOptions::default();
    options.limits.set("entries=10").unwrap();
    let many = (0..100).fold(Tar::new(), |tar, index| tar.file(&format!("{index}"), b""));
    let seen = scan_with(&write(&folder, "many.tar", &many.finish()), &[], &options);
    assert_eq!(seen.skips(), [Skipped::Limit]);
}

#[test]
fn damaged_archives_inside_a_target_are_opaque_and_searched_raw() {
    let folder = TempDir::new().unwrap();
    let mut broken = Compression::Gzip.pack(&Random::new(9).prose(100_000)).unwrap();
    let middle = broken.len() / 2;
    broken[middle..middle + 8].copy_from_slice(b"needle-1");
    write(&folder, "tree/broken.gz", &broken);
    let tar = Tar::new().file("in", b"needle-2").unfinished();
    write(&folder, "tree/broken.tar", &[&tar, &b"needle-3 and no header".repeat(40)[..]].concat());
    let needles = ["needle-1".to_owned(), "needle-2".to_owned(), "needle-3".to_owned()];
    let seen = scan(&folder.path().join("tree"), &needles);
    assert_eq!(seen.opaques(), [Opaque::Corrupt, Opaque::Corrupt]);
    assert_eq!((0..3).map(|needle| seen.places(needle).len()).collect::<Vec<_>>(), [1, 1, 1]);
    assert_clean(&seen, "opaque is not skipped");
}

#[test]
fn folders_are_walked_without_opening_what_waits_or_leads_away() {
    let folder = TempDir::new().unwrap();
    write(&folder, "outside", b"needle-1");
    write(&folder, "tree/a/b/file", b"needle-2");
    write(&folder, "tree/.git/config", b"needle-1");
    write(&folder, "tree/.gitignore", b"*");
    write(&folder, "tree/large", &[&Random::new(1).bytes(3 << 20)[..], b"needle-3"].concat());
    let tree = folder.path().join("tree");
    std::fs::hard_link(tree.join("a/b/file"), tree.join("z-same")).unwrap();
    std::os::unix::fs::symlink("../outside", tree.join("link")).unwrap();
    std::os::unix::fs::symlink("..", tree.join("up")).unwrap();
    let fifo = tree.join("fifo");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    let socket = std::os::unix::net::UnixListener::bind(tree.join("socket")).unwrap();
    let needles = ["needle-1".to_owned(), "needle-2".to_owned(), "needle-3".to_owned()];
    let seen = scan(&tree, &needles);
    drop(socket);
    assert!(seen.places(0).is_empty());
    let place = |path: &str| (None, path.to_owned(), vec![], "visible");
    assert_eq!(seen.places(1), BTreeSet::from([place("a/b/file"), place("z-same")]));
    assert_eq!(seen.places(2), BTreeSet::from([place("large")]));
    let excluded: Vec<_> = seen
        .coverage
        .excluded
        .entries
        .iter()
        .map(|e| (e.at.rsplit(": ").next().unwrap().to_owned(), e.reason))
        .collect();
    let expected = [
        (".git", Excluded::GitFolder),
        ("fifo", Excluded::Fifo),
        ("link", Excluded::Symlink),
        ("socket", Excluded::Socket),
        ("up", Excluded::Symlink),
        ("z-same", Excluded::SameInode),
    ];
    assert_eq!(excluded, expected.map(|(at, reason)| (at.to_owned(), reason)));
    assert_clean(&seen, "tree");
}

#[test]
fn a_file_that_shrinks_during_the_scan_is_a_skip() {
    struct Shrink(std::path::PathBuf);
    impl Sink for Shrink {
        fn blob(&self, blob: Blob<'_>) -> Flow {
            std::fs::OpenOptions::new().write(true).open(&self.0).unwrap().set_len(8192).unwrap();
            // Touches every page.
            match blob.content {
                Content::Slice(bytes) => assert!(memmem::find(bytes, b"not in random bytes").is_none()),
                Content::Stream { reader, .. } => drop(std::io::copy(reader, &mut std::io::sink())),
            }
            Flow::Continue
        }
    }
    let folder = TempDir::new().unwrap();
    let image =
        Image::new("a:1").layer(Layer::new("x", Tar::new().file("big", &Random::new(2).bytes(8 << 20))));
    let archive = pack(&[image], Packaging::DockerLegacy).unwrap().tar();
    let tree = write(&folder, "tree/plain", &Random::new(1).bytes(8 << 20));
    for target in [write(&folder, "plain", &Random::new(1).bytes(8 << 20)), write(&folder, "a.tar", &archive)]
    {
        let source = open(target.to_str().unwrap(), &SourceOptions::default()).unwrap();
        let coverage = source.blobs(&Shrink(target));
        assert!(
            coverage.skipped.entries.iter().any(|e| e.reason == Skipped::ChangedWhileRead),
            "{coverage:?}"
        );
    }
    let source = open(tree.parent().unwrap().to_str().unwrap(), &SourceOptions::default()).unwrap();
    let coverage = source.blobs(&Shrink(tree));
    assert_eq!(coverage.skipped.entries[0].reason, Skipped::ChangedWhileRead);
}

#[test]
fn targets_that_cannot_be_opened_say_what_to_do() {
    let folder = TempDir::new().unwrap();
    let fifo = folder.path().join("fifo");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    let message = |path: &Path| match open(path.to_str().unwrap(), &SourceOptions::default()) {
        Ok(_) => panic!("{} was opened", path.display()),
        Err(error) => error.to_string(),
    };
    assert!(message(&fifo).ends_with("is a named pipe, not a file or folder; pipe its content and scan `-`"));
    assert!(message(&folder.path().join("missing")).ends_with("check the path"));
}

#[test]
fn the_sink_can_stop_the_walk() {
    struct One(Mutex<u32>);
    impl Sink for One {
        fn blob(&self, _: Blob<'_>) -> Flow {
            *self.0.lock().unwrap() += 1;
            Flow::Stop
        }
    }
    let folder = TempDir::new().unwrap();
    let many = (0..5000).fold(Tar::new(), |tar, index| tar.file(&format!("{index}"), b"content"));
    let source =
        open(write(&folder, "a.tar", &many.finish()).to_str().unwrap(), &SourceOptions::default()).unwrap();
    let sink = One(Mutex::new(0));
    let _ = source.blobs(&sink);
    assert!(*sink.0.lock().unwrap() < 20);
}
