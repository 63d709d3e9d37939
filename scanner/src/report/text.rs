//! The report for people: by image, layer and file, then what to do, then one line that sums up.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::io::{self, Write};

use anstyle::{AnsiColor, Style};
use shared::finding::{Action, Finding, Location, Severity};

use super::printable::{printable, shortened};
use super::{Context, Look, advice, place, summary};

/// How many skips are named; the JSON report has all of them.
const SKIPS_SHOWN: usize = 20;
/// A history line can hold a whole script; its beginning is enough to find it in the Dockerfile.
const CREATED_BY_SHOWN: usize = 400;
/// Narrower than this, wrapping makes text longer and no clearer.
const WIDTH_MIN: usize = 30;

const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();
const RED: Style = AnsiColor::Red.on_default().bold();
const YELLOW: Style = AnsiColor::Yellow.on_default();
const GREEN: Style = AnsiColor::Green.on_default().bold();

/// Writes the report.
///
/// # Errors
/// The writer's own.
pub fn write(context: &Context<'_>, out: &mut dyn Write) -> io::Result<()> {
    let mut page = Page { out, look: context.look };
    let findings = &context.report.findings;
    let places = places(findings).into_iter();
    let places: Vec<_> =
        places.map(|(index, _, location)| Place { index, finding: &findings[index], location }).collect();
    let mut explained = HashSet::new();
    let mut last: Option<&Location> = None;
    for place in &places {
        let group_changed = last.is_none_or(|last| !same_layer(last, place.location));
        if group_changed {
            page.group(place.location)?;
        }
        if group_changed
            || last
                .is_none_or(|last| last.path != place.location.path || last.entries != place.location.entries)
        {
            page.file(place.location)?;
        }
        page.finding(context, place, explained.insert(place.index))?;
        last = Some(place.location);
    }
    page.skips(context)?;
    page.notices(context)?;
    page.summary(context)
}

/// One finding at one of its places.
struct Place<'a> {
    index: usize,
    finding: &'a Finding,
    location: &'a Location,
}

/// Every place of every finding: the finding, which of its places it is, the place. By target, image, layer and
/// file; inside a file from top to bottom, and the worst first on one spot.
pub(super) fn places(findings: &[Finding]) -> Vec<(usize, usize, &Location)> {
    let mut all = Vec::new();
    for (index, finding) in findings.iter().enumerate() {
        all.extend(
            finding.locations.iter().enumerate().map(|(ordinal, location)| (index, ordinal, location)),
        );
    }
    all.sort_by(|a, b| order(a.2, b.2).then_with(|| a.0.cmp(&b.0)));
    all
}

fn order(a: &Location, b: &Location) -> Ordering {
    fn key(location: &Location) -> impl Ord + '_ {
        let image = location.image.as_ref().map(|image| &image.digest);
        let layer = location.layer.as_ref().map(|layer| layer.index);
        let position = (location.line, location.column);
        (&location.target, image, layer, &location.path, &location.entries, position)
    }
    key(a).cmp(&key(b))
}

fn same_layer(a: &Location, b: &Location) -> bool {
    a.target == b.target && a.image == b.image && a.layer == b.layer
}

/// Where the text goes and how it looks.
struct Page<'a> {
    out: &'a mut dyn Write,
    look: Look,
}

impl Page<'_> {
    fn paint(&self, style: Style, text: &str) -> String {
        if self.look.styled { format!("{style}{text}{style:#}") } else { text.to_owned() }
    }

    /// A link that terminals open; the plain address elsewhere.
    fn link(&self, address: &str) -> String {
        let address = printable(address);
        if self.look.styled {
            format!("\x1b]8;;{address}\x1b\\{address}\x1b]8;;\x1b\\")
        } else {
            address.into_owned()
        }
    }

    /// Prose, wrapped, each line behind the same indent.
    fn prose(&mut self, indent: usize, style: Style, text: &str) -> io::Result<()> {
        let width = self.look.width.max(WIDTH_MIN).saturating_sub(indent);
        let options = textwrap::Options::new(width).break_words(false);
        for line in textwrap::wrap(&printable(text), options) {
            writeln!(self.out, "{:indent$}{}", "", self.paint(style, &line))?;
        }
        Ok(())
    }

    fn group(&mut self, location: &Location) -> io::Result<()> {
        let mut heading = location.target.clone();
        if let Some(image) = &location.image {
            let name = place::image_name(image);
            heading.push_str(&format!(" > {name}"));
            if let Some(platform) = &image.platform {
                heading.push_str(&format!(" ({platform})"));
            }
        }
        match &location.layer {
            Some(layer) => {
                let digest = place::short_digest(&layer.digest);
                heading.push_str(&format!(" > layer {} ({digest})", layer.index));
            }
            None if location.image.is_some() => heading.push_str(" > configuration"),
            None => {}
        }
        self.prose(0, BOLD, &heading)?;
        if let Some(step) = location.layer.as_ref().and_then(|layer| layer.created_by.as_deref()) {
            self.prose(0, DIM, &shortened(step.trim(), CREATED_BY_SHOWN))?;
        }
        writeln!(self.out)
    }

    /// A path is one word, never wrapped: people copy it.
    fn file(&mut self, location: &Location) -> io::Result<()> {
        let path = place::full_path(location);
        // A line that begins with two colons is a command to some CI systems.
        let prefix = if path.starts_with("::") { "./" } else { "" };
        writeln!(self.out, "  {}{}", prefix, self.paint(BOLD, &printable(&path)))
    }

    fn finding(&mut self, context: &Context<'_>, place: &Place<'_>, first: bool) -> io::Result<()> {
        let (finding, location) = (place.finding, place.location);
        let action = match finding.action {
            Action::Block => self.paint(RED, "BLOCK"),
            Action::Report => self.paint(YELLOW, "report"),
            Action::Suppressed => self.paint(DIM, "suppressed"),
        };
        let severity = match finding.severity {
            Severity::Critical | Severity::High => self.paint(BOLD, finding.severity.word()),
            Severity::Medium | Severity::Low => finding.severity.word().to_owned(),
        };
        writeln!(self.out, "    {}:{} {action} {severity} {}", location.line, location.column, finding.rule)?;
        if !first {
            let name = finding.fingerprint.to_string();
            if let Some(sentence) = place::state_sentence(location) {
                self.prose(6, Style::new(), &sentence)?;
            }
            self.prose(6, DIM, &format!("the same secret as above, {name}"))?;
            return writeln!(self.out);
        }
        let (description, confidence) = (context.description(&finding.rule), finding.confidence.word());
        self.prose(6, Style::new(), &format!("{description}, {confidence}: {}", finding.preview))?;
        self.prose(6, DIM, &finding.why)?;
        if !location.decoded.is_empty() {
            self.prose(6, DIM, &format!("Seen after decoding {}.", location.decoded.join(", then ")))?;
        }
        if let Some(sentence) = place::state_sentence(location) {
            self.prose(6, Style::new(), &sentence)?;
        }
        match finding.locations.len() as u64 - 1 + finding.locations_omitted {
            0 => {}
            1 => self.prose(6, Style::new(), "It lies in one more place.")?,
            more => self.prose(6, Style::new(), &format!("It lies in {more} more places."))?,
        }
        if finding.action != Action::Suppressed {
            self.steps(context, finding)?;
        }
        writeln!(self.out, "      {}", self.paint(DIM, &finding.fingerprint.to_string()))?;
        writeln!(self.out)
    }

    fn steps(&mut self, context: &Context<'_>, finding: &Finding) -> io::Result<()> {
        let rule = context.rule(&finding.rule);
        for step in advice::steps(finding, rule) {
            match rule.and_then(|rule| rule.revoke.as_deref()).and_then(|link| step.strip_suffix(link)) {
                // The address stays in one piece on its own line if need be, so that it can be opened.
                Some(words) => {
                    let address = rule.and_then(|rule| rule.revoke.as_deref()).unwrap_or_default();
                    let fits = 8 + words.len() + address.len() <= self.look.width;
                    let gap = if fits { " " } else { "\n        " };
                    writeln!(self.out, "      - {}{gap}{}", words.trim_end(), self.link(address))?;
                }
                None => {
                    let width = self.look.width.max(WIDTH_MIN);
                    let options = textwrap::Options::new(width)
                        .initial_indent("      - ")
                        .subsequent_indent("        ");
                    writeln!(self.out, "{}", textwrap::fill(&printable(&step), options))?;
                }
            }
        }
        Ok(())
    }

    fn skips(&mut self, context: &Context<'_>) -> io::Result<()> {
        let skipped = &context.report.coverage.skipped;
        if skipped.total == 0 {
            return Ok(());
        }
        self.prose(0, BOLD, "Not scanned")?;
        for entry in skipped.entries.iter().take(SKIPS_SHOWN) {
            let detail = entry.detail.as_deref().map(|detail| format!(" ({detail})")).unwrap_or_default();
            writeln!(
                self.out,
                "  {}: {}{}",
                printable(&entry.at),
                self.paint(YELLOW, entry.reason.word()),
                printable(&detail)
            )?;
        }
        let more = skipped.total.saturating_sub(skipped.entries.len().min(SKIPS_SHOWN) as u64);
        if more > 0 {
            self.prose(2, DIM, &format!("and {more} more; the JSON report names up to 10,000"))?;
        }
        writeln!(self.out)
    }

    fn notices(&mut self, context: &Context<'_>) -> io::Result<()> {
        for notice in &context.report.notices {
            self.prose(0, YELLOW, &format!("Note: {notice}"))?;
        }
        if context.report.notices.is_empty() { Ok(()) } else { writeln!(self.out) }
    }

    fn summary(&mut self, context: &Context<'_>) -> io::Result<()> {
        let style = match context.report.verdict.status.as_str() {
            "pass" => GREEN,
            "block" => RED,
            _ => YELLOW,
        };
        self.prose(0, style, &summary::verdict(context.report))?;
        self.prose(0, DIM, &summary::coverage(context.report))
    }
}
