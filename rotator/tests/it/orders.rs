//! What people order, with nothing but files: adopt, abort, retry, force-revoke, release, reconcile, freeze.

use rotator::provider::Key;
use shared::journal::{Phase, PhaseName, Record};
use shared::secret::Secret;

use crate::rotate::{MANIFESTS, Site};
use crate::workshop::Ended;

const DRIVE: [&str; 12] = [
    "--config",
    "config",
    "--target",
    "dir:out",
    "--fingerprint-key",
    "keys/fingerprint.key",
    "--receipt-key",
    "keys/receipts.pem",
    "--receipts",
    "receipts",
    "--wait",
    "0s",
];

impl Site {
    fn order(&self, words: &[&str]) -> Ended {
        self.workshop.run(&words.iter().copied().chain(DRIVE).collect::<Vec<_>>())
    }

    fn manifests(&self, changes: &[(&str, &str)]) {
        let mut text = MANIFESTS.to_owned();
        for (from, to) in changes {
            assert!(text.contains(from), "{from}");
            text = text.replacen(from, to, 1);
        }
        self.workshop.write("config/all.yaml", &text);
    }

    fn journal(&self) -> Option<Record> {
        let read = self.runtime().block_on(self.provider().read(&Key::latest("keyturn/journal/shop/site")));
        read.ok().map(|document| Record::parse(document.json()).unwrap())
    }

    fn phase(&self) -> Option<PhaseName> {
        self.journal().map(|record| record.phase.name())
    }

    fn publish_by_hand(&self, password: &str) {
        let document = format!(r#"{{"username":"demo","password":"{password}"}}"#);
        let provider = self.provider();
        let written = provider.write("shop/site", Secret::from_string(document), None);
        self.runtime().block_on(written).unwrap();
    }

    fn htpasswd(&self) -> String {
        std::fs::read_to_string(self.path("htpasswd")).unwrap()
    }
}

const EXTERNAL: (&str, &str) = ("grace:", "consumers: {external: [legacy-batch]}\n  grace:");

/// A service in front of the file that lets nobody in.
fn closed_door() -> (String, std::thread::JoinHandle<()>) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let thread = std::thread::spawn(move || {
        use std::io::{Read as _, Write as _};
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut request = [0; 4096];
            if stream.read(&mut request).unwrap_or(0) < 8 || request.starts_with(b"GET /end") {
                return;
            }
            let answer = "HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    (url, thread)
}

#[test]
fn adopting_tries_what_is_there_and_changes_nothing() {
    let site = Site::new("an-existing-password");
    let before = (site.htpasswd(), site.published());
    let ended = site.order(&["adopt", "site"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(ended.out.contains("shop/site: adopted"), "{ended:?}");
    assert_eq!((site.htpasswd(), site.published()), before);
    assert_eq!((site.phase(), site.receipts().len()), (Some(PhaseName::Adopted), 0));
    let idle = site.order(&["rotate"]);
    assert!(idle.code == 0 && idle.out.contains("adopted"), "its schedule counts from now: {idle:?}");
    let run = site.order(&["rotate", "--now"]);
    assert!(run.code == 0 && run.out.contains("proven     run 2"), "{run:?}");

    site.publish_by_hand("a-wrong-password");
    let refused = site.order(&["adopt", "site"]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.out.contains("every endpoint refuses the published secret of demo"), "{refused:?}");
    assert!(!refused.out.contains("a-wrong-password") && !refused.err.contains("a-wrong-password"));
    assert_eq!(site.phase(), Some(PhaseName::Proven));
}

#[test]
fn a_run_that_cannot_be_tested_is_aborted_or_retried() {
    let site = Site::new("the-first-password");
    let (url, door) = closed_door();
    let probe = format!("{{path: ../htpasswd, probe: \"{url}\"}}");
    let stuck = || {
        site.manifests(&[("{path: ../htpasswd}", &probe)]);
        let stuck = site.order(&["rotate", "--now"]);
        assert_eq!(stuck.code, 3, "{stuck:?}");
        assert!(stuck.out.contains("NEEDS A PERSON") && stuck.out.contains("rotator retry"), "{stuck:?}");
        assert_ne!(site.phase(), Some(PhaseName::Published));
        site.manifests(&[]);
    };
    stuck();
    assert!(!site.opens("the-first-password"), "single: the file has the new one alone");
    let adopted = site.order(&["adopt", "site"]);
    assert!(adopted.code == 1 && adopted.out.contains("refuses"), "{adopted:?}");
    let aborted = site.order(&["abort", "site"]);
    assert_eq!(aborted.code, 0, "{aborted:?}");
    assert!(aborted.out.contains("shop/site: aborted    run 1"), "{aborted:?}");
    assert!(site.opens("the-first-password"));
    assert_eq!(site.published()["password"], "the-first-password");
    let record = site.journal().unwrap();
    assert!(matches!(record.phase, Phase::Aborted { .. }) && record.current.unwrap().value.is_none());
    let again = site.order(&["abort", "site"]);
    assert!(again.code == 1 && again.out.contains("no run is under way"), "{again:?}");

    stuck();
    let retried = site.order(&["retry", "site"]);
    assert!(retried.code == 0 && retried.out.contains("proven     run 2"), "{retried:?}");
    assert!(!site.opens("the-first-password"));
    assert_eq!(site.receipts().len(), 1);
    // One more connection ends the service.
    let _ = std::net::TcpStream::connect(url.trim_start_matches("http://").trim_end_matches('/'));
    door.join().unwrap();
}

#[test]
fn an_external_consumer_is_waited_for_until_a_person_releases_it() {
    let site = Site::new("the-first-password");
    site.manifests(&[EXTERNAL]);
    let waiting = site.order(&["rotate", "--now"]);
    assert!(waiting.code == 0 && waiting.out.contains("Published  goes on at"), "{waiting:?}");
    let aborted = site.order(&["abort", "site"]);
    assert!(aborted.code == 1 && aborted.out.contains("would lock them out"), "{aborted:?}");
    let unknown = site.order(&["release", "site", "nobody"]);
    assert!(unknown.code == 1 && unknown.out.contains("legacy-batch"), "{unknown:?}");
    assert_eq!(site.phase(), Some(PhaseName::Published));
    let released = site.order(&["release", "shop/site", "legacy-batch"]);
    assert!(released.code == 0 && released.out.contains("proven     run 1"), "{released:?}");
    assert_eq!(site.receipts()[0].receipt().forced, None);
}

#[test]
fn a_forced_revocation_is_in_the_receipt_with_its_reason() {
    let site = Site::new("the-first-password");
    site.manifests(&[EXTERNAL]);
    let early = site.order(&["force-revoke", "site", "--reason", "too early"]);
    assert!(early.code == 1 && early.out.contains("there never was a run"), "{early:?}");
    assert_eq!(site.order(&["rotate", "--now"]).code, 0);
    let no_reason = site.order(&["force-revoke", "site", "--reason", " "]);
    assert!(no_reason.code == 2 && no_reason.err.contains("write a reason"), "{no_reason:?}");
    let forced = site.order(&["force-revoke", "site", "--reason", "the batch host is gone"]);
    assert!(forced.code == 0 && forced.out.contains("proven     run 1"), "{forced:?}");
    let receipts = site.receipts();
    let order = receipts[0].receipt().forced.clone().unwrap();
    assert_eq!(order.reason, "the batch host is gone");
    assert!(!order.actor.is_empty());
    assert!(!site.journal().unwrap().spread.contains_key("legacy-batch"));
}

#[test]
fn while_everything_is_frozen_nothing_starts_and_nothing_is_revoked() {
    let site = Site::new("the-first-password");
    site.manifests(&[EXTERNAL]);
    assert_eq!(site.order(&["rotate", "--now"]).code, 0);
    let frozen = site.workshop.run(&["freeze", "--config", "config", "--reason", "audit week"]);
    assert!(frozen.code == 0 && frozen.out.contains("frozen by"), "{frozen:?}");
    let forced = site.order(&["force-revoke", "site", "--reason", "now"]);
    assert!(forced.code == 1 && forced.out.contains("audit week"), "{forced:?}");
    let released = site.order(&["release", "site", "legacy-batch"]);
    assert!(released.code == 1 && released.out.contains("rotator freeze --lift"), "{released:?}");
    assert_eq!((site.phase(), site.receipts().len()), (Some(PhaseName::Spread), 0));
    let lifted = site.workshop.run(&["freeze", "--config", "config", "--lift"]);
    assert!(lifted.code == 0 && lifted.out.contains("no longer frozen by"), "{lifted:?}");
    let resumed = site.order(&["rotate", "--resume"]);
    assert!(resumed.code == 0 && resumed.out.contains("proven     run 1"), "{resumed:?}");

    let file = site.htpasswd();
    assert_eq!(site.workshop.run(&["freeze", "--config", "config"]).code, 0);
    let started = site.order(&["rotate", "--now"]);
    assert!(started.code == 1 && started.out.contains("frozen by"), "{started:?}");
    assert_eq!(site.htpasswd(), file);
}

#[test]
fn a_path_that_was_overwritten_gets_back_what_the_server_accepts() {
    let site = Site::new("the-first-password");
    assert_eq!(site.order(&["rotate", "--now"]).code, 0);
    let right = site.published()["password"].as_str().unwrap().to_owned();
    site.publish_by_hand("written-by-mistake");
    let stopped = site.order(&["rotate", "--now"]);
    assert!(stopped.code == 3 && stopped.out.contains("rotator reconcile"), "{stopped:?}");
    let reconciled = site.order(&["reconcile", "site"]);
    assert_eq!(reconciled.code, 0, "{reconciled:?}");
    assert_eq!(site.published()["password"], right.as_str());
    let run = site.order(&["rotate", "--now"]);
    assert!(run.code == 0 && run.out.contains("proven     run 3"), "{run:?}");
    let agrees = site.order(&["reconcile", "site"]);
    assert!(agrees.code == 0 && agrees.out.contains("proven     run 3"), "{agrees:?}");
}

#[test]
fn status_says_where_a_credential_stands_and_changes_nothing() {
    let site = Site::new("the-first-password");
    site.manifests(&[EXTERNAL]);
    let status = |more: &[&str]| {
        site.workshop.run(
            &["status", "--config", "config"].into_iter().chain(more.iter().copied()).collect::<Vec<_>>(),
        )
    };
    let before = status(&[]);
    assert!(before.code == 0 && before.out.contains("never ran") && before.out.contains("due"), "{before:?}");
    assert!(site.journal().is_none() && !site.path("out").exists());

    assert_eq!(site.order(&["rotate", "--now"]).code, 0);
    let epoch = site.journal().unwrap().epoch;
    let waiting = status(&[]);
    assert!(waiting.code == 0 && waiting.out.contains("1 of 2 consumers moved"), "{waiting:?}");
    assert!(waiting.out.contains("next: `rotator release shop/site legacy-batch`"), "{waiting:?}");
    let json: serde_json::Value = serde_json::from_str(&status(&["--format", "json"]).out).unwrap();
    let line = &json["rotations"][0];
    assert_eq!(
        (&json["version"], &line["phase"], &line["revision"]),
        (&1.into(), &"Published".into(), &1.into())
    );
    assert_eq!(line["consumers"][0]["name"], "shop/site");
    assert!(
        line["consumers"][0]["movedAt"].is_string() && line["consumers"][1]["movedAt"].is_null(),
        "{line}"
    );
    assert_eq!(site.journal().unwrap().epoch, epoch, "nobody took the journal");

    assert_eq!(site.order(&["release", "site", "legacy-batch"]).code, 0);
    site.publish_by_hand("written-by-mistake");
    assert_eq!(site.order(&["rotate", "--now"]).code, 3);
    let password = site.published()["password"].as_str().unwrap().to_owned();
    let stopped = status(&[]);
    assert!(stopped.code == 3 && stopped.out.contains("NEEDS A PERSON"), "{stopped:?}");
    assert!(stopped.out.contains("next: `rotator reconcile shop/site`"), "{stopped:?}");
    let unknown = status(&["nobody"]);
    assert!(unknown.code == 2 && unknown.err.contains("there is no such Rotation"), "{unknown:?}");
    for shown in [status(&[]), status(&["--format", "json"])] {
        assert!(!shown.out.contains(&password) && !shown.out.contains("the-first-password"), "{shown:?}");
    }
}

#[test]
fn a_plan_says_what_is_done_and_is_refused_once_its_ground_has_moved() {
    let site = Site::new("the-first-password");
    let plan = |more: &[&str]| {
        let words = ["plan", "--config", "config"].into_iter().chain(more.iter().copied());
        site.workshop.run(&words.collect::<Vec<_>>())
    };
    let first = plan(&["--out", "plan.json"]);
    assert!(first.code == 0 && first.out.contains("shop/site: START"), "{first:?}");
    assert!(first.out.contains("1 to start, 0 to go on"), "{first:?}");
    assert!(site.journal().is_none() && site.opens("the-first-password"), "nothing was done");
    let text = std::fs::read_to_string(site.path("plan.json")).unwrap();
    for shown in [&text, &first.out] {
        assert!(shown.contains("demo:$2b$…") && shown.contains("shop/site"), "{shown}");
        assert!(!shown.contains("the-first-password"), "{shown}");
    }

    site.manifests(&[EXTERNAL]);
    let changed = site.order(&["apply", "plan.json"]);
    assert!(changed.code == 1 && changed.err.contains("its manifests were changed"), "{changed:?}");
    site.manifests(&[]);
    let provider = site.provider();
    let note = r#"{"username":"demo","password":"the-first-password","note":"changed"}"#;
    let written = provider.write("shop/site", Secret::from_string(note.into()), None);
    site.runtime().block_on(written).unwrap();
    let rewritten = site.order(&["apply", "plan.json"]);
    assert!(rewritten.code == 1 && rewritten.err.contains("its path was written"), "{rewritten:?}");
    assert!(site.journal().is_none() && site.opens("the-first-password"), "nothing was done");

    assert_eq!(plan(&["--out", "plan.json"]).code, 0);
    let applied = site.order(&["apply", "plan.json"]);
    assert!(applied.code == 0 && applied.out.contains("proven     run 1"), "{applied:?}");
    let again = site.order(&["apply", "plan.json"]);
    assert!(again.code == 1 && again.err.contains("its journal went on"), "{again:?}");
    let idle = plan(&["--out", "plan.json"]);
    assert!(idle.out.contains("shop/site: - (not due)"), "{idle:?}");
    let nothing = site.order(&["apply", "plan.json"]);
    assert!(nothing.code == 0 && nothing.out.contains("nothing to do"), "{nothing:?}");
    assert_eq!(site.receipts().len(), 1);
    site.workshop.write("plan.json", "{}");
    let none = site.order(&["apply", "plan.json"]);
    assert!(none.code == 2 && none.err.contains("this is no plan"), "{none:?}");
}

#[test]
fn one_of_two_that_stay_leads_and_both_end_when_they_are_told() {
    use crate::cluster::wait_until;
    use std::io::Read as _;
    use std::process::{Child, Stdio};
    let site = Site::new("the-first-password");
    let start = || -> Child {
        let words: Vec<&str> = ["run", "--interval", "1s"].into_iter().chain(DRIVE).collect();
        site.workshop.rotator(&words).stdout(Stdio::piped()).spawn().unwrap()
    };
    let end = |mut child: Child| -> String {
        let id = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
        assert!(child.wait().unwrap().success());
        let mut said = String::new();
        child.stdout.take().unwrap().read_to_string(&mut said).unwrap();
        said
    };
    let first = start();
    wait_until("it has rotated what never ran", || site.phase() == Some(PhaseName::Proven));
    let lead = || {
        let read = site.runtime().block_on(site.provider().read(&Key::latest("keyturn/leader"))).unwrap();
        let stored: serde_json::Value = read.json().expose(|bytes| serde_json::from_slice(bytes)).unwrap();
        stored["holder"].as_str().unwrap().to_owned()
    };
    let leader = lead();
    let second = start();
    // A file that it syncs again shows that the first one still works while the second one waits.
    let secret = std::fs::read_dir(site.path("out")).unwrap().next().unwrap().unwrap().path();
    std::fs::remove_file(&secret).unwrap();
    wait_until("the Secret is there again", || secret.exists());
    assert_eq!(lead(), leader);
    let said = end(first);
    assert!(said.contains("proven     run 1") && said.ends_with("stopped\n"), "{said}");
    wait_until("the second one leads", || lead() != leader);
    let said = end(second);
    assert!(said.ends_with("stopped\n"), "{said}");
    assert_eq!(site.receipts().len(), 1);
}

#[test]
fn a_journal_that_was_edited_by_hand_stops_the_run_and_is_not_quoted() {
    let site = Site::new("the-first-password");
    site.manifests(&[EXTERNAL]);
    let begun = site.order(&["rotate", "--now"]);
    assert!(begun.code == 0 && begun.out.contains("Published"), "{begun:?}");
    let key = "keyturn/journal/shop/site";
    let document = site.runtime().block_on(site.provider().read(&Key::latest(key))).unwrap();
    let good = document.json().expose(<[u8]>::to_vec);
    let before = (site.htpasswd(), site.published());
    let edits: [(&str, &str, &str); 3] = [
        ("\"Published\"", "\"Done\"", "the journal is not a record of this program"),
        ("\"revision\":1", "\"revision\":0", "the journal contradicts itself"),
        ("\"version\":1,", "\"version\":9,", "the journal has version 9"),
    ];
    for (from, to, said) in edits {
        let text = String::from_utf8(good.clone()).unwrap();
        assert!(text.contains(from), "{from}");
        let edited = Secret::from_string(text.replacen(from, to, 1));
        // Nobody writes there blindly, by hand neither.
        let last =
            |site: &Site| site.runtime().block_on(site.provider().metadata(key)).unwrap().current_version;
        assert!(site.runtime().block_on(site.provider().write(key, edited.duplicate(), None)).is_err());
        site.runtime().block_on(site.provider().write(key, edited, Some(last(&site)))).unwrap();
        let ended = site.order(&["rotate", "--resume"]);
        assert!(ended.code == 3 && ended.out.contains(said), "{ended:?}");
        assert!(ended.out.contains("put back an earlier version of the journal"), "{ended:?}");
        for part in [before.1["password"].as_str().unwrap(), "dGhlLWZpcnN0LXBhc3N3b3Jk"] {
            assert!(!ended.out.contains(part) && !ended.err.contains(part));
        }
        assert_eq!((site.htpasswd(), site.published()), before, "nothing was done");
    }
    let last = site.runtime().block_on(site.provider().metadata(key)).unwrap().current_version;
    site.runtime().block_on(site.provider().write(key, Secret::new(good), Some(last))).unwrap();
    let released = site.order(&["release", "site", "legacy-batch"]);
    assert!(released.code == 0 && released.out.contains("proven"), "{released:?}");
}
