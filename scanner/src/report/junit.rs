//! `JUnit` XML, for the test views of CI systems: one test case a finding, one a skip.
//!
//! There is no standard; the attributes are those that Jenkins, GitLab and Azure read
//! (<https://github.com/testmoapp/junitxml>).

use std::io::{self, Write};

use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesText, Event};
use shared::finding::{Action, Finding};

use super::printable::printable;
use super::{Context, advice, place};

/// Writes the report.
///
/// # Errors
/// The writer's own.
pub fn write(context: &Context<'_>, out: &mut dyn Write) -> io::Result<()> {
    let report = context.report;
    let mut xml = Writer::new_with_indent(&mut *out, b' ', 2);
    xml.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
    let failures = report.findings.iter().filter(|finding| finding.action == Action::Block).count();
    let skips = &report.coverage.skipped.entries;
    let clean = usize::from(report.findings.is_empty() && skips.is_empty());
    let tests = (report.findings.len() + skips.len() + clean).to_string();
    let seconds = context.times.1.duration_since(context.times.0).as_secs_f64();
    let counts = [
        ("name", "keyturn"),
        ("tests", tests.as_str()),
        ("failures", &failures.to_string()),
        ("errors", &skips.len().to_string()),
        ("time", &format!("{seconds:.3}")),
    ];
    xml.create_element("testsuites").with_attributes(counts).write_inner_content(|xml| {
        xml.create_element("testsuite").with_attributes(counts).write_inner_content(|xml| {
            for finding in &report.findings {
                write_finding(context, finding, xml)?;
            }
            for skip in skips {
                let detail = skip.detail.as_deref().unwrap_or_default();
                let case = xml.create_element("testcase");
                let case = case.with_attributes([("classname", "coverage"), ("name", &*printable(&skip.at))]);
                case.write_inner_content(|xml| {
                    let error = xml.create_element("error").with_attribute(("message", skip.reason.word()));
                    error.write_text_content(BytesText::new(&printable(detail)))?;
                    Ok(())
                })?;
            }
            if clean == 1 {
                let case = xml.create_element("testcase");
                case.with_attributes([("classname", "keyturn"), ("name", "no secrets")]).write_empty()?;
            }
            Ok(())
        })?;
        Ok(())
    })?;
    out.write_all(b"\n")
}

fn write_finding<W: Write>(context: &Context<'_>, finding: &Finding, xml: &mut Writer<W>) -> io::Result<()> {
    let place = finding.locations.first().map(place::phrase).unwrap_or_default();
    let name = format!("{} at {place}", finding.rule);
    let message =
        format!("{} {}: {}", finding.severity.word(), context.description(&finding.rule), finding.preview);
    let mut lines = vec![finding.why.clone()];
    lines.extend(finding.locations.iter().map(place::phrase));
    lines.extend(advice::steps(finding, context.rule(&finding.rule)));
    let text = lines.iter().map(|line| printable(line)).collect::<Vec<_>>().join("\n");
    let case = xml
        .create_element("testcase")
        .with_attributes([("classname", finding.rule.0.as_str()), ("name", &*printable(&name))]);
    case.write_inner_content(|xml| {
        match finding.action {
            Action::Block => xml
                .create_element("failure")
                .with_attributes([("type", finding.severity.word()), ("message", &*printable(&message))])
                .write_text_content(BytesText::new(&text))?,
            Action::Report => xml.create_element("system-out").write_text_content(BytesText::new(&text))?,
            Action::Suppressed => {
                let why = printable(&finding.why);
                xml.create_element("skipped").with_attribute(("message", &*why)).write_empty()?
            }
        };
        Ok(())
    })?;
    Ok(())
}
