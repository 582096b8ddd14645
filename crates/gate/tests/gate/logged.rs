//! Proof of logging where it is demanded: the leaf that crossed, or a staple under a head of the log key. A
//! stolen token key alone opens no gate.

use farside_crossing::{CharterDraft, Head, Kind, Logged, Staple, note, staple};
use farside_gate::judge::{inspect, judge};
use farside_gate::logged::STAPLED_HEADS_MAX;
use farside_gate::trust::TrustState;
use farside_verify::Code;
use farside_verify::merkle::root_of_inclusion;

use crate::realm::{AUDIENCE, Far, LogPair, NOW, Plan, Realm, Tree, audience, claims, code, leaf_of, policy};

/// A realm whose gate demands proof of logging and holds the leaves of `crossed`.
fn demanding(logged: Logged, crossed: u64) -> (Realm, Far, Tree) {
    let (mut realm, far) = Far::enrolled();
    let mut demanded = policy(1);
    demanded.audiences[0].logged = logged;
    demanded.audiences.push(audience("mail"));
    let mut tree = realm.tree();
    tree.fill(crossed, "before");
    let leaves = (crossed > 0).then(|| tree.run(0, crossed, &[]));
    let first = realm.send(Plan { policy: Some(demanded), leaves, ..realm.plan() });
    assert_eq!(code(&far.import(&first)), "applied 1");
    (realm, far, tree)
}

/// The next bundle as this policy has it, with what the log has grown by.
fn cross(realm: &mut Realm, far: &Far, tree: &mut Tree, logged: Logged, since: u64) -> String {
    let mut demanded = policy(1);
    demanded.audiences[0].logged = logged;
    demanded.audiences.push(audience("mail"));
    let leaves = Some(tree.run(since, tree.size(), &[]));
    code(&far.import(&realm.send(Plan { policy: Some(demanded), leaves, ..realm.plan() })))
}

fn verdict(trust: &TrustState, credential: &str) -> Result<(), Code> {
    judge(trust, credential, AUDIENCE, NOW).map(drop).map_err(|refusal| refusal.code())
}

#[test]
fn a_token_signed_with_the_stolen_key_but_never_logged_is_refused() {
    for logged in [Logged::Leaf, Logged::Staple] {
        let (mut realm, far, mut tree) = demanding(logged, 5);
        let good = realm.token("ada", 5, "");
        tree.log(&good);
        assert_eq!(cross(&mut realm, &far, &mut tree, logged, 5), "applied 2");
        let trust = far.trust_state();
        assert_eq!(verdict(&trust, &good), Ok(()));
        // At a position that another token has, at one that nobody's leaf has reached, in a log of the
        // thief's own.
        for forged in [realm.token("eve", 5, ""), realm.token("eve", 6, "")] {
            assert_eq!(verdict(&trust, &forged), Err(Code::NotLogged));
            assert_eq!(inspect(&trust, &forged, None, NOW).unwrap_err().code(), Code::NotLogged);
        }
        let elsewhere = claims("eve", 5, NOW, "").replace("dome-5", "crater-5");
        let elsewhere = realm.key.sign("at+jwt", &elsewhere);
        assert_eq!(verdict(&trust, &elsewhere), Err(Code::NotLogged));
        // An audience that demands no proof takes the token by its signature.
        let mail = realm.key.sign("at+jwt", &claims("ada", 9, NOW, "").replace("\"db\"", "\"mail\""));
        assert!(judge(&trust, &mail, "mail", NOW).is_ok());
        // Whoever names no audience gets the strictest that the token is for.
        let both = claims("eve", 9, NOW, "").replace("\"db\"", "[\"mail\",\"db\"]");
        let both = realm.key.sign("at+jwt", &both);
        assert_eq!(inspect(&trust, &both, None, NOW).unwrap_err().code(), Code::NotLogged);
    }
}

#[test]
fn the_twin_of_a_logged_token_is_the_same_token() {
    // ECDSA: whoever has (r, s) has (r, n - s). The leaf commits to what was signed, so both are logged, and
    // nobody can make a logged token look forged.
    let (mut realm, far, mut tree) = demanding(Logged::Leaf, 0);
    let token = realm.token("ada", 0, "");
    tree.log(&token);
    assert_eq!(leaf_of(&token, 0), leaf_of(&format!("{}.other", token.rsplit_once('.').unwrap().0), 0));
    assert_eq!(cross(&mut realm, &far, &mut tree, Logged::Leaf, 0), "applied 2");
    assert_eq!(verdict(&far.trust_state(), &token), Ok(()));
}

#[test]
fn not_logged_names_the_bundle_that_would_carry_it() {
    let (realm, far, _) = demanding(Logged::Leaf, 5);
    let refusal = judge(&far.trust_state(), &realm.token("ada", 7, ""), AUDIENCE, NOW).unwrap_err();
    assert_eq!(refusal.code(), Code::NotLogged);
    assert!(refusal.cure().contains("holds bundle 1"), "{}", refusal.cure());
    assert!(refusal.cure().contains("import bundle 2"), "{}", refusal.cure());
}

#[test]
fn a_stapled_token_comes_ahead_of_its_bundle() {
    let (mut realm, far, mut tree) = demanding(Logged::Staple, 5);
    let token = realm.token("ada", 5, "");
    tree.log(&token).fill(3, "after");
    let stapled = tree.staple(&token, 5, 8);
    assert_eq!(verdict(&far.trust_state(), &token), Err(Code::NotLogged));
    assert_eq!(verdict(&far.trust_state(), &stapled), Ok(()));
    // The head it came with is on the disk before anybody enters: a gate opened anew knows it.
    assert_eq!(far.status()["logs"][0]["stapled_heads"], 1);
    assert_eq!(verdict(&far.trust_state(), &stapled), Ok(()));
    // Its bundle confirms the head, and from then on the token needs no staple; it may still bring it.
    assert_eq!(cross(&mut realm, &far, &mut tree, Logged::Staple, 5), "applied 2");
    assert_eq!(far.status()["logs"][0]["stapled_heads"], 0);
    for shown in [&token, &stapled] {
        assert_eq!(verdict(&far.trust_state(), shown), Ok(()));
    }
}

#[test]
fn under_leaf_a_staple_proves_nothing_and_under_no_it_is_not_asked_for() {
    let (realm, far, mut tree) = demanding(Logged::Leaf, 5);
    let token = realm.token("ada", 5, "");
    let stapled = tree.log(&token).staple(&token, 5, 6);
    assert_eq!(verdict(&far.trust_state(), &stapled), Err(Code::NotLogged));
    let mail = realm.key.sign("at+jwt", &claims("ada", 6, NOW, "").replace("\"db\"", "\"mail\""));
    let stapled = tree.log(&mail).staple(&mail, 6, 7);
    assert!(judge(&far.trust_state(), &stapled, "mail", NOW).is_ok());
    // But one that cannot be read refuses the token even there.
    for broken in [format!("{mail}~"), format!("{mail}~AA"), format!("{stapled}A"), format!("{stapled}~AA")] {
        let refusal = judge(&far.trust_state(), &broken, "mail", NOW).unwrap_err();
        assert_eq!(refusal.code(), Code::Malformed, "{broken}");
    }
}

#[test]
fn staples_that_prove_something_else_are_refused() {
    let (realm, far, mut tree) = demanding(Logged::Staple, 5);
    let (token, other) = (realm.token("ada", 5, ""), realm.token("grace", 6, ""));
    tree.log(&token).log(&other).fill(4, "after");
    let (size, forged) = (tree.size(), realm.token("eve", 5, ""));
    let good = tree.staple(&token, 5, size);
    let read = |text: &str| staple::split(text).unwrap().1.unwrap();
    let of_token = read(&good);
    let of_other = read(&tree.staple(&other, 6, size));
    // The thief's own log, perfect but for the key.
    let thief = LogPair::new("moon-log");
    let mut thiefs = tree.clone();
    let mut false_tree = Tree::new(thief.into());
    false_tree.fill(5, "before").log(&forged).fill(5, "after");
    let cases = [
        ("of another token", of_other.to_token(&token)),
        ("of the token whose place was taken", of_token.to_token(&forged)),
        ("signed by another key", false_tree.staple(&forged, 5, size)),
        (
            "of a smaller tree than its size says",
            Staple { size: size - 1, ..of_token.clone() }.to_token(&token),
        ),
        ("of a larger one", Staple { size: size + 1, ..of_token.clone() }.to_token(&token)),
        ("of a tree that ends before the token", {
            let head = thiefs.head(4);
            Staple { size: 4, signature: realm.log.sign(&head), proof: Vec::new() }.to_token(&token)
        }),
        ("without its last hash", {
            let proof = of_token.proof[..of_token.proof.len() - 1].to_vec();
            Staple { proof, ..of_token.clone() }.to_token(&token)
        }),
        ("with a changed hash", {
            let mut changed = of_token.clone();
            changed.proof[1][3] ^= 1;
            changed.to_token(&token)
        }),
        ("with a changed signature", {
            let mut changed = of_token.clone();
            changed.signature[40] ^= 1;
            changed.to_token(&token)
        }),
    ];
    let trust = far.trust_state();
    for (name, credential) in cases {
        assert_eq!(verdict(&trust, &credential), Err(Code::NotLogged), "{name}");
    }
    for cut in 1..90 {
        assert!(verdict(&trust, &good[..good.len() - cut]).is_err(), "cut by {cut}");
    }
    assert_eq!(far.status()["logs"][0]["stapled_heads"], 0, "nothing of all that is kept");
    assert_eq!(verdict(&trust, &good), Ok(()));
    assert!(root_of_inclusion(&leaf_of(&token, 5), 5, size, &of_token.proof).is_some());
}

#[test]
fn a_leaf_that_crossed_outweighs_whatever_is_stapled() {
    // The log key is stolen too, and signs a head over the forged token: the leaf that crossed is another.
    let (realm, far, _) = demanding(Logged::Staple, 5);
    let forged = realm.token("eve", 3, "");
    let mut false_tree = realm.tree();
    let stapled = false_tree.fill(3, "before").log(&forged).fill(9, "x").staple(&forged, 3, 13);
    let refusal = judge(&far.trust_state(), &stapled, AUDIENCE, NOW).unwrap_err();
    assert_eq!(refusal.code(), Code::NotLogged);
    assert!(refusal.cure().contains("stolen"), "{}", refusal.cure());
}

#[test]
fn of_two_heads_of_one_size_there_is_one_root() {
    let (realm, far, mut tree) = demanding(Logged::Staple, 5);
    let token = realm.token("ada", 5, "");
    let mut split = tree.clone();
    let good = tree.log(&token).fill(2, "after").staple(&token, 5, 8);
    let evil = realm.token("eve", 6, "");
    let forked = split.fill(1, "split").log(&evil).fill(1, "split").staple(&evil, 6, 8);
    let (first, second) = (far.trust_state(), far.trust_state());
    assert_eq!(verdict(&first, &good), Ok(()));
    // Signed by the log key, and yet refused: by this picture, by one made before, by one made anew.
    for trust in [first, second, far.trust_state()] {
        assert_eq!(verdict(&trust, &forked), Err(Code::NotLogged));
    }
}

#[test]
fn a_stapled_head_that_the_log_turns_out_not_to_have_is_a_fork() {
    for beyond in [0, 2] {
        let (mut realm, far, mut tree) = demanding(Logged::Staple, 5);
        let token = realm.token("eve", 5, "");
        let stapled = tree.clone().log(&token).staple(&token, 5, 6);
        assert_eq!(verdict(&far.trust_state(), &stapled), Ok(()), "the log key has signed it");
        // The bundle brings the log without that leaf: who signed the head above, and for whom?
        tree.fill(1 + beyond, "honest");
        assert_eq!(cross(&mut realm, &far, &mut tree, Logged::Staple, 5), "log_forked");
        let seen = far.status();
        assert_eq!((&seen["frozen"], &seen["log_forks"][0]["held_size"]), (&true.into(), &6.into()));
    }
}

#[test]
fn a_stapled_head_goes_on_waiting_where_the_run_begins_behind_it() {
    let (mut realm, far, mut tree) = demanding(Logged::Staple, 5);
    let token = realm.token("ada", 5, "");
    let stapled = tree.log(&token).staple(&token, 5, 6);
    assert_eq!(verdict(&far.trust_state(), &stapled), Ok(()));
    let mut demanded = policy(1);
    demanded.audiences[0].logged = Logged::Staple;
    demanded.audiences.push(audience("mail"));
    tree.fill(14, "after");
    let leaves = Some(tree.run(10, 20, &[5]));
    let plan = Plan { policy: Some(demanded.clone()), leaves, ..realm.plan() };
    assert_eq!(code(&far.import(&realm.send(plan))), "applied 2");
    assert_eq!(far.status()["logs"][0]["stapled_heads"], 1);
    // A link confirms it as well as the leaves themselves.
    let leaves = Some(tree.run(20, 20, &[5, 6]));
    let plan = Plan { policy: Some(demanded), leaves, ..realm.plan() };
    assert_eq!(code(&far.import(&realm.send(plan))), "applied 3");
    assert_eq!(far.status()["logs"][0]["stapled_heads"], 0);
}

#[test]
fn a_staple_of_a_log_key_that_the_charter_has_dropped_counts_no_more() {
    let (mut realm, far, mut tree) = demanding(Logged::Staple, 5);
    let token = realm.token("ada", 5, "");
    let stapled = tree.log(&token).staple(&token, 5, 6);
    assert_eq!(verdict(&far.trust_state(), &stapled), Ok(()));
    let draft = CharterDraft { log: vec![LogPair::new("next-log").public], ..realm.charter.successor(NOW) };
    let next = note::sign(&draft.text().unwrap(), &[&realm.root]).unwrap();
    let two = realm.send(Plan { charters: vec![next], policy: None, ..realm.plan_on_base(Kind::Delta) });
    assert_eq!(code(&far.import(&two)), "applied 2");
    assert_eq!(far.status()["logs"][0]["stapled_heads"], 0, "nobody whom the charter names has signed it");
    assert_eq!(verdict(&far.trust_state(), &stapled), Err(Code::NotLogged));
}

#[test]
fn a_flood_of_stapled_heads_is_bounded_and_drives_none_out() {
    let (realm, far, mut tree) = demanding(Logged::Staple, 0);
    let token = realm.token("ada", 0, "");
    tree.log(&token).fill(STAPLED_HEADS_MAX + 1, "more");
    let trust = far.trust_state();
    // Beyond doubt distinct heads, all signed by the log key, all good; put there as a door would.
    let store = trust_store(&far);
    for size in 1..=STAPLED_HEADS_MAX {
        let Head { root, .. } = tree.head(size);
        store
            .execute(
                "INSERT INTO stapled_head (shard, size, root, signature, held_at)
                 VALUES ('dome', ?1, ?2, ?3, ?4)",
                (size as i64, root, [0_u8; 64], NOW as i64),
            )
            .unwrap();
    }
    let one_more = tree.staple(&token, 0, STAPLED_HEADS_MAX + 1);
    assert_eq!(verdict(&trust, &one_more), Err(Code::NotLogged));
    assert_eq!(verdict(&far.trust_state(), &tree.staple(&token, 0, 77)), Ok(()), "those held still count");
}

fn trust_store(far: &Far) -> rusqlite::Connection {
    let connection = rusqlite::Connection::open(far.config.database()).unwrap();
    connection.pragma_update(None, "synchronous", "OFF").unwrap();
    connection
}

#[test]
fn leaves_in_memory_and_in_the_store_answer_alike() {
    let (mut realm, far, mut tree) = demanding(Logged::Leaf, 5);
    let gate = far.gate();
    assert_eq!(gate.warm().unwrap(), 5);
    let token = realm.token("ada", 5, "");
    tree.log(&token);
    assert_eq!(cross(&mut realm, &far, &mut tree, Logged::Leaf, 5), "applied 2");
    // Imported by another process, and not in memory yet.
    assert_eq!(verdict(&gate.trust().unwrap(), &token), Ok(()));
    assert_eq!(gate.warm().unwrap(), 6);
    assert_eq!(verdict(&gate.trust().unwrap(), &token), Ok(()));
    assert_eq!(verdict(&gate.trust().unwrap(), &realm.token("eve", 5, "")), Err(Code::NotLogged));
}
