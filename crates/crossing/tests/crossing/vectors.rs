//! `vectors/bundle`: one file, one case, one reason. Another implementation can be held to them too.
//!
//! Each file is a readable header, an empty line and the bundle's bytes; `charter.note` beside them is
//! trusted.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use farside_crossing::acceptance::{Clock, Stream, judge};
use farside_crossing::manifest::Kind;
use farside_crossing::{Charter, Code, Draft, Refusal, Writer, bundle, charter, note};

use crate::support::{NOW, Realm, TestSigner, based, draft};

const CASES_MIN: usize = 15;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../vectors/bundle")
}

fn trusted() -> Charter {
    let note = std::fs::read(folder().join("charter.note")).unwrap();
    let fingerprint = std::fs::read_to_string(folder().join("charter.fingerprint")).unwrap();
    charter::open_first(&note, &fingerprint.parse().unwrap()).unwrap()
}

/// Opens and judges at a gate that holds nothing.
fn verdict(bytes: &[u8], trusted: &Charter, site: &str, now: u64) -> Result<u64, Refusal> {
    let opened = bundle::open(bytes, trusted, site)?;
    judge(&Stream::new(), &opened, Clock { now, leeway_seconds: 60 })?;
    Ok(opened.manifest().seq)
}

#[test]
fn every_vector_is_judged_as_its_header_says() {
    let trusted = trusted();
    let mut cases = 0;
    for entry in std::fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "vector") {
            continue;
        }
        let file = std::fs::read(&path).unwrap();
        let cut = file.windows(2).position(|pair| pair == b"\n\n").unwrap();
        let header: BTreeMap<&str, &str> = str::from_utf8(&file[..cut])
            .unwrap()
            .lines()
            .map(|line| line.split_once(": ").unwrap())
            .collect();
        let seen = verdict(&file[cut + 2..], &trusted, header["site"], header["now"].parse().unwrap());
        let seen = seen.map_or_else(|refusal| refusal.code().as_str(), |_| "accept");
        assert_eq!(seen, header["expect"], "{}", path.display());
        cases += 1;
    }
    assert!(cases >= CASES_MIN, "{cases} vectors");
}

#[test]
#[ignore = "writes vectors/bundle: run by hand when the format changes"]
fn write_the_vectors() {
    let realm = Realm::small();
    std::fs::create_dir_all(folder()).unwrap();
    std::fs::write(folder().join("charter.note"), &realm.charter_note).unwrap();
    std::fs::write(folder().join("charter.fingerprint"), format!("{}\n", realm.charter.fingerprint()))
        .unwrap();
    write_damaged(&realm);
    write_forged(&realm);
}

fn keep(name: &str, expect: Option<Code>, reason: &str, bytes: &[u8]) {
    let expect = expect.map_or("accept", Code::as_str);
    let (site, now) = match expect {
        "wrong_site" => ("harbour", NOW),
        "expired" => ("plant", NOW + 86_401),
        "not_yet_issued" => ("plant", NOW - 61),
        _ => ("plant", NOW),
    };
    let header = format!("expect: {expect}\nreason: {reason}\nsite: {site}\nnow: {now}\n\n");
    std::fs::write(folder().join(format!("{name}.vector")), [header.as_bytes(), bytes].concat()).unwrap();
}

/// What a carrier may do to a good bundle, and good bundles at the wrong place or time.
fn write_damaged(realm: &Realm) {
    let full = realm.full(1, None).bytes;
    keep("full", None, "everything in place", &full);
    keep("wrong-site", Some(Code::WrongSite), "§5.3: addressed to another site", &full);
    keep("expired", Some(Code::Expired), "§10.8: a second after not_after", &full);
    keep("not-yet-issued", Some(Code::NotYetIssued), "§10.8: a second beyond the leeway", &full);
    keep("cut-short", Some(Code::Truncated), "§5.10: one byte is missing", &full[..full.len() - 1]);
    keep(
        "trailing",
        Some(Code::Malformed),
        "§5.10: a byte after the last component",
        &[&full, &b"x"[..]].concat(),
    );
    let mut flipped = full.clone();
    *flipped.last_mut().unwrap() ^= 1;
    keep("blob-bit", Some(Code::DigestMismatch), "§5.11: one bit of the last blob", &flipped);
    let edited = replace(&full, b"\"seq\": 1", b"\"seq\": 7");
    keep("manifest-edited", Some(Code::SignatureInvalid), "§4.6: a number changed after signing", &edited);
    let newer = replace(&full, b"farside-bundle/1", b"farside-bundle/2");
    keep("newer-format", Some(Code::VersionUnsupported), "§5.1: another version of the format", &newer);
}

/// What someone signs who may not.
fn write_forged(realm: &Realm) {
    let writer = realm.full_writer(draft(1, None));
    let sign = |writer: &Writer, signer: &TestSigner| writer.clone().finish(&[signer]).unwrap().bytes;
    keep(
        "by-release",
        Some(Code::RoleForbidden),
        "§4.12: release signed the manifest",
        &sign(&writer, &realm.release),
    );
    let stranger = TestSigner::new("mint", 66);
    keep(
        "by-stranger",
        Some(Code::ThresholdUnmet),
        "§4.5: an unknown key of a known name",
        &sign(&writer, &stranger),
    );
    let foreign = realm.full_writer(Draft { realm: "other".into(), ..draft(1, None) });
    keep("wrong-realm", Some(Code::WrongRealm), "§5.2: another realm", &sign(&foreign, &stranger));
    let forged = note::sign(&realm.keys(2).text().unwrap(), &[&realm.online]).unwrap();
    let thief = Writer::new(draft(1, None)).keys(&forged).unwrap();
    let thief =
        thief.policy(&realm.released(realm.policy(1).text())).unwrap().status(&realm.status(1)).unwrap();
    keep(
        "keys-by-online",
        Some(Code::RoleForbidden),
        "§4.12: a stolen online key adds a key",
        &sign(&thief, &realm.online),
    );
    let one = realm.full(1, None);
    let beacon = Writer::new(based(Kind::Beacon, 2, one.digest, &one));
    keep(
        "beacon-first",
        Some(Code::Gap),
        "§10.2: a beacon whose base is not held",
        &sign(&beacon, &realm.online),
    );
    let chained = realm.full_writer(draft(1, None)).charters(1, &[&realm.charter_note]);
    keep(
        "with-charter",
        None,
        "§4.11: the chain ends with the trusted charter",
        &sign(&chained, &realm.online),
    );
    let unsigned = writer.finish(&[]).unwrap().bytes;
    keep("unsigned", Some(Code::ThresholdUnmet), "§2.3: a draft meets no threshold", &unsigned);
}

fn replace(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let place = bytes.windows(from.len()).position(|window| window == from).unwrap();
    [&bytes[..place], to, &bytes[place + from.len()..]].concat()
}
