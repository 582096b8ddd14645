//! Questions that planners ask, answered by living them: what bundles weigh, and how late a courier may be.

use farside_crossing::{Kind, Logged};
use farside_mint::release::Document;
use farside_verify::Algorithm;

use super::clock::{self, Clock};
use super::far::{Far, Said};
use super::history::{Step, could, wrong};
use super::near::{Near, audience};
use super::scenario::{BEGIN, DAY, LEEWAY, SitePlan};
use crate::programs::scratch;

/// Bundles made until the log's links and the leaves that are repeated are as many as they become.
const BUNDLES_UNTIL_STEADY: u64 = 28;
/// Bundles lived through to see whether anybody is left without a token.
const BUNDLES_SUPPLIED: u64 = 6;

/// A site that keeps to what is declared.
#[must_use]
pub fn site(every: u64, courier: u64, ttl: u64) -> SitePlan {
    SitePlan {
        name: "example-site".to_owned(),
        every,
        courier,
        lifetime_max: ttl,
        cryptoperiod: 90 * DAY,
        algorithm: Algorithm::Es256,
        sealed: true,
        logged: Logged::Leaf,
        faithful: true,
        drift_ppm: 0,
        orders: 1,
        receipts: false,
        serves: false,
    }
}

struct Pair {
    near: Near,
    far: Far,
    plan: SitePlan,
    _folder: tempfile::TempDir,
}

fn found(plan: SitePlan, holders: &[String]) -> Step<Pair> {
    let folder = scratch();
    clock::set(BEGIN);
    let near = Near::found(&folder.path().join("near"), BEGIN);
    let (mut far, recipient) = Far::make(&folder.path().join("far"), &plan.name, BEGIN)?;
    near.add_site(&plan, BEGIN)?;
    near.enrol(&plan.name, &recipient)?;
    far.trust(&near.newest_charter()?, BEGIN)?;
    near.plan_keys(&plan, None, 4, BEGIN)?;
    near.release(&plan.name, &Document::Keys, BEGIN)?;
    near.release(&plan.name, &Document::Policy, BEGIN)?;
    for holder in holders {
        near.add_subject(holder);
        near.place_order(&plan.name, holder, plan.lifetime_max, BEGIN)?;
    }
    Ok(Pair { near, far, plan, _folder: folder })
}

impl Pair {
    fn make(&self, kind: Kind, now: u64) -> Step<(u64, Vec<u8>)> {
        clock::set(now);
        let seq = could("a bundle is made", self.near.make(&self.plan.name, kind, None, now))?;
        let bytes = std::fs::read(self.near.outbox(&self.plan.name, seq));
        Ok((seq, could("a bundle lies in the outbox", bytes)?))
    }
}

/// What real bundles weigh.
#[derive(Debug, Clone, Copy)]
pub struct Weighed {
    /// Bytes of a full bundle, a delta and a beacon.
    pub bytes: [u64; 3],
    /// Leaves of the site's log by then.
    pub leaves: u64,
}

/// Weighs bundles of a site that has lived for a while with so many holders.
///
/// # Errors
/// The product could not do it.
pub fn weigh(users: u64, plan: SitePlan) -> Result<Weighed, super::Wrong> {
    let holders: Vec<String> = (0..users).map(|number| format!("holder.{:05x}", number * 7_919)).collect();
    let pair = found(plan, &holders)?;
    let mut now = BEGIN;
    for _ in 0..BUNDLES_UNTIL_STEADY {
        now += pair.plan.every;
        pair.make(Kind::Full, now)?;
    }
    let mut bytes = [0; 3];
    for (place, kind) in [Kind::Full, Kind::Delta, Kind::Beacon].into_iter().enumerate() {
        now += pair.plan.every;
        bytes[place] = pair.make(kind, now)?.1.len() as u64;
    }
    Ok(Weighed { bytes, leaves: pair.near.newest(&pair.plan.name).1 })
}

/// Whether a holder whose bundles each arrive so many seconds after they were made always has a token that
/// opens the door. The gate's clock is ahead by what is forgiven.
///
/// # Errors
/// The product could not do it.
pub fn supplied(plan: SitePlan, lateness: u64) -> Result<bool, super::Wrong> {
    let mut pair = found(plan, &["holder".to_owned()])?;
    pair.far.clock =
        Clock { offset_seconds: i64::try_from(LEEWAY).expect("small"), drift_ppm: 0, set_at: BEGIN };
    let (every, mut moments) = (pair.plan.every, Vec::new());
    for number in 0..BUNDLES_SUPPLIED {
        moments.push((BEGIN + number * every, None));
        moments.push((BEGIN + number * every + lateness, Some(number)));
    }
    moments.sort_unstable();
    let (mut bundles, mut token) = (Vec::new(), None::<String>);
    for (now, arrives) in moments {
        let Some(number) = arrives else {
            let (seq, bytes) = pair.make(Kind::Full, now)?;
            bundles.push((format!("{seq}.fbundle"), bytes));
            continue;
        };
        // The last moment before the next one comes is the hardest.
        if let Some(token) = &token {
            let before = pair.far.now(now - 1);
            if let Said::Refused { .. } = pair.far.show(token, &audience(&pair.plan.name), before)? {
                return Ok(false);
            }
        }
        let number = usize::try_from(number).expect("small");
        let gate_time = pair.far.now(now);
        pair.far.import_stick(&bundles[number..=number], gate_time)?;
        token = pair.far.collect("holder", gate_time)?.pop();
        if token.is_none() {
            return wrong("a carried token can be collected", format!("bundle {number}"));
        }
    }
    Ok(true)
}
