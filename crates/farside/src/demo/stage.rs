//! Where the story plays: one folder that holds both sides, the commands that are run in it (this very
//! program, as an operator would start it), and the servers, which are stopped however the story ends.

use std::fs;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use farside_service::cli::{Failure, OrFailure};
use farside_service::durable::{self, Mode};
use farside_service::web::Shutdown;
use rustix::process::{Pid, Signal};
use serde_json::Value;

use super::story::Story;

/// How long a server may take to listen.
const READY_SECONDS_MAX: u64 = 20;
/// How long it may take to end.
const END_SECONDS_MAX: u64 = 5;
const POLL_MILLISECONDS: u64 = 10;

/// The stage and its narrator.
pub(crate) struct Stage {
    folder: PathBuf,
    program: PathBuf,
    /// The narrator.
    pub(crate) story: Story,
    servers: Vec<(String, Child)>,
    removed_at_end: bool,
}

/// What a command said, whatever its exit code.
pub(crate) struct Said {
    /// The exit code; -1 when a signal ended it.
    pub(crate) code: i32,
    /// Standard output.
    pub(crate) stdout: String,
    /// Standard error.
    pub(crate) stderr: String,
}

impl Said {
    /// Standard output as JSON.
    pub(crate) fn json(&self) -> Result<Value, Failure> {
        serde_json::from_str(&self.stdout).or_could_not(|| format!("read as JSON: {}", self.stdout))
    }
}

impl Stage {
    /// In a folder that is kept, which must not exist yet or be empty, or in one that goes with the story.
    pub(crate) fn set(kept: Option<&Path>) -> Result<Stage, Failure> {
        let folder = match kept {
            Some(folder) => empty_folder(folder)?,
            None => fresh_folder()?,
        };
        let folder = folder.canonicalize().or_could_not(|| format!("find {}", folder.display()))?;
        let program = std::env::current_exe().or_could_not(|| "find this program".into())?;
        let removed_at_end = kept.is_none();
        Ok(Stage { folder, program, story: Story::new(), servers: Vec::new(), removed_at_end })
    }

    /// A new step of the story.
    pub(crate) fn step(&mut self, sentence: &str) {
        self.story.step(sentence);
    }

    /// A path on the stage.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Makes a folder on the stage.
    pub(crate) fn make_folder(&self, name: &str) -> Result<(), Failure> {
        let path = self.path(name);
        fs::create_dir_all(&path).or_could_not(|| format!("make {}", path.display()))
    }

    /// Puts a file on the stage, as a person would with an editor.
    pub(crate) fn put(&self, name: &str, bytes: impl AsRef<[u8]>) -> Result<(), Failure> {
        let path = self.path(name);
        fs::write(&path, bytes).or_could_not(|| format!("write {}", path.display()))
    }

    /// Puts a file that only its owner may read.
    pub(crate) fn put_secret(&self, name: &str, text: &str) -> Result<(), Failure> {
        Ok(durable::write(&self.path(name), text.as_bytes(), Mode::Private)?)
    }

    /// Reads a file of the stage.
    pub(crate) fn get(&self, name: &str) -> Result<Vec<u8>, Failure> {
        let path = self.path(name);
        fs::read(&path).or_could_not(|| format!("read {}", path.display()))
    }

    /// Reads a file of the stage as text, without the line end.
    pub(crate) fn text(&self, name: &str) -> Result<String, Failure> {
        let bytes = self.get(name)?;
        let text = String::from_utf8(bytes).or_could_not(|| format!("read {name} as text"))?;
        Ok(text.trim_end().to_owned())
    }

    /// Shows a command, runs it, shows what it answered, and stops the story if it fails.
    pub(crate) fn farside(&mut self, line: &str) -> Result<Said, Failure> {
        let said = self.quietly(line)?;
        self.story.answer(&said.stdout);
        Ok(said)
    }

    /// The same, without showing the answer.
    pub(crate) fn quietly(&mut self, line: &str) -> Result<Said, Failure> {
        self.story.command(&format!("farside {line}"));
        let said = self.attempt(line)?;
        match said.code {
            0 => Ok(said),
            _ => Err(Failure::could_not(format!("`farside {line}` failed: {}{}", said.stdout, said.stderr))),
        }
    }

    /// Shows nothing and allows failure: for what the story itself judges.
    pub(crate) fn attempt(&self, line: &str) -> Result<Said, Failure> {
        let output = self.command(line).output().or_could_not(|| format!("run `farside {line}`"))?;
        Ok(Said {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    /// Starts a server, and waits until it listens.
    pub(crate) fn serve(&mut self, line: &str, address: SocketAddr) -> Result<(), Failure> {
        self.story.command(&format!("farside {line} &"));
        let name: Vec<&str> = line.split(' ').take(2).collect();
        let log = self.path(&format!("{}.log", name.join("-")));
        let file = fs::File::create(&log).or_could_not(|| format!("write {}", log.display()))?;
        let second = file.try_clone().or_could_not(|| format!("write {}", log.display()))?;
        let mut command = self.command(line);
        let child = command.stdout(file).stderr(second).spawn();
        self.servers.push((line.to_owned(), child.or_could_not(|| format!("start `farside {line}`"))?));
        self.wait_for(address, &log)
    }

    fn wait_for(&mut self, address: SocketAddr, log: &Path) -> Result<(), Failure> {
        let deadline = Instant::now() + Duration::from_secs(READY_SECONDS_MAX);
        while TcpStream::connect(address).is_err() {
            let ended =
                self.servers.last_mut().is_some_and(|(_, child)| !matches!(child.try_wait(), Ok(None)));
            if ended || Instant::now() > deadline {
                let words = fs::read_to_string(log).unwrap_or_default();
                return Err(Failure::could_not(format!("no server came up at {address}: {words}")));
            }
            std::thread::sleep(Duration::from_millis(POLL_MILLISECONDS));
        }
        Ok(())
    }

    /// Words are parted at spaces; the story's file names have none. Double quotes hold words together.
    fn command(&self, line: &str) -> Command {
        let mut command = Command::new(&self.program);
        let quoted = line.split('"').enumerate();
        for (index, part) in quoted {
            match index % 2 {
                0 => command.args(part.split_whitespace()),
                _ => command.arg(part),
            };
        }
        command.current_dir(&self.folder).stdin(Stdio::null()).env("NO_COLOR", "1");
        command
    }

    /// Waits until somebody interrupts or ends this program.
    pub(crate) fn wait(&self) -> Result<(), Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.or_could_not(|| "wait for an end".into())?;
        runtime.block_on(async {
            Shutdown::on_signals().or_could_not(|| "wait for an end".into())?.wait().await;
            Ok(())
        })
    }

    /// The stage's folder.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        for (_, child) in &mut self.servers {
            end(child);
        }
        if self.removed_at_end
            && let Err(error) = fs::remove_dir_all(&self.folder)
        {
            self.story.tell(&format!("{} could not be removed: {error}", self.folder.display()));
        }
    }
}

/// Asks a server to end as its operator would, and insists after a while.
fn end(child: &mut Child) {
    // One that has ended already can neither be asked nor needs to be.
    let _ = rustix::process::kill_process(Pid::from_child(child), Signal::TERM);
    let deadline = Instant::now() + Duration::from_secs(END_SECONDS_MAX);
    while matches!(child.try_wait(), Ok(None)) && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(POLL_MILLISECONDS));
    }
    drop(child.kill());
    drop(child.wait());
}

/// A loopback address that nobody uses just now.
pub(crate) fn free_address() -> Result<SocketAddr, Failure> {
    let address = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    address.or_could_not(|| "find a free port on 127.0.0.1".into())
}

fn empty_folder(folder: &Path) -> Result<PathBuf, Failure> {
    fs::create_dir_all(folder).or_could_not(|| format!("make {}", folder.display()))?;
    let mut entries = fs::read_dir(folder).or_could_not(|| format!("list {}", folder.display()))?;
    match entries.next() {
        None => Ok(folder.to_owned()),
        Some(_) => Err(Failure::could_not(format!("{} is not empty", folder.display()))
            .hint("name a folder that does not exist yet; both sides' keys will lie in it")),
    }
}

fn fresh_folder() -> Result<PathBuf, Failure> {
    let name: [u8; 8] = farside_service::random::bytes().or_could_not(|| "name a folder".into())?;
    let folder = std::env::temp_dir().join(format!("farside-demo-{}", farside_service::digest::hex(&name)));
    match fs::create_dir(&folder) {
        Ok(()) => Ok(folder),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => fresh_folder(),
        Err(error) => Err(Failure::could_not(format!("make {}: {error}", folder.display()))),
    }
}
