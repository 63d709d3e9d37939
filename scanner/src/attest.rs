//! Attestations: what a scan saw of an image, signed, so that a gate later on need not scan again.
//!
//! An in-toto Statement v1 (<https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md>) with the
//! predicate test-result v0.1, in a DSSE envelope under an ECDSA P-256 signature: what `cosign
//! verify-blob-attestation` and policy engines read. It parses no image, only the JSON report. An incomplete
//! verdict is attested as failed, never as passed.

mod envelope;
pub mod key;
pub mod transit;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use shared::exit::Exit;
use shared::finding::{Action, Report, ScannedImage};
use shared::verdict::Verdict;

use crate::report::destination::{Destination, DestinationError};
use crate::report::printable::printable;
use crate::report::read::{self, ReadError};

use key::{KeyError, PublicKey, SigningKey};

const STATEMENT: &str = "https://in-toto.io/Statement/v1";
const PREDICATE: &str = "https://in-toto.io/attestation/test-result/v0.1";
/// The name of the test that fails when something was not seen.
const COVERAGE: &str = "coverage";

/// Options of `attest`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct AttestArgs {
    /// Check an attestation.
    #[command(subcommand)]
    pub verify: Option<AttestCommand>,
    /// The JSON report of the scan.
    #[arg(long, value_name = "FILE", required = true)]
    pub report: Option<PathBuf>,
    /// The private key: ECDSA P-256 in PEM, cosign's key file with its password in `COSIGN_PASSWORD`, or
    /// `hashivault://NAME` for a key of the transit engine of the Vault or OpenBao at `VAULT_ADDR`.
    #[arg(long, value_name = "KEY", required = true)]
    pub key: Option<PathBuf>,
    /// Attest this image of the report alone: `sha256:...`.
    #[arg(long, value_name = "DIGEST")]
    pub subject: Option<String>,
    /// Where the envelope goes; default: standard output.
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// Commands on attestations.
#[derive(Debug, Subcommand)]
pub enum AttestCommand {
    /// Check signature, subject and result: exit code 0 if it passed, 1 if it did not, 2 if it proves nothing.
    Verify {
        /// The envelope.
        envelope: PathBuf,
        /// The public key in PEM, or `hashivault://NAME`.
        #[arg(long, value_name = "KEY")]
        key: PathBuf,
        /// The image that it must be about: `sha256:...`.
        #[arg(long, value_name = "DIGEST")]
        subject: Option<String>,
    },
}

/// Why nothing was attested, or an attestation proves nothing.
#[derive(Debug, thiserror::Error)]
pub enum AttestError {
    /// The report.
    #[error(transparent)]
    Report(#[from] ReadError),
    /// The key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The report is not as the scanner wrote it.
    #[error("{}: its verdict contradicts its findings: scan again", path.display())]
    Contradiction {
        /// The report.
        path: PathBuf,
    },
    /// There is no image to attest.
    #[error("{}: it names no image with a digest{}; scan an image, and attest its report", path.display(), .wanted.as_ref().map(|digest| format!(" {digest}")).unwrap_or_default())]
    NoSubject {
        /// The report.
        path: PathBuf,
        /// What was asked for.
        wanted: Option<String>,
    },
    /// The attestation is about something else.
    #[error("{}: it is not about {wanted}", path.display())]
    OtherSubject {
        /// The envelope.
        path: PathBuf,
        /// What was asked for.
        wanted: String,
    },
    /// The envelope.
    #[error("{}: {why}", path.display())]
    Envelope {
        /// The envelope.
        path: PathBuf,
        /// What is wrong.
        why: &'static str,
    },
    /// The output could not be written.
    #[error(transparent)]
    Output(#[from] DestinationError),
}

/// The statement, as far as `verify` reads it.
#[derive(Debug, Serialize, Deserialize)]
struct Statement {
    #[serde(rename = "_type")]
    kind: String,
    subject: Vec<Subject>,
    #[serde(rename = "predicateType")]
    predicate_type: String,
    predicate: Value,
}

#[derive(Debug, Serialize, Deserialize)]
struct Subject {
    name: String,
    digest: std::collections::BTreeMap<String, String>,
}

/// Runs the command; returns what a person reads, with the exit code.
///
/// # Errors
/// When the report or the key cannot be used, or the attestation proves nothing.
pub fn run(args: &AttestArgs) -> Result<(String, Exit), AttestError> {
    match (&args.verify, &args.report, &args.key) {
        (Some(AttestCommand::Verify { envelope, key, subject }), ..) => {
            verify(envelope, key, subject.as_deref())
        }
        (None, Some(report), Some(key)) => sign(args, report, key),
        // clap asks for both.
        (None, ..) => Ok((String::new(), Exit::Usage)),
    }
}

fn sign(args: &AttestArgs, path: &Path, key: &Path) -> Result<(String, Exit), AttestError> {
    let report = read::report(path)?;
    let statement = statement(&report, path, args.subject.as_deref())?;
    let key = SigningKey::read(key, std::env::var("COSIGN_PASSWORD").ok().map(zeroize::Zeroizing::new))?;
    // A statement is strings and numbers: it always serialises.
    let payload = serde_json::to_vec(&statement).unwrap_or_default();
    let envelope = envelope::seal(&payload, &key)?;
    let destination = match &args.output {
        Some(path) if path != Path::new("-") => Destination::File(path.clone()),
        _ => Destination::Stdout,
    };
    destination.write(|out| out.write_all(&envelope))?;
    Ok((String::new(), Exit::Done))
}

fn statement(report: &Report, path: &Path, wanted: Option<&str>) -> Result<Statement, AttestError> {
    let blocking = report.findings.iter().filter(|finding| finding.action == Action::Block).count();
    let skipped = usize::try_from(report.verdict.skipped).unwrap_or(usize::MAX);
    let verdict = Verdict::of(blocking, skipped);
    let unseen = report.verdict.skipped + report.verdict.skipped_allowed;
    // What was not seen is listed; a report that was changed by hand seldom keeps its counts.
    let consistent = report.verdict.blocking == blocking
        && report.verdict.status == verdict.word()
        && report.coverage.skipped.total <= unseen
        && (report.coverage.blobs > 0 || skipped > 0);
    if !consistent {
        return Err(AttestError::Contradiction { path: path.to_owned() });
    }
    let subject: Vec<Subject> = report
        .images
        .iter()
        .filter(|one| wanted.is_none_or(|digest| one.image.digest == digest))
        .filter_map(subject)
        .collect();
    if subject.is_empty() {
        return Err(AttestError::NoSubject { path: path.to_owned(), wanted: wanted.map(str::to_owned) });
    }
    Ok(Statement {
        kind: STATEMENT.to_owned(),
        subject,
        predicate_type: PREDICATE.to_owned(),
        predicate: predicate(report, verdict),
    })
}

fn subject(scanned: &ScannedImage) -> Option<Subject> {
    let (algorithm, hex) = scanned.image.digest.split_once(':')?;
    let name = scanned.image.tags.first().unwrap_or(&scanned.target).clone();
    let whole = algorithm == "sha256" && hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
    whole.then(|| Subject { name, digest: [(algorithm.to_owned(), hex.to_owned())].into() })
}

fn predicate(report: &Report, verdict: Verdict) -> Value {
    let rules = |action: Action| {
        let of_it = report.findings.iter().filter(|finding| finding.action == action);
        of_it.map(|finding| finding.rule.0.clone()).collect::<std::collections::BTreeSet<_>>()
    };
    let (mut failed, warned) = (rules(Action::Block), rules(Action::Report));
    let result = match verdict {
        Verdict::Pass if warned.is_empty() => "PASSED",
        Verdict::Pass => "WARNED",
        Verdict::Block { .. } | Verdict::Incomplete { .. } => "FAILED",
    };
    if report.verdict.skipped > 0 {
        failed.insert(COVERAGE.to_owned());
    }
    let coverage = &report.coverage;
    json!({
        "result": result,
        "configuration": [{
            "name": "rules",
            "digest": { "keyturnRules": report.tool.rules },
            "annotations": { "tool": report.tool.name, "version": report.tool.version },
        }],
        "failedTests": failed,
        "warnedTests": warned,
        "keyturn": {
            "verdict": report.verdict,
            "coverage": {
                "blobs": coverage.blobs,
                "bytesStored": coverage.bytes_stored,
                "bytesDecoded": coverage.bytes_decoded,
                "excluded": coverage.excluded.total,
                "opaque": coverage.opaque.total,
                "skipped": coverage.skipped.total,
            },
            "keyId": report.key_id,
            "attestedAt": jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        },
    })
}

fn verify(path: &Path, key: &Path, wanted: Option<&str>) -> Result<(String, Exit), AttestError> {
    let refused = |why| AttestError::Envelope { path: path.to_owned(), why };
    let key = PublicKey::read(key)?;
    let payload = envelope::open(path, &key).map_err(refused)?;
    let statement: Statement = serde_json::from_slice(&payload)
        .map_err(|_| refused("it was signed, but is no in-toto statement"))?;
    if statement.kind != STATEMENT || statement.predicate_type != PREDICATE {
        return Err(refused("it was signed, but is no attestation of a test result"));
    }
    let names: Vec<String> = statement
        .subject
        .iter()
        .filter_map(|subject| Some(format!("sha256:{}", subject.digest.get("sha256")?)))
        .collect();
    if let Some(wanted) = wanted
        && !names.iter().any(|name| name == wanted)
    {
        return Err(AttestError::OtherSubject { path: path.to_owned(), wanted: wanted.to_owned() });
    }
    let result = statement.predicate["result"].as_str().unwrap_or_default();
    let exit = match result {
        "PASSED" | "WARNED" => Exit::Done,
        _ => Exit::Blocked,
    };
    let mut text = format!("{}: the signature holds\n", printable(result));
    for subject in &statement.subject {
        let digest = subject.digest.get("sha256").map(String::as_str).unwrap_or_default();
        text.push_str(&format!("  {} sha256:{}\n", printable(&subject.name), printable(digest)));
    }
    for failed in
        statement.predicate["failedTests"].as_array().into_iter().flatten().filter_map(Value::as_str)
    {
        text.push_str(&format!("  failed: {}\n", printable(failed)));
    }
    Ok((text, exit))
}
