//! Signed notes and the counting of thresholds.

use farside_crossing::{Code, LogKey, MlDsaLevel, Note, Role, RoleName, Signer as _, SignerPublic, note};
use proptest::prelude::*;

use crate::support::{TestSigner, role, signers};

fn code_of(role: &Role, bytes: &[u8]) -> Code {
    role.verify(&Note::parse(bytes).unwrap()).unwrap_err().code()
}

#[test]
fn the_example_of_the_c2sp_specification_reads() {
    let text = "Ognuno sta solo sul cuor della terra\ntrafitto da un raggio di sole:\n\ned è subito sera.\n";
    let line = "— quasimodo.example/salvatore NnugSzTjtVAewIS+Z/iJhUPeFDkO/5QQ2i5ddnGITLlC+EhfLW9oJKONrMou\
                FSQU0xMcXxj99ihAQwaqP3ZekRwNtIc=\n";
    let whole = format!("{text}\n{line}");
    let note = Note::parse(whole.as_bytes()).unwrap();
    assert_eq!(note.text(), text);
    assert_eq!(note.signer_names(), ["quasimodo.example/salvatore"]);
}

#[test]
fn k_of_n_people_sign_in_turn() {
    let people = [TestSigner::new("a", 1), TestSigner::new("b", 2), TestSigner::new("c", 3)];
    let role = role(RoleName::Release, 2, &[&people[0], &people[1], &people[2]]);
    let draft = note::unsigned("farside-test/1\nsomething\n");
    assert_eq!(code_of(&role, &draft), Code::ThresholdUnmet);
    let once = note::add_signature(&draft, &people[2]).unwrap();
    assert_eq!(code_of(&role, &once), Code::ThresholdUnmet);
    let again = note::add_signature(&once, &people[2]).unwrap();
    assert_eq!(code_of(&role, &again), Code::ThresholdUnmet);
    let twice = note::add_signature(&again, &people[0]).unwrap();
    let note = Note::parse(&twice).unwrap();
    assert_eq!(role.verify(&note).unwrap().signers(), ["a", "c"]);
    assert_eq!(role.signed_by(&note).unwrap(), ["a", "c"]);
}

#[test]
fn half_a_pair_is_no_signature() {
    let one = TestSigner::new("a", 1);
    let role = role(RoleName::Release, 1, &[&one]);
    let whole = String::from_utf8(note::sign("text\n", &[&one]).unwrap()).unwrap();
    let lines: Vec<&str> = whole.split_inclusive('\n').collect();
    for half in [2, 3] {
        let kept: String = lines.iter().enumerate().filter(|(n, _)| *n != half).map(|(_, l)| *l).collect();
        assert_eq!(code_of(&role, kept.as_bytes()), Code::ThresholdUnmet);
    }
}

#[test]
fn a_bad_signature_of_a_known_key_rejects_whoever_else_signed() {
    let (good, bad) = (TestSigner::new("a", 1), TestSigner::new("b", 2));
    let role = role(RoleName::Release, 1, &[&good, &bad]);
    let other = String::from_utf8(note::sign("other\n", &[&bad]).unwrap()).unwrap();
    let stolen: String = other.split_inclusive('\n').skip(2).collect();
    let mut forged = note::sign("text\n", &[&good]).unwrap();
    forged.extend_from_slice(stolen.as_bytes());
    assert_eq!(code_of(&role, &forged), Code::SignatureInvalid);
}

#[test]
fn signatures_of_unknown_keys_are_ignored() {
    let (known, stranger) = (TestSigner::new("a", 1), TestSigner::new("a", 7));
    let role = role(RoleName::Release, 1, &[&known]);
    let note = note::sign("text\n", &signers(&[&stranger, &known])).unwrap();
    assert_eq!(role.verify(&Note::parse(&note).unwrap()).unwrap().signers(), ["a"]);
    assert_eq!(code_of(&role, &note::sign("text\n", &[&stranger]).unwrap()), Code::ThresholdUnmet);
}

#[test]
fn one_key_under_two_names_never_votes_twice() {
    let cases = [
        (TestSigner::new("a", 1), TestSigner::new("a", 2)),
        (TestSigner::new("a", 1), TestSigner::new("b", 1)),
        (TestSigner::with("a", 1, 1, MlDsaLevel::MlDsa65), TestSigner::with("b", 1, 2, MlDsaLevel::MlDsa65)),
        (TestSigner::with("a", 1, 1, MlDsaLevel::MlDsa65), TestSigner::with("b", 2, 1, MlDsaLevel::MlDsa65)),
    ];
    for (one, other) in cases {
        let both = vec![one.public().clone(), other.public().clone()];
        assert_eq!(Role::new(RoleName::Root, 2, both).unwrap_err().code(), Code::CharterUnsafe);
    }
}

#[test]
fn thresholds_must_be_reachable_and_above_nothing() {
    let one = TestSigner::new("a", 1);
    for threshold in [0, 2, usize::MAX] {
        let refused = Role::new(RoleName::Root, threshold, vec![one.public().clone()]);
        assert_eq!(refused.unwrap_err().code(), Code::CharterUnsafe);
    }
    let weak = TestSigner::with("w", 1, 1, MlDsaLevel::MlDsa44);
    assert!(Role::new(RoleName::Root, 1, vec![weak.public().clone()]).is_err());
    assert!(Role::new(RoleName::Online, 1, vec![weak.public().clone()]).is_ok());
}

#[test]
fn hostile_framing_is_refused() {
    let good = String::from_utf8(note::sign("text\n", &[&TestSigner::new("a", 1)]).unwrap()).unwrap();
    let line = good.split_inclusive('\n').nth(2).unwrap();
    let long = format!("text\n\n— a {}\n", "A".repeat(8_192));
    let cases = [
        (String::new(), Code::Malformed),
        ("no blank line\n".into(), Code::Malformed),
        (good.replace("text", "te\txt"), Code::Malformed),
        (good.replace('\n', "\r\n"), Code::Malformed),
        (good.replace("— ", "- "), Code::Malformed),
        (good.replace("— a ", "—  "), Code::Malformed),
        (good.replace("— a ", "— a+b "), Code::Malformed),
        (good.replace("— a ", "— a\u{a0}b "), Code::Malformed),
        (good.trim_end().to_owned(), Code::Malformed),
        (format!("{good}{line}"), Code::Malformed),
        (format!("{good}x"), Code::Malformed),
        ("text\n\n— a AAAA\n".into(), Code::Malformed),
        ("text\n\n— a AAAAAA\n".into(), Code::Malformed),
        (long, Code::TooLarge),
        (
            format!("text\n\n{}", (0..65).map(|n| format!("— s{n} AAAAAAA=\n")).collect::<String>()),
            Code::TooLarge,
        ),
        ("x".repeat((2 << 20) + 1), Code::TooLarge),
    ];
    for (text, code) in cases {
        let refusal = Note::parse(text.as_bytes()).map(|_| ()).unwrap_err();
        assert_eq!(refusal.code(), code, "{:?}", &text[..text.len().min(60)]);
    }
    assert_eq!(Note::parse(b"te\xffxt\n\n").unwrap_err().code(), Code::Malformed);
}

#[test]
fn only_a_text_that_reads_back_unchanged_is_signed() {
    let one = TestSigner::new("a", 1);
    for text in ["", "no newline", "two\n\n", "tab\tin it\n"] {
        assert!(note::sign(text, &[&one]).is_err(), "{text:?}");
    }
}

#[test]
fn text_forms_read_back() {
    for level in [MlDsaLevel::MlDsa44, MlDsaLevel::MlDsa65] {
        let public = TestSigner::with("mint@acme", 1, 2, level).public().clone();
        assert_eq!(public.to_string().parse(), Ok(public.clone()));
        assert!(public.to_string().replace("ml-dsa", "ml-dsb").parse::<SignerPublic>().is_err());
        assert!(format!("{public} more").parse::<SignerPublic>().is_err());
    }
    let vkey = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    let log: LogKey = vkey.parse().unwrap();
    assert_eq!(log.to_string(), vkey);
    assert!(vkey.replace("c74f", "c74e").parse::<LogKey>().is_err());
}

#[test]
fn the_example_of_gos_note_package_verifies() {
    // golang.org/x/mod/sumdb/note, package example.
    let log: LogKey = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW".parse().unwrap();
    let text = "If you think cryptography is the answer to your problem,\n\
                then you don't know what your problem is.\n";
    let line = "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb\
                6KE6RyyBwJnAM=\n";
    let whole = format!("{text}\n{line}");
    assert_eq!(log.verify(&Note::parse(whole.as_bytes()).unwrap()).unwrap(), text);
    let other = whole.replace("problem,", "problem;");
    let refused = log.verify(&Note::parse(other.as_bytes()).unwrap()).unwrap_err();
    assert_eq!(refused.code(), Code::SignatureInvalid);
}

proptest! {
    #[test]
    fn any_bytes_read_or_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = Note::parse(&bytes);
    }

    #[test]
    fn texts_come_back_as_signed(lines in proptest::collection::vec("[ -~é—]{0,20}", 1..6)) {
        let text = format!("x{}\nend\n", lines.join("\n"));
        let one = TestSigner::new("a", 1);
        let bytes = note::sign(&text, &[&one]).unwrap();
        let read = Note::parse(&bytes).unwrap();
        prop_assert_eq!(read.text(), text.as_str());
        let role = role(RoleName::Online, 1, &[&one]);
        let believed = role.verify(&read).unwrap();
        prop_assert_eq!(believed.text(), text.as_str());
    }
}
