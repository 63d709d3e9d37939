//! PostgreSQL alone, with OpenBao as the store.

use std::process::Command;

use shared::testkit::{Missing, Postgres, find};

use super::{Denial, Stand, stories};
use crate::postgres::Shop;
use crate::proxy::{Proxy, Rule};
use crate::workshop::Workshop;

stories::tell!(Bench::start());

struct Bench {
    shop: Shop,
    proxy: Proxy,
}

impl Bench {
    fn start() -> Result<Self, Missing> {
        let mut shop = Shop::small()?;
        let proxy = Proxy::before(&shop.primary.address());
        shop.primary_address = Some(proxy.address().to_owned());
        shop.write();
        shop.first_run();
        Ok(Self { shop, proxy })
    }

    fn server(&self) -> &Postgres {
        &self.shop.primary
    }
}

/// A check of passwords rejects what it can look into: the verifier becomes a password of five letters, which the
/// server's own check (passwordcheck) finds too short.
fn too_short(packet: &[u8]) -> Option<Vec<u8>> {
    const START: &[u8] = b"LOGIN PASSWORD '";
    let at = packet.windows(START.len()).position(|window| window == START)? + START.len();
    let end = at + packet[at..].iter().position(|&byte| byte == b'\'')?;
    let mut changed = packet.to_vec();
    changed[at..=end].fill(b' ');
    changed[at..at + 6].copy_from_slice(b"short'");
    Some(changed)
}

impl Stand for Bench {
    fn workshop(&self) -> &Workshop {
        &self.shop.workshop
    }

    fn published(&self) -> (String, String) {
        self.shop.published()
    }

    fn lets_in(&self, (account, secret): &(String, String)) -> bool {
        self.shop.lets_in((account, secret))
    }

    fn down(&mut self) {
        // Logins get no answer; sessions that are open go on.
        self.server().pause();
    }

    fn up(&mut self) {
        self.server().resume();
        // As a crash would have it.
        self.shop.primary.restart();
    }

    fn reject(&mut self) {
        self.server().sql("alter system set shared_preload_libraries = 'passwordcheck'");
        self.shop.primary.restart();
        self.proxy.apply(Rule::Change(too_short), usize::MAX);
    }

    fn deny_revoke(&mut self) {
        self.server().sql("alter role keyturn nocreaterole");
    }

    fn allow_revoke(&mut self) {
        self.server().sql("alter role keyturn createrole");
    }

    fn denial(&self) -> Denial {
        Denial::NeedsPerson
    }

    fn check_nothing(&mut self) {
        self.server().let_in("host all orders_a,orders_b 127.0.0.1/32 trust");
    }

    fn dump(&self) -> String {
        let server = self.server();
        let program = find("pg_dumpall", "Debian's postgresql").unwrap();
        let mut command = Command::new(program);
        command.args(["--roles-only", "--host=127.0.0.1", "--no-password", "--database=postgres"]);
        command.arg(format!("--port={}", server.port())).arg(format!("--username={}", server.admin()));
        let output = command.env("PGPASSWORD", server.password()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        // Of a dump for an empty server: what an existing one takes.
        let lines: Vec<&str> = text.lines().filter(|line| line.starts_with("ALTER ROLE orders_")).collect();
        assert_eq!(lines.len(), 2, "the accounts are in the dump");
        lines.join("\n")
    }

    fn restore(&mut self, dump: &str) {
        self.server().sql("alter role orders_a password null; alter role orders_b password null");
        self.server().sql(dump);
    }
}
