//! The program under test and the servers it becomes. Whatever a test starts is stopped when the test ends,
//! passed or failed; everything is on loopback.

use std::io::Read;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use crate::ports;

/// How long a server may take to begin, on a machine that is busy with other tests.
const READY_SECONDS_MAX: u64 = 60;
const POLL_MILLISECONDS: u64 = 20;

/// The `farside` program, built from this tree. `cargo xtask test` builds it first and names it in
/// `FARSIDE_PROGRAM`.
pub fn farside() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| match std::env::var_os("FARSIDE_PROGRAM") {
        Some(path) => PathBuf::from(path),
        None => {
            let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
            let mut build = Command::new(cargo);
            build.args(["build", "--quiet", "--package", "farside"]).current_dir(workspace());
            assert!(build.status().expect("cargo can be started").success(), "farside does not build");
            target().join("farside")
        }
    })
}

/// A `farside` command, ready for more arguments, that cannot wait for a keyboard.
pub fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(farside());
    command.args(arguments).stdin(Stdio::null()).env("NO_COLOR", "1").env_remove("FARSIDE_LOG");
    command
}

/// What a finished command left behind.
#[derive(Debug)]
pub struct Finished {
    /// The whole command line, for messages.
    pub line: String,
    /// The exit code; -1 when a signal ended it.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Finished {
    /// Standard output as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("not JSON ({error}): {self:#?}"))
    }

    /// Panics with everything said unless the exit code is the expected one.
    #[track_caller]
    pub fn expect_code(self, code: i32) -> Finished {
        assert_eq!(self.code, code, "{self:#?}");
        self
    }
}

/// Runs a command to its end.
pub fn run(mut command: Command) -> Finished {
    let line = format!("{command:?}");
    let output = command.output().unwrap_or_else(|error| panic!("{line}: {error}"));
    Finished {
        line,
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Runs `farside` in a folder and demands success.
#[track_caller]
pub fn farside_in(folder: &Path, arguments: &[&str]) -> Finished {
    let mut farside = command(arguments);
    farside.current_dir(folder);
    run(farside).expect_code(0)
}

/// A server, killed when dropped.
pub struct Server {
    child: Child,
    log: PathBuf,
    _folder: tempfile::TempDir,
}

impl Server {
    /// Starts it; what it says goes into a file that failing tests show.
    pub fn start(mut command: Command) -> Server {
        let folder = tempfile::tempdir().expect("a folder for the server's words");
        let log = folder.path().join("log");
        let file = std::fs::File::create(&log).expect("the log can be made");
        command.stdin(Stdio::null()).stdout(file.try_clone().expect("second handle")).stderr(file);
        let child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        Server { child, log, _folder: folder }
    }

    /// Waits until `ready` says so; panics with the server's words if it ends first or takes too long.
    #[track_caller]
    pub fn wait_until(&mut self, what: &str, mut ready: impl FnMut() -> bool) -> &mut Server {
        let deadline = Instant::now() + Duration::from_secs(READY_SECONDS_MAX);
        while !ready() {
            let ended = self.child.try_wait().expect("the server can be asked");
            assert!(ended.is_none(), "the server ended ({ended:?}) before {what}:\n{}", self.words());
            assert!(Instant::now() < deadline, "still waiting for {what}:\n{}", self.words());
            std::thread::sleep(Duration::from_millis(POLL_MILLISECONDS));
        }
        self
    }

    /// Waits until an address takes connections.
    #[track_caller]
    pub fn wait_for(&mut self, address: SocketAddr) -> &mut Server {
        self.wait_until("its port opens", || std::net::TcpStream::connect(address).is_ok())
    }

    /// Waits until it has said something.
    #[track_caller]
    pub fn wait_for_words(&mut self, said: &str) -> &mut Server {
        let log = self.log.clone();
        self.wait_until(said, || std::fs::read_to_string(&log).is_ok_and(|words| words.contains(said)))
    }

    /// Everything it has said so far.
    pub fn words(&self) -> String {
        let mut words = String::new();
        let file = std::fs::File::open(&self.log);
        file.and_then(|mut file| file.read_to_string(&mut words)).expect("the log can be read");
        words
    }

    /// The process's number.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Asks it to end (SIGTERM) and waits.
    #[track_caller]
    pub fn stop(mut self) -> ExitStatus {
        let id = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(id, rustix::process::Signal::TERM).expect("the server can be told");
        let mut ended = None;
        let deadline = Instant::now() + Duration::from_secs(READY_SECONDS_MAX);
        while ended.is_none() {
            assert!(Instant::now() < deadline, "it does not stop:\n{}", self.words());
            std::thread::sleep(Duration::from_millis(POLL_MILLISECONDS));
            ended = self.child.try_wait().expect("the server can be asked");
        }
        ended.expect("it ended")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- the server said:\n{}", self.words());
        }
    }
}

/// A loopback address that nobody listens on, and that this process is not given again.
pub fn free_address() -> SocketAddr {
    ports::free_address()
}

/// A folder that goes away with its value: in memory where the system has such folders, for programs that
/// sync much and need no real disk.
pub fn scratch() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let folder = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    folder.expect("a scratch folder")
}

/// The root of the workspace.
pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("system-tests lies in the workspace")
}

/// Where cargo put this test program's profile: `target/debug` or `target/release`.
fn target() -> PathBuf {
    let test = std::env::current_exe().expect("a test knows itself");
    test.ancestors().nth(2).expect("tests lie in target/<profile>/deps").to_owned()
}
