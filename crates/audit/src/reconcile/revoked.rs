//! Admissions against revocations: what a gate let in although it knew, and what it could not know yet.

use std::collections::HashMap;

use farside_crossing::evidence::{RevocationRow, RevokedKind};
use farside_verify::leaf::TokenPosition;

use crate::evidence::{Admitted, Evidence, Far};
use crate::finding::{Code, Findings, Found, duration};

/// What is revoked at one site, and since when its gate has known.
pub(super) struct Revoked<'e> {
    evidence: &'e Evidence,
    far: &'e Far,
    tokens: HashMap<&'e str, Vec<Since<'e>>>,
    subjects: HashMap<u32, Vec<Since<'e>>>,
    keys: HashMap<u32, Vec<Since<'e>>>,
    all: Vec<Since<'e>>,
}

#[derive(Clone, Copy)]
struct Since<'e> {
    row: &'e RevocationRow,
    /// When the gate applied the bundle that said so; `None` where it has not.
    known: Option<u64>,
}

impl<'e> Revoked<'e> {
    pub(super) fn of(evidence: &'e Evidence, far: &'e Far) -> Revoked<'e> {
        let mut revoked = Revoked {
            evidence,
            far,
            tokens: HashMap::new(),
            subjects: HashMap::new(),
            keys: HashMap::new(),
            all: Vec::new(),
        };
        let rows = evidence.near.iter().flat_map(|near| &near.revocations);
        for row in rows.filter(|row| row.site == far.site) {
            let since = Since { row, known: far.known_since(row) };
            let number = evidence.names.find(&row.what);
            match (row.kind, number) {
                (RevokedKind::Token, _) => revoked.tokens.entry(&row.what).or_default().push(since),
                (RevokedKind::Subject, Some(subject)) => {
                    revoked.subjects.entry(subject).or_default().push(since);
                }
                (RevokedKind::Key, Some(kid)) => revoked.keys.entry(kid).or_default().push(since),
                (RevokedKind::All, _) => revoked.all.push(since),
                // A client's or a group's subjects have rows of their own.
                (RevokedKind::Client | RevokedKind::Group, _) | (_, None) => {}
            }
        }
        revoked
    }

    pub(super) fn judge(
        &self,
        far: &Far,
        admitted: &Admitted,
        position: Option<&TokenPosition>,
        findings: &mut Findings,
    ) {
        let found = |detail: String| Found::token(&far.site, &admitted.token, admitted.at, detail);
        if self.held(admitted, position) {
            let detail = "the revocations that the gate held name it".to_owned();
            findings.alarm(Code::UsedAfterRevocation, found(detail));
            return;
        }
        let Some(Since { row, known }) = self.covering(admitted, position) else { return };
        let what = match row.kind {
            RevokedKind::Token => "token",
            RevokedKind::Key => "key",
            RevokedKind::All => "time of issue",
            RevokedKind::Subject | RevokedKind::Client | RevokedKind::Group => "subject",
        };
        match known {
            Some(known) if admitted.at > known => {
                let detail = format!(
                    "its {what} was revoked, and the gate knew for {}",
                    duration(admitted.at - known)
                );
                findings.alarm(Code::UsedAfterRevocation, found(detail));
            }
            _ if admitted.at > row.at => {
                let detail = format!(
                    "its {what} was revoked {} before: {}",
                    duration(admitted.at - row.at),
                    row.reason
                );
                findings.notice(Code::UsedBeforeRevocationArrived, found(detail));
            }
            _ => {}
        }
    }

    /// Whether the status that the gate held names it, which needs no mint.
    fn held(&self, admitted: &Admitted, position: Option<&TokenPosition>) -> bool {
        let kid = self.evidence.names.word(admitted.kid);
        self.far.status.as_ref().is_some_and(|status| status.revokes(admitted.at, position, kid))
    }

    /// The revocation that covers a token, the one known longest.
    fn covering(&self, admitted: &Admitted, position: Option<&TokenPosition>) -> Option<Since<'e>> {
        let issued_at = || {
            let near = self.evidence.near.as_ref()?;
            near.log.leaf(position?).map(|leaf| leaf.at)
        };
        let until = self.subjects.get(&admitted.subject).into_iter().flatten().chain(&self.all);
        let until = until.filter(|since| issued_at().is_some_and(|at| at <= since.row.before));
        let token = self.tokens.get(admitted.token.as_str()).into_iter().flatten();
        let key = self.keys.get(&admitted.kid).into_iter().flatten();
        // Once people took it back, it binds nobody.
        let stood = |since: &&Since<'_>| since.row.pardoned_at.is_none_or(|at| admitted.at < at);
        let all = token.chain(key).chain(until).filter(stood);
        all.min_by_key(|since| (since.known.unwrap_or(u64::MAX), since.row.at)).copied()
    }
}
