//! The main job, act by act: found a realm, let both sides know each other, issue, carry, admit.

use std::net::SocketAddr;

use farside_service::cli::{Failure, OrFailure};
use serde_json::Value;

use super::bot::{ASSERTION_TYPE, Bot};
use super::door::Door;
use super::http;
use super::stage::{Stage, free_address};

/// The audience of the site's control room.
pub(crate) const CONTROL: &str = "https://control.dome.example";
/// The audience of its archive.
pub(crate) const ARCHIVE: &str = "https://archive.dome.example";

const PEOPLE: &str = "\
kind,name,roles,groups
group,crew,,
person,ada,operator,crew
person,grace,,crew
bot,lander-7,telemetry,
";

/// Addresses and the one key that is not Farside's.
pub(crate) struct Journey {
    mint: SocketAddr,
    mint_admin: SocketAddr,
    gate: SocketAddr,
    gate_admin: SocketAddr,
    bot: Bot,
}

impl Journey {
    /// Finds free ports, a bot and a stick.
    pub(crate) fn plan(stage: &Stage) -> Result<Journey, Failure> {
        stage.make_folder("stick")?;
        Ok(Journey {
            mint: free_address()?,
            mint_admin: free_address()?,
            gate: free_address()?,
            gate_admin: free_address()?,
            bot: Bot::new("lander-7")?,
        })
    }

    /// The control room's door.
    pub(crate) fn control(&self) -> Door<'static> {
        Door { address: self.gate, audience: CONTROL }
    }

    /// Act one: a realm, its charter, its people.
    pub(crate) fn found(&self, stage: &mut Stage) -> Result<(), Failure> {
        stage.story.act("The near side founds a realm");
        stage.step("Found the realm. Its charter names who may sign what; every key is encrypted on disk.");
        stage.put_secret("near.passphrase", "correct horse battery staple\n")?;
        let (listen, admin) = (self.mint, self.mint_admin);
        stage.farside(&format!(
            "mint init --dir near --realm moonbase --passphrase-file near.passphrase \
             --listen {listen} --admin {admin}"
        ))?;

        stage.step("Fill the directory from a file: first see what would change, then change it.");
        stage.put("people.csv", PEOPLE)?;
        stage.farside("mint directory import people.csv --dry-run --config near/mint.toml")?;
        stage.farside("mint directory import people.csv --config near/mint.toml")?;

        stage.step("A bot brings its public key. Its private key stays where it was made.");
        stage.put("lander-7.jwk", self.bot.jwk()?)?;
        stage.farside("mint bot key lander-7 --jwk lander-7.jwk --config near/mint.toml")?;
        Ok(())
    }

    /// Act two: both sides get to know each other, once, by eye.
    pub(crate) fn synchronise(&self, stage: &mut Stage) -> Result<(), Failure> {
        stage.story.act("Both sides are synchronised, once and by eye");
        stage.step("The far side makes its gate, and with it the key that bundles are sealed to.");
        let (listen, admin) = (self.gate, self.gate_admin);
        let init = format!("gate init --dir far --site dome --listen {listen} --admin {admin} --json");
        let recipient = text(&stage.quietly(&init)?.json()?, "words")?;
        stage.story.answer(&format!("The words of its recipient key: {recipient}"));

        stage.step("The charter crosses. Its fingerprint is read out on one side and typed on the other.");
        stage.quietly("mint charter export --out stick/charter.note --config near/mint.toml")?;
        let shown = stage.quietly("mint charter show --json --config near/mint.toml")?.json()?;
        let words = text(&shown, "words")?;
        stage.story.answer(&format!("The words of the charter: {words}"));
        stage.farside(&format!(
            "gate trust stick/charter.note --fingerprint \"{words}\" --config far/gate.toml"
        ))?;

        stage.step("The gate's recipient key is carried back: the only thing that ever is. Its words agree.");
        stage.put("recipient.pub", stage.get("far/recipient.pub")?)?;
        stage.farside(&format!(
            "mint site add dome --issuer http://{} --audience {CONTROL} --audience {ARCHIVE} \
             --recipient recipient.pub --fingerprint \"{recipient}\" --leeway 1s --config near/mint.toml",
            self.gate
        ))?;

        stage.step("The site gets a signing key. Its calendar crosses before the key is needed.");
        stage.farside("mint keys new --site dome --config near/mint.toml")?;
        Ok(())
    }

    /// Act three: tokens, over HTTP and by command.
    pub(crate) fn issue(&self, stage: &mut Stage) -> Result<(), Failure> {
        stage.story.act("Tokens are issued");
        stage.step("The mint serves its OAuth token endpoint.");
        stage.serve("mint serve --config near/mint.toml", self.mint)?;

        stage.step("The bot asks for a token (client_credentials) and proves its key (private_key_jwt).");
        let token = self.ask(stage, CONTROL)?;
        stage.put("lander-7.jwt", &token)?;
        stage.story.admitted(&format!(
            "a token of {} bytes; its log leaf was durable before it was released",
            token.len()
        ));

        stage.step("An operator issues one by command, which will live for a second only.");
        let issue = "mint token issue --site dome --subject grace --config near/mint.toml";
        stage.farside(&format!("{issue} --audience {CONTROL} --lifetime 1s --out short.jwt"))?;

        stage.step("Ada works behind the gap: a standing order keeps a token on its way to her.");
        let order = "mint order add --site dome --subject ada --lifetime 8h --claim phrase";
        let line = format!("{order} --audience {CONTROL} --json --config near/mint.toml");
        let phrase = text(&stage.quietly(&line)?.json()?, "phrase")?;
        stage.story.answer(&format!("Ada is told her claim phrase: {phrase}"));
        stage.put_secret("ada.phrase", &format!("{phrase}\n"))?;
        Ok(())
    }

    fn ask(&self, stage: &mut Stage, audience: &str) -> Result<String, Failure> {
        stage.story.command(&format!(
            "curl -d grant_type=client_credentials -d audience={audience} -d client_assertion=… \
             http://{}/oauth2/token",
            self.mint
        ));
        let metadata = http::get(self.mint, "/.well-known/oauth-authorization-server", &[])?;
        let metadata: Value =
            serde_json::from_str(&metadata.body).or_could_not(|| "read the metadata".into())?;
        let assertion = self.bot.assertion(&text(&metadata, "token_endpoint")?)?;
        let form = [
            ("grant_type", "client_credentials"),
            ("audience", audience),
            ("client_assertion_type", ASSERTION_TYPE),
            ("client_assertion", &assertion),
        ];
        let answer = http::post_form(self.mint, "/oauth2/token", &form)?;
        let answer: Value = serde_json::from_str(&answer.body).or_could_not(|| "read the answer".into())?;
        text(&answer, "access_token")
    }

    /// Act four: the first bundle crosses.
    pub(crate) fn cross(&self, stage: &mut Stage) -> Result<(), Failure> {
        stage.story.act("Bundle 1 crosses the gap");
        stage
            .step("Pack what the site needs: charter, keys, policy, revocations, log leaves, sealed tokens.");
        let made = stage.farside("mint bundle make --site dome --json --config near/mint.toml")?.json()?;
        let path = text(&made, "path")?;
        stage.farside(&format!("bundle inspect {path}"))?;

        stage.step("A ferry writes it to the stick, reads it back and compares; another takes it off.");
        stage.farside("ferry send --from near/outbox/dome --to stick")?;
        stage.farside("ferry receive --from stick --to far/inbox")?;

        stage.step("The gate checks it whole and applies it in one transaction.");
        let imported = stage.quietly("gate import far/inbox --json --config far/gate.toml")?.json()?;
        stage.story.admitted(&format!("{}: {}", text(&imported, "file")?, text(&imported, "outcome")?));

        stage.step("Twelve characters, read out over any telephone, prove to the mint that it arrived.");
        let receipt = text(&stage.quietly("gate receipt --json --config far/gate.toml")?.json()?, "code")?;
        stage
            .farside(&format!("mint bundle receipt --site dome --seq 1 {receipt} --config near/mint.toml"))?;
        Ok(())
    }

    /// Act five: the holders are let in.
    pub(crate) fn admit(&self, stage: &mut Stage) -> Result<(), Failure> {
        stage.story.act("The far side opens its doors");
        stage.step("Start the gate. It opens no outgoing socket, ever.");
        stage.serve("gate serve --config far/gate.toml", self.gate)?;

        stage.step("Ada collects the token that was carried for her.");
        let pickup = "gate pickup --subject ada --phrase-file ada.phrase --json --config far/gate.toml";
        let token = text(&stage.quietly(pickup)?.json()?, "token")?;
        stage.put("ada.jwt", &token)?;
        self.control().admits(&stage.story, &token)?;

        stage.step("The bot brought its own.");
        let token = stage.text("lander-7.jwt")?;
        self.control().admits(&stage.story, &token)
    }

    /// What to try while both sides run.
    pub(crate) fn invite(&self, stage: &mut Stage) -> Result<(), Failure> {
        let folder = stage.folder().display().to_string();
        let story = &stage.story;
        story.act("Both sides run, until you press Ctrl-C");
        story.tell(&format!("mint  http://{}   (metrics: http://{}/metrics)", self.mint, self.mint_admin));
        story.tell(&format!("gate  http://{}   (metrics: http://{}/metrics)", self.gate, self.gate_admin));
        story.tell(&format!("Try, in {folder}:"));
        story.command("farside gate status --config far/gate.toml");
        story.command("farside gate check --config far/gate.toml - < ada.jwt");
        story.command(&format!(
            "curl -i -H \"Authorization: Bearer $(cat ada.jwt)\" 'http://{}/verify?aud={CONTROL}'",
            self.gate
        ));
        Ok(())
    }
}

/// A member that must be there.
pub(crate) fn text(value: &Value, name: &str) -> Result<String, Failure> {
    let text = value[name].as_str().map(str::to_owned);
    text.ok_or_else(|| Failure::could_not(format!("an answer has no member `{name}`: {value}")))
}
