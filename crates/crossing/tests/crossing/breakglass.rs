//! Break-glass orders: what opens one, and what nobody's card can make of it.

use farside_crossing::breakglass::{self, GlassOrder, LIFETIME_SECONDS_MAX, ORDER_BYTES_MAX};
use farside_crossing::{Charter, CharterDraft, Code, RoleName, charter, note};

use crate::support::{NOW, Realm, TestSigner, role, signers};

/// A realm whose charter names three cards, of which it takes two.
struct Armed {
    realm: Realm,
    cards: [TestSigner; 3],
    charter: Charter,
}

impl Armed {
    fn new() -> Armed {
        let realm = Realm::new();
        let cards = [TestSigner::new("cora", 50), TestSigner::new("dan", 51), TestSigner::new("eve", 52)];
        let named = role(RoleName::Breakglass, 2, &[&cards[0], &cards[1], &cards[2]]);
        let charter = Armed::next(&realm, &realm.charter, Some(named));
        Armed { realm, cards, charter }
    }

    /// The next charter with these cards.
    fn next(realm: &Realm, from: &Charter, breakglass: Option<farside_crossing::Role>) -> Charter {
        let draft = CharterDraft { breakglass, ..from.successor(NOW) };
        let note = note::sign(&draft.text().unwrap(), &signers(&[&realm.root[0], &realm.root[1]])).unwrap();
        charter::follow(from, &note).unwrap()
    }

    fn open(&self, order: &[u8]) -> Result<breakglass::SignedOrder, Code> {
        breakglass::open(order, &self.charter, "plant").map_err(|refusal| refusal.code())
    }
}

fn order() -> GlassOrder {
    GlassOrder {
        realm: "acme".into(),
        site: "plant".into(),
        id: "0123456789abcdef".into(),
        subject: "ada".into(),
        audience: "historian".into(),
        role: "operator".into(),
        reason: "valve 7 hangs and no courier comes".into(),
        drafted_at: NOW,
        not_after: NOW + 1_800,
    }
}

fn signed(order: &GlassOrder, cards: &[&TestSigner]) -> Vec<u8> {
    note::sign(&order.text().unwrap(), &signers(cards)).unwrap()
}

#[test]
fn as_many_cards_as_the_charter_says_open_and_fewer_do_not() {
    let armed = Armed::new();
    let [cora, dan, eve] = &armed.cards;
    let opened = armed.open(&signed(&order(), &[cora, eve])).unwrap();
    assert_eq!((opened.order(), opened.signers()), (&order(), &["cora".to_owned(), "eve".to_owned()][..]));
    let alone = signed(&order(), &[dan]);
    assert_eq!(armed.open(&alone), Err(Code::ThresholdUnmet));
    // One card signs twice, and once more beside its own lines.
    assert_eq!(armed.open(&note::add_signature(&alone, dan).unwrap()), Err(Code::ThresholdUnmet));
    let text = String::from_utf8(alone.clone()).unwrap();
    let (body, lines) = text.split_once("\n\n").unwrap();
    let doubled = format!("{body}\n\n{lines}{lines}");
    assert_eq!(armed.open(doubled.as_bytes()), Err(Code::Malformed));
    assert_eq!(armed.open(&signed(&order(), &[])), Err(Code::ThresholdUnmet));
    let stranger = TestSigner::new("cora", 99);
    assert_eq!(armed.open(&signed(&order(), &[dan, &stranger])), Err(Code::ThresholdUnmet));
}

#[test]
fn no_other_role_breaks_the_glass_and_cards_do_nothing_else() {
    let armed = Armed::new();
    let realm = &armed.realm;
    for others in [&[&realm.root[0], &realm.root[1]][..], &[&realm.release], &[&realm.online]] {
        assert_eq!(armed.open(&signed(&order(), others)), Err(Code::RoleForbidden));
    }
    let [cora, dan, eve] = &armed.cards;
    let next = armed.charter.successor(NOW).text().unwrap();
    let next = note::sign(&next, &signers(&[cora, dan, eve])).unwrap();
    assert_eq!(charter::follow(&armed.charter, &next).unwrap_err().code(), Code::ThresholdUnmet);
    // A charter that follows from them, shown as an order.
    let shown = note::sign(&armed.realm.charter.successor(NOW).text().unwrap(), &signers(&[cora, dan]));
    assert_eq!(armed.open(&shown.unwrap()), Err(Code::Malformed));
}

#[test]
fn what_was_signed_cannot_be_changed_moved_or_stretched() {
    let armed = Armed::new();
    let [cora, dan, _] = &armed.cards;
    let good = String::from_utf8(signed(&order(), &[cora, dan])).unwrap();
    for (word, other) in
        [("historian", "wiki"), ("operator", "admin"), ("\"ada\"", "\"eva\""), ("1800001800", "1800003600")]
    {
        let changed = good.replacen(word, other, 1);
        assert_ne!(changed, good, "{word}");
        assert_eq!(armed.open(changed.as_bytes()), Err(Code::SignatureInvalid), "{word}");
    }
    let elsewhere = GlassOrder { site: "mine".into(), ..order() };
    assert_eq!(armed.open(&signed(&elsewhere, &[cora, dan])), Err(Code::WrongSite));
    let foreign = GlassOrder { realm: "other".into(), ..order() };
    assert_eq!(armed.open(&signed(&foreign, &[cora, dan])), Err(Code::WrongRealm));
    // What no honest program writes, under true signatures.
    let forged = |from: &str, to: &str| {
        let text = order().text().unwrap().replacen(from, to, 1);
        armed.open(&note::sign(&text, &signers(&[cora, dan])).unwrap())
    };
    for (from, to) in [
        ("1800001800", "1800003601"),
        ("1800001800", "1800000000"),
        ("0123456789abcdef", "0123456789ABCDEF"),
        ("\"site\": \"plant\"", "\"site\": \"mine\""),
        ("\"subject\": \"ada\"", "\"subject\": \"\""),
        ("\"subject\": \"ada\"", "\"subject\": \"ada\\u202e\""),
        ("\"subject\": \"ada\"", "\"subject\": \"ada\", \"groups\": [\"admins\"]"),
        ("\"subject\": \"ada\"", "\"subject\": \"eva\", \"subject\": \"ada\""),
    ] {
        assert_eq!(forged(from, to), Err(Code::Malformed), "{to}");
    }
    assert_eq!(armed.open(&vec![b'x'; ORDER_BYTES_MAX + 1]), Err(Code::TooLarge));
}

#[test]
fn an_order_has_its_time_and_an_hour_at_most() {
    let text = |drafted_at, not_after| GlassOrder { drafted_at, not_after, ..order() }.text();
    assert!(text(NOW, NOW + LIFETIME_SECONDS_MAX).is_ok());
    for (drafted_at, not_after) in [(NOW, NOW + LIFETIME_SECONDS_MAX + 1), (NOW, NOW), (NOW, NOW - 1)] {
        assert_eq!(text(drafted_at, not_after).unwrap_err().code(), Code::Malformed);
    }
    let at = |now| order().timely(now, 60).map_err(|refusal| refusal.code());
    assert_eq!([at(NOW - 61), at(NOW + 1_800)], [Err(Code::NotYetIssued), Err(Code::Expired)]);
    assert_eq!([at(NOW - 60), at(NOW + 1_799)], [Ok(()), Ok(())]);
    assert_eq!(
        [NOW - 60, NOW, NOW + 1_700, u64::MAX].map(|now| order().seconds_left(now)),
        [1_800, 1_800, 100, 0]
    );
}

#[test]
fn a_charter_without_cards_opens_nothing_and_the_next_takes_a_card_away() {
    let mut armed = Armed::new();
    let held = signed(&order(), &[&armed.cards[0], &armed.cards[1]]);
    let unnamed = breakglass::open(&held, &armed.realm.charter, "plant").unwrap_err();
    assert_eq!(unnamed.code(), Code::BreakglassUnnamed);
    assert!(armed.open(&held).is_ok());
    let left = role(RoleName::Breakglass, 2, &[&armed.cards[1], &armed.cards[2]]);
    armed.charter = Armed::next(&armed.realm, &armed.charter, Some(left));
    assert_eq!(armed.open(&held), Err(Code::ThresholdUnmet));
    armed.charter = Armed::next(&armed.realm, &armed.charter, None);
    assert_eq!(armed.open(&held), Err(Code::BreakglassUnnamed));
}

#[test]
fn a_card_is_the_key_of_no_other_role() {
    let realm = Realm::new();
    for other in [&realm.root[2], &realm.release, &realm.online] {
        let breakglass = Some(role(RoleName::Breakglass, 1, &[other]));
        let draft = CharterDraft { breakglass, ..realm.charter.successor(NOW) };
        assert_eq!(draft.text().unwrap_err().code(), Code::CharterUnsafe);
    }
    let breakglass = Some(role(RoleName::Release, 1, &[&TestSigner::new("cora", 50)]));
    let misplaced = CharterDraft { breakglass, ..realm.charter.successor(NOW) };
    assert_eq!(misplaced.text().unwrap_err().code(), Code::CharterUnsafe);
}
