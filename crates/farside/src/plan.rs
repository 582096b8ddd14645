//! `farside plan`: will a lifetime, a cadence and a lane hold so many holders? The mint's room works it out;
//! here it is asked and shown.

use farside_crossing::policy::StaleMax;
use farside_mint::plan::{self, Answer, Crossing, Lane, Question};
use farside_mint::tiers;
use farside_service::cli::{Exit, Failure, Output, Style, table};
use farside_service::duration::Seconds;

/// The courier interval that a site has unless told otherwise.
const COURIER_SECONDS_CARRIED: u64 = 86_400;

/// Whether so many holders can be served: what crosses, how long it takes, how late a courier may be.
///
/// Exit code 0: it holds; 1: it does not, and which number to change is said; 2: it cannot be worked out.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// How many holders have a standing order: each gets one token with every bundle.
    #[arg(long, value_name = "N")]
    users: u64,
    /// How long each token lives.
    #[arg(long, value_name = "TIME")]
    ttl: Seconds,
    /// How often a bundle is made.
    #[arg(long, value_name = "TIME")]
    every: Seconds,
    /// What carries it: 9600bps, 10Mbps, stick, qr, sheets.
    #[arg(long, value_name = "LANE")]
    lane: Lane,
    /// The longest from making a bundle to applying it. Left out: a day for what people carry, else the time
    /// between bundles.
    #[arg(long, value_name = "TIME")]
    courier: Option<Seconds>,
    /// How long a token key signs.
    #[arg(long, value_name = "TIME", default_value = "90d")]
    cryptoperiod: Seconds,
    /// How old what the gate knows may be for what, as `mint site add --stale` takes it: what ends before the
    /// next bundle is there is told.
    #[arg(long, value_name = "TIERS", value_parser = tiers::parse)]
    stale: Option<StaleMax>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Works it out and shows it.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let carried = arguments.lane.is_carried();
    let courier = if carried { COURIER_SECONDS_CARRIED } else { arguments.every.0 };
    let answer = plan::answer(&Question {
        users: arguments.users,
        ttl_seconds: arguments.ttl.0,
        every_seconds: arguments.every.0,
        courier_seconds: arguments.courier.map_or(courier, |courier| courier.0),
        cryptoperiod_seconds: arguments.cryptoperiod.0,
        lane: arguments.lane,
        stale_seconds_max: arguments.stale.unwrap_or_default(),
    })?;
    Output { json: arguments.json }.say(|| shown(&answer, Style::stdout()), &answer)?;
    if answer.holds { Ok(()) } else { Err(Failure::told(Exit::Refused)) }
}

fn shown(answer: &Answer, style: Style) -> String {
    let verdict = match answer.holds {
        true => style.green("It holds."),
        false => style.red("It does not hold."),
    };
    let Question { users, lane, .. } = answer.question;
    let heading = style.bold(&format!("{users} holders over {lane}"));
    let mut parts = vec![format!("{verdict} {heading}")];
    for fault in &answer.faults {
        parts.push(format!("  {} {}\n  {}", style.red("✗"), fault.what, style.yellow(&fault.change)));
    }
    parts.extend(answer.notes.iter().map(|note| format!("  {}", style.yellow(&format!("note: {note}")))));
    parts.push(crossings(answer));
    parts.push(figures(answer));
    if answer.lane_computed {
        let note = "Times, frames and sheets are computed: this release carries by stick alone.";
        parts.push(style.dim(note));
    }
    parts.join("\n\n")
}

fn crossings(answer: &Answer) -> String {
    let row = |name: &str, crossing: &Crossing| {
        vec![
            name.to_owned(),
            bytes(crossing.bytes),
            time(crossing.seconds),
            crossing.qr_frames.to_string(),
            crossing.sheets.to_string(),
        ]
    };
    let rows = [row("full", &answer.full), row("delta", &answer.delta), row("beacon", &answer.beacon)];
    table(&["bundle", "bytes", "on the lane", "QR frames", "sheets"], &rows)
}

fn figures(answer: &Answer) -> String {
    let latest = match answer.courier_latest_seconds {
        Some(latest) => time(latest),
        None => "no courier is fast enough".to_owned(),
    };
    let rows = [
        ("a day", format!("{} bundles, {}", answer.bundles_per_day, bytes(answer.bytes_per_day))),
        ("lane busy", format!("{} % of the time", answer.lane_busy_percent)),
        ("latest courier", format!("{latest}; then somebody stands without a token")),
        ("couriers missed", format!("{} in a row leave everybody a token", answer.couriers_missed_max)),
        ("gate is LATE", format!("{} after its bundle was made", time(answer.late_after_seconds))),
        ("gate is EXPIRED", format!("{} after it", time(answer.expired_after_seconds))),
        (
            "revocation",
            format!(
                "within {}, urgent within {}; unheard at most {}",
                time(answer.revocation_seconds),
                time(answer.revocation_urgent_seconds),
                time(answer.revocation_unheard_seconds)
            ),
        ),
        (
            "keys",
            format!("{} a year, each accepted {} longer", answer.keys_per_year, time(answer.overlap_seconds)),
        ),
        ("log", format!("{} leaves a year, {}", answer.leaves_per_year, bytes(answer.log_bytes_per_year))),
    ];
    let rows: Vec<Vec<String>> = rows.map(|(name, text)| vec![name.to_owned(), text]).to_vec();
    table(&["", ""], &rows).trim_start_matches(['\n', ' ']).to_owned()
}

/// As people read it: 1.2 MB.
fn bytes(count: u64) -> String {
    let units = [("GB", 1_000_000_000), ("MB", 1_000_000), ("kB", 1_000)];
    match units.iter().find(|(_, size)| count >= *size) {
        Some((unit, size)) => format!("{}.{} {unit}", count / size, count % size * 10 / size),
        None => format!("{count} B"),
    }
}

/// In at most two units: 1 d 4 h.
fn time(seconds: u64) -> String {
    let units = [("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)];
    let mut parts = Vec::new();
    let mut left = seconds;
    for (unit, size) in units {
        if left >= size && parts.len() < 2 {
            parts.push(format!("{} {unit}", left / size));
            left %= size;
        }
    }
    if parts.is_empty() { "0 s".to_owned() } else { parts.join(" ") }
}
