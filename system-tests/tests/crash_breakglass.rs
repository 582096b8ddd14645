//! A gate whose power is cut while an order is opened or its pass is closed: whatever the disk kept, an order
//! opens once, never without a line in the journal, and a pass that was told to be over opens nothing.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use farside_gate::breakglass::{self, Desk};
use farside_gate::config::Config;
use farside_gate::import::JOURNAL_NAME;
use farside_gate::judge::{self, Clocks};
use farside_gate::status;
use farside_gate::trust::Gate;
use farside_service::journal::{self, Journal};
use farside_service::time::{now_unix, read_clocks};
use farside_system_tests::cards::{armed, draft, sign};
use farside_system_tests::crash::{Image, Recording};
use farside_system_tests::faults::Rig;
use farside_system_tests::programs::run;
use farside_system_tests::sides::{CONTROL, Sides};
use farside_system_tests::torture;
use farside_verify::Code;
use serde_json::Value;

/// States that are taken of one command, at the most.
const STATES_A_RECORDING: usize = 100;

/// A gate, and an order that enough cards have signed.
fn about_to_open() -> Sides {
    let sides = armed();
    draft(&sides, CONTROL);
    ["cora", "eve"].iter().for_each(|card| drop(sign(&sides, card)));
    sides
}

/// One command at a fresh copy of the gate, and what it printed.
fn recorded(sides: &Sides, rig: &Rig, command: &str) -> (Recording, Value) {
    let recorder = rig.fresh();
    let toml = rig.folder().join("gate.toml");
    let mut command = sides.command(&format!("gate breakglass {command} --json --config {}", toml.display()));
    recorder.attach(&mut command);
    let printed = run(command).expect_code(0).json();
    (recorder.finish(), printed)
}

/// A gate that starts from what a disk kept.
struct After<'a> {
    image: &'a Image,
    config: Config,
}

impl<'a> After<'a> {
    fn new(image: &'a Image, far: &Path) -> After<'a> {
        let config = Config::load(&far.join("gate.toml")).expect("the configuration was not touched");
        After { image, config }
    }

    fn sound<T>(&self, done: Result<T, impl std::fmt::Display>) -> T {
        done.unwrap_or_else(|fault| panic!("{}: {fault}", self.image.describe()))
    }

    /// Every order that was ever opened, as the gate's status has them.
    fn orders(&self) -> Vec<Value> {
        let status = serde_json::to_value(self.sound(status::look(&self.config, now_unix())));
        status.expect("a status is JSON")["breakglass"].as_array().cloned().unwrap_or_default()
    }

    /// What a door says to the pass.
    fn door(&self, pass: &str) -> Result<(), Code> {
        let sha256 = breakglass::shown_pass(pass).expect("it is a pass");
        let gate = self.sound(Gate::open(&self.config));
        let trust = self.sound(gate.trust());
        let clocks = Clocks { now: now_unix(), reading: &read_clocks() };
        let judged = judge::judge_pass(&trust, &sha256, CONTROL.into(), clocks);
        judged.map(drop).map_err(|refusal| refusal.code())
    }

    /// Whether the order opens now; anything but that it is spent is a fault.
    fn opens(&self, order: &[u8]) -> bool {
        let desk = self.sound(Desk::take(&self.config));
        let clocks = Clocks { now: now_unix(), reading: &read_clocks() };
        match desk.open(order, clocks) {
            Ok(_) => true,
            Err(refused) if refused.to_string().contains("breakglass_spent") => false,
            Err(fault) => self.sound(Err(fault)),
        }
    }

    fn close_all(&self) {
        let desk = self.sound(Desk::take(&self.config));
        self.sound(desk.close(None, Clocks { now: now_unix(), reading: &read_clocks() }));
    }

    /// How often the journal tells of an event, once what was torn is set aside and the rest is one chain.
    fn told(&self, event: &str) -> usize {
        let (journal, _) = self.sound(Journal::open(&self.config.journal(), JOURNAL_NAME));
        self.sound(journal::verify(journal.path()));
        let text = self.sound(std::fs::read_to_string(journal.path()));
        let lines = text.lines().map(serde_json::from_str::<Value>);
        lines.filter(|line| line.as_ref().is_ok_and(|line| line["event"] == event)).count()
    }
}

/// Whether the words had left the machine before the cut.
fn said(image: &Image, words: &str) -> bool {
    image.told().windows(words.len()).any(|told| told == words.as_bytes())
}

#[test]
fn an_order_opens_exactly_once_whatever_is_cut() {
    let sides = about_to_open();
    let (order, rig) = (sides.get("order.note"), Rig::of(&sides.path("far"), &[]));
    for count in torture::rounds(torture::share(2), STATES_A_RECORDING) {
        let (recording, printed) = recorded(&sides, &rig, "open order.note");
        let pass = printed["pass"].as_str().expect("a pass");
        let (unspent, spent) = (AtomicUsize::new(0), AtomicUsize::new(0));
        torture::judge("breaking glass", &recording, count, |image, far| {
            let after = After::new(image, far);
            let held = after.orders().len();
            let counted = if held == 0 { &unspent } else { &spent };
            counted.fetch_add(1, Ordering::Relaxed);
            assert!(held > 0 || !said(image, pass), "{}: a pass was shown, and lost", image.describe());
            // breakglass.md §4.5: whatever counts stands in the journal before it does.
            assert!(held <= after.told("breakglass_accepted"), "{}: in silence", image.describe());
            let expected = if held == 0 { Err(Code::BreakglassOver) } else { Ok(()) };
            assert_eq!(after.door(pass), expected, "{}", image.describe());
            // The same order again: it opens if it has not, and then no more.
            assert_eq!(after.opens(&order), held == 0, "{}", image.describe());
            assert!(!after.opens(&order), "{}: twice", image.describe());
            assert_eq!(after.orders().len(), 1, "{}", image.describe());
        });
        let (unspent, spent) = (unspent.into_inner(), spent.into_inner());
        assert!(unspent > 5 && spent > 5, "cuts before and after the commit were tried: {unspent}, {spent}");
    }
}

#[test]
fn a_pass_that_was_told_to_be_closed_is_over_for_good_whatever_is_cut() {
    let sides = about_to_open();
    let order = sides.get("order.note");
    let opened = sides.gate("breakglass open order.note --json").json();
    let pass = opened["pass"].as_str().expect("a pass");
    let id = opened["order"]["id"].as_str().expect("an id");
    let rig = Rig::of(&sides.path("far"), &[]);
    for count in torture::rounds(torture::share(2), STATES_A_RECORDING) {
        let (recording, _) = recorded(&sides, &rig, "close --all");
        let (open, closed) = (AtomicUsize::new(0), AtomicUsize::new(0));
        torture::judge("closing broken glass", &recording, count, |image, far| {
            let after = After::new(image, far);
            let over = after.door(pass) == Err(Code::BreakglassOver);
            (if over { &closed } else { &open }).fetch_add(1, Ordering::Relaxed);
            assert!(over || !said(image, id), "{}: said to be closed, and opens", image.describe());
            assert!(over || after.door(pass) == Ok(()), "{}", image.describe());
            assert!(over || after.told("breakglass_closed") == 0, "{}: told before it was", image.describe());
            // Whoever closes again ends what was left, once; and spent it stays.
            (0..2).for_each(|_| after.close_all());
            assert_eq!(after.door(pass), Err(Code::BreakglassOver), "{}", image.describe());
            let [order_held] = &after.orders()[..] else { panic!("{}: not one order", image.describe()) };
            assert_eq!(order_held["why"], "closed", "{}", image.describe());
            assert!(after.told("breakglass_closed") <= 1, "{}: closed twice", image.describe());
            assert!(!after.opens(&order), "{}: opened again", image.describe());
        });
        let (open, closed) = (open.into_inner(), closed.into_inner());
        assert!(open > 5 && closed > 5, "cuts before and after the commit were tried: {open}, {closed}");
    }
}
