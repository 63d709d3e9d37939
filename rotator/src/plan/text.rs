//! A plan as people read it.

use std::io::Write;

use super::entry::{Action, Entry, Plan};

/// Names in one line; the file has them all.
const NAMES_SHOWN: usize = 10;

/// Writes each Rotation with what is done for it.
///
/// # Errors
/// When the stream cannot be written.
pub fn write(plan: &Plan, out: &mut dyn Write) -> std::io::Result<()> {
    for entry in &plan.rotations {
        write_entry(entry, out)?;
    }
    let count = |action: Action| plan.rotations.iter().filter(|entry| entry.action == action).count();
    let (start, resume, nothing) = (count(Action::Start), count(Action::Resume), count(Action::Nothing));
    writeln!(out, "{start} to start, {resume} to go on, {nothing} with nothing to do; nothing was done yet")
}

fn write_entry(entry: &Entry, out: &mut dyn Write) -> std::io::Result<()> {
    let word = match entry.action {
        Action::Start => "START",
        Action::Resume => "GO ON",
        Action::Nothing => "-",
    };
    writeln!(out, "{}: {word} ({})", entry.rotation, entry.why)?;
    if entry.action == Action::Nothing {
        return Ok(());
    }
    let new = &entry.account;
    let account = match &entry.old_account {
        Some(old) if old == new => format!("{old}: the new secret replaces its old one"),
        Some(old) => format!("{new} gets a new secret, then {old} loses its own"),
        None => format!("{new} gets its first secret of ours"),
    };
    writeln!(out, "    account   {account}")?;
    writeln!(out, "    publish   {}", entry.path)?;
    let named = [
        ("Secrets ", &entry.secrets),
        ("restarts", &entry.restarts),
        ("clusters", &entry.clusters),
        ("by hand ", &entry.released_by_hand),
    ];
    for (word, names) in named {
        if !names.is_empty() {
            let shown = names.iter().take(NAMES_SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
            let more = names.len().saturating_sub(NAMES_SHOWN);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            writeln!(out, "    {word}  {shown}{more}")?;
        }
    }
    for statement in &entry.statements {
        writeln!(out, "    target    {statement}")?;
    }
    Ok(())
}
