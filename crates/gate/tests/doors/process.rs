//! The whole program as an operator runs it: signals, inbox, a disk that fills, slow clients, system calls.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use farside_service::journal;
use farside_service::time::now_unix;
use rustix::process::{Pid, Signal, kill_process};

pub(crate) use super::ports::free_address;
use super::realm::{Far, HOUR, Plan, Realm, claims, revoked_name, status};

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_farside-gate");
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// What the journal may grow to in the test of a full disk, in the shell's blocks of 512 bytes.
const FULL_DISK_BLOCKS: u32 = 256;

/// A gate as a process, killed when the test ends, however it ends.
pub(crate) struct Running {
    pub(crate) realm: Realm,
    pub(crate) far: Far,
    pub(crate) doors: SocketAddr,
    pub(crate) admin: SocketAddr,
    process: Child,
}

/// A near side and a far folder with addresses of their own, and more lines of configuration.
fn enrolled(more: &str) -> (Realm, Far, SocketAddr, SocketAddr) {
    let (realm, far) = Far::enrolled();
    let (doors, admin) = (free_address(), free_address());
    let file = far.config.home().join("gate.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let text = text.replacen("127.0.0.1:0", &doors.to_string(), 1);
    let text = text.replacen("127.0.0.1:0", &admin.to_string(), 1);
    // What stands before any table belongs before all of them.
    let (top, tables) = more.split_at(more.find('[').unwrap_or(more.len()));
    std::fs::write(&file, format!("{top}\n{text}\n{tables}")).unwrap();
    (realm, far, doors, admin)
}

impl Running {
    pub(crate) fn start(more: &str, before: &[&str]) -> Running {
        Running::start_with(more, before, Realm::plan)
    }

    pub(crate) fn start_with(more: &str, before: &[&str], plan: impl FnOnce(&Realm) -> Plan) -> Running {
        let (mut realm, far, doors, admin) = enrolled(more);
        let plan = present(plan(&realm));
        let bundle = realm.send(plan);
        std::fs::write(far.config.inbox().join("dome-00000001.fbundle"), bundle).unwrap();
        let process = spawn(&far, before);
        let running = Running { realm, far, doors, admin, process };
        running.wait_until("ready", || get(admin, "/healthz", "").starts_with("HTTP/1.1 200"));
        running
    }

    /// A token of this moment.
    pub(crate) fn token(&self, subject: &str, index: u64) -> String {
        self.realm.key.sign("at+jwt", &claims(subject, index, now_unix(), ""))
    }

    pub(crate) fn show(&self, token: &str) -> String {
        get(self.doors, "/verify", &format!("Authorization: Bearer {token}\r\n"))
    }

    pub(crate) fn wait_until(&self, what: &str, done: impl Fn() -> bool) {
        assert!(self.becomes(done), "never {what}");
    }

    /// Whether it comes to that within what anybody would wait.
    pub(crate) fn becomes(&self, done: impl Fn() -> bool) -> bool {
        let started = Instant::now();
        while started.elapsed() < PATIENCE {
            if done() {
                return true;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        false
    }

    /// The next bundle arrives.
    pub(crate) fn drop_into_inbox(&mut self, plan: Plan) {
        let name = format!("dome-{:08}.fbundle", plan.seq);
        let bundle = self.realm.send(present(plan));
        std::fs::write(self.far.config.inbox().join(name), bundle).unwrap();
    }

    /// Starts the gate again where it was.
    pub(crate) fn restart(&mut self) {
        self.process = spawn(&self.far, &[]);
    }

    /// Asks the gate to end, and returns its exit code.
    pub(crate) fn end(&mut self) -> Option<i32> {
        kill_process(self.gate(), Signal::TERM).unwrap();
        self.process.wait().unwrap().code()
    }

    /// Sends the gate a signal. One that stops it has stopped all of its threads when this returns: the
    /// system stops one after the other, and any that still runs may answer.
    pub(crate) fn signal(&self, signal: Signal) {
        let gate = self.gate();
        kill_process(gate, signal).unwrap();
        if signal == Signal::STOP {
            self.wait_until("it stood still", || stands_still(gate));
        }
    }

    /// The gate itself: the process that was started, or the one that it started in turn (strace).
    fn gate(&self) -> Pid {
        let started = self.process.id();
        let children =
            std::fs::read_to_string(format!("/proc/{started}/task/{started}/children")).unwrap_or_default();
        let child = children.split_whitespace().next().and_then(|id| id.parse().ok()).and_then(Pid::from_raw);
        child.unwrap_or(Pid::from_child(&self.process))
    }
}

fn stands_still(process: Pid) -> bool {
    let threads = std::fs::read_dir(format!("/proc/{}/task", process.as_raw_nonzero())).unwrap();
    threads.map(|thread| std::fs::read_to_string(thread.unwrap().path().join("stat"))).all(|stat| {
        // The state stands behind the name, which may hold anything (proc_pid_stat(5)).
        stat.is_ok_and(|stat| stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T')))
    })
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Ok(None) = self.process.try_wait() {
            let _ = kill_process(self.gate(), Signal::KILL);
            // What watches it goes too: it would wait out a delay of its own making.
            let _ = self.process.kill();
        }
        let _ = self.process.wait();
    }
}

fn spawn(far: &Far, before: &[&str]) -> Child {
    let config = far.config.home().join("gate.toml");
    let mut words: Vec<&str> = before.to_vec();
    words.extend([PROGRAM, "serve", "--config", config.to_str().unwrap()]);
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().unwrap_or_else(|fault| panic!("{}: {fault}; apt-get install {}", words[0], words[0]))
}

/// The plan, moved from the time of the tests to that of the machine, as a process reads the real clock.
pub(crate) fn present(plan: Plan) -> Plan {
    let now = now_unix();
    Plan { issued_at: now, next_by: now + HOUR, not_after: now + 24 * HOUR, ..plan }
}

/// One request on a connection of its own; empty if nobody answers.
pub(crate) fn get(address: SocketAddr, path: &str, headers: &str) -> String {
    exchange(address, &format!("GET {path} HTTP/1.1\r\nHost: gate\r\nConnection: close\r\n{headers}\r\n"))
}

pub(crate) fn exchange(address: SocketAddr, request: &str) -> String {
    let Ok(mut stream) = TcpStream::connect(address) else { return String::new() };
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut answer = Vec::new();
    // A server that refuses may close before it has read everything.
    let _ = stream.write_all(request.as_bytes());
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn the_gate_imports_what_arrives_answers_and_ends_when_asked() {
    let mut gate = Running::start("", &[]);
    let (anna, bert) = (gate.token("anna", 1), gate.token("bert", 2));
    assert!(gate.show(&anna).starts_with("HTTP/1.1 200"), "{}", gate.show(&anna));

    let mut plan = present(gate.realm.plan());
    let mut revoked = status(2);
    revoked.subjects.push(revoked_name("anna", now_unix() + HOUR));
    plan.status = Some(revoked);
    let bundle = gate.realm.send(plan);
    let inbox = gate.far.config.inbox();
    std::fs::write(inbox.join("arriving"), bundle).unwrap();
    std::fs::rename(inbox.join("arriving"), inbox.join("dome-00000002.fbundle")).unwrap();
    gate.wait_until("revoked", || gate.show(&anna).starts_with("HTTP/1.1 401"));
    assert!(gate.show(&bert).starts_with("HTTP/1.1 200"));

    let metrics = get(gate.admin, "/metrics", "");
    assert!(metrics.contains("farside_gate_decisions_total{"), "{metrics}");
    gate.wait_until("shown", || get(gate.admin, "/metrics", "").contains("farside_gate_bundle_sequence 2"));
    assert!(get(gate.admin, "/healthz", "").starts_with("HTTP/1.1 200"));
    assert!(
        get(gate.doors, "/metrics", "").starts_with("HTTP/1.1 404"),
        "metrics are for the admin address alone"
    );

    assert_eq!(gate.end(), Some(0));
    let file = gate.far.config.journal().join("gate.jsonl");
    journal::verify(&file).unwrap();
    let text = std::fs::read_to_string(file).unwrap();
    assert!(text.lines().next().unwrap().contains("\"started\""));
    assert!(text.lines().last().unwrap().contains("\"stopped\""));
}

#[test]
fn a_journal_that_cannot_be_written_closes_the_doors() {
    let limit = format!("trap '' XFSZ; ulimit -f {FULL_DISK_BLOCKS}; exec \"$0\" \"$@\"");
    let mut gate = Running::start("", &["sh", "-c", &limit]);
    let token = gate.token("anna", 1);
    let mut admitted = 0_u32;
    let closed = loop {
        let answer = gate.show(&token);
        if !answer.starts_with("HTTP/1.1 200") {
            break answer;
        }
        admitted += 1;
        assert!(admitted < 10_000, "the disk never filled");
    };
    assert!(admitted > 0);
    assert!(closed.starts_with("HTTP/1.1 503") && closed.contains("journal_unavailable"), "{closed}");
    assert!(!closed.contains("x-farside-subject"), "{closed}");
    assert!(gate.show(&token).starts_with("HTTP/1.1 503"), "and stays closed");
    assert!(get(gate.doors, "/readyz", "").starts_with("HTTP/1.1 503"));
    assert!(get(gate.doors, "/healthz", "").starts_with("HTTP/1.1 200"));

    // With room on the disk, a restart opens the doors again; every admission is in the chain.
    gate.end();
    gate.process = spawn(&gate.far, &[]);
    gate.wait_until("ready", || get(gate.doors, "/readyz", "").starts_with("HTTP/1.1 200"));
    assert!(gate.show(&token).starts_with("HTTP/1.1 200"));
    assert_eq!(gate.end(), Some(0));
    let file = gate.far.config.journal().join("gate.jsonl");
    journal::verify(&file).unwrap();
    let text = std::fs::read_to_string(file).unwrap();
    let written = text.lines().filter(|line| line.contains("\"verdict\":\"admit\"")).count();
    assert!(written > admitted as usize, "{written} written, {admitted} admitted before the disk filled");
}

#[test]
fn a_disk_that_hangs_closes_the_doors_and_hangs_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let trace = folder.path().join("trace");
    // Each thread's later syncs take a minute: the journal's writer has done a few by then, and stops there.
    let slow = "inject=fdatasync:delay_enter=60000000:when=8+";
    let strace = ["strace", "-f", "-qq", "-e", "trace=fdatasync", "-e", slow, "-o", trace.to_str().unwrap()];
    let gate = Running::start("", &strace);
    let token = gate.token("anna", 1);
    let closed = (0..20).map(|_| gate.show(&token)).find(|answer| !answer.starts_with("HTTP/1.1 200"));
    let closed = closed.unwrap_or_default();
    assert!(closed.starts_with("HTTP/1.1 503") && closed.contains("journal_unavailable"), "{closed}");
    for _ in 0..100 {
        assert!(gate.show(&token).starts_with("HTTP/1.1 503"), "answered, though the disk does not");
    }
    assert!(get(gate.doors, "/readyz", "").starts_with("HTTP/1.1 503"));
    assert!(get(gate.doors, "/healthz", "").starts_with("HTTP/1.1 200"));
}

#[test]
fn a_disk_that_hangs_closes_the_doors_of_a_batched_journal_too() {
    let folder = tempfile::tempdir().unwrap();
    let trace = folder.path().join("trace");
    let slow = "inject=fdatasync:delay_enter=60000000:when=8+";
    let strace = ["strace", "-f", "-qq", "-e", "trace=fdatasync", "-e", slow, "-o", trace.to_str().unwrap()];
    let gate = Running::start("audit = \"batched\"\n", &strace);
    let token = gate.token("anna", 1);
    let since = Instant::now();
    let closed = loop {
        let answer = gate.show(&token);
        if !answer.starts_with("HTTP/1.1 200") {
            break answer;
        }
        assert!(since.elapsed() < PATIENCE, "it goes on admitting");
        std::thread::sleep(Duration::from_millis(20));
    };
    assert!(closed.starts_with("HTTP/1.1 503") && closed.contains("journal_unavailable"), "{closed}");
    assert!(gate.show(&token).starts_with("HTTP/1.1 503"), "answered, though the disk does not");
    assert!(get(gate.doors, "/readyz", "").starts_with("HTTP/1.1 503"));
}

#[test]
fn a_batched_journal_tells_of_everybody_once_the_gate_has_ended() {
    let mut gate = Running::start("audit = \"batched\"\n", &[]);
    for index in 1..=50 {
        assert!(gate.show(&gate.token("anna", index)).starts_with("HTTP/1.1 200"));
    }
    assert_eq!(gate.end(), Some(0));
    let file = gate.far.config.journal().join("gate.jsonl");
    journal::verify(&file).unwrap();
    let text = std::fs::read_to_string(file).unwrap();
    assert_eq!(text.lines().filter(|line| line.contains("\"verdict\":\"admit\"")).count(), 50);
    assert!(text.contains("\"audit\":\"batched\""), "{text}");
}

#[test]
fn verification_opens_no_socket() {
    let folder = tempfile::tempdir().unwrap();
    let trace = folder.path().join("trace");
    let strace = [
        "strace",
        "-f",
        "-qq",
        "-e",
        "trace=socket,connect,sendto,sendmsg,bind",
        "-o",
        trace.to_str().unwrap(),
    ];
    let mut gate = Running::start("", &strace);
    for index in 1..=5 {
        assert!(gate.show(&gate.token("anna", index)).starts_with("HTTP/1.1 200"));
        assert!(gate.show("a.b.c").starts_with("HTTP/1.1 401"));
        assert!(get(gate.doors, "/jwks.json", "").starts_with("HTTP/1.1 200"));
    }
    assert_eq!(gate.end(), Some(0));
    let calls = std::fs::read_to_string(&trace).unwrap();
    let sockets = calls.lines().filter(|line| line.contains("socket(AF_INET")).count();
    assert_eq!(sockets, 2, "the doors and the admin address, and nothing else:\n{calls}");
    let listening = calls.lines().filter(|line| line.contains("bind(") && line.contains("AF_INET")).count();
    assert_eq!(listening, 2, "{calls}");
    assert!(!calls.lines().any(|line| line.contains("connect(")), "{calls}");
}

#[test]
fn a_slow_client_is_cut_off_and_holds_up_nobody() {
    let gate = Running::start("[limits]\nheader_seconds_max = 1\n", &[]);
    let mut slow = TcpStream::connect(gate.doors).unwrap();
    slow.write_all(b"GET /verify HTTP/1.1\r\nAuthorization: Bear").unwrap();
    let token = gate.token("anna", 1);
    assert!(gate.show(&token).starts_with("HTTP/1.1 200"), "others are served meanwhile");
    // Ends because the gate ends it: this client sends nothing more.
    let mut answer = String::new();
    slow.set_read_timeout(Some(PATIENCE)).unwrap();
    slow.read_to_string(&mut answer).unwrap();
    assert!(!answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[test]
fn two_headers_and_smuggled_names_are_refused_on_the_wire() {
    let gate = Running::start("", &[]);
    let token = gate.token("anna", 1);
    let bearer = format!("Authorization: Bearer {token}\r\n");
    for (headers, status) in [
        (bearer.clone(), "200"),
        (format!("{bearer}{bearer}"), "400"),
        (format!("{bearer}authorization: Basic YTpi\r\n"), "400"),
        (format!("{bearer}X-Farside-Subject: root\r\n"), "400"),
        (format!("{bearer}x_farside_subject: root\r\n"), "400"),
        (format!("{bearer}X.Farside.Roles: root\r\n"), "400"),
        (format!("Authorization : Bearer {token}\r\n"), "400"),
        (format!("X-Other: a\r\n Authorization: Bearer {token}\r\n"), "400"),
        (format!("X-Other: a\rAuthorization: Bearer {token}\r\n"), "400"),
        (format!("{bearer}X-Farside-Subject\0: root\r\n"), "400"),
        (format!("Authorization: Bearer {}\r\n", "a".repeat(20_000)), "401"),
        (format!("Authorization: Bearer {}\r\n", "a".repeat(50_000)), "431"),
    ] {
        let answer = get(gate.doors, "/verify", &headers);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{status}: {answer}");
    }
}
