//! Azure keys with a signature inside.
//!
//! Sources: Microsoft, "Common Annotated Security Keys" (`JQQJ99` at a fixed place of an 84-letter key), and the
//! identifiable keys of 2021 and later: a service's signature of four letters (`+ASt` storage, `+ASb` Service Bus,
//! `ACDb` Cosmos DB, `AzSe` Search, `AzFu` Functions, `AzCa` Redis, `ACR` registries, `APIM`, `AIoT`, `+AMC` machine
//! learning, `+ABa` Batch) near the end, before a checksum whose seed is not needed to know the place.

use super::{Outcome, alphabet, placeholder};

/// The signatures, wherever the format puts them within the last twelve letters.
const SIGNATURES: &[&str] = &[
    "+ASt", "+ASb", "ACDb", "AzSe", "AzFu", "AzCa", "+ACR", "APIM", "AIoT", "+AMC", "+ABa", "AEG", "AEh",
    "+AEh", "AzEG", "AzWPS", "ASb", "AAAC", "AZFn",
];

/// A key of Azure's shape: base64 that decodes; with a signature at its place it is proven.
pub(super) fn cask(secret: &[u8], _matched: &[u8]) -> Outcome {
    if placeholder::is_repetitive(secret) || placeholder::is_poor(secret, 3.5) {
        return Outcome::Fails("too regular for a key");
    }
    if secret.len() >= 76 && secret.get(52..58) == Some(b"JQQJ99") {
        return Outcome::Holds(Some("a common annotated security key".to_owned()));
    }
    let Some(decoded) = alphabet::base64_any(secret) else { return Outcome::Open };
    let unpadded = secret.len() - secret.iter().rev().take_while(|&&byte| byte == b'=').count();
    let tail = &secret[unpadded.saturating_sub(12)..unpadded];
    let signed =
        SIGNATURES.iter().any(|signature| memchr::memmem::find(tail, signature.as_bytes()).is_some());
    match decoded.len() {
        32 | 39 | 64 if signed => Outcome::Holds(Some("an identifiable Azure key".to_owned())),
        _ => Outcome::Open,
    }
}
