//! The report as people read it.

use std::io::Write;

use jiff::Timestamp;

use super::line::{Line, Report};

const HEADINGS: [&str; 6] = ["ROTATION", "PHASE", "RUN", "AGE", "NEXT RUN", "STATE"];
/// Names of consumers in one line; the JSON has them all.
const NAMES_SHOWN: usize = 5;

/// Writes one row for each Rotation, and below it what a person should know.
///
/// # Errors
/// When the stream cannot be written.
pub fn write(report: &Report, out: &mut dyn Write) -> std::io::Result<()> {
    if report.rotations.is_empty() {
        return writeln!(out, "no Rotations");
    }
    let rows: Vec<[String; 6]> = report.rotations.iter().map(|line| row(line, report.generated_at)).collect();
    let headings = HEADINGS.map(str::to_owned);
    let width = |column: usize| {
        rows.iter().chain([&headings]).map(|row| row[column].chars().count()).max().unwrap_or(0)
    };
    let widths: [usize; 6] = std::array::from_fn(width);
    write_row(&headings, &widths, out)?;
    for (row, line) in rows.iter().zip(&report.rotations) {
        write_row(row, &widths, out)?;
        for detail in details(line) {
            writeln!(out, "    {detail}")?;
        }
    }
    Ok(())
}

fn write_row(row: &[String; 6], widths: &[usize; 6], out: &mut dyn Write) -> std::io::Result<()> {
    let cells: Vec<String> = row.iter().zip(widths).map(|(cell, &width)| format!("{cell:<width$}")).collect();
    writeln!(out, "{}", cells.join("  ").trim_end())
}

fn row(line: &Line, now: Timestamp) -> [String; 6] {
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

fn details(line: &Line) -> Vec<String> {
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
