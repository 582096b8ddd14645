//! The mint's own keys that a charter has replaced: which of them nothing needs any more.

use farside_crossing::Charter;

use super::destroy::{Ending, Rests, Whose};
use super::{RotationFault, Scene};
use crate::ceremony;
use crate::keys::KeyPlace;
use crate::role_keys::{self, KeyFile};

/// Own keys that an earlier charter named and that sign nothing any more. One that no charter has named yet
/// may be for the next.
pub(super) fn due(scene: &Scene<'_>) -> Result<Vec<Ending>, RotationFault> {
    let chain = ceremony::chain(scene.store).map_err(|fault| RotationFault::Charter(fault.to_string()))?;
    let Some((newest, earlier)) = chain.split_last() else { return Ok(Vec::new()) };
    let mut endings = Vec::new();
    for file in role_keys::online_files(scene.home).map_err(RotationFault::Roles)? {
        if names_online(earlier, &file) && !names_online(std::slice::from_ref(newest), &file) {
            endings.push(ending("online", &file, Rests::OnPeople));
        }
    }
    let in_use = role_keys::named_logs(scene.home, newest.log()).map_err(RotationFault::Roles)?;
    for file in role_keys::log_files(scene.home).map_err(RotationFault::Roles)? {
        let named = newest.log().iter().any(|key| key.to_string() == file.public);
        let was = earlier.iter().flat_map(Charter::log).any(|key| key.to_string() == file.public);
        let followed = named && in_use.first().is_some_and(|first| *first != file);
        if was && (!named || (followed && every_site_knows(scene, newest.version())?)) {
            // That every site knows the newest may rest on the courier interval.
            endings.push(ending("log", &file, if named { Rests::OnTheClock } else { Rests::OnPeople }));
        }
    }
    Ok(endings)
}

fn names_online(charters: &[Charter], file: &KeyFile) -> bool {
    let signers = charters.iter().flat_map(|charter| charter.online().signers());
    signers.into_iter().any(|signer| signer.to_string() == file.public)
}

/// Whether heads of every site's log are signed by the key that the charter names first.
// log.md §5.4
fn every_site_knows(scene: &Scene<'_>, version: u64) -> Result<bool, RotationFault> {
    for site in scene.store.directory()?.sites().filter(|site| site.enabled) {
        if !role_keys::knows_charter(scene.store, &site.name, version, scene.now)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn ending(role: &'static str, file: &KeyFile, rests: Rests) -> Ending {
    let whose = Whose::Role { role, public: file.public.clone() };
    Ending { place: KeyPlace::File(file.relative().into()), whose, why: "replaced", rests }
}
