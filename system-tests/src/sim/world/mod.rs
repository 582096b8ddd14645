//! A world: one mint, its sites, their couriers, and an agenda of what happens when.

mod courier;
mod doors;
mod mint;
mod mishaps;
mod people;

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};
use std::path::PathBuf;

use super::clock::{self, Clock};
use super::dice::Dice;
use super::far::Far;
use super::history::{History, Step};
use super::near::{Known, Near};
use super::oracle;
use super::scenario::{BEGIN, DAY, HOUR, Scenario, SitePlan};
use crate::programs::scratch;

/// Of a thousand worlds so many end with a second mint on a copy of the whole disk.
const TWINS_PERMILLE: u64 = 300;

/// What may happen. Sites are named by their place in the scenario.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Event {
    /// The mint looks at what is due.
    Cadence(usize),
    /// Somebody has a bundle made besides.
    Extra(usize),
    /// The calendar is continued.
    PlanKeys(usize),
    /// A courier leaves, or ought to.
    Depart(usize),
    /// A courier arrives with these bundles.
    Arrive(usize, Vec<u64>),
    /// A receipt is typed in.
    Receipt(usize, u64, String),
    /// Somebody asks for a token and carries it across by hand.
    Ask(usize),
    /// Tokens are shown at a door: that one, or some.
    Show(usize, Option<String>),
    /// Somebody at the mint revokes, pardons, or changes terms.
    People(usize),
    /// Something happens to a gate.
    Far(usize),
    /// A gate's clock is set, as somebody does from time to time.
    SetClock(usize),
    /// A gate's clock is found to be wrong, and set.
    MendClock(usize),
    /// Terms go back to what they were.
    OldTerms(usize),
    /// Something happens to the mint.
    Near,
    /// A copy of the mint is put back.
    Restore,
}

/// A backup of the mint, and what was so when it was made.
struct MintCopy {
    known: Known,
    sites: Vec<SiteCopy>,
}

struct SiteCopy {
    near: oracle::Site,
    every: u64,
    leaves: u64,
}

/// One site on both sides of its gap.
pub(super) struct SiteLife {
    plan: SitePlan,
    every_at_first: u64,
    /// When the cadence is next to be looked at: earlier entries of the agenda are void.
    cadence_at: u64,
    /// The same of the calendar.
    keys_at: u64,
    far: Far,
    /// What the gate must hold.
    model: oracle::Gate,
    near: oracle::Site,
    tokens: Vec<oracle::Token>,
    known: BTreeSet<String>,
    /// Tokens to be shown at the next occasion: something happened to them.
    watched: BTreeSet<String>,
    admitted: BTreeSet<(String, String)>,
    /// The newest bundle that the courier knows to have been handed over.
    carried: u64,
    missed: u32,
    copy: Option<oracle::Gate>,
    /// Until then nobody can promise holders anything: a key was lost in an emergency.
    excused_until: u64,
    /// What the gate has shown: it never goes back.
    marks: (u64, u64),
}

/// Everything.
pub(super) struct World {
    pub(super) scenario: Scenario,
    pub(super) history: History,
    pub(super) bundles: u64,
    pub(super) shown: u64,
    dice: Dice,
    now: u64,
    agenda: BinaryHeap<Reverse<(u64, u64, Event)>>,
    serial: u64,
    mint_clock: Clock,
    mint_copy: Option<MintCopy>,
    near: Near,
    sites: Vec<SiteLife>,
    folder: tempfile::TempDir,
}

impl World {
    /// Founds realm and sites, and sends each its first bundle.
    pub(super) fn found(scenario: Scenario, dice: Dice) -> Step<World> {
        let folder = scratch();
        clock::set(BEGIN);
        let near = Near::found(&folder.path().join("near"), BEGIN);
        let mut world = World {
            scenario: scenario.clone(),
            history: History::new(),
            bundles: 0,
            shown: 0,
            dice,
            now: BEGIN,
            agenda: BinaryHeap::new(),
            serial: 0,
            mint_clock: Clock::default(),
            mint_copy: None,
            near,
            sites: Vec::new(),
            folder,
        };
        for plan in scenario.sites {
            world.settle(plan)?;
        }
        let first = world.dice.between(DAY, world.pace(40));
        world.after(first, Event::Near);
        Ok(world)
    }

    /// Lives until the scenario's days are over; what is wrong stops it.
    pub(super) fn live(&mut self) -> Step {
        let end = BEGIN + self.scenario.days * DAY;
        while let Some(Reverse((at, _, event))) = self.agenda.pop() {
            if at > end {
                break;
            }
            self.now = at.max(self.now);
            clock::set(self.mint_now());
            self.history.steps += 1;
            self.happen(event)?;
        }
        self.account()?;
        if self.dice.permille(TWINS_PERMILLE) { self.twin() } else { Ok(()) }
    }

    fn happen(&mut self, event: Event) -> Step {
        match event {
            Event::Cadence(site) => self.cadence(site),
            Event::Extra(site) => self.extra(site),
            Event::PlanKeys(site) => self.plan_keys(site),
            Event::Depart(site) => self.depart(site),
            Event::Arrive(site, seqs) => self.arrive(site, &seqs),
            Event::Receipt(site, seq, code) => self.receipt(site, seq, &code),
            Event::Ask(site) => self.ask(site),
            Event::Show(site, token) => self.show(site, token),
            Event::People(site) => self.people(site),
            Event::Far(site) => self.far(site),
            Event::SetClock(site) => self.set_clock(site),
            Event::MendClock(site) => self.mend_clock(site),
            Event::OldTerms(site) => self.set_every(site, self.sites[site].every_at_first),
            Event::Near => self.near(),
            Event::Restore => self.restore_mint(),
        }
    }

    /// A site is added, enrolled, given keys, and its first bundle made.
    fn settle(&mut self, plan: SitePlan) -> Step {
        let (site, now) = (self.sites.len(), self.now);
        let (mut far, recipient) = Far::make(&self.folder.path().join(&plan.name), &plan.name, now)?;
        self.near.add_site(&plan, now)?;
        if plan.sealed {
            self.near.enrol(&plan.name, &recipient)?;
        }
        far.trust(&self.near.newest_charter()?, now)?;
        if plan.serves {
            far.serve();
        }
        far.clock = Clock { offset_seconds: 0, drift_ppm: plan.drift_ppm, set_at: now };
        self.sites.push(SiteLife {
            every_at_first: plan.every,
            cadence_at: 0,
            keys_at: now,
            plan,
            far,
            model: oracle::Gate { floor: farside_gate::trust::BUILT_AT, ..oracle::Gate::default() },
            near: oracle::Site::default(),
            tokens: Vec::new(),
            known: BTreeSet::new(),
            watched: BTreeSet::new(),
            admitted: BTreeSet::new(),
            carried: 0,
            missed: 0,
            copy: None,
            excused_until: 0,
            marks: (0, 0),
        });
        self.plan_keys(site)?;
        self.release_policy(site)?;
        self.place_orders(site)?;
        self.make(site, farside_crossing::Kind::Full)?;
        let plan = self.sites[site].plan.clone();
        let first = self.dice.below(plan.courier / 3);
        self.after(first, Event::Depart(site));
        self.due_in(site, plan.every);
        for (event, within) in [
            (Event::Ask(site), plan.every),
            (Event::People(site), plan.pace(30)),
            (Event::Far(site), plan.pace(30)),
            (Event::SetClock(site), 10 * DAY),
            (Event::Extra(site), plan.pace(30)),
        ] {
            let after = self.dice.between(HOUR, within);
            self.after(after, event);
        }
        Ok(())
    }

    /// So many days, or fewer where the world lives fast.
    fn pace(&self, days: u64) -> u64 {
        if self.scenario.days < 100 { days * DAY / 10 } else { days * DAY }
    }

    fn mint_now(&self) -> u64 {
        self.mint_clock.shows(self.now)
    }

    fn after(&mut self, seconds: u64, event: Event) {
        self.at(self.now + seconds, event);
    }

    fn at(&mut self, at: u64, event: Event) {
        self.serial += 1;
        self.agenda.push(Reverse((at, self.serial, event)));
    }

    fn tell(&mut self, site: usize, what: impl std::fmt::Display) {
        let (day, second) = ((self.now - BEGIN) / DAY, (self.now - BEGIN) % DAY);
        let name = &self.sites[site].plan.name;
        let line = format!("day {day} +{second} s {name}: {what}");
        self.history.tell(line);
    }

    fn name(&self, site: usize) -> String {
        self.sites[site].plan.name.clone()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}
