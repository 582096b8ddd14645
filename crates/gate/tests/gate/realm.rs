//! A whole near side in memory: signers, charter, token key, bundles in order. And a gate in a folder of its
//! own.
#![allow(dead_code, reason = "tests and benchmarks each use their part")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failure here is a failed test")]

#[path = "tree.rs"]
mod tree;

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, ML_DSA_65_SIGNING,
    PqdsaKeyPair,
};
use farside_crossing::fence::FenceDocument;
use farside_crossing::pack::{Draft, Packed, Writer};
use farside_crossing::parcels::Packer;
use farside_crossing::pardon::PardonDocument;
use farside_crossing::status::{Lists, RevokedKey, RevokedName, TokenList};
use farside_crossing::{
    AudiencePolicy, Base, Breakglass, Charter, CharterDraft, Digest, ExpectedFingerprint, KeysDocument, Kind,
    Logged, MlDsaLevel, PairSignature, Parcel, PolicyDocument, RawJson, RecipientPublic, Role, RoleName,
    SealContext, SignFailed, Signer, SignerPublic, StaleMax, StatusDocument, charter, note,
};
use farside_gate::config::Config;
use farside_gate::enrol::{self, Candidate, Doors};
use farside_gate::import::{self, Mode, Outcome, Report};
use farside_gate::replay::Replay;
use farside_gate::trust::{Gate, TrustState};
use farside_verify::encode::base64url;
use farside_verify::leaf::{self, TokenPosition};

pub(crate) use tree::{LogPair, Tree};

/// When everything here happens.
pub(crate) const NOW: u64 = 1_800_000_000;
pub(crate) const HOUR: u64 = 3_600;
pub(crate) const REALM: &str = "moon";
pub(crate) const SITE: &str = "dome";
pub(crate) const ISSUER: &str = "https://gate.dome.example";
pub(crate) const AUDIENCE: &str = "db";

/// A pair of private keys in memory.
pub(crate) struct Pair {
    public: SignerPublic,
    ed25519: Ed25519KeyPair,
    ml_dsa: PqdsaKeyPair,
}

impl Pair {
    pub(crate) fn new(name: &str) -> Pair {
        let ed25519 = Ed25519KeyPair::generate().unwrap();
        let ml_dsa = PqdsaKeyPair::generate(&ML_DSA_65_SIGNING).unwrap();
        let point = ed25519.public_key().as_ref().try_into().unwrap();
        let public =
            SignerPublic::new(name, point, MlDsaLevel::MlDsa65, ml_dsa.public_key().as_ref()).unwrap();
        Pair { public, ed25519, ml_dsa }
    }
}

impl Signer for Pair {
    fn public(&self) -> &SignerPublic {
        &self.public
    }

    fn sign(&self, message: &[u8]) -> Result<PairSignature, SignFailed> {
        let mut ml_dsa = vec![0; self.ml_dsa.algorithm().signature_len()];
        self.ml_dsa.sign(message, &mut ml_dsa).unwrap();
        Ok(PairSignature { ed25519: self.ed25519.sign(message).as_ref().try_into().unwrap(), ml_dsa })
    }
}

/// A token key.
pub(crate) struct TokenKey {
    pub(crate) kid: String,
    pair: EcdsaKeyPair,
}

impl TokenKey {
    pub(crate) fn new(kid: &str) -> TokenKey {
        TokenKey {
            kid: kid.to_owned(),
            pair: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap(),
        }
    }

    pub(crate) fn jwk(&self, more: &str) -> String {
        let (x, y) = self.pair.public_key().as_ref()[1..].split_at(32);
        let (x, y, kid) = (base64url(x), base64url(y), &self.kid);
        format!(r#"{{"kty":"EC","crv":"P-256","alg":"ES256","kid":"{kid}","x":"{x}","y":"{y}"{more}}}"#)
    }

    pub(crate) fn sign(&self, typ: &str, claims: &str) -> String {
        let header = format!(r#"{{"alg":"ES256","kid":"{}","typ":"{typ}"}}"#, self.kid);
        let input = format!("{}.{}", base64url(header.as_bytes()), base64url(claims.as_bytes()));
        let signature = self.pair.sign(&SystemRandom::new(), input.as_bytes()).unwrap();
        format!("{input}.{}", base64url(signature.as_ref()))
    }
}

/// The near side.
pub(crate) struct Realm {
    pub(crate) root: Pair,
    pub(crate) release: Pair,
    pub(crate) online: Pair,
    pub(crate) log: Arc<LogPair>,
    pub(crate) charter: Charter,
    pub(crate) key: TokenKey,
    pub(crate) last: Option<Base>,
    pub(crate) content: Option<Base>,
    pub(crate) recipient: Option<RecipientPublic>,
    /// Documents as signed: ML-DSA signs one text differently each time, and a mint signs each document once.
    released: RefCell<HashMap<String, Vec<u8>>>,
}

/// What the next bundle is to be; a test changes what it is about.
pub(crate) struct Plan {
    pub(crate) seq: u64,
    pub(crate) prev: Option<Digest>,
    pub(crate) kind: Kind,
    pub(crate) base: Option<Base>,
    pub(crate) realm: String,
    pub(crate) site: String,
    pub(crate) issued_at: u64,
    pub(crate) next_by: u64,
    pub(crate) not_after: u64,
    pub(crate) keys: Option<KeysDocument>,
    pub(crate) policy: Option<PolicyDocument>,
    pub(crate) status: Option<StatusDocument>,
    pub(crate) fence: Option<FenceDocument>,
    pub(crate) pardon: Option<PardonDocument>,
    pub(crate) parcels: Option<Vec<Parcel>>,
    pub(crate) leaves: Option<Vec<u8>>,
    pub(crate) charters: Vec<Vec<u8>>,
}

impl Realm {
    pub(crate) fn found() -> Realm {
        let (root, release, online) = (Pair::new("root-a"), Pair::new("release-a"), Pair::new("online-a"));
        let log = Arc::new(LogPair::new("moon-log"));
        let role = |name, pair: &Pair| Role::new(name, 1, vec![pair.public.clone()]).unwrap();
        let draft = CharterDraft {
            realm: REALM.to_owned(),
            version: 1,
            issued_at: NOW - HOUR,
            prev: None,
            root: role(RoleName::Root, &root),
            release: role(RoleName::Release, &release),
            online: role(RoleName::Online, &online),
            log: vec![log.public.clone()],
            breakglass: None,
        };
        let bytes = note::sign(&draft.text().unwrap(), &[&root]).unwrap();
        let fingerprint = charter::review(&bytes).unwrap().fingerprint;
        let charter = charter::open_first(&bytes, &ExpectedFingerprint::from(fingerprint)).unwrap();
        let key = TokenKey::new("key-1");
        Realm {
            root,
            release,
            online,
            log,
            charter,
            key,
            last: None,
            content: None,
            recipient: None,
            released: RefCell::default(),
        }
    }

    /// A log of this realm with nothing in it.
    pub(crate) fn tree(&self) -> Tree {
        Tree::new(Arc::clone(&self.log))
    }

    /// A full bundle under the next number.
    pub(crate) fn plan(&self) -> Plan {
        let seq = self.last.map_or(1, |last| last.seq + 1);
        Plan {
            seq,
            prev: self.last.map(|last| last.digest),
            kind: Kind::Full,
            base: None,
            realm: REALM.to_owned(),
            site: SITE.to_owned(),
            issued_at: NOW,
            next_by: NOW + HOUR,
            not_after: NOW + 24 * HOUR,
            keys: Some(self.keys(1)),
            policy: Some(policy(1)),
            status: Some(status(seq)),
            fence: None,
            pardon: None,
            parcels: self.recipient.as_ref().map(|_| Vec::new()),
            leaves: None,
            charters: Vec::new(),
        }
    }

    /// A delta or beacon with nothing in it yet.
    pub(crate) fn plan_on_base(&self, kind: Kind) -> Plan {
        let base = self.content;
        let parcels = None;
        Plan { kind, base, keys: None, policy: None, status: None, parcels, ..self.plan() }
    }

    /// Packs and moves on: the next plan follows this bundle.
    pub(crate) fn send(&mut self, plan: Plan) -> Vec<u8> {
        let packed = self.pack(&plan);
        let sent = Base { seq: plan.seq, digest: packed.digest };
        self.last = Some(sent);
        if plan.kind != Kind::Beacon {
            self.content = Some(sent);
        }
        packed.bytes
    }

    pub(crate) fn pack(&self, plan: &Plan) -> Packed {
        let draft = Draft {
            realm: plan.realm.clone(),
            site: plan.site.clone(),
            seq: plan.seq,
            prev: plan.prev,
            kind: plan.kind,
            base: plan.base,
            issued_at: plan.issued_at,
            not_after: plan.not_after,
            next_by: plan.next_by,
        };
        let mut writer = Writer::new(draft);
        let released = |text: String| {
            let mut notes = self.released.borrow_mut();
            notes.entry(text).or_insert_with_key(|text| note::sign(text, &[&self.release]).unwrap()).clone()
        };
        if !plan.charters.is_empty() {
            let notes: Vec<&[u8]> = plan.charters.iter().map(Vec::as_slice).collect();
            writer = writer.charters(notes.len() as u64 + 1, &notes);
        }
        if let Some(keys) = &plan.keys {
            writer = writer.keys(&released(keys.text().unwrap())).unwrap();
        }
        if let Some(policy) = &plan.policy {
            writer = writer.policy(&released(policy.text().unwrap())).unwrap();
        }
        if let Some(fence) = &plan.fence {
            writer = writer.fence(&released(fence.text().unwrap())).unwrap();
        }
        if let Some(pardon) = &plan.pardon {
            writer = writer.pardon(&released(pardon.text().unwrap())).unwrap();
        }
        if let Some(status) = &plan.status {
            writer = writer.status(status).unwrap();
        }
        if let Some(component) = &plan.leaves {
            writer = writer.leaves(component.clone());
        }
        if let (Some(parcels), Some(recipient)) = (&plan.parcels, &self.recipient) {
            writer = writer.parcels(seal(recipient, plan.seq, parcels));
        }
        writer.finish(&[&self.online]).unwrap()
    }

    pub(crate) fn keys(&self, version: u64) -> KeysDocument {
        keys_of(version, &[self.key.jwk("")])
    }

    /// A token for `subject` at position `index`, with members added to its claims.
    pub(crate) fn token(&self, subject: &str, index: u64, more: &str) -> String {
        self.key.sign("at+jwt", &claims(subject, index, NOW, more))
    }
}

/// The claims of an access token, RFC 9068 complete.
pub(crate) fn claims(subject: &str, index: u64, issued_at: u64, more: &str) -> String {
    let jti = format!(r#""jti":"{}""#, TokenPosition::new(SITE, index).unwrap());
    let exp = issued_at + HOUR;
    format!(
        r#"{{"iss":"{ISSUER}","sub":"{subject}","aud":"{AUDIENCE}","client_id":"c1","iat":{issued_at},"exp":{exp},{jti}{more}}}"#
    )
}

pub(crate) fn keys_of(version: u64, jwks: &[String]) -> KeysDocument {
    let jwks = RawJson::new(&format!(r#"{{"keys":[{}]}}"#, jwks.join(","))).unwrap();
    KeysDocument { realm: REALM.to_owned(), site: SITE.to_owned(), version, issued_at: NOW, jwks }
}

pub(crate) fn policy(version: u64) -> PolicyDocument {
    PolicyDocument {
        realm: REALM.to_owned(),
        site: SITE.to_owned(),
        version,
        issued_at: NOW,
        issuer: ISSUER.to_owned(),
        audiences: vec![audience(AUDIENCE)],
        lifetime_seconds_max: 24 * HOUR,
        leeway_seconds: 60,
        typ: vec!["at+jwt".to_owned()],
        algorithms: None,
        cedar: None,
    }
}

pub(crate) fn audience(name: &str) -> AudiencePolicy {
    let (name, stale_seconds_max) = (name.to_owned(), StaleMax::default());
    let breakglass = Breakglass::Allowed;
    AudiencePolicy {
        name,
        stale_seconds_max,
        logged: Logged::No,
        holder_bound: false,
        single_use: false,
        breakglass,
    }
}

pub(crate) fn status(version: u64) -> StatusDocument {
    StatusDocument::empty(REALM, SITE, version, NOW)
}

/// Tokens at these positions, which have expired by `until`.
pub(crate) fn revoked_tokens(indices: &[u64], until: u64) -> Vec<TokenList> {
    let mut lists = Lists::default();
    indices.iter().for_each(|index| lists.set(SITE, until, *index));
    lists.close()
}

/// A name whose tokens issued up to a moment are revoked.
pub(crate) fn revoked_name(name: &str, before: u64) -> RevokedName {
    let (name, reason, by) = (name.to_owned(), "left".to_owned(), "uid 0".to_owned());
    RevokedName { name, before, reason, by, at: before }
}

/// A key that is believed no more.
pub(crate) fn revoked_key(kid: &str) -> RevokedKey {
    RevokedKey { kid: kid.to_owned(), reason: "stolen".to_owned(), by: "uid 0".to_owned(), at: NOW }
}

/// The leaf of a token that was logged at `index`.
pub(crate) fn leaf_of(token: &str, index: u64) -> [u8; 32] {
    let (input, _) = token.rsplit_once('.').unwrap();
    leaf::hash(&TokenPosition::new(SITE, index).unwrap(), &leaf::signing_input_sha256(input.as_bytes()))
}

fn seal(recipient: &RecipientPublic, seq: u64, parcels: &[Parcel]) -> Vec<u8> {
    let context = SealContext { realm: REALM, site: SITE, seq };
    let mut packer = Packer::new(recipient, context, &[7; 16], &[9; 32]).unwrap();
    parcels.iter().for_each(|parcel| packer.push(parcel).unwrap());
    packer.finish().unwrap()
}

/// A gate in a folder that goes when the test ends.
pub(crate) struct Far {
    folder: tempfile::TempDir,
    pub(crate) config: Config,
    pub(crate) recipient: RecipientPublic,
}

impl Far {
    /// Made, not yet bound to a realm.
    pub(crate) fn made() -> Far {
        let folder = tempfile::tempdir().unwrap();
        let any = "127.0.0.1:0".parse().unwrap();
        let doors = Doors { listen: any, admin: any };
        let (config, recipient) = enrol::init(&folder.path().join("far"), SITE, &doors, NOW).unwrap();
        Far { folder, config, recipient }
    }

    /// A gate and the realm it trusts, which knows its recipient key.
    pub(crate) fn enrolled() -> (Realm, Far) {
        let (mut realm, far) = (Realm::found(), Far::made());
        realm.recipient = Some(far.recipient.clone());
        far.trust(&realm.charter);
        (realm, far)
    }

    pub(crate) fn trust(&self, charter: &Charter) {
        let file = self.folder.path().join("charter");
        std::fs::write(&file, charter.bytes()).unwrap();
        let expected = ExpectedFingerprint::from(charter.fingerprint());
        enrol::trust(&self.config, &Candidate::read(&file).unwrap(), &expected, NOW).unwrap();
    }

    /// Puts bytes into a file outside the gate's folder.
    pub(crate) fn stick(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let folder = self.folder.path().join("stick");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(name), bytes).unwrap();
        folder.join(name)
    }

    pub(crate) fn import_file(&self, path: &Path, mode: Mode, now: u64) -> Vec<Report> {
        import::path(&self.config, path, mode, now).unwrap()
    }

    /// Imports one bundle from a stick.
    pub(crate) fn import_at(&self, bytes: &[u8], now: u64) -> Outcome {
        let path = self.stick("b.fbundle", bytes);
        self.import_file(&path, Mode::Apply, now).remove(0).outcome
    }

    pub(crate) fn import(&self, bytes: &[u8]) -> Outcome {
        self.import_at(bytes, NOW)
    }

    pub(crate) fn gate(&self) -> Gate {
        Gate::open(&self.config).unwrap()
    }

    /// What this gate remembers of what counts once.
    pub(crate) fn replay(&self) -> Replay {
        Replay::open(&self.config, self.gate().store(), NOW).unwrap()
    }

    pub(crate) fn trust_state(&self) -> Arc<TrustState> {
        self.gate().trust().unwrap()
    }

    pub(crate) fn status(&self) -> serde_json::Value {
        serde_json::to_value(farside_gate::status::look(&self.config, NOW).unwrap()).unwrap()
    }
}

/// The code of a refusal, or what happened instead.
pub(crate) fn code(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Refused { refusal, .. } => refusal.code().as_str().to_owned(),
        Outcome::Applied(applied) => format!("applied {}", applied.seq),
        Outcome::AlreadyApplied { seq } => format!("already applied {seq}"),
        Outcome::Superseded { held, offered, .. } => format!("superseded {offered} by {held}"),
        Outcome::Ignored(why) => format!("ignored: {why}"),
        _ => "something new".to_owned(),
    }
}
