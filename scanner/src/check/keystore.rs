//! Keystores: PKCS#12 files and Java's own (JKS, JCEKS), known by their structure. A keystore is as secret as its
//! password is good, so the passwords that everybody tries are tried.
//!
//! Guarantees: certificates alone are no secret. The work of a run is bounded: a file asks for at most
//! [`ROUNDS_MAX`] rounds a password, and all files of a run together for [`HASHES_MAX`]; what is not tried is graded as
//! encrypted.
//!
//! Sources: RFC 7292 (PKCS#12; appendix B the derivation), RFC 2315 (`data`), and the layout that
//! `sun.security.provider.JavaKeyStore` documents: a SHA-1 of password, "Mighty Aphrodite" and the file closes it.

use std::sync::atomic::{AtomicU64, Ordering};

use der::Decode;
use der::asn1::OctetString;
use hmac::{Hmac, KeyInit, Mac};
use pkcs12::MacData;
use pkcs12::kdf::{Pkcs12KeyType, derive_key};
use pkcs12::pfx::Pfx;
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha384, Sha512};

use super::{Outcome, alphabet, pem};

/// What tools propose, manuals write and crackers try first.
const PASSWORDS: [&str; 14] = [
    "",
    "changeit",
    "changeme",
    "password",
    "notasecret",
    "123456",
    "12345678",
    "secret",
    "keystore",
    "android",
    "storepass",
    "test",
    "admin",
    "qwerty",
];
/// OpenSSL writes 2,048 rounds, Java 10,000; more is a good password's companion, or a trap.
const ROUNDS_MAX: u64 = 20_000;
/// Some seconds of hashing in a whole run.
const HASHES_MAX: u64 = 30_000_000;
/// Entries of a Java keystore that are read: a store of authorities has two hundred.
const ENTRIES_MAX: u32 = 10_000;

/// Spent so far. Past the limit nothing more is tried, so that many small files cannot hold a scan.
static HASHES: AtomicU64 = AtomicU64::new(0);

const OPENED: &str = "a keystore that opens with a password that everybody tries";
const CLOSED: Outcome = Outcome::Weak("a keystore whose password is none that everybody tries");
const UNTRIED: Outcome = Outcome::Weak("a keystore whose password was not tried: it asks for too much work");

/// A PKCS#12 file from its first byte on; what follows its end is passed over.
pub(super) fn pkcs12(secret: &[u8], _matched: &[u8]) -> Outcome {
    let whole = pem::der_length(secret).and_then(|(head, length)| secret.get(..head.checked_add(length)?));
    let Some(pfx) = whole.and_then(|whole| Pfx::from_der(whole).ok()) else { return Outcome::Open };
    let Ok(content) = pfx.auth_safe.content.decode_as::<OctetString>() else { return Outcome::Open };
    let content = content.as_bytes();
    // The kinds of bags stand unencrypted around what they hold: pkcs-12 10 1 (RFC 7292, appendix D).
    let bag = |kind: u8| memchr::memmem::find(content, &[BAGS, &[kind]].concat()).is_some();
    if bag(KEY_BAG) {
        return Outcome::Holds(Some("a keystore with a key that is not encrypted".to_owned()));
    }
    if !bag(SHROUDED_KEY_BAG) {
        return Outcome::Fails("certificates alone");
    }
    match pfx.mac_data {
        Some(mac) => open_pkcs12(content, &mac),
        None => CLOSED,
    }
}

/// `1.2.840.113549.1.12.10.1`, as DER writes it, without the last number.
const BAGS: &[u8] = &[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x0C, 0x0A, 0x01];
const KEY_BAG: u8 = 1;
const SHROUDED_KEY_BAG: u8 = 2;

fn open_pkcs12(content: &[u8], mac: &MacData) -> Outcome {
    let salt = mac.mac_salt.as_bytes();
    let rounds = mac.iterations;
    if salt.is_empty() || rounds < 1 || u64::from(rounds.unsigned_abs()) > ROUNDS_MAX {
        return UNTRIED;
    }
    let wanted = mac.mac.digest.as_bytes();
    let algorithm = mac.mac.algorithm.oid.to_string();
    for password in PASSWORDS {
        // An empty password is written as its terminator, or as nothing at all.
        let written: Vec<u8> = password.encode_utf16().flat_map(u16::to_be_bytes).chain([0, 0]).collect();
        for password in [written.as_slice(), &[]].iter().take(if password.is_empty() { 2 } else { 1 }) {
            if !spend(u64::from(rounds.unsigned_abs())) {
                return UNTRIED;
            }
            macro_rules! matches_with {
                ($digest:ty, $length:expr) => {{
                    let key = derive_key::<$digest>(password, salt, Pkcs12KeyType::Mac, rounds, $length);
                    Hmac::<$digest>::new_from_slice(&key)
                        .is_ok_and(|code| code.chain_update(content).verify_slice(wanted).is_ok())
                }};
            }
            let opens = match algorithm.as_str() {
                "1.3.14.3.2.26" => matches_with!(Sha1, 20),
                "2.16.840.1.101.3.4.2.1" => matches_with!(Sha256, 32),
                "2.16.840.1.101.3.4.2.2" => matches_with!(Sha384, 48),
                "2.16.840.1.101.3.4.2.3" => matches_with!(Sha512, 64),
                _ => return UNTRIED,
            };
            if opens {
                return Outcome::Holds(Some(OPENED.to_owned()));
            }
        }
    }
    CLOSED
}

/// A Java keystore from its first byte on.
pub(super) fn java(secret: &[u8], _matched: &[u8]) -> Outcome {
    let (keys, end) = match entries(secret) {
        Some(Entries::Whole { keys, end }) => (keys, end),
        // A secret key is a serialized object without a length: the file's end closes the store.
        Some(Entries::SecretKey) => (true, secret.len().saturating_sub(DIGEST_BYTES)),
        None => return Outcome::Open,
    };
    if !keys {
        return Outcome::Fails("certificates alone");
    }
    let Some(wanted) = secret.get(end..end + DIGEST_BYTES) else { return Outcome::Open };
    for password in PASSWORDS {
        if !spend(secret.len() as u64 / 64 + 1) {
            return UNTRIED;
        }
        let mut digest = Sha1::new();
        for unit in password.encode_utf16() {
            digest.update(unit.to_be_bytes());
        }
        digest.update(b"Mighty Aphrodite");
        digest.update(&secret[..end]);
        if digest.finalize().as_slice() == wanted {
            return Outcome::Holds(Some(OPENED.to_owned()));
        }
    }
    CLOSED
}

const DIGEST_BYTES: usize = 20;

/// What a Java keystore lists.
enum Entries {
    /// All were read: whether one is a private key, and where the digest stands.
    Whole { keys: bool, end: usize },
    /// One is a secret key.
    SecretKey,
}

/// Reads the entries; none if they are cut off, or if these are no entries.
fn entries(store: &[u8]) -> Option<Entries> {
    let mut rest = Reader { bytes: store, at: 4 };
    let version = rest.number()?;
    let count = rest.number()?;
    if !(1..=2).contains(&version) || !(1..=ENTRIES_MAX).contains(&count) {
        return None;
    }
    let mut keys = false;
    for _ in 0..count {
        let tag = rest.number()?;
        rest.text()?;
        rest.skip(8)?;
        match tag {
            1 => {
                keys = true;
                rest.block()?;
                let chain = rest.number()?;
                for _ in 0..chain.min(ENTRIES_MAX) {
                    rest.certificate(version)?;
                }
            }
            2 => rest.certificate(version)?,
            3 => return Some(Entries::SecretKey),
            _ => return None,
        }
    }
    Some(Entries::Whole { keys, end: rest.at })
}

/// Reads what Java's `DataOutputStream` writes.
struct Reader<'b> {
    bytes: &'b [u8],
    at: usize,
}

impl Reader<'_> {
    fn skip(&mut self, length: usize) -> Option<()> {
        let end = self.at.checked_add(length).filter(|end| *end <= self.bytes.len())?;
        self.at = end;
        Some(())
    }

    fn number(&mut self) -> Option<u32> {
        let four = self.bytes.get(self.at..)?.first_chunk::<4>()?;
        self.at += 4;
        Some(u32::from_be_bytes(*four))
    }

    fn text(&mut self) -> Option<()> {
        let two = self.bytes.get(self.at..)?.first_chunk::<2>()?;
        self.skip(2 + usize::from(u16::from_be_bytes(*two)))
    }

    fn block(&mut self) -> Option<()> {
        let length = usize::try_from(self.number()?).ok()?;
        self.skip(length)
    }

    /// Version 2 names the certificate's type.
    fn certificate(&mut self, version: u32) -> Option<()> {
        if version == 2 {
            self.text()?;
        }
        self.block()
    }
}

/// Either, in base64, as Secrets and settings of builds hold them.
pub(super) fn base64(secret: &[u8], matched: &[u8]) -> Outcome {
    let letters: Vec<u8> = secret.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let whole = letters.len() / 4 * 4;
    match alphabet::base64_any(&letters).or_else(|| alphabet::base64_any(&letters[..whole])) {
        Some(store) if store.starts_with(&[0x30]) => pkcs12(&store, matched),
        Some(store) => java(&store, matched),
        None => Outcome::Fails("not base64"),
    }
}

/// Takes work from the run's budget; whether there was enough.
fn spend(hashes: u64) -> bool {
    HASHES.fetch_add(hashes, Ordering::Relaxed) < HASHES_MAX
}

#[cfg(test)]
mod tests {
    use super::super::Outcome;
    use super::{java, pkcs12};

    /// A store of one entry of this kind, closed with this password.
    fn store(tag: u32, password: &str) -> Vec<u8> {
        use sha1::Digest;
        let mut store = vec![0xFE, 0xED, 0xFE, 0xED, 0, 0, 0, 2, 0, 0, 0, 1];
        store.extend(tag.to_be_bytes());
        store.extend([0, 1, b'k', 0, 0, 0, 0, 0, 0, 0, 0]);
        if tag == 1 {
            store.extend([0, 0, 0, 5, 1, 2, 3, 4, 5, 0, 0, 0, 0]);
        } else {
            store.extend([0, 5, b'X', b'.', b'5', b'0', b'9', 0, 0, 0, 2, 1, 2]);
        }
        let mut digest = sha1::Sha1::new();
        for unit in password.encode_utf16() {
            digest.update(unit.to_be_bytes());
        }
        digest.update(b"Mighty Aphrodite");
        digest.update(&store);
        store.extend(digest.finalize());
        store
    }

    #[test]
    fn a_java_keystore_is_graded_by_its_password() {
        assert!(matches!(java(&store(1, "changeit"), b""), Outcome::Holds(_)));
        assert!(matches!(java(&store(1, "f3kW!9"), b""), Outcome::Weak(_)));
        assert!(matches!(java(&store(2, "changeit"), b""), Outcome::Fails(_)));
    }

    #[test]
    fn bytes_that_are_cut_or_hostile_are_no_more_than_open() {
        let whole = store(1, "changeit");
        for length in 0..whole.len() - 20 {
            assert_eq!(java(&whole[..length], b""), Outcome::Open, "{length}");
        }
        let mut huge = whole;
        huge[27..31].copy_from_slice(&u32::MAX.to_be_bytes());
        assert_eq!(java(&huge, b""), Outcome::Open);
        for start in
            [&b"\x30\x82\xff\xff\x02\x01\x03"[..], b"\x30\x03\x02\x01\x03", b"\x30\x80\x02\x01\x03", b""]
        {
            assert_eq!(pkcs12(start, b""), Outcome::Open);
        }
    }
}
