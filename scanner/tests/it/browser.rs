//! A real browser on the HTML report: Chromium without a window, driven over WebDriver
//! (<https://www.w3.org/TR/webdriver2/>).

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use shared::testkit::{Folder, Http, Launch, Missing, Port, Server, find};

/// A cold start on a busy machine.
const START: Duration = Duration::from_secs(60);
/// How long a page may take to follow a key or a click.
const SETTLE: Duration = Duration::from_secs(30);
const FROM: &str = "Debian's chromium and chromium-driver";

/// One window. Dropped, it ends with everything that it started.
pub struct Browser {
    http: Http,
    session: String,
    _server: Server,
    _port: Port,
    _folder: Folder,
}

impl Browser {
    /// Opens a window of so many pixels; `scheme` is `light` or `dark`.
    pub fn start(width: u32, height: u32, scheme: &str) -> Result<Self, Missing> {
        let driver = find("chromedriver", FROM)?;
        let chromium = find("chromium", FROM)?;
        let (folder, port) = (Folder::new("browser"), Port::free());
        let mut server = Server::start(Launch {
            name: "chromedriver",
            program: driver,
            arguments: vec![format!("--port={}", port.number())],
            environment: Vec::new(),
            folder: folder.path().to_owned(),
            user: None,
            goodbye: None,
        });
        let http = Http::new(&format!("http://{}", port.address()), None);
        server.wait_until(START, || {
            http.send("GET", "status", &[], None).is_ok_and(|(_, answer)| answer["value"]["ready"] == true)
        });
        let profile = folder.join("profile");
        let arguments = [
            "--headless".to_owned(),
            "--no-sandbox".to_owned(),
            "--disable-gpu".to_owned(),
            "--disable-dev-shm-usage".to_owned(),
            "--no-first-run".to_owned(),
            "--disable-quic".to_owned(),
            "--disable-background-networking".to_owned(),
            "--disable-component-update".to_owned(),
            "--disable-sync".to_owned(),
            "--hide-scrollbars".to_owned(),
            format!("--window-size={width},{height}"),
            format!("--user-data-dir={}", profile.display()),
        ];
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": { "binary": chromium, "args": arguments },
            "goog:loggingPrefs": { "browser": "ALL" },
        }}});
        let (_, answer) = http.send("POST", "session", &[], Some(&wanted)).unwrap();
        let session = answer["value"]["sessionId"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned();
        let browser = Self { http, session, _server: server, _port: port, _folder: folder };
        // Chromium makes no window narrower than 500 pixels; what a phone shows is asked for like this.
        let metrics =
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500 });
        browser.devtools("Emulation.setDeviceMetricsOverride", &metrics);
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        browser.devtools("Emulation.setEmulatedMedia", &json!({ "features": features }));
        Ok(browser)
    }

    fn ask(&self, method: &str, what: &str, body: Option<&Value>) -> Value {
        let path = format!("session/{}/{what}", self.session);
        let (status, answer) = self.http.send(method, &path, &[], body).unwrap();
        assert_eq!(status, 200, "{what}: {answer}");
        answer["value"].clone()
    }

    fn devtools(&self, command: &str, parameters: &Value) {
        self.ask("POST", "goog/cdp/execute", Some(&json!({ "cmd": command, "params": parameters })));
    }

    /// Opens a file, with what stands behind its name (`#…`).
    pub fn open(&self, file: &Path, behind: &str) {
        let url = format!("file://{}{behind}", file.display());
        self.ask("POST", "url", Some(&json!({ "url": url })));
    }

    /// Runs a script, a function's body, in the page.
    pub fn run(&self, script: &str) -> Value {
        self.ask("POST", "execute/sync", Some(&json!({ "script": script, "args": [] })))
    }

    /// What a script returns once it is what is wanted: a page follows keys, clicks and loading in its own time.
    #[track_caller]
    pub fn shows(&self, script: &str, wanted: impl Into<Value>) {
        let wanted = wanted.into();
        let end = Instant::now() + SETTLE;
        loop {
            let seen = self.run(script);
            if seen == wanted || Instant::now() > end {
                assert_eq!(seen, wanted, "{script}");
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Clicks on the first element of a CSS selector.
    pub fn click(&self, selector: &str) {
        let element = self.element(selector);
        self.ask("POST", &format!("element/{element}/click"), Some(&json!({})));
    }

    /// Types into an element.
    pub fn type_into(&self, selector: &str, text: &str) {
        let element = self.element(selector);
        self.ask("POST", &format!("element/{element}/value"), Some(&json!({ "text": text })));
    }

    fn element(&self, selector: &str) -> String {
        let found = self.ask("POST", "element", Some(&json!({ "using": "css selector", "value": selector })));
        found.as_object().unwrap().values().next().unwrap().as_str().unwrap().to_owned()
    }

    /// Presses keys, one after the other, wherever the focus is.
    pub fn press(&self, keys: &[&str]) {
        let both = |key: &&str| {
            [json!({ "type": "keyDown", "value": key }), json!({ "type": "keyUp", "value": key })]
        };
        let actions: Vec<Value> = keys.iter().flat_map(both).collect();
        let actions = json!({ "actions": [{ "type": "key", "id": "keys", "actions": actions }] });
        self.ask("POST", "actions", Some(&actions));
    }

    /// Everything that the page wrote to its console: errors, refused requests, broken policies.
    pub fn console(&self) -> Vec<String> {
        let lines = self.ask("POST", "se/log", Some(&json!({ "type": "browser" })));
        lines.as_array().unwrap().iter().map(|line| line["message"].to_string()).collect()
    }

    /// What is seen, as PNG.
    pub fn screenshot(&self) -> Vec<u8> {
        let picture = self.ask("GET", "screenshot", None);
        data_encoding::BASE64.decode(picture.as_str().unwrap().as_bytes()).unwrap()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The driver ends its browser; should it not, it dies with its process group.
        let _ = self.http.send("DELETE", &format!("session/{}", self.session), &[], None);
    }
}
