//! A gate, an application, and one of the real proxies between them and the world, each with the very file
//! in `deploy/` that operators are given. All end with the test.
//!
//! The application answers with what it was sent and keeps it, so that what reached it can be seen, and not
//! only what the proxy made of its answer.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::process::{PATIENCE, Running, exchange, free_address, get};

/// The proxies that Farside has a configuration for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Proxy {
    Nginx,
    Caddy,
    Haproxy,
    Envoy,
    EnvoyGrpc,
    Traefik,
}

impl Proxy {
    pub(crate) const ALL: [Proxy; 6] =
        [Proxy::Nginx, Proxy::Caddy, Proxy::Haproxy, Proxy::Envoy, Proxy::EnvoyGrpc, Proxy::Traefik];

    /// Its file in `deploy/`, and what an operator changes there: how often it stands, and what it becomes.
    fn text(self, at: &Addresses) -> String {
        let Addresses { gate, application, door } = at;
        let port = |address: &SocketAddr| format!("port_value: {}", address.port());
        let audience = ("aud=wiki", 1, "aud=db".to_owned());
        let plain = [
            ("127.0.0.1:8710", 1, gate.to_string()),
            ("127.0.0.1:8080", 1, application.to_string()),
            ("127.0.0.1:8081", 1, door.to_string()),
        ];
        let (file, mut changes) = match self {
            Proxy::Nginx => ("nginx/farside.conf", plain.to_vec()),
            Proxy::Caddy => ("caddy/Caddyfile", plain.to_vec()),
            Proxy::Haproxy => ("haproxy/haproxy.cfg", plain.to_vec()),
            Proxy::Envoy | Proxy::EnvoyGrpc => (
                if self == Proxy::Envoy { "envoy/ext-authz-http.yaml" } else { "envoy/ext-authz-grpc.yaml" },
                vec![
                    ("port_value: 8710", 1, port(gate)),
                    ("port_value: 8080", 1, port(application)),
                    ("port_value: 8081", 1, port(door)),
                ],
            ),
            Proxy::Traefik => (
                "traefik/farside.yaml",
                vec![("127.0.0.1:8710", 2, gate.to_string()), ("127.0.0.1:8080", 1, application.to_string())],
            ),
        };
        match self {
            Proxy::Nginx => {
                changes.push(audience);
                changes.push(("127.0.0.1:8082", 1, free_address().to_string()));
            }
            Proxy::Caddy => {
                changes[2] = ("http://:8081", 1, format!("http://:{}", door.port()));
                changes.push(audience);
            }
            Proxy::Haproxy => {
                let script = deploy("haproxy/farside.lua").display().to_string();
                changes.push(("/etc/haproxy/farside.lua", 1, script));
                changes.push(("lua.farside wiki", 2, "lua.farside db".to_owned()));
            }
            Proxy::EnvoyGrpc => changes.push(("aud: wiki", 1, "aud: db".to_owned())),
            Proxy::Envoy | Proxy::Traefik => changes.push(("aud=wiki", 2, "aud=db".to_owned())),
        }
        let mut text = std::fs::read_to_string(deploy(file)).unwrap();
        for (place, times, here) in changes {
            assert_eq!(text.matches(place).count(), times, "{place} stands {times} times in deploy/{file}");
            text = text.replace(place, &here);
        }
        text
    }

    /// One process in the foreground, its files below `folder`.
    fn start(self, text: &str, at: &Addresses, folder: &Path) -> Child {
        if self == Proxy::Nginx {
            return super::nginx::start_nginx(folder, text);
        }
        // Envoy and Traefik go by the name of the file.
        let file = folder.join("configuration.yaml");
        std::fs::write(&file, text).unwrap();
        let mut command = match self {
            Proxy::Nginx => unreachable!("started above"),
            Proxy::Caddy => {
                let mut caddy = Command::new(debian("caddy"));
                caddy.args(["run", "--adapter", "caddyfile", "--config"]).arg(file);
                caddy.env("HOME", folder).env("XDG_DATA_HOME", folder).env("XDG_CONFIG_HOME", folder);
                caddy
            }
            Proxy::Haproxy => {
                let mut haproxy = Command::new(debian("haproxy"));
                haproxy.args(["-db", "-f"]).arg(file);
                haproxy
            }
            Proxy::Envoy | Proxy::EnvoyGrpc => {
                let mut envoy = Command::new(python("envoy"));
                envoy.arg("-c").arg(file).args([
                    "--concurrency",
                    "1",
                    "--disable-hot-restart",
                    "-l",
                    "error",
                ]);
                envoy
            }
            Proxy::Traefik => {
                let mut traefik = Command::new(python("traefik"));
                traefik.arg(format!("--entryPoints.web.address={}", at.door));
                traefik.arg(format!("--providers.file.filename={}", file.display()));
                traefik.args(["--global.checkNewVersion=false", "--global.sendAnonymousUsage=false"]);
                traefik
            }
        };
        let log = std::fs::File::create(folder.join("log")).unwrap();
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).current_dir(folder);
        command.spawn().unwrap_or_else(|fault| panic!("{self:?}: {fault}"))
    }
}

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn deploy(file: &str) -> PathBuf {
    workspace().join("deploy").join(file)
}

/// A server of Debian's, wherever Debian puts it.
fn debian(name: &str) -> PathBuf {
    let folders = ["/usr/sbin", "/usr/bin"];
    let found = folders.iter().map(|folder| Path::new(folder).join(name)).find(|path| path.exists());
    found.unwrap_or_else(|| panic!("{name} is not installed: `cargo xtask peers` does it"))
}

/// A program of the tests' own Python environment.
fn python(name: &str) -> PathBuf {
    let path = workspace().join("system-tests/tests/python/.venv/bin").join(name);
    assert!(path.exists(), "{name} is not there: `cargo xtask peers` installs it");
    path
}

struct Addresses {
    gate: SocketAddr,
    application: SocketAddr,
    door: SocketAddr,
}

/// What `gate.toml` says where one of these proxies stands before the gate.
pub(crate) const BELIEVED: &str = "[proxy]\nrequest = \"x-forwarded\"\n";

pub(crate) struct Front {
    pub(crate) gate: Running,
    pub(crate) application: Application,
    pub(crate) door: SocketAddr,
    proxy: Child,
    folder: tempfile::TempDir,
}

impl Front {
    pub(crate) fn open(proxy: Proxy) -> Front {
        Front::before(proxy, Running::start(BELIEVED, &[]))
    }

    pub(crate) fn before(kind: Proxy, gate: Running) -> Front {
        let (door, application) = (free_address(), Application::serve());
        let folder = tempfile::tempdir().unwrap();
        let at = Addresses { gate: gate.doors, application: application.address, door };
        let proxy = kind.start(&kind.text(&at), &at, folder.path());
        let mut front = Front { gate, application, door, proxy, folder };
        let started = Instant::now();
        // A door that listens may not have read its routes yet.
        while !get(door, "/", "").starts_with("HTTP/1.1 401") {
            let ended = front.proxy.try_wait().unwrap();
            assert!(ended.is_none() && started.elapsed() < PATIENCE, "{kind:?} {ended:?}: {}", front.words());
            std::thread::sleep(Duration::from_millis(20));
        }
        front
    }

    /// With its file changed, as operators change it to speak TLS.
    pub(crate) fn over_tls(kind: Proxy, gate: Running, changes: &[(&str, String)]) -> Front {
        let (door, application) = (free_address(), Application::serve());
        let folder = tempfile::tempdir().unwrap();
        let at = Addresses { gate: gate.doors, application: application.address, door };
        let mut text = kind.text(&at);
        for (place, here) in changes {
            let place = place.replace("DOOR", &door.to_string()).replace("PORT", &door.port().to_string());
            assert!(text.contains(&place), "{kind:?}: {place}");
            let here = here.replace("DOOR", &door.to_string()).replace("PORT", &door.port().to_string());
            text = text.replace(&place, &here);
        }
        let proxy = kind.start(&text, &at, folder.path());
        let front = Front { gate, application, door, proxy, folder };
        front.gate.wait_until("listening", || TcpStream::connect(door).is_ok());
        front
    }

    pub(crate) fn ask(&self, path: &str, headers: &str) -> String {
        get(self.door, path, headers)
    }

    /// What the gate itself answers, asked as a proxy would ask.
    pub(crate) fn said(&self, headers: &str) -> String {
        let facts = "X-Forwarded-Method: GET\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: a\r\nX-Forwarded-Uri: /\r\n";
        get(self.gate.doors, "/verify?aud=db&action=read", &format!("{facts}{headers}"))
    }

    pub(crate) fn send(&self, method: &str, path: &str, headers: &str, body: &str) -> String {
        let length = body.len();
        let head = format!("{method} {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{headers}");
        exchange(self.door, &format!("{head}Content-Length: {length}\r\n\r\n{body}"))
    }

    /// Whenever the gate has admitted, by its journal.
    pub(crate) fn admissions(&self) -> Vec<serde_json::Value> {
        let journal = std::fs::read_to_string(self.gate.far.config.journal().join("gate.jsonl")).unwrap();
        let admitted = journal.lines().filter(|line| line.contains("\"verdict\":\"admit\""));
        admitted.map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// What the proxy said.
    fn words(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        let _ = self.proxy.kill();
        let _ = self.proxy.wait();
        if std::thread::panicking() {
            eprintln!("--- the proxy said:\n{}", self.words());
        }
    }
}

/// What stands behind the proxy, as strict about framing as a server can be.
pub(crate) struct Application {
    address: SocketAddr,
    /// Owns every request it was sent: head and trailers, in lower case.
    seen: Arc<Mutex<Vec<String>>>,
}

/// The mark of a request whose end two servers could see at different places.
pub(crate) const AMBIGUOUS: &str = "ambiguous";

impl Application {
    fn serve() -> Application {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::default());
        let kept = Arc::clone(&seen);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { return };
                let kept = Arc::clone(&kept);
                std::thread::spawn(move || while_requests_come(&stream, &kept));
            }
        });
        Application { address, seen }
    }

    pub(crate) fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}

fn while_requests_come(stream: &TcpStream, kept: &Mutex<Vec<String>>) {
    let mut reader = BufReader::new(stream);
    while let Some(head) = block(&mut reader) {
        let rest = match length(&head) {
            Some(length) => rest(&mut reader, length),
            None => Some(format!("{AMBIGUOUS}\n")),
        };
        let ends = rest.is_none() || head.contains("connection: close");
        let seen = format!("reached\n{head}{}", rest.unwrap_or_default());
        kept.lock().unwrap().push(seen.clone());
        let status = if head.contains("/broken") { "500 Broken" } else { "200 OK" };
        let answer = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{seen}", seen.len());
        let mut writer = stream;
        if writer.write_all(answer.as_bytes()).is_err() || ends || seen.ends_with(AMBIGUOUS) {
            return;
        }
    }
}

/// Lines up to an empty one, in lower case.
fn block(reader: &mut impl BufRead) -> Option<String> {
    let mut text = String::new();
    loop {
        let mut line = Vec::new();
        match reader.read_until(b'\n', &mut line) {
            Ok(read) if read > 0 => {}
            _ => return None,
        }
        let line = String::from_utf8_lossy(&line).to_ascii_lowercase();
        if line == "\r\n" || line == "\n" {
            return Some(text);
        }
        text.push_str(&line);
    }
}

/// How a body says where it ends.
enum Length {
    Bytes(u64),
    Chunked,
}

/// None where the head says it in more than one way, or in a way that is not plain.
fn length(head: &str) -> Option<Length> {
    let values = |name: &str| {
        let pairs = head.lines().filter_map(|line| line.split_once(':'));
        let of_name = pairs.filter(|(held, _)| held.trim() == name);
        of_name.map(|(_, value)| value.trim().to_owned()).collect::<Vec<_>>()
    };
    match (values("content-length").as_slice(), values("transfer-encoding").as_slice()) {
        ([], []) => Some(Length::Bytes(0)),
        ([length], []) if length.bytes().all(|byte| byte.is_ascii_digit()) => {
            length.parse().ok().map(Length::Bytes)
        }
        ([], [coding]) if coding == "chunked" => Some(Length::Chunked),
        _ => None,
    }
}

/// Reads a body to its end, and gives its trailers; none if it was broken off.
fn rest(reader: &mut impl BufRead, length: Length) -> Option<String> {
    if let Length::Bytes(length) = length {
        return skip(reader, length).then(String::new);
    }
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let size = u64::from_str_radix(line.split(';').next()?.trim(), 16).ok()?;
        if size == 0 {
            return block(reader);
        }
        skip(reader, size + 2).then_some(())?;
    }
}

fn skip(reader: &mut impl BufRead, length: u64) -> bool {
    std::io::copy(&mut reader.take(length), &mut std::io::sink()).is_ok_and(|read| read == length)
}

/// The identity that a head or an answer tells: lines of ours, however they are spelled, that are not empty.
pub(crate) fn identity(text: &str) -> Vec<String> {
    let lower = text.to_ascii_lowercase();
    let ours = |line: &&str| line.replace(['_', '.'], "-").trim_start().starts_with("x-farside-");
    let said = lower.lines().map(str::trim).filter(ours).filter(|line| !line.ends_with(':'));
    let mut said: Vec<String> = said.map(str::to_owned).collect();
    said.sort();
    said
}
