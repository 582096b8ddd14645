//! Believe a token, offline: compact JWS in, checked claims or a reasoned refusal out.
//!
//! ```text
//!   KeySet ──┐
//!   Policy ──┴─▶ Verifier ──verify(token, now)──▶ Verified<Claims>  or  Refusal{code, detail, cure}
//! ```
//! For gates, and for anyone who embeds it. No I/O, no clock, no secrets, no async. The rules are those
//! of `spec/token.md`, cited by number above the lines that obey them.

mod algorithm;
mod binding;
mod claims;
mod compact;
pub mod dpop;
mod edwards;
pub mod encode;
mod json;
mod jwk;
mod keys;
pub mod leaf;
pub mod merkle;
mod policy;
mod refusal;
mod ssh;
pub mod status_list;
mod strings;
mod time;
pub mod uri;
mod verifier;

pub use algorithm::Algorithm;
pub use binding::{Confirmation, StatusRef};
pub use claims::Claims;
pub use compact::TOKEN_BYTES_MAX;
pub use jwk::UnusableReason;
pub use keys::{
    KEY_ID_CHARS, KEY_SET_BYTES_MAX, KEYS_MAX, KeySet, KeySetError, UnusableKey, key_id, thumbprint,
};
pub use policy::{ACCESS_TOKEN_TYP, LEEWAY_SECONDS_DEFAULT, LIFETIME_SECONDS_MAX_DEFAULT, PLAIN_TYP, Policy};
pub use refusal::{Code, Refusal};
pub use ssh::{SSH_KEY_BYTES_MAX, SshKey, SshKeyError};
pub use verifier::{Payload, Verified, Verifier};
