//! A rule as its author writes it, and nothing else: this module is shared with the build script, which turns
//! the shipped rules into one table.

use serde::{Deserialize, Serialize};

/// The schema version that this code reads.
pub const VERSION: u32 = 1;

/// One `[[rule]]`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Definition {
    /// Lower-case words with hyphens, never reused.
    pub id: String,
    /// What the secret opens, in one line.
    pub description: String,
    /// `provider/kind`: what can be rotated.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub credential: String,
    /// Harm, if the secret is valid.
    #[serde(default)]
    pub severity: SeverityWord,
    /// Belief before checks.
    #[serde(default)]
    pub confidence: ConfidenceWord,
    /// Free words to filter by.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// The provider's page on the format.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// The provider's page on revoking.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoke: Option<String>,
    /// The expression, over bytes.
    pub regex: String,
    /// The group that is the secret; without it the group `secret` if there is one, else the whole match.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<Group>,
    /// Every match contains one of them, whatever its case.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keywords: Vec<String>,
    /// How many leading bytes of the secret are the format's and public.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub preview: usize,
    /// The longest match, from its anchor: `4KiB`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_match: Option<String>,
    /// The largest file in which it is looked for, as `4KiB`: a rule for files that are one bare value needs no fixed
    /// text, and is tried at each line of such files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_file: Option<String>,
    /// Shannon entropy in bits a byte that the secret must exceed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entropy: Option<f64>,
    /// Words that no secret contains, whatever their case.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stopwords: Vec<String>,
    /// The offline check.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check: Option<CheckUse>,
    /// Its matches are not reported: they are there for the `near` of others.
    #[serde(default, skip_serializing_if = "is_false")]
    pub helper: bool,
    /// Conditions on the path, applied per location.
    #[serde(default, skip_serializing_if = "PathCondition::is_empty")]
    pub path: PathCondition,
    /// Other rules that match nearby.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub near: Vec<Near>,
    /// An expression that, seen nearby, makes a guess a shape.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<Context>,
    /// What is known to be no secret.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow: Vec<AllowDefinition>,
    /// Texts in which the rule finds a secret. Not part of the table in the program.
    #[serde(default, skip_serializing)]
    pub example: Vec<Example>,
    /// Near misses. Not part of the table in the program.
    #[serde(default, skip_serializing)]
    pub negative: Vec<Negative>,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde calls it with a reference.
fn is_zero(number: &usize) -> bool {
    *number == 0
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde calls it with a reference.
fn is_false(flag: &bool) -> bool {
    !flag
}

/// Severity as rules write it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SeverityWord {
    /// Little to gain from it alone.
    Low,
    /// Access to a part.
    Medium,
    /// Access to an account's data.
    #[default]
    High,
    /// Access to an account, a cloud, a signing key.
    Critical,
}

/// Confidence as rules write it: what a match alone proves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ConfidenceWord {
    /// A provider's format.
    #[default]
    Shaped,
    /// An assignment with enough randomness.
    Guessed,
}

/// A capture group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Group {
    /// By its number; 0 is the whole match.
    Number(usize),
    /// By its name.
    Name(String),
}

/// Which offline check a rule asks for, and what a failure means.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckUse {
    /// The name of a check module.
    pub name: String,
    /// What becomes of a match that fails it.
    #[serde(default)]
    pub fails: Fails,
}

/// What becomes of a match that fails its check.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fails {
    /// It is no secret.
    #[default]
    Discard,
    /// It may be one.
    Guessed,
}

/// Expressions over the path of a location.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PathCondition {
    /// One must match, if there are any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub include: Vec<String>,
    /// None may match.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<String>,
}

impl PathCondition {
    /// Whether it holds for every path.
    pub fn is_empty(&self) -> bool {
        self.include.is_empty() && self.exclude.is_empty()
    }
}

/// Another rule whose match stands nearby. Seen: a guess becomes a shape.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Near {
    /// The other rule.
    pub rule: String,
    /// How many lines away, before or after.
    pub lines: u64,
    /// Without it there is no finding.
    #[serde(default)]
    pub required: bool,
}

/// An expression that, seen nearby, makes a guess a shape.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Context {
    /// The expression, over bytes.
    pub regex: String,
    /// How many lines before and after the match; at most 16 KiB either side.
    #[serde(default)]
    pub lines: usize,
}

/// What is known to be no secret.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AllowDefinition {
    /// What the expressions are held against.
    #[serde(default)]
    pub on: AllowOn,
    /// One that matches allows.
    #[serde(default)]
    pub regex: Vec<String>,
    /// Why, for whoever reads the report.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

/// What an allow's expressions are held against.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AllowOn {
    /// The secret.
    #[default]
    Secret,
    /// The whole match.
    Match,
    /// The lines of the match, at most 16 KiB either side.
    Line,
    /// The path of a location.
    Path,
}

/// A text in which the rule finds a secret.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Example {
    /// The template of the secret.
    pub make: String,
    /// The text around it, `{secret}` in its place; the secret alone without it.
    #[serde(default)]
    pub text: Option<String>,
    /// Templates for other values in the text, by the name that stands in braces.
    #[serde(default)]
    pub with: std::collections::BTreeMap<String, String>,
}

/// A near miss.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Negative {
    /// The text; `{secret}` stands for what `make` gives.
    pub text: String,
    /// The template of `{secret}`.
    #[serde(default)]
    pub make: Option<String>,
    /// Why it is none.
    pub why: String,
}
