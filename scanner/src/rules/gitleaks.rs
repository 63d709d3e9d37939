//! Rule files in gitleaks' format (version 8): `[[rules]]` with their allowlists, as far as our rules can say the
//! same. What cannot be carried over is told, never dropped in silence.
//!
//! Source: the format's description in the gitleaks README, and the syntax of Go's regexp package (RE2).

use serde::Deserialize;

use super::definition::{
    AllowDefinition, AllowOn, ConfidenceWord, Definition, Group, Near, PathCondition, SeverityWord,
};
use super::load::{self, Loaded, Problem};

/// What a file in this format gives.
#[derive(Debug, Default)]
pub struct Imported {
    /// The rules.
    pub rules: Vec<Loaded>,
    /// What is wrong, and what could not be carried over.
    pub problems: Vec<Problem>,
    /// The rules that the program carries are wanted too.
    pub use_default: bool,
    /// Rules of those that are not wanted.
    pub disabled: Vec<String>,
    /// Another file that this one builds on, as it is written.
    pub base: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct File {
    #[serde(default)]
    extend: Extend,
    #[serde(default)]
    rules: Vec<toml::Spanned<FileRule>>,
    allowlist: Option<Allowlist>,
    #[serde(default)]
    allowlists: Vec<Allowlist>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Extend {
    path: Option<String>,
    use_default: bool,
    disabled_rules: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FileRule {
    id: String,
    #[serde(default)]
    description: String,
    regex: Option<String>,
    path: Option<String>,
    secret_group: Option<usize>,
    entropy: Option<f64>,
    #[serde(default)]
    keywords: Vec<String>,
    #[serde(default)]
    tags: Vec<String>,
    allowlist: Option<Allowlist>,
    #[serde(default)]
    allowlists: Vec<Allowlist>,
    #[serde(default)]
    required: Vec<Required>,
    #[serde(default)]
    skip_report: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Required {
    id: String,
    within_lines: Option<u64>,
    within_columns: Option<u64>,
}

#[derive(Deserialize, Clone, Default)]
#[serde(rename_all = "camelCase", default)]
struct Allowlist {
    description: String,
    condition: String,
    paths: Vec<String>,
    regexes: Vec<String>,
    regex_target: String,
    stopwords: Vec<String>,
    target_rules: Vec<String>,
    commits: Vec<String>,
}

/// The keys of a rule in this format.
pub const KEYS: [&str; 12] = [
    "id",
    "description",
    "regex",
    "path",
    "secretGroup",
    "entropy",
    "keywords",
    "tags",
    "allowlist",
    "allowlists",
    "required",
    "skipReport",
];

/// Whether a file is in this format: it has `[[rules]]`, `[extend]` or an allowlist at its top.
pub fn is_gitleaks(text: &str) -> bool {
    text.lines().any(|line| {
        let line = line.trim();
        ["[[rules]]", "[extend]", "[allowlist]", "[[allowlists]]"].contains(&line)
    })
}

/// Reads a file in this format.
pub fn read(file: &str, text: &str) -> Imported {
    let mut imported = Imported::default();
    let mut tell = |offset: usize, fatal: bool, message: String| {
        imported.problems.push(load::problem_at(file, text, offset, fatal, message));
    };
    let parsed: File = match toml::from_str(text) {
        Ok(parsed) => parsed,
        Err(error) => {
            tell(error.span().map_or(0, |span| span.start), true, error.message().replace('\n', " "));
            return imported;
        }
    };
    let general: Vec<Allowlist> = parsed.allowlist.into_iter().chain(parsed.allowlists).collect();
    let mut rules = Vec::new();
    for spanned in parsed.rules {
        let at = spanned.span().start;
        let rule = spanned.into_inner();
        let id = rule.id.clone();
        let Some(definition) = definition(rule, &general, &mut |fatal, message| {
            tell(at, fatal, format!("rule `{id}`: {message}"));
        }) else {
            continue;
        };
        let mut problems = Vec::new();
        let anchors = load::check(&definition, &mut problems);
        let fatal = problems.iter().any(|problem| problem.fatal);
        for problem in &problems {
            // A rule of somebody else's that we cannot run is left out and named; its file still serves.
            let message = if problem.fatal {
                format!("left out: {}", problem.message)
            } else {
                problem.message.clone()
            };
            tell(at, false, format!("rule `{id}`: {}: {message}", problem.field));
        }
        rules.extend(anchors.filter(|_| !fatal).map(|anchors| Loaded { definition, anchors }));
    }
    imported.rules = rules;
    imported.use_default = parsed.extend.use_default;
    imported.disabled = parsed.extend.disabled_rules;
    imported.base = parsed.extend.path;
    imported
}

fn definition(
    rule: FileRule,
    general: &[Allowlist],
    tell: &mut dyn FnMut(bool, String),
) -> Option<Definition> {
    let Some(regex) = rule.regex.as_deref().map(from_go) else {
        tell(false, "left out: it has a path and no regex, and paths alone hold no secret".to_owned());
        return None;
    };
    let mine = rule.allowlist.into_iter().chain(rule.allowlists);
    let all = general
        .iter()
        .filter(|list| list.target_rules.is_empty() || list.target_rules.contains(&rule.id))
        .cloned()
        .chain(mine);
    let (mut allow, mut stopwords) = (Vec::new(), Vec::new());
    for list in all {
        carry(list, &mut allow, &mut stopwords, tell);
    }
    // gitleaks takes the first group that took part, unless the rule names one.
    let group = match rule.secret_group.filter(|group| *group > 0) {
        Some(group) => group,
        None => usize::from(load::group_names(&regex).len() > 1),
    };
    if rule.required.iter().any(|required| required.within_columns.is_some()) {
        tell(
            false,
            "`withinColumns` is not carried over: lines alone count, so that more is reported".to_owned(),
        );
    }
    let guess = rule.id.starts_with("generic");
    // Keywords say what a whole file must contain; they need not be in each match, where ours are derived.
    let keywords = rule.keywords.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>();
    let needed = load::parse(&regex).is_ok_and(|hir| {
        let lower: Vec<Vec<u8>> =
            keywords.iter().map(|word| word.to_ascii_lowercase().into_bytes()).collect();
        super::literals::always_contains(&hir, &lower)
    });
    Some(Definition {
        description: if rule.description.trim().is_empty() { rule.id.clone() } else { rule.description },
        id: rule.id.to_ascii_lowercase(),
        credential: String::new(),
        severity: SeverityWord::High,
        confidence: if guess { ConfidenceWord::Guessed } else { ConfidenceWord::Shaped },
        tags: rule.tags,
        reference: None,
        revoke: None,
        regex,
        secret: Some(Group::Number(group)),
        keywords: if needed { keywords } else { Vec::new() },
        preview: 0,
        max_match: Some("4KiB".to_owned()),
        max_file: None,
        entropy: rule.entropy.filter(|entropy| *entropy > 0.0),
        stopwords,
        check: None,
        helper: rule.skip_report,
        path: PathCondition {
            include: rule.path.iter().map(|path| from_go(path)).collect(),
            exclude: Vec::new(),
        },
        near: rule
            .required
            .into_iter()
            .map(|required| Near {
                rule: required.id.to_ascii_lowercase(),
                lines: required.within_lines.unwrap_or(u64::MAX),
                required: true,
            })
            .collect(),
        context: None,
        allow,
        example: Vec::new(),
        negative: Vec::new(),
    })
}

/// Turns an allowlist into ours. One whose parts must hold together has no counterpart, unless it has one part.
fn carry(
    list: Allowlist,
    allow: &mut Vec<AllowDefinition>,
    stopwords: &mut Vec<String>,
    tell: &mut dyn FnMut(bool, String),
) {
    let parts = [!list.paths.is_empty(), !list.regexes.is_empty(), !list.stopwords.is_empty()];
    let together = matches!(list.condition.to_ascii_uppercase().as_str(), "AND" | "&&");
    if together && parts.iter().filter(|part| **part).count() > 1 {
        tell(
            false,
            "an allowlist whose parts must all hold is left out: more is reported, nothing less".to_owned(),
        );
        return;
    }
    if !list.commits.is_empty() {
        tell(false, "`commits` are not carried over: put the secret into a baseline instead".to_owned());
    }
    let on = match list.regex_target.as_str() {
        "match" => AllowOn::Match,
        "line" => AllowOn::Line,
        _ => AllowOn::Secret,
    };
    for (on, patterns) in [(on, &list.regexes), (AllowOn::Path, &list.paths)] {
        if !patterns.is_empty() {
            let regex = patterns.iter().map(|pattern| from_go(pattern)).collect();
            allow.push(AllowDefinition { on, regex, reason: list.description.clone() });
        }
    }
    stopwords.extend(list.stopwords);
}

/// Go's syntax where it differs from ours: braces that count nothing, brackets and set operators inside a class,
/// `\Q…\E`, and `\<`, which is a letter there.
pub fn from_go(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len() + 8);
    let mut rest = pattern;
    let mut class = Class::Outside;
    while let Some(letter) = rest.chars().next() {
        let mut taken = letter.len_utf8();
        match (letter, class) {
            ('\\', _) if rest.starts_with("\\Q") => {
                let quoted = rest[2..].split("\\E").next().unwrap_or_default();
                out.push_str(&regex_syntax::escape(quoted));
                taken = (2 + quoted.len() + 2).min(rest.len());
                class = if class == Class::Outside { class } else { Class::Inside };
            }
            ('\\', _) => {
                let next = rest[1..].chars().next();
                match next {
                    Some(next @ ('<' | '>')) => out.push(next),
                    Some(next) => out.extend(['\\', next]),
                    None => out.push('\\'),
                }
                taken += next.map_or(0, char::len_utf8);
                class = if class == Class::Outside { class } else { Class::Inside };
            }
            ('[', Class::Outside) => {
                out.push('[');
                class = Class::First;
            }
            ('^', Class::First) => out.push('^'),
            (']', Class::First) => {
                out.push_str("\\]");
                class = Class::Inside;
            }
            (']', Class::Inside) => {
                out.push(']');
                class = Class::Outside;
            }
            ('[', Class::First | Class::Inside) => {
                class = Class::Inside;
                match rest.find(":]").filter(|_| rest.starts_with("[:")) {
                    Some(end) => {
                        taken = end + 2;
                        out.push_str(&rest[..taken]);
                    }
                    None => out.push_str("\\["),
                }
            }
            ('&' | '~', Class::First | Class::Inside) => {
                out.extend(['\\', letter]);
                class = Class::Inside;
            }
            ('-', Class::Inside) if rest.starts_with("--") => out.push_str("\\-"),
            ('{', Class::Outside) if !counts(rest) || out.is_empty() => out.push_str("\\{"),
            (letter, Class::First | Class::Inside) => {
                out.push(letter);
                class = Class::Inside;
            }
            (letter, Class::Outside) => out.push(letter),
        }
        rest = &rest[taken..];
    }
    out
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Outside,
    /// Right behind the opening bracket, where a closing one is a letter.
    First,
    Inside,
}

/// Whether a brace opens a count: `{2}`, `{2,}`, `{2,5}`.
fn counts(text: &str) -> bool {
    let Some(inside) = text[1..].split_once('}').map(|(inside, _)| inside) else { return false };
    let (least, most) = inside.split_once(',').unwrap_or((inside, ""));
    let number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    !least.is_empty() && number(least) && number(most)
}

#[cfg(test)]
mod tests {
    use super::{from_go, is_gitleaks, read};

    #[test]
    fn go_syntax_becomes_ours() {
        assert_eq!(from_go(r"a{2}b{2,}{x}[[a]\<\Qa.b\E"), r"a{2}b{2,}\{x}[\[a]<a\.b");
        assert_eq!(from_go(r"[]a&&b--c[:alnum:]]{,3}"), r"[\]a\&\&b\--c[:alnum:]]\{,3}");
        assert_eq!(from_go(r"\$\{(?P<a>[^}]+)\}"), r"\$\{(?P<a>[^}]+)\}");
    }

    #[test]
    fn a_file_loads_with_its_allowlists() {
        let text = r#"
title = "mine"
[extend]
useDefault = true
disabledRules = ["jwt"]
[[rules]]
id = "Acme-Key"
description = "acme"
regex = '''(?i)acme[a-z]{0,5}=([0-9a-f]{16})'''
secretGroup = 1
entropy = 3
keywords = ["acme"]
[[rules.allowlists]]
regexTarget = "line"
regexes = ['''test''']
stopwords = ["abcabc"]
[[rules]]
id = "no-regex"
path = '''\.pem$'''
[allowlist]
paths = ['''node_modules''']
"#;
        assert!(is_gitleaks(text));
        let imported = read("gitleaks.toml", text);
        assert_eq!(imported.rules.len(), 1, "{:?}", imported.problems);
        let rule = &imported.rules[0].definition;
        assert_eq!((rule.id.as_str(), rule.allow.len(), rule.stopwords.len()), ("acme-key", 2, 1));
        assert!(imported.use_default && imported.disabled == ["jwt"]);
        assert!(imported.problems.len() == 1 && imported.problems[0].message.contains("no-regex"));
    }
}
