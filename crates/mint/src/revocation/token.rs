//! Which token is meant: by its id, or by the token itself, in any spelling of its signature. Nothing is
//! believed for standing in a token's text but what the issuance log says of the same bytes.

use farside_verify::encode::base64url_decode;
use farside_verify::leaf::{self, TokenPosition};

use crate::log::Entry;
use crate::log::index::{Index, IndexFault};

/// Longest token that is read; with its proof of logging stapled on it is longer than a token alone.
const TOKEN_BYTES_MAX: usize = 24 * 1024;

/// A token of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggedToken {
    /// Its place, which is its `jti`.
    pub position: TokenPosition,
    /// `exp`.
    pub expires_at: u64,
    /// `sub` as the directory has it; `None` where the record was redacted.
    pub subject: Option<String>,
}

/// Why a token was not found.
#[derive(Debug, thiserror::Error)]
pub enum TokenFault {
    /// It is no token of ours.
    #[error("this is no token that this mint has issued")]
    Foreign,
    /// The log holds another token at that place, so this one was forged or changed.
    #[error("the log holds another token at {0}: this one was not issued by this mint, or was changed")]
    Other(TokenPosition),
    /// The log holds no token there.
    #[error("the log of this mint holds no token at {0}")]
    NotLogged(TokenPosition),
    /// The log's index failed.
    #[error("{0}")]
    Index(#[from] IndexFault),
}

impl From<TokenFault> for farside_service::cli::Failure {
    fn from(fault: TokenFault) -> Self {
        match fault {
            TokenFault::Index(fault) => fault.into(),
            fault @ TokenFault::NotLogged(_) => {
                Self::refused(fault.to_string()).hint("a token's id is its `jti`: log shard, hyphen, index")
            }
            fault => Self::refused(fault.to_string()),
        }
    }
}

/// The token at a place of the log.
pub fn look_up(index: &Index, position: &TokenPosition) -> Result<LoggedToken, TokenFault> {
    logged(index, position).map(|(token, _)| token)
}

/// The token that this text is. Its signature is not looked at: whatever it is spelled like, the log's record
/// of what was signed decides.
// token.md §7.1
pub fn identify(index: &Index, text: &str) -> Result<LoggedToken, TokenFault> {
    let text = text.trim();
    let token = text.split_once('~').map_or(text, |(token, _)| token);
    let (input, _) =
        token.rsplit_once('.').filter(|_| text.len() <= TOKEN_BYTES_MAX).ok_or(TokenFault::Foreign)?;
    let (_, payload) = input.split_once('.').ok_or(TokenFault::Foreign)?;
    let position = position(payload).ok_or(TokenFault::Foreign)?;
    let (token, signing_input_sha256) = logged(index, &position)?;
    let shown = leaf::signing_input_sha256(input.as_bytes());
    match base64url_decode(&signing_input_sha256).is_some_and(|held| held == shown) {
        true => Ok(token),
        false => Err(TokenFault::Other(position)),
    }
}

fn position(payload: &str) -> Option<TokenPosition> {
    #[derive(serde::Deserialize)]
    struct Named {
        jti: String,
    }
    let payload = base64url_decode(payload)?;
    serde_json::from_slice::<Named>(&payload).ok()?.jti.parse().ok()
}

fn logged(index: &Index, position: &TokenPosition) -> Result<(LoggedToken, String), TokenFault> {
    let found = index.show(&position.to_string())?;
    let (expires_at, subject, hash) = match found.map(|found| found.record.entry) {
        Some(Entry::Token(token)) => (token.expires_at, Some(token.subject), token.signing_input_sha256),
        Some(Entry::Redacted(token)) => (token.expires_at, None, token.signing_input_sha256),
        Some(Entry::Void { .. }) | None => return Err(TokenFault::NotLogged(position.clone())),
    };
    Ok((LoggedToken { position: position.clone(), expires_at, subject }, hash))
}
