//! What the process itself does for secrets: its memory is never written to disk, and one TLS provider is set.

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

/// Turns off core dumps and debuggers' access, keeps values out of panic messages, and makes ring the one TLS provider.
///
/// # Errors
/// When the kernel refuses.
pub fn harden() -> std::io::Result<()> {
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    // A panic's message can hold what was being worked on: a slice out of bounds quotes the text.
    std::panic::set_hook(Box::new(|panic| {
        let at = panic.location().map(|at| format!(" at {}:{}", at.file(), at.line())).unwrap_or_default();
        tracing::error!("internal error{at}; please report it");
    }));
    // It fails only when a provider is set already, and then ring is that provider: no other is built in.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Ok(())
}
