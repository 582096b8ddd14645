//! `mint keys`: the token keys of sites and when they sign; and the passphrase of any key file.

use std::collections::HashSet;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use farside_service::cli::{Failure, operator, table};
use farside_service::duration::Seconds;
use farside_service::secret_file::{Source, new_passphrase};
use farside_service::time;
use farside_verify::Algorithm;
use serde_json::{Value, json};

use super::at_hand::{AtHand, Outcome, release_all_at_once};
use super::key::passphrase_for;
use super::{Program, joined};
use crate::calendar::profile::{CryptoProfile, PROFILES};
use crate::calendar::{self, CalendarFault, Plan, Smithy, Wish};
use crate::config::Mint;
use crate::control::{Command as Order, Reply};
use crate::desk;
use crate::keys::{self, KeyFault, KeyPlace, Passphrase, Period, Token};
use crate::release::Document;
use crate::store::{Purpose, Site, Store, TokenKeyRecord};

/// Token keys.
#[derive(Debug, Subcommand)]
pub enum Keys {
    /// Make the next key of a site's calendar and release the calendar, where the release keys are at hand.
    New {
        /// The site.
        #[arg(long)]
        site: String,
        #[command(flatten)]
        figures: Figures,
        #[command(flatten)]
        kept: Kept,
        #[command(flatten)]
        at_hand: AtHand,
    },
    /// Write the calendar of the coming keys after a regulator's profile, released once for months ahead.
    ///
    /// Figures that cannot work together are refused, and the one to change is named. For many sites at once
    /// one draft is left, which release people sign as one.
    Plan {
        #[command(flatten)]
        sites: Sites,
        #[command(flatten)]
        figures: Figures,
        /// How many keys, one after the other.
        #[arg(long, default_value = "4")]
        periods: usize,
        /// Show the calendar and make nothing.
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        kept: Kept,
        #[command(flatten)]
        at_hand: AtHand,
    },
    /// Put key files under another passphrase: token keys, the mint's own, or those of root and release.
    Passphrase {
        /// The key files; where one does not open, none is changed.
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// File with the passphrase that they have.
        #[arg(long, value_name = "FILE")]
        passphrase_file: Option<PathBuf>,
        /// File with the passphrase that they get; left out: you are asked.
        #[arg(long, value_name = "FILE")]
        new_passphrase_file: Option<PathBuf>,
    },
    /// Destroy the keys that have ended by this machine's clock, although the mint doubts it.
    ///
    /// A clock that is ahead of all that can have passed destroys no key before it has gone on steadily for a
    /// day. This order is for a clock that is right: the mint was off for long.
    DestroyDue {
        /// Why the clock is right, for the journal.
        #[arg(long)]
        reason: String,
    },
    /// Every key with its period.
    List {
        /// Of one site only.
        #[arg(long)]
        site: Option<String>,
    },
}

/// Whose calendars are written.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct Sites {
    /// The site; several are planned alike, all or none.
    #[arg(long = "site", value_name = "SITE")]
    sites: Vec<String>,
    /// Every site that is enabled.
    #[arg(long)]
    all: bool,
}

impl Sites {
    fn names(&self, store: &Store) -> Result<Vec<String>, Failure> {
        let mut names = self.sites.clone();
        if self.all {
            let directory = store.directory()?;
            names.extend(directory.sites().filter(|site| site.enabled).map(|site| site.name.clone()));
        }
        names.sort();
        names.dedup();
        if names.is_empty() { Err(Failure::refused("no site is enabled")) } else { Ok(names) }
    }
}

/// What keys shall be like.
#[derive(Debug, Args)]
pub struct Figures {
    /// Whose rules hold: `default`, `sp800-57`, `cnsa-2.0` or `nerc-cip`.
    #[arg(long, default_value = "default", value_parser = profile)]
    profile: &'static CryptoProfile,
    /// Algorithm; left out: the site's, or the only one that the profile allows.
    #[arg(long, value_parser = algorithm)]
    algorithm: Option<Algorithm>,
    /// What they sign: `sig`, or `jwt-svid` for SPIFFE.
    #[arg(long = "use", default_value = "sig", value_parser = purpose)]
    purpose: Purpose,
    /// How long each signs; left out: the profile's figure.
    #[arg(long)]
    cryptoperiod: Option<Seconds>,
    /// How long each is accepted after its last signature; left out: as long as a token may live, clocks may
    /// differ and a courier may take.
    #[arg(long)]
    overlap: Option<Seconds>,
    /// When the first begins to sign, in Unix seconds; left out: when the site's last key ends, or now.
    #[arg(long, value_name = "UNIX")]
    sign_from: Option<u64>,
}

/// Where private keys shall live.
#[derive(Debug, Args)]
pub struct Kept {
    /// Make the keys inside a PKCS#11 token that `mint.toml` describes, which never gives them out; LABEL may
    /// be left out where there is one. Left out altogether: in encrypted files.
    #[arg(long, value_name = "LABEL", num_args = 0..=1)]
    pkcs11: Option<Option<String>>,
}

impl Kept {
    fn token<'m>(&self, mint: &'m Mint) -> Result<Option<&'m Token>, Failure> {
        let Some(name) = &self.pkcs11 else { return Ok(None) };
        Ok(Some(mint.tokens().named(name.as_deref())?))
    }
}

impl Figures {
    fn wish(&self, periods: usize) -> Wish {
        Wish {
            profile: self.profile,
            periods,
            algorithm: self.algorithm,
            purpose: self.purpose,
            sign_from: self.sign_from,
            cryptoperiod_seconds: self.cryptoperiod.map(|seconds| seconds.0),
            overlap_seconds: self.overlap.map(|seconds| seconds.0),
        }
    }
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

fn profile(name: &str) -> Result<&'static CryptoProfile, String> {
    CryptoProfile::from_name(name).ok_or_else(|| {
        let names: Vec<&str> = PROFILES.iter().map(|known| known.name).collect();
        format!("there are {}", names.join(", "))
    })
}

pub(super) fn run(command: &Keys, program: &Program) -> Result<(), Failure> {
    match command {
        Keys::New { site, figures, kept, at_hand } => {
            let made = Made::make(vec![site.clone()], &figures.wish(1), (kept, at_hand), program)?;
            let kid = made.kids.first().map(String::as_str).unwrap_or_default();
            let sentence =
                || format!("Site {site} has the new token key {kid}.\n{}", made.outcome.sentence());
            let value = json!({
                "kid": kid, "site": site, "key": made.as_json()?.first(), "release": made.outcome.value()
            });
            program.output.say(sentence, &value)
        }
        Keys::Plan { sites, figures, periods, dry_run: true, .. } => {
            let store = program.mint()?.store()?;
            let plans = planned(&store, sites.names(&store)?, &figures.wish(*periods))?;
            let value: Vec<Value> = plans.iter().flat_map(spelled).collect();
            program.output.say(|| drawn(&plans), &value)
        }
        Keys::Plan { sites, figures, periods, kept, at_hand, .. } => {
            let names = sites.names(&program.mint()?.store()?)?;
            let made = Made::make(names, &figures.wish(*periods), (kept, at_hand), program)?;
            let sentence = || format!("{}\n\n{}", drawn(&made.plans), made.outcome.sentence());
            let mut value = json!({ "keys": made.as_json()?, "release": made.outcome.value() });
            match &made.plans[..] {
                [(site, _)] => value["site"] = json!(site),
                many => value["sites"] = many.iter().map(|(site, _)| site.as_str()).collect(),
            }
            program.output.say(sentence, &value)
        }
        Keys::Passphrase { files, passphrase_file, new_passphrase_file } => {
            let old = passphrase_for(passphrase_file.as_deref())?;
            let source = new_passphrase_file.clone().map_or(Source::Prompt, Source::File);
            change_passphrase(files, &old, &Passphrase::new(new_passphrase(&source)?), program)
        }
        Keys::DestroyDue { reason } => destroy_due(reason, program),
        Keys::List { site } => list(site.as_deref(), program),
    }
}

fn destroy_due(reason: &str, program: &Program) -> Result<(), Failure> {
    let order = Order::DestroyDue { reason: reason.to_owned(), operator: operator() };
    let reply = desk::carry_out(&program.mint()?, &order, time::now_unix())?;
    let Reply::Destroyed { doubted, token_kids, role_keys } = reply else {
        return Err(Failure::could_not("the mint answered another question"));
    };
    let human = || {
        let clock = if doubted { "The clock is believed from now on." } else { "The clock was not doubted." };
        let gone = token_kids.len() + usize::from(role_keys);
        match (gone, token_kids.is_empty()) {
            (0, _) => format!("{clock} No key had to be destroyed."),
            (_, true) => format!("{clock} Keys of the mint's own are destroyed."),
            _ => format!("{clock} Destroyed: {}.", joined(&token_kids)),
        }
    };
    program
        .output
        .say(human, &json!({"clock_was_doubted": doubted, "token_keys": token_kids, "role_keys": role_keys}))
}

/// What is planned for each of these sites.
fn planned(store: &Store, sites: Vec<String>, wish: &Wish) -> Result<Vec<(String, Plan)>, Failure> {
    let (now, many) = (time::now_unix(), sites.len() > 1);
    let plan = |site: String| {
        let plan = calendar::draft(store, &site, wish, now);
        // Which of many it is, the figures do not say.
        let named = |fault| {
            let failure = Failure::from(fault);
            let hint = failure.hint_text().map(str::to_owned);
            let named = Failure::refused(format!("site {site}: {failure}"));
            hint.map_or_else(|| Failure::refused(format!("site {site}: {failure}")), |hint| named.hint(hint))
        };
        match plan {
            Err(CalendarFault::Plan(fault)) if many => Err(named(CalendarFault::Plan(fault))),
            plan => Ok((site, plan?)),
        }
    };
    sites.into_iter().map(plan).collect()
}

/// Keys that were made, and what became of their calendars.
struct Made {
    plans: Vec<(String, Plan)>,
    kids: Vec<String>,
    store: Store,
    outcome: Outcome,
}

impl Made {
    fn make(
        sites: Vec<String>,
        wish: &Wish,
        (kept, at_hand): (&Kept, &AtHand),
        program: &Program,
    ) -> Result<Made, Failure> {
        let mint = program.mint()?;
        let store = mint.store()?;
        let plans = planned(&store, sites, wish)?;
        let passphrase = mint.passphrase()?;
        let (diary, token) = (mint.diary()?, kept.token(&mint)?);
        let smithy = Smithy { token, home: &mint.home, store: &store, passphrase: &passphrase };
        let wanted: Vec<(&str, &Plan)> = plans.iter().map(|(site, plan)| (site.as_str(), plan)).collect();
        let kids = smithy.make(&wanted, time::now_unix())?;
        let owners = plans.iter().flat_map(|(site, plan)| plan.periods().iter().map(move |_| site));
        let told = owners.zip(&kids).map(|(site, kid)| {
            let (profile, token) = (wish.profile.name, token.map(|token| token.name().as_str()));
            json!({ "site": site, "kid": kid, "profile": profile, "token": token })
        });
        diary.record_all("token_key_made", told)?;
        let sites: Vec<&str> = plans.iter().map(|(site, _)| site.as_str()).collect();
        let outcome = release_all_at_once(&mint, (&store, &diary), &sites, &Document::Keys, at_hand)?;
        Ok(Made { plans, kids, store, outcome })
    }

    fn as_json(&self) -> Result<Vec<Value>, Failure> {
        let directory = self.store.directory()?;
        let kids: HashSet<&str> = self.kids.iter().map(String::as_str).collect();
        let sites = self.plans.iter().filter_map(|(site, _)| directory.site(site));
        let keys = sites.flat_map(|site| site.keys.iter().map(move |key| (site, key)));
        let made = keys.filter(|(_, key)| kids.contains(key.kid.as_str()));
        Ok(made
            .map(|(site, key)| {
                let mut value = as_json(key);
                value["site"] = json!(site.name);
                value
            })
            .collect())
    }
}

/// The calendars as a table; of many sites, each line begins with its site.
fn drawn(plans: &[(String, Plan)]) -> String {
    let row = |site: &str, plan: &Plan, period: &Period| {
        let Period { sign_from, sign_until, accept_until } = *period;
        let words = [site.to_owned(), plan.algorithm().name().to_owned()];
        words.into_iter().chain([sign_from, sign_until, accept_until].map(time::rfc3339)).collect()
    };
    let rows: Vec<Vec<String>> = plans
        .iter()
        .flat_map(|(site, plan)| plan.periods().iter().map(move |period| row(site, plan, period)))
        .collect();
    let heads = ["site", "algorithm", "signs from", "until", "accepted until"];
    match plans.len() {
        1 => table(&heads[1..], &rows.into_iter().map(|row| row[1..].to_vec()).collect::<Vec<_>>()),
        _ => table(&heads, &rows),
    }
}

fn spelled((site, plan): &(String, Plan)) -> Vec<Value> {
    let spell = |period: &Period| {
        let Period { sign_from, sign_until, accept_until } = period;
        json!({
            "site": site, "sign_from": sign_from, "sign_until": sign_until, "accept_until": accept_until
        })
    };
    plan.periods().iter().map(spell).collect()
}

/// All of them or none, as far as passphrases go; after a crash the same command finishes what it began.
fn change_passphrase(
    files: &[PathBuf],
    old: &Passphrase,
    new: &Passphrase,
    program: &Program,
) -> Result<(), Failure> {
    let mut waiting = Vec::new();
    for file in files {
        match keys::opens(file, old) {
            Err(KeyFault::Locked { .. }) if keys::opens(file, new).is_ok() => {}
            checked => {
                checked?;
                waiting.push(file);
            }
        }
    }
    for file in &waiting {
        keys::change_passphrase(file, old, new)?;
    }
    program.output.say(
        || {
            format!(
                "{} of {} key files have the new passphrase now. Put it where they are opened: the file that \
                 mint.toml names, or the credential.",
                waiting.len(),
                files.len()
            )
        },
        &json!({ "changed": waiting, "files": files }),
    )
}

fn list(site: Option<&str>, program: &Program) -> Result<(), Failure> {
    let directory = program.mint()?.store()?.directory()?;
    let chosen = |known: &&Site| site.is_none_or(|name| name == known.name);
    let now = time::now_unix();
    let keys: Vec<(&Site, &TokenKeyRecord)> = directory
        .sites()
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
                        lives(&key.place).to_owned(),
                        time::rfc3339(key.sign_from),
                        time::rfc3339(key.sign_until),
                        time::rfc3339(key.accept_until),
                        state(site, key, now).to_owned(),
                    ]
                })
                .collect();
            table(
                &["site", "kid", "algorithm", "kept in", "signs from", "until", "accepted until", "state"],
                &rows,
            )
        },
        &value,
    )
}

fn state(site: &Site, key: &TokenKeyRecord, now: u64) -> &'static str {
    if key.destroyed_at.is_some() && now >= key.accept_until {
        "over, destroyed"
    } else if key.revoked {
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

fn lives(place: &KeyPlace) -> &str {
    match place {
        KeyPlace::File(_) => "file",
        KeyPlace::Token(uri) => uri.token().as_str(),
    }
}

fn as_json(key: &TokenKeyRecord) -> Value {
    json!({
        "kid": key.kid, "algorithm": key.algorithm.name(), "use": key.purpose.as_str(),
        "sign_from": key.sign_from, "sign_until": key.sign_until, "accept_until": key.accept_until,
        "usable_from": key.usable_from, "place": key.place.to_string(),
        "revoked": key.revoked, "destroyed_at": key.destroyed_at,
    })
}
