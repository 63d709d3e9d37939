//! The program, stopped at a point between two effects: see `rotation::failpoint`.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::workshop::{Ended, Workshop};

/// Far more than any test takes; a program that hangs must not hang the tests.
const LIMIT: Duration = Duration::from_secs(180);

/// A run of the program that can be stopped.
pub struct Running {
    child: Child,
    errors: Arc<Mutex<String>>,
    reader: std::thread::JoinHandle<()>,
}

impl Running {
    /// Starts the program; it stops at the point of this name, or of this number.
    pub fn start(workshop: &Workshop, arguments: &[&str], point: &str) -> Self {
        let mut command = workshop.rotator(arguments);
        command.env("KEYTURN_STOP_AT", point).stdin(Stdio::null());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let errors = Arc::new(Mutex::new(String::new()));
        let (stream, text) = (child.stderr.take().unwrap(), Arc::clone(&errors));
        let reader = std::thread::spawn(move || {
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                let mut text = text.lock().unwrap();
                text.push_str(&line);
                text.push('\n');
            }
        });
        Self { child, errors, reader }
    }

    /// What it has written to standard error.
    pub fn errors(&self) -> String {
        self.errors.lock().unwrap().clone()
    }

    /// Waits until it stands at its point or has ended.
    pub fn reach(mut self) -> Result<Self, Ended> {
        let start = Instant::now();
        loop {
            if self.child.try_wait().unwrap().is_some() {
                return Err(self.end());
            }
            if self.is_stopped() {
                return Ok(self);
            }
            assert!(start.elapsed() < LIMIT, "it hangs: {}", self.errors());
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn is_stopped(&self) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T'))
    }

    fn signal(&self, signal: Signal) {
        let id = Pid::from_raw(self.child.id().cast_signed()).unwrap();
        kill_process(id, signal).unwrap();
    }

    /// Lets it go on.
    pub fn go_on(&self) {
        self.signal(Signal::CONT);
    }

    /// Waits until its standard error says this, or it ends.
    pub fn wait_for(&mut self, text: &str) {
        let start = Instant::now();
        while !self.errors().contains(text) && self.child.try_wait().unwrap().is_none() {
            assert!(start.elapsed() < LIMIT, "it never says `{text}`: {}", self.errors());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Kills it where it stands. Returns the names of the points that it had come to.
    pub fn kill(mut self) -> Vec<String> {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.reader.join().unwrap();
        points(&self.errors.lock().unwrap())
    }

    /// Waits for its end.
    pub fn end(mut self) -> Ended {
        let mut out = String::new();
        self.child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
        let status = self.child.wait().unwrap();
        self.reader.join().unwrap();
        let err = self.errors.lock().unwrap().clone();
        Ended { code: status.code().unwrap_or(-1), out, err }
    }
}

/// The names of points in what the program wrote.
pub fn points(errors: &str) -> Vec<String> {
    let lines = errors.lines().filter_map(|line| line.strip_prefix("point "));
    lines.filter_map(|line| Some(line.split_once(": ")?.1.to_owned())).collect()
}
