//! DSSE (<https://github.com/secure-systems-lab/dsse/blob/master/envelope.md>).

use std::fs::File;
use std::io::Read;
use std::path::Path;

use data_encoding::BASE64;
use serde::{Deserialize, Serialize};
use shared::signing::pre_authentication_encoding;

use super::key::{KeyError, PublicKey, SigningKey};

const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";
/// An attestation is a few kilobytes; ten thousand images in one are a megabyte.
const BYTES_MAX: u64 = 4 << 20;
/// Every signature costs a check.
const SIGNATURES_MAX: usize = 16;

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope {
    payload_type: String,
    payload: String,
    signatures: Vec<Signature>,
}

#[derive(Serialize, Deserialize)]
struct Signature {
    #[serde(default)]
    keyid: String,
    sig: String,
}

/// Signs a payload; one line of JSON.
///
/// # Errors
/// When the key lies in a server that does not sign.
pub(super) fn seal(payload: &[u8], key: &SigningKey) -> Result<Vec<u8>, KeyError> {
    let signature = key.sign(&pre_authentication_encoding(PAYLOAD_TYPE, payload))?;
    let envelope = Envelope {
        payload_type: PAYLOAD_TYPE.to_owned(),
        payload: BASE64.encode(payload),
        // No key id: cosign writes none, and a reader must not trust one.
        signatures: vec![Signature { keyid: String::new(), sig: BASE64.encode(&signature) }],
    };
    // Strings always serialise.
    let mut text = serde_json::to_vec(&envelope).unwrap_or_default();
    text.push(b'\n');
    Ok(text)
}

/// The payload of an envelope that one of its signatures proves.
pub(super) fn open(path: &Path, key: &PublicKey) -> Result<Vec<u8>, &'static str> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|_| "it cannot be read; check the path")?;
    file.take(BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|_| "it cannot be read")?;
    if bytes.len() as u64 > BYTES_MAX {
        return Err("it is larger than 4 MiB: no attestation");
    }
    let envelope: Envelope = serde_json::from_slice(&bytes).map_err(|_| "it is no DSSE envelope")?;
    if envelope.payload_type != PAYLOAD_TYPE {
        return Err("its payload is no in-toto statement");
    }
    let payload = BASE64.decode(envelope.payload.as_bytes()).map_err(|_| "its payload is not base64")?;
    let message = pre_authentication_encoding(PAYLOAD_TYPE, &payload);
    let proven = envelope.signatures.iter().take(SIGNATURES_MAX).any(|signature| {
        BASE64.decode(signature.sig.as_bytes()).is_ok_and(|signature| key.verifies(&message, &signature))
    });
    if proven {
        Ok(payload)
    } else {
        Err("no signature of it is this key's: it was changed, or signed by someone else")
    }
}
