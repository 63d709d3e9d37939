//! What was typed becomes what is meant: a validated plan, or every mistake at once.

use std::collections::BTreeSet;
use std::io::IsTerminal;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use shared::config::Problems;
use shared::fingerprint::{FingerprintKey, KeyOrigin};

use crate::cli::{FormatArg, ScanArgs, format_arg};
use crate::key;
use crate::known::Told;
use crate::limits::Limits;
use crate::matcher::known;
use crate::policy::pattern::Patterns;
use crate::policy::{Policy, load};
use crate::progress::When;
use crate::report::Format;
use crate::report::destination::Destination;
use crate::report::read;
use crate::rules::RuleSet;
use crate::source::GitScope;
use crate::suggest::did_you_mean;

/// Codes that mean something else already.
const CODES_TAKEN: [u8; 4] = [0, 2, 3, 130];

/// Everything that a scan needs, valid.
pub struct ScanPlan {
    /// The targets, as the user named them.
    pub targets: Vec<String>,
    /// The reports, in the order in which they were asked for.
    pub reports: Vec<(Format, Destination)>,
    /// The effective rules.
    pub rules: RuleSet,
    /// The effective policy: file, baseline and options.
    pub policy: Policy,
    /// Where a new baseline goes.
    pub write_baseline: Option<PathBuf>,
    /// The key of the fingerprints.
    pub key: FingerprintKey,
    /// Which secrets are live, and which are dead.
    pub told: Told,
    /// How many threads search.
    pub threads: Option<NonZeroUsize>,
    /// What a target may cost.
    pub limits: Limits,
    /// Only the images of this platform.
    pub platform: Option<String>,
    /// The layers of the base image: digests as stored and uncompressed.
    pub base: BTreeSet<String>,
    /// Whether the uncompressed form of compressed layers is hashed.
    pub verify_diff_ids: bool,
    /// What of git repositories is searched.
    pub git: GitScope,
    /// Whether comments and ignore files inside a target count.
    pub trust_target: bool,
    /// Whether bars are drawn.
    pub progress: When,
    /// The exit code of a block.
    pub block_code: u8,
    /// What a person should know of the configuration.
    pub notices: Vec<String>,
}

/// Every mistake of the command line and of the files that it names, one line each.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct PlanError(pub Vec<String>);

impl ScanPlan {
    /// Makes the plan.
    ///
    /// # Errors
    /// Every mistake, not only the first.
    pub fn new(args: &ScanArgs) -> Result<Self, PlanError> {
        let mut mistakes = Vec::new();
        let mut notices = Vec::new();
        let reports = reports(args, &mut mistakes);
        let rules = RuleSet::load(&args.rules, !args.no_default_rules);
        let rules = rules.map_err(|error| mistakes.extend(lines(&error))).ok();
        let key = key::find(args.fingerprint_key.as_deref(), key::configuration_folder().as_deref());
        let key = key.map_err(|error| mistakes.push(error.to_string())).ok();
        let told = told(args, rules.as_ref(), key.as_ref(), &mut mistakes);
        let mut policy = gate(args, key.as_ref(), &mut mistakes);
        if let (Some(path), Some(rules)) = (&args.policy, &rules) {
            mistakes.extend(
                unknown_rules(&policy, rules).map(|what| format!("--policy {}: {what}", path.display())),
            );
        }
        if let Some(word) = args.fail_on {
            policy.confidence = word.into();
        }
        let mut limits = Limits::default();
        let from_policy = policy.limits.iter().map(|(name, value)| (true, format!("{name}={value}")));
        for (in_policy, limit) in from_policy.chain(args.limits.iter().map(|limit| (false, limit.clone()))) {
            if let Err(error) = limits.set(&limit) {
                let place = if in_policy { "[limits] of the policy" } else { "--limit" };
                mistakes.push(format!("{place}: {error}"));
            }
        }
        let block_code = args.exit_code.unwrap_or(1);
        if CODES_TAKEN.contains(&block_code) {
            mistakes.push(format!(
                "--exit-code {block_code}: this code means something else; to never block use --fail-on never"
            ));
        }
        let unstable = key.as_ref().is_some_and(|key| key.origin() == KeyOrigin::OneRun);
        if args.write_baseline.is_some() && unstable {
            mistakes.push(format!("--write-baseline: {NEEDS_KEY}"));
        }
        let git = match (&args.range, args.staged) {
            (Some(range), _) => GitScope::Range(range.clone()),
            (None, true) => GitScope::Staged,
            (None, false) => GitScope::All,
        };
        if git != GitScope::All && !args.targets.iter().any(|target| target.starts_with("git:")) {
            let option = if args.staged { "--staged" } else { "--range" };
            mistakes.push(format!("{option}: no target is a repository; write git:PATH, as in git:."));
        }
        let base = base_layers(args, &mut mistakes);
        let piped = args.targets.iter().filter(|target| *target == "-").count();
        if piped > 1 {
            mistakes.push("-: standard input can be read once; name it once".to_owned());
        }
        if piped > 0 && std::io::stdin().is_terminal() {
            mistakes.push(
                "-: standard input is a terminal; pipe something in: docker save IMAGE | scanner scan -"
                    .to_owned(),
            );
        }
        for path in &args.rules {
            if let Some(target) = inside(path, &args.targets) {
                notices.push(format!("the rules {} come from inside the target {target}", path.display()));
            }
        }
        match (rules, key, mistakes.is_empty()) {
            (Some(rules), Some(key), true) => Ok(Self {
                targets: args.targets.clone(),
                reports,
                rules,
                policy,
                write_baseline: args.write_baseline.clone(),
                key,
                told,
                threads: args.threads,
                limits,
                platform: args.platform.clone().filter(|platform| platform != "all"),
                base,
                verify_diff_ids: args.verify_diff_ids,
                git,
                trust_target: args.trust_target,
                progress: args.progress,
                block_code,
                notices,
            }),
            _ => Err(PlanError(mistakes)),
        }
    }
}

/// The known file and the receipts, with keys that whoever writes the target cannot choose.
fn told(
    args: &ScanArgs,
    rules: Option<&RuleSet>,
    key: Option<&FingerprintKey>,
    mistakes: &mut Vec<String>,
) -> Told {
    for (option, path) in [("--receipt-key", &args.receipt_key), ("--known-key", &args.known_key)] {
        let found = path.as_ref().and_then(|path| Some((path, inside(path, &args.targets)?)));
        if let Some((path, target)) = found {
            mistakes.push(format!(
                "{option} {}: it lies inside the target {target}; keep it elsewhere, or whoever writes the target \
                 decides what is believed",
                path.display()
            ));
        }
    }
    if args.known.is_some() && rules.is_some_and(|rules| rules.find(known::RULE).is_some()) {
        mistakes
            .push(format!("--rules: the name `{}` is taken by --known; give the rule another", known::RULE));
    }
    Told::read(args, key.map(FingerprintKey::key_id), Timestamp::now(), mistakes)
}

const NEEDS_KEY: &str = "fingerprints of this run cannot be compared with others; keep a key: umask 077; mkdir -p \
                         ~/.config/keyturn; openssl rand -hex 32 > ~/.config/keyturn/fingerprint.key";

fn lines(error: &impl ToString) -> Vec<String> {
    error.to_string().lines().map(str::to_owned).collect()
}

fn reports(args: &ScanArgs, mistakes: &mut Vec<String>) -> Vec<(Format, Destination)> {
    let mut wanted: Vec<FormatArg> = Vec::new();
    for text in &args.formats {
        match format_arg(text) {
            Ok(format) => wanted.push(format),
            Err(message) => mistakes.push(message),
        }
    }
    if args.formats.is_empty() {
        wanted.push(FormatArg { format: Format::Text, file: None });
    }
    let without_file = wanted.iter().filter(|wanted| wanted.file.is_none()).count();
    if without_file > 1 {
        mistakes.push(
            "two reports would go to the same place: give all but one a file, as in --format sarif=out.sarif"
                .to_owned(),
        );
    }
    if without_file == 0
        && let Some(output) = &args.output
    {
        mistakes.push(format!(
            "--output {}: every report has a file of its own; leave one of them out",
            output.display()
        ));
    }
    let place = |file: Option<PathBuf>| match file.or_else(|| args.output.clone()) {
        Some(path) if path != Path::new("-") => Destination::File(path),
        _ => Destination::Stdout,
    };
    let reports: Vec<_> = wanted.into_iter().map(|wanted| (wanted.format, place(wanted.file))).collect();
    for (index, (_, destination)) in reports.iter().enumerate() {
        if let Destination::File(path) = destination
            && reports[..index].iter().any(|(_, earlier)| earlier == destination)
        {
            mistakes.push(format!("two reports would go to {}: name two files", path.display()));
        }
    }
    reports
}

/// The policy with the baseline's suppressions, both made under the key of this run.
fn gate(args: &ScanArgs, key: Option<&FingerprintKey>, mistakes: &mut Vec<String>) -> Policy {
    let mut read = |path: Option<&PathBuf>, option: &str, read: fn(&Path) -> Result<Policy, Problems>| {
        let path = path?;
        if let Some(target) = inside(path, &args.targets) {
            mistakes.push(format!(
                "{option} {}: it lies inside the target {target}; keep it elsewhere, or whoever writes the \
                 target decides what passes",
                path.display()
            ));
            return None;
        }
        match read(path) {
            Ok(policy) => {
                let made = policy.key_id.zip(key);
                if let Some((made, key)) = made.filter(|(made, key)| *made != key.key_id()) {
                    let hint = match key.origin() {
                        KeyOrigin::Kept => "give the key that made them with --fingerprint-key".to_owned(),
                        KeyOrigin::OneRun => {
                            "give it with --fingerprint-key; this run has no kept key".to_owned()
                        }
                    };
                    mistakes.push(format!(
                        "{option} {}: its fingerprints were made under key {made}, this run has {}; {hint}",
                        path.display(),
                        key.key_id()
                    ));
                }
                Some(policy)
            }
            Err(found) => {
                mistakes.extend(found.iter().map(ToString::to_string));
                None
            }
        }
    };
    let policy = read(args.policy.as_ref(), "--policy", load::policy);
    let baseline = read(args.baseline.as_ref(), "--baseline", load::baseline);
    let mut policy = policy.unwrap_or_default();
    if let Some(baseline) = baseline {
        policy.suppressions.extend(baseline.suppressions);
    }
    policy
}

/// The layers of the images in the base's report.
fn base_layers(args: &ScanArgs, mistakes: &mut Vec<String>) -> BTreeSet<String> {
    let Some(path) = &args.base else { return BTreeSet::new() };
    if let Some(target) = inside(path, &args.targets) {
        mistakes.push(format!(
            "--base {}: it lies inside the target {target}; keep it elsewhere, or whoever writes the target decides \
             what is inherited",
            path.display()
        ));
        return BTreeSet::new();
    }
    match read::report(path) {
        Ok(report) => {
            let layers = report.images.into_iter().flat_map(|image| image.layers);
            let digests =
                layers.flat_map(|layer| std::iter::once(layer.layer.digest).chain(layer.layer.diff_id));
            let digests: BTreeSet<String> = digests.filter(|digest| !digest.is_empty()).collect();
            if digests.is_empty() {
                mistakes.push(format!(
                    "--base {}: the report names no layers; scan the base image",
                    path.display()
                ));
            }
            digests
        }
        Err(error) => {
            mistakes.push(format!("--base: {error}"));
            BTreeSet::new()
        }
    }
}

/// The rules that the policy's exceptions name and that do not exist. A rule that the program carries exists, in
/// use or not: one policy serves several scans.
fn unknown_rules<'p>(policy: &'p Policy, rules: &'p RuleSet) -> impl Iterator<Item = String> + 'p {
    let carried = RuleSet::embedded().unwrap_or_default();
    let mut names: Vec<String> =
        rules.iter().chain(carried.iter()).map(|(_, rule)| rule.id.0.clone()).collect();
    names.push(known::RULE.to_owned());
    let named =
        policy.overrides.iter().flat_map(|exception| exception.when.rule.iter().flat_map(Patterns::literals));
    named.filter_map(move |name| {
        let known = names.iter().any(|known| known == name);
        let near = || did_you_mean(name, names.iter().map(String::as_str));
        (!known).then(|| {
            format!("an exception is for the rule `{name}`, and there is no rule `{name}`{}", near())
        })
    })
}

/// The folder among the targets that holds a file.
fn inside<'t>(path: &Path, targets: &'t [String]) -> Option<&'t str> {
    let path = path.canonicalize().ok()?;
    targets.iter().map(String::as_str).find(|target| {
        Path::new(target).canonicalize().is_ok_and(|target| target.is_dir() && path.starts_with(target))
    })
}
