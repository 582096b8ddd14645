//! File handles: each connection takes one, and the journal, the store and the inbox need theirs whatever
//! comes in from outside.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Handles that no connection ever gets.
const HANDLES_RESERVED: u64 = 64;
/// Servers of one program: each has its own places.
const SERVERS: u64 = 2;
/// A server with fewer places than this would be none.
const PLACES_MIN: u64 = 8;

/// How many places a server may have of those wished for. The process takes all handles that the system lets
/// it have.
pub(super) fn places(wished: usize) -> usize {
    let held = getrlimit(Resource::Nofile);
    if held.current != held.maximum {
        // Refused, it stays with those it has.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: held.maximum, maximum: held.maximum });
    }
    let Some(handles) = getrlimit(Resource::Nofile).current else { return wished };
    let possible = possible(handles);
    if possible < wished {
        tracing::warn!(possible, wished, handles, "fewer connections than configured: raise LimitNOFILE");
    }
    wished.min(possible)
}

fn possible(handles: u64) -> usize {
    let left = (handles.saturating_sub(HANDLES_RESERVED) / SERVERS).max(PLACES_MIN);
    usize::try_from(left).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_never_take_the_handles_of_the_journal() {
        assert_eq!(possible(65_536), 32_736);
        assert_eq!(possible(1_024), 480);
        assert_eq!(possible(100), 18);
        assert_eq!(possible(10), 8);
    }

    #[test]
    fn as_many_places_as_wished_where_there_are_handles() {
        assert_eq!(places(1), 1);
        let held = getrlimit(Resource::Nofile);
        assert_eq!(held.current, held.maximum);
    }
}
