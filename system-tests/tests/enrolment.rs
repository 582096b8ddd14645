//! How the two sides come to know each other, what little comes back, and how it goes where nothing does:
//! walks at a real terminal, receipts, and a site to which nothing is sealed.

use farside_crossing::{Digest, ReceiptCode};
use farside_system_tests::programs::free_address;
use farside_system_tests::sides::{CONTROL, Sides};
use farside_system_tests::terminal::Terminal;

/// A realm with people, and its charter where the gate's people will look for it. No gate and no site yet.
fn realm() -> Sides {
    let sides = Sides::empty();
    sides.put("people.csv", b"kind,name,roles\nperson,grace,operator\n");
    let (listen, admin) = (sides.mint, free_address());
    sides.farside(&format!(
        "mint init --dir near --realm moonbase --passphrase-file near.passphrase --listen {listen} --admin {admin}"
    ));
    sides.mint("directory import people.csv");
    sides.mint("charter export --out charter.note");
    std::fs::create_dir(sides.path("stick")).expect("a folder can play the stick");
    sides
}

fn charter_words(sides: &Sides) -> String {
    sides.mint("charter show --json").json()["words"].as_str().expect("words").to_owned()
}

/// The words with one exchanged for another of the list.
fn one_wrong(words: &str) -> String {
    let mut words: Vec<&str> = words.split(' ').collect();
    words[5] = if words[5] == "acorn" { "atlas" } else { "acorn" };
    words.join(" ")
}

fn gate_walk(sides: &Sides) -> Terminal {
    let (listen, admin) = (sides.gate, free_address());
    Terminal::start(&sides.command(&format!("gate enrol --listen {listen} --admin {admin}")))
}

#[test]
fn two_people_on_a_telephone_enrol_a_site_and_a_token_crosses() {
    let sides = realm();
    let charter = charter_words(&sides);

    // On the far side: a folder, a name, its own words to be read out; then the charter's, typed as heard.
    let mut far = gate_walk(&sides);
    far.expect("[far]: ").answer("").expect("as the mint knows it:").answer("dome");
    far.expect("3. The charter").answer("");
    let recipient = sides.text("far/recipient.pub");
    far.expect("Type the fingerprint");
    let before = far.shown().to_owned();
    assert!(!before.contains(&charter), "the charter's words are not shown before they are typed:\n{before}");
    far.answer("olive easel palm").expect("a fingerprint is 64 hex digits or sixteen words");
    far.expect("Type the fingerprint").answer(&charter.to_uppercase());
    far.expect("the charter of realm moonbase");
    let (code, screen) = far.end();
    assert_eq!(code, 0, "{screen}");
    let own: farside_crossing::RecipientPublic = recipient.parse().expect("a recipient's line");
    assert!(before.replace("\r\n", "\n").contains(&own.words()), "its own words are shown:\n{before}");

    // On the near side: the line, pasted; the gate's words, typed; then what nobody can choose for a site.
    let mut near = Terminal::start(&sides.command("mint site enrol dome --config near/mint.toml"));
    near.expect(&charter).expect("the line itself").answer(&recipient);
    near.expect("Type the sixteen words");
    assert!(!near.shown().contains(&own.words()), "not shown before they are typed");
    near.answer(&own.words()).expect("They are the same.");
    near.expect("3. ").answer(&format!("http://{}", sides.gate)).expect("4. ").answer(CONTROL);
    near.expect("[1d]: ").answer("").expect("[1h]: ").answer("30m").expect("Site dome is added");
    let (code, screen) = near.end();
    assert_eq!(code, 0, "{screen}");
    assert!(screen.contains(&format!("sealed to key {}", own.key_id())), "{screen}");
    let site = sides.mint("site show dome --json").json();
    assert_eq!((&site["enrolled"], &site["every_seconds"]), (&true.into(), &1_800.into()));

    sides.mint("keys new --site dome");
    sides.lets_in("grace", CONTROL);
}

#[test]
fn a_wrong_word_on_either_side_and_nothing_is_trusted() {
    let sides = realm();
    let charter = charter_words(&sides);
    let mut far = gate_walk(&sides);
    far.expect("[far]: ").answer("").expect("as the mint knows it:").answer("dome");
    far.expect("3. The charter").answer("").expect("Type the fingerprint").answer(&one_wrong(&charter));
    let (code, screen) = far.end();
    assert_eq!(code, 1, "{screen}");
    let status = sides.gate("status --json").json();
    assert_eq!((&status["realm"], &status["charter"]), (&serde_json::Value::Null, &serde_json::Value::Null));

    let own: farside_crossing::RecipientPublic = sides.text("far/recipient.pub").parse().expect("a line");
    let mut near = Terminal::start(&sides.command("mint site enrol dome --config near/mint.toml"));
    near.expect("the line itself").answer("far/recipient.pub");
    near.expect("Type the sixteen words").answer(&one_wrong(&own.words()));
    let (code, screen) = near.end();
    assert!(code == 1 && screen.contains("not the key that the gate shows"), "{screen}");
    assert_eq!(sides.mint("site list --json").json(), serde_json::json!([]), "nothing was added");

    // The walk is gone on with where it stopped: the same gate, the same words.
    let mut far = gate_walk(&sides);
    far.expect("[far]: ").answer("").expect("stands there already").expect(&own.words());
    far.expect("3. The charter").answer("").expect("Type the fingerprint").answer(&charter);
    assert_eq!(far.end().0, 0);
    assert_eq!(sides.gate("status --json").json()["realm"], "moonbase");
}

#[test]
fn without_a_terminal_a_walk_says_so() {
    let sides = realm();
    let mut alone = std::process::Command::new("setsid");
    let walk = sides.command("mint site enrol dome --config near/mint.toml");
    alone.arg("--wait").arg(walk.get_program()).args(walk.get_args()).current_dir(sides.folder());
    let ended = farside_system_tests::programs::run(alone).expect_code(2);
    assert!(ended.stderr.contains("there is no terminal to ask at"), "{}", ended.stderr);
}

/// The code with its first character exchanged.
fn mistyped(code: &str) -> String {
    let first = if code.starts_with('7') { '8' } else { '7' };
    format!("{first}{}", &code[1..])
}

#[test]
fn a_receipt_is_read_out_typed_in_and_counts_once() {
    let sides = Sides::founded();
    let mut codes = Vec::new();
    for seq in 1..=2 {
        sides.bundle("full");
        sides.cross();
        let shown = sides.gate("receipt --json").json();
        assert_eq!(shown["seq"], seq);
        codes.push(shown["code"].as_str().expect("a code").to_owned());
        let told = sides.gate("receipt").stdout;
        assert!(told.contains(shown["spoken"].as_str().expect("words")), "{told}");
        assert!(
            told.contains(&format!("mint bundle receipt --site dome --seq {seq} {}", codes[codes.len() - 1]))
        );
    }
    let journal = || sides.text("near/journal/mint-cli.jsonl");
    let enter = |seq: u64, code: &str| {
        sides.attempt(&format!("mint bundle receipt --site dome --seq {seq} {code} --config near/mint.toml"))
    };
    let refused = |seq: u64, code: &str, words: &str| {
        let said = enter(seq, code).expect_code(1).stderr;
        assert!(said.contains(words), "{said}");
    };
    let before = journal();
    refused(1, &mistyped(&codes[0]), "its check characters do not fit");
    refused(1, "7Q", "twelve characters");
    assert_eq!(journal(), before, "a slip proves nothing, and nothing of it is kept");

    refused(1, &codes[1], "this is the code of bundle 2, not of bundle 1");
    let foreign = ReceiptCode::new(&[9; 16], 1, &Digest::of(b"of another realm")).to_string();
    refused(1, &foreign, "is not the receipt of bundle 1 of site dome, nor of any other");
    assert_eq!(journal().matches("\"receipt_refused\"").count(), 2);
    let receipted = |place: usize| sides.mint("bundle list --json").json()[place]["receipted_at"].clone();
    assert!(receipted(0).is_null() && receipted(1).is_null());

    let spoken = codes[0].to_lowercase().replace('-', "");
    enter(1, &spoken).expect_code(0);
    let at = receipted(0);
    assert!(at.is_u64() && receipted(1).is_null());
    refused(1, &codes[0], "was receipted already, at ");
    refused(2, &codes[0], "this is the code of bundle 1");
    assert_eq!(receipted(0), at);
    // What the long form says beyond the code may still follow it.
    sides.put("long.txt", sides.gate("receipt --long").stdout.as_bytes());
    sides.mint("bundle receipt --long long.txt");
    sides.mint("bundle receipt --long long.txt");
    sides.mint("audit verify");
}

#[test]
fn a_site_from_which_nothing_ever_comes_back() {
    let sides = realm();
    let (listen, admin) = (sides.gate, free_address());
    sides.farside(&format!("gate init --dir far --site dome --listen {listen} --admin {admin}"));
    sides.gate(&format!("trust charter.note --fingerprint \"{}\"", charter_words(&sides)));
    // Not one byte goes back, and the gate keeps no key to open anything with.
    for file in ["far/keys/recipient.key", "far/recipient.pub"] {
        std::fs::remove_file(sides.path(file)).expect("it was there");
    }
    let add = format!("site add dome --issuer http://{listen} --audience {CONTROL} --unsealed");
    let told = sides.mint(&add).stdout;
    for cost in ["no token is carried to it", "a new key signs only 1d after", "can read all of it"] {
        assert!(told.contains(cost), "{cost}: {told}");
        assert!(sides.mint("site show dome").stdout.contains(cost));
    }
    assert!(sides.mint("site list").stdout.contains("unsealed"));
    sides.mint("keys new --site dome");

    let order =
        format!("mint order add --site dome --subject grace --audience {CONTROL} --config near/mint.toml");
    assert!(sides.attempt(&order).expect_code(1).stderr.contains("carry no tokens"));
    let token = sides.token("grace", CONTROL);
    let file = sides.bundle("full");
    let inside = sides.farside(&format!("bundle inspect {file} --json")).stdout;
    assert!(!inside.contains("parcels") && inside.contains("\"status\""), "{inside}");
    sides.cross();
    sides.bundle("delta");
    sides.cross();
    let gate = sides.serve_gate();
    assert_eq!(sides.knock(&token, CONTROL).status, 200);
    assert_eq!(sides.gate("status --json").json()["bundle"]["seq"], 2);
    assert!(gate.stop().success());

    let none = sides.attempt("gate receipt --config far/gate.toml").expect_code(1).stderr;
    assert!(none.contains("no sealed bundle has been applied"), "{none}");
    let made_up = ReceiptCode::new(&[0; 16], 1, &Digest::of(b"")).to_string();
    let entered = format!("mint bundle receipt --site dome --seq 1 {made_up} --config near/mint.toml");
    let refused = sides.attempt(&entered).expect_code(1).stderr;
    assert!(refused.contains("site dome is unsealed"), "{refused}");
    // The walk offers the same, and says the same before it is meant.
    let mut near = Terminal::start(&sides.command("mint site enrol cave --config near/mint.toml"));
    near.expect("`none` where nothing may ever come back").answer("none");
    near.expect("no token is carried to it").expect("Is that meant?").answer("no");
    assert_eq!(near.end().0, 1);
    assert!(!sides.mint("site list").stdout.contains("cave"));
}
