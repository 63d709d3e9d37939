use shared::finding::Action;

use crate::report::Format;
use crate::report::tests::{finding, in_layer, rendered, report};

/// What a name from a target could try.
const HOSTILE: &str = "</script><!--<script>alert(1)</script>&amp;\u{202e}'\"\u{2028}";

#[test]
fn a_name_from_a_target_ends_no_block() {
    let mut location = in_layer(HOSTILE);
    if let Some(layer) = &mut location.layer {
        layer.created_by = Some(HOSTILE.into());
    }
    let mut report = report(vec![finding("example-token", Action::Block, vec![location])]);
    report.targets = vec![HOSTILE.into()];
    report.notices = vec![HOSTILE.into()];
    report.tool.version = HOSTILE.into();
    let page = rendered(Format::Html, &report, 80);
    assert_eq!(page.matches("</script>").count(), 2, "the data's and the script's own");
    assert_eq!(page.matches("<script").count(), 2);
    assert!(!page.contains("<!--") && !page.contains('\u{202e}'));
    let data = page.split("id=\"data\">").nth(1).unwrap().split("</script>").next().unwrap();
    let data: serde_json::Value = serde_json::from_str(data).unwrap();
    assert!(data["places"][0][4].as_str().unwrap().starts_with("</script><!--<script>alert(1)"));
}

#[test]
fn the_policy_names_the_script_and_the_style_that_are_there() {
    let page = rendered(Format::Html, &report(vec![]), 80);
    for (tag, directive) in [("style", "style-src"), ("script", "script-src")] {
        let inside =
            page.rsplit(&format!("<{tag}>")).next().unwrap().split(&format!("</{tag}>")).next().unwrap();
        assert!(page.contains(&format!("{directive} '{}'", super::hash(inside))), "{tag}");
    }
    assert!(!page.contains("unsafe-") && page.contains("default-src 'none'"));
    assert!(!super::SCRIPT.contains("innerHTML") && !super::SCRIPT.contains("eval("));
}

#[test]
fn only_web_pages_become_links() {
    assert_eq!(super::data::link(Some("javascript:alert(1)")), None);
    assert_eq!(super::data::link(Some("https://example.com/a")).as_deref(), Some("https://example.com/a"));
}
