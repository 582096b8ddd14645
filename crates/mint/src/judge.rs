//! May this token be made? A request, the directory and the site's policy give a [`Draft`], or a reason.
//!
//! Pure: no clock, no disk. For [`issue`](crate::issue), which signs drafts and nothing else. What the far
//! side would refuse is refused here: unknown audiences, roles not held, lifetimes and sizes over the limit.

mod refused;

use std::sync::Arc;

use farside_verify::encode::base64url;
use farside_verify::leaf::HASH_BYTES;

use crate::claims::{ClaimsDraft, Confirmation, OpenClaims, Profile};
use crate::log::TokenEntry;
use crate::store::{Directory, Kind, Site, Subject, TokenKeyRecord};
use crate::token_signer::TokenSigner;

pub use refused::Refused;

/// Shortest lifetime that can be asked for.
pub const LIFETIME_SECONDS_MIN: u64 = 1;

/// What someone asks for.
#[derive(Clone, Debug)]
pub struct IssueRequest {
    /// Who asks.
    pub requester: Requester,
    /// Whom the token is for: `sub`.
    pub subject: String,
    /// Which audience; it also tells the site.
    pub audience: String,
    /// The roles asked for; `None`: all that the subject holds and the site allows.
    pub roles: Option<Vec<String>>,
    /// Groups to be named in the token; none by default, for size.
    pub groups: Vec<String>,
    /// The `scope` to be written, where the client asked in those terms (RFC 9068 §2.2.3).
    pub scope: Option<String>,
    /// Lifetime in seconds; `None`: the site's default.
    pub lifetime_seconds: Option<u64>,
    /// The token's shape.
    pub profile: Profile,
    /// The key that its holder must prove to have.
    pub confirmation: Option<Confirmation>,
    /// Short hash of the client assertion spent on it, to be remembered by the log.
    pub assertion: Option<String>,
}

/// Who asks for a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Requester {
    /// An authenticated OAuth client: it may ask for itself.
    Client(String),
    /// Someone who may run commands on the mint's machine.
    Operator(String),
    /// A standing order.
    Order(i64),
}

/// A token that may be made. Only [`judge`] makes one.
#[derive(Debug)]
pub struct Draft {
    signer: Arc<TokenSigner>,
    profile: Profile,
    site: String,
    shard: String,
    subject: String,
    audience: String,
    scope: Option<String>,
    issued_at: u64,
    expires_at: u64,
    claims: OpenClaims,
    requester: String,
    assertion: Option<String>,
}

/// Where a key's signer is had from.
pub trait Signers {
    /// Why there is none.
    type Fault;

    /// The signer for this key of this site.
    fn signer(&self, site: &Site, key: &TokenKeyRecord) -> Result<Arc<TokenSigner>, Self::Fault>;

    /// Whether the fault is one of a key that is away and may come back: then another key stands in for it.
    fn is_away(fault: &Self::Fault) -> bool;
}

/// What came of a request that could not be drafted.
#[derive(Debug)]
pub enum Undrafted<F> {
    /// It is refused, for a reason to tell.
    Refused(Refused),
    /// It could not be judged: the key cannot be had.
    Broken(F),
}

impl<F> From<Refused> for Undrafted<F> {
    fn from(refused: Refused) -> Self {
        Undrafted::Refused(refused)
    }
}

/// Judges a request at the instant `now`. `replica` names this mint among others of its realm.
pub fn judge<S: Signers>(
    directory: &Directory,
    signers: &S,
    replica: &str,
    request: &IssueRequest,
    now: u64,
) -> Result<Draft, Undrafted<S::Fault>> {
    let Askable { subject, site, roles } = askable(directory, request)?;
    let (key, signer) = signer(signers, request.profile, site, now)?;
    let expires_at = expires_at(request, site, key, now)?;
    let svid = request.profile == Profile::JwtSvid;
    let spiffe_id =
        svid.then(|| format!("spiffe://{}/{}/{}", directory.realm(), subject.kind.as_str(), subject.name));
    let shard = site.shard(replica);
    let claims = ClaimsDraft {
        issuer: (!svid).then_some(site.terms.issuer.as_str()),
        subject: spiffe_id.as_ref().unwrap_or(&subject.name),
        audience: &request.audience,
        client_id: (request.profile == Profile::Access).then_some(subject.client_id.as_str()),
        issued_at: now,
        expires_at,
        floor: if svid { 0 } else { site.last_seq() },
        roles: &roles,
        groups: &request.groups,
        scope: request.scope.as_deref(),
        confirmation: request.confirmation.as_ref(),
        status: (site.terms.status_claim && !svid).then_some((&site.terms.issuer, &shard)),
    }
    .write();
    within_budget(site, signer.token_bytes(request.profile, claims.bytes_max(&shard)))?;
    Ok(Draft {
        signer,
        profile: request.profile,
        site: site.name.clone(),
        shard,
        subject: subject.name.clone(),
        audience: request.audience.clone(),
        scope: request.scope.clone(),
        issued_at: now,
        expires_at,
        claims,
        requester: request.requester.for_the_log(),
        assertion: request.assertion.clone(),
    })
}

/// Judges what does not depend on keys and clock: whether a standing order can be served as the directory is.
pub fn could_be_asked(directory: &Directory, request: &IssueRequest) -> Result<(), Refused> {
    askable(directory, request).map(drop)
}

impl Draft {
    /// The site that the token is for.
    pub fn site(&self) -> &str {
        &self.site
    }

    /// The log shard that its position is taken from.
    pub fn shard(&self) -> &str {
        &self.shard
    }

    /// `sub` as the directory has it.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// `aud`.
    pub fn audience(&self) -> &str {
        &self.audience
    }

    /// `scope`, where one is written.
    pub fn scope(&self) -> Option<&str> {
        self.scope.as_deref()
    }

    /// `iat`.
    pub fn issued_at(&self) -> u64 {
        self.issued_at
    }

    /// `exp`.
    pub fn expires_at(&self) -> u64 {
        self.expires_at
    }

    /// Who signs it.
    pub fn signer(&self) -> &TokenSigner {
        &self.signer
    }

    /// The token's shape.
    pub fn profile(&self) -> Profile {
        self.profile
    }

    pub(crate) fn claims(&self) -> &OpenClaims {
        &self.claims
    }

    /// What the log says of it, once signed.
    pub(crate) fn entry(&self, signing_input_sha256: [u8; HASH_BYTES]) -> TokenEntry {
        TokenEntry {
            requester: self.requester.clone(),
            subject: self.subject.clone(),
            audience: self.audience.clone(),
            expires_at: self.expires_at,
            kid: self.signer.kid().to_owned(),
            profile: self.profile.name().to_owned(),
            signing_input_sha256: base64url(signing_input_sha256),
            assertion: self.assertion.clone(),
        }
    }
}

impl Requester {
    fn for_the_log(&self) -> String {
        match self {
            Requester::Client(id) => format!("client:{id}"),
            Requester::Operator(name) => format!("operator:{name}"),
            Requester::Order(id) => format!("order:{id}"),
        }
    }
}

/// What a request is about, once everything is known to be allowed.
struct Askable<'d> {
    subject: &'d Subject,
    site: &'d Site,
    roles: Vec<String>,
}

fn askable<'d>(directory: &'d Directory, request: &IssueRequest) -> Result<Askable<'d>, Refused> {
    let subject = subject(directory, request)?;
    let site = site(directory, &request.audience)?;
    profile_allowed(request, site)?;
    profile_can_say(request)?;
    bound_enough(request, site)?;
    let roles = roles(request, subject, site)?;
    groups(request, subject)?;
    lifetime(request, site)?;
    Ok(Askable { subject, site, roles })
}

fn subject<'d>(directory: &'d Directory, request: &IssueRequest) -> Result<&'d Subject, Refused> {
    let name = || request.subject.clone();
    let subject =
        directory.subject(&request.subject).ok_or_else(|| Refused::SubjectUnknown { subject: name() })?;
    if !subject.enabled {
        return Err(Refused::SubjectDisabled { subject: name() });
    }
    match &request.requester {
        Requester::Client(id) if *id != subject.client_id || subject.kind == Kind::Person => {
            Err(Refused::NotForOthers { client: id.clone() })
        }
        _ => Ok(subject),
    }
}

fn site<'d>(directory: &'d Directory, audience: &str) -> Result<&'d Site, Refused> {
    let site = directory
        .site_of_audience(audience)
        .ok_or_else(|| Refused::AudienceUnknown { audience: audience.to_owned() })?;
    if !site.enabled {
        return Err(Refused::SiteDisabled { site: site.name.clone() });
    }
    Ok(site)
}

fn profile_allowed(request: &IssueRequest, site: &Site) -> Result<(), Refused> {
    let profile = request.profile.name();
    if site.terms.profiles.iter().any(|allowed| allowed == profile) {
        return Ok(());
    }
    Err(Refused::ProfileNotAllowed { site: site.name.clone(), profile })
}

// token.md §8: what a profile does not know is refused, not left out in silence.
fn profile_can_say(request: &IssueRequest) -> Result<(), Refused> {
    if request.profile != Profile::JwtSvid {
        return Ok(());
    }
    let asked = [
        (request.roles.as_ref().is_some_and(|roles| !roles.is_empty()), "roles"),
        (!request.groups.is_empty(), "groups"),
        (request.scope.is_some(), "scope"),
        (request.confirmation.is_some(), "a proof of possession"),
    ];
    match asked.into_iter().find(|(asked, _)| *asked) {
        Some((_, what)) => Err(Refused::Profile { profile: request.profile.name(), what }),
        None => Ok(()),
    }
}

/// Where its gates admit only whoever proves a key, a token without one would open nothing.
fn bound_enough(request: &IssueRequest, site: &Site) -> Result<(), Refused> {
    let demanded = site.terms.audiences.iter().any(|one| one.name == request.audience && one.holder_bound);
    if demanded && request.confirmation.is_none() {
        return Err(Refused::Unbound { audience: request.audience.clone() });
    }
    Ok(())
}

fn roles(request: &IssueRequest, subject: &Subject, site: &Site) -> Result<Vec<String>, Refused> {
    let allowed =
        |role: &String| site.terms.roles_allowed.as_ref().is_none_or(|allowed| allowed.contains(role));
    if request.profile == Profile::JwtSvid {
        return Ok(Vec::new());
    }
    let Some(asked) = &request.roles else {
        return Ok(subject.roles.iter().filter(|role| allowed(role)).cloned().collect());
    };
    for role in asked {
        if !subject.roles.contains(role) {
            return Err(Refused::RoleNotHeld { subject: subject.name.clone(), role: role.clone() });
        }
        if !allowed(role) {
            return Err(Refused::RoleNotAllowed { site: site.name.clone(), role: role.clone() });
        }
    }
    Ok(asked.clone())
}

fn groups(request: &IssueRequest, subject: &Subject) -> Result<(), Refused> {
    match request.groups.iter().find(|group| !subject.groups.contains(group)) {
        Some(group) => Err(Refused::GroupNotHeld { subject: subject.name.clone(), group: group.clone() }),
        None => Ok(()),
    }
}

// keys.md §4.2
/// The first key that may sign now and is at hand. Where all are away, the fault is that of the first.
pub(crate) fn signer<'s, S: Signers>(
    signers: &S,
    profile: Profile,
    site: &'s Site,
    now: u64,
) -> Result<(&'s TokenKeyRecord, Arc<TokenSigner>), Undrafted<S::Fault>> {
    let mut away = None;
    for key in site.signing_keys(profile.purpose(), now) {
        match signers.signer(site, key) {
            Ok(signer) => return Ok((key, signer)),
            Err(fault) if S::is_away(&fault) => away = away.or(Some(fault)),
            Err(fault) => return Err(Undrafted::Broken(fault)),
        }
    }
    Err(away.map_or_else(|| no_key(profile, site, now).into(), Undrafted::Broken))
}

fn no_key(profile: Profile, site: &Site, now: u64) -> Refused {
    let ahead = site.ahead(profile.purpose(), now).to_string();
    Refused::NoKey { site: site.name.clone(), profile: profile.name(), ahead }
}

// design: no token outlives its key. A token asked for in a key's last hours lives shorter, and says so.
fn expires_at(request: &IssueRequest, site: &Site, key: &TokenKeyRecord, now: u64) -> Result<u64, Refused> {
    let expires_at = now.saturating_add(lifetime(request, site)?).min(key.accept_until);
    if expires_at < now.saturating_add(LIFETIME_SECONDS_MIN) {
        return Err(no_key(request.profile, site, now));
    }
    Ok(expires_at)
}

fn lifetime(request: &IssueRequest, site: &Site) -> Result<u64, Refused> {
    let asked = request.lifetime_seconds.unwrap_or(site.terms.lifetime_seconds_default);
    let max = site.terms.lifetime_seconds_max;
    if !(LIFETIME_SECONDS_MIN..=max).contains(&asked) {
        return Err(Refused::Lifetime { asked, max, site: site.name.clone() });
    }
    Ok(asked)
}

fn within_budget(site: &Site, bytes: usize) -> Result<(), Refused> {
    let max = site.terms.token_bytes_max;
    if bytes > max {
        return Err(Refused::TooLarge { bytes, max, site: site.name.clone() });
    }
    Ok(())
}
