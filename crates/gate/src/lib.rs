//! The gate: believes tokens on the isolated side with nothing but what has crossed.
//!
//! ```text
//!   inbox/ or stick ──▶ import ──▶ store ──▶ trust ──▶ judge ──▶ Grant ──▶ a door (http)
//!                          │                               └──▶ Refusal
//!                          └──▶ quarantine/
//!   order, signed by cards ──▶ breakglass ──▶ store, and the same way on
//! ```
//!
//! It holds public keys and one recipient secret, and no code that could sign a token. Whatever it cannot
//! judge, it refuses.

pub mod breakglass;
pub mod cli;
pub mod clock;
pub mod config;
pub mod enrol;
pub mod evidence;
pub mod freshness;
pub mod http;
pub mod import;
pub mod judge;
pub mod known;
mod live;
pub mod logged;
mod patience;
pub mod pickup;
pub mod published;
pub mod quarantine;
pub mod recipient;
pub mod replay;
pub mod revocations;
pub mod serve;
mod shown_lists;
pub mod status;
pub mod store;
mod trouble;
pub mod trust;
pub mod trust_folder;
