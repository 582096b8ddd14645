//! Status lists for third parties: every list that a token of the site may name which is still good, or which
//! will be issued before the next lists come, with what is revoked by whatever kind, signed with the site's
//! token key. For bundles, and for the near side's own [`pages`](crate::status_pages).

use std::collections::BTreeMap;
use std::ops::Range;

use farside_crossing::ListsDocument;
use farside_crossing::lists::{LIST_TOKENS, LISTS_MAX, SignedList};
use farside_crossing::status::{BitList, COVERED_SLACK_SECONDS};
use farside_verify::encode::json_string;
use farside_verify::leaf::TokenPosition;

use super::{BundleFault, Issuance, Order};
use crate::claims::list_uri;
use crate::config::Home;
use crate::log::index::{Index, Whose};
use crate::revocation;
use crate::store::{Site, Store};

/// As many couriers may miss before a bundle expires.
const COURIERS_MISSED: u64 = 3;

/// Most lists that are sent ahead.
const AHEAD_MAX: u64 = 64;

/// When the lists are signed, and until when they count.
pub(super) struct Term {
    pub(super) seq: u64,
    pub(super) issued_at: u64,
    pub(super) expires_at: u64,
}

/// The lists of a site that asks for them. Where they cannot be made the bundle goes without: revocations at
/// the gate wait for nothing here.
pub(super) fn gather(
    order: &Order<'_>,
    realm: &str,
    site: &Site,
    term: &Term,
    issuance: &dyn Issuance,
) -> Option<ListsDocument> {
    if !site.terms.status_claim {
        return None;
    }
    match signed(order, site, term, issuance) {
        Ok(lists) => Some(ListsDocument {
            realm: realm.to_owned(),
            site: site.name.clone(),
            version: term.seq,
            issued_at: term.issued_at,
            expires_at: term.expires_at,
            ttl_seconds: site.terms.every_seconds,
            lists,
        }),
        Err(fault) => {
            tracing::error!(site = site.name, %fault, "no status lists for third parties were made");
            None
        }
    }
}

fn signed(
    order: &Order<'_>,
    site: &Site,
    term: &Term,
    issuance: &dyn Issuance,
) -> Result<Vec<SignedList>, BundleFault> {
    let mut signed = Vec::new();
    for shard in issuance.shards(site) {
        for (number, list) in of_shard(order.home, order.store, site, &shard, order.now)? {
            let uri = list_uri(&site.terms.issuer, &shard, number);
            let (issued_at, expires_at, ttl_seconds) =
                (term.issued_at, term.expires_at, site.terms.every_seconds);
            let claims = claims(&uri, issued_at..expires_at, ttl_seconds, &list);
            let token = issuance.sign_list(site, &claims, order.now)?;
            signed.push(SignedList { uri, token });
        }
    }
    // The newest: what is left out is looked up in vain, which a verifier takes for no good news.
    let surplus = signed.len().saturating_sub(LISTS_MAX);
    Ok(signed.split_off(surplus))
}

/// The lists of one shard by number: from that of the oldest token that may be good to those behind the
/// newest which tokens may name before other lists come.
pub(crate) fn of_shard(
    home: &Home,
    store: &Store,
    site: &Site,
    shard: &str,
    now: u64,
) -> Result<BTreeMap<u64, BitList>, BundleFault> {
    let index = Index::open(&home.log())?;
    let lived = site.lifetime_seconds_highest.saturating_add(COVERED_SLACK_SECONDS);
    let since = now.saturating_sub(lived);
    let live = index.live(shard, since)?;
    let numbers =
        live.start / LIST_TOKENS..=live.end / LIST_TOKENS + ahead(site, live.end - live.start, lived);
    let mut lists = BTreeMap::new();
    for number in numbers {
        lists.insert(number, BitList::of_zeros(LIST_TOKENS)?);
    }
    let mut revoke = |position: u64| -> Result<(), BundleFault> {
        match lists.get_mut(&(position / LIST_TOKENS)) {
            Some(list) => Ok(list.set(position % LIST_TOKENS)?),
            None => Ok(()),
        }
    };
    let rows = store.read(|tx| revocation::rows_in_force(tx, &site.name, 0, now))?;
    for row in rows {
        let found = match row.kind.as_str() {
            "token" => {
                let position = row.what.parse::<TokenPosition>().ok().filter(|token| token.shard() == shard);
                position.map(|token| token.index()).into_iter().collect()
            }
            "subject" => index.positions(shard, Whose::Subject(&row.what), since..=row.before)?,
            "all" => index.positions(shard, Whose::Anybody, since..=row.before)?,
            "key" => index.positions(shard, Whose::Key(&row.what), since..=now)?,
            // A client's and a group's subjects have rows of their own.
            _ => Vec::new(),
        };
        found.into_iter().try_for_each(&mut revoke)?;
    }
    Ok(lists)
}

/// How many lists are sent ahead: twice as many as tokens will need until the bundle with them expires, if
/// they are issued as fast as of late.
// token.md §8.1
fn ahead(site: &Site, issued: u64, within_seconds: u64) -> u64 {
    let couriers = site.terms.courier_seconds.saturating_mul(COURIERS_MISSED);
    let seconds = site.terms.every_seconds.saturating_add(couriers);
    let coming = issued.saturating_mul(2).saturating_mul(seconds) / within_seconds.max(1);
    (1 + coming / LIST_TOKENS).min(AHEAD_MAX)
}

/// What a signed list says, of these moments.
// draft-ietf-oauth-status-list §5.1
pub(crate) fn claims(uri: &str, counts: Range<u64>, ttl_seconds: u64, list: &BitList) -> String {
    let mut json = String::from("{\"sub\":");
    json_string(&mut json, uri);
    let (issued_at, expires_at, lst) = (counts.start, counts.end, list.encode());
    json.push_str(&format!(
        ",\"iat\":{issued_at},\"exp\":{expires_at},\"ttl\":{ttl_seconds},\
         \"status_list\":{{\"bits\":1,\"lst\":\"{lst}\"}}}}"
    ));
    json
}
