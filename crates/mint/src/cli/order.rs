//! `mint order add|list|remove`: tokens that are renewed in every bundle of a site.

use std::path::PathBuf;

use farside_service::cli::{Failure, table};
use farside_service::durable;
use farside_service::duration::Seconds;

use super::Program;
use crate::claims::{Confirmation, Profile};
use crate::orders::{self, ClaimWanted, NewOrder};

/// Longest file with a claim phrase.
const PHRASE_FILE_BYTES_MAX: u64 = 4096;

/// Standing orders.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Carry a fresh token to a site in each of its bundles
    Add(Add),
    /// Every standing order
    List {
        /// Of this site only
        #[arg(long)]
        site: Option<String>,
    },
    /// Stop an order; what has crossed lives until it expires
    Remove {
        /// Its number
        id: i64,
    },
}

/// What is to be carried.
#[derive(Debug, clap::Args)]
pub struct Add {
    /// The site
    #[arg(long)]
    site: String,
    /// Whom the token is for
    #[arg(long)]
    subject: String,
    /// For which of the site's audiences
    #[arg(long)]
    audience: String,
    /// How long each token lives. Default: until the next bundle must have arrived, as far as the site allows
    #[arg(long)]
    lifetime: Option<Seconds>,
    /// A role to write; repeatable. Default: all that are held and allowed when the token is made
    #[arg(long = "role")]
    roles: Vec<String>,
    /// The token's shape
    #[arg(long, value_enum, default_value_t)]
    profile: Profile,
    /// Bind it to this SSH public key (a .pub file): it then logs in where sshd asks the gate
    #[arg(long, value_name = "FILE")]
    ssh_key: Option<PathBuf>,
    /// Bind it to the key with this JWK thumbprint (DPoP)
    #[arg(long, value_name = "THUMBPRINT", value_parser = super::thumbprint, conflicts_with_all = ["ssh_key", "certificate"])]
    jkt: Option<String>,
    /// Bind it to the client certificate with this SHA-256, base64url
    #[arg(long = "x5t-s256", value_name = "HASH", value_parser = super::thumbprint, conflicts_with = "ssh_key")]
    certificate: Option<String>,
    /// How the holder collects it at the gate [default: phrase; with --ssh-key: file]
    #[arg(long, value_enum)]
    claim: Option<ClaimName>,
    /// With --claim phrase: take the phrase from this file. Default: one is made and shown once
    #[arg(long, value_name = "FILE")]
    phrase_file: Option<PathBuf>,
}

/// The ways to collect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum ClaimName {
    /// By saying a phrase
    Phrase,
    /// By proof of the bot's registered key
    Key,
    /// From a file that the gate keeps
    File,
}

pub(crate) fn run(command: Command, program: &Program) -> Result<(), Failure> {
    match command {
        Command::Add(add) => run_add(add, program),
        Command::List { site } => run_list(site.as_deref(), program),
        Command::Remove { id } => run_remove(id, program),
    }
}

fn run_add(add: Add, program: &Program) -> Result<(), Failure> {
    #[derive(serde::Serialize)]
    struct Added {
        order: i64,
        lifetime_seconds: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        phrase: Option<String>,
    }
    let mint = program.mint()?;
    let (claim, made_phrase) = claim(&add)?;
    let ssh = add.ssh_key.as_deref().map(super::ssh_confirmation).transpose()?;
    let (jkt, certificate) = (add.jkt.clone(), add.certificate.clone());
    let key = jkt.map(Confirmation::Jkt).or(certificate.map(Confirmation::X5tS256));
    let confirmation = ssh.or(key);
    let order = add.order(claim, confirmation);
    let placed = orders::add(&mint.store()?, &order, farside_service::time::now_unix())?;
    let site = &add.site;
    mint.diary()?.record(
        "order_added",
        serde_json::json!({ "order": placed.id, "site": site, "subject": add.subject }),
    )?;
    if placed.may_lapse {
        eprintln!(
            "farside: note: the token may expire before the next bundle arrives; a longer --lifetime helps"
        );
    }
    let told = Added { order: placed.id, lifetime_seconds: placed.lifetime_seconds, phrase: made_phrase };
    let human = || {
        let lifetime = Seconds(told.lifetime_seconds);
        let mut text = format!("order {}: a token of {lifetime} in every bundle for {site}", told.order);
        if let Some(phrase) = &told.phrase {
            text.push_str(&format!("\nclaim phrase, shown this once:\n  {phrase}"));
        }
        text
    };
    program.output.say(human, &told)
}

impl Add {
    fn order(&self, claim: ClaimWanted, confirmation: Option<Confirmation>) -> NewOrder {
        NewOrder {
            site: self.site.clone(),
            subject: self.subject.clone(),
            audience: self.audience.clone(),
            lifetime_seconds: self.lifetime.map(|lifetime| lifetime.0),
            roles: if self.roles.is_empty() { None } else { Some(self.roles.clone()) },
            profile: self.profile,
            confirmation,
            claim,
        }
    }
}

/// The claim, and its phrase where one was made.
fn claim(add: &Add) -> Result<(ClaimWanted, Option<String>), Failure> {
    // Nobody collects what only sshd asks for.
    let usual = if add.ssh_key.is_some() { ClaimName::File } else { ClaimName::Phrase };
    let wanted = add.claim.unwrap_or(usual);
    if add.phrase_file.is_some() && wanted != ClaimName::Phrase {
        return Err(Failure::could_not("--phrase-file goes with --claim phrase"));
    }
    match (wanted, &add.phrase_file) {
        (ClaimName::Key, _) => Ok((ClaimWanted::Key, None)),
        (ClaimName::File, _) => Ok((ClaimWanted::File, None)),
        (ClaimName::Phrase, Some(path)) => {
            let bytes = durable::read_limited(path, PHRASE_FILE_BYTES_MAX)?;
            let text =
                String::from_utf8(bytes).map_err(|_| Failure::refused("the phrase file is not UTF-8"))?;
            Ok((ClaimWanted::Phrase(text), None))
        }
        (ClaimName::Phrase, None) => {
            let phrase = orders::make_phrase()?;
            Ok((ClaimWanted::Phrase(phrase.clone()), Some(phrase)))
        }
    }
}

fn run_list(site: Option<&str>, program: &Program) -> Result<(), Failure> {
    let directory = program.mint()?.store()?.directory()?;
    let orders: Vec<_> = directory
        .orders()
        .into_iter()
        .filter(|order| order.enabled && site.is_none_or(|site| order.site == site))
        .map(orders::Listed::of)
        .collect();
    let rows: Vec<_> = orders.iter().map(orders::Listed::cells).collect();
    let headings = ["order", "site", "subject", "audience", "lifetime", "profile", "claim"];
    program.output.say(|| table(&headings, &rows).trim_end().to_owned(), &orders)
}

fn run_remove(id: i64, program: &Program) -> Result<(), Failure> {
    let mint = program.mint()?;
    if !orders::remove(&mint.store()?, id)? {
        return Err(Failure::refused(format!("there is no standing order {id}"))
            .hint("see `farside mint order list`"));
    }
    mint.diary()?.record("order_removed", serde_json::json!({ "order": id }))?;
    program.output.say(|| format!("order {id} is stopped"), &serde_json::json!({ "order": id }))
}
