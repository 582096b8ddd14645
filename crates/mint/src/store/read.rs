//! Builds a [`Directory`] from the database's rows: all of them, or those of the parts that have changed
//! since the picture before. What a row says is checked for sense here, once.

use std::collections::HashMap;

use farside_crossing::{Breakglass, Logged, StaleMax};
use farside_verify::Algorithm;
use rusqlite::{Connection, Params, Row, params_from_iter};

use super::directory::{
    Audience, BundleMark, ClientAuth, Directory, Kind, Order, Purpose, Site, SiteTerms, Subject,
    TokenKeyRecord,
};
use super::{StoreFault, unsigned};
use crate::claims::Confirmation;
use crate::keys::KeyPlace;

/// Where more has changed than this, everything is read anew: in one go that is faster.
const CHANGES_MAX: usize = 10_000;

/// The parts that have changed, by their names.
#[derive(Default)]
struct Changed {
    subjects: Vec<String>,
    sites: Vec<String>,
    orders: Vec<String>,
}

/// Which rows are read.
enum Only {
    All,
    /// Those of these names, a JSON array.
    These(String),
}

impl Directory {
    /// Builds the picture from one consistent view, on the one `before` where that is possible.
    pub(super) fn read(
        connection: &Connection,
        data_version: i64,
        before: Option<&Directory>,
    ) -> Result<Self, StoreFault> {
        let newest = connection
            .prepare_cached("SELECT coalesce(max(number), 0) FROM change")?
            .query_row([], |row| row.get(0))?;
        // A number that went back is none of this database's: nothing held is believed.
        let changed = match before.filter(|before| before.newest <= newest) {
            Some(before) => changed_since(connection, before.newest)?.map(|changed| (before, changed)),
            None => None,
        };
        let mut directory = match changed {
            Some((before, changed)) => before.with(connection, &changed)?,
            None => Directory::read_whole(connection)?,
        };
        (directory.data_version, directory.newest) = (data_version, newest);
        Ok(directory)
    }

    pub(super) fn read_whole(connection: &Connection) -> Result<Self, StoreFault> {
        let realm = connection.query_row("SELECT name FROM realm", [], |row| row.get(0))?;
        let mut directory = Directory::empty(realm);
        directory.take_subjects(&[], read_subjects(connection, &Only::All)?);
        directory.take_sites(&[], read_sites(connection, &Only::All)?);
        directory.take_orders(&[], read_orders(connection, &Only::All)?);
        Ok(directory)
    }

    fn with(&self, connection: &Connection, changed: &Changed) -> Result<Self, StoreFault> {
        let Changed { subjects, sites, orders } = changed;
        let mut directory = self.clone();
        if !subjects.is_empty() {
            directory.take_subjects(subjects, read_subjects(connection, &Only::of(subjects))?);
        }
        if !sites.is_empty() {
            directory.take_sites(sites, read_sites(connection, &Only::of(sites))?);
        }
        if !orders.is_empty() {
            directory.take_orders(orders, read_orders(connection, &Only::of(orders))?);
        }
        Ok(directory)
    }
}

impl Only {
    fn of(names: &[String]) -> Only {
        Only::These(serde_json::Value::from(names).to_string())
    }

    /// The condition that `column` is one of the names.
    fn where_in(&self, column: &str) -> String {
        match self {
            Only::All => "TRUE".to_owned(),
            Only::These(_) => format!("{column} IN (SELECT value FROM json_each(?1))"),
        }
    }

    fn params(&self) -> impl Params + '_ {
        params_from_iter(match self {
            Only::All => None,
            Only::These(names) => Some(names),
        })
    }
}

/// What has changed since; `None` where that is too much.
fn changed_since(connection: &Connection, newest: i64) -> Result<Option<Changed>, StoreFault> {
    let mut statement =
        connection.prepare_cached("SELECT part, name FROM change WHERE number > ?1 LIMIT ?2")?;
    let mut rows = statement.query((newest, CHANGES_MAX as i64 + 1))?;
    let (mut changed, mut many) = (Changed::default(), 0);
    while let Some(row) = rows.next()? {
        let part: String = row.get(0)?;
        let names = match part.as_str() {
            "subject" => &mut changed.subjects,
            "site" => &mut changed.sites,
            "orders" => &mut changed.orders,
            _ => return Err(StoreFault::Unreadable { what: "part of the directory", value: part }),
        };
        names.push(row.get(1)?);
        many += 1;
    }
    Ok((many <= CHANGES_MAX).then_some(changed))
}

fn read_subjects(connection: &Connection, only: &Only) -> Result<Vec<Subject>, StoreFault> {
    let (own, member) = (only.where_in("subject"), only.where_in("m.subject"));
    let mut roles = pairs(
        connection,
        only,
        &format!(
            "SELECT subject, role FROM subject_role WHERE {own}
             UNION SELECT m.subject, r.role FROM team_member m JOIN team t ON t.name = m.team AND t.enabled
                   JOIN team_role r ON r.team = m.team WHERE {member}
             ORDER BY 1, 2"
        ),
    )?;
    let mut groups = pairs(
        connection,
        only,
        &format!(
            "SELECT m.subject, m.team FROM team_member m JOIN team t ON t.name = m.team AND t.enabled
             WHERE {member} ORDER BY 1, 2"
        ),
    )?;
    let mut statement = connection.prepare_cached(&format!(
        "SELECT name, kind, display, enabled, client_id, jwks, secret_sha256 FROM subject WHERE {}",
        only.where_in("name")
    ))?;
    let mut rows = statement.query(only.params())?;
    let mut subjects = Vec::new();
    while let Some(row) = rows.next()? {
        let name: String = row.get(0)?;
        let kind: String = row.get(1)?;
        subjects.push(Subject {
            kind: Kind::from_name(&kind).ok_or(StoreFault::Unreadable { what: "kind", value: kind })?,
            display: row.get(2)?,
            enabled: row.get(3)?,
            roles: roles.remove(&name).unwrap_or_default(),
            groups: groups.remove(&name).unwrap_or_default(),
            client_id: row.get(4)?,
            auth: ClientAuth { jwks: row.get(5)?, secret_sha256: row.get(6)? },
            name,
        });
    }
    Ok(subjects)
}

fn pairs(
    connection: &Connection,
    only: &Only,
    sql: &str,
) -> Result<HashMap<String, Vec<String>>, StoreFault> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(only.params())?;
    let mut found: HashMap<String, Vec<String>> = HashMap::new();
    while let Some(row) = rows.next()? {
        found.entry(row.get(0)?).or_default().push(row.get(1)?);
    }
    Ok(found)
}

fn read_sites(connection: &Connection, only: &Only) -> Result<Vec<Site>, StoreFault> {
    let mut statement = connection.prepare_cached(&format!(
        "SELECT s.name, issuer, algorithm, lifetime_seconds_default, lifetime_seconds_max, token_bytes_max,
                leeway_seconds, courier_seconds, every_seconds, roles_allowed, sealed, recipient, enabled,
                 b.seq, b.issued_at, profiles, lifetime_seconds_highest, b.next_by, status_claim, cedar,
                 (SELECT c.issued_at FROM bundle c WHERE c.site = s.name AND c.kind <> 'beacon'
                   ORDER BY c.seq DESC LIMIT 1)
         FROM site s LEFT JOIN bundle b
              ON b.site = s.name AND b.seq = (SELECT max(seq) FROM bundle WHERE site = s.name)
         WHERE {}",
        only.where_in("s.name")
    ))?;
    let (mut audiences, mut keys) = (read_audiences(connection, only)?, read_keys(connection, only)?);
    let mut rows = statement.query(only.params())?;
    let mut sites = Vec::new();
    while let Some(row) = rows.next()? {
        let mut site = read_site(row)?;
        site.terms.audiences = audiences.remove(&site.name).unwrap_or_default();
        site.keys = keys.remove(&site.name).unwrap_or_default();
        sites.push(site);
    }
    Ok(sites)
}

fn read_site(row: &Row<'_>) -> Result<Site, StoreFault> {
    let seconds = |column: usize| row.get::<_, i64>(column).map(unsigned);
    let last_bundle = match row.get::<_, Option<i64>>(13)? {
        Some(seq) => Some(BundleMark {
            seq: unsigned(seq),
            issued_at: seconds(14)?,
            next_by: seconds(17)?,
            content_at: row.get::<_, Option<i64>>(20)?.map_or(0, unsigned),
        }),
        None => None,
    };
    Ok(Site {
        name: row.get(0)?,
        terms: SiteTerms {
            issuer: row.get(1)?,
            audiences: Vec::new(),
            algorithm: algorithm(row.get(2)?)?,
            lifetime_seconds_default: seconds(3)?,
            lifetime_seconds_max: seconds(4)?,
            token_bytes_max: usize::try_from(seconds(5)?).unwrap_or(usize::MAX),
            leeway_seconds: seconds(6)?,
            courier_seconds: seconds(7)?,
            every_seconds: seconds(8)?,
            roles_allowed: names(row.get(9)?)?,
            profiles: names(Some(row.get(15)?))?.unwrap_or_default(),
            sealed: row.get(10)?,
            status_claim: row.get(18)?,
            cedar: row.get(19)?,
        },
        recipient: row.get(11)?,
        enabled: row.get(12)?,
        lifetime_seconds_highest: seconds(16)?,
        keys: Vec::new(),
        last_bundle,
    })
}

fn read_audiences(
    connection: &Connection,
    only: &Only,
) -> Result<HashMap<String, Vec<Audience>>, StoreFault> {
    let mut statement = connection.prepare_cached(&format!(
        "SELECT name, logged, stale_read_seconds_max, stale_write_seconds_max, stale_safety_seconds_max,
                breakglass, site, single_use, holder_bound
         FROM audience WHERE {} ORDER BY rowid",
        only.where_in("site")
    ))?;
    let mut rows = statement.query(only.params())?;
    let mut audiences: HashMap<String, Vec<Audience>> = HashMap::new();
    while let Some(row) = rows.next()? {
        let tier = |column: usize| row.get::<_, Option<i64>>(column).map(|most| most.map(unsigned));
        let stale_seconds_max = StaleMax { read: tier(2)?, write: tier(3)?, safety: tier(4)? };
        let (logged, breakglass) = (logged(row.get(1)?)?, breakglass(row.get(5)?)?);
        audiences.entry(row.get(6)?).or_default().push(Audience {
            name: row.get(0)?,
            stale_seconds_max,
            logged,
            breakglass,
            single_use: row.get(7)?,
            holder_bound: row.get(8)?,
        });
    }
    Ok(audiences)
}

/// Reads every site's calendar and works out the rotation rule (bundle.md §14.1): sign with a key only
/// once a bundle that carried it was receipted, or is older than the courier interval. A site that has never
/// been sent a key needs no such patience: its first keys travel before, or together with, the first token.
fn read_keys(
    connection: &Connection,
    only: &Only,
) -> Result<HashMap<String, Vec<TokenKeyRecord>>, StoreFault> {
    let (sent, held) = (only.where_in("d.site"), only.where_in("k.site"));
    let mut statement = connection.prepare_cached(&format!(
        "WITH sent (site, version, adopted_at, crossed_at) AS MATERIALIZED (
             SELECT d.site, d.version, d.adopted_at, min(
                 (SELECT min(b.issued_at) FROM bundle b WHERE b.site = d.site AND b.keys_version = d.version)
                     + s.courier_seconds,
                 coalesce((SELECT min(b.receipted_at) FROM bundle b
                            WHERE b.site = d.site AND b.keys_version = d.version
                              AND b.receipted_at IS NOT NULL), 9223372036854775807))
             FROM release_document d JOIN site s ON s.name = d.site WHERE d.kind = 'keys' AND {sent}),
         known (site, kid, version, adopted_at, crossed_at) AS MATERIALIZED (
             SELECT c.site, c.kid, min(c.version), min(s.adopted_at), min(s.crossed_at)
             FROM sent s CROSS JOIN release_key c ON c.site = s.site AND c.version = s.version
             GROUP BY c.site, c.kid),
         first (site, purpose, version) AS MATERIALIZED (
             SELECT k.site, k.purpose, min(n.version)
             FROM token_key k JOIN known n ON n.kid = k.kid AND n.site = k.site
             WHERE {held} GROUP BY k.site, k.purpose)
         SELECT k.site, k.kid, k.algorithm, k.purpose, k.jwk, k.path, k.sign_from, k.sign_until,
                k.accept_until, k.created_at,
                EXISTS (SELECT 1 FROM revocation r
                         WHERE r.site = k.site AND r.kind = 'key' AND r.what = k.kid
                           AND r.pardoned_at IS NULL),
                n.adopted_at, n.crossed_at, n.version = f.version,
                (SELECT done_at FROM destruction g WHERE g.path = k.path)
         FROM token_key k
              LEFT JOIN known n ON n.kid = k.kid AND n.site = k.site
              LEFT JOIN first f ON f.site = k.site AND f.purpose = k.purpose
         WHERE {held} ORDER BY k.sign_from, k.created_at, k.rowid"
    ))?;
    let mut rows = statement.query(only.params())?;
    let mut keys: HashMap<String, Vec<TokenKeyRecord>> = HashMap::new();
    while let Some(row) = rows.next()? {
        keys.entry(row.get(0)?).or_default().push(read_key(row)?);
    }
    Ok(keys)
}

fn read_key(row: &Row<'_>) -> Result<TokenKeyRecord, StoreFault> {
    let (purpose, place): (String, String) = (row.get(3)?, row.get(5)?);
    let instant = |column: usize| row.get::<_, Option<i64>>(column).map(|at| at.map(unsigned));
    let (adopted_at, crossed) = (instant(11)?, instant(12)?);
    let first = row.get::<_, Option<bool>>(13)?.unwrap_or(false);
    Ok(TokenKeyRecord {
        kid: row.get(1)?,
        algorithm: algorithm(row.get(2)?)?,
        purpose: Purpose::from_name(&purpose)
            .ok_or(StoreFault::Unreadable { what: "key purpose", value: purpose })?,
        jwk: row.get(4)?,
        place: KeyPlace::parse(&place)
            .map_err(|_| StoreFault::Unreadable { what: "place of a key", value: place })?,
        sign_from: unsigned(row.get(6)?),
        sign_until: unsigned(row.get(7)?),
        accept_until: unsigned(row.get(8)?),
        created_at: unsigned(row.get(9)?),
        revoked: row.get(10)?,
        adopted_at,
        usable_from: if first { adopted_at } else { crossed },
        destroyed_at: instant(14)?,
    })
}

fn read_orders(connection: &Connection, only: &Only) -> Result<Vec<Order>, StoreFault> {
    let mut statement = connection.prepare_cached(&format!(
        "SELECT id, site, subject, audience, lifetime_seconds, profile, roles, claim, enabled,
            confirmation
         FROM standing_order WHERE {} ORDER BY id",
        only.where_in("site")
    ))?;
    let mut rows = statement.query(only.params())?;
    let mut orders = Vec::new();
    while let Some(row) = rows.next()? {
        orders.push(Order {
            id: row.get(0)?,
            site: row.get(1)?,
            subject: row.get(2)?,
            audience: row.get(3)?,
            lifetime_seconds: unsigned(row.get(4)?),
            profile: row.get(5)?,
            roles: names(row.get(6)?)?,
            claim: row.get(7)?,
            enabled: row.get(8)?,
            confirmation: row.get::<_, Option<String>>(9)?.map(confirmation).transpose()?,
        });
    }
    Ok(orders)
}

fn logged(name: String) -> Result<Logged, StoreFault> {
    Logged::from_name(&name).ok_or(StoreFault::Unreadable { what: "proof of logging", value: name })
}

fn breakglass(name: String) -> Result<Breakglass, StoreFault> {
    Breakglass::from_name(&name).ok_or(StoreFault::Unreadable { what: "break-glass", value: name })
}

fn confirmation(text: String) -> Result<Confirmation, StoreFault> {
    serde_json::from_str(&text)
        .map_err(|_| StoreFault::Unreadable { what: "proof of possession", value: text })
}

fn algorithm(name: String) -> Result<Algorithm, StoreFault> {
    Algorithm::from_name(&name).ok_or(StoreFault::Unreadable { what: "algorithm", value: name })
}

fn names(text: Option<String>) -> Result<Option<Vec<String>>, StoreFault> {
    text.map(|text| {
        serde_json::from_str(&text).map_err(|_| StoreFault::Unreadable { what: "list of roles", value: text })
    })
    .transpose()
}
