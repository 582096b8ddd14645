//! What is asked fits the schema, whatever its words are; and asking only the policies that can fit answers
//! as asking all of them would.

use proptest::prelude::*;

use super::super::ask::{self, Parties, Said};
use super::*;

/// What questions are made of.
#[derive(Debug, Clone)]
struct Words {
    subject: String,
    roles: Vec<String>,
    groups: Vec<String>,
    client: Option<String>,
    actors: Vec<String>,
    scope: Option<String>,
    entitlements: Vec<String>,
    method: String,
    target: Target,
    audience: String,
    tier: Option<Action>,
    now: u64,
    age_seconds: u64,
    breakglass: bool,
    proven: Vec<String>,
    token: Option<(String, u64, u64)>,
}

/// The last second that has a date of four digits.
const LAST: u64 = 253_402_300_799;

impl Words {
    fn principal(&self) -> Principal<'_> {
        let all = |words: &'_ [String]| words.iter().map(|word| Cow::Owned(word.clone())).collect();
        Principal {
            subject: &self.subject,
            roles: all(&self.roles),
            groups: all(&self.groups),
            client: self.client.as_deref(),
            actors: all(&self.actors),
            scope: self.scope.as_deref(),
            entitlements: all(&self.entitlements),
        }
    }

    /// The same at each door.
    fn each_question(&self, mut ask: impl FnMut(&Question<'_>)) {
        let proven: Vec<&str> = self.proven.iter().map(String::as_str).collect();
        let token =
            |(id, issued_at, expires_at): &'_ (String, u64, u64)| (id.clone(), *issued_at, *expires_at);
        let token = self.token.as_ref().map(token);
        let facts = token.as_ref().map(|(id, issued_at, expires_at)| TokenFacts {
            id,
            key: id,
            issued_at: *issued_at,
            expires_at: *expires_at,
        });
        for doing in [
            Doing::Request { method: &self.method, target: &self.target },
            Doing::Login { account: &self.subject },
            Doing::Introspect,
            Doing::Authenticate,
            Doing::Collect,
        ] {
            let circumstances = Circumstances {
                audience: &self.audience,
                tier: self.tier,
                now: self.now,
                freshness: "fresh",
                age_seconds: self.age_seconds,
                breakglass: self.breakglass,
                proven: &proven,
                token: facts,
            };
            ask(&Question { principal: self.principal(), doing, circumstances });
        }
    }
}

/// Words out of which policies are made too, and any others.
fn word(known: &'static [&'static str]) -> impl Strategy<Value = String> {
    prop_oneof![4 => prop::sample::select(known).prop_map(str::to_owned), 1 => any::<String>()]
}

fn some(known: &'static [&'static str]) -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec(word(known), 0..4)
}

fn words() -> impl Strategy<Value = Words> {
    let path = prop::sample::select(&["/", "/a", "/a/b", "/a/b/", "/c/R%C3%B6hre", "/ab"][..]);
    let host = prop::sample::select(&["h.example", "H.example:8443", "[::1]"][..]);
    let target = (host, path).prop_map(|(host, path)| Target::read("https", host, path).expect("plain"));
    let who = (
        word(&["anna", "bert"]),
        some(&["r1", "r2"]),
        some(&["g1", "g2"]),
        prop::option::of(any::<String>()),
        some(&["bot"]),
        prop::option::of(any::<String>()),
        some(&["locker"]),
    );
    let what = (word(&["GET", "HEAD", "POST", "PURGE"]), target, word(&["aud-1", "aud-2"]));
    let tier = prop::option::of(prop::sample::select(&[Action::Read, Action::Write, Action::Safety][..]));
    let token = prop::option::of((any::<String>(), 0..=LAST, 0..=LAST));
    let when = (tier, 0..=LAST, any::<u64>(), any::<bool>(), some(&["dpop", "ssh"]), token);
    (who, what, when).prop_map(|(who, what, when)| {
        let (subject, roles, groups, client, actors, scope, entitlements) = who;
        let (method, target, audience) = what;
        let (tier, now, age_seconds, breakglass, proven, token) = when;
        Words {
            subject,
            roles,
            groups,
            client,
            actors,
            scope,
            entitlements,
            method,
            target,
            audience,
            tier,
            now,
            age_seconds,
            breakglass,
            proven,
            token,
        }
    })
}

/// The scopes and conditions that a policy is drawn from; some conditions fail.
const PRINCIPALS: &[&str] = &[
    "principal",
    "principal is Subject",
    "principal == Subject::\"anna\"",
    "principal in Subject::\"anna\"",
    "principal in Role::\"r1\"",
    "principal is Subject in Role::\"r2\"",
    "principal in Group::\"g1\"",
];
const ACTIONS: &[&str] = &[
    "action",
    "action == Action::\"GET\"",
    "action in Action::\"read\"",
    "action in Action::\"http\"",
    "action in [Action::\"write\", Action::\"login\"]",
    "action in [Action::\"introspect\", Action::\"collect\"]",
];
const RESOURCES: &[&str] = &[
    "resource",
    "resource is Path",
    "resource == Path::\"h.example/a\"",
    "resource in Path::\"h.example/a\"",
    "resource is Path in Path::\"h.example/a/b\"",
    "resource in Host::\"h.example\"",
    "resource in Audience::\"aud-1\"",
    "resource == Account::\"anna\"",
];
const CONDITIONS: &[&str] = &[
    "",
    "when { context.breakglass }",
    "unless { principal in Role::\"r2\" }",
    "when { action in Action::\"read\" }",
    "when { resource in Audience::\"aud-1\" }",
    "when { context.age_seconds * 9223372036854775807 > 5 }",
];

fn policy() -> impl Strategy<Value = String> {
    let one = prop::sample::select;
    let effect = one(&["permit", "permit", "forbid"][..]);
    (effect, one(PRINCIPALS), one(ACTIONS), one(RESOURCES), one(CONDITIONS)).prop_map(
        |(effect, principal, action, resource, condition)| {
            format!("{effect}({principal}, {action}, {resource}) {condition};")
        },
    )
}

proptest! {
    /// So nothing that is asked need be checked again at a door.
    #[test]
    fn whatever_is_asked_fits_the_schema(words in words()) {
        let farside = Farside::get().expect("the schema reads");
        let none = policies("");
        words.each_question(|question| {
            let slices = &none.by_action[question.doing.action()];
            let context = ask::context(&farside.kinds, question).expect("there is a context");
            let (parties, schema) = (Parties::new(&farside.kinds, question), farside.validator.schema());
            let asked = parties.asked(slices, context, Some(schema));
            assert!(asked.is_ok(), "{:?}: {question:?}", asked.err());
        });
    }

    /// Against Cedar's own authorizer, asked once about all policies.
    #[test]
    fn asking_those_that_fit_answers_as_asking_all(
        words in words(),
        texts in prop::collection::vec(policy(), 0..12),
    ) {
        let text: String =
            texts.iter().enumerate().map(|(n, text)| format!("@id(\"p{n}\") {text}\n")).collect();
        let Ok(policies) = Policies::read(&text) else { return Ok(()) };
        let farside = Farside::get().expect("the schema reads");
        words.each_question(|question| {
            let slices = &policies.by_action[question.doing.action()];
            let context = ask::context(&farside.kinds, question).expect("there is a context");
            let (parties, schema) = (Parties::new(&farside.kinds, question), farside.validator.schema());
            let asked = parties.asked(slices, context, Some(schema));
            let asked = asked.expect("it fits");
            let mut said = Said::default();
            said.add(&cedar_policy::Authorizer::new().is_authorized(
                &asked.request,
                &policies.all,
                &asked.known,
            ));
            assert_eq!(policies.decide(question), policies.verdict(said), "{text}\n{question:?}");
        });
    }
}
