//! The process holds secrets while it searches: a crash must not write them to a disk.

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

/// Forbids core dumps, and other processes of the same user to attach.
///
/// A core size of zero stops the kernel's own files; a collector behind a pipe ignores it, so the process is also
/// marked as not dumpable. Both are best effort: a kernel that refuses (it does not, for lowering) still scans.
pub fn forbid_core_dumps() {
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    if setrlimit(Resource::Core, none).is_err()
        || set_dumpable_behavior(DumpableBehavior::NotDumpable).is_err()
    {
        tracing::warn!("core dumps could not be turned off: a crash may write secrets to disk");
    }
}
