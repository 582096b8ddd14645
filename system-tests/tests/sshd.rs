//! Debian's sshd asks the gate who may log in: a token that a bundle carried, bound to the user's SSH key, is
//! the login.

use std::net::SocketAddr;
use std::process::Command;

use farside_service::time::now_unix;
use farside_system_tests::peers;
use farside_system_tests::programs::{Finished, Server, farside, free_address, run};
use farside_system_tests::sides::{CONTROL, Sides};

/// How long the token lives whose end is waited for.
const LIFE_SECONDS: u64 = 20;

/// Who runs the tests: only root's sshd may log others in, so this is whom all log in as.
fn me() -> String {
    let mut whoami = Command::new("id");
    whoami.arg("-un");
    run(whoami).expect_code(0).stdout.trim().to_owned()
}

/// Both sides with a door for sshd, two SSH keys of ada's, and a token for each: one for hours, one for a
/// moment.
fn sides() -> Sides {
    let sides = Sides::founded();
    let door = format!("[ssh]\naudience = \"{CONTROL}\"\naccounts = {{ {} = \"operator\" }}\n", me());
    sides.put("far/gate.toml", format!("{}\n\n{door}", sides.text("far/gate.toml")).as_bytes());
    for name in ["long", "brief", "host", "stranger"] {
        let mut keygen = Command::new("ssh-keygen");
        keygen.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(sides.path(name));
        run(keygen).expect_code(0);
    }
    let order = format!("order add --site dome --subject ada --audience {CONTROL}");
    sides.mint(&format!("{order} --ssh-key long.pub --lifetime 8h"));
    sides.mint(&format!("{order} --ssh-key brief.pub --lifetime {LIFE_SECONDS}s"));
    sides
}

/// sshd in the foreground, with what docs/doors.md says and nothing else that could let anybody in.
fn sshd(sides: &Sides) -> (Server, SocketAddr) {
    let (address, folder) = (free_address(), sides.folder().display());
    // /usr/bin/env is what sshd demands of the command: root's, and nobody else's to write.
    let command = format!(
        "/usr/bin/env {} gate ssh-keys --gate {} --user %u --key-type %t --key %k",
        farside().display(),
        sides.gate
    );
    let text = format!(
        "ListenAddress {address}\nHostKey {folder}/host\nPidFile none\nUsePAM no\nStrictModes no\n\
         PermitRootLogin prohibit-password\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n\
         AuthorizedKeysFile none\nAuthorizedKeysCommand {command}\nAuthorizedKeysCommandUser {}\n",
        me()
    );
    sides.put("sshd_config", text.as_bytes());
    if me() == "root" {
        // Where Debian's service unit makes it.
        std::fs::create_dir_all("/run/sshd").expect("sshd's folder can be made");
    }
    let mut command = Command::new(peers::server("sshd"));
    command.args(["-D", "-e", "-f"]).arg(sides.path("sshd_config"));
    let mut server = Server::start(command);
    server.wait_for(address);
    (server, address)
}

fn log_in(sides: &Sides, sshd: SocketAddr, key: &str) -> Finished {
    let mut ssh = Command::new("ssh");
    ssh.args(["-F", "none", "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none"]);
    ssh.args(["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-i"]);
    ssh.arg(sides.path(key)).args([
        "-p",
        &sshd.port().to_string(),
        &format!("{}@127.0.0.1", me()),
        "echo",
        "in",
    ]);
    run(ssh)
}

fn is_in(finished: &Finished) -> bool {
    assert_eq!(finished.code == 0, finished.stdout.trim() == "in", "{finished:?}");
    finished.code == 0
}

#[test]
fn a_key_logs_in_while_its_token_is_valid_and_not_a_moment_longer() {
    let sides = sides();
    let before = now_unix();
    sides.bundle("full");
    let made = now_unix();
    sides.cross();
    let gate = sides.serve_gate();
    let (sshd, address) = sshd(&sides);
    let first = log_in(&sides, address, "long");
    assert!(is_in(&first), "{first:?}\n{}", sshd.words());
    assert!(!is_in(&log_in(&sides, address, "stranger")));

    // The brief one was issued between `before` and `made`: whoever gets in began before its end, and whoever
    // is refused asked after it.
    loop {
        let began = now_unix();
        if !is_in(&log_in(&sides, address, "brief")) {
            assert!(now_unix() >= before + LIFE_SECONDS, "refused before its end:\n{}", sshd.words());
            break;
        }
        assert!(began < made + LIFE_SECONDS, "in after its end");
    }

    // Disabled, which revokes, imported, and the next login is refused; the gate goes away, and so does every
    // login.
    assert!(is_in(&log_in(&sides, address, "long")));
    sides.mint("person disable ada");
    sides.bundle("full");
    sides.cross();
    assert!(!is_in(&log_in(&sides, address, "long")));
    assert!(gate.stop().success());
    assert!(!is_in(&log_in(&sides, address, "long")));
}

/// Whoever asks beforehand hears what sshd would be told, by this gate's own accounts.
#[test]
fn explain_says_whose_account_it_is() {
    let sides = sides();
    let toml = sides.text("far/gate.toml");
    sides.put("far/gate.toml", format!("audit = \"batched\"\n{toml}").as_bytes());
    sides.bundle("full");
    sides.cross();
    let token = sides.token("ada", CONTROL);
    let explain = |account: &str, code| {
        let line =
            format!("gate explain {token} --door ssh --account {account} --json --config far/gate.toml");
        sides.attempt(&line).expect_code(code).json()
    };
    let account = |said: &serde_json::Value| said["checks"].as_array().expect("checks").last().cloned();
    for (name, whose) in
        [(me(), "shared by whoever has the role operator"), ("ada".to_owned(), "the holder's own")]
    {
        let last = account(&explain(&name, 0)).expect("a check");
        let found = last["found"].as_str().expect("what it found");
        assert!(last["check"] == "account" && found.contains(whose), "{last}");
    }
    let refused = explain("grace", 1);
    assert_eq!((&refused["verdict"], &refused["code"]), (&"refuse".into(), &"policy_denied".into()));
    assert_eq!(account(&refused).expect("a check")["check"], "account", "{refused}");
    let status = sides.attempt("gate status --json --config far/gate.toml").json();
    assert_eq!(status["audit"], "batched");
    assert!(sides.attempt("gate status --config far/gate.toml").stdout.contains("batched: a power cut"));
}
