//! A realm's history made up for tests and benchmarks: bundles and checkpoints are really signed, journals
//! really chained, exports written as the programs write them. A test spoils one thing and looks for it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use farside_crossing::evidence::{
    self, AppliedRow, ForkRow, GlassRow, Head, HeadRow, KeyRow, LeavesRow, MadeRow, MissingRow,
    RevocationRow, Side, SiteRow,
};
use farside_crossing::manifest::JournalHead;
use farside_crossing::{Digest, Draft, Kind, Packed, Signer as _, StatusDocument, bundle, checkpoint};
use farside_service::digest::hex;
use farside_service::export::Writer;
use farside_service::journal::Journal;
use farside_verify::encode::base64url;
use farside_verify::leaf::{self, TokenPosition};
use farside_verify::merkle::{Frontier, Hash};
use serde_json::{Value, json};

use crate::support::{NOW, Realm};

/// The site of the story.
pub(crate) const SITE: &str = "plant";
/// The key that signs its tokens.
pub(crate) const KID: &str = "k1k1k1k1";
/// Seconds from one bundle to the next: a thousand of them in thirty days.
pub(crate) const PERIOD: u64 = 2_592;

/// One position of the log.
pub(crate) struct Token {
    pub(crate) issued_at: u64,
    pub(crate) subject: String,
    pub(crate) kid: &'static str,
    pub(crate) signing_input: Hash,
    pub(crate) void: bool,
}

/// One admission at the gate.
pub(crate) struct Admission {
    pub(crate) at: u64,
    pub(crate) token: String,
    pub(crate) subject: String,
    pub(crate) kid: &'static str,
    pub(crate) signing_input: Hash,
}

/// A line of a journal.
pub(crate) type Line = (u64, &'static str, Value);

/// Both sides.
pub(crate) struct Story {
    pub(crate) realm: Realm,
    pub(crate) site: &'static str,
    pub(crate) tokens: Vec<Token>,
    pub(crate) made: Vec<MadeRow>,
    pub(crate) revocations: Vec<RevocationRow>,
    pub(crate) near_lines: Vec<Line>,
    pub(crate) applied: Vec<AppliedRow>,
    pub(crate) missing: Vec<MissingRow>,
    pub(crate) forks: Vec<ForkRow>,
    pub(crate) glasses: Vec<GlassRow>,
    /// Charters after the first.
    pub(crate) charters: Vec<Vec<u8>>,
    pub(crate) status: StatusDocument,
    pub(crate) leaves: Vec<Hash>,
    pub(crate) admissions: Vec<Admission>,
    pub(crate) far_lines: Vec<Line>,
    pub(crate) ferry_lines: Vec<Line>,
    pub(crate) exported_at: u64,
    /// Heads of the mint's journals, which every bundle bears.
    pub(crate) journals: Vec<JournalHead>,
}

impl Story {
    /// Two bundles and six tokens, with which nothing is wrong.
    #[cfg(test)]
    pub(crate) fn quiet() -> Story {
        Story::of(2, 6)
    }

    /// As many bundles and tokens as wanted; each token is admitted once, every hundredth is refused too.
    pub(crate) fn of(bundles: u64, tokens: u64) -> Story {
        let realm = Realm::new();
        let each = tokens / bundles;
        let tokens: Vec<Token> = (0..tokens).map(|index| token(index, each)).collect();
        let leaves = leaf_hashes(&tokens);
        let status = realm.status(1);
        let mut story = Story {
            realm,
            site: SITE,
            leaves,
            made: Vec::new(),
            revocations: Vec::new(),
            near_lines: Vec::new(),
            applied: Vec::new(),
            missing: Vec::new(),
            forks: Vec::new(),
            glasses: Vec::new(),
            charters: Vec::new(),
            status,
            admissions: Vec::new(),
            far_lines: Vec::new(),
            ferry_lines: Vec::new(),
            exported_at: NOW + bundles * PERIOD + PERIOD,
            journals: Vec::new(),
            tokens,
        };
        let mut prev = None;
        for seq in 1..=bundles {
            let packed = story.pack(seq, prev);
            prev = Some(packed.digest);
            story.carry(&packed, seq * each);
        }
        story.admit(each);
        story
    }

    /// A bundle that the online key has really signed.
    pub(crate) fn pack(&self, seq: u64, prev: Option<Digest>) -> Packed {
        let issued_at = NOW + seq * PERIOD;
        let draft = Draft {
            realm: "acme".into(),
            site: SITE.into(),
            seq,
            prev,
            kind: Kind::Full,
            base: None,
            issued_at,
            not_after: issued_at + 4 * PERIOD,
            next_by: issued_at + PERIOD + PERIOD / 2,
        };
        let released = |text: Result<String, farside_crossing::Refusal>| self.realm.released(text);
        let keys = released(self.realm.keys(1).text());
        let policy = released(self.realm.policy(1).text());
        let writer = farside_crossing::Writer::new(draft).keys(&keys).unwrap().policy(&policy).unwrap();
        let writer = writer.journals(self.journals.clone());
        writer.status(&self.status).unwrap().finish(&[&self.realm.online]).unwrap()
    }

    fn carry(&mut self, packed: &Packed, until: u64) {
        let manifest = &packed.manifest;
        let (seq, at) = (manifest.seq, manifest.issued_at);
        let note = String::from_utf8(bundle::manifest_note(&packed.bytes).unwrap().to_vec()).unwrap();
        let (file, sha256) = (format!("{SITE}-{seq:08}.fbundle"), Digest::of(&packed.bytes));
        self.made.push(MadeRow {
            site: SITE.into(),
            seq,
            kind: manifest.kind,
            digest: packed.digest,
            file: file.clone(),
            file_sha256: sha256,
            bytes: packed.bytes.len() as u64,
            issued_at: at,
            next_by: manifest.next_by,
            not_after: manifest.not_after,
            receipted_at: Some(at + PERIOD / 2),
            leaves: BTreeMap::from([(SITE.to_owned(), until)]),
            manifest: Some(note.clone()),
        });
        self.applied.push(AppliedRow {
            seq,
            kind: manifest.kind,
            digest: packed.digest,
            issued_at: at,
            next_by: manifest.next_by,
            not_after: manifest.not_after,
            applied_at: at + PERIOD / 4,
            manifest: note,
        });
        let carried = json!({"name": file, "bytes": packed.bytes.len(), "sha256": sha256.hex()});
        let ferry =
            json!({"lane": "media", "folder": SITE, "file": carried, "medium": {"label": "STICK-07"}});
        self.near_lines.push((at, "bundle_made", json!({"site": SITE, "seq": seq})));
        self.near_lines.push((at + 60, "sent", ferry.clone()));
        self.ferry_lines.push((at + PERIOD / 8, "received", ferry));
        self.far_lines.push((
            at + PERIOD / 4,
            "bundle_applied",
            json!({"seq": seq, "digest": packed.digest}),
        ));
    }

    fn admit(&mut self, each: u64) {
        let admission = |(token, index): (&Token, u64)| Admission {
            at: NOW + (index / each + 1) * PERIOD + PERIOD / 4 + 1 + index % each % PERIOD / 2,
            token: position(index).to_string(),
            subject: token.subject.clone(),
            kid: token.kid,
            signing_input: token.signing_input,
        };
        self.admissions = self.tokens.iter().zip(0..).map(admission).collect();
        let refusals = self.admissions.iter().step_by(100).map(|seen| {
            let members = json!({"door": "verify", "verdict": "refuse", "code": "expired", "aud": "historian",
                "detail": "", "token_sha256": hex(&seen.signing_input)});
            (seen.at, "decision", members)
        });
        self.far_lines.extend(refusals);
    }

    /// Packs every bundle anew, with status and journals' heads as they are now.
    #[cfg(test)]
    pub(crate) fn resign(&mut self) {
        let (mut prev, last) = (None, self.applied.len() as u64);
        for seq in 1..=last {
            let packed = self.pack(seq, prev);
            prev = Some(packed.digest);
            let note = bundle::manifest_note(&packed.bytes).unwrap();
            let note = String::from_utf8(note.to_vec()).unwrap();
            let (made, applied) = (&mut self.made[seq as usize - 1], &mut self.applied[seq as usize - 1]);
            (made.digest, made.manifest) = (packed.digest, Some(note.clone()));
            (applied.digest, applied.manifest) = (packed.digest, note);
        }
    }

    /// Both exports, in new folders.
    pub(crate) fn write(&self, folder: &Path) -> (PathBuf, PathBuf) {
        (self.write_near(folder), self.write_far(folder, self.site))
    }

    fn write_near(&self, folder: &Path) -> PathBuf {
        let export = folder.join("near-export");
        let mut writer = Writer::create(&export).unwrap();
        write_journal(&folder.join("near-journal"), "mint-cli", self.near_lines.iter().cloned());
        writer.journals(&folder.join("near-journal")).unwrap();
        self.write_charters(&mut writer);
        let site = SITE.to_owned();
        let courier_seconds = 2 * PERIOD;
        let issuer = "https://gate.plant.example".to_owned();
        writer.rows(evidence::SITES, [SiteRow { site, issuer, courier_seconds }]).unwrap();
        writer.rows(evidence::KEYS, [key()]).unwrap();
        writer.rows(evidence::BUNDLES, &self.made).unwrap();
        writer.rows(evidence::REVOCATIONS, &self.revocations).unwrap();
        writer.rows(evidence::HEADS, [self.head(&leaf_hashes(&self.tokens))]).unwrap();
        let mut records = writer.file(evidence::RECORDS).unwrap();
        for (token, index) in self.tokens.iter().zip(0..) {
            records.line(&record(token, index)).unwrap();
        }
        records.finish().unwrap();
        let head = Head { side: Side::Mint, site: None, ..self.contents() };
        writer.finish(&head).unwrap();
        export
    }

    /// The export of a gate that says it is at `site`.
    pub(crate) fn write_far(&self, folder: &Path, site: &str) -> PathBuf {
        let export = folder.join(format!("far-export-{site}"));
        let mut writer = Writer::create(&export).unwrap();
        let journals = folder.join(format!("far-journal-{site}"));
        let mut lines: Vec<Line> = self.far_lines.clone();
        lines.sort_by_key(|(at, ..)| *at);
        let admissions = self.admissions.iter().map(decision);
        write_journal(&journals, "gate", lines.into_iter().chain(admissions));
        write_journal(&journals, "ferry", self.ferry_lines.iter().cloned());
        writer.journals(&journals).unwrap();
        self.write_charters(&mut writer);
        writer.rows(evidence::KEYS, [key()]).unwrap();
        writer.rows(evidence::BUNDLES, &self.applied).unwrap();
        writer.rows(evidence::MISSING, &self.missing).unwrap();
        writer.rows(evidence::FORKS, &self.forks).unwrap();
        writer.rows(evidence::BREAKGLASS, &self.glasses).unwrap();
        writer.bytes("status/2.json", &self.status.to_json().unwrap()).unwrap();
        let runs = self.leaves.chunks(1_024).zip((0..).step_by(1_024));
        let runs = runs.map(|(hashes, first)| {
            let hashes = base64url(hashes.as_flattened());
            LeavesRow { shard: SITE.to_owned(), first, hashes }
        });
        writer.rows(evidence::LEAVES, runs).unwrap();
        writer.rows(evidence::HEADS, [self.head(&self.leaves)]).unwrap();
        let head = Head { side: Side::Gate, site: Some(site.to_owned()), ..self.contents() };
        writer.finish(&head).unwrap();
        export
    }

    fn write_charters(&self, writer: &mut Writer) {
        for (note, version) in std::iter::once(&self.realm.charter_note).chain(&self.charters).zip(1..) {
            writer.bytes(&format!("charters/{version}.note"), note).unwrap();
        }
    }

    fn contents(&self) -> Head {
        let (realm, made_at) = ("acme".to_owned(), self.exported_at);
        Head { version: evidence::VERSION, side: Side::Mint, realm, site: None, made_at }
    }

    /// The checkpoint over these leaves, signed by the log key.
    fn head(&self, leaves: &[Hash]) -> HeadRow {
        let mut tree = Frontier::default();
        tree.extend(leaves.iter().copied());
        let head = farside_crossing::Head { size: tree.size(), root: tree.root() };
        let log = &self.realm.charter.log()[0];
        let text = checkpoint::text(log, SITE, &head);
        // The realm of the tests lets its first root signer's Ed25519 key stand for the log's.
        let signature = self.realm.root[0].sign(text.as_bytes()).unwrap().ed25519;
        let note = checkpoint::note(log, SITE, &head, &signature).unwrap();
        HeadRow { shard: SITE.to_owned(), checkpoint: String::from_utf8(note).unwrap() }
    }
}

fn token(index: u64, each: u64) -> Token {
    Token {
        issued_at: NOW + index / each * PERIOD + index % each * PERIOD / each,
        subject: format!("user-{}", index % 5_000),
        kid: KID,
        signing_input: *Digest::of(&index.to_be_bytes()).as_bytes(),
        void: false,
    }
}

/// A position of the site's log.
pub(crate) fn position(index: u64) -> TokenPosition {
    TokenPosition::new(SITE, index).unwrap()
}

/// The leaf hashes of these tokens.
pub(crate) fn leaf_hashes(tokens: &[Token]) -> Vec<Hash> {
    let hash = |(token, index): (&Token, u64)| match token.void {
        true => leaf::void_hash(&position(index)),
        false => leaf::hash(&position(index), &token.signing_input),
    };
    tokens.iter().zip(0..).map(hash).collect()
}

fn key() -> KeyRow {
    KeyRow {
        site: SITE.to_owned(),
        kid: KID.to_owned(),
        algorithm: Some("ES256".to_owned()),
        created_at: Some(NOW - PERIOD),
        sign_from: Some(NOW),
        sign_until: Some(NOW + 1_100 * PERIOD),
        accept_until: Some(NOW + 1_200 * PERIOD),
        destroyed_at: None,
    }
}

fn record(token: &Token, index: u64) -> Value {
    let entry = match token.void {
        true => json!({"void": {"reason": "lost"}}),
        false => {
            json!({"token": {"requester": "client:c7", "subject": token.subject, "audience": "historian",
            "expires_at": token.issued_at + 900, "kid": token.kid, "profile": "access",
            "signing_input_sha256": base64url(token.signing_input)}})
        }
    };
    json!({"shard": SITE, "index": index, "at": token.issued_at, "entry": entry})
}

fn decision(seen: &Admission) -> Line {
    let members = json!({"door": "verify", "verdict": "admit", "aud": "historian", "sub": seen.subject,
        "jti": seen.token, "kid": seen.kid, "exp": seen.at + 900,
        "signing_input_sha256": hex(&seen.signing_input)});
    (seen.at, "decision", members)
}

fn write_journal(folder: &Path, name: &str, lines: impl Iterator<Item = Line>) {
    let (journal, _) = Journal::open(folder, name).unwrap();
    let tickets = lines.map(|(at, event, members)| journal.record_at(at, event, members).unwrap());
    if let Some(last) = tickets.last() {
        last.wait().unwrap();
    }
}
