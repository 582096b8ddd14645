//! What the mint does in a world: bundles, keys, tokens.

use std::collections::BTreeSet;
use std::rc::Rc;

use farside_crossing::{Kind, inspect};
use farside_mint::release::Document;

use super::{Event, SiteLife, World};
use crate::sim::history::{Step, could, wrong};
use crate::sim::near::{SUBJECTS, refused_as_foreseen};
use crate::sim::oracle::{Bundle, Content};
use crate::sim::scenario::{DAY, HOUR, LEEWAY};

/// Couriers that may be missed.
const COURIERS_MISSED_MAX: u64 = 3;
/// Bundles that stay in the outbox for late couriers and replays.
const KEPT: u64 = 120;
/// Where a clock was set back by a little, a bundle's time stands still.
const STEP_MAX: u64 = 60;

impl World {
    /// The mint's own round. Whatever it makes is noted for every site.
    pub(super) fn cadence(&mut self, site: usize) -> Step {
        if self.now != self.sites[site].cadence_at {
            return Ok(());
        }
        let now = self.mint_now();
        self.near.desk().round(now);
        for other in 0..self.sites.len() {
            self.note_new(other)?;
        }
        // Not later than the last one promised, whatever the terms are by now; a beacon puts nothing off.
        let SiteLife { plan, near, .. } = &self.sites[site];
        let content = near.bundles.values().rev().find(|bundle| bundle.kind != Kind::Beacon);
        let content_at = content.map_or(0, |bundle| bundle.issued_at);
        let due = |last: &Bundle| (content_at + plan.every).min(last.next_by - plan.courier);
        let due = near.bundles.last_key_value().map_or(0, |(_, last)| due(last));
        if now >= due {
            return wrong("the cadence makes what is due", format!("none for {} at {now}", self.name(site)));
        }
        // By the mint's clock it is due then; a second more, so that it is not early by ours.
        let due = due.saturating_sub(now).max(1);
        self.due_in(site, due + 1);
        Ok(())
    }

    pub(super) fn due_in(&mut self, site: usize, seconds: u64) {
        self.sites[site].cadence_at = self.now + seconds;
        self.after(seconds, Event::Cadence(site));
    }

    /// Somebody has a bundle made out of turn.
    pub(super) fn extra(&mut self, site: usize) -> Step {
        let kind = self.dice.pick(&[Kind::Full, Kind::Delta, Kind::Beacon, Kind::Beacon]);
        let plan = &self.sites[site].plan;
        let after = self.dice.between(plan.pace(5), plan.pace(60));
        self.after(after, Event::Extra(site));
        let content = self.sites[site].near.bundles.values().rev().find(|last| last.kind != Kind::Beacon);
        let behind = content.is_none_or(|last| last.content.charter < self.near.charters);
        if kind == Kind::Beacon && behind {
            // Nobody who missed the charter could read it.
            return match self.near.make(&self.name(site), kind, None, self.mint_now()) {
                Err(failure) => refused_as_foreseen(&failure, true, "a beacon behind a new charter"),
                Ok(seq) => {
                    wrong("every bundle can be read by whoever holds its base", format!("beacon {seq}"))
                }
            };
        }
        self.make(site, kind)
    }

    /// Has a bundle made, which must work.
    pub(super) fn make(&mut self, site: usize, kind: Kind) -> Step {
        could("a bundle is made", self.near.make(&self.name(site), kind, None, self.mint_now()))?;
        self.note_new(site)
    }

    /// Has a bundle made for a gate that is late by many: with a proof from where its log stands.
    pub(super) fn make_since(&mut self, site: usize, size: u64) -> Step {
        let made = self.near.make(&self.name(site), Kind::Full, Some(size), self.mint_now());
        could("a bundle is made for a late gate", made)?;
        self.note_new(site)
    }

    fn note_new(&mut self, site: usize) -> Step {
        let (seq, leaves) = self.near.newest(&self.name(site));
        match seq.checked_sub(self.sites[site].near.last_seq()) {
            Some(0) => Ok(()),
            Some(1) => self.note(site, seq, leaves),
            _ => wrong("no fork", format!("{} is at bundle {seq} all at once", self.name(site))),
        }
    }

    /// Reads what the mint has made, and holds it against what was to be made.
    fn note(&mut self, site: usize, seq: u64, leaves: u64) -> Step {
        let file = self.near.outbox(&self.name(site), seq);
        let bytes = could("a bundle lies in the outbox", std::fs::read(&file))?;
        let seen = inspect::inspect(&bytes);
        let (Some(manifest), Some(digest), None) = (seen.manifest, seen.digest, seen.fault) else {
            return wrong("a bundle reads", file.display());
        };
        let (now, life) = (self.mint_now(), &self.sites[site]);
        let last = life.near.bundles.last_key_value().map(|(_, last)| last);
        let before = last.map_or(0, |last| last.issued_at);
        let issued_at = if (now..=now + STEP_MAX).contains(&before) { before } else { now };
        let next_by = issued_at + life.plan.every + life.plan.courier;
        let not_after = next_by + COURIERS_MISSED_MAX * life.plan.courier;
        let wanted = (seq, issued_at, next_by, not_after, last.map(|last| last.digest.clone()));
        let found = (
            manifest.seq,
            manifest.issued_at,
            manifest.next_by,
            manifest.not_after,
            manifest.prev.map(|prev| prev.hex()),
        );
        if wanted != found {
            return wrong("a bundle says when it is due and ends", format!("{found:?}, not {wanted:?}"));
        }
        let bundle = Bundle {
            seq,
            digest: digest.hex(),
            kind: manifest.kind,
            base: manifest.base.map_or(0, |base| base.seq),
            issued_at,
            next_by,
            not_after,
            content: Content {
                seq,
                keys: life.near.documents.last().cloned().unwrap_or_default(),
                revoked: Rc::clone(&life.near.revoked),
                leaves,
                online: self.near.online,
                charter: self.near.charters,
            },
        };
        self.tell(site, format_args!("bundle {seq}, {:?}, until {not_after}", bundle.kind));
        self.keep(site, bundle);
        Ok(())
    }

    fn keep(&mut self, site: usize, bundle: Bundle) {
        self.bundles += 1;
        let life = &mut self.sites[site];
        if bundle.kind != Kind::Beacon {
            let version = life.near.version();
            life.near.crosses(version, bundle.issued_at + life.plan.courier);
        }
        let old = bundle.seq.saturating_sub(KEPT);
        life.near.bundles.insert(bundle.seq, bundle);
        life.near.bundles.remove(&old);
        let _ = std::fs::remove_file(self.near.outbox(&life.plan.name, old));
    }

    /// Continues the calendar, in time or, where people are sloppy, too late.
    pub(super) fn plan_keys(&mut self, site: usize) -> Step {
        if self.now != self.sites[site].keys_at {
            return Ok(());
        }
        let periods = usize::try_from(self.dice.between(1, 3)).expect("small");
        let plan = self.sites[site].plan.clone();
        let made = self.near.plan_keys(&plan, None, periods, self.mint_now())?;
        let ends = made.last().map_or(self.now, |key| key.sign_until);
        self.tell(site, format_args!("{periods} keys, the last signs until {ends}"));
        self.sites[site].near.keys.extend(made);
        self.release_keys(site)?;
        let lead = match plan.faithful {
            // By the rarest bundles that there may be until then, whatever the cadence is at present.
            true => self.sites[site].every_at_first + 5 * plan.courier + self.dice.below(20 * DAY),
            false => self.dice.below(plan.every + 3 * plan.courier),
        };
        let at = ends.saturating_sub(lead).max(self.now + HOUR);
        self.sites[site].keys_at = at;
        self.at(at, Event::PlanKeys(site));
        Ok(())
    }

    /// Has release people sign the calendar as it is now.
    pub(super) fn release_keys(&mut self, site: usize) -> Step {
        let now = self.mint_now();
        self.near.release(&self.name(site), &Document::Keys, now)?;
        let near = &mut self.sites[site].near;
        if near.documents.is_empty() {
            near.first_released_at = now;
        }
        let live =
            near.keys.iter().filter(|key| key.accept_until > now && !near.revoked.keys.contains(&key.kid));
        let live: BTreeSet<String> = live.map(|key| key.kid.clone()).collect();
        near.documents.push(Rc::new(live));
        Ok(())
    }

    pub(super) fn release_policy(&mut self, site: usize) -> Step {
        self.near.release(&self.name(site), &Document::Policy, self.mint_now())
    }

    /// Holders who are kept supplied over three missed couriers.
    pub(super) fn place_orders(&mut self, site: usize) -> Step {
        let plan = self.sites[site].plan.clone();
        if !plan.sealed {
            return Ok(());
        }
        let orders = usize::try_from(plan.orders).expect("small");
        for subject in SUBJECTS.iter().take(orders) {
            self.near.place_order(&plan.name, subject, plan.lifetime_max, self.mint_now())?;
        }
        Ok(())
    }

    /// Somebody asks for a token; it is at the door at once, and once more when its time is over.
    pub(super) fn ask(&mut self, site: usize) -> Step {
        let plan = self.sites[site].plan.clone();
        let after = self.dice.between(HOUR, 2 * plan.every);
        self.after(after, Event::Ask(site));
        let subject = self.dice.pick(&SUBJECTS);
        let lifetime = match self.dice.permille(300) {
            true => self.dice.between(60, HOUR),
            false => self.dice.between(HOUR, plan.lifetime_max),
        };
        let now = self.mint_now();
        let foreseen = self.sites[site].near.anyone_may_sign(now);
        match self.near.issue(&plan.name, subject, lifetime, now) {
            Err(failure) => refused_as_foreseen(&failure, !foreseen, "a token is issued"),
            Ok(_) if !foreseen => wrong("no key signs before its bundle can have come", &plan.name),
            Ok(issued) => {
                let id = issued.token_id.clone();
                // As a mint does that serves: every ten seconds.
                could("heads are published", self.near.desk().issuer().log().publish())?;
                self.learn(site, &issued.token)?;
                self.show(site, Some(id.clone()))?;
                if self.dice.permille(200) {
                    self.show_at_the_end(site, &id, issued.expires_at + LEEWAY);
                }
                Ok(())
            }
        }
    }

    /// In the last second in which a token counts, and in the next one.
    fn show_at_the_end(&mut self, site: usize, id: &str, gate_time: u64) {
        let off = i64::try_from(self.sites[site].far.now(self.now)).expect("a time")
            - i64::try_from(self.now).expect("a time");
        let at = gate_time.saturating_add_signed(-off);
        for at in [at - 1, at] {
            self.at(at.max(self.now), Event::Show(site, Some(id.to_owned())));
        }
    }
}
