//! A near and a far side in one folder, set up by the commands an operator would type. Tests begin here, and
//! then do to the files whatever an attacker, a courier or a power cut might.

use std::fs::Permissions;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::http;
use crate::programs::{Finished, Server, command, free_address, run, scratch};
use crate::softhsm;

/// The site's first audience.
pub const CONTROL: &str = "https://control.dome.example";
/// Its second.
pub const ARCHIVE: &str = "https://archive.dome.example";

const PEOPLE: &str = "\
kind,name,roles,groups
group,crew,,
person,ada,operator,crew
person,grace,,crew
bot,lander-7,telemetry,
";

/// Both sides' folders and addresses.
pub struct Sides {
    folder: tempfile::TempDir,
    /// Where the mint listens when it is started.
    pub mint: SocketAddr,
    /// Where it shows metrics and health then.
    pub admin: SocketAddr,
    /// Where the gate listens when it is started.
    pub gate: SocketAddr,
    /// Where it shows its metrics.
    pub gate_admin: SocketAddr,
}

impl Sides {
    /// A realm with people in it, a gate that trusts its charter, and a site with a signing key. Nothing has
    /// been issued, and no bundle made.
    pub fn founded() -> Sides {
        let sides = Sides::empty();
        sides.found("", "");
        sides
    }

    /// Founds in the empty folder what [`Sides::founded`] answers, with more options for the mint and for the
    /// site's first key.
    pub fn found(&self, mint: &str, key: &str) {
        let (sides, listen, admin) = (self, self.mint, self.admin);
        std::fs::create_dir(sides.path("stick")).expect("a folder can play the stick");
        sides.put("people.csv", PEOPLE.as_bytes());
        sides.farside(&format!(
            "mint init --dir near --realm moonbase --passphrase-file near.passphrase \
             --listen {listen} --admin {admin} {mint}"
        ));
        sides.mint("directory import people.csv");
        let (listen, admin) = (sides.gate, sides.gate_admin);
        let init = format!("gate init --dir far --site dome --listen {listen} --admin {admin} --json");
        let recipient = sides.farside(&init).json()["words"].as_str().expect("words").to_owned();
        sides.mint("charter export --out charter.note");
        let words = sides.mint("charter show --json").json()["words"].as_str().expect("words").to_owned();
        sides.gate(&format!("trust charter.note --fingerprint \"{words}\""));
        sides.mint(&format!(
            "site add dome --issuer http://{} --audience {CONTROL} --audience {ARCHIVE} \
             --recipient far/recipient.pub --fingerprint \"{recipient}\"",
            sides.gate
        ));
        sides.mint(&format!("keys new --site dome {key}"));
    }

    /// Nothing but the passphrase of a mint to be founded.
    pub fn empty() -> Sides {
        let [mint, admin, gate, gate_admin] = std::array::from_fn(|_| free_address());
        let sides = Sides { folder: scratch(), mint, admin, gate, gate_admin };
        sides.put("near.passphrase", b"correct horse battery staple\n");
        sides
    }

    /// A path below the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a file that only its owner may read.
    pub fn put(&self, name: &str, bytes: &[u8]) {
        let path = self.path(name);
        std::fs::write(&path, bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        std::fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("mode can be set");
    }

    /// Reads a file.
    pub fn get(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// Reads a file as text without its line end.
    pub fn text(&self, name: &str) -> String {
        String::from_utf8(self.get(name)).expect("text").trim_end().to_owned()
    }

    /// A command line, as typed in the folder; double quotes hold words together.
    pub fn command(&self, line: &str) -> Command {
        let parts = line.split('"').enumerate();
        let words = parts.flat_map(|(index, part)| match index % 2 {
            0 => part.split_whitespace().collect(),
            _ => vec![part],
        });
        let mut command = command(&words.collect::<Vec<_>>());
        command.current_dir(self.folder.path());
        // SoftHSM's tokens, where the test has made some.
        command.env(softhsm::CONFIGURATION, self.path(softhsm::CONFIGURATION_FILE));
        command
    }

    /// Runs it, whatever becomes of it.
    pub fn attempt(&self, line: &str) -> Finished {
        run(self.command(line))
    }

    /// Runs it and demands success.
    #[track_caller]
    pub fn farside(&self, line: &str) -> Finished {
        self.attempt(line).expect_code(0)
    }

    /// `farside mint …` with the near side's configuration.
    #[track_caller]
    pub fn mint(&self, line: &str) -> Finished {
        self.farside(&format!("mint {line} --config near/mint.toml"))
    }

    /// `farside gate …` with the far side's configuration.
    #[track_caller]
    pub fn gate(&self, line: &str) -> Finished {
        self.farside(&format!("gate {line} --config far/gate.toml"))
    }

    /// A token by command.
    #[track_caller]
    pub fn token(&self, subject: &str, audience: &str) -> String {
        self.mint(&format!(
            "token issue --site dome --subject {subject} --audience {audience} --out issued.jwt"
        ));
        self.text("issued.jwt")
    }

    /// Makes the site's next bundle and names its file.
    #[track_caller]
    pub fn bundle(&self, kind: &str) -> String {
        let made = self.mint(&format!("bundle make --site dome --kind {kind} --json")).json();
        made["path"].as_str().unwrap_or_else(|| panic!("no path in {made}")).to_owned()
    }

    /// Carries everything over a stick and imports it.
    #[track_caller]
    pub fn cross(&self) {
        self.farside("ferry send --from near/outbox/dome --to stick");
        self.farside("ferry receive --from stick --to far/inbox");
        let imported = self.attempt("gate import far/inbox --config far/gate.toml");
        if imported.stderr.contains("no bundle lies in far/inbox") {
            // Only because a gate that serves was quicker.
            let held = self.gate("status --json").json()["bundle"]["seq"].clone();
            assert_eq!(held, self.newest_bundle(), "the gate does not hold what was made");
        } else {
            imported.expect_code(0);
        }
    }

    /// The number of the newest bundle that the mint has made for the site.
    #[track_caller]
    fn newest_bundle(&self) -> Value {
        let status = self.mint("status --json").json();
        let sites = status["sites"].as_array().into_iter().flatten();
        sites
            .into_iter()
            .find(|site| site["site"] == "dome")
            .map_or(Value::Null, |site| site["bundle"]["seq"].clone())
    }

    /// What the gate says of a file that it must refuse: the refusal with its code, detail and cure.
    #[track_caller]
    pub fn refusal_of(&self, file: &str) -> Value {
        let report =
            self.attempt(&format!("gate import {file} --json --config far/gate.toml")).expect_code(1);
        report.json()["refusal"].clone()
    }

    /// Starts the mint and waits until it listens.
    pub fn serve_mint(&self) -> Server {
        let mut server = Server::start(self.command("mint serve --config near/mint.toml"));
        server.wait_for(self.mint);
        server
    }

    /// Starts the gate and waits until it can judge.
    pub fn serve_gate(&self) -> Server {
        let mut server = Server::start(self.command("gate serve --config far/gate.toml"));
        server.wait_for(self.gate);
        server.wait_until("it is ready", || http::get(self.gate, "/readyz", &[]).status == 200);
        server
    }

    /// A token is issued, a bundle crosses, and a gate that is started lets its holder in.
    #[track_caller]
    pub fn lets_in(&self, subject: &str, audience: &str) {
        let token = self.token(subject, audience);
        self.bundle("full");
        self.cross();
        let gate = self.serve_gate();
        assert_eq!(self.knock(&token, audience).status, 200);
        assert!(gate.stop().success());
    }

    /// What the gate's metrics say.
    pub fn gate_metrics(&self) -> String {
        http::get(self.gate_admin, "/metrics", &[]).body
    }

    /// Knocks at the gate's door.
    pub fn knock(&self, token: &str, audience: &str) -> http::Answer {
        let path = format!("/verify?aud={}", http::escaped(audience));
        http::get(self.gate, &path, &[("authorization", &format!("Bearer {token}"))])
    }
}
