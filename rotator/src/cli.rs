//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::known::KnownArgs;
use crate::manifest::duration::GoDuration;
use crate::receipts_command::ReceiptsArgs;
use crate::respond::RespondArgs;
use crate::seal_command::{SealArgs, SealCommandArgs};
use crate::store_command::StoreArgs;
use crate::target::TargetName;

/// Syncs Vault and OpenBao secrets into Kubernetes.
///
/// Exit codes: 0 all done; 1 some not done (each is named, with what to do); 2 usage or configuration error;
/// 3 a rotation needs a person.
#[derive(Debug, Parser)]
#[command(name = "rotator", version, disable_help_subcommand = true, max_term_width = 100)]
pub struct Cli {
    /// Say less: errors only
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Say more; repeat for even more
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// Send traces to an OpenTelemetry collector (OTLP over HTTP), such as http://127.0.0.1:4318
    #[arg(long, global = true, value_name = "URL")]
    pub traces: Option<String>,
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Bring every Secret that is due up to date, once
    Sync(SyncArgs),
    /// Rotate what is due, and go on with what rests
    Rotate(RotateArgs),
    /// Stay: sync and rotate what is due, again and again; of several, one leads
    Run(RunArgs),
    /// Say what `rotate` and `sync` would do now: accounts, paths, Secrets, keys, statements; change nothing
    Plan(PlanArgs),
    /// Do what a plan says; one whose ground has moved is refused
    Apply(ApplyArgs),
    /// Say where every credential and every Secret stands; change nothing
    Status(StatusArgs),
    /// Take over a credential that is there: it is tried at every endpoint and journalled, nothing is changed
    Adopt(OrderArgs),
    /// End a run: before its new secret is published it is taken away again; afterwards refused
    Abort(OrderArgs),
    /// Go on with a run that needed a person, after the cause was fixed
    Retry(OrderArgs),
    /// Revoke the old secret although a consumer has not moved; who, why and when are in the journal and the receipt
    ForceRevoke {
        /// Why; it is kept in the journal and in the receipt, so write no secret
        #[arg(long, value_name = "TEXT", value_parser = reason)]
        reason: String,
        /// Which Rotation
        #[command(flatten)]
        order: OrderArgs,
    },
    /// Count an external consumer as moved: it uses the new secret
    Release {
        /// Which Rotation
        #[command(flatten)]
        order: OrderArgs,
        /// The consumer, as the Rotation's consumers.external names it
        #[arg(value_name = "CONSUMER")]
        consumer: String,
    },
    /// In another cluster that a Rotation names: move the consumers here, and say in the store when they have moved
    Acknowledge(AcknowledgeArgs),
    /// Make journal, published path and server agree after one of them was restored or changed by hand
    Reconcile(OrderArgs),
    /// Stop everything: while a store is frozen no run starts and nothing is revoked, also for leaks
    Freeze(FreezeArgs),
    /// Write the known file: how a scanner recognises live values without knowing them
    Known(KnownArgs),
    /// Act on leaked values that a scanner recognised
    Respond(RespondArgs),
    /// Look at receipts and check them
    Receipts(ReceiptsArgs),
    /// Check manifests without asking any server
    Check(CheckArgs),
    /// Work on the encrypted local store by hand
    Store(StoreArgs),
    /// Seal Secret manifests for a controller of Sealed Secrets, as kubeseal does
    Seal(SealCommandArgs),
    /// Make the keys that fingerprints and receipts need, once
    Keys {
        /// The folder that they are written to
        folder: PathBuf,
    },
    /// Print the CustomResourceDefinitions of the kinds that are read, for clusters without the operator's
    Crds,
    /// Print completions for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the man page, or write one for each command into a folder
    Man {
        /// The folder; made if it is not there
        folder: Option<PathBuf>,
    },
}

/// Where manifests come from.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// A file or folder of manifests
    #[arg(long, value_name = "PATH")]
    pub config: PathBuf,
}

/// What `sync` takes.
#[derive(Debug, Args)]
pub struct SyncArgs {
    /// Where manifests come from
    #[command(flatten)]
    pub source: SourceArgs,
    /// With --cluster: only this namespace
    #[arg(short, long, value_name = "NAMESPACE", requires = "cluster")]
    pub namespace: Option<String>,
    /// Where Secrets go: `cluster`, or `dir:PATH` (one manifest a file, mode 0600)
    #[arg(long, value_name = "TARGET", default_value = "cluster")]
    pub target: TargetName,
    /// Refresh everything, also what is not due yet
    #[arg(long)]
    pub now: bool,
    /// Put each access to a secret on record: a file (a chain of lines, rotated), or - for standard output
    #[arg(long, value_name = "FILE")]
    pub audit: Option<PathBuf>,
    /// How many ExternalSecrets are worked on at once
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub concurrency: u16,
    /// How what is written is sealed
    #[command(flatten)]
    pub seal: SealArgs,
}

/// Where manifests come from: exactly one.
#[derive(Clone, Debug, Args)]
#[group(required = true, multiple = false)]
pub struct SourceArgs {
    /// A file or folder of manifests
    #[arg(long, value_name = "PATH")]
    pub config: Option<PathBuf>,
    /// Read manifests from the API server (kubeconfig, or the pod's service account)
    #[arg(long)]
    pub cluster: bool,
}

/// What `run` takes.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// From the end of one round to the next
    #[arg(long, value_name = "DURATION", default_value = "1m")]
    pub interval: GoDuration,
    /// Where manifests come from; with --cluster ExternalSecrets are followed by watches
    #[command(flatten)]
    pub source: SourceArgs,
    /// With --cluster: only this namespace
    #[arg(short, long, value_name = "NAMESPACE", requires = "cluster")]
    pub namespace: Option<String>,
    /// Where the Secrets of consumers go: `cluster` (whose workloads are restarted and waited for), or `dir:PATH`
    /// (one manifest a file, mode 0600)
    #[arg(long, value_name = "TARGET")]
    pub target: TargetName,
    /// Serve stores that name no controller too; refused while External Secrets Operator has replicas. Without it
    /// only stores with `controller: keyturn` are served
    #[arg(long, requires = "cluster")]
    pub adopt: bool,
    /// Serve /metrics, /healthz and /readyz at this address, such as 127.0.0.1:9464
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<std::net::SocketAddr>,
    /// Name the trace of a request beside its time in the metrics (with --traces)
    #[arg(long, requires = "listen")]
    pub exemplars: bool,
    /// Put each access to a secret on record: a file (a chain of lines, rotated), or - for standard output
    #[arg(long, value_name = "FILE")]
    pub audit: Option<PathBuf>,
    /// How long a round waits for what only takes time: consumers that move, a grace
    #[arg(long, value_name = "DURATION", default_value = "1m")]
    pub wait: GoDuration,
    /// How many ExternalSecrets or Rotations are worked on at once
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub concurrency: u16,
    /// The key that names secrets: 64 hexadecimal digits, mode 0600. Without the keys nothing is rotated
    #[arg(long, value_name = "FILE", requires_all = ["receipt_key", "receipts"])]
    pub fingerprint_key: Option<PathBuf>,
    /// The Ed25519 key that signs receipts: PKCS#8 PEM, mode 0600
    #[arg(long, value_name = "FILE", requires_all = ["fingerprint_key", "receipts"])]
    pub receipt_key: Option<PathBuf>,
    /// The folder of receipts
    #[arg(long, value_name = "DIR", requires_all = ["fingerprint_key", "receipt_key"])]
    pub receipts: Option<PathBuf>,
}

/// What `plan` takes.
#[derive(Debug, Args)]
pub struct PlanArgs {
    /// Rotations and ExternalSecrets by name or namespace/name; all, if none is named
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,
    /// Where manifests come from
    #[command(flatten)]
    pub source: SourceArgs,
    /// Put each access to a secret on record: a file (a chain of lines, rotated), or - for standard output
    #[arg(long, value_name = "FILE")]
    pub audit: Option<PathBuf>,
    /// Plan a run for each, due or not
    #[arg(long)]
    pub now: bool,
    /// Where Secrets will go: the plan names each Secret and key that a sync would write there, and with `cluster` the
    /// workloads that will be restarted
    #[arg(long, value_name = "TARGET")]
    pub target: Option<TargetName>,
    /// Where the plan is written, for `apply`; it holds no value
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// What `apply` takes.
#[derive(Debug, Args)]
pub struct ApplyArgs {
    /// The file that `plan --out` wrote
    #[arg(value_name = "PLAN")]
    pub plan: PathBuf,
    /// What Rotations are driven with
    #[command(flatten)]
    pub drive: DriveArgs,
}

/// What `status` takes.
#[derive(Debug, Args)]
#[command(after_help = "\
Exit codes: 0 all is well; 1 one is overdue, failed or cannot be read; 2 usage or configuration error; 3 one needs a person.")]
pub struct StatusArgs {
    /// Rotations and ExternalSecrets by name or namespace/name; all, if none is named
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,
    /// Where manifests come from
    #[command(flatten)]
    pub source: SourceArgs,
    /// With --config: where the Secrets of ExternalSecrets lie, `cluster` or `dir:PATH`
    #[arg(long, value_name = "TARGET", conflicts_with = "cluster")]
    pub target: Option<TargetName>,
    /// For people, for programs, or as one page that needs nothing else
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    pub format: StatusFormat,
}

/// How `status` is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum StatusFormat {
    /// Rows.
    Table,
    /// One object.
    Json,
    /// One page.
    Html,
}

/// What an order takes.
#[derive(Debug, Args)]
pub struct OrderArgs {
    /// The Rotation, by name or namespace/name
    #[arg(value_name = "NAME")]
    pub name: String,
    /// What Rotations are driven with
    #[command(flatten)]
    pub drive: DriveArgs,
}

/// What `acknowledge` takes.
#[derive(Debug, Args)]
pub struct AcknowledgeArgs {
    /// The name of this cluster, as consumers.clusters of the Rotations has it
    #[arg(long = "as", value_name = "CLUSTER")]
    pub name: String,
    /// Where manifests come from
    #[command(flatten)]
    pub source: SourceArgs,
    /// Where the Secrets of consumers go: `cluster` (whose workloads are restarted and waited for), or `dir:PATH`
    #[arg(long, value_name = "TARGET", default_value = "cluster")]
    pub target: TargetName,
    /// How long to wait for consumers that move; those that take longer are looked at by the next call
    #[arg(long, value_name = "DURATION", default_value = "1m")]
    pub wait: GoDuration,
}

/// What `freeze` takes.
#[derive(Debug, Args)]
pub struct FreezeArgs {
    /// Where manifests come from: every store that a Rotation of theirs publishes to is frozen
    #[command(flatten)]
    pub source: SourceArgs,
    /// Why; everybody who meets the freeze reads it
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    pub reason: Option<String>,
    /// End the freeze
    #[arg(long, conflicts_with = "reason")]
    pub lift: bool,
}

/// A person's reason: one line that is kept for ever, so it is short and has no control characters.
fn reason(text: &str) -> Result<String, String> {
    const CHARACTERS_MAX: usize = 300;
    let text = text.trim();
    if text.is_empty() {
        return Err("write a reason".to_owned());
    }
    if text.chars().count() > CHARACTERS_MAX || text.chars().any(char::is_control) {
        return Err(format!("write one line of at most {CHARACTERS_MAX} characters"));
    }
    Ok(text.to_owned())
}

/// What `rotate` takes.
#[derive(Debug, Args)]
pub struct RotateArgs {
    /// Rotations by name or namespace/name; all, if none is named
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,
    /// Start a run now, due or not
    #[arg(long, conflicts_with = "resume")]
    pub now: bool,
    /// Only go on with runs that rest; start none
    #[arg(long)]
    pub resume: bool,
    /// What Rotations are driven with
    #[command(flatten)]
    pub drive: DriveArgs,
}

/// What every command takes that drives Rotations.
#[derive(Debug, Args)]
pub struct DriveArgs {
    /// Where manifests come from
    #[command(flatten)]
    pub source: SourceArgs,
    /// Where the Secrets of consumers go: `cluster` (whose workloads are restarted and waited for), or `dir:PATH`
    /// (one manifest a file, mode 0600)
    #[arg(long, value_name = "TARGET")]
    pub target: TargetName,
    /// How long to wait for what only takes time: consumers that move, a grace. What takes longer rests, and
    /// `rotate --resume` goes on with it
    #[arg(long, value_name = "DURATION", default_value = "1m")]
    pub wait: GoDuration,
    /// How many Rotations are worked on at once
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub concurrency: u16,
    /// The key that names secrets: 64 hexadecimal digits, mode 0600
    #[arg(long, value_name = "FILE")]
    pub fingerprint_key: PathBuf,
    /// The Ed25519 key that signs receipts: PKCS#8 PEM, mode 0600
    #[arg(long, value_name = "FILE")]
    pub receipt_key: PathBuf,
    /// The folder of receipts
    #[arg(long, value_name = "DIR")]
    pub receipts: PathBuf,
}
