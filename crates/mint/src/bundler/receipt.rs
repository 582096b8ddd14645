//! What a site says it has applied: codes that only its gate can have made, each of which counts once, and
//! long receipts that say more.
//!
//! Whoever enters a wrong code is told what is wrong with it. What proves nothing is counted, and after a
//! few of them the site has to wait: ten characters prove fifty bits, and nobody is to try them all.

use farside_crossing::long_receipt::UnprovenReceipt;
use farside_crossing::{LongReceipt, ReceiptCode, ReceiptKey};
use rusqlite::{Connection, OptionalExtension};

use super::content::read_digest;
use super::{BundleFault, NONCE_BYTES, expected_receipt};
use crate::store::{Store, StoreFault, signed, unsigned};

/// How many wrong codes a site may enter within [`GUESS_WINDOW_SECONDS`].
pub const GUESSES_MAX: u64 = 5;
/// For how long a wrong code counts.
pub const GUESS_WINDOW_SECONDS: u64 = 900;

/// Why a code was not taken. Nothing is marked as applied then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReceiptFault {
    /// The site is unknown.
    #[error("there is no site {0}")]
    NoSite(String),
    /// Nothing secret crosses to the site, so nothing that comes back proves anything.
    #[error("site {0} is unsealed: whoever saw a bundle could make any code, so none is believed")]
    Unsealed(String),
    /// No bundle has that number.
    #[error("no bundle {seq} was made for site {site}")]
    NoBundle {
        /// The site.
        site: String,
        /// The number.
        seq: u64,
    },
    /// A beacon has no sealed part.
    #[error("bundle {seq} of site {site} is a beacon, which has no receipt")]
    Beacon {
        /// The site.
        site: String,
        /// The number.
        seq: u64,
    },
    /// The code has been entered before.
    #[error("bundle {seq} of site {site} was receipted already, at {}", farside_service::time::rfc3339(*.at))]
    Already {
        /// The site.
        site: String,
        /// The number.
        seq: u64,
        /// When.
        at: u64,
    },
    /// The right code of another bundle.
    #[error("this is the code of bundle {of}, not of bundle {seq}")]
    OfAnother {
        /// The site.
        site: String,
        /// The number that was said.
        seq: u64,
        /// Whose code it is.
        of: u64,
    },
    /// Nobody's code.
    #[error("this code is not the receipt of bundle {seq} of site {site}, nor of any other of its bundles")]
    Wrong {
        /// The site.
        site: String,
        /// The number.
        seq: u64,
    },
    /// Too many that were nobody's.
    #[error("too many wrong codes for site {site}; wait {}", farside_service::duration::about(*.wait_seconds))]
    TooMany {
        /// The site.
        site: String,
        /// How long.
        wait_seconds: u64,
    },
    /// The database failed.
    #[error("{0}")]
    Store(#[from] StoreFault),
}

impl ReceiptFault {
    /// Whether somebody entered a code that is not what it was said to be: for the journal.
    pub fn is_wrong_code(&self) -> bool {
        matches!(self, Self::OfAnother { .. } | Self::Wrong { .. } | Self::TooMany { .. })
    }
}

impl From<rusqlite::Error> for ReceiptFault {
    fn from(fault: rusqlite::Error) -> Self {
        Self::Store(fault.into())
    }
}

impl From<ReceiptFault> for farside_service::cli::Failure {
    fn from(fault: ReceiptFault) -> Self {
        let sentence = fault.to_string();
        match fault {
            ReceiptFault::Store(fault) => fault.into(),
            ReceiptFault::Unsealed(_) => Self::refused(sentence)
                .hint("its keys take over once a courier interval has passed; no receipt makes that shorter"),
            ReceiptFault::Beacon { .. } => Self::refused(sentence).hint(
                "the gate shows the code of the bundle with content that it applied last, and its number",
            ),
            ReceiptFault::OfAnother { site, of, .. } => Self::refused(sentence)
                .hint(format!("if that was meant: mint bundle receipt --site {site} --seq {of} CODE")),
            ReceiptFault::Already { .. } => {
                Self::refused(sentence).hint("a code counts once; nothing was changed")
            }
            ReceiptFault::Wrong { .. } => Self::refused(sentence)
                .hint("have number and code read out again, as `farside gate receipt` shows them"),
            ReceiptFault::NoBundle { .. } => {
                Self::refused(sentence).hint("`mint bundle list` shows the bundles that were made")
            }
            ReceiptFault::NoSite(_) | ReceiptFault::TooMany { .. } => Self::refused(sentence),
        }
    }
}

/// Takes a code: the bundle is marked as applied, once.
///
/// # Errors
/// [`ReceiptFault`]: nothing was marked.
// bundle.md §12.5
pub fn receipt(
    store: &Store,
    site: &str,
    seq: u64,
    code: &ReceiptCode,
    now: u64,
) -> Result<(), ReceiptFault> {
    // What was refused is counted in the same transaction, so a refusal must not undo it.
    store.write(|tx| Ok::<_, ReceiptFault>(Entry { tx, site, seq, code, now }.take()))?
}

/// A code that is being entered.
struct Entry<'a> {
    tx: &'a Connection,
    site: &'a str,
    seq: u64,
    code: &'a ReceiptCode,
    now: u64,
}

impl Entry<'_> {
    fn take(&self) -> Result<(), ReceiptFault> {
        let Self { tx, seq, now, .. } = *self;
        let site = || self.site.to_owned();
        let sealed = tx.query_row("SELECT sealed FROM site WHERE name = ?1", [self.site], |row| row.get(0));
        if !sealed.optional()?.ok_or_else(|| ReceiptFault::NoSite(site()))? {
            return Err(ReceiptFault::Unsealed(site()));
        }
        let none = || ReceiptFault::NoBundle { site: site(), seq };
        let (kind, receipted_at) = self.bundle()?.ok_or_else(none)?;
        if kind == "beacon" {
            return Err(ReceiptFault::Beacon { site: site(), seq });
        }
        self.may_try()?;
        match self.whose()? {
            Some(of) if of == seq => {}
            Some(of) => return Err(ReceiptFault::OfAnother { site: site(), seq, of }),
            None => {
                tx.execute(
                    "INSERT INTO receipt_refused (site, at) VALUES (?1, ?2)",
                    (self.site, signed(now)),
                )?;
                return Err(ReceiptFault::Wrong { site: site(), seq });
            }
        }
        if let Some(at) = receipted_at {
            return Err(ReceiptFault::Already { site: site(), seq, at });
        }
        tx.execute(
            "UPDATE bundle SET receipted_at = ?3 WHERE site = ?1 AND seq = ?2",
            (self.site, signed(seq), signed(now)),
        )?;
        tx.execute("DELETE FROM receipt_refused WHERE site = ?1", [self.site])?;
        Ok(())
    }

    fn bundle(&self) -> Result<Option<(String, Option<u64>)>, rusqlite::Error> {
        let select = "SELECT kind, receipted_at FROM bundle WHERE site = ?1 AND seq = ?2";
        let row = self.tx.query_row(select, (self.site, signed(self.seq)), |row| {
            Ok((row.get(0)?, row.get::<_, Option<i64>>(1)?.map(unsigned)))
        });
        row.optional()
    }

    /// Refuses whoever has guessed too often. A clock set back forgives nothing.
    fn may_try(&self) -> Result<(), ReceiptFault> {
        let since = self.now.saturating_sub(GUESS_WINDOW_SECONDS);
        self.tx.execute(
            "DELETE FROM receipt_refused WHERE site = ?1 AND at <= ?2",
            (self.site, signed(since)),
        )?;
        let (count, oldest) = self.tx.query_row(
            "SELECT count(*), coalesce(min(at), 0) FROM receipt_refused WHERE site = ?1",
            [self.site],
            |row| Ok((row.get(0).map(unsigned)?, row.get(1).map(unsigned)?)),
        )?;
        if count < GUESSES_MAX {
            return Ok(());
        }
        let wait_seconds = (oldest + GUESS_WINDOW_SECONDS).saturating_sub(self.now);
        Err(ReceiptFault::TooMany { site: self.site.to_owned(), wait_seconds })
    }

    /// The bundle of this site whose code it is.
    fn whose(&self) -> Result<Option<u64>, ReceiptFault> {
        let mut statement = self.tx.prepare(
            "SELECT seq, nonce, digest FROM bundle WHERE site = ?1 AND nonce IS NOT NULL ORDER BY seq DESC",
        )?;
        let mut rows = statement.query([self.site])?;
        while let Some(row) = rows.next()? {
            let (seq, nonce) = (row.get(0).map(unsigned)?, row.get::<_, [u8; NONCE_BYTES]>(1)?);
            if expected_receipt(&nonce, seq, &read_digest(row.get(2)?)?) == *self.code {
                return Ok(Some(seq));
            }
        }
        Ok(None)
    }
}

/// Believes a long receipt: only the site's gate can have written it, for that bundle. Marks nothing.
///
/// # Errors
/// [`BundleFault::NoReceipt`]: it is another bundle's, or was changed.
pub fn prove_receipt(store: &Store, unproven: UnprovenReceipt) -> Result<LongReceipt, BundleFault> {
    let LongReceipt { site, seq, .. } = unproven.unproven();
    let row = store.read(|transaction| {
        let select = "SELECT nonce, digest FROM bundle WHERE site = ?1 AND seq = ?2";
        let row = transaction.query_row(select, (site, signed(*seq)), |row| {
            Ok((row.get::<_, Option<[u8; NONCE_BYTES]>>(0)?, row.get::<_, String>(1)?))
        });
        row.optional().map_err(StoreFault::from)
    })?;
    let none = || BundleFault::NoReceipt(site.clone(), *seq);
    let (Some(nonce), digest) = row.ok_or_else(none)? else { return Err(none()) };
    let key = ReceiptKey::new(&nonce, *seq, &read_digest(digest)?);
    let none = none();
    unproven.prove(&key).map_err(|_| none)
}
