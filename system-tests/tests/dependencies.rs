//! Who may depend on whom, and on what, read from `cargo metadata`: the rooms' boundaries are facts, not
//! customs.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use farside_system_tests::programs::workspace;
use serde_json::Value;

/// Our crates' allowed dependencies on each other. Programs never depend on each other: they meet in folders.
const ALLOWED: [(&str, &[&str]); 8] = [
    ("farside-verify", &[]),
    ("farside-crossing", &[]),
    ("farside-service", &[]),
    ("farside-mint", &["farside-verify", "farside-crossing", "farside-service"]),
    ("farside-ferry", &["farside-service"]),
    ("farside-gate", &["farside-verify", "farside-crossing", "farside-service"]),
    ("farside-audit", &["farside-verify", "farside-crossing", "farside-service"]),
    (
        "farside",
        &[
            "farside-verify",
            "farside-crossing",
            "farside-service",
            "farside-mint",
            "farside-ferry",
            "farside-gate",
            "farside-audit",
        ],
    ),
];

/// Second crypto providers, and other people's token code, have no place in the product.
const BANNED: [&str; 14] = [
    "openssl",
    "openssl-sys",
    "native-tls",
    "ring",
    "boring",
    "boring-sys",
    "jsonwebtoken",
    "jwt-simple",
    "josekit",
    "biscuit",
    "jwt",
    "frank_jwt",
    "openidconnect",
    "rsa",
];

const LICENCES: [&str; 14] = [
    "MIT",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT-0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
    "0BSD",
    "CC0-1.0",
];

/// The part of `cargo metadata` that these tests read.
struct Graph {
    names: BTreeMap<String, String>,
    licences: BTreeMap<String, String>,
    edges: BTreeMap<String, Vec<String>>,
}

impl Graph {
    /// Every platform, every feature: what anyone could build.
    fn read() -> Graph {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut metadata = Command::new(cargo);
        metadata
            .args(["metadata", "--format-version", "1", "--all-features", "--locked"])
            .current_dir(workspace());
        let output = metadata.output().expect("cargo can be started");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo metadata speaks JSON");
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let packages = || metadata["packages"].as_array().expect("packages").iter();
        let nodes = metadata["resolve"]["nodes"].as_array().expect("nodes").iter();
        Graph {
            names: packages().map(|package| (text(&package["id"]), text(&package["name"]))).collect(),
            licences: packages().map(|package| (text(&package["id"]), text(&package["license"]))).collect(),
            edges: nodes.map(|node| (text(&node["id"]), shipped(node))).collect(),
        }
    }

    fn name(&self, id: &str) -> &str {
        &self.names[id]
    }

    fn id(&self, name: &str) -> &str {
        self.names.iter().find(|(_, held)| *held == name).map(|(id, _)| id.as_str()).expect("package exists")
    }
}

/// Every package that is really built into a package (or, with `build`, runs to build it), on any platform.
/// `cargo metadata` also draws edges to options nobody has chosen; `cargo tree` does not.
fn built_into(package: &str, edges: &str) -> BTreeSet<String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut tree = Command::new(cargo);
    tree.args([
        "tree",
        "--locked",
        "--all-features",
        "--target",
        "all",
        "--prefix",
        "none",
        "--format",
        "{p}",
    ]);
    let output = tree.args(["--package", package, "--edges", edges]).current_dir(workspace()).output();
    let output = output.expect("cargo can be started");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("cargo speaks UTF-8");
    let names: BTreeSet<String> =
        text.lines().filter_map(|line| Some(line.split(' ').next()?.to_owned())).collect();
    assert!(names.contains(package), "cargo tree did not answer for {package}");
    names
}

/// Dependencies that end up in, or build, a shipped program: all but development ones.
fn shipped(node: &Value) -> Vec<String> {
    let wanted = |dependency: &&Value| {
        dependency["dep_kinds"].as_array().is_some_and(|kinds| kinds.iter().any(|kind| kind["kind"] != "dev"))
    };
    let dependencies = node["deps"].as_array().expect("deps").iter().filter(wanted);
    dependencies.map(|dependency| dependency["pkg"].as_str().unwrap_or_default().to_owned()).collect()
}

#[test]
fn our_crates_depend_only_where_the_map_has_a_dot() {
    let graph = Graph::read();
    for (name, allowed) in ALLOWED {
        let ours = graph.edges[graph.id(name)].iter().map(|id| graph.name(id));
        for dependency in ours.filter(|dependency| dependency.starts_with("farside")) {
            assert!(allowed.contains(&dependency), "{name} must not depend on {dependency}");
        }
    }
    let members = graph.names.values().filter(|name| name.starts_with("farside"));
    let known = ["farside-system-tests", "farside-bench", "farside-fuzz"];
    for name in members {
        let listed = ALLOWED.iter().any(|(ours, _)| ours == name) || known.contains(&name.as_str());
        assert!(listed, "{name} is new: say here what it may depend on");
    }
}

#[test]
fn the_product_holds_one_crypto_provider_and_no_foreign_token_code() {
    let built = built_into("farside", "normal,build");
    let banned: Vec<&str> = BANNED.into_iter().filter(|name| built.contains(*name)).collect();
    assert!(banned.is_empty(), "in the product: {banned:?}");
}

#[test]
fn the_verifier_stays_lean() {
    let built = built_into("farside-verify", "normal");
    for name in ["tokio", "serde", "serde_json", "rusqlite", "hyper", "rustix", "rand", "getrandom"] {
        assert!(!built.contains(name), "farside-verify pulls in {name}");
    }
}

#[test]
fn the_gate_holds_no_code_that_mints() {
    let built = built_into("farside-gate", "normal,build");
    assert!(!built.contains("farside-mint") && !built.contains("farside-ferry"));
}

#[test]
fn every_licence_is_on_the_list() {
    let graph = Graph::read();
    for (id, licence) in &graph.licences {
        assert!(permitted(licence), "{}: licence `{licence}` is not on the list", graph.name(id));
    }
}

/// SPDX as crates write it: of an `OR` one must be permitted, of an `AND` all.
fn permitted(licence: &str) -> bool {
    let plain = licence.replace(['(', ')'], " ").replace('/', " OR ");
    let one = |part: &str| LICENCES.contains(&part.trim());
    plain.split(" AND ").all(|all| all.split(" OR ").any(one))
}

#[test]
fn licence_expressions_are_read_as_spdx_has_them() {
    assert!(permitted("MIT/Apache-2.0") && permitted("ISC AND (Apache-2.0 OR ISC)"));
    assert!(permitted("GPL-3.0 OR MIT") && !permitted("MIT AND GPL-3.0") && !permitted(""));
}
