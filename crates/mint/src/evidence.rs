//! What an auditor is given of the near side: one folder with the charters, every bundle made with its signed
//! manifest, keys and their calendar, revocations, the records of the issuance log with its signed heads, and
//! the journals. Nothing secret is in it: no private key, no receipt's nonce, no token's text. It names
//! people, so only its owner may read it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use farside_crossing::bundle::manifest_note;
use farside_crossing::evidence::{
    self, Head, HeadRow, KeyRow, MadeRow, RevocationRow, RevokedKind, Side, SiteRow,
};
use farside_crossing::manifest::MANIFEST_BYTES_MAX;
use farside_crossing::{Digest, Kind, Note};
use farside_service::cli::{Failure, OrFailure as _};
use farside_service::export::{Entry, Writer};
use rusqlite::{Connection, Row};

use crate::config::{Home, Mint};
use crate::log;
use crate::store::{Directory, Store, StoreFault, unsigned};

/// A bundle's first line, at most.
const FIRST_LINE_BYTES_MAX: usize = 64;

/// Writes the export into `folder`, which must not exist yet.
///
/// # Errors
/// The folder is there, the disk fails, or the mint's own store or log does not read.
// audit.md §2
pub fn export(mint: &Mint, folder: &Path, now: u64) -> Result<Vec<Entry>, Failure> {
    let store = mint.store()?;
    let mut writer = Writer::create(folder)?;
    // Bundles first, then the log and the journals: what a bundle bears of them is then in them.
    let bundles = store.read(bundles)?;
    writer.rows(evidence::BUNDLES, bundles.into_iter().map(|made| with_manifest(&mint.home, made)))?;
    for (version, note) in store.read(charters)? {
        writer.bytes(&format!("{}/{version}.note", evidence::CHARTERS), &note)?;
    }
    let directory = store.directory()?;
    writer.rows(evidence::SITES, sites(&directory))?;
    writer.rows(evidence::KEYS, keys(&directory))?;
    writer.rows(evidence::REVOCATIONS, store.read(revocations)?)?;
    heads(&store, &mint.home, &mut writer)?;
    records(&mint.home, &mut writer)?;
    writer.journals(&mint.home.journal())?;
    let realm = directory.realm().to_owned();
    let head = Head { version: evidence::VERSION, side: Side::Mint, realm, site: None, made_at: now };
    Ok(writer.finish(&head)?)
}

fn charters(connection: &rusqlite::Transaction<'_>) -> Result<Vec<(u64, Vec<u8>)>, StoreFault> {
    let mut statement = connection.prepare("SELECT version, note FROM charter ORDER BY version")?;
    let rows = statement.query_map([], |row| Ok((unsigned(row.get(0)?), row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn sites(directory: &Directory) -> impl Iterator<Item = SiteRow> {
    directory.sites().map(|site| SiteRow {
        site: site.name.clone(),
        issuer: site.terms.issuer.clone(),
        courier_seconds: site.terms.courier_seconds,
    })
}

fn keys(directory: &Directory) -> impl Iterator<Item = KeyRow> {
    directory.sites().flat_map(|site| {
        site.keys.iter().map(|key| KeyRow {
            site: site.name.clone(),
            kid: key.kid.clone(),
            algorithm: Some(key.algorithm.name().to_owned()),
            created_at: Some(key.created_at),
            sign_from: Some(key.sign_from),
            sign_until: Some(key.sign_until),
            accept_until: Some(key.accept_until),
            destroyed_at: key.destroyed_at,
        })
    })
}

fn revocations(connection: &rusqlite::Transaction<'_>) -> Result<Vec<RevocationRow>, StoreFault> {
    let mut statement = connection.prepare(
        "SELECT site, kind, what, before, reason, at, by, pardoned_at FROM revocation ORDER BY id",
    )?;
    let mut rows = statement.query([])?;
    let mut revocations = Vec::new();
    while let Some(row) = rows.next()? {
        revocations.push(RevocationRow {
            site: row.get(0)?,
            kind: match row.get_ref(1)?.as_str().unwrap_or_default() {
                "token" => RevokedKind::Token,
                "subject" => RevokedKind::Subject,
                "client" => RevokedKind::Client,
                "group" => RevokedKind::Group,
                "all" => RevokedKind::All,
                _ => RevokedKind::Key,
            },
            what: row.get(2)?,
            before: unsigned(row.get(3)?),
            reason: row.get(4)?,
            at: unsigned(row.get(5)?),
            by: row.get(6)?,
            pardoned_at: row.get::<_, Option<i64>>(7)?.map(unsigned),
        });
    }
    Ok(revocations)
}

fn bundles(connection: &rusqlite::Transaction<'_>) -> Result<Vec<MadeRow>, StoreFault> {
    let mut carried = leaves_carried(connection)?;
    let mut statement = connection.prepare(
        "SELECT site, seq, kind, digest, file, file_sha256, file_bytes, issued_at, next_by, not_after,
                receipted_at
         FROM bundle ORDER BY site, seq",
    )?;
    let mut rows = statement.query([])?;
    let mut bundles = Vec::new();
    while let Some(row) = rows.next()? {
        let mut made = made(row)?;
        made.leaves = carried.remove(&(made.site.clone(), made.seq)).unwrap_or_default();
        bundles.push(made);
    }
    Ok(bundles)
}

type LeavesCarried = BTreeMap<(String, u64), BTreeMap<String, u64>>;

fn leaves_carried(connection: &Connection) -> Result<LeavesCarried, StoreFault> {
    let mut statement = connection.prepare("SELECT site, seq, shard, until FROM bundle_leaves")?;
    let mut rows = statement.query([])?;
    let mut carried = LeavesCarried::new();
    while let Some(row) = rows.next()? {
        let of_bundle = carried.entry((row.get(0)?, unsigned(row.get(1)?))).or_default();
        of_bundle.insert(row.get(2)?, unsigned(row.get(3)?));
    }
    Ok(carried)
}

fn made(row: &Row<'_>) -> Result<MadeRow, StoreFault> {
    let number = |column: usize| row.get::<_, i64>(column).map(unsigned);
    let digest = |column: usize| -> Result<Digest, StoreFault> {
        let hex: String = row.get(column)?;
        hex.parse().map_err(|_| StoreFault::Unreadable { what: "bundle digest", value: hex })
    };
    Ok(MadeRow {
        site: row.get(0)?,
        seq: number(1)?,
        kind: match row.get_ref(2)?.as_str().unwrap_or_default() {
            "full" => Kind::Full,
            "delta" => Kind::Delta,
            _ => Kind::Beacon,
        },
        digest: digest(3)?,
        file: row.get(4)?,
        file_sha256: digest(5)?,
        bytes: number(6)?,
        issued_at: number(7)?,
        next_by: number(8)?,
        not_after: number(9)?,
        receipted_at: row.get::<_, Option<i64>>(10)?.map(unsigned),
        leaves: BTreeMap::new(),
        manifest: None,
    })
}

/// Adds the signed manifest from the outbox. A file that is gone, or is another, adds nothing: the row still
/// has its digest.
fn with_manifest(home: &Home, mut made: MadeRow) -> MadeRow {
    let mut start = Vec::new();
    let bytes_max = (FIRST_LINE_BYTES_MAX + MANIFEST_BYTES_MAX) as u64;
    let read = File::open(home.outbox(&made.site).join(&made.file))
        .and_then(|file| file.take(bytes_max).read_to_end(&mut start));
    let note = read.ok().and_then(|_| manifest_note(&start).ok()).and_then(|note| str::from_utf8(note).ok());
    let is_its_own = |note: &&str| {
        Note::parse(note.as_bytes()).is_ok_and(|note| Digest::of(note.text().as_bytes()) == made.digest)
    };
    made.manifest = note.filter(is_its_own).map(str::to_owned);
    made
}

/// The signed head of each log shard, as it was last published.
fn heads(store: &Store, home: &Home, writer: &mut Writer) -> Result<(), Failure> {
    let shards = store.leaves_carried()?;
    let row = |(shard, _): (String, u64)| {
        let checkpoint = std::fs::read_to_string(home.log().join("tiles").join(&shard).join("checkpoint"));
        Some(HeadRow { shard, checkpoint: checkpoint.ok()? })
    };
    Ok(writer.rows(evidence::HEADS, shards.into_iter().filter_map(row))?)
}

fn records(home: &Home, writer: &mut Writer) -> Result<(), Failure> {
    let mut file = writer.file(evidence::RECORDS)?;
    let mut written = Ok(());
    let read = log::read(&home.log(), |record| {
        if written.is_ok() {
            written = file.line(record);
        }
    });
    read.or_could_not(|| "export the issuance log".to_owned())?;
    written?;
    Ok(file.finish()?)
}
