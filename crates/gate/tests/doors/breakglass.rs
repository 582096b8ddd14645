//! Broken glass at the doors: whom a pass lets in and where, what ends it, and what opens nothing.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use farside_crossing::breakglass::GlassOrder;
use farside_crossing::{Breakglass, CharterDraft, Role, RoleName, Signer, charter, note};
use farside_gate::breakglass::{Desk, OPEN_MAX, Opened, PREFIX, Wish};
use farside_gate::judge::Clocks;
use farside_service::cli::Failure;
use farside_service::journal;
use farside_service::time::{Reading, read_clocks};

use super::realm::{AUDIENCE, HOUR, NOW, Pair, Plan, Realm, audience, claims, policy, revoked_name, status};
use super::{CLIENT_SECRET, Said, Site, ask};

/// A site whose charter names three cards, of which it takes two.
struct Emergency {
    site: Site,
    cards: [Pair; 3],
}

/// The next charter with these cards, two of which it takes, in a full bundle.
pub(crate) fn naming(realm: &Realm, cards: &[&Pair]) -> Plan {
    let signers = cards.iter().map(|card| card.public().clone()).collect();
    let breakglass = Some(Role::new(RoleName::Breakglass, 2, signers).unwrap());
    let draft = CharterDraft { breakglass, ..realm.charter.successor(NOW) };
    let note = note::sign(&draft.text().unwrap(), &[&realm.root]).unwrap();
    let mut two = policy(1);
    two.audiences.push(audience("mail"));
    Plan { charters: vec![note], policy: Some(two), ..realm.plan() }
}

impl Emergency {
    fn begin() -> Emergency {
        Emergency::at(|| NOW)
    }

    fn at(clock: fn() -> u64) -> Emergency {
        let cards = [Pair::new("cora"), Pair::new("dan"), Pair::new("eve")];
        let mut site = Site::at(clock, |realm| vec![naming(realm, &[&cards[0], &cards[1], &cards[2]])]);
        site.realm.charter = followed(&site.realm, &[&cards[0], &cards[1], &cards[2]]);
        Emergency { site, cards }
    }

    fn desk(&self) -> Desk<'_> {
        Desk::take(&self.site.far.config).unwrap()
    }

    /// A draft, signed by these cards.
    fn order(&self, wish: &Wish, now: u64, cards: &[usize]) -> (GlassOrder, Vec<u8>) {
        let (order, text) = self.desk().draft(wish, now).unwrap();
        (order, self.signed(&text, cards))
    }

    fn signed(&self, text: &str, cards: &[usize]) -> Vec<u8> {
        signed_by(text, &cards.iter().map(|card| &self.cards[*card]).collect::<Vec<_>>())
    }

    fn open_at(&self, order: &[u8], now: u64, reading: &Reading) -> Result<Opened, Failure> {
        self.desk().open(order, Clocks { now, reading })
    }

    fn open(&self, order: &[u8]) -> Result<Opened, Failure> {
        self.open_at(order, NOW, &read_clocks())
    }

    /// The pass of a good order.
    fn pass(&self) -> (GlassOrder, String) {
        let (order, bytes) = self.order(&wish(), NOW, &[0, 2]);
        (order, self.open(&bytes).unwrap().pass.text().to_owned())
    }

    fn sweep(&self) {
        self.desk().sweep(Clocks { now: NOW, reading: &read_clocks() }).unwrap();
    }

    async fn show(&self, pass: &str, audience: &str) -> Said {
        let authorization = format!("Bearer {pass}");
        let path = format!("/verify?aud={audience}");
        self.site.ask("GET", &path, &[("authorization", &authorization)], "").await
    }

    /// Events about broken glass in the journal of what people do, with one member of each.
    fn told(&self, member: &str) -> Vec<(String, String)> {
        let text = std::fs::read_to_string(self.site.far.config.journal().join("gate-import.jsonl")).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        let glass = lines.filter(|line| line["event"].as_str().unwrap().starts_with("breakglass_"));
        let word = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        glass
            .map(|line| (word(&line["event"])["breakglass_".len()..].to_owned(), word(&line[member])))
            .collect()
    }
}

/// The charter that [`naming`] brought.
fn followed(realm: &Realm, cards: &[&Pair]) -> farside_crossing::Charter {
    charter::follow(&realm.charter, &naming(realm, cards).charters[0]).unwrap()
}

pub(crate) fn wish() -> Wish {
    Wish {
        subject: "ada".to_owned(),
        audience: Some(AUDIENCE.to_owned()),
        role: "operator".to_owned(),
        reason: "no courier for a month".to_owned(),
        lifetime_seconds: 1_800,
    }
}

/// A draft, signed by these cards.
pub(crate) fn signed_by(text: &str, cards: &[&Pair]) -> Vec<u8> {
    let cards: Vec<&dyn Signer> = cards.iter().map(|card| *card as &dyn Signer).collect();
    note::sign(text, &cards).unwrap()
}

fn code<T>(outcome: Result<T, Failure>) -> String {
    let said = outcome.err().map(|failure| failure.to_string()).unwrap_or_default();
    said.split(':').next().unwrap_or_default().to_owned()
}

fn every_byte_below(folder: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        match entry.path().is_dir() {
            true => bytes.extend(every_byte_below(&entry.path())),
            false => bytes.extend(std::fs::read(entry.path()).unwrap()),
        }
    }
    bytes
}

#[tokio::test]
async fn two_cards_let_one_person_into_one_audience_with_one_role() {
    let emergency = Emergency::begin();
    let (order, pass) = emergency.pass();
    let said = emergency.show(&pass, AUDIENCE).await;
    assert_eq!(said.status, 200, "{said:?}");
    let headers = ["subject", "roles", "groups", "scope", "token-id", "breakglass"];
    let headers = headers.map(|name| said.header(&format!("x-farside-{name}")).to_owned());
    assert_eq!(headers, ["ada", "operator", "", "", "", &order.id]);
    assert_eq!(emergency.show(&pass, "mail").await.code(), (401, "audience_mismatch".to_owned()));
    // A token says in the same header that it is one.
    let token = emergency.site.realm.token("anna", 1, "");
    let said = emergency.show(&token, AUDIENCE).await;
    assert_eq!(said.headers.get("x-farside-breakglass").map(|value| value.as_bytes()), Some(&b""[..]));
}

#[tokio::test]
async fn a_resource_server_learns_that_it_is_a_pass_and_every_use_is_journalled() {
    let emergency = Emergency::begin();
    let (order, pass) = emergency.pass();
    let basic = format!("Basic {}", STANDARD.encode(format!("wiki:{CLIENT_SECRET}")));
    let form = ("content-type", "application/x-www-form-urlencoded");
    let headers = [("authorization", basic.as_str()), form];
    let said = ask(&emergency.site.doors, "POST", "/introspect", &headers, &format!("token={pass}")).await;
    let found = said.json();
    assert_eq!(
        (&found["active"], &found["sub"], &found["roles"][0]),
        (&true.into(), &"ada".into(), &"operator".into())
    );
    assert_eq!((&found["breakglass"], &found["aud"]), (&order.id.as_str().into(), &AUDIENCE.into()));
    emergency.show(&pass, AUDIENCE).await;
    let lines = emergency.site.journal("decision");
    assert_eq!(lines.len(), 2);
    for line in lines {
        assert_eq!((&line["verdict"], &line["breakglass"]), (&"admit".into(), &order.id.as_str().into()));
        assert!(line.get("jti").is_none() && line.get("kid").is_none(), "{line}");
    }
    let told = emergency.told("id");
    let expected = ["drafted", "accepted", "opened"].map(|event| (event.to_owned(), order.id.clone()));
    assert_eq!(told, expected);
    journal::verify(&emergency.site.far.config.journal().join("gate-import.jsonl")).unwrap();
}

#[tokio::test]
async fn the_pass_is_kept_nowhere_and_what_is_kept_opens_nothing() {
    let emergency = Emergency::begin();
    let (_, pass) = emergency.pass();
    assert_eq!(emergency.show(&pass, AUDIENCE).await.status, 200);
    let bytes = every_byte_below(emergency.site.far.config.home());
    let secret = pass.strip_prefix(PREFIX).unwrap().as_bytes();
    assert_eq!(secret.len(), 43, "256 bits");
    assert!(!bytes.windows(secret.len()).any(|window| window == secret), "the pass lies on the disk");
    // What a thief of the store finds instead is the pass's hash.
    let hash = farside_service::digest::sha256(pass.as_bytes());
    assert!(bytes.windows(hash.len()).any(|window| window == hash));
    let hex = farside_service::digest::hex(&hash);
    let base64 = farside_verify::encode::base64url(hash);
    let (most, last) = pass.split_at(pass.len() - 1);
    let guess = format!("{most}{}", if last == "A" { "E" } else { "A" });
    for shown in [format!("{PREFIX}{hex}"), format!("{PREFIX}{base64}"), guess, PREFIX.to_owned()] {
        assert_eq!(emergency.show(&shown, AUDIENCE).await.code(), (401, "breakglass_over".to_owned()));
    }
}

#[tokio::test]
async fn it_works_where_no_token_does_with_expired_trust_and_a_clock_behind_or_years_ahead() {
    let far_ahead: fn() -> u64 = || NOW + 10 * 365 * 24 * HOUR;
    let behind: fn() -> u64 = || NOW - 365 * 24 * HOUR;
    for clock in [|| NOW + 25 * HOUR, far_ahead, behind] {
        let emergency = Emergency::at(clock);
        let (_, bytes) = emergency.order(&wish(), clock(), &[0, 1]);
        let opened = emergency.open_at(&bytes, clock(), &read_clocks()).unwrap();
        assert_eq!(opened.seconds, 1_800, "its whole time");
        let token = emergency.site.realm.key.sign("at+jwt", &claims("anna", 1, clock(), ""));
        assert_eq!(emergency.show(&token, AUDIENCE).await.status, 503);
        assert_eq!(emergency.show(opened.pass.text(), AUDIENCE).await.status, 200);
    }
}

#[test]
fn an_order_opens_once_however_many_open_it_at_once() {
    let emergency = Emergency::begin();
    let (_, bytes) = emergency.order(&wish(), NOW, &[0, 1]);
    let config = &emergency.site.far.config;
    let open = || {
        let clocks = Clocks { now: NOW, reading: &read_clocks() };
        code(Desk::take(config).and_then(|desk| desk.open(&bytes, clocks)))
    };
    let mut codes: Vec<String> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..6).map(|_| scope.spawn(open)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    codes.sort();
    assert_eq!(codes[0], "", "one opens it");
    assert!(codes[1..].iter().all(|code| code == "breakglass_spent"), "{codes:?}");
    // Spent for good: nor when its pass is over, nor with other signatures under the same text.
    emergency.desk().close(None, Clocks { now: NOW, reading: &read_clocks() }).unwrap();
    assert_eq!(code(emergency.open(&bytes)), "breakglass_spent");
    let text = String::from_utf8(bytes).unwrap();
    let text = format!("{}\n", text.split_once("\n\n").unwrap().0);
    assert_eq!(code(emergency.open(&emergency.signed(&text, &[1, 2]))), "breakglass_spent");
}

#[test]
fn what_is_not_signed_so_for_here_and_now_is_refused_and_journalled() {
    let emergency = Emergency::begin();
    let (order, bytes) = emergency.order(&wish(), NOW, &[0, 1]);
    let text = |order: GlassOrder| order.text().unwrap();
    let both = |order: GlassOrder| emergency.signed(&text(order), &[0, 1]);
    let elsewhere = GlassOrder { site: "mine".to_owned(), ..order.clone() };
    let foreign = GlassOrder { realm: "mars".to_owned(), ..order.clone() };
    let nowhere = GlassOrder { audience: "nowhere".to_owned(), ..order.clone() };
    let tomorrow = GlassOrder { drafted_at: NOW + 61, ..order.clone() };
    let past = GlassOrder { drafted_at: NOW - 1_800, not_after: NOW, ..order.clone() };
    let changed = String::from_utf8(bytes).unwrap().replace("operator", "admin");
    let longer = text(order.clone()).replace(&order.not_after.to_string(), &(NOW + 3_601).to_string());
    let released = note::sign(&text(order.clone()), &[&emergency.site.realm.release]).unwrap();
    let cases = [
        (emergency.signed(&text(order.clone()), &[1]), "threshold_unmet"),
        (released, "role_forbidden"),
        (changed.into_bytes(), "signature_invalid"),
        (both(elsewhere), "wrong_site"),
        (both(foreign), "wrong_realm"),
        (both(nowhere), "breakglass_forbidden"),
        (both(tomorrow), "not_yet_issued"),
        (both(past), "expired"),
        (emergency.signed(&longer, &[0, 1]), "malformed"),
    ];
    for (bytes, expected) in &cases {
        assert_eq!(code(emergency.open(bytes)), *expected);
    }
    let told: Vec<String> = emergency.told("code").into_iter().map(|(_, code)| code).skip(1).collect();
    assert_eq!(told, cases.map(|(_, expected)| expected));
    let unarmed = Site::open();
    let desk = Desk::take(&unarmed.far.config).unwrap();
    assert_eq!(code(desk.draft(&wish(), NOW)), "breakglass_unnamed");
    assert_eq!(
        code(desk.open(&both(order), Clocks { now: NOW, reading: &read_clocks() })),
        "breakglass_unnamed"
    );
}

#[tokio::test]
async fn a_pass_ends_with_its_time_or_the_machines_next_start_whatever_clocks_say() {
    let now = read_clocks();
    let earlier = Reading { boot_ms: now.boot_ms - 1_500, ..now.clone() };
    let before = Reading { boot: "another start".to_owned(), ..now };
    for (reading, why) in [(earlier, "expired"), (before, "restarted")] {
        let emergency = Emergency::begin();
        let (_, bytes) = emergency.order(&Wish { lifetime_seconds: 1, ..wish() }, NOW, &[0, 1]);
        let opened = emergency.open_at(&bytes, NOW, &reading).unwrap();
        // The doors' clock stands still all the while.
        let said = emergency.show(opened.pass.text(), AUDIENCE).await;
        assert_eq!(said.code(), (401, "breakglass_over".to_owned()), "{why}");
        emergency.sweep();
        assert_eq!(emergency.told("why").last().unwrap(), &("closed".to_owned(), why.to_owned()));
    }
}

#[tokio::test]
async fn whoever_closes_a_pass_ends_it_at_every_door_and_its_hash_is_forgotten() {
    let emergency = Emergency::begin();
    let (order, pass) = emergency.pass();
    let clocks = Clocks { now: NOW + 60, reading: &read_clocks() };
    assert_eq!(emergency.desk().close(Some("0000000000000000"), clocks).unwrap(), Vec::<String>::new());
    assert_eq!(emergency.show(&pass, AUDIENCE).await.status, 200);
    assert_eq!(emergency.desk().close(Some(&order.id), clocks).unwrap(), std::slice::from_ref(&order.id));
    assert_eq!(emergency.show(&pass, AUDIENCE).await.code(), (401, "breakglass_over".to_owned()));
    assert_eq!(emergency.told("why").last().unwrap(), &("closed".to_owned(), "closed".to_owned()));
    let database = rusqlite::Connection::open(emergency.site.far.config.database()).unwrap();
    let kept: Option<Vec<u8>> =
        database.query_row("SELECT pass_sha256 FROM breakglass", [], |row| row.get(0)).unwrap();
    assert_eq!(kept, None);
    let shown = &emergency.site.far.status()["breakglass"][0];
    assert_eq!((&shown["id"], &shown["seconds_left"]), (&order.id.as_str().into(), &serde_json::Value::Null));
}

#[tokio::test]
async fn a_card_that_the_next_charter_takes_away_holds_nothing_open() {
    let mut emergency = Emergency::begin();
    let (order, pass) = emergency.pass();
    let (_, drafted) = emergency.order(&wish(), NOW, &[0, 1]);
    let (realm, cards) = (&emergency.site.realm, &emergency.cards);
    let mut plan = naming(realm, &[&cards[1], &cards[2]]);
    plan.charters.insert(0, realm.charter.bytes().to_vec());
    let bundle = emergency.site.realm.send(plan);
    assert_eq!(super::realm::code(&emergency.site.far.import(&bundle)), "applied 2");
    assert_eq!(emergency.show(&pass, AUDIENCE).await.code(), (401, "breakglass_over".to_owned()));
    assert_eq!(code(emergency.open(&drafted)), "threshold_unmet");
    let closed = emergency.told("id");
    assert!(closed.contains(&("closed".to_owned(), order.id)), "{closed:?}");
    assert!(emergency.told("why").contains(&("closed".to_owned(), "unsigned".to_owned())));
}

#[tokio::test]
async fn an_order_put_into_the_store_past_the_cards_opens_nothing() {
    let emergency = Emergency::begin();
    let (order, pass) = emergency.pass();
    let forged = GlassOrder { role: "admin".to_owned(), ..order };
    let forged = note::sign(&forged.text().unwrap(), &[&Pair::new("cora"), &Pair::new("dan")]).unwrap();
    let database = rusqlite::Connection::open(emergency.site.far.config.database()).unwrap();
    database.execute("UPDATE breakglass SET note = ?1", [forged]).unwrap();
    database.execute("UPDATE state SET generation = generation + 1", []).unwrap();
    assert_eq!(emergency.show(&pass, AUDIENCE).await.code(), (401, "breakglass_over".to_owned()));
}

#[tokio::test]
async fn the_policy_says_which_audiences_stay_shut_before_and_after() {
    let mut emergency = Emergency::begin();
    let (order, pass) = emergency.pass();
    let (_, drafted) = emergency.order(&wish(), NOW, &[0, 1]);
    let revoked = revoked_name("ada", order.drafted_at);
    let mut plan = emergency.site.realm.plan();
    plan.status.as_mut().unwrap().subjects.push(revoked.clone());
    plan.policy = None;
    plan.keys = None;
    plan.kind = farside_crossing::Kind::Delta;
    plan.base = emergency.site.realm.content;
    let bundle = emergency.site.realm.send(plan);
    assert_eq!(super::realm::code(&emergency.site.far.import(&bundle)), "applied 2");
    assert_eq!(emergency.show(&pass, AUDIENCE).await.code(), (401, "revoked".to_owned()));

    for (version, bound, breakglass) in [(2, false, Breakglass::Forbidden), (3, true, Breakglass::Allowed)] {
        let mut shut = policy(version);
        shut.audiences[0].breakglass = breakglass;
        shut.audiences[0].holder_bound = bound;
        let mut held = status(u64::from(version as u32) + 1);
        held.subjects.push(revoked.clone());
        let plan = Plan { policy: Some(shut), status: Some(held), ..emergency.site.realm.plan() };
        let bundle = emergency.site.realm.send(plan);
        assert_eq!(
            super::realm::code(&emergency.site.far.import(&bundle)),
            format!("applied {}", version + 1)
        );
        assert_eq!(emergency.show(&pass, AUDIENCE).await.code(), (403, "policy_denied".to_owned()));
        assert_eq!(code(emergency.open(&drafted)), "breakglass_forbidden");
        assert_eq!(code(emergency.desk().draft(&wish(), NOW)), "breakglass_forbidden");
    }
}

#[test]
fn only_so_many_passes_count_at_once() {
    let emergency = Emergency::begin();
    let orders: Vec<_> = (0..=OPEN_MAX).map(|_| emergency.order(&wish(), NOW, &[0, 1])).collect();
    let (last, first) = orders.split_last().unwrap();
    first.iter().for_each(|(_, bytes)| assert_eq!(code(emergency.open(bytes)), ""));
    assert_eq!(code(emergency.open(&last.1)), "breakglass_crowded");
    emergency.desk().close(Some(&first[3].0.id), Clocks { now: NOW, reading: &read_clocks() }).unwrap();
    assert_eq!(code(emergency.open(&last.1)), "", "what was refused so is not spent");
}
