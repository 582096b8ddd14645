//! Status lists for third parties: every list that a token of the site may name which is still good, with
//! what is revoked by whatever kind, signed with the site's token key.

use std::collections::BTreeMap;

use farside_crossing::ListsDocument;
use farside_crossing::lists::{LIST_TOKENS, LISTS_MAX, SignedList};
use farside_crossing::status::{BitList, COVERED_SLACK_SECONDS};
use farside_verify::encode::json_string;
use farside_verify::leaf::TokenPosition;

use super::{BundleFault, Issuance, Order};
use crate::claims::list_uri;
use crate::log::index::Index;
use crate::revocation;
use crate::store::Site;

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
        for (number, list) in lists(order, site, &shard)? {
            let uri = list_uri(&site.terms.issuer, &shard, number);
            let token = issuance.sign_list(site, &claims(&uri, site, term, &list), order.now)?;
            signed.push(SignedList { uri, token });
        }
    }
    // The newest: what is left out is looked up in vain, which a verifier takes for no good news.
    let surplus = signed.len().saturating_sub(LISTS_MAX);
    Ok(signed.split_off(surplus))
}

/// The lists of one shard by number: from that of the oldest token that may be good to one behind the newest.
fn lists(order: &Order<'_>, site: &Site, shard: &str) -> Result<BTreeMap<u64, BitList>, BundleFault> {
    let index = Index::open(&order.home.log())?;
    let lived = site.lifetime_seconds_highest.saturating_add(COVERED_SLACK_SECONDS);
    let since = order.now.saturating_sub(lived);
    let live = index.live(shard, since)?;
    let numbers = live.start / LIST_TOKENS..=live.end / LIST_TOKENS + 1;
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
    let rows = order.store.read(|tx| revocation::rows_in_force(tx, &site.name, 0, order.now))?;
    for row in rows {
        let found = match row.kind.as_str() {
            "token" => {
                let position = row.what.parse::<TokenPosition>().ok().filter(|token| token.shard() == shard);
                position.map(|token| token.index()).into_iter().collect()
            }
            "subject" => index.positions(shard, Some(&row.what), since..=row.before)?,
            "all" => index.positions(shard, None, since..=row.before)?,
            // A client's and a group's subjects have rows of their own; a key is no longer published.
            _ => Vec::new(),
        };
        found.into_iter().try_for_each(&mut revoke)?;
    }
    Ok(lists)
}

// draft-ietf-oauth-status-list §5.1
fn claims(uri: &str, site: &Site, term: &Term, list: &BitList) -> String {
    let mut json = String::from("{\"sub\":");
    json_string(&mut json, uri);
    let (issued_at, expires_at, ttl) = (term.issued_at, term.expires_at, site.terms.every_seconds);
    json.push_str(&format!(
        ",\"iat\":{issued_at},\"exp\":{expires_at},\"ttl\":{ttl},\"status_list\":{{\"bits\":1,\"lst\":\"{}\"}}}}",
        list.encode()
    ));
    json
}
