//! An htpasswd file, and a service that reads it for every request.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use rotator::file_store::FileStore;
use rotator::provider::{Key, Provider};
use shared::testkit::Missing;

use super::{Denial, Stand, stories};
use crate::workshop::Workshop;

stories::tell!(Site::start());

const MANIFESTS: &str = r#"
apiVersion: external-secrets.io/v1
kind: SecretStore
metadata: {name: local, namespace: shop}
spec: {provider: {file: {path: ../store, keyFile: ../store.key}}}
---
apiVersion: external-secrets.io/v1
kind: ExternalSecret
metadata: {name: orders, namespace: shop}
spec:
  secretStoreRef: {name: local}
  dataFrom: [{extract: {key: shop/orders}}]
---
apiVersion: keyturn.dev/v1alpha1
kind: ClusterRotationTarget
metadata: {name: site}
spec:
  allow: {namespaces: [shop], accounts: ["orders_*"]}
  htpasswd: {path: ../htpasswd, probe: "http://SERVICE/"}
---
apiVersion: keyturn.dev/v1alpha1
kind: Rotation
metadata: {name: orders, namespace: shop}
spec:
  targetRef: {name: site}
  schedule: "0 2 * * 0"
  strategy: {alternating: {accounts: [orders_a, orders_b]}}
  generate: {length: 32}
  publish:
    storeRef: {name: local, kind: SecretStore}
    key: shop/orders
    properties: {username: username, password: password}
  grace: {duration: 0s, max: 0s}
"#;

/// What the service does.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Asks the file.
    Asks,
    /// Lets everybody in.
    LetsIn,
    /// Takes connections and says nothing.
    Silent,
}

struct Site {
    workshop: Workshop,
    mode: Arc<Mutex<Mode>>,
}

impl Site {
    /// The signature that all stands have; this one needs no server that a machine could lack.
    fn start() -> Result<Self, Missing> {
        let workshop = Workshop::new();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let mode = Arc::new(Mutex::new(Mode::Asks));
        let (file, now) = (workshop.path("htpasswd"), Arc::clone(&mode));
        std::thread::spawn(move || serve(&listener, &file, &now));
        workshop.write("config/all.yaml", &MANIFESTS.replace("SERVICE", &address));
        workshop.write("htpasswd", "orders_a:!\norders_b:!\n");
        FileStore::init(&workshop.path("store"), &workshop.path("store.key")).unwrap();
        let made = workshop.run(&["keys", "keys"]);
        assert_eq!(made.code, 0, "{made:?}");
        let site = Self { workshop, mode };
        let ended = site.rotate(&["--now"]);
        assert_eq!(ended.code, 0, "{ended:?}");
        Ok(site)
    }

    fn file(&self) -> PathBuf {
        self.workshop.path("htpasswd")
    }

    fn obstacle(&self) -> PathBuf {
        self.workshop.path("htpasswd.keyturn-new")
    }

    fn set(&self, mode: Mode) {
        *self.mode.lock().unwrap() = mode;
    }
}

fn serve(listener: &TcpListener, file: &Path, mode: &Mutex<Mode>) {
    for mut stream in listener.incoming().flatten() {
        let mode = *mode.lock().unwrap();
        let mut login = None;
        let lines = BufReader::new(&stream).lines().map_while(Result::ok);
        for line in lines.take_while(|line| !line.is_empty()) {
            if let Some((name, value)) = line.split_once(": ")
                && name.eq_ignore_ascii_case("authorization")
            {
                let pair =
                    data_encoding::BASE64.decode(value.trim_start_matches("Basic ").as_bytes()).unwrap();
                let pair = String::from_utf8(pair).unwrap();
                login = pair.split_once(':').map(|(account, secret)| (account.to_owned(), secret.to_owned()));
            }
        }
        let lets_in = match mode {
            Mode::Silent => continue,
            Mode::LetsIn => true,
            Mode::Asks => login.is_some_and(|login| opens(file, &login)),
        };
        let status = if lets_in { "200 OK" } else { "401 Unauthorized" };
        let _ = write!(stream, "HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    }
}

fn opens(file: &Path, (account, secret): &(String, String)) -> bool {
    let text = std::fs::read_to_string(file).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(account.as_str())?.strip_prefix(':'));
    bcrypt::verify(secret, line.unwrap()).unwrap_or(false)
}

impl Stand for Site {
    fn workshop(&self) -> &Workshop {
        &self.workshop
    }

    fn published(&self) -> (String, String) {
        let (file, key) = (self.workshop.path("store"), self.workshop.path("store.key"));
        let store = Provider::File(Arc::new(FileStore::open("local", &file, &key).unwrap()));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let document = runtime.block_on(store.read(&Key::latest("shop/orders"))).unwrap();
        let value: serde_json::Value = document.json().expose(|bytes| serde_json::from_slice(bytes)).unwrap();
        let text = |name: &str| value[name].as_str().unwrap().to_owned();
        (text("username"), text("password"))
    }

    fn lets_in(&self, login: &(String, String)) -> bool {
        opens(&self.file(), login)
    }

    fn down(&mut self) {
        self.set(Mode::Silent);
    }

    fn up(&mut self) {
        self.set(Mode::Asks);
    }

    /// bcrypt takes 72 bytes.
    fn reject(&mut self) {
        let path = self.workshop.path("config/all.yaml");
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(path, text.replace("length: 32", "length: 80")).unwrap();
    }

    /// The file cannot be replaced: a folder stands where the new one is written.
    fn deny_revoke(&mut self) {
        std::fs::create_dir(self.obstacle()).unwrap();
    }

    fn allow_revoke(&mut self) {
        std::fs::remove_dir(self.obstacle()).unwrap();
    }

    fn denial(&self) -> Denial {
        Denial::Rests
    }

    fn check_nothing(&mut self) {
        self.set(Mode::LetsIn);
    }

    fn dump(&self) -> String {
        std::fs::read_to_string(self.file()).unwrap()
    }

    fn restore(&mut self, dump: &str) {
        std::fs::write(self.file(), dump).unwrap();
    }
}
