//! Clocks that lie: libfaketime before the real programs, steered through a file while they run.
//!
//! Two ways: the clock that people set alone, while the time since the machine's start goes on as it is; or
//! all clocks together, as after a sleep. A new start of the machine is played in the gate's store, which
//! remembers the last one by name.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::sides::Sides;

/// What the programs' clocks are told.
pub struct FakeTime {
    folder: tempfile::TempDir,
    /// Whether the time since the machine's start follows.
    whole: bool,
}

impl FakeTime {
    /// Only the clock that people set; right until [`FakeTime::set`].
    pub fn wall() -> FakeTime {
        FakeTime::new(false)
    }

    /// All clocks of the machine.
    pub fn whole() -> FakeTime {
        FakeTime::new(true)
    }

    fn new(whole: bool) -> FakeTime {
        let fake = FakeTime { folder: tempfile::tempdir().expect("a folder for the clock"), whole };
        fake.set(0);
        fake
    }

    /// Sets the clock to so many seconds from the truth, for programs that run too.
    pub fn set(&self, seconds: i64) {
        self.write(&format!("{seconds:+}\n"));
    }

    // Renamed into its place: nobody reads half of it.
    fn write(&self, text: &str) {
        let new = self.folder.path().join("new");
        std::fs::write(&new, text).expect("the clock can be set");
        std::fs::rename(new, self.file()).expect("the clock can be set");
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("clock")
    }

    /// Lets a program go by this clock.
    pub fn before(&self, mut command: Command) -> Command {
        command
            .env("LD_PRELOAD", library())
            .env("FAKETIME_TIMESTAMP_FILE", self.file())
            .env("FAKETIME_NO_CACHE", "1")
            .env("NO_FAKE_STAT", "1");
        if !self.whole {
            command.env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        }
        command
    }
}

/// Where Debian puts it, whatever the machine is called.
fn library() -> PathBuf {
    let folders = std::fs::read_dir("/usr/lib").expect("/usr/lib can be read").flatten();
    let named = |folder: std::fs::DirEntry| folder.path().join("faketime/libfaketimeMT.so.1");
    folders
        .map(named)
        .find(|path| path.exists())
        .expect("libfaketime is installed: `cargo xtask test` does it")
}

/// Plays a new start of the machine: the gate's store remembers another one. The gate must not run.
pub fn start_machine_anew(sides: &Sides) {
    let store = open(&sides.path("far/gate.db"));
    store.execute("UPDATE clock SET boot = 'an earlier start'", []).expect("the store takes it");
}

fn open(path: &Path) -> rusqlite::Connection {
    rusqlite::Connection::open(path).expect("the gate's store opens")
}
