//! One login, one connection.
//!
//! Guarantees: a server that asks for the password in the clear over a connection without TLS does not get it; a
//! connection is closed when its [`Link`] is dropped.
//! Caveat: the client library keeps its copy of the password in memory that is not wiped.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use shared::secret::Secret;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_postgres::config::SslMode;
use tokio_postgres::{Client, Config, Connection, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::failure::Failure;
use super::settings::Door;
use super::tls::Tls;

/// From the first packet to the server's word on the login.
const LOGIN_TIMEOUT: Duration = Duration::from_secs(5);
/// What a closing connection gets to say goodbye.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// How sessions of ours are called in pg_stat_activity and in the server's log.
const APPLICATION: &str = "keyturn";

/// An open connection.
pub(super) struct Link {
    /// Asks.
    pub(super) client: Client,
    task: JoinHandle<()>,
}

impl Link {
    fn new<S, T>(client: Client, connection: Connection<S, T>) -> Self
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let task = tokio::spawn(async move {
            // An error ends the connection, and with it whatever was asked; that answer says so.
            let _ = connection.await;
        });
        Self { client, task }
    }

    /// Says goodbye, so that the server ends the session now.
    pub(super) async fn close(self) {
        let Self { client, mut task } = self;
        drop(client);
        if tokio::time::timeout(CLOSE_TIMEOUT, &mut task).await.is_err() {
            task.abort();
        }
    }
}

/// Logs in.
pub(super) async fn connect(door: &Door, tls: &Tls, user: &str, secret: &Secret) -> Result<Link, Failure> {
    match tokio::time::timeout(LOGIN_TIMEOUT, dial(door, tls, user, secret)).await {
        Ok(dialled) => dialled,
        Err(_) => Err(Failure::lost("timeout")),
    }
}

async fn dial(door: &Door, tls: &Tls, user: &str, secret: &Secret) -> Result<Link, Failure> {
    let mut config = Config::new();
    config.user(user).dbname(&door.database).application_name(APPLICATION);
    secret.expose(|bytes| config.password(bytes));
    let unreachable = |_| Failure::lost("unreachable");
    let stream = TcpStream::connect((door.host.as_str(), door.port)).await.map_err(unreachable)?;
    stream.set_nodelay(true).map_err(unreachable)?;
    let failed = |error| Failure::of(&error, door.kind);
    match tls {
        Tls::Off => {
            config.ssl_mode(SslMode::Disable);
            let stream = Guarded { stream, seen: [0; FIRST_MESSAGE], length: 0 };
            let (client, connection) = config.connect_raw(stream, NoTls).await.map_err(failed)?;
            Ok(Link::new(client, connection))
        }
        Tls::On { config: trust, server_name } => {
            config.ssl_mode(SslMode::Require);
            let name = server_name.as_deref().unwrap_or(&door.host);
            let mut make = MakeRustlsConnect::new(rustls::ClientConfig::clone(trust));
            let tls = tokio_postgres::tls::MakeTlsConnect::<TcpStream>::make_tls_connect(&mut make, name)
                .map_err(|_| Failure::lost("no name for TLS"))?;
            let (client, connection) = config.connect_raw(stream, tls).await.map_err(failed)?;
            Ok(Link::new(client, connection))
        }
    }
}

/// The type, length and code of an authentication request.
const FIRST_MESSAGE: usize = 9;
/// AuthenticationCleartextPassword (PostgreSQL's manual, "Message Formats").
const CLEARTEXT: [u8; 4] = 3_u32.to_be_bytes();

/// Why reading stopped: nobody on the way may read the password.
#[derive(Debug, thiserror::Error)]
#[error("the server asks for the password in the clear over a connection without TLS")]
pub(super) struct AskedInTheClear;

/// A connection without TLS. Its first message is looked at: one that asks for the password itself is not passed on.
struct Guarded {
    stream: TcpStream,
    seen: [u8; FIRST_MESSAGE],
    length: usize,
}

impl AsyncRead for Guarded {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let polled = Pin::new(&mut this.stream).poll_read(cx, buffer);
        if this.length < FIRST_MESSAGE {
            for &byte in buffer.filled().iter().skip(before).take(FIRST_MESSAGE - this.length) {
                this.seen[this.length] = byte;
                this.length += 1;
            }
            if this.length == FIRST_MESSAGE && this.seen[0] == b'R' && this.seen[5..] == CLEARTEXT {
                return Poll::Ready(Err(io::Error::other(AskedInTheClear)));
            }
        }
        polled
    }
}

impl AsyncWrite for Guarded {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
