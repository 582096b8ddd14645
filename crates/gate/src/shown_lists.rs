//! Signed status lists as they crossed, for third parties: shown, and never judged by.

use std::collections::BTreeMap;
use std::ops::Bound;

use farside_crossing::ListsDocument;
use farside_verify::leaf::TokenPosition;

/// What lies below it has an address.
const FOLDER: &str = "/status/";

/// Every list by its shard and number.
#[derive(Debug, Default)]
pub(crate) struct ShownLists {
    lists: BTreeMap<(String, u64), String>,
    version: u64,
    expires_at: u64,
    ttl_seconds: u64,
}

/// What there is at an address.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Shown<'l> {
    /// A list that may be shown now.
    List {
        /// The compact JWS.
        token: &'l str,
        /// How long it may be kept.
        max_age_seconds: u64,
    },
    /// Newer tokens of the shard stand in it: a bundle with it has not come yet.
    NotYet,
    /// Nothing, for good.
    Nothing,
}

impl ShownLists {
    pub(crate) fn read(document: ListsDocument) -> ShownLists {
        let at = |uri: &str| address(uri.get(uri.rfind(FOLDER)?..)?);
        let lists = document.lists.into_iter().filter_map(|list| Some((at(&list.uri)?, list.token)));
        ShownLists {
            lists: lists.collect(),
            version: document.version,
            expires_at: document.expires_at,
            ttl_seconds: document.ttl_seconds,
        }
    }

    /// What there is at this path now.
    // bundle.md §7.10
    pub(crate) fn at(&self, path: &str, now: u64) -> Shown<'_> {
        let Some((shard, number)) = address(path) else { return Shown::Nothing };
        let newest =
            self.lists.range((Bound::Unbounded, Bound::Included((shard.clone(), u64::MAX)))).next_back();
        let Some(((held, last), _)) = newest.filter(|((held, _), _)| *held == shard) else {
            return Shown::Nothing;
        };
        let left = self.expires_at.saturating_sub(now);
        match self.lists.get(&(held.clone(), number)) {
            Some(token) if left > 0 => Shown::List { token, max_age_seconds: self.ttl_seconds.min(left) },
            Some(_) => Shown::NotYet,
            None if number > *last => Shown::NotYet,
            None => Shown::Nothing,
        }
    }

    /// Every list that may be shown now, by shard and number.
    pub(crate) fn current(&self, now: u64) -> impl Iterator<Item = (&str, u64, &str)> {
        let counts = self.expires_at > now;
        let lists = self.lists.iter().filter(move |_| counts);
        lists.map(|((shard, number), token)| (shard.as_str(), *number, token.as_str()))
    }

    /// The number of the bundle that brought them, and until when they count.
    pub(crate) fn term(&self) -> (u64, u64) {
        (self.version, self.expires_at)
    }
}

/// Shard and number of `/status/<shard>/<number>`. A shard's name is a file's too: nothing leads out of it.
fn address(path: &str) -> Option<(String, u64)> {
    let (shard, number) = path.strip_prefix(FOLDER)?.split_once('/')?;
    TokenPosition::new(shard, 0).ok()?;
    let parsed: u64 = number.parse().ok()?;
    (parsed.to_string() == number).then(|| (shard.to_owned(), parsed))
}

#[cfg(test)]
mod tests {
    use farside_crossing::lists::SignedList;

    use super::*;

    #[test]
    fn what_is_there_what_is_to_come_and_what_never_was_are_told_apart() {
        let list = |uri: &str| SignedList { uri: uri.to_owned(), token: format!("list of {uri}") };
        let lists = [
            list("https://a.example/status/dome/3"),
            list("https://a.example/status/dome/4"),
            list("https://a.example/status/../../etc/1"),
            list("https://a.example/status/dome/05"),
        ];
        let document = ListsDocument {
            realm: "moonbase".into(),
            site: "dome".into(),
            version: 7,
            issued_at: 100,
            expires_at: 1_000,
            ttl_seconds: 60,
            lists: lists.into(),
        };
        let shown = ShownLists::read(document);
        let token = "list of https://a.example/status/dome/3";
        assert_eq!(shown.at("/status/dome/3", 100), Shown::List { token, max_age_seconds: 60 });
        assert_eq!(shown.at("/status/dome/3", 999), Shown::List { token, max_age_seconds: 1 });
        for (path, now) in [("/status/dome/5", 100), ("/status/dome/3", 1_000)] {
            assert_eq!(shown.at(path, now), Shown::NotYet, "{path}");
        }
        for path in
            ["/status/dome/2", "/status/dom/3", "/status/e/3", "/status/dome/+3", "/status/../../etc/1"]
        {
            assert_eq!(shown.at(path, 100), Shown::Nothing, "{path}");
        }
        let files: Vec<_> = shown.current(100).map(|(shard, number, _)| (shard, number)).collect();
        assert_eq!(files, [("dome", 3), ("dome", 4)]);
        assert_eq!(shown.current(1_000).count(), 0);
    }
}
