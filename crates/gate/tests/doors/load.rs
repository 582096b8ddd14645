//! What happens to requests under way while trust changes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use farside_gate::http::Doors;

use super::realm::{NOW, TokenKey, keys_of, policy, revoked_name, status};
use super::{CLIENT_SECRET, Site, ask, ext_authz, introspect};

const CLIENTS: usize = 4;
const IMPORTS: u64 = 6;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trust_changes_under_load_and_no_request_is_dropped() {
    let mut site = Site::open();
    let token = format!("Bearer {}", site.realm.token("anna", 1, ""));
    let ended = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let (doors, token, ended) = (site.doors.clone(), token.clone(), ended.clone());
            tokio::spawn(async move {
                let mut answered = 0_u64;
                while !ended.load(Ordering::Relaxed) {
                    let said = ask(&doors, "GET", "/verify", &[("authorization", &token)], "").await;
                    assert_eq!(said.status, 200, "{said:?}");
                    answered += 1;
                }
                answered
            })
        })
        .collect();
    for number in 0..IMPORTS {
        let mut plan = site.realm.plan();
        let mut revoked = status(number + 2);
        revoked.subjects = (0..=number).map(|left| revoked_name(&format!("leaver-{left}"), NOW)).collect();
        plan.status = Some(revoked);
        let bundle = site.realm.send(plan);
        let leaver = site.realm.token(&format!("leaver-{number}"), 100 + number, "");
        assert_eq!(site.show(&leaver).await.status, 200);
        tokio::task::block_in_place(|| site.far.import(&bundle));
        assert_eq!(site.show(&leaver).await.code(), (401, "revoked".to_owned()), "seen at once");
        refused_everywhere(&site, &leaver).await;
    }
    ended.store(true, Ordering::Relaxed);
    for client in clients {
        assert!(client.await.unwrap() > 0, "every client was answered");
    }
}

/// By every door that is shown a token.
async fn refused_everywhere(site: &Site, token: &str) {
    assert_eq!(ext_authz::status_for(site, token).await, 401);
    let client = introspect::basic("wiki", CLIENT_SECRET);
    let told = introspect::introspect(&site.doors, &client, &format!("token={token}")).await;
    assert_eq!(told.json()["active"], false, "{told:?}");
    let told = site.review(token, &[]).await;
    assert_eq!(told.json()["status"]["authenticated"], false, "{told:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_is_judged_half_by_old_and_half_by_new_trust() {
    let mut site = Site::open();
    let other = TokenKey::new("key-2");
    let (first, second) = (site.realm.key.jwk(""), other.jwk(""));
    // With one set of keys only bound tokens enter, with the other any: each token is refused by both, for
    // another reason, and would enter where keys of the one met the policy of the other.
    let claims = |index| super::realm::claims("anna", index, NOW, "");
    let tokens = [site.realm.key.sign("at+jwt", &claims(1)), other.sign("at+jwt", &claims(2))];
    let ended = Arc::new(AtomicBool::new(false));
    let ask_on = |token: &str| {
        let (doors, token, ended) = (site.doors.clone(), format!("Bearer {token}"), ended.clone());
        tokio::spawn(async move { answers(&doors, &token, &ended).await })
    };
    let asking = [ask_on(&tokens[0]), ask_on(&tokens[1])];
    for version in 2..12 {
        let open = version % 2 == 0;
        let mut plan = site.realm.plan();
        let mut audiences = policy(version);
        audiences.audiences[0].holder_bound = !open;
        plan.policy = Some(audiences);
        plan.keys = Some(keys_of(version, std::slice::from_ref(if open { &second } else { &first })));
        let bundle = site.realm.send(plan);
        let outcome = tokio::task::block_in_place(|| site.far.import(&bundle));
        assert!(super::realm::code(&outcome).starts_with("applied"), "{version} {outcome:?}");
        let (old, new) = if open { ("key_unknown", "") } else { ("holder_proof_required", "key_unknown") };
        assert_eq!(site.show(&tokens[0]).await.code().1, old, "{version}");
        assert_eq!(site.show(&tokens[1]).await.code().1, new, "{version}");
    }
    ended.store(true, Ordering::Relaxed);
    let [first, second] = asking;
    let (first, second) = (first.await.unwrap(), second.await.unwrap());
    // The first key's token entered by the first bundle alone, which bound nobody.
    assert!(!first.windows(2).any(|pair| !pair[0].is_empty() && pair[1].is_empty()), "{first:?}");
    assert!(second.iter().all(|code| code != "holder_proof_required"), "{second:?}");
}

/// The codes heard while trust changes, each once for as long as it stays the same.
async fn answers(doors: &Doors, token: &str, ended: &AtomicBool) -> Vec<String> {
    let mut heard: Vec<String> = Vec::new();
    while !ended.load(Ordering::Relaxed) {
        let (status, code) = ask(doors, "GET", "/verify", &[("authorization", token)], "").await.code();
        assert!(status == 200 || status == 401, "{status} {code}");
        if heard.last() != Some(&code) {
            heard.push(code);
        }
    }
    heard
}
