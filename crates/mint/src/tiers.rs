//! Tiers of freshness: how old a gate's knowledge may be for reading, writing and safety actions, as people
//! type them, and where they leave a gap between two bundles.

use farside_crossing::Action;
use farside_crossing::policy::StaleMax;
use farside_service::duration::{DurationFault, Seconds};

/// Reads `read=30d,write=24h,safety=1h`, each at most once, or `none`.
///
/// # Errors
/// A sentence that says what is wrong with it.
pub fn parse(text: &str) -> Result<StaleMax, String> {
    let mut tiers = StaleMax::default();
    if text == "none" {
        return Ok(tiers);
    }
    for part in text.split(',') {
        let (name, time) = part.split_once('=').ok_or("write, say, read=30d,write=24h,safety=1h")?;
        let action = Action::from_name(name).ok_or("there are read, write and safety")?;
        let time: Seconds = time.parse().map_err(|fault: DurationFault| fault.to_string())?;
        let tier = match action {
            Action::Read => &mut tiers.read,
            Action::Write => &mut tiers.write,
            Action::Safety => &mut tiers.safety,
        };
        if tier.replace(time.0).is_some() {
            return Err(format!("{name} stands twice"));
        }
    }
    match tiers.is_sound() {
        true => Ok(tiers),
        false => Err("no tier may be 0s, and none longer than that of a laxer action".to_owned()),
    }
}

/// The tiers as they are typed.
pub fn spelled(stale: &StaleMax) -> String {
    let typed = |action: Action| Some(format!("{}={}", action.as_str(), Seconds(stale.own(action)?)));
    let typed: Vec<String> = Action::ALL.into_iter().filter_map(typed).collect();
    if typed.is_empty() { "none".to_owned() } else { typed.join(",") }
}

/// Actions that end before the next bundle is there at the latest, a sentence each. That may be meant; nobody
/// should learn it at the door.
// bundle.md §13.4
pub fn gaps(stale: &StaleMax, every_seconds: u64, courier_seconds: u64) -> Vec<String> {
    let next = every_seconds.saturating_add(courier_seconds);
    let gap = |action: Action| {
        let most = stale.own(action).filter(|most| *most < next)?;
        let (most, next) = (Seconds(most), Seconds(next));
        Some(format!(
            "{} ends {most} after a bundle was made, and the next one may be there only after {next}",
            match action {
                Action::Read => "reading",
                Action::Write => "writing",
                Action::Safety => "what safety hangs on",
            }
        ))
    };
    Action::ALL.into_iter().filter_map(gap).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tier_that_ends_before_the_next_bundle_is_told() {
        let stale = parse("read=30d,write=25h,safety=1h").unwrap();
        let told = gaps(&stale, 3_600, 86_400);
        assert_eq!(
            told,
            ["what safety hangs on ends 1h after a bundle was made, and the next one may be there \
            only after 25h"]
        );
        assert_eq!(gaps(&stale, 3_601, 86_400).len(), 2);
        assert_eq!(gaps(&StaleMax::default(), 3_600, 86_400), [""; 0]);
    }
}
