//! `rotator keys DIR`: makes the keys that fingerprints and receipts need, once.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use anyhow::Context as _;
use shared::fingerprint::FingerprintKey;
use shared::signing::PrivateKey;
use zeroize::Zeroizing;

/// Names secrets; the scanner takes the same one.
pub const FINGERPRINT_KEY: &str = "fingerprint.key";
/// Opens known files; the scanner takes the same one.
pub const KNOWN_KEY: &str = "known.key";
/// Signs receipts; stays with the rotator.
pub const RECEIPT_KEY: &str = "receipts.pem";
/// Checks receipts; goes to whoever runs the gate.
pub const RECEIPT_PUBLIC_KEY: &str = "receipts.pub.pem";

/// Makes the files in a folder. One that exists is never replaced: it may be the only copy of a key, and
/// everything made under it would be worth nothing.
///
/// # Errors
/// When a file exists, or cannot be written.
pub fn make(folder: &Path, out: &mut dyn Write) -> anyhow::Result<()> {
    let at = |name: &str| folder.join(name);
    for name in [FINGERPRINT_KEY, KNOWN_KEY, RECEIPT_KEY, RECEIPT_PUBLIC_KEY] {
        anyhow::ensure!(
            !at(name).exists(),
            "{} is there already; keep it, or name another folder",
            at(name).display()
        );
    }
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .with_context(|| format!("cannot make the folder {}", folder.display()))?;
    let key = random_key(&at(FINGERPRINT_KEY))?;
    random_key(&at(KNOWN_KEY))?;
    let receipt_key = PrivateKey::generate()?;
    receipt_key.write_new(&at(RECEIPT_KEY))?;
    write_new(&at(RECEIPT_PUBLIC_KEY), 0o644, receipt_key.public().to_pem().as_bytes())?;
    writeln!(
        out,
        "{}: names secrets, id {}",
        at(FINGERPRINT_KEY).display(),
        FingerprintKey::from_bytes(*key).key_id()
    )?;
    writeln!(
        out,
        "{}: signs receipts, id {}; stays here",
        at(RECEIPT_KEY).display(),
        receipt_key.public().id()
    )?;
    writeln!(out, "{}: checks receipts; give it to the gate", at(RECEIPT_PUBLIC_KEY).display())?;
    Ok(())
}

/// A new file with a random key of 256 bits, in hexadecimal digits.
fn random_key(path: &Path) -> anyhow::Result<Zeroizing<[u8; 32]>> {
    let mut key = Zeroizing::new([0_u8; 32]);
    getrandom::fill(&mut *key).context("no random bytes from the operating system")?;
    let text = Zeroizing::new(data_encoding::HEXLOWER.encode(&*key) + "\n");
    write_new(path, 0o600, text.as_bytes())?;
    Ok(key)
}

fn write_new(path: &Path, mode: u32, bytes: &[u8]) -> anyhow::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
        .with_context(|| format!("cannot make {}", path.display()))?;
    file.write_all(bytes)
        .and_then(|()| file.sync_all())
        .with_context(|| format!("cannot write {}", path.display()))
}
