//! Rules of other programs, turned into ours: Kingfisher's and Nosey Parker's YAML, and TOML as gitleaks and Betterleaks
//! write it. What has no counterpart here is told for each rule, never dropped in silence: a validation that asks a
//! server, rules that depend on each other, samples (ours are made, not kept).
//!
//! Source: the descriptions of these formats in their projects' documentation.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use super::definition::{ConfidenceWord, Definition, Group};
use super::load::{self, Loaded, Problem};
use super::{RulesError, gitleaks};

/// What a file gives.
#[derive(Debug, Default)]
pub struct Imported {
    /// The rules that can run here.
    pub rules: Vec<Loaded>,
    /// What could not be carried over.
    pub problems: Vec<Problem>,
    /// How many rules the file has.
    pub seen: usize,
}

/// A file of YAML.
#[derive(Deserialize)]
struct YamlFile {
    rules: Vec<YamlRule>,
}

/// Keys that have a counterpart; the others are told.
#[derive(Deserialize)]
struct YamlRule {
    name: String,
    id: String,
    pattern: String,
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    min_entropy: Option<f64>,
    #[serde(default)]
    confidence: Option<String>,
    #[serde(default)]
    references: Vec<String>,
    #[serde(default)]
    categories: Vec<String>,
    #[serde(default)]
    pattern_requirements: Option<Requirements>,
    #[serde(flatten)]
    other: BTreeMap<String, serde_json::Value>,
}

#[derive(Deserialize)]
struct Requirements {
    #[serde(default)]
    ignore_if_contains: Vec<String>,
    #[serde(flatten)]
    other: BTreeMap<String, serde_json::Value>,
}

/// Reads one file, by its ending: `.yml` and `.yaml`, else TOML.
///
/// # Errors
/// When the file cannot be read, or is no file of rules at all.
pub fn import(path: &Path) -> Result<Imported, RulesError> {
    let name = path.display().to_string();
    let text = super::text_of(path).map_err(|message| fatal(&name, "", message))?;
    let is_yaml = path
        .extension()
        .is_some_and(|end| end.eq_ignore_ascii_case("yml") || end.eq_ignore_ascii_case("yaml"));
    if is_yaml { yaml(&name, &text) } else { toml(&name, &text) }
}

fn fatal(file: &str, text: &str, message: String) -> RulesError {
    RulesError(vec![load::problem_at(file, text, 0, true, message)])
}

fn yaml(file: &str, text: &str) -> Result<Imported, RulesError> {
    let parsed: YamlFile = serde_saphyr::from_str(text).map_err(|error| {
        fatal(file, text, format!("no rules in YAML: {}", error.to_string().replace('\n', " ")))
    })?;
    let mut imported = Imported { seen: parsed.rules.len(), ..Imported::default() };
    for rule in parsed.rules {
        let offset = text.find(&rule.id).unwrap_or(0);
        let id = rule.id.clone();
        let mut tell = |message: String| {
            imported.problems.push(load::problem_at(
                file,
                text,
                offset,
                false,
                format!("rule `{id}`: {message}"),
            ));
        };
        let requirements = rule.pattern_requirements;
        let lost = rule.other.keys().map(String::as_str);
        let lost_requirements = requirements.iter().flat_map(|list| list.other.keys());
        for key in lost.chain(lost_requirements.map(String::as_str)) {
            tell(not_carried(key));
        }
        let names = load::group_names(&rule.pattern);
        let named = names.iter().position(|name| name.as_deref() == Some("TOKEN"));
        let definition = Definition {
            id: id_of(&rule.id),
            description: rule.description.unwrap_or(rule.name),
            confidence: match rule.confidence.as_deref() {
                Some("low") => ConfidenceWord::Guessed,
                _ => ConfidenceWord::Shaped,
            },
            tags: rule.categories,
            reference: rule.references.into_iter().next(),
            secret: Some(Group::Number(named.unwrap_or(usize::from(names.len() > 1)))),
            regex: rule.pattern.trim().to_owned(),
            max_match: Some("4KiB".to_owned()),
            entropy: rule.min_entropy.filter(|entropy| *entropy > 0.0),
            stopwords: requirements.map(|list| list.ignore_if_contains).unwrap_or_default(),
            ..Definition::default()
        };
        let mut problems = Vec::new();
        let anchors = load::check(&definition, &mut problems);
        for problem in problems.iter().filter(|problem| problem.fatal) {
            tell(format!("left out: {}: {}", problem.field, problem.message));
        }
        let runs = !problems.iter().any(|problem| problem.fatal);
        imported.rules.extend(anchors.filter(|_| runs).map(|anchors| Loaded { definition, anchors }));
    }
    Ok(imported)
}

fn toml(file: &str, text: &str) -> Result<Imported, RulesError> {
    let table: toml::Table = text
        .parse()
        .map_err(|error: toml::de::Error| fatal(file, text, error.message().replace('\n', " ")))?;
    let rules = table.get("rules").and_then(toml::Value::as_array).cloned().unwrap_or_default();
    let read = gitleaks::read(file, text);
    if let Some(problem) = read.problems.iter().find(|problem| problem.fatal) {
        return Err(RulesError(vec![problem.clone()]));
    }
    let mut imported = Imported { rules: read.rules, problems: read.problems, seen: rules.len() };
    for rule in &rules {
        let Some(rule) = rule.as_table() else { continue };
        let id = rule.get("id").and_then(toml::Value::as_str).unwrap_or_default();
        let offset = text.find(&format!("\"{id}\"")).unwrap_or(0);
        for key in rule.keys().filter(|key| !gitleaks::KEYS.contains(&key.as_str())) {
            let message = format!("rule `{id}`: {}", not_carried(key));
            imported.problems.push(load::problem_at(file, text, offset, false, message));
        }
    }
    Ok(imported)
}

/// What a key without a counterpart means for the user.
fn not_carried(key: &str) -> String {
    let why = match key {
        "validation" | "validate" | "revocation" | "revoke" => "a scan asks no server",
        "examples" | "negative_examples" => "samples are made, not kept; add `[[rule.example]]` with `make`",
        "depends_on_rule" | "components" => "a rule takes no value from another; see `near`",
        _ => "it has no counterpart",
    };
    format!("`{key}` is not carried over: {why}")
}

/// An id as ours are written.
fn id_of(id: &str) -> String {
    let letter = |letter: char| match letter.to_ascii_lowercase() {
        letter @ ('a'..='z' | '0'..='9' | '-' | '_' | '.') => letter,
        _ => '-',
    };
    id.chars().map(letter).collect()
}

#[cfg(test)]
mod tests {
    use super::{toml, yaml};

    #[test]
    fn rules_in_yaml_become_ours_and_losses_are_told() {
        let text = "rules:
  - name: Acme API Key
    id: Kingfisher.Acme.1
    pattern: |
      (?xi)
      \\b
      (
        acme_ [a-z0-9]{28}
      )
      \\b
    min_entropy: 3.1
    confidence: low
    pattern_requirements:
      min_digits: 2
      ignore_if_contains: [test]
    examples: [x]
    references: ['https://acme.example/docs']
    validation: {type: Http}
  - name: Bare
    id: np.bare.1
    pattern: '[0-9a-f]{32}'
";
        let imported = yaml("a.yml", text).unwrap();
        assert_eq!((imported.seen, imported.rules.len()), (2, 1));
        let rule = &imported.rules[0].definition;
        assert_eq!(
            (rule.id.as_str(), rule.entropy, rule.stopwords.len()),
            ("kingfisher.acme.1", Some(3.1), 1)
        );
        let told: Vec<String> = imported.problems.iter().map(ToString::to_string).collect();
        for what in ["`validation`", "`examples`", "`min_digits`", "left out"] {
            assert!(told.iter().any(|line| line.contains(what)), "{what}: {told:#?}");
        }
    }

    #[test]
    fn a_key_of_another_program_is_told() {
        let text = "[[rules]]\nid = \"acme\"\nregex = 'acme_[a-z]{9}'\nvalidate = 'x'\n";
        let imported = toml("b.toml", text).unwrap();
        assert_eq!((imported.seen, imported.rules.len()), (1, 1));
        assert!(imported.problems.iter().any(|problem| problem.message.contains("asks no server")));
        assert!(toml("b.toml", "[[rules").is_err() && yaml("a.yml", "- x").is_err());
    }
}
