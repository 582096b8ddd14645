//! `mint keys`: the token keys of sites and when they sign.

use clap::Subcommand;
use farside_service::cli::{Failure, table};
use farside_service::duration::Seconds;
use farside_service::time;
use farside_verify::Algorithm;
use serde_json::json;

use super::Program;
use super::release::{AtHand, release_at_once};
use crate::calendar::{self, NewKey};
use crate::release::Kind;
use crate::store::{Purpose, Site, TokenKeyRecord};

/// Token keys.
#[derive(Debug, Subcommand)]
pub enum Keys {
    /// Make the next key of a site's calendar and release the calendar, where the release keys are at hand.
    New {
        /// The site.
        #[arg(long)]
        site: String,
        /// Algorithm; left out: the site's.
        #[arg(long, value_parser = algorithm)]
        algorithm: Option<Algorithm>,
        /// What it signs: `sig`, or `jwt-svid` for SPIFFE.
        #[arg(long = "use", default_value = "sig", value_parser = purpose)]
        purpose: Purpose,
        /// How long it signs.
        #[arg(long, default_value = "90d")]
        cryptoperiod: Seconds,
        /// When it begins to sign, in Unix seconds; left out: when the site's last key ends, or now.
        #[arg(long, value_name = "UNIX")]
        sign_from: Option<u64>,
        #[command(flatten)]
        at_hand: AtHand,
    },
    /// Every key with its period.
    List {
        /// Of one site only.
        #[arg(long)]
        site: Option<String>,
    },
}

/// Reads an algorithm's registered name.
pub(super) fn algorithm(name: &str) -> Result<Algorithm, String> {
    Algorithm::from_name(name).ok_or_else(|| {
        let names: Vec<&str> = Algorithm::ALL.iter().map(|known| known.name()).collect();
        format!("there are {}", names.join(", "))
    })
}

fn purpose(name: &str) -> Result<Purpose, String> {
    Purpose::from_name(name).ok_or_else(|| "there are sig and jwt-svid".to_owned())
}

pub(super) fn run(command: &Keys, program: &Program) -> Result<(), Failure> {
    match command {
        Keys::New { site, algorithm, purpose, cryptoperiod, sign_from, at_hand } => {
            let new = NewKey {
                algorithm: *algorithm,
                purpose: *purpose,
                sign_from: *sign_from,
                cryptoperiod_seconds: cryptoperiod.0,
            };
            make(site, new, at_hand, program)
        }
        Keys::List { site } => list(site.as_deref(), program),
    }
}

fn make(site: &str, new: NewKey, at_hand: &AtHand, program: &Program) -> Result<(), Failure> {
    let mint = program.mint()?;
    let store = mint.store()?;
    let passphrase = mint.passphrase()?;
    let diary = mint.diary()?;
    let kid = calendar::make(&mint.home, &store, site, new, &passphrase, time::now_unix())?;
    diary.record("token_key_made", json!({ "site": site, "kid": kid }))?;
    let outcome = release_at_once(&mint, &store, &diary, (site, Kind::Keys), at_hand)?;
    let directory = store.directory()?;
    let key = directory.site(site).and_then(|site| site.keys.iter().find(|key| key.kid == kid));
    let value = json!({ "kid": kid, "site": site, "key": key.map(as_json), "release": outcome.value() });
    program.output.say(|| format!("Site {site} has the new token key {kid}.\n{}", outcome.sentence()), &value)
}

fn list(site: Option<&str>, program: &Program) -> Result<(), Failure> {
    let directory = program.mint()?.store()?.directory()?;
    let chosen = |known: &&Site| site.is_none_or(|name| name == known.name);
    let now = time::now_unix();
    let keys: Vec<(&Site, &TokenKeyRecord)> = directory
        .sites()
        .iter()
        .filter(chosen)
        .flat_map(|site| site.keys.iter().map(move |key| (site, key)))
        .collect();
    let value: Vec<_> = keys
        .iter()
        .map(|(site, key)| json!({ "site": site.name, "key": as_json(key), "state": state(site, key, now) }))
        .collect();
    program.output.say(
        || {
            let rows: Vec<Vec<String>> = keys
                .iter()
                .map(|(site, key)| {
                    vec![
                        site.name.clone(),
                        key.kid.clone(),
                        key.algorithm.name().to_owned(),
                        time::rfc3339(key.sign_from),
                        time::rfc3339(key.sign_until),
                        time::rfc3339(key.accept_until),
                        state(site, key, now).to_owned(),
                    ]
                })
                .collect();
            table(&["site", "kid", "algorithm", "signs from", "until", "accepted until", "state"], &rows)
        },
        &value,
    )
}

fn state(site: &Site, key: &TokenKeyRecord, now: u64) -> &'static str {
    if key.revoked {
        "revoked"
    } else if site.signing_key(key.purpose, now).is_some_and(|signs| signs.kid == key.kid) {
        "signing"
    } else if now >= key.accept_until {
        "over"
    } else if now >= key.sign_until {
        "accepted still"
    } else if key.usable_from.is_none() {
        "not released, or not yet carried"
    } else {
        "waiting"
    }
}

fn as_json(key: &TokenKeyRecord) -> serde_json::Value {
    json!({
        "kid": key.kid, "algorithm": key.algorithm.name(), "use": key.purpose.as_str(),
        "sign_from": key.sign_from, "sign_until": key.sign_until, "accept_until": key.accept_until,
        "usable_from": key.usable_from,
        "revoked": key.revoked,
    })
}
