//! What the stores of one server share, so that the server is protected and not the store: how many requests are in
//! flight, and how often metadata is asked for.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::Url;
use tokio::sync::Semaphore;
use tokio::time::Instant;

/// From one request for metadata to the next: fifty in a second.
const APART: Duration = Duration::from_millis(20);

/// One server.
#[derive(Clone, Debug)]
pub struct Server(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    in_flight: Semaphore,
    /// When metadata may be asked for again.
    next_look: Mutex<Instant>,
}

impl Server {
    /// Lets so many requests through at once; at least one.
    pub fn new(in_flight_max: usize) -> Self {
        let in_flight = Semaphore::new(in_flight_max.clamp(1, Semaphore::MAX_PERMITS));
        Self(Arc::new(Shared { in_flight, next_look: Mutex::new(Instant::now()) }))
    }

    pub(super) fn in_flight(&self) -> &Semaphore {
        &self.0.in_flight
    }

    /// Waits for its turn to ask for metadata. Turns are given in the order of asking.
    pub async fn turn(&self) {
        let turn = {
            // It is replaced in one step.
            let mut next = self.0.next_look.lock().unwrap_or_else(PoisonError::into_inner);
            let turn = (*next).max(Instant::now());
            *next = turn + APART;
            turn
        };
        tokio::time::sleep_until(turn).await;
    }
}

/// The servers of one process.
#[derive(Clone, Debug, Default)]
pub struct Servers(Arc<Mutex<HashMap<String, Server>>>);

impl Servers {
    /// The server at an address, whatever its path.
    pub fn at(&self, address: &str, in_flight_max: usize) -> Server {
        let origin =
            Url::parse(address).map_or_else(|_| address.to_owned(), |url| url.origin().ascii_serialization());
        // Each change is one step.
        let mut servers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        servers.entry(origin).or_insert_with(|| Server::new(in_flight_max)).clone()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::Servers;

    #[tokio::test]
    async fn stores_of_one_server_ask_for_metadata_in_turns() {
        let servers = Servers::default();
        let addresses = ["http://vault:8200", "http://VAULT:8200/", "http://vault:8200/v1"];
        let start = Instant::now();
        futures::future::join_all(addresses.map(|address| {
            let server = servers.at(address, 4);
            async move {
                for _ in 0..20 {
                    server.turn().await;
                }
            }
        }))
        .await;
        assert!(start.elapsed() >= Duration::from_millis(59 * 20), "sixty looks, fifty in a second");
    }
}
