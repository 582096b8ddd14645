//! The inbox: a folder that strangers may write to.

use std::os::unix::fs::symlink;

use farside_gate::import::{self, BUNDLE_BYTES_MAX, Report};
use farside_gate::quarantine::HEAD_BYTES_MAX;

use crate::import::kept;
use crate::realm::{Far, NOW, code};

fn round(far: &Far) -> Vec<(String, String)> {
    let reports = import::inbox(&far.config, NOW).unwrap();
    reports.iter().map(|report: &Report| (report.file.clone(), code(&report.outcome))).collect()
}

fn names(far: &Far) -> Vec<String> {
    let entries = std::fs::read_dir(far.config.inbox()).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn bundles_are_applied_and_the_inbox_is_emptied() {
    let (mut realm, far) = Far::enrolled();
    for seq in 1..=3 {
        let bundle = realm.send(realm.plan());
        std::fs::write(far.config.inbox().join(format!("dome-{seq:08}.fbundle")), bundle).unwrap();
    }
    let seen = round(&far);
    assert_eq!(
        seen.iter().map(|(_, what)| what.as_str()).collect::<Vec<_>>(),
        ["applied 1", "applied 2", "applied 3"]
    );
    assert!(names(&far).is_empty());
    assert!(round(&far).is_empty());
}

#[test]
fn hostile_files_are_put_away_and_the_good_one_still_gets_in() {
    let (mut realm, far) = Far::enrolled();
    let at = |name: &str| far.config.inbox().join(name);
    std::fs::write(at("a-empty"), b"").unwrap();
    std::fs::File::create(at("b-huge")).unwrap().set_len(BUNDLE_BYTES_MAX + 1).unwrap();
    std::fs::create_dir(at("c-folder")).unwrap();
    symlink(far.config.recipient_key(), at("d-link")).unwrap();
    std::fs::write(at("e-\u{1b}[2Jname"), b"farside-bundle/1 99999999999999999999 0\n").unwrap();
    std::fs::write(at(".f-hidden"), b"still being written").unwrap();
    std::fs::write(at("z.fbundle"), realm.send(realm.plan())).unwrap();
    let old = std::time::SystemTime::now() - std::time::Duration::from_secs(3600);
    std::fs::File::open(at("a-empty")).unwrap().set_modified(old).unwrap();

    let seen = round(&far);
    let refused =
        seen.iter().filter(|(_, what)| ["truncated", "malformed", "too_large"].contains(&what.as_str()));
    assert_eq!(refused.count(), 4, "{seen:?}");
    assert!(seen.contains(&("z.fbundle".to_owned(), "applied 1".to_owned())), "{seen:?}");
    assert!(seen.iter().all(|(name, _)| !name.contains('\u{1b}')), "{seen:?}");
    let mut left = names(&far);
    left.sort();
    assert_eq!(left, [".f-hidden", "c-folder"]);

    let kept = kept(&far);
    assert!(kept.iter().all(|(blob, _)| blob.len() <= HEAD_BYTES_MAX));
    let huge = kept.iter().find(|(_, reason)| reason["code"] == "too_large").unwrap();
    assert_eq!(huge.1["file_bytes"], BUNDLE_BYTES_MAX + 1);
    // The link was not followed: nothing of the key lies in quarantine.
    assert!(far.config.recipient_key().exists());
    assert!(kept.iter().all(|(blob, _)| !blob.starts_with(b"farside-recipient-secret")));
}

#[test]
fn a_file_cut_short_a_moment_ago_may_still_be_arriving() {
    let (mut realm, far) = Far::enrolled();
    let bundle = realm.send(realm.plan());
    let path = far.config.inbox().join("b.fbundle");
    std::fs::write(&path, &bundle[..bundle.len() / 2]).unwrap();
    assert!(round(&far)[0].1.starts_with("ignored"));
    std::fs::write(&path, &bundle).unwrap();
    assert_eq!(round(&far)[0].1, "applied 1");
}

#[test]
fn the_same_refused_bytes_are_kept_once_and_the_quarantine_has_a_size() {
    let (_, mut far) = Far::enrolled();
    far.config.quarantine_bytes_max = 100;
    for name in ["a", "b"] {
        std::fs::write(far.config.inbox().join(name), [7; 60]).unwrap();
    }
    std::fs::write(far.config.inbox().join("c"), [8; 60]).unwrap();
    assert_eq!(round(&far).len(), 3);
    let kept = kept(&far);
    assert_eq!(kept.len(), 2);
    assert_eq!(kept.iter().map(|(blob, _)| blob.len()).sum::<usize>(), 60);
    assert!(kept.iter().all(|(_, reason)| reason["file_bytes"] == 60 && reason["cure"].is_string()));
}

#[test]
fn a_quarantine_that_cannot_be_written_keeps_no_good_bundle_out() {
    let (mut realm, far) = Far::enrolled();
    std::fs::remove_dir(far.config.quarantine()).unwrap();
    std::fs::write(far.config.quarantine(), b"a file stands in the way").unwrap();
    std::fs::write(far.config.inbox().join("a-bad"), b"nonsense").unwrap();
    std::fs::write(far.config.inbox().join("z.fbundle"), realm.send(realm.plan())).unwrap();
    let seen = round(&far);
    assert!(seen.contains(&("z.fbundle".to_owned(), "applied 1".to_owned())), "{seen:?}");
    assert_eq!(names(&far), ["a-bad"], "evidence is not thrown away");
}
