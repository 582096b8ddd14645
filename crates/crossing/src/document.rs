//! How every signed document is spelled: one line that says what it is and whom it binds, then one JSON
//! object.
//!
//! ```text
//! farside-keys/1 acme plant-7
//! { "realm": "acme", "site": "plant-7", "version": 3, … }
//! ```
//!
//! The first line separates the kinds from each other, so that a signature over one can never be shown as
//! another.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::refusal::{Code, Refusal};
use crate::role::{Believed, RoleName};
use crate::text::{check_integer, check_name};

/// What the documents addressed to one site have in common.
pub(crate) trait Document: Serialize + DeserializeOwned {
    /// First word of the first line, without the version.
    const KIND: &'static str;

    /// Realm, site, version, time of issue: every document has them.
    fn binding(&self) -> Binding<'_>;

    /// What the format demands beyond its types.
    fn check(&self) -> Result<(), Refusal>;
}

/// Whom a document binds, and which of its kind it is.
pub(crate) struct Binding<'d> {
    pub(crate) realm: &'d str,
    pub(crate) site: &'d str,
    pub(crate) version: u64,
    pub(crate) issued_at: u64,
}

/// The text to be signed.
pub(crate) fn write<D: Document>(document: &D) -> Result<String, Refusal> {
    check(document)?;
    let bound = document.binding();
    let json = to_json(document)?;
    Ok(format!("{}/1 {} {}\n{json}\n", D::KIND, bound.realm, bound.site))
}

/// Reads a document from a text that its role has signed, for one realm and site.
pub(crate) fn read<D: Document>(believed: &Believed<'_>, realm: &str, site: &str) -> Result<D, Refusal> {
    parse(believed.text(), realm, site)
}

fn parse<D: Document>(text: &str, realm: &str, site: &str) -> Result<D, Refusal> {
    let (line, json) = split(text)?;
    let [of_realm, of_site] = first_line(line, D::KIND)?;
    // bundle.md §6.1: the line binds, and the members must say the same.
    check_binding(of_realm, of_site, realm, site)?;
    let document: D = from_json(json)?;
    check(&document)?;
    let bound = document.binding();
    check_binding(bound.realm, bound.site, realm, site)?;
    Ok(document)
}

/// Reads a document that nobody has been seen to sign: for display alone.
pub(crate) fn review<D: Document>(text: &str) -> Result<D, Refusal> {
    let [realm, site] = first_line(split(text)?.0, D::KIND)?;
    parse(text, realm, site)
}

/// Reads a document that only release may sign.
pub(crate) fn read_released<D: Document>(
    believed: &Believed<'_>,
    realm: &str,
    site: &str,
) -> Result<D, Refusal> {
    if believed.role() != RoleName::Release {
        let detail = format!("{} signed by {}", D::KIND, believed.role().as_str());
        return Err(Refusal::new(Code::RoleForbidden, detail));
    }
    read(believed, realm, site)
}

/// The first line and the rest.
pub(crate) fn split(text: &str) -> Result<(&str, &str), Refusal> {
    text.split_once('\n').ok_or_else(|| Refusal::new(Code::Malformed, "a document of one line"))
}

/// The two words after `<kind>/1` on a first line.
pub(crate) fn first_line<'t>(line: &'t str, kind: &str) -> Result<[&'t str; 2], Refusal> {
    let malformed = || Refusal::new(Code::Malformed, format!("not a {kind} document"));
    let rest = line.strip_prefix(kind).and_then(|rest| rest.strip_prefix('/')).ok_or_else(malformed)?;
    let words: Vec<&str> = rest.split(' ').collect();
    match words[..] {
        ["1", one, two] => Ok([one, two]),
        ["1", ..] | [] => Err(malformed()),
        _ => Err(Refusal::new(Code::VersionUnsupported, format!("a {kind} of another version"))),
    }
}

/// Refuses what is not for `realm` and `site`.
pub(crate) fn check_binding(of_realm: &str, of_site: &str, realm: &str, site: &str) -> Result<(), Refusal> {
    if of_realm != realm {
        return Err(wrong(Code::WrongRealm, "realm", of_realm, realm));
    }
    if of_site != site {
        return Err(wrong(Code::WrongSite, "site", of_site, site));
    }
    Ok(())
}

/// One JSON object, refusing unknown and duplicate members (its type does) and anything after it.
pub(crate) fn from_json<T: DeserializeOwned>(json: &str) -> Result<T, Refusal> {
    serde_json::from_str(json).map_err(|error| {
        let place = format!("its JSON does not fit at line {} column {}", error.line(), error.column());
        Refusal::new(Code::Malformed, place)
    })
}

/// The same object, indented for people.
pub(crate) fn to_json<T: Serialize>(value: &T) -> Result<String, Refusal> {
    let json = serde_json::to_string_pretty(value)
        .map_err(|_| Refusal::new(Code::Malformed, "a document that cannot be written as JSON"))?;
    // bundle.md §2.2: raw JSON from elsewhere may bring tabs or empty lines, which no note can carry.
    if json.bytes().any(|b| b < 0x20 && b != b'\n') || json.contains("\n\n") {
        return Err(Refusal::new(Code::Malformed, "JSON with control characters or empty lines"));
    }
    Ok(json)
}

fn check<D: Document>(document: &D) -> Result<(), Refusal> {
    let bound = document.binding();
    check_name("realm", bound.realm)?;
    check_name("site", bound.site)?;
    check_integer("version", bound.version)?;
    check_integer("time of issue", bound.issued_at)?;
    if bound.version == 0 {
        return Err(Refusal::new(Code::Malformed, "versions begin at 1"));
    }
    document.check()
}

/// Names the two sides only where both are names; foreign text never reaches a terminal.
fn wrong(code: Code, what: &str, found: &str, expected: &str) -> Refusal {
    let found = check_name(what, found).map_or("something that is no name", |()| found);
    Refusal::new(code, format!("it is for {what} {found}, this is {expected}"))
}
