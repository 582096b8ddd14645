//! What happens to requests under way while trust changes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::realm::{NOW, revoked_name, status};
use super::{Site, ask};

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
    }
    ended.store(true, Ordering::Relaxed);
    for client in clients {
        assert!(client.await.unwrap() > 0, "every client was answered");
    }
}
