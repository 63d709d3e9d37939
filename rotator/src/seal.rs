//! Secrets for people who keep manifests in git: sealed so that the controller of Sealed Secrets alone can open them.
//!
//! The format is kubeseal's: for each value a session key for AES-256-GCM, itself encrypted with RSA-OAEP-SHA256 for
//! the controller's certificate, with a label that binds it to its scope
//! (<https://github.com/bitnami-labs/sealed-secrets/blob/main/docs/developer/crypto.md>).
//!
//! Guarantees: what is written holds no value, and no unkeyed hash of one: a short password could be found from that.
//! So the marks that a sync puts on its Secrets are left out.

use std::collections::BTreeMap;

use aes_gcm::aead::{AeadInOut as _, KeyInit as _};
use aes_gcm::{Aes256Gcm, Nonce};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use pkcs8::DecodePublicKey as _;
use rsa::RsaPublicKey;
use serde::Serialize;
use sha2::Sha256;
use x509_parser::prelude::{FromDer as _, X509Certificate};
use zeroize::Zeroizing;

use crate::sync::secret::SecretObject;

/// Marks of syncs, which say something about the values or about who owns them.
const MARKS: &str = "reconcile.external-secrets.io/";
/// What kubectl keeps: the whole object, values included.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// The controller's keys have 4096 bits; others would be slow or weak.
const KEY_BYTES: std::ops::RangeInclusive<usize> = 256..=1024;

/// Where a sealed value can be opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Scope {
    /// Under its name in its namespace only.
    #[default]
    Strict,
    /// Under any name in its namespace.
    NamespaceWide,
    /// Anywhere in the cluster.
    ClusterWide,
}

impl Scope {
    fn annotation(self) -> Option<&'static str> {
        match self {
            Self::Strict => None,
            Self::NamespaceWide => Some("sealedsecrets.bitnami.com/namespace-wide"),
            Self::ClusterWide => Some("sealedsecrets.bitnami.com/cluster-wide"),
        }
    }

    fn label(self, namespace: &str, name: &str) -> String {
        match self {
            Self::Strict => format!("{namespace}/{name}"),
            Self::NamespaceWide => namespace.to_owned(),
            Self::ClusterWide => String::new(),
        }
    }
}

/// Why nothing was sealed. Names only.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The certificate cannot be used.
    #[error("the certificate {0}; fetch the controller's: kubeseal --fetch-cert > cert.pem")]
    Certificate(String),
    /// The Secret has no name, or no namespace where its scope needs one.
    #[error("{secret}: {what}")]
    Secret {
        /// Which.
        secret: String,
        /// What is missing.
        what: &'static str,
    },
    /// The system or a library refused.
    #[error("{0}")]
    Failed(&'static str),
}

/// Seals for one certificate.
pub struct Sealer {
    key: RsaPublicKey,
    /// The certificate itself, which a new key of the controller replaces.
    certificate: Vec<u8>,
    scope: Scope,
}

/// A SealedSecret.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SealedSecret {
    api_version: &'static str,
    kind: &'static str,
    metadata: ObjectMeta,
    spec: Spec,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    encrypted_data: BTreeMap<String, String>,
    template: Template,
}

#[derive(Debug, Serialize)]
struct Template {
    metadata: ObjectMeta,
    #[serde(rename = "type")]
    kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    immutable: Option<bool>,
}

impl Sealer {
    /// For the first certificate of a PEM text, while it is valid.
    ///
    /// # Errors
    /// When it is no certificate of an RSA key, or its time is over.
    pub fn new(pem: &[u8], scope: Scope, now: Timestamp) -> Result<Self, SealError> {
        let bad = |what: &str| SealError::Certificate(what.to_owned());
        let (_, block) = x509_parser::pem::parse_x509_pem(pem).map_err(|_| bad("is not PEM"))?;
        let (_, parsed) = X509Certificate::from_der(&block.contents).map_err(|_| bad("cannot be read"))?;
        let (from, until) =
            (parsed.validity().not_before.timestamp(), parsed.validity().not_after.timestamp());
        if now.as_second() > until {
            let until = Timestamp::from_second(until).map(|at| at.to_string()).unwrap_or_default();
            return Err(SealError::Certificate(format!("was valid until {until}")));
        }
        if now.as_second() < from {
            return Err(bad("is not valid yet; see the clock"));
        }
        let key = RsaPublicKey::from_public_key_der(parsed.public_key().raw)
            .map_err(|_| bad("holds no RSA key"))?;
        if !KEY_BYTES.contains(&rsa::traits::PublicKeyParts::size(&key)) {
            return Err(bad("holds an RSA key of another size than 2048 to 8192 bits"));
        }
        Ok(Self { key, certificate: block.contents, scope })
    }

    /// The certificate, DER.
    pub fn certificate(&self) -> &[u8] {
        &self.certificate
    }

    /// How far what is sealed reaches.
    pub fn scope(&self) -> Scope {
        self.scope
    }

    /// Seals every value of a Secret.
    ///
    /// # Errors
    /// When it has no name or namespace, or the system gives no random bytes.
    pub fn seal(&self, secret: &SecretObject) -> Result<SealedSecret, SealError> {
        let meta = secret.meta();
        let name = meta.name.clone().unwrap_or_default();
        let namespace = meta.namespace.clone().unwrap_or_default();
        let incomplete = |what| SealError::Secret { secret: format!("Secret {namespace}/{name}"), what };
        if name.is_empty() {
            return Err(incomplete("it has no name; add metadata.name"));
        }
        if namespace.is_empty() && self.scope != Scope::ClusterWide {
            return Err(incomplete("it has no namespace, which the scope needs; add metadata.namespace"));
        }
        let label = self.scope.label(&namespace, &name);
        let (encrypted_data, kind, immutable) = secret.expose(|secret| {
            let mut sealed = BTreeMap::new();
            for (key, value) in secret.data.iter().flatten() {
                sealed.insert(key.clone(), self.value(&value.0, &label)?);
            }
            // Plain text wins, as in the API server.
            for (key, value) in secret.string_data.iter().flatten() {
                sealed.insert(key.clone(), self.value(value.as_bytes(), &label)?);
            }
            let kind = secret.type_.clone().unwrap_or_else(|| "Opaque".to_owned());
            Ok::<_, SealError>((sealed, kind, secret.immutable.filter(|immutable| *immutable)))
        })?;
        let kept = |map: &Option<BTreeMap<String, String>>| {
            let kept =
                map.iter().flatten().filter(|(key, _)| !key.starts_with(MARKS) && *key != LAST_APPLIED);
            Some(kept.map(|(key, value)| (key.clone(), value.clone())).collect::<BTreeMap<_, _>>())
                .filter(|map| !map.is_empty())
        };
        let named = ObjectMeta {
            name: Some(name),
            namespace: Some(namespace).filter(|namespace| !namespace.is_empty()),
            ..ObjectMeta::default()
        };
        let scope = self.scope.annotation().map(|key| BTreeMap::from([(key.to_owned(), "true".to_owned())]));
        let template =
            ObjectMeta { labels: kept(&meta.labels), annotations: kept(&meta.annotations), ..named.clone() };
        Ok(SealedSecret {
            api_version: "bitnami.com/v1alpha1",
            kind: "SealedSecret",
            metadata: ObjectMeta { annotations: scope, ..named },
            spec: Spec { encrypted_data, template: Template { metadata: template, kind, immutable } },
        })
    }

    /// Two bytes with the length of the sealed session key, that key, and the sealed value with its tag; in base64.
    fn value(&self, value: &[u8], label: &str) -> Result<String, SealError> {
        let mut session = Zeroizing::new([0; 32]);
        getrandom::fill(session.as_mut_slice())
            .map_err(|_| SealError::Failed("the system gives no random bytes"))?;
        let padding = rsa::Oaep::<Sha256>::new_with_label(label.as_bytes());
        let mut source = rsa::rand_core::UnwrapErr(getrandom::SysRng);
        let key = self
            .key
            .encrypt(&mut source, padding, session.as_slice())
            .map_err(|_| SealError::Failed("the session key cannot be sealed"))?;
        let cipher = Aes256Gcm::new_from_slice(session.as_slice())
            .map_err(|_| SealError::Failed("the session key has no length"))?;
        let mut sealed = Zeroizing::new(Vec::with_capacity(value.len() + 16));
        sealed.extend_from_slice(value);
        // Each session key is used once, so the nonce may be the same.
        cipher
            .encrypt_in_place(&Nonce::default(), b"", &mut *sealed)
            .map_err(|_| SealError::Failed("the value is too long to be sealed"))?;
        let length =
            u16::try_from(key.len()).map_err(|_| SealError::Failed("the certificate's key is too long"))?;
        Ok(BASE64_STANDARD.encode([&length.to_be_bytes()[..], &key, &sealed].concat()))
    }
}

impl SealedSecret {
    /// As YAML, with more annotations and labels on the SealedSecret itself.
    ///
    /// # Errors
    /// When it cannot be written as YAML.
    pub fn yaml(
        &mut self,
        labels: BTreeMap<String, String>,
        annotations: BTreeMap<String, String>,
    ) -> Result<String, SealError> {
        self.metadata.labels = Some(labels).filter(|labels| !labels.is_empty());
        self.metadata.annotations.get_or_insert_default().extend(annotations);
        if self.metadata.annotations.as_ref().is_some_and(BTreeMap::is_empty) {
            self.metadata.annotations = None;
        }
        serde_saphyr::to_string(self).map_err(|_| SealError::Failed("it cannot be written as YAML"))
    }
}
