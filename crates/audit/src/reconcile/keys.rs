//! Private keys against their calendar: what has ended must be destroyed, and a record must say so.

use farside_crossing::evidence::{KeyRow, RevokedKind};

use crate::evidence::{Evidence, Near, Proof};
use crate::finding::{Code, Found, duration};

/// How long a mint may take to destroy a key that has ended: it may have been switched off.
const PATIENCE_SECONDS: u64 = 86_400;

/// How it ended with the keys of the mint.
#[derive(Default)]
struct Ends {
    recorded: u64,
    stated: u64,
    outlived: u64,
}

pub(super) fn compare(evidence: &mut Evidence) {
    let Some(near) = &evidence.near else { return };
    let (mut ends, mut outlived) = (Ends::default(), Vec::new());
    for key in &near.keys {
        let Some(ended) = ended_at(near, key).filter(|ended| *ended <= near.made_at) else { continue };
        let for_how_long = near.made_at - ended;
        match (evidence.destroyed.contains_key(&key.kid), key.destroyed_at) {
            (true, _) => ends.recorded += 1,
            // Its record may lie in a journal file that was archived.
            (false, Some(_)) => ends.stated += 1,
            (false, None) if for_how_long > PATIENCE_SECONDS => {
                ends.outlived += 1;
                let detail = format!("it ended {} before the mint exported", duration(for_how_long));
                let place = format!("key {}", key.kid);
                outlived.push(Found { of: key.site.clone(), place, at: Some(ended), detail });
            }
            (false, None) => {}
        }
    }
    outlived.into_iter().for_each(|found| evidence.findings.alarm(Code::KeyOutlived, found));
    if let Some((proof, detail)) = ends.told() {
        evidence.check("mint", "ended token keys", proof, detail);
    }
}

impl Ends {
    fn told(&self) -> Option<(Proof, String)> {
        let Ends { recorded, stated, outlived } = self;
        let mut detail = format!("{recorded} destroyed, as the journals tell");
        if *stated > 0 {
            detail.push_str(&format!(", {stated} by the mint's word"));
        }
        if *outlived > 0 {
            detail.push_str(&format!(", {outlived} not"));
        }
        match (outlived, recorded, stated) {
            (0, 0, 0) => None,
            (0, _, 0) => Some((Proof::Proven, detail)),
            (0, ..) => Some((Proof::Stated, detail)),
            _ => Some((Proof::Broken, detail)),
        }
    }
}

/// When the private half of a key was of no use any more.
fn ended_at(near: &Near, key: &KeyRow) -> Option<u64> {
    let revoked = near
        .revocations
        .iter()
        .filter(|row| row.kind == RevokedKind::Key && row.site == key.site && row.what == key.kid);
    revoked.map(|row| row.at).chain(key.sign_until).min()
}
