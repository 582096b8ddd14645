//! `farside gate agent` beside the running gate: the file, what is told of it, and what happens when nothing
//! comes.

use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use farside_crossing::{Claim, Parcel};
use farside_service::time::now_unix;

use super::process::{PROGRAM, Running};
use super::program::bot;
use super::realm::{Plan, Realm, claims};

/// A folder with a workload's key, and a gate that holds a token for it.
struct Stage {
    folder: tempfile::TempDir,
    gate: Running,
    jwk: farside_crossing::RawJson,
}

fn parcel(realm: &Realm, jwk: &farside_crossing::RawJson, index: u64, lives: u64) -> Parcel {
    let now = now_unix();
    let claims = claims("bot-7", index, now, "")
        .replace(&format!("\"exp\":{}", now + 3600), &format!("\"exp\":{}", now + lives));
    let token = realm.key.sign("at+jwt", &claims);
    Parcel {
        token,
        sub: "bot-7".to_owned(),
        aud: Some("db".to_owned()),
        claim: Claim::Key { jwk: jwk.clone() },
    }
}

impl Stage {
    fn set(lives: u64) -> Stage {
        let folder = tempfile::tempdir().unwrap();
        let jwk = bot(&folder.path().join("bot.pem"));
        let held = jwk.clone();
        let gate = Running::start_with("", &[], |realm| Plan {
            parcels: Some(vec![parcel(realm, &held, 1, lives)]),
            ..realm.plan()
        });
        Stage { folder, gate, jwk }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The agent as on a machine without a gate's configuration.
    fn agent(&self, more: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        command.args([
            "agent",
            "--gate",
            &self.gate.doors.to_string(),
            "--subject",
            "bot-7",
            "--every",
            "1s",
        ]);
        command.arg("--key").arg(self.path("bot.pem")).arg("--out").arg(self.path("token")).args(more);
        command.current_dir(self.folder.path()).stdin(Stdio::null());
        command
    }

    fn once(&self, more: &[&str]) -> Output {
        let words: Vec<&str> = ["--once", "--json"].iter().chain(more).copied().collect();
        self.agent(&words).output().unwrap()
    }

    fn token(&self) -> String {
        std::fs::read_to_string(self.path("token")).unwrap_or_default()
    }

    /// The next bundle carries a newer token.
    fn send(&mut self, index: u64) {
        let parcels = Some(vec![parcel(&self.gate.realm, &self.jwk, index, 3600)]);
        let plan = Plan { parcels, ..self.gate.realm.plan() };
        self.gate.drop_into_inbox(plan);
    }
}

/// Ended when dropped; what it said is read then.
struct Started(Child);

impl Started {
    fn words(mut self) -> String {
        self.0.kill().unwrap();
        let mut words = String::new();
        self.0.stderr.take().unwrap().read_to_string(&mut words).unwrap();
        words
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(mut agent: Command) -> Started {
    Started(agent.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap())
}

fn exists(path: &Path) -> bool {
    path.exists()
}

#[test]
fn once_it_writes_the_file_for_its_owner_alone_and_runs_the_command_for_what_is_new() {
    let stage = Stage::set(3600);
    std::fs::write(stage.path("token"), "an old one, for all to read").unwrap();
    std::fs::set_permissions(stage.path("token"), std::fs::Permissions::from_mode(0o644)).unwrap();
    let done = stage.once(&["--", "touch", "told"]);
    assert_eq!(done.status.code(), Some(0), "{done:?}");
    let said: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!(said["audience"], "db");
    assert!(
        !String::from_utf8_lossy(&done.stdout).contains(&stage.token()),
        "the token is in the file alone"
    );
    assert_eq!(stage.token().split('.').count(), 3);
    assert_eq!(stage.path("token").metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert!(exists(&stage.path("told")));

    // The same token again is no news.
    std::fs::remove_file(stage.path("told")).unwrap();
    assert_eq!(stage.once(&["--", "touch", "told"]).status.code(), Some(0));
    assert!(!exists(&stage.path("told")));

    let refused = stage.once(&["--audience", "mail"]);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    assert_eq!(stage.once(&["--", "false"]).status.code(), Some(0), "nothing new, nobody told");
    std::fs::remove_file(stage.path("token")).unwrap();
    let failed = stage.once(&["--", "false"]);
    assert_eq!(failed.status.code(), Some(2), "{failed:?}");
    assert_eq!(stage.token().split('.').count(), 3, "the file is there all the same");
}

#[test]
fn it_follows_the_bundles_and_signals_the_workload() {
    let mut stage = Stage::set(3600);
    let script = "trap 'touch hup' HUP; echo $$ > pid; while :; do sleep 0.05; done";
    let mut workload = Command::new("sh");
    workload.args(["-c", script]).current_dir(stage.folder.path()).stderr(Stdio::piped());
    let _workload = Started(workload.spawn().unwrap());
    stage.gate.wait_until("the workload started", || exists(&stage.path("pid")));
    let agent = start(stage.agent(&["--pid-file", "pid"]));
    if !stage.gate.becomes(|| exists(&stage.path("hup"))) {
        panic!("the workload was never told: {}", agent.words());
    }
    let first = stage.token();
    std::fs::remove_file(stage.path("hup")).unwrap();
    stage.send(2);
    stage.gate.wait_until("the newer token was there", || stage.token() != first);
    stage.gate.wait_until("the workload was told again", || exists(&stage.path("hup")));
}

#[test]
fn a_gate_that_is_away_is_waited_for_and_the_file_stays() {
    let mut stage = Stage::set(3600);
    assert_eq!(stage.gate.end(), Some(0));
    std::fs::write(stage.path("token"), "the last good one").unwrap();
    let agent = start(stage.agent(&[]));
    let away = stage.once(&[]);
    assert_eq!(away.status.code(), Some(2), "{away:?}");
    assert_eq!(stage.token(), "the last good one");
    stage.gate.restart();
    stage.gate.wait_until("the token was there", || stage.token().split('.').count() == 3);
    let words = agent.words();
    assert!(words.contains("no fresh token") || words.contains("a fresh token"), "{words}");
    assert!(!words.contains(&stage.token()), "no token in the log: {words}");
}

#[test]
fn it_says_when_the_token_lapses() {
    let stage = Stage::set(3);
    let agent = start(stage.agent(&[]));
    stage.gate.wait_until("the token was there", || stage.token().split('.').count() == 3);
    let until = now_unix() + 5;
    stage.gate.wait_until("its time had passed", || now_unix() > until);
    let words = agent.words();
    assert!(words.contains("lapse"), "{words}");
}
