//! The gate on real files: what it lets in, whom it admits, and what it says about it.

mod import;
mod inbox;
mod judge;
mod pickup;
mod realm;
