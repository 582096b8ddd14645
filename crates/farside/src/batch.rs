//! `farside verify --batch`: one JSON request a line in, one verdict a line out, for programs that ask much.
//! A line that is no proper request is refused like a bad token, and the next line is heard all the same.

use std::io::{BufRead, Write};

use farside_service::cli::{Failure, OrFailure};
use farside_verify::{Code, KEY_SET_BYTES_MAX, KeySet, Policy, Refusal, TOKEN_BYTES_MAX, Verifier};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::lines::{self, Line};
use crate::verify::{Accepted, Verdicts};

/// A key set and a token, both written with an escape for every character, and room for the rest.
const LINE_BYTES_MAX: usize = 6 * (KEY_SET_BYTES_MAX + TOKEN_BYTES_MAX) + 64 * 1024;

/// One line in. Members of `policy` that are left out (or null) are not demanded. Members of the line that
/// are not known (the asker's own number, a remark) are left aside; a demand that is not known is refused.
#[derive(Deserialize)]
struct Request<'a> {
    token: String,
    #[serde(borrow)]
    jwks: &'a RawValue,
    #[serde(default)]
    mode: Mode,
    now: Option<u64>,
    policy: Option<Demands>,
}

/// Whether the claims are judged, or the signature alone.
#[derive(Deserialize, Default)]
#[serde(rename_all = "lowercase")]
enum Mode {
    #[default]
    Jwt,
    Jws,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Demands {
    iss: Option<String>,
    aud: Option<OneOrMany>,
    typ: Option<String>,
    algs: Option<Vec<String>>,
    leeway: Option<u64>,
    max_lifetime: Option<u64>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

/// Answers every line, in order, to the end of the input.
pub(crate) fn run(input: &mut impl BufRead, verdicts: &mut Verdicts<impl Write>) -> Result<(), Failure> {
    while let Some(line) = lines::next(input, LINE_BYTES_MAX).or_could_not(|| "read the requests".into())? {
        verdicts.say(match line {
            Line::Whole(line) => answer(&line),
            Line::TooLong => {
                Err(Refusal::new(Code::TooLarge, "the request's line is too long", "Send less."))
            }
        })?;
    }
    Ok(())
}

fn answer(line: &[u8]) -> Result<Accepted, Refusal> {
    let request: Request<'_> = serde_json::from_slice(line).map_err(|error| not_a_request(&error))?;
    let keys = KeySet::from_jwks(request.jwks.get().as_bytes())?;
    let verifier = Verifier::new(keys, request.policy.unwrap_or_default().policy());
    match request.mode {
        Mode::Jws => verifier.verify_jws(&request.token).map(|payload| Accepted::jws(&payload)),
        Mode::Jwt => {
            let now = request.now.ok_or_else(|| bad_request("`now` is missing".to_owned()))?;
            verifier.verify(&request.token, now).map(|verified| Accepted::jwt(verified.json()))
        }
    }
}

impl Demands {
    fn policy(self) -> Policy {
        let mut policy = Policy::undemanding().leeway_seconds(self.leeway.unwrap_or(0));
        if let Some(issuer) = self.iss {
            policy = policy.issuer(issuer);
        }
        match self.aud {
            Some(OneOrMany::One(audience)) => policy = policy.audiences([audience]),
            Some(OneOrMany::Many(audiences)) => policy = policy.audiences(audiences),
            None => {}
        }
        if let Some(typ) = self.typ {
            policy = policy.typ(typ);
        }
        if let Some(names) = &self.algs {
            policy = policy.algorithm_names(names.iter().map(String::as_str));
        }
        if let Some(seconds) = self.max_lifetime {
            policy = policy.lifetime_seconds_max(seconds);
        }
        policy
    }
}

/// The parser's message may quote the line, and the line holds a token: only the place is repeated.
fn not_a_request(error: &serde_json::Error) -> Refusal {
    bad_request(format!("the line is not a request after `farside verify --help`: column {}", error.column()))
}

fn bad_request(detail: String) -> Refusal {
    Refusal::new(
        Code::RequestInvalid,
        detail,
        "Send one JSON object a line: token, jwks, now, and if wanted mode (jwt or jws) and policy.",
    )
}
