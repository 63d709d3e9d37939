//! The gate's policy: what blocks, what is accepted and until when, which gaps are allowed.
//!
//! A policy is read from outside the target only: whoever writes what is scanned must not be able to wave a
//! secret through. Nothing is accepted for ever: suppressions and allowed skips name an owner, a reason and the
//! day on which they end; after that day they are reported and no longer hold.

pub mod load;
pub mod pattern;
pub mod written;

use std::collections::{BTreeSet, HashMap};

use jiff::civil::Date;
use shared::finding::{Action, Confidence, Finding, Location, Severity, State};
use shared::fingerprint::{Fingerprint, KeyId};
use shared::receipt::ReceiptId;

use pattern::Patterns;

/// The weakest confidence that blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Threshold {
    /// Nothing blocks.
    Never,
    /// This confidence and all stronger ones.
    From(Confidence),
}

/// What an opaque part means for the verdict.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OpaqueMeans {
    /// It is listed.
    #[default]
    Report,
    /// The verdict is incomplete.
    Incomplete,
}

/// A whole policy.
#[derive(Clone, Debug)]
pub struct Policy {
    /// The key under which the fingerprints of its suppressions were made.
    pub key_id: Option<KeyId>,
    /// The weakest confidence that blocks.
    pub confidence: Threshold,
    /// The least harm that blocks.
    pub severity: Severity,
    /// Exceptions; the last one that matches wins.
    pub overrides: Vec<Override>,
    /// Gaps that are allowed.
    pub allow_skips: Vec<AllowSkip>,
    /// Findings that are accepted.
    pub suppressions: Vec<Suppression>,
    /// Live secrets that are accepted.
    pub accepted_live: Vec<AcceptLive>,
    /// What an opaque part means.
    pub opaque: OpaqueMeans,
    /// Other limits, by name, as they were written.
    pub limits: Vec<(String, String)>,
}

impl Default for Policy {
    /// Without a policy, every provider's format blocks, whatever the harm.
    fn default() -> Self {
        Self {
            key_id: None,
            confidence: Threshold::From(Confidence::Shaped),
            severity: Severity::Low,
            overrides: Vec::new(),
            allow_skips: Vec::new(),
            suppressions: Vec::new(),
            accepted_live: Vec::new(),
            opaque: OpaqueMeans::Report,
            limits: Vec::new(),
        }
    }
}

/// What an exception turns a finding into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OverrideAction {
    /// It blocks, whatever its confidence and severity.
    Block,
    /// It is reported and does not block.
    Report,
}

/// An exception for some locations.
#[derive(Clone, Debug)]
pub struct Override {
    /// Which locations.
    pub when: When,
    /// What becomes of them.
    pub action: OverrideAction,
    /// Why, for whoever reads the report.
    pub reason: String,
}

/// Conditions that hold together; an absent one holds always.
#[derive(Clone, Debug, Default)]
pub struct When {
    /// Names of rules.
    pub rule: Option<Patterns>,
    /// Outer paths.
    pub path: Option<Patterns>,
    /// States.
    pub state: Option<BTreeSet<State>>,
    /// Digests of layers, stored or uncompressed.
    pub layer: Option<BTreeSet<String>>,
    /// Severities.
    pub severity: Option<BTreeSet<Severity>>,
    /// Confidences at the location.
    pub confidence: Option<BTreeSet<Confidence>>,
    /// Whether it comes from the base image.
    pub inherited: Option<bool>,
}

impl When {
    fn holds(&self, finding: &Finding, location: &Location, confidence: Confidence) -> bool {
        let layers = || location.layer.iter().flat_map(|l| std::iter::once(&l.digest).chain(&l.diff_id));
        self.rule.as_ref().is_none_or(|rules| rules.matches(&finding.rule.0))
            && self.path.as_ref().is_none_or(|paths| paths.matches(&location.path))
            && self.state.as_ref().is_none_or(|states| states.contains(&location.state))
            && self.layer.as_ref().is_none_or(|digests| layers().any(|digest| digests.contains(digest)))
            && self.severity.as_ref().is_none_or(|all| all.contains(&finding.severity))
            && self.confidence.as_ref().is_none_or(|all| all.contains(&confidence))
            && self.inherited.is_none_or(|inherited| inherited == location.inherited)
    }
}

/// Who answers for an acceptance, why, and until when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acceptance {
    /// A person or a team.
    pub owner: String,
    /// Why.
    pub reason: String,
    /// The last day on which it holds.
    pub expires: Date,
}

impl Acceptance {
    fn holds(&self, today: Date) -> bool {
        today <= self.expires
    }
}

/// A gap that is allowed.
#[derive(Clone, Debug)]
pub struct AllowSkip {
    /// The word of a skip or of an opaque part.
    pub reason_is: String,
    /// Which places; all without it.
    pub path: Option<Patterns>,
    /// Who, why, until when.
    pub acceptance: Acceptance,
}

/// A finding that is accepted.
#[derive(Clone, Debug)]
pub struct Suppression {
    /// Which secret.
    pub fingerprint: Fingerprint,
    /// Which of its places; all without it.
    pub path: Option<Patterns>,
    /// Who, why, until when.
    pub acceptance: Acceptance,
}

/// A live secret that may pass for a while: two people or teams answer for it.
#[derive(Clone, Debug)]
pub struct AcceptLive {
    /// Which secret.
    pub fingerprint: Fingerprint,
    /// Which of its places; all without it.
    pub path: Option<Patterns>,
    /// Who (all of them, in one text), why, until when.
    pub acceptance: Acceptance,
}

/// What the policy makes of one location, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// What becomes of it.
    pub action: Action,
    /// A sentence.
    pub why: String,
}

/// Applies a policy on one day, and remembers which of its entries were of use.
pub struct Judge<'a> {
    policy: &'a Policy,
    today: Date,
    /// Suppressions by the secret that they are about, each by its place in the policy. A baseline may have many.
    suppressions: HashMap<Fingerprint, Vec<usize>>,
    used_suppressions: BTreeSet<usize>,
    used_accepted_live: BTreeSet<usize>,
    used_skips: BTreeSet<usize>,
    notices: BTreeSet<String>,
}

impl<'a> Judge<'a> {
    /// For one run.
    pub fn new(policy: &'a Policy, today: Date) -> Self {
        let mut suppressions: HashMap<Fingerprint, Vec<usize>> = HashMap::new();
        for (index, suppression) in policy.suppressions.iter().enumerate() {
            suppressions.entry(suppression.fingerprint).or_default().push(index);
        }
        Self {
            policy,
            today,
            suppressions,
            used_suppressions: BTreeSet::new(),
            used_accepted_live: BTreeSet::new(),
            used_skips: BTreeSet::new(),
            notices: BTreeSet::new(),
        }
    }

    /// Decides on one location: a suppression that holds, else the last exception that matches, else the
    /// thresholds.
    pub fn decide(&mut self, finding: &Finding, location: &Location, confidence: Confidence) -> Decision {
        let mut expired = String::new();
        let policy = self.policy;
        for &index in self.suppressions.get(&finding.fingerprint).into_iter().flatten() {
            let suppression = &policy.suppressions[index];
            if suppression.path.as_ref().is_some_and(|path| !path.matches(&location.path)) {
                continue;
            }
            self.used_suppressions.insert(index);
            let Acceptance { owner, reason, expires } = &suppression.acceptance;
            if suppression.acceptance.holds(self.today) {
                let why = format!("Suppressed until {expires} by {owner}: {reason}.");
                return Decision { action: Action::Suppressed, why };
            }
            expired = format!(" Its suppression by {owner} expired on {expires}.");
            let fingerprint = suppression.fingerprint;
            self.notices.insert(format!(
                "the suppression of {fingerprint} by {owner} expired on {expires} and no longer holds"
            ));
        }
        let mut decision = self.unsuppressed(finding, location, confidence);
        decision.why.push_str(&expired);
        decision
    }

    /// Decides on one location of a secret that is live: it blocks, whatever suppressions and exceptions say. Only an
    /// acceptance of exactly this, by two owners and until a day, lets it pass, or who runs the scan and turns all
    /// blocking off.
    pub fn decide_live(&mut self, finding: &Finding, location: &Location) -> Decision {
        let policy = self.policy;
        for &index in self.suppressions.get(&finding.fingerprint).into_iter().flatten() {
            let suppression = &policy.suppressions[index];
            if suppression.path.as_ref().is_none_or(|path| path.matches(&location.path)) {
                self.used_suppressions.insert(index);
                self.notices.insert(format!(
                    "the suppression of {} by {} does not hold: the secret is live; rotate it",
                    suppression.fingerprint, suppression.acceptance.owner
                ));
            }
        }
        let mut expired = String::new();
        for (index, accepted) in self.policy.accepted_live.iter().enumerate() {
            let here = accepted.path.as_ref().is_none_or(|path| path.matches(&location.path));
            if accepted.fingerprint != finding.fingerprint || !here {
                continue;
            }
            self.used_accepted_live.insert(index);
            let Acceptance { owner, reason, expires } = &accepted.acceptance;
            if accepted.acceptance.holds(self.today) {
                let why = format!("It is live, and accepted until {expires} by {owner}: {reason}.");
                return Decision { action: Action::Suppressed, why };
            }
            expired = format!(" Its acceptance by {owner} expired on {expires}.");
            let fingerprint = accepted.fingerprint;
            self.notices.insert(format!(
                "the acceptance of the live {fingerprint} by {owner} expired on {expires} and no longer holds"
            ));
        }
        match self.policy.confidence {
            Threshold::Never => {
                Decision { action: Action::Report, why: "Nothing blocks in this run.".to_owned() }
            }
            Threshold::From(_) => Decision {
                action: Action::Block,
                why: format!("It blocks: a live secret does, whatever the policy accepts.{expired}"),
            },
        }
    }

    /// Decides on a secret that a receipt proves dead. Its suppression, should there be one, has had its use.
    pub fn decide_dead(&mut self, finding: &Finding, receipt: &ReceiptId) -> Decision {
        self.used_suppressions.extend(self.suppressions.get(&finding.fingerprint).into_iter().flatten());
        let same = |accepted: &AcceptLive| accepted.fingerprint == finding.fingerprint;
        let used = self.policy.accepted_live.iter().enumerate().filter(|(_, accepted)| same(accepted));
        self.used_accepted_live.extend(used.map(|(index, _)| index));
        let why = format!("It does not block: receipt {receipt} proves it dead.");
        Decision { action: Action::Report, why }
    }

    fn unsuppressed(&self, finding: &Finding, location: &Location, confidence: Confidence) -> Decision {
        let Threshold::From(weakest) = self.policy.confidence else {
            return Decision { action: Action::Report, why: "Nothing blocks in this run.".to_owned() };
        };
        let exception = self.policy.overrides.iter().rev();
        if let Some(exception) =
            exception.into_iter().find(|exception| exception.when.holds(finding, location, confidence))
        {
            let (action, word) = match exception.action {
                OverrideAction::Block => (Action::Block, "blocks"),
                OverrideAction::Report => (Action::Report, "does not block"),
            };
            return Decision { action, why: format!("By an exception it {word}: {}.", exception.reason) };
        }
        if confidence < weakest {
            let why = format!("It does not block: only {} and stronger do.", weakest.word());
            return Decision { action: Action::Report, why };
        }
        if finding.severity < self.policy.severity {
            let why =
                format!("It does not block: only severity {} and up does.", self.policy.severity.word());
            return Decision { action: Action::Report, why };
        }
        Decision { action: Action::Block, why: format!("It blocks: {} and stronger do.", weakest.word()) }
    }

    /// Whether a gap at a place is allowed.
    pub fn allows_skip(&mut self, reason: &str, at: &str) -> bool {
        let mut allowed = false;
        for (index, allow) in self.policy.allow_skips.iter().enumerate() {
            let here = allow.path.as_ref().is_none_or(|path| path.matches(at));
            if allow.reason_is != reason || !here {
                continue;
            }
            self.used_skips.insert(index);
            let Acceptance { owner, expires, .. } = &allow.acceptance;
            if allow.acceptance.holds(self.today) {
                allowed = true;
            } else {
                self.notices.insert(format!(
                    "the allowed skip `{reason}` of {owner} expired on {expires} and no longer holds"
                ));
            }
        }
        allowed
    }

    /// What a person should know: what has expired, and what matched nothing.
    pub fn notices(self) -> Vec<String> {
        let mut notices = self.notices;
        let unused = |used: &BTreeSet<usize>, index: &usize| !used.contains(index);
        for index in (0..self.policy.suppressions.len()).filter(|i| unused(&self.used_suppressions, i)) {
            let Suppression { fingerprint, acceptance, .. } = &self.policy.suppressions[index];
            notices.insert(format!(
                "the suppression of {fingerprint} by {} matches nothing: remove it",
                acceptance.owner
            ));
        }
        for index in (0..self.policy.accepted_live.len()).filter(|i| unused(&self.used_accepted_live, i)) {
            let AcceptLive { fingerprint, acceptance, .. } = &self.policy.accepted_live[index];
            notices.insert(format!(
                "the acceptance of the live {fingerprint} by {} matches nothing: remove it",
                acceptance.owner
            ));
        }
        for index in (0..self.policy.allow_skips.len()).filter(|i| unused(&self.used_skips, i)) {
            let AllowSkip { reason_is, acceptance, .. } = &self.policy.allow_skips[index];
            notices.insert(format!(
                "the allowed skip `{reason_is}` of {} matches nothing: remove it",
                acceptance.owner
            ));
        }
        notices.into_iter().collect()
    }
}

#[cfg(test)]
mod tests;
