//! PgBouncer in front of a PostgreSQL fixture.

use std::path::Path;
use std::time::Duration;

use super::binary::{Missing, find};
use super::postgres::{Postgres, Programs};
use super::process::{Launch, Server};
use super::{Folder, Port};

/// Seen: a tenth of a second.
const READY: Duration = Duration::from_secs(30);
const FROM: &str = "Debian's pgbouncer";

/// A running PgBouncer, which serves every database of one server. Drop ends it.
///
/// Its console (the database `pgbouncer`) is the superuser's, and its lists are for those in `file` too.
pub struct PgBouncer {
    // Before the folder that it writes to.
    server: Server,
    port: Port,
    folder: Folder,
}

impl PgBouncer {
    /// One that asks the server who may log in (`auth_query`), so that a new password counts at once. `file` has
    /// names and passwords that it knows besides.
    pub fn asking(postgres: &Postgres, file: &[(&str, &str)]) -> Result<Self, Missing> {
        Self::start(postgres, file, &format!(" auth_user={}", postgres.admin()))
    }

    /// One that lets in those of its file alone; passwords may be verifiers.
    pub fn with_file(postgres: &Postgres, file: &[(&str, &str)]) -> Result<Self, Missing> {
        Self::start(postgres, file, "")
    }

    fn start(postgres: &Postgres, file: &[(&str, &str)], auth: &str) -> Result<Self, Missing> {
        let program = find("pgbouncer", FROM)?;
        let programs = Programs::find()?;
        let (folder, port) = (Folder::new("pgbouncer"), Port::free());
        let admin = (postgres.admin(), postgres.password());
        let known: String = std::iter::once(&admin)
            .chain(file)
            .map(|(name, password)| format!("\"{name}\" \"{password}\"\n"))
            .collect();
        let users = folder.write("users.txt", &known);
        let readers: Vec<&str> = file.iter().map(|(name, _)| *name).collect();
        let settings = format!(
            "[databases]\n* = host=127.0.0.1 port={}{auth}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
             listen_port = {}\nunix_socket_dir =\nauth_type = scram-sha-256\nauth_file = {}\n\
             auth_query = SELECT usename, passwd FROM pg_catalog.pg_shadow WHERE usename = $1\n\
             admin_users = {}\nstats_users = {}\npool_mode = transaction\n\
             query_wait_timeout = 5\n",
            postgres.port(),
            port.number(),
            users.display(),
            postgres.admin(),
            readers.join(", "),
        );
        let settings = folder.write("pgbouncer.ini", &settings);
        programs.hand_over(&[folder.path(), &users, &settings]);
        let server = Server::start(Launch {
            name: "pgbouncer",
            program,
            arguments: vec![settings.display().to_string()],
            environment: Vec::new(),
            folder: folder.path().to_owned(),
            user: programs.user(),
            goodbye: None,
        });
        let mut pooler = Self { server, port, folder };
        let address = pooler.address();
        pooler.server.wait_until(READY, || std::net::TcpStream::connect(&address).is_ok());
        Ok(pooler)
    }

    /// `127.0.0.1:PORT`.
    pub fn address(&self) -> String {
        self.port.address()
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// The fixture's folder, gone on drop.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}
