//! `mint revoke`: takes back a token, a subject's tokens, or a token key.

use clap::{Args, Subcommand};
use farside_service::cli::Failure;
use farside_service::time;
use farside_verify::leaf::TokenPosition;
use serde_json::json;

use super::{Program, joined};
use crate::revocation::{self, What};

/// What is taken back.
#[derive(Debug, Subcommand)]
pub enum Revoke {
    /// One token, by its id.
    Token {
        /// Its `jti`: log shard, hyphen, index.
        id: String,
        #[command(flatten)]
        why: Why,
    },
    /// Every token issued for a subject up to now.
    Subject {
        /// The subject.
        name: String,
        /// At one site only.
        #[arg(long)]
        site: Option<String>,
        #[command(flatten)]
        why: Why,
    },
    /// A token key, with everything that it ever signed.
    Key {
        /// Its id.
        kid: String,
        #[command(flatten)]
        why: Why,
    },
}

/// A reason, for those who read the journals later.
#[derive(Debug, Args)]
pub struct Why {
    /// Why; it crosses with the revocation.
    #[arg(long)]
    reason: String,
}

pub(super) fn run(command: &Revoke, program: &Program) -> Result<(), Failure> {
    let (what, why, sentence) = match command {
        Revoke::Token { id, why } => {
            let position: TokenPosition =
                id.parse().map_err(|fault| Failure::refused(format!("this is no token id: {fault}")))?;
            (What::Token(position), why, format!("Token {id} is revoked"))
        }
        Revoke::Subject { name, site, why } => {
            let what = What::Subject { name: name.clone(), site: site.clone() };
            (what, why, format!("Every token issued for {name} until now is revoked"))
        }
        Revoke::Key { kid, why } => {
            (What::Key(kid.clone()), why, format!("Key {kid} and everything it signed is revoked"))
        }
    };
    let mint = program.mint()?;
    let diary = mint.diary()?;
    let sites = revocation::revoke(&mint.store()?, &what, &why.reason, time::now_unix())?;
    let (kind, name) = match &what {
        What::Token(position) => ("token", position.to_string()),
        What::Subject { name, .. } => ("subject", name.clone()),
        What::Key(kid) => ("key", kid.clone()),
    };
    diary.record("revoked", json!({ "kind": kind, "what": name, "sites": sites, "reason": why.reason }))?;
    let value = json!({ "revoked": name, "kind": kind, "sites": sites });
    program.output.say(
        || {
            format!(
                "{sentence}. It takes effect at {} with the next bundle: `mint bundle make`.",
                joined(&sites)
            )
        },
        &value,
    )
}
