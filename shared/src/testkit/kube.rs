//! A Kubernetes API server on etcd, with RBAC, real service account tokens, and controllers if asked for.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use serde_json::{Value, json};

use super::binary::{Missing, find};
use super::openbao::{OpenBao, random_hex, text_at};
use super::pki::{Authority, signing_key};
use super::process::{Launch, Server};
use super::{Folder, Http, Port};

/// Seen: etcd is up in 0.3 s, the API server in 3 s, alone on two cores; a busy machine needs a margin.
const READY: Duration = Duration::from_secs(240);
const FROM: &str = "the Kubernetes server, built from its Go modules, and Debian's etcd-server";

/// A running cluster without nodes: objects are stored, watched, authorised; nothing runs pods.
pub struct Kube {
    // Dropped in this order: the clients of a server before the server.
    controllers: Option<Server>,
    api: Server,
    etcd: Server,
    http: Http,
    token: String,
    authority: String,
    folder: Folder,
    ports: Vec<Port>,
}

/// A role of OpenBao's Kubernetes auth, ready to log in to: see [`Kube::with_openbao_auth`].
pub struct OpenBaoRole {
    /// Where the auth method is mounted.
    pub mount: &'static str,
    /// The role's name.
    pub role: String,
    /// The service account's namespace.
    pub namespace: String,
    /// The service account's name.
    pub service_account: String,
}

impl Kube {
    /// etcd and the API server: no controllers, so no garbage collection, no default service accounts.
    pub fn start() -> Result<Self, Missing> {
        let (etcd, kube) = (find("etcd", FROM)?, find("kube", FROM)?);
        let folder = Folder::new("kube");
        let ports = [Port::free(), Port::free(), Port::free()];
        let token = format!("admin-{}", random_hex());
        let authority = Authority::new("test cluster");
        let launch = |name, program, arguments| Launch {
            name,
            program,
            arguments,
            environment: Vec::new(),
            folder: folder.path().to_owned(),
            user: None,
            goodbye: None,
        };

        let etcd = Server::start(launch("etcd", etcd, etcd_arguments(&folder, &ports)));
        write_identity(&folder, &authority, &token);
        let api = Server::start(launch("kube-apiserver", kube, api_arguments(&folder, &ports)));

        let http = Http::new(&format!("https://localhost:{}", ports[2].number()), Some(authority.pem()));
        let authority = authority.pem().to_owned();
        let mut kube =
            Self { controllers: None, api, etcd, http, token, authority, folder, ports: ports.into() };
        kube.folder.write("kubeconfig", &kube.configuration(&kube.token));
        kube.wait();
        Ok(kube)
    }

    /// [`Kube::start`] and the controller manager: owner references are followed, default service accounts made,
    /// Jobs, Deployments and ReplicaSets filled (with pods that stay pending).
    pub fn start_with_controllers() -> Result<Self, Missing> {
        let mut kube = Self::start()?;
        let port = Port::free();
        let kubeconfig = kube.kubeconfig().display().to_string();
        let launch = Launch {
            name: "kube-controller-manager",
            program: find("kube", FROM)?,
            arguments: vec![
                "kube-controller-manager".into(),
                format!("--kubeconfig={kubeconfig}"),
                format!("--service-account-private-key-file={}", kube.folder.join("sa.key").display()),
                format!("--root-ca-file={}", kube.authority_file().display()),
                "--bind-address=127.0.0.1".into(),
                format!("--secure-port={}", port.number()),
                format!("--cert-dir={}", kube.folder.join("controller-certificates").display()),
                "--leader-elect=false".into(),
            ],
            environment: Vec::new(),
            folder: kube.folder.path().to_owned(),
            user: None,
            goodbye: None,
        };
        let mut controllers = Server::start(launch);
        let (http, token) = (kube.http.clone(), format!("Bearer {}", kube.token));
        let account =
            || http.send("GET", "api/v1/namespaces/default/serviceaccounts/default", &auth(&token), None);
        controllers.wait_until(READY, || matches!(account(), Ok((200, _))));
        kube.controllers = Some(controllers);
        kube.ports.push(port);
        Ok(kube)
    }

    /// One for all tests of this process that do not restart it, each in namespaces of its own (see
    /// [`Kube::fresh_namespace`]): a cluster takes four seconds and 350 MB.
    pub fn shared() -> Result<&'static Self, Missing> {
        static SHARED: OnceLock<Result<Kube, Missing>> = OnceLock::new();
        SHARED.get_or_init(Self::start).as_ref().map_err(Missing::clone)
    }

    /// `https://localhost:PORT`.
    pub fn url(&self) -> &str {
        self.http.base()
    }

    /// The token of a member of `system:masters`.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// The authority that signed the server's certificate, PEM.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// The file with the same.
    pub fn authority_file(&self) -> PathBuf {
        self.folder.join("ca.crt")
    }

    /// A kubeconfig of the admin.
    pub fn kubeconfig(&self) -> PathBuf {
        self.folder.join("kubeconfig")
    }

    /// Writes a kubeconfig for another token and returns its path; it lives as long as the fixture.
    pub fn kubeconfig_for(&self, token: &str) -> PathBuf {
        self.folder.write(&format!("kubeconfig-{}", random_hex()), &self.configuration(token))
    }

    /// The fixture's folder, gone on drop.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The process ids of its servers.
    pub fn ids(&self) -> Vec<u32> {
        [Some(&self.etcd), Some(&self.api), self.controllers.as_ref()]
            .into_iter()
            .flatten()
            .map(Server::id)
            .collect()
    }

    /// Calls PATH (`api/v1/...`) as the admin and returns the status with the answer. A PATCH is a JSON merge
    /// patch; for server-side apply see [`Kube::apply`].
    ///
    /// # Panics
    /// When no answer comes.
    #[track_caller]
    pub fn api(&self, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        self.api_as(&self.token, method, path, body)
    }

    /// The same with another token: what is refused is the answer's status.
    #[track_caller]
    pub fn api_as(&self, token: &str, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        let kind = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
        self.send(token, method, path, kind, body.as_ref())
    }

    /// Creates the object at its collection PATH, or fails the test; returns it as stored.
    #[track_caller]
    pub fn create(&self, path: &str, object: Value) -> Value {
        let (status, answer) = self.api("POST", path, Some(object));
        assert!(status == 200 || status == 201, "POST {path}: {status} {answer}");
        answer
    }

    /// Applies the object at PATH (with its name) as the field manager `test`, by force, and returns it as stored.
    #[track_caller]
    pub fn apply(&self, path: &str, object: Value) -> Value {
        let place = format!("{path}?fieldManager=test&force=true");
        let (status, answer) =
            self.send(&self.token, "PATCH", &place, "application/apply-patch+yaml", Some(&object));
        assert!(status == 200 || status == 201, "apply {path}: {status} {answer}");
        answer
    }

    /// Makes the namespace, if it is not there.
    #[track_caller]
    pub fn namespace(&self, name: &str) {
        let object = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } });
        self.apply(&format!("api/v1/namespaces/{name}"), object);
    }

    /// Makes a namespace that no other test has, and returns its name.
    #[track_caller]
    pub fn fresh_namespace(&self) -> String {
        let name = format!("test-{}", random_hex());
        self.namespace(&name);
        name
    }

    /// Makes the service account, and its namespace, if they are not there.
    #[track_caller]
    pub fn service_account(&self, namespace: &str, name: &str) {
        self.namespace(namespace);
        let object = json!({ "apiVersion": "v1", "kind": "ServiceAccount",
            "metadata": { "name": name, "namespace": namespace } });
        self.apply(&format!("api/v1/namespaces/{namespace}/serviceaccounts/{name}"), object);
    }

    /// A token of a service account, from TokenRequest, for an hour; no `audiences` means the API server.
    #[track_caller]
    pub fn token_of(&self, namespace: &str, service_account: &str, audiences: &[&str]) -> String {
        let path = format!("api/v1/namespaces/{namespace}/serviceaccounts/{service_account}/token");
        let wish = json!({ "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
            "spec": { "audiences": audiences, "expirationSeconds": 3600 } });
        text_at(&self.create(&path, wish), "/status/token")
    }

    /// Lets the service account (`namespace`, `name`) log in to `bao` as `role` and get `policy`: OpenBao asks
    /// this cluster about each token by TokenReview. May be called again for more roles.
    pub fn with_openbao_auth(
        &self,
        bao: &OpenBao,
        role: &str,
        (namespace, name): (&str, &str),
        policy: &str,
    ) -> OpenBaoRole {
        self.service_account(namespace, name);
        self.service_account("kube-system", "openbao-reviewer");
        self.apply(
            "apis/rbac.authorization.k8s.io/v1/clusterrolebindings/openbao-reviewer",
            json!({ "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
                "metadata": { "name": "openbao-reviewer" },
                "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole",
                    "name": "system:auth-delegator" },
                "subjects": [{ "kind": "ServiceAccount", "name": "openbao-reviewer", "namespace": "kube-system" }] }),
        );
        if bao.api("GET", "sys/auth", None).pointer("/data/kubernetes~1").is_none() {
            bao.api("POST", "sys/auth/kubernetes", Some(json!({ "type": "kubernetes" })));
        }
        bao.api(
            "POST",
            "auth/kubernetes/config",
            Some(json!({ "kubernetes_host": self.url(), "kubernetes_ca_cert": self.authority(),
                "token_reviewer_jwt": self.token_of("kube-system", "openbao-reviewer", &[]),
                "disable_local_ca_jwt": true })),
        );
        bao.api(
            "POST",
            &format!("auth/kubernetes/role/{role}"),
            Some(json!({ "bound_service_account_names": [name], "bound_service_account_namespaces": [namespace],
                "token_policies": [policy], "token_ttl": "10m" })),
        );
        OpenBaoRole {
            mount: "kubernetes",
            role: role.to_owned(),
            namespace: namespace.to_owned(),
            service_account: name.to_owned(),
        }
    }

    /// Kills the API server, as a crash would, and starts it again on the same data and address.
    pub fn restart(&mut self) {
        self.api.restart();
        self.wait();
    }

    /// Stops the API server where it stands, so that requests get no answer, until [`Kube::resume`].
    pub fn pause(&self) {
        self.api.pause();
    }

    /// Lets it go on.
    pub fn resume(&self) {
        self.api.resume();
    }

    #[track_caller]
    fn send(&self, token: &str, method: &str, path: &str, kind: &str, body: Option<&Value>) -> (u16, Value) {
        let bearer = format!("Bearer {token}");
        let headers = [("Authorization", bearer.as_str()), ("Content-Type", kind)];
        let answer = self.http.send(method, path, &headers, body);
        answer.unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    /// Ready is more than the port: the roles and namespaces that a cluster begins with are there too.
    fn wait(&mut self) {
        let (http, bearer) = (self.http.clone(), format!("Bearer {}", self.token));
        let get = |path| matches!(http.send("GET", path, &auth(&bearer), None), Ok((200, _)));
        self.api.wait_until(READY, || get("readyz") && get("api/v1/namespaces/default"));
    }

    fn configuration(&self, token: &str) -> String {
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "test",
            "clusters": [{ "name": "test",
                "cluster": { "server": self.url(), "certificate-authority": self.authority_file() } }],
            "users": [{ "name": "test", "user": { "token": token } }],
            "contexts": [{ "name": "test", "context": { "cluster": "test", "user": "test", "namespace": "default" } }],
        });
        // JSON is YAML.
        config.to_string()
    }
}

impl OpenBaoRole {
    /// Logs in with a fresh token of the service account; returns the OpenBao token.
    #[track_caller]
    pub fn login(&self, kube: &Kube, bao: &OpenBao) -> String {
        let jwt = kube.token_of(&self.namespace, &self.service_account, &[]);
        let path = format!("auth/{}/login", self.mount);
        let (status, answer) = bao.api_as("", "POST", &path, Some(json!({ "role": self.role, "jwt": jwt })));
        assert_eq!(status, 200, "login as {}: {}", self.role, answer["errors"]);
        text_at(&answer, "/auth/client_token")
    }
}

fn auth(bearer: &str) -> [(&str, &str); 1] {
    [("Authorization", bearer)]
}

/// The certificate, the keys of service account tokens, and the file of fixed tokens with the admin's.
fn write_identity(folder: &Folder, authority: &Authority, token: &str) {
    let server = authority.server(&["localhost", "127.0.0.1", "kubernetes.default.svc"]);
    let (private, public) = signing_key();
    folder.write("ca.crt", authority.pem());
    folder.write("server.crt", &server.certificate);
    folder.write("server.key", &server.key);
    folder.write("sa.key", &private);
    folder.write("sa.pub", &public);
    folder.write("tokens.csv", &format!("{token},admin,admin,system:masters\n"));
}

fn etcd_arguments(folder: &Folder, [client, peer, _]: &[Port; 3]) -> Vec<String> {
    let (client, peer) = (format!("http://{}", client.address()), format!("http://{}", peer.address()));
    vec![
        format!("--data-dir={}", folder.join("etcd").display()),
        format!("--listen-client-urls={client}"),
        format!("--advertise-client-urls={client}"),
        format!("--listen-peer-urls={peer}"),
        format!("--initial-advertise-peer-urls={peer}"),
        format!("--initial-cluster=default={peer}"),
    ]
}

fn api_arguments(folder: &Folder, [etcd, _, secure]: &[Port; 3]) -> Vec<String> {
    let file = |name| folder.join(name).display().to_string();
    vec![
        "kube-apiserver".into(),
        format!("--etcd-servers=http://{}", etcd.address()),
        "--bind-address=127.0.0.1".into(),
        "--advertise-address=127.0.0.1".into(),
        format!("--secure-port={}", secure.number()),
        format!("--tls-cert-file={}", file("server.crt")),
        format!("--tls-private-key-file={}", file("server.key")),
        format!("--cert-dir={}", file("api-certificates")),
        format!("--token-auth-file={}", file("tokens.csv")),
        "--authorization-mode=RBAC".into(),
        "--service-account-issuer=https://kubernetes.default.svc".into(),
        format!("--service-account-key-file={}", file("sa.pub")),
        format!("--service-account-signing-key-file={}", file("sa.key")),
        "--service-cluster-ip-range=10.0.0.0/24".into(),
        "--allow-privileged=true".into(),
    ]
}
