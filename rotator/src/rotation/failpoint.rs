//! Points between two effects, at which a test can stop this process to kill it, to take a server away, or to let its
//! lease run out. Without the test-only feature `failpoints` there are none, and the compiler removes the calls.

/// Says that the process has come to a point. With `KEYTURN_STOP_AT` in the environment each one is written to
/// standard error; where the variable names a point (or its number, from 1) the process stops itself there.
#[cfg(feature = "failpoints")]
pub fn reach(point: std::fmt::Arguments<'_>) {
    use std::io::Write as _;
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
    static PASSED: AtomicU64 = AtomicU64::new(0);
    static STOPPED: AtomicBool = AtomicBool::new(false);
    let Ok(wanted) = std::env::var("KEYTURN_STOP_AT") else { return };
    let number = PASSED.fetch_add(1, Ordering::Relaxed) + 1;
    // A test reads this; nobody is left to tell when it does not.
    let _ = writeln!(std::io::stderr(), "point {number}: {point}");
    let here = wanted == point.to_string() || wanted == number.to_string();
    // Once: a run may come by again.
    if here && !STOPPED.swap(true, Ordering::Relaxed) {
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::STOP);
    }
}

/// Says that the process has come to a point: nobody listens.
#[cfg(not(feature = "failpoints"))]
pub const fn reach(_: std::fmt::Arguments<'_>) {}
