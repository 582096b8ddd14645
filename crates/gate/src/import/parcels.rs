//! Opens the sealed parcels of a bundle and stores each token that verifies. One by one: the plaintext is
//! never held whole. Where the running gate imports, what was verified is known at its doors.
//!
//! A token that expired on the way, or that does not verify here, is left out and counted; the bundle's
//! revocations and keys matter too much to be refused for it.

use farside_crossing::bundle::Opened;
use farside_crossing::{Claim, Code, ComponentType, Parcel, Refusal};
use farside_verify::{Claims, Verified};
use rusqlite::Transaction;

use super::apply::{Scene, Trouble};
use super::report::ParcelsIn;
use crate::store::{self, ParcelRow};
use crate::trust::Believed;

/// Takes in every parcel; also answers the nonce that the receipt is made of.
pub(super) fn take_in(
    tx: &Transaction<'_>,
    scene: &Scene<'_>,
    opened: &Opened<'_>,
    believed: &Believed,
) -> Result<(ParcelsIn, Option<[u8; 16]>), Trouble> {
    let mut counts = ParcelsIn::default();
    if opened.component(ComponentType::Parcels).is_none() {
        return Ok((counts, None));
    }
    let Some(secret) = scene.secret else {
        return Err(Refusal::new(Code::SealBroken, "this gate has no recipient key").into());
    };
    let Some(reader) = opened.parcels(secret)? else { return Ok((counts, None)) };
    let nonce = reader.nonce();
    // What expired before the mint made this bundle is of no use to anyone; the mint's clock is proven, ours
    // is not.
    store::forget_expired(tx, opened.manifest().issued_at)?;
    for parcel in reader {
        let parcel = parcel?;
        match believed.believer().verify_carried(&parcel.token, scene.now) {
            Ok(claims) => {
                let new = keep(tx, opened.manifest().seq, &parcel, &claims)?;
                *if new { &mut counts.stored } else { &mut counts.repeated } += 1;
            }
            Err(refusal) if refusal.code() == farside_verify::Code::Expired => counts.expired += 1,
            Err(refusal) => {
                tracing::warn!(code = refusal.code().as_str(), "a carried token does not verify here");
                counts.refused += 1;
            }
        }
    }
    Ok((counts, Some(nonce)))
}

fn keep(tx: &Transaction<'_>, seq: u64, parcel: &Parcel, claims: &Verified<Claims>) -> Result<bool, Trouble> {
    let (claim_kind, claim) = match &parcel.claim {
        Claim::Phrase { sha256 } => ("phrase", sha256.as_str()),
        Claim::Key { jwk } => ("key", jwk.as_str()),
        Claim::File => ("file", ""),
    };
    // Whom the token is for, its own signed claims say; what the parcel says is a label.
    let row = ParcelRow {
        seq,
        subject: claims.subject().unwrap_or(&parcel.sub),
        audience: parcel.aud.as_deref(),
        token_id: claims.token_id().unwrap_or_default(),
        token: &parcel.token,
        issued_at: claims.issued_at().unwrap_or_default(),
        expires_at: claims.expires_at().unwrap_or_default(),
        claim_kind,
        claim,
        ssh: claims.confirmation().and_then(|bound| bound.ssh),
    };
    Ok(store::add_parcel(tx, &row)?)
}
