//! `gate status`: what it says at a glance, and what it says will happen.

use farside_crossing::{Digest, StaleMax};
use farside_gate::status::next::{Coming, Event, coming};
use farside_gate::status::{Status, look};
use farside_service::cli::Style;

use crate::realm::{Far, HOUR, NOW, Plan, TokenKey, audience, keys_of, policy};

const DAY: u64 = 24 * HOUR;

/// A gate with tiers at one audience of two, a key that signs and one that takes over in three days.
fn planned() -> Far {
    let (mut realm, far) = Far::enrolled();
    let mut tiers = policy(1);
    let (read, write, safety) = (Some(30 * DAY), Some(10 * HOUR), Some(600));
    tiers.audiences[0].stale_seconds_max = StaleMax { read, write, safety };
    tiers.audiences.push(audience("mail"));
    let window = |from: u64, until: u64| {
        format!(r#","sign_from":{from},"sign_until":{until},"accept_until":{}"#, until + DAY)
    };
    let next = TokenKey::new("key-2");
    let jwks =
        [realm.key.jwk(&window(NOW - DAY, NOW + 3 * DAY)), next.jwk(&window(NOW + 3 * DAY, NOW + 9 * DAY))];
    let keys = Some(keys_of(1, &jwks));
    let not_after = NOW + 4 * DAY;
    far.import(&realm.send(Plan { policy: Some(tiers), keys, not_after, ..realm.plan() }));
    far
}

fn events(far: &Far, now: u64) -> Vec<(u64, Event)> {
    coming(&far.trust_state(), now).iter().map(|one| (one.at - NOW, one.event)).collect()
}

#[test]
fn what_comes_next_stands_in_the_order_of_time() {
    let far = planned();
    assert_eq!(
        events(&far, NOW),
        [
            (600, Event::TierEnds),
            (HOUR, Event::BundleDue),
            (10 * HOUR, Event::TierEnds),
            (3 * DAY, Event::KeyTakesOver),
            (4 * DAY, Event::KeyRetires),
            // Reading would go on for thirty days, but the bundle ends before that.
            (4 * DAY, Event::Expires),
            (9 * DAY, Event::CalendarEnds),
            (10 * DAY, Event::KeyRetires),
        ]
    );
    let list = coming(&far.trust_state(), NOW);
    let say = |event| list.iter().find(|one: &&Coming| one.event == event).unwrap().detail.clone();
    assert_eq!(say(Event::TierEnds), "safety actions stop at db");
    assert_eq!(say(Event::BundleDue), "bundle 2 is due, or this gate is late");
    assert_eq!(say(Event::KeyTakesOver), "key key-2 takes over");
}

#[test]
fn what_is_over_comes_no_more() {
    let far = planned();
    assert_eq!(events(&far, NOW + 10 * HOUR)[0], (3 * DAY, Event::KeyTakesOver));
    assert_eq!(events(&far, NOW + 10 * DAY), []);
    assert_eq!(coming(&Far::made().trust_state(), NOW), [], "a gate that trusts nothing awaits nothing");
}

fn status(far: &Far, now: u64) -> Status {
    look(&far.config, now).unwrap()
}

#[test]
fn a_glance_tells_trust_freshness_what_is_missing_and_what_is_next() {
    let far = planned();
    let shown = status(&far, NOW + 300).human(Style::Plain);
    assert!(shown.starts_with("FRESH · site dome of moon · bundle 1, 5 min old\n"), "{shown}");
    for line in [
        "  audiences  db: reading until 2027-01-19 08:00Z,\n",
        "             writing until 2027-01-15 18:00Z,\n",
        "  keys       key-1  ES256     signs until 2027-01-18 08:00Z\n",
        "             key-2  ES256     takes over 2027-01-18 08:00Z\n",
        "  in 5 min       2027-01-15 08:10Z  safety actions stop at db\n",
        "  in 55 min      2027-01-15 09:00Z  bundle 2 is due, or this gate is late\n",
    ] {
        assert!(shown.contains(line), "{line}\n{shown}");
    }
    let wide = |text: &str| text.lines().find(|line| line.chars().count() > 80).map(str::to_owned);
    assert_eq!(wide(&shown), None);

    let shown = status(&far, NOW + 11 * HOUR).human(Style::Plain);
    assert!(shown.starts_with("LATE · "), "{shown}");
    assert!(
        shown.contains("missing    bundle 2 or newer, due since 2027-01-15 09:00Z (10 h ago)"),
        "{shown}"
    );
    assert!(shown.contains("stopped    writing at db, 1 h ago"), "{shown}");
    assert_eq!(wide(&shown), None);

    let shown = status(&far, NOW + 5 * DAY).human(Style::Plain);
    assert!(shown.starts_with("EXPIRED · "), "{shown}");
    assert!(
        shown.contains("refuses    stale: bundle 1 was good until 2027-01-19T08:00:00Z. Import"),
        "{shown}"
    );
    assert!(status(&far, NOW).human(Style::Coloured).contains("\u{1b}[32mFRESH"));
}

#[test]
fn whoever_watches_by_exit_code_hears_of_whatever_needs_a_hand() {
    let far = planned();
    assert!(status(&far, NOW + 600).is_sound());
    assert!(!status(&far, NOW + 601).is_sound(), "a tier has run out");
    assert!(!status(&far, NOW - HOUR).is_sound(), "the clock is behind");
    assert!(!status(&Far::made(), NOW).is_sound(), "nothing is trusted");

    let (mut realm, far) = Far::enrolled();
    far.import(&realm.send(realm.plan()));
    assert!(status(&far, NOW).is_sound());
    let (prev, newer) = (Some(Digest::of(b"bundle 3")), Some(crate::realm::status(4)));
    far.import(&realm.send(Plan { seq: 4, prev, status: newer, ..realm.plan() }));
    let holed = status(&far, NOW);
    assert!(!holed.is_sound(), "bundles 2 and 3 never came");
    assert!(holed.human(Style::Plain).contains("missing    bundles 2 to 3 never came"));
    far.import(&realm.send(realm.plan()));
    let bridged = status(&far, NOW);
    assert!(bridged.is_sound(), "a hole that was bridged and followed is history");
    assert!(bridged.human(Style::Plain).contains("missed     bundles 2 to 3"));
    assert!(!status(&far, NOW + HOUR + 1).is_sound(), "late");
}
