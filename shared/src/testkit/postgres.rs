//! PostgreSQL with SCRAM passwords, in a folder of its own, and replicas of it.

use std::fs;
use std::io::Write;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::{Signal, geteuid};

use super::binary::{Missing, find};
use super::openbao::random_hex;
use super::process::{Launch, Server};
use super::{Folder, Issued, Port};

/// Seen: 2 s for a new data folder, 0.3 s for the start.
const READY: Duration = Duration::from_secs(180);
const FROM: &str = "Debian's postgresql";
/// The superuser.
const ADMIN: &str = "admin";

/// A running PostgreSQL. Drop ends it.
pub struct Postgres {
    // Before the folder that it writes to.
    server: Server,
    password: String,
    port: Port,
    folder: Folder,
}

impl Postgres {
    /// A new, empty one.
    pub fn start() -> Result<Self, Missing> {
        let programs = Programs::find()?;
        let folder = Folder::new("postgres");
        let password = random_hex();
        let file = folder.write("password", &password);
        programs.hand_over(&[folder.path(), &file]);
        let arguments = [
            format!("--pgdata={}", folder.join("data").display()),
            format!("--username={ADMIN}"),
            format!("--pwfile={}", file.display()),
            "--auth=scram-sha-256".to_owned(),
            "--no-sync".to_owned(),
        ];
        programs.launch("initdb", &folder, arguments.into(), Vec::new()).run();
        Ok(Self::serve(&programs, folder, password))
    }

    /// A streaming replica of this one, read-only: a change is there after a few tenths of a second. It has the
    /// same roles and passwords.
    pub fn replica(&self) -> Result<Self, Missing> {
        let programs = Programs::find()?;
        let folder = Folder::new("postgres-replica");
        programs.hand_over(&[folder.path()]);
        let arguments = [
            format!("--pgdata={}", folder.join("data").display()),
            format!("--dbname=postgresql://{ADMIN}@{}/postgres", self.address()),
            "--write-recovery-conf".to_owned(),
            "--wal-method=stream".to_owned(),
            "--create-slot".to_owned(),
            format!("--slot=replica_{}", random_hex()),
            "--checkpoint=fast".to_owned(),
            "--no-sync".to_owned(),
        ];
        let environment = vec![("PGPASSWORD".to_owned(), self.password.clone())];
        programs.launch("pg_basebackup", &folder, arguments.into(), environment).run();
        Ok(Self::serve(&programs, folder, self.password.clone()))
    }

    fn serve(programs: &Programs, folder: Folder, password: String) -> Self {
        let port = Port::free();
        let settings = [
            format!("port={}", port.number()),
            "listen_addresses=127.0.0.1".to_owned(),
            format!("unix_socket_directories={}", folder.path().display()),
            // A test's data need not survive the machine.
            "fsync=off".to_owned(),
        ];
        let mut arguments = vec!["-D".to_owned(), folder.join("data").display().to_string()];
        arguments.extend(settings.into_iter().flat_map(|setting| ["-c".to_owned(), setting]));
        let server = Server::start(programs.launch("postgres", &folder, arguments, Vec::new()));
        let mut postgres = Self { server, password, port, folder };
        postgres.wait();
        postgres
    }

    /// `127.0.0.1:PORT`.
    pub fn address(&self) -> String {
        self.port.address()
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// The superuser's name.
    pub fn admin(&self) -> &str {
        ADMIN
    }

    /// The superuser's password.
    pub fn password(&self) -> &str {
        &self.password
    }

    /// The process id of the server.
    pub fn id(&self) -> u32 {
        self.server.id()
    }

    /// The fixture's folder, gone on drop; the server's log is in it.
    pub fn folder(&self) -> &Folder {
        &self.folder
    }

    /// Everything that the server wrote to its log.
    pub fn log(&self) -> String {
        fs::read_to_string(self.server.log()).expect("read the server's log")
    }

    /// Puts lines at the top of pg_hba.conf, where the first that fits counts, and has the server read them.
    pub fn let_in(&self, lines: &str) {
        let file = self.folder.join("data/pg_hba.conf");
        let rest = fs::read_to_string(&file).expect("read pg_hba.conf");
        fs::write(&file, format!("{lines}\n{rest}")).expect("write pg_hba.conf");
        self.reload();
    }

    /// Has it offer TLS with this certificate.
    pub fn encrypt(&self, issued: &Issued) {
        let programs = Programs::find().unwrap_or_else(|missing| panic!("{missing}"));
        for (name, text) in [("data/server.crt", &issued.certificate), ("data/server.key", &issued.key)] {
            programs.hand_over(&[&self.folder.write(name, text)]);
        }
        self.sql("alter system set ssl = on");
        self.reload();
    }

    /// Has the server read its settings, and waits until it has.
    fn reload(&self) {
        // A session that begins tells what the server had read by then.
        let read = "select pg_conf_load_time()";
        let before = self.sql(read);
        self.sql("select pg_reload_conf()");
        while self.sql(read) == before {
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Runs SQL as the superuser and returns the rows, one a line, fields separated by `|`.
    ///
    /// # Panics
    /// When the server refuses any of it.
    #[track_caller]
    pub fn sql(&self, statements: &str) -> String {
        let rows = self.sql_as(ADMIN, &self.password, statements);
        rows.unwrap_or_else(|error| panic!("PostgreSQL refused: {error}"))
    }

    /// Logs in as another role and runs SQL; `Err` is what `psql` said, also when the login was refused.
    pub fn sql_as(&self, role: &str, password: &str, statements: &str) -> Result<String, String> {
        let mut client = self.psql(role, password).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let client = client.as_mut().map_err(|error| format!("psql: {error}"))?;
        // By standard input: arguments are for everyone to read. A refused login has closed it already.
        let _ = client.stdin.take().map(|mut input| input.write_all(statements.as_bytes()));
        let (mut rows, mut error) = (String::new(), String::new());
        read(client.stdout.take(), &mut rows);
        read(client.stderr.take(), &mut error);
        let status = client.wait().map_err(|error| error.to_string())?;
        if status.success() { Ok(rows.trim_end().to_owned()) } else { Err(error.trim_end().to_owned()) }
    }

    /// A `psql` that reads statements from its standard input: a session that a test holds open.
    pub fn psql(&self, role: &str, password: &str) -> Command {
        let mut command = Command::new(find("psql", FROM).unwrap_or_else(|missing| panic!("{missing}")));
        command.args(["--no-psqlrc", "--quiet", "--no-align", "--tuples-only", "--set=ON_ERROR_STOP=1"]);
        command.args(["--host=127.0.0.1", "--dbname=postgres", "--no-password"]);
        command.arg(format!("--port={}", self.port.number())).arg(format!("--username={role}"));
        command.env("PGPASSWORD", password).env("PGCONNECT_TIMEOUT", "10").stdin(Stdio::piped());
        command
    }

    /// Kills it, as a crash would, and starts it again on the same data and port.
    pub fn restart(&mut self) {
        self.server.restart();
        self.wait();
    }

    /// Stops the process that takes connections where it stands, so that logins get no answer, until
    /// [`Postgres::resume`]. Sessions that are open go on.
    pub fn pause(&self) {
        self.server.pause();
    }

    /// Lets it go on.
    pub fn resume(&self) {
        self.server.resume();
    }

    fn wait(&mut self) {
        let address = self.address();
        // The port alone is not enough: a server that recovers accepts connections and refuses logins.
        let mut client = self.psql(ADMIN, &self.password);
        client.args(["--command=select 1"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let ready =
            || std::net::TcpStream::connect(&address).is_ok() && client.status().is_ok_and(|s| s.success());
        self.server.wait_until(READY, ready);
    }
}

/// PostgreSQL's programs and the user that they run as: they refuse root.
pub(super) struct Programs {
    folder: PathBuf,
    user: Option<(u32, u32)>,
}

impl Programs {
    pub(super) fn find() -> Result<Self, Missing> {
        find("psql", FROM)?;
        // PATH may have a link to one program without its neighbours.
        let initdb = fs::canonicalize(find("initdb", FROM)?).expect("the folder of PostgreSQL");
        let folder = initdb.parent().expect("a program's folder").to_owned();
        let user = if geteuid().is_root() { Some(user("postgres", FROM)?) } else { None };
        Ok(Self { folder, user })
    }

    /// User and group id; none where we are no root and run servers as ourselves.
    pub(super) fn user(&self) -> Option<(u32, u32)> {
        self.user
    }

    pub(super) fn hand_over(&self, paths: &[&Path]) {
        if let Some((user, group)) = self.user {
            for path in paths {
                chown(path, Some(user), Some(group)).expect("hand a file to the server's user");
            }
        }
    }

    fn launch(
        &self,
        name: &'static str,
        folder: &Folder,
        arguments: Vec<String>,
        mut environment: Vec<(String, String)>,
    ) -> Launch {
        // Messages that tests may look for, whatever the machine's language.
        environment.push(("LC_ALL".to_owned(), "C.UTF-8".to_owned()));
        Launch {
            name,
            program: self.folder.join(name),
            arguments,
            environment,
            folder: folder.path().to_owned(),
            user: self.user,
            // Immediate shutdown: a mere kill would leave its shared memory.
            goodbye: Some(Signal::QUIT),
        }
    }
}

/// User and group id of a system user.
fn user(name: &str, from: &'static str) -> Result<(u32, u32), Missing> {
    let table = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let line = table.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let ids = line.and_then(|rest| {
        let mut fields = rest.split(':').skip(1);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    });
    ids.ok_or_else(|| Missing::new(&format!("user {name}"), from))
}

fn read(stream: Option<impl std::io::Read>, text: &mut String) {
    if let Some(mut stream) = stream {
        let _ = stream.read_to_string(text);
    }
}
