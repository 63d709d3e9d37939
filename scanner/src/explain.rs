//! One finding of a report, told to a person: why it is believed, where it lies, what to do. The value itself is
//! not in a report, so it cannot be told.

use std::fmt::Write;

use shared::finding::{Action, Confidence, Finding, Report};

use crate::report::printable::printable;
use crate::report::{RuleInfo, advice, place};
use crate::rules::{Rule, RuleSet};

/// How many places are listed; the report has the others.
const PLACES_SHOWN: usize = 20;

/// What a check looks at, in words that end the sentence "the check looks at …".
fn looks_at(check: &str) -> Option<&'static str> {
    Some(match check {
        "aws-key-id" => "the account's number inside the key's id",
        "azure-cask" => "the signature at its fixed place in the decoded key",
        "base58check" | "bech32" | "nkey" => "the checksum of the encoding",
        "basic-auth" => "a user and a password inside the base64",
        "github-crc32" | "npm-crc32" => "the CRC-32 at the end",
        "gitlab-routable" => "the CRC-32 and the length of the payload",
        "google-service-account" => "the fields around the private key",
        "grafana" => "the CRC-32 at the end, or the JSON inside",
        "jwt" => "header, claims, expiry and published test keys",
        "key-32" | "key-64" => "the length of the decoded key",
        "luhn" => "the digit sum",
        "password" => "whether the value looks like a password that somebody uses",
        "password-strong" | "password-value" | "key-argument" => "the value alone",
        "password-setting" => "a setting that fills its line",
        "password-told" => "letters with digits or symbols in a sentence",
        "named-value" => "the name beside it, and the value",
        "password-call" => {
            "whether the value looks like a password, and the function's name like one that takes it"
        }
        "pkcs12" | "java-keystore" | "keystore-base64" => {
            "whether a key is inside, and whether a trivial password opens it"
        }
        "pem" => "the structure of the key: DER, OpenSSH or PGP",
        "prefixed" => "whether what stands behind the prefix looks drawn at random",
        "random" => "whether the value looks drawn at random",
        "seed" => "whether it is base32 or hexadecimal, and not made of words",
        "structure" => "the fields inside the token",
        "token" => "whether the value looks drawn at random, and the words before it",
        "url" => "user, password and host",
        _ => return None,
    })
}

/// Tells of findings that have one secret in common. `report_name` is the file that they come from.
pub fn text(report: &Report, findings: &[&Finding], rules: &RuleSet, report_name: &str) -> String {
    let mut text = String::new();
    for finding in findings {
        let rule = rules.find(&finding.rule.0).map(|(_, rule)| rule);
        one(&mut text, finding, rule, rules.hash() != report.tool.rules);
    }
    if let Some(finding) = findings.first().filter(|finding| acceptable(report, finding)) {
        let fingerprint = finding.fingerprint;
        // Writing to a String cannot fail, here and below.
        let _ = writeln!(
            text,
            "To accept it for a while:\n  scanner baseline accept {fingerprint} --report {} --baseline FILE \
             --owner OWNER --reason REASON --expires 30d",
            printable(report_name)
        );
    } else if !report.stable {
        let _ = writeln!(
            text,
            "Its fingerprint holds for this report only: the scan had no kept key (--fingerprint-key)."
        );
    }
    text
}

/// Whether a baseline can accept it: a live secret blocks whatever is accepted.
fn acceptable(report: &Report, finding: &Finding) -> bool {
    let live = finding.known.as_ref().is_some_and(|known| known.state.is_live());
    report.stable && !live && finding.action != Action::Suppressed
}

fn one(text: &mut String, finding: &Finding, rule: Option<&Rule>, other_rules: bool) {
    let description =
        rule.map_or("a rule that this program does not have", |rule| &rule.definition.description);
    let action = match finding.action {
        Action::Block => "blocks",
        Action::Report => "is reported",
        Action::Suppressed => "is suppressed",
    };
    let _ = writeln!(text, "{}: {}", finding.rule, printable(description));
    let _ = writeln!(
        text,
        "  {}, severity {}, confidence {}; it {action}",
        printable(&finding.preview),
        finding.severity.word(),
        finding.confidence.word()
    );
    let _ = writeln!(text, "  {}, id {}", finding.fingerprint, printable(&finding.id));
    let _ = writeln!(text, "\nWhy");
    let _ = writeln!(text, "  {}", printable(&finding.why));
    if let Some(rule) = rule {
        for line in rule_lines(finding, rule) {
            let _ = writeln!(text, "  {}", printable(&line));
        }
        if other_rules {
            let _ = writeln!(
                text,
                "  The report was made with other rules than these; the rule may have changed."
            );
        }
    }
    let _ = writeln!(text, "\nWhere");
    for location in finding.locations.iter().take(PLACES_SHOWN) {
        let _ = writeln!(text, "  {}", printable(&place::phrase(location)));
        for sentence in place::state_sentence(location)
            .into_iter()
            .chain(
                (!location.decoded.is_empty())
                    .then(|| format!("Seen after decoding {}.", location.decoded.join(", then "))),
            )
            .chain(location.inherited.then(|| "It comes from the base image.".to_owned()))
        {
            let _ = writeln!(text, "    {}", printable(&sentence));
        }
    }
    let more = finding.locations.len().saturating_sub(PLACES_SHOWN) as u64 + finding.locations_omitted;
    if more > 0 {
        let _ = writeln!(text, "  and {more} more");
    }
    let info = rule.map(RuleInfo::of);
    let _ = writeln!(text, "\nWhat to do");
    for (index, step) in advice::steps(finding, info.as_ref()).iter().enumerate() {
        let _ = writeln!(text, "  {}. {}", index + 1, printable(step));
    }
    let _ = writeln!(text);
}

/// What the rule asks for, and what its check said.
fn rule_lines(finding: &Finding, rule: &Rule) -> Vec<String> {
    let definition = &rule.definition;
    let mut lines = Vec::new();
    if let Some(entropy) = definition.entropy {
        lines.push(format!("The rule asks for more than {entropy} bits of entropy a byte."));
    }
    for near in &definition.near {
        let need = if near.required { "asks for" } else { "looks for" };
        lines.push(format!("The rule {need} a match of {} within {} lines.", near.rule, near.lines));
    }
    if let Some(check) = &definition.check {
        let looks_at = looks_at(&check.name).unwrap_or("the value");
        let said = match finding.confidence {
            Confidence::Known | Confidence::Checked => "it holds",
            Confidence::Shaped | Confidence::Guessed => "it proves nothing here, and speaks not against it",
        };
        lines.push(format!("Check {}: {looks_at}; {said}.", check.name));
    }
    if let Some(reference) = &definition.reference {
        lines.push(format!("Format: {reference}"));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::looks_at;

    #[test]
    fn every_check_is_told_in_words() {
        for name in crate::check::names() {
            assert!(looks_at(name).is_some(), "{name}");
        }
    }
}
