//! Carries opaque files across the gap, one way. Both ends of the gap run it; it knows nothing of tokens,
//! trusts no name it reads, and never deletes what has not arrived.
//!
//! ```text
//!   DIR ── send ──▶ Out │ gap │ In ── receive ──▶ INBOX        each end keeps a journal of what it carried
//! ```
//!
//! A lane is two traits, [`lane::Out`] and [`lane::In`]; no type has both, so a way back cannot be written:
//!
//! ```compile_fail
//! fn listens<L: farside_ferry::lane::In>() {}
//! listens::<farside_ferry::lane::media::MediaOut>();
//! ```
//!
//! ```compile_fail
//! fn speaks<L: farside_ferry::lane::Out>() {}
//! speaks::<farside_ferry::lane::media::MediaIn>();
//! ```

mod cargo;
pub mod cli;
mod copy;
mod diary;
pub mod lane;
mod left;
mod medium;
mod receive;
mod send;
mod status;

pub use cargo::{Cargo, FILE_BYTES_MAX, Name};
pub use left::Left;
pub use receive::{Again, REMEMBERED, Receiving, receive};
pub use send::{Carried, Refused, Sending, send};
pub use status::{Folder, Found, Health, Medium, status};
