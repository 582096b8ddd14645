//! What befalls machines in a world: restarts, clocks, backups put back, and charters made anew.

use farside_mint::release::{Document, Pardoned};

use super::{Event, World};
use crate::sim::history::{Step, could, wrong};
use crate::sim::scenario::{DAY, HOUR};

/// How far a mint's clock is set back or forth: by less than what bundles and gates forgive.
const MINT_STEP_MAX: u64 = 20;

impl World {
    /// Something happens to a gate.
    pub(super) fn far(&mut self, site: usize) -> Step {
        let after = self.dice.between(3 * DAY, 50 * DAY);
        self.after(after, Event::Far(site));
        let copy = self.path(&format!("{}.copy", self.sites[site].plan.name));
        match self.dice.below(100) {
            0..50 => {
                self.tell(site, "the gate is restarted");
                self.sites[site].far.sweep_quarantine();
                self.sites[site].far.restart()?;
            }
            50..75 => {
                self.tell(site, "the gate is copied");
                self.sites[site].far.copy_to(&copy)?;
                self.sites[site].copy = Some(self.sites[site].model.clone());
            }
            _ if self.sites[site].plan.faithful => {}
            75..90 => self.roll_back(site, &copy)?,
            _ => {
                let off = self.dice.pick(&[-400, -3, 3, 30, 2_000]) * i64::try_from(HOUR).expect("small");
                self.tell(site, format_args!("the gate's clock is off by {off} s"));
                self.sites[site].far.clock.set(self.now, off);
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
        life.far.restore_from(copy)?;
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
        let after = self.dice.between(5 * DAY, 60 * DAY);
        self.after(after, Event::Near);
        match self.dice.below(100) {
            0..35 => self.restart_mint()?,
            35..50 => self.step_mint_clock(),
            50..60 => self.copy_mint(),
            60..80 => self.restore_mint()?,
            80..88 => self.hand_over("release")?,
            88..92 => self.hand_over("root")?,
            92..96 => self.hand_over("log")?,
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
        self.mint_copy = Some(self.sites.iter().map(|life| life.near.last_seq()).collect());
    }

    /// An old copy is put in the place of the mint, beside its lock. It must not start where bundles went out
    /// since: each number would come twice.
    fn restore_mint(&mut self) -> Step {
        let Some(copied) = self.mint_copy.take() else { return Ok(()) };
        let since = self.sites.iter().zip(&copied).any(|(life, seq)| life.near.last_seq() > *seq);
        self.near.stop();
        self.near.swap(&self.path("near.copy"));
        let started = self.near.start(self.mint_now());
        self.near.stop();
        self.near.swap_back();
        let told = format!(
            "an old copy of the mint is started: {}",
            if started.is_ok() { "it runs" } else { "it stops" }
        );
        self.tell(0, told);
        if since && started.is_ok() {
            return wrong("no fork", "an old copy of the mint starts beside a newer lock");
        }
        could("the mint starts", self.near.start(self.mint_now()))
    }

    /// Keys of a role are handed over; what the old release people signed is signed again.
    fn hand_over(&mut self, role: &str) -> Step {
        self.tell(0, format_args!("new keys of role {role}"));
        let now = self.mint_now();
        match role {
            "root" => return self.near.rotate_root(now),
            "online" => return self.near.rotate_online(now),
            "log" => return self.near.rotate_log(now),
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
