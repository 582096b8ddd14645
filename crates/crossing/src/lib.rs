//! What crosses the gap, written and checked in one place: signed notes, the charter, bundles and their
//! acceptance.
//!
//! ```text
//!   note ── signer ── role ──────── charter            who may say what
//!                       │          clock              root's way back from bundles of a wrong time
//!         keys  policy (cedar)  fence  pardon          what release people sign
//!         status  lists  leaves  parcels (seal)        what the online key signs, through the manifest
//!         checkpoint  staple  cosignature              what the log key signs, and witnesses after it
//!         breakglass                                   what cards sign on the far side, in an emergency
//!                       │
//!         manifest ── bundle ── acceptance             one numbered file, and whether it may be applied
//!                       evidence                       what both sides hand to auditors of it all
//! ```
//!
//! For the mint, which packs, and the gate, which opens. It does no I/O, reads no clock, throws no dice and
//! holds no private signing key: signing takes a [`Signer`], randomness and time are arguments.
//! `spec/bundle.md` has the rules.

pub mod acceptance;
pub mod breakglass;
pub mod bundle;
pub mod cedar;
pub mod charter;
pub mod checkpoint;
pub mod clock;
pub mod cosignature;
pub mod digest;
pub mod document;
pub mod evidence;
pub mod fence;
pub mod fingerprint;
pub mod inspect;
pub mod keys;
pub mod leaves;
pub mod lists;
pub mod long_receipt;
pub mod manifest;
pub mod note;
pub mod pack;
pub mod parcels;
pub mod pardon;
pub mod policy;
pub mod receipt;
pub mod refusal;
pub mod role;
pub mod seal;
pub mod signer;
pub mod staple;
pub mod status;
mod text;
mod verifier_key;

pub use acceptance::{Acceptance, Clock, Stream, judge};
pub use breakglass::{GlassOrder, SignedOrder};
pub use bundle::Opened;
pub use charter::{Charter, CharterDraft};
pub use checkpoint::{Checkpoint, Head};
pub use clock::ClockDocument;
pub use digest::Digest;
pub use fence::FenceDocument;
pub use fingerprint::{ExpectedFingerprint, Fingerprint};
pub use keys::KeysDocument;
pub use lists::ListsDocument;
pub use long_receipt::{Counted, LongReceipt, ReceiptKey};
pub use manifest::{Base, ComponentEntry, ComponentType, JournalHead, Kind, Manifest};
pub use note::{Note, NoteFault};
pub use pack::{Draft, PackFault, Packed, Writer};
pub use parcels::{Claim, Parcel};
pub use pardon::PardonDocument;
pub use policy::{Action, AudiencePolicy, Breakglass, LEEWAY_SECONDS_MAX, Logged, PolicyDocument, StaleMax};
pub use receipt::ReceiptCode;
pub use refusal::{Code, Refusal};
pub use role::{Believed, Role, RoleName};
pub use seal::{RecipientPublic, RecipientSecret, SealContext};
pub use signer::{LogKey, MlDsaLevel, PairSignature, SignFailed, Signer, SignerPublic};
pub use staple::Staple;
pub use status::StatusDocument;
pub use text::RawJson;
