//! The report as people read it.

use std::io::Write;

use jiff::Timestamp;

use super::line::{Line, Report};
use super::secret::SecretLine;

/// The cells of a row.
pub type Cells<const N: usize> = [String; N];

/// Of Rotations.
pub const HEADINGS: [&str; 6] = ["ROTATION", "PHASE", "RUN", "AGE", "NEXT RUN", "STATE"];
/// Of Secrets.
pub const SECRET_HEADINGS: [&str; 5] = ["SECRET", "SOURCE", "AGE", "NEXT REFRESH", "STATE"];
/// Sources in one cell; the JSON has them all.
const SOURCES_SHOWN: usize = 2;
/// Names of consumers in one line; the JSON has them all.
const NAMES_SHOWN: usize = 5;

/// Writes one row for each Rotation and each ExternalSecret, and below it what a person should know.
///
/// # Errors
/// When the stream cannot be written.
pub fn write(report: &Report, out: &mut dyn Write) -> std::io::Result<()> {
    let now = report.generated_at;
    let rotations: Vec<_> = report.rotations.iter().map(|line| (row(line, now), details(line))).collect();
    let secrets: Vec<_> = report
        .external_secrets
        .iter()
        .map(|line| (secret_row(line, now), line.message.iter().cloned().collect()))
        .collect();
    if secrets.is_empty() && rotations.is_empty() {
        return writeln!(out, "no Rotations and no ExternalSecrets");
    }
    write_rows(&HEADINGS, &rotations, out)?;
    if !rotations.is_empty() && !secrets.is_empty() {
        writeln!(out)?;
    }
    write_rows(&SECRET_HEADINGS, &secrets, out)
}

fn write_rows<const N: usize>(
    headings: &[&str; N],
    rows: &[(Cells<N>, Vec<String>)],
    out: &mut dyn Write,
) -> std::io::Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let headings = headings.map(str::to_owned);
    let width = |column: usize| {
        let cells = rows.iter().map(|(row, _)| row).chain([&headings]);
        cells.map(|row| row[column].chars().count()).max().unwrap_or(0)
    };
    let widths: [usize; N] = std::array::from_fn(width);
    write_row(&headings, &widths, out)?;
    for (row, details) in rows {
        write_row(row, &widths, out)?;
        for detail in details {
            writeln!(out, "    {detail}")?;
        }
    }
    Ok(())
}

fn write_row<const N: usize>(
    row: &Cells<N>,
    widths: &[usize; N],
    out: &mut dyn Write,
) -> std::io::Result<()> {
    let cells: Vec<String> = row.iter().zip(widths).map(|(cell, &width)| format!("{cell:<width$}")).collect();
    writeln!(out, "{}", cells.join("  ").trim_end())
}

/// Whether somebody should look.
pub fn is_bad(line: &Line) -> bool {
    line.unreadable.is_some() || line.needs_person.is_some() || line.overdue_since.is_some()
}

/// One Secret, in the order of [`SECRET_HEADINGS`].
pub fn secret_row(line: &SecretLine, now: Timestamp) -> Cells<5> {
    let dash = || "-".to_owned();
    let more = line.source.len().saturating_sub(SOURCES_SHOWN);
    let mut source = line.source.iter().take(SOURCES_SHOWN).cloned().collect::<Vec<_>>().join(", ");
    if more > 0 {
        source.push_str(&format!(" and {more} more"));
    }
    let next = match line.next_refresh {
        None => dash(),
        Some(at) if at <= now => "due".to_owned(),
        Some(at) => format!("{at:.0}"),
    };
    let reason = line.reason.as_deref().filter(|_| line.state.is_bad());
    let state = line.state.text();
    [
        line.secret.clone(),
        if source.is_empty() { dash() } else { source },
        line.age_seconds.map_or_else(dash, age),
        next,
        reason.map_or_else(|| state.to_owned(), |reason| format!("{state}: {reason}")),
    ]
}

/// One Rotation, in the order of [`HEADINGS`].
pub fn row(line: &Line, now: Timestamp) -> Cells<6> {
    let dash = || "-".to_owned();
    let next = match line.next_run {
        _ if line.suspended => "suspended".to_owned(),
        Some(at) if at <= now => "due".to_owned(),
        Some(at) => format!("{at:.0}"),
        None => dash(),
    };
    [
        line.rotation.clone(),
        line.phase.map_or_else(|| "never ran".to_owned(), |phase| phase.to_string()),
        if line.phase.is_some() { line.revision.to_string() } else { dash() },
        line.age_seconds.map_or_else(dash, age),
        next,
        state(line),
    ]
}

/// `6d 3h`, `3h 20m`, `20m`: the two largest units.
pub fn age(seconds: i64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match (days, hours) {
        (0, 0) => format!("{minutes}m"),
        (0, hours) => format!("{hours}h {minutes}m"),
        (days, hours) => format!("{days}d {hours}h"),
    }
}

fn state(line: &Line) -> String {
    if line.unreadable.is_some() {
        return "UNREADABLE".to_owned();
    }
    if line.needs_person.is_some() {
        return "NEEDS A PERSON".to_owned();
    }
    if line.frozen.is_some() {
        return "frozen".to_owned();
    }
    if let Some(since) = line.overdue_since {
        return format!("OVERDUE since {since:.0}");
    }
    if !line.consumers.is_empty() {
        let moved = line.consumers.iter().filter(|consumer| consumer.moved_at.is_some()).count();
        return format!("{moved} of {} consumers moved", line.consumers.len());
    }
    match &line.error {
        Some(error) => format!("{}; tried again", error.class),
        None => "ok".to_owned(),
    }
}

/// What a person should know beside the row.
pub fn details(line: &Line) -> Vec<String> {
    let mut details = Vec::new();
    details.extend(line.unreadable.clone());
    if let Some(needs) = &line.needs_person {
        details.push(format!("since {:.0}: {}", needs.since, needs.why));
        details.push(format!("next: {}", needs.next));
    }
    if let Some(frozen) = &line.frozen {
        details.push(format!("{frozen}; `rotator freeze --lift` ends that"));
    }
    if let Some(at) = line.goes_on_at {
        details.push(format!("the old secret is revoked after {at:.0}"));
    }
    let waiting: Vec<&str> = line
        .consumers
        .iter()
        .filter(|consumer| consumer.moved_at.is_none())
        .map(|consumer| consumer.name.as_str())
        .collect();
    if !waiting.is_empty() {
        let shown = waiting.iter().take(NAMES_SHOWN).copied().collect::<Vec<_>>().join(", ");
        let more = waiting.len().saturating_sub(NAMES_SHOWN);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        details.push(format!("not moved yet: {shown}{more}"));
    }
    for consumer in line.consumers.iter().filter(|c| c.external && c.moved_at.is_none()) {
        details.push(format!("next: `rotator release {} {}`", line.rotation, consumer.name));
    }
    for session in &line.sessions {
        details
            .push(format!("session of {} at {} from {}", session.account, session.endpoint, session.client));
    }
    if let Some(why) = &line.sessions_unknown {
        details.push(format!("sessions not all known: {why}"));
    }
    details
}
