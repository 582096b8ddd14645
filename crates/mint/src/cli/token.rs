//! `mint token issue`: a token by command, for a person who has no client of their own.

use std::path::PathBuf;

use farside_service::cli::{Failure, operator};
use farside_service::durable::{self, Mode};
use farside_service::duration::Seconds;
use farside_service::time::{now_unix, rfc3339};
use qrcode::render::unicode::Dense1x2;
use qrcode::{EcLevel, QrCode};

use super::Program;
use crate::claims::{Confirmation, Profile};
use crate::control::{Command as Order, IssuedToken, Reply, TokenOrder};
use crate::desk;

/// Tokens by command.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Issue one token; it is logged before it is shown
    Issue(Issue),
}

/// What the token is to be.
#[derive(Debug, clap::Args)]
pub struct Issue {
    /// The site, checked against the audience's
    #[arg(long)]
    site: Option<String>,
    /// Whom it is for, by the directory's name
    #[arg(long)]
    subject: String,
    /// For which audience
    #[arg(long)]
    audience: String,
    /// A role to write, of those held; repeatable. Default: all that are held and allowed
    #[arg(long = "role")]
    roles: Vec<String>,
    /// A group to write, of those the subject is in; repeatable. Default: none
    #[arg(long = "group")]
    groups: Vec<String>,
    /// How long it lives, such as 15m. Default: the site's
    #[arg(long)]
    lifetime: Option<Seconds>,
    /// The token's shape
    #[arg(long, value_enum, default_value_t)]
    profile: Profile,
    /// Bind it to the key with this JWK thumbprint (DPoP)
    #[arg(long, value_name = "THUMBPRINT", value_parser = super::thumbprint, conflicts_with = "certificate")]
    jkt: Option<String>,
    /// Bind it to the client certificate with this SHA-256, base64url
    #[arg(long = "x5t-s256", value_name = "HASH", value_parser = super::thumbprint)]
    certificate: Option<String>,
    /// Bind it to this SSH public key (a .pub file)
    #[arg(long, value_name = "FILE", conflicts_with_all = ["jkt", "certificate"])]
    ssh_key: Option<PathBuf>,
    /// Staple its proof of logging to it, for a token carried by hand ahead of its bundle
    #[arg(long)]
    with_proof: bool,
    /// Show it as a QR code as well
    #[arg(long, conflicts_with = "out")]
    qr: bool,
    /// Write the token to this file (0600) instead of showing it
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// What is told of a token that went to a file.
#[derive(serde::Serialize)]
struct Filed<'a> {
    out: &'a std::path::Path,
    token_id: &'a str,
    subject: &'a str,
    audience: &'a str,
    site: &'a str,
    kid: &'a str,
    expires_at: u64,
}

pub(crate) fn run(command: Command, program: &Program) -> Result<(), Failure> {
    let Command::Issue(issue) = command;
    let mint = program.mint()?;
    let (out, qr) = (issue.out.clone(), issue.qr);
    let ssh = issue.ssh_key.as_deref().map(super::ssh_confirmation).transpose()?;
    let reply = desk::carry_out(&mint, &Order::IssueToken(issue.order(ssh)), now_unix())?;
    let Reply::Token(token) = reply else {
        return Err(Failure::could_not("the mint answered another question"));
    };
    match out {
        Some(path) => file(&token, &path, program),
        None if qr => {
            let code = qr_code(&token.token)?;
            program.output.say(|| format!("{}\n{code}", token.token), &token)
        }
        None => program.output.say(|| token.token.clone(), &token),
    }
}

/// Two rows of modules in each line of text, dark on light.
fn qr_code(text: &str) -> Result<String, Failure> {
    let code = QrCode::with_error_correction_level(text, EcLevel::L)
        .map_err(|_| Failure::refused("the token is too long for one QR code").hint("use --profile lean"))?;
    Ok(code.render::<Dense1x2>().dark_color(Dense1x2::Dark).light_color(Dense1x2::Light).build())
}

fn file(token: &IssuedToken, path: &std::path::Path, program: &Program) -> Result<(), Failure> {
    durable::write(path, format!("{}\n", token.token).as_bytes(), Mode::Private)?;
    let IssuedToken { token_id, subject, audience, site, kid, expires_at, .. } = token;
    let told = Filed { out: path, token_id, subject, audience, site, kid, expires_at: *expires_at };
    let human = || {
        let until = rfc3339(*expires_at);
        format!("token {token_id} for {subject} at {audience}, until {until}, is in {}", path.display())
    };
    program.output.say(human, &told)
}

impl Issue {
    fn order(self, ssh: Option<Confirmation>) -> TokenOrder {
        TokenOrder {
            operator: operator(),
            site: self.site,
            subject: self.subject,
            audience: self.audience,
            roles: if self.roles.is_empty() { None } else { Some(self.roles) },
            groups: self.groups,
            lifetime_seconds: self.lifetime.map(|lifetime| lifetime.0),
            profile: self.profile,
            stapled: self.with_proof,
            confirmation: self
                .jkt
                .map(Confirmation::Jkt)
                .or(self.certificate.map(Confirmation::X5tS256))
                .or(ssh),
        }
    }
}
