//! What the process itself does for secrets: its memory is never written to disk, and one TLS provider is set.

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

/// Turns off core dumps and debuggers' access, and makes ring the one TLS provider.
///
/// # Errors
/// When the kernel refuses.
pub fn harden() -> std::io::Result<()> {
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    // It fails only when a provider is set already, and then ring is that provider: no other is built in.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Ok(())
}
