//! The log as tile clients and witnesses read it (c2sp.org/tlog-tiles): `GET /log/<shard>/checkpoint` and
//! `GET /log/<shard>/tile/…`, for everyone, without a record in it.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;

use super::{IssuanceLog, Row, TileName};

/// A checkpoint changes every few seconds.
const CHECKPOINT_CACHING: &str = "no-cache";

/// A tile never does (log.md §3.3).
const TILE_CACHING: &str = "public, max-age=31536000, immutable";

/// Width of a full tile.
const TILE_WIDTH: usize = 256;

/// Most levels of tiles that a log can have.
const LEVEL_MAX: u8 = 63;

/// The routes; what they show is what has been published.
// log.md §6.1
pub fn router(log: Arc<IssuanceLog>) -> Router {
    Router::new()
        .route("/log/{shard}/checkpoint", get(checkpoint))
        .route("/log/{shard}/tile/{*name}", get(tile))
        .with_state(log)
}

async fn checkpoint(State(log): State<Arc<IssuanceLog>>, Path(shard): Path<String>) -> Response {
    match log.checkpoint(&shard) {
        Some(note) => answer("text/plain; charset=utf-8", CHECKPOINT_CACHING, note),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn tile(State(log): State<Arc<IssuanceLog>>, Path((shard, name)): Path<(String, String)>) -> Response {
    let Some(name) = tile_name(&name) else { return StatusCode::NOT_FOUND.into_response() };
    let read = tokio::task::spawn_blocking(move || log.tile(&shard, &name)).await;
    match read {
        Ok(Ok(Some(bytes))) => answer("application/octet-stream", TILE_CACHING, bytes),
        Ok(Ok(None)) => StatusCode::NOT_FOUND.into_response(),
        Ok(Err(fault)) => {
            tracing::error!(%fault, "a tile could not be read");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

fn answer(media_type: &'static str, caching: &'static str, body: Vec<u8>) -> Response {
    ([(header::CONTENT_TYPE, media_type), (header::CACHE_CONTROL, caching)], body).into_response()
}

/// `<L>/<N>[.p/<W>]`, each part in its one spelling.
// c2sp.org/tlog-tiles
fn tile_name(name: &str) -> Option<TileName> {
    let (row, rest) = name.split_once('/')?;
    let row = match row {
        "entries" => Row::Entries,
        level => Row::Hashes(decimal(level).filter(|level| *level <= u64::from(LEVEL_MAX))?.try_into().ok()?),
    };
    let (number, width) = match rest.split_once(".p/") {
        None => (rest, TILE_WIDTH),
        Some((number, width)) => {
            let width = usize::try_from(decimal(width)?).ok()?;
            (number, Some(width).filter(|width| (1..TILE_WIDTH).contains(width))?)
        }
    };
    Some(TileName { row, number: groups(number)?, width })
}

fn groups(text: &str) -> Option<u64> {
    let (leading, last) = text.rsplit_once('/').unwrap_or(("", text));
    let mut number: u64 = 0;
    for group in leading.split('/').filter(|_| !leading.is_empty()) {
        let group = three_digits(group.strip_prefix('x')?)?;
        // A leading group of zeros would be a second spelling.
        if number == 0 && group == 0 {
            return None;
        }
        number = number.checked_mul(1000)?.checked_add(group)?;
    }
    number.checked_mul(1000)?.checked_add(three_digits(last)?)
}

fn three_digits(text: &str) -> Option<u64> {
    (text.len() == 3 && text.bytes().all(|digit| digit.is_ascii_digit())).then(|| text.parse().ok())?
}

fn decimal(text: &str) -> Option<u64> {
    let canonical = text == "0" || !text.starts_with('0');
    (canonical && text.bytes().all(|digit| digit.is_ascii_digit())).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tile_has_one_name_and_nothing_else_leads_anywhere() {
        let hashes = |level, number, width| Some(TileName { row: Row::Hashes(level), number, width });
        assert_eq!(tile_name("0/000"), hashes(0, 0, 256));
        assert_eq!(tile_name("2/x001/x234/067.p/17"), hashes(2, 1_234_067, 17));
        let entries = Some(TileName { row: Row::Entries, number: 1000, width: 256 });
        assert_eq!(tile_name("entries/x001/000"), entries);
        for wrong in [
            "",
            "0",
            "0/",
            "00/000",
            "64/000",
            "-1/000",
            "0/0",
            "0/0000",
            "0/x000/001",
            "0/001/000",
            "0/x001",
            "0/000.p",
            "0/000.p/0",
            "0/000.p/256",
            "0/000.p/01",
            "0/../../checkpoint",
            "entries/../000",
            "0/%2e%2e",
            "records/000",
            "0/x18446744/x073/x709/x551/616",
        ] {
            assert_eq!(tile_name(wrong), None, "{wrong}");
        }
    }
}
