//! Free ports on loopback, for servers that are told theirs before they start.
//!
//! They lie below those that the system hands out by itself (from 32768 on, by default): so no connection and
//! no other listener of a test takes one between its being found and its being listened on.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU32, Ordering};

const FIRST: u16 = 20_000;
const PORTS: u32 = 12_000;

/// Ports that a process may ask for before the next process's begin.
const OF_A_PROCESS: u32 = 200;

static ASKED: AtomicU32 = AtomicU32::new(0);

/// An address that nobody listens on, and that this process is not given again.
pub(crate) fn free_address() -> SocketAddr {
    let begin = std::process::id().wrapping_mul(OF_A_PROCESS);
    for _ in 0..PORTS {
        let place = begin.wrapping_add(ASKED.fetch_add(1, Ordering::Relaxed)) % PORTS;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, FIRST + place as u16));
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
    panic!("loopback has no free port between {FIRST} and {}", u32::from(FIRST) + PORTS);
}
