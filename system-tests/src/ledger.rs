//! The issuance log of a mint as its next start finds it, and what must hold of it however the last one
//! ended.

use std::path::Path;
use std::sync::Arc;

use farside_mint::config::Mint;
use farside_mint::keys::{LogKeyFile, ephemeral_log};
use farside_mint::log::{self, IssuanceLog, LogFault, Opening};
use farside_service::time::now_unix_micros;
use farside_verify::merkle::root_of_inclusion;

use crate::told::Told;

/// Every site's first shard bears its name.
pub const SHARD: &str = "dome";

/// Opens the log as the mint does; heads are signed by another key, since the mint's takes most of a second
/// to open. A log without a mint's database has been carried nowhere.
///
/// # Errors
/// The mint would not start.
pub fn open(near: &Path) -> Result<Arc<IssuanceLog>, LogFault> {
    let mint = Mint::open(&near.join("mint.toml")).expect("the configuration was not touched");
    let carried = match mint.home.database().is_file() {
        true => mint.store().expect("the database opens").leaves_carried().expect("it says what was carried"),
        false => Vec::new(),
    };
    let opening = Opening {
        folder: &mint.home.log(),
        lock: &mint.lock(),
        key: LogKeyFile::opened(ephemeral_log("moonbase").expect("a key")),
        clock: now_unix_micros,
        carried: &carried,
    };
    Ok(IssuanceLog::open(opening, 0, 0)?.0)
}

/// Starts the mint's log on a disk as it was left. Every token that was told stands in it at its position,
/// the next one gets a position of its own, and a head proves all of them.
///
/// # Panics
/// It is not so.
pub fn recover(at: &str, near: &Path, told: &[Told]) -> Arc<IssuanceLog> {
    let fault = |fault: LogFault| -> ! { panic!("{at}: {fault}") };
    log::check(&near.join("log")).unwrap_or_else(|broken| fault(broken));
    let log = open(near).unwrap_or_else(|broken| fault(broken));
    let leaves = log.leaves(SHARD, 0..log.len(SHARD)).unwrap_or_else(|broken| fault(broken));
    for Told { position, leaf, .. } in told {
        let held = leaves.get(position.index() as usize);
        assert_eq!(held, Some(leaf), "{at}: {position} was released and is not in the log");
    }
    let next = log.reserve(SHARD, 0).unwrap_or_else(|broken| fault(broken)).position().index();
    let taken = told.iter().map(|token| token.position.index()).max();
    assert!(Some(next) > taken, "{at}: position {next} is given twice");
    log.publish().unwrap_or_else(|broken| fault(broken));
    let head = log.head(SHARD);
    for Told { position, leaf, .. } in told {
        let proof = log.inclusion(SHARD, position.index(), head.size);
        let proof = proof.unwrap_or_else(|broken| fault(broken));
        let root = root_of_inclusion(leaf, position.index(), head.size, &proof);
        assert_eq!(root, Some(head.root), "{at}: {position} is not proven");
    }
    log
}
