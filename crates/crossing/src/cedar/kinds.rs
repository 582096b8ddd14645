//! The schema's kinds of entities, read once: a name is parsed each time that Cedar is given it as text.

use std::str::FromStr as _;

use cedar_policy::{EntityId, EntityTypeName, EntityUid};

/// One name for each kind.
#[derive(Debug)]
pub(super) struct Kinds {
    pub(super) subject: EntityTypeName,
    pub(super) role: EntityTypeName,
    pub(super) group: EntityTypeName,
    pub(super) audience: EntityTypeName,
    pub(super) host: EntityTypeName,
    pub(super) path: EntityTypeName,
    pub(super) account: EntityTypeName,
}

impl Kinds {
    pub(super) fn read() -> Result<Kinds, String> {
        let read = |name| EntityTypeName::from_str(name).map_err(|error| error.to_string());
        Ok(Kinds {
            subject: read("Subject")?,
            role: read("Role")?,
            group: read("Group")?,
            audience: read("Audience")?,
            host: read("Host")?,
            path: read("Path")?,
            account: read("Account")?,
        })
    }
}

/// `Kind::"id"`.
pub(super) fn uid(kind: &EntityTypeName, id: impl AsRef<str>) -> EntityUid {
    EntityUid::from_type_name_and_id(kind.clone(), EntityId::new(id))
}
