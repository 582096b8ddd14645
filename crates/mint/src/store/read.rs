//! Builds a [`Directory`] from the database's rows. What a row says is checked for sense here, once.

use std::collections::HashMap;

use farside_crossing::{Breakglass, Logged, StaleMax};
use farside_verify::Algorithm;
use rusqlite::{Connection, Row};

use super::directory::{
    Audience, BundleMark, ClientAuth, Directory, Kind, Order, Purpose, Site, SiteTerms, Subject,
    TokenKeyRecord,
};
use super::{StoreFault, unsigned};
use crate::claims::Confirmation;
use crate::keys::KeyPlace;

impl Directory {
    /// Builds the picture from one consistent view.
    pub(super) fn read(connection: &Connection, data_version: i64) -> Result<Self, StoreFault> {
        let subjects = read_subjects(connection)?;
        let sites = read_sites(connection)?;
        Ok(Self {
            data_version,
            realm: connection.query_row("SELECT name FROM realm", [], |row| row.get(0))?,
            subject_by_name: index(subjects.iter().map(|subject| subject.name.clone())),
            subject_by_client: index(subjects.iter().map(|subject| subject.client_id.clone())),
            subjects,
            site_by_name: index(sites.iter().map(|site| site.name.clone())),
            site_by_audience: sites
                .iter()
                .enumerate()
                .flat_map(|(at, site)| {
                    site.terms.audiences.iter().map(move |audience| (audience.name.clone(), at))
                })
                .collect(),
            sites,
            orders: read_orders(connection)?,
        })
    }
}

fn index(names: impl Iterator<Item = String>) -> HashMap<String, usize> {
    names.enumerate().map(|(at, name)| (name, at)).collect()
}

fn read_subjects(connection: &Connection) -> Result<Vec<Subject>, StoreFault> {
    let mut roles = pairs(
        connection,
        "SELECT subject, role FROM subject_role
         UNION SELECT m.subject, r.role FROM team_member m JOIN team t ON t.name = m.team AND t.enabled
               JOIN team_role r ON r.team = m.team
         ORDER BY 1, 2",
    )?;
    let mut groups = pairs(
        connection,
        "SELECT m.subject, m.team FROM team_member m JOIN team t ON t.name = m.team AND t.enabled
         ORDER BY 1, 2",
    )?;
    let mut statement = connection.prepare_cached(
        "SELECT name, kind, display, enabled, client_id, jwks, secret_sha256 FROM subject ORDER BY name",
    )?;
    let mut rows = statement.query([])?;
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

fn pairs(connection: &Connection, sql: &str) -> Result<HashMap<String, Vec<String>>, StoreFault> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([])?;
    let mut found: HashMap<String, Vec<String>> = HashMap::new();
    while let Some(row) = rows.next()? {
        found.entry(row.get(0)?).or_default().push(row.get(1)?);
    }
    Ok(found)
}

fn read_sites(connection: &Connection) -> Result<Vec<Site>, StoreFault> {
    let mut statement = connection.prepare_cached(
        "SELECT s.name, issuer, algorithm, lifetime_seconds_default, lifetime_seconds_max, token_bytes_max,
                leeway_seconds, courier_seconds, every_seconds, roles_allowed, sealed, recipient, enabled,
                 b.seq, b.issued_at, profiles, lifetime_seconds_highest, b.next_by, status_claim, cedar,
                 (SELECT c.issued_at FROM bundle c WHERE c.site = s.name AND c.kind <> 'beacon'
                   ORDER BY c.seq DESC LIMIT 1)
         FROM site s LEFT JOIN bundle b
              ON b.site = s.name AND b.seq = (SELECT max(seq) FROM bundle WHERE site = s.name)
         ORDER BY s.name",
    )?;
    let (mut audiences, mut keys) = (read_audiences(connection)?, read_keys(connection)?);
    let mut rows = statement.query([])?;
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

fn read_audiences(connection: &Connection) -> Result<HashMap<String, Vec<Audience>>, StoreFault> {
    let mut statement = connection.prepare_cached(
        "SELECT name, logged, stale_read_seconds_max, stale_write_seconds_max, stale_safety_seconds_max,
                breakglass, site, single_use, holder_bound
         FROM audience ORDER BY rowid",
    )?;
    let mut rows = statement.query([])?;
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
fn read_keys(connection: &Connection) -> Result<HashMap<String, Vec<TokenKeyRecord>>, StoreFault> {
    let mut statement = connection.prepare_cached(
        "WITH sent (site, version, adopted_at, crossed_at) AS MATERIALIZED (
             SELECT d.site, d.version, d.adopted_at, min(
                 (SELECT min(b.issued_at) FROM bundle b WHERE b.site = d.site AND b.keys_version = d.version)
                     + s.courier_seconds,
                 coalesce((SELECT min(b.receipted_at) FROM bundle b
                            WHERE b.site = d.site AND b.keys_version = d.version
                              AND b.receipted_at IS NOT NULL), 9223372036854775807))
             FROM release_document d JOIN site s ON s.name = d.site WHERE d.kind = 'keys'),
         known (kid, version, adopted_at, crossed_at) AS MATERIALIZED (
             SELECT c.kid, min(c.version), min(s.adopted_at), min(s.crossed_at)
             FROM release_key c JOIN sent s ON s.site = c.site AND s.version = c.version GROUP BY c.kid),
         first (site, purpose, version) AS MATERIALIZED (
             SELECT k.site, k.purpose, min(n.version)
             FROM token_key k JOIN known n ON n.kid = k.kid GROUP BY k.site, k.purpose)
         SELECT k.site, k.kid, k.algorithm, k.purpose, k.jwk, k.path, k.sign_from, k.sign_until,
                k.accept_until, k.created_at,
                EXISTS (SELECT 1 FROM revocation r
                         WHERE r.site = k.site AND r.kind = 'key' AND r.what = k.kid
                           AND r.pardoned_at IS NULL),
                n.adopted_at, n.crossed_at, n.version = f.version,
                (SELECT done_at FROM destruction g WHERE g.path = k.path)
         FROM token_key k
              LEFT JOIN known n ON n.kid = k.kid
              LEFT JOIN first f ON f.site = k.site AND f.purpose = k.purpose
         ORDER BY k.sign_from, k.created_at, k.kid",
    )?;
    let mut rows = statement.query([])?;
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

fn read_orders(connection: &Connection) -> Result<Vec<Order>, StoreFault> {
    let mut statement = connection.prepare_cached(
        "SELECT id, site, subject, audience, lifetime_seconds, profile, roles, claim, enabled,
            confirmation
         FROM standing_order ORDER BY id",
    )?;
    let mut rows = statement.query([])?;
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
