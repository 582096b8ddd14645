//! Keys in PKCS#11 tokens (SoftHSM) as the mint's library holds them: destroyed for good, told from others by
//! their public key, used by many threads at once.
#![cfg(feature = "pkcs11")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failure here is a failed test")]

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use farside_mint::keys::{
    self, KeyFault, KeyPair, KeyPlace, MadeKey, Passphrase, Period, Token, TokenConfig, TokenFault, Tokens,
};
use farside_mint::store::Purpose;
use farside_service::secret_file::Secret;
use farside_verify::Algorithm;

const MODULE: &str = "/usr/lib/softhsm/libsofthsm2.so";
const PERIOD: Period = Period { sign_from: 1, sign_until: 2, accept_until: 3 };

/// A folder with a token in it, in a process of its own: SoftHSM finds its tokens by the environment, which
/// no thread may change under others.
struct Bench {
    folder: tempfile::TempDir,
    tokens: Arc<Tokens>,
}

/// Runs `test`, called `name`, in a process that SoftHSM has a token in.
fn in_a_process_of_its_own(name: &str, test: impl FnOnce(&Bench)) {
    const CONFIGURATION: &str = "SOFTHSM2_CONF";
    if let Some(configuration) = std::env::var_os(CONFIGURATION) {
        let home = Path::new(&configuration).parent().unwrap().to_owned();
        let section = TokenConfig {
            module: MODULE.into(),
            label: Some("vault".to_owned()),
            serial: None,
            pin_file: Some("pin".into()),
        };
        let tokens = Arc::new(Tokens::configure(&[section], &home).unwrap());
        return test(&Bench { folder: tempfile::tempdir_in(&home).unwrap(), tokens });
    }
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::create_dir(path("tokens")).unwrap();
    std::fs::write(path("softhsm2.conf"), format!("directories.tokendir = {}\n", path("tokens").display()))
        .unwrap();
    farside_service::durable::write(&path("pin"), b"471108", farside_service::durable::Mode::Private)
        .unwrap();
    let mut init = Command::new("softhsm2-util");
    init.args(["--init-token", "--free", "--label", "vault", "--so-pin", "471109", "--pin", "471108"]);
    let mut again = Command::new(std::env::current_exe().unwrap());
    again.args([name, "--exact", "--nocapture"]);
    for command in [&mut init, &mut again] {
        let output = command.env(CONFIGURATION, path("softhsm2.conf")).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
        assert!(!said.contains("471108"), "the PIN is said");
    }
}

impl Bench {
    fn token(&self) -> &Token {
        self.tokens.named(None).unwrap()
    }

    fn passphrase(&self) -> Passphrase {
        let passphrase = Passphrase::new(Secret::new(b"correct horse".to_vec().into()));
        passphrase.with_tokens(Arc::clone(&self.tokens))
    }

    fn make(&self, algorithm: Algorithm) -> (KeyPlace, String) {
        let made = MadeKey::generate_in(self.token(), "dome", algorithm, Purpose::Sig, PERIOD).unwrap();
        (made.place("none"), made.jwk)
    }

    fn open(&self, place: &KeyPlace, jwk: &str) -> Result<keys::TokenKey, KeyFault> {
        keys::open_token_at(place, jwk, self.folder.path(), &self.passphrase())
    }
}

#[test]
fn a_key_destroyed_in_a_token_signs_no_more_and_its_neighbour_does() {
    in_a_process_of_its_own("a_key_destroyed_in_a_token_signs_no_more_and_its_neighbour_does", |bench| {
        let ((place, jwk), (other, other_jwk)) = (bench.make(Algorithm::Es256), bench.make(Algorithm::EdDsa));
        let opened = bench.open(&place, &jwk).unwrap();
        let KeyPair::Held(held) = &opened.pair else { panic!("it is not in the token") };
        held.sign(b"before").unwrap();
        place.destroy(bench.folder.path(), &bench.passphrase()).unwrap();
        assert!(matches!(held.sign(b"after"), Err(TokenFault::KeyMissing { .. })));
        assert!(matches!(bench.open(&place, &jwk), Err(KeyFault::Token(TokenFault::KeyMissing { .. }))));
        place.destroy(bench.folder.path(), &bench.passphrase()).unwrap();
        bench.open(&other, &other_jwk).unwrap();
    });
}

#[test]
fn half_of_a_signer_in_a_token_is_destroyed_with_its_file_and_only_if_the_file_opens() {
    let name = "half_of_a_signer_in_a_token_is_destroyed_with_its_file_and_only_if_the_file_opens";
    in_a_process_of_its_own(name, |bench| {
        let (home, file) = (bench.folder.path(), bench.folder.path().join("anna.key"));
        keys::create_signer_with(&file, "anna", &bench.passphrase(), Some(bench.token())).unwrap();
        keys::open_signer(&file, &bench.passphrase()).unwrap();
        let copy = std::fs::read_to_string(&file).unwrap();
        let place = KeyPlace::File("anna.key".into());
        // Whoever can write files must not choose which key is destroyed.
        let (kept, kept_jwk) = bench.make(Algorithm::Es256);
        let uri = copy.lines().find_map(|line| line.strip_prefix("ed25519 ")).unwrap();
        std::fs::write(&file, copy.replace(uri, &kept.to_string())).unwrap();
        assert!(matches!(place.destroy(home, &bench.passphrase()), Err(KeyFault::Locked { .. })));
        bench.open(&kept, &kept_jwk).unwrap();
        std::fs::write(&file, &copy).unwrap();
        place.destroy(home, &bench.passphrase()).unwrap();
        assert!(!file.exists());
        std::fs::write(&file, &copy).unwrap();
        let opened = keys::open_signer(&file, &bench.passphrase());
        assert!(matches!(opened, Err(KeyFault::Token(TokenFault::KeyMissing { .. }))));
    });
}

#[test]
fn a_key_is_told_by_its_signature_and_not_by_its_name() {
    in_a_process_of_its_own("a_key_is_told_by_its_signature_and_not_by_its_name", |bench| {
        let ((place, _), (_, jwk)) = (bench.make(Algorithm::Es256), bench.make(Algorithm::Es256));
        assert!(matches!(bench.open(&place, &jwk), Err(KeyFault::Mismatch { .. })));
    });
}

#[test]
fn many_threads_sign_at_once_through_few_sessions() {
    in_a_process_of_its_own("many_threads_sign_at_once_through_few_sessions", |bench| {
        let (place, jwk) = bench.make(Algorithm::EdDsa);
        let opened = bench.open(&place, &jwk).unwrap();
        let KeyPair::Held(held) = &opened.pair else { panic!("it is not in the token") };
        let expected = held.sign(b"message").unwrap();
        std::thread::scope(|scope| {
            let sign = || (0..50).for_each(|_| assert_eq!(held.sign(b"message").unwrap(), expected));
            (0..20).for_each(|_| drop(scope.spawn(sign)));
        });
    });
}

#[test]
fn every_algorithm_that_tokens_have_makes_keys_that_verifiers_load() {
    in_a_process_of_its_own("every_algorithm_that_tokens_have_makes_keys_that_verifiers_load", |bench| {
        for algorithm in Algorithm::ALL {
            let made = MadeKey::generate_in(bench.token(), "dome", *algorithm, Purpose::Sig, PERIOD);
            if algorithm.name().starts_with("ML-DSA") {
                assert!(matches!(made, Err(KeyFault::Token(TokenFault::Cannot { .. }))), "{algorithm}");
                continue;
            }
            let made = made.unwrap();
            // Opening has the key sign and verifies that as a gate would.
            let opened = bench.open(&made.place("none"), &made.jwk).unwrap();
            assert_eq!(opened.kid, made.kid, "{algorithm}");
        }
        assert!(bench.tokens.alarms().is_empty());
    });
}
