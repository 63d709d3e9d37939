//! Wrong configuration: every problem, each at its place, on one line.

use serde::Deserialize;

use super::{Place, Problems, Source, edits};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Manifest {
    kind: String,
    spec: Spec,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    refresh_interval: Option<String>,
    #[serde(default)]
    data: Vec<Item>,
    count: serde_saphyr::Spanned<u32>,
    provider: Option<Provider>,
}

#[derive(Debug, Deserialize)]
struct Item {
    key: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Provider {
    Vault { server: String },
    File,
}

fn lines(problems: &Problems) -> Vec<String> {
    problems.to_string().lines().map(str::to_owned).collect()
}

fn read(text: &str) -> (Vec<Option<Manifest>>, Vec<String>) {
    let mut problems = Problems::new();
    let source = Source::from_text("m.yaml", text);
    let documents = source.documents(&mut problems);
    let read = documents.iter().map(|document| document.read::<Manifest>(&mut problems)).collect();
    (read, lines(&problems))
}

#[test]
fn all_unknown_fields_of_all_documents_are_listed_with_their_places() {
    let (documents, problems) = read(concat!(
        "# comment\n---\nkind: A\nspec:\n  refreshIntervall: 1h\n  count: 1\n  data:\n  - key: x\n",
        "    colour: blue\n---\nkind: B\nspec:\n  count: 2\n  provider: {vault: {server: x, tokn: y}}\nextra: [1, 2]\n",
    ));
    assert_eq!(documents.iter().flatten().count(), 2, "{problems:?}");
    assert_eq!(
        problems,
        [
            "m.yaml:5:3: unknown field `refreshIntervall`; did you mean `refreshInterval`?",
            "m.yaml:9:5: unknown field `colour`; expected `key`",
            "m.yaml:14:33: unknown field `tokn`; expected `server`",
            "m.yaml:15:1: unknown field `extra`; expected one of `kind`, `spec`",
        ]
    );
    let first = documents[0].as_ref().unwrap();
    assert_eq!((first.kind.as_str(), first.spec.data[0].key.as_str()), ("A", "x"));
    assert_eq!(first.spec.refresh_interval, None, "a mistyped field is not the field");
    let provider = documents[1].as_ref().unwrap().spec.provider.as_ref();
    assert!(matches!(provider, Some(Provider::Vault { server }) if server == "x"), "{provider:?}");
}

#[test]
fn a_wrong_shape_ends_its_document_and_the_next_is_read() {
    let (documents, problems) = read(
        "kind: A\nspec:\n  count: hunter2\n---\nkind: B\nspec: {count: 7}\n---\nkind: C\n---\nkind: [unclosed\n",
    );
    assert!(documents[0].is_none() && documents[2].is_none() && documents[3].is_none());
    let second = documents[1].as_ref().unwrap();
    assert_eq!(second.spec.count.value, 7);
    assert_eq!(problems.len(), 3, "{problems:?}");
    assert!(problems[0].starts_with("m.yaml:3:10: "), "{problems:?}");
    assert!(!problems[0].contains("hunter2"), "a value of the wrong shape is not shown: {problems:?}");
    assert!(
        problems[1].starts_with("m.yaml:8:") && problems[1].contains("`spec` is missing"),
        "{problems:?}"
    );
    assert!(problems[2].starts_with("m.yaml:1"), "{problems:?}");
}

#[test]
fn a_value_that_is_checked_later_knows_its_line_in_the_file() {
    let mut problems = Problems::new();
    let source =
        Source::from_text("m.yaml", "kind: A\nspec: {count: 1}\n---\n\nkind: B\nspec:\n  count: 9\n");
    for document in source.documents(&mut problems) {
        let manifest: Manifest = document.read(&mut problems).unwrap();
        if manifest.spec.count.value > 5 {
            let problem = document.problem(&manifest.spec.count.referenced, "too many", "write at most 5");
            problems.push(problem);
        }
    }
    assert_eq!(problems.unless_any(()).unwrap_err().to_string(), "m.yaml:7:10: too many; write at most 5");
}

#[test]
fn markers_inside_scalars_end_documents_and_directives_belong_to_the_next() {
    let (documents, problems) = read(concat!(
        "%YAML 1.2\n---\nkind: A\nspec: {count: 1}\n...\n# nothing\n...\n---\nkind: |\n  text\n  --- no marker\n",
        "spec: {count: 2}\n--- # a comment\nkind: C\nspec: {count: x}\n",
    ));
    assert_eq!(documents.len(), 3, "{problems:?}");
    assert_eq!(documents[1].as_ref().unwrap().kind, "text\n--- no marker\n");
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].starts_with("m.yaml:15:15: "), "{problems:?}");
}

#[test]
fn an_alias_bomb_is_refused() {
    let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..12 {
        let previous = format!("*a{}", level - 1);
        text += &format!("a{level}: &a{level} [{}]\n", vec![previous; 10].join(", "));
    }
    text += "kind: *a11\nspec: {count: 1}\n";
    let started = std::time::Instant::now();
    let (documents, problems) = read(&text);
    assert!(documents[0].is_none());
    assert!(problems.last().unwrap().contains("more aliases"), "{problems:?}");
    // Without the limit it would not end.
    assert!(started.elapsed() < std::time::Duration::from_secs(120));
}

#[test]
fn deep_nesting_is_refused() {
    let (documents, problems) = read(&format!("kind: {}\n", "[".repeat(100_000)));
    assert!(documents[0].is_none());
    assert_eq!(problems.len(), 1);
}

#[test]
fn the_same_key_twice_is_refused() {
    let (_, problems) = read("kind: A\nkind: B\nspec: {count: 1}\n");
    assert_eq!(problems, ["m.yaml:2:1: the same key twice; keep one of the two"]);
}

#[derive(Debug, Deserialize)]
struct Policy {
    version: u32,
    #[serde(default)]
    rule: Vec<Rule>,
}

#[derive(Debug, Deserialize)]
struct Rule {
    id: toml::Spanned<String>,
}

#[test]
fn toml_problems_have_lines_and_columns() {
    let mut problems = Problems::new();
    let source = Source::from_text(
        "p.toml",
        "version = 1\ncolor = 2\n[[rule]]\nid = \"é\"\nregx = 'x'\n[[rule]]\nid = \"b\"\n",
    );
    let policy: Policy = source.toml(&mut problems).unwrap();
    assert_eq!((policy.version, policy.rule.len()), (1, 2));
    let place = Place::of_byte(source.text(), policy.rule[1].id.span().start);
    problems.push(source.problem(place, "used before", "choose another id"));
    assert_eq!(
        lines(&problems),
        [
            "p.toml:2:1: unknown field `color`; expected one of `version`, `rule`",
            "p.toml:5:1: unknown field `regx`; expected `id`",
            "p.toml:7:6: used before; choose another id",
        ]
    );
}

#[test]
fn toml_of_a_wrong_shape_is_named_without_its_value() {
    for (text, expected) in [
        ("version = \"hunter2\"\n", "p.toml:1:11: found a string; expected u32"),
        ("[[rule]]\nid = \"a\"\n", "p.toml:1:1: `version` is missing; add `version = …`"),
    ] {
        let mut problems = Problems::new();
        assert!(Source::from_text("p.toml", text).toml::<Policy>(&mut problems).is_none());
        assert_eq!(lines(&problems), [expected]);
    }
    let mut problems = Problems::new();
    assert!(Source::from_text("p.toml", "version = \n").toml::<Policy>(&mut problems).is_none());
    assert!(lines(&problems)[0].starts_with("p.toml:1:"), "{problems}");
}

#[test]
fn files_that_cannot_be_read_are_problems_too() {
    let folder = tempfile::tempdir().unwrap();
    let mut problems = Problems::new();
    assert!(Source::read(&folder.path().join("none"), &mut problems).is_none());
    let path = folder.path().join("latin");
    std::fs::write(&path, b"a: b\nc: \xe9\n").unwrap();
    assert!(Source::read(&path, &mut problems).is_none());
    let path = folder.path().join("large");
    std::fs::write(&path, vec![b'#'; super::FILE_BYTES_MAX + 1]).unwrap();
    assert!(Source::read(&path, &mut problems).is_none());
    let lines = lines(&problems);
    assert!(lines[0].contains("none:1:1: cannot be read"), "{lines:?}");
    assert!(lines[1].contains("latin:2:4: not UTF-8"), "{lines:?}");
    assert!(lines[2].contains("larger than 4 MiB"), "{lines:?}");
}

#[test]
fn a_thousand_problems_are_counted_and_a_hundred_listed() {
    let mut problems = Problems::new();
    let source = Source::from_text("a\nb", "");
    for _ in 0..1_000 {
        problems.push(source.problem(Place::START, "x\u{1b}[31m", ""));
    }
    let text = problems.to_string();
    assert_eq!((problems.len(), text.lines().count()), (1_000, 101));
    assert!(
        text.starts_with("a\\nb:1:1: x\\u{1b}[31m\n") && text.ends_with("and 900 more problems"),
        "{text}"
    );
}

#[test]
fn distances_ignore_the_case_style() {
    assert_eq!(edits("refresh_interval", "refreshInterval"), 0);
    assert_eq!(edits("kitten", "sitting"), 3);
}
