//! What a store knows after it was closed, cut short, emptied or put elsewhere.

use super::*;
use crate::replay::seen::SPAN_SECONDS;

const NOW: u64 = 1_800_000_000;
const MINUTE: u64 = 60;

fn once(id: u64, until: u64) -> Once {
    Once::proof(&[7; 32], &id.to_string(), until - 2 * MINUTE, until)
}

fn open(folder: &Path, past: Past, now: u64) -> (Disk, Found) {
    Disk::open(folder, 100_000, past, now).unwrap()
}

async fn take(disk: &Disk, one: Once, now: u64) -> Result<(), String> {
    disk.take(&[one], now).await.map_err(|why| why.to_string())
}

#[tokio::test]
async fn what_was_taken_is_known_after_a_restart_whatever_the_clock_says() {
    let folder = tempfile::tempdir().unwrap();
    let (disk, found) = open(folder.path(), Past::None, NOW);
    assert_eq!(found, Found::New);
    let (used, ended) = (once(1, NOW + 10 * MINUTE), once(2, NOW + MINUTE));
    take(&disk, used, NOW).await.unwrap();
    take(&disk, ended, NOW).await.unwrap();
    drop(disk);
    for now in [NOW, NOW + 5 * MINUTE, NOW - 10 * MINUTE] {
        let (disk, found) = open(folder.path(), Past::Here, now);
        assert_eq!(found, Found::Whole);
        assert!(take(&disk, used, now).await.unwrap_err().contains("used before"));
        assert!(take(&disk, ended, now).await.is_err());
    }
    let (disk, _) = open(folder.path(), Past::Here, NOW);
    take(&disk, once(3, NOW + 10 * MINUTE), NOW).await.unwrap();
}

#[tokio::test]
async fn files_go_once_all_in_them_has_expired_and_what_they_held_is_refused_for_good() {
    let folder = tempfile::tempdir().unwrap();
    let small = log_in(folder.path()).closed_after(16 << 10);
    let (disk, _) = Disk::open_log(small.clone(), 100_000, Past::None, NOW).unwrap();
    let (early, late) = (NOW + MINUTE, NOW + 60 * MINUTE);
    let mut last = None;
    for id in 0..6 * PAGE_RECORDS {
        let until = if id < 5 * PAGE_RECORDS { early } else { late };
        last = Some(disk.mark(&[once(id, until)], NOW).unwrap());
        if id % 256 == 0 {
            // Many frames, so that files are closed on the way.
            last.take().unwrap().await.unwrap();
        }
    }
    last.unwrap().await.unwrap();
    let before = small.bytes().unwrap();
    let after = early + SPAN_SECONDS;
    disk.tidy(after).await.unwrap();
    assert_eq!(disk.entries(), PAGE_RECORDS);
    assert!(small.bytes().unwrap() < before / 2, "{before} bytes, and {}", small.bytes().unwrap());
    drop(disk);

    // After a restart with the clock put back, what is not remembered is refused all the same.
    let (disk, found) = Disk::open_log(small.clone(), 100_000, Past::Here, NOW).unwrap();
    assert_eq!(found, Found::Whole);
    assert!(take(&disk, once(0, early), NOW).await.unwrap_err().contains("not remembered"));
    assert!(take(&disk, once(6 * PAGE_RECORDS - 1, late), NOW).await.unwrap_err().contains("used before"));
    take(&disk, once(7 * PAGE_RECORDS, late), NOW).await.unwrap();
    let counted = survey(folder.path(), NOW).unwrap().unwrap();
    assert_eq!(counted.entries, PAGE_RECORDS + 1);
}

#[tokio::test]
async fn a_store_that_is_gone_or_does_not_know_everything_takes_nothing_of_that_time() {
    let known = once(1, NOW + 10 * MINUTE);
    let later = once(2, NOW + 12 * MINUTE);
    for loss in ["emptied", "first file gone", "elsewhere"] {
        let folder = tempfile::tempdir().unwrap();
        let small = log_in(folder.path()).closed_after(64);
        let (disk, _) = Disk::open_log(small.clone(), 100_000, Past::None, NOW).unwrap();
        for id in 10..20 {
            take(&disk, once(id, NOW + 10 * MINUTE), NOW).await.unwrap();
        }
        drop(disk);
        match loss {
            "emptied" => std::fs::remove_dir_all(folder.path()).unwrap(),
            "first file gone" => std::fs::remove_file(folder.path().join("seen.log")).unwrap(),
            _ => {}
        }
        let past = if loss == "elsewhere" { Past::Elsewhere } else { Past::Here };
        let lost_at = NOW + 9 * MINUTE;
        std::fs::create_dir_all(folder.path()).unwrap();
        let (disk, found) = Disk::open_log(small.clone(), 100_000, past, lost_at).unwrap();
        assert_eq!(found, Found::Lost { at: lost_at }, "{loss}");
        assert!(take(&disk, known, NOW).await.unwrap_err().contains("has been lost"), "{loss}");
        take(&disk, later, lost_at + MINUTE).await.unwrap();
        drop(disk);
        let (disk, found) = Disk::open_log(small, 100_000, Past::Here, lost_at).unwrap();
        assert_eq!(found, Found::Whole, "{loss}: it is told once");
        assert!(take(&disk, known, NOW).await.unwrap_err().contains("has been lost"), "{loss}");
    }
}

#[tokio::test]
async fn damage_is_refused_and_a_torn_end_is_nobodys_admission() {
    let folder = tempfile::tempdir().unwrap();
    let (disk, _) = open(folder.path(), Past::None, NOW);
    for id in 0..3 {
        take(&disk, once(id, NOW + 10 * MINUTE), NOW).await.unwrap();
    }
    drop(disk);
    let file = folder.path().join("seen.log");
    let whole = std::fs::read(&file).unwrap();
    std::fs::write(&file, &whole[..whole.len() - 1]).unwrap();
    let (disk, found) = open(folder.path(), Past::Here, NOW);
    assert_eq!((found, disk.entries()), (Found::Whole, 2));
    drop(disk);
    assert_eq!(
        std::fs::read_dir(folder.path()).unwrap().count(),
        2,
        "no torn end is kept beside log and lock"
    );
    let mut turned = whole;
    turned[60] ^= 1;
    std::fs::write(&file, turned).unwrap();
    assert!(matches!(
        Disk::open(folder.path(), 10, Past::Here, NOW).map(drop),
        Err(OpenFault::Log(LogFault::Damaged { .. }))
    ));
}
