//! Bound tokens as their holders show them: npm's `dpop` through every proxy, and certificates by curl, to
//! nginx and to the gate itself.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use farside_service::digest;
use farside_service::time::now_unix;
use farside_verify::encode::base64url;

use super::fronts::{BELIEVED, Front, Proxy};
use super::process::Running;
use super::realm::claims;

/// A client of npm's `dpop`, which ends with the test.
struct Client {
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    thumbprint: String,
}

impl Client {
    fn start(algorithm: &str) -> Client {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../system-tests/tests/jose");
        let mut node = Command::new("node");
        node.args(["dpop.mjs", algorithm]).current_dir(folder).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = node.spawn().unwrap_or_else(|fault| panic!("node: {fault}; `cargo xtask peers`"));
        let (input, output) = (process.stdin.take().unwrap(), process.stdout.take().unwrap());
        let mut client = Client { process, input, output: BufReader::new(output), thumbprint: String::new() };
        client.thumbprint = client.line();
        client
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        assert!(!line.is_empty(), "npm's dpop ended: `cargo xtask peers` installs it");
        line.trim().to_owned()
    }

    fn proof(&mut self, method: &str, uri: &str, token: &str) -> String {
        writeln!(self.input, "{method} {uri} {token}").unwrap();
        self.line()
    }

    fn token(&self, gate: &Running) -> String {
        let cnf = format!(r#","cnf":{{"jkt":"{}"}}"#, self.thumbprint);
        gate.realm.key.sign("at+jwt", &claims("anna", 1, now_unix(), &cnf))
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn a_dpop_proof_of_npms_is_taken_once_through_every_proxy_for_what_that_proxy_received() {
    for (proxy, algorithm) in
        Proxy::ALL.into_iter().zip(["ES256", "Ed25519", "RS256", "PS256", "ES256", "ES256"])
    {
        let front = Front::open(proxy);
        let mut client = Client::start(algorithm);
        let token = client.token(&front.gate);
        let shown = |proof: &str| format!("Authorization: DPoP {token}\r\nDPoP: {proof}\r\n");
        let proof = client.proof("GET", "http://a/page", &token);
        let answer = front.send("GET", "/page?a=1", &shown(&proof), "");
        assert!(answer.starts_with("HTTP/1.1 200"), "{proxy:?} {answer}");
        let seen = front.application.seen().concat();
        assert!(seen.contains("x-farside-subject: anna"), "{proxy:?} {seen}");
        assert!(!seen.contains("dpop"), "{proxy:?}: token and proof stay at the door: {seen}");

        let again = front.send("GET", "/page?a=1", &shown(&proof), "");
        assert!(again.starts_with("HTTP/1.1 401"), "{proxy:?}: a proof counts once: {again}");
        // A proof that was caught on its way to /page opens nothing else, whatever is said of the request.
        let forged = "X-Forwarded-Uri: /page\r\nX-Forwarded-Method: GET\r\nX-Forwarded-Host: a\r\n";
        for (method, path, more) in
            [("GET", "/other", ""), ("GET", "/other", forged), ("PUT", "/page", forged), ("PUT", "/page", "")]
        {
            let caught = client.proof("GET", "http://a/page", &token);
            let answer = front.send(method, path, &format!("{}{more}", shown(&caught)), "");
            assert!(answer.starts_with("HTTP/1.1 401"), "{proxy:?} {method} {path} {more}: {answer}");
        }
        let two = client.proof("GET", "http://a/page", &token);
        let two = format!("{}DPoP: {two}\r\n", shown(&client.proof("GET", "http://a/page", &token)));
        let answer = front.send("GET", "/page", &two, "");
        assert!(answer.starts_with("HTTP/1.1 40"), "{proxy:?}: {answer}");
        let bearer = front.send("GET", "/page", &format!("Authorization: Bearer {token}\r\n"), "");
        assert!(bearer.starts_with("HTTP/1.1 401"), "{proxy:?}: {bearer}");
        assert_eq!(front.application.seen().len(), 1, "{proxy:?}");
    }
}

/// What `gate.toml` says of each proxy's header for certificates.
fn header_of(proxy: Proxy) -> &'static str {
    match proxy {
        Proxy::Nginx => "x-ssl-client-cert",
        Proxy::Caddy | Proxy::Haproxy => "client-cert",
        _ => "x-forwarded-client-cert",
    }
}

#[test]
fn a_certificate_that_a_client_only_claims_is_never_taken_for_one_that_it_has_shown() {
    let der = [0x30, 3, 2, 1, 0x2a];
    let hash = digest::sha256(&der);
    let forged = format!(
        "Client-Cert: :MAMCASo=:\r\nX-SSL-Client-Cert: MAMCASo=\r\nX-Forwarded-Client-Cert: Hash={}\r\n\
         X_SSL_Client_Cert: MAMCASo=\r\n",
        digest::hex(&hash)
    );
    for proxy in Proxy::ALL.into_iter().filter(|proxy| *proxy != Proxy::Traefik) {
        let told = format!("{BELIEVED}certificate = \"{}\"\n", header_of(proxy));
        let front = Front::before(proxy, Running::start(&told, &[]));
        let cnf = format!(r#","cnf":{{"x5t#S256":"{}"}}"#, base64url(hash));
        let token = front.gate.realm.key.sign("at+jwt", &claims("anna", 1, now_unix(), &cnf));
        for more in ["", &forged, &format!("{forged}Connection: Client-Cert, X-SSL-Client-Cert\r\n")] {
            let answer = front.send("GET", "/page", &format!("Authorization: Bearer {token}\r\n{more}"), "");
            assert!(answer.starts_with("HTTP/1.1 40"), "{proxy:?} {answer}");
        }
        assert_eq!(front.application.seen().len(), 0, "{proxy:?}");
    }
}

/// A certificate of nobody's, with its key, in a folder.
struct Pem {
    certificate: PathBuf,
    key: PathBuf,
    thumbprint: String,
}

impl Pem {
    fn make(folder: &Path, name: &str) -> Pem {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let pem = Pem {
            certificate: folder.join(format!("{name}.pem")),
            key: folder.join(format!("{name}.key")),
            thumbprint: base64url(digest::sha256(made.cert.der())),
        };
        std::fs::write(&pem.certificate, made.cert.pem()).unwrap();
        std::fs::write(&pem.key, made.signing_key.serialize_pem()).unwrap();
        std::fs::set_permissions(&pem.key, std::fs::Permissions::from_mode(0o600)).unwrap();
        pem
    }

    fn token(&self, gate: &Running) -> String {
        let cnf = format!(r#","cnf":{{"x5t#S256":"{}"}}"#, self.thumbprint);
        gate.realm.key.sign("at+jwt", &claims("anna", 1, now_unix(), &cnf))
    }
}

/// The status that curl is answered with.
fn curl(to: SocketAddr, path: &str, token: &str, shown: Option<&Pem>) -> String {
    let mut curl = Command::new("curl");
    curl.args([
        "-sk",
        "-o",
        "/dev/null",
        "-w",
        "%{http_code}",
        "-H",
        &format!("Authorization: Bearer {token}"),
    ]);
    if let Some(Pem { certificate, key, .. }) = shown {
        curl.arg("--cert").arg(certificate).arg("--key").arg(key);
    }
    // Whoever asks for certificates wants to be called by a name.
    let port = to.port();
    curl.args(["--resolve", &format!("localhost:{port}:127.0.0.1")]);
    let ran = curl.arg(format!("https://localhost:{port}{path}")).output().unwrap();
    String::from_utf8(ran.stdout).unwrap()
}

/// The holder's certificate, another one, and none; the statuses in that order.
fn tried(to: SocketAddr, path: &str, token: &str, holder: &Pem, other: &Pem) -> [String; 3] {
    [Some(holder), Some(other), None].map(|shown| curl(to, path, token, shown))
}

/// What an operator changes in a proxy's file, so that it asks clients for certificates of any authority.
fn asking(proxy: Proxy, server: &Pem, both: &Path) -> Vec<(&'static str, String)> {
    let (certificate, key, both) = (server.certificate.display(), server.key.display(), both.display());
    match proxy {
        Proxy::Nginx => vec![(
            "listen DOOR;",
            format!(
                "listen DOOR ssl;\nssl_certificate {certificate};\nssl_certificate_key {key};\n\
                 ssl_verify_client optional_no_ca;"
            ),
        )],
        Proxy::Caddy => vec![
            // No authority of Caddy's own, and no listener beside this one.
            ("admin off\n", "admin off\nauto_https off\nskip_install_trust\n".to_owned()),
            ("http://:PORT", "https://localhost:PORT".to_owned()),
            (
                "bind 127.0.0.1\n",
                format!("bind 127.0.0.1\ntls {certificate} {key} {{\nclient_auth {{\nmode request\n}}\n}}\n"),
            ),
        ],
        Proxy::Haproxy => vec![(
            "bind DOOR",
            format!(
                "bind DOOR ssl crt {both} verify optional ca-file {certificate} ca-ignore-err all crt-ignore-err all"
            ),
        )],
        Proxy::Envoy | Proxy::EnvoyGrpc => {
            let files = format!(
                "certificate_chain: {{ filename: {certificate} }}, private_key: {{ filename: {key} }}"
            );
            let any = format!(
                "validation_context: {{ trusted_ca: {{ filename: {certificate} }}, \
                 trust_chain_verification: ACCEPT_UNTRUSTED }}"
            );
            let tls = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext";
            let socket = format!(
                "        - transport_socket: {{ name: tls, typed_config: {{ \"@type\": {tls}, common_tls_context: \
                 {{ tls_certificates: [ {{ {files} }} ], {any} }} }} }}\n          filters:\n"
            );
            let mut changes = vec![("        - filters:\n", socket)];
            if proxy == Proxy::EnvoyGrpc {
                let told = "include_peer_certificate: true";
                let raw = "encode_raw_headers: true\n";
                changes.push((raw, format!("{raw}                      {told}\n")));
            }
            changes
        }
        _ => unreachable!("not among those that are tried"),
    }
}

#[test]
fn a_certificate_shown_to_a_proxy_lets_its_holder_in_and_nobody_else() {
    for proxy in [Proxy::Nginx, Proxy::Caddy, Proxy::Haproxy, Proxy::Envoy, Proxy::EnvoyGrpc] {
        let folder = tempfile::tempdir().unwrap();
        let [server, holder, other] =
            ["server", "holder", "other"].map(|name| Pem::make(folder.path(), name));
        let both = folder.path().join("both.pem");
        let [certificate, key] = [&server.certificate, &server.key].map(|path| std::fs::read(path).unwrap());
        std::fs::write(&both, [certificate, key].concat()).unwrap();
        let told = match proxy {
            // Envoy's own word over gRPC, beside all headers.
            Proxy::EnvoyGrpc => BELIEVED.to_owned(),
            _ => format!("{BELIEVED}certificate = \"{}\"\n", header_of(proxy)),
        };
        let changes = asking(proxy, &server, &both);
        let front = Front::over_tls(proxy, Running::start(&told, &[]), &changes);
        let token = holder.token(&front.gate);
        front.gate.wait_until("served", || curl(front.door, "/page", "a.b.c", None) == "401");
        let statuses = tried(front.door, "/page", &token, &holder, &other);
        assert_eq!(statuses, ["200", "401", "401"], "{proxy:?}");
        assert_eq!(front.application.seen().len(), 1, "{proxy:?}");
    }
}

#[test]
fn a_certificate_shown_to_the_gates_own_tls_lets_its_holder_in_and_nobody_else() {
    let folder = tempfile::tempdir().unwrap();
    let [server, holder, other] = ["server", "holder", "other"].map(|name| Pem::make(folder.path(), name));
    let gate = |asks: &str| {
        let Pem { certificate, key, .. } = &server;
        Running::start(&format!("[listen.tls]\ncertificates = {certificate:?}\nkey = {key:?}\n{asks}"), &[])
    };
    let asking = gate("client_certificates = \"ask\"\n");
    let token = holder.token(&asking);
    assert_eq!(tried(asking.doors, "/verify", &token, &holder, &other), ["200", "401", "401"]);
    // Where nobody asks for certificates nobody has shown one.
    let silent = gate("");
    let token = holder.token(&silent);
    assert_eq!(tried(silent.doors, "/verify", &token, &holder, &other), ["401", "401", "401"]);
}
