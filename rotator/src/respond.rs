//! `rotator respond`: what a scanner recognised is rotated, as its Rotation says.
//!
//! A [`report`] is believed only after size, schema and every proof were checked. A leak is one value, however many
//! findings it has; it is answered as each Rotation of it says by `onLeak`, at most once, and within the limits of
//! the [`guard`]. Nothing of the report but ids of findings is printed, logged or followed.

use std::io::Write;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use jiff::Timestamp;
use shared::exit::Exit;
use shared::fingerprint::{Fingerprint, FingerprintKey};
use shared::journal::{Phase, Trigger};
use shared::known::{KnownKey, ValueState};
use shared::secret::{Redacted, Secret};
use shared::signing::PrivateKey;

use crate::cli::SourceArgs;
use crate::known::graves;
use crate::known::inventory::{Inventory, PREVIOUS_MAX, Value, collect};
use crate::known::ledger::Ledger;
use crate::known::place::Place;
use crate::manifest::object::Object;
use crate::manifest::rotation::{LeakAction, RotationSpec};
use crate::provider::Provider;
use crate::rotate_command::{self, Means, Occasion};
use crate::rotation::context::Journal as _;
use crate::rotation::production::Keys;
use crate::rotation::stored::StoredJournal;
use crate::runner;
use crate::source::{Source, read_or_say, runtime};
use crate::sync::objects::Objects;
use crate::sync::stores::Stores;
use crate::target::TargetName;

pub mod guard;
mod leak;
pub mod report;
mod under_way;

use guard::{Admission, Limits, admit};
use leak::{Found, Leak, leaks};
use under_way::{accounts, few, under_way};

/// How long a leak's run is waited for that only has to wait.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);

/// The arguments of `rotator respond`.
#[derive(Debug, Args)]
#[command(after_help = "\
Exit codes: 0 every leak was answered as its Rotation says; 1 the report was refused, or something was left undone
(each is named, with what to do); 2 usage or configuration error; 3 a person is needed.")]
pub struct RespondArgs {
    /// The report of `scanner scan --known … --format json`
    #[arg(value_name = "FINDINGS")]
    pub findings: PathBuf,
    /// Where manifests come from
    #[command(flatten)]
    pub source: SourceArgs,
    /// Where the Secrets of consumers go: `cluster`, or `dir:PATH` (one manifest a file, mode 0600)
    #[arg(long, value_name = "TARGET")]
    pub target: TargetName,
    /// Say what would be done, and who is affected; change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// The known key; `rotator known` made FILE.rotator beside it
    #[arg(long, alias = "key-file", value_name = "FILE")]
    pub known_key: PathBuf,
    /// The key that names secrets: 64 hexadecimal digits, mode 0600
    #[arg(long, value_name = "FILE")]
    pub fingerprint_key: PathBuf,
    /// The Ed25519 key that signs receipts: PKCS#8 PEM, mode 0600
    #[arg(long, value_name = "FILE")]
    pub receipt_key: PathBuf,
    /// The folder of receipts
    #[arg(long, value_name = "DIR")]
    pub receipts: PathBuf,
    /// When leaks only alert
    #[command(flatten)]
    pub limits: Limits,
}

/// Answers a report.
///
/// # Errors
/// When a key or the configuration cannot be used, or output cannot be written.
pub fn run(args: &RespondArgs, out: &mut dyn Write) -> anyhow::Result<Exit> {
    let key = KnownKey::read(&args.known_key)?;
    let graves = graves(&args.receipts, &args.fingerprint_key, &PrivateKey::read(&args.receipt_key)?)?;
    let ledger = Ledger::read(&args.known_key)?;
    let now = Timestamp::now();
    let findings = report::read(&args.findings).and_then(|findings| {
        findings.iter().try_for_each(|finding| finding.check(&key, &ledger, now))?;
        Ok(findings)
    });
    let findings = match findings {
        Ok(findings) => findings,
        Err(error) => return refuse(args, &error),
    };
    if findings.is_empty() {
        writeln!(out, "no finding is about a known value; nothing to do")?;
        return Ok(Exit::Done);
    }
    let runtime = runtime()?;
    let result = runtime.block_on(async {
        let Some(source) = read_or_say(&args.source).await? else { return Ok(Exit::Usage) };
        let manifests = &source.manifests;
        let stores = Stores::new(manifests, Objects::new(manifests, source.client.clone()));
        let collected = collect(manifests, &stores, PREVIOUS_MAX, Some(&graves)).await;
        let exit = match collected {
            Err(error) => {
                writeln!(
                    std::io::stderr().lock(),
                    "error: {error}; no finding was checked, nothing was done"
                )?;
                Ok(Exit::Blocked)
            }
            Ok(inventory) => match leaks(&findings, &inventory, &key, &ledger) {
                Err(error) => refuse(args, &error),
                Ok(found) => {
                    let responder = Responder {
                        args,
                        source: &source,
                        stores: &stores,
                        inventory: &inventory,
                        fingerprint_key: &graves.key,
                    };
                    responder.respond(&found, out).await
                }
            },
        };
        stores.close().await;
        exit
    });
    runtime.shutdown_background();
    result
}

fn refuse(args: &RespondArgs, error: &report::ReportError) -> anyhow::Result<Exit> {
    let findings = args.findings.display();
    tracing::warn!(%findings, %error, "report refused");
    writeln!(std::io::stderr().lock(), "error: {findings}: refused, nothing was done: {error}")?;
    Ok(Exit::Blocked)
}

struct Responder<'a> {
    args: &'a RespondArgs,
    source: &'a Source,
    stores: &'a Stores<'a>,
    inventory: &'a Inventory,
    fingerprint_key: &'a FingerprintKey,
}

/// What is to be done about a leak by one Rotation.
enum Plan {
    /// Nothing: this is how it stands.
    Settled(String),
    /// A person is told.
    Tell(String),
    /// A person decides.
    Ask(String),
    /// Left undone.
    Undone(String),
    /// A run that replaces the value is under way; it goes on.
    GoOn,
    /// A run under way has the value in its hands: it is hurried, or makes another one.
    Hurry(Fingerprint, &'static str),
    /// A run starts.
    Start(Fingerprint),
}

impl Responder<'_> {
    async fn respond(&self, found: &Found<'_>, out: &mut dyn Write) -> anyhow::Result<Exit> {
        let mut exits = Vec::new();
        for leak in &found.leaks {
            exits.extend(self.answer(leak, out).await?);
        }
        for id in &found.unknown {
            tracing::warn!(finding = %id, "refused: no store holds its value");
            writeln!(
                std::io::stderr().lock(),
                "error: finding {id}: refused: no store holds its value now, so that its proof cannot be checked"
            )?;
            exits.push(Exit::Blocked);
        }
        // For the rotator, unlike the scanner, a person who is needed outweighs what is merely not done yet.
        let worst = |exit: &Exit| if *exit == Exit::Incomplete { 2 } else { i32::from(*exit != Exit::Done) };
        Ok(exits.into_iter().max_by_key(worst).unwrap_or(Exit::Done))
    }

    async fn answer(&self, leak: &Leak<'_>, out: &mut dyn Write) -> anyhow::Result<Vec<Exit>> {
        writeln!(out, "leak {} (finding {}):", leak.id, few(&leak.findings))?;
        let mut documents: Vec<(&Place, &str)> = Vec::new();
        for value in &leak.values {
            if !documents.iter().any(|(place, p)| place.is_same_as(&value.place) && *p == value.property) {
                documents.push((&value.place, &value.property));
            }
        }
        let mut exits = Vec::new();
        for (place, property) in documents {
            let values = leak.values.iter().copied();
            let values: Vec<&Value> =
                values.filter(|value| value.place.is_same_as(place) && value.property == property).collect();
            let state = values.iter().map(|value| value.state).max().unwrap_or(ValueState::Dead);
            let word = match state {
                ValueState::Current => "current",
                ValueState::Previous => "no longer current",
                ValueState::Dead => "proven dead",
            };
            writeln!(out, "  {place}, property {property}: {word}")?;
            let users: Vec<&str> = self.inventory.users_of(place).into_iter().collect();
            let users = if users.is_empty() { "none that is known here".into() } else { users.join(", ") };
            writeln!(out, "    Secrets that use it: {users}")?;
            let rotations: Vec<&Object<RotationSpec>> = self
                .source
                .manifests
                .rotations
                .iter()
                .filter(|object| {
                    object.spec.publish.properties.password == property
                        && Place::of_rotation(object).is_same_as(place)
                })
                .collect();
            if rotations.is_empty() && state == ValueState::Current {
                writeln!(
                    out,
                    "    NOT ROTATED: no Rotation publishes it; replace it by hand where it is made"
                )?;
                exits.push(Exit::Blocked);
            }
            for object in rotations {
                exits.push(self.by_rotation(object, leak, &values, out).await?);
            }
        }
        Ok(exits)
    }

    async fn by_rotation(
        &self,
        object: &Object<RotationSpec>,
        leak: &Leak<'_>,
        values: &[&Value],
        out: &mut dyn Write,
    ) -> anyhow::Result<Exit> {
        let name = object.full_name();
        let on_leak = &object.spec.on_leak;
        writeln!(
            out,
            "    Rotation {name}: account {}; onLeak {:?}, consumers have {}, then {:?}",
            accounts(&object.spec.strategy),
            on_leak.action,
            on_leak.deadline,
            on_leak.at_deadline
        )?;
        let plan = match self.plan(object, values).await {
            Ok(plan) => plan,
            Err(why) => Plan::Undone(why),
        };
        let (starts, would) = match &plan {
            Plan::Start(_) => (true, "would be rotated"),
            Plan::Hurry(_, would) => (false, *would),
            Plan::GoOn | Plan::Settled(_) | Plan::Tell(_) | Plan::Ask(_) | Plan::Undone(_) => {
                (false, "the run under way would go on")
            }
        };
        let (occasion, exit) = match plan {
            Plan::Settled(how) => (Err(how), Exit::Done),
            Plan::Tell(what) => (Err(format!("ALERT: {what}")), Exit::Done),
            Plan::Ask(what) => (Err(format!("NEEDS A PERSON: {what}")), Exit::Incomplete),
            Plan::Undone(why) => (Err(format!("NOT ROTATED: {why}")), Exit::Blocked),
            Plan::GoOn => (Ok(Occasion::None), Exit::Done),
            Plan::Hurry(current, _) | Plan::Start(current) => {
                let finding_id = leak.findings.first().cloned().unwrap_or_default();
                let actor = std::env::var("USER").unwrap_or_else(|_| "unknown".to_owned());
                let trigger = Trigger::Leak { finding_id, actor };
                (Ok(Occasion::Replace { trigger, current }), Exit::Done)
            }
        };
        let occasion = match occasion {
            Ok(occasion) => occasion,
            Err(what) => {
                tracing::info!(rotation = %name, leak = %leak.id, %what, "leak");
                writeln!(out, "    {what}")?;
                return Ok(exit);
            }
        };
        if self.args.dry_run {
            writeln!(out, "    {would} (dry run: nothing was done)")?;
            return Ok(Exit::Done);
        }
        if starts && let Some(what) = self.held_back(object).await {
            tracing::warn!(rotation = %name, leak = %leak.id, %what, "leak only alerts");
            writeln!(out, "    {what}")?;
            return Ok(Exit::Blocked);
        }
        self.drive(&name, &occasion, out).await
    }

    /// What stands between a leak and its run, if anything does. Counts the run otherwise.
    async fn held_back(&self, object: &Object<RotationSpec>) -> Option<String> {
        let name = object.full_name();
        let store = match self.stores.open(&object.spec.publish.store_ref, object.namespace()).await {
            Ok(store) => store,
            Err(error) => return Some(format!("NOT ROTATED: {error}")),
        };
        let others = match self.other_stores(object).await {
            Ok(others) => others,
            Err(why) => return Some(format!("NOT ROTATED: {why}")),
        };
        match admit(store.provider(), &others, &name, self.args.limits, Timestamp::now()).await {
            Ok(Admission::Granted) => None,
            Ok(Admission::Denied { limit, until }) => Some(format!(
                "ALERT, NOT ROTATED: {limit} holds it until {until:.0}; respond again then, or `rotator rotate {name} --now`"
            )),
            Err(why) => Some(format!("NOT ROTATED: leaks cannot be counted: {why}")),
        }
    }

    /// The stores that other Rotations publish to, each once.
    async fn other_stores(&self, object: &Object<RotationSpec>) -> Result<Vec<Provider>, String> {
        let place =
            |object: &Object<RotationSpec>| Place { path: String::new(), ..Place::of_rotation(object) };
        let mut seen = vec![place(object)];
        let mut others = Vec::new();
        for other in &self.source.manifests.rotations {
            let place = place(other);
            if seen.iter().any(|one: &Place| one.is_same_as(&place)) {
                continue;
            }
            let store = self.stores.open(&other.spec.publish.store_ref, other.namespace()).await;
            others.push(store.map_err(|error| error.to_string())?.provider().clone());
            seen.push(place);
        }
        Ok(others)
    }

    async fn drive(&self, name: &str, occasion: &Occasion, out: &mut dyn Write) -> anyhow::Result<Exit> {
        let target = runner::open_target(&self.args.target).await?;
        let keys = Keys {
            fingerprint_key: self.args.fingerprint_key.clone(),
            receipt_key: self.args.receipt_key.clone(),
            receipts: self.args.receipts.clone(),
        };
        let names = [name.to_owned()];
        let means = Means { target: &target, keys: &keys, wait: PATIENCE, concurrency: 1 };
        let standings = rotate_command::rotate(self.source, &names, occasion, &means).await?;
        write!(out, "    ").context("cannot write to standard output")?;
        rotate_command::write(&standings, out)?;
        Ok(rotate_command::exit(&standings))
    }

    /// What the journal, the published value and `onLeak` say.
    async fn plan(&self, object: &Object<RotationSpec>, values: &[&Value]) -> Result<Plan, String> {
        let name = object.full_name();
        let store = self
            .stores
            .open(&object.spec.publish.store_ref, object.namespace())
            .await
            .map_err(|error| error.to_string())?;
        let journal = StoredJournal::new(store.provider().clone(), object.namespace(), object.name());
        let record = journal.load().await.map_err(|error| error.to_string())?.map(|(_, record)| record);
        let prints: Vec<Fingerprint> = values.iter().map(|value| self.fingerprint(&value.secret)).collect();
        if let Some(record) = record.as_ref().filter(|record| !record.phase.is_over()) {
            return Ok(under_way(record, &prints, object.spec.on_leak.action));
        }
        let mut current = values.iter().zip(&prints).filter(|(value, _)| value.state == ValueState::Current);
        let Some((_, current)) = current.next() else {
            let dead = values.iter().any(|value| value.state == ValueState::Dead);
            let receipt = record.as_ref().and_then(|record| match &record.phase {
                Phase::Proven { receipt, .. } => receipt.as_deref(),
                _ => None,
            });
            return Ok(Plan::Settled(match (dead, receipt) {
                (true, Some(receipt)) => {
                    format!("already replaced and proven dead; the last receipt is {receipt}")
                }
                (true, None) => "already replaced and proven dead".to_owned(),
                (false, _) => "already replaced".to_owned(),
            }));
        };
        Ok(match object.spec.on_leak.action {
            LeakAction::Rotate => Plan::Start(*current),
            LeakAction::Approve => {
                Plan::Ask(format!("its current value leaked; approve with `rotator rotate {name} --now`"))
            }
            LeakAction::Alert => {
                Plan::Tell(format!("its current value leaked; replace it with `rotator rotate {name} --now`"))
            }
        })
    }

    fn fingerprint(&self, secret: &Secret) -> Fingerprint {
        secret.expose(|bytes| self.fingerprint_key.fingerprint(Redacted::new(bytes)))
    }
}
