//! `mint site enrol`: a site added and its gate's key entered, walked through at the terminal. Nothing is
//! added before the words of the gate's people have been typed, and they are not shown before that.

use clap::Args;
use farside_crossing::{ExpectedFingerprint, RecipientPublic};
use farside_service::cli::{Failure, ask, ask_or, ask_until, confirm, say};
use farside_service::duration::Seconds;
use serde_json::json;
use std::path::Path;

use super::at_hand::AtHand;
use super::site::{New, another_key, enrol, listed};
use super::{Program, read_text, terms};
use crate::ceremony;
use crate::site;
use crate::store::SiteTerms;

/// What a person answers where nothing ever comes back from a site.
const NOTHING: &str = "none";
/// How a recipient's line begins (bundle.md §9.1): so a pasted one is told from the name of a file.
const LINE_BEGINS: &str = "farside-recipient/";

/// A site to be walked through.
#[derive(Debug, Args)]
pub struct Enrol {
    /// Its name: a-z, 0-9, `-` and `_`.
    name: String,
    #[command(flatten)]
    at_hand: AtHand,
}

impl Enrol {
    pub(super) fn run(&self, program: &Program) -> Result<(), Failure> {
        let (mint, name) = (program.mint()?, &self.name);
        let store = mint.store()?;
        let directory = store.directory()?;
        let known = directory.site(name);
        if known.is_some_and(|site| !site.terms.sealed) {
            return Err(site::SiteFault::Unsealed(name.clone()).into());
        }
        say("Two fingerprints are compared by people: have somebody at the gate on the telephone.\n")?;
        if let Some(charter) = ceremony::chain(&store)?.last() {
            say(&format!(
                "1. The gate's people need charter.note (`mint charter export`), and these words from you:\n\n   \
                 {}\n",
                charter.fingerprint().words()
            ))?;
        }
        let recipient = self.recipient(known.is_none())?;
        if let (Some(_), Some(recipient)) = (known, &recipient) {
            enrol(&store, &mint.diary()?, name, recipient)?;
            return program.output.say(
                || format!("Site {name} is enrolled: its bundles are sealed to key {}.", recipient.key_id()),
                &json!({ "site": name, "key_id": recipient.key_id() }),
            );
        }
        let terms = self.terms(recipient.is_some())?;
        let new = New { name, terms: &terms, recipient: recipient.as_ref() };
        new.add(&mint, &store, &mint.diary()?, &self.at_hand, program.output)
    }

    /// The gate's key, once its people's words have been typed; `None` where nothing ever comes back.
    fn recipient(&self, new: bool) -> Result<Option<RecipientPublic>, Failure> {
        let none = if new { ", or `none` where nothing may ever come back" } else { "" };
        let answer = ask(&format!("2. The line that the gate shows: its file, or the line itself{none}:"))?;
        let answer = answer.trim();
        if new && answer == NOTHING {
            let costs = terms::usual(false).costs();
            let question =
                format!("   Then nothing is sealed to {}:\n{}\n   Is that meant?", self.name, listed(&costs));
            return match confirm(&question)? {
                true => Ok(None),
                false => Err(Failure::refused("nothing was added").hint("carry the gate's line here")),
            };
        }
        let line = match answer.starts_with(LINE_BEGINS) {
            true => answer.to_owned(),
            false => read_text(Path::new(answer))?,
        };
        let recipient = site::read_recipient(&self.name, &line)?;
        let question = "   Type the sixteen words that the gate's people read out:";
        let told = ask_until(question, str::parse::<ExpectedFingerprint>)?;
        if !told.matches(&recipient.fingerprint()) {
            return Err(another_key(&recipient));
        }
        say("   They are the same.")?;
        Ok(Some(recipient))
    }

    /// What nobody can choose for a site, and what most depends on the way there; the rest as usual.
    fn terms(&self, sealed: bool) -> Result<SiteTerms, Failure> {
        let mut chosen = terms::usual(sealed);
        let issuer = ask("3. The gate's URL, the issuer of the site's tokens:")?;
        issuer.trim().clone_into(&mut chosen.issuer);
        let audiences = ask("4. The audiences its tokens are for, parted by spaces:")?;
        chosen.audiences = audiences.split_whitespace().map(terms::audience).collect();
        let time = |question: &str, usual: u64| -> Result<u64, Failure> {
            let answer = ask_or(question, &Seconds(usual).to_string())?;
            Ok(answer.parse::<Seconds>()?.0)
        };
        chosen.courier_seconds = time("5. How long a bundle may take to arrive", chosen.courier_seconds)?;
        chosen.every_seconds = time("6. How often a bundle is made", chosen.every_seconds)?;
        Ok(chosen)
    }
}
