//! `/status/<shard>/<number>` on the near side: the signed status list of a site's tokens, for third parties
//! there (draft-ietf-oauth-status-list §8). The same lists that bundles carry to the gate, made anew each
//! minute.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::extract::{Path, State};
use axum::http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use farside_crossing::status::BitList;
use farside_service::cli::Failure;
use farside_service::time::now_unix;
use farside_service::web::accepts;

use crate::bundler::status_lists::{claims, of_shard};
use crate::bundler::{BundleFault, Issuance as _};
use crate::claims::list_uri;
use crate::config::Home;
use crate::issue::Issuer;
use crate::store::Site;

const MEDIA_TYPE: &str = "application/statuslist+jwt";

/// How old a list may be before it is made anew: so long a revocation takes to show here.
const FRESH_SECONDS: u64 = 60;

/// How long a signed list counts.
const COUNTS_SECONDS: u64 = 3_600;

/// The pages.
#[derive(Debug)]
pub struct StatusPages {
    issuer: Arc<Issuer>,
    home: Home,
    /// Owns what was made last for each shard; held while one is made, so that each is made once.
    made: Mutex<HashMap<String, Made>>,
}

/// The lists of one shard.
#[derive(Debug)]
struct Made {
    at: u64,
    lists: BTreeMap<u64, BitList>,
    /// Those that were asked for.
    signed: HashMap<u64, String>,
}

impl StatusPages {
    /// The pages of this mint.
    pub fn new(issuer: &Arc<Issuer>, home: &Home) -> Arc<StatusPages> {
        Arc::new(StatusPages { issuer: Arc::clone(issuer), home: home.clone(), made: Mutex::default() })
    }

    /// The route.
    pub fn router(self: Arc<Self>) -> Router {
        Router::new().route("/status/{shard}/{number}", get(show)).with_state(self)
    }

    /// The list, signed, and how long it may be kept; `None` where no token names such a list.
    fn list(&self, shard: &str, number: u64, now: u64) -> Result<Option<(String, u64)>, Failure> {
        let directory = self.issuer.store().directory()?;
        let asks = |site: &&Site| site.enabled && site.terms.status_claim;
        let of = |site: &&Site| self.issuer.shards(site).iter().any(|own| own == shard);
        let Some(site) = directory.sites().filter(asks).find(of) else { return Ok(None) };
        let mut made = self.made();
        let fresh = |made: &&mut Made| now >= made.at && now - made.at < FRESH_SECONDS;
        let made = match made.get_mut(shard).filter(fresh).is_some() {
            true => made.get_mut(shard),
            false => {
                let lists = of_shard(&self.home, self.issuer.store(), site, shard, now)?;
                made.insert(shard.to_owned(), Made { at: now, lists, signed: HashMap::new() });
                made.get_mut(shard)
            }
        };
        let Some(Made { at, lists, signed }) = made else { return Ok(None) };
        let Some(list) = lists.get(&number) else { return Ok(None) };
        let left = (*at + FRESH_SECONDS).saturating_sub(now);
        if let Some(token) = signed.get(&number) {
            return Ok(Some((token.clone(), left)));
        }
        let uri = list_uri(&site.terms.issuer, shard, number);
        let claims = claims(&uri, *at..*at + COUNTS_SECONDS, FRESH_SECONDS, list);
        let token = self.issuer.sign_list(site, &claims, now).map_err(BundleFault::from)?;
        signed.insert(number, token.clone());
        Ok(Some((token, left)))
    }

    // Whoever panicked while holding it has left it whole: each step is one insertion.
    fn made(&self) -> MutexGuard<'_, HashMap<String, Made>> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn show(
    State(pages): State<Arc<StatusPages>>,
    Path((shard, number)): Path<(String, u64)>,
    headers: HeaderMap,
) -> Response {
    if !accepts(&headers, MEDIA_TYPE) {
        return StatusCode::NOT_ACCEPTABLE.into_response();
    }
    let looked = tokio::task::spawn_blocking(move || pages.list(&shard, number, now_unix())).await;
    match looked {
        Ok(Ok(Some((token, max_age)))) => (
            [
                (CONTENT_TYPE, MEDIA_TYPE.to_owned()),
                (CACHE_CONTROL, format!("max-age={max_age}")),
                (ACCESS_CONTROL_ALLOW_ORIGIN, "*".to_owned()),
            ],
            token,
        )
            .into_response(),
        Ok(Ok(None)) => StatusCode::NOT_FOUND.into_response(),
        Ok(Err(fault)) => {
            tracing::error!(%fault, "a status list cannot be shown");
            (StatusCode::SERVICE_UNAVAILABLE, [(RETRY_AFTER, "60")]).into_response()
        }
        Err(_panicked) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
