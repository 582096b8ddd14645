//! What happened on both sides of the gap, proven afterwards with public keys alone.
//!
//! ```text
//!   journals of mint, ferry, gate ──verify──▶ whole, or where not
//! ```
//! For auditors. It reads what the programs have written and knows none of them: they meet in files.

pub mod cli;
mod journals;
