//! The report as one page of HTML with everything in it: no script, and it may reach no network.

use std::fmt::Write as _;
use std::io::Write;

use super::line::{Line, Report};
use super::secret::SecretLine;
use super::table::{self, Cells};

const HEAD: &str = r#"<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Keyturn: where every secret stands</title>
<style>
:root { color-scheme: light dark; --line: #8884; --bad: #b3261e; --good: #1b6e3c; }
@media (prefers-color-scheme: dark) { :root { --bad: #ff8a80; --good: #7bd88f; } }
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 76rem; padding: 0 1rem; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; }
caption { text-align: left; padding: .3rem 0; }
th, td { text-align: left; vertical-align: top; padding: .35rem .7rem .35rem 0; border-bottom: 1px solid var(--line); }
td.bad { color: var(--bad); font-weight: 600; } td.good { color: var(--good); }
.note { display: block; font-weight: 400; color: inherit; opacity: .85; overflow-wrap: anywhere; }
</style></head><body>
"#;

/// Writes the page.
///
/// # Errors
/// When the stream cannot be written.
pub fn write(report: &Report, out: &mut dyn Write) -> std::io::Result<()> {
    let mut page = String::from(HEAD);
    let at = report.generated_at;
    let bad = report.rotations.iter().filter(|line| table::is_bad(line)).count()
        + report.external_secrets.iter().filter(|line| line.state.is_bad()).count();
    let sentence = match bad {
        0 => "Nothing needs a look.".to_owned(),
        1 => "One needs a look.".to_owned(),
        bad => format!("{bad} need a look."),
    };
    // A String takes everything.
    let _ = write!(page, "<h1>Where every secret stands</h1>\n<p>{at:.0}. {sentence}</p>\n");
    let now = report.generated_at;
    let rotations = report
        .rotations
        .iter()
        .map(|line: &Line| (table::row(line, now), table::details(line), table::is_bad(line)));
    section(&mut page, "Rotations", &table::HEADINGS, rotations);
    let secrets = report.external_secrets.iter().map(|line: &SecretLine| {
        (table::secret_row(line, now), line.message.iter().cloned().collect(), line.state.is_bad())
    });
    section(&mut page, "Secrets from stores", &table::SECRET_HEADINGS, secrets);
    page.push_str("</body></html>\n");
    out.write_all(page.as_bytes())
}

fn section<const N: usize>(
    page: &mut String,
    title: &str,
    headings: &[&str; N],
    rows: impl ExactSizeIterator<Item = (Cells<N>, Vec<String>, bool)>,
) {
    if rows.len() == 0 {
        return;
    }
    let _ = write!(
        page,
        "<h2>{title}</h2>\n<div class=\"wide\"><table><caption>{} in all</caption><thead><tr>",
        rows.len()
    );
    for heading in headings {
        let _ = write!(page, "<th scope=\"col\">{}</th>", escaped(heading));
    }
    page.push_str("</tr></thead><tbody>\n");
    for (cells, notes, bad) in rows {
        page.push_str("<tr>");
        for (column, cell) in cells.iter().enumerate() {
            if column + 1 < N {
                let _ = write!(page, "<td>{}</td>", escaped(cell));
                continue;
            }
            let class = if bad { "bad" } else { "good" };
            let _ = write!(page, "<td class=\"{class}\">{}", escaped(cell));
            for note in &notes {
                let _ = write!(page, "<span class=\"note\">{}</span>", escaped(note));
            }
            page.push_str("</td>");
        }
        page.push_str("</tr>\n");
    }
    page.push_str("</tbody></table></div>\n");
}

/// Text, whoever wrote it.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c if c.is_control() => safe.push(' '),
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::write;
    use crate::status::line::Report;
    use crate::status::secret::SecretLine;

    #[test]
    fn what_others_wrote_is_text_and_nothing_is_loaded() {
        let mut line = SecretLine::unreadable("shop/<script>alert(1)</script>".to_owned(), &[]);
        line.message = Some("<img src=x onerror=\"alert(1)\">".to_owned());
        let report = Report::new(Timestamp::UNIX_EPOCH, Vec::new(), vec![line]);
        let mut page = Vec::new();
        write(&report, &mut page).unwrap();
        let page = String::from_utf8(page).unwrap();
        assert!(!page.contains("<script") && !page.contains("<img"), "{page}");
        assert!(page.contains("&lt;script&gt;") && page.contains("One needs a look."));
        for outside in ["http://", "https://", "url(", "@import", "src="] {
            assert!(!page.replace("src=x onerror", "").contains(outside), "{outside}");
        }
        assert!(!page.contains("Rotations"), "there are none");
    }
}
