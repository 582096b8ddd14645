//! What happened on both sides of the gap, proven afterwards with public keys alone.
//!
//! ```text
//!   journals of mint, ferry, gate ──verify──▶ whole, or where not
//!                               └──send, export──▶ syslog, OCSF
//!   exports of mint and gates, journals ──▶ evidence ──reconcile──▶ findings ──report──▶ HTML, JSON
//! ```
//! For auditors. It reads what the programs have written and knows none of them: they meet in files.

mod brought;
pub mod cli;
mod evidence;
mod finding;
mod forward;
mod journals;
mod life;
mod lines;
mod noted;
mod ocsf;
mod reconcile;
mod report;
mod syslog;

#[cfg(test)]
mod staged;
#[cfg(test)]
#[expect(dead_code, reason = "tests of what crosses use more of it")]
#[path = "../../crossing/tests/crossing/support.rs"]
mod support;
