//! `farside audit send` and `farside audit export`: journals for the systems that watch over everything else.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use farside_service::cli::{Failure, OrFailure as _, Output};
use farside_service::digest::{hex, unhex};
use farside_service::durable::{self, Mode};
use farside_service::journal::{Head, Stored};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::lines::{Line, Reading};
use crate::ocsf;
use crate::syslog::{self, Receiver, Sender, Tls};

/// How often journals are looked at with `--follow`.
const LOOK_SECONDS: u64 = 1;
/// Largest cursor file.
const CURSOR_BYTES_MAX: u64 = 1 << 20;

/// `farside audit export`.
#[derive(Debug, clap::Args)]
pub(crate) struct Export {
    /// Journals, or folders of them.
    #[arg(required = true)]
    journals: Vec<PathBuf>,
    /// As what each line is to be printed.
    #[arg(long, value_enum)]
    format: Format,
    /// The name of the machine that the journals are of; by default this one.
    #[arg(long)]
    host: Option<String>,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Format {
    /// Open Cybersecurity Schema Framework: one JSON object a line.
    Ocsf,
    /// RFC 5424: one message a line.
    Syslog,
}

/// `farside audit send`.
#[derive(Debug, clap::Args)]
pub(crate) struct Send {
    /// Journals, or folders of them.
    #[arg(required = true)]
    journals: Vec<PathBuf>,
    /// Where to: udp://HOST:PORT, tcp://HOST:PORT, tls://HOST:PORT or unix:PATH.
    #[arg(long)]
    to: Receiver,
    /// Stay, and send what is written from now on as well.
    #[arg(long)]
    follow: bool,
    /// A file that remembers what was sent, so that the next run goes on there. A line that was sent just
    /// before a crash may be sent again; none is left out.
    #[arg(long, value_name = "FILE")]
    cursor: Option<PathBuf>,
    /// The name of the machine that the journals are of; by default this one.
    #[arg(long)]
    host: Option<String>,
    #[command(flatten)]
    tls: Tls,
}

impl Export {
    pub(crate) fn run(&self, output: Output) -> Result<(), Failure> {
        let host = host(self.host.as_deref());
        for mut reading in readings(&self.journals, &Cursor::default())? {
            reading.forward(|line| output.line(&spelled(line, self.format, &host)))?;
        }
        Ok(())
    }
}

impl Send {
    pub(crate) fn run(&self, output: Output) -> Result<(), Failure> {
        let host = host(self.host.as_deref());
        let mut cursor = self.cursor.as_deref().map(Cursor::read).transpose()?.unwrap_or_default();
        let mut readings = readings(&self.journals, &cursor)?;
        let mut sender = Sender::open(&self.to, &self.tls)?;
        let mut sent = 0;
        loop {
            let mut news = 0;
            for reading in &mut readings {
                news += reading.forward(|line| {
                    let message = syslog::message(line, &host);
                    sender
                        .send(&message)
                        .or_could_not(|| format!("send line {} of {}", line.number(), line.journal))
                })?;
                cursor.note(reading);
            }
            if let Some(path) = self.cursor.as_deref().filter(|_| news > 0) {
                cursor.write(path)?;
            }
            sent += news;
            if !self.follow {
                return output.say(|| format!("{sent} lines sent"), &json!({"sent": sent}));
            }
            thread::sleep(Duration::from_secs(LOOK_SECONDS));
        }
    }
}

fn spelled(line: &Line<'_>, format: Format, host: &str) -> String {
    match format {
        Format::Ocsf => ocsf::event(line).to_string(),
        Format::Syslog => syslog::message(line, host),
    }
}

fn readings(paths: &[PathBuf], cursor: &Cursor) -> Result<Vec<Reading>, Failure> {
    let mut readings = Vec::new();
    for path in paths {
        for journal in Stored::at(path)? {
            let behind = cursor.0.get(journal.name()).and_then(|place| place.head(journal.name()));
            readings.push(Reading::of(&journal, behind.as_ref()));
        }
    }
    Ok(readings)
}

fn host(named: Option<&str>) -> String {
    let kernel = || std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    named.map(str::to_owned).or_else(kernel).map(|name| name.trim().to_owned()).unwrap_or_default()
}

/// Up to where each journal was sent, by its name.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Cursor(BTreeMap<String, Place>);

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Place {
    lines: u64,
    head: String,
}

impl Place {
    fn head(&self, name: &str) -> Option<Head> {
        Some(Head { name: name.to_owned(), lines: self.lines, hash: unhex(&self.head)? })
    }
}

impl Cursor {
    fn read(path: &Path) -> Result<Cursor, Failure> {
        if !path.exists() {
            return Ok(Cursor::default());
        }
        let bytes = durable::read_limited(path, CURSOR_BYTES_MAX)?;
        serde_json::from_slice(&bytes).or_could_not(|| format!("read {}", path.display()))
    }

    fn write(&self, path: &Path) -> Result<(), Failure> {
        let bytes = serde_json::to_vec(self).or_could_not(|| format!("write {}", path.display()))?;
        Ok(durable::write(path, &bytes, Mode::Private)?)
    }

    fn note(&mut self, reading: &Reading) {
        if let Some(Head { name, lines, hash }) = reading.head() {
            self.0.insert(name, Place { lines, head: hex(&hash) });
        }
    }
}
