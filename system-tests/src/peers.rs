//! Programs of others beside ours, as `cargo xtask test` installs them: an Envoy, Python with the packages of
//! `tests/python/requirements.txt`, Node with `jose`. Each ends with the test that started it.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use crate::programs::{Server, workspace};

/// A program of our Python environment.
pub fn python(program: &str) -> PathBuf {
    let path = workspace().join("system-tests/tests/python/.venv/bin").join(program);
    assert!(path.exists(), "{} is not there: `cargo xtask peers` installs it", path.display());
    path
}

/// A server of Debian's, where Debian puts servers.
pub fn server(name: &str) -> PathBuf {
    let path = Path::new("/usr/sbin").join(name);
    assert!(path.exists(), "{name} is not installed: `cargo xtask peers` does it");
    path
}

/// A file of `deploy/`, with what an operator would change changed: each place stands in it exactly once.
pub fn deployed(file: &str, changes: &[(&str, String)]) -> String {
    let path = workspace().join("deploy").join(file);
    let mut text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{file}: {error}"));
    for (place, here) in changes {
        assert_eq!(text.matches(place).count(), 1, "{place} stands once in deploy/{file}");
        text = text.replace(place, here);
    }
    text
}

/// Envoy with this configuration, in one process, until it listens at `address`.
pub fn envoy(folder: &Path, configuration: &str, address: SocketAddr) -> Server {
    let file = folder.join("envoy.yaml");
    std::fs::write(&file, configuration).expect("the configuration can be written");
    let mut command = Command::new(python("envoy"));
    command.arg("-c").arg(file).args(["--concurrency", "1", "--disable-hot-restart", "-l", "warning"]);
    let mut server = Server::start(command);
    server.wait_for(address);
    server
}

/// A script that answers each line with a line; ended when dropped.
pub struct Oracle {
    child: Child,
    questions: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Oracle {
    /// `tests/python/peer.py` with these arguments.
    pub fn python(arguments: &[&str]) -> Oracle {
        let mut command = Command::new(python("python"));
        command.arg(workspace().join("system-tests/tests/python/peer.py")).args(arguments);
        Oracle::start(command)
    }

    /// A script beside `tests/jose/package.json`.
    pub fn node(script: &str, arguments: &[&str]) -> Oracle {
        let folder = workspace().join("system-tests/tests/jose");
        assert!(folder.join("node_modules/jose").is_dir(), "npm `jose`: `cargo xtask peers` installs it");
        let mut command = Command::new("node");
        command.arg(script).args(arguments).current_dir(folder);
        Oracle::start(command)
    }

    fn start(mut command: Command) -> Oracle {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let questions = child.stdin.take();
        let answers = BufReader::new(child.stdout.take().expect("a piped stdout"));
        Oracle { child, questions, answers }
    }

    /// One question, one answer.
    #[track_caller]
    pub fn ask(&mut self, question: &str) -> String {
        let questions = self.questions.as_mut().expect("open until dropped");
        writeln!(questions, "{question}").expect("it reads");
        let mut answer = String::new();
        self.answers.read_line(&mut answer).expect("it answers");
        answer.trim_end().to_owned()
    }
}

impl Drop for Oracle {
    fn drop(&mut self) {
        drop(self.questions.take());
        let _ = self.child.wait();
    }
}
