//! What people order: `rotator adopt`, `abort`, `retry`, `force-revoke`, `release`, `reconcile`.
//!
//! Each order goes to one Rotation, through the same driver and journal as everything else, and the run then goes
//! on as far as it can.

use std::io::Write;

use shared::exit::Exit;
use shared::journal::Order;

use crate::cli::OrderArgs;
use crate::rotate_command::Occasion;
use crate::runner;

/// Gives an order to one Rotation and says how it stands afterwards.
///
/// # Errors
/// When the configuration cannot be used or output cannot be written.
pub fn run(args: &OrderArgs, order: Order, out: &mut dyn Write) -> anyhow::Result<Exit> {
    let occasion = Occasion::Order { order, actor: actor() };
    runner::drive(&args.drive, std::slice::from_ref(&args.name), &occasion, out)
}

/// Who works here, as far as the system tells it: for people who read it later, not for any decision.
pub fn actor() -> String {
    let named = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    named("SUDO_USER")
        .or_else(|| named("USER"))
        .or_else(|| named("LOGNAME"))
        .unwrap_or_else(|| format!("uid {}", rustix::process::getuid().as_raw()))
}
