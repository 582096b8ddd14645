//! SoftHSM from Debian, with tokens in the test's own folder; and OpenSC's spy, a module that stands before
//! another one and writes down each call.

use std::path::Path;
use std::process::Command;

use crate::sides::Sides;

/// The variable by which SoftHSM finds its configuration.
pub const CONFIGURATION: &str = "SOFTHSM2_CONF";
/// Its file in a test's folder.
pub const CONFIGURATION_FILE: &str = "softhsm2.conf";
/// The PIN of every token made here.
pub const PIN: &str = "4711-0815-secret";

/// The first of these that is there.
fn first(paths: &[&'static str]) -> &'static str {
    let found = paths.iter().find(|path| Path::new(path).exists());
    found.unwrap_or_else(|| panic!("none of {paths:?} is there: cargo xtask peers"))
}

/// SoftHSM's module.
pub fn module() -> &'static str {
    first(&["/usr/lib/softhsm/libsofthsm2.so", "/usr/lib64/pkcs11/libsofthsm2.so"])
}

/// The spy's.
pub fn spy() -> &'static str {
    first(&["/usr/lib/x86_64-linux-gnu/pkcs11-spy.so", "/usr/lib/aarch64-linux-gnu/pkcs11-spy.so"])
}

/// Makes a token in the sides' folder, and a file with its PIN.
pub fn make(sides: &Sides, label: &str) {
    let tokens = sides.path("tokens");
    std::fs::create_dir_all(&tokens).expect("a folder for tokens");
    let text = format!("directories.tokendir = {}\nobjectstore.backend = file\n", tokens.display());
    sides.put(CONFIGURATION_FILE, text.as_bytes());
    sides.put("pin", PIN.as_bytes());
    let mut init = Command::new("softhsm2-util");
    init.args(["--init-token", "--free", "--label", label, "--so-pin", "no-one-knows", "--pin", PIN]);
    init.env(CONFIGURATION, sides.path(CONFIGURATION_FILE));
    let output = init.output().expect("softhsm2-util can be started");
    assert!(output.status.success(), "{output:?}");
}

/// Takes the tokens away, as a cable does that is pulled.
pub fn pull(sides: &Sides) {
    std::fs::rename(sides.path("tokens"), sides.path("tokens.pulled")).expect("tokens to be pulled");
}

/// Brings them back.
pub fn plug(sides: &Sides) {
    std::fs::rename(sides.path("tokens.pulled"), sides.path("tokens")).expect("tokens to be plugged");
}
