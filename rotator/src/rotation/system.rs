//! Time and randomness of the operating system.

use std::time::Duration;

use jiff::Timestamp;
use shared::fingerprint::{Fingerprint, FingerprintKey};
use shared::secret::{Redacted, Secret};

use crate::rotation::context::{Clock, Maker, NoAnswer};
use crate::rotation::generate::Policy;

/// The system's clock and tokio's timers.
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    async fn within<T>(&self, limit: Duration, future: impl Future<Output = T>) -> Option<T> {
        tokio::time::timeout(limit, future).await.ok()
    }
}

/// Who this process is, in a journal: the machine's boot, the process namespace, the process and when it started.
/// No two processes have the same.
pub fn holder() -> String {
    holder_of(&Host::of_this_process(), std::process::id(), start_time(std::process::id()).unwrap_or(0))
}

fn holder_of(host: &Host, process: u32, started: u64) -> String {
    format!("{}/{}/{process}/{started}", host.boot, host.namespace)
}

/// Whether the holder is known to be dead: it was a process of this boot and of this process namespace, and there is
/// none of its number and start time any more. Of other machines and containers nothing is known.
pub fn is_gone(holder: &str) -> bool {
    let mut parts = holder.split('/');
    let (Some(boot), Some(namespace), Some(process), Some(started), None) =
        (parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return false;
    };
    let (Ok(process), Ok(started)) = (process.parse::<u32>(), started.parse::<u64>()) else { return false };
    let host = Host::of_this_process();
    let ours = !host.boot.is_empty() && host.boot == boot && host.namespace == namespace;
    ours && start_time(process) != Some(started)
}

struct Host {
    boot: String,
    namespace: String,
}

impl Host {
    fn of_this_process() -> Self {
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let namespace = std::fs::read_link("/proc/self/ns/pid").unwrap_or_default();
        Self { boot: boot.trim().to_owned(), namespace: namespace.display().to_string() }
    }
}

/// When a process started, in clock ticks since boot (proc(5), field 22); `None` when there is no such process, or
/// only its entry that nobody has waited for yet.
fn start_time(process: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The second field is a name in parentheses and may hold anything; what follows its end does not.
    let (_, after) = stat.rsplit_once(')')?;
    let mut fields = after.split_ascii_whitespace();
    (fields.next()? != "Z").then_some(())?;
    fields.nth(18)?.parse().ok()
}

/// Secrets from the operating system's random source, named under the user's key.
pub struct SystemMaker {
    key: FingerprintKey,
}

impl SystemMaker {
    /// Names secrets under this key.
    pub fn new(key: FingerprintKey) -> Self {
        Self { key }
    }

    /// The key.
    pub fn key(&self) -> &FingerprintKey {
        &self.key
    }
}

impl Maker for SystemMaker {
    fn make(&self, policy: &Policy) -> Result<Secret, NoAnswer> {
        policy.make(getrandom::fill).map_err(|_| NoAnswer {
            what: "the operating system's random source".into(),
            class: "no random bytes".into(),
        })
    }

    fn name(&self, secret: &Secret) -> Fingerprint {
        secret.expose(|bytes| self.key.fingerprint(Redacted::new(bytes)))
    }
}

#[cfg(test)]
mod tests {
    use super::{Host, holder, holder_of, is_gone};

    #[test]
    fn a_living_process_is_not_gone_and_a_dead_one_is() {
        assert!(!is_gone(&holder()));
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let started = super::start_time(child.id()).unwrap();
        let name = holder_of(&Host::of_this_process(), child.id(), started);
        assert!(!is_gone(&name));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(is_gone(&name));
    }

    #[test]
    fn of_other_machines_and_namespaces_nothing_is_known() {
        let here = Host::of_this_process();
        let elsewhere = Host { boot: "another-boot".into(), namespace: here.namespace.clone() };
        let container = Host { boot: here.boot.clone(), namespace: "pid:[1]".into() };
        for name in
            [holder_of(&elsewhere, 1, 0), holder_of(&container, 1, 0), "somebody".into(), String::new()]
        {
            assert!(!is_gone(&name), "{name}");
        }
        assert!(is_gone(&holder_of(&here, std::process::id(), 1)), "a number that was used again");
    }
}
