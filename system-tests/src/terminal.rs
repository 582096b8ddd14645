//! A person at a terminal: a command run under a real pseudo-terminal (util-linux `script`), whose
//! questions are waited for and answered one by one.

use std::io::{Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// How long a question may take to come, on a machine that is busy with other tests.
const QUESTION_SECONDS_MAX: u64 = 60;

/// The terminal; what runs in it is killed when it is dropped.
pub struct Terminal {
    child: Child,
    keyboard: Option<ChildStdin>,
    screen: Receiver<Vec<u8>>,
    shown: String,
    read: usize,
}

impl Terminal {
    /// Runs a command in a terminal of its own. Words are quoted for the shell that `script` starts.
    pub fn start(command: &Command) -> Terminal {
        let quoted = |word: &std::ffi::OsStr| format!("'{}'", word.to_string_lossy().replace('\'', r"'\''"));
        let words: Vec<String> =
            std::iter::once(command.get_program()).chain(command.get_args()).map(quoted).collect();
        let mut script = Command::new("script");
        script.args(["--quiet", "--return", "--flush", "--command", &words.join(" "), "/dev/null"]);
        script.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        if let Some(folder) = command.get_current_dir() {
            script.current_dir(folder);
        }
        script.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = script.spawn().expect("script can be started: apt-get install bsdutils");
        let keyboard = child.stdin.take();
        let mut output = child.stdout.take().expect("a screen");
        let (shows, screen) = channel();
        std::thread::spawn(move || {
            let mut chunk = [0; 4096];
            while let Ok(read @ 1..) = output.read(&mut chunk) {
                if shows.send(chunk[..read].to_vec()).is_err() {
                    return;
                }
            }
        });
        Terminal { child, keyboard, screen, shown: String::new(), read: 0 }
    }

    /// Waits until these words stand on the screen, after those waited for before.
    #[track_caller]
    pub fn expect(&mut self, words: &str) -> &mut Terminal {
        let deadline = Instant::now() + Duration::from_secs(QUESTION_SECONDS_MAX);
        loop {
            if let Some(place) = self.shown[self.read..].find(words) {
                self.read += place + words.len();
                return self;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            match self.screen.recv_timeout(left) {
                Ok(chunk) => self.shown.push_str(&String::from_utf8_lossy(&chunk)),
                Err(fault) => panic!("never {words:?} ({fault}); on the screen:\n{}", self.shown),
            }
        }
    }

    /// Types a line.
    pub fn answer(&mut self, line: &str) -> &mut Terminal {
        let keyboard = self.keyboard.as_mut().expect("a keyboard");
        keyboard.write_all(format!("{line}\n").as_bytes()).and_then(|()| keyboard.flush()).expect("typed");
        self
    }

    /// All that has stood on the screen so far.
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// Waits for the command's end: its exit code, and all that stood on the screen.
    pub fn end(mut self) -> (i32, String) {
        while let Ok(chunk) = self.screen.recv_timeout(Duration::from_secs(QUESTION_SECONDS_MAX)) {
            self.shown.push_str(&String::from_utf8_lossy(&chunk));
        }
        drop(self.keyboard.take());
        let status = self.child.wait().expect("it ends");
        (status.code().unwrap_or(-1), std::mem::take(&mut self.shown))
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
