//! What may be written into a token, a folder name or a terminal: names without control characters, without
//! characters that change the direction of reading, and not longer than anybody needs.

/// Longest subject, role, group, audience or issuer, in bytes.
pub const CLAIM_BYTES_MAX: usize = 256;
/// Longest realm or key name, in bytes.
pub const NAME_BYTES_MAX: usize = 64;
/// Longest site name, in bytes: with a replica's name it must fit a log shard's 32.
pub const SITE_BYTES_MAX: usize = 24;

/// Why a name cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameFault {
    /// Nothing stands there.
    #[error("the {0} is empty")]
    Empty(&'static str),
    /// It is longer than its limit.
    #[error("the {what} is longer than {bytes_max} bytes")]
    Long {
        /// What it names.
        what: &'static str,
        /// The limit.
        bytes_max: usize,
    },
    /// It holds a character that no token of ours carries.
    #[error("the {0} holds a space, a control character or one that changes the direction of reading")]
    Character(&'static str),
    /// It is to become a file or note name.
    #[error("`{name}` cannot name a {what}: use a-z, 0-9, `-` and `_`, beginning with a letter or digit")]
    Plain {
        /// What it names.
        what: &'static str,
        /// The name, which holds no control characters.
        name: String,
    },
}

/// A subject, role, group, audience, issuer or client id.
// token.md: claims that name someone or something hold no control and no direction-changing characters.
pub fn claim(what: &'static str, name: &str) -> Result<(), NameFault> {
    if name.is_empty() {
        return Err(NameFault::Empty(what));
    }
    if name.len() > CLAIM_BYTES_MAX {
        return Err(NameFault::Long { what, bytes_max: CLAIM_BYTES_MAX });
    }
    let forbidden = |c: char| c.is_control() || c.is_whitespace() || changes_direction(c);
    if name.chars().any(forbidden) { Err(NameFault::Character(what)) } else { Ok(()) }
}

/// A site's name: a folder, a shard and a word in notes at once.
pub fn site(name: &str) -> Result<(), NameFault> {
    plain("site", name, SITE_BYTES_MAX)
}

/// A realm's name.
pub fn realm(name: &str) -> Result<(), NameFault> {
    claim("realm", name)?;
    let legal = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    if name.len() > NAME_BYTES_MAX {
        return Err(NameFault::Long { what: "realm", bytes_max: NAME_BYTES_MAX });
    }
    if name.bytes().all(legal) {
        Ok(())
    } else {
        Err(NameFault::Plain { what: "realm", name: name.to_owned() })
    }
}

/// The name of a signer.
pub fn key(name: &str) -> Result<(), NameFault> {
    plain("key", name, NAME_BYTES_MAX)
}

/// A line of prose that people and terminals will show.
pub fn sentence(what: &'static str, text: &str, bytes_max: usize) -> Result<(), NameFault> {
    if text.is_empty() {
        return Err(NameFault::Empty(what));
    }
    if text.len() > bytes_max {
        return Err(NameFault::Long { what, bytes_max });
    }
    let forbidden = |c: char| c.is_control() || changes_direction(c);
    if text.chars().any(forbidden) { Err(NameFault::Character(what)) } else { Ok(()) }
}

/// A list of names as the database keeps it.
pub(crate) fn list(names: &[String]) -> String {
    serde_json::Value::from(names.to_vec()).to_string()
}

fn plain(what: &'static str, name: &str, bytes_max: usize) -> Result<(), NameFault> {
    claim(what, name)?;
    if name.len() > bytes_max {
        return Err(NameFault::Long { what, bytes_max });
    }
    let legal = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
    let begins = name.starts_with(|c: char| c.is_ascii_alphanumeric());
    if begins && name.bytes().all(legal) {
        Ok(())
    } else {
        Err(NameFault::Plain { what, name: name.to_owned() })
    }
}

/// Unicode's marks, embeddings, overrides and isolates of direction, and the invisible joiners beside them.
fn changes_direction(c: char) -> bool {
    let marks = matches!(c, '\u{061C}' | '\u{200B}'..='\u{200F}' | '\u{FEFF}');
    marks || matches!(c, '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_names_that_read_as_another() {
        assert!(claim("subject", "anna@acme.example").is_ok());
        for hostile in ["", "a b", "a\nb", "a\u{202E}b", "a\u{200B}b", &"x".repeat(257)] {
            assert!(claim("subject", hostile).is_err(), "{hostile:?}");
        }
    }

    #[test]
    fn a_site_cannot_leave_its_folder() {
        assert!(site("plant-7").is_ok());
        for hostile in ["..", "a/b", "-x", "A", "a.b", &"x".repeat(25)] {
            assert!(site(hostile).is_err(), "{hostile:?}");
        }
    }
}
