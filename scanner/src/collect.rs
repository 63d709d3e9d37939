//! From hits to findings: every hit meets the places of its blob, and one secret under one rule becomes one
//! finding with all its places.
//!
//! The order of threads leaves no trace: what is kept of a blob depends on the blob alone, and findings and
//! locations are sorted at the end. Paths count only here: equal content is searched once, whatever its names.

pub mod testdata;

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use shared::coverage::Coverage;
use shared::finding::{Action, Confidence, Finding, Location, RuleId};
use shared::fingerprint::Fingerprint;

use crate::blob::{Provenance, Site, Source};
use crate::matcher::Hit;
use crate::rules::{Rule, RuleIndex, RuleSet};

/// How often one secret is kept in one blob: a log may repeat it on every line.
const REPEATS_IN_BLOB_MAX: u32 = 100;
/// How many hits a run keeps, about 300 bytes each. A file made to match everywhere must not grow memory.
const HITS_MAX: u64 = 1_000_000;

/// Takes the hits of all threads.
#[derive(Default)]
pub struct Collector {
    blobs: Mutex<Vec<(Provenance, Vec<Hit>)>>,
    omitted: Mutex<HashMap<(RuleIndex, Fingerprint), u64>>,
    kept: AtomicU64,
    dropped: AtomicU64,
}

/// How a finding stands at one of its places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Belief there: test data lowers it.
    pub confidence: Confidence,
    /// A comment in its line asks to allow it.
    pub allowed: bool,
}

/// A finding before the policy has spoken, with how it stands at each of its places.
#[derive(Clone, Debug)]
pub struct Collected {
    /// The finding; its action and id are not decided yet.
    pub finding: Finding,
    /// For each location, in the same order.
    pub standings: Vec<Standing>,
}

/// A poisoned lock holds data that is as good as before: each critical section is one insertion.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

impl Collector {
    /// Takes the hits of one blob, in the order of their positions.
    pub fn add(&self, provenance: &Provenance, hits: Vec<Hit>) {
        if hits.is_empty() {
            return;
        }
        let mut repeats: HashMap<(RuleIndex, Fingerprint), u32> = HashMap::new();
        let mut kept = Vec::with_capacity(hits.len());
        for hit in hits {
            let key = (hit.rule, hit.fingerprint);
            let count = repeats.entry(key).or_insert(0);
            *count += 1;
            if *count > REPEATS_IN_BLOB_MAX {
                *lock(&self.omitted).entry(key).or_insert(0) += 1;
            } else {
                kept.push(hit);
            }
        }
        let count = kept.len() as u64;
        if self.kept.fetch_add(count, Ordering::Relaxed) + count > HITS_MAX {
            self.dropped.fetch_add(count, Ordering::Relaxed);
            return;
        }
        lock(&self.blobs).push((provenance.clone(), kept));
    }

    /// How many hits were dropped because there were too many: the run is incomplete if there are any.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Lets the sources prepare for [`Collector::findings`]; what they could not tell is a gap.
    pub fn resolve(&self, targets: &[(String, Box<dyn Source>)]) -> Coverage {
        let blobs = lock(&self.blobs);
        let mut gaps = Coverage::default();
        for (index, (_, source)) in targets.iter().enumerate() {
            let of_it = blobs.iter().filter(|(provenance, _)| provenance.target as usize == index);
            let hits: Vec<&Provenance> = of_it.map(|(provenance, _)| provenance).collect();
            gaps.absorb(source.resolve(&hits));
        }
        gaps
    }

    /// All findings, sorted. `targets` are the sources with their names as the user wrote them.
    pub fn findings(self, targets: &[(String, Box<dyn Source>)], rules: &RuleSet) -> Vec<Collected> {
        let blobs = self.blobs.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        let omitted = self.omitted.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut drafts: BTreeMap<(RuleIndex, Fingerprint), Draft> = BTreeMap::new();
        for (provenance, hits) in &blobs {
            let Some((name, source)) = targets.get(provenance.target as usize) else { continue };
            for site in source.locate(provenance) {
                for (hit, confidence) in standing(hits, &site, rules) {
                    let draft = drafts.entry((hit.rule, hit.fingerprint)).or_default();
                    draft.places.push(Place {
                        location: location(name, &site, hit),
                        confidence,
                        allowed: hit.allowed,
                        note: hit.note.clone(),
                        preview: hit.preview.clone(),
                    });
                }
            }
        }
        let mut findings: Vec<Collected> = drafts
            .into_iter()
            .map(|(key, mut draft)| {
                draft.omitted = omitted.get(&key).copied().unwrap_or(0);
                draft.finish(rules.rule(key.0), key.1)
            })
            .collect();
        findings.sort_by(|a, b| {
            let rank = |c: &Collected| (c.finding.severity, c.finding.confidence);
            rank(b)
                .cmp(&rank(a))
                .then_with(|| a.finding.locations.first().cmp(&b.finding.locations.first()))
                .then_with(|| a.finding.rule.cmp(&b.finding.rule))
        });
        findings
    }
}

/// One place of a draft.
struct Place {
    location: Location,
    confidence: Confidence,
    allowed: bool,
    note: Option<String>,
    preview: String,
}

#[derive(Default)]
struct Draft {
    places: Vec<Place>,
    omitted: u64,
}

impl Draft {
    fn finish(mut self, rule: &Rule, fingerprint: Fingerprint) -> Collected {
        self.places.sort_by(|a, b| a.location.cmp(&b.location));
        self.places.dedup_by(|a, b| a.location == b.location);
        let best = self.places.iter().map(|place| place.confidence).max().unwrap_or(rule.confidence);
        let lowered = self.places.iter().all(|place| testdata::is_test_data(&place.location));
        let strongest = self.places.iter().find(|place| place.confidence == best);
        let note = strongest.and_then(|place| place.note.clone());
        let preview = strongest.map(|place| place.preview.clone()).unwrap_or_default();
        let standing = |place: &Place| Standing { confidence: place.confidence, allowed: place.allowed };
        let standings = self.places.iter().map(standing).collect();
        let finding = Finding {
            id: String::new(),
            fingerprint,
            rule: RuleId(rule.id.0.clone()),
            credential: rule.definition.credential.clone(),
            severity: rule.severity,
            confidence: best,
            action: Action::Report,
            why: why(best, note.as_deref(), lowered && best != Confidence::Known),
            preview,
            locations: self.places.into_iter().map(|place| place.location).collect(),
            locations_omitted: self.omitted,
            known: None,
        };
        Collected { finding, standings }
    }
}

/// Why the finding is believed, in one or two sentences.
fn why(confidence: Confidence, note: Option<&str>, lowered: bool) -> String {
    let belief = match confidence {
        Confidence::Known => "It equals a live secret.",
        Confidence::Checked => "Its checksum or inner structure holds.",
        Confidence::Shaped => "It has the provider's format.",
        Confidence::Guessed => "It looks like an assigned secret.",
    };
    let belief = match note {
        Some(note) => format!("{}.", capitalised(note.trim_end_matches('.'))),
        None => belief.to_owned(),
    };
    if lowered { format!("{belief} It lies among test data: one step less sure.") } else { belief }
}

fn capitalised(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map(|first| first.to_uppercase().chain(characters).collect()).unwrap_or_default()
}

fn location(target: &str, site: &Site, hit: &Hit) -> Location {
    Location {
        target: target.to_owned(),
        image: site.image.clone(),
        layer: site.layer.clone(),
        path: site.path.clone(),
        entries: site.entries.clone(),
        line: hit.line,
        column: hit.column,
        column_utf16: (hit.column_utf16 != hit.column).then_some(hit.column_utf16),
        byte_start: hit.span.start,
        byte_end: hit.span.end,
        decoded: hit.decoded.iter().map(|name| (*name).to_owned()).collect(),
        state: site.state,
        hidden_by: site.hidden_by.clone(),
        inherited: false,
        git: site.git.clone(),
    }
}

/// The hits of a blob that hold at one of its places, with their confidence there.
fn standing<'h>(hits: &'h [Hit], site: &Site, rules: &RuleSet) -> Vec<(&'h Hit, Confidence)> {
    // Members of archives stand behind their archive like files in a folder, so that one expression fits both.
    let path =
        std::iter::once(&site.path).chain(&site.entries).map(String::as_str).collect::<Vec<_>>().join("/");
    let test_data = testdata::in_test_data(&site.path, &site.entries);
    let mut standing: Vec<(&Hit, Confidence)> = hits
        .iter()
        .filter(|hit| {
            let rule = rules.rule(hit.rule);
            rule.applies_to_path(&path) && rule.path_allowed(&path).is_none()
        })
        .map(|hit| (hit, if test_data { lowered(hit.confidence) } else { hit.confidence }))
        .collect();
    // The strongest first: known > checked > shaped > guessed, and what was decoded before its encoding.
    standing.sort_by(|(a, a_confidence), (b, b_confidence)| {
        let rank = |hit: &Hit, confidence: Confidence| {
            (confidence, hit.decoded.len(), rules.rule(hit.rule).severity)
        };
        rank(b, *b_confidence)
            .cmp(&rank(a, *a_confidence))
            .then_with(|| (a.span.start, a.span.end, a.rule).cmp(&(b.span.start, b.span.end, b.rule)))
    });
    let mut kept: Vec<(&Hit, Confidence)> = Vec::with_capacity(standing.len());
    let mut taken = Spans::default();
    for (hit, confidence) in standing {
        if !taken.is_covered(hit, confidence) {
            taken.insert(hit, confidence);
            kept.push((hit, confidence));
        }
    }
    kept
}

/// One step down; what equals a live secret stays what it is.
fn lowered(confidence: Confidence) -> Confidence {
    match confidence {
        Confidence::Known => Confidence::Known,
        Confidence::Checked => Confidence::Shaped,
        Confidence::Shaped | Confidence::Guessed => Confidence::Guessed,
    }
}

/// The spans of hits that stand, by their first byte.
#[derive(Default)]
struct Spans {
    by_start: BTreeMap<u64, Vec<(u64, Confidence, usize)>>,
    longest: u64,
}

impl Spans {
    fn insert(&mut self, hit: &Hit, confidence: Confidence) {
        self.longest = self.longest.max(hit.span.end - hit.span.start);
        let same = self.by_start.entry(hit.span.start).or_default();
        same.push((hit.span.end, confidence, hit.decoded.len()));
    }

    /// Whether a stronger hit overlaps, or one of equal strength stands on the very same bytes. Two different
    /// secrets of equal strength may overlap: a URL with its password, a document with its key.
    fn is_covered(&self, hit: &Hit, confidence: Confidence) -> bool {
        // What is known is told apart already, and a dead value must not hide a live one.
        if confidence == Confidence::Known {
            return false;
        }
        let from = hit.span.start.saturating_sub(self.longest);
        let near = self.by_start.range(from..hit.span.end.max(hit.span.start + 1));
        near.flat_map(|(start, spans)| spans.iter().map(move |span| (*start, span))).any(
            |(start, (end, strength, decoded))| {
                let overlaps = start < hit.span.end && hit.span.start < *end;
                let same = start == hit.span.start && *end == hit.span.end;
                let stronger = (*strength, *decoded) > (confidence, hit.decoded.len());
                overlaps && (stronger || (same && *decoded == hit.decoded.len()))
            },
        )
    }
}

#[cfg(test)]
mod tests;
