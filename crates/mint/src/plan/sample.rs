//! Bundles packed to be weighed: by the encoders that pack real ones, with keys that are kept nowhere. So the
//! figures of a plan follow the formats, and nothing is tabled.

use farside_crossing::leaves::{LINKS_MAX, Link, Run, RunProof, push_run};
use farside_crossing::parcels::Packer;
use farside_crossing::status::Lists;
use farside_crossing::{
    Base, Breakglass, Claim, Digest, Draft, Head, JournalHead, KeysDocument, Kind, Logged, Parcel, RawJson,
    RecipientPublic, RecipientSecret, SealContext, Signer, StaleMax, StatusDocument, Writer, checkpoint,
    note,
};
use farside_service::random;
use farside_verify::encode::{base64url, header};
use farside_verify::leaf::TokenPosition;
use farside_verify::{ACCESS_TOKEN_TYP, Algorithm};

use super::PlanFault;
use crate::ceremony::{self, Roles};
use crate::claims::ClaimsDraft;
use crate::keys::{self, LogSigner, MadeKey, PairSigner, Period};
use crate::log::{Entry, Record, TokenEntry};
use crate::release;
use crate::store::{Audience, Purpose, Site, SiteTerms};

const REALM: &str = "example-realm";
const SITE: &str = "example-site";
const AUDIENCE: &str = "https://control.example-site.example";
/// An instant of today's length in digits.
const NOW: u64 = 1_800_000_000;
/// Bytes of an ES256 or EdDSA signature, of a hash, of a receipt's nonce.
const SIGNATURE_BYTES: usize = 64;
const NONCE_BYTES: usize = 16;
/// A seed for a gate that nobody has.
const NOBODY: [u8; 32] = [7; 32];

/// What goes into one bundle.
#[derive(Debug, Clone, Copy)]
pub(super) struct Load {
    /// Tokens carried.
    pub(super) tokens: u64,
    /// Hashes of log leaves carried.
    pub(super) leaves: u64,
    /// Leaves that the log has by then.
    pub(super) log_size: u64,
    /// Tokens revoked.
    pub(super) revoked: u64,
}

/// A realm and a site as small as they come: one root, one release and one online signer.
pub(super) struct Sample {
    online: PairSigner,
    log: LogSigner,
    recipient: RecipientPublic,
    charter: Vec<u8>,
    keys: Vec<u8>,
    policy: Vec<u8>,
    kid: String,
}

impl Sample {
    /// A realm whose site has `keys` token keys in its calendar.
    pub(super) fn found(keys: u64) -> Result<Sample, PlanFault> {
        let [root, release, online] = ["root-1", "release-1", "online"].map(keys::ephemeral_signer);
        let (root, release, online) = (root?, release?, online?);
        let log = keys::ephemeral_log("example-log")?;
        let roles = Roles {
            root: (vec![root.public().clone()], 1),
            release: (vec![release.public().clone()], 1),
            online: (vec![online.public().clone()], 1),
            log: vec![log.public().clone()],
            breakglass: None,
        };
        let charter = note::sign(&ceremony::draft(REALM, None, roles, NOW)?.text()?, &[&root])?;
        let period = Period { sign_from: NOW, sign_until: NOW, accept_until: NOW };
        let made = (0..keys.max(1)).map(|_| MadeKey::generate(Algorithm::Es256, Purpose::Sig, period));
        let made: Vec<MadeKey> = made.collect::<Result<_, _>>()?;
        let jwks: Vec<&str> = made.iter().map(|key| key.jwk.as_str()).collect();
        let document = KeysDocument {
            realm: REALM.into(),
            site: SITE.into(),
            version: 100,
            issued_at: NOW,
            jwks: RawJson::new(&format!("{{\"keys\":[{}]}}", jwks.join(",")))?,
        };
        let policy = release::policy_document(REALM, &site(), 100, NOW);
        Ok(Sample {
            charter,
            keys: note::sign(&document.text()?, &[&release])?,
            policy: note::sign(&policy.text()?, &[&release])?,
            kid: made.first().map(|key| key.kid.clone()).unwrap_or_default(),
            recipient: RecipientSecret::from_seed(&NOBODY).public(SITE)?,
            online,
            log,
        })
    }

    /// Bytes of such a bundle.
    pub(super) fn bundle_bytes(&self, kind: Kind, load: &Load) -> Result<u64, PlanFault> {
        let mut writer = Writer::new(draft(kind)).journals(vec![journal("mint"), journal("mint-cli")]);
        if kind != Kind::Beacon {
            writer =
                writer.status(&status(load))?.leaves(self.leaves(load)?).parcels(self.parcels(load.tokens)?);
        }
        if kind == Kind::Full {
            writer = writer.charters(1, &[&self.charter]).keys(&self.keys)?.policy(&self.policy)?;
        }
        Ok(writer.finish(&[&self.online])?.bytes.len() as u64)
    }

    fn parcels(&self, count: u64) -> Result<Vec<u8>, PlanFault> {
        let context = SealContext { realm: REALM, site: SITE, seq: 4711 };
        let mut packer = Packer::new(&self.recipient, context, &[0; NONCE_BYTES], &random::bytes::<32>()?)?;
        for number in 0..count {
            let subject = subject(number);
            let token = self.token(&subject, number)?;
            packer.push(&Parcel { token, sub: subject, aud: Some(AUDIENCE.into()), claim: Claim::File })?;
        }
        Ok(packer.finish()?)
    }

    /// A token in everything but its signature, which is as long and as random as a real one.
    fn token(&self, subject: &str, index: u64) -> Result<String, PlanFault> {
        let position = TokenPosition::new(SITE, 1_000_000 + index).map_err(|_| PlanFault::Position)?;
        let claims = ClaimsDraft {
            issuer: Some(&site().terms.issuer),
            subject,
            audience: AUDIENCE,
            client_id: Some(subject),
            issued_at: NOW,
            expires_at: NOW + 900,
            floor: 4711,
            roles: &["operator".to_owned()],
            groups: &[],
            scope: None,
            confirmation: None,
            status: None,
        };
        let head = header(Algorithm::Es256, &self.kid, ACCESS_TOKEN_TYP);
        let signature = base64url(random::bytes::<SIGNATURE_BYTES>()?);
        Ok(format!("{head}.{}.{signature}", base64url(claims.write().at(&position))))
    }

    fn leaves(&self, load: &Load) -> Result<Vec<u8>, PlanFault> {
        let head = Head { size: load.log_size, root: [0; 32] };
        let text = checkpoint::text(self.log.public(), SITE, &head);
        let signature = self.log.sign(text.as_bytes()).map_err(|_| keys::KeyFault::Crypto("head"))?;
        let checkpoint = checkpoint::note(self.log.public(), SITE, &head, &signature)?;
        // Hashes of a path through the tree: as long as it is high; half of them on an edge.
        let height = usize::try_from(load.log_size.max(2).ilog2()).unwrap_or(0) + 1;
        let path = vec![[0; 32]; height];
        let link = Link { size: load.log_size, hashes: &path };
        let proof = RunProof {
            checkpoint: &checkpoint,
            edge: path.get(..height / 2).unwrap_or_default(),
            links: vec![link; LINKS_MAX],
        };
        let hashes = vec![[0; 32]; usize::try_from(load.leaves).unwrap_or(usize::MAX)];
        let first = load.log_size.saturating_sub(load.leaves);
        let mut component = Vec::new();
        push_run(&mut component, &Run { shard: SITE, first, proof: &proof.to_bytes()?, hashes: &hashes })?;
        Ok(component)
    }
}

/// Bytes that the mint's log takes on disk for one token, its tree's share included.
pub(super) fn log_bytes_per_token() -> Result<u64, PlanFault> {
    let entry = Entry::Token(TokenEntry {
        requester: "order:4711".into(),
        subject: subject(4711),
        audience: AUDIENCE.into(),
        expires_at: NOW,
        kid: "x7QdT0aB".into(),
        profile: "access".into(),
        signing_input_sha256: base64url([0; 32]),
        assertion: None,
    });
    let record = Record { shard: SITE.into(), index: 1_000_000, at: NOW, entry };
    let bytes = record.to_bytes().map_err(|_| PlanFault::Position)?;
    // In the tree a leaf is 32 bytes, its entry about as long as its id and hash, each row above a 256th.
    Ok(bytes.len() as u64 + 32 + 64)
}

/// Names as people have them: nothing that packs better than those would.
fn subject(number: u64) -> String {
    let digest = Digest::of(&number.to_be_bytes()).hex();
    format!("{}.{}", digest.get(..3).unwrap_or_default(), digest.get(3..8).unwrap_or_default())
}

fn journal(name: &str) -> JournalHead {
    JournalHead { name: name.into(), lines: 100_000, head: Digest::of(name.as_bytes()) }
}

fn status(load: &Load) -> StatusDocument {
    let span = load.leaves.max(load.revoked).max(1);
    let first = load.log_size.saturating_sub(span);
    let mut lists = Lists::default();
    for number in 0..load.revoked {
        // Anywhere among those that live: a digest says where, so that no pattern packs well.
        let digest = Digest::of(&number.to_le_bytes());
        let word = digest.as_bytes().iter().take(7).fold(0, |word, byte| (word << 8) | u64::from(*byte));
        lists.set(SITE, NOW, first + word % span);
    }
    StatusDocument { tokens: lists.close(), ..StatusDocument::empty(REALM, SITE, 4711, NOW) }
}

fn draft(kind: Kind) -> Draft {
    let digest = Digest::of(REALM.as_bytes());
    Draft {
        realm: REALM.into(),
        site: SITE.into(),
        seq: 4711,
        prev: Some(digest),
        kind,
        base: (kind != Kind::Full).then_some(Base { seq: 4710, digest }),
        issued_at: NOW,
        not_after: NOW + 5,
        next_by: NOW + 1,
    }
}

fn site() -> Site {
    let terms = SiteTerms {
        issuer: "https://gate.example-site.example".into(),
        audiences: vec![Audience {
            name: AUDIENCE.into(),
            stale_seconds_max: StaleMax::default(),
            logged: Logged::Leaf,
            breakglass: Breakglass::Allowed,
            single_use: false,
            holder_bound: false,
        }],
        algorithm: Algorithm::Es256,
        lifetime_seconds_default: 900,
        lifetime_seconds_max: 86_400,
        token_bytes_max: 1_024,
        leeway_seconds: 60,
        courier_seconds: 86_400,
        every_seconds: 3_600,
        roles_allowed: None,
        profiles: vec!["access".into()],
        sealed: true,
        status_claim: false,
        cedar: None,
    };
    let (name, keys) = (SITE.to_owned(), Vec::new());
    Site {
        name,
        terms,
        recipient: None,
        enabled: true,
        lifetime_seconds_highest: 86_400,
        keys,
        last_bundle: None,
    }
}
