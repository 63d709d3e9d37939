//! Applications that use the credential while it is turned. Neither may ever fail to log in.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use super::{Shop, login};

/// Between two logins.
const PAUSE: Duration = Duration::from_millis(50);

/// Clients at work.
pub struct Clients {
    stop: Arc<AtomicBool>,
    logins: Arc<AtomicUsize>,
    threads: Vec<JoinHandle<Vec<String>>>,
}

impl Clients {
    /// One that reads what is published before each login, and one that holds what its Secret in the folder gave it
    /// until that Secret changes.
    pub fn start(shop: &Shop) -> Self {
        let (stop, logins) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let address = shop.primary.address();
        let store = Store {
            url: format!("{}/v1/secret/data/shop/orders", shop.bao.url()),
            token: shop.bao.token().into(),
        };
        let secret = shop.workshop.path("out/shop.orders.yaml");
        let mut read = Reader { store, last: None };
        let mut held = Holder { secret, text: String::new(), held: None };
        let threads = vec![
            work(&stop, &logins, address.clone(), "the reader", move || read.next()),
            work(&stop, &logins, address, "the holder", move || held.next()),
        ];
        Self { stop, logins, threads }
    }

    /// Ends them.
    ///
    /// # Panics
    /// When one of them failed to log in.
    pub fn stop(self) -> usize {
        self.stop.store(true, Ordering::SeqCst);
        let failures: Vec<String> =
            self.threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
        assert!(failures.is_empty(), "{failures:?}");
        self.logins.load(Ordering::SeqCst)
    }
}

fn work(
    stop: &Arc<AtomicBool>,
    logins: &Arc<AtomicUsize>,
    address: String,
    who: &'static str,
    mut next: impl FnMut() -> Option<(String, String)> + Send + 'static,
) -> JoinHandle<Vec<String>> {
    let (stop, logins) = (Arc::clone(stop), Arc::clone(logins));
    std::thread::spawn(move || {
        let mut failures = Vec::new();
        while !stop.load(Ordering::SeqCst) {
            if let Some((account, secret)) = next() {
                match login(&address, &account, &secret) {
                    Ok(()) => drop(logins.fetch_add(1, Ordering::SeqCst)),
                    Err(code) => failures.push(format!("{who} as {account}: {code:?}")),
                }
            }
            std::thread::sleep(PAUSE);
        }
        failures
    })
}

struct Store {
    url: String,
    token: String,
}

/// Reads the store before each login; while the store is sealed it goes on with what it has read last.
struct Reader {
    store: Store,
    last: Option<(String, String)>,
}

impl Reader {
    fn next(&mut self) -> Option<(String, String)> {
        let agent: ureq::Agent =
            ureq::Agent::config_builder().timeout_global(Some(Duration::from_secs(5))).build().into();
        let answer = agent.get(&self.store.url).header("X-Vault-Token", &self.store.token).call();
        let text = answer.ok().and_then(|mut answer| answer.body_mut().read_to_string().ok());
        let value: Option<serde_json::Value> = text.and_then(|text| serde_json::from_str(&text).ok());
        if let Some(data) = value.as_ref().map(|value| &value["data"]["data"]) {
            let text = |name: &str| data[name].as_str().map(str::to_owned);
            self.last = text("username").zip(text("password"));
        }
        self.last.clone()
    }
}

/// Holds its credential until its Secret changes: then it is restarted.
struct Holder {
    secret: PathBuf,
    text: String,
    held: Option<(String, String)>,
}

impl Holder {
    fn next(&mut self) -> Option<(String, String)> {
        if let Ok(text) = std::fs::read_to_string(&self.secret)
            && text != self.text
        {
            let value = |name: &str| {
                let line =
                    text.lines().find_map(|line| line.trim().strip_prefix(name)?.strip_prefix(": "))?;
                let bytes = data_encoding::BASE64.decode(line.trim_matches('"').as_bytes()).ok()?;
                String::from_utf8(bytes).ok()
            };
            self.held = value("username").zip(value("password"));
            self.text = text;
        }
        self.held.clone()
    }
}
