//! Why a token may not be made, and what can be done about it.

/// Why a token may not be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// No such subject in the directory.
    #[error("there is no subject {subject:?} in the directory")]
    SubjectUnknown {
        /// The name asked for.
        subject: String,
    },
    /// The subject is disabled.
    #[error("subject {subject:?} is disabled")]
    SubjectDisabled {
        /// Its name.
        subject: String,
    },
    /// A client asked for a token for someone else.
    #[error("client {client:?} may ask for itself only")]
    NotForOthers {
        /// The client.
        client: String,
    },
    /// No site has that audience.
    #[error("no site has the audience {audience:?}")]
    AudienceUnknown {
        /// The audience asked for.
        audience: String,
    },
    /// The site is disabled.
    #[error("site {site:?} is disabled")]
    SiteDisabled {
        /// Its name.
        site: String,
    },
    /// A role that the subject does not hold.
    #[error("subject {subject:?} does not hold role {role:?}")]
    RoleNotHeld {
        /// The subject.
        subject: String,
        /// The role.
        role: String,
    },
    /// A role that is not issued for this site.
    #[error("role {role:?} is not issued for site {site:?}")]
    RoleNotAllowed {
        /// The site.
        site: String,
        /// The role.
        role: String,
    },
    /// A group that the subject is not in.
    #[error("subject {subject:?} is not in group {group:?}")]
    GroupNotHeld {
        /// The subject.
        subject: String,
        /// The group.
        group: String,
    },
    /// The lifetime is not one that the site allows.
    #[error("a lifetime of {asked} s is not within 1 s to {max} s, which site {site:?} allows")]
    Lifetime {
        /// What was asked.
        asked: u64,
        /// What is allowed.
        max: u64,
        /// The site.
        site: String,
    },
    /// The site's gates do not take that profile.
    #[error("{profile} tokens are not issued for site {site:?}")]
    ProfileNotAllowed {
        /// The site.
        site: String,
        /// The profile's name.
        profile: &'static str,
    },
    /// A profile cannot say what was asked.
    #[error("the {profile} profile cannot carry {what}")]
    Profile {
        /// The profile's name.
        profile: &'static str,
        /// What it cannot carry.
        what: &'static str,
    },
    /// The audience's gates admit nobody who only bears a token, and this one would be bound to no key.
    #[error("audience {audience:?} admits only tokens that are bound to a key of their holder's")]
    Unbound {
        /// The audience.
        audience: String,
    },
    /// The token would be larger than the site's budget.
    #[error("the token would take {bytes} bytes; site {site:?} has a budget of {max}")]
    TooLarge {
        /// What it would take, at most.
        bytes: usize,
        /// The budget.
        max: usize,
        /// The site.
        site: String,
    },
    /// No key of the site may sign now.
    #[error("site {site:?} has no key that may sign {profile} tokens now; {ahead}")]
    NoKey {
        /// The site.
        site: String,
        /// The profile's name.
        profile: &'static str,
        /// When one may, or what is missing.
        ahead: String,
    },
}

impl Refused {
    /// What the person who asked can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Refused::SubjectUnknown { .. } => Some("see `farside mint directory list`"),
            Refused::SubjectDisabled { .. } => Some("enable the subject first"),
            Refused::AudienceUnknown { .. } => Some("see `farside mint site list` for each site's audiences"),
            Refused::RoleNotHeld { .. } | Refused::GroupNotHeld { .. } => {
                Some("roles and groups come from the directory: change them there")
            }
            Refused::Unbound { .. } => Some(
                "bind it: a DPoP proof at the token endpoint, `mint order add --jkt`, `--x5t-s256` or `--ssh-key`",
            ),
            Refused::TooLarge { .. } => Some("ask for fewer roles or groups, or use the lean profile"),
            Refused::NoKey { .. } => {
                Some("see `farside mint status`: a key signs once a bundle with it has reached the site")
            }
            Refused::NotForOthers { .. }
            | Refused::SiteDisabled { .. }
            | Refused::RoleNotAllowed { .. }
            | Refused::Lifetime { .. }
            | Refused::ProfileNotAllowed { .. }
            | Refused::Profile { .. } => None,
        }
    }
}
