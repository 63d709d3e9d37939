//! One page with everything in it: the findings by layer on a picture of the image, filters, search, coverage.
//!
//! The page needs no network and may reach none: its policy forbids every request and every script but its own,
//! which is named by its hash. What comes from a target is data: it stands in a JSON block whose markup characters
//! are escaped, and the script puts it into the page as text, never as markup. Without scripts the page still says
//! the verdict and the first findings.

mod data;

use std::io::{self, Write};

use sha2::{Digest, Sha256};
use shared::finding::Action;

use super::printable::printable;
use super::{Context, place, summary};

const STYLE: &str = include_str!("html/page.css");
const SCRIPT: &str = include_str!("html/page.js");
const BODY: &str = include_str!("html/body.html");
/// How many findings a page without scripts lists.
const PLAIN_SHOWN: usize = 100;

/// Writes the page.
///
/// # Errors
/// The writer's own.
pub fn write(context: &Context<'_>, out: &mut dyn Write) -> io::Result<()> {
    let report = context.report;
    let targets = report.targets.join(", ");
    writeln!(out, "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">")?;
    // Before anything else that it shall hold for.
    writeln!(
        out,
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; script-src '{}'; style-src \
         '{}'; img-src data:; base-uri 'none'; form-action 'none'\">",
        hash(SCRIPT),
        hash(STYLE)
    )?;
    writeln!(out, "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">")?;
    writeln!(out, "<meta name=\"referrer\" content=\"no-referrer\">")?;
    writeln!(out, "<meta name=\"color-scheme\" content=\"light dark\">")?;
    // An empty picture, so that a browser does not ask a server for one.
    writeln!(out, "<link rel=\"icon\" href=\"data:,\">")?;
    writeln!(out, "<title>{}: {}</title>", text(&report.verdict.status), text(&targets))?;
    writeln!(out, "<style>{STYLE}</style>\n</head>\n<body>")?;
    head(context, &targets, out)?;
    plain(context, out)?;
    out.write_all(BODY.as_bytes())?;
    out.write_all(b"<script type=\"application/json\" id=\"data\">")?;
    serde_json::to_writer(Escaped(&mut *out), &data::Page::of(context)).map_err(io::Error::from)?;
    writeln!(out, "</script>\n<script>{SCRIPT}</script>\n</body>\n</html>")
}

fn head(context: &Context<'_>, targets: &str, out: &mut dyn Write) -> io::Result<()> {
    let report = context.report;
    let (verdict, coverage) = (summary::verdict(report), summary::coverage(report));
    writeln!(out, "<header class=\"{}\">", class(&report.verdict.status))?;
    writeln!(out, "<p class=\"tool\">Keyturn scanner {}, {}</p>", text(&report.tool.version), when(context))?;
    writeln!(out, "<h1>{}</h1>", text(targets))?;
    writeln!(out, "<p class=\"verdict\">{}</p>", text(&verdict))?;
    writeln!(out, "<p class=\"seen\">{}.</p>", text(&coverage))?;
    if !report.notices.is_empty() {
        writeln!(out, "<ul class=\"notices\">")?;
        for notice in &report.notices {
            writeln!(out, "<li>{}</li>", text(notice))?;
        }
        writeln!(out, "</ul>")?;
    }
    writeln!(out, "</header>")
}

fn when(context: &Context<'_>) -> String {
    context.times.0.strftime("%Y-%m-%d %H:%M UTC").to_string()
}

/// A word of ours; anything else is none.
fn class(status: &str) -> &'static str {
    match status {
        "pass" => "pass",
        "block" => "block",
        _ => "incomplete",
    }
}

/// What a reader without scripts gets.
fn plain(context: &Context<'_>, out: &mut dyn Write) -> io::Result<()> {
    let report = context.report;
    writeln!(out, "<noscript><p>The list, the filters and the picture need this page's own script.</p><ol>")?;
    let blocking = report.findings.iter().filter(|finding| finding.action == Action::Block);
    for finding in blocking.take(PLAIN_SHOWN) {
        let place = finding.locations.first().map(place::phrase).unwrap_or_default();
        writeln!(out, "<li>{}: {} ({})</li>", text(&place), text(&finding.rule.0), text(&finding.preview))?;
    }
    writeln!(out, "</ol></noscript>")
}

/// Text as HTML shows it, inside and outside of attributes.
fn text(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in printable(text).chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            other => safe.push(other),
        }
    }
    safe
}

/// The name by which the policy allows a script or a style (CSP, `hash-source`).
fn hash(source: &str) -> String {
    format!("sha256-{}", data_encoding::BASE64.encode(&Sha256::digest(source.as_bytes())))
}

/// Passes JSON on with `<`, `>` and `&` escaped. They occur in strings alone, where the escape means the same; no
/// text can end the block that it stands in, or open a comment.
struct Escaped<'a>(&'a mut dyn Write);

impl Write for Escaped<'_> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let mut rest = buffer;
        while let Some(at) = rest.iter().position(|byte| matches!(byte, b'<' | b'>' | b'&')) {
            self.0.write_all(&rest[..at])?;
            write!(self.0, "\\u{:04x}", rest[at])?;
            rest = &rest[at + 1..];
        }
        self.0.write_all(rest)?;
        Ok(buffer.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests;
