//! Years of a realm in seconds: the real mint, bundler and gate on a virtual clock, a disk in memory and a
//! courier who comes late, twice, out of order or not at all.
//!
//! ```text
//!   seed ─▶ scenario ─▶ world ── agenda: what happens when ──▶ mint · courier · gates · people
//!                         │                                           │ what they did
//!                         └──────── oracle: a small model ◀───────────┘ must agree, at every step
//! ```
//!
//! A failure names its seed and step, and shows what happened last; the same seed lives the same life. Only
//! keys, nonces and with them signatures are random: no decision hangs on them. `FARSIDE_SIMULATE_ALOUD=1`
//! prints everything that happens.
//!
//! Held at every step: no token outlives its key, no good token is refused within the declared interval,
//! nothing older is ever trusted, no revoked token is admitted after its bundle, no fork; every import ends
//! as the model foresees, three missed couriers cause no outage, a gate says how fresh it is; and in the end
//! every admitted token stands in the mint's log.

mod clock;
mod dice;
mod far;
mod history;
mod lives;
mod near;
mod oracle;
pub mod questions;
mod scenario;
mod world;

pub use history::Wrong;
pub use lives::{Failure, Lived, Run, Sum, live, live_one, many};
pub use scenario::{Scenario, SitePlan};
