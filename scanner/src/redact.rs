//! The redactor: every string that a report copies from a target passes it.
//!
//! Paths, labels, tags and history lines hold secrets too: a build argument stands in `created_by`, a token in
//! the name of a backup. A string is masked where a rule finds a secret in it, and where it repeats, plainly or
//! encoded, a secret that was found elsewhere in the run: those are recognised by their fingerprints, so that
//! the redactor holds no secret either.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ops::Range;

use data_encoding::{BASE64, BASE64_NOPAD, BASE64URL, BASE64URL_NOPAD, HEXLOWER_PERMISSIVE};
use shared::coverage::Ledger;
use shared::finding::{Finding, Image, Layer, Location, Report};
use shared::fingerprint::Fingerprint;
use shared::secret::Redacted;

use crate::blob::Content;
use crate::matcher::{Engine, Hit, Scratch};

/// What stands in place of a secret.
pub const MASK: &str = "[redacted]";
/// A shorter piece of a name is no secret, and masking it would garble names by chance.
const PIECE_BYTES_MIN: usize = 6;
/// Strings beyond this are cut before they are searched: a history line of megabytes helps nobody.
const TEXT_BYTES_MAX: usize = 64 * 1024;
/// In a longer text a secret is looked for behind separators alone, not at every byte.
const EVERY_BYTE_MAX: usize = 1024;
/// How many fingerprints one run makes for names, about a second's work: a target with a million long names must
/// not keep the report waiting. Beyond the half of it secrets are looked for behind separators alone, beyond all
/// of it as whole pieces between separators.
const FINGERPRINTS_MAX: u64 = 10_000_000;
/// Where names fall into pieces, from coarse to fine: a secret may itself hold the finer ones.
const SEPARATORS: [&str; 5] = [" \t\r\n\"'`,;|<>()[]{}", ":/\\@?&#!$", ".", "=%", "-_+~*^"];

/// The secrets of a run, as far as they are known without their bytes.
#[derive(Debug, Default)]
pub struct Found {
    fingerprints: HashSet<Fingerprint>,
    /// Of those that were found as plain text.
    lengths: BTreeSet<usize>,
}

impl Found {
    /// Everything that these findings tell.
    pub fn of(findings: &[Finding]) -> Self {
        let mut found = Self::default();
        for finding in findings {
            found.fingerprints.insert(finding.fingerprint);
            let plain = finding.locations.iter().filter(|location| location.decoded.is_empty());
            for length in plain.map(|location| location.byte_end.saturating_sub(location.byte_start)) {
                found.insert(finding.fingerprint, usize::try_from(length).unwrap_or(usize::MAX));
            }
        }
        found
    }

    /// One secret of a known length, in bytes.
    pub fn insert(&mut self, fingerprint: Fingerprint, length: usize) {
        self.fingerprints.insert(fingerprint);
        if (PIECE_BYTES_MIN..=TEXT_BYTES_MAX).contains(&length) {
            self.lengths.insert(length);
        }
    }
}

/// Masks secrets in strings. Remembers what it has seen: one history line stands in every location of a layer.
pub struct Redactor<'e> {
    engine: &'e Engine,
    scratch: Scratch,
    found: Found,
    fingerprints_left: u64,
    seen: HashMap<String, String>,
}

impl<'e> Redactor<'e> {
    /// For one run, which found these secrets.
    pub fn new(engine: &'e Engine, found: Found) -> Self {
        let (scratch, seen) = (engine.scratch(), HashMap::new());
        Self { engine, scratch, found, fingerprints_left: FINGERPRINTS_MAX, seen }
    }

    /// The text with every secret masked.
    pub fn text(&mut self, text: &str) -> String {
        if let Some(known) = self.seen.get(text) {
            return known.clone();
        }
        let masked = self.mask(text);
        self.seen.insert(text.to_owned(), masked.clone());
        masked
    }

    fn mask(&mut self, text: &str) -> String {
        let text = cut(text);
        let mut spans = self.matched(text);
        spans.extend(self.repeated(text));
        spans.sort_by_key(|span| (span.start, span.end));
        let mut masked = String::with_capacity(text.len());
        let mut done = 0;
        for span in spans {
            let start = floor(text, span.start).max(done);
            let end = ceiling(text, span.end);
            if end <= done {
                continue;
            }
            masked.push_str(&text[done..start]);
            // Two secrets that touch are masked as one.
            if start > done || !masked.ends_with(MASK) {
                masked.push_str(MASK);
            }
            done = end;
        }
        masked.push_str(&text[done..]);
        masked
    }

    /// What the rules find.
    fn matched(&mut self, text: &str) -> Vec<Range<usize>> {
        let searched = match self.engine.search(Content::Slice(text.as_bytes()), &mut self.scratch) {
            Ok(searched) => searched,
            // A slice cannot fail to be read; should it, what was found still counts.
            Err(error) => error.searched,
        };
        let position = |offset: u64| usize::try_from(offset).unwrap_or(usize::MAX).min(text.len());
        // A text of ours is no file: rules for files that are one bare value say nothing about it.
        let of_texts = |hit: &&Hit| self.engine.rules().rule(hit.rule).anchors.small_file == 0;
        let hits = searched.hits.iter().filter(of_texts);
        hits.map(|hit| position(hit.span.start)..position(hit.span.end)).collect()
    }

    /// What repeats a secret of this run.
    fn repeated(&mut self, text: &str) -> Vec<Range<usize>> {
        if self.found.fingerprints.is_empty() {
            return Vec::new();
        }
        let mut spans = self.repeated_as_it_is(text.as_bytes());
        if let Some((decoded, places)) = percent_decoded(text.as_bytes()) {
            let found = self.repeated_as_it_is(&decoded);
            spans.extend(found.into_iter().map(|span| places[span.start]..places[span.end]));
        }
        let mut separators = String::new();
        let mut tried = HashSet::new();
        for finer in std::iter::once("").chain(SEPARATORS) {
            separators.push_str(finer);
            for piece in pieces(text, &separators) {
                if tried.insert((piece.start, piece.end)) && self.is_found(&text[piece.clone()]) {
                    spans.push(piece);
                }
            }
        }
        spans
    }

    /// Plain repetitions: wherever something as long as a secret stands that has its fingerprint.
    fn repeated_as_it_is(&mut self, text: &[u8]) -> Vec<Range<usize>> {
        let everywhere = text.len() <= EVERY_BYTE_MAX && self.fingerprints_left > FINGERPRINTS_MAX / 2;
        let mut spans = Vec::new();
        for start in 0..text.len() {
            if !everywhere && start > 0 && text[start - 1].is_ascii_alphanumeric() {
                continue;
            }
            for &length in &self.found.lengths {
                let Some(piece) = text.get(start..start + length) else { break };
                if self.fingerprints_left == 0 {
                    return spans;
                }
                self.fingerprints_left -= 1;
                let fingerprint = self.engine.key().fingerprint(Redacted::new(piece));
                if self.found.fingerprints.contains(&fingerprint) {
                    spans.push(start..start + length);
                }
            }
        }
        spans
    }

    fn is_found(&self, piece: &str) -> bool {
        let known = |bytes: &[u8]| {
            bytes.len() >= PIECE_BYTES_MIN
                && self.found.fingerprints.contains(&self.engine.key().fingerprint(Redacted::new(bytes)))
        };
        let bytes = piece.as_bytes();
        known(bytes)
            || decodings(bytes).iter().any(|decoded| {
                let utf8 = from_utf16(decoded);
                known(decoded) || known(decoded.trim_ascii()) || utf8.is_some_and(|text| known(&text))
            })
    }

    /// Masks every string of a report that was copied from a target.
    pub fn report(&mut self, report: &mut Report) {
        for target in &mut report.targets {
            *target = self.text(target);
        }
        for notice in &mut report.notices {
            *notice = self.text(notice);
        }
        for scanned in &mut report.images {
            scanned.target = self.text(&scanned.target);
            self.image(&mut scanned.image);
            for layer in &mut scanned.layers {
                self.layer(&mut layer.layer);
            }
        }
        let coverage = &mut report.coverage;
        self.ledger(&mut coverage.excluded);
        self.ledger(&mut coverage.opaque);
        self.ledger(&mut coverage.skipped);
        for finding in &mut report.findings {
            finding.why = self.text(&finding.why);
            for location in &mut finding.locations {
                self.location(location);
            }
        }
    }

    fn ledger<Reason>(&mut self, ledger: &mut Ledger<Reason>) {
        for entry in &mut ledger.entries {
            entry.at = self.text(&entry.at);
            if let Some(detail) = &mut entry.detail {
                *detail = self.text(detail);
            }
        }
    }

    fn location(&mut self, location: &mut Location) {
        location.target = self.text(&location.target);
        location.path = self.text(&location.path);
        for entry in &mut location.entries {
            *entry = self.text(entry);
        }
        if let Some(image) = &mut location.image {
            self.image(image);
        }
        if let Some(layer) = &mut location.layer {
            self.layer(layer);
        }
    }

    fn image(&mut self, image: &mut Image) {
        for tag in &mut image.tags {
            *tag = self.text(tag);
        }
        if let Some(platform) = &mut image.platform {
            *platform = self.text(platform);
        }
    }

    fn layer(&mut self, layer: &mut Layer) {
        if let Some(created_by) = &mut layer.created_by {
            *created_by = self.text(created_by);
        }
    }
}

/// The pieces between separators, as byte ranges.
fn pieces<'t>(text: &'t str, separators: &str) -> impl Iterator<Item = Range<usize>> + use<'t> {
    let separators = separators.to_owned();
    let mut from = 0;
    std::iter::from_fn(move || {
        while from < text.len() {
            let rest = &text[from..];
            let length = rest.find(|c: char| separators.contains(c)).unwrap_or(rest.len());
            let piece = from..from + length;
            let separator = rest[length..].chars().next().map_or(1, char::len_utf8);
            from = piece.end + separator;
            if length >= PIECE_BYTES_MIN {
                return Some(piece);
            }
        }
        None
    })
}

/// What the bytes may stand for.
fn decodings(bytes: &[u8]) -> Vec<zeroize::Zeroizing<Vec<u8>>> {
    let encodings = [&BASE64, &BASE64_NOPAD, &BASE64URL, &BASE64URL_NOPAD, &HEXLOWER_PERMISSIVE];
    let decoded = encodings.iter().filter_map(|encoding| encoding.decode(bytes).ok());
    decoded.map(zeroize::Zeroizing::new).collect()
}

/// UTF-16 of either order, as UTF-8.
fn from_utf16(bytes: &[u8]) -> Option<zeroize::Zeroizing<Vec<u8>>> {
    if !bytes.len().is_multiple_of(2) {
        return None;
    }
    let units = |from: fn([u8; 2]) -> u16| bytes.chunks_exact(2).map(move |pair| from([pair[0], pair[1]]));
    let text = [u16::from_le_bytes, u16::from_be_bytes].into_iter().find_map(|from| {
        String::from_utf16(&units(from).collect::<Vec<u16>>()).ok().filter(|t| t.is_ascii())
    })?;
    Some(zeroize::Zeroizing::new(text.into_bytes()))
}

/// The bytes with `%41` decoded, and where each of them, and the end, stands in the text; nothing without any.
fn percent_decoded(text: &[u8]) -> Option<(zeroize::Zeroizing<Vec<u8>>, Vec<usize>)> {
    let mut decoded = zeroize::Zeroizing::new(Vec::with_capacity(text.len()));
    let mut places = Vec::with_capacity(text.len() + 1);
    let mut at = 0;
    while at < text.len() {
        places.push(at);
        let digits = (text[at] == b'%').then(|| text.get(at + 1..at + 3)).flatten();
        match digits.and_then(|digits| HEXLOWER_PERMISSIVE.decode(digits).ok()).as_deref() {
            Some([byte]) => {
                decoded.push(*byte);
                at += 3;
            }
            _ => {
                decoded.push(text[at]);
                at += 1;
            }
        }
    }
    places.push(text.len());
    (decoded.len() < text.len()).then_some((decoded, places))
}

fn cut(text: &str) -> &str {
    &text[..floor(text, TEXT_BYTES_MAX)]
}

fn floor(text: &str, offset: usize) -> usize {
    (0..=offset.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

fn ceiling(text: &str, offset: usize) -> usize {
    (offset.min(text.len())..=text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len())
}

#[cfg(test)]
mod tests;
