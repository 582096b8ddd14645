//! The gate on real files: what it lets in, whom it admits, and what it says about it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failure here is a failed test")]

mod freshness;
mod import;
mod inbox;
mod judge;
mod known;
mod log;
mod logged;
mod pickup;
mod policies;
mod realm;
mod revocation;
mod status;
mod trust_folder;
