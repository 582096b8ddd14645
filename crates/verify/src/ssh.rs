//! SSH public keys as OpenSSH writes them, for tokens that are bound to one (`cnf` with `ssh`).
//!
//! Refuses what is no key that sshd would take for a person: certificates, DSA, RSA under 2,048 bits, and
//! whatever is not spelled in the one way of RFC 4253 §6.6.

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Longest line that is looked at: an RSA key of 16,384 bits and a comment fit.
pub const SSH_KEY_BYTES_MAX: usize = 8192;

/// Smallest RSA modulus.
const RSA_BITS_MIN: usize = 2048;

/// What follows the type inside the blob.
#[derive(Clone, Copy)]
enum Parts {
    /// A key of this many bytes.
    Ed25519,
    /// The curve's name, and an uncompressed point of this many bytes.
    Ecdsa(&'static str, usize),
    /// Exponent and modulus.
    Rsa,
}

/// The types that are taken; `sk-` keys, which live in a hardware token, end with their application.
const TYPES: [(&str, Parts, bool); 7] = [
    ("ssh-ed25519", Parts::Ed25519, false),
    ("sk-ssh-ed25519@openssh.com", Parts::Ed25519, true),
    ("ecdsa-sha2-nistp256", Parts::Ecdsa("nistp256", 65), false),
    ("ecdsa-sha2-nistp384", Parts::Ecdsa("nistp384", 97), false),
    ("ecdsa-sha2-nistp521", Parts::Ecdsa("nistp521", 133), false),
    ("sk-ecdsa-sha2-nistp256@openssh.com", Parts::Ecdsa("nistp256", 65), true),
    ("ssh-rsa", Parts::Rsa, false),
];

/// An SSH public key of a kind that may stand for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SshKey {
    kind: &'static str,
    blob: Vec<u8>,
}

/// Why a text is no such key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SshKeyError {
    /// Longer than [`SSH_KEY_BYTES_MAX`].
    TooLarge,
    /// Its type is not one that is taken here: a certificate, DSA, or something unknown.
    Type,
    /// It is not spelled as RFC 4253 §6.6 and OpenSSH spell keys.
    Malformed,
    /// RSA under 2,048 bits.
    Weak,
}

impl std::fmt::Display for SshKeyError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            SshKeyError::TooLarge => "it is longer than any SSH public key",
            SshKeyError::Type => "its type is none of Ed25519, ECDSA and RSA",
            SshKeyError::Malformed => "it is not spelled as OpenSSH spells public keys",
            SshKeyError::Weak => "it is an RSA key of less than 2,048 bits",
        })
    }
}

impl std::error::Error for SshKeyError {}

impl SshKey {
    /// Reads one line of a `.pub` file: type, base64, perhaps a comment.
    ///
    /// ```
    /// use farside_verify::SshKey;
    /// let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f";
    /// assert_eq!(SshKey::parse(&format!("{key} ada@moon")).unwrap().line(), key);
    /// ```
    ///
    /// # Errors
    /// See [`SshKeyError`].
    // token.md §5.6
    pub fn parse(line: &str) -> Result<SshKey, SshKeyError> {
        if line.len() > SSH_KEY_BYTES_MAX {
            return Err(SshKeyError::TooLarge);
        }
        let mut words = line.split_ascii_whitespace();
        let named = words.next().unwrap_or_default();
        let known = TYPES.into_iter().find(|(kind, ..)| *kind == named);
        let (kind, parts, has_application) = known.ok_or(SshKeyError::Type)?;
        let blob = STANDARD.decode(words.next().unwrap_or_default()).map_err(|_| SshKeyError::Malformed)?;
        let mut rest = Rest(&blob);
        if rest.string()? != kind.as_bytes() {
            return Err(SshKeyError::Malformed);
        }
        rest.key(parts)?;
        if has_application {
            rest.string()?;
        }
        if rest.0.is_empty() { Ok(SshKey { kind, blob }) } else { Err(SshKeyError::Malformed) }
    }

    /// SHA-256 of the blob: what `ssh-keygen -l` prints, as bytes.
    pub fn fingerprint(&self) -> [u8; 32] {
        let mut fingerprint = [0; 32];
        fingerprint.copy_from_slice(digest::digest(&digest::SHA256, &self.blob).as_ref());
        fingerprint
    }

    /// Type and base64, as a line of `authorized_keys` begins with it; no comment.
    pub fn line(&self) -> String {
        format!("{} {}", self.kind, STANDARD.encode(&self.blob))
    }
}

/// What is left of a blob.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    /// RFC 4251 §5: four bytes of length, and as many bytes.
    fn string(&mut self) -> Result<&'a [u8], SshKeyError> {
        let (length, rest) = self.0.split_first_chunk::<4>().ok_or(SshKeyError::Malformed)?;
        let length = u32::from_be_bytes(*length) as usize;
        let (string, rest) = rest.split_at_checked(length).ok_or(SshKeyError::Malformed)?;
        self.0 = rest;
        Ok(string)
    }

    /// RFC 4251 §5: a positive number in as few bytes as it needs.
    fn number(&mut self) -> Result<&'a [u8], SshKeyError> {
        match self.string()? {
            [0, rest @ ..] if rest.first().is_some_and(|first| *first >= 0x80) => Ok(rest),
            number @ [1..=0x7f, ..] => Ok(number),
            _ => Err(SshKeyError::Malformed),
        }
    }

    fn key(&mut self, parts: Parts) -> Result<(), SshKeyError> {
        let fits = |fine| if fine { Ok(()) } else { Err(SshKeyError::Malformed) };
        match parts {
            Parts::Ed25519 => fits(self.string()?.len() == 32),
            Parts::Ecdsa(curve, bytes) => {
                fits(self.string()? == curve.as_bytes())?;
                let point = self.string()?;
                fits(point.len() == bytes && point[0] == 4)
            }
            Parts::Rsa => {
                self.number()?;
                let modulus = self.number()?;
                let bits = modulus.len() * 8 - modulus[0].leading_zeros() as usize;
                if bits < RSA_BITS_MIN { Err(SshKeyError::Weak) } else { Ok(()) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn string(bytes: &[u8]) -> Vec<u8> {
        let mut string = (bytes.len() as u32).to_be_bytes().to_vec();
        string.extend_from_slice(bytes);
        string
    }

    fn line(kind: &str, parts: &[&[u8]]) -> String {
        let blob: Vec<u8> = [kind.as_bytes()].iter().chain(parts).flat_map(|part| string(part)).collect();
        format!("{kind} {}", STANDARD.encode(blob))
    }

    fn read(kind: &str, parts: &[&[u8]]) -> Result<(), SshKeyError> {
        let line = line(kind, parts);
        SshKey::parse(&line).map(|key| assert_eq!(key.line(), line))
    }

    #[test]
    fn keys_of_people_are_read_and_nothing_else() {
        let (point, modulus) = ([4; 65], [&[0, 0x80][..], &[1; 255]].concat());
        assert_eq!(read("ssh-ed25519", &[&[7; 32]]), Ok(()));
        assert_eq!(read("sk-ssh-ed25519@openssh.com", &[&[7; 32], b"ssh:"]), Ok(()));
        assert_eq!(read("ecdsa-sha2-nistp256", &[b"nistp256", &point]), Ok(()));
        assert_eq!(read("ssh-rsa", &[&[1, 0, 1], &modulus]), Ok(()));
        let weak = [&[0x7f][..], &[1; 255]].concat();
        for (kind, parts, error) in [
            ("ssh-ed25519", &[&[7; 31][..]][..], SshKeyError::Malformed),
            ("ssh-ed25519", &[&[7; 32], b"more"], SshKeyError::Malformed),
            ("sk-ssh-ed25519@openssh.com", &[&[7; 32]], SshKeyError::Malformed),
            ("ecdsa-sha2-nistp256", &[b"nistp384", &point], SshKeyError::Malformed),
            ("ecdsa-sha2-nistp256", &[b"nistp256", &[2; 65]], SshKeyError::Malformed),
            ("ssh-rsa", &[&[1, 0, 1], &weak], SshKeyError::Weak),
            ("ssh-rsa", &[&[0, 1], &modulus], SshKeyError::Malformed),
            ("ssh-dss", &[&[1], &[1], &[1], &[1]], SshKeyError::Type),
            ("ssh-ed25519-cert-v01@openssh.com", &[&[7; 32]], SshKeyError::Type),
        ] {
            assert_eq!(read(kind, parts), Err(error), "{kind} {parts:?}");
        }
        // One type outside, another inside; cut short; not base64; an option before it; far too long.
        let inside = line("ssh-rsa", &[&[7; 32]]).replace("ssh-rsa ", "ssh-ed25519 ");
        let good = line("ssh-ed25519", &[&[7; 32]]);
        for wrong in [&inside, &good[..good.len() - 4], "ssh-ed25519", "ssh-ed25519 !", ""] {
            assert!(SshKey::parse(wrong).is_err(), "{wrong}");
        }
        assert_eq!(SshKey::parse(&format!("command=\"x\" {good}")), Err(SshKeyError::Type));
        assert_eq!(SshKey::parse(&"a".repeat(SSH_KEY_BYTES_MAX + 1)), Err(SshKeyError::TooLarge));
    }

    #[test]
    fn the_fingerprint_is_the_one_that_openssh_prints() {
        // ssh-keygen -lf, of OpenSSH 9.2: SHA256:…
        let key = SshKey::parse(include_str!("../../../vectors/ssh/ed25519.pub")).unwrap();
        let printed = include_str!("../../../vectors/ssh/ed25519.fingerprint").trim();
        let ours = format!("SHA256:{}", STANDARD.encode(key.fingerprint()));
        assert_eq!(ours.trim_end_matches('='), printed);
    }
}
