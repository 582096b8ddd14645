//! What the system's tests share: the program under test, servers that are always stopped, a small HTTP
//! client, and a disk that can lose what was never synced. Only [`told`], [`ledger`] and
//! [`faketime`] know formats of Farside's.

pub mod cards;
pub mod crash;
pub mod disk;
pub mod faketime;
pub mod faults;
pub mod http;
pub mod ledger;
pub mod loss;
pub mod peers;
mod ports;
pub mod programs;
pub mod recorder;
pub mod sides;
pub mod sim;
pub mod softhsm;
pub mod source;
pub mod terminal;
pub mod told;
pub mod torture;
