//! The scanner's program: parse, plan, run, write, and end with a code that says what happened.

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::Parser;
use scanner::cli::{Cli, Command, Common, ScanArgs};
use scanner::interrupt::Interrupt;
use scanner::plan::ScanPlan;
use scanner::report::Look;
use scanner::{commands, console, delivery, harden, pipeline, terminal};
use shared::exit::Exit;
use shared::telemetry::{self, Form, Verbosity};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let color = cli.common.color.on(std::io::stderr().is_terminal());
    // It is the first and only start in this process.
    let _ = telemetry::start(
        Verbosity::from_flags(cli.common.quiet, cli.common.verbose),
        Form::of_standard_error(color),
    );
    match run(&cli) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            console::error(&format!("{error:#}"));
            Exit::Usage.into()
        }
    }
}

fn run(cli: &Cli) -> anyhow::Result<u8> {
    let exit = match &cli.command {
        Command::Scan(args) => return scan(args, &cli.common),
        Command::Rules(command) => commands::rules(command)?,
        Command::Explain { finding, report, source } => commands::explain(finding, report, source)?,
        Command::Attest(args) => commands::attest(args)?,
        Command::Baseline(command) => commands::baseline(command)?,
        Command::Schema => commands::schema()?,
        Command::Completions { shell } => commands::completions(*shell)?,
        Command::Man { folder } => commands::man(folder.as_deref())?,
    };
    Ok(exit.code())
}

fn scan(args: &ScanArgs, common: &Common) -> anyhow::Result<u8> {
    let interrupt = Interrupt::listen()?;
    let mut plan = ScanPlan::new(args)?;
    let delivery = delivery::Delivery {
        reports: std::mem::take(&mut plan.reports),
        baseline: plan.write_baseline.take(),
        look: Look { styled: terminal::is_styled(common.color), width: terminal::width() },
        quiet: common.quiet,
        block_code: plan.block_code,
    };
    let outcome = pipeline::run(plan, &interrupt, harden::forbid_core_dumps)?;
    Ok(delivery.deliver(&outcome))
}
