//! What the page's script reads: tables of rows that name each other by number, so that fifty thousand findings
//! are a few megabytes.

use std::collections::HashMap;

use serde::{Serialize, Serializer};
use shared::coverage::Ledger;
use shared::finding::{Action, Confidence, Finding, Location, Severity, State};

use crate::report::printable::printable;
use crate::report::{Context, advice, place, text};

/// Everything.
#[derive(Serialize)]
pub(super) struct Page {
    texts: Vec<String>,
    rules: Vec<Rule>,
    images: Vec<Image>,
    findings: Vec<Row>,
    places: Vec<Place>,
    skipped: Gaps,
    opaque: Gaps,
    excluded: Gaps,
}

#[derive(Serialize)]
struct Rule {
    id: String,
    about: String,
    /// Links that a browser may open; nothing else is put into the page.
    reference: Option<String>,
    revoke: Option<String>,
}

#[derive(Serialize)]
struct Image {
    target: String,
    name: String,
    digest: String,
    platform: String,
    layers: Vec<Layer>,
}

#[derive(Serialize)]
struct Layer {
    index: usize,
    digest: String,
    by: String,
    /// As it is stored; none if that is not known.
    bytes: Option<u64>,
}

/// One finding: rule, fingerprint, severity, confidence, action, why, preview, steps, places that are not listed.
struct Row(usize, String, u8, u8, u8, usize, usize, Vec<usize>, u64);

impl Serialize for Row {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (self.0, &self.1, self.2, self.3, self.4, self.5, self.6, &self.7, self.8).serialize(serializer)
    }
}

/// One place: finding, target, image, layer, path, line, column, state, sentence, inherited, decoded, id. What is
/// not there is -1.
struct Place(usize, usize, i64, i64, String, u64, u64, u8, i64, u8, i64, String);

impl Serialize for Place {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let head = (self.0, self.1, self.2, self.3, &self.4, self.5);
        let (a, b, c, d, e, f) = head;
        (a, b, c, d, e, f, self.6, self.7, self.8, self.9, self.10, &self.11).serialize(serializer)
    }
}

/// Parts that were not searched, or not opened.
#[derive(Serialize)]
struct Gaps {
    total: u64,
    entries: Vec<(String, &'static str, String)>,
}

impl Gaps {
    fn of<Reason: Copy>(ledger: &Ledger<Reason>, word: impl Fn(Reason) -> &'static str) -> Self {
        let entries = ledger.entries.iter().map(|entry| {
            let detail = entry.detail.as_deref().unwrap_or_default();
            (shown(&entry.at), word(entry.reason), shown(detail))
        });
        Self { total: ledger.total, entries: entries.collect() }
    }
}

/// Texts that many rows have in common, each kept once.
#[derive(Default)]
struct Texts {
    all: Vec<String>,
    known: HashMap<String, usize>,
}

impl Texts {
    fn add(&mut self, text: &str) -> usize {
        let text = shown(text);
        if let Some(index) = self.known.get(&text) {
            return *index;
        }
        let index = self.all.len();
        self.all.push(text.clone());
        self.known.insert(text, index);
        index
    }

    fn add_some(&mut self, text: Option<&str>) -> i64 {
        text.map_or(-1, |text| signed(self.add(text)))
    }
}

fn signed(index: usize) -> i64 {
    i64::try_from(index).unwrap_or(-1)
}

fn shown(text: &str) -> String {
    printable(text).into_owned()
}

impl Page {
    /// The page of a report.
    pub(super) fn of(context: &Context<'_>) -> Self {
        let report = context.report;
        let coverage = &report.coverage;
        let mut builder =
            Builder { context, texts: Texts::default(), rules: Vec::new(), by_rule: HashMap::new() };
        let mut pictures = Pictures::of(context);
        let findings = report.findings.iter().map(|finding| builder.finding(finding)).collect();
        let ids = place::ids(&report.findings);
        let places = text::places(&report.findings)
            .into_iter()
            .map(|(index, ordinal, location)| {
                builder.place(index, location, &mut pictures, ids[index][ordinal].clone())
            })
            .collect();
        Self {
            texts: builder.texts.all,
            rules: builder.rules,
            images: pictures.images,
            findings,
            places,
            skipped: Gaps::of(&coverage.skipped, |reason| reason.word()),
            opaque: Gaps::of(&coverage.opaque, |reason| reason.word()),
            excluded: Gaps::of(&coverage.excluded, |reason| reason.word()),
        }
    }
}

struct Builder<'a> {
    context: &'a Context<'a>,
    texts: Texts,
    rules: Vec<Rule>,
    by_rule: HashMap<&'a str, usize>,
}

impl<'a> Builder<'a> {
    fn finding(&mut self, finding: &'a Finding) -> Row {
        let info = self.context.rule(&finding.rule);
        let steps = advice::steps(finding, info);
        let rule = match self.by_rule.get(finding.rule.0.as_str()) {
            Some(index) => *index,
            None => self.rule(finding),
        };
        Row(
            rule,
            finding.fingerprint.to_string(),
            severity(finding.severity),
            confidence(finding.confidence),
            action(finding.action),
            self.texts.add(&finding.why),
            self.texts.add(&finding.preview),
            steps.iter().map(|step| self.texts.add(step)).collect(),
            finding.locations_omitted,
        )
    }

    fn rule(&mut self, finding: &'a Finding) -> usize {
        let info = self.context.rule(&finding.rule);
        let index = self.rules.len();
        self.by_rule.insert(&finding.rule.0, index);
        self.rules.push(Rule {
            id: shown(&finding.rule.0),
            about: shown(self.context.description(&finding.rule)),
            reference: info.and_then(|info| link(info.reference.as_deref())),
            revoke: info.and_then(|info| link(info.revoke.as_deref())),
        });
        index
    }

    fn place(&mut self, finding: usize, location: &Location, pictures: &mut Pictures, id: String) -> Place {
        let decoded = (!location.decoded.is_empty()).then(|| location.decoded.join(", then "));
        Place(
            finding,
            self.texts.add(&location.target),
            pictures.image(location).map_or(-1, signed),
            location.layer.as_ref().map_or(-1, |layer| signed(layer.index)),
            shown(&place::full_path(location)),
            location.line,
            location.column,
            state(location.state),
            self.texts.add_some(place::state_sentence(location).as_deref()),
            u8::from(location.inherited),
            self.texts.add_some(decoded.as_deref()),
            id,
        )
    }
}

/// A rule's file may come from anyone: only web pages become links.
pub(super) fn link(address: Option<&str>) -> Option<String> {
    address.filter(|address| address.starts_with("https://") || address.starts_with("http://")).map(shown)
}

/// The images with their layers: those that the report lists, and those that only a place names.
struct Pictures {
    images: Vec<Image>,
    known: HashMap<(String, String), usize>,
}

impl Pictures {
    fn of(context: &Context<'_>) -> Self {
        let mut pictures = Self { images: Vec::new(), known: HashMap::new() };
        for scanned in &context.report.images {
            let index = pictures.add(&scanned.target, &scanned.image);
            pictures.images[index].layers = scanned
                .layers
                .iter()
                .map(|scanned| {
                    let mut layer = layer(&scanned.layer);
                    layer.bytes = scanned.bytes;
                    layer
                })
                .collect();
        }
        pictures
    }

    fn add(&mut self, target: &str, image: &shared::finding::Image) -> usize {
        let key = (target.to_owned(), image.digest.clone());
        if let Some(index) = self.known.get(&key) {
            return *index;
        }
        let index = self.images.len();
        self.images.push(Image {
            target: shown(target),
            name: shown(place::image_name(image)),
            digest: shown(place::short_digest(&image.digest)),
            platform: shown(image.platform.as_deref().unwrap_or_default()),
            layers: Vec::new(),
        });
        self.known.insert(key, index);
        index
    }

    fn image(&mut self, location: &Location) -> Option<usize> {
        let index = self.add(&location.target, location.image.as_ref()?);
        if let Some(found) = &location.layer {
            let layers = &mut self.images[index].layers;
            if !layers.iter().any(|layer| layer.index == found.index) {
                layers.push(layer(found));
                layers.sort_by_key(|layer| layer.index);
            }
        }
        Some(index)
    }
}

fn layer(layer: &shared::finding::Layer) -> Layer {
    Layer {
        index: layer.index,
        digest: shown(place::short_digest(&layer.digest)),
        by: shown(layer.created_by.as_deref().unwrap_or_default().trim()),
        bytes: None,
    }
}

fn severity(severity: Severity) -> u8 {
    match severity {
        Severity::Critical => 0,
        Severity::High => 1,
        Severity::Medium => 2,
        Severity::Low => 3,
    }
}

fn confidence(confidence: Confidence) -> u8 {
    match confidence {
        Confidence::Known => 0,
        Confidence::Checked => 1,
        Confidence::Shaped => 2,
        Confidence::Guessed => 3,
    }
}

fn action(action: Action) -> u8 {
    match action {
        Action::Block => 0,
        Action::Report => 1,
        Action::Suppressed => 2,
    }
}

fn state(state: State) -> u8 {
    match state {
        State::Visible => 0,
        State::Deleted => 1,
        State::Overwritten => 2,
        State::Config => 3,
        State::Orphan => 4,
    }
}
