//! The committed file was made by `vectors/known.py`, which shares no code with this crate. This code writes the same
//! bytes, reads them, and finds every value.

use super::super::proof::ProofOfValue;
use super::super::{
    Freshness, IdKey, Issue, KnownFileBuilder, KnownIndex, KnownKey, Nonce, Strength, ValueState,
};
use super::scan;
use crate::secret::{Redacted, Secret};
use crate::signing::{PrivateKey, TrustedKeys};

const FILE: &[u8] = include_bytes!("../../../vectors/known.bin");
const DESCRIPTION: &str = include_str!("../../../vectors/known.json");

fn bytes<const N: usize>(value: &serde_json::Value) -> [u8; N] {
    data_encoding::HEXLOWER.decode(value.as_str().unwrap().as_bytes()).unwrap().try_into().unwrap()
}

/// The values are not committed but derived, as the script derives them: hex of the SHA-256 of a name and a block
/// number, cut to length.
fn value(name: &str, length: usize) -> Vec<u8> {
    use sha2::{Digest, Sha256};
    let blocks = (0_u32..).flat_map(|block| Sha256::digest(format!("{name}/{block}")));
    let bytes: Vec<u8> = blocks.take(length).collect();
    data_encoding::HEXLOWER.encode(&bytes).into_bytes()[..length].to_vec()
}

#[test]
fn this_code_writes_and_reads_the_file_of_the_other() {
    let description: serde_json::Value = serde_json::from_str(DESCRIPTION).unwrap();
    let key = KnownKey::from_bytes(bytes(&description["key"]));
    let id_key = IdKey::from_bytes(bytes(&description["idKey"]));
    let signer = PrivateKey::from_seed(&bytes(&description["signerSeed"]));
    assert_eq!(key.key_id().to_string(), description["keyId"].as_str().unwrap());

    let mut builder = KnownFileBuilder::new(&key, &id_key);
    let entries = description["entries"].as_array().unwrap();
    for entry in entries {
        let value = value(entry["name"].as_str().unwrap(), entry["length"].as_u64().unwrap() as usize);
        let state: ValueState = serde_json::from_value(entry["state"].clone()).unwrap();
        builder.add(&Secret::copy_of(&value), state, Strength::Generated { bits: 1_000.0 });
    }
    builder.add(&Secret::copy_of(b"too short"), ValueState::Current, Strength::Unknown);
    let issue = Issue {
        generation: description["generation"].as_u64().unwrap(),
        created: description["created"].as_str().unwrap().parse().unwrap(),
        expires: description["expires"].as_str().unwrap().parse().unwrap(),
        nonce: Nonce(bytes(&description["nonce"])),
    };
    let built = builder.build(issue, &signer).unwrap();
    assert!(built.file == FILE, "the two implementations differ");

    let trusted = TrustedKeys::new(vec![signer.public()]);
    let freshness = Freshness { now: issue.created, generation_seen: issue.generation };
    let index = KnownIndex::open(FILE, &key, &trusted, freshness).unwrap();
    assert_eq!((index.len(), index.left_out().too_short), (entries.len(), 1));
    for (n, entry) in entries.iter().enumerate() {
        let value = value(entry["name"].as_str().unwrap(), entry["length"].as_u64().unwrap() as usize);
        let haystack = [vec![b'.'; n], value.clone(), vec![b'.'; 9]].concat();
        let hits = scan(&index, &haystack);
        let [hit] = hits.as_slice() else { panic!("{n}: {hits:?}") };
        assert_eq!((hit.start, hit.end), (n, n + value.len()));
        assert_eq!(hit.id.to_string(), entry["id"].as_str().unwrap());
        assert_eq!(serde_json::to_value(hit.state).unwrap(), entry["state"]);
        let target = description["target"].as_str().unwrap();
        let proof = ProofOfValue::of(&key, Redacted::new(&value), &issue.nonce, target);
        assert_eq!(proof.to_string(), entry["proof"].as_str().unwrap());
    }
}
