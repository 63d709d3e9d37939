//! Whom a connection trusts.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

use crate::manifest::object::Origin;
use crate::manifest::postgresql::{TlsMode, TlsSpec};

/// A file of all authorities of the world has 200 KB.
const CA_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// How connections are protected.
#[derive(Clone)]
pub(super) enum Tls {
    /// Not at all.
    Off,
    /// Encrypted, and the server's certificate is checked.
    On {
        /// Whom to trust.
        config: Arc<ClientConfig>,
        /// The name in the certificate, where it is not the host.
        server_name: Option<String>,
    },
}

impl Tls {
    /// Reads the manifest; a mistake comes with its field.
    pub(super) fn parse(spec: &TlsSpec, origin: &Origin) -> Result<Self, (&'static str, String)> {
        match (spec.mode, &spec.ca_file, &spec.ca_bundle) {
            (TlsMode::Disable, None, None) if spec.server_name.is_none() => Ok(Self::Off),
            (TlsMode::Disable, ..) => {
                Err(("mode", "without TLS no certificate is checked; leave the other fields out".to_owned()))
            }
            (TlsMode::VerifyFull, Some(_), Some(_)) => {
                Err(("caFile", "write caFile or caBundle, not both".to_owned()))
            }
            (TlsMode::VerifyFull, file, bundle) => {
                let config = match (file, bundle) {
                    (Some(file), _) => trusting(&read(file, origin).map_err(|what| ("caFile", what))?)
                        .map_err(|what| ("caFile", what))?,
                    (None, Some(bundle)) => trusting(bundle.as_bytes()).map_err(|what| ("caBundle", what))?,
                    (None, None) => system().map_err(|what| ("mode", what))?,
                };
                Ok(Self::On { config, server_name: spec.server_name.clone() })
            }
        }
    }
}

fn read(file: &str, origin: &Origin) -> Result<Vec<u8>, String> {
    let Origin::File { file: manifest, .. } = origin else {
        return Err("a file is read for --config only, never for a cluster; write caBundle".to_owned());
    };
    let path = manifest.parent().unwrap_or(Path::new(".")).join(file);
    let too_large = std::fs::metadata(&path).is_ok_and(|found| found.len() > CA_BYTES_MAX);
    if too_large {
        return Err(format!("{} is larger than 4 MiB; it is no file of certificates", path.display()));
    }
    std::fs::read(&path).map_err(|error| format!("cannot read {}: {error}", path.display()))
}

fn trusting(pem: &[u8]) -> Result<Arc<ClientConfig>, String> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let added = certificate.map_err(|_| ()).and_then(|c| roots.add(c).map_err(|_| ()));
        added.map_err(|()| "not a list of certificates in PEM".to_owned())?;
    }
    if roots.is_empty() {
        return Err("there is no certificate in it (PEM)".to_owned());
    }
    config(roots)
}

/// The certificates of the system, read once in the life of a process: a run may open hundreds of targets.
fn system() -> Result<Arc<ClientConfig>, String> {
    static SYSTEM: OnceLock<Result<Arc<ClientConfig>, String>> = OnceLock::new();
    SYSTEM
        .get_or_init(|| {
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if roots.is_empty() {
                return Err("this system has no certificates to trust; write caFile or caBundle".to_owned());
            }
            config(roots)
        })
        .clone()
}

fn config(roots: RootCertStore) -> Result<Arc<ClientConfig>, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|_| "this program has no TLS".to_owned())?;
    Ok(Arc::new(builder.with_root_certificates(roots).with_no_client_auth()))
}
