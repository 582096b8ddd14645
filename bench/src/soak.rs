//! Full load for minutes: a bundle every five seconds, a tenth of the requests hostile, and every answer
//! compared with the one that is right.
//!
//! ```text
//!   clients ─ good and hostile in turn ─▶ a gate of its own ◀─ inbox ◀─ a bundle: one more has left
//!      └─ status, and whom it names ─▶ right or wrong              └─ until who left is refused
//! ```
//!
//! Ends with an error where an answer was wrong. What a bundle revokes is not asked about while it is on its
//! way, since both answers would be right then.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::Child;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

use farside_service::time::now_unix;

use crate::import::memory_mib;
use crate::realm::{AUDIENCE, Far, Plan, Realm, TokenKey, claims, revoked_name, status};

const SECONDS_DEFAULT: u64 = 60;
const BUNDLE_EVERY: Duration = Duration::from_secs(5);
const THREADS: usize = 4;
/// Of each thread, all of them asked before the first answer is read.
const CONNECTIONS: usize = 16;
/// People whose tokens are good all along.
const HOLDERS: u64 = 2_000;
/// Every tenth request is hostile.
const HOSTILE_EVERY: u64 = 10;
/// What is quoted as the beginning is taken when the first requests are through.
const WARM: Duration = Duration::from_secs(5);
/// A gate that takes longer than this over a bundle has failed.
const BUNDLE_SECONDS_MAX: u64 = 60;

/// A request and the answer that is right.
struct Question {
    text: Vec<u8>,
    status: u16,
    /// The header that must name the holder; without one nobody may be named.
    names: Option<String>,
}

/// What all clients ask: the same good ones, and hostile ones of which there are ever more.
struct Questions {
    good: Vec<Question>,
    /// Owns those that bundles have added to.
    hostile: RwLock<Vec<Arc<Question>>>,
}

#[derive(Default)]
struct Counts {
    answers: AtomicU64,
    hostile: AtomicU64,
    wrong: AtomicU64,
    server_errors: AtomicU64,
    ended: AtomicBool,
}

/// Runs for as long as the arguments say: `--minutes N`, a minute by default.
pub(crate) fn run() {
    let minutes = std::env::args().skip_while(|word| word != "--minutes").nth(1);
    let lasting = match minutes.map(|text| text.parse::<f64>()) {
        None => Duration::from_secs(SECONDS_DEFAULT),
        Some(Ok(minutes)) if minutes > 0.0 => Duration::from_secs_f64(minutes * 60.0),
        Some(_) => {
            eprintln!("usage: farside-bench soak [--minutes N]");
            std::process::exit(2);
        }
    };
    let wrong = soak(lasting);
    if wrong > 0 {
        eprintln!("{wrong} answers were wrong");
        std::process::exit(1);
    }
}

fn soak(lasting: Duration) -> u64 {
    let (mut realm, far) = Far::enrolled();
    let bundle = realm.send(present(realm.plan()));
    far.import_at(&bundle, now_unix());
    let (doors, mut gate) = start(&far);
    let questions = Arc::new(questions(&realm, lasting));
    let counts = Arc::new(Counts::default());
    let clients: Vec<_> = (0..THREADS)
        .map(|nth| {
            let (questions, counts) = (Arc::clone(&questions), Arc::clone(&counts));
            std::thread::spawn(move || ask(doors, nth as u64, &questions, &counts))
        })
        .collect();
    let memory = || memory_mib(&gate.id().to_string(), "VmRSS");
    let begun = Instant::now();
    let (mut at_start, mut at_middle) = (None, None);
    let mut delays = Vec::new();
    while begun.elapsed() < lasting {
        let round = Instant::now();
        delays.push(leave(&mut realm, &far, doors, delays.len(), &questions));
        if at_start.is_none() && begun.elapsed() >= WARM.min(lasting / 4) {
            at_start = Some(memory());
        }
        if at_middle.is_none() && begun.elapsed() >= lasting / 2 {
            at_middle = Some(memory());
        }
        std::thread::sleep(BUNDLE_EVERY.saturating_sub(round.elapsed()).min(lasting));
    }
    let at_end = memory();
    counts.ended.store(true, Ordering::Relaxed);
    for client in clients {
        client.join().expect("a client that is answered to the end");
    }
    gate.kill().expect("a gate that runs");
    gate.wait().expect("a gate that ends");
    delays.sort_by(f64::total_cmp);
    let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
    println!("soak_seconds {:.0}", begun.elapsed().as_secs_f64());
    println!("soak_requests {}", count(&counts.answers));
    println!("soak_requests_per_second {:.0}", count(&counts.answers) as f64 / begun.elapsed().as_secs_f64());
    println!("soak_hostile_requests {}", count(&counts.hostile));
    println!("soak_wrong_answers {}", count(&counts.wrong));
    println!("soak_5xx {}", count(&counts.server_errors));
    println!("soak_bundles {}", delays.len());
    println!("soak_bundle_in_force_seconds_median {:.2}", delays[delays.len() / 2]);
    println!("soak_bundle_in_force_seconds_max {:.2}", delays[delays.len() - 1]);
    println!("soak_memory_start_mib {:.1}", at_start.unwrap_or(at_end));
    println!("soak_memory_middle_mib {:.1}", at_middle.unwrap_or(at_end));
    println!("soak_memory_end_mib {at_end:.1}");
    count(&counts.wrong)
}

fn present(plan: Plan) -> Plan {
    let now = now_unix();
    Plan { issued_at: now, next_by: now + 3_600, not_after: now + 7_200, ..plan }
}

/// The gate as a process of its own, looking into its inbox as often as by default.
fn start(far: &Far) -> (SocketAddr, Child) {
    let config = far.config.home().join("gate.toml");
    let doors = crate::gate::listen_at_a_free_address(&config);
    let child = crate::gate::start(&config);
    let begun = Instant::now();
    while TcpStream::connect(doors).is_err() {
        assert!(begun.elapsed() < Duration::from_secs(20), "the gate never listened");
        std::thread::sleep(Duration::from_millis(20));
    }
    (doors, child)
}

fn questions(realm: &Realm, lasting: Duration) -> Questions {
    let now = now_unix();
    // Good to the end, and not longer than the policy allows.
    let until = now + lasting.as_secs() + 600;
    let token = |subject: &str, index: u64| {
        let claims = claims(subject, index, now, r#","roles":["operator"]"#);
        realm
            .key
            .sign("at+jwt", &claims.replace(&format!("\"exp\":{}", now + 3_600), &format!("\"exp\":{until}")))
    };
    let holder = |index: u64| {
        let subject = format!("person-{index}");
        good(&subject, &token(&subject, index))
    };
    let sound = token("anna", HOLDERS + 1);
    let bearer = |token: &str| format!("Authorization: Bearer {token}\r\n");
    let signed = |claims: &str| bearer(&realm.key.sign("at+jwt", claims));
    let of_anna = |index| claims("anna", index, now, "");
    let elsewhere = of_anna(9_001).replace(&format!("\"{AUDIENCE}\""), "\"elsewhere\"");
    let expired = claims("anna", 9_002, now - 7_200, "");
    let ahead = claims("anna", 9_003, now + 1_000_000, "");
    let stranger = TokenKey::new("key-9").sign("at+jwt", &of_anna(9_004));
    let forged = TokenKey::new(&realm.key.kid).sign("at+jwt", &of_anna(9_005));
    let unstale = claims("anna", 9_006, now, r#","flr":1000000"#);
    let hostile = [
        (String::new(), 401),
        ("Authorization: Basic cm9vdDpyb290\r\n".to_owned(), 401),
        (bearer("a.b.c"), 401),
        (bearer(&sound[..sound.len() - 4]), 401),
        (bearer(&stranger), 401),
        (bearer(&forged), 401),
        (signed(&elsewhere), 401),
        (signed(&expired), 401),
        (signed(&ahead), 401),
        (signed(&unstale), 401),
        (bearer(&"a".repeat(17_000)), 401),
        (bearer(&sound).repeat(2), 400),
        (format!("{}X-Farside-Subject: root\r\n", bearer(&sound)), 400),
        (format!("{}x_farside.roles: root\r\n", bearer(&sound)), 400),
    ];
    let hostile =
        hostile.map(|(lines, status)| Arc::new(Question { text: text(&lines), status, names: None }));
    Questions { good: (1..=HOLDERS).map(holder).collect(), hostile: RwLock::new(hostile.to_vec()) }
}

fn good(subject: &str, token: &str) -> Question {
    let names = Some(format!("x-farside-subject: {subject}\r\n"));
    Question { text: text(&format!("Authorization: Bearer {token}\r\n")), status: 200, names }
}

fn text(lines: &str) -> Vec<u8> {
    format!("GET /verify?aud={AUDIENCE} HTTP/1.1\r\nHost: gate\r\n{lines}\r\n").into_bytes()
}

/// A bundle comes by which one more has left: admitted before, refused from then on. Seconds from its arrival
/// in the inbox until it is in force.
fn leave(realm: &mut Realm, far: &Far, doors: SocketAddr, nth: usize, questions: &Questions) -> f64 {
    let now = now_unix();
    let leaver = |nth: usize| format!("leaver-{nth}");
    let token = realm.key.sign("at+jwt", &claims(&leaver(nth), 100_000 + nth as u64, now, ""));
    let before = good(&leaver(nth), &token);
    let mut asking = Asking::connect(doors);
    asking.send(&before);
    assert!(asking.is_right(&before), "whoever has not left yet is admitted");
    let mut plan = present(realm.plan());
    let mut revoked = status(plan.seq);
    revoked.subjects = (0..=nth).map(|left| revoked_name(&leaver(left), now + 3_600)).collect();
    plan.status = Some(revoked);
    let name = format!("dome-{:08}.fbundle", plan.seq);
    let bundle = realm.send(plan);
    let inbox = far.config.inbox();
    std::fs::write(inbox.join("arriving"), bundle).expect("room in the inbox");
    let arrived = Instant::now();
    std::fs::rename(inbox.join("arriving"), inbox.join(name)).expect("room in the inbox");
    let after = Question { status: 401, names: None, ..before };
    loop {
        asking.send(&after);
        if asking.is_right(&after) {
            break;
        }
        assert!(arrived.elapsed().as_secs() < BUNDLE_SECONDS_MAX, "a bundle never came into force");
        std::thread::sleep(Duration::from_millis(10));
    }
    questions.hostile.write().expect("no client panics").push(Arc::new(after));
    arrived.elapsed().as_secs_f64()
}

/// One thread's share of the load, until it is told to end.
fn ask(doors: SocketAddr, thread: u64, questions: &Questions, counts: &Counts) {
    let mut connections: Vec<Asking> = (0..CONNECTIONS).map(|_| Asking::connect(doors)).collect();
    let mut turn = thread * 7_919;
    while !counts.ended.load(Ordering::Relaxed) {
        let hostile = questions.hostile.read().expect("no client panics").clone();
        let mut asked: Vec<&Question> = Vec::with_capacity(CONNECTIONS);
        for connection in &mut connections {
            turn += 1;
            let question = if turn.is_multiple_of(HOSTILE_EVERY) {
                counts.hostile.fetch_add(1, Ordering::Relaxed);
                &hostile[(turn / HOSTILE_EVERY) as usize % hostile.len()]
            } else {
                &questions.good[turn as usize % questions.good.len()]
            };
            connection.send(question);
            asked.push(question);
        }
        for (connection, question) in connections.iter_mut().zip(asked) {
            let right = connection.is_right(question);
            counts.answers.fetch_add(1, Ordering::Relaxed);
            counts.wrong.fetch_add(u64::from(!right), Ordering::Relaxed);
            let failed = connection.head.get(9) == Some(&b'5');
            counts.server_errors.fetch_add(u64::from(failed), Ordering::Relaxed);
        }
    }
}

/// One connection and the head of its last answer.
pub(crate) struct Asking {
    stream: BufReader<TcpStream>,
    head: Vec<u8>,
}

impl Asking {
    pub(crate) fn connect(doors: SocketAddr) -> Asking {
        let stream = TcpStream::connect(doors).expect("a gate that listens");
        stream.set_nodelay(true).expect("a TCP stream");
        stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a TCP stream");
        Asking { stream: BufReader::new(stream), head: Vec::new() }
    }

    fn send(&mut self, question: &Question) {
        self.say(&question.text);
    }

    pub(crate) fn say(&mut self, request: &[u8]) {
        self.stream.get_mut().write_all(request).expect("a gate that reads");
    }

    /// Reads the answer to its end, and gives its status.
    pub(crate) fn status(&mut self) -> Option<u16> {
        self.head.clear();
        while !self.head.ends_with(b"\r\n\r\n") {
            let read = self.stream.read_until(b'\n', &mut self.head).expect("a gate that answers");
            assert!(read > 0, "the gate hung up");
        }
        let head = String::from_utf8_lossy(&self.head);
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let mut body = vec![0; length.and_then(|length| length.parse().ok()).unwrap_or(0)];
        self.stream.read_exact(&mut body).expect("a whole answer");
        head.get(9..12).and_then(|status| status.parse().ok())
    }

    /// Compares the answer with the one that is right.
    fn is_right(&mut self, question: &Question) -> bool {
        let status = self.status();
        let head = String::from_utf8_lossy(&self.head);
        let named = match &question.names {
            Some(line) => head.contains(line.as_str()),
            None => !head.contains("\r\nx-farside-subject: "),
        };
        let right = status == Some(question.status) && named;
        if !right && status != Some(200) {
            eprintln!("wrong: expected {}, heard {head}", question.status);
        }
        right
    }
}
