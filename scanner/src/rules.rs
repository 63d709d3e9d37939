//! Rules: what is looked for, as data.
//!
//! A [`definition`] is what an author writes; [`load`] reads and checks files of them and derives, with
//! [`literals`], the strings that every match contains. A [`RuleSet`] is what a scan uses: the rules that the
//! program carries, and the user's. Expressions are compiled at the first candidate of their rule, so that a
//! start costs nothing for rules that never come near a match.

pub mod definition;
pub mod example;
pub mod foreign;
pub mod gitleaks;
pub mod literals;
pub mod load;
pub mod proof;
pub mod strings;
pub mod tail;

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use shared::finding::{Confidence, RuleId, Severity};

use definition::{AllowOn, ConfidenceWord, Definition, SeverityWord};
pub use load::{Anchors, Loaded, Problem};

/// The rules that the program carries, made by the build script.
const TABLE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/rules.json"));
/// A rule file of a person is far smaller; what is larger is another kind of file.
const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// The place of a rule in its set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RuleIndex(pub u32);

/// One rule, ready for use.
#[derive(Debug)]
pub struct Rule {
    /// Its name.
    pub id: RuleId,
    /// Harm, if valid.
    pub severity: Severity,
    /// Belief before checks.
    pub confidence: Confidence,
    /// All that its author wrote.
    pub definition: Definition,
    /// What the matcher looks for.
    pub anchors: Anchors,
    paths: OnceLock<Paths>,
}

/// The path expressions of a rule, compiled at their first use.
#[derive(Debug)]
struct Paths {
    include: Vec<regex::Regex>,
    exclude: Vec<regex::Regex>,
    /// By the index of the allow.
    allow: Vec<(usize, Vec<regex::Regex>)>,
}

impl Rule {
    fn new(loaded: Loaded) -> Self {
        let Loaded { definition, anchors } = loaded;
        Self {
            id: RuleId(definition.id.clone()),
            severity: match definition.severity {
                SeverityWord::Low => Severity::Low,
                SeverityWord::Medium => Severity::Medium,
                SeverityWord::High => Severity::High,
                SeverityWord::Critical => Severity::Critical,
            },
            confidence: match definition.confidence {
                ConfidenceWord::Shaped => Confidence::Shaped,
                ConfidenceWord::Guessed => Confidence::Guessed,
            },
            definition,
            anchors,
            paths: OnceLock::new(),
        }
    }

    /// Whether the rule is meant for files with this path.
    pub fn applies_to_path(&self, path: &str) -> bool {
        let paths = self.paths();
        (paths.include.is_empty() || paths.include.iter().any(|regex| regex.is_match(path)))
            && !paths.exclude.iter().any(|regex| regex.is_match(path))
    }

    /// The allow that holds for every match in a file with this path.
    pub fn path_allowed(&self, path: &str) -> Option<&definition::AllowDefinition> {
        let allow = &self.paths().allow;
        let (index, _) =
            allow.iter().find(|(_, regexes)| regexes.iter().any(|regex| regex.is_match(path)))?;
        self.definition.allow.get(*index)
    }

    fn paths(&self) -> &Paths {
        // Every expression was parsed when the rules were loaded.
        let compile =
            |patterns: &[String]| patterns.iter().filter_map(|one| regex::Regex::new(one).ok()).collect();
        self.paths.get_or_init(|| Paths {
            include: compile(&self.definition.path.include),
            exclude: compile(&self.definition.path.exclude),
            allow: self
                .definition
                .allow
                .iter()
                .enumerate()
                .filter(|(_, allow)| allow.on == AllowOn::Path)
                .map(|(index, allow)| (index, compile(&allow.regex)))
                .collect(),
        })
    }
}

/// The rules of a scan.
#[derive(Debug, Default)]
pub struct RuleSet {
    rules: Vec<Rule>,
    /// As the build script dealt the strings, as long as the rules are the carried ones.
    deal: Option<strings::Deal>,
    /// What a user should know of the rules that were loaded.
    pub warnings: Vec<Problem>,
}

/// Why rules cannot be used: every reason, each with its place.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct RulesError(pub Vec<Problem>);

impl RuleSet {
    /// The rules that the program carries.
    ///
    /// # Errors
    /// When the table cannot be read, which the tests exclude.
    pub fn embedded() -> Result<Self, RulesError> {
        let (loaded, deal): (Vec<Loaded>, strings::Deal) = serde_json::from_slice(TABLE)
            .map_err(|error| RulesError(vec![general("embedded rules", error.to_string())]))?;
        let rules = loaded.into_iter().map(Rule::new).collect();
        Ok(Self { rules, deal: Some(deal), warnings: Vec::new() })
    }

    /// The user's rule files, or all `.toml` files of a folder, after the carried rules if `default` is set. A
    /// user's rule replaces a carried one with the same id.
    ///
    /// # Errors
    /// Every problem of every file.
    pub fn load(paths: &[PathBuf], default: bool) -> Result<Self, RulesError> {
        let mut set = if default { Self::embedded()? } else { Self::default() };
        let mut problems = Vec::new();
        let mut seen = std::collections::BTreeMap::new();
        let mut waiting: Vec<(PathBuf, bool)> =
            files(paths, &mut problems).into_iter().map(|file| (file, false)).collect();
        waiting.reverse();
        let mut read = std::collections::BTreeSet::new();
        while let Some((file, is_base)) = waiting.pop() {
            let name = file.display().to_string();
            if !read.insert(file.clone()) {
                continue;
            }
            let text = match text_of(&file) {
                Ok(text) => text,
                Err(message) => {
                    problems.push(general(&name, message));
                    continue;
                }
            };
            let (loaded, told) = if gitleaks::is_gitleaks(&text) {
                let imported = gitleaks::read(&name, &text);
                if imported.use_default && set.is_empty() {
                    set = Self::embedded()?;
                }
                set.deal = None;
                set.rules.retain(|rule| !imported.disabled.contains(&rule.id.0));
                // Beside the file that names it, should it not be absolute.
                let beside =
                    |base: String| file.parent().map_or(PathBuf::from(&base), |folder| folder.join(&base));
                waiting.extend(imported.base.map(|base| (beside(base), true)));
                (imported.rules, imported.problems)
            } else {
                load::read(&name, &text)
            };
            problems.extend(told);
            for rule in loaded {
                let id = rule.definition.id.clone();
                // A file that builds on another one has the last word.
                if is_base && seen.contains_key(&id) {
                    continue;
                }
                if seen.get(&id) == Some(&name) {
                    problems.push(general(&name, format!("the id `{id}` is used twice")));
                }
                seen.insert(id, name.clone());
                set.add(Rule::new(rule));
            }
        }
        problems.extend(set.dangling(|rule| !seen.contains_key(&rule.id.0)));
        if problems.iter().any(|problem| problem.fatal) {
            return Err(RulesError(problems));
        }
        set.warnings = problems;
        Ok(set)
    }

    /// Rules from a text, for tests and tools; `name` stands in the problems.
    ///
    /// # Errors
    /// Every problem of the text.
    pub fn from_text(name: &str, text: &str) -> Result<Self, RulesError> {
        let (loaded, mut problems) = load::read(name, text);
        let rules = loaded.into_iter().map(Rule::new).collect();
        let mut set = Self { rules, deal: None, warnings: Vec::new() };
        problems.extend(set.dangling(|_| false));
        if problems.iter().any(|problem| problem.fatal) {
            return Err(RulesError(problems));
        }
        set.warnings = problems;
        Ok(set)
    }

    /// All rules, by index.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (RuleIndex, &Rule)> {
        self.rules.iter().enumerate().map(|(index, rule)| (RuleIndex(index as u32), rule))
    }

    /// The windows of the rules' strings, if the rules are the carried ones.
    pub fn deal(&self) -> Option<strings::Deal> {
        self.deal.clone()
    }

    /// The number of rules.
    pub fn len(&self) -> usize {
        self.rules.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// The rule at an index of this set.
    pub fn rule(&self, index: RuleIndex) -> &Rule {
        &self.rules[index.0 as usize]
    }

    /// The rule with a name.
    pub fn find(&self, id: &str) -> Option<(RuleIndex, &Rule)> {
        self.iter().find(|(_, rule)| rule.id.0 == id)
    }

    /// A hash over everything that decides what is found: two sets with one hash find the same.
    pub fn hash(&self) -> String {
        use sha2::Digest;
        let mut hasher = sha2::Sha256::new();
        for rule in &self.rules {
            // Definitions hold strings and numbers: they always serialise.
            hasher.update(serde_json::to_vec(&rule.definition).unwrap_or_default());
            hasher.update([0]);
        }
        data_encoding::HEXLOWER.encode(&hasher.finalize()[..16])
    }

    /// Adds the rule that stands for what the known file recognises. It has no expression and is never searched
    /// for.
    pub fn add_known(&mut self) -> RuleIndex {
        let definition = Definition {
            id: crate::matcher::known::RULE.to_owned(),
            description: "A secret of the store".to_owned(),
            credential: "keyturn/known".to_owned(),
            severity: SeverityWord::Critical,
            confidence: ConfidenceWord::Shaped,
            tags: Vec::new(),
            reference: None,
            revoke: None,
            regex: String::new(),
            secret: None,
            keywords: Vec::new(),
            preview: 0,
            max_match: None,
            max_file: None,
            entropy: None,
            stopwords: Vec::new(),
            check: None,
            helper: false,
            path: definition::PathCondition::default(),
            near: Vec::new(),
            context: None,
            allow: Vec::new(),
            example: Vec::new(),
            negative: Vec::new(),
        };
        let anchors = Anchors {
            literals: Vec::new(),
            before_min: 0,
            before_max: 0,
            after: 0,
            tail: None,
            shape: Vec::new(),
            small_file: 0,
            word: false,
        };
        let rule = Rule { confidence: Confidence::Known, ..Rule::new(Loaded { definition, anchors }) };
        self.rules.push(rule);
        RuleIndex(self.rules.len() as u32 - 1)
    }

    fn add(&mut self, rule: Rule) {
        self.deal = None;
        match self.rules.iter_mut().find(|known| known.id == rule.id) {
            Some(known) => *known = rule,
            None => self.rules.push(rule),
        }
    }

    /// Names that name nothing, and expressions that are too large to run. Those for which `is_carried` holds were
    /// tried when the program was tested; compiling them all would be most of its start.
    fn dangling(&self, is_carried: impl Fn(&Rule) -> bool) -> Vec<Problem> {
        let mut problems = Vec::new();
        for rule in &self.rules {
            let mut tell =
                |message| problems.push(general("rules", format!("rule `{}`: {message}", rule.id)));
            for near in rule.definition.near.iter().filter(|near| self.find(&near.rule).is_none()) {
                tell(format!("near: there is no rule `{}`", near.rule));
            }
            if let Some(check) =
                rule.definition.check.as_ref().filter(|check| crate::check::find(&check.name).is_none())
            {
                let names: Vec<&str> = crate::check::names().collect();
                tell(format!("there is no check `{}`; there are {}", check.name, names.join(", ")));
            }
            if !is_carried(rule) && !crate::matcher::runs(rule) {
                tell("an expression is too large to run; make its repeats smaller".to_owned());
            }
        }
        problems
    }
}

fn general(file: &str, message: String) -> Problem {
    Problem { file: file.to_owned(), line: 1, column: 1, fatal: true, message }
}

/// Files as they are, folders as the rule files in them, sorted.
fn files(paths: &[PathBuf], problems: &mut Vec<Problem>) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for path in paths {
        if !path.is_dir() {
            all.push(path.clone());
            continue;
        }
        match std::fs::read_dir(path) {
            Ok(entries) => {
                let mut inside: Vec<PathBuf> = entries
                    .filter_map(|entry| entry.ok().map(|entry| entry.path()))
                    .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
                    .collect();
                inside.sort();
                if inside.is_empty() {
                    problems.push(general(
                        &path.display().to_string(),
                        "the folder has no `.toml` file".to_owned(),
                    ));
                }
                all.extend(inside);
            }
            Err(error) => problems.push(general(&path.display().to_string(), error.to_string())),
        }
    }
    all
}

fn text_of(path: &Path) -> Result<String, String> {
    use std::io::Read;
    let file = std::fs::File::open(path).map_err(|error| error.to_string())?;
    let mut text = String::new();
    let read =
        file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text).map_err(|error| match error.kind() {
            std::io::ErrorKind::InvalidData => "the file is not text".to_owned(),
            _ => error.to_string(),
        })?;
    if read as u64 > FILE_BYTES_MAX {
        return Err(format!("the file is larger than {} MiB", FILE_BYTES_MAX / 1024 / 1024));
    }
    Ok(text)
}

#[cfg(test)]
mod tests;
