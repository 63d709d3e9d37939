//! Rule files, read and checked. Every problem of every file is told at once, with its place and what to write
//! instead. Shared with the build script, which refuses to build a program with a bad rule.

use regex_syntax::hir::Hir;
use serde::{Deserialize, Serialize};
use toml::de::{DeTable, DeValue};

use super::definition::{Definition, Group, VERSION};
use super::literals::{self, Literal};
use super::tail;

/// The most bytes before the anchor that belong to a match.
pub const BEFORE_MAX: usize = 4 * 1024;
/// The longest match from its anchor, unless the rule says otherwise.
pub const MATCH_DEFAULT: usize = 4 * 1024;
/// The longest match that a rule may ask for: an 8192-bit PEM key with CRLF and indentation fits.
pub const MATCH_MAX: usize = 64 * 1024;
/// The largest file of which each line may be tried: more would cost every scan.
pub const SMALL_FILE_MAX: usize = 4 * 1024;
/// A weaker string stands in ordinary text so often that the expression would run all the time.
const COMMONNESS_MAX: f64 = 40.0;

/// Rounds of a class that a guard counts: a format's letters are its mark.
const ROUNDS_OF_FORMATS: u32 = 16;
/// The same behind a name.
const ROUNDS_OF_NAMES: u32 = 3;

/// Something wrong, or doubtful, in a rule file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file, as the user named it.
    pub file: String,
    /// From 1.
    pub line: usize,
    /// From 1, in code points.
    pub column: usize,
    /// Whether the rules cannot be used so.
    pub fatal: bool,
    /// What is wrong and what to write instead.
    pub message: String,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let word = if self.fatal { "error" } else { "warning" };
        write!(f, "{}:{}:{}: {word}: {}", self.file, self.line, self.column, self.message)
    }
}

/// Where a match is looked for: the strings of which each match contains one, and how far it reaches.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Anchors {
    /// The strings, each byte as one character, and whether any case matches.
    pub literals: Vec<(String, bool)>,
    /// The fewest bytes of a match before the string.
    pub before_min: usize,
    /// The most.
    pub before_max: usize,
    /// The most bytes from the string's first on.
    pub after: usize,
    /// What must stand from the string on, relaxed, where the expression can be cut there.
    pub tail: Option<String>,
    /// The bytes at the string's first places and behind it, as ranges, as far as they are bounded.
    pub shape: Vec<Vec<(u8, u8)>>,
    /// The largest file in which each line is tried instead; 0 for none.
    #[serde(default)]
    pub small_file: usize,
    /// No letter, digit or underscore stands before the string, which is the match's beginning.
    pub word: bool,
}

/// A rule that was read, with what was derived from it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Loaded {
    /// What the author wrote.
    pub definition: Definition,
    /// What the matcher looks for.
    pub anchors: Anchors,
}

/// Parses an expression over bytes. Expressions that need Unicode classes get them.
///
/// # Errors
/// The parser's own message, one line.
pub fn parse(pattern: &str) -> Result<Hir, String> {
    let with = |unicode: bool| {
        let parsed = regex_syntax::ParserBuilder::new().unicode(unicode).utf8(false).build().parse(pattern);
        parsed.map_err(|error| match error {
            regex_syntax::Error::Parse(error) => error.kind().to_string(),
            regex_syntax::Error::Translate(error) => error.kind().to_string(),
            other => other.to_string(),
        })
    };
    with(false).or_else(|_| with(true))
}

/// Reads one file of rules. What could not be read is missing from the first part and told in the second.
pub fn read(file: &str, text: &str) -> (Vec<Loaded>, Vec<Problem>) {
    let mut reader = Reader { file, text, problems: Vec::new() };
    let mut rules = Vec::new();
    let (document, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        reader.problem(error.span().map_or(0, |span| span.start), true, error.message().to_owned());
    }
    if !errors.is_empty() {
        return (rules, reader.problems);
    }
    let mut version_seen = false;
    for (key, value) in document.into_inner() {
        let at = key.span().start;
        match (key.get_ref().as_ref(), value.get_ref()) {
            ("version", DeValue::Integer(number)) => {
                version_seen = true;
                if number.as_str() != "1" {
                    let message =
                        format!("version {} is not known; write `version = {VERSION}`", number.as_str());
                    reader.problem(value.span().start, true, message);
                }
            }
            ("rule", DeValue::Array(_)) => {
                let DeValue::Array(items) = value.into_inner() else { continue };
                for item in items {
                    rules.extend(reader.rule(item));
                }
            }
            ("version" | "rule", _) => reader.problem(
                value.span().start,
                true,
                format!("`{}` has the wrong type; write `version = 1` and `[[rule]]`", key.get_ref()),
            ),
            (name, _) => {
                reader.problem(at, true, format!("unknown key `{name}`; expected `version` or `[[rule]]`"));
            }
        }
    }
    if !version_seen {
        reader.problem(0, true, format!("no version; write `version = {VERSION}` at the top"));
    }
    (rules, reader.problems)
}

/// A problem at a byte of a file's text.
pub fn problem_at(file: &str, text: &str, offset: usize, fatal: bool, message: String) -> Problem {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |line| line.chars().count()) + 1;
    Problem { file: file.to_owned(), line, column, fatal, message }
}

struct Reader<'t> {
    file: &'t str,
    text: &'t str,
    problems: Vec<Problem>,
}

impl Reader<'_> {
    fn problem(&mut self, offset: usize, fatal: bool, message: String) {
        self.problems.push(problem_at(self.file, self.text, offset, fatal, message));
    }

    fn rule(&mut self, item: toml::Spanned<DeValue<'_>>) -> Option<Loaded> {
        let span = item.span();
        let spans = field_spans(&item);
        let at = |field: &str| spans.iter().find(|(name, _)| name == field).map_or(span.start, |(_, at)| *at);
        let id = item.get_ref().get("id").and_then(|id| id.get_ref().as_str().map(str::to_owned));
        let name = id.map_or_else(|| "rule without id".to_owned(), |id| format!("rule `{id}`"));
        let definition = match Definition::deserialize(toml::de::ValueDeserializer::from(item)) {
            Ok(definition) => definition,
            Err(error) => {
                let offset = error.span().map_or(span.start, |span| span.start);
                self.problem(offset, true, format!("{name}: {}", error.message().replace('\n', " ")));
                return None;
            }
        };
        let mut problems = Vec::new();
        let anchors = check(&definition, &mut problems);
        let fatal = problems.iter().any(|problem| problem.fatal);
        for problem in problems {
            self.problem(at(problem.field), problem.fatal, format!("{name}: {}", problem.message));
        }
        anchors.filter(|_| !fatal).map(|anchors| Loaded { definition, anchors })
    }
}

/// The byte offset of each key of a table.
fn field_spans(item: &toml::Spanned<DeValue<'_>>) -> Vec<(String, usize)> {
    item.get_ref()
        .as_table()
        .map(|table| table.keys().map(|key| (key.get_ref().to_string(), key.span().start)).collect())
        .unwrap_or_default()
}

/// A problem of one field, before it has a place.
pub struct FieldProblem {
    /// The key in the rule's table.
    pub field: &'static str,
    /// Whether the rule cannot be used so.
    pub fatal: bool,
    /// What is wrong and what to write instead.
    pub message: String,
}

/// Holds a definition to everything that can be said without running it, and derives its anchors.
pub fn check(definition: &Definition, problems: &mut Vec<FieldProblem>) -> Option<Anchors> {
    let mut tell = |field, fatal, message| problems.push(FieldProblem { field, fatal, message });
    let id = &definition.id;
    if id.is_empty()
        || !id
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.".contains(&byte))
    {
        tell("id", true, "an id is lower-case words with hyphens, as `github-pat`".to_owned());
    }
    if definition.description.trim().is_empty() {
        tell("description", true, "say in one line what the secret opens".to_owned());
    }
    let max_match = match definition.max_match.as_deref().map(bytes_of) {
        None => MATCH_DEFAULT,
        Some(Some(bytes)) if (16..=MATCH_MAX).contains(&bytes) => bytes,
        Some(_) => {
            tell("max_match", true, "write a size from `16` to `64KiB`, as `8KiB`".to_owned());
            MATCH_DEFAULT
        }
    };
    for (field, patterns) in other_patterns(definition) {
        for pattern in patterns {
            if let Err(error) = parse(pattern) {
                tell(field, true, format!("the expression does not parse: {error}"));
            }
        }
    }
    let hir = match parse(&definition.regex) {
        Ok(hir) => hir,
        Err(error) => {
            tell("regex", true, format!("the expression does not parse: {error}"));
            return None;
        }
    };
    if hir.properties().minimum_len().is_none_or(|least| least == 0) {
        tell("regex", true, "the expression matches nothing, or the empty text".to_owned());
    }
    if hir.properties().maximum_len().is_none() && definition.max_match.is_none() {
        let message = "the expression has no longest match; it is cut 4 KiB after its keyword: bound its repeats, \
                       as `{20,200}` for `+`, or set `max_match`";
        tell("regex", false, message.to_owned());
    }
    if let Some(message) = group_missing(&definition.regex, definition.secret.as_ref()) {
        tell("secret", true, message);
    }
    let keywords: Vec<Vec<u8>> =
        definition.keywords.iter().map(|word| word.to_ascii_lowercase().into_bytes()).collect();
    if !keywords.is_empty() && !literals::always_contains(&hir, &keywords) {
        let message = "a match need not contain any of the keywords; leave `keywords` out (they are derived), or \
                       name the fixed parts of the expression";
        tell("keywords", true, message.to_owned());
    }
    if let Some(size) = &definition.max_file {
        return small_file(size, &hir, definition, &mut tell);
    }
    let parts = literals::parts(&hir);
    let Some(best) = literals::best(&parts) else {
        let message = "no fixed text of two bytes or more is in every match, so that every byte of every file \
                       would have to be tried; add a name or prefix to the expression";
        tell("regex", true, message.to_owned());
        return None;
    };
    if literals::commonness(best) > COMMONNESS_MAX {
        tell("regex", false, "its fixed text is so common that the rule slows every search".to_owned());
    }
    let longest = hir.properties().maximum_len().unwrap_or(usize::MAX);
    let near = best.before_max.is_some_and(|max| max - best.before_min <= 3);
    let counted = if near { ROUNDS_OF_FORMATS } else { ROUNDS_OF_NAMES };
    Some(Anchors {
        literals: best.literals.iter().map(spelled).collect(),
        before_min: best.before_min.min(BEFORE_MAX),
        before_max: best.before_max.unwrap_or(BEFORE_MAX).min(BEFORE_MAX),
        after: longest.saturating_sub(best.before_min).min(max_match),
        tail: best.tail.as_ref().map(|tail| tail::relaxed(tail, counted).to_string()),
        shape: best.tail.as_ref().map(tail::shape).unwrap_or_default(),
        small_file: 0,
        word: best.before_max == Some(0) && starts_word(&hir),
    })
}

/// Where a rule for small files is looked for: at the start of each line of theirs.
fn small_file(
    size: &str,
    hir: &Hir,
    definition: &Definition,
    tell: &mut dyn FnMut(&'static str, bool, String),
) -> Option<Anchors> {
    let Some(bytes) = bytes_of(size).filter(|bytes| (1..=SMALL_FILE_MAX).contains(bytes)) else {
        tell("max_file", true, "write a size up to `4KiB`".to_owned());
        return None;
    };
    if definition.path.include.is_empty() {
        let message = "a rule for small files needs a path: write `path = { include = ['\\.key$'] }`";
        tell("max_file", true, message.to_owned());
        return None;
    }
    let longest = hir.properties().maximum_len().unwrap_or(usize::MAX);
    Some(Anchors {
        literals: Vec::new(),
        before_min: 0,
        before_max: 0,
        after: longest.min(bytes),
        tail: None,
        shape: Vec::new(),
        small_file: bytes,
        word: false,
    })
}

/// Whether the expression begins where a word does: with `\b`.
fn starts_word(hir: &Hir) -> bool {
    use regex_syntax::hir::{HirKind, Look};
    match hir.kind() {
        HirKind::Look(Look::WordAscii) => true,
        HirKind::Capture(capture) => starts_word(&capture.sub),
        HirKind::Concat(children) => children.first().is_some_and(starts_word),
        HirKind::Alternation(branches) => branches.iter().all(starts_word),
        HirKind::Empty
        | HirKind::Look(_)
        | HirKind::Literal(_)
        | HirKind::Class(_)
        | HirKind::Repetition(_) => false,
    }
}

fn spelled(literal: &Literal) -> (String, bool) {
    (literal.bytes.iter().map(|&byte| char::from(byte)).collect(), literal.folded)
}

/// The expressions of a rule beside its main one, by field.
fn other_patterns(definition: &Definition) -> [(&'static str, Vec<&String>); 3] {
    [
        ("path", definition.path.include.iter().chain(&definition.path.exclude).collect()),
        ("context", definition.context.iter().map(|context| &context.regex).collect()),
        ("allow", definition.allow.iter().flat_map(|allow| &allow.regex).collect()),
    ]
}

/// Says what is wrong when the group of the secret is not in the expression.
fn group_missing(pattern: &str, group: Option<&Group>) -> Option<String> {
    let groups = group_names(pattern);
    match group? {
        Group::Number(number) if *number < groups.len() => None,
        Group::Number(number) => {
            Some(format!("the expression has no group {number}, it has {}", groups.len() - 1))
        }
        Group::Name(name) if groups.iter().flatten().any(|group| group == name) => None,
        Group::Name(name) => {
            Some(format!("the expression has no group `{name}`; write `(?P<{name}>…)` in it"))
        }
    }
}

/// The names of the groups, the whole match (0) first.
pub fn group_names(pattern: &str) -> Vec<Option<String>> {
    let mut names = vec![None];
    if let Ok(hir) = parse(pattern) {
        gather(&hir, &mut names);
    }
    names
}

fn gather(hir: &Hir, names: &mut Vec<Option<String>>) {
    use regex_syntax::hir::HirKind;
    match hir.kind() {
        HirKind::Capture(capture) => {
            let index = capture.index as usize;
            if names.len() <= index {
                names.resize(index + 1, None);
            }
            names[index] = capture.name.as_deref().map(str::to_owned);
            gather(&capture.sub, names);
        }
        HirKind::Repetition(repetition) => gather(&repetition.sub, names),
        HirKind::Concat(children) | HirKind::Alternation(children) => {
            for child in children {
                gather(child, names);
            }
        }
        HirKind::Empty | HirKind::Look(_) | HirKind::Class(_) | HirKind::Literal(_) => {}
    }
}

/// A size as rules write it: a number of bytes, or of `KiB`.
pub fn bytes_of(text: &str) -> Option<usize> {
    match text.trim().strip_suffix("KiB") {
        Some(number) => number.trim().parse::<usize>().ok()?.checked_mul(1024),
        None => text.trim().parse().ok(),
    }
}
