//! What is refused, each a real attempt at the real gate: five tokens, then three bundles, then a token
//! signed with the site's own key.

use std::time::Duration;

use farside_service::cli::{Failure, OrFailure};
use farside_service::time;
use farside_verify::encode;
use serde_json::Value;

use super::bot::Bot;
use super::door::said;
use super::journey::{ARCHIVE, CONTROL, Journey, text};
use super::stage::Stage;
use super::thief;

const ISSUE: &str = "mint token issue --config near/mint.toml";

/// Tokens that no door takes.
pub(crate) fn tokens(stage: &mut Stage, journey: &Journey) -> Result<(), Failure> {
    let door = journey.control();
    stage.story.act("Tokens that are refused");

    stage.step("Tampered: the bot writes itself another role into its token.");
    let token = stage.text("lander-7.jwt")?;
    door.refuses(&stage.story, &tampered(&token)?, "signature_invalid")?;

    stage.step("For another audience: a token for the archive, shown at the control room's door.");
    stage.quietly(&format!("{ISSUE} --site dome --subject ada --audience {ARCHIVE} --out archive.jwt"))?;
    let token = stage.text("archive.jwt")?;
    door.refuses(&stage.story, &token, "audience_mismatch")?;

    stage.step("Expired: the token that was to live for a second.");
    let token = stage.text("short.jwt")?;
    wait_past(&token)?;
    door.refuses(&stage.story, &token, "expired")?;

    stage.step("Unknown key: a token of another site, good there, signed with that site's key.");
    stage.quietly(
        "mint site add crater --issuer https://gate.crater.example --audience https://crater.example \
         --unsealed --config near/mint.toml",
    )?;
    stage.quietly("mint keys new --site crater --config near/mint.toml")?;
    stage.quietly(&format!(
        "{ISSUE} --site crater --subject ada --audience https://crater.example --out crater.jwt"
    ))?;
    let token = stage.text("crater.jwt")?;
    door.refuses(&stage.story, &token, "key_unknown")?;

    stage.step("Ahead of the gate: bundle 2 is made and kept back, and a fresh token is brought instead.");
    stage.quietly("mint bundle make --site dome --kind full --config near/mint.toml")?;
    stage.quietly(&format!("{ISSUE} --site dome --subject ada --audience {CONTROL} --out fresh.jwt"))?;
    let token = stage.text("fresh.jwt")?;
    door.refuses(&stage.story, &token, "floor_ahead")?;
    stage.story.tell("Nobody brings fresh tokens to a gate that is kept stale. With bundle 2 it is let in:");
    stage.farside("ferry send --from near/outbox/dome --to stick")?;
    stage.quietly("gate import stick --config far/gate.toml")?;
    door.admits(&stage.story, &token)
}

/// Waits, if need be, until a token's second and the site's leeway of one more have passed.
fn wait_past(token: &str) -> Result<(), Failure> {
    let (_, claims, _) = parts(token)?;
    let over = claims["exp"].as_u64().unwrap_or(0) + 2;
    std::thread::sleep(Duration::from_secs(over.saturating_sub(time::now_unix())));
    Ok(())
}

fn parts(token: &str) -> Result<(&str, Value, &str), Failure> {
    let broken = || Failure::could_not("a token does not have three parts");
    let (head, signature) = token.rsplit_once('.').ok_or_else(broken)?;
    let (header, claims) = head.split_once('.').ok_or_else(broken)?;
    let claims = encode::base64url_decode(claims).ok_or_else(broken)?;
    let claims = serde_json::from_slice(&claims).or_could_not(|| "read the claims".into())?;
    Ok((header, claims, signature))
}

/// The token with its roles changed, its signature as it was.
fn tampered(token: &str) -> Result<String, Failure> {
    let (header, mut claims, signature) = parts(token)?;
    claims["roles"] = serde_json::json!(["operator"]);
    Ok(format!("{header}.{}.{signature}", encode::base64url(claims.to_string())))
}

/// Bundles that no gate takes.
pub(crate) fn bundles(stage: &mut Stage, journey: &Journey) -> Result<(), Failure> {
    stage.story.act("Bundles that are refused");

    stage.step("Replayed: somebody offers bundle 1 again, after bundle 2.");
    let [first, second] = ["1", "2"].map(|seq| format!("near/outbox/dome/dome-0000000{seq}.fbundle"));
    refused(stage, &first, "rollback")?;

    stage.step("Cut short: the last kilobyte of bundle 3 is lost on the way.");
    let made = stage.quietly("mint bundle make --site dome --kind full --json --config near/mint.toml")?;
    let mut third = stage.get(&text(&made.json()?, "path")?)?;
    third.truncate(third.len().saturating_sub(1024));
    stage.put("stick/short.fbundle", third)?;
    refused(stage, "stick/short.fbundle", "truncated")?;

    stage.step("Forged: a thief has the mint's whole server, and adds a key of its own.");
    let forged = thief::forge(
        &stage.path("near/mint.toml"),
        &stage.get("stick/charter.note")?,
        &stage.get(&second)?,
        &Bot::new("thief")?.jwk()?,
    )?;
    stage.put("stick/forged.fbundle", forged)?;
    refused(stage, "stick/forged.fbundle", "role_forbidden")?;

    stage.step("All that changed nothing: the gate goes on with what it has.");
    let token = stage.text("ada.jwt")?;
    journey.control().admits(&stage.story, &token)
}

/// What a stolen token key is worth where proof of logging is demanded.
pub(crate) fn unlogged(stage: &mut Stage, journey: &Journey) -> Result<(), Failure> {
    stage.story.act("A stolen token key");
    let door = journey.control();
    let token = stage.text("ada.jwt")?;
    let (_, claims, _) = parts(&token)?;
    let forged = thief::forge_token(&stage.path("near/mint.toml"), "dome", &claims)?;

    stage.step("A thief has the key that signs the dome's tokens, and makes itself one as an operator.");
    door.admits(&stage.story, &forged)?;

    stage.step("The release people have the gate demand proof: only what stands in the log may enter.");
    stage.farside("mint site set dome --logged leaf --config near/mint.toml")?;
    stage.quietly("mint bundle make --site dome --kind full --config near/mint.toml")?;
    stage.quietly("ferry send --from near/outbox/dome --to stick")?;
    stage.quietly("gate import stick --config far/gate.toml")?;
    door.refuses(&stage.story, &forged, "not_logged")?;
    stage.story.tell(
        "The mint has logged no such token, and no bundle ever will carry its leaf. Ada's stands there:",
    );
    door.admits(&stage.story, &token)
}

/// Offers a bundle that must be refused for one reason, and tells the cure.
fn refused(stage: &mut Stage, path: &str, code: &str) -> Result<(), Failure> {
    let line = format!("gate import {path} --json --config far/gate.toml");
    stage.story.command(&format!("farside {line}"));
    let report = stage.attempt(&line)?;
    let refusal = report.json()?["refusal"].clone();
    if refusal["code"].as_str() != Some(code) || report.code != 1 {
        let (stdout, stderr) = (report.stdout, report.stderr);
        return Err(Failure::could_not(format!("expected {code}, got {}: {stdout}{stderr}", report.code)));
    }
    stage.story.refused(code, &said(&refusal));
    Ok(())
}
