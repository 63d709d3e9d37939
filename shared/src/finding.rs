//! What the scanner reports. JSON version 1; a finding never holds the bytes of a secret.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::coverage::Coverage;
use crate::fingerprint::{Fingerprint, KeyId};
use crate::known::proof::KnownMatch;

/// The version of the JSON report that this code writes, and the only one that it reads.
pub const REPORT_VERSION: u32 = 1;

/// The name of a rule: lower-case words with hyphens, never reused for another format.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct RuleId(pub String);

impl fmt::Display for RuleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Harm, if the secret is valid. The state of a location never lowers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Little to gain from it alone.
    Low,
    /// Access to a part.
    Medium,
    /// Access to an account's data.
    High,
    /// Access to an account, a cloud, a signing key.
    Critical,
}

impl Severity {
    /// The word of the reports.
    pub fn word(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

/// Belief that the finding is a secret, from weakest to strongest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Confidence {
    /// An assignment with enough randomness.
    Guessed,
    /// A provider's format.
    Shaped,
    /// A checksum or an inner structure holds.
    Checked,
    /// Equals a live secret of the store.
    Known,
}

impl Confidence {
    /// The word of the reports.
    pub fn word(self) -> &'static str {
        match self {
            Self::Guessed => "guessed",
            Self::Shaped => "shaped",
            Self::Checked => "checked",
            Self::Known => "known",
        }
    }
}

/// What the policy makes of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Stops the deploy.
    Block,
    /// Is shown and lets the deploy pass.
    Report,
    /// Was accepted by a person, with a reason and an expiry.
    Suppressed,
}

/// Whether a file of a layer can be seen in the running container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// There, in the tree, at HEAD or in the image's final file system.
    Visible,
    /// A later layer or commit deletes it; anyone who pulls or clones still has it.
    Deleted,
    /// A later layer, or a later entry of the same layer, replaces it; anyone who pulls the image still has it.
    Overwritten,
    /// In the image's configuration: environment, labels, history.
    Config,
    /// In a blob that no manifest names, or an object that no reference reaches.
    Orphan,
}

impl State {
    /// The word of the reports.
    pub fn word(self) -> &'static str {
        match self {
            Self::Visible => "visible",
            Self::Deleted => "deleted",
            Self::Overwritten => "overwritten",
            Self::Config => "config",
            Self::Orphan => "orphan",
        }
    }
}

/// The image that a location belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct Image {
    /// `sha256:…` of the manifest; of the configuration where an archive has no manifest of its own.
    pub digest: String,
    /// Names and tags that the archive gives the image.
    pub tags: Vec<String>,
    /// `os/architecture[/variant]`, as far as it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
}

/// The layer that a location belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct Layer {
    /// From 0, the lowest layer.
    pub index: usize,
    /// `sha256:…` of the blob as it is stored.
    pub digest: String,
    /// `sha256:…` of the uncompressed layer, from the configuration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub diff_id: Option<String>,
    /// The history line that made the layer, redacted: build arguments hold secrets too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_by: Option<String>,
}

/// A commit.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct GitCommit {
    /// Its id, in hex.
    pub id: String,
    /// When its author made it (RFC 3339, UTC).
    pub author_date: String,
}

/// Where in the history of a repository a place lies.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct GitPlace {
    /// The id of the object, in hex.
    pub object: String,
    /// The oldest commit that has the object at this path; absent where no reference reaches it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first: Option<GitCommit>,
    /// The newest commit that has it at this path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<GitCommit>,
    /// Whether HEAD still has it at this path.
    pub at_head: bool,
}

/// One place of a secret. Lines and columns count from 1, in code points; bytes from 0, half-open, in the
/// outermost file entry, covering the encoded text.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct Location {
    /// The target as the user named it.
    pub target: String,
    /// The image, for targets that are images.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<Image>,
    /// The layer, for files of images.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layer: Option<Layer>,
    /// The outer file, without a leading `./` or `/`; bytes that are not UTF-8 are percent-encoded. In the
    /// configuration of an image: `config:Env[3]`.
    pub path: String,
    /// Members of nested archives, outermost first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub entries: Vec<String>,
    /// The line in the innermost member.
    pub line: u64,
    /// The column, in code points.
    pub column: u64,
    /// The column in UTF-16 code units, which SARIF and editors count; absent where it is the same number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column_utf16: Option<u64>,
    /// The first byte, in the outermost file entry.
    pub byte_start: u64,
    /// One past the last byte.
    pub byte_end: u64,
    /// What was decoded to see it, outermost first: `base64`, `utf-16le`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub decoded: Vec<String>,
    /// Whether the running container sees it.
    pub state: State,
    /// The layer that deletes or overwrites it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hidden_by: Option<String>,
    /// Comes from the base image that the user named.
    #[serde(default)]
    pub inherited: bool,
    /// Where in the history, for repositories.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git: Option<GitPlace>,
}

/// One secret under one rule, with every place where it lies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Finding {
    /// A hash of rule, path, decode chain and ordinal: names the finding in a report, never suppresses it.
    pub id: String,
    /// The keyed name of the secret.
    pub fingerprint: Fingerprint,
    /// The rule that matched.
    pub rule: RuleId,
    /// What kind of credential it is, as `provider/kind`.
    pub credential: String,
    /// Harm, if valid.
    pub severity: Severity,
    /// Belief.
    pub confidence: Confidence,
    /// What the policy makes of it.
    pub action: Action,
    /// One sentence: why this is reported, and what the policy says.
    pub why: String,
    /// The format's public prefix and the length, never more.
    pub preview: String,
    /// Every place, in the order of layers and paths.
    pub locations: Vec<Location>,
    /// Places beyond those that are listed: a file that repeats one secret a million times is one line of a
    /// report, not a million.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub locations_omitted: u64,
    /// Which value of the store it is, with a proof that it was seen; only where the known file recognised it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known: Option<KnownMatch>,
}

impl Finding {
    /// What the proof of a known finding is bound to, from what the report says alone: the digests of the
    /// finding's targets, each once, sorted, with commas between them. A place in an image counts as the image's
    /// digest. A tree or a file has no digest of its own; each of its places counts as `place:` and SHA-256, in
    /// hex, over target, path and nested members, each with its length (u64, little-endian) before it, and the
    /// first and the end byte (u64, little-endian). The places are those that are listed, after redaction.
    pub fn target_digest(&self) -> String {
        let digest = |location: &Location| match &location.image {
            Some(image) => image.digest.clone(),
            None => location.place_digest(),
        };
        let digests: std::collections::BTreeSet<String> = self.locations.iter().map(digest).collect();
        digests.into_iter().collect::<Vec<_>>().join(",")
    }
}

impl Location {
    fn place_digest(&self) -> String {
        let mut hasher = Sha256::new();
        for text in [&self.target, &self.path].into_iter().chain(&self.entries) {
            hasher.update((text.len() as u64).to_le_bytes());
            hasher.update(text.as_bytes());
        }
        hasher.update(self.byte_start.to_le_bytes());
        hasher.update(self.byte_end.to_le_bytes());
        format!("place:{}", data_encoding::HEXLOWER.encode(&hasher.finalize()))
    }
}

/// Keeps a count that says nothing out of the report.
#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// The verdict as reports write it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct VerdictReport {
    /// `pass`, `block` or `incomplete`.
    pub status: String,
    /// Findings that block.
    pub blocking: usize,
    /// Parts that were not seen and that no policy allows.
    pub skipped: u64,
    /// Parts that were not seen, and that the policy allows.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub skipped_allowed: u64,
}

/// The program that wrote a report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Tool {
    /// `keyturn-scanner`.
    pub name: String,
    /// The version of the program.
    pub version: String,
    /// A hash over all effective rules: two runs with the same hash looked for the same things.
    pub rules: String,
}

/// An image that was scanned, with all its layers, whether or not anything was found in them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ScannedImage {
    /// The target that holds it, as the user named it.
    pub target: String,
    /// The image.
    #[serde(flatten)]
    pub image: Image,
    /// Its layers, the lowest first.
    pub layers: Vec<ScannedLayer>,
}

/// A layer of an image that was scanned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ScannedLayer {
    /// The layer.
    #[serde(flatten)]
    pub layer: Layer,
    /// How many bytes it takes as it is stored; absent if it is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
}

/// A whole report, JSON version 1.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Report {
    /// [`REPORT_VERSION`].
    pub version: u32,
    /// The program.
    pub tool: Tool,
    /// The key under which fingerprints were made.
    pub key_id: KeyId,
    /// Whether the next run has the same key, so that fingerprints can be compared.
    pub stable: bool,
    /// The targets as the user named them.
    pub targets: Vec<String>,
    /// The decision.
    pub verdict: VerdictReport,
    /// The images among the targets; of very many, the first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<ScannedImage>,
    /// What was seen.
    pub coverage: Coverage,
    /// What a person should know besides: a suppression that has expired or matches nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notices: Vec<String>,
    /// What was found, by severity and place.
    pub findings: Vec<Finding>,
}
