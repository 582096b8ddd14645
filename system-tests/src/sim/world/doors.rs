//! Tokens at the doors of a world, and what must come of them.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use farside_crossing::Logged;
use serde_json::Value;

use super::World;
use crate::sim::far::Said;
use crate::sim::history::{Step, wrong};
use crate::sim::near::{SUBJECTS, audience};
use crate::sim::oracle::{Leaf, Token};
use crate::sim::scenario::DAY;

/// Tokens that are remembered of each site.
const REMEMBERED_MAX: usize = 48;
/// Tokens shown at one occasion, besides those that are watched.
const SHOWN: u64 = 3;

impl World {
    /// Holders collect what has come for them. Where everybody keeps to what is declared, each of them then
    /// has a token that opens the door.
    pub(super) fn collect(&mut self, site: usize) -> Step {
        let now = self.sites[site].far.now(self.now);
        let orders = usize::try_from(self.sites[site].plan.orders).expect("small");
        for subject in SUBJECTS.iter().take(orders) {
            for token in self.sites[site].far.collect(subject, now)? {
                self.learn(site, &token)?;
            }
        }
        Ok(())
    }

    /// Remembers a token, and holds it against the calendar.
    pub(super) fn learn(&mut self, site: usize, text: &str) -> Step {
        let Some(token) = read(text) else { return wrong("a token reads", "one that was just made") };
        let life = &mut self.sites[site];
        if !life.known.insert(token.id.clone()) {
            return Ok(());
        }
        let Some(key) = life.near.key(&token.kid) else {
            return wrong("a token is signed with a key of the calendar", &token.kid);
        };
        if token.exp > key.accept_until {
            return wrong("no token outlives its key", format!("{} until {}", token.id, token.exp));
        }
        let usable = life.near.usable_from(&token.kid).is_some_and(|from| from <= token.iat);
        if !usable || !(key.sign_from..key.sign_until).contains(&token.iat) {
            return wrong(
                "no key signs before its bundle can have come",
                format!("{} at {}", token.id, token.iat),
            );
        }
        if life.tokens.len() == REMEMBERED_MAX {
            // The oldest go, but some stay for ever.
            let place = if self.dice.permille(900) { 8 } else { 20 };
            life.tokens.remove(place);
        }
        life.tokens.push(token);
        Ok(())
    }

    /// Shows that token, or some of those that are known.
    pub(super) fn show(&mut self, site: usize, id: Option<String>) -> Step {
        let mut ids: Vec<String> = match id {
            Some(id) => vec![id],
            None => {
                let watched: Vec<String> =
                    std::mem::take(&mut self.sites[site].watched).into_iter().collect();
                (0..SHOWN).filter_map(|_| self.some_token(site)).chain(watched).collect()
            }
        };
        ids.sort();
        ids.dedup();
        let now = self.sites[site].far.now(self.now);
        for id in ids {
            let Some(token) = self.sites[site].tokens.iter().find(|token| token.id == id).cloned() else {
                continue;
            };
            self.show_one(site, &token, now)?;
        }
        self.hold_supply(site, now)
    }

    pub(super) fn some_token(&mut self, site: usize) -> Option<String> {
        let count = self.sites[site].tokens.len() as u64;
        // The newest half of the time.
        let from = if self.dice.permille(500) { count.saturating_sub(6) } else { 0 };
        let place = usize::try_from(from + self.dice.below(count - from)).ok()?;
        self.sites[site].tokens.get(place).map(|token| token.id.clone())
    }

    fn show_one(&mut self, site: usize, token: &Token, now: u64) -> Step {
        self.shown += 1;
        let life = &mut self.sites[site];
        let leaf = if life.plan.logged == Logged::Leaf { Leaf::Demanded } else { Leaf::Free };
        let key = life.near.key(&token.kid).expect("the key of a token that was learnt");
        let against = life.model.against(token, key, leaf, now);
        let said = life.far.show(&token.text, &audience(&life.plan.name), now)?;
        let detail = format!("token {} of {} at {now}: {said:?}, model {against:?}", token.id, token.subject);
        match (&said, against.first()) {
            (Said::Admitted { .. }, Some(reason)) => wrong(broken_by(reason), detail),
            (Said::Refused { .. }, None) => {
                wrong("no good token is refused within the declared interval", detail)
            }
            (Said::Refused { code }, Some(_)) if !against.contains(&code.as_str()) => {
                wrong("a refusal names what is the case", detail)
            }
            (Said::Admitted { sha256 }, None) => {
                life.admitted.insert((token.id.clone(), sha256.clone()));
                let told = format!("{} admitted", token.id);
                self.tell(site, told);
                Ok(())
            }
            (Said::Refused { code }, Some(_)) => {
                let told = format!("{} refused: {code}", token.id);
                self.tell(site, told);
                Ok(())
            }
        }
    }

    /// Three missed couriers cause no outage: each holder of a standing order has a token that is good.
    fn hold_supply(&mut self, site: usize, now: u64) -> Step {
        let holder = self.dice.below(self.sites[site].plan.orders);
        let life = &self.sites[site];
        if !life.plan.faithful || life.model.seq == 0 || self.now < life.excused_until {
            return Ok(());
        }
        if life.model.freshness(now) == "expired" {
            return wrong("three missed couriers cause no outage", format!("expired at {now}"));
        }
        let holder = usize::try_from(holder).expect("small");
        for subject in &SUBJECTS[holder..=holder] {
            let named = &life.model.content.revoked;
            let revoked = named.subjects.get(*subject).copied().unwrap_or_default().max(named.all);
            let mut collected = life.far.collect(subject, now)?.into_iter().filter_map(|text| read(&text));
            // Whoever was revoked has a token again once one made after that has come.
            let newest_due = life.model.issued_at.saturating_sub(life.plan.every + 4 * life.plan.courier);
            if collected.next().is_none() && revoked < newest_due {
                return wrong(
                    "three missed couriers cause no outage",
                    format!("{subject} has no token at {now}"),
                );
            }
        }
        Ok(())
    }

    /// In the end every token that was ever admitted stands in the mint's log, as it was shown.
    pub(super) fn account(&mut self) -> Step {
        let logged: std::collections::BTreeSet<(String, String)> = self.near.logged()?.into_iter().collect();
        for life in &self.sites {
            if let Some((id, _)) = life.admitted.iter().find(|admitted| !logged.contains(admitted)) {
                return wrong("every admitted token is in the mint's log", id);
            }
            if self.scenario.days >= 200 && life.admitted.is_empty() && life.plan.faithful {
                return wrong("a world in which nothing happens proves nothing", &life.plan.name);
            }
        }
        Ok(())
    }

    pub(super) fn excuse(&mut self, site: usize) {
        let plan = &self.sites[site].plan;
        let until = self.now + 2 * plan.every_and_couriers() + 2 * DAY;
        self.sites[site].excused_until = until;
    }
}

/// The promise that an admission breaks, by what spoke against it.
fn broken_by(reason: &str) -> &'static str {
    match reason {
        "key_retired" | "key_unknown" => "no token outlives its key",
        "revoked" => "no revoked token is admitted after its bundle",
        "floor_ahead" => "nobody brings fresh tokens to a gate that is kept stale",
        "stale" => "nothing is believed that has expired",
        "clock_fault" => "no clock behind what has passed is believed",
        "not_logged" => "no token is admitted without its leaf where that is demanded",
        _ => "no token is admitted outside its time",
    }
}

/// A token as its own text says it.
fn read(text: &str) -> Option<Token> {
    let mut segments = text.split('.');
    let mut next =
        || -> Option<Value> { serde_json::from_slice(&URL_SAFE_NO_PAD.decode(segments.next()?).ok()?).ok() };
    let (header, claims) = (next()?, next()?);
    let id = claims["jti"].as_str()?.to_owned();
    let index = u64::from_str_radix(id.rsplit('-').next()?, 36).ok()?;
    Some(Token {
        text: text.to_owned(),
        index,
        id,
        subject: claims["sub"].as_str()?.to_owned(),
        kid: header["kid"].as_str()?.to_owned(),
        iat: claims["iat"].as_u64()?,
        exp: claims["exp"].as_u64()?,
        floor: claims["flr"].as_u64().unwrap_or(0),
    })
}
