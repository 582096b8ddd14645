//! The site's recipient key: parcels are sealed to it at the mint and open only here. Its secret half is made
//! here and never leaves; the file is readable by the gate's user alone.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use farside_crossing::{RecipientPublic, RecipientSecret};
use farside_service::cli::Failure;
use farside_service::durable::{self, Mode};
use zeroize::Zeroizing;

/// First words of the file.
const KIND: &str = "farside-recipient-secret/1";

/// The file is one short line.
const FILE_BYTES_MAX: u64 = 4096;

/// Makes a new key; never overwrites one. Returns its public half.
///
/// # Errors
/// The file is there already, or cannot be written.
pub fn create(path: &Path, site: &str) -> Result<RecipientPublic, Failure> {
    let seed = Zeroizing::new(
        farside_service::random::bytes::<32>().map_err(|fault| Failure::could_not(fault.to_string()))?,
    );
    let line =
        Zeroizing::new(format!("{KIND} {site} {}\n", Zeroizing::new(URL_SAFE_NO_PAD.encode(*seed)).as_str()));
    durable::write_new(path, line.as_bytes(), Mode::Private)?;
    public_of(&RecipientSecret::from_seed(&seed), site)
}

/// Reads the key of `site`.
///
/// # Errors
/// The file is missing, open to other users, or not the key of this site.
pub fn read(path: &Path, site: &str) -> Result<RecipientSecret, Failure> {
    private(path)?;
    let bytes = Zeroizing::new(durable::read_limited(path, FILE_BYTES_MAX)?);
    let shown = path.display();
    let spoilt = || {
        Failure::could_not(format!("{shown} is not the recipient key of site {site}"))
            .hint("restore it from a copy, or make a new gate and enrol it again")
    };
    let text = std::str::from_utf8(&bytes).map_err(|_| spoilt())?;
    let mut words = text.trim_end().split(' ');
    let (Some(KIND), Some(named), Some(seed), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(spoilt());
    };
    if named != site {
        return Err(spoilt());
    }
    let seed = Zeroizing::new(URL_SAFE_NO_PAD.decode(seed).map_err(|_| spoilt())?);
    let seed: Zeroizing<[u8; 32]> = Zeroizing::new(seed.as_slice().try_into().map_err(|_| spoilt())?);
    Ok(RecipientSecret::from_seed(&seed))
}

/// Whoever can read this key can open every parcel of the site.
fn private(path: &Path) -> Result<(), Failure> {
    use std::os::unix::fs::PermissionsExt as _;
    let Ok(metadata) = std::fs::metadata(path) else { return Ok(()) };
    if metadata.permissions().mode() & 0o077 == 0 {
        return Ok(());
    }
    let shown = path.display();
    Err(Failure::could_not(format!("{shown} can be read by other users"))
        .hint(format!("run `chmod 600 {shown}`")))
}

fn public_of(secret: &RecipientSecret, site: &str) -> Result<RecipientPublic, Failure> {
    secret.public(site).map_err(|refusal| Failure::could_not(refusal.to_string()))
}
