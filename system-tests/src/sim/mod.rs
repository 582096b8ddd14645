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
//!
//! That each of them is needed was tried on copies of the program with one check taken out, from seed 1 on:
//!
//! | taken out | found by | in seed, after site-years |
//! |---|---|---|
//! | revocations at the gate | no revoked token is admitted | 1, at once |
//! | a token's floor | nobody brings fresh tokens to a stale gate | 1, at once |
//! | proof of logging | no token without its leaf | 1, at once |
//! | bundles raise the time floor | a gate says how fresh it is | 1, at once |
//! | what is expired is not believed | nothing expired is believed | 7, 17 |
//! | older numbers are superseded | an import ends as foreseen | 1, at once |
//! | a successor names the bundle held | no fork | 4, 9 |
//! | an expired bundle is refused | an import ends as foreseen | 1, at once |
//! | a bundle of the future is refused | an import ends as foreseen | 9, 27 |
//! | a delta builds on the bundle held | an import ends as foreseen | 1, at once |

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
