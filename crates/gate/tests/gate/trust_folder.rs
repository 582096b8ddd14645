//! What the trust folder shows: keys whose trust is current, under numbers that only rise.

use std::path::PathBuf;

use farside_crossing::{KeysDocument, StatusDocument};
use farside_gate::config::TrustFolder;
use farside_gate::trust_folder;
use farside_service::duration::Seconds;
use serde_json::Value;

use crate::realm::{Far, HOUR, NOW, Plan, Realm, TokenKey, code, keys_of, revoked_key, status};

struct Site {
    realm: Realm,
    far: Far,
    svid: TokenKey,
}

impl Site {
    /// A gate with a trust folder, and two token keys of which one signs JWT-SVIDs; nothing imported yet.
    fn new() -> Site {
        let (realm, mut far) = Far::enrolled();
        far.config.trust_folder =
            Some(TrustFolder { path: PathBuf::from("trust"), refresh_hint: Seconds(30) });
        Site { realm, far, svid: TokenKey::new("svid-1") }
    }

    fn keys(&self, version: u64, more: &[String]) -> KeysDocument {
        let mut jwks = vec![self.realm.key.jwk(r#","use":"sig""#), self.svid.jwk(r#","use":"jwt-svid""#)];
        jwks.extend_from_slice(more);
        keys_of(version, &jwks)
    }

    fn import(&mut self, keys: Option<KeysDocument>, status: StatusDocument) {
        let plan = Plan { keys, status: Some(status), ..self.realm.plan() };
        let bundle = self.realm.send(plan);
        assert!(code(&self.far.import(&bundle)).starts_with("applied"));
    }

    fn refresh_at(&self, now: u64) {
        trust_folder::refresh(&self.far.config, &self.far.gate(), now).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.far.config.home().join("trust").join(name)
    }

    fn read(&self, name: &str) -> Value {
        serde_json::from_slice(&std::fs::read(self.path(name)).unwrap()).unwrap()
    }

    /// Ids in `jwks.json`, ids in the SPIFFE bundle, and its number.
    fn shown(&self) -> (Vec<String>, Vec<String>, u64) {
        let ids = |set: &Value| {
            let keys = set["keys"].as_array().unwrap().iter();
            keys.map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
        };
        let bundle = self.read("spiffe-bundle.json");
        (ids(&self.read("jwks.json")), ids(&bundle), bundle["spiffe_sequence"].as_u64().unwrap())
    }
}

fn names(ids: &[&str]) -> Vec<String> {
    ids.iter().map(|id| (*id).to_owned()).collect()
}

fn revoking(version: u64, kid: &str) -> StatusDocument {
    StatusDocument { keys: vec![revoked_key(kid)], ..status(version) }
}

#[test]
fn it_follows_import_revocation_and_time() {
    let mut site = Site::new();
    site.refresh_at(NOW);
    assert_eq!(site.shown(), (vec![], vec![], 1), "a gate that holds nothing shows nothing");
    assert_eq!(site.read("status.json")["freshness"], "untrusted");

    let ending = TokenKey::new("ending").jwk(&format!(r#","use":"jwt-svid","accept_until":{}"#, NOW + HOUR));
    site.import(Some(site.keys(1, std::slice::from_ref(&ending))), status(1));
    site.refresh_at(NOW);
    assert_eq!(site.shown(), (names(&["key-1", "svid-1", "ending"]), names(&["svid-1", "ending"]), 2));
    let bundle = site.read("spiffe-bundle.json");
    assert_eq!(bundle["spiffe_refresh_hint"], 30);
    assert!(bundle["keys"].as_array().unwrap().iter().all(|key| key["use"] == "jwt-svid"), "{bundle}");
    let told = site.read("status.json");
    assert_eq!((&told["ready"], &told["bundle"]["seq"]), (&true.into(), &1.into()), "{told}");
    assert_eq!(told["bundle"]["not_after"], NOW + 24 * HOUR);

    // By time alone: a key past its end, and then all of them.
    site.refresh_at(NOW + HOUR + 1);
    assert_eq!(site.shown(), (names(&["key-1", "svid-1"]), names(&["svid-1"]), 3));
    site.refresh_at(NOW + 24 * HOUR + 1);
    assert_eq!(site.shown(), (vec![], vec![], 4), "expired trust shows no key");
    let told = site.read("status.json");
    assert_eq!((&told["freshness"], &told["not_ready"]), (&"expired".into(), &"stale".into()), "{told}");

    // Back in time, as after a beacon, and then revoked.
    site.refresh_at(NOW);
    site.import(Some(site.keys(1, &[ending])), revoking(2, "svid-1"));
    site.refresh_at(NOW);
    assert_eq!(site.shown(), (names(&["key-1", "ending"]), names(&["ending"]), 6));
}

#[test]
fn the_number_rises_with_the_keys_alone_and_never_sinks() {
    let mut site = Site::new();
    site.import(Some(site.keys(1, &[])), status(1));
    site.refresh_at(NOW);
    assert_eq!(site.shown().2, 1);
    // Another bundle, another status, the same keys; and whoever looks a hundred times changes nothing.
    site.import(Some(site.keys(1, &[])), status(2));
    let written = |name| std::fs::metadata(site.path(name)).unwrap().modified().unwrap();
    site.refresh_at(NOW);
    let before = written("spiffe-bundle.json");
    (0..100).for_each(|_| site.refresh_at(NOW));
    assert_eq!((site.shown().2, written("spiffe-bundle.json")), (1, before));

    // The folder is emptied: the store remembers.
    std::fs::remove_dir_all(site.path("")).unwrap();
    site.refresh_at(NOW);
    assert_eq!(site.shown().2, 1);
    // The store is put back from a copy: the folder remembers.
    let copy = std::fs::read(site.far.config.database()).unwrap();
    site.refresh_at(NOW + 24 * HOUR + 1);
    site.refresh_at(NOW);
    assert_eq!(site.shown().2, 3);
    for suffix in ["-wal", "-shm"] {
        let _ = std::fs::remove_file(format!("{}{suffix}", site.far.config.database().display()));
    }
    std::fs::write(site.far.config.database(), copy).unwrap();
    site.refresh_at(NOW);
    assert_eq!(site.shown().2, 4);
}

#[test]
fn what_someone_else_wrote_into_it_does_not_stay() {
    let mut site = Site::new();
    site.import(Some(site.keys(1, &[])), status(1));
    site.refresh_at(NOW);
    let (jwks, bundle) = (site.read("jwks.json"), site.shown());
    let planted = format!(r#"{{"keys":[{}]}}"#, TokenKey::new("thief").jwk(""));
    std::fs::write(site.path("jwks.json"), planted).unwrap();
    std::fs::write(site.path("spiffe-bundle.json"), "{").unwrap();
    site.refresh_at(NOW);
    assert_eq!((site.read("jwks.json"), site.shown()), (jwks, bundle));
    // A file of ours is a file: a link that someone laid leads nowhere.
    let elsewhere = site.far.config.home().join("elsewhere");
    std::fs::write(&elsewhere, "untouched").unwrap();
    std::fs::remove_file(site.path("jwks.json")).unwrap();
    std::os::unix::fs::symlink(&elsewhere, site.path("jwks.json")).unwrap();
    site.refresh_at(NOW);
    assert_eq!(std::fs::read_to_string(&elsewhere).unwrap(), "untouched");
    assert!(site.path("jwks.json").symlink_metadata().unwrap().is_file());
}

#[test]
fn a_store_that_cannot_be_read_shows_no_key() {
    let mut site = Site::new();
    site.import(Some(site.keys(1, &[])), status(1));
    site.refresh_at(NOW);
    let gate = site.far.gate();
    let other = rusqlite::Connection::open(site.far.config.database()).unwrap();
    other
        .execute_batch(
            "UPDATE document SET body = CAST('{' AS BLOB) WHERE kind = 'policy';
             UPDATE state SET generation = generation + 1;",
        )
        .unwrap();
    trust_folder::refresh(&site.far.config, &gate, NOW).unwrap();
    assert_eq!(site.shown(), (vec![], vec![], 2));
    assert_eq!(site.read("status.json")["freshness"], "unreadable");
}
