//! OpenBao, which speaks HashiCorp Vault's interface.

use std::time::Duration;

use serde_json::{Value, json};

use super::binary::{Missing, find};
use super::pki::Authority;
use super::process::{Launch, Server};
use super::{Folder, Http, Port};

/// Seen: dev mode is up in 0.5 s, raft in 2 s; two busy cores need a margin.
const READY: Duration = Duration::from_secs(180);

/// A running, initialised and unsealed OpenBao. Drop ends it.
///
/// The KV version 2 engine is mounted at `secret/`. Every request is in the audit log.
pub struct OpenBao {
    server: Server,
    http: Http,
    token: String,
    unseal_key: Option<String>,
    folder: Folder,
    ports: Vec<Port>,
}

impl OpenBao {
    /// One in dev mode: in memory, up in half a second. It cannot restart or be sealed.
    pub fn dev() -> Result<Self, Missing> {
        Self::dev_on(Folder::new("openbao"), vec![Port::free(), Port::free()], "")
    }

    /// [`OpenBao::dev`] that listens with TLS too, with a certificate of this authority: at [`OpenBao::tls_url`]
    /// for everybody, at [`OpenBao::mutual_tls_url`] for clients that have a certificate of the authority.
    pub fn dev_with_tls(authority: &Authority) -> Result<Self, Missing> {
        let ports: Vec<Port> = std::iter::repeat_with(Port::free).take(4).collect();
        let (folder, server) = (Folder::new("openbao"), authority.server(&["localhost", "127.0.0.1"]));
        let [certificate, key, clients] = [
            ("server.crt", server.certificate.as_str()),
            ("server.key", server.key.as_str()),
            ("clients.crt", authority.pem()),
        ]
        .map(|(name, text)| folder.write(name, text).display().to_string());
        let listener = |port: &Port, more: &str| {
            let address = port.address();
            format!(
                "listener \"tcp\" {{\n  address = \"{address}\"\n  tls_cert_file = \"{certificate}\"\n  \
                 tls_key_file = \"{key}\"\n{more}}}\n"
            )
        };
        let verified =
            format!("  tls_client_ca_file = \"{clients}\"\n  tls_require_and_verify_client_cert = true\n");
        let listeners = listener(&ports[2], "") + &listener(&ports[3], &verified);
        Self::dev_on(folder, ports, &listeners)
    }

    fn dev_on(folder: Folder, ports: Vec<Port>, more: &str) -> Result<Self, Missing> {
        let program = find("bao", "OpenBao")?;
        let token = format!("test-{}", random_hex());
        let configuration = folder.write("bao.hcl", &(audit(&folder) + more));
        let mut bao = Self::launch(
            Launch {
                name: "bao",
                program,
                arguments: vec![
                    "server".into(),
                    "-dev".into(),
                    "-dev-no-store-token".into(),
                    format!("-dev-listen-address={}", ports[0].address()),
                    format!("-config={}", configuration.display()),
                ],
                environment: vec![("VAULT_DEV_ROOT_TOKEN_ID".into(), token.clone())],
                folder: folder.path().to_owned(),
                user: None,
                goodbye: None,
            },
            folder,
            ports,
        );
        bao.token = token;
        bao.wait_for_status(200);
        bao.wait_for("secret/config");
        Ok(bao)
    }

    /// One with storage on disk (raft): it can be sealed and restarted, and keeps its data.
    pub fn raft() -> Result<Self, Missing> {
        let program = find("bao", "OpenBao")?;
        let (folder, ports) = (Folder::new("openbao"), vec![Port::free(), Port::free()]);
        let data = folder.join("raft");
        std::fs::create_dir(&data).expect("make the data folder");
        let (address, cluster) = (ports[0].address(), ports[1].address());
        let text = format!(
            r#"
storage "raft" {{
  path = "{}"
  node_id = "test"
  # Elections as short as they go: initialisation takes 2 s instead of 9.
  performance_multiplier = 1
}}
listener "tcp" {{
  address = "{address}"
  tls_disable = true
}}
api_addr = "http://{address}"
cluster_addr = "http://{cluster}"
{}"#,
            data.display(),
            audit(&folder)
        );
        let configuration = folder.write("bao.hcl", &text);
        let mut bao = Self::launch(
            Launch {
                name: "bao",
                program,
                arguments: vec!["server".into(), format!("-config={}", configuration.display())],
                environment: Vec::new(),
                folder: folder.path().to_owned(),
                user: None,
                goodbye: None,
            },
            folder,
            ports,
        );
        bao.wait_for_status(501);
        let made = bao.api("PUT", "sys/init", Some(json!({ "secret_shares": 1, "secret_threshold": 1 })));
        bao.token = text_at(&made, "/root_token");
        bao.unseal_key = Some(text_at(&made, "/keys_base64/0"));
        bao.unseal();
        bao.api("POST", "sys/mounts/secret", Some(json!({ "type": "kv", "options": { "version": "2" } })));
        bao.wait_for("secret/config");
        Ok(bao)
    }

    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> &str {
        self.http.base()
    }

    /// `https://127.0.0.1:PORT`, of [`OpenBao::dev_with_tls`].
    pub fn tls_url(&self) -> String {
        format!("https://{}", self.ports[2].address())
    }

    /// The same where a client without a certificate is not let in.
    pub fn mutual_tls_url(&self) -> String {
        format!("https://{}", self.ports[3].address())
    }

    /// The root token.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// The process id of the server.
    pub fn id(&self) -> u32 {
        self.server.id()
    }

    /// The fixture's folder, gone on drop.
    pub fn folder(&self) -> &Folder {
        &self.folder
    }

    /// Calls `/v1/PATH` as root; `None` sends no body. Returns the answer, null if it is empty.
    ///
    /// # Panics
    /// On any status but 2xx, with what the server said.
    #[track_caller]
    pub fn api(&self, method: &str, path: &str, body: Option<Value>) -> Value {
        let (status, answer) = self.api_as(&self.token, method, path, body);
        assert!((200..300).contains(&status), "{method} {path}: {status} {answer}");
        answer
    }

    /// Calls `/v1/PATH` with another token (`""` for none), and returns the status with the answer.
    ///
    /// # Panics
    /// When no answer comes.
    #[track_caller]
    pub fn api_as(&self, token: &str, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        let headers = [("X-Vault-Token", token)];
        let headers = if token.is_empty() { &headers[..0] } else { &headers };
        let answer = self.http.send(method, &format!("v1/{path}"), headers, body.as_ref());
        answer.unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    /// Writes the policy `name` (HCL or JSON).
    pub fn policy(&self, name: &str, rules: &str) {
        self.api("PUT", &format!("sys/policies/acl/{name}"), Some(json!({ "policy": rules })));
    }

    /// A new token that has `policies` and lives for `ttl` (`5m`); it can be renewed.
    pub fn token_with(&self, policies: &[&str], ttl: &str) -> String {
        let wish = json!({ "policies": policies, "ttl": ttl, "no_default_policy": false });
        text_at(&self.api("POST", "auth/token/create", Some(wish)), "/auth/client_token")
    }

    /// Seals it: every request is refused with 503 from now on.
    pub fn seal(&mut self) {
        self.api("PUT", "sys/seal", None);
        self.wait_for_status(503);
    }

    /// Unseals it and waits until it serves requests.
    pub fn unseal(&mut self) {
        let key = self.unseal_key.clone().expect("an OpenBao with storage on disk");
        self.api("PUT", "sys/unseal", Some(json!({ "key": key })));
        self.wait_for_status(200);
    }

    /// Kills it, as a crash would, starts it again on the same data and address, and unseals it.
    pub fn restart(&mut self) {
        self.restart_sealed();
        self.unseal();
    }

    /// Kills it and starts it again; it stays sealed.
    pub fn restart_sealed(&mut self) {
        assert!(self.unseal_key.is_some(), "dev mode keeps nothing: use OpenBao::raft()");
        self.server.restart();
        self.wait_for_status(503);
    }

    /// Stops it where it stands, so that requests get no answer, until [`OpenBao::resume`].
    pub fn pause(&self) {
        self.server.pause();
    }

    /// Lets it go on.
    pub fn resume(&self) {
        self.server.resume();
    }

    /// What the audit device wrote: one JSON object for each request and each response, oldest first. Secrets
    /// stand there as `hmac-sha256:...`.
    pub fn audit(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.folder.join("audit.log")).expect("read the audit log");
        // The last line may be half written.
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    fn launch(launch: Launch, folder: Folder, ports: Vec<Port>) -> Self {
        let http = Http::new(&format!("http://{}", ports[0].address()), None);
        let server = Server::start(launch);
        Self { server, http, token: String::new(), unseal_key: None, folder, ports }
    }

    /// Waits for a status of `sys/health`: 200 active, 501 not initialised, 503 sealed.
    fn wait_for_status(&mut self, status: u16) {
        let http = self.http.clone();
        self.server.wait_until(READY, || health(&http) == Some(status));
    }

    /// Waits until a GET is answered with 200: a mounted KV engine first upgrades itself.
    fn wait_for(&mut self, path: &str) {
        let (http, token) = (self.http.clone(), self.token.clone());
        let path = format!("v1/{path}");
        let get = || http.send("GET", &path, &[("X-Vault-Token", token.as_str())], None);
        self.server.wait_until(READY, || matches!(get(), Ok((200, _))));
    }
}

fn health(http: &Http) -> Option<u16> {
    http.send("GET", "v1/sys/health", &[], None).ok().map(|(status, _)| status)
}

/// OpenBao takes audit devices from its configuration alone.
fn audit(folder: &Folder) -> String {
    let file = folder.join("audit.log");
    format!("audit \"file\" \"file\" {{\n  options {{\n    file_path = \"{}\"\n  }}\n}}\n", file.display())
}

#[track_caller]
pub(super) fn text_at(value: &Value, pointer: &str) -> String {
    let found = value.pointer(pointer).and_then(Value::as_str);
    // The value itself may be a secret: the message names the place alone.
    found.unwrap_or_else(|| panic!("no text at {pointer} of the answer")).to_owned()
}

/// 128 random bits.
pub(super) fn random_hex() -> String {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).expect("random bytes");
    data_encoding::HEXLOWER.encode(&bytes)
}
