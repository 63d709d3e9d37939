//! `scanner baseline`: accept findings, drop what no longer matches, join two files, explain one.

use std::collections::{BTreeSet, HashMap};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use jiff::ToSpan;
use jiff::civil::Date;
use shared::finding::{Action, Finding, Report};
use shared::fingerprint::Fingerprint;

use super::{Book, BookError};
use crate::policy::{Acceptance, Suppression};
use crate::report::destination::{Destination, DestinationError};
use crate::report::place;
use crate::report::printable::printable;
use crate::report::read::{self, ReadError};

/// Commands on baselines.
#[derive(Debug, Subcommand)]
pub enum BaselineCommand {
    /// Accept findings of a JSON report for a while.
    Accept(AcceptArgs),
    /// Take out the entries that nothing in a JSON report matches any more.
    Prune(PruneArgs),
    /// Join two baselines. Where both accept the same until another day, the earlier day stands, and it is said.
    Merge(MergeArgs),
    /// Tell who accepted what, why, for how long, and what it matches.
    Explain(ExplainArgs),
}

/// Options of `baseline accept`.
#[derive(Debug, Args)]
pub struct AcceptArgs {
    /// Fingerprints or ids of findings, or their beginnings.
    #[arg(value_name = "FINGERPRINT|ID", required_unless_present_any = ["all", "rule"])]
    pub findings: Vec<String>,
    /// Accept every finding of the report that is not suppressed yet.
    #[arg(long, conflicts_with_all = ["findings", "rule"])]
    pub all: bool,
    /// Accept every finding of this rule. Repeatable.
    #[arg(long, value_name = "RULE")]
    pub rule: Vec<String>,
    /// The JSON report that has them.
    #[arg(long, value_name = "FILE")]
    pub report: PathBuf,
    /// The baseline; made if it is not there.
    #[arg(long, value_name = "FILE")]
    pub baseline: PathBuf,
    /// Who answers for it: a person or a team.
    #[arg(long)]
    pub owner: String,
    /// Why it is accepted, and what will be done.
    #[arg(long)]
    pub reason: String,
    /// The last day on which it holds: 2027-01-31, or a number of days: 30d.
    #[arg(long, value_name = "DAY")]
    pub expires: String,
}

/// Options of `baseline prune`.
#[derive(Debug, Args)]
pub struct PruneArgs {
    /// The JSON report of a scan of everything that the baseline is for.
    #[arg(long, value_name = "FILE")]
    pub report: PathBuf,
    /// The baseline.
    #[arg(long, value_name = "FILE")]
    pub baseline: PathBuf,
    /// Prune although the report is incomplete: what was not seen may still hold an accepted secret.
    #[arg(long)]
    pub incomplete_too: bool,
    /// Say what would be taken out, and change nothing.
    #[arg(long)]
    pub dry_run: bool,
}

/// Options of `baseline merge`.
#[derive(Debug, Args)]
pub struct MergeArgs {
    /// Its comments and order stay.
    pub first: PathBuf,
    /// What the first does not have is added behind.
    pub second: PathBuf,
    /// Where the result goes; default: standard output.
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// Options of `baseline explain`.
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// The baseline.
    pub baseline: PathBuf,
    /// A JSON report, to say what each entry matches in it.
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
}

/// Why a baseline command did not do what it should.
#[derive(Debug, thiserror::Error)]
pub enum BaselineError {
    /// The report.
    #[error(transparent)]
    Report(#[from] ReadError),
    /// The baseline.
    #[error(transparent)]
    Book(#[from] BookError),
    /// Fingerprints of one run name nothing in the next.
    #[error("{}: its fingerprints hold for that run only; scan with a kept key (--fingerprint-key) and accept from that report", path.display())]
    Unstable {
        /// The report.
        path: PathBuf,
    },
    /// Not a day.
    #[error("--expires {given}: write a day (2027-01-31) or a number of days (30d), from today on")]
    Expires {
        /// What was typed.
        given: String,
    },
    /// An empty text.
    #[error("--{option}: it is empty; say it for whoever reads the report")]
    Empty {
        /// The option.
        option: &'static str,
    },
    /// The rule found nothing.
    #[error("--rule {rule}: no finding of the report is of this rule")]
    NoSuchRule {
        /// What was typed.
        rule: String,
    },
    /// Accepting it would change nothing.
    #[error("{fingerprint} ({rule}) is a live secret: it blocks whatever is accepted; rotate it")]
    Live {
        /// The finding.
        fingerprint: Fingerprint,
        /// Its rule.
        rule: String,
    },
    /// Too little was seen to say that something is gone.
    #[error("{}: {skipped} parts were not seen, and an accepted secret may lie there; scan all of it, or say --incomplete-too", path.display())]
    Incomplete {
        /// The report.
        path: PathBuf,
        /// How many.
        skipped: u64,
    },
    /// The file could not be written.
    #[error(transparent)]
    Output(#[from] DestinationError),
}

/// What a command says: to standard output, and what a person must not miss to standard error.
#[derive(Debug, Default)]
pub struct Said {
    /// The answer.
    pub out: String,
    /// One line each.
    pub notes: Vec<String>,
}

/// Runs a command.
///
/// # Errors
/// When a file cannot be used, or the command asks for what cannot be. Nothing is written then.
pub fn run(command: &BaselineCommand, today: Date) -> Result<Said, BaselineError> {
    match command {
        BaselineCommand::Accept(args) => accept(args, today),
        BaselineCommand::Prune(args) => prune(args),
        BaselineCommand::Merge(args) => merge(args),
        BaselineCommand::Explain(args) => explain(args, today),
    }
}

fn accept(args: &AcceptArgs, today: Date) -> Result<Said, BaselineError> {
    let acceptance = Acceptance {
        owner: not_empty("owner", &args.owner)?,
        reason: not_empty("reason", &args.reason)?,
        expires: day(&args.expires, today)
            .ok_or_else(|| BaselineError::Expires { given: args.expires.clone() })?,
    };
    let report = read::report(&args.report)?;
    if !report.stable {
        return Err(BaselineError::Unstable { path: args.report.clone() });
    }
    let mut book = if args.baseline.try_exists().unwrap_or(true) {
        Book::read(&args.baseline)?
    } else {
        Book::new(&args.baseline, report.key_id)
    };
    book.agree_on_key(report.key_id, &args.report.display().to_string())?;
    let mut said = Said::default();
    let mut seen = BTreeSet::new();
    for finding in chosen(args, &report)? {
        if !seen.insert(finding.fingerprint) {
            continue;
        }
        let word = if book.accept(finding, &acceptance) { "accepted" } else { "renewed" };
        // Writing to a String cannot fail, here and below.
        let _ = writeln!(
            said.out,
            "{word} until {}: {} {} ({})",
            acceptance.expires,
            finding.fingerprint,
            finding.rule,
            printable(&finding.preview)
        );
    }
    book.write(&Destination::File(args.baseline.clone()))?;
    Ok(said)
}

fn chosen<'r>(args: &AcceptArgs, report: &'r Report) -> Result<Vec<&'r Finding>, BaselineError> {
    let live = |finding: &Finding| finding.known.as_ref().is_some_and(|known| known.state.is_live());
    let open = |finding: &&Finding| finding.action != Action::Suppressed && !live(finding);
    if args.all {
        return Ok(report.findings.iter().filter(open).collect());
    }
    let mut chosen = Vec::new();
    for name in &args.findings {
        chosen.extend(read::pick(report, name)?);
    }
    for rule in &args.rule {
        let of_rule: Vec<_> = report.findings.iter().filter(|finding| finding.rule.0 == *rule).collect();
        if of_rule.is_empty() {
            return Err(BaselineError::NoSuchRule { rule: rule.clone() });
        }
        chosen.extend(of_rule);
    }
    match chosen.iter().find(|finding| live(finding)) {
        Some(finding) => {
            Err(BaselineError::Live { fingerprint: finding.fingerprint, rule: finding.rule.to_string() })
        }
        None => Ok(chosen),
    }
}

fn not_empty(option: &'static str, text: &str) -> Result<String, BaselineError> {
    let text = text.trim();
    if text.is_empty() { Err(BaselineError::Empty { option }) } else { Ok(text.to_owned()) }
}

/// A day from today on: a date, or a number of days.
fn day(text: &str, today: Date) -> Option<Date> {
    let date = match text.strip_suffix('d') {
        Some(days) => today.checked_add(days.parse::<i32>().ok()?.days()).ok()?,
        None => text.parse().ok()?,
    };
    (date >= today).then_some(date)
}

fn prune(args: &PruneArgs) -> Result<Said, BaselineError> {
    let report = read::report(&args.report)?;
    if !report.stable {
        return Err(BaselineError::Unstable { path: args.report.clone() });
    }
    let mut book = Book::read(&args.baseline)?;
    book.agree_on_key(report.key_id, &args.report.display().to_string())?;
    if report.verdict.skipped > 0 && !args.incomplete_too {
        return Err(BaselineError::Incomplete { path: args.report.clone(), skipped: report.verdict.skipped });
    }
    let matched = matches(&report);
    let used = |entry: &Suppression| !matching(&matched, entry).is_empty();
    let keep: Vec<bool> = book.entries().iter().map(used).collect();
    let mut said = Said::default();
    let word = if args.dry_run { "would be taken out" } else { "taken out" };
    for (entry, _) in book.entries().iter().zip(&keep).filter(|(_, keep)| !**keep) {
        let _ = writeln!(
            said.out,
            "{word}: {} of {}: {}",
            entry.fingerprint,
            printable(&entry.acceptance.owner),
            printable(&entry.acceptance.reason)
        );
    }
    let gone = keep.iter().filter(|keep| !**keep).count();
    let _ = writeln!(said.out, "{gone} of {} entries {word}", keep.len());
    if gone > 0 && !args.dry_run {
        book.retain(|index| keep[index]);
        book.write(&Destination::File(args.baseline.clone()))?;
    }
    Ok(said)
}

fn merge(args: &MergeArgs) -> Result<Said, BaselineError> {
    let mut book = Book::read(&args.first)?;
    let second = Book::read(&args.second)?;
    if let Some(key_id) = second.key_id() {
        book.agree_on_key(key_id, &args.second.display().to_string())?;
    }
    let mut said = Said::default();
    for (index, entry) in second.entries().iter().enumerate() {
        let Some(mine) = book.find(entry.fingerprint, &second.path_text(index)) else {
            book.take(&second, index);
            continue;
        };
        let (ours, theirs) = (book.entries()[mine].acceptance.clone(), &entry.acceptance);
        if ours == *theirs {
            continue;
        }
        // What two people accepted differently is accepted no longer than either of them said.
        let (stands, other) = if theirs.expires < ours.expires { (theirs, &ours) } else { (&ours, theirs) };
        said.notes.push(format!(
            "conflict: {}: until {} by {} ({}) stands, until {} by {} ({}) does not",
            entry.fingerprint,
            stands.expires,
            stands.owner,
            stands.reason,
            other.expires,
            other.owner,
            other.reason
        ));
        if theirs.expires < ours.expires {
            book.renew(mine, theirs);
        }
    }
    let place = args.output.clone().filter(|path| path != Path::new("-"));
    let destination = place.map_or(Destination::Stdout, Destination::File);
    book.write(&destination)?;
    Ok(said)
}

fn explain(args: &ExplainArgs, today: Date) -> Result<Said, BaselineError> {
    let mut book = Book::read(&args.baseline)?;
    let report = args.report.as_deref().map(read::report).transpose()?;
    if let (Some(report), Some(path)) = (&report, &args.report) {
        book.agree_on_key(report.key_id, &path.display().to_string())?;
    }
    let matched = report.as_ref().map(matches);
    let mut said = Said::default();
    let mut expired = 0;
    for (index, entry) in book.entries().iter().enumerate() {
        let Acceptance { owner, reason, expires } = &entry.acceptance;
        let days = today.until(*expires).map_or(0, |span| span.get_days());
        let left = match days {
            _ if *expires < today => {
                expired += 1;
                "expired, it no longer holds".to_owned()
            }
            0 => "today is its last day".to_owned(),
            1 => "1 day left".to_owned(),
            days => format!("{days} days left"),
        };
        let _ = writeln!(said.out, "{}", entry.fingerprint);
        let _ = writeln!(said.out, "  {} until {expires} ({left})", printable(owner));
        let _ = writeln!(said.out, "  {}", printable(reason));
        if entry.path.is_some() {
            let _ = writeln!(said.out, "  only in {}", printable(&book.path_text(index)));
        }
        if let Some(matched) = &matched {
            for line in matching(matched, entry) {
                let _ = writeln!(said.out, "  matches {line}");
            }
            if matching(matched, entry).is_empty() {
                let _ = writeln!(said.out, "  matches nothing in the report: prune it");
            }
        }
    }
    let total = book.entries().len();
    let _ = writeln!(said.out, "{total} accepted, {expired} of them expired");
    Ok(said)
}

/// The findings of a report by their secret.
fn matches(report: &Report) -> HashMap<Fingerprint, Vec<&Finding>> {
    let mut matched: HashMap<Fingerprint, Vec<&Finding>> = HashMap::new();
    for finding in &report.findings {
        matched.entry(finding.fingerprint).or_default().push(finding);
    }
    matched
}

/// What an entry matches, one line for each finding. Places that the report counts and does not list may match.
fn matching(findings: &HashMap<Fingerprint, Vec<&Finding>>, entry: &Suppression) -> Vec<String> {
    let findings = findings.get(&entry.fingerprint).into_iter().flatten();
    findings
        .filter_map(|finding| {
            let here = |path: &str| entry.path.as_ref().is_none_or(|patterns| patterns.matches(path));
            let places: Vec<_> = finding.locations.iter().filter(|location| here(&location.path)).collect();
            let count = places.len() as u64 + finding.locations_omitted;
            let first = places.first().copied().or(finding.locations.first())?;
            let more = if count > 1 { format!(" and {} more places", count - 1) } else { String::new() };
            (count > 0).then(|| format!("{}: {}{more}", finding.rule, printable(&place::phrase(first))))
        })
        .collect()
}
