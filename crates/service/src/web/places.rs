//! The places of a server: so many connections at once and no more, and nobody who waits for its own client
//! keeps out one who has something to say.
//!
//! ```text
//!   free ──▶ taken ──▶ a request is under way ──▶ waits for its client again
//!                        keeps its place             gives it up when all are taken and another one comes
//! ```
//!
//! Who gives way first: of the peer with the most connections the one that never brought a whole request,
//! and of those the one that has waited longest. So a flood drives out itself, from one address or from
//! many, and a proxy in use keeps its connections. A request under way is never given up; its own deadlines
//! end it.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicIsize, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use tokio::sync::Notify;

/// A connection that has been told to go: no request begins on it any more.
const DISMISSED: isize = isize::MIN / 2;

/// From where a connection comes: an address of IPv4, a network of IPv6 (whoever has one address there has
/// the whole /64), or this machine by a Unix socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Peer {
    V4(u32),
    V6(u64),
    Local,
}

impl From<IpAddr> for Peer {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address.to_bits()),
            IpAddr::V6(address) => Self::V6((address.to_bits() >> 64) as u64),
        }
    }
}

/// All places of one server.
pub(super) struct Places {
    max: usize,
    /// Owns who sits where.
    seats: Mutex<Seats>,
    shared: Arc<Shared>,
    dismissed: Rare,
    unaccepted: Rare,
}

/// Counts what may happen often, so that it is told at first and then ever more seldom.
#[derive(Default)]
struct Rare(AtomicU64);

impl Rare {
    fn again(&self) -> Option<u64> {
        Some(self.0.fetch_add(1, Ordering::Relaxed) + 1).filter(|count| count.is_power_of_two())
    }
}

/// What all seats of a server have in common.
#[derive(Default)]
struct Shared {
    /// The server counts its turns instead of asking a clock.
    turns: AtomicU64,
    /// Somebody has found all places taken by who is at work.
    wanted: AtomicBool,
    freed: Notify,
}

#[derive(Default)]
struct Seats {
    next: u64,
    taken: HashMap<u64, Arc<Seat>>,
    of_peer: HashMap<Peer, usize>,
}

/// What one connection is about.
pub(super) struct Seat {
    peer: Peer,
    /// Requests under way for which nothing is awaited from the client; or [`DISMISSED`].
    busy: AtomicIsize,
    /// A request of its was answered.
    proven: AtomicBool,
    /// The turn in which it last had something to do.
    since: AtomicU64,
    shared: Arc<Shared>,
    leave: Notify,
}

/// One connection's place, given back when dropped.
pub(super) struct Place {
    places: Arc<Places>,
    number: u64,
    seat: Arc<Seat>,
}

impl Places {
    pub(super) fn new(max: usize) -> Arc<Self> {
        Arc::new(Self {
            max: max.max(1),
            seats: Mutex::default(),
            shared: Arc::default(),
            dismissed: Rare::default(),
            unaccepted: Rare::default(),
        })
    }

    /// A place for who has just come: a free one, one whose holder gives way, or the next that comes free.
    pub(super) async fn take(self: &Arc<Self>, peer: Peer) -> Place {
        self.shared.wanted.store(true, Ordering::SeqCst);
        loop {
            if let Some(place) = self.try_take(peer) {
                self.shared.wanted.store(false, Ordering::SeqCst);
                return place;
            }
            self.shared.freed.notified().await;
        }
    }

    /// A connection could not be accepted, most likely because no file handle is left: then the one that
    /// waits longest gives its own back. True where there was one.
    pub(super) fn not_accepted(&self, fault: &io::Error) -> bool {
        if let Some(so_far) = self.unaccepted.again() {
            tracing::warn!(error = %fault, so_far, "a connection could not be accepted");
        }
        self.dismiss(&mut self.seats.lock().unwrap_or_else(PoisonError::into_inner), None)
    }

    fn try_take(self: &Arc<Self>, peer: Peer) -> Option<Place> {
        let mut seats = self.seats.lock().unwrap_or_else(PoisonError::into_inner);
        if seats.taken.len() >= self.max && !self.dismiss(&mut seats, Some(peer)) {
            return None;
        }
        let seat = Arc::new(Seat {
            peer,
            busy: AtomicIsize::new(0),
            proven: AtomicBool::new(false),
            since: AtomicU64::new(self.shared.turns.fetch_add(1, Ordering::Relaxed)),
            shared: Arc::clone(&self.shared),
            leave: Notify::new(),
        });
        let number = seats.next;
        seats.next += 1;
        seats.taken.insert(number, Arc::clone(&seat));
        *seats.of_peer.entry(peer).or_default() += 1;
        Some(Place { places: Arc::clone(self), number, seat })
    }

    fn dismiss(&self, seats: &mut Seats, newcomer: Option<Peer>) -> bool {
        loop {
            let share = |seat: &Seat| {
                let seated = seats.of_peer.get(&seat.peer).copied().unwrap_or(0);
                Reverse(seated + usize::from(newcomer == Some(seat.peer)))
            };
            let order = |seat: &Seat| {
                let (proven, since) = (&seat.proven, &seat.since);
                (share(seat), proven.load(Ordering::Relaxed), since.load(Ordering::Relaxed))
            };
            let waiting = seats.taken.iter().filter(|(_, seat)| seat.waits());
            let Some(number) = waiting.min_by_key(|(_, seat)| order(seat)).map(|(number, _)| *number) else {
                return false;
            };
            // It may have begun a request since.
            if seats.taken.get(&number).is_some_and(|seat| seat.dismissed()) {
                seats.give_up(number);
                self.tell();
                return true;
            }
        }
    }

    fn tell(&self) {
        metrics::counter!("farside_connections_dismissed_total").increment(1);
        if let Some(so_far) = self.dismissed.again() {
            tracing::warn!(so_far, places = self.max, "all places are taken: idle connections give way");
        }
    }
}

impl Seats {
    fn give_up(&mut self, number: u64) {
        let Some(seat) = self.taken.remove(&number) else { return };
        if let Some(count) = self.of_peer.get_mut(&seat.peer) {
            *count -= 1;
            if *count == 0 {
                self.of_peer.remove(&seat.peer);
            }
        }
    }
}

impl Place {
    pub(super) fn seat(&self) -> Arc<Seat> {
        Arc::clone(&self.seat)
    }

    /// Ends when the connection is to give way.
    pub(super) async fn called_back(&self) {
        self.seat.leave.notified().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.seats.lock().unwrap_or_else(PoisonError::into_inner).give_up(self.number);
        self.places.shared.freed.notify_one();
    }
}

impl Seat {
    /// A request has come; none where the connection is leaving, and then nothing may begin.
    pub(super) fn begin(self: &Arc<Self>) -> Option<Busy> {
        self.work().then(|| Busy(Arc::clone(self)))
    }

    fn waits(&self) -> bool {
        (DISMISSED + 1..=0).contains(&self.busy.load(Ordering::SeqCst))
    }

    fn dismissed(&self) -> bool {
        let waits = |busy: isize| (DISMISSED + 1..=0).contains(&busy).then_some(DISMISSED);
        let left = self.busy.fetch_update(Ordering::SeqCst, Ordering::SeqCst, waits).is_ok();
        if left {
            self.leave.notify_one();
        }
        left
    }

    fn work(&self) -> bool {
        self.count(1)
    }

    fn rest(&self) {
        self.since.store(self.shared.turns.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
        self.count(-1);
        if self.shared.wanted.load(Ordering::SeqCst) {
            self.shared.freed.notify_one();
        }
    }

    /// False where the connection is leaving.
    fn count(&self, more: isize) -> bool {
        let counted = |busy: isize| (busy != DISMISSED).then_some(busy + more);
        self.busy.fetch_update(Ordering::SeqCst, Ordering::SeqCst, counted).is_ok()
    }
}

/// A request under way.
pub(super) struct Busy(Arc<Seat>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.proven.store(true, Ordering::Relaxed);
        self.0.rest();
    }
}

/// A request's body as it arrives. While it is waited for, its connection may have to give way.
pub struct Arriving {
    body: Incoming,
    seat: Arc<Seat>,
    awaited: bool,
}

impl Arriving {
    pub(super) fn new(body: Incoming, seat: Arc<Seat>) -> Self {
        Self { body, seat, awaited: false }
    }
}

impl Body for Arriving {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if polled.is_pending() != self.awaited {
            self.awaited = polled.is_pending();
            if self.awaited {
                self.seat.rest();
            } else {
                self.seat.work();
            }
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Arriving {
    fn drop(&mut self) {
        // Its request goes on without it.
        if self.awaited {
            self.seat.work();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(last: u8) -> Peer {
        IpAddr::from([192, 0, 2, last]).into()
    }

    fn told_to_go(place: &Place) -> bool {
        place.seat.busy.load(Ordering::Relaxed) == DISMISSED
    }

    #[test]
    fn who_waits_longest_gives_way_and_who_is_at_work_never() {
        let places = Places::new(3);
        let first = places.try_take(peer(1)).unwrap();
        let second = places.try_take(peer(1)).unwrap();
        let third = places.try_take(peer(1)).unwrap();
        let at_work = first.seat.begin().unwrap();
        let fourth = places.try_take(peer(1)).unwrap();
        assert!(told_to_go(&second) && !told_to_go(&first) && !told_to_go(&third));
        assert!(second.seat.begin().is_none(), "nothing begins on a connection that leaves");
        let (_third, _fourth) = (third.seat.begin().unwrap(), fourth.seat.begin().unwrap());
        assert!(places.try_take(peer(1)).is_none(), "all are at work");
        assert!(!places.not_accepted(&io::Error::other("no handles")));
        drop(at_work);
        let _fifth = places.try_take(peer(1)).unwrap();
        assert!(told_to_go(&first));
    }

    #[test]
    fn a_connection_that_brought_a_request_outlives_those_that_never_did() {
        let places = Places::new(2);
        let proxy = places.try_take(peer(1)).unwrap();
        drop(proxy.seat.begin());
        let silent = places.try_take(peer(1)).unwrap();
        let next = places.try_take(peer(1)).unwrap();
        assert!(told_to_go(&silent) && !told_to_go(&proxy));
        drop(next);
        let _other = places.try_take(peer(1)).unwrap();
        assert!(!told_to_go(&proxy), "a place was free");
    }

    #[test]
    fn a_flood_from_one_peer_drives_out_its_own() {
        let places = Places::new(4);
        let (proxy, flood) = (peer(1), peer(2));
        let few: Vec<Place> = (0..2).map(|_| places.try_take(proxy).unwrap()).collect();
        let mut many: Vec<Place> = (0..100).map(|_| places.try_take(flood).unwrap()).collect();
        assert!(few.iter().all(|place| !told_to_go(place)));
        assert_eq!(many.iter().filter(|place| !told_to_go(place)).count(), 2);
        many.clear();
        let v6 = |text: &str| Peer::from(text.parse::<IpAddr>().unwrap());
        assert_eq!(v6("2001:db8::1"), v6("2001:db8::ffff:2"), "one network, one peer");
        assert_ne!(v6("2001:db8::1"), v6("2001:db8:0:1::1"));
        assert_eq!(v6("::ffff:192.0.2.1"), proxy);
    }

    #[tokio::test]
    async fn who_finds_no_place_has_the_next_that_comes_free() {
        let places = Places::new(1);
        let first = places.take(Peer::Local).await;
        let at_work = first.seat.begin();
        let waiting = tokio::spawn({
            let places = Arc::clone(&places);
            async move { drop(places.take(Peer::Local).await) }
        });
        tokio::task::yield_now().await;
        drop((at_work, first));
        waiting.await.unwrap();
    }

    #[tokio::test]
    async fn who_finds_all_at_work_has_the_place_of_the_first_to_finish() {
        let places = Places::new(1);
        let first = places.take(Peer::Local).await;
        let at_work = first.seat.begin();
        let mut waiting = Box::pin(places.take(Peer::Local));
        assert!(at_once(&mut waiting).await.is_none());
        drop(at_work);
        drop(waiting.await);
        assert!(told_to_go(&first));
    }

    /// What is ready now.
    async fn at_once<T>(future: &mut Pin<Box<impl Future<Output = T>>>) -> Option<T> {
        std::future::poll_fn(|context| match future.as_mut().poll(context) {
            Poll::Ready(value) => Poll::Ready(Some(value)),
            Poll::Pending => Poll::Ready(None),
        })
        .await
    }
}
