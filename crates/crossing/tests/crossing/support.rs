//! A small realm for tests: signers from seeds, a charter, and bundles of any shape.

use aws_lc_rs::signature::{
    Ed25519KeyPair, KeyPair as _, ML_DSA_44_SIGNING, ML_DSA_65_SIGNING, PqdsaKeyPair,
};
use farside_crossing::keys::KeysDocument;
use farside_crossing::manifest::{Base, Kind};
use farside_crossing::parcels::Packer;
use farside_crossing::policy::{AudiencePolicy, Breakglass, Logged, PolicyDocument};
use farside_crossing::{
    Charter, CharterDraft, Digest, Draft, Head, LogKey, MlDsaLevel, Packed, PairSignature, Parcel, RawJson,
    RecipientSecret, Refusal, Role, RoleName, SealContext, SignFailed, Signer, SignerPublic, StatusDocument,
    Writer, charter, checkpoint, note,
};

pub(crate) const NOW: u64 = 1_800_000_000;

/// A signer whose keys come from one byte.
pub(crate) struct TestSigner {
    ed25519: Ed25519KeyPair,
    ml_dsa: PqdsaKeyPair,
    public: SignerPublic,
}

impl TestSigner {
    pub(crate) fn new(name: &str, seed: u8) -> TestSigner {
        TestSigner::with(name, seed, seed, MlDsaLevel::MlDsa65)
    }

    pub(crate) fn with(name: &str, ed25519: u8, ml_dsa: u8, level: MlDsaLevel) -> TestSigner {
        let ed25519 = Ed25519KeyPair::from_seed_unchecked(&[ed25519; 32]).unwrap();
        let signing = match level {
            MlDsaLevel::MlDsa44 => &ML_DSA_44_SIGNING,
            _ => &ML_DSA_65_SIGNING,
        };
        let ml_dsa = PqdsaKeyPair::from_seed(signing, &[ml_dsa; 32]).unwrap();
        let key = ed25519.public_key().as_ref().try_into().unwrap();
        let public = SignerPublic::new(name, key, level, ml_dsa.public_key().as_ref()).unwrap();
        TestSigner { ed25519, ml_dsa, public }
    }
}

impl Signer for TestSigner {
    fn public(&self) -> &SignerPublic {
        &self.public
    }

    fn sign(&self, message: &[u8]) -> Result<PairSignature, SignFailed> {
        let mut ml_dsa = vec![0; self.ml_dsa.algorithm().signature_len()];
        let length = self.ml_dsa.sign(message, &mut ml_dsa).map_err(|_| SignFailed("test".into()))?;
        ml_dsa.truncate(length);
        Ok(PairSignature { ed25519: self.ed25519.sign(message).as_ref().try_into().unwrap(), ml_dsa })
    }
}

pub(crate) fn signers<'s>(list: &[&'s TestSigner]) -> Vec<&'s dyn Signer> {
    list.iter().map(|signer| *signer as &dyn Signer).collect()
}

pub(crate) fn role(name: RoleName, threshold: usize, list: &[&TestSigner]) -> Role {
    Role::new(name, threshold, list.iter().map(|signer| signer.public().clone()).collect()).unwrap()
}

/// A realm with two of three root people, one release person and one online key.
pub(crate) struct Realm {
    pub(crate) root: [TestSigner; 3],
    pub(crate) release: TestSigner,
    pub(crate) online: TestSigner,
    pub(crate) secret: RecipientSecret,
    pub(crate) charter: Charter,
    pub(crate) charter_note: Vec<u8>,
}

impl Realm {
    pub(crate) fn new() -> Realm {
        Realm::with_online(TestSigner::new("mint", 20))
    }

    /// With ML-DSA-44 for online, its notes are a kilobyte shorter.
    pub(crate) fn small() -> Realm {
        Realm::with_online(TestSigner::with("mint", 20, 20, MlDsaLevel::MlDsa44))
    }

    fn with_online(online: TestSigner) -> Realm {
        let root = [TestSigner::new("ada", 1), TestSigner::new("ben", 2), TestSigner::new("cleo", 3)];
        let release = TestSigner::new("rita", 10);
        let draft = CharterDraft {
            realm: "acme".into(),
            version: 1,
            issued_at: NOW,
            prev: None,
            root: role(RoleName::Root, 2, &[&root[0], &root[1], &root[2]]),
            release: role(RoleName::Release, 1, &[&release]),
            online: role(RoleName::Online, 1, &[&online]),
            log: vec![LogKey::new("acme/log/a", *root[0].public().ed25519()).unwrap()],
            breakglass: None,
        };
        let charter_note = note::sign(&draft.text().unwrap(), &signers(&[&root[0], &root[1]])).unwrap();
        let fingerprint = charter::review(&charter_note).unwrap().fingerprint;
        let charter = charter::open_first(&charter_note, &fingerprint.into()).unwrap();
        Realm { root, release, online, secret: RecipientSecret::from_seed(&[9; 32]), charter, charter_note }
    }

    /// A shard's head as the log key signs it.
    pub(crate) fn checkpoint(&self, shard: &str, head: &Head) -> Vec<u8> {
        let log = &self.charter.log()[0];
        let signed = self.root[0].sign(checkpoint::text(log, shard, head).as_bytes()).unwrap();
        checkpoint::note(log, shard, head, &signed.ed25519).unwrap()
    }

    pub(crate) fn keys(&self, version: u64) -> KeysDocument {
        KeysDocument {
            realm: "acme".into(),
            site: "plant".into(),
            version,
            issued_at: NOW,
            jwks: RawJson::new(r#"{"keys":[]}"#).unwrap(),
        }
    }

    pub(crate) fn policy(&self, version: u64) -> PolicyDocument {
        PolicyDocument {
            realm: "acme".into(),
            site: "plant".into(),
            version,
            issued_at: NOW,
            issuer: "https://gate.plant.example".into(),
            audiences: vec![AudiencePolicy {
                name: "historian".into(),
                stale_seconds_max: Default::default(),
                logged: Logged::No,
                holder_bound: false,
                single_use: false,
                breakglass: Breakglass::Allowed,
            }],
            lifetime_seconds_max: 86_400,
            leeway_seconds: 60,
            typ: vec!["at+jwt".into()],
            algorithms: None,
            cedar: None,
        }
    }

    pub(crate) fn status(&self, version: u64) -> StatusDocument {
        StatusDocument::empty("acme", "plant", version, NOW)
    }

    pub(crate) fn released(&self, text: Result<String, Refusal>) -> Vec<u8> {
        note::sign(&text.unwrap(), &[&self.release]).unwrap()
    }

    /// A full bundle with everything at version 1.
    pub(crate) fn full(&self, seq: u64, prev: Option<Digest>) -> Packed {
        self.full_writer(draft(seq, prev)).finish(&[&self.online]).unwrap()
    }

    pub(crate) fn full_writer(&self, draft: Draft) -> Writer {
        Writer::new(draft)
            .keys(&self.released(self.keys(1).text()))
            .unwrap()
            .policy(&self.released(self.policy(1).text()))
            .unwrap()
            .status(&self.status(1))
            .unwrap()
    }

    pub(crate) fn seal(&self, seq: u64, parcels: &[Parcel]) -> Vec<u8> {
        let recipient = self.secret.public("plant").unwrap();
        let context = SealContext { realm: "acme", site: "plant", seq };
        let mut packer = Packer::new(&recipient, context, &[5; 16], &[6; 32]).unwrap();
        parcels.iter().for_each(|parcel| packer.push(parcel).unwrap());
        packer.finish().unwrap()
    }

    /// A draft of the next charter with another root.
    pub(crate) fn next_root(&self, from: &Charter, threshold: usize, root: &[&TestSigner]) -> CharterDraft {
        CharterDraft { root: role(RoleName::Root, threshold, root), ..from.successor(NOW) }
    }
}

/// A full bundle's draft; a predecessor is invented where none is given.
pub(crate) fn draft(seq: u64, prev: Option<Digest>) -> Draft {
    Draft {
        realm: "acme".into(),
        site: "plant".into(),
        seq,
        prev: if seq == 1 { None } else { Some(prev.unwrap_or(Digest::of(b"before"))) },
        kind: Kind::Full,
        base: None,
        issued_at: NOW,
        not_after: NOW + 86_400,
        next_by: NOW + 3_600,
    }
}

pub(crate) fn based(kind: Kind, seq: u64, prev: Digest, base: &Packed) -> Draft {
    let base = Some(Base { seq: base.manifest.seq, digest: base.digest });
    Draft { kind, base, ..draft(seq, Some(prev)) }
}
