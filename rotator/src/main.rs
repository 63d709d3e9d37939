//! `rotator`: parse, build, run, map to an exit code.

use std::io::Write;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{CommandFactory, Parser};
use rotator::cli::{Cli, Command};
use rotator::traces::Traces;
use rotator::{orders, runner};
use shared::exit::Exit;
use shared::journal::Order;
use shared::telemetry::{self, Form, Verbosity};

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        // `--help` and `--version` are answers, everything else is a mistake; clap knows which stream is meant.
        Err(answer) => {
            let exit = if answer.use_stderr() { Exit::Usage } else { Exit::Done };
            return if answer.print().is_ok() { exit.into() } else { Exit::Usage.into() };
        }
    };
    match run(&cli) {
        Ok(exit) => exit.into(),
        Err(error) => {
            // The last line of a failed run; nothing is left to do when standard error is gone too.
            let _ = writeln!(std::io::stderr(), "error: {error:#}");
            Exit::Usage.into()
        }
    }
}

fn run(cli: &Cli) -> anyhow::Result<Exit> {
    rotator::process::harden().context("cannot turn off core dumps")?;
    let (traces, extra) = match &cli.traces {
        Some(collector) => Traces::start(collector).map(|(traces, extra)| (Some(traces), Some(extra))),
        None => Ok((None, None)),
    }
    .map_err(anyhow::Error::msg)?;
    let verbosity = Verbosity::from_flags(cli.quiet, cli.verbose);
    telemetry::start_with(verbosity, Form::of_standard_error(true), extra)?;
    let exit = command(cli);
    if let Some(traces) = traces {
        traces.end();
    }
    exit
}

fn command(cli: &Cli) -> anyhow::Result<Exit> {
    let mut out = std::io::stdout().lock();
    match &cli.command {
        Command::Sync(args) => runner::sync(args, cli.verbose > 0, &mut out),
        Command::Rotate(args) => runner::rotate(args, &mut out),
        Command::Run(args) => rotator::run_command::run(args, &mut out),
        Command::Plan(args) => rotator::plan::plan(args, &mut out),
        Command::Apply(args) => rotator::plan::apply(args, &mut out),
        Command::Status(args) => rotator::status::run(args, &mut out),
        Command::Adopt(args) => orders::run(args, Order::Adopt, &mut out),
        Command::Abort(args) => orders::run(args, Order::Abort, &mut out),
        Command::Retry(args) => orders::run(args, Order::Retry, &mut out),
        Command::ForceRevoke { reason, order } => {
            orders::run(order, Order::ForceRevoke { reason: reason.clone() }, &mut out)
        }
        Command::Release { order, consumer } => {
            orders::run(order, Order::Release { consumer: consumer.clone() }, &mut out)
        }
        Command::Acknowledge(args) => rotator::acknowledge_command::run(args, &mut out),
        Command::Reconcile(args) => orders::run(args, Order::Reconcile, &mut out),
        Command::Freeze(args) => rotator::freeze_command::run(args, &mut out),
        Command::Known(args) => rotator::known::run(args, &mut out),
        Command::Respond(args) => rotator::respond::run(args, &mut out),
        Command::Receipts(args) => rotator::receipts_command::run(args, &mut out),
        Command::Check(args) => runner::check(args, &mut out),
        Command::Store(args) => runner::store(args),
        Command::Seal(args) => rotator::seal_command::run(args, &mut out),
        Command::Keys { folder } => rotator::keys_command::make(folder, &mut out).map(|()| Exit::Done),
        Command::Crds => runner::crds(&mut out),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Cli::command(), "rotator", &mut script);
            out.write_all(&script).context("cannot write to standard output")?;
            Ok(Exit::Done)
        }
        Command::Man { folder: Some(folder) } => {
            std::fs::create_dir_all(folder)
                .and_then(|()| clap_mangen::generate_to(Cli::command(), folder))
                .with_context(|| format!("cannot write the man pages to {}", folder.display()))?;
            Ok(Exit::Done)
        }
        Command::Man { folder: None } => {
            let mut page = Vec::new();
            clap_mangen::Man::new(Cli::command()).render(&mut page).context("cannot make the man page")?;
            out.write_all(&page).context("cannot write to standard output")?;
            Ok(Exit::Done)
        }
    }
}
