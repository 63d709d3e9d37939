//! A TCP proxy that loses or changes what goes through it.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// What it does with a packet of the client that holds these bytes.
#[derive(Clone)]
pub enum Rule {
    /// Hands it on.
    Pass,
    /// Hands it on, waits for the server's answer, and ends the connection without it.
    LoseAnswer(&'static str),
    /// Changes it, to the same length.
    Change(fn(&[u8]) -> Option<Vec<u8>>),
}

/// A proxy in front of one server. It lives as long as the test process.
pub struct Proxy {
    address: String,
    shared: Arc<Shared>,
}

struct Shared {
    server: String,
    rule: Mutex<Rule>,
    /// How often the rule still applies.
    left: AtomicUsize,
    applied: AtomicUsize,
}

impl Proxy {
    /// A proxy that hands everything on to `server` (`127.0.0.1:PORT`).
    pub fn before(server: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let shared = Arc::new(Shared {
            server: server.to_owned(),
            rule: Mutex::new(Rule::Pass),
            left: AtomicUsize::new(0),
            applied: AtomicUsize::new(0),
        });
        let state = Arc::clone(&shared);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let state = Arc::clone(&state);
                std::thread::spawn(move || state.serve(&client));
            }
        });
        Self { address, shared }
    }

    pub fn address(&self) -> &str {
        &self.address
    }

    /// Applies a rule to the next `times` packets that it fits.
    pub fn apply(&self, rule: Rule, times: usize) {
        *self.shared.rule.lock().unwrap() = rule;
        self.shared.left.store(times, Ordering::SeqCst);
    }

    /// How often a rule was applied.
    pub fn applied(&self) -> usize {
        self.shared.applied.load(Ordering::SeqCst)
    }
}

impl Shared {
    fn serve(&self, client: &TcpStream) {
        let Ok(server) = TcpStream::connect(&self.server) else { return };
        let swallow = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                copy(&server, client, |_| (!swallow.load(Ordering::SeqCst)).then_some(None));
                end(&server, client);
            });
            copy(client, &server, |packet| Some(self.decide(packet, &swallow)));
            end(&server, client);
        });
    }

    /// What goes to the server instead of the packet.
    fn decide(&self, packet: &[u8], swallow: &AtomicBool) -> Option<Vec<u8>> {
        let rule = self.rule.lock().unwrap().clone();
        let (changed, fits) = match rule {
            Rule::Pass => (None, false),
            Rule::LoseAnswer(text) => (None, packet.windows(text.len()).any(|w| w == text.as_bytes())),
            Rule::Change(change) => {
                let changed = change(packet);
                let fits = changed.is_some();
                (changed, fits)
            }
        };
        let once = |left: usize| left.checked_sub(1);
        if !fits || self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, once).is_err() {
            return None;
        }
        self.applied.fetch_add(1, Ordering::SeqCst);
        if changed.is_none() {
            swallow.store(true, Ordering::SeqCst);
        }
        changed
    }
}

/// Copies until either side ends or `decide` says so.
fn copy(mut from: &TcpStream, mut to: &TcpStream, decide: impl Fn(&[u8]) -> Option<Option<Vec<u8>>>) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        let Some(changed) = decide(&buffer[..length]) else { return };
        if to.write_all(changed.as_deref().unwrap_or(&buffer[..length])).is_err() {
            return;
        }
    }
}

fn end(one: &TcpStream, other: &TcpStream) {
    let _ = one.shutdown(Shutdown::Both);
    let _ = other.shutdown(Shutdown::Both);
}
