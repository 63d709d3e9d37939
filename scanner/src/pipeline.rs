//! The joint: sources → engine → collector → policy → verdict → report.

use std::collections::{BTreeSet, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use indicatif::ProgressBar;
use jiff::Timestamp;
use shared::coverage::{Coverage, Ledger, Opaque, Skipped};
use shared::finding::{Action, Finding, Report, RuleId, ScannedImage, Tool, VerdictReport};
use shared::fingerprint::KeyOrigin;
use shared::verdict::Verdict;

use crate::blob::{Blob, Content, Flow, Provenance, Sink, Source};
use crate::collect::{Collected, Collector};
use crate::decode::Gaps;
use crate::interrupt::Interrupt;
use crate::known::{Life, Told};
use crate::matcher::{Engine, Scratches, Searched, known};
use crate::plan::ScanPlan;
use crate::policy::{Judge, OpaqueMeans, Policy};
use crate::redact::{Found, Redactor};
use crate::report::{Catalogue, RuleInfo, place};
use crate::rules::{RuleSet, RulesError};
use crate::source::{self, SourceOptions, TargetError};
use crate::trust::Trust;
use crate::{collect, progress};

/// How many places of one finding a report lists. More help nobody, and a report stays small.
const LOCATIONS_MAX: usize = 1000;

/// How many layers a report lists, of all images together: a manifest may name any number.
const LAYERS_MAX: usize = 10_000;

/// Files of this size are searched by all threads, in parts of that size.
const LARGE_BYTES_MIN: usize = 16 << 20;
const PART_BYTES: usize = 4 << 20;

/// What a scan gives.
pub struct Outcome {
    /// The report, redacted.
    pub report: Report,
    /// The decision.
    pub verdict: Verdict,
    /// The rules that the report speaks of.
    pub rules: Catalogue,
    /// When the run began and ended.
    pub times: (Timestamp, Timestamp),
    /// Whether a person ended it early.
    pub interrupted: bool,
}

/// Why a scan could not begin.
#[derive(Debug, thiserror::Error)]
pub enum PipelineError {
    /// A target could not be opened: what and why, redacted like every name of a target.
    #[error("{0}")]
    Target(String),
    /// The rules cannot be searched for.
    #[error(transparent)]
    Rules(#[from] RulesError),
    /// No threads.
    #[error("the threads could not be started: {0}; use a smaller --threads")]
    Threads(#[from] rayon::ThreadPoolBuildError),
}

/// Runs a plan. `opened` is called when every target is open and nothing has been read from it yet.
///
/// # Errors
/// When a target cannot be opened or the rules cannot be used: before anything is searched.
pub fn run(plan: ScanPlan, interrupt: &Interrupt, opened: impl FnOnce()) -> Result<Outcome, PipelineError> {
    let began = Timestamp::now();
    let mut engine = Engine::new(plan.rules, plan.key)?.with_ratio(plan.limits.ratio);
    let mut told = plan.told;
    if let Some(index) = told.index.take() {
        engine = engine.with_known(index);
    }
    let mut targets: Vec<(String, Box<dyn Source>)> = Vec::with_capacity(plan.targets.len());
    for (index, name) in plan.targets.iter().enumerate() {
        let options = SourceOptions {
            target: index as u32,
            limits: plan.limits.clone(),
            platform: plan.platform.clone(),
            verify_diff_ids: plan.verify_diff_ids,
            git: plan.git.clone(),
        };
        let source = source::open(name, &options).map_err(|error| refused(&engine, &error))?;
        targets.push((name.clone(), source));
    }
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(plan.threads.map_or(0, std::num::NonZeroUsize::get))
        .thread_name(|index| format!("scan-{index}"))
        .build()?;
    opened();
    let search = Search {
        engine: &engine,
        interrupt,
        collector: Collector::default(),
        scratches: Scratches::default(),
        bytes_decoded: AtomicU64::new(0),
        gaps: Mutex::default(),
    };
    let mut coverage = Coverage::default();
    for (name, source) in &targets {
        let bar = progress::bar(plan.progress, name, source.bytes_stored());
        let sink = Watched { search: &search, bar: &bar };
        tracing::info!(bytes = source.bytes_stored(), "target opened");
        let mut seen = pool.install(|| source.blobs(&sink));
        bar.finish_and_clear();
        if interrupt.is_requested() {
            seen.skipped.push(name.clone(), Skipped::Interrupted, None);
        } else if seen.blobs == 0 && seen.skipped.total == 0 {
            seen.skipped.push(name.clone(), Skipped::Empty, None);
        }
        coverage.absorb(seen);
    }
    coverage.bytes_decoded = search.bytes_decoded.load(Ordering::Relaxed);
    coverage.absorb(search.gaps.into_inner().unwrap_or_else(PoisonError::into_inner));
    let collector = search.collector;
    coverage.absorb(pool.install(|| collector.resolve(&targets)));
    if collector.dropped() > 0 {
        let detail = format!("too many matches: {} are not listed", collector.dropped());
        coverage.skipped.push("findings".to_owned(), Skipped::Limit, Some(detail));
    }
    if let Some((file, why)) = told.refused.take() {
        coverage.skipped.push(file, Skipped::KnownFile, Some(why));
    }
    coverage.excluded.sort();
    coverage.opaque.sort();
    coverage.skipped.sort();
    let images = images(&targets);
    let mut collected = collector.findings(&targets, engine.rules());
    inherit(&mut collected, &plan.base);
    let rules = catalogue(&collected, engine.rules());
    let today = began.to_zoned(jiff::tz::TimeZone::UTC).date();
    let names = engine.rules().iter().map(|(_, rule)| rule.id.0.clone());
    let mut trust = Trust::read(&plan.targets, names, plan.trust_target);
    let judged =
        judge(&engine, &told, collected, &coverage, Gate { policy: &plan.policy, today, trust: &mut trust });
    let mut notices = plan.notices;
    notices.append(&mut told.notices);
    notices.extend(trust.notices());
    let report = report(&engine, plan.targets, images, notices, coverage, judged);
    let verdict =
        Verdict::of(report.verdict.blocking, usize::try_from(report.verdict.skipped).unwrap_or(usize::MAX));
    let interrupted = interrupt.is_requested();
    Ok(Outcome { report, verdict, rules, times: (began, Timestamp::now()), interrupted })
}

/// The error and its cause in one line.
fn refused(engine: &Engine, error: &TargetError) -> PipelineError {
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}")).unwrap_or_default();
    PipelineError::Target(Redactor::new(engine, Found::default()).text(&format!("{error}{cause}")))
}

/// The searching end of every source.
struct Search<'a> {
    engine: &'a Engine,
    interrupt: &'a Interrupt,
    collector: Collector,
    scratches: Scratches,
    bytes_decoded: AtomicU64,
    /// Blobs that were not searched to the end, or not decoded.
    gaps: Mutex<Coverage>,
}

impl Search<'_> {
    fn search(&self, blob: Blob<'_>) -> Flow {
        if self.interrupt.is_requested() {
            return Flow::Stop;
        }
        let searched = match blob.content {
            Content::Slice(bytes) if bytes.len() >= LARGE_BYTES_MIN && rayon::current_num_threads() > 1 => {
                self.engine.search_in_parts(bytes, PART_BYTES, &self.scratches)
            }
            content => self.scratches.with(self.engine, |scratch| {
                // The source that made the reader has noted the failure; what was read until then counts.
                self.engine.search(content, scratch).unwrap_or_else(|error| error.searched)
            }),
        };
        self.bytes_decoded.fetch_add(searched.bytes, Ordering::Relaxed);
        if searched.is_cut || searched.gaps != Gaps::default() {
            self.note(&blob.provenance, &searched);
        }
        self.collector.add(&blob.provenance, searched.hits);
        Flow::Continue
    }
}

impl Search<'_> {
    /// Says what was not searched of a blob.
    fn note(&self, provenance: &Provenance, searched: &Searched) {
        let Provenance { path, entries, .. } = provenance;
        let at = std::iter::once(path).chain(entries).map(AsRef::as_ref).collect::<Vec<&str>>().join(" > ");
        let Gaps { is_limited, is_damaged, is_too_deep } = searched.gaps;
        let skipped = [
            (searched.is_cut, "too many matches in one file: only the first were kept"),
            (
                is_limited,
                "gzip in base64 expands too many times: see the limit `ratio`; searched as it stands",
            ),
        ];
        let opaque = [
            (is_damaged, Opaque::Corrupt, "gzip in base64 does not decode to its end"),
            (is_too_deep, Opaque::Unsupported, "encoded more than four times, one in the other"),
        ];
        let mut gaps = collect::lock(&self.gaps);
        for (_, detail) in skipped.into_iter().filter(|gap| gap.0) {
            gaps.skipped.push(at.clone(), Skipped::Limit, Some(detail.to_owned()));
        }
        for (_, reason, detail) in opaque.into_iter().filter(|gap| gap.0) {
            gaps.opaque.push(at.clone(), reason, Some(detail.to_owned()));
        }
    }
}

/// The search with the bar of one target.
struct Watched<'a> {
    search: &'a Search<'a>,
    bar: &'a ProgressBar,
}

impl Sink for Watched<'_> {
    fn blob(&self, blob: Blob<'_>) -> Flow {
        self.search.search(blob)
    }

    fn progress(&self, bytes_stored: u64) {
        self.bar.inc(bytes_stored);
    }
}

/// Marks what lies in a layer of the base image.
fn inherit(collected: &mut [Collected], base: &BTreeSet<String>) {
    let locations = collected.iter_mut().flat_map(|one| &mut one.finding.locations);
    for location in locations {
        let layer = location.layer.as_ref();
        location.inherited = layer.is_some_and(|layer| {
            base.contains(&layer.digest)
                || layer.diff_id.as_ref().is_some_and(|diff_id| base.contains(diff_id))
        });
    }
}

/// The images of all targets, as many as a report lists.
fn images(targets: &[(String, Box<dyn Source>)]) -> Vec<ScannedImage> {
    let mut layers = 0;
    let all = targets.iter().flat_map(|(name, source)| {
        source.images().into_iter().map(|image| ScannedImage { target: name.clone(), ..image })
    });
    all.take_while(|image| {
        layers += image.layers.len();
        layers <= LAYERS_MAX
    })
    .collect()
}

fn catalogue(collected: &[Collected], rules: &RuleSet) -> Catalogue {
    let used: HashSet<&RuleId> = collected.iter().map(|one| &one.finding.rule).collect();
    let used = rules.iter().filter(|(_, rule)| used.contains(&rule.id));
    used.map(|(_, rule)| (rule.id.clone(), RuleInfo::of(rule))).collect()
}

/// Findings and gaps after the policy has spoken.
struct Judged {
    findings: Vec<Finding>,
    notices: Vec<String>,
    unseen: u64,
    allowed: u64,
}

/// What decides about findings and gaps.
struct Gate<'a> {
    policy: &'a Policy,
    today: jiff::civil::Date,
    trust: &'a mut Trust,
}

fn judge(
    engine: &Engine,
    told: &Told,
    collected: Vec<Collected>,
    coverage: &Coverage,
    gate: Gate<'_>,
) -> Judged {
    let Gate { policy, today, trust } = gate;
    let mut judge = Judge::new(policy, today);
    let findings = collected.into_iter().map(|one| {
        let life = life(engine, told, &one.finding);
        judged(one, life.as_ref(), &mut judge, trust)
    });
    let findings = findings.collect();
    let (mut unseen, mut allowed) =
        count(&coverage.skipped, |entry| judge.allows_skip(entry.0, entry.1), |r| r.word());
    if policy.opaque == OpaqueMeans::Incomplete {
        let opaque = count(&coverage.opaque, |entry| judge.allows_skip(entry.0, entry.1), |r| r.word());
        unseen += opaque.0;
        allowed += opaque.1;
    }
    Judged { findings, notices: judge.notices(), unseen, allowed }
}

/// What is known of the life of a finding's secret; none if the known file does not list it.
fn life(engine: &Engine, told: &Told, finding: &Finding) -> Option<Life> {
    let known = engine.known().filter(|_| finding.rule.0 == known::RULE)?;
    let state = known.state(&finding.fingerprint)?;
    Some(told.life(state, engine.key().key_id(), &finding.fingerprint))
}

/// The finding with what the policy makes of it: the worst that it makes of any of its places.
fn judged(collected: Collected, life: Option<&Life>, judge: &mut Judge<'_>, trust: &mut Trust) -> Finding {
    let Collected { mut finding, standings } = collected;
    let mut decisions: Vec<_> = finding
        .locations
        .iter()
        .zip(standings)
        .map(|(location, standing)| match life {
            Some(Life::Live) => judge.decide_live(&finding, location),
            Some(Life::Dead(receipt)) => judge.decide_dead(&finding, receipt),
            Some(Life::Unproven) | None => {
                let decision = judge.decide(&finding, location, standing.confidence);
                trust.hear(&finding, location, standing.allowed, decision)
            }
        })
        .collect();
    let rank = |action| match action {
        Action::Block => 0,
        Action::Report => 1,
        Action::Suppressed => 2,
    };
    if let Some(worst) = decisions.iter().min_by_key(|decision| rank(decision.action)) {
        finding.action = worst.action;
        finding.why = format!("{} {}", finding.why, worst.why);
    }
    if finding.locations.len() > LOCATIONS_MAX {
        // The places that decide are listed before the others.
        let mut places: Vec<_> = finding.locations.drain(..).zip(decisions.drain(..)).collect();
        places.sort_by_key(|(_, decision)| rank(decision.action));
        finding.locations_omitted += (places.len() - LOCATIONS_MAX) as u64;
        places.truncate(LOCATIONS_MAX);
        finding.locations = places.into_iter().map(|(location, _)| location).collect();
        finding.locations.sort();
    }
    finding
}

/// How many gaps count, and how many the policy allows; what is counted but not named is never allowed.
fn count<Reason: Copy>(
    ledger: &Ledger<Reason>,
    mut allows: impl FnMut((&str, &str)) -> bool,
    word: impl Fn(Reason) -> &'static str,
) -> (u64, u64) {
    let allowed =
        ledger.entries.iter().filter(|entry| allows((word(entry.reason), &entry.at))).count() as u64;
    (ledger.total - allowed, allowed)
}

fn report(
    engine: &Engine,
    targets: Vec<String>,
    images: Vec<ScannedImage>,
    mut notices: Vec<String>,
    coverage: Coverage,
    judged: Judged,
) -> Report {
    notices.extend(judged.notices);
    let blocking = judged.findings.iter().filter(|finding| finding.action == Action::Block).count();
    let verdict = Verdict::of(blocking, usize::try_from(judged.unseen).unwrap_or(usize::MAX));
    let found = Found::of(&judged.findings);
    let mut report = Report {
        version: shared::finding::REPORT_VERSION,
        tool: Tool {
            name: "keyturn-scanner".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            rules: engine.rules().hash(),
        },
        key_id: engine.key().key_id(),
        stable: engine.key().origin() == KeyOrigin::Kept,
        targets,
        verdict: VerdictReport {
            status: verdict.word().to_owned(),
            blocking,
            skipped: judged.unseen,
            skipped_allowed: judged.allowed,
        },
        images,
        coverage,
        notices,
        findings: judged.findings,
    };
    Redactor::new(engine, found).report(&mut report);
    let ids = place::ids(&report.findings);
    for (finding, ids) in report.findings.iter_mut().zip(ids) {
        finding.id = ids.into_iter().next().unwrap_or_default();
    }
    // Last, because the rotator recomputes the proof from what the report says.
    if let Some(known) = engine.known() {
        for finding in report.findings.iter_mut().filter(|finding| finding.rule.0 == known::RULE) {
            finding.known = known.prove(&finding.fingerprint, &finding.target_digest());
        }
    }
    report
}
