//! `mint revoke`: takes back a token, what a subject, client or group was issued, a token key, or everything
//! up to a moment; and lists what was ever revoked.

use std::path::Path;
use std::time::Duration;

use clap::{Args, Subcommand};
use farside_crossing::manifest::Kind;
use farside_service::cli::{Failure, operator, table};
use farside_service::time::{self, now_unix, parse_rfc3339, rfc3339};
use farside_verify::leaf::TokenPosition;

use super::{Program, joined, read_text};
use crate::bundler::Made;
use crate::config::Mint;
use crate::control::{Command, Reply};
use crate::desk;
use crate::log::index::Index;
use crate::revocation::{self, Listed, Order, Revoked, State, What};
use crate::store::Store;

/// How a compact JWS of ours begins: `{"` in base64url.
const TOKEN_BEGINS: &str = "eyJ";

/// What is taken back.
#[derive(Debug, Subcommand)]
pub enum Revoke {
    /// One token, by its id or by the token itself.
    Token {
        /// Its `jti` (log shard, hyphen, index), the token, a file with it, or `-` for standard input. A
        /// token on the command line is seen by everybody on this machine.
        #[arg(value_name = "ID|TOKEN|FILE|-")]
        token: String,
        #[command(flatten)]
        why: Why,
    },
    /// What was issued for a subject.
    Subject {
        /// The subject.
        name: String,
        #[command(flatten)]
        reach: Reach,
        #[command(flatten)]
        why: Why,
    },
    /// What was issued for a client of the token endpoint.
    Client {
        /// Its client id.
        id: String,
        #[command(flatten)]
        reach: Reach,
        #[command(flatten)]
        why: Why,
    },
    /// What was issued for the members of a group.
    Group {
        /// The group.
        name: String,
        #[command(flatten)]
        reach: Reach,
        #[command(flatten)]
        why: Why,
    },
    /// A token key, with everything that it ever signed.
    Key {
        /// Its id.
        // One key id in 64 begins with a hyphen.
        #[arg(allow_hyphen_values = true)]
        kid: String,
        #[command(flatten)]
        why: Why,
    },
    /// Everything that was issued, for whomever.
    All {
        #[command(flatten)]
        reach: Reach,
        #[command(flatten)]
        why: Why,
    },
    /// Every revocation there ever was, and how it stands.
    List {
        /// Of this site only.
        #[arg(long)]
        site: Option<String>,
    },
}

/// How far a revocation reaches.
#[derive(Debug, Args)]
pub struct Reach {
    /// At one site only.
    #[arg(long)]
    site: Option<String>,
    /// What was issued up to this moment, such as 2026-11-23T20:00:00Z; left out: up to now.
    #[arg(long, value_name = "TIME", value_parser = parse_rfc3339)]
    before: Option<u64>,
}

/// A reason, for those who read the journals later.
#[derive(Debug, Args)]
pub struct Why {
    /// Why; it crosses with the revocation, and so does who revoked.
    #[arg(long)]
    reason: String,
    /// Make a bundle for each site concerned at once.
    #[arg(long)]
    urgent: bool,
}

/// A revocation, and what became of the bundles that were to carry it at once.
#[derive(serde::Serialize)]
struct Told {
    revoked: String,
    kind: &'static str,
    #[serde(flatten)]
    outcome: Revoked,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    bundles: Vec<Made>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    without_bundle: Vec<String>,
}

pub(super) fn run(command: &Revoke, program: &Program) -> Result<(), Failure> {
    if let Revoke::List { site } = command {
        return list(site.as_deref(), program);
    }
    let mint = program.mint()?;
    let store = mint.store()?;
    let (what, reach, why) = match command {
        Revoke::Token { token, why } => (token_meant(&mint, &store, token)?, None, why),
        Revoke::Subject { name, reach, why } => (What::Subject(name.clone()), Some(reach), why),
        Revoke::Client { id, reach, why } => (What::Client(id.clone()), Some(reach), why),
        Revoke::Group { name, reach, why } => (What::Group(name.clone()), Some(reach), why),
        Revoke::Key { kid, why } => (What::Key(kid.clone()), None, why),
        Revoke::All { reach, why } => (What::All, Some(reach), why),
        Revoke::List { .. } => return Ok(()),
    };
    let order = Order {
        what,
        site: reach.and_then(|reach| reach.site.clone()),
        before: reach.and_then(|reach| reach.before),
        reason: why.reason.clone(),
        by: operator(),
    };
    let diary = mint.diary()?;
    let now = now_unix();
    let outcome = revocation::revoke(&store, &order, now)?;
    diary.record("revoked", order.journalled(&outcome))?;
    drop(diary);
    let mut told = Told {
        revoked: order.what.name(),
        kind: order.what.kind(),
        outcome,
        bundles: Vec::new(),
        without_bundle: Vec::new(),
    };
    if why.urgent {
        hurry(&mint, &store, now, &mut told)?;
    }
    program.output.say(|| sentence(&order, &told, why.urgent), &told)?;
    match told.without_bundle.is_empty() {
        true => Ok(()),
        false => Err(Failure::could_not(format!(
            "no bundle was made for {}; the revocation stands and waits for the next one",
            joined(&told.without_bundle)
        ))),
    }
}

/// The token that an argument means, with what the log says of it.
fn token_meant(mint: &Mint, store: &Store, argument: &str) -> Result<What, Failure> {
    let index = || Index::open(&mint.home.log());
    let found = match argument.parse::<TokenPosition>() {
        Ok(position) => {
            let directory = store.directory()?;
            let site = directory.site(revocation::site_of_shard(position.shard()));
            let ours = site.is_none_or(|site| site.shard(&mint.config.replica) == position.shard());
            if !ours {
                // Another replica's log says when it expires; here the longest lifetime stands for it.
                return Ok(What::Token { position, expires_at: None });
            }
            revocation::look_up(&index()?, &position)?
        }
        Err(_) if argument.starts_with(TOKEN_BEGINS) => revocation::identify(&index()?, argument)?,
        Err(_) => revocation::identify(&index()?, &read_text(Path::new(argument))?)?,
    };
    Ok(What::Token { position: found.position, expires_at: Some(found.expires_at) })
}

/// Makes a bundle for each site that has ever had one. Where one fails the others are made all the same.
fn hurry(mint: &Mint, store: &Store, revoked_at: u64, told: &mut Told) -> Result<(), Failure> {
    // What the bundle brings for its holders is issued in a later second than is revoked.
    while now_unix() <= revoked_at {
        std::thread::sleep(Duration::from_millis(20));
    }
    let directory = store.directory()?;
    for name in &told.outcome.sites {
        let Some(site) = directory.site(name).filter(|site| site.enabled && site.last_seq() > 0) else {
            continue;
        };
        let order = Command::MakeBundle {
            site: site.name.clone(),
            kind: Kind::Full,
            since: None,
            operator: operator(),
        };
        match desk::carry_out(mint, &order, time::now_unix()) {
            Ok(Reply::Bundle(made)) => told.bundles.push(made),
            Ok(_) => told.without_bundle.push(site.name.clone()),
            Err(failure) => {
                tracing::error!(site = site.name, reason = %failure, "no bundle was made");
                told.without_bundle.push(format!("{} ({failure})", site.name));
            }
        }
    }
    Ok(())
}

fn sentence(order: &Order, told: &Told, urgent: bool) -> String {
    let until = order.before.map_or_else(|| "now".to_owned(), rfc3339);
    let name = &told.revoked;
    let mut text = match &order.what {
        What::Token { .. } => format!("Token {name} is revoked"),
        What::Subject(_) => format!("Every token issued for {name} until {until} is revoked"),
        What::Client(_) => format!("Every token issued for client {name} until {until} is revoked"),
        What::Group(_) => {
            let members = told.outcome.subjects.len();
            format!("Every token issued for the {members} members of {name} until {until} is revoked")
        }
        What::Key(_) => format!("Key {name} and everything it signed is revoked"),
        What::All => format!("Every token issued until {until} is revoked"),
    };
    if told.outcome.new == 0 {
        text.push_str(", as it was before");
    }
    let sites = joined(&told.outcome.sites);
    match urgent {
        false => text.push_str(&format!(
            ". It takes effect at {sites} with the next bundle: `mint bundle make`, or --urgent here."
        )),
        true => text.push_str(&format!(". It takes effect at {sites} once these are carried there:")),
    }
    for made in &told.bundles {
        text.push_str(&format!("\n  {}", made.path.display()));
    }
    text
}

fn list(site: Option<&str>, program: &Program) -> Result<(), Failure> {
    let listed = revocation::list(&program.mint()?.store()?, site, now_unix())?;
    let rows: Vec<Vec<String>> = listed.iter().map(cells).collect();
    let headings = ["site", "what", "", "issued until", "reason", "by", "revoked", "state"];
    program.output.say(|| table(&headings, &rows).trim_end().to_owned(), &listed)
}

fn cells(listed: &Listed) -> Vec<String> {
    let state = match (listed.state, listed.pardoned_at) {
        (State::InForce, _) => "in force".to_owned(),
        (State::Ended, _) => "all expired".to_owned(),
        (State::Pardoned, at) => format!("pardoned {}", at.map_or_else(String::new, rfc3339)),
    };
    let reason = match listed.cause.as_str() {
        "" => listed.reason.clone(),
        cause => format!("{} ({cause})", listed.reason),
    };
    vec![
        listed.site.clone(),
        listed.kind.clone(),
        listed.what.clone(),
        if listed.before == 0 { "-".to_owned() } else { rfc3339(listed.before) },
        reason,
        listed.by.clone(),
        rfc3339(listed.at),
        state,
    ]
}
