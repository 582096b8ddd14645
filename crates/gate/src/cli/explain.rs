//! `gate explain`: a door's judgement check by check, with the policies that decide. It admits nobody, uses
//! nothing up and writes no journal.

use std::io::Read as _;

use farside_crossing::Action;
use farside_service::cli::{Exit, Failure, OrFailure as _, Output, Style, printable};
use farside_service::time::read_clocks;
use serde_json::{Value, json};

use super::check;
use crate::breakglass;
use crate::config::{Config, Ssh};
use crate::http::credential::TOKEN_BYTES_MAX;
use crate::http::ssh::theirs;
use crate::judge::{self, Clocks, Deed, Explained, Requested, Step, Wanted};
use crate::trust::{Gate, TrustState};

#[derive(Debug, clap::Args)]
pub(super) struct Explain {
    /// A token, with its staple where it has one, or a pass; left out or `-` reads it from standard input,
    /// which keeps it out of the list of processes.
    token: Option<String>,
    /// The audience that the door protects. [what gate.toml says of the door, or the site's only one]
    #[arg(long)]
    audience: Option<String>,
    /// What for: `read`, `write` or `safety`. [what gate.toml says of the door, or the strictest]
    #[arg(long, value_parser = check::action)]
    action: Option<Action>,
    /// The request's method, as the proxy received it.
    #[arg(long, default_value = "GET")]
    method: String,
    /// Its scheme.
    #[arg(long, default_value = "https")]
    scheme: String,
    /// Its host, with its port where that is not the scheme's.
    #[arg(long)]
    host: Option<String>,
    /// Its path, spelled as it was received.
    #[arg(long, requires = "host", default_value = "/")]
    path: String,
    /// The door it is shown at.
    #[arg(long, value_enum, default_value_t = AtDoor::Proxy)]
    door: AtDoor,
    /// The account that is logged in to.
    #[arg(long, required_if_eq("door", "ssh"))]
    account: Option<String>,
    /// Take this as proven by the holder: `dpop`, `certificate` or `ssh`; repeatable.
    #[arg(long = "proven", value_name = "HOW", value_parser = ["dpop", "certificate", "ssh"])]
    proven: Vec<String>,
    /// Judge as of this Unix time.
    #[arg(long, value_name = "UNIX")]
    now: Option<u64>,
}

/// Where a token may be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum AtDoor {
    /// Behind a reverse proxy.
    Proxy,
    /// For a login by SSH key.
    Ssh,
    /// To a resource server.
    Introspect,
    /// To a Kubernetes API server.
    Kubernetes,
    /// Where it is collected.
    Pickup,
}

impl Explain {
    pub(super) fn run(self, config: &Config, output: Output) -> Result<(), Failure> {
        let gate = Gate::open(config)?;
        let token = self.token()?;
        let refused = |refusal: farside_verify::Refusal| {
            Failure::refused(refusal.to_string()).hint(refusal.cure().to_owned())
        };
        let trust = gate.trust().map_err(refused)?;
        let now = self.now.unwrap_or_else(|| gate.moment().now);
        let login = match self.door {
            AtDoor::Ssh => Some(open_for_sshd(config, token.trim())?),
            _ => None,
        };
        let mut explained = self.explain(config, &trust, token.trim(), now)?;
        if let Some(ssh) = login {
            self.explain_account(ssh, &mut explained);
        }
        output.say(|| text(&trust, &explained), &value(&explained))?;
        if explained.refusal().is_some() { Err(Failure::told(Exit::Refused)) } else { Ok(()) }
    }

    fn token(&self) -> Result<String, Failure> {
        if let Some(token) = self.token.as_deref().filter(|token| *token != "-") {
            return Ok(token.to_owned());
        }
        let mut text = String::new();
        let mut input = std::io::stdin().lock().take(2 * TOKEN_BYTES_MAX as u64);
        input.read_to_string(&mut text).or_could_not(|| "read standard input".to_owned())?;
        Ok(text)
    }

    /// The audience and the action that gate.toml names for the door.
    fn configured<'c>(&self, config: &'c Config) -> (Option<&'c str>, Option<Action>) {
        let ssh = || config.ssh.as_ref().map(|ssh| (ssh.audience.as_str(), ssh.action));
        let kubernetes = || config.kubernetes.as_ref().map(|one| (one.audience.as_str(), one.action));
        let named = match self.door {
            AtDoor::Ssh => ssh(),
            AtDoor::Kubernetes => kubernetes(),
            AtDoor::Proxy | AtDoor::Introspect | AtDoor::Pickup => None,
        };
        (named.map(|(audience, _)| audience), named.and_then(|(_, action)| action))
    }

    /// Whether the holder may have the account, by this gate's configuration.
    fn explain_account(&self, ssh: &Ssh, explained: &mut Explained) {
        let account = self.account.as_deref().unwrap_or_default();
        explained.also("account", |holder| {
            theirs(ssh, account, holder).map(|()| match ssh.accounts.get(account) {
                Some(role) => format!("{account} is shared by whoever has the role {role}"),
                None => format!("{account} is the holder's own"),
            })
        });
    }

    fn explain(
        &self,
        config: &Config,
        trust: &TrustState,
        token: &str,
        now: u64,
    ) -> Result<Explained, Failure> {
        let request = match &self.host {
            Some(host) => Some(self.requested(host)?),
            None => None,
        };
        let deed = match self.door {
            AtDoor::Proxy => Deed::Request,
            AtDoor::Ssh => Deed::Login { account: self.account.as_deref().unwrap_or_default() },
            AtDoor::Introspect => Deed::Introspect,
            AtDoor::Kubernetes => Deed::Authenticate,
            AtDoor::Pickup => Deed::Collect,
        };
        let (audience, action) = self.configured(config);
        let action = self.action.or(action);
        let audience = self.audience.as_deref().or(audience).or_else(|| trust.single_audience());
        if audience.is_none() && !matches!(deed, Deed::Introspect | Deed::Collect) {
            return Err(Failure::could_not("the site has several audiences, and none was named")
                .hint("name one with --audience"));
        }
        let wanted = Wanted { audience, action, request: request.as_ref(), deed, ..Wanted::default() };
        let proven: Vec<&str> = self.proven.iter().map(String::as_str).collect();
        Ok(match breakglass::shown_pass(token) {
            Some(sha256) => {
                let clocks = Clocks { now, reading: &read_clocks() };
                judge::explain_pass(trust, &sha256, wanted, clocks)
            }
            None => judge::explain(trust, token, wanted, &proven, now),
        })
    }

    fn requested<'a>(&'a self, host: &'a str) -> Result<Requested<'a>, Failure> {
        Requested::read(&self.method, &self.scheme, host, &self.path)
            .map_err(|fault| Failure::could_not(fault.to_string()))
    }
}

/// The door for sshd, where there is one, and tokens are asked about.
fn open_for_sshd<'c>(config: &'c Config, shown: &str) -> Result<&'c Ssh, Failure> {
    let closed = || Failure::could_not("the door for sshd is closed");
    let ssh = config.ssh.as_ref().ok_or_else(|| closed().hint("open it with [ssh] in gate.toml"))?;
    match breakglass::shown_pass(shown) {
        Some(_) => Err(closed().hint("no pass opens it: sshd asks about carried tokens alone")),
        None => Ok(ssh),
    }
}

fn value(explained: &Explained) -> Value {
    let mut value = match explained.refusal() {
        None => json!({"verdict": "accept"}),
        Some(refusal) => json!({"verdict": "refuse", "code": refusal.code().as_str(),
                                "detail": refusal.detail(), "cure": refusal.cure()}),
    };
    let steps = explained.steps.iter().map(|step| match &step.found {
        Ok(told) => json!({"check": step.check, "held": true, "found": told}),
        Err(refusal) => json!({"check": step.check, "held": false, "code": refusal.code().as_str(),
                               "found": refusal.detail()}),
    });
    value["checks"] = steps.collect();
    value["not_reached"] = json!(explained.not_reached);
    value["policies"] = json!(decided(explained));
    value["misses"] = json!(explained.misses);
    value
}

/// The policies that permit, forbid or failed.
fn decided(explained: &Explained) -> Option<&[String]> {
    let refused = explained.refusal().and_then(farside_verify::Refusal::policies);
    explained.policies.as_deref().or(refused)
}

fn text(trust: &TrustState, explained: &Explained) -> String {
    let style = Style::stdout();
    let mut lines: Vec<String> = explained.steps.iter().map(|step| line(step, style)).collect();
    lines.extend(explained.not_reached.iter().map(|check| format!("  - {check:<11}not reached")));
    lines.extend(explained.misses.iter().map(|miss| format!("      {}", printable(miss))));
    let policies = trust.believed().and_then(|held| held.cedar());
    for policy in decided(explained).unwrap_or_default() {
        let text = policies.and_then(|policies| policies.text_of(policy)).unwrap_or_default();
        lines.extend(text.lines().map(|line| format!("      {}", printable(line))));
    }
    lines.push(match explained.refusal() {
        None => format!("{}: a door would let this holder in", style.green("accept")),
        Some(refusal) => {
            format!("{} {}: {refusal}\n  {}", style.red("refuse"), refusal.code(), printable(refusal.cure()))
        }
    });
    lines.join("\n")
}

fn line(step: &Step, style: Style) -> String {
    match &step.found {
        Ok(told) => format!("  {} {:<11}{}", style.green("+"), step.check, printable(told)),
        Err(refusal) => {
            let found = if refusal.detail().is_empty() { refusal.sentence() } else { refusal.detail() };
            format!("  {} {:<11}{}", style.red("x"), step.check, printable(found))
        }
    }
}
