//! Ports on loopback that stay ours from the moment they are chosen.

use std::fs::File;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

/// Below the range from which the kernel takes ports for outgoing connections (from 32768 on), so that no
/// client on this machine takes one between our choice and the server's start.
const FIRST: u16 = 20_000;
const LAST: u16 = 32_000;

/// A free TCP port on 127.0.0.1. A locked file keeps other fixtures, in this and in other test processes, from
/// choosing it until the value is dropped, so that a server can restart on its port.
pub struct Port {
    number: u16,
    _lock: File,
}

impl Port {
    /// The next port that nobody holds.
    pub fn free() -> Self {
        static NEXT: AtomicU16 = AtomicU16::new(0);
        let user = rustix::process::getuid().as_raw();
        let folder = std::env::temp_dir().join(format!("keyturn-ports-{user}"));
        std::fs::create_dir_all(&folder).expect("make the folder of port locks");
        let start = std::process::id() as u16;
        for _ in FIRST..LAST {
            let step = NEXT.fetch_add(1, Ordering::Relaxed).wrapping_add(start);
            let number = FIRST + step % (LAST - FIRST);
            let Ok(lock) = File::create(folder.join(number.to_string())) else { continue };
            if lock.try_lock().is_ok() && TcpListener::bind((Ipv4Addr::LOCALHOST, number)).is_ok() {
                return Self { number, _lock: lock };
            }
        }
        panic!("no free port between {FIRST} and {LAST}");
    }

    /// Its number.
    pub fn number(&self) -> u16 {
        self.number
    }

    /// `127.0.0.1:NUMBER`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.number)
    }
}
