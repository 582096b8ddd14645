//! Standing orders: whenever a bundle is made for a site, each of its orders gets a fresh token that rides in it.
//!
//! So a carried token is renewed on the site's own cadence, before the last one expires, and its text lies
//! nowhere on the near side but inside the sealed bundle. An order that may no longer be served is left out and
//! told in the log; it never keeps a bundle from being made.

use std::ops::Range;

use farside_crossing::parcels::{Claim, Parcel};

use crate::bundler::{Issuance, IssuanceFault};
use crate::claims::Profile;
use crate::issue::{IssueFault, Issuer};
use crate::judge::{IssueRequest, Requester};
use crate::store::{Order, Site};

impl Issuance for Issuer {
    fn parcels(&self, site: &Site, now: u64) -> Result<Vec<Parcel>, IssuanceFault> {
        let directory = self.store().directory().map_err(|fault| IssuanceFault(fault.to_string()))?;
        let orders = directory.orders().iter().filter(|order| order.enabled && order.site == site.name);
        let servable: Vec<_> = orders.filter_map(readable).collect();
        let requests: Vec<_> = servable.iter().map(|(_, request, _)| request.clone()).collect();
        let tokens = self.issue_many(&requests, now).map_err(|fault| IssuanceFault(fault.to_string()))?;
        let mut parcels = Vec::with_capacity(tokens.len());
        for ((order, _, claim), token) in servable.into_iter().zip(tokens) {
            match token {
                Ok(token) => parcels.push(Parcel {
                    token: token.expose().to_owned(),
                    sub: order.subject.clone(),
                    aud: Some(order.audience.clone()),
                    claim,
                }),
                Err(IssueFault::Refused(refused)) => leave_out(order, &refused.to_string()),
                Err(fault) => return Err(IssuanceFault(fault.to_string())),
            }
        }
        Ok(parcels)
    }

    fn shards(&self, site: &Site) -> Vec<String> {
        vec![site.shard(self.replica())]
    }

    fn leaf_count(&self, shard: &str) -> Result<u64, IssuanceFault> {
        Ok(self.log().len(shard))
    }

    fn leaf_hashes(&self, shard: &str, range: Range<u64>) -> Result<Vec<[u8; 32]>, IssuanceFault> {
        let mut leaves = self.log().leaves(shard, range.start);
        let wanted = usize::try_from(range.end.saturating_sub(range.start)).unwrap_or(usize::MAX);
        if leaves.len() < wanted {
            return Err(IssuanceFault(format!("log shard {shard} does not reach position {}", range.end)));
        }
        leaves.truncate(wanted);
        Ok(leaves)
    }
}

fn readable(order: &Order) -> Option<(&Order, IssueRequest, Claim)> {
    let claim = serde_json::from_str(&order.claim).ok();
    let read = Profile::from_name(&order.profile).zip(claim);
    let Some((profile, claim)) = read else {
        leave_out(order, "its profile or claim cannot be read");
        return None;
    };
    let request = IssueRequest {
        requester: Requester::Order(order.id),
        subject: order.subject.clone(),
        audience: order.audience.clone(),
        roles: order.roles.clone(),
        groups: Vec::new(),
        scope: None,
        lifetime_seconds: Some(order.lifetime_seconds),
        profile,
        confirmation: None,
        assertion: None,
    };
    Some((order, request, claim))
}

fn leave_out(order: &Order, reason: &str) {
    metrics::counter!("farside_mint_orders_left_out_total").increment(1);
    tracing::warn!(order = order.id, site = order.site, reason, "a standing order is left out of the bundle");
}
