//! A baseline: findings that a person accepts for a while, so that a team with old leaks can start to block new
//! ones. It suppresses exactly the secrets that it names; a new secret on the same line still blocks.

use std::io::{self, Write};

use jiff::ToSpan;
use jiff::civil::Date;
use shared::finding::{Action, Report};

use crate::report::place;
use crate::report::printable::printable;

/// Three months to revoke what is old; then it blocks again.
const DAYS: i64 = 90;

/// Writes the findings that are not suppressed. Whoever signs it off puts in owners and reasons.
///
/// # Errors
/// The writer's own.
pub fn write(report: &Report, owner: &str, today: Date, out: &mut dyn Write) -> io::Result<()> {
    let expires = today.saturating_add(DAYS.days());
    writeln!(
        out,
        "# Accepted findings. Read each one: an accepted secret is still leaked until it is revoked."
    )?;
    writeln!(out, "version = 1")?;
    writeln!(out, "key_id = \"{}\"", report.key_id)?;
    for finding in report.findings.iter().filter(|finding| finding.action != Action::Suppressed) {
        let place = finding.locations.first().map(place::phrase).unwrap_or_default();
        writeln!(out)?;
        // A comment ends with its line, and a printable text has no line feed.
        writeln!(out, "# {} ({}), {}", finding.rule, finding.preview, printable(&place))?;
        writeln!(out, "[[suppress]]")?;
        writeln!(out, "fingerprint = \"{}\"", finding.fingerprint)?;
        writeln!(out, "owner = {}", toml::Value::from(owner))?;
        writeln!(out, "reason = \"found in the first scan on {today}, to be revoked\"")?;
        writeln!(out, "expires = {expires}")?;
    }
    Ok(())
}
