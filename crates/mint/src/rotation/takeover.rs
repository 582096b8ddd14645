//! Which key signs for each site: written down when another one takes over, shown in the metrics always.

use std::collections::HashMap;

use serde_json::json;

use super::{RotationFault, Scene};
use crate::store::{Purpose, Site, StoreFault, TokenKeyRecord, signed};

/// Compares what signs now with what was written down last, and writes down what changed.
pub(super) fn round(scene: &Scene<'_>) -> Result<(), RotationFault> {
    let directory = scene.store.directory()?;
    let known = known(scene)?;
    let mut news = Vec::new();
    for site in directory.sites().filter(|site| site.enabled) {
        for purpose in site.purposes() {
            let signs = site.signing_key(purpose, scene.now);
            show(site, purpose, scene.now);
            let before = known.get(&(site.name.clone(), purpose.as_str().to_owned()));
            if let Some(key) = signs.filter(|key| before != Some(&key.kid)) {
                news.push(TakeOver { site, key, before: before.map(String::as_str) });
            }
        }
    }
    write_down(scene, &news)
}

struct TakeOver<'a> {
    site: &'a Site,
    key: &'a TokenKeyRecord,
    before: Option<&'a str>,
}

// The journal first: a crash before the row makes the line stand there twice, never not at all.
fn write_down(scene: &Scene<'_>, news: &[TakeOver<'_>]) -> Result<(), RotationFault> {
    let mut last = None;
    for TakeOver { site, key, before } in news {
        let members = json!({
            "by": scene.books.by, "site": site.name, "use": key.purpose.as_str(), "kid": key.kid,
            "before": before, "sign_until": key.sign_until, "accept_until": key.accept_until,
        });
        last = Some(scene.books.journal.record_at(scene.now, "token_key_took_over", members)?);
        let reaches = site.calendar_reaches(key.purpose, scene.now);
        tracing::info!(site = site.name, kid = key.kid, before, reaches, "a token key has taken over");
    }
    let Some(last) = last else { return Ok(()) };
    last.wait()?;
    scene.store.write(|transaction| {
        let mut insert = transaction
            .prepare("INSERT OR REPLACE INTO key_in_use (site, purpose, kid, since) VALUES (?1, ?2, ?3, ?4)")
            .map_err(StoreFault::from)?;
        for TakeOver { site, key, .. } in news {
            insert
                .execute((&site.name, key.purpose.as_str(), &key.kid, signed(scene.now)))
                .map_err(StoreFault::from)?;
        }
        Ok(())
    })
}

fn known(scene: &Scene<'_>) -> Result<HashMap<(String, String), String>, StoreFault> {
    scene.store.read(|transaction| {
        let mut statement = transaction.prepare_cached("SELECT site, purpose, kid FROM key_in_use")?;
        let rows = statement.query_map([], |row| Ok(((row.get(0)?, row.get(1)?), row.get(2)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    })
}

fn show(site: &Site, purpose: Purpose, now: u64) {
    let left = |instant: Option<u64>| instant.unwrap_or(now).saturating_sub(now) as f64;
    let (name, purpose_name) = (site.name.clone(), purpose.as_str());
    let signs_until = site.signing_key(purpose, now).map(|key| key.sign_until);
    metrics::gauge!("farside_mint_token_key_left", "site" => name.clone(), "use" => purpose_name)
        .set(left(signs_until));
    metrics::gauge!("farside_mint_calendar_left", "site" => name, "use" => purpose_name)
        .set(left(site.calendar_reaches(purpose, now)));
}
