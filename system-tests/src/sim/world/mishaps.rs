//! What befalls machines in a world: restarts, clocks, backups put back, and charters made anew.

use farside_crossing::Kind;
use farside_mint::ceremony::own::LogChange;
use farside_mint::release::{Document, Pardoned};

use super::{Event, MintCopy, SiteCopy, World};
use crate::sim::far::outcome;
use crate::sim::history::{Step, could, wrong};
use crate::sim::scenario::{DAY, HOUR};

/// How far a mint's clock is set back or forth: by less than what bundles and gates forgive.
const MINT_STEP_MAX: u64 = 20;

impl World {
    /// Something happens to a gate.
    pub(super) fn far(&mut self, site: usize) -> Step {
        let plan = &self.sites[site].plan;
        let after = self.dice.between(plan.pace(3), plan.pace(50));
        self.after(after, Event::Far(site));
        let copy = self.path(&format!("{}.copy", self.sites[site].plan.name));
        match self.dice.below(100) {
            0..50 => {
                self.tell(site, "the gate is restarted");
                let machine = self.dice.permille(500).then_some(self.now);
                self.sites[site].far.sweep_quarantine();
                self.sites[site].far.start_again(machine)?;
            }
            50..70 => {
                self.tell(site, "the gate is copied");
                self.sites[site].far.copy_to(&copy)?;
                self.sites[site].copy = Some(self.sites[site].model.clone());
            }
            _ if self.sites[site].plan.faithful => {}
            70..84 => self.roll_back(site, &copy)?,
            _ => {
                let off =
                    self.dice.pick(&[-400, -90, -24, -3, 3, 2_000]) * i64::try_from(HOUR).expect("small");
                self.tell(site, format_args!("the gate's clock is off by {off} s"));
                let life = &mut self.sites[site];
                life.far.clock.set(self.now, off);
                // All that it once admitted, and must not by such a clock.
                life.watched.extend(life.tokens.iter().map(|token| token.id.clone()));
                if self.dice.permille(500) {
                    // An empty battery: the machine starts with it.
                    life.far.start_again(Some(self.now))?;
                }
                let after = self.dice.between(HOUR, 3 * DAY);
                self.after(after, Event::MendClock(site));
            }
        }
        self.hold_marks(site)?;
        self.show(site, None)
    }

    /// The gate's whole disk goes back to a copy: nothing on it can know. What it believes is older then, and
    /// it says so; the floors of newer tokens tell it.
    fn roll_back(&mut self, site: usize, copy: &std::path::Path) -> Step {
        let Some(model) = self.sites[site].copy.clone() else { return Ok(()) };
        self.tell(site, format_args!("the gate's disk is rolled back to bundle {}", model.seq));
        let life = &mut self.sites[site];
        life.far.restore_from(copy, self.now)?;
        life.marks = (0, 0);
        life.model = model;
        Ok(())
    }

    /// A gate's clock is set: rightly where people are faithful, about rightly elsewhere.
    pub(super) fn set_clock(&mut self, site: usize) -> Step {
        let next = if self.sites[site].plan.faithful { 10 * DAY } else { 60 * DAY };
        let after = self.dice.between(next / 2, next);
        self.after(after, Event::SetClock(site));
        self.mend_clock(site)
    }

    pub(super) fn mend_clock(&mut self, site: usize) -> Step {
        let within = if self.sites[site].plan.faithful { 10 } else { 150 };
        let off = i64::try_from(self.dice.below(2 * within + 1)).expect("small")
            - i64::try_from(within).expect("small");
        self.sites[site].far.clock.set(self.now, off);
        self.hold_marks(site)
    }

    /// Something happens to the mint.
    pub(super) fn near(&mut self) -> Step {
        let after = self.dice.between(self.pace(5), self.pace(60));
        self.after(after, Event::Near);
        match self.dice.below(100) {
            0..30 => self.restart_mint()?,
            30..45 => self.step_mint_clock(),
            45..70 => self.copy_mint(),
            70..80 => self.restore_mint()?,
            80..86 => self.hand_over("release")?,
            86..90 => self.hand_over("root")?,
            90..94 => self.hand_over("log")?,
            94..96 => self.hand_over("stolen log")?,
            _ => self.hand_over("online")?,
        }
        Ok(())
    }

    fn restart_mint(&mut self) -> Step {
        self.tell(0, "the mint is restarted");
        self.near.stop();
        could("the mint starts", self.near.start(self.mint_now()))
    }

    // Where something happens within a minute the mint would rightly stop: heads are signed in order of time.
    fn step_mint_clock(&mut self) {
        let soon = self.agenda.peek().is_none_or(|next| next.0.0 < self.now + 2 * MINT_STEP_MAX + 2);
        if soon {
            return;
        }
        let off = i64::try_from(self.dice.below(2 * MINT_STEP_MAX + 1)).expect("small")
            - i64::try_from(MINT_STEP_MAX).expect("small");
        self.mint_clock.set(self.now, off);
        self.tell(0, format_args!("the mint's clock is off by {off} s"));
    }

    fn copy_mint(&mut self) {
        self.tell(0, "the mint is copied, without its lock");
        let copy = self.path("near.copy");
        let _ = std::fs::remove_dir_all(&copy);
        self.near.copy_to(&copy);
        let site = |life: &super::SiteLife| SiteCopy {
            near: life.near.clone(),
            every: life.plan.every,
            leaves: self.near.newest(&life.plan.name).1,
        };
        let sites = self.sites.iter().map(site).collect();
        self.mint_copy = Some(MintCopy { known: self.near.known(), sites });
        // Soon enough, sometimes, that nothing has gone out since.
        if self.dice.permille(600) {
            let after = self.dice.between(60, 12 * HOUR);
            self.after(after, Event::Restore);
        }
    }

    /// An old copy is put in the place of the mint, beside its lock, on this machine or another. It must not
    /// start where bundles or tokens went out since: each number would come twice. Nor without the lock.
    pub(super) fn restore_mint(&mut self) -> Step {
        let Some(copied) = self.mint_copy.take() else { return Ok(()) };
        let newer = |(life, copy): (&super::SiteLife, &SiteCopy)| {
            let leaves = self.near.newest(&life.plan.name).1;
            life.near.last_seq() > copy.near.last_seq() || leaves > copy.leaves
        };
        let since = self.sites.iter().zip(&copied.sites).any(newer);
        let lock = !self.dice.permille(150);
        self.near.stop();
        self.near.swap(&self.path("near.copy"), lock);
        let started = self.near.start(self.mint_now());
        let how =
            format!("since {since}, lock {lock}: {}", if started.is_ok() { "it runs" } else { "it stops" });
        self.tell(0, format_args!("an old copy of the mint is started, {how}"));
        match started {
            Ok(()) if since || !lock => wrong("no fork", format!("an old copy of the mint starts, {how}")),
            Ok(()) => self.go_on_from(copied),
            Err(failure) if !since && lock => {
                wrong("what is asked by the book can be done", format!("a copy starts, {how}: {failure}"))
            }
            Err(_) => {
                self.near.stop();
                self.near.swap_back();
                could("the mint starts", self.near.start(self.mint_now()))
            }
        }
    }

    /// What was decided since the copy was made, and has not gone out, is lost.
    fn go_on_from(&mut self, copied: MintCopy) -> Step {
        self.near.keep_swapped();
        self.near.forget_since(copied.known);
        for (site, copy) in copied.sites.into_iter().enumerate() {
            let life = &mut self.sites[site];
            let lost = life.near.keys.len() > copy.near.keys.len();
            // Bundles are those that have gone out, and when they may be thought to have come.
            life.near = copy.near;
            life.plan.every = copy.every;
            self.due_in(site, 1);
            if lost {
                self.sites[site].keys_at = self.now;
                self.plan_keys(site)?;
            }
        }
        Ok(())
    }

    /// The end of a world: the whole disk of the mint is copied, lock and all, and both go on. Nothing on
    /// either can know. The gate does: it takes one of two bundles of one number, freezes, and goes on after
    /// release people have said with which.
    pub(super) fn twin(&mut self) -> Step {
        let site = usize::try_from(self.dice.below(self.sites.len() as u64)).expect("small");
        let (name, copy) = (self.name(site), self.path("near.twin"));
        self.tell(site, "the mint's whole disk is copied, and both go on");
        self.sites[site].far.clock.set(self.now, 0);
        self.near.stop();
        self.near.copy_disk(&copy);
        could("the mint starts", self.near.start(self.mint_now()))?;
        self.make(site, Kind::Full)?;
        let ours = self.sites[site].near.last_seq();
        self.offer(site, &[ours])?;
        if self.sites[site].model.seq != ours {
            return Ok(());
        }
        self.near.stop();
        self.near.swap_disk(&copy);
        self.now += HOUR;
        crate::sim::clock::set(self.mint_now());
        could("nothing shows on a copy of the whole disk", self.near.start(self.mint_now()))?;
        // Its next bundle, or only the one after that.
        let skipped = self.dice.permille(500);
        // The second follows another one than is held, and says so; the third could be anything's.
        for (number, foreseen) in ["fork", "fork", "frozen"].into_iter().enumerate() {
            let became = self.twin_offers(site, number > 0 || !skipped)?;
            if became.as_deref().is_some_and(|became| became != foreseen) {
                return wrong(
                    "no fork",
                    format!("bundle {number} of the other mint: {became:?}, not {foreseen}"),
                );
            }
        }
        self.thaw(site, &name, ours)
    }

    /// The other mint makes a bundle; it is offered, and what the gate says is answered.
    fn twin_offers(&mut self, site: usize, offered: bool) -> Step<Option<String>> {
        self.now += HOUR;
        crate::sim::clock::set(self.mint_now());
        let name = self.name(site);
        let made = self.near.make(&name, Kind::Full, None, self.mint_now());
        let path = self.near.outbox(&name, could("a bundle is made", made)?);
        if !offered {
            return Ok(None);
        }
        let file = path.file_name().expect("a file's name").to_string_lossy().into_owned();
        let bytes = could("a bundle is carried", std::fs::read(&path))?;
        let far = &self.sites[site].far;
        let reports = far.import_stick(&[(file, bytes)], far.now(self.now))?;
        let became = reports.first().map(outcome);
        let held = far.gate().trust().is_ok_and(|trust| trust.seq() == self.sites[site].model.seq);
        if became.as_deref() != Some("applied") && !held {
            return wrong("nothing older is ever trusted", format!("{became:?} has changed what is held"));
        }
        self.tell(site, format_args!("the other mint's bundle: {became:?}"));
        Ok(became)
    }

    /// Release people say with which the stream goes on.
    fn thaw(&mut self, site: usize, name: &str, ours: u64) -> Step {
        let next = self.near.newest(name).0 + 1;
        self.near.release(name, &Document::Fence(next..=next + 10), self.mint_now())?;
        let became = self.twin_offers(site, true)?;
        let trust = self.sites[site].far.gate().trust();
        let thawed = trust.is_ok_and(|trust| !trust.frozen() && trust.seq() == next);
        match became.as_deref() {
            Some("applied") if thawed => Ok(()),
            _ => wrong("a fence goes on after a fork", format!("from {ours} to {next}: {became:?}")),
        }
    }

    /// Keys of a role are handed over; what the old release people signed is signed again.
    fn hand_over(&mut self, role: &str) -> Step {
        self.tell(0, format_args!("new keys of role {role}"));
        let now = self.mint_now();
        match role {
            "root" => return self.near.rotate_root(now),
            "online" => return self.near.rotate_online(now),
            "log" => return self.near.rotate_log(LogChange::Follow, now),
            "stolen log" => return self.near.rotate_log(LogChange::Replace, now),
            _ => self.near.rotate_release(now)?,
        }
        for site in 0..self.sites.len() {
            self.release_keys(site)?;
            self.release_policy(site)?;
            let name = self.name(site);
            if self.near.has_pardons(&name) {
                // Nothing to sign again where all of it was revoked anew.
                let _ = self.near.release(&name, &Document::Pardon(Pardoned::default()), now);
            }
        }
        Ok(())
    }
}
