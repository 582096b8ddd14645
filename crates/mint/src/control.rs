//! The socket on which a running mint takes commands: a JSON object posted, a JSON object back.
//!
//! For the command line. While `serve` runs it alone writes the log, so a command that needs the log asks it.
//! The socket is its owner's alone (0600); whoever may use it may also read the keys' files.

use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use farside_crossing::manifest::Kind;
use farside_service::cli::{Exit, Failure};
use serde::{Deserialize, Serialize};

use crate::bundler::Made;
use crate::claims::{Confirmation, Profile};
use crate::log::index::Query;
use crate::log::{Logged, Redacted};

/// Where commands are posted.
pub const COMMAND_PATH: &str = "/command";

/// Longest command and longest answer.
pub const MESSAGE_BYTES_MAX: usize = 256 * 1024;

/// How long a command may take: making a large bundle takes a while.
pub const ANSWER_SECONDS_MAX: u64 = 600;

/// What can be asked of a running mint.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case", deny_unknown_fields)]
pub enum Command {
    /// Issue a token.
    IssueToken(TokenOrder),
    /// Make the next bundle of a site, with fresh tokens for its standing orders.
    MakeBundle {
        /// The site.
        site: String,
        /// Its kind.
        kind: Kind,
        /// A size of the log that a late gate named.
        #[serde(default)]
        since: Option<u64>,
        /// Who gives the order, for the journal.
        operator: String,
    },
    /// Prove that a token is logged.
    ProveToken {
        /// Its id.
        token_id: String,
    },
    /// Believe this machine's clock, and destroy the keys that have ended by it.
    DestroyDue {
        /// Why it is right.
        reason: String,
        /// Who gives the order, for the journal.
        operator: String,
    },
    /// Redact records of the log.
    RedactLog {
        /// Which.
        query: Query,
    },
}

/// A token as the command line asks for it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenOrder {
    /// Who gives the order, for the log.
    pub operator: String,
    /// The site, to be sure: the audience must be one of its.
    pub site: Option<String>,
    /// For whom.
    pub subject: String,
    /// For which audience.
    pub audience: String,
    /// Which roles; `None`: all that are held and allowed.
    pub roles: Option<Vec<String>>,
    /// Which groups to name.
    pub groups: Vec<String>,
    /// How long it lives; `None`: the site's default.
    pub lifetime_seconds: Option<u64>,
    /// Its shape.
    pub profile: Profile,
    /// What its holder must prove to have.
    pub confirmation: Option<Confirmation>,
    /// Whether its proof of logging is to be stapled to it.
    #[serde(default)]
    pub stapled: bool,
}

/// A running mint's answer.
#[derive(Clone, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "snake_case")]
pub enum Reply {
    /// The token asked for.
    Token(IssuedToken),
    /// The bundle that now lies in the outbox.
    Bundle(Made),
    /// The proof asked for.
    Logged(Logged),
    /// What was redacted.
    Redacted(Redacted),
    /// What was destroyed.
    Destroyed {
        /// Whether the clock was doubted until then.
        doubted: bool,
        /// Ids of token keys.
        token_kids: Vec<String>,
        /// Whether a key of the mint's own is among it.
        role_keys: bool,
    },
    /// Nothing was done.
    Failed {
        /// Whether it was refused (exit 1) rather than impossible (exit 2).
        refused: bool,
        /// Why.
        message: String,
        /// What to do about it.
        hint: Option<String>,
    },
}

/// A token on its way to the person who asked.
#[derive(Clone, Serialize, Deserialize)]
pub struct IssuedToken {
    /// The token itself.
    pub token: String,
    /// `jti`.
    pub token_id: String,
    /// `sub` as the directory has it.
    pub subject: String,
    /// `aud`.
    pub audience: String,
    /// The site.
    pub site: String,
    /// The key that signed.
    pub kid: String,
    /// `exp`.
    pub expires_at: u64,
}

/// Asks the mint that listens on `socket`; `None` where none does.
pub fn call(socket: &Path, command: &Command) -> Result<Option<Reply>, Failure> {
    let stream = match UnixStream::connect(socket) {
        Ok(stream) => stream,
        Err(fault) if matches!(fault.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => {
            return Ok(None);
        }
        Err(fault) => return Err(unreachable(socket, &fault)),
    };
    let reply = exchange(&stream, command).map_err(|fault| unreachable(socket, &fault))?;
    let body = body(&reply).ok_or_else(|| strange(socket, "no HTTP answer came"))?;
    serde_json::from_slice(body).map(Some).map_err(|fault| strange(socket, &fault.to_string()))
}

impl Reply {
    /// The answer to a command that failed.
    pub fn failed(failure: &Failure) -> Reply {
        Reply::Failed {
            refused: failure.exit() == Exit::Refused,
            message: failure.to_string(),
            hint: failure.hint_text().map(str::to_owned),
        }
    }

    /// The failure that this answer reports, or the answer itself.
    pub fn success(self) -> Result<Reply, Failure> {
        match self {
            Reply::Failed { refused, message, hint } => {
                let failure = if refused { Failure::refused(message) } else { Failure::could_not(message) };
                Err(match hint {
                    Some(hint) => failure.hint(hint),
                    None => failure,
                })
            }
            reply => Ok(reply),
        }
    }
}

// One request on one connection, which the server closes: no more of HTTP is needed between the two of us.
fn exchange(mut stream: &UnixStream, command: &Command) -> std::io::Result<Vec<u8>> {
    stream.set_read_timeout(Some(Duration::from_secs(ANSWER_SECONDS_MAX)))?;
    let body = serde_json::to_vec(command)?;
    let length = body.len();
    let head = format!(
        "POST {COMMAND_PATH} HTTP/1.1\r\nhost: mint\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(&[head.as_bytes(), &body].concat())?;
    let mut reply = Vec::new();
    stream.take(MESSAGE_BYTES_MAX as u64).read_to_end(&mut reply)?;
    Ok(reply)
}

fn body(reply: &[u8]) -> Option<&[u8]> {
    let end = reply.windows(4).position(|window| window == b"\r\n\r\n")?;
    reply.get(end + 4..)
}

fn strange(socket: &Path, why: &str) -> Failure {
    Failure::could_not(format!("the mint at {} answered in an unknown way: {why}", socket.display()))
        .hint("if the running mint is of another version, restart it")
}

fn unreachable(socket: &Path, fault: &std::io::Error) -> Failure {
    Failure::could_not(format!("the mint at {} could not be asked: {fault}", socket.display()))
        .hint("is `farside mint serve` well? Its log says more")
}
