//! A baseline: findings that a person accepts for a while, so that a team with old leaks can start to block new
//! ones. It suppresses exactly the secrets that it names; a new secret on the same line still blocks.
//!
//! [`write`] makes a first one from a scan. [`Book`] is a baseline file under work: entries come and go, and what
//! a person wrote around them, comments and order, stays as it is.

mod book;
pub mod commands;

use std::io::{self, Write};

use jiff::ToSpan;
use jiff::civil::Date;
use shared::finding::{Action, Finding, Report};

use crate::report::place;
use crate::report::printable::printable;

pub use book::{Book, BookError};

/// Three months to revoke what is old; then it blocks again.
const DAYS: i64 = 90;
/// The first line of every baseline.
const HEADING: &str =
    "# Accepted findings. Read each one: an accepted secret is still leaked until it is revoked.";

/// Writes the findings that are not suppressed. Whoever signs it off puts in owners and reasons.
///
/// # Errors
/// The writer's own.
pub fn write(report: &Report, owner: &str, today: Date, out: &mut dyn Write) -> io::Result<()> {
    let expires = today.saturating_add(DAYS.days());
    writeln!(out, "{HEADING}")?;
    writeln!(out, "version = 1")?;
    writeln!(out, "key_id = \"{}\"", report.key_id)?;
    for finding in report.findings.iter().filter(|finding| finding.action != Action::Suppressed) {
        writeln!(out)?;
        writeln!(out, "{}", comment(finding))?;
        writeln!(out, "[[suppress]]")?;
        writeln!(out, "fingerprint = \"{}\"", finding.fingerprint)?;
        writeln!(out, "owner = {}", toml::Value::from(owner))?;
        writeln!(out, "reason = \"found in the first scan on {today}, to be revoked\"")?;
        writeln!(out, "expires = {expires}")?;
    }
    Ok(())
}

/// The line over an entry: what it is about. A comment ends with its line, and a printable text has no line feed.
fn comment(finding: &Finding) -> String {
    let place = finding.locations.first().map(place::phrase).unwrap_or_default();
    format!("# {} ({}), {}", finding.rule, printable(&finding.preview), printable(&place))
}
