//! The command line, as it is typed. What it means is in [`crate::plan`].

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::attest::AttestArgs;
use crate::baseline::commands::BaselineCommand;
use crate::policy::written::ThresholdWord;
use crate::progress::When;
use crate::report::Format;
use crate::suggest::did_you_mean;

/// Finds leaked secrets in images, trees and archives, and blocks the deploy.
#[derive(Debug, Parser)]
#[command(name = "scanner", version, max_term_width = 100, after_help = EXIT_CODES)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// What holds for every command.
    #[command(flatten)]
    pub common: Common,
}

const EXIT_CODES: &str = "Exit codes: 0 pass; 1 blocked; 2 usage or configuration error, or a report that could \
                          not be written; 3 incomplete: something was not seen; 130 interrupted.";

/// What holds for every command.
#[derive(Debug, Args)]
pub struct Common {
    /// Say only errors, and the report.
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Say more on standard error; twice and three times for still more.
    #[arg(short, long, global = true, action = clap::ArgAction::Count, conflicts_with = "quiet")]
    pub verbose: u8,
    /// Colours and links in text.
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub color: When,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Search targets for secrets, and decide.
    Scan(Box<ScanArgs>),
    /// Look at rules and try them.
    #[command(subcommand)]
    Rules(RulesCommand),
    /// Tell of one finding of a JSON report: why it is believed, where it lies, what to do.
    Explain {
        /// Its fingerprint (`k1:...`) or its id, or the beginning of either.
        #[arg(value_name = "FINGERPRINT|ID")]
        finding: String,
        /// The JSON report that has it.
        #[arg(long, value_name = "FILE")]
        report: PathBuf,
        /// Where the rules come from.
        #[command(flatten)]
        source: RuleSource,
    },
    /// Sign what a scan saw of an image, or check such a signature.
    Attest(AttestArgs),
    /// Findings that are accepted for a while.
    #[command(subcommand)]
    Baseline(BaselineCommand),
    /// Print the JSON Schema of the JSON report.
    Schema,
    /// Print completions for a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Print the man page, or write one for each command into a folder.
    Man {
        /// The folder; made if it is not there.
        folder: Option<PathBuf>,
    },
}

/// Options of `scan`.
#[derive(Debug, Args)]
pub struct ScanArgs {
    /// Folders, files, image archives (`docker save`, OCI), any tar, zip or compressed file; `-` reads standard
    /// input; `git:PATH` is a repository with its history. What a target is, its content says.
    #[arg(required = true, value_name = "TARGET")]
    pub targets: Vec<String>,
    /// Only the images of this platform, `os/architecture[/variant]`; default: all.
    #[arg(long, value_name = "PLATFORM", help_heading = "Images")]
    pub platform: Option<String>,
    /// The JSON report of a scan of the base image. Places in its layers are marked as inherited; a policy decides
    /// what that means. Never from inside the target.
    #[arg(long, value_name = "REPORT", help_heading = "Images")]
    pub base: Option<PathBuf>,
    /// Hash the uncompressed form of compressed layers too, and tell where it differs from the configuration. It
    /// takes longer than the search.
    #[arg(long, help_heading = "Images")]
    pub verify_diff_ids: bool,
    /// Of `git:` targets only what the commits of a range brought: `main..HEAD`, `main...HEAD`. Default: everything,
    /// also what no branch reaches any more.
    #[arg(long, value_name = "RANGE", help_heading = "Git", conflicts_with = "staged")]
    pub range: Option<String>,
    /// Of `git:` targets only what the next commit would bring.
    #[arg(long, help_heading = "Git")]
    pub staged: bool,
    /// A report, to standard output or to a file: `--format sarif=out.sarif`. Repeatable; default: text.
    #[arg(long = "format", short = 'f', value_name = "KIND[=FILE]", help_heading = "Reports")]
    pub formats: Vec<String>,
    /// Where the report without a file of its own goes; default: standard output.
    #[arg(long, short, value_name = "FILE", help_heading = "Reports")]
    pub output: Option<PathBuf>,
    /// More rules: a TOML file, or a folder of them. A rule with a known name replaces that one. Repeatable.
    #[arg(long, value_name = "PATH", help_heading = "What to look for")]
    pub rules: Vec<PathBuf>,
    /// Leave out the rules that the program carries.
    #[arg(long, requires = "rules", help_heading = "What to look for")]
    pub no_default_rules: bool,
    /// What blocks, what is accepted, which gaps are allowed (TOML, from outside the target).
    #[arg(long, value_name = "FILE", help_heading = "The gate")]
    pub policy: Option<PathBuf>,
    /// The weakest confidence that blocks; before the policy's. Default: shaped.
    #[arg(long, value_name = "CONFIDENCE", help_heading = "The gate")]
    pub fail_on: Option<ThresholdWord>,
    /// Let the target speak for itself: comments `keyturn:allow` and `gitleaks:allow` suppress the secrets of their
    /// lines, and a `.gitleaksignore` at the top of a folder or repository what it lists. A live secret blocks all the
    /// same. For a repository whose every change is reviewed, never for what others build.
    #[arg(long, help_heading = "The gate")]
    pub trust_target: bool,
    /// Accepted findings, as `--write-baseline` writes them.
    #[arg(long, value_name = "FILE", help_heading = "The gate")]
    pub baseline: Option<PathBuf>,
    /// Write the findings that are not suppressed as a baseline, to be read and signed off by a person.
    #[arg(long, value_name = "FILE", help_heading = "The gate")]
    pub write_baseline: Option<PathBuf>,
    /// The exit code of a block instead of 1.
    #[arg(long, value_name = "N", help_heading = "The gate")]
    pub exit_code: Option<u8>,
    /// The key of the fingerprints: 64 hexadecimal digits, mode 0600. Default: `keyturn/fingerprint.key` in the
    /// user's configuration folder, else one for this run.
    #[arg(long, value_name = "FILE", help_heading = "The gate")]
    pub fingerprint_key: Option<PathBuf>,
    /// The known file of `rotator known`: live secrets are recognised in it wherever they lie, without a rule, and
    /// block. A file that is forged, expired or cut short makes the verdict incomplete.
    #[arg(long, value_name = "FILE", requires_all = ["known_key", "receipt_key"], help_heading = "Live secrets")]
    pub known: Option<PathBuf>,
    /// The key of the known file: 64 hexadecimal digits, mode 0600.
    #[arg(long, value_name = "FILE", requires = "known", help_heading = "Live secrets")]
    pub known_key: Option<PathBuf>,
    /// The lowest generation of the known file that is believed; an older one was put in its place. Until a file
    /// expires, only this tells it from a newer one.
    #[arg(long, value_name = "N", default_value_t = 0, requires = "known", help_heading = "Live secrets")]
    pub known_generation: u64,
    /// A folder of receipts. A secret that one of them proves dead no longer blocks, as long as the known file does
    /// not list it as live. Needs the rotator's `--fingerprint-key`.
    #[arg(long, value_name = "DIR", requires_all = ["known", "receipt_key"], help_heading = "Live secrets")]
    pub receipts: Option<PathBuf>,
    /// The rotator's public keys (PEM), which sign the known file and the receipts. Never from inside the target.
    #[arg(long, value_name = "FILE", requires = "known", help_heading = "Live secrets")]
    pub receipt_key: Option<PathBuf>,
    /// How many threads search; default: all cores.
    #[arg(long, value_name = "N", help_heading = "Cost")]
    pub threads: Option<std::num::NonZeroUsize>,
    /// A limit on what a target may cost. Repeatable.
    #[arg(long = "limit", value_name = "NAME=VALUE", help_heading = "Cost", long_help = limits_help())]
    pub limits: Vec<String>,
    /// Bars on standard error.
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    pub progress: When,
}

/// The table of limits.
fn limits_help() -> String {
    use std::fmt::Write;
    let mut help =
        "A limit on what a target may cost. Repeatable. What is beyond a limit is listed as skipped, and \
                    the verdict is incomplete.\n"
            .to_owned();
    for row in crate::limits::TABLE {
        // Writing to a String cannot fail.
        let _ = write!(help, "\n  {} = {}: {}", row.name, row.default, row.meaning);
    }
    help
}

/// Commands on rules.
#[derive(Debug, Subcommand)]
pub enum RulesCommand {
    /// One line for each rule.
    List(RuleSource),
    /// All that a rule says.
    Show {
        /// Its name.
        rule: String,
        /// Where the rules come from.
        #[command(flatten)]
        source: RuleSource,
    },
    /// Read rule files and tell every mistake.
    Check {
        /// TOML files, or folders of them.
        #[arg(required = true)]
        paths: Vec<PathBuf>,
    },
    /// Turn rules of Kingfisher, Nosey Parker, Betterleaks or gitleaks into ours, and tell what could not be carried over.
    Import {
        /// YAML or TOML files.
        #[arg(required = true)]
        paths: Vec<PathBuf>,
    },
    /// Hold rules to their own examples and near misses.
    Test {
        /// TOML files, or folders of them.
        #[arg(required = true)]
        paths: Vec<PathBuf>,
    },
}

/// Where rules come from.
#[derive(Debug, Args)]
pub struct RuleSource {
    /// More rules: a TOML file, or a folder of them. Repeatable.
    #[arg(long, value_name = "PATH")]
    pub rules: Vec<PathBuf>,
    /// Leave out the rules that the program carries.
    #[arg(long, requires = "rules")]
    pub no_default_rules: bool,
}

/// A report as it was asked for: `sarif=out.sarif`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FormatArg {
    /// The format.
    pub format: Format,
    /// Its own file, if it has one.
    pub file: Option<PathBuf>,
}

/// Splits `KIND[=FILE]`.
///
/// # Errors
/// One line that names the kinds there are.
pub fn format_arg(text: &str) -> Result<FormatArg, String> {
    use clap::ValueEnum;
    let (kind, file) = match text.split_once('=') {
        Some((kind, file)) => (kind, Some(file)),
        None => (text, None),
    };
    let format = Format::from_str(kind, true).map_err(|_| {
        let kinds = Format::value_variants().iter().filter_map(Format::to_possible_value);
        let kinds: Vec<String> = kinds.map(|value| value.get_name().to_owned()).collect();
        let near = did_you_mean(kind, kinds.iter().map(String::as_str));
        format!("--format {text}: there is no format `{kind}`{near}; use one of {}", kinds.join(", "))
    })?;
    match file {
        Some("") => {
            Err(format!("--format {text}: name a file after `=`, or leave `=` out for standard output"))
        }
        file => Ok(FormatArg { format, file: file.map(PathBuf::from) }),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::{Cli, format_arg};
    use crate::report::Format;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn formats_name_their_file() {
        let sarif = format_arg("sarif=out/a=b.sarif").unwrap();
        assert_eq!((sarif.format, sarif.file), (Format::Sarif, Some("out/a=b.sarif".into())));
        assert_eq!(format_arg("text").unwrap().file, None);
        assert!(format_arg("sarf").unwrap_err().contains("sarif"));
        assert!(format_arg("json=").unwrap_err().contains("name a file"));
    }
}
