//! The store that gates share, spoken to over TLS with a real Redis that asks for certificates: it is told
//! nothing before it is vouched for.

use std::path::Path;

use farside_gate::config::Config;
use farside_gate::replay::Replay;
use farside_verify::Code;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

use super::process::free_address;
use super::realm::{Far, NOW};
use super::shared::{DURABLE, Redis, code, once, remembering, until_there};

type Issuer = CertifiedIssuer<'static, KeyPair>;

/// A Redis that speaks TLS on a port of its own, and the files of everyone who has to do with it.
struct Secured {
    redis: Redis,
    port: u16,
    files: tempfile::TempDir,
}

impl Secured {
    fn start() -> Secured {
        let files = tempfile::tempdir().unwrap();
        let ca = issuer("ca", files.path());
        issuer("stranger", files.path());
        identity("redis", &["127.0.0.1"], &ca, files.path());
        identity("gate", &["gate.example"], &ca, files.path());
        let port = free_address().port();
        let at = |name: &str| files.path().join(name).display().to_string();
        let options = [
            ["--tls-port", &port.to_string()],
            ["--tls-cert-file", &at("redis.pem")],
            ["--tls-key-file", &at("redis.key")],
            ["--tls-ca-cert-file", &at("ca.pem")],
        ];
        let options: Vec<&str> = options.iter().flatten().chain(DURABLE).copied().collect();
        let redis = Redis::start(&options);
        Secured { redis, port, files }
    }

    /// A gate's configuration: the Redis under this name, vouched for by `ca`, and shown what is named.
    fn config(&self, far: &Far, (host, ca): (&str, &str), shown: Option<&str>) -> Config {
        let at = |name: &str| self.files.path().join(name).display().to_string();
        let mut table = format!("redis = \"rediss://{host}:{}\"\n", self.port);
        table += &format!("redis_ca = \"{}\"\n", at(&format!("{ca}.pem")));
        if let Some(name) = shown {
            let (certificate, key) = (at(&format!("{name}.pem")), at(&format!("{name}.key")));
            table += &format!("redis_certificate = \"{certificate}\"\nredis_key = \"{key}\"\n");
        }
        remembering(far, &table)
    }
}

fn issuer(name: &str, folder: &Path) -> Issuer {
    let mut params = CertificateParams::new([]).unwrap();
    // Else issuer and issued bear one name, and OpenSSL takes what was issued for its own issuer.
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let made = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    std::fs::write(folder.join(format!("{name}.pem")), made.as_ref().pem()).unwrap();
    made
}

fn identity(name: &str, names: &[&str], by: &Issuer, folder: &Path) {
    let key = KeyPair::generate().unwrap();
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let certificate = CertificateParams::new(names).unwrap().signed_by(&key, by).unwrap();
    std::fs::write(folder.join(format!("{name}.pem")), certificate.pem()).unwrap();
    let path = folder.join(format!("{name}.key"));
    std::fs::write(&path, key.serialize_pem()).unwrap();
    private(&path, 0o600);
}

fn private(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

fn open(config: &Config, far: &Far) -> Replay {
    Replay::open(config, far.gate().store(), NOW).unwrap_or_else(|failure| panic!("{failure}"))
}

#[tokio::test]
async fn two_gates_share_a_redis_over_tls() {
    let secured = Secured::start();
    let (first, second) = (Far::enrolled().1, Far::enrolled().1);
    let mut gates = Vec::new();
    for far in [&first, &second] {
        let replay = open(&secured.config(far, ("127.0.0.1", "ca"), Some("gate")), far);
        until_there(&replay, NOW).await;
        gates.push(replay);
    }
    assert_eq!(code(&gates[0], &once(1, NOW + 1), NOW).await, None);
    assert_eq!(code(&gates[1], &once(1, NOW + 1), NOW).await, Some(Code::Replayed));
    assert_eq!(code(&gates[1], &once(2, NOW + 1), NOW).await, None);
}

#[tokio::test]
async fn a_redis_that_is_not_vouched_for_or_has_another_name_is_told_nothing() {
    let secured = Secured::start();
    let (_, far) = Far::enrolled();
    for (host, ca, shown, why) in [
        ("127.0.0.1", "stranger", Some("gate"), "another vouches for it"),
        ("localhost", "ca", Some("gate"), "its certificate has another name"),
        ("127.0.0.1", "ca", None, "it asks for a certificate"),
    ] {
        let replay = open(&secured.config(&far, (host, ca), shown), &far);
        replay.meet(NOW).await.unwrap_or_else(|failure| panic!("{failure}"));
        assert!(replay.tend(NOW).await.is_err(), "{why}");
        assert_eq!(code(&replay, &once(1, NOW + 1), NOW).await, Some(Code::ReplayUnavailable), "{why}");
    }
    assert_eq!(secured.redis.say(&["DBSIZE"]), ":0\r\n");
}

#[tokio::test]
async fn a_key_that_everyone_can_read_or_that_is_missing_stops_the_start() {
    let secured = Secured::start();
    let (_, far) = Far::enrolled();
    let config = secured.config(&far, ("127.0.0.1", "ca"), Some("gate"));
    let key = secured.files.path().join("gate.key");
    private(&key, 0o644);
    let refused = open(&config, &far).meet(NOW).await.unwrap_err().to_string();
    assert!(refused.contains("can be read by everyone"), "{refused}");
    std::fs::remove_file(&key).unwrap();
    let refused = open(&config, &far).meet(NOW).await.unwrap_err().to_string();
    assert!(refused.contains("gate.key"), "{refused}");
}
