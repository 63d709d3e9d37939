//! Every kind of server that can be driven, as one closed choice.

use shared::secret::Secret;

use super::htpasswd::Htpasswd;
use super::postgresql::PostgreSql;
use crate::rotation::context::{Answer, Backend, Lease, NoAnswer, Session, SetError};
use crate::rotation::failpoint::reach;
use crate::rotation::spec::Endpoint;

/// One target. Whoever adds a kind is shown every place that must know of it.
pub enum AnyBackend {
    /// An htpasswd file.
    Htpasswd(Htpasswd),
    /// A PostgreSQL server, its replicas and poolers.
    PostgreSql(Box<PostgreSql>),
}

/// Calls the same method of whatever is inside.
macro_rules! inside {
    ($self:ident, $backend:ident => $call:expr) => {
        match $self {
            AnyBackend::Htpasswd($backend) => $call,
            AnyBackend::PostgreSql($backend) => $call,
        }
    };
}

impl Backend for AnyBackend {
    fn endpoints(&self) -> &[Endpoint] {
        inside!(self, backend => backend.endpoints())
    }

    fn locks(&self) -> bool {
        inside!(self, backend => backend.locks())
    }

    fn advice(&self, endpoint: &str) -> String {
        inside!(self, backend => backend.advice(endpoint))
    }

    async fn ready(&self, account: &str, must_be_idle: bool) -> Result<(), SetError> {
        inside!(self, backend => backend.ready(account, must_be_idle).await)
    }

    async fn set(
        &self,
        endpoint: &str,
        account: &str,
        accepts: &[&Secret],
        lease: Lease,
    ) -> Result<(), SetError> {
        reach(format_args!("before set"));
        let done = inside!(self, backend => backend.set(endpoint, account, accepts, lease).await);
        reach(format_args!("after set"));
        done
    }

    async fn revoke(
        &self,
        endpoint: &str,
        account: &str,
        remaining: Option<&Secret>,
        lease: Lease,
    ) -> Result<(), SetError> {
        reach(format_args!("before revoke"));
        let done = inside!(self, backend => backend.revoke(endpoint, account, remaining, lease).await);
        reach(format_args!("after revoke"));
        done
    }

    async fn test(&self, endpoint: &str, account: &str, secret: &Secret) -> Result<Answer, NoAnswer> {
        inside!(self, backend => backend.test(endpoint, account, secret).await)
    }

    async fn sessions(&self, endpoint: &str, account: &str) -> Result<Option<Vec<Session>>, NoAnswer> {
        inside!(self, backend => backend.sessions(endpoint, account).await)
    }
}
