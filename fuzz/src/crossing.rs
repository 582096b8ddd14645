//! What the fuzz targets of notes, bundles, parcels, targets and policies try, and what must hold for every
//! input. The corpus is replayed through these same functions by `crates/crossing/tests/crossing/corpus.rs`
//! on a stable compiler.

use std::convert::Infallible;
use std::sync::LazyLock;

use farside_crossing::cedar::{
    Circumstances, Doing, POLICIES_MAX, Policies, Principal, Question, Target, Verdict,
};
use farside_crossing::leaves::RunProof;
use farside_crossing::manifest::Kind;
use farside_crossing::{
    Claim, Code, Digest, Note, Opened, Writer, acceptance, breakglass, bundle, charter, checkpoint, inspect,
    leaves, note, staple,
};
use hpke::Serializable as _;
use hpke::aead::AesGcm256;
use hpke::kdf::HkdfSha256;
use hpke::kem::XWing;
use hpke::rand_core::{TryCryptoRng, TryRng};

use crate::support::{NOW, Realm, based, draft};

static REALM: LazyLock<Realm> = LazyLock::new(Realm::small);

/// Any bytes as a note, a charter and a charter's successor: none is believed that the realm did not sign.
pub(crate) fn note(data: &[u8]) {
    let _ = charter::review(data);
    if let Ok(seen) = breakglass::review(data) {
        assert!(seen.order.not_after - seen.order.drafted_at <= breakglass::LIFETIME_SECONDS_MAX);
        assert!(breakglass::open(data, &REALM.charter, "plant").is_err(), "this realm names no cards");
    }
    let Ok(read) = Note::parse(data) else { return };
    assert!(data.starts_with(read.text().as_bytes()), "a text that is not at the beginning");
    assert!(read.text().ends_with('\n'));
    for role in [REALM.charter.root(), REALM.charter.release(), REALM.charter.online()] {
        if let Ok(believed) = role.verify(&read) {
            assert!(believed.signers().len() >= role.threshold());
        }
    }
    if let Ok(next) = charter::follow(&REALM.charter, data) {
        assert_eq!(next.version(), REALM.charter.version() + 1);
    }
}

/// Any bytes as a bundle, and, by the first byte, as one of its parts under true signatures.
pub(crate) fn bundle(data: &[u8]) {
    let Some((part, data)) = data.split_first() else { return };
    let _ = leaves::read(data);
    match part % 4 {
        0 => open(data),
        1 => signed_manifest(data),
        2 => signed_keys(data),
        _ => status(data),
    }
}

fn open(data: &[u8]) {
    let _ = farside_crossing::charter::follow_chain_file(&REALM.charter, data);
    let seen = inspect::inspect(data);
    match bundle::open(data, &REALM.charter, "plant") {
        Ok(opened) => {
            assert_eq!(seen.digest, Some(opened.digest()));
            assert!(seen.fault.is_none(), "what opens reads");
            judged(&opened);
        }
        Err(refusal) => assert!(Code::ALL.contains(&refusal.code())),
    }
}

/// A manifest's JSON of any bytes, signed by the online key.
fn signed_manifest(data: &[u8]) {
    let Ok(json) = str::from_utf8(data) else { return };
    let text = format!("farside-manifest/1 acme plant\n{json}\n");
    let Ok(note) = note::sign(&text, &[&REALM.online]) else { return };
    open(&[format!("farside-bundle/1 {} 0\n", note.len()).as_bytes(), &note].concat());
}

/// A keys document of any bytes, signed by release, in a delta.
fn signed_keys(data: &[u8]) {
    let Ok(json) = str::from_utf8(data) else { return };
    let text = format!("farside-keys/1 acme plant\n{json}\n");
    let Ok(note) = note::sign(&text, &[&REALM.release]) else { return };
    let full = REALM.full(1, None);
    let Ok(writer) = Writer::new(based(Kind::Delta, 2, full.digest, &full)).keys(&note) else { return };
    let Ok(packed) = writer.finish(&[&REALM.online]) else { return };
    open(&packed.bytes);
}

/// Any bytes as a status component under a true manifest.
fn status(data: &[u8]) {
    let honest = REALM.full(1, None);
    let end = honest.bytes.len() - REALM.status(1).to_json().map_or(0, |json| json.len());
    let mut manifest = honest.manifest.clone();
    if let Some(entry) = manifest.components.last_mut() {
        (entry.len, entry.sha256) = (data.len() as u64, Digest::of(data));
    }
    let Ok(json) = serde_json::to_string(&manifest) else { return };
    let text = format!("farside-manifest/1 acme plant\n{json}\n");
    let Ok(note) = note::sign(&text, &[&REALM.online]) else { return };
    let first = honest.bytes.iter().position(|b| *b == b'\n').unwrap_or(0) + 1;
    let length: usize = str::from_utf8(&honest.bytes[..first])
        .ok()
        .and_then(|l| l.split(' ').nth(1)?.parse().ok())
        .unwrap_or(0);
    let head = format!("farside-bundle/1 {} 0\n", note.len());
    open(&[head.as_bytes(), &note, &honest.bytes[first + length..end], data].concat());
}

fn judged(opened: &Opened<'_>) {
    let clock = acceptance::Clock { now: NOW, leeway_seconds: 60 };
    let empty = acceptance::Stream::new();
    if let Ok(acceptance::Acceptance::Apply { next, .. }) = acceptance::judge(&empty, opened, clock) {
        let again = acceptance::judge(&next, opened, clock);
        assert_eq!(again, Ok(acceptance::Acceptance::AlreadyApplied));
    }
}

/// Any bytes as the proof of a run, as what is stapled to a token, and as a checkpoint: what reads has one
/// spelling, and no head is believed that the log did not sign.
pub(crate) fn log(data: &[u8]) {
    if let Ok(proof) = RunProof::read(data) {
        assert_eq!(proof.to_bytes().as_deref(), Ok(data), "a second spelling of a proof");
    }
    let _ = leaves::read(data);
    if let Ok(text) = str::from_utf8(data) {
        let credential = format!("a.b.c~{text}");
        if let Ok((token, Some(staple))) = staple::split(&credential) {
            assert_eq!(token, "a.b.c");
            assert_eq!(staple.to_token(token), credential, "a second spelling of a staple");
        }
    }
    let [log] = REALM.charter.log() else { return };
    if let Ok(believed) = checkpoint::open(data, REALM.charter.log(), "plant-1") {
        let text = checkpoint::text(log, believed.shard(), &believed.head());
        assert!(data.starts_with(text.as_bytes()), "a head other than the one that was signed");
    }
}

/// Any bytes as what was sealed (by the first byte: as lines that are still to be compressed, as a compressed
/// stream, or as the sealed blob itself), in a true bundle.
pub(crate) fn parcels(data: &[u8]) {
    let Some((form, data)) = data.split_first() else { return };
    let blob = match form % 3 {
        0 => sealed(&zstd::encode_all(data, 1).unwrap_or_default()),
        1 => sealed(data),
        _ => data.to_vec(),
    };
    let Ok(packed) = REALM.full_writer(draft(2, None)).parcels(blob).finish(&[&REALM.online]) else { return };
    let Ok(opened) = bundle::open(&packed.bytes, &REALM.charter, "plant") else { return };
    let Ok(Some(parcels)) = opened.parcels(&REALM.secret) else { return };
    for parcel in parcels.flatten() {
        assert!(!parcel.token.is_empty() && parcel.token.is_ascii());
        assert!(!parcel.sub.chars().any(char::is_control));
        assert!(matches!(parcel.claim, Claim::File | Claim::Key { .. } | Claim::Phrase { .. }));
    }
}

/// Seals as `spec/bundle.md` §9 says, in one chunk, apart from the code under test.
pub(crate) fn sealed(plain: &[u8]) -> Vec<u8> {
    let line = REALM.secret.public("plant").map(|public| public.to_string()).unwrap_or_default();
    let key = line.rsplit(' ').next().and_then(decode).unwrap_or_default();
    let Ok(public) = <<XWing as hpke::Kem>::PublicKey as hpke::Deserializable>::from_bytes(&key) else {
        return Vec::new();
    };
    let id = REALM.secret.public("plant").map(|public| public.key_id()).unwrap_or_default();
    let info = format!("farside-parcels/1\nacme\nplant\n{id}");
    let sender = hpke::setup_sender_with_rng::<AesGcm256, HkdfSha256, XWing>(
        &hpke::OpModeS::Base,
        &public,
        info.as_bytes(),
        &mut Same,
    );
    let Ok((encapsulated, mut cipher)) = sender else { return Vec::new() };
    let chunk = cipher.seal(plain, b"2 last").unwrap_or_default();
    [encapsulated.to_bytes().as_slice(), &chunk].concat()
}

/// Base64 with padding, for one key that is known to be good.
fn decode(text: &str) -> Option<Vec<u8>> {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut bits, mut count, mut out) = (0u32, 0, Vec::new());
    for letter in text.bytes().filter(|letter| *letter != b'=') {
        bits = bits << 6 | u32::try_from(LETTERS.iter().position(|known| *known == letter)?).ok()?;
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push(u8::try_from(bits >> count & 0xff).ok()?);
        }
    }
    Some(out)
}

/// The same dice for every input, so that a crash can be repeated.
struct Same;

impl TryRng for Same {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(7)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(7)
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        out.fill(7);
        Ok(())
    }
}

impl TryCryptoRng for Same {}

/// Any bytes, parted at the first line's end, as authority and path of a request: what is read of them has no
/// second spelling, and spelled out whole it reads the same.
pub(crate) fn target(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let Some((authority, path)) = text.split_once('\n') else { return };
    let Ok(read) = Target::read("https", authority, path) else { return };
    let plain = read.path();
    assert!(plain.starts_with('/') && !plain.contains("//") && !plain.contains(['\\', ';', '?', '#', '%']));
    assert!(plain.split('/').all(|segment| segment != "." && segment != ".."), "{plain}");
    assert!(!plain.chars().any(char::is_control), "{plain}");
    let spelled: String = plain
        .bytes()
        .map(|byte| match byte {
            b'/' | b'.' => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        })
        .collect();
    let again = Target::read("https", &format!("{}:{}", read.host(), read.port()), &spelled);
    assert!(spelled.len() > 4_096 || again.as_ref() == Ok(&read), "{again:?} is not {read:?}");
}

/// Any bytes as the Cedar policies of a site: what reads has names, and whatever it says is a verdict.
pub(crate) fn cedar(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let Ok(policies) = Policies::read(text) else { return };
    let ids: Vec<&str> = policies.ids().collect();
    assert!(ids.len() <= POLICIES_MAX && ids.is_sorted());
    let target = Target::read("https", "hmi.example", "/lines/3").expect("a plain path");
    for doing in
        [Doing::Request { method: "GET", target: &target }, Doing::Login { account: "press" }, Doing::Collect]
    {
        let principal = Principal { subject: "anna", roles: vec!["lead".into()], ..Principal::default() };
        let circumstances = Circumstances {
            audience: "hmi",
            tier: None,
            now: NOW,
            freshness: "fresh",
            age_seconds: 60,
            breakglass: false,
            proven: &[],
            token: None,
        };
        let question = Question { principal, doing, circumstances };
        let by = match policies.decide(&question) {
            Verdict::Permitted { by } => {
                assert!(!by.is_empty(), "permitted by nobody");
                by
            }
            Verdict::Denied { by, .. } => by,
            Verdict::Broken { by, why } => {
                assert!(!by.is_empty(), "the question could not be asked: {why}");
                by
            }
        };
        assert!(by.iter().all(|id| ids.contains(&id.as_str())), "somebody else decided");
        assert!(policies.misses(&question).len() <= ids.len());
    }
}
