//! `rotator seal`: Secret manifests in, SealedSecrets out.

use std::io::{Read as _, Write};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret as KubeSecret;
use shared::exit::Exit;
use shared::fingerprint::FingerprintKey;
use zeroize::Zeroizing;

use crate::manifest::decode::decode;
use crate::manifest::node::Node;
use crate::seal::{Scope, Sealer};
use crate::sync::secret::SecretObject;
use crate::target::sealed::Sealing;

/// More than a hundred of the largest Secrets.
const INPUT_BYTES_MAX: u64 = 128 << 20;
/// A certificate and its chain are smaller.
const CERTIFICATE_BYTES_MAX: u64 = 1 << 20;

/// What `seal` takes.
#[derive(Debug, Args)]
pub struct SealCommandArgs {
    /// A file of Secret manifests (YAML or JSON); standard input, if none is named
    #[arg(value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// The certificate of the controller of Sealed Secrets, PEM (`kubeseal --fetch-cert`)
    #[arg(long, value_name = "FILE")]
    pub cert: PathBuf,
    /// Where the controller may open it
    #[arg(long, value_name = "SCOPE", default_value = "strict")]
    pub scope: Scope,
}

/// How a sync into a folder seals what it writes.
#[derive(Clone, Debug, Default, Args)]
pub struct SealArgs {
    /// With --target dir:PATH: write SealedSecrets for the controller with this certificate (PEM)
    #[arg(long = "seal", value_name = "FILE")]
    pub certificate: Option<PathBuf>,
    /// Where the controller may open them
    #[arg(long = "seal-scope", value_name = "SCOPE", default_value = "strict", requires = "certificate")]
    pub scope: Scope,
    /// The key (64 hexadecimal digits, mode 0600) by which a value that has not changed is known, so that its file
    /// stays as it is; without it every run seals everything anew
    #[arg(long = "seal-key", value_name = "FILE", requires = "certificate")]
    pub key: Option<PathBuf>,
}

impl SealArgs {
    /// What seals, if anything does.
    ///
    /// # Errors
    /// When the certificate or the key cannot be used.
    pub fn open(&self) -> anyhow::Result<Option<Sealing>> {
        let Some(certificate) = &self.certificate else { return Ok(None) };
        let sealer = sealer(certificate, self.scope)?;
        let key = self.key.as_deref().map(FingerprintKey::read).transpose()?;
        Ok(Some(Sealing { sealer, key }))
    }
}

fn sealer(certificate: &Path, scope: Scope) -> anyhow::Result<Sealer> {
    let mut pem = Vec::new();
    std::fs::File::open(certificate)
        .and_then(|file| file.take(CERTIFICATE_BYTES_MAX).read_to_end(&mut pem))
        .with_context(|| format!("{} cannot be read", certificate.display()))?;
    Sealer::new(&pem, scope, Timestamp::now()).with_context(|| certificate.display().to_string())
}

/// Seals every Secret of a file or of standard input.
///
/// # Errors
/// When the certificate, the input or one Secret cannot be used: then nothing is written.
pub fn run(args: &SealCommandArgs, out: &mut dyn Write) -> anyhow::Result<Exit> {
    let sealer = sealer(&args.cert, args.scope)?;
    let mut text = Zeroizing::new(String::new());
    let (name, read) = match &args.file {
        Some(file) => {
            let opened =
                std::fs::File::open(file).with_context(|| format!("{} cannot be opened", file.display()))?;
            (file.display().to_string(), opened.take(INPUT_BYTES_MAX + 1).read_to_string(&mut text))
        }
        None => {
            let read = std::io::stdin().lock().take(INPUT_BYTES_MAX + 1).read_to_string(&mut text);
            ("standard input".to_owned(), read)
        }
    };
    let length = read.map_err(|error| anyhow::anyhow!("{name} cannot be read: {}", error.kind()))?;
    anyhow::ensure!(length as u64 <= INPUT_BYTES_MAX, "{name} is longer than {INPUT_BYTES_MAX} bytes");
    // The parser's own words may quote a line, and with it a value.
    let documents = Node::parse_all(&text).map_err(|_| anyhow::anyhow!("{name} is no YAML"))?;
    let mut sealed = String::new();
    for (index, document) in documents.iter().enumerate() {
        let kind: Option<String> = document.get("kind").and_then(|kind| decode(kind, "kind").ok());
        let which = format!("{name}, document {}", index + 1);
        anyhow::ensure!(kind.as_deref() == Some("Secret"), "{which}: this is no Secret; seal Secrets alone");
        let secret = decode::<KubeSecret>(document, "").map_err(|mistakes| {
            let path = mistakes.first().map(|mistake| mistake.path.clone()).unwrap_or_default();
            anyhow::anyhow!("{which}: {path} is not as a Secret has it")
        })?;
        let mut made = sealer.seal(&SecretObject::new(secret)).with_context(|| which)?;
        sealed.push_str("---\n");
        sealed.push_str(&made.yaml(Default::default(), Default::default())?);
    }
    anyhow::ensure!(!sealed.is_empty(), "{name} holds no Secret");
    out.write_all(sealed.as_bytes())?;
    Ok(Exit::Done)
}
