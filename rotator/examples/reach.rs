//! How far one rotator reaches: `benches/reach.sh`, or
//! `cargo run -p rotator --example reach -- target/release/rotator 500`.
//!
//! So many PostgreSQL credentials, each two accounts of a role of its own, are turned from a published secret to
//! `Proven`, with no grace, by one `rotator rotate --now`, while four applications log in every 50 ms: two read the
//! credential from OpenBao before each login, two from the folder of Secrets. Server, store and applications share
//! the machine. Prints the time, the rotator's largest anonymous memory, and the logins; a login that fails fails
//! the run.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a measurement that cannot go on has nothing better to do than to say where"
)]

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use shared::testkit::{Folder, OpenBao, Postgres};

/// Between two logins of an application.
const PAUSE: Duration = Duration::from_millis(50);

fn main() {
    let mut arguments = std::env::args().skip(1);
    let program = PathBuf::from(arguments.next().expect("the rotator to measure"));
    let count: usize = arguments.next().map_or(500, |text| text.parse().expect("a number of credentials"));
    let bench = Bench::new(program.canonicalize().expect("the rotator"), count);
    let first = bench.rotate();
    let stop = AtomicBool::new(false);
    let logins = AtomicUsize::new(0);
    let (second, failed) = std::thread::scope(|scope| {
        let (bench, stop, logins) = (&bench, &stop, &logins);
        let applications: Vec<_> =
            (0..4).map(|who| scope.spawn(move || bench.application(who, stop, logins))).collect();
        let second = bench.rotate();
        stop.store(true, Ordering::SeqCst);
        let failed = applications.into_iter().flat_map(|one| one.join().expect("an application"));
        (second, failed.collect::<Vec<_>>())
    });
    let alters = bench.postgres.log().matches("statement: ALTER ROLE").count();
    let out = &mut std::io::stdout();
    let line = |what: &str, run: &Run| {
        format!(
            "{what}: {count} credentials in {:.1} s, {:.1} MiB of anonymous memory at most, {} proven\n",
            run.took.as_secs_f64(),
            run.memory_kib as f64 / 1024.0,
            run.proven
        )
    };
    let receipts = std::fs::read_dir(bench.folder.join("receipts")).map_or(0, Iterator::count);
    out.write_all(line("first secrets", &first).as_bytes()).expect("standard output");
    out.write_all(line("turned", &second).as_bytes()).expect("standard output");
    writeln!(
        out,
        "{} logins of 4 applications, {} failed; {alters} statements ALTER ROLE (3 a credential); {receipts} receipts",
        logins.load(Ordering::SeqCst),
        failed.len()
    )
    .expect("standard output");
    assert!(failed.is_empty(), "{failed:?}");
    assert_eq!((first.proven, second.proven, receipts, alters), (count, count, count, 3 * count));
}

struct Bench {
    program: PathBuf,
    count: usize,
    bao: OpenBao,
    postgres: Postgres,
    folder: Folder,
}

struct Run {
    took: Duration,
    memory_kib: u64,
    proven: usize,
}

impl Bench {
    fn new(program: PathBuf, count: usize) -> Self {
        let bao = OpenBao::dev().expect("OpenBao");
        let postgres = Postgres::start().expect("PostgreSQL");
        let folder = Folder::new("reach");
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).expect("random bytes");
        let admin = data_encoding::HEXLOWER.encode(&bytes);
        let mut sql = format!(
            "create role keyturn login createrole password '{admin}'; grant pg_signal_backend to keyturn;"
        );
        for number in 0..count {
            write!(
                sql,
                "create role r{number}; create role r{number}_a in role r{number}; \
                 create role r{number}_b in role r{number};"
            )
            .expect("a string");
        }
        postgres.sql(&sql);
        postgres.sql("alter system set log_statement = 'ddl'");
        postgres.sql("select pg_reload_conf()");
        let admin = json!({ "username": "keyturn", "password": admin });
        bao.api("PUT", "secret/data/pg/admin", Some(json!({ "data": admin })));
        std::fs::create_dir(folder.join("config")).expect("a folder");
        folder.write("config/all.yaml", &manifests(&bao, &postgres, count));
        let bench = Self { program, count, bao, postgres, folder };
        let made = bench.command(&["keys", "keys"]).status().expect("the rotator");
        assert!(made.success(), "no keys");
        bench
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(arguments).current_dir(self.folder.path()).env_clear();
        command.env("HOME", self.folder.path()).stdin(Stdio::null()).stdout(Stdio::null());
        command
    }

    /// Turns them all, and looks at the rotator's memory meanwhile.
    fn rotate(&self) -> Run {
        let out = std::fs::File::create(self.folder.join("out.txt")).expect("a file");
        let errors = std::fs::File::create(self.folder.join("errors.txt")).expect("a file");
        let mut command = self.command(&["rotate", "--now", "--config", "config", "--target", "dir:out"]);
        command.args(["--fingerprint-key", "keys/fingerprint.key", "--receipt-key", "keys/receipts.pem"]);
        command.args(["--receipts", "receipts"]).stdout(out).stderr(errors);
        let start = Instant::now();
        let mut child = command.spawn().expect("the rotator");
        let mut memory_kib = 0;
        let status = loop {
            if let Some(status) = child.try_wait().expect("the rotator") {
                break status;
            }
            memory_kib = memory_kib.max(anonymous_kib(child.id()));
            std::thread::sleep(Duration::from_millis(10));
        };
        let took = start.elapsed();
        let text = std::fs::read_to_string(self.folder.join("out.txt")).expect("its output");
        let errors = std::fs::read_to_string(self.folder.join("errors.txt")).expect("its errors");
        let proven = text.matches(": proven ").count();
        if !status.success() {
            let rest: Vec<&str> = text.lines().filter(|line| !line.contains(": proven ")).take(5).collect();
            let errors: String = errors.chars().take(4_000).collect();
            panic!("it ended with {status}: {rest:?}\n{errors}");
        }
        Run { took, memory_kib, proven }
    }

    /// Logs in again and again with the credential of the moment. Returns what failed.
    fn application(&self, who: usize, stop: &AtomicBool, logins: &AtomicUsize) -> Vec<String> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let mut failed = Vec::new();
        for turn in 0.. {
            if stop.load(Ordering::SeqCst) {
                break;
            }
            let number = (turn * 37 + who * 101) % self.count;
            let credential =
                if who.is_multiple_of(2) { self.in_store(number) } else { self.in_folder(number) };
            let (account, secret) = credential;
            match runtime.block_on(self.login(&account, &secret)) {
                Ok(()) => drop(logins.fetch_add(1, Ordering::SeqCst)),
                Err(error) => failed.push(format!("{account}: {error}")),
            }
            std::thread::sleep(PAUSE);
        }
        failed
    }

    async fn login(&self, account: &str, secret: &str) -> Result<(), tokio_postgres::Error> {
        let mut config = tokio_postgres::Config::new();
        config.host("127.0.0.1").port(self.postgres.port()).user(account).password(secret).dbname("postgres");
        let (client, connection) = config.connect(tokio_postgres::NoTls).await?;
        let task = tokio::spawn(connection);
        let asked = client.simple_query("select 1").await;
        drop(client);
        let _ = task.await;
        asked.map(drop)
    }

    fn in_store(&self, number: usize) -> (String, String) {
        let answer = self.bao.api("GET", &format!("secret/data/shop/r{number}"), None);
        let text = |name: &str| answer["data"]["data"][name].as_str().expect("a property").to_owned();
        (text("username"), text("password"))
    }

    fn in_folder(&self, number: usize) -> (String, String) {
        let path = self.folder.join(&format!("out/shop.r{number}.yaml"));
        let text = std::fs::read_to_string(path).expect("a Secret");
        let value = |name: &str| {
            let line = text.lines().find_map(|line| line.trim().strip_prefix(name)?.strip_prefix(": "));
            let bytes = data_encoding::BASE64.decode(line.expect("a property").trim_matches('"').as_bytes());
            String::from_utf8(bytes.expect("base64")).expect("text")
        };
        (value("username"), value("password"))
    }
}

/// Memory that no file stands behind (proc(5)).
fn anonymous_kib(process: u32) -> u64 {
    let path = Path::new("/proc").join(process.to_string()).join("status");
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    line.and_then(|rest| rest.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}

fn manifests(bao: &OpenBao, postgres: &Postgres, count: usize) -> String {
    let mut text = format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{name: token, namespace: platform}}\nstringData: {{token: {}}}\n---\n\
         apiVersion: external-secrets.io/v1\nkind: ClusterSecretStore\nmetadata: {{name: vault}}\n\
         spec: {{provider: {{vault: {{server: \"{}\", path: secret, \
         auth: {{tokenSecretRef: {{name: token, namespace: platform, key: token}}}}}}}}}}\n---\n\
         apiVersion: keyturn.dev/v1alpha1\nkind: ClusterRotationTarget\nmetadata: {{name: db}}\nspec:\n  \
         allow: {{namespaces: [shop], accounts: [\"r*\"]}}\n  \
         adminRef: {{storeRef: {{name: vault, kind: ClusterSecretStore}}, key: pg/admin}}\n  \
         postgresql: {{tls: {{mode: disable}}, endpoints: [{{name: rw, address: \"{}\"}}]}}\n",
        bao.token(),
        bao.url(),
        postgres.address()
    );
    for number in 0..count {
        write!(
            text,
            "---\napiVersion: external-secrets.io/v1\nkind: ExternalSecret\n\
             metadata: {{name: r{number}, namespace: shop}}\nspec:\n  \
             secretStoreRef: {{name: vault, kind: ClusterSecretStore}}\n  \
             dataFrom: [{{extract: {{key: shop/r{number}}}}}]\n---\n\
             apiVersion: keyturn.dev/v1alpha1\nkind: Rotation\nmetadata: {{name: r{number}, namespace: shop}}\n\
             spec:\n  targetRef: {{name: db}}\n  schedule: \"0 2 * * 0\"\n  \
             strategy: {{alternating: {{accounts: [r{number}_a, r{number}_b], role: r{number}}}}}\n  \
             publish:\n    storeRef: {{name: vault, kind: ClusterSecretStore}}\n    key: shop/r{number}\n    \
             properties: {{username: username, password: password}}\n  grace: {{duration: 0s, max: 0s}}\n"
        )
        .expect("a string");
    }
    text
}
