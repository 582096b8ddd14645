//! Asking the gate's door as a proxy would, and reading what it says.

use std::net::SocketAddr;

use farside_service::cli::{Failure, OrFailure};
use serde_json::Value;

use super::http;
use super::story::Story;

/// The gate's forward-auth door for one audience.
pub(crate) struct Door<'a> {
    /// Where the gate listens.
    pub(crate) address: SocketAddr,
    /// What the door protects.
    pub(crate) audience: &'a str,
}

impl Door<'_> {
    /// Knocks with a token that must be let in, and tells as whom.
    pub(crate) fn admits(&self, story: &Story, token: &str) -> Result<(), Failure> {
        let answer = self.knock(story, token)?;
        let subject = answer.header("x-farside-subject").filter(|_| answer.status == 200);
        match subject {
            Some(subject) => {
                let roles = answer.header("x-farside-roles").unwrap_or("none");
                story.admitted(&format!("200: admitted as {subject}, roles: {roles}"));
                Ok(())
            }
            None => Err(Failure::could_not(format!("expected 200, got {}: {}", answer.status, answer.body))),
        }
    }

    /// Knocks with a token that must be refused for one reason, and tells the cure.
    pub(crate) fn refuses(&self, story: &Story, token: &str, code: &str) -> Result<(), Failure> {
        let answer = self.knock(story, token)?;
        let body: Value = serde_json::from_str(&answer.body).or_could_not(|| "read the refusal".into())?;
        match body["code"].as_str() {
            Some(found) if found == code && answer.status != 200 => {
                story.refused(&format!("{}: {code}", answer.status), &said(&body));
                Ok(())
            }
            _ => Err(Failure::could_not(format!("expected {code}, got {}: {}", answer.status, answer.body))),
        }
    }

    fn knock(&self, story: &Story, token: &str) -> Result<http::Answer, Failure> {
        let path = format!("/verify?aud={}", http::escaped(self.audience));
        story.command(&format!("curl -H 'Authorization: Bearer …' 'http://{}{path}'", self.address));
        http::get(self.address, &path, &[("authorization", &format!("Bearer {token}"))])
    }
}

/// A refusal's detail and cure as one sentence after the other.
pub(crate) fn said(refusal: &Value) -> String {
    let text = |name: &str| refusal[name].as_str().unwrap_or_default().trim_end_matches('.').to_owned();
    let (detail, cure) = (text("detail"), text("cure"));
    let detail = if detail.is_empty() { text("sentence") } else { detail };
    format!("{detail}. → {cure}.")
}
