//! A question to a site's policies, and the answer: who, what and under which circumstances, spelled as the
//! schema has it. Default deny; one `forbid` outweighs every `permit`; and a policy that cannot be evaluated
//! refuses, whatever the others say.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use cedar_policy::{
    AuthorizationError, Authorizer, Context, Decision, Entities, Entity, EntityUid, Request, Response,
    RestrictedExpression, Schema,
};

use super::kinds::{Kinds, uid};
use super::slices::Slices;
use super::{Farside, Policies, Target};
use crate::policy::Action;

/// Who wants what, and under which circumstances.
#[derive(Debug)]
pub struct Question<'a> {
    /// Who.
    pub principal: Principal<'a>,
    /// What.
    pub doing: Doing<'a>,
    /// Under which circumstances.
    pub circumstances: Circumstances<'a>,
}

/// Whoever asks to enter.
#[derive(Debug, Default)]
pub struct Principal<'a> {
    /// `sub`.
    pub subject: &'a str,
    /// `roles`, or the one of an order.
    pub roles: Vec<Cow<'a, str>>,
    /// `groups`.
    pub groups: Vec<Cow<'a, str>>,
    /// `client_id`.
    pub client: Option<&'a str>,
    /// Who acts for the subject, the outermost first.
    pub actors: Vec<Cow<'a, str>>,
    /// `scope`, as it is written.
    pub scope: Option<&'a str>,
    /// `entitlements`.
    pub entitlements: Vec<Cow<'a, str>>,
}

/// What is to be done, and to what.
// policy.md §3
#[derive(Debug, Clone, Copy)]
pub enum Doing<'a> {
    /// A request through a proxy.
    Request {
        /// As received.
        method: &'a str,
        /// What it is aimed at.
        target: &'a Target,
    },
    /// A login by SSH key.
    Login {
        /// The account.
        account: &'a str,
    },
    /// A resource server asks about a token.
    Introspect,
    /// A Kubernetes API server asks whose a token is.
    Authenticate,
    /// A holder collects a carried token.
    Collect,
}

/// What is known beside who and what.
#[derive(Debug, Clone, Copy)]
pub struct Circumstances<'a> {
    /// The audience judged for.
    pub audience: &'a str,
    /// What for; nothing said counts as `safety`.
    pub tier: Option<Action>,
    /// The gate's time.
    pub now: u64,
    /// `fresh`, `late` or `expired`.
    pub freshness: &'a str,
    /// Seconds since the newest applied bundle was issued.
    pub age_seconds: u64,
    /// Whether it is a pass.
    pub breakglass: bool,
    /// What the holder has proven.
    pub proven: &'a [&'a str],
    /// The token, where it is one.
    pub token: Option<TokenFacts<'a>>,
}

/// What a token says of itself.
#[derive(Debug, Clone, Copy)]
pub struct TokenFacts<'a> {
    /// `jti`.
    pub id: &'a str,
    /// `kid`.
    pub key: &'a str,
    /// `iat`.
    pub issued_at: u64,
    /// `exp`.
    pub expires_at: u64,
}

/// What the policies say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Permitted by these, and forbidden by none.
    Permitted {
        /// Their names, sorted.
        by: Vec<String>,
    },
    /// Forbidden by these; or, where there are none, permitted by nobody.
    Denied {
        /// Their names, sorted.
        by: Vec<String>,
        /// The `@cure` of the first that has one.
        cure: Option<String>,
    },
    /// These could not be evaluated, so nothing is known.
    Broken {
        /// Their names, sorted; none where the question itself could not be asked.
        by: Vec<String>,
        /// What Cedar says.
        why: String,
    },
}

/// Methods that have an action of their own.
const METHODS: [&str; 9] = ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "CONNECT", "TRACE"];

impl Policies {
    /// Decides one question.
    // policy.md §5
    pub fn decide(&self, question: &Question<'_>) -> Verdict {
        // What is asked always fits the schema, so it is not checked each time; tests check it.
        match self.ask(question, None) {
            Ok(said) => self.verdict(said),
            Err(why) => Verdict::Broken { by: Vec::new(), why },
        }
    }

    pub(super) fn ask(&self, question: &Question<'_>, check: Option<&Schema>) -> Result<Said, String> {
        let farside = Farside::get().map_err(|refusal| refusal.detail().to_owned())?;
        let slices =
            self.by_action.get(question.doing.action()).ok_or("an action that the schema does not know")?;
        let parties = Parties::new(&farside.kinds, question);
        let fitting: Vec<_> = slices.fitting(parties.names()).collect();
        let asked = parties.asked(slices, context(&farside.kinds, question)?, check)?;
        let mut said = Said::default();
        for policies in fitting {
            said.add(&Authorizer::new().is_authorized(&asked.request, policies, &asked.known));
        }
        Ok(said)
    }

    pub(super) fn verdict(&self, said: Said) -> Verdict {
        let names = |ids: BTreeSet<String>| ids.into_iter().collect();
        // policy.md §5.3: a `forbid` that fails might have forbidden.
        if let Some(why) = said.broken.values().next().cloned() {
            return Verdict::Broken { by: said.broken.into_keys().collect(), why };
        }
        // policy.md §5.2
        if said.forbidden.is_empty() && !said.permitted.is_empty() {
            return Verdict::Permitted { by: names(said.permitted) };
        }
        let cure = said.forbidden.iter().find_map(|id| self.annotation(id, "cure")).map(str::to_owned);
        Verdict::Denied { by: names(said.forbidden), cure }
    }
}

/// What some of the policies say; all of them have been heard before anything follows from it.
#[derive(Debug, Default)]
pub(super) struct Said {
    permitted: BTreeSet<String>,
    forbidden: BTreeSet<String>,
    /// With what Cedar says of each.
    broken: BTreeMap<String, String>,
}

impl Said {
    /// Cedar names the permits that hold where it allows, and the forbids that hold where it denies.
    pub(super) fn add(&mut self, response: &Response) {
        for AuthorizationError::PolicyEvaluationError(error) in response.diagnostics().errors() {
            self.broken.insert(error.policy_id().to_string(), error.to_string());
        }
        let names = match response.decision() {
            Decision::Allow => &mut self.permitted,
            Decision::Deny => &mut self.forbidden,
        };
        names.extend(response.diagnostics().reason().map(ToString::to_string));
    }
}

impl Doing<'_> {
    /// The action's name in the schema.
    // policy.md §3.1
    pub fn action(&self) -> &str {
        match self {
            Doing::Request { method, .. } => {
                METHODS.into_iter().find(|known| known == method).unwrap_or("extension")
            }
            Doing::Login { .. } => "login",
            Doing::Introspect => "introspect",
            Doing::Authenticate => "authenticate",
            Doing::Collect => "collect",
        }
    }
}

type Facts = Vec<(String, RestrictedExpression)>;

/// Who asks and what about, with all that they are within.
pub(super) struct Parties {
    principal: Party,
    resource: Party,
}

struct Party {
    uid: EntityUid,
    within: Vec<EntityUid>,
    facts: Facts,
}

/// A question as Cedar takes it.
pub(super) struct Asked {
    pub(super) request: Request,
    pub(super) known: Entities,
}

impl Parties {
    pub(super) fn new(kinds: &Kinds, question: &Question<'_>) -> Parties {
        let audience = uid(&kinds.audience, question.circumstances.audience);
        Parties {
            principal: principal(kinds, &question.principal),
            resource: resource(kinds, &question.doing, audience),
        }
    }

    /// The two, and what they are within.
    fn names(&self) -> impl Iterator<Item = &EntityUid> {
        [&self.principal, &self.resource]
            .into_iter()
            .flat_map(|party| std::iter::once(&party.uid).chain(&party.within))
    }

    pub(super) fn asked(
        self,
        slices: &Slices,
        context: Context,
        check: Option<&Schema>,
    ) -> Result<Asked, String> {
        let (principal, resource) = (self.principal.uid.clone(), self.resource.uid.clone());
        let request = Request::new(principal, slices.action.clone(), resource, context, check)
            .map_err(|error| error.to_string())?;
        let known = [self.principal.entity()?, self.resource.entity()?, slices.entity.clone()];
        let known = Entities::from_entities(known, check).map_err(|error| error.to_string())?;
        Ok(Asked { request, known })
    }
}

impl Party {
    fn entity(self) -> Result<Entity, String> {
        Entity::new_with_tags(self.uid, self.facts, self.within, []).map_err(|error| error.to_string())
    }
}

// policy.md §3.2
fn principal(kinds: &Kinds, who: &Principal<'_>) -> Party {
    let roles = who.roles.iter().map(|role| uid(&kinds.role, role));
    let groups = who.groups.iter().map(|group| uid(&kinds.group, group));
    let scopes = who.scope.unwrap_or_default().split(' ').filter(|word| !word.is_empty());
    let mut facts: Facts = vec![
        fact("name", text(who.subject)),
        fact("actors", texts(who.actors.iter().map(AsRef::as_ref))),
        fact("scopes", texts(scopes)),
        fact("entitlements", texts(who.entitlements.iter().map(AsRef::as_ref))),
    ];
    facts.extend(who.client.map(|client| fact("client", text(client))));
    facts.extend(who.actors.first().map(|actor| fact("actor", text(actor))));
    Party { uid: uid(&kinds.subject, who.subject), within: roles.chain(groups).collect(), facts }
}

// policy.md §4.4
fn resource(kinds: &Kinds, doing: &Doing<'_>, audience: EntityUid) -> Party {
    match doing {
        Doing::Request { target, .. } => {
            let above = target.above().map(|path| uid(&kinds.path, path));
            let within = above.chain([uid(&kinds.host, target.host()), audience]).collect();
            let facts = vec![
                fact("scheme", text(target.scheme())),
                fact("host", text(target.host())),
                fact("port", RestrictedExpression::new_long(target.port().into())),
                fact("path", text(target.path())),
                fact("path_lower", text(&target.path().to_lowercase())),
            ];
            Party { uid: uid(&kinds.path, target.id()), within, facts }
        }
        Doing::Login { account } => Party {
            uid: uid(&kinds.account, account),
            within: vec![audience],
            facts: vec![fact("name", text(account))],
        },
        Doing::Introspect | Doing::Authenticate | Doing::Collect => {
            Party { uid: audience, within: Vec::new(), facts: Vec::new() }
        }
    }
}

pub(super) fn context(kinds: &Kinds, question: &Question<'_>) -> Result<Context, String> {
    let told = &question.circumstances;
    let mut facts: Facts = vec![
        fact("audience", text(told.audience)),
        fact("tier", text(told.tier.unwrap_or(Action::Safety).as_str())),
        fact("now", kinds.moment(told.now)),
        fact("freshness", text(told.freshness)),
        fact("age_seconds", number(told.age_seconds)),
        fact("breakglass", RestrictedExpression::new_bool(told.breakglass)),
        fact("proven", texts(told.proven.iter().copied())),
    ];
    if let Doing::Request { method, .. } = question.doing {
        facts.push(fact("method", text(method)));
    }
    if let Some(token) = &told.token {
        let record = RestrictedExpression::new_record([
            fact("id", text(token.id)),
            fact("key", text(token.key)),
            fact("issued_at", kinds.moment(token.issued_at)),
            fact("expires_at", kinds.moment(token.expires_at)),
            fact("lifetime_seconds", number(token.expires_at.saturating_sub(token.issued_at))),
        ]);
        facts.push(fact("token", record.map_err(|error| error.to_string())?));
    }
    Context::from_pairs(facts).map_err(|error| error.to_string())
}

fn fact(name: &str, value: RestrictedExpression) -> (String, RestrictedExpression) {
    (name.to_owned(), value)
}

fn text(value: &str) -> RestrictedExpression {
    RestrictedExpression::new_string(value.to_owned())
}

fn texts<'a>(values: impl Iterator<Item = &'a str>) -> RestrictedExpression {
    RestrictedExpression::new_set(values.map(text))
}

fn number(value: u64) -> RestrictedExpression {
    RestrictedExpression::new_long(i64::try_from(value).unwrap_or(i64::MAX))
}
