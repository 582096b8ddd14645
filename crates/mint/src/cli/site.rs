//! `mint site`: isolated networks, what their tokens must look like, and the key to which their bundles are
//! sealed.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use farside_crossing::cedar::Policies;
use farside_crossing::{Breakglass, ExpectedFingerprint, Logged, RecipientPublic};
use farside_service::cli::{Failure, Output, confirm, table};
use farside_service::duration::Seconds;
use farside_service::time;
use serde_json::{Value, json};

use super::at_hand::{AtHand, Outcome, release_at_once};
use super::enrol::Enrol;
use super::terms::{self, Terms};
use super::{Program, joined, read_text};
use crate::config::{Diary, Mint};
use crate::release::Document;
use crate::site::{self, SiteFault};
use crate::store::{Audience, Directory, Site as Known, SiteTerms, Store};
use crate::tiers;

/// Isolated networks.
#[derive(Debug, Subcommand)]
pub enum Site {
    /// Add a site, and release its policy where the release keys are at hand.
    Add(Box<Add>),
    /// Add a site and enter its gate's recipient key, walked through at the terminal.
    Enrol(Box<Enrol>),
    /// Enter the recipient key that the site's gate shows.
    Recipient {
        /// The site.
        name: String,
        /// The gate's line; `-` for stdin.
        file: PathBuf,
        #[command(flatten)]
        compare: Compare,
    },
    /// Change a site's terms, and release its policy where gates must know of it.
    Set(Box<Set>),
    /// Issue nothing more for a site, and make no more bundles for it.
    Disable {
        /// The site.
        name: String,
    },
    /// Issue and make bundles again.
    Enable {
        /// The site.
        name: String,
    },
    /// Every site.
    List,
    /// One site.
    Show {
        /// The site.
        name: String,
    },
}

/// A site to be added.
#[derive(Debug, Args)]
pub struct Add {
    /// Its name: a-z, 0-9, `-` and `_`.
    name: String,
    #[command(flatten)]
    terms: Terms,
    /// The line that the site's gate shows; `-` for stdin.
    #[arg(long, value_name = "FILE", conflicts_with = "unsealed")]
    recipient: Option<PathBuf>,
    /// Seal nothing: no parcels, no receipts.
    #[arg(long)]
    unsealed: bool,
    #[command(flatten)]
    compare: Compare,
    #[command(flatten)]
    at_hand: AtHand,
}

/// Terms to be changed.
#[derive(Debug, Args)]
pub struct Set {
    /// The site.
    name: String,
    #[command(flatten)]
    terms: Terms,
    /// Any role may be issued.
    #[arg(long, conflicts_with = "roles")]
    any_role: bool,
    /// Its gates decide by no Cedar policies any more: the audience alone decides.
    #[arg(long, conflicts_with = "cedar")]
    no_cedar: bool,
    #[command(flatten)]
    at_hand: AtHand,
}

/// How the recipient key is compared with what the gate shows.
#[derive(Debug, Args)]
pub struct Compare {
    /// What the gate shows: its sixteen words, or 64 hexadecimal digits. Left out: you are asked.
    #[arg(long, value_name = "WORDS")]
    fingerprint: Option<ExpectedFingerprint>,
}

pub(super) fn run(command: &Site, program: &Program) -> Result<(), Failure> {
    match command {
        Site::Add(add) => run_add(add, program),
        Site::Enrol(enrol) => enrol.run(program),
        Site::Recipient { name, file, compare } => {
            let mint = program.mint()?;
            let store = mint.store()?;
            let recipient = read_recipient(name, file, compare, program.output)?;
            enrol(&store, &mint.diary()?, name, &recipient)?;
            program.output.say(
                || format!("Site {name} is enrolled: its bundles are sealed to key {}.", recipient.key_id()),
                &json!({ "site": name, "recipient": recipient_json(&recipient) }),
            )
        }
        Site::Set(set) => run_set(set, program),
        Site::Disable { name } => switch(name, false, program),
        Site::Enable { name } => switch(name, true, program),
        Site::List => {
            let directory = program.mint()?.store()?.directory()?;
            let value: Vec<Value> = directory.sites().map(as_json).collect();
            program.output.say(|| as_table(directory.sites()), &value)
        }
        Site::Show { name } => {
            let directory = program.mint()?.store()?.directory()?;
            let known = known(&directory, name)?;
            program.output.say(|| as_text(known), &as_json(known))
        }
    }
}

fn run_add(add: &Add, program: &Program) -> Result<(), Failure> {
    let mint = program.mint()?;
    let store = mint.store()?;
    let recipient = match &add.recipient {
        Some(file) => Some(read_recipient(&add.name, file, &add.compare, program.output)?),
        None => None,
    };
    let diary = mint.diary()?;
    let mut terms = terms::usual(!add.unsealed);
    add.terms.apply(&mut terms)?;
    let new = New { name: &add.name, terms: &terms, recipient: recipient.as_ref() };
    new.add(&mint, &store, &diary, &add.at_hand, program.output)
}

/// A site as it is to be added, whoever asked for it.
pub(super) struct New<'a> {
    pub(super) name: &'a str,
    pub(super) terms: &'a SiteTerms,
    pub(super) recipient: Option<&'a RecipientPublic>,
}

impl New<'_> {
    /// Adds it, enrols it where its key is known, and releases its policy where that can be done here.
    pub(super) fn add(
        &self,
        mint: &Mint,
        store: &Store,
        diary: &Diary,
        at_hand: &AtHand,
        output: Output,
    ) -> Result<(), Failure> {
        let Self { name, terms, recipient } = self;
        site::add(store, name, terms, time::now_unix())?;
        let audiences: Vec<&String> = terms.audiences.iter().map(|audience| &audience.name).collect();
        diary.record(
            "site_added",
            json!({ "site": name, "issuer": terms.issuer, "audiences": audiences, "sealed": terms.sealed }),
        )?;
        if let Some(recipient) = recipient {
            enrol(store, diary, name, recipient)?;
        }
        let outcome = release_policy(mint, store, diary, name, at_hand)?;
        self.say_added(outcome.as_ref(), output)
    }

    fn say_added(&self, outcome: Option<&Outcome>, output: Output) -> Result<(), Failure> {
        let Self { name, terms, recipient } = self;
        let value = json!({
            "site": name, "recipient": recipient.map(recipient_json), "sealed": terms.sealed,
            "policy": outcome.map(Outcome::value), "costs": terms.costs(), "gaps": terms.gaps(),
        });
        output.say(
            || {
                let sealing = match (recipient, terms.sealed) {
                    (Some(recipient), _) => format!("its bundles are sealed to key {}", recipient.key_id()),
                    (None, false) => {
                        format!("nothing is sealed to it. What that costs:\n{}", listed(&terms.costs()))
                    }
                    (None, true) => format!("enrol it with `mint site recipient {name} FILE`"),
                };
                let policy = match outcome {
                    Some(outcome) => outcome.sentence(),
                    None => format!(
                        "There is no charter yet. Once there is:\n  \
                     mint release draft --site {} --kind policy --out FILE",
                        name
                    ),
                };
                let sealing = sealing.trim_end_matches('.');
                let noted = noted(&terms.gaps());
                format!(
                    "Site {name} is added; {sealing}.\n{policy}{noted}\nNext: `mint keys new --site {name}`."
                )
            },
            &value,
        )
    }
}

fn run_set(set: &Set, program: &Program) -> Result<(), Failure> {
    let mint = program.mint()?;
    let store = mint.store()?;
    let directory = store.directory()?;
    let held = &known(&directory, &set.name)?.terms;
    let mut terms = held.clone();
    set.terms.apply(&mut terms)?;
    if set.any_role {
        terms.roles_allowed = None;
    }
    if set.no_cedar {
        terms.cedar = None;
    }
    let diary = mint.diary()?;
    site::set(&store, &set.name, &terms, time::now_unix())?;
    let now_held = store.directory()?;
    let changed = as_json(known(&now_held, &set.name)?);
    diary.record("site_changed", changed.clone())?;
    let outcome = match terms.same_policy(held) {
        true => None,
        false => release_policy(&mint, &store, &diary, &set.name, &set.at_hand)?,
    };
    program.output.say(
        || match &outcome {
            Some(outcome) => {
                format!("Site {} is changed.\n{}{}", set.name, outcome.sentence(), noted(&terms.gaps()))
            }
            None => format!("Site {} is changed; its gates need not know.{}", set.name, noted(&terms.gaps())),
        },
        &json!({ "site": changed, "policy": outcome.as_ref().map(Outcome::value) }),
    )
}

/// What a site's terms close between two bundles, behind what else is said.
fn noted(gaps: &[String]) -> String {
    if gaps.is_empty() { String::new() } else { format!("\nNote:\n{}", listed(gaps)) }
}

fn switch(name: &str, enabled: bool, program: &Program) -> Result<(), Failure> {
    let mint = program.mint()?;
    let store = mint.store()?;
    let diary = mint.diary()?;
    site::switch(&store, name, enabled)?;
    diary.record(if enabled { "site_enabled" } else { "site_disabled" }, json!({ "site": name }))?;
    program.output.say(
        || match enabled {
            true => format!("Tokens are issued and bundles made for site {name} again."),
            false => format!(
                "Nothing more is issued for site {name}, and no bundle made. Its gates go on with what they \
                 hold until that runs out."
            ),
        },
        &json!({ "name": name, "enabled": enabled }),
    )
}

fn known<'d>(directory: &'d Directory, name: &str) -> Result<&'d Known, Failure> {
    Ok(directory.site(name).ok_or_else(|| SiteFault::Unknown(name.to_owned()))?)
}

/// Releases the policy, where there is a charter that says who releases.
fn release_policy(
    mint: &Mint,
    store: &Store,
    diary: &Diary,
    site: &str,
    at_hand: &AtHand,
) -> Result<Option<Outcome>, Failure> {
    if crate::ceremony::chain(store)?.is_empty() {
        return Ok(None);
    }
    release_at_once(mint, store, diary, (site, &Document::Policy), at_hand).map(Some)
}

/// One below the other, for people.
pub(super) fn listed(costs: &[String]) -> String {
    costs.iter().map(|cost| format!("  - {cost}")).collect::<Vec<_>>().join("\n")
}

/// Reads the gate's line and has its fingerprint compared: by what was typed, else by the person at the
/// terminal.
fn read_recipient(
    site: &str,
    file: &Path,
    compare: &Compare,
    output: Output,
) -> Result<RecipientPublic, Failure> {
    let recipient = site::read_recipient(site, &read_text(file)?)?;
    let seen = recipient.fingerprint();
    let same = match &compare.fingerprint {
        Some(expected) => expected.matches(&seen),
        None if output.json => {
            return Err(Failure::refused("the recipient key was not compared with what the gate shows")
                .hint("give its words with --fingerprint"));
        }
        None => {
            confirm(&format!("The gate of {site} must show these words:\n\n  {}\n\nDoes it?", seen.words()))
                .map_err(|fault| {
                Failure::could_not(fault.to_string()).hint("give the gate's words with --fingerprint")
            })?
        }
    };
    if same { Ok(recipient) } else { Err(another_key(&recipient)) }
}

/// The words of the gate's people are not those of the line that was carried.
pub(super) fn another_key(recipient: &RecipientPublic) -> Failure {
    Failure::refused(format!("this is not the key that the gate shows; its words are: {}", recipient.words()))
        .hint("carry the line again, straight from the gate")
}

pub(super) fn enrol(
    store: &Store,
    diary: &Diary,
    site: &str,
    recipient: &RecipientPublic,
) -> Result<(), Failure> {
    site::enrol(store, site, recipient)?;
    diary.record(
        "site_enrolled",
        json!({ "site": site, "key_id": recipient.key_id(), "fingerprint": recipient.fingerprint().hex() }),
    )
}

fn recipient_json(recipient: &RecipientPublic) -> Value {
    json!({
        "key_id": recipient.key_id(), "fingerprint": recipient.fingerprint().hex(),
        "words": recipient.words(),
    })
}

fn as_json(site: &Known) -> Value {
    let terms = &site.terms;
    json!({
        "name": site.name, "issuer": terms.issuer,
        "audiences": terms.audiences.iter().map(|audience| json!({
            "name": audience.name, "stale_seconds_max": audience.stale_seconds_max,
            "logged": audience.logged.as_str(), "breakglass": audience.breakglass.as_str(),
            "single_use": audience.single_use, "holder_bound": audience.holder_bound,
        })).collect::<Vec<_>>(),
        "algorithm": terms.algorithm.name(), "lifetime_seconds_default": terms.lifetime_seconds_default,
        "lifetime_seconds_max": terms.lifetime_seconds_max, "token_bytes_max": terms.token_bytes_max,
        "leeway_seconds": terms.leeway_seconds, "courier_seconds": terms.courier_seconds,
        "every_seconds": terms.every_seconds, "roles_allowed": terms.roles_allowed, "profiles": terms.profiles,
        "status_claim": terms.status_claim, "cedar": terms.cedar, "sealed": terms.sealed, "costs": terms.costs(),
        "gaps": terms.gaps(), "enrolled": site.recipient.is_some(), "enabled": site.enabled,
        "keys": site.keys.iter().map(|key| &key.kid).collect::<Vec<_>>(), "last_seq": site.last_seq(),
    })
}

fn sealing(site: &Known) -> &'static str {
    match (site.terms.sealed, &site.recipient) {
        (false, _) => "unsealed",
        (true, Some(_)) => "sealed",
        (true, None) => "not enrolled",
    }
}

fn audiences(site: &Known) -> String {
    joined(&site.terms.audiences.iter().map(|audience| audience.name.clone()).collect::<Vec<_>>())
}

/// An audience with what its gates demand beyond the ordinary.
fn demands(audience: &Audience) -> String {
    let stale = (!audience.stale_seconds_max.is_empty())
        .then(|| format!("stale {}", tiers::spelled(&audience.stale_seconds_max)));
    let logged = (audience.logged != Logged::No).then(|| format!("logged {}", audience.logged.as_str()));
    let shut = (audience.breakglass == Breakglass::Forbidden).then(|| "no break-glass".to_owned());
    let once = audience.single_use.then(|| "single use".to_owned());
    let bound = audience.holder_bound.then(|| "bound tokens only".to_owned());
    let demands: Vec<String> = stale.into_iter().chain(logged).chain(once).chain(bound).chain(shut).collect();
    if demands.is_empty() {
        audience.name.clone()
    } else {
        format!("{} ({})", audience.name, demands.join("; "))
    }
}

fn as_table<'a>(sites: impl Iterator<Item = &'a Known>) -> String {
    let rows: Vec<Vec<String>> = sites
        .map(|site| {
            vec![
                site.name.clone(),
                site.terms.issuer.clone(),
                audiences(site),
                sealing(site).to_owned(),
                site.keys.len().to_string(),
                site.last_seq().to_string(),
            ]
        })
        .collect();
    table(&["site", "issuer", "audiences", "sealing", "keys", "last bundle"], &rows)
}

/// The policies by their names.
fn cedar(terms: &SiteTerms) -> String {
    let Some(text) = &terms.cedar else { return "none: the audience decides".to_owned() };
    match Policies::read(text) {
        Ok(policies) => joined(&policies.ids().map(str::to_owned).collect::<Vec<_>>()),
        Err(refusal) => refusal.to_string(),
    }
}

fn as_text(site: &Known) -> String {
    let terms = &site.terms;
    let time = |seconds: u64| Seconds(seconds).to_string();
    let rows = [
        ("issuer", terms.issuer.clone()),
        ("audiences", joined(&terms.audiences.iter().map(demands).collect::<Vec<_>>())),
        ("algorithm", terms.algorithm.name().to_owned()),
        (
            "lifetime",
            format!("{}, at most {}", time(terms.lifetime_seconds_default), time(terms.lifetime_seconds_max)),
        ),
        ("size budget", format!("{} bytes", terms.token_bytes_max)),
        ("roles", terms.roles_allowed.as_deref().map_or("any".to_owned(), joined)),
        ("profiles", joined(&terms.profiles)),
        ("policies", cedar(terms)),
        ("bundles", format!("every {}, courier {}", time(terms.every_seconds), time(terms.courier_seconds))),
        ("sealing", sealing(site).to_owned()),
        ("keys", joined(&site.keys.iter().map(|key| key.kid.clone()).collect::<Vec<_>>())),
        ("last bundle", site.last_seq().to_string()),
    ];
    let shown = table(&["site", &site.name], &rows.map(|(name, value)| vec![name.to_owned(), value]));
    let noted = noted(&terms.gaps());
    match &terms.costs()[..] {
        [] => format!("{shown}{noted}"),
        costs => format!("{shown}{noted}\n\nWhat it costs that nothing is sealed:\n{}", listed(costs)),
    }
}
