//! Files that come from another process: they are read and not mapped, and show the same.

use std::path::{Path, PathBuf};
use std::process::Command;

use shared::require;
use shared::testkit::find;
use tempfile::TempDir;
use testdata::archive::{Compression, zip};
use testdata::pack::{Packaging, pack};
use testdata::random::Random;
use testdata::traps;

use crate::sources::scan;

/// A mount of a folder, until it is dropped.
struct Mount(PathBuf);

impl Mount {
    /// None where the machine lets nobody mount.
    fn of(program: &Path, stored: &Path, place: PathBuf) -> Option<Self> {
        let mounted = Command::new(program).arg("--no-allow-other").arg(stored).arg(&place).output().unwrap();
        mounted.status.success().then_some(Self(place))
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

#[test]
fn what_lies_on_a_fuse_mount_shows_what_it_shows_on_a_disk() {
    let bindfs = require!(find("bindfs", "make install"));
    let folder = TempDir::new().unwrap();
    let stored = folder.path().join("stored");
    let place = folder.path().join("mounted");
    for path in ["stored/tree", "stored/layout", "mounted"] {
        std::fs::create_dir_all(folder.path().join(path)).unwrap();
    }
    let image = traps::build(5).unwrap().image;
    let write = |name: &str, bytes: &[u8]| {
        let path = stored.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    };
    let image = std::slice::from_ref(&image);
    write("image.tar", &pack(image, Packaging::DockerModern).unwrap().tar());
    for (name, bytes) in &pack(image, Packaging::Oci(Compression::Zstd)).unwrap().0 {
        write(&format!("layout/{name}"), bytes);
    }
    // Larger than what a folder's files are read into memory for, and opened all the same.
    let noise = Random::new(3).bytes(3 << 20);
    let members: [(&str, &[u8], bool); 2] = [("inside", b"needle-1", false), ("noise", &noise, false)];
    write("tree/large.zip", &zip(&members).unwrap());
    write("tree/small", b"needle-1");
    let Some(mount) = Mount::of(&bindfs, &stored, place) else {
        return eprintln!("skipped: bindfs cannot mount here");
    };
    let needles = ["needle-1".to_owned()];
    for target in ["image.tar", "layout", "tree"] {
        let on_disk = scan(&stored.join(target), &needles);
        let mounted = scan(&mount.0.join(target), &needles);
        assert_eq!(mounted.coverage.skipped.entries, [], "{target}");
        assert_eq!(on_disk.files, mounted.files, "{target}");
        assert_eq!(on_disk.sites, mounted.sites, "{target}");
        if target == "tree" {
            assert_eq!((on_disk.blobs, mounted.sites[&0].len()), (mounted.blobs, 2));
        }
    }
}
