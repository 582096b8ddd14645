//! `/ssh/authorized-keys`: sshd asks whether a key may log in to an account (`AuthorizedKeysCommand`).
//!
//! ```text
//!   account, key ─▶ carried tokens bound to the key ─▶ judge ─▶ the holder's account? ─▶ journal
//!                              a line of authorized_keys with the token's end, or nothing ◀──┘
//! ```
//!
//! The token is not shown to anyone: it was carried for its holder, and lies here. The answer names a key
//! that sshd will then ask proof of; so whoever lacks the private key has gained nothing.
//! Answered only where `[ssh]` is configured. A key that no token is bound to is counted, not journalled:
//! strangers offer sshd keys all day.

use std::time::Instant;

use farside_service::time::rfc3339;
use farside_verify::{Code, Refusal, SshKey};
use hyper::http::request::Parts;
use hyper::{Method, StatusCode};
use serde::Deserialize;
use serde_json::json;
use zeroize::Zeroizing;

use super::answer::{self, Answer, RequestFault};
use super::body::{self, RequestBody};
use super::decide::Asked;
use super::{Door, Doors};
use crate::config::Ssh;
use crate::judge::{self, Deed, Grant, Inspection, Pending, Wanted};
use crate::store;
use crate::trust::TrustState;

/// The largest key fits.
const BODY_BYTES_MAX: usize = 16 * 1024;
/// Longer names are no account's.
const USER_BYTES_MAX: usize = 256;
/// Nobody becomes root by a name.
const ROOT: &str = "root";

/// What sshd's command sends.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Login {
    user: String,
    key: String,
}

/// Answers one login.
pub(crate) async fn answer(doors: &Doors, request: &Parts, body: impl RequestBody) -> Answer {
    let Some(ssh) = &doors.ssh else {
        return answer::bare(StatusCode::NOT_FOUND);
    };
    if request.method != Method::POST {
        return answer::method_not_allowed("POST");
    }
    match read(request, body).await {
        Ok(login) => decide(doors, ssh, &login).await,
        Err(fault) => {
            super::count_wrong("ssh", fault.as_str());
            answer::wrong(&fault)
        }
    }
}

async fn read(request: &Parts, body: impl RequestBody) -> Result<Login, RequestFault> {
    let wanted = || RequestFault::BodyInvalid("the body is not {\"user\", \"key\"}".into());
    let bytes = body::read(request, "application/json", body, BODY_BYTES_MAX).await?;
    let login: Login = serde_json::from_slice(&bytes).map_err(|_| wanted())?;
    if login.user.is_empty() || login.user.len() > USER_BYTES_MAX { Err(wanted()) } else { Ok(login) }
}

async fn decide(doors: &Doors, ssh: &Ssh, login: &Login) -> Answer {
    let (started, now) = (Instant::now(), doors.now());
    let trust = match doors.gate.trust().and_then(|trust| trust.ready(now).map(|()| trust)) {
        Ok(trust) => trust,
        Err(refusal) => return answer::refused(&refusal),
    };
    // sshd offers whatever its client offers: certificates and old keys too.
    let Ok(key) = SshKey::parse(&login.key) else { return nobody("key_unusable") };
    let (gate, asked, account) = (doors.gate.clone(), ssh.clone(), login.user.clone());
    let fingerprint = key.fingerprint();
    let found = tokio::task::spawn_blocking(move || {
        let tokens = gate.store().read(|tx| store::bound_to_ssh(tx, &fingerprint, now))?;
        Ok(first_good(&trust, &asked, &account, tokens, &fingerprint, now))
    });
    let found = found.await.unwrap_or_else(|_| Err(store::StoreFault::Damaged("answer")));
    let (token, judged) = match found {
        Ok(Some(found)) => found,
        Ok(None) => return nobody("unknown_key"),
        Err(fault) => {
            tracing::error!(%fault, "carried tokens cannot be read");
            return answer::bare(StatusCode::SERVICE_UNAVAILABLE);
        }
    };
    let wanted = wanted(ssh, &login.user);
    let asked = Asked { door: Door::Ssh, credential: &token, wanted, started, now };
    match doors.enter(asked, judged).await {
        Ok(grant) => allowed(&[line(&key, &grant)]),
        Err(refusal) if judge::cannot_judge(refusal.code()) => answer::refused(&refusal),
        Err(_) => allowed(&[]),
    }
}

/// What a token is shown for here: the login to this account.
fn wanted<'a>(ssh: &'a Ssh, account: &'a str) -> Wanted<'a> {
    // bundle.md §13.4
    Wanted { action: ssh.action, deed: Deed::Login { account }, ..ssh.audience.as_str().into() }
}

/// The verdict on the newest token that lets the key in, or else on the newest of all.
fn first_good(
    trust: &TrustState,
    ssh: &Ssh,
    account: &str,
    tokens: Vec<Zeroizing<String>>,
    fingerprint: &[u8; 32],
    now: u64,
) -> Option<(Zeroizing<String>, Result<Pending, Refusal>)> {
    let wanted = wanted(ssh, account);
    let mut newest = None;
    for token in tokens {
        let judged = judge::judge_for_ssh(trust, &token, wanted, fingerprint, now)
            .and_then(|pending| theirs(ssh, account, &pending).map(|()| pending));
        if judged.is_ok() {
            return Some((token, judged));
        }
        newest = newest.or(Some((token, judged)));
    }
    newest
}

/// An account that is configured belongs to whoever holds its role; any other to the subject of its name.
pub(crate) fn theirs(ssh: &Ssh, account: &str, holder: &Inspection) -> Result<(), Refusal> {
    let fine = match ssh.accounts.get(account) {
        Some(role) => holder.roles().any(|held| held == role.as_str()),
        None => account != ROOT && holder.subject() == Some(account),
    };
    if fine {
        return Ok(());
    }
    let cure =
        "Log in to an account of the holder's own name, or to one whose role in [ssh.accounts] it has.";
    Err(Refusal::new(Code::PolicyDenied, "the account is not this holder's", cure))
}

/// sshd itself refuses the line once the token has ended, whatever it remembers.
fn line(key: &SshKey, grant: &Grant) -> String {
    let until = rfc3339(grant.expires_at().unwrap_or_default());
    let until: String = until.chars().filter(|c| c.is_ascii_digit() || *c == 'Z').collect();
    format!("expiry-time=\"{until}\" {}", key.line())
}

fn nobody(code: &'static str) -> Answer {
    super::count_wrong("ssh", code);
    allowed(&[])
}

fn allowed(keys: &[String]) -> Answer {
    answer::json_answer(StatusCode::OK, &json!({"keys": keys}))
}
