//! ClusterRotationTarget and Rotation: who may be administered and through what, and what is rotated when.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::duration::GoDuration;
use super::external_secret::StoreRef;
use super::postgresql::{AdminRef, PostgreSqlSpec};
use super::status::RotationStatus;

/// A target, written by the platform team: an application team can only name it.
#[derive(CustomResource, Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[kube(group = "keyturn.dev", version = "v1alpha1", kind = "ClusterRotationTarget", shortname = "crt")]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClusterRotationTargetSpec {
    /// Who may name this target; by default nobody.
    #[serde(default)]
    pub allow: Allow,
    /// Where the administrator's credential lies, for servers that need one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub admin_ref: Option<AdminRef>,
    /// How many Rotations of this target are worked on at once by one rotator; by default as many as there are.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub concurrency: Option<u16>,
    /// An htpasswd file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub htpasswd: Option<HtpasswdSpec>,
    /// A PostgreSQL server, its read replicas and poolers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub postgresql: Option<PostgreSqlSpec>,
}

/// Namespaces and accounts that a target serves; both must fit.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Allow {
    /// Namespaces, by name.
    #[serde(default)]
    pub namespaces: Vec<String>,
    /// Accounts; `*` stands for any characters.
    #[serde(default)]
    pub accounts: Vec<String>,
}

/// An htpasswd file, and the service that reads it.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HtpasswdSpec {
    /// The file. In a manifest file: relative to that file's folder.
    pub path: String,
    /// A page that the file protects, asked with HTTP Basic; without it the file itself is asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub probe: Option<String>,
}

/// One credential, written by the application team.
#[derive(CustomResource, Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq)]
#[kube(
    group = "keyturn.dev",
    version = "v1alpha1",
    kind = "Rotation",
    namespaced,
    status = "RotationStatus",
    shortname = "rot",
    printcolumn = r#"{"name":"Phase","type":"string","jsonPath":".status.phase"}"#,
    printcolumn = r#"{"name":"Ready","type":"string","jsonPath":".status.conditions[?(@.type==\"Ready\")].status"}"#,
    printcolumn = r#"{"name":"Reason","type":"string","jsonPath":".status.conditions[?(@.type==\"Ready\")].reason"}"#,
    printcolumn = r#"{"name":"Run","type":"integer","jsonPath":".status.revision"}"#,
    printcolumn = r#"{"name":"Next","type":"date","jsonPath":".status.nextRun"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RotationSpec {
    /// The target.
    pub target_ref: TargetRef,
    /// Five fields, as cron takes them.
    pub schedule: String,
    /// An IANA time zone; by default UTC.
    #[serde(default = "utc")]
    pub time_zone: String,
    /// A scheduled run starts up to this much later: always the same for one Rotation, another for the next one.
    #[serde(default)]
    pub jitter: GoDuration,
    /// Times in which no scheduled run starts; what came in one starts once after it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub freezes: Vec<FreezeSpec>,
    /// Rotations, `name` or `namespace/name`, that this one is paired with: neither begins while the other is under
    /// way, and when both are due those named here go first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<String>,
    /// No scheduled run starts while this is set.
    #[serde(default)]
    pub suspend: bool,
    /// How two secrets live side by side: exactly one.
    pub strategy: StrategySpec,
    /// How secrets are made.
    #[serde(default)]
    pub generate: GenerateSpec,
    /// Where consumers read.
    pub publish: PublishSpec,
    /// Who uses it.
    #[serde(default)]
    pub consumers: ConsumersSpec,
    /// After this long without every consumer having moved a person is needed; the old secret stays alive.
    #[serde(default = "half_an_hour")]
    pub spread_timeout: GoDuration,
    /// How long the old secret outlives the last consumer's move.
    #[serde(default)]
    pub grace: GraceSpec,
    /// What a leak does.
    #[serde(default)]
    pub on_leak: OnLeakSpec,
}

fn utc() -> String {
    "Etc/UTC".to_owned()
}

fn half_an_hour() -> GoDuration {
    GoDuration(std::time::Duration::from_secs(1800))
}

/// A time in which no scheduled run starts.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct FreezeSpec {
    /// When it begins: five fields, in the Rotation's time zone.
    pub schedule: String,
    /// How long it lasts.
    pub duration: GoDuration,
}

/// A target by name.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct TargetRef {
    /// A ClusterRotationTarget.
    pub name: String,
}

/// Exactly one of the fields.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct StrategySpec {
    /// Two accounts take turns.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alternating: Option<AlternatingSpec>,
    /// One account accepts two secrets for a while.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dual: Option<DualSpec>,
    /// One account, one secret, a short outage.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub single: Option<SingleSpec>,
}

impl StrategySpec {
    /// Every account that is named, with the path of the field that names it.
    pub fn accounts(&self) -> Vec<(String, &str)> {
        let two = self.alternating.iter().flat_map(|two| two.accounts.iter().enumerate()).map(
            |(index, account)| (format!("spec.strategy.alternating.accounts[{index}]"), account.as_str()),
        );
        let dual =
            self.dual.iter().map(|one| ("spec.strategy.dual.account".to_owned(), one.account.as_str()));
        let single =
            self.single.iter().map(|one| ("spec.strategy.single.account".to_owned(), one.account.as_str()));
        two.chain(dual).chain(single).collect()
    }
}

/// Two accounts of one role.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct AlternatingSpec {
    /// Exactly two.
    pub accounts: Vec<String>,
    /// The role that owns the objects, where the target has roles.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
}

/// One account.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct DualSpec {
    /// The account.
    pub account: String,
}

/// One account, with an outage that somebody allowed.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SingleSpec {
    /// The account.
    pub account: String,
    /// Consumers are locked out from the change until they have the new secret; must be true.
    #[serde(default)]
    pub allow_outage: bool,
}

/// How secrets are made.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct GenerateSpec {
    /// Characters.
    pub length: usize,
    /// alphanumeric, hex, base64url or printable.
    pub alphabet: String,
    /// Characters that the target does not take.
    pub forbidden: String,
}

impl Default for GenerateSpec {
    fn default() -> Self {
        Self { length: 32, alphabet: "alphanumeric".into(), forbidden: String::new() }
    }
}

/// Where consumers read.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PublishSpec {
    /// The store.
    pub store_ref: StoreRef,
    /// The path in it.
    pub key: String,
    /// Which properties of the path hold what.
    pub properties: PropertiesSpec,
}

/// Names of properties.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct PropertiesSpec {
    /// The account; consumers of an alternating credential must read it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// The secret.
    pub password: String,
}

/// Who uses the published credential.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct ConsumersSpec {
    /// Those that the sync knows: Secrets made from the path, and what uses them.
    pub discover: bool,
    /// Other clusters, which acknowledge through the store.
    pub clusters: Vec<String>,
    /// Those whom a person releases by hand.
    pub external: Vec<String>,
}

impl Default for ConsumersSpec {
    fn default() -> Self {
        Self { discover: true, clusters: Vec::new(), external: Vec::new() }
    }
}

/// How long the old secret lives on.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct GraceSpec {
    /// At least this long.
    pub duration: GoDuration,
    /// At most this long, while old sessions live.
    pub max: GoDuration,
}

impl Default for GraceSpec {
    fn default() -> Self {
        Self {
            duration: GoDuration(std::time::Duration::from_secs(3600)),
            max: GoDuration(std::time::Duration::from_secs(24 * 3600)),
        }
    }
}

/// What a leak does.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct OnLeakSpec {
    /// What happens at once.
    pub action: LeakAction,
    /// How long consumers have to move, from publishing.
    pub deadline: GoDuration,
    /// What happens when they have not.
    pub at_deadline: LeakDeadline,
}

impl Default for OnLeakSpec {
    fn default() -> Self {
        Self {
            action: LeakAction::Alert,
            deadline: GoDuration(std::time::Duration::from_secs(45)),
            at_deadline: LeakDeadline::Wait,
        }
    }
}

/// What a leak does at once.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
pub enum LeakAction {
    /// The credential is rotated.
    Rotate,
    /// A person is asked first.
    Approve,
    /// Somebody is told.
    #[default]
    Alert,
}

/// What happens at the deadline of a leak.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
pub enum LeakDeadline {
    /// The old secret stays alive until all have moved.
    #[default]
    Wait,
    /// The old secret is revoked all the same.
    Revoke,
}
