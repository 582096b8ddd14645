//! What couriers do in a world, and what gates make of what they bring.

use farside_crossing::Kind;
use farside_gate::import::Report;

use super::{Event, World};
use crate::sim::far::outcome;
use crate::sim::history::{Step, could, wrong};
use crate::sim::scenario::{DAY, HOUR};

/// Couriers that may be missed in a row where everybody keeps to what is declared.
const MISSED_MAX: u32 = 3;
/// Beyond so many numbers at once a gate's log may need a proof from where it stands.
const LINKED: u64 = 20;

impl World {
    /// A courier's turn: it leaves with everything that it has not handed over yet, or it does not.
    pub(super) fn depart(&mut self, site: usize) -> Step {
        let plan = self.sites[site].plan.clone();
        // Round and way together take one courier interval.
        self.after(plan.courier * 2 / 3, Event::Depart(site));
        let life = &mut self.sites[site];
        let may_miss = !plan.faithful || life.missed < MISSED_MAX;
        let waiting: Vec<u64> = life.near.bundles.range(life.carried + 1..).map(|(seq, _)| *seq).collect();
        if waiting.is_empty() {
            return Ok(());
        }
        if may_miss && self.dice.permille(if plan.faithful { 250 } else { 350 }) {
            self.sites[site].missed += 1;
            self.tell(site, "the courier does not come");
            return Ok(());
        }
        let (newest, far_behind) = (waiting[waiting.len() - 1], waiting.len() as u64 > LINKED);
        // A full bundle stands for itself; a delta or beacon alone would be of no use to anybody.
        let alone = self.sites[site].near.bundles[&newest].kind == Kind::Full;
        let mut bag = waiting;
        if alone && !far_behind && self.dice.permille(150) {
            bag = vec![newest];
        }
        self.sites[site].missed = 0;
        self.sites[site].carried = newest;
        let way = self.dice.between(60, plan.courier / 3);
        let late = if !plan.faithful && self.dice.permille(150) { self.dice.below(20 * DAY) } else { 0 };
        if !plan.faithful && self.dice.permille(100) {
            self.tell(site, format_args!("a stick with {bag:?} is lost"));
            return Ok(());
        }
        if self.dice.permille(100) {
            let again = way + self.dice.below(30 * DAY);
            self.after(again, Event::Arrive(site, bag.clone()));
        }
        self.after(way + late, Event::Arrive(site, bag));
        Ok(())
    }

    /// Somebody offers bundles to the gate: in order, shuffled one by one, with older ones among them.
    pub(super) fn arrive(&mut self, site: usize, seqs: &[u64]) -> Step {
        let mut seqs = seqs.to_vec();
        if self.dice.permille(80) {
            let oldest = self.sites[site].near.bundles.first_key_value().map_or(1, |(seq, _)| *seq);
            seqs.push(self.dice.between(oldest, seqs[0]));
        }
        let mut bags: Vec<Vec<u64>> = match self.dice.permille(120) {
            true => seqs.iter().map(|seq| vec![*seq]).collect(),
            false => vec![seqs],
        };
        self.dice.shuffle(&mut bags);
        self.tell(site, format_args!("a courier brings {bags:?}"));
        for bag in bags {
            self.offer(site, &bag)?;
        }
        self.hold_marks(site)?;
        self.collect(site)?;
        self.note_receipt(site)?;
        self.show(site, None)
    }

    pub(super) fn offer(&mut self, site: usize, bag: &[u64]) -> Step {
        let mut files = Vec::new();
        for seq in bag.iter().filter(|seq| self.sites[site].near.bundles.contains_key(seq)) {
            let path = self.near.outbox(&self.name(site), *seq);
            let name = path.file_name().expect("a file's name").to_string_lossy().into_owned();
            files.push((name, could("a bundle is carried", std::fs::read(&path))?));
        }
        let now = self.sites[site].far.now(self.now);
        if !files.is_empty() && self.dice.permille(60) {
            self.offer_damaged(site, &files[0], now)?;
        }
        files.sort();
        files.dedup();
        let far = &self.sites[site].far;
        let reports = match self.dice.permille(500) {
            true => far.import_inbox(&files, now)?,
            false => far.import_stick(&files, now)?,
        };
        if reports.len() != files.len() {
            return wrong("every file has its outcome", format!("{} of {}", reports.len(), files.len()));
        }
        // A report is written when its file is settled, so each is judged by what was held at that moment.
        reports.iter().try_for_each(|report| self.compare(site, report, now))
    }

    /// What became of a bundle must be what the model foresees.
    fn compare(&mut self, site: usize, report: &Report, now: u64) -> Step {
        let seq =
            report.file.trim_end_matches(".fbundle").rsplit('-').next().and_then(|seq| seq.parse().ok());
        let life = &mut self.sites[site];
        let Some(bundle) = seq.and_then(|seq: u64| life.near.bundles.get(&seq)) else {
            return wrong("a report names its file", &report.file);
        };
        let (foreseen, became) = (life.model.foresees(bundle, now), outcome(report));
        let far_behind = life.model.seq > 0 && bundle.seq > life.model.seq + LINKED;
        let (seq, held) = (bundle.seq, life.model.seq);
        match became.as_str() {
            "log_gap" if foreseen[0] == "applied" && far_behind => {
                self.tell(site, format_args!("bundle {seq} leaves a gap in the log behind {held}"));
                let size = self.sites[site].far.log_size()?;
                return self.make_since(site, size);
            }
            code if foreseen.contains(&code) => {}
            _ => {
                let detail = format!(
                    "bundle {seq} at {held}: {became}, not {foreseen:?} ({report:?})",
                    report = report.outcome
                );
                return wrong("an import ends as foreseen", detail);
            }
        }
        if became == "applied" {
            life.model.apply(&bundle.clone());
        }
        self.tell(site, format_args!("bundle {seq} at {held}: {became}"));
        Ok(())
    }

    /// A bundle that was changed on the way is refused, and changes nothing.
    fn offer_damaged(&mut self, site: usize, file: &(String, Vec<u8>), now: u64) -> Step {
        let (name, mut bytes) = file.clone();
        let place = usize::try_from(self.dice.below(bytes.len() as u64)).expect("a place in a file");
        bytes[place] ^= 1 << self.dice.below(8);
        let reports = self.sites[site].far.import_stick(&[(name, bytes)], now)?;
        let became = reports.first().map(outcome).unwrap_or_default();
        // What is no longer needed, or cannot be known to be changed, may be passed over as what it was.
        let harmless = ["superseded", "already"].contains(&became.as_str());
        if became == "applied" || (!harmless && !reports[0].refused()) {
            return wrong("no changed bundle is applied", format!("a bit at {place}: {became}"));
        }
        Ok(())
    }

    /// What the gate shows of itself is what the model holds, and it never goes back.
    pub(super) fn hold_marks(&mut self, site: usize) -> Step {
        let life = &mut self.sites[site];
        let now = life.far.now(self.now);
        let trust =
            life.far.gate().trust().or_else(|refusal| wrong("a gate can read what it believes", refusal))?;
        let marks = (trust.seq(), trust.time_floor());
        if marks.0 < life.marks.0 || marks.1 < life.marks.1 {
            return wrong("nothing older is ever trusted", format!("{marks:?} after {:?}", life.marks));
        }
        life.marks = marks;
        if trust.frozen() {
            return wrong("no fork", format!("{} is frozen at bundle {}", life.plan.name, marks.0));
        }
        let shown = (marks.0, marks.1, trust.freshness(now).name());
        let held = (life.model.seq, life.model.floor, life.model.freshness(now));
        if shown != held {
            return wrong("a gate says how fresh it is", format!("{shown:?}, not {held:?}"));
        }
        Ok(())
    }

    /// A receipt finds its way back, sometimes: after a while, or with a slip of the tongue.
    fn note_receipt(&mut self, site: usize) -> Step {
        let life = &self.sites[site];
        if !life.plan.receipts || life.model.seq == 0 {
            return Ok(());
        }
        let Some(code) = life.far.receipt()? else { return Ok(()) };
        let seq = life.model.seq;
        if self.dice.permille(500) {
            let after = self.dice.between(60, 2 * DAY);
            self.after(after, Event::Receipt(site, seq, code));
        } else if self.dice.permille(200) {
            self.after(HOUR, Event::Receipt(site, seq, mistyped(&code)));
        }
        Ok(())
    }

    /// A receipt is typed in at the mint.
    pub(super) fn receipt(&mut self, site: usize, seq: u64, code: &str) -> Step {
        let typed = code.strip_prefix('!').unwrap_or(code);
        let (name, now) = (self.name(site), self.mint_now());
        let taken = match typed.parse() {
            Ok(code) => self.near.receipt(&name, seq, &code, now)?,
            Err(_slip) => false,
        };
        if taken == code.starts_with('!') {
            return wrong("a receipt counts where it is right", format!("bundle {seq}: {taken}"));
        }
        if taken {
            // The oracle counts documents, bundles name the one that was newest when they were made.
            let near = &mut self.sites[site].near;
            let made = near.bundles.get(&seq).map(|bundle| bundle.content.keys.clone());
            let version =
                made.and_then(|keys| near.documents.iter().position(|held| std::rc::Rc::ptr_eq(held, &keys)));
            if let Some(version) = version {
                near.crosses(version + 1, now);
            }
        }
        Ok(())
    }
}

/// One character another: marked, so that it is known to be wrong.
fn mistyped(code: &str) -> String {
    let (first, rest) = code.split_at(1);
    let other = if first == "7" { "8" } else { "7" };
    format!("!{other}{rest}")
}
