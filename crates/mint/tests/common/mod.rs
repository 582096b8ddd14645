//! A small realm on disk, made through the store itself: one site, a person, two bots, one key.
#![allow(dead_code, clippy::unwrap_used, clippy::panic, reason = "test support, used in part by each file")]

use std::path::Path;
use std::sync::Arc;

use farside_mint::claims::Profile;
use farside_mint::config::{Home, Mint};
use farside_mint::issue::Issuer;
use farside_mint::judge::{IssueRequest, Requester};
use farside_mint::keys::{MadeKey, Passphrase, Period};
use farside_mint::store::{Purpose, Store, StoreFault};
use farside_service::secret_file::Secret;
use farside_verify::Algorithm;

/// The instant at which tests that pass a clock begin.
pub(crate) const NOW: u64 = 1_764_000_000;
pub(crate) const ISSUER_URL: &str = "https://gate.plant7.example";
pub(crate) const AUDIENCE: &str = "historian";
pub(crate) const YEAR: u64 = 365 * 24 * 3600;

pub(crate) struct Realm {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) mint: Mint,
    pub(crate) store: Arc<Store>,
    pub(crate) kids: Vec<(Algorithm, String, String)>,
}

pub(crate) fn passphrase() -> Arc<Passphrase> {
    Arc::new(Passphrase::new(Secret::new(b"correct horse battery".to_vec().into())))
}

impl Realm {
    /// A realm whose site signs with ES256.
    pub(crate) fn founded() -> Realm {
        Realm::with_key(Algorithm::Es256, Purpose::Sig)
    }

    pub(crate) fn with_key(algorithm: Algorithm, purpose: Purpose) -> Realm {
        let folder = tempfile::tempdir().unwrap();
        let home = Home(folder.path().to_owned());
        let store = Arc::new(Store::create(&home.database(), "acme", NOW).unwrap());
        std::fs::write(home.config(), "realm = \"acme\"\n").unwrap();
        let mint = Mint::open(&home.config()).unwrap();
        std::fs::create_dir(home.keys()).unwrap();
        let mut realm = Realm { folder, mint, store, kids: Vec::new() };
        realm.fill();
        realm.add_key(algorithm, purpose);
        realm
    }

    pub(crate) fn sql(&self, statements: &str) {
        self.store
            .write(|transaction| transaction.execute_batch(statements).map_err(StoreFault::from))
            .unwrap();
    }

    fn fill(&self) {
        self.sql(&format!(
            "INSERT INTO site (name, issuer, algorithm, lifetime_seconds_default, lifetime_seconds_max,
               token_bytes_max,
                leeway_seconds, courier_seconds, every_seconds, sealed, created_at, profiles)
             VALUES ('plant7', '{ISSUER_URL}', 'ES256', 900, 86400, 8192, 60, 86400, 3600, 0, {NOW},
                '[\"access\",\"lean\",\"jwt-svid\"]');
             INSERT INTO audience (name, site, logged) VALUES ('{AUDIENCE}', 'plant7', 'no');
             INSERT INTO subject (name, kind, client_id) VALUES ('ada', 'person', 'ada'), ('poller',
                'bot', 'p1'),
                ('backup', 'bot', 'b1');
             INSERT INTO subject_role (subject, role) VALUES ('ada', 'operator'), ('poller', 'reader'),
                ('poller', 'writer');
             INSERT INTO release_document (site, kind, version, note, adopted_at) VALUES ('plant7',
                'keys', 1, x'', 1);"
        ));
    }

    pub(crate) fn add_key(&mut self, algorithm: Algorithm, purpose: Purpose) -> String {
        let period = Period { sign_from: 1, sign_until: NOW + 100 * YEAR, accept_until: NOW + 101 * YEAR };
        let made = MadeKey::generate(algorithm, purpose, period).unwrap();
        let path = format!("keys/token-plant7-{}.key", made.kid);
        made.keep(&self.mint.home.0.join(&path), &passphrase()).unwrap();
        let (kid, jwk, name) = (&made.kid, &made.jwk, algorithm.name());
        self.sql(&format!(
            "INSERT INTO token_key (kid, site, algorithm, purpose, jwk, path, sign_from, sign_until,
               accept_until, created_at)
             VALUES ('{kid}', 'plant7', '{name}', '{}', '{jwk}', '{path}', {}, {}, {}, {NOW});
             INSERT INTO release_key (site, version, kid) VALUES ('plant7', 1, '{kid}');",
            purpose.as_str(),
            period.sign_from,
            period.sign_until,
            period.accept_until
        ));
        self.kids.push((algorithm, made.kid.clone(), made.jwk.clone()));
        made.kid
    }

    pub(crate) fn issuer(&self) -> Issuer {
        self.issuer_at(NOW)
    }

    pub(crate) fn issuer_at(&self, now: u64) -> Issuer {
        Issuer::open(&self.mint, Arc::clone(&self.store), passphrase(), now).unwrap().0
    }

    /// The site's keys as a gate would hold them.
    pub(crate) fn jwks(&self) -> String {
        let keys: Vec<&str> = self.kids.iter().map(|(_, _, jwk)| jwk.as_str()).collect();
        format!("{{\"keys\":[{}]}}", keys.join(","))
    }

    pub(crate) fn log_file(&self) -> std::path::PathBuf {
        self.mint.home.log().join("issued.log")
    }

    pub(crate) fn home(&self) -> &Path {
        self.folder.path()
    }
}

/// An operator asks for a token for Ada.
pub(crate) fn for_ada() -> IssueRequest {
    IssueRequest {
        requester: Requester::Operator("uid 0".to_owned()),
        subject: "ada".to_owned(),
        audience: AUDIENCE.to_owned(),
        roles: None,
        groups: Vec::new(),
        scope: None,
        lifetime_seconds: None,
        profile: Profile::Access,
        confirmation: None,
        assertion: None,
    }
}
