//! Asks witnesses to cosign heads (c2sp.org/tlog-witness): outsiders who remember what they have seen of a
//! log, so that it cannot show one tree here and another one there.
//!
//! ```text
//!   published head ──add-checkpoint, proof from what the witness holds──▶ witness
//!   checkpoint note ◀──────────────── its line, if it holds ──────────────┘
//! ```
//! For [`serve`](crate::serve), beside its work: a witness that does not answer delays nothing. Refuses lines
//! that do not hold, and everything in an answer that is not the witness's own.

use std::collections::HashMap;
use std::net::ToSocketAddrs as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use farside_crossing::cosignature::{self, WitnessKey};
use farside_crossing::{Note, Refusal};
use farside_service::web::client::{Asked, split};
use farside_verify::merkle::Hash;
use hyper::Uri;
use serde::Deserialize;

use super::{IssuanceLog, LogFault};

/// How often a witness is asked about one head: it may have to say first which size it holds.
const ASKED_TIMES_MAX: usize = 2;

/// How long a witness may take over one head.
const ANSWER_SECONDS_MAX: u64 = 10;

/// Largest answer: a few signature lines.
const ANSWER_BYTES_MAX: u64 = 16 << 10;

/// One witness, as `[[log.witness]]` of `mint.toml` names it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Witness {
    /// Its verifier key, `<name>+<id>+<key>`, as it publishes it.
    pub vkey: WitnessKey,
    /// Its submission prefix, `https://…` or `http://…`.
    pub url: String,
    /// PEM file of the certificates that its server is believed by; needed for `https`.
    pub ca: Option<PathBuf>,
}

/// A head that a witness is asked about.
pub struct Submission<'a> {
    /// The checkpoint note.
    pub checkpoint: &'a [u8],
    /// The size that the witness is thought to hold.
    pub held: u64,
    /// Consistency proof from there.
    pub proof: &'a [Hash],
}

/// What a witness answers to a head.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    /// The checkpoint note with its line.
    Cosigned(Vec<u8>),
    /// It holds a head of another size than it was asked about.
    Holds(u64),
}

/// Why there is no cosignature.
#[derive(Debug, thiserror::Error)]
pub enum WitnessFault {
    /// The URL is not one that can be asked.
    #[error("{url:?} is not the http(s) URL of a witness")]
    Url {
        /// What stands in the configuration.
        url: String,
    },
    /// An https URL without certificates to believe.
    #[error("a witness at an https URL needs `ca`, the certificates that its server is believed by")]
    NoCertificates,
    /// It did not answer.
    #[error("the witness could not be asked: {0}")]
    Unreached(#[from] std::io::Error),
    /// What answered is not a witness.
    #[error("what answers is not a witness")]
    Strange,
    /// It refused the head.
    #[error("the witness refuses: HTTP {status}")]
    Refused {
        /// Its status: 403 unknown key, 404 unknown log, 422 a proof that does not hold.
        status: u16,
    },
    /// It holds a larger head than this log has: this log was rolled back, or another one bears its name.
    #[error("the witness holds {held} leaves, and this log has {size}")]
    Ahead {
        /// Leaves that the witness has seen.
        held: u64,
        /// Leaves of the newest head.
        size: u64,
    },
    /// The consistency proof could not be made.
    #[error("{0}")]
    Log(#[from] LogFault),
    /// Its line does not hold.
    #[error("{0}")]
    Unbelieved(#[from] Refusal),
}

impl Witness {
    /// Submits a head. `home` is the folder to which the configuration's paths are relative.
    ///
    /// # Errors
    /// No answer, or none that holds.
    // c2sp.org/tlog-witness, add-checkpoint
    pub fn ask(&self, submission: &Submission<'_>, home: &Path) -> Result<Answer, WitnessFault> {
        let answer = self.post(&submission.body(), home)?;
        let (status, body) = split(&answer).ok_or(WitnessFault::Strange)?;
        match status {
            200 => Ok(Answer::Cosigned(cosignature::add(submission.checkpoint, body, &self.vkey)?)),
            409 => match size(body) {
                Some(size) if size != submission.held => Ok(Answer::Holds(size)),
                _ => Err(WitnessFault::Refused { status }),
            },
            status => Err(WitnessFault::Refused { status }),
        }
    }

    fn post(&self, body: &[u8], home: &Path) -> Result<Vec<u8>, WitnessFault> {
        let wrong = || WitnessFault::Url { url: self.url.clone() };
        let url: Uri = self.url.parse().map_err(|_| wrong())?;
        let host = url.host().ok_or_else(wrong)?;
        let (port_default, certificates) = match (url.scheme_str(), &self.ca) {
            (Some("http"), _) => (80, None),
            (Some("https"), Some(ca)) => (443, Some(home.join(ca))),
            (Some("https"), None) => return Err(WitnessFault::NoCertificates),
            _ => return Err(wrong()),
        };
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let port = url.port_u16().unwrap_or(port_default);
        let address = (bare, port).to_socket_addrs()?.next().ok_or_else(wrong)?;
        // HTTP/1.0: an answer in one piece that ends with its connection.
        let head = format!(
            "POST {}/add-checkpoint HTTP/1.0\r\nHost: {host}:{port}\r\nConnection: close\r\n\
             Content-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\n\r\n",
            url.path().trim_end_matches('/'),
            body.len()
        );
        let asked = Asked {
            address,
            tls: certificates.as_deref().map(|certificates| (bare, certificates)),
            seconds_max: ANSWER_SECONDS_MAX,
            answer_bytes_max: ANSWER_BYTES_MAX,
        };
        Ok(asked.exchange(&[head.as_bytes(), body].concat())?)
    }
}

impl Submission<'_> {
    fn body(&self) -> Vec<u8> {
        let mut body = format!("old {}\n", self.held);
        for hash in self.proof {
            STANDARD.encode_string(hash, &mut body);
            body.push('\n');
        }
        body.push('\n');
        [body.as_bytes(), self.checkpoint].concat()
    }
}

/// Asks every witness about every published head that it has not cosigned, again and again.
#[derive(Debug)]
pub struct Rounds {
    log: Arc<IssuanceLog>,
    witnesses: Vec<Witness>,
    home: PathBuf,
    /// The size that each witness holds of each shard, as far as it is known.
    held: HashMap<(usize, String), u64>,
}

impl Rounds {
    /// Rounds for this log; `home` is the folder to which the configuration's paths are relative.
    pub fn new(log: Arc<IssuanceLog>, witnesses: Vec<Witness>, home: &Path) -> Rounds {
        Rounds { log, witnesses, home: home.to_owned(), held: HashMap::new() }
    }

    /// One round. A witness that fails is left until the next one.
    pub fn go(&mut self) {
        let shards = self.log.published_shards();
        for number in 0..self.witnesses.len() {
            for shard in &shards {
                if let Err(fault) = self.ask(number, shard) {
                    let witness = self.witnesses.get(number).map_or("", |witness| witness.vkey.name());
                    tracing::warn!(%fault, witness, shard, "a head is not cosigned");
                    break;
                }
            }
        }
    }

    // log.md §5.3
    fn ask(&mut self, number: usize, shard: &str) -> Result<(), WitnessFault> {
        let (Some(witness), Some(checkpoint)) = (self.witnesses.get(number), self.log.checkpoint(shard))
        else {
            return Ok(());
        };
        let note = Note::parse(&checkpoint)?;
        let size = note.text().split('\n').nth(1).and_then(|size| size.parse().ok()).unwrap_or(0);
        if witness.vkey.cosigned_at(&note)?.is_some() {
            return Ok(());
        }
        let held = self.held.entry((number, shard.to_owned())).or_default();
        for _ in 0..ASKED_TIMES_MAX {
            // A witness that holds more than this log has seen another log.
            if *held > size {
                return Err(WitnessFault::Ahead { held: *held, size });
            }
            let proof = self.log.consistency(shard, *held, size)?;
            let submission = Submission { checkpoint: &checkpoint, held: *held, proof: &proof };
            match witness.ask(&submission, &self.home)? {
                Answer::Cosigned(note) => {
                    *held = size;
                    return Ok(self.log.cosigned(shard, size, note)?);
                }
                Answer::Holds(other) => *held = other,
            }
        }
        Ok(())
    }
}

impl IssuanceLog {
    /// The shards that have a published head.
    pub fn published_shards(&self) -> Vec<String> {
        self.heads.shards()
    }

    fn cosigned(&self, shard: &str, size: u64, checkpoint: Vec<u8>) -> Result<(), LogFault> {
        self.heads.cosign(shard, size, checkpoint)
    }
}

fn size(body: &[u8]) -> Option<u64> {
    str::from_utf8(body).ok()?.strip_suffix('\n')?.parse().ok()
}
