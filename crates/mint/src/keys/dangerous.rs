//! What no program may do: key files that cost nothing to try passphrases on. For simulations, which make
//! thousands of keys that guard nothing. `system-tests/tests/tidy.rs` refuses any use of it in a program.

use farside_service::secret_file::Secret;

use super::Passphrase;
use super::file::Cost;

/// The least that Argon2id takes.
const CHEAP: Cost = Cost { memory_kib: 8, passes: 1, lanes: 1 };

/// A passphrase whose new key files open in microseconds, for whoever guesses it as well.
pub fn dangerous_cheap_passphrase(secret: Secret) -> Passphrase {
    Passphrase { cost: CHEAP, ..Passphrase::new(secret) }
}
