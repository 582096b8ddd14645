//! What people at the mint decide in a world: revocations, pardons, emergencies, other terms.

use std::rc::Rc;

use farside_crossing::Kind;
use farside_mint::release::{Document, Pardoned};
use farside_mint::revocation::What;

use super::{Event, World};
use crate::sim::history::Step;
use crate::sim::near::{GROUP, MEMBERS, SUBJECTS, terms};
use crate::sim::scenario::{DAY, HOUR};

impl World {
    /// Something is decided for one site.
    pub(super) fn people(&mut self, site: usize) -> Step {
        let plan = &self.sites[site].plan;
        let after = self.dice.between(plan.pace(2), plan.pace(40));
        self.after(after, Event::People(site));
        match self.dice.below(100) {
            0..30 => self.revoke_token(site)?,
            30..47 => self.revoke_subject(site)?,
            47..53 => self.revoke_group(site)?,
            53..60 => self.revoke_all(site)?,
            60..75 => self.pardon(site)?,
            75..85 => self.emergency(site)?,
            _ => return self.change_cadence(site),
        }
        if self.dice.permille(500) { self.make(site, Kind::Full) } else { Ok(()) }
    }

    fn revoke_token(&mut self, site: usize) -> Step {
        if self.sites[site].tokens.is_empty() {
            return Ok(());
        }
        let Some(id) = self.some_token(site) else { return Ok(()) };
        let position = id.parse().expect("a token's id is its position");
        let expires_at = self.sites[site].tokens.iter().find(|token| token.id == id).map(|token| token.exp);
        let what = What::Token { position, expires_at };
        self.near.revoke(&self.name(site), &what, None, self.mint_now())?;
        self.tell(site, format_args!("token {id} is revoked"));
        Rc::make_mut(&mut self.sites[site].near.revoked).tokens.insert(id.clone());
        self.sites[site].watched.insert(id);
        Ok(())
    }

    fn revoke_subject(&mut self, site: usize) -> Step {
        let (subject, now) = (self.dice.pick(&SUBJECTS), self.mint_now());
        // By name, or by the client id, which takes the subject with it.
        let by_client = self.dice.permille(300);
        let what = match by_client {
            true => What::Client(self.near.client_id(subject)),
            false => What::Subject(subject.to_owned()),
        };
        let before = self.moment(now);
        self.near.revoke(&self.name(site), &what, before, now)?;
        self.tell(site, format_args!("{subject} is revoked, before {before:?}"));
        let life = &mut self.sites[site];
        let revoked = Rc::make_mut(&mut life.near.revoked);
        if by_client {
            revoked.clients.insert(subject.to_owned());
        }
        let until = revoked.subjects.entry(subject.to_owned()).or_default();
        *until = before.unwrap_or(now).max(*until);
        let held = life.tokens.iter().filter(|token| token.subject == subject).map(|token| token.id.clone());
        life.watched.extend(held);
        Ok(())
    }

    /// Everything that was issued until now.
    fn revoke_all(&mut self, site: usize) -> Step {
        let now = self.mint_now();
        let before = self.moment(now);
        self.near.revoke(&self.name(site), &What::All, before, now)?;
        self.tell(site, format_args!("everything is revoked, before {before:?}"));
        let life = &mut self.sites[site];
        let revoked = Rc::make_mut(&mut life.near.revoked);
        revoked.all = before.unwrap_or(now).max(revoked.all);
        life.watched.extend(life.tokens.iter().map(|token| token.id.clone()));
        Ok(())
    }

    /// A moment that is past, where not everything until now is meant.
    fn moment(&mut self, now: u64) -> Option<u64> {
        self.dice.permille(300).then(|| now - self.dice.below(10 * DAY))
    }

    /// Whoever is in the group.
    fn revoke_group(&mut self, site: usize) -> Step {
        let now = self.mint_now();
        self.near.revoke(&self.name(site), &What::Group(GROUP.to_owned()), None, now)?;
        self.tell(site, "the group is revoked");
        let life = &mut self.sites[site];
        let revoked = Rc::make_mut(&mut life.near.revoked);
        for member in MEMBERS {
            revoked.clients.insert(member.to_owned());
            let until = revoked.subjects.entry(member.to_owned()).or_default();
            *until = now.max(*until);
        }
        let held = life.tokens.iter().filter(|token| MEMBERS.contains(&token.subject.as_str()));
        life.watched.extend(held.map(|token| token.id.clone()));
        Ok(())
    }

    /// A key has been stolen: it is revoked, and another made, released and sent at once.
    fn emergency(&mut self, site: usize) -> Step {
        let now = self.mint_now();
        let life = &self.sites[site];
        let signing = life.near.keys.iter().filter(|key| life.near.may_sign(key, now));
        let Some(kid) = signing.map(|key| key.kid.clone()).next_back() else { return Ok(()) };
        self.tell(site, "the signing key is stolen");
        self.near.revoke(&self.name(site), &What::Key(kid.clone()), None, now)?;
        let life = &mut self.sites[site];
        Rc::make_mut(&mut life.near.revoked).keys.insert(kid.clone());
        let held = life.tokens.iter().filter(|token| token.kid == kid).map(|token| token.id.clone());
        life.watched.extend(held);
        self.excuse(site);
        let plan = self.sites[site].plan.clone();
        let made = self.near.plan_keys(&plan, Some(now), 1, now)?;
        self.sites[site].near.keys.extend(made);
        self.release_keys(site)?;
        self.make(site, Kind::Full)
    }

    /// Something is taken back: by release people, since that loosens.
    fn pardon(&mut self, site: usize) -> Step {
        let revoked = Rc::clone(&self.sites[site].near.revoked);
        // What has expired is let go: there is nothing to take back.
        let (now, lifetime) = (self.mint_now(), self.sites[site].plan.lifetime_max);
        let lives =
            |id: &&String| self.sites[site].tokens.iter().any(|token| token.id == **id && token.exp > now);
        let token = revoked.tokens.iter().find(lives).cloned().filter(|_| self.dice.permille(600));
        let recent = |entry: &(&String, &u64)| entry.1 + lifetime > now && !revoked.clients.contains(entry.0);
        let by_name = revoked.subjects.iter().find(recent).filter(|_| token.is_none());
        let subject = by_name.map(|(name, _)| name.clone());
        if token.is_none() && subject.is_none() {
            return Ok(());
        }
        let pardoned = Pardoned {
            tokens: token.iter().map(|id| id.parse().expect("a position")).collect(),
            subjects: subject.iter().cloned().collect(),
            ..Pardoned::default()
        };
        self.near.release(&self.name(site), &Document::Pardon(pardoned), self.mint_now())?;
        self.tell(site, format_args!("pardoned: {token:?} {subject:?}"));
        let life = &mut self.sites[site];
        let left = Rc::make_mut(&mut life.near.revoked);
        left.tokens.retain(|id| Some(id) != token.as_ref());
        left.subjects.retain(|name, _| Some(name) != subject.as_ref());
        life.watched.extend(token);
        Ok(())
    }

    /// More bundles for a while, or as many as at first.
    fn change_cadence(&mut self, site: usize) -> Step {
        let back = self.sites[site].every_at_first;
        let every = self.dice.pick(&[back, back / 2, back / 3, back / 12, HOUR]).max(HOUR).min(back);
        if every < back {
            // Not for ever: that would be another site.
            let after = self.dice.between(every, (8 * every).max(12 * HOUR));
            self.after(after, Event::OldTerms(site));
        }
        self.set_every(site, every)
    }

    pub(super) fn set_every(&mut self, site: usize, every: u64) -> Step {
        self.sites[site].plan.every = every;
        let plan = self.sites[site].plan.clone();
        self.tell(site, format_args!("a bundle every {every} s"));
        self.near.set_terms(&plan.name, &terms(&plan), self.mint_now())?;
        self.due_in(site, 1);
        Ok(())
    }
}
