//! Writes a token's claims: small, integers for times, members in one order.
//!
//! For [`judge`](crate::judge), which leaves the place of `jti` open until the log has given a position.

use farside_crossing::lists::LIST_TOKENS;
use farside_verify::encode::json_string;
use farside_verify::leaf::TokenPosition;

use crate::store::Purpose;

/// What shape of token is made.
// token.md §8
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize, clap::ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
pub enum Profile {
    /// `typ: at+jwt`, everything that RFC 9068 requires.
    #[default]
    Access,
    /// `typ: JWT` without `client_id`, for QR codes and paper.
    Lean,
    /// A SPIFFE JWT-SVID: its own key, `sub` a SPIFFE ID, and no claim but the registered ones it needs.
    JwtSvid,
}

impl Profile {
    /// The name on the command line and in the log.
    pub fn name(self) -> &'static str {
        match self {
            Profile::Access => "access",
            Profile::Lean => "lean",
            Profile::JwtSvid => "jwt-svid",
        }
    }

    /// The kind of key that signs it.
    pub fn purpose(self) -> Purpose {
        match self {
            Profile::Access | Profile::Lean => Purpose::Sig,
            Profile::JwtSvid => Purpose::JwtSvid,
        }
    }

    /// The profile of that name.
    pub fn from_name(name: &str) -> Option<Profile> {
        [Profile::Access, Profile::Lean, Profile::JwtSvid].into_iter().find(|profile| profile.name() == name)
    }
}

/// The key that a holder must prove to have (RFC 7800 §3.1).
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Confirmation {
    /// Thumbprint of a JWK, for DPoP (RFC 9449 §6.1).
    Jkt(String),
    /// SHA-256 of a client certificate (RFC 8705 §3.1).
    X5tS256(String),
    /// SHA-256 of an SSH public key.
    // token.md §5.6
    Ssh(String),
}

/// Everything that a token says, apart from its position.
#[derive(Clone, Debug)]
pub(crate) struct ClaimsDraft<'a> {
    pub(crate) issuer: Option<&'a str>,
    pub(crate) subject: &'a str,
    pub(crate) audience: &'a str,
    pub(crate) client_id: Option<&'a str>,
    pub(crate) issued_at: u64,
    pub(crate) expires_at: u64,
    /// The bundle floor; 0 where no bundle has been made, and then no member is written.
    pub(crate) floor: u64,
    pub(crate) roles: &'a [String],
    pub(crate) groups: &'a [String],
    pub(crate) scope: Option<&'a str>,
    pub(crate) confirmation: Option<&'a Confirmation>,
    /// Issuer and shard of the list that names its status, where the site asks for that.
    pub(crate) status: Option<(&'a str, &'a str)>,
}

/// Claims with the place of `jti` left open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OpenClaims {
    before: String,
    after: String,
    /// Address of the shard's lists, without the number.
    lists: Option<String>,
}

/// Characters of `status` beside the address of the lists: its members, an index, a list's number.
const STATUS_CHARS_MAX: usize = 64;

/// The address of a status list.
pub(crate) fn list_uri(issuer: &str, shard: &str, number: u64) -> String {
    format!("{}{number}", lists_uri(issuer, shard))
}

fn lists_uri(issuer: &str, shard: &str) -> String {
    format!("{}/status/{shard}/", issuer.trim_end_matches('/'))
}

/// Characters of the longest index in base 36, and of the hyphen before it.
const INDEX_CHARS_MAX: usize = 14;

impl OpenClaims {
    /// The claims of a token at `position`.
    pub(crate) fn at(&self, position: &TokenPosition) -> String {
        let id = position.to_string();
        let mut json = String::with_capacity(self.before.len() + id.len() + self.after.len());
        json.push_str(&self.before);
        json.push_str(&id);
        match &self.lists {
            None => json.push_str(&self.after),
            // draft-ietf-oauth-status-list §6.2; the list follows from the position, as `jti` does.
            Some(lists) => {
                let (number, index) = (position.index() / LIST_TOKENS, position.index() % LIST_TOKENS);
                json.push_str("\",\"status\":{\"status_list\":{\"idx\":");
                json.push_str(&index.to_string());
                json.push_str(",\"uri\":");
                json_string(&mut json, &format!("{lists}{number}"));
                json.push_str("}}");
                // The quotation mark that would have ended `jti` is written.
                json.push_str(self.after.get(1..).unwrap_or_default());
            }
        }
        json
    }

    /// The most bytes that these claims take in that shard, wherever the token stands in it.
    pub(crate) fn bytes_max(&self, shard: &str) -> usize {
        let status = self.lists.as_ref().map_or(0, |lists| {
            let mut spelled = String::new();
            json_string(&mut spelled, lists);
            STATUS_CHARS_MAX + spelled.len()
        });
        self.before.len() + shard.len() + INDEX_CHARS_MAX + self.after.len() + status
    }
}

impl ClaimsDraft<'_> {
    /// Spells the claims.
    // token.md §5
    pub(crate) fn write(&self) -> OpenClaims {
        let mut before = String::with_capacity(192);
        before.push('{');
        if let Some(issuer) = self.issuer {
            text(&mut before, "iss", issuer);
        }
        text(&mut before, "sub", self.subject);
        text(&mut before, "aud", self.audience);
        if let Some(client_id) = self.client_id {
            text(&mut before, "client_id", client_id);
        }
        number(&mut before, "iat", self.issued_at);
        number(&mut before, "exp", self.expires_at);
        before.push_str("\"jti\":\"");
        let lists = self.status.map(|(issuer, shard)| lists_uri(issuer, shard));
        OpenClaims { before, after: self.after_position(), lists }
    }

    fn after_position(&self) -> String {
        let mut after = String::with_capacity(64);
        after.push_str("\",");
        if self.floor > 0 {
            number(&mut after, "flr", self.floor);
        }
        list(&mut after, "roles", self.roles);
        list(&mut after, "groups", self.groups);
        if let Some(scope) = self.scope {
            text(&mut after, "scope", scope);
        }
        if let Some(confirmation) = self.confirmation {
            after.push_str("\"cnf\":{");
            match confirmation {
                Confirmation::Jkt(thumbprint) => text(&mut after, "jkt", thumbprint),
                Confirmation::X5tS256(hash) => text(&mut after, "x5t#S256", hash),
                Confirmation::Ssh(fingerprint) => text(&mut after, "ssh", fingerprint),
            }
            close(&mut after);
            after.push(',');
        }
        close(&mut after);
        after
    }
}

fn text(out: &mut String, name: &str, value: &str) {
    json_string(out, name);
    out.push(':');
    json_string(out, value);
    out.push(',');
}

fn number(out: &mut String, name: &str, value: u64) {
    json_string(out, name);
    out.push(':');
    out.push_str(&value.to_string());
    out.push(',');
}

// An empty list says no more than its absence, and absence is shorter.
fn list(out: &mut String, name: &str, values: &[String]) {
    if values.is_empty() {
        return;
    }
    json_string(out, name);
    out.push_str(":[");
    for (index, value) in values.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        json_string(out, value);
    }
    out.push_str("],");
}

/// Turns the last comma into the object's end.
fn close(out: &mut String) {
    if out.ends_with(',') {
        out.pop();
    }
    out.push('}');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft() -> ClaimsDraft<'static> {
        ClaimsDraft {
            issuer: Some("https://gate.plant7.example"),
            subject: "ada",
            audience: "historian",
            client_id: Some("ada"),
            issued_at: 1_764_000_000,
            expires_at: 1_764_000_900,
            floor: 0,
            roles: &[],
            groups: &[],
            scope: None,
            confirmation: None,
            status: None,
        }
    }

    #[test]
    fn least_claims_have_no_empty_members() {
        let json = draft().write().at(&TokenPosition::new("plant7", 36).unwrap());
        assert_eq!(
            json,
            "{\"iss\":\"https://gate.plant7.example\",\"sub\":\"ada\",\"aud\":\"historian\",\
             \"client_id\":\"ada\",\
             \"iat\":1764000000,\"exp\":1764000900,\"jti\":\"plant7-10\"}"
        );
    }

    #[test]
    fn a_status_reference_follows_from_the_position() {
        let mut named = draft();
        named.status = Some(("https://gate.plant7.example/", "plant7"));
        named.floor = 7;
        let open = named.write();
        let json = open.at(&TokenPosition::new("plant7", 3 * LIST_TOKENS + 5).unwrap());
        let value: serde_json::Value = serde_json::from_str(&json).unwrap();
        let list = &value["status"]["status_list"];
        assert_eq!(
            (&list["idx"], &list["uri"]),
            (&5.into(), &"https://gate.plant7.example/status/plant7/3".into())
        );
        assert_eq!((&value["flr"], &value["jti"]), (&7.into(), &"plant7-23ut".into()));
        assert!(open.at(&TokenPosition::new("plant7", u64::MAX).unwrap()).len() <= open.bytes_max("plant7"));
    }

    #[test]
    fn all_members_make_one_json_object() {
        let roles = ["reader".to_owned(), "shift \"lead\"".to_owned()];
        let confirmation = Confirmation::X5tS256("abc".to_owned());
        let mut full = draft();
        full.floor = 41;
        full.roles = &roles;
        full.groups = &roles[..1];
        full.scope = Some("reader");
        full.confirmation = Some(&confirmation);
        let json = full.write().at(&TokenPosition::new("plant7", u64::MAX).unwrap());
        let value: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(value["roles"][1], "shift \"lead\"");
        assert_eq!(value["cnf"]["x5t#S256"], "abc");
        assert_eq!(value["flr"], 41);
        assert!(json.len() <= full.write().bytes_max("plant7"));
    }
}
