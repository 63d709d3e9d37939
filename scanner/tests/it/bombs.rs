//! Targets made to harm: they end within their limits, are told, and never pass.

use std::path::Path;

use scanner::source::SourceOptions;
use shared::coverage::Skipped;
use tempfile::TempDir;
use testdata::archive::{Compression, Tar, header, zip};
use testdata::sqlite;

use crate::sources::{Seen, scan_with};

fn scan(folder: &TempDir, name: &str, bytes: &[u8], limits: &[&str]) -> Seen {
    let path = folder.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    scan_path(&path, limits)
}

fn scan_path(path: &Path, limits: &[&str]) -> Seen {
    let mut options = SourceOptions::default();
    for limit in limits {
        options.limits.set(limit).unwrap();
    }
    scan_with(path, &["needle-1".to_owned()], &options)
}

#[test]
fn zips_in_zips_in_zips_stop_at_the_ratio() {
    let folder = TempDir::new().unwrap();
    let mut bomb = zip(&[("zeros", &vec![0; 32 << 20], true)]).unwrap();
    for _ in 0..4 {
        let names: Vec<String> = (0..16).map(|index| format!("{index}.zip")).collect();
        let members: Vec<_> = names.iter().map(|name| (name.as_str(), bomb.as_slice(), true)).collect();
        bomb = zip(&members).unwrap();
    }
    // 2 TB in as little.
    assert!(bomb.len() < 200 << 10, "{}", bomb.len());
    let seen = scan(&folder, "42.zip", &bomb, &["expanded-bytes=256MiB"]);
    assert!(seen.skips().contains(&Skipped::Limit), "{:?}", seen.coverage.skipped);
}

#[test]
fn zip_members_that_share_their_bytes_are_not_opened() {
    let folder = TempDir::new().unwrap();
    let text = vec![b'x'; 1 << 20];
    let one = zip(&[("a", &text, false)]).unwrap();
    let start = one.len() - 22 - 47;
    let entry = &one[start..one.len() - 22];
    let mut bomb = one[..start].to_vec();
    for _ in 0..1000 {
        bomb.extend_from_slice(entry);
    }
    let mut end = one[one.len() - 22..].to_vec();
    end[8..10].copy_from_slice(&1000_u16.to_le_bytes());
    end[10..12].copy_from_slice(&1000_u16.to_le_bytes());
    end[12..16].copy_from_slice(&u32::try_from(entry.len() * 1000).unwrap().to_le_bytes());
    bomb.extend(end);
    let seen = scan(&folder, "overlap.zip", &bomb, &[]);
    assert_eq!(seen.skips(), [Skipped::Limit]);
    assert_eq!(seen.coverage.blobs, 1);
}

#[test]
fn ten_gigabytes_of_zeros_in_gzip_in_gzip_stop() {
    let folder = TempDir::new().unwrap();
    let member = Compression::Gzip.pack(&vec![0; 16 << 20]).unwrap();
    let bomb = Compression::Gzip.pack(&member.repeat(640)).unwrap();
    assert!(bomb.len() < 2 << 20, "{}", bomb.len());
    let seen = scan(&folder, "zeros.gz.gz", &bomb, &["expanded-bytes=256MiB"]);
    assert!(seen.skips().contains(&Skipped::Limit), "{:?}", seen.coverage.skipped);
}

#[test]
fn a_tar_of_endless_empty_entries_stops_at_their_number() {
    let folder = TempDir::new().unwrap();
    let entry = header(tar::EntryType::Regular, b"empty", &[], 0).as_bytes().to_vec();
    let member = Compression::Gzip.pack(&entry.repeat(8192)).unwrap();
    let mut bomb = member.repeat(200);
    // Cut short, too.
    bomb.truncate(bomb.len() - 10);
    for name in ["a.tar.gz", "tree/a.tar.gz"] {
        std::fs::create_dir_all(folder.path().join("tree")).unwrap();
        let seen = scan(&folder, name, &bomb, &["entries=50000"]);
        assert_eq!(seen.skips(), [Skipped::Limit], "{name}");
    }
    let seen = scan_path(&folder.path().join("tree"), &["entries=50000"]);
    assert_eq!(seen.skips(), [Skipped::Limit]);
}

#[test]
fn offsets_and_lengths_near_two_to_the_sixty_three_lead_nowhere() {
    let folder = TempDir::new().unwrap();
    for huge in [1_u64 << 63, (1 << 63) - 1, u64::MAX, u64::MAX - 30] {
        let bytes = huge.to_le_bytes();
        // A zip whose 64-bit extra field says where the member lies, and how long it is.
        let whole = zip(&[("a", b"needle-1", false)]).unwrap();
        let start = whole.len() - 22 - 47;
        let mut central = whole[start..whole.len() - 22].to_vec();
        central[20..28].fill(0xff);
        central[42..46].fill(0xff);
        central[30] = 28;
        central.extend([1, 0, 24, 0]);
        central.extend([bytes, bytes, bytes].concat());
        let mut end = whole[whole.len() - 22..].to_vec();
        end[12..16].copy_from_slice(&u32::try_from(central.len()).unwrap().to_le_bytes());
        let lying = [&whole[..start], &central, &end].concat();
        let seen = scan(&folder, "a.zip", &lying, &[]);
        assert!(!seen.skips().is_empty() && seen.sites.contains_key(&0), "{huge:x} {:?}", seen.coverage);
        // A row of a database that claims to be as long.
        let mut database = sqlite::database(&[&b"needle-1 ".repeat(100)], b"free");
        let cell = usize::from(database[512 + 8]) << 8 | usize::from(database[512 + 9]);
        database[512 + cell..][..9]
            .copy_from_slice(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, bytes[0]]);
        let seen = scan(&folder, "a.sqlite", &database, &[]);
        assert!(seen.sites.contains_key(&0), "{huge:x}");
        // An object of a pack.
        let mut pack = b"PACK\0\0\0\x02\0\0\0\x01\xbf".to_vec();
        pack.extend([0xff; 9]);
        pack.extend(b"\x01 needle-1");
        let seen = scan(&folder, "a.pack", &pack, &[]);
        assert_eq!(seen.skips(), [Skipped::Truncated]);
        assert!(seen.sites.contains_key(&0));
    }
}

#[test]
fn chains_of_a_database_that_bite_their_tail_end() {
    let folder = TempDir::new().unwrap();
    let mut database = sqlite::database(&[&b"needle-1 ".repeat(400)], b"free");
    let pages = database.len() / 512;
    // Every overflow page leads to itself, or to the first one.
    for page in 2..pages - 2 {
        for next in [page + 1, 3] {
            database[page * 512..page * 512 + 4].copy_from_slice(&u32::try_from(next).unwrap().to_be_bytes());
            let seen = scan(&folder, "a.sqlite", &database, &[]);
            assert!(seen.sites.contains_key(&0));
        }
    }
}

#[test]
fn a_window_larger_than_every_limit_names_them() {
    let folder = TempDir::new().unwrap();
    let text = b"nothing here\n".repeat(1000);
    let layer = Tar::new().file("etc/key", &text).finish();
    for (compression, limits, name) in [
        (Compression::XzNine, ["decoder-memory=16MiB", "spill=32MiB"], "`decoder-memory` and `spill`"),
        (Compression::ZstdLong, ["decoder-memory=16MiB", "spill=64MiB"], "`decoder-memory` and `spill`"),
        (Compression::Lz4, ["decoder-memory=8MiB", "spill=64MiB"], "`decoder-memory`"),
    ] {
        let packed = compression.pack(&layer).unwrap();
        for file in ["layer.tar.x", "tree/layer.tar.x"] {
            std::fs::create_dir_all(folder.path().join("tree")).unwrap();
            std::fs::write(folder.path().join(file), &packed).unwrap();
        }
        for target in ["layer.tar.x", "tree"] {
            let seen = scan_path(&folder.path().join(target), &limits);
            assert_eq!(seen.skips(), [Skipped::Limit], "{compression:?} {target}");
            let detail = seen.coverage.skipped.entries[0].detail.clone().unwrap();
            assert!(detail.contains(name) && detail.contains("raise"), "{detail}");
        }
        let seen = scan_path(&folder.path().join("tree"), &[]);
        assert_eq!(seen.skips(), [], "{compression:?}");
    }
}

#[test]
fn what_finds_no_memory_waits_or_lies_in_a_file_and_is_not_lost() {
    // Each needs more than half of the budget, while the one around it is still open. Windows of lz4 have to wait.
    let kinds = [(Compression::XzNine, "decoder-memory=96MiB"), (Compression::Lz4, "decoder-memory=16MiB")];
    for (compression, memory) in kinds {
        let folder = TempDir::new().unwrap();
        let packed = |bytes: &[u8]| compression.pack(bytes).unwrap();
        let innermost = packed(&Tar::new().file("key", b"needle-1").finish());
        let middle = packed(&Tar::new().file("c.packed", &innermost).finish());
        let outer = packed(&Tar::new().file("b.packed", &middle).finish());
        std::fs::create_dir(folder.path().join("tree")).unwrap();
        for index in 0..4 {
            std::fs::write(folder.path().join(format!("tree/{index}.packed")), &outer).unwrap();
        }
        let seen = scan_path(&folder.path().join("tree"), &[memory]);
        assert_eq!(seen.skips(), []);
        let members = ["b.packed", "c.packed", "key"].map(str::to_owned).to_vec();
        let wanted: Vec<_> =
            (0..4).map(|index| (None, format!("{index}.packed"), members.clone(), "visible")).collect();
        assert_eq!(seen.places(0).into_iter().collect::<Vec<_>>(), wanted);
        // Without room to wait in, it is told.
        let seen = scan_path(&folder.path().join("tree"), &[memory, "spill=0"]);
        assert!(seen.skips().contains(&Skipped::Limit));
    }
}
