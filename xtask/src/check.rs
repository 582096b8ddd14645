//! `cargo xtask check`: what a person runs before each commit. No peers, no network.

use crate::run::{Outcome, cargo, must};

/// Formatting, lints, documentation, then the tests that judge the source itself.
pub(crate) fn run() -> Outcome {
    source()?;
    for package in ["farside-verify", "farside-crossing", "farside-service"] {
        must(cargo(&["test", "--quiet", "--package", package]))?;
    }
    must(cargo(&["test", "--quiet", "--package", "farside-system-tests", "--test", "tidy"]))?;
    must(cargo(&["test", "--quiet", "--package", "farside-system-tests", "--test", "dependencies"]))
}

/// What can be said of the source without running it.
pub(crate) fn source() -> Outcome {
    must(cargo(&["fmt", "--all", "--check"]))?;
    must(cargo(&["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"]))?;
    // A mint for machines that load no modules: without PKCS#11.
    let bare =
        ["clippy", "--package", "farside-mint", "--no-default-features", "--quiet", "--", "-D", "warnings"];
    must(cargo(&bare))?;
    let mut documentation = cargo(&["doc", "--workspace", "--no-deps", "--quiet"]);
    documentation.env("RUSTDOCFLAGS", "-D warnings");
    must(documentation)
}
