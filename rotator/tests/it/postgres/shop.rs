//! A shop: PostgreSQL with what stands before and behind it, OpenBao as the store, a folder as the consumer.

use serde_json::{Value, json};
use shared::receipt::Signed;
use shared::signing::TrustedKeys;
use shared::testkit::{Missing, OpenBao, PgBouncer, Postgres};

use crate::workshop::{Ended, Workshop};

const MANIFESTS: &str = r#"
apiVersion: v1
kind: Secret
metadata: {name: token, namespace: platform}
stringData: {token: TOKEN}
---
apiVersion: external-secrets.io/v1
kind: ClusterSecretStore
metadata: {name: vault}
spec:
  retrySettings: {maxRetries: 1, retryInterval: 100ms}
  provider:
    vault:
      server: STORE
      path: secret
      auth: {tokenSecretRef: {name: token, namespace: platform, key: token}}
---
apiVersion: external-secrets.io/v1
kind: ExternalSecret
metadata: {name: orders, namespace: shop}
spec:
  secretStoreRef: {name: vault, kind: ClusterSecretStore}
  dataFrom: [{extract: {key: shop/orders}}]
---
apiVersion: keyturn.dev/v1alpha1
kind: ClusterRotationTarget
metadata: {name: orders-db}
spec:
  allow: {namespaces: [shop], accounts: ["orders_*"]}
  adminRef: {storeRef: {name: vault, kind: ClusterSecretStore}, key: pg/admin}
  postgresql:
    tls: TLS
    endpoints: ENDPOINTS
---
apiVersion: keyturn.dev/v1alpha1
kind: Rotation
metadata: {name: orders, namespace: shop}
spec:
  targetRef: {name: orders-db}
  schedule: "0 2 * * 0"
  strategy: {alternating: {accounts: [orders_a, orders_b], role: orders}}
  publish:
    storeRef: {name: vault, kind: ClusterSecretStore}
    key: shop/orders
    properties: {username: username, password: password}
  grace: {duration: GRACE}
"#;

/// Rights of an administrator as the README asks for them: no superuser.
const ROLES: &str = "create role keyturn login createrole; grant pg_signal_backend, pg_read_all_stats to keyturn; \
     create role orders; create role orders_a in role orders; create role orders_b in role orders;";

/// Everything, up and running.
pub struct Shop {
    pub workshop: Workshop,
    pub bao: OpenBao,
    pub primary: Postgres,
    pub replica: Option<Postgres>,
    pub pooler: Option<PgBouncer>,
    /// Of the administrator `keyturn`.
    pub admin: String,
    /// As the manifest has it.
    pub grace: &'static str,
    /// As the manifest has it.
    pub tls: String,
    /// In place of the primary's own address, where something stands between.
    pub primary_address: Option<String>,
    /// In place of the store's own address.
    pub store_address: Option<String>,
    /// In place of a token that may do everything.
    pub store_token: Option<String>,
}

/// A password that nobody has had before, and longer than the strength that the known file asks of values of which it
/// does not know how they were made.
pub fn password() -> String {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).unwrap();
    data_encoding::HEXLOWER.encode(&bytes)
}

impl Shop {
    /// One server alone, with a store that forgets.
    pub fn small() -> Result<Self, Missing> {
        Ok(Self::with(OpenBao::dev()?, Postgres::start()?))
    }

    /// The server with a replica and a PgBouncer, and a store that can be sealed.
    pub fn large() -> Result<Self, Missing> {
        let mut shop = Self::with(OpenBao::raft()?, Postgres::start()?);
        shop.replica = Some(shop.primary.replica()?);
        shop.pooler = Some(PgBouncer::asking(&shop.primary, &[("keyturn", &shop.admin)])?);
        shop.write();
        Ok(shop)
    }

    fn with(bao: OpenBao, primary: Postgres) -> Self {
        let admin = password();
        primary.sql("alter system set log_statement = 'ddl'");
        primary.sql("select pg_reload_conf()");
        primary.sql(ROLES);
        primary.sql(&format!(
            "set log_statement = 'none'; set log_min_error_statement = 'panic'; \
             alter role keyturn password '{admin}'"
        ));
        bao.api(
            "PUT",
            "secret/data/pg/admin",
            Some(json!({ "data": { "username": "keyturn", "password": admin } })),
        );
        let shop = Self {
            workshop: Workshop::new(),
            bao,
            primary,
            replica: None,
            pooler: None,
            admin,
            grace: "0s, max: 0s",
            tls: "{mode: disable}".to_owned(),
            primary_address: None,
            store_address: None,
            store_token: None,
        };
        let made = shop.workshop.run(&["keys", "keys"]);
        assert_eq!(made.code, 0, "{made:?}");
        shop.write();
        shop
    }

    /// The manifests of what there is.
    pub fn manifests(&self) -> String {
        let primary = self.primary_address.clone().unwrap_or_else(|| self.primary.address());
        let mut endpoints = vec![format!("{{name: rw, address: \"{primary}\"}}")];
        if let Some(replica) = &self.replica {
            endpoints.push(format!("{{name: ro, address: \"{}\", readOnly: true}}", replica.address()));
        }
        if let Some(pooler) = &self.pooler {
            endpoints.push(format!("{{name: pool, address: \"{}\", pgbouncer: true}}", pooler.address()));
        }
        MANIFESTS
            .replace("TOKEN", self.store_token.as_deref().unwrap_or_else(|| self.bao.token()))
            .replace("STORE", self.store_address.as_deref().unwrap_or_else(|| self.bao.url()))
            .replace("ENDPOINTS", &format!("[{}]", endpoints.join(", ")))
            .replace("GRACE", self.grace)
            .replace("TLS", &self.tls)
    }

    /// Writes them.
    pub fn write(&self) {
        self.workshop.write("config/all.yaml", &self.manifests());
    }

    pub fn arguments<'a>(&self, more: &[&'a str]) -> Vec<&'a str> {
        let all = ["rotate", "--config", "config", "--target", "dir:out"];
        let keys = ["--fingerprint-key", "keys/fingerprint.key", "--receipt-key", "keys/receipts.pem"];
        all.into_iter().chain(keys).chain(["--receipts", "receipts"]).chain(more.iter().copied()).collect()
    }

    pub fn rotate(&self, more: &[&str]) -> Ended {
        self.workshop.run(&self.arguments(more))
    }

    /// What consumers read: user name and password.
    pub fn published(&self) -> (String, String) {
        let (status, answer) = self.bao.api_as(self.bao.token(), "GET", "secret/data/shop/orders", None);
        assert_eq!(status, 200, "nothing is published");
        let text = |name: &str| answer["data"]["data"][name].as_str().unwrap().to_owned();
        (text("username"), text("password"))
    }

    /// The journal's record.
    pub fn journal(&self) -> Value {
        let answer = self.bao.api("GET", "secret/data/keyturn/journal/shop/orders", None);
        answer["data"]["data"].clone()
    }

    /// Where logins are made, with a name for messages.
    pub fn doors(&self) -> Vec<(&'static str, String)> {
        let mut doors = vec![("rw", self.primary.address())];
        doors.extend(self.replica.iter().map(|replica| ("ro", replica.address())));
        doors.extend(self.pooler.iter().map(|pooler| ("pool", pooler.address())));
        doors
    }

    /// Whether every door lets the login in, or none does.
    ///
    /// # Panics
    /// When they differ, or one says anything else than that the login is wrong.
    pub fn lets_in(&self, (account, secret): (&str, &str)) -> bool {
        let answers: Vec<_> =
            self.doors().iter().map(|(name, door)| (*name, login(door, account, secret))).collect();
        for (name, answer) in &answers {
            assert!(matches!(answer, Ok(()) | Err(Some(_))), "{name}: no answer: {answer:?}");
            if let Err(Some(code)) = answer {
                // PgBouncer has one code for everything.
                assert!(["28P01", "28000", "08P01"].contains(&code.as_str()), "{name}: {code}");
            }
        }
        let accepted = answers.iter().filter(|(_, answer)| answer.is_ok()).count();
        assert!(accepted == 0 || accepted == answers.len(), "{answers:?}");
        accepted > 0
    }

    pub fn receipts(&self) -> Vec<Signed> {
        let trusted = TrustedKeys::read(&self.workshop.path("keys/receipts.pub.pem")).unwrap();
        let Ok(entries) = std::fs::read_dir(self.workshop.path("receipts")) else { return Vec::new() };
        let files = entries.map(|entry| entry.unwrap().path());
        let mut receipts: Vec<_> = files
            .filter(|path| path.extension().is_some_and(|end| end == "json"))
            .map(|path| Signed::verify(&std::fs::read(path).unwrap(), &trusted).unwrap())
            .collect();
        receipts.sort_by_key(|signed| signed.receipt().seq);
        receipts
    }

    /// How many statements that change a role the server has logged, by role and kind.
    pub fn alters(&self, role: &str, kind: &str) -> usize {
        let start = format!("ALTER ROLE \"{role}\" WITH {kind}");
        self.primary.log().matches(&start).count()
    }

    /// A first secret is published and works.
    pub fn first_run(&self) -> (String, String) {
        let ended = self.rotate(&["--now"]);
        assert_eq!(ended.code, 0, "{ended:?}");
        assert!(ended.out.contains("the first secret works"), "{ended:?}");
        let published = self.published();
        assert!(self.lets_in((&published.0, &published.1)));
        published
    }
}

/// Logs in and asks for something: the SQLSTATE of a refusal, or none where no answer came.
pub fn login(address: &str, account: &str, secret: &str) -> Result<(), Option<String>> {
    let (host, port) = address.rsplit_once(':').unwrap();
    let mut config = tokio_postgres::Config::new();
    config.host(host).port(port.parse().unwrap()).user(account).password(secret).dbname("postgres");
    config.connect_timeout(std::time::Duration::from_secs(10)).application_name("shop");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let told = |error: tokio_postgres::Error| error.code().map(|code| code.code().to_owned());
        let (client, connection) = config.connect(tokio_postgres::NoTls).await.map_err(told)?;
        let task = tokio::spawn(connection);
        client.simple_query("select 1").await.map_err(told)?;
        drop(client);
        let _ = task.await;
        Ok(())
    })
}
