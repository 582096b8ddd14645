//! The mint: the signing service on the connected side, and the only room that holds private keys.
//!
//! ```text
//!   directory ─┐                          ┌─ charter (root, k of n)
//!   sites ─────┼─ store ── judge ── issue ┤
//!   calendar ──┘             │            └─ release documents (k of n)
//!                         log leaf                  │
//!                            └────── bundler ───────┴──▶ outbox/<site>/
//! ```
//!
//! It refuses to sign what it could not log, to give one bundle number two contents, and to add a key or
//! loosen a policy without the release signers of the charter.

pub mod bundler;
pub mod calendar;
pub mod ceremony;
pub mod cli;
pub mod client;
pub mod config;
pub mod evidence;
pub mod founding;
pub mod import;
pub mod keys;
pub mod names;
pub mod release;
pub mod revocation;
pub mod role_keys;
pub mod rotation;
pub mod site;
pub mod status;
pub mod status_pages;
pub mod store;

pub mod claims;
pub mod control;
pub mod desk;
pub mod issue;
pub mod judge;
pub mod log;
pub mod oauth;
pub mod orders;
pub mod plan;
pub mod serve;
pub mod tally;
pub mod tiers;
pub mod token_signer;
pub mod watch;
