//! Google service-account key files. Source: Google Cloud, "Create and delete service account keys" (the file's form).

use super::{Outcome, pem};

/// The file's other fields beside the private key prove it: `client_email`, `project_id`, `private_key_id`.
pub(super) fn service_account(secret: &[u8], matched: &[u8]) -> Outcome {
    let has = |field: &[u8]| memchr::memmem::find(matched, field).is_some();
    let fields = [&b"\"client_email\""[..], b"\"private_key_id\"", b"\"project_id\"", b"\"token_uri\""];
    let present = fields.iter().filter(|field| has(field)).count();
    match pem::private_key(secret, secret) {
        Outcome::Fails(why) => Outcome::Fails(why),
        Outcome::Weak(why) => Outcome::Weak(why),
        Outcome::Holds(_) | Outcome::Open if present >= 2 => {
            Outcome::Holds(Some("a Google service-account key file".to_owned()))
        }
        Outcome::Holds(_) | Outcome::Open => Outcome::Open,
    }
}
