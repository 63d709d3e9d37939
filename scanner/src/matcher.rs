//! The search: haystacks in, hits out.
//!
//! A prefilter finds the strings of which every match of some rule contains one; around each of them the rule's
//! expression decides, on a bounded slice; what matched is held to the rule's conditions and checks, and
//! overlaps are resolved. A hit never holds bytes of a secret.
//!
//! Guarantees: a match lies within 4 KiB before its anchor and the rule's longest match after it, so that the
//! hits are the same for a slice, for a stream, and for any size of the windows in which a stream is read.

mod expression;
mod fill;
mod guard;
pub mod known;
mod parts;
mod position;
mod prefilter;
mod raw;
pub(crate) mod simd;
pub mod survey;
mod verify;

use std::collections::HashMap;
use std::io::Read;
use std::ops::Range;
use std::sync::{Arc, Mutex, OnceLock};

use shared::finding::Confidence;
use shared::fingerprint::{Fingerprint, FingerprintKey};
use shared::known::KnownIndex;

use zeroize::Zeroizing;

use crate::blob::Content;
use crate::collect::lock;
use crate::decode;
use crate::limits::Limits;
use crate::rules::load::{BEFORE_MAX, MATCH_MAX};
use crate::rules::{RuleIndex, RuleSet, RulesError};
use crate::trust;

use fill::{Filled, fill};
use guard::{Guard, Program};
use known::Known;
use position::Position;
use prefilter::{Candidate, Entry, Found, Prefilter};
use raw::Raw;
use verify::{LINE_CONTEXT, Memories, Place, Verifier};

/// What is searched at once: a window stays in the second-level cache between the prefilter and the rest.
const WINDOW_BYTES: usize = 256 * 1024;
/// What a match and its lines reach back from their anchor, and one byte, so that the window's first byte is
/// never taken for the haystack's.
const BEHIND: usize = BEFORE_MAX + LINE_CONTEXT + 1;
/// What a match and its lines reach forward, and one byte, for the same reason.
const AHEAD: usize = MATCH_MAX + LINE_CONTEXT + 1;

/// The most matches of one haystack, about 300 bytes each. A file that was made to match everywhere must not grow
/// memory; the first ones are kept, and what is known is still looked for.
const MATCHES_MAX: usize = 50_000;

/// One match that stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hit {
    /// The rule, in the engine's set.
    pub rule: RuleIndex,
    /// Belief after checks and context.
    pub confidence: Confidence,
    /// The keyed name of the decoded secret.
    pub fingerprint: Fingerprint,
    /// The whole match, in bytes of the haystack.
    pub match_span: Range<u64>,
    /// The encoded text of the secret, in bytes of the haystack.
    pub span: Range<u64>,
    /// The line of the secret, from 1.
    pub line: u64,
    /// Its column, from 1, in code points.
    pub column: u64,
    /// The same in UTF-16 code units.
    pub column_utf16: u64,
    /// What was decoded to see it, outermost first.
    pub decoded: Vec<&'static str>,
    /// The format's public prefix and the length.
    pub preview: String,
    /// What a check says; never the secret.
    pub note: Option<String>,
    /// A comment in its lines asks to allow it.
    pub allowed: bool,
}

/// What a search gives.
#[derive(Clone, Debug, Default)]
pub struct Searched {
    /// Bytes of the haystack that were searched.
    pub bytes: u64,
    /// By position.
    pub hits: Vec<Hit>,
    /// There are more matches than are kept, the first ones by position: the rest was searched for known values only.
    pub is_cut: bool,
    /// What was not decoded.
    pub gaps: decode::Gaps,
}

/// A haystack that could not be read to its end.
#[derive(Debug, thiserror::Error)]
#[error("read failed after {} bytes: {source}", searched.bytes)]
pub struct ReadError {
    /// What was read until then, searched.
    pub searched: Searched,
    /// What the reader said.
    pub source: std::io::Error,
}

/// The rules, ready to search; one for all threads.
pub struct Engine {
    rules: RuleSet,
    key: FingerprintKey,
    prefilter: Prefilter,
    /// By string, each made at its first candidate.
    guards: Vec<OnceLock<Guard>>,
    /// By rules: what the guards of their strings are made of.
    programs: Mutex<HashMap<Vec<u32>, Option<Arc<Program>>>>,
    verifier: Verifier,
    known: Option<Known>,
    /// How many times larger gzip in base64 may become: the limit `ratio`.
    ratio: u64,
    /// Rules for small files, with the largest size of each.
    small: Vec<(RuleIndex, usize)>,
}

/// The buffers of one thread.
#[derive(Default)]
pub struct Scratch {
    memories: Memories,
    stream: Zeroizing<Vec<u8>>,
    /// One per depth of decoding.
    levels: Vec<Level>,
}

/// Idle buffers. A thread takes some for the length of a haystack, so that one inside another gets its own.
#[derive(Default)]
pub struct Scratches(Mutex<Vec<Scratch>>);

impl Scratches {
    /// Lends buffers.
    pub fn with<T>(&self, engine: &Engine, work: impl FnOnce(&mut Scratch) -> T) -> T {
        let idle = lock(&self.0).pop();
        let mut scratch = idle.unwrap_or_else(|| engine.scratch());
        let done = work(&mut scratch);
        lock(&self.0).push(scratch);
        done
    }
}

#[derive(Default)]
struct Level {
    found: Found,
    /// How far the decoders are.
    progress: decode::Progress,
    /// The text of one piece.
    decoded: Zeroizing<Vec<u8>>,
    /// By rule: up to where its last match reaches, in the haystack.
    done: Vec<(RuleIndex, u64)>,
}

impl Level {
    /// Forgets the haystack before.
    fn renew(&mut self) {
        self.done.clear();
        self.progress = decode::Progress::default();
    }
}

/// A part of a haystack, with as much around it as matches and their lines can reach.
struct Window<'h> {
    bytes: &'h [u8],
    /// Where `bytes` begins in the haystack.
    base: u64,
    /// The part whose anchors belong to this window.
    owned: Range<usize>,
}

impl Engine {
    /// Prepares a search for all rules of a set.
    ///
    /// # Errors
    /// When the rules are too many for the prefilter.
    pub fn new(rules: RuleSet, key: FingerprintKey) -> Result<Self, RulesError> {
        let prefilter = Prefilter::new(&rules);
        let verifier = Verifier::new(&rules);
        let guards = prefilter.entries().iter().map(|_| OnceLock::new()).collect();
        let programs = Mutex::default();
        let small = rules.iter().map(|(index, rule)| (index, rule.anchors.small_file));
        let small = small.filter(|(_, bytes)| *bytes > 0).collect();
        Ok(Self {
            rules,
            key,
            prefilter,
            guards,
            programs,
            verifier,
            known: None,
            small,
            ratio: Limits::default().ratio,
        })
    }

    /// Searches for the values of a known file too.
    pub fn with_known(mut self, index: KnownIndex) -> Self {
        let rule = self.rules.add_known();
        self.known = Some(Known::new(index, rule));
        self
    }

    /// Takes another limit `ratio` than the default one.
    pub fn with_ratio(self, ratio: u64) -> Self {
        Self { ratio, ..self }
    }

    /// The known file, if this run has one.
    pub fn known(&self) -> Option<&Known> {
        self.known.as_ref()
    }

    /// Buffers for one thread.
    pub fn scratch(&self) -> Scratch {
        Scratch::default()
    }

    /// Searches one haystack.
    ///
    /// # Errors
    /// When its stream fails; what was read until then is searched and comes with the error.
    pub fn search(&self, content: Content<'_>, scratch: &mut Scratch) -> Result<Searched, ReadError> {
        self.search_in_windows(content, scratch, WINDOW_BYTES)
    }

    /// [`Engine::search`] with windows of another size, which changes nothing but the time.
    ///
    /// # Errors
    /// As [`Engine::search`].
    pub fn search_in_windows(
        &self,
        content: Content<'_>,
        scratch: &mut Scratch,
        window_bytes: usize,
    ) -> Result<Searched, ReadError> {
        let totals = decode::Totals::new(self.ratio);
        let mut run = Run::new(self, scratch, &totals);
        if let Some(level) = run.scratch.levels.first_mut() {
            level.renew();
        }
        let window_bytes = window_bytes.max(1);
        match content {
            Content::Slice(bytes) => {
                run.slice(bytes, window_bytes);
                Ok(run.finish(bytes.len() as u64))
            }
            Content::Stream { reader, .. } => {
                let (read, outcome) = run.stream(reader, window_bytes);
                let searched = run.finish(read);
                match outcome {
                    Ok(()) => Ok(searched),
                    Err(source) => Err(ReadError { searched, source }),
                }
            }
        }
    }

    /// The guard of a string.
    fn guard(&self, literal: u32, entry: &Entry) -> &Guard {
        self.guards[literal as usize].get_or_init(|| {
            let tail = |index: &u32| {
                let tail = self.rules.rule(RuleIndex(*index)).anchors.tail.as_deref()?;
                crate::rules::load::parse(tail).ok()
            };
            let program = || Program::new(&entry.rules.iter().map(tail).collect::<Vec<_>>()).map(Arc::new);
            let program = lock(&self.programs).entry(entry.rules.clone()).or_insert_with(program).clone();
            Guard::new(program, &entry.bytes, entry.folded)
        })
    }

    /// The rules.
    pub fn rules(&self) -> &RuleSet {
        &self.rules
    }

    /// The key of the fingerprints.
    pub fn key(&self) -> &FingerprintKey {
        &self.key
    }
}

/// Whether a rule's expressions are small enough to run.
pub fn runs(rule: &crate::rules::Rule) -> bool {
    expression::Expression::new(rule).is_some_and(|expression| expression.runs())
}

/// The search of one haystack.
struct Run<'e, 's> {
    engine: &'e Engine,
    scratch: &'s mut Scratch,
    /// What was inflated of it.
    totals: &'s decode::Totals,
    raws: Vec<Raw>,
    /// How far lines are counted.
    position: Position,
    /// There are as many matches as are kept.
    is_full: bool,
}

impl<'e, 's> Run<'e, 's> {
    fn new(engine: &'e Engine, scratch: &'s mut Scratch, totals: &'s decode::Totals) -> Self {
        Self { engine, scratch, totals, raws: Vec::new(), position: Position::START, is_full: false }
    }

    fn finish(self, bytes: u64) -> Searched {
        Searched {
            bytes,
            hits: raw::settle(&self.engine.rules, self.raws),
            is_cut: self.is_full,
            gaps: self.totals.gaps(),
        }
    }

    fn slice(&mut self, bytes: &[u8], window_bytes: usize) {
        let mut start = 0;
        while start < bytes.len() {
            let end = bytes.len().min(start.saturating_add(window_bytes));
            self.window(&Window { bytes, base: 0, owned: start..end });
            start = end;
        }
    }

    /// Reads a stream through one buffer: what a match may reach back to, the window, and what it may reach
    /// forward to. Gives the bytes that were read, also when the stream fails.
    fn stream(&mut self, reader: &mut dyn Read, window_bytes: usize) -> (u64, std::io::Result<()>) {
        let mut buffer = std::mem::take(&mut self.scratch.stream);
        buffer.resize(BEHIND + window_bytes + AHEAD, 0);
        let (mut base, mut filled, mut owned) = (0_u64, 0_usize, 0_usize);
        let outcome = loop {
            let (read, state) = fill(reader, &mut buffer[filled..]);
            filled += read;
            let more = matches!(state, Filled::Full);
            let end = if more { filled - AHEAD } else { filled };
            self.window(&Window { bytes: &buffer[..filled], base, owned: owned..end });
            if !more {
                break match state {
                    Filled::Full | Filled::Ended => Ok(()),
                    Filled::Failed(error) => Err(error),
                };
            }
            let kept = end.saturating_sub(BEHIND);
            self.position.advance(&buffer[..filled], base, base + kept as u64);
            buffer.copy_within(kept..filled, 0);
            base += kept as u64;
            filled -= kept;
            owned = end - kept;
        };
        self.scratch.stream = buffer;
        (base + filled as u64, outcome)
    }

    fn window(&mut self, window: &Window<'_>) {
        self.scratch.memories.trim(window.owned.len());
        let first = self.raws.len();
        let mut found = std::mem::take(&mut self.raws);
        self.level(window, 0, &mut found);
        self.raws = found;
        let new = &mut self.raws[first..];
        if new.is_empty() {
            return;
        }
        // No later window has a hit before this place.
        let floor = window.owned.start.saturating_sub(BEFORE_MAX);
        self.position.advance(window.bytes, window.base, window.base + floor as u64);
        let mut position = self.position;
        place(new, window, &mut position);
        self.limit(window);
    }

    /// Keeps the first matches only, once there are too many and no later window can have an earlier one.
    fn limit(&mut self, window: &Window<'_>) {
        if self.raws.len() <= MATCHES_MAX || self.is_full {
            return;
        }
        self.raws.sort_by_key(|raw| (raw.span.start, raw.span.end, raw.rule, raw.decoded.len()));
        let reach = (window.base + window.owned.end as u64).saturating_sub(BEHIND as u64);
        if self.raws[MATCHES_MAX].span.start < reach || window.owned.end == window.bytes.len() {
            self.raws.truncate(MATCHES_MAX);
            self.is_full = true;
        }
    }

    /// Searches a window of a haystack at one depth of decoding.
    fn level(&mut self, window: &Window<'_>, depth: usize, found: &mut Vec<Raw>) {
        if self.scratch.levels.len() <= depth {
            self.scratch.levels.resize_with(depth + 1, Level::default);
        }
        let mut level = std::mem::take(&mut self.scratch.levels[depth]);
        if !self.is_full {
            self.engine.prefilter.find(window.bytes, window.owned.clone(), &mut level.found);
            for candidate in &level.found.candidates {
                self.candidate(window, candidate, &mut level.done, found);
            }
            if depth == 0 && window.base == 0 && window.owned == (0..window.bytes.len()) {
                self.small_file(window.bytes, found);
            }
        }
        if let Some(known) = self.engine.known.as_ref().filter(|_| found.len() < 2 * MATCHES_MAX) {
            known.search(window, &self.engine.key, found);
        }
        let part = decode::Part { bytes: window.bytes, base: window.base, owned: window.owned.clone() };
        let allowance = decode::Allowance { totals: self.totals, is_outermost: depth == 0 };
        let Level { progress, decoded, .. } = &mut level;
        if depth < decode::DEPTH_MAX {
            progress.decode(&part, allowance, decoded, &mut |piece| self.piece(piece, depth + 1, found));
        } else {
            progress.decode(&part, allowance, decoded, &mut |piece| {
                self.totals.note(|gaps| gaps.is_too_deep |= piece.hides());
            });
        }
        self.scratch.levels[depth] = level;
    }

    /// Runs the rules of a string at its place.
    fn candidate(
        &mut self,
        window: &Window<'_>,
        candidate: &Candidate,
        done: &mut Vec<(RuleIndex, u64)>,
        found: &mut Vec<Raw>,
    ) {
        let engine = self.engine;
        let entry = engine.prefilter.entry(candidate.literal);
        let behind = window.bytes.get(candidate.at + entry.bytes.len()..).unwrap_or_default();
        let open = engine.guard(candidate.literal, entry).ask(behind);
        if open == 0 && entry.rules.len() <= guard::RULES_MAX {
            return;
        }
        let memories = &mut self.scratch.memories;
        for (place, index) in entry.rules.iter().map(|index| RuleIndex(*index)).enumerate() {
            if place < guard::RULES_MAX && open >> place & 1 == 0 {
                continue;
            }
            let anchor = window.base + candidate.at as u64;
            let before = done.iter_mut().find(|(rule, _)| *rule == index);
            if before.as_ref().is_some_and(|(_, until)| anchor < *until) {
                continue;
            }
            let place = Place { bytes: window.bytes, base: window.base, anchor: candidate.at };
            let rule = (index, engine.rules.rule(index));
            let Some((matched, raw)) = engine.verifier.verify(rule, &engine.key, &place, memories) else {
                continue;
            };
            // What was refused is not asked again from another anchor before the same secret.
            let end = if raw.is_some() { matched.end } else { matched.secret_start };
            let until = window.base + end as u64;
            match before {
                Some((_, known)) => *known = until,
                None => done.push((index, until)),
            }
            found.extend(raw);
        }
    }

    /// Tries the rules for small files at each line of one.
    fn small_file(&mut self, bytes: &[u8], found: &mut Vec<Raw>) {
        let engine = self.engine;
        for (index, _) in engine.small.iter().filter(|(_, largest)| bytes.len() <= *largest) {
            let rule = (*index, engine.rules.rule(*index));
            let newlines = memchr::memchr_iter(b'\n', bytes).map(|newline| newline + 1);
            for anchor in std::iter::once(0).chain(newlines).filter(|start| *start < bytes.len()) {
                let place = Place { bytes, base: 0, anchor };
                let verified = engine.verifier.verify(rule, &engine.key, &place, &mut self.scratch.memories);
                found.extend(verified.and_then(|(_, raw)| raw));
            }
        }
    }

    /// Searches decoded text, and maps what is found back to where it came from.
    fn piece(&mut self, piece: &decode::Piece<'_>, depth: usize, found: &mut Vec<Raw>) {
        if let Some(level) = self.scratch.levels.get_mut(depth) {
            level.renew();
        }
        let first = found.len();
        let window = Window { bytes: piece.bytes, base: 0, owned: 0..piece.bytes.len() };
        self.level(&window, depth, found);
        for raw in &mut found[first..] {
            raw.span = piece.map.outer(raw.span.clone());
            raw.match_span = piece.map.outer(raw.match_span.clone());
            raw.decoded.insert(0, piece.label);
        }
    }
}

/// Tells the lines and columns of matches, and whether their lines ask to allow them.
fn place(raws: &mut [Raw], window: &Window<'_>, position: &mut Position) {
    raws.sort_by_key(|raw| raw.span.start);
    for raw in raws {
        position.advance(window.bytes, window.base, raw.span.start);
        (raw.line, raw.column) = position.line_column();
        raw.column_utf16 = position.column_utf16();
        raw.allowed = trust::is_allowed(verify::lines_of(window.bytes, window.base, &raw.span));
        if raw.decoded.first().is_some_and(|label| label.starts_with("utf-16")) {
            // Two bytes a letter; the byte order mark, should there be one, stands in the first line.
            raw.column = raw.column.div_ceil(2);
            raw.column_utf16 = raw.column;
        }
    }
}

#[cfg(test)]
mod tests;
