//! How Farside's programs run: configuration, durable files, journal, logging, metrics, manners at the
//! command line and, behind the `tls` and `web` features, TLS and HTTP plumbing. It serves mint, ferry and
//! gate alike, and never learns what a token is.
//!
//! ```text
//!   asked     cli · config · duration · secret_file
//!   kept      durable (whole files) · append (records) ─ journal (a chain of records) · lock
//!   handed    export (a folder for auditors)
//!   told      logging · metrics
//!   lent      digest · random · time
//!   secured   tls: whom a client believes, what either end shows
//!   served    web: limits, TLS, graceful end, admin pages
//! ```

pub mod append;
pub mod cli;
pub mod config;
pub mod digest;
pub mod durable;
pub mod duration;
pub mod export;
mod harden;
pub mod journal;
pub mod lock;
pub mod logging;
pub mod metrics;
pub mod random;
pub mod secret_file;
pub mod time;
#[cfg(feature = "tls")]
pub mod tls;
#[cfg(feature = "web")]
pub mod web;

pub use harden::harden;
