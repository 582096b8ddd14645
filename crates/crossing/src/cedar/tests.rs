//! What policies say, what is refused of them, and the one spelling of what they are asked about.

use std::borrow::Cow;

use super::*;
use crate::policy::Action;

mod whole;

const NOON: u64 = 1_800_014_400; // 2027-01-15T12:00:00Z

fn refused(text: &str) -> Refusal {
    Policies::read(text).expect_err(text)
}

fn policies(text: &str) -> Policies {
    Policies::read(text).expect("they fit the schema")
}

fn anna<'a>(roles: &[&'a str]) -> Principal<'a> {
    let roles = roles.iter().map(|role| Cow::Borrowed(*role)).collect();
    Principal { subject: "anna", roles, scope: Some("look  touch"), ..Principal::default() }
}

fn circumstances() -> Circumstances<'static> {
    Circumstances {
        audience: "hmi",
        tier: Some(Action::Read),
        now: NOON,
        freshness: "fresh",
        age_seconds: 60,
        breakglass: false,
        proven: &[],
        token: Some(TokenFacts {
            id: "dome-4f",
            key: "x7Qd81aa",
            issued_at: NOON - 60,
            expires_at: NOON + 840,
        }),
    }
}

fn asked(policies: &Policies, who: Principal<'_>, method: &str, path: &str) -> Verdict {
    let target = Target::read("https", "hmi.example", path).expect(path);
    let doing = Doing::Request { method, target: &target };
    policies.decide(&Question { principal: who, doing, circumstances: circumstances() })
}

fn by(verdict: &Verdict) -> (&str, Vec<&str>) {
    match verdict {
        Verdict::Permitted { by } => ("permitted", by.iter().map(String::as_str).collect()),
        Verdict::Denied { by, .. } => ("denied", by.iter().map(String::as_str).collect()),
        Verdict::Broken { by, .. } => ("broken", by.iter().map(String::as_str).collect()),
    }
}

const LINES: &str = include_str!("tests/lines.cedar");

#[test]
fn default_is_denied_and_a_forbid_outweighs_every_permit() {
    let lines = policies(LINES);
    for (roles, method, path, expected) in [
        (&["operator"][..], "GET", "/lines/2/valves", ("permitted", vec!["operators-look"])),
        (&["operator"], "GET", "/lines", ("permitted", vec!["operators-look"])),
        (&["operator"], "GET", "/lines/", ("permitted", vec!["operators-look"])),
        (&["operator", "lead"], "GET", "/lines/2", ("permitted", vec!["leads-change", "operators-look"])),
        (&["operator"], "POST", "/lines/2", ("denied", vec![])),
        (&["operator"], "GET", "/linesmen", ("denied", vec![])),
        (&["operator"], "GET", "/LINES/2", ("denied", vec![])),
        (&[], "GET", "/lines/2", ("denied", vec![])),
        (&["lead"], "PURGE", "/lines/2", ("permitted", vec!["leads-change"])),
        (&["lead"], "DELETE", "/lines/3/valves", ("denied", vec!["line-3-is-shut"])),
        (&["lead"], "DELETE", "/lines/33", ("permitted", vec!["leads-change"])),
    ] {
        let verdict = asked(&lines, anna(roles), method, path);
        assert_eq!(by(&verdict), expected, "{roles:?} {method} {path}");
    }
    let Verdict::Denied { cure, .. } = asked(&lines, anna(&["lead"]), "GET", "/lines/3") else { panic!() };
    assert_eq!(cure.as_deref(), Some("Ask the shift lead for line 3."));
}

#[test]
fn a_policy_that_cannot_be_evaluated_refuses_whatever_the_others_say() {
    let text = r#"
        @id("all") permit(principal, action, resource);
        @id("never-by-night") forbid(principal, action == Action::"GET", resource)
        when { context.age_seconds * 9223372036854775807 > 5 };
    "#;
    let verdict = asked(&policies(text), anna(&[]), "GET", "/");
    assert_eq!(by(&verdict), ("broken", vec!["never-by-night"]));
    // Where its action is another it is not asked at all.
    assert_eq!(by(&asked(&policies(text), anna(&[]), "PUT", "/")), ("permitted", vec!["all"]));
}

/// Every attribute of the schema holds what it says: each line must be true.
#[test]
fn everything_in_the_schema_is_told() {
    let facts = r#"
        principal == Subject::"anna" && principal.name == "anna" && principal in Role::"operator" && principal in Group::"shift-a"
        principal has client && principal.client == "cli-1"
        principal has actor && principal.actor == "bot-7" && principal.actors == ["bot-7", "bot-8"]
        principal.scopes == ["look", "touch"] && principal.entitlements == ["locker"]
        resource in Host::"hmi.example" && resource in Audience::"hmi" && resource.host == "hmi.example"
        resource.scheme == "https" && resource.port == 8443
        resource.path == "/Lines/Röhre" && resource.path_lower == "/lines/röhre" && resource.path like "/Lines/*"
        resource == Path::"hmi.example/Lines/Röhre" && resource in Path::"hmi.example/Lines"
        context.audience == "hmi" && context.tier == "read"
        context has method && context.method == "PURGE"
        context.now == datetime("2027-01-15T12:00:00Z") && context.now.toTime() == duration("12h")
        context.freshness == "late" && context.age_seconds == 60 && !context.breakglass
        context.proven.contains("dpop")
        context has token && context.token.id == "dome-4f" && context.token.key == "x7Qd81aa"
        context has token && context.token.expires_at == context.now.offset(duration("14m")) && context.token.lifetime_seconds == 900
        context has token && context.token.issued_at < context.now
    "#;
    let target = Target::read("https", "HMI.example:8443", "/Lines/R%c3%b6hre?a=b").expect("it is plain");
    for line in facts.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let text = format!(
            "@id(\"it\") permit(principal, action == Action::\"extension\", resource) when {{ {line} }};"
        );
        let mut who = anna(&["operator"]);
        who.groups = vec!["shift-a".into()];
        who.client = Some("cli-1");
        who.actors = vec!["bot-7".into(), "bot-8".into()];
        who.entitlements = vec!["locker".into()];
        let doing = Doing::Request { method: "PURGE", target: &target };
        let circumstances = Circumstances { freshness: "late", proven: &["dpop"], ..circumstances() };
        let verdict = policies(&text).decide(&Question { principal: who, doing, circumstances });
        assert_eq!(by(&verdict), ("permitted", vec!["it"]), "{line}: {verdict:?}");
    }
}

#[test]
fn doors_without_a_request_have_actions_and_resources_of_their_own() {
    let text = r#"
        @id("login") permit(principal, action == Action::"login", resource == Account::"press")
        when { resource.name == "press" && resource in Audience::"hmi" && context.proven.contains("ssh") };
        @id("introspect") permit(principal, action == Action::"introspect", resource == Audience::"hmi");
        @id("authenticate") permit(principal, action == Action::"authenticate", resource == Audience::"hmi");
        @id("collect") permit(principal, action == Action::"collect", resource == Audience::"hmi");
        @id("pass") permit(principal in Role::"operator", action == Action::"GET", resource)
        when { context.breakglass && !(context has token) };
    "#;
    let policies = policies(text);
    let told = Circumstances { proven: &["ssh"], ..circumstances() };
    let ask = |doing, circumstances| {
        policies.decide(&Question { principal: anna(&["operator"]), doing, circumstances })
    };
    for (doing, id) in [
        (Doing::Login { account: "press" }, "login"),
        (Doing::Introspect, "introspect"),
        (Doing::Authenticate, "authenticate"),
        (Doing::Collect, "collect"),
    ] {
        assert_eq!(by(&ask(doing, told)), ("permitted", vec![id]));
    }
    assert_eq!(by(&ask(Doing::Login { account: "root" }, told)), ("denied", vec![]));
    let target = Target::read("http", "hmi", "/").expect("it is plain");
    let get = Doing::Request { method: "GET", target: &target };
    assert_eq!(by(&ask(get, told)), ("denied", vec![]));
    let pass = Circumstances { breakglass: true, token: None, ..told };
    assert_eq!(by(&ask(get, pass)), ("permitted", vec!["pass"]));
}

#[test]
fn what_does_not_read_or_fit_is_refused_with_its_place() {
    for (text, wanted) in [
        ("@id(\"a\")\npermit(principal, action resource);", "line 2, column 26"),
        ("@id(\"a\")\npermit(principal, action, resource) when { principal.shoe > 3 };", "line 2, column 44"),
        ("@id(\"a\") permit(principal, action == Action::\"get\", resource);", "Action::\"get\""),
        ("@id(\"a\") permit(principal == User::\"anna\", action, resource);", "User"),
        // An attribute that is not always there must be asked for first.
        ("@id(\"a\") permit(principal, action, resource) when { principal.client == \"x\" };", "client"),
        ("@id(\"a\") permit(principal, action, resource) when { resource.path == \"/\" };", "path"),
        ("permit(principal, action, resource);", "policy number 1: it has no @id"),
        ("@id(\"a b\") permit(principal, action, resource);", "[A-Za-z0-9._-]"),
        (
            "@id(\"a\") permit(principal, action, resource); @id(\"a\") forbid(principal, action, resource);",
            "policy number 2: the @id a is another policy's",
        ),
        ("@id(\"a\") permit(principal == ?principal, action, resource);", "template"),
        ("@id(\"a\") @cure(\"\\n\") permit(principal, action, resource);", "@cure"),
        ("@id(\"a\") // \u{202e} nothing to see\npermit(principal, action, resource);", "line 1, column 13"),
        ("@id(\"a\") permit(principal, action, resource); \u{0}", "nobody sees"),
    ] {
        let refusal = refused(text);
        assert_eq!(refusal.code(), Code::PolicyInvalid, "{text}");
        assert!(refusal.detail().contains(wanted), "{text}: {}", refusal.detail());
    }
    assert_eq!(policies("").ids().count(), 0, "no policy at all: everybody is denied");
}

#[test]
fn a_policy_that_can_never_apply_is_told() {
    let idle = policies(
        r#"@id("a") permit(principal, action == Action::"login", resource in Host::"hmi.example");"#,
    );
    assert_eq!(idle.idle().len(), 1, "{:?}", idle.idle());
    assert!(idle.idle()[0].contains('a'));
    assert!(policies(LINES).idle().is_empty());
}

#[test]
fn text_is_bounded_before_it_is_parsed() {
    let policy =
        |condition: &str| format!("@id(\"a\") permit(principal, action, resource) when {{ {condition} }};");
    let deep = policy(&format!("{}true{}", "(".repeat(30), ")".repeat(30)));
    let long = policy(&format!("\"{}\" == \"\"", "x".repeat(9_000)));
    let many: String =
        (0..1_001).map(|n| format!("@id(\"p{n}\") permit(principal, action, resource);")).collect();
    let large = "// \n".repeat(80_000);
    for text in [deep, long, many, large] {
        assert_eq!(refused(&text).code(), Code::TooLarge);
    }
    // Brackets and semicolons within strings and comments count for nothing.
    let quoted = policy(&format!("context.tier != \"{}\\\"\" // {}\n", "(;".repeat(60), "{".repeat(60)));
    assert_eq!(policies(&quoted).ids().count(), 1);
}

/// The deepest that the bounds let through is parsed, validated, evaluated and dropped on a small stack.
#[test]
fn the_deepest_policy_overflows_no_stack() {
    let chains = [
        vec!["context.breakglass"; 380].join("||"),
        vec!["true"; 1_150].join("&&"),
        format!("{} == 1", vec!["1"; 3_900].join("+")),
        format!("context.now{} == context.now", ".toDate()".repeat(850)),
        format!("{}true", "if true then true else ".repeat(330)),
        format!("{}true{}", "(".repeat(20), ")".repeat(20)),
        format!("{}{{}}{} has a", "{a:".repeat(20), "}".repeat(20)),
    ];
    for chain in chains {
        let text = format!("@id(\"a\") permit(principal, action, resource) when {{ {chain} }};");
        let small = std::thread::Builder::new().stack_size(2 << 20);
        let done = small.spawn(move || {
            let outcome = Policies::read(&text).map(|policies| asked(&policies, anna(&[]), "GET", "/"));
            format!("{outcome:?}")
        });
        let outcome = done.expect("a thread can be started").join().expect("it ends by itself");
        assert!(!outcome.contains("TooLarge"), "{outcome}");
    }
}

#[test]
fn a_path_has_one_spelling_or_none() {
    use Ambiguous::*;
    for (path, expected) in [
        ("/", Ok("/")),
        ("/a/b", Ok("/a/b")),
        ("/a/b/", Ok("/a/b/")),
        ("/a?b=/../c;d", Ok("/a")),
        ("/%61%2Db", Ok("/a-b")),
        ("/r%C3%B6hre", Ok("/röhre")),
        ("/a%20b", Ok("/a b")),
        ("/.well-known/x", Ok("/.well-known/x")),
        ("/a@b:c!$&'()*+,=~", Ok("/a@b:c!$&'()*+,=~")),
        ("", Err(NoPath)),
        ("*", Err(NoPath)),
        ("a", Err(NoPath)),
        ("http://hmi.example/a", Err(NoPath)),
        ("//a", Err(EmptySegment)),
        ("/a//b", Err(EmptySegment)),
        ("/a//", Err(EmptySegment)),
        ("/a/./b", Err(DotSegment)),
        ("/a/../b", Err(DotSegment)),
        ("/..", Err(DotSegment)),
        ("/a/%2e%2e/b", Err(Hidden)),
        ("/a/.%2E/b", Err(Hidden)),
        ("/a%2fb", Err(Hidden)),
        ("/a%2Fb", Err(Hidden)),
        ("/a%5cb", Err(Hidden)),
        ("/a%252fb", Err(Hidden)),
        ("/a%3fb", Err(Hidden)),
        ("/a%23b", Err(Hidden)),
        ("/a%3bb", Err(Hidden)),
        ("/a;b=1", Err(Parameter)),
        ("/a/..;/b", Err(Parameter)),
        ("/a\\b", Err(Character)),
        ("/a#b", Err(Character)),
        ("/a b", Err(Character)),
        ("/a\tb", Err(Character)),
        ("/a\0b", Err(Character)),
        ("/röhre", Err(Character)),
        ("/a%00b", Err(Unreadable)),
        ("/a%0ab", Err(Unreadable)),
        ("/a%7f", Err(Unreadable)),
        ("/a%ff", Err(Unreadable)),
        // Overlong: a slash in two bytes; and half of a pair.
        ("/a%c0%afb", Err(Unreadable)),
        ("/a%ed%a0%80", Err(Unreadable)),
        ("/%E2%80%AEtxt", Err(Unreadable)),
        ("/a%", Err(Encoding)),
        ("/a%2", Err(Encoding)),
        ("/a%zz", Err(Encoding)),
        ("/a%u002f", Err(Encoding)),
        ("/admin.", Err(LooseEnd)),
        ("/admin%20/x", Err(LooseEnd)),
    ] {
        let target = Target::read("https", "hmi.example", path);
        assert_eq!(target.as_ref().map(Target::path).map_err(|error| *error), expected, "{path:?}");
    }
    let long = format!("/{}", "a".repeat(4_096));
    assert_eq!(Target::read("https", "h", &long), Err(TooLong));
    assert_eq!(Target::read("https", "h", &"/a".repeat(65)), Err(TooLong));
    assert!(Target::read("https", "h", &"/a".repeat(64)).is_ok());
}

#[test]
fn a_host_has_one_spelling_or_none() {
    for (scheme, authority, expected) in [
        ("https", "hmi.example", Ok(("hmi.example", 443))),
        ("http", "HMI.Example", Ok(("hmi.example", 80))),
        ("https", "hmi.example:443", Ok(("hmi.example", 443))),
        ("https", "hmi.example:8443", Ok(("hmi.example", 8443))),
        ("http", "127.0.0.1:8080", Ok(("127.0.0.1", 8080))),
        ("http", "[::1]:8080", Ok(("[::1]", 8080))),
        ("http", "[0:0:0:0:0:0:0:1]", Ok(("[::1]", 80))),
        ("http", "a_b-c", Ok(("a_b-c", 80))),
        ("ftp", "hmi.example", Err(Ambiguous::Scheme)),
        ("HTTPS", "hmi.example", Err(Ambiguous::Scheme)),
        ("http", "hmi.example.", Ok(("hmi.example", 80))),
        ("http", "hmi.example.:8080", Ok(("hmi.example", 8080))),
        ("http", "hmi.example..", Err(Ambiguous::Host)),
        ("http", "", Err(Ambiguous::Host)),
        ("http", "a..b", Err(Ambiguous::Host)),
        ("http", ".a", Err(Ambiguous::Host)),
        ("http", "hmi%2eexample", Err(Ambiguous::Host)),
        ("http", "anna@hmi.example", Err(Ambiguous::Host)),
        ("http", "hmi.example/a", Err(Ambiguous::Host)),
        ("http", "hmi.example,evil", Err(Ambiguous::Host)),
        ("http", "höhe", Err(Ambiguous::Host)),
        ("http", "127.1", Err(Ambiguous::Host)),
        ("http", "0177.0.0.1", Err(Ambiguous::Host)),
        ("http", "0x7f.0.0.0x1", Err(Ambiguous::Host)),
        ("http", "2130706433", Err(Ambiguous::Host)),
        ("http", "::1", Err(Ambiguous::Port)),
        ("http", "[::1", Err(Ambiguous::Host)),
        ("http", "[::1]x", Err(Ambiguous::Host)),
        ("http", "[::1%25eth0]", Err(Ambiguous::Host)),
        ("http", "h:", Err(Ambiguous::Port)),
        ("http", "h:0", Err(Ambiguous::Port)),
        ("http", "h:080", Err(Ambiguous::Port)),
        ("http", "h:65536", Err(Ambiguous::Port)),
        ("http", "h:80:80", Err(Ambiguous::Port)),
    ] {
        let target = Target::read(scheme, authority, "/");
        let seen = target.as_ref().map(|target| (target.host(), target.port())).map_err(|error| *error);
        assert_eq!(seen, expected, "{scheme} {authority:?}");
    }
}

#[test]
fn the_specification_has_the_schema_as_it_is_shipped() {
    let spec = include_str!("../../../../spec/policy.md");
    let (_, after) = spec.split_once("```cedarschema\n").expect("the schema stands there");
    let (shown, _) = after.split_once("```").expect("it ends");
    assert_eq!(shown, SCHEMA);
}

#[test]
fn who_is_denied_learns_which_policies_nearly_fit() {
    let text = r#"
        @id("by-day") permit(principal in Role::"operator", action == Action::"GET", resource in Path::"hmi.example/lines")
        when { context.now.toTime() < duration("6h") };
        @id("elsewhere") permit(principal, action == Action::"GET", resource in Path::"hmi.example/office");
        @id("leads") permit(principal in Role::"lead", action, resource);
        @id("writers") permit(principal in Role::"operator", action in Action::"write", resource);
        @id("never") forbid(principal, action, resource) when { context.breakglass };
    "#;
    let target = Target::read("https", "hmi.example", "/lines/1").expect("it is plain");
    let doing = Doing::Request { method: "GET", target: &target };
    let question = Question { principal: anna(&["operator"]), doing, circumstances: circumstances() };
    let policies = policies(text);
    assert_eq!(by(&policies.decide(&question)), ("denied", vec![]));
    let misses = policies.misses(&question);
    let misses: Vec<(&str, Miss)> = misses.iter().map(|(id, miss)| (id.as_str(), *miss)).collect();
    assert_eq!(
        misses,
        [
            ("by-day", Miss::Condition),
            ("elsewhere", Miss::Resource),
            ("leads", Miss::Principal),
            ("writers", Miss::Action)
        ]
    );
    assert!(policies.text_of("leads").expect("there is one").contains("Role::\"lead\""));
}

/// Every example of docs/policies.md reads, alone and all together, and the first says what stands there.
#[test]
fn the_examples_of_the_handbook_are_what_they_say() {
    let page = include_str!("../../../../docs/policies.md");
    let blocks: Vec<&str> =
        page.split("```cedar\n").skip(1).map(|rest| rest.split("```").next().unwrap_or_default()).collect();
    assert!(blocks.len() >= 4, "there are examples");
    for block in &blocks {
        let read = policies(block);
        assert!(read.idle().is_empty() && read.ids().count() > 0, "{block}");
    }
    let all = policies(&blocks.concat());
    let ask = |roles: &[&'static str], method, path: &str, change: fn(&mut Question<'_>)| {
        let target = Target::read("https", "hmi.plant-7.example", path).expect(path);
        let doing = Doing::Request { method, target: &target };
        let mut question = Question { principal: anna(roles), doing, circumstances: circumstances() };
        change(&mut question);
        all.decide(&question)
    };
    let as_is = |_: &mut Question<'_>| {};
    let lead = &["shift-lead"];
    assert_eq!(by(&ask(&["operator"], "GET", "/lines/3", as_is)), ("permitted", vec!["operators-look"]));
    assert_eq!(by(&ask(&["operator"], "PUT", "/lines/2", as_is)), ("denied", vec![]));
    assert_eq!(by(&ask(lead, "PUT", "/lines/2", as_is)), ("permitted", vec!["leads-change"]));
    assert_eq!(by(&ask(lead, "PUT", "/lines/3/x", as_is)), ("denied", vec!["line-3-is-being-rebuilt"]));
    let night = |question: &mut Question<'_>| question.circumstances.now = NOON + 11 * 3_600;
    assert_eq!(by(&ask(lead, "PUT", "/lines/2", night)), ("denied", vec!["night-shift-proves-its-key"]));
    let proven = |question: &mut Question<'_>| {
        (question.circumstances.now, question.circumstances.proven) = (NOON + 11 * 3_600, &["dpop"]);
    };
    assert_eq!(by(&ask(lead, "PUT", "/lines/2", proven)), ("permitted", vec!["leads-change"]));
    let agent = |question: &mut Question<'_>| question.principal.actors = vec!["bot-7".into()];
    assert_eq!(by(&ask(lead, "PUT", "/lines/2", agent)), ("denied", vec!["agents-only-look"]));
    let pass = |question: &mut Question<'_>| {
        (question.circumstances.breakglass, question.circumstances.token) = (true, None);
    };
    assert_eq!(by(&ask(&[], "GET", "/anything", pass)), ("permitted", vec!["cards-open"]));
}
