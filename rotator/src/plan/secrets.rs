//! What `sync` would do with each ExternalSecret now: names and keys, never values. Values are read, because only so it is
//! known whether they differ; nothing is written.

use std::io::Write;

use shared::clock::SystemClock;

use crate::cli::PlanArgs;
use crate::controller::audit_of;
use crate::source::Source;
use crate::sync::objects::Objects;
use crate::sync::outcome::{Outcome, Report};
use crate::sync::stores::Stores;
use crate::sync::{Round, Wanted, many};
use crate::target::Target;

/// How many ExternalSecrets are looked at once.
const CONCURRENCY: usize = 16;

/// Looks at every ExternalSecret of these names (all, if none is named) as if it were due.
///
/// # Errors
/// When the audit trail cannot be used.
pub async fn reports(source: &Source, args: &PlanArgs, target: Target) -> Result<Vec<Report>, String> {
    let manifests = &source.manifests;
    let is_meant = |full: &str| {
        let short = full.split_once('/').map_or(full, |(_, short)| short);
        args.names.is_empty() || args.names.iter().any(|name| name == full || name == short)
    };
    let mut wanted: Vec<Wanted> = manifests.external_secrets.iter().cloned().map(Wanted::of_file).collect();
    wanted.extend(many::of_files(manifests).into_iter().map(Wanted::of_file));
    wanted.retain(|wanted| is_meant(&wanted.name));
    let client = source.client.clone().or_else(|| target.client().cloned());
    let audit = audit_of(args.audit.as_ref())?;
    let stores = Stores::new(manifests, Objects::new(manifests, client)).audited(audit);
    let target = Target::Planned(Box::new(target));
    let clock = SystemClock::new();
    let round = Round {
        stores: &stores,
        target: &target,
        reports_to: None,
        events: None,
        clock: &clock,
        concurrency: CONCURRENCY,
        everything: true,
    };
    let reports = round.run(&wanted).await;
    stores.close().await;
    Ok(reports)
}

/// Writes a line for each that would be touched or would fail, then one with the numbers.
///
/// # Errors
/// When the stream cannot be written.
pub fn write(reports: &[Report], out: &mut dyn Write) -> std::io::Result<()> {
    let mut touched = 0;
    let mut failing = 0;
    for report in reports {
        let (word, detail) = match &report.result {
            Ok(Outcome::Created { keys }) => ("CREATE", keys.join(", ")),
            Ok(Outcome::Changed { keys }) if keys.is_empty() => ("CHANGE", "metadata only".to_owned()),
            Ok(Outcome::Changed { keys }) => ("CHANGE", keys.join(", ")),
            Ok(Outcome::Deleted) => ("DELETE", "the store holds none of its values any more".to_owned()),
            Ok(_) => continue,
            Err(error) => {
                failing += 1;
                writeln!(out, "WOULD FAIL {}: {error}", report.secret)?;
                continue;
            }
        };
        touched += 1;
        writeln!(out, "{word}     {}: {detail}", report.secret)?;
    }
    let rest = reports.len() - touched - failing;
    writeln!(
        out,
        "{touched} Secrets to write, {failing} that would fail, {rest} with nothing to do; nothing was done yet"
    )
}
