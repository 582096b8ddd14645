//! A store that several gates share, in a real Redis: one admission among all of them, and nobody enters
//! where it is away, slow, forgetful or set to forget.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use farside_gate::config::Config;
use farside_gate::http::Doors;
use farside_gate::judge::Once;
use farside_gate::replay::Replay;
use farside_service::journal::Journal;
use farside_verify::Code;

use super::ask;
use super::process::{PATIENCE, free_address};
use super::realm::{Far, HOUR, NOW, Plan, Realm, policy};

/// A Redis of one test's own; it ends with the test.
pub(crate) struct Redis {
    pub(crate) address: SocketAddr,
    folder: tempfile::TempDir,
    process: Child,
}

/// Every write is synced before it is answered.
pub(crate) const DURABLE: &[&str] = &["--appendonly", "yes", "--appendfsync", "always"];
/// What is not saved is gone.
const FORGETFUL: &[&str] = &["--appendonly", "no", "--save", ""];

impl Redis {
    pub(crate) fn start(options: &[&str]) -> Redis {
        let (address, folder) = (free_address(), tempfile::tempdir().unwrap());
        let process = spawn(address, folder.path(), options);
        Redis { address, folder, process }
    }

    fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// The same again, over what it has left behind.
    fn start_again(&mut self, options: &[&str]) {
        self.process = spawn(self.address, self.folder.path(), options);
    }

    /// Says one command; returns what was answered.
    pub(crate) fn say(&self, words: &[&str]) -> String {
        let mut stream = std::net::TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let spelled: String = words.iter().map(|word| format!("${}\r\n{word}\r\n", word.len())).collect();
        write!(stream, "*{}\r\n{spelled}", words.len()).unwrap();
        let mut answer = [0; 4096];
        let length = stream.read(&mut answer).unwrap();
        String::from_utf8_lossy(&answer[..length]).into_owned()
    }

    fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([signal, &self.process.id().to_string()]).status();
        assert!(sent.unwrap().success());
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn spawn(address: SocketAddr, folder: &Path, options: &[&str]) -> Child {
    let mut command = Command::new("redis-server");
    let port = address.port().to_string();
    command.args(["--port", &port, "--bind", "127.0.0.1", "--dir"]).arg(folder).args(options);
    let process = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let process =
        process.unwrap_or_else(|_| panic!("redis-server is not installed: apt-get install redis-server"));
    let started = Instant::now();
    // It listens before it has read what it kept, and says so.
    while !pings(address) {
        assert!(started.elapsed() < PATIENCE, "redis-server never answered");
        std::thread::sleep(Duration::from_millis(20));
    }
    process
}

fn pings(address: SocketAddr) -> bool {
    let Ok(mut stream) = std::net::TcpStream::connect(address) else { return false };
    let mut answer = [0; 5];
    stream.write_all(b"PING\r\n").and_then(|()| stream.read_exact(&mut answer)).is_ok() && &answer == b"+PONG"
}

/// A gate's configuration with this Redis in it.
fn sharing(far: &Far, redis: &Redis, more: &str) -> Config {
    remembering(far, &format!("redis = \"redis://{}\"\n{more}", redis.address))
}

/// A gate's configuration with this `[replay]` in it.
pub(crate) fn remembering(far: &Far, table: &str) -> Config {
    let path = far.config.home().join("gate.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let before = text.split("\n[replay]").next().unwrap();
    std::fs::write(&path, format!("{before}\n[replay]\n{table}")).unwrap();
    Config::load(&path).unwrap_or_else(|failure| panic!("{failure}"))
}

async fn store(far: &Far, config: &Config, now: u64) -> Replay {
    let replay = Replay::open(config, far.gate().store(), now).unwrap_or_else(|failure| panic!("{failure}"));
    replay.meet(now).await.unwrap_or_else(|failure| panic!("{failure}"));
    replay
}

pub(crate) fn once(id: u64, from: u64) -> [Once; 1] {
    [Once::proof(&[7; 32], &id.to_string(), from, from + HOUR)]
}

pub(crate) async fn code(replay: &Replay, once: &[Once], now: u64) -> Option<Code> {
    replay.take(once, now).await.err().map(|refusal| refusal.code())
}

/// Looks after the store, as `serve` does each second, until it is there.
pub(crate) async fn until_there(replay: &Replay, now: u64) {
    let started = Instant::now();
    while let Err(fault) = replay.tend(now).await {
        assert!(started.elapsed() < PATIENCE, "the store never came back: {fault}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Two gates of one site that hold the same, with doors over one Redis.
async fn two_gates(redis: &Redis) -> (Realm, [(Far, Arc<Doors>); 2]) {
    let (mut realm, first) = Far::enrolled();
    let second = Far::made();
    second.trust(&realm.charter);
    let mut gates = Vec::new();
    for far in [first, second] {
        realm.recipient = Some(far.recipient.clone());
        let mut once = policy(1);
        once.audiences[0].single_use = true;
        far.import(&realm.send(Plan { policy: Some(once), ..realm.plan() }));
        let replay = store(&far, &sharing(&far, redis, ""), NOW - HOUR).await;
        let (journal, _) = Journal::open(&far.config.journal(), "gate").unwrap();
        let doors = Doors::new(Arc::new(far.gate()), journal, replay, &[], || NOW);
        gates.push((far, Arc::new(doors)));
    }
    let gates = gates.try_into().unwrap_or_else(|_| panic!("there are two"));
    (realm, gates)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_two_gates_that_are_shown_one_token_at_once_one_admits_it() {
    let redis = Redis::start(DURABLE);
    let (realm, gates) = two_gates(&redis).await;
    for round in 0..10 {
        let token = Arc::new(format!("Bearer {}", realm.token("anna", round, "")));
        let asked: Vec<_> = (0..8)
            .map(|turn| {
                let (doors, token) = (gates[turn % 2].1.clone(), token.clone());
                tokio::spawn(async move {
                    ask(&doors, "GET", "/verify", &[("authorization", &token)], "").await.code()
                })
            })
            .collect();
        let mut entered = 0;
        for one in asked {
            match one.await.unwrap() {
                (200, _) => entered += 1,
                (401, code) => assert_eq!(code, "replayed"),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(entered, 1, "in round {round}");
    }
}

#[tokio::test]
async fn nobody_enters_while_redis_is_away_and_what_it_kept_is_known_when_it_comes_back() {
    let mut redis = Redis::start(DURABLE);
    let (_, far) = Far::enrolled();
    let replay = store(&far, &sharing(&far, &redis, ""), NOW).await;
    assert_eq!(code(&replay, &once(1, NOW + 1), NOW).await, None);
    redis.kill();
    for _ in 0..2 {
        assert_eq!(code(&replay, &once(2, NOW + 1), NOW).await, Some(Code::ReplayUnavailable));
    }
    assert!(replay.tend(NOW).await.is_err());
    redis.start_again(DURABLE);
    until_there(&replay, NOW + 10).await;
    assert_eq!(code(&replay, &once(1, NOW + 1), NOW).await, Some(Code::Replayed));
    assert_eq!(code(&replay, &once(2, NOW + 1), NOW).await, None, "what was refused was not used up");
}

#[tokio::test]
async fn a_redis_that_lost_what_it_knew_admits_nothing_of_that_time() {
    let mut redis = Redis::start(FORGETFUL);
    let (_, far) = Far::enrolled();
    let replay = store(&far, &sharing(&far, &redis, ""), NOW).await;
    let (used, later) = (once(1, NOW + 1), once(2, NOW + 100));
    assert_eq!(code(&replay, &used, NOW).await, None);
    redis.kill();
    redis.start_again(FORGETFUL);
    until_there(&replay, NOW + 50).await;
    assert_eq!(code(&replay, &used, NOW + 50).await, Some(Code::Replayed));
    assert_eq!(code(&replay, &later, NOW + 100).await, None);
    // Emptied under the gate's feet, without a restart.
    redis.say(&["FLUSHALL"]);
    assert_eq!(
        code(&replay, &later, NOW + 110).await,
        Some(Code::ReplayUnavailable),
        "it is noticed at once"
    );
    until_there(&replay, NOW + 110).await;
    assert_eq!(code(&replay, &later, NOW + 110).await, Some(Code::Replayed));
    // A restart after which it looks as before, but nobody promised that nothing was lost.
    redis.say(&["SAVE"]);
    redis.kill();
    redis.start_again(FORGETFUL);
    until_there(&replay, NOW + 200).await;
    assert_eq!(code(&replay, &once(3, NOW + 200), NOW + 200).await, Some(Code::Replayed));
    assert_eq!(code(&replay, &once(3, NOW + 201), NOW + 201).await, None);
}

#[tokio::test]
async fn a_redis_that_hangs_is_not_waited_for_and_holds_up_nobody_after_the_first() {
    let redis = Redis::start(DURABLE);
    let (_, far) = Far::enrolled();
    let replay = store(&far, &sharing(&far, &redis, ""), NOW).await;
    redis.signal("-STOP");
    assert_eq!(code(&replay, &once(1, NOW + 1), NOW).await, Some(Code::ReplayUnavailable));
    for id in 2..200 {
        assert_eq!(code(&replay, &once(id, NOW + 1), NOW).await, Some(Code::ReplayUnavailable));
    }
    redis.signal("-CONT");
    until_there(&replay, NOW).await;
    assert_eq!(code(&replay, &once(200, NOW + 1), NOW).await, None);
}

#[tokio::test]
async fn a_redis_that_would_evict_is_refused_at_the_start_and_later() {
    let redis = Redis::start(&["--maxmemory-policy", "allkeys-lru"]);
    let (_, far) = Far::enrolled();
    let config = sharing(&far, &redis, "");
    let replay = Replay::open(&config, far.gate().store(), NOW).unwrap_or_else(|failure| panic!("{failure}"));
    let refused = replay.meet(NOW).await.unwrap_err();
    assert!(refused.to_string().contains("allkeys-lru"), "{refused}");
    redis.say(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]);
    until_there(&replay, NOW).await;
    assert_eq!(code(&replay, &once(1, NOW + 1), NOW).await, None);
    redis.say(&["CONFIG", "SET", "maxmemory-policy", "volatile-ttl"]);
    assert!(replay.tend(NOW).await.is_err());
    assert_eq!(code(&replay, &once(2, NOW + 1), NOW).await, Some(Code::ReplayUnavailable));
}

#[tokio::test]
async fn a_full_store_refuses_and_lets_go_by_the_gates_time_alone() {
    let redis = Redis::start(DURABLE);
    let (_, far) = Far::enrolled();
    let replay = store(&far, &sharing(&far, &redis, "entries_max = 2\n"), NOW).await;
    for id in 1..=2 {
        assert_eq!(code(&replay, &once(id, NOW + 1), NOW).await, None);
    }
    assert_eq!(code(&replay, &once(3, NOW + 1), NOW).await, Some(Code::ReplayFull));
    assert_eq!(code(&replay, &once(1, NOW + 1), NOW).await, Some(Code::Replayed), "nothing was let go");
    let after = NOW + 2 * HOUR;
    replay.tend(after).await.unwrap_or_else(|fault| panic!("{fault}"));
    assert_eq!(code(&replay, &once(4, after), after).await, None);
    // The clock goes back: what was let go stays used.
    assert_eq!(code(&replay, &once(1, NOW + 1), NOW).await, Some(Code::Replayed));
}

#[tokio::test]
async fn one_holder_fills_no_more_than_its_share_and_others_go_on() {
    let redis = Redis::start(DURABLE);
    let (_, far) = Far::enrolled();
    let most = "entries_max = 10\nholder_entries_max = 2\n";
    let by = |holder: u8, id: u64, from| [Once::proof(&[holder; 32], &id.to_string(), from, from + HOUR)];
    let on_disk = store(&far, &remembering(&far, most), NOW).await;
    let shared = store(&Far::enrolled().1, &sharing(&far, &redis, most), NOW - HOUR).await;
    for replay in [on_disk, shared] {
        for id in 1..=2 {
            assert_eq!(code(&replay, &by(1, id, NOW + 1), NOW).await, None);
        }
        assert_eq!(code(&replay, &by(1, 1, NOW + 1), NOW).await, Some(Code::Replayed));
        assert_eq!(code(&replay, &by(1, 3, NOW + 1), NOW).await, Some(Code::ReplayFull));
        assert_eq!(code(&replay, &by(2, 3, NOW + 1), NOW).await, None, "another holder");
        let after = NOW + 2 * HOUR;
        replay.tend(after).await.unwrap_or_else(|fault| panic!("{fault}"));
        assert_eq!(code(&replay, &by(1, 4, after), after).await, None);
    }
}

#[tokio::test]
async fn what_stands_on_a_gates_own_disk_is_not_forgotten_when_it_begins_to_share() {
    let redis = Redis::start(DURABLE);
    let (_, far) = Far::enrolled();
    let alone =
        Replay::open(&far.config, far.gate().store(), NOW).unwrap_or_else(|failure| panic!("{failure}"));
    assert_eq!(code(&alone, &once(1, NOW + 1), NOW).await, None);
    drop(alone);
    // Another gate has begun the store before, so it knows a past of its own.
    store(&Far::enrolled().1, &sharing(&far, &redis, ""), NOW - HOUR).await;
    let replay = store(&far, &sharing(&far, &redis, ""), NOW + 60).await;
    assert_eq!(code(&replay, &once(1, NOW + 1), NOW + 60).await, Some(Code::Replayed));
    assert_eq!(code(&replay, &once(2, NOW + 61), NOW + 61).await, None);
    drop(replay);
    // And back: the disk knows nothing of what was shared.
    let alone = Replay::open(&far.config, far.gate().store(), NOW + 120)
        .unwrap_or_else(|failure| panic!("{failure}"));
    assert_eq!(code(&alone, &once(2, NOW + 61), NOW + 120).await, Some(Code::Replayed));
    assert_eq!(code(&alone, &once(3, NOW + 121), NOW + 121).await, None);
}

#[test]
fn redis_beyond_this_machine_or_with_its_password_in_the_address_is_refused() {
    let (_, far) = Far::enrolled();
    let path = far.config.home().join("gate.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let load = |table: &str| {
        std::fs::write(&path, format!("{text}\n[replay]\n{table}")).unwrap();
        Config::load(&path).map(drop).map_err(|failure| failure.to_string())
    };
    for bad in [
        "redis = \"redis://192.0.2.7:6379\"",
        "redis = \"redis://redis.example:6379\"",
        "redis = \"redis://:secret@127.0.0.1:6379\"",
        "redis = \"rediss://127.0.0.1:6379\"",
        "redis = \"rediss://127.0.0.1:6379#insecure\"\nredis_ca = \"ca.pem\"",
        "redis = \"rediss://127.0.0.1:6379\"\nredis_ca = \"ca.pem\"\nredis_key = \"gate.key\"",
        "redis = \"redis://127.0.0.1:6379\"\nredis_ca = \"ca.pem\"",
        "redis_ca = \"ca.pem\"",
        "redis = \"http://127.0.0.1:6379\"",
        "redis_user = \"gate\"",
        "entries_max = 0",
        "holder_entries_max = 0",
        "entries_max = 7\nholder_entries_max = 8",
        "entries = 7",
    ] {
        assert!(load(bad).is_err_and(|why| !why.contains("secret")), "{bad}");
    }
    for good in [
        "entries_max = 7",
        "redis = \"redis://127.0.0.1:6379/2\"",
        "redis = \"redis://[::1]:6379\"",
        "redis = \"unix:///run/redis/redis.sock\"",
        "redis = \"rediss://redis.example:6379/2\"\nredis_ca = \"ca.pem\"",
        "redis = \"redis://192.0.2.7:6379\"\nclear_beyond_loopback = \"trusted-network\"",
    ] {
        assert_eq!(load(good), Ok(()), "{good}");
    }
}
