//! `farside verify`: tokens in, one JSON line each out. For scripts, and for trying what a verifier would
//! say.

use std::borrow::Cow;
use std::io::{self, BufRead, Write};
use std::path::PathBuf;

use farside_service::cli::{Exit, Failure, OrFailure};
use farside_service::durable;
use farside_verify::{
    Code, KEY_SET_BYTES_MAX, KeySet, LEEWAY_SECONDS_DEFAULT, Payload, Policy, Refusal, TOKEN_BYTES_MAX,
    Verified, Verifier,
};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::batch;
use crate::lines::{self, Line};

/// Verify tokens, given as arguments or one per line on standard input.
///
/// Prints one JSON line per token. Exit code 0: all accepted; 1: some refused; 2: could not run.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The JWK Set to believe.
    #[arg(long, value_name = "FILE", required_unless_present = "batch")]
    jwks: Option<PathBuf>,
    /// Demand this issuer.
    #[arg(long)]
    issuer: Option<String>,
    /// Demand an audience; given more than once, any of them will do.
    #[arg(long)]
    audience: Vec<String>,
    /// Judge as if it were this Unix time.
    #[arg(long, value_name = "UNIX")]
    now: Option<u64>,
    /// Tolerate clocks that differ by so many seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = LEEWAY_SECONDS_DEFAULT)]
    leeway: u64,
    /// Refuse tokens that live longer than so many seconds.
    #[arg(long, value_name = "SECONDS")]
    max_lifetime: Option<u64>,
    /// Read requests, one JSON object a line, each with its own token, key set, time and policy.
    #[arg(long, exclusive = true)]
    batch: bool,
    /// The tokens.
    #[arg(value_name = "TOKEN")]
    tokens: Vec<String>,
}

/// Says a verdict for every token, and fails with exit code 1 if any was refused.
pub(crate) fn run(arguments: Arguments) -> Result<(), Failure> {
    let mut verdicts = Verdicts::to(io::stdout().lock());
    if arguments.batch {
        batch::run(&mut io::stdin().lock(), &mut verdicts)?;
    } else {
        let verifier = arguments.verifier()?;
        let now = arguments.now.unwrap_or_else(farside_service::time::now_unix);
        if arguments.tokens.is_empty() {
            from_lines(&mut io::stdin().lock(), &verifier, now, &mut verdicts)?;
        }
        for token in &arguments.tokens {
            verdicts.say(judge(&verifier, token.as_bytes(), now))?;
        }
    }
    verdicts.close()
}

impl Arguments {
    fn verifier(&self) -> Result<Verifier, Failure> {
        let path = self.jwks.as_deref().ok_or_else(|| Failure::could_not("no key set is given"))?;
        let jwks = durable::read_limited(path, KEY_SET_BYTES_MAX as u64)?;
        let keys = KeySet::from_jwks(&jwks).or_could_not(|| format!("use the key set {}", path.display()))?;
        let mut policy = Policy::undemanding().leeway_seconds(self.leeway);
        if let Some(issuer) = &self.issuer {
            policy = policy.issuer(issuer);
        }
        if !self.audience.is_empty() {
            policy = policy.audiences(&self.audience);
        }
        if let Some(seconds) = self.max_lifetime {
            policy = policy.lifetime_seconds_max(seconds);
        }
        Ok(Verifier::new(keys, policy))
    }
}

/// One token a line; empty lines are not tokens.
fn from_lines(
    input: &mut impl BufRead,
    verifier: &Verifier,
    now: u64,
    verdicts: &mut Verdicts<impl Write>,
) -> Result<(), Failure> {
    // One byte more than a token may have, so that the verifier itself says which limit was passed.
    while let Some(line) =
        lines::next(input, TOKEN_BYTES_MAX + 1).or_could_not(|| "read the tokens".into())?
    {
        match line {
            Line::Whole(token) if token.is_empty() => {}
            Line::Whole(token) => verdicts.say(judge(verifier, &token, now))?,
            Line::TooLong => verdicts.say(Err(Refusal::new(Code::TooLarge, "the line is too long", "")))?,
        }
    }
    Ok(())
}

fn judge(verifier: &Verifier, token: &[u8], now: u64) -> Result<Accepted, Refusal> {
    verifier.verify(token, now).map(|verified| Accepted::jwt(verified.json()))
}

/// What an accepting line shows.
#[derive(Debug, Serialize)]
pub(crate) struct Accepted {
    verdict: &'static str,
    /// The claims as they were signed; in mode `jws` only where the payload is a JSON object.
    #[serde(skip_serializing_if = "Option::is_none")]
    claims: Option<Box<RawValue>>,
    /// The payload in base64url, in mode `jws`, where it may be anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<String>,
}

impl Accepted {
    /// The claims of a token that passed every check.
    pub(crate) fn jwt(claims: &str) -> Accepted {
        Accepted { verdict: "accept", claims: one_line(claims), payload: None }
    }

    /// A payload of which nothing is known but that its signature holds.
    pub(crate) fn jws(payload: &Verified<Payload>) -> Accepted {
        let payload: &[u8] = payload;
        let object = std::str::from_utf8(payload).ok().filter(|text| text.trim_start().starts_with('{'));
        let encoded = farside_verify::encode::base64url(payload);
        Accepted { verdict: "accept", claims: object.and_then(one_line), payload: Some(encoded) }
    }
}

/// JSON has line ends between its tokens only, never inside a string: there a space means the same.
fn one_line(json: &str) -> Option<Box<RawValue>> {
    RawValue::from_string(json.replace(['\n', '\r'], " ").trim().to_owned()).ok()
}

#[derive(Serialize)]
struct Refused<'a> {
    verdict: &'static str,
    code: &'a str,
    detail: Cow<'a, str>,
    cure: &'a str,
}

/// The lines said so far, and whether one of them was a refusal.
pub(crate) struct Verdicts<W> {
    output: W,
    refused: bool,
}

impl<W: Write> Verdicts<W> {
    /// Nothing said yet.
    pub(crate) fn to(output: W) -> Verdicts<W> {
        Verdicts { output, refused: false }
    }

    /// Says one verdict, and passes it on at once: whoever asked may be waiting for it.
    pub(crate) fn say(&mut self, verdict: Result<Accepted, Refusal>) -> Result<(), Failure> {
        self.refused |= verdict.is_err();
        let line = match &verdict {
            Ok(accepted) => serde_json::to_string(accepted),
            Err(refusal) => serde_json::to_string(&Refused::from(refusal)),
        };
        let line = line.or_could_not(|| "write a verdict as JSON".into())?;
        writeln!(self.output, "{line}")
            .and_then(|()| self.output.flush())
            .or_could_not(|| "write a verdict".into())
    }

    fn close(self) -> Result<(), Failure> {
        if self.refused { Err(Failure::told(Exit::Refused)) } else { Ok(()) }
    }
}

impl<'a> From<&'a Refusal> for Refused<'a> {
    fn from(refusal: &'a Refusal) -> Refused<'a> {
        let detail = match refusal.detail() {
            "" => Cow::Borrowed(refusal.sentence()),
            detail => Cow::Borrowed(detail),
        };
        Refused { verdict: "refuse", code: refusal.code().as_str(), detail, cure: refusal.cure() }
    }
}
