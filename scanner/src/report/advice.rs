//! What to do about a finding.

use shared::finding::{Action, Finding, State};

use super::RuleInfo;

/// The steps, in order, each one sentence. Revoking comes first: everything else only stops the next leak.
pub fn steps(finding: &Finding, rule: Option<&RuleInfo>) -> Vec<String> {
    let revoke = match (&finding.known, rule.and_then(|rule| rule.revoke.as_deref())) {
        (Some(known), _) if known.state.is_live() => {
            Some("Rotate it: give this report, as JSON, to `rotator respond`.".to_owned())
        }
        (Some(_), _) if finding.action == Action::Block => Some(
            "Give the rotator's receipts with --receipts, if one proves it dead; else rotate it.".to_owned(),
        ),
        (Some(_), _) => None,
        (None, Some(link)) => Some(format!("Revoke it at {link}")),
        (None, None) => Some("Revoke it where it was issued, and issue a new one.".to_owned()),
    };
    let states = |state: State| finding.locations.iter().any(|location| location.state == state);
    let in_image = finding.locations.iter().any(|location| location.layer.is_some());
    let mut steps = Vec::from_iter(revoke);
    if states(State::Config) {
        steps.push(
            "Take it out of ENV, ARG, LABEL and RUN lines: pass it when the container starts, or as a build \
             secret (RUN --mount=type=secret)."
                .to_owned(),
        );
    }
    let in_history = finding.locations.iter().any(|location| location.git.is_some());
    if in_history {
        steps.push(
            "Take it out of the file with a new commit; rewriting the history does not help those who cloned."
                .to_owned(),
        );
    } else if in_image {
        steps.push(
            "Build the layer again without it; a later layer that deletes it does not help.".to_owned(),
        );
    } else if states(State::Visible) {
        steps.push("Take it out of the file, and read it from the environment or a secret store.".to_owned());
    }
    steps
}
