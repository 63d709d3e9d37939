//! What a target says about its own secrets: comments that allow a line, and ignore files.
//!
//! Whoever writes the target writes these too, so that they count only where the person who runs the scan says so
//! (`--trust-target`). They are listed either way. A secret that is live is never allowed like this.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::path::Path;

use memchr::memmem;
use shared::finding::{Action, Finding, Location};

use crate::policy::Decision;

/// Comments that allow the secrets of their line: ours, and the one that gitleaks has.
const COMMENTS: [&[u8]; 2] = [b"keyturn:allow", b"gitleaks:allow"];
/// The file at the top of a folder or repository in which gitleaks keeps what it ignores.
const IGNORE_FILE: &str = ".gitleaksignore";
/// A larger one is not read.
const IGNORE_BYTES_MAX: u64 = 4 << 20;

/// Whether lines of a file hold a comment that allows what stands in them.
pub fn is_allowed(lines: &[u8]) -> bool {
    COMMENTS.iter().any(|comment| memmem::find(lines, comment).is_some())
}

/// One line of an ignore file: `[commit:]path:rule:line`.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Ignored {
    target: String,
    commit: Option<String>,
    path: String,
    rule: String,
    line: u64,
}

impl Ignored {
    fn parse(target: &str, line: &str) -> Option<Self> {
        let mut fields = line.rsplitn(3, ':');
        let line = fields.next()?.parse().ok()?;
        let rule = fields.next()?.to_owned();
        let place = fields.next()?;
        let is_commit = |text: &str| text.len() == 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let (commit, path) = match place.split_once(':').filter(|(commit, _)| is_commit(commit)) {
            Some((commit, path)) => (Some(commit.to_ascii_lowercase()), path),
            None => (None, place),
        };
        let path = path.trim_start_matches("./").replace('\\', "/");
        Some(Self { target: target.to_owned(), commit, path, rule, line })
    }
}

/// What targets say, and whether it counts.
#[derive(Debug, Default)]
pub struct Trust {
    counts: bool,
    ignored: BTreeSet<Ignored>,
    /// Rules of the run: a line of an ignore file that names another one was written for another scanner's names.
    rules: BTreeSet<String>,
    /// Places that ask to be allowed.
    asked: u64,
    problems: Vec<String>,
}

impl Trust {
    /// Reads the ignore files of targets that are folders or repositories.
    pub fn read(targets: &[String], rules: impl Iterator<Item = String>, counts: bool) -> Self {
        let mut trust = Self { counts, rules: rules.collect(), ..Self::default() };
        for target in targets {
            let folder = Path::new(target.strip_prefix("git:").unwrap_or(target));
            if folder.is_dir() {
                trust.file(target, &folder.join(IGNORE_FILE));
            }
        }
        trust
    }

    fn file(&mut self, target: &str, path: &Path) {
        // Nothing in a target is followed out of it, and a FIFO would be waited for.
        if !std::fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_file()) {
            return;
        }
        let mut text = Vec::new();
        let read =
            std::fs::File::open(path).and_then(|file| file.take(IGNORE_BYTES_MAX + 1).read_to_end(&mut text));
        if read.is_err() || text.len() as u64 > IGNORE_BYTES_MAX {
            self.problems
                .push(format!("{}: cannot be read, or is too large; it does not count", path.display()));
            return;
        }
        let text = String::from_utf8_lossy(&text);
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        self.ignored.extend(lines.filter_map(|line| Ignored::parse(target, line)));
    }

    fn ignores(&self, finding: &Finding, location: &Location) -> bool {
        if !location.entries.is_empty() {
            return false;
        }
        self.ignored.iter().any(|ignored| {
            let commit = match (&ignored.commit, &location.git) {
                (None, _) => true,
                (Some(commit), Some(git)) => git.first.as_ref().is_some_and(|first| first.id == *commit),
                (Some(_), None) => false,
            };
            commit
                && ignored.target == location.target
                && ignored.path == location.path
                && ignored.line == location.line
                && (ignored.rule == finding.rule.0 || !self.rules.contains(&ignored.rule))
        })
    }

    /// What becomes of a decision where the target has a say.
    pub fn hear(
        &mut self,
        finding: &Finding,
        location: &Location,
        has_comment: bool,
        decision: Decision,
    ) -> Decision {
        let by = match (has_comment, self.ignores(finding, location)) {
            (true, _) => "a comment in its line",
            (false, true) => IGNORE_FILE,
            (false, false) => return decision,
        };
        self.asked += 1;
        if self.counts {
            let why = format!("Allowed from inside the target, by {by}; --trust-target lets that count.");
            return Decision { action: Action::Suppressed, why };
        }
        let why =
            format!("{} It asks to be allowed, by {by}; only --trust-target lets that count.", decision.why);
        Decision { action: decision.action, why }
    }

    /// What a person should know.
    pub fn notices(self) -> Vec<String> {
        let mut notices = self.problems;
        let places =
            if self.asked == 1 { "1 place asks".to_owned() } else { format!("{} places ask", self.asked) };
        match (self.asked, self.counts) {
            (0, _) => {}
            (_, true) => notices.push(format!("{places} to be allowed from inside the target; --trust-target let that count")),
            (_, false) => notices.push(format!(
                "{places} to be allowed from inside the target (a comment, or {IGNORE_FILE}); that does not count without --trust-target"
            )),
        }
        notices
    }
}

#[cfg(test)]
mod tests {
    use super::{Ignored, is_allowed};

    #[test]
    fn lines_of_an_ignore_file_are_read_from_their_end() {
        let commit = "0123456789abcdef0123456789abcdef01234567";
        let parse = |line: &str| Ignored::parse("t", line).map(|i| (i.commit, i.path, i.rule, i.line));
        assert_eq!(parse("a/b.env:github-pat:7"), Some((None, "a/b.env".into(), "github-pat".into(), 7)));
        assert_eq!(
            parse(&format!("{commit}:c:d.env:jwt:12")),
            Some((Some(commit.into()), "c:d.env".into(), "jwt".into(), 12))
        );
        assert_eq!(parse("./a\\b:jwt:1"), Some((None, "a/b".into(), "jwt".into(), 1)));
        for wrong in ["", "a", "a:b", "a:b:c", "a:b:-1"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn both_comments_allow() {
        assert!(is_allowed(b"key = 'x' # keyturn:allow") && is_allowed(b"// gitleaks:allow"));
        assert!(!is_allowed(b"# keyturn: allow") && !is_allowed(b""));
    }
}
