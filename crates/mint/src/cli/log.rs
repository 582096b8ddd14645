//! `mint log …`: whether the issuance log is whole, what stands in it, and erasing whom tokens were for.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use farside_service::cli::{Failure, OrFailure as _, operator, table};
use farside_service::durable::{self, Mode, Staged};
use farside_service::time::{self, now_unix, rfc3339};
use farside_verify::encode::base64url;
use serde::Serialize;
use serde_json::json;

use super::Program;
use crate::control::{Command as Order, Reply};
use crate::desk::{self, Desk};
use crate::log::index::{Index, Query};
use crate::log::{self, Checked, Entry, LineProof, ProvenExport, Record, Redacted, VoidReason};

/// The issuance log.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Read every record: whole, ours, one for each position. Also while the mint runs
    Check,
    /// What stands at a token's position
    Show {
        /// The token's id, its `jti`
        token_id: String,
    },
    /// The newest records that match
    Find {
        #[command(flatten)]
        which: Which,
        /// How many at most
        #[arg(long, default_value_t = 100, value_name = "COUNT")]
        limit: u64,
    },
    /// Prove that a token is logged, as c2sp.org/tlog-proof has it
    Prove {
        /// The token's id, its `jti`
        token_id: String,
        /// Write the proof to this file instead of stdout
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Every record in the order of the log, one JSON object a line, for an auditor
    Export {
        /// Write to this file (0600) instead of stdout
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        /// Add to each record the proof that its leaf stands under the published head
        #[arg(long)]
        proofs: bool,
    },
    /// Let the log go on by the clock as it is, after heads were signed by a clock that was ahead. The mint
    /// must not run
    AcceptClock {
        /// What was wrong with the clock, for the journal
        #[arg(long)]
        reason: String,
    },
    /// Erase whom expired tokens were for; their leaves and proofs stay
    Redact {
        #[command(flatten)]
        which: Which,
        /// Why, for the journal; name nobody in it
        #[arg(long)]
        reason: String,
    },
}

/// Which records are meant; all that is given must hold.
#[derive(Debug, Args)]
pub struct Which {
    /// The token's id
    #[arg(long, value_name = "ID")]
    token_id: Option<String>,
    /// Whom it was for
    #[arg(long, value_name = "NAME")]
    subject: Option<String>,
    /// Who asked: `client:<id>`, `operator:<name>` or `order:<number>`
    #[arg(long, value_name = "WHO")]
    requester: Option<String>,
    /// Written at or after this moment, such as 2026-01-31T08:00:00Z
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<u64>,
    /// Written before this moment
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<u64>,
}

/// A record as it is shown and exported.
#[derive(Serialize)]
struct Line<'r> {
    token_id: String,
    /// The leaf hash, base64url.
    leaf: String,
    #[serde(flatten)]
    record: &'r Record,
    /// That the leaf stands under the published head, where that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    proof: Option<LineProof>,
}

pub(crate) fn run(command: Command, program: &Program) -> Result<(), Failure> {
    match command {
        Command::Check => check(program),
        Command::Show { token_id } => show(&token_id, program),
        Command::Find { which, limit } => find(which, limit, program),
        Command::Prove { token_id, out } => prove(token_id, out.as_deref(), program),
        Command::Export { out, proofs } => export(out.as_deref(), proofs, program),
        Command::AcceptClock { reason } => accept_clock(&reason, program),
        Command::Redact { which, reason } => redact(which, &reason, program),
    }
}

fn check(program: &Program) -> Result<(), Failure> {
    let mint = program.mint()?;
    let checked = log::check(&mint.home.log()).map_err(|fault| {
        Failure::refused(fault.to_string())
            .hint("a mint that has never issued has no log yet; any other: restore the log from a copy")
    })?;
    program.output.say(|| describe(&checked), &checked)
}

fn show(token_id: &str, program: &Program) -> Result<(), Failure> {
    let index = index(program)?;
    let found = index.show(token_id)?.ok_or_else(|| {
        Failure::refused(format!("the log holds nothing at {token_id}"))
            .hint("a token's id is its `jti`: log shard, hyphen, index")
    })?;
    let line = Line::of(&found.record)?;
    program.output.say(|| line.sentences(), &line)
}

fn find(which: Which, limit: u64, program: &Program) -> Result<(), Failure> {
    let found = index(program)?.find(&which.query(), limit)?;
    let lines: Vec<Line> = found.iter().map(|found| Line::of(&found.record)).collect::<Result<_, _>>()?;
    let rows: Vec<_> = lines.iter().map(Line::row).collect();
    let heads = ["token", "written", "subject", "requester", "audience", "until"];
    program.output.say(|| table(&heads, &rows), &lines)
}

fn prove(token_id: String, out: Option<&Path>, program: &Program) -> Result<(), Failure> {
    let mint = program.mint()?;
    let order = Order::ProveToken { token_id };
    let Reply::Logged(logged) = desk::carry_out(&mint, &order, now_unix())? else {
        return Err(Failure::could_not("the mint answered another question"));
    };
    let Some(path) = out else { return program.output.say(|| logged.to_text(), &logged) };
    durable::write(path, logged.to_text().as_bytes(), Mode::Shared)?;
    let told = json!({ "out": path, "index": logged.index, "size": logged.size });
    program.output.say(|| format!("the proof is in {}", path.display()), &told)
}

fn export(out: Option<&Path>, proofs: bool, program: &Program) -> Result<(), Failure> {
    let folder = program.mint()?.home.log();
    let mut proofs = match proofs {
        true => Some(ProvenExport::read(&folder).or_could_not(|| "prove the export".to_owned())?),
        false => None,
    };
    let Some(path) = out else {
        let mut stdout = std::io::BufWriter::new(std::io::stdout().lock());
        export_to(&mut stdout, &folder, proofs.as_mut())?;
        return stdout.flush().or_could_not(|| "write the export".to_owned());
    };
    let mut staged = std::io::BufWriter::new(Staged::create(path, Mode::Private)?);
    let records = export_to(&mut staged, &folder, proofs.as_mut())?;
    let staged = staged.into_inner().map_err(|fault| Failure::could_not(fault.to_string()))?;
    staged.commit()?;
    let told = json!({ "out": path, "records": records });
    program.output.say(|| format!("{records} records are in {}", path.display()), &told)
}

fn export_to(
    out: &mut impl Write,
    folder: &Path,
    mut proofs: Option<&mut ProvenExport>,
) -> Result<u64, Failure> {
    let (mut records, mut outcome) = (0, Ok(()));
    log::read(folder, |record| {
        if outcome.is_ok() {
            records += 1;
            let proof = proofs.as_mut().and_then(|proofs| proofs.of(record));
            outcome = Line::of(record).and_then(|line| Line { proof, ..line }.write_to(out));
        }
    })
    .or_could_not(|| "export the issuance log".to_owned())?;
    outcome.map(|()| records)
}

// log.md §4.5: opening the log proves it against the locked heads, and holds the lock alone.
fn accept_clock(reason: &str, program: &Program) -> Result<(), Failure> {
    let mint = program.mint()?;
    let (desk, _) = Desk::open(&mint, now_unix())?;
    let (mut signed_at, mut now) = (0, 0);
    desk.issuer().log().accept_clock(|signed, clock| {
        (signed_at, now) = (signed, clock);
        desk.record(
            "log_clock_accepted",
            json!({"by": operator(), "reason": reason, "signed_at": rfc3339(signed), "now": rfc3339(clock)}),
        )
    })?;
    let human = || {
        format!(
            "The log goes on at {}, behind a head that was signed at {}.",
            rfc3339(now),
            rfc3339(signed_at)
        )
    };
    program.output.say(human, &json!({"signed_at": signed_at, "now": now}))
}

fn redact(which: Which, reason: &str, program: &Program) -> Result<(), Failure> {
    let mint = program.mint()?;
    let diary = mint.diary()?;
    let order = Order::RedactLog { query: which.query() };
    let Reply::Redacted(redacted) = desk::carry_out(&mint, &order, now_unix())? else {
        return Err(Failure::could_not("the mint answered another question"));
    };
    // log.md §9.1: without what it removed.
    let Redacted { records, alive, alive_until } = redacted;
    diary.record("log_redacted", json!({ "records": records, "alive": alive, "reason": reason }))?;
    let human = || {
        let mut text = format!("{records} records are redacted; their leaves and proofs stay as they were");
        if alive > 0 {
            let until = rfc3339(alive_until);
            text.push_str(&format!("\n{alive} are kept: their tokens live until {until}; redact again then"));
        }
        text
    };
    program.output.say(human, &redacted)
}

fn index(program: &Program) -> Result<Index, Failure> {
    let folder = program.mint()?.home.log();
    if !folder.is_dir() {
        return Err(Failure::refused("this mint has never issued: it has no log yet"));
    }
    Ok(Index::open(&folder)?)
}

impl Which {
    fn query(self) -> Query {
        let Which { token_id, subject, requester, since, until } = self;
        Query { token_id, subject, requester, since, until }
    }
}

impl<'r> Line<'r> {
    fn of(record: &'r Record) -> Result<Line<'r>, Failure> {
        let unreadable = |fault| Failure::could_not(format!("a record of the log: {fault}"));
        let token_id = record.position().map_err(unreadable)?.to_string();
        Ok(Line { token_id, leaf: base64url(record.leaf_hash().map_err(unreadable)?), record, proof: None })
    }

    fn write_to(&self, out: &mut impl Write) -> Result<(), Failure> {
        let written = serde_json::to_writer(&mut *out, self).map_err(std::io::Error::from);
        written.and_then(|()| out.write_all(b"\n")).or_could_not(|| "write the export".to_owned())
    }

    fn row(&self) -> Vec<String> {
        let (subject, requester, audience, until) = match &self.record.entry {
            Entry::Token(token) => {
                (token.subject.as_str(), token.requester.as_str(), token.audience.as_str(), token.expires_at)
            }
            Entry::Redacted(token) => ("(redacted)", "", "", token.expires_at),
            Entry::Void { reason: VoidReason::Unsigned } => ("(void: unsigned)", "", "", 0),
            Entry::Void { reason: VoidReason::Lost } => ("(void: lost)", "", "", 0),
        };
        let until = if until == 0 { String::new() } else { rfc3339(until) };
        let mut row = vec![self.token_id.clone(), rfc3339(self.record.at)];
        row.extend([subject, requester, audience].map(str::to_owned));
        row.push(until);
        row
    }

    fn sentences(&self) -> String {
        let written = rfc3339(self.record.at);
        let what = match &self.record.entry {
            Entry::Token(token) => format!(
                "token {} for {} at {}, asked for by {}\nwritten {written}, until {}, signed by key {} as {}",
                self.token_id,
                token.subject,
                token.audience,
                token.requester,
                rfc3339(token.expires_at),
                token.kid,
                token.profile
            ),
            Entry::Redacted(token) => format!(
                "token {}, redacted\nwritten {written}, until {}, signed by key {} as {}",
                self.token_id,
                rfc3339(token.expires_at),
                token.kid,
                token.profile
            ),
            Entry::Void { .. } => {
                format!("{} is void: no token was signed\nwritten {written}", self.token_id)
            }
        };
        format!("{what}\nleaf {}", self.leaf)
    }
}

fn moment(text: &str) -> Result<u64, String> {
    match text.parse() {
        Ok(unix) => Ok(unix),
        Err(_) => time::parse_rfc3339(text).map_err(|fault| fault.to_string()),
    }
}

fn describe(checked: &Checked) -> String {
    let Checked { records, torn_bytes, open_positions, shards } = checked;
    let rows: Vec<_> =
        shards.iter().map(|length| vec![length.shard.clone(), length.leaves.to_string()]).collect();
    let mut text = table(&["shard", "leaves"], &rows);
    text.push_str(&format!("\n{records} records, every one whole and at a position of its own"));
    if *open_positions > 0 {
        text.push_str(&format!(
            "\n{open_positions} positions are open: tokens are being made there, or a crash \
             left them and the next start makes them void"
        ));
    }
    if *torn_bytes > 0 {
        text.push_str(&format!(
            "\n{torn_bytes} bytes of an unfinished batch at the end; no token depends on them"
        ));
    }
    text
}
