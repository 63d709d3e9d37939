//! A server process that never outlives its test.
//!
//! Three things see to that. `Drop` kills the whole process group, also while a failed test unwinds. `setpriv
//! --pdeathsig` has the kernel kill the server when the test process dies without dropping anything. And because
//! that signal comes when the *thread* that started the server ends, all servers are started by one thread that
//! lives as long as the process: a fixture may be made in one test and kept in a static for others.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{LazyLock, mpsc};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

/// Between two looks at a server that starts or stops.
const PAUSE: Duration = Duration::from_millis(20);
/// What a server gets to end in good order, before it is killed.
const GOODBYE: Duration = Duration::from_secs(5);
/// As much of a log as helps.
const LOG_SHOWN_BYTES: u64 = 6_000;

/// How to start a server: kept, so that it can be started again.
#[derive(Clone)]
pub struct Launch {
    /// What messages call it.
    pub name: &'static str,
    /// The program.
    pub program: PathBuf,
    /// Its arguments; never a secret, every user of the machine can read them.
    pub arguments: Vec<String>,
    /// Its environment; of ours it gets PATH alone.
    pub environment: Vec<(String, String)>,
    /// Its working folder and HOME, where its log goes too.
    pub folder: PathBuf,
    /// User and group to run as, for servers that refuse to run as root.
    pub user: Option<(u32, u32)>,
    /// Sent before the kill, to servers that leave something behind (shared memory, children) if just killed;
    /// one that makes the server end at once, as in a crash.
    pub goodbye: Option<Signal>,
}

/// A running server.
pub struct Server {
    launch: Launch,
    child: Child,
    log: PathBuf,
}

impl Server {
    /// Starts the process. It is not ready yet: see [`Server::wait_until`].
    pub fn start(launch: Launch) -> Self {
        let log = launch.folder.join(format!("{}.log", launch.name));
        let output = OpenOptions::new().create(true).append(true).open(&log).expect("open a server's log");
        let child = spawn(launch.command(output));
        Self { launch, child, log }
    }

    /// Waits until `ready` says so.
    ///
    /// # Panics
    /// When the server ends before, or is not ready within `limit`; the message has the end of its log.
    pub fn wait_until(&mut self, limit: Duration, mut ready: impl FnMut() -> bool) {
        let start = Instant::now();
        while !ready() {
            let ended = self.child.try_wait().expect("look at a server");
            let why = match ended {
                Some(status) => format!("ended with {status}"),
                None if start.elapsed() > limit => format!("was not ready after {limit:?}"),
                None => {
                    std::thread::sleep(PAUSE);
                    continue;
                }
            };
            panic!("{} {why}; the end of {}:\n{}", self.launch.name, self.log.display(), end_of(&self.log));
        }
    }

    /// Its process id, which is its process group's too.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its log (standard output and error).
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Kills it, as a crash would, and starts it again with the same arguments, ports and folder.
    pub fn restart(&mut self) {
        self.kill();
        let output = OpenOptions::new().append(true).open(&self.log).expect("open a server's log");
        self.child = spawn(self.launch.command(output));
    }

    /// Kills it and its children. Again is no error.
    pub fn kill(&mut self) {
        // A reaped server's number may belong to somebody else by now.
        if !matches!(self.child.try_wait(), Ok(None)) {
            return;
        }
        if let Some(goodbye) = self.launch.goodbye {
            self.resume();
            self.signal(goodbye);
            let start = Instant::now();
            while start.elapsed() < GOODBYE && matches!(self.child.try_wait(), Ok(None)) {
                std::thread::sleep(PAUSE);
            }
        }
        self.signal(Signal::KILL);
        let _ = self.child.wait();
    }

    /// Stops it where it stands: connections are accepted by the kernel, and nobody answers.
    pub fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets it go on.
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            // Fails only when the group is gone already.
            let _ = kill_process_group(group, signal);
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Launch {
    /// Runs a program that ends by itself.
    ///
    /// # Panics
    /// When it fails; the message has its output.
    #[track_caller]
    pub fn run(&self) {
        let log = self.folder.join(format!("{}.log", self.name));
        let output = File::create(&log).expect("make a program's log");
        let status = self.command(output).status().expect("start a program through setpriv (util-linux)");
        assert!(status.success(), "{} ended with {status}:\n{}", self.name, end_of(&log));
    }

    fn command(&self, output: File) -> Command {
        let mut command = Command::new("setpriv");
        if let Some((user, group)) = self.user {
            // A change of user clears the signal set before it, hence a second setpriv.
            let ids = [format!("--reuid={user}"), format!("--regid={group}"), "--clear-groups".to_owned()];
            command.args(ids).arg("setpriv");
        }
        command.args(["--pdeathsig", "KILL"]).arg(&self.program).args(&self.arguments);
        command.env_clear().envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
        command.env("HOME", &self.folder).env("TMPDIR", &self.folder);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.current_dir(&self.folder).stdin(Stdio::null());
        command.stderr(output.try_clone().expect("share a server's log")).stdout(output);
        // A group of its own: a kill reaches its children, and Ctrl-C in a terminal does not reach it.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        command
    }
}

/// Spawns from the thread that outlives every test (see the module's text).
fn spawn(command: Command) -> Child {
    type Order = (Command, mpsc::Sender<std::io::Result<Child>>);
    static SPAWNER: LazyLock<mpsc::Sender<Order>> = LazyLock::new(|| {
        let (sender, orders) = mpsc::channel::<Order>();
        std::thread::spawn(move || {
            for (mut command, answer) in orders {
                let _ = answer.send(command.spawn());
            }
        });
        sender
    });
    let (answer, child) = mpsc::channel();
    SPAWNER.send((command, answer)).expect("the thread that starts servers");
    child
        .recv()
        .expect("the thread that starts servers")
        .expect("start a server through setpriv (util-linux)")
}

fn end_of(log: &Path) -> String {
    let mut text = Vec::new();
    if let Ok(mut file) = File::open(log) {
        let length = file.metadata().map_or(0, |found| found.len());
        let _ = file.seek(SeekFrom::Start(length.saturating_sub(LOG_SHOWN_BYTES)));
        let _ = file.read_to_end(&mut text);
    }
    String::from_utf8_lossy(&text).into_owned()
}
