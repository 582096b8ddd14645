//! The vectors of `vectors/`: our own, one case a file, and those of RFC 7520, 8037, 7797 and the
//! Token Status List draft.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failure here is a failed test")]

mod support;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use farside_verify::encode::base64url_decode;
use farside_verify::status_list::StatusList;
use farside_verify::{Algorithm, Code, KeySet, Policy, Refusal, Verifier};
use serde_json::Value;
use support::{NOW, Signer, jwks};

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../vectors").join(name)
}

fn files(name: &str, ending: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder(name)).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = entries.filter(|path| path.to_str().unwrap().ends_with(ending)).collect();
    files.sort();
    assert!(!files.is_empty(), "no vectors in {name}");
    files
}

/// One case: its lines by name.
struct Case(HashMap<String, String>);

impl Case {
    fn read(path: &Path) -> Case {
        let text = std::fs::read_to_string(path).unwrap();
        let line = |line: &str| {
            let (name, value) = line.split_once(':').unwrap();
            (name.to_owned(), value.strip_prefix(' ').unwrap_or(value).to_owned())
        };
        Case(text.lines().map(line).collect())
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    fn signed(&self) -> Option<String> {
        Some(Signer::fixed("k1").sign(self.get("header")?, self.get("payload")?))
    }

    fn judge(&self) -> Result<(), Refusal> {
        let jwks = match self.get("jwks") {
            Some(jwks) => jwks.to_owned(),
            None => std::fs::read_to_string(folder("token/keys.json")).unwrap(),
        };
        let verifier = Verifier::new(KeySet::from_jwks(jwks.as_bytes())?, self.policy());
        let token = self.get("token").unwrap();
        let now = self.get("now").map_or(NOW, |now| now.parse().unwrap());
        match self.get("mode") {
            Some("jws") => verifier.verify_jws(token).map(|_| ()),
            _ => verifier.verify(token, now).map(|_| ()),
        }
    }

    fn policy(&self) -> Policy {
        let demands: Value = serde_json::from_str(self.get("policy").unwrap_or("{}")).unwrap();
        let mut policy = Policy::undemanding();
        for (name, demand) in demands.as_object().unwrap() {
            policy = match (name.as_str(), demand) {
                ("iss", Value::String(issuer)) => policy.issuer(issuer),
                ("aud", Value::String(audience)) => policy.audiences([audience]),
                ("typ", Value::String(typ)) => policy.typ(typ),
                ("algs", Value::Array(names)) => {
                    policy.algorithm_names(names.iter().map(|name| name.as_str().unwrap()))
                }
                ("leeway", Value::Number(seconds)) => policy.leeway_seconds(seconds.as_u64().unwrap()),
                ("max_lifetime", Value::Number(seconds)) => {
                    policy.lifetime_seconds_max(seconds.as_u64().unwrap())
                }
                other => panic!("unknown demand {other:?}"),
            };
        }
        policy
    }
}

#[test]
fn our_cases_are_judged_as_they_say() {
    let write = std::env::var_os("FARSIDE_WRITE_VECTORS").is_some();
    for path in files("token", ".txt") {
        let mut case = Case::read(&path);
        if let Some(signed) = case.signed() {
            if write {
                let text = std::fs::read_to_string(&path).unwrap();
                let (before, _) = text.split_once("token:").unwrap();
                std::fs::write(&path, format!("{before}token: {signed}\n")).unwrap();
                case = Case::read(&path);
            }
            assert_eq!(
                case.get("token"),
                Some(signed.as_str()),
                "{path:?}: the token is not what was signed"
            );
        }
        let verdict = case.judge().map_err(|refusal| refusal.code().as_str());
        let expected = match case.get("expect").unwrap() {
            "accept" => Ok(()),
            code => Err(code),
        };
        assert_eq!(verdict, expected, "{path:?}: {}", case.get("reason").unwrap());
    }
}

#[test]
fn the_key_of_our_cases_is_the_fixed_one() {
    let jwks = std::fs::read_to_string(folder("token/keys.json")).unwrap();
    assert_eq!(jwks.trim(), Signer::fixed("k1").jwks());
}

#[test]
fn jose_cookbook_signatures_verify_and_what_is_not_compact_or_not_public_key_is_refused() {
    let accepted = [("4_1", "RS256"), ("4_2", "PS384"), ("4_3", "ES512"), ("jws", "EdDSA")];
    let mut seen = 0;
    for path in files("rfc7520/jws", ".json").into_iter().chain(files("rfc7520/curve25519", "/jws.json")) {
        let vector: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let name = path.file_name().unwrap().to_str().unwrap();
        let Some(&(_, alg)) = accepted.iter().find(|(prefix, _)| name.starts_with(prefix)) else {
            refused(&vector);
            continue;
        };
        seen += 1;
        let mut key = vector["input"]["key"].clone();
        // The cookbook's keys leave the algorithm to the header; here a key says its own.
        key["alg"] = alg.into();
        let keys = KeySet::from_jwks(jwks(&[key.to_string()]).as_bytes()).unwrap();
        let verifier = Verifier::new(keys, Policy::undemanding());
        let compact = vector["output"]["compact"].as_str().unwrap();
        let verified = verifier.verify_jws(compact).unwrap();
        assert_eq!(&**verified, vector["input"]["payload"].as_str().unwrap().as_bytes(), "{name}");
        assert_eq!(verified.algorithm(), Algorithm::from_name(alg).unwrap());
    }
    assert_eq!(seen, accepted.len());
}

/// HMAC, detached content, JSON serialisations: nothing of these is a token.
fn refused(vector: &Value) {
    let key = &vector["input"]["key"];
    let keys: Vec<_> = match key.as_array() {
        Some(several) => several.iter().map(Value::to_string).collect(),
        None => vec![key.to_string()],
    };
    let Ok(keys) = KeySet::from_jwks(jwks(&keys).as_bytes()) else {
        return; // §4.8 signs with two keys of one id
    };
    let verifier = Verifier::new(keys, Policy::undemanding());
    for form in ["compact", "json", "json_flat"] {
        if let Some(output) = vector["output"].get(form) {
            let text = output.as_str().map_or_else(|| output.to_string(), str::to_owned);
            assert!(verifier.verify_jws(text).is_err());
        }
    }
}

#[test]
fn unencoded_payloads_are_refused_even_where_the_file_forgets_crit() {
    for path in files("rfc7520/rfc7797", ".json") {
        let vector: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        refused(&vector);
    }
    // The same header over a signature that would hold.
    let signer = Signer::fixed("k1");
    let token = signer.sign(r#"{"alg":"EdDSA","kid":"k1","b64":false,"crit":["b64"]}"#, "$.02");
    let refusal = signer.undemanding().verify_jws(token).unwrap_err();
    assert_eq!(refusal.code(), Code::CritUnsupported);
}

#[test]
fn cookbook_public_keys_load_as_far_as_they_say_their_algorithm() {
    let load = |name: &str, alg: Option<&str>| {
        let bytes = std::fs::read(folder(&format!("rfc7520/jwk/{name}"))).unwrap();
        let mut key: Value = serde_json::from_slice(&bytes).unwrap();
        if let Some(alg) = alg {
            key["alg"] = alg.into();
        }
        KeySet::from_jwks(jwks(&[key.to_string()]).as_bytes()).unwrap().len()
    };
    assert_eq!(load("3_1.ec_public_key.json", None), 1);
    assert_eq!(load("3_3.rsa_public_key.json", None), 0);
    assert_eq!(load("3_3.rsa_public_key.json", Some("RS256")), 1);
    assert_eq!(load("3_5.symmetric_key_mac_computation.json", None), 0);
    assert_eq!(load("3_6.symmetric_key_encryption.json", None), 0);
}

/// The JSON object of an example, its line breaks inside strings taken out as the draft prints them.
fn status_example(name: &str) -> (u32, String) {
    let text = std::fs::read_to_string(folder(&format!("status-list/{name}"))).unwrap();
    let object = &text[text.find('{').unwrap()..];
    let joined: String = object.lines().map(str::trim).collect();
    let value: Value = serde_json::from_str(&joined).unwrap();
    (value["bits"].as_u64().unwrap() as u32, value["lst"].as_str().unwrap().to_owned())
}

#[test]
fn status_list_examples_decode_to_their_bytes() {
    let short = [
        ("status_list_encoding_json.md", [0xb9_u8, 0xa3, 0]),
        ("status_list_encoding2_json.md", [0xc9, 0x44, 0xf9]),
    ];
    for (name, bytes) in short {
        let (bits, lst) = status_example(name);
        let list = StatusList::decode(bits, &lst).unwrap();
        for index in 0..list.capacity() {
            let per_byte = u64::from(8 / bits);
            let byte = u32::from(bytes[usize::try_from(index / per_byte).unwrap()]);
            let expected = byte >> (u32::try_from(index % per_byte).unwrap() * bits) & ((1 << bits) - 1);
            assert_eq!(list.get(index).map(u32::from), Some(expected), "{name} {index}");
        }
    }
    for (bits, name) in [(1, "1_long"), (2, "2_long"), (4, "4"), (8, "8")] {
        let (said, lst) = status_example(&format!("status_list_encoding{name}_json.md"));
        assert_eq!(said, bits);
        let list = StatusList::decode(bits, &lst).unwrap();
        // Token Status List draft, appendix: 2^20 tokens in each of these lists.
        assert_eq!(list.capacity(), 1 << 20, "{name}");
        let known: &[(u64, u8)] = match bits {
            1 => &[(0, 1), (1, 0), (1993, 1)],
            8 => &[(233_478, 0), (52_451, 1), (576_778, 2), (513_575, 3), (468_106, 4)],
            _ => &[(0, 1), (1, 0), (1993, 2)],
        };
        for &(index, status) in known {
            assert_eq!(list.get(index), Some(status), "{name} {index}");
        }
        assert_eq!(list.get(1 << 20), None);
    }
}

#[test]
fn status_lists_are_bounded_before_they_are_decompressed() {
    let (bits, lst) = status_example("status_list_encoding1_long_json.md");
    assert!(StatusList::decode_within(bits, &lst, 131_072).is_ok());
    assert!(StatusList::decode_within(bits, &lst, 131_071).is_err());
    assert!(StatusList::decode(3, &lst).is_err());
    assert!(StatusList::decode(1, "eNrbuRgAAhcBXR").is_err()); // a bit beyond the end
    let compressed = base64url_decode(&lst).unwrap();
    for cut in 0..compressed.len() {
        let cut = farside_verify::encode::base64url(&compressed[..cut]);
        assert!(StatusList::decode(1, &cut).is_err());
    }
}

#[test]
fn the_signed_list_of_the_draft_reads_as_its_parts() {
    let read = |name: &str| std::fs::read_to_string(folder(&format!("status-list/{name}"))).unwrap();
    let raw: String = read("status_list_jwt_raw.md").split_whitespace().collect();
    let payload = farside_verify::encode::base64url_decode(raw.split('.').nth(1).unwrap()).unwrap();
    let payload: serde_json::Value = serde_json::from_slice(&payload).unwrap();
    let parts = read("status_list_jwt.md");
    let expected: serde_json::Value = serde_json::from_str(parts.split("}\n.\n").nth(1).unwrap()).unwrap();
    for member in ["sub", "iat", "exp", "ttl", "status_list"] {
        assert_eq!(payload[member], expected[member], "{member}");
    }
    let list = StatusList::decode(1, payload["status_list"]["lst"].as_str().unwrap()).unwrap();
    assert_eq!((list.get(0), list.get(1), list.get(15)), (Some(1), Some(0), Some(1)));
}
