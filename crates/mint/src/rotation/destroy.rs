//! Private keys that have ended are destroyed, and the journal says so: first that it is going to be done,
//! then, once nothing is left of the key, that it was.
//!
//! ```text
//!   journal: …_destroying ─▶ row begun ─▶ overwrite, unlink ─▶ journal: …_destroyed ─▶ row done
//!                   crash anywhere: the next round goes on from the row
//! ```
//!
//! The record never claims what did not happen: a key that is missing although nobody had begun to destroy it
//! is written down as missing.

use rusqlite::OptionalExtension;
use serde_json::{Value, json};

use super::{RotationFault, Scene};
use crate::keys::KeyPlace;
use crate::store::{StoreFault, signed};

/// Whose private key it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Whose {
    /// A site's token key.
    Token {
        /// Its id.
        kid: String,
        /// The site.
        site: String,
    },
    /// A role's key.
    Role {
        /// `online` or `log`.
        role: &'static str,
        /// Its public line.
        public: String,
    },
}

/// What says that a key has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rests {
    /// This machine's clock.
    OnTheClock,
    /// People, who revoked or replaced it; or a record that it was destroyed before.
    OnPeople,
}

/// A private key that is to be destroyed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ending {
    /// Where it lies.
    pub place: KeyPlace,
    /// Whose it is.
    pub whose: Whose,
    /// Why: `ended`, `revoked`, `replaced` or `returned`.
    pub why: &'static str,
    /// What says so.
    pub rests: Rests,
}

/// What is gone.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Gone {
    /// Ids of token keys.
    pub token_kids: Vec<String>,
    /// Whether a key of the mint's own is among it.
    pub role_keys: bool,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Ended {
    /// What is gone.
    pub gone: Gone,
    /// Keys that are still there.
    pub failed: Vec<RotationFault>,
}

impl Whose {
    fn kind(&self) -> &'static str {
        match self {
            Self::Token { .. } => "token",
            Self::Role { role, .. } => role,
        }
    }

    fn name(&self) -> &str {
        match self {
            Self::Token { kid, .. } => kid,
            Self::Role { public, .. } => public,
        }
    }

    fn event(&self, what: &str) -> String {
        match self {
            Self::Token { .. } => format!("token_key_{what}"),
            Self::Role { .. } => format!("role_key_{what}"),
        }
    }
}

impl Ending {
    /// Its place as rows and records spell it.
    fn path(&self) -> String {
        self.place.to_string()
    }

    fn members(&self, scene: &Scene<'_>) -> Value {
        let (by, path, why) = (scene.books.by, self.path(), self.why);
        match &self.whose {
            Whose::Token { kid, site } => {
                json!({"by": by, "site": site, "kid": kid, "path": path, "why": why})
            }
            Whose::Role { role, public } => {
                json!({"by": by, "role": role, "key": public, "path": path, "why": why})
            }
        }
    }
}

/// The token keys whose private half is of no use any more.
pub fn due(scene: &Scene<'_>) -> Result<Vec<Ending>, StoreFault> {
    let directory = scene.store.directory()?;
    let keys = directory.sites().flat_map(|site| site.keys.iter().map(move |key| (site, key)));
    let ended =
        keys.filter(|(_, key)| key.destroyed_at.is_none() && (key.revoked || scene.now >= key.sign_until));
    let ending = ended.map(|(site, key)| Ending {
        place: key.place.clone(),
        whose: Whose::Token { kid: key.kid.clone(), site: site.name.clone() },
        why: if key.revoked { "revoked" } else { "ended" },
        rests: if key.revoked { Rests::OnPeople } else { Rests::OnTheClock },
    });
    Ok(ending.collect())
}

/// Token keys that were destroyed and are there again: somebody has put a backup back.
pub fn returned(scene: &Scene<'_>) -> Result<Vec<Ending>, StoreFault> {
    let directory = scene.store.directory()?;
    let keys = directory.sites().flat_map(|site| site.keys.iter().map(move |key| (site, key)));
    let there = keys.filter(|(_, key)| {
        key.destroyed_at.is_some() && key.place.file(&scene.home.0).is_some_and(|file| file.exists())
    });
    let ending = there.map(|(site, key)| Ending {
        place: key.place.clone(),
        whose: Whose::Token { kid: key.kid.clone(), site: site.name.clone() },
        why: "returned",
        rests: Rests::OnPeople,
    });
    Ok(ending.collect())
}

/// Destroys these keys. Those that cannot be destroyed are answered; they stay begun.
pub fn carry_out(scene: &Scene<'_>, endings: &[Ending]) -> Result<Ended, RotationFault> {
    let mut ended = Ended::default();
    if endings.is_empty() {
        return Ok(ended);
    }
    let begun = begin(scene, endings)?;
    let mut gone = Vec::new();
    for (ending, begun_before) in endings.iter().zip(begun) {
        // A token says no more than that it has the key no more.
        let was_there = ending.place.file(&scene.home.0).is_none_or(|file| file.exists());
        match ending.place.destroy(&scene.home.0, scene.passphrase) {
            Ok(()) => gone.push((ending, was_there || begun_before)),
            Err(fault) => ended.failed.push(RotationFault::Key { path: ending.path(), fault }),
        }
    }
    finish(scene, &gone)?;
    for (ending, _) in gone {
        tracing::info!(path = ending.path(), why = ending.why, "a private key is destroyed");
        match &ending.whose {
            Whose::Token { kid, .. } => ended.gone.token_kids.push(kid.clone()),
            Whose::Role { .. } => ended.gone.role_keys = true,
        }
    }
    Ok(ended)
}

/// Writes down what is going to be done; answers for each whether it had been begun before.
fn begin(scene: &Scene<'_>, endings: &[Ending]) -> Result<Vec<bool>, RotationFault> {
    let begun: Vec<bool> = scene.store.read(|transaction| {
        let look = |ending: &Ending| {
            let row = transaction
                .prepare_cached("SELECT done_at IS NULL FROM destruction WHERE path = ?1")?
                .query_row([ending.path()], |row| row.get::<_, bool>(0));
            Ok::<_, StoreFault>(row.optional()?.unwrap_or(false))
        };
        endings.iter().map(look).collect::<Result<_, StoreFault>>()
    })?;
    let fresh: Vec<&Ending> =
        endings.iter().zip(&begun).filter(|(_, begun)| !**begun).map(|(ending, _)| ending).collect();
    let mut last = None;
    for ending in &fresh {
        let event = ending.whose.event("destroying");
        last = Some(scene.books.journal.record_at(scene.now, &event, ending.members(scene))?);
    }
    let Some(last) = last else { return Ok(begun) };
    last.wait()?;
    scene.store.write(|transaction| {
        for ending in fresh {
            let Ending { whose, why, .. } = ending;
            transaction
                .prepare_cached(
                    "INSERT INTO destruction (path, kind, name, why, begun_at) VALUES (?1, ?2, ?3, ?4, ?5)
                     ON CONFLICT (path) DO UPDATE SET why = ?4, begun_at = ?5, done_at = NULL",
                )?
                .execute((ending.path(), whose.kind(), whose.name(), why, signed(scene.now)))?;
        }
        Ok::<_, StoreFault>(())
    })?;
    Ok(begun)
}

/// Writes down what is gone: `true` where it was destroyed here, `false` where it was missing already.
fn finish(scene: &Scene<'_>, gone: &[(&Ending, bool)]) -> Result<(), RotationFault> {
    let mut last = None;
    for (ending, destroyed) in gone {
        let event = ending.whose.event(if *destroyed { "destroyed" } else { "missing" });
        last = Some(scene.books.journal.record_at(scene.now, &event, ending.members(scene))?);
    }
    let Some(last) = last else { return Ok(()) };
    last.wait()?;
    scene.store.write(|transaction| {
        for (ending, _) in gone {
            transaction
                .prepare_cached("UPDATE destruction SET done_at = ?2 WHERE path = ?1")?
                .execute((ending.path(), signed(scene.now)))?;
        }
        Ok::<_, StoreFault>(())
    })?;
    Ok(())
}
