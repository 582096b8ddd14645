//! Load on an HTTP server from one core: many connections, one thread, nothing parsed that need not be. The
//! thread never sleeps: waking it up would cost the server's core more than some answers do, and the more the
//! slower the server is.
//!
//! ```text
//!   closed: each connection asks again once it is answered: what the server can do
//!   paced:  requests fall due at a steady rate, and their time counts from then on: what a caller waits for,
//!           also while the server does not get round to reading
//! ```

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::thread::{CpuSet, sched_setaffinity};

/// The core that servers run on.
pub(crate) const SERVER_CORE: usize = 0;
/// The core that the load comes from.
pub(crate) const LOAD_CORE: usize = 1;

const ANSWER_BYTES_MAX: usize = 64 << 10;
const EVENTS: usize = 256;
/// A server that answers nothing for so long has failed.
const PATIENCE: Duration = Duration::from_secs(20);

/// Keeps this thread, and what it starts from now on, on one core.
pub(crate) fn pin(core: usize) {
    let mut cores = CpuSet::new();
    cores.set(core);
    sched_setaffinity(None, &cores).expect("a machine with two cores");
}

/// Runs `work` on a thread of its own, on one core; processes started there stay there.
pub(crate) fn on_core<T: Send>(core: usize, work: impl FnOnce() -> T + Send) -> T {
    let pinned = move || {
        pin(core);
        work()
    };
    std::thread::scope(|scope| scope.spawn(pinned).join()).expect("work that ends well")
}

/// The text of the requests, one after another.
pub(crate) trait Requests: Send {
    /// The next one.
    fn next(&mut self) -> &[u8];
}

/// The same texts over and over.
pub(crate) struct InTurn {
    texts: Vec<Vec<u8>>,
    next: usize,
}

impl InTurn {
    pub(crate) fn new(texts: Vec<Vec<u8>>) -> InTurn {
        InTurn { texts, next: 0 }
    }
}

impl Requests for InTurn {
    fn next(&mut self) -> &[u8] {
        let now = self.next;
        self.next = (now + 1) % self.texts.len();
        &self.texts[now]
    }
}

/// How a server is loaded.
#[derive(Clone, Copy)]
pub(crate) struct Load {
    pub(crate) address: SocketAddr,
    pub(crate) connections: usize,
    pub(crate) lasting: Duration,
    /// Requests a second; as many as the server answers, where it is not said.
    pub(crate) pace: Option<f64>,
}

/// What came of it.
#[derive(Default, Clone)]
pub(crate) struct Outcome {
    pub(crate) per_second: f64,
    pub(crate) waits: Waits,
    /// How often each status was answered, by its first digit.
    pub(crate) statuses: [u64; 10],
}

impl Outcome {
    pub(crate) fn answers(&self) -> u64 {
        self.statuses.iter().sum()
    }

    /// Every answer was a success; anything else makes a figure worthless.
    #[track_caller]
    pub(crate) fn all_admitted(self, what: &str) -> Outcome {
        assert_eq!(self.answers(), self.statuses[2], "{what}: {:?}", self.statuses);
        self
    }
}

/// How long answers took, to about two percent.
#[derive(Clone)]
pub(crate) struct Waits(Vec<u64>);

impl Default for Waits {
    fn default() -> Waits {
        Waits(vec![0; 64 << Waits::STEP_BITS])
    }
}

impl Waits {
    const STEP_BITS: u32 = 6;

    fn add(&mut self, wait: Duration) {
        let nanos = u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX).max(1 << Waits::STEP_BITS);
        let shift = nanos.ilog2() - Waits::STEP_BITS;
        let place = (u64::from(shift) << Waits::STEP_BITS) + (nanos >> shift);
        self.0[place as usize] += 1;
    }

    /// Milliseconds within which `percent` of the answers came.
    pub(crate) fn ms(&self, percent: f64) -> f64 {
        let wanted = (self.0.iter().sum::<u64>() as f64 * percent / 100.0).ceil() as u64;
        let mut seen = 0;
        let place = self.0.iter().position(|count| {
            seen += count;
            seen >= wanted.max(1)
        });
        let place = place.unwrap_or(0) as u64;
        let steps = 1 << Waits::STEP_BITS;
        let shift = (place >> Waits::STEP_BITS).saturating_sub(u64::from(place >= steps));
        let value = (place - (shift << Waits::STEP_BITS)) << shift;
        value as f64 / 1e6
    }
}

impl Load {
    /// Loads the server from this thread.
    pub(crate) fn run(&self, requests: &mut dyn Requests) -> Outcome {
        let mut run = Run::new(self);
        match self.pace {
            None => run.closed(self.lasting, requests),
            Some(per_second) => run.paced(self.lasting, per_second, requests),
        }
        run.outcome
    }
}

struct Run {
    connections: Vec<Connection>,
    poll: rustix::fd::OwnedFd,
    buffer: Vec<u8>,
    outcome: Outcome,
    /// When the last answer came.
    heard: Instant,
}

struct Connection {
    stream: TcpStream,
    /// Since when an answer is awaited.
    asked: Option<Instant>,
    /// The beginning of an answer that has not come whole.
    held: Vec<u8>,
}

impl Run {
    fn new(load: &Load) -> Run {
        let poll = epoll::create(CreateFlags::CLOEXEC).expect("an epoll");
        let connect = |place: usize| {
            let stream = TcpStream::connect(load.address).expect("a server that listens");
            stream.set_nodelay(true).expect("a TCP stream");
            stream.set_nonblocking(true).expect("a TCP stream");
            let data = EventData::new_u64(place as u64);
            epoll::add(&poll, &stream, data, EventFlags::IN).expect("room in the epoll");
            Connection { stream, asked: None, held: Vec::new() }
        };
        let connections = (0..load.connections).map(connect).collect();
        let (buffer, outcome) = (vec![0; ANSWER_BYTES_MAX], Outcome::default());
        Run { connections, poll, buffer, outcome, heard: Instant::now() }
    }

    fn closed(&mut self, lasting: Duration, requests: &mut dyn Requests) {
        let start = Instant::now();
        for connection in &mut self.connections {
            connection.ask(requests.next(), start);
        }
        let mut now = start;
        while now < start + lasting {
            now = Instant::now();
            for place in self.readable() {
                if self.answered(place) {
                    self.connections[place].ask(requests.next(), Instant::now());
                }
            }
        }
        self.outcome.per_second = self.outcome.answers() as f64 / start.elapsed().as_secs_f64();
        self.drain();
    }

    fn paced(&mut self, lasting: Duration, per_second: f64, requests: &mut dyn Requests) {
        let start = Instant::now();
        let mut idle: Vec<usize> = (0..self.connections.len()).collect();
        let mut sent = 0_u64;
        loop {
            let now = Instant::now();
            let due = |nth: u64| start + Duration::from_secs_f64(nth as f64 / per_second);
            while now >= due(sent) && now < start + lasting {
                let Some(place) = idle.pop() else { break };
                self.connections[place].ask(requests.next(), due(sent));
                sent += 1;
            }
            for place in self.readable() {
                if self.answered(place) {
                    idle.push(place);
                }
            }
            if now >= start + lasting {
                break;
            }
        }
        self.outcome.per_second = self.outcome.answers() as f64 / start.elapsed().as_secs_f64();
        self.drain();
    }

    /// Waits for what was asked before the end.
    fn drain(&mut self) {
        while self.connections.iter().any(|connection| connection.asked.is_some()) {
            for place in self.readable() {
                self.answered(place);
            }
        }
    }

    /// Whose answers have begun to come. A server that keeps silent for long while it is asked has failed.
    fn readable(&mut self) -> Vec<usize> {
        let mut events = Vec::with_capacity(EVENTS);
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        match epoll::wait(&self.poll, rustix::buffer::spare_capacity(&mut events), Some(&at_once)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(errno) => panic!("epoll: {errno}"),
        }
        let asked = || self.connections.iter().any(|connection| connection.asked.is_some());
        if !events.is_empty() {
            self.heard = Instant::now();
        } else if self.heard.elapsed() > PATIENCE && asked() {
            panic!("no answer within {PATIENCE:?}");
        }
        events.iter().map(|event| event.data.u64() as usize).collect()
    }

    /// Reads what has come; whether that was the end of an answer.
    fn answered(&mut self, place: usize) -> bool {
        let connection = &mut self.connections[place];
        let read = match connection.stream.read(&mut self.buffer) {
            Ok(0) => panic!("the server hung up"),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
            Err(error) => panic!("the server hung up: {error}"),
        };
        let whole = if connection.held.is_empty() {
            end_of(&self.buffer[..read])
        } else {
            connection.held.extend_from_slice(&self.buffer[..read]);
            end_of(&connection.held)
        };
        if !whole {
            if connection.held.is_empty() {
                connection.held.extend_from_slice(&self.buffer[..read]);
            }
            return false;
        }
        let text = if connection.held.is_empty() { &self.buffer[..read] } else { &connection.held };
        self.outcome.statuses[usize::from(text[9] - b'0')] += 1;
        connection.held.clear();
        let asked = connection.asked.take().expect("an answer that was asked for");
        self.outcome.waits.add(asked.elapsed());
        true
    }
}

impl Connection {
    fn ask(&mut self, request: &[u8], at: Instant) {
        self.asked = Some(at);
        self.stream.write_all(request).expect("a server that reads");
    }
}

/// Whether an answer is whole: its header has ended, and so has the body that it announces.
fn end_of(answer: &[u8]) -> bool {
    let Some(header) = answer.windows(4).position(|four| four == b"\r\n\r\n") else { return false };
    answer.len() >= header + 4 + body_bytes(&answer[..header])
}

fn body_bytes(header: &[u8]) -> usize {
    const NAME: &[u8] = b"\r\ncontent-length:";
    let at = header.windows(NAME.len()).position(|text| text.eq_ignore_ascii_case(NAME));
    let Some(at) = at else { return 0 };
    let digits = header[at + NAME.len()..].trim_ascii_start();
    let digits = digits.iter().take_while(|byte| byte.is_ascii_digit());
    digits.fold(0, |number, digit| number * 10 + usize::from(digit - b'0'))
}

/// A GET of this path that shows this token.
pub(crate) fn get(path: &str, token: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: gate\r\nAuthorization: Bearer {token}\r\n\r\n").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_told_to_two_percent() {
        let mut waits = Waits::default();
        for millis in 1..=100 {
            waits.add(Duration::from_millis(millis));
        }
        for (percent, expected) in [(1.0, 1.0), (50.0, 50.0), (99.0, 99.0), (100.0, 100.0)] {
            let told = waits.ms(percent);
            assert!((told / expected - 1.0).abs() < 0.02, "{percent} %: {told}");
        }
    }

    #[test]
    fn an_answer_ends_with_its_body() {
        assert!(end_of(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab"));
        assert!(!end_of(b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\nab"));
        assert!(!end_of(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n"));
        assert!(end_of(b"HTTP/1.1 200 OK\r\nx: y\r\n\r\n"));
    }
}
