//! The parts of a [`Context`] that send every call into the simulated world.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use jiff::Timestamp;
use shared::fingerprint::{Fingerprint, FingerprintKey};
use shared::journal::{Moved, Record};
use shared::secret::{Redacted, Secret};

use crate::rotation::context::{
    Answer, Backend, CasError, Clock, Consumer, ConsumerState, Consumers, Context, Credential, Freeze,
    Journal, Lease, LoadError, Maker, NoAnswer, Publication, PublicationError, Published, Receipts, Session,
    SetError, World,
};
use crate::rotation::generate::Policy;
use crate::rotation::pairs::Neighbour;
use crate::rotation::simulation::state::{Call, Reply, Request, Shown, State};
use crate::rotation::spec::Endpoint;
use crate::rotation::step::later;

/// The world of the simulation.
pub struct Simulated;

impl World for Simulated {
    type Journal = Wire;
    type Publication = Wire;
    type Backend = Wire;
    type Consumers = Wire;
    type Clock = Wire;
    type Maker = Wire;
    type Receipts = Wire;
}

/// One rotator's line into the world.
#[derive(Clone)]
pub struct Wire {
    state: Rc<RefCell<State>>,
    actor: usize,
    endpoints: Rc<[Endpoint]>,
    locks: bool,
}

/// The parts of one rotator.
pub fn context(state: &Rc<RefCell<State>>, actor: usize, holder: String) -> Context<Simulated> {
    let (endpoints, locks) = {
        let state = state.borrow();
        (state.spec.endpoints.clone().into(), state.locks)
    };
    let wire = Wire { state: Rc::clone(state), actor, endpoints, locks };
    Context {
        holder,
        // The simulation's rotators know nothing of each other.
        is_gone: |_| false,
        journal: wire.clone(),
        publication: wire.clone(),
        backend: wire.clone(),
        consumers: wire.clone(),
        clock: wire.clone(),
        maker: wire.clone(),
        receipts: wire,
    }
}

fn lost(what: &str) -> NoAnswer {
    NoAnswer { what: what.to_owned(), class: "unreachable".to_owned() }
}

impl Wire {
    /// Sends a request and waits until the loop answers it.
    async fn call(&self, call: Call) -> Reply {
        let id = {
            let mut state = self.state.borrow_mut();
            let id = state.next_id;
            state.next_id += 1;
            state.requests.push(Request { id, actor: self.actor, call });
            id
        };
        poll_fn(|_| match self.state.borrow_mut().replies.remove(&id) {
            Some(reply) => Poll::Ready(reply),
            None => Poll::Pending,
        })
        .await
    }

    fn index(&self, endpoint: &str) -> usize {
        self.endpoints.iter().position(|e| e.name == endpoint).unwrap_or(0)
    }

    fn set_reply(reply: &Reply) -> Result<(), SetError> {
        match reply {
            Reply::Done => Ok(()),
            Reply::Rejected => Err(SetError::Rejected("too simple".into())),
            Reply::Busy => {
                Err(SetError::NoAnswer(NoAnswer { what: "the idle login".into(), class: "busy".into() }))
            }
            _ => Err(SetError::NoAnswer(lost("the target"))),
        }
    }

    fn cas_reply(reply: &Reply) -> Result<u64, CasError> {
        match reply {
            Reply::Version(version) => Ok(*version),
            Reply::Conflict => Err(CasError::Conflict("the path".into())),
            _ => Err(lost("the store").into()),
        }
    }
}

/// The keyed name of a secret of the simulation.
pub fn fingerprint(secret: &[u8]) -> Fingerprint {
    FingerprintKey::from_bytes([7; 32]).fingerprint(Redacted::new(secret))
}

fn value(secret: &Secret) -> Vec<u8> {
    secret.expose(<[u8]>::to_vec)
}

impl Journal for Wire {
    async fn load(&self) -> Result<Option<(u64, Record)>, LoadError> {
        match self.call(Call::Load).await {
            Reply::Journal(None) => Ok(None),
            Reply::Journal(Some((version, json))) => Ok(Some((version, Record::parse(&Secret::new(json))?))),
            _ => Err(lost("the journal").into()),
        }
    }

    async fn store(&self, record: &Record, version: u64) -> Result<u64, CasError> {
        let json = record.to_store().map_err(|_| lost("the journal"))?;
        Self::cas_reply(&self.call(Call::Store(value(&json), version)).await)
    }

    async fn frozen(&self) -> Result<Option<Freeze>, NoAnswer> {
        match self.call(Call::Frozen).await {
            Reply::Frozen(true) => {
                Ok(Some(Freeze { actor: "person".into(), reason: None, since: self.now() }))
            }
            Reply::Frozen(false) => Ok(None),
            _ => Err(lost("the freeze")),
        }
    }

    /// Seeds simulate one credential alone; stories say what else there is.
    async fn neighbours(&self) -> Result<Vec<Neighbour>, NoAnswer> {
        let state = self.state.borrow();
        let neighbour = |(name, goes_first, json): &(String, bool, Vec<u8>)| Neighbour {
            name: name.clone(),
            goes_first: *goes_first,
            record: Record::parse(&Secret::copy_of(json)).ok(),
        };
        Ok(state.neighbours.iter().map(neighbour).collect())
    }
}

impl Publication for Wire {
    async fn read(&self) -> Result<Option<Published>, PublicationError> {
        match self.call(Call::Read).await {
            Reply::Published(published) => {
                Ok(published.map(|(version, shown)| Published { version, credential: shown.credential() }))
            }
            _ => Err(lost("the published path").into()),
        }
    }

    async fn earlier(&self, version: u64) -> Result<Option<Published>, PublicationError> {
        match self.call(Call::Earlier(version)).await {
            Reply::Published(published) => {
                Ok(published.map(|(version, shown)| Published { version, credential: shown.credential() }))
            }
            _ => Err(lost("the published path").into()),
        }
    }

    async fn publish(&self, credential: &Credential, version: u64) -> Result<u64, CasError> {
        let shown = Shown { account: credential.account.clone(), secret: value(&credential.secret) };
        Self::cas_reply(&self.call(Call::Publish(shown, version)).await)
    }
}

impl Backend for Wire {
    fn endpoints(&self) -> &[Endpoint] {
        &self.endpoints
    }

    fn locks(&self) -> bool {
        self.locks
    }

    async fn ready(&self, account: &str, must_be_idle: bool) -> Result<(), SetError> {
        Self::set_reply(&self.call(Call::Ready(account.to_owned(), must_be_idle)).await)
    }

    async fn set(
        &self,
        endpoint: &str,
        account: &str,
        accepts: &[&Secret],
        lease: Lease,
    ) -> Result<(), SetError> {
        let accepts = accepts.iter().map(|s| value(s)).collect();
        let call = Call::Set(self.index(endpoint), account.to_owned(), accepts, lease);
        Self::set_reply(&self.call(call).await)
    }

    async fn revoke(
        &self,
        endpoint: &str,
        account: &str,
        remaining: Option<&Secret>,
        lease: Lease,
    ) -> Result<(), SetError> {
        let remaining: BTreeSet<_> = remaining.iter().map(|s| value(s)).collect();
        let call = Call::Revoke(self.index(endpoint), account.to_owned(), remaining, lease);
        Self::set_reply(&self.call(call).await)
    }

    async fn test(&self, endpoint: &str, account: &str, secret: &Secret) -> Result<Answer, NoAnswer> {
        match self.call(Call::Test(self.index(endpoint), account.to_owned(), value(secret))).await {
            Reply::Login(answer) => Ok(answer),
            _ => Err(lost("the target")),
        }
    }

    async fn sessions(&self, endpoint: &str, account: &str) -> Result<Option<Vec<Session>>, NoAnswer> {
        match self.call(Call::Sessions(self.index(endpoint), account.to_owned())).await {
            Reply::Open(count) => Ok(Some(vec![Session { client: "client".into() }; count])),
            _ => Err(lost("the target")),
        }
    }
}

impl Consumers for Wire {
    async fn observe(
        &self,
        version: u64,
        _moved: &BTreeMap<String, Moved>,
    ) -> Result<Vec<Consumer>, NoAnswer> {
        match self.call(Call::Observe(version)).await {
            Reply::Consumers(consumers) => Ok(consumers
                .into_iter()
                .map(|(name, moved)| Consumer {
                    name,
                    state: if moved { ConsumerState::Moved } else { ConsumerState::Moving },
                })
                .collect()),
            _ => Err(lost("the cluster")),
        }
    }
}

impl Clock for Wire {
    fn now(&self) -> Timestamp {
        self.state.borrow().now
    }

    async fn within<T>(&self, limit: Duration, future: impl Future<Output = T>) -> Option<T> {
        let end = later(self.now(), limit);
        let mut future = std::pin::pin!(future);
        poll_fn(|cx| match future.as_mut().poll(cx) {
            Poll::Ready(done) => Poll::Ready(Some(done)),
            Poll::Pending if self.state.borrow().now > end => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        })
        .await
    }
}

impl Maker for Wire {
    fn make(&self, policy: &Policy) -> Result<Secret, NoAnswer> {
        policy.make(|buffer| {
            let mut state = self.state.borrow_mut();
            for byte in buffer {
                *byte = state.random.bits().to_le_bytes()[0];
            }
            Ok(())
        })
    }

    fn name(&self, secret: &Secret) -> Fingerprint {
        secret.expose(fingerprint)
    }
}

impl Receipts for Wire {
    async fn issue(&self, record: &Record) -> Result<String, NoAnswer> {
        match self.call(Call::Issue(record.revision)).await {
            Reply::Done => Ok(format!("receipt-{}", record.revision)),
            _ => Err(lost("the receipts")),
        }
    }
}
