//! Verifying a journal of ten million decisions, beside reading the same files and hashing them whole: from
//! the disk, and from memory.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use farside_service::digest::Sha256;
use farside_service::journal::{Beginning, Journal, Stored};
use rustix::fs::{Advice, fadvise};
use serde_json::json;

const LINES: u64 = 10_000_000;
const ROUNDS: usize = 3;
const PIECE_BYTES: usize = 1 << 20;

/// Runs it. `FARSIDE_BENCH_LINES` asks for fewer lines, for a quick look.
pub(crate) fn run() {
    let lines = std::env::var("FARSIDE_BENCH_LINES").map_or(LINES, |lines| lines.parse().unwrap());
    let folder = tempfile::tempdir_in(".").unwrap();
    write(folder.path(), lines);
    let journal = Stored::at(folder.path()).unwrap().remove(0);
    let files: Vec<PathBuf> = journal.files().map(Path::to_owned).collect();
    let bytes: u64 = files.iter().map(|file| file.metadata().unwrap().len()).sum();
    println!("audit_journal_bytes_per_line {:.0}", bytes as f64 / lines as f64);
    for (from, forget) in [("disk", true), ("memory", false)] {
        let (mut verified, mut hashed) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            hashed.push(seconds(&files, forget, || hash(&files)));
            verified.push(seconds(&files, forget, || {
                assert_eq!(journal.verify(Beginning::Whole, &[]).unwrap().lines, lines);
            }));
        }
        let (verified, hashed) = (least(verified), least(hashed));
        println!("audit_verify_{from}_seconds {verified:.2}");
        println!("audit_verify_{from}_lines_per_second {:.0}", lines as f64 / verified);
        println!("audit_verify_rate_over_{from}_to_sha256 {:.2}", hashed / verified);
    }
}

/// Decisions as a gate writes them.
fn write(folder: &Path, lines: u64) {
    let (journal, _) = Journal::open(folder, "gate").unwrap();
    let mut last = None;
    for n in 0..lines {
        let members = json!({"door": "verify", "verdict": "admit", "aud": "https://warehouse.dome.example",
            "sub": format!("user-{:06}", n % 1_000_000), "jti": format!("dome-{n:x}"), "kid": "x7QdPm2a",
            "exp": 1_795_464_900 + n / 1000, "signing_input_sha256": format!("{n:064x}")});
        last = Some(journal.record_at(1_795_464_000 + n / 1000, "decision", members).unwrap());
    }
    last.unwrap().wait().unwrap();
}

fn hash(files: &[PathBuf]) {
    let mut piece = vec![0; PIECE_BYTES];
    for path in files {
        let (mut file, mut hash) = (File::open(path).unwrap(), Sha256::new());
        loop {
            match file.read(&mut piece).unwrap() {
                0 => break,
                read => hash.update(&piece[..read]),
            }
        }
        std::hint::black_box(hash.finish());
    }
}

/// Times the work, with the files in memory or with none of them there.
fn seconds(files: &[PathBuf], forget: bool, work: impl FnOnce()) -> f64 {
    if forget {
        for path in files {
            fadvise(File::open(path).unwrap(), 0, None, Advice::DontNeed).unwrap();
        }
    }
    let started = Instant::now();
    work();
    started.elapsed().as_secs_f64()
}

/// The quiet one of a few: interruptions are no property of the work.
fn least(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[0]
}
