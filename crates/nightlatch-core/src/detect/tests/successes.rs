//! Passwords that were found.

use super::*;

const GUEST: &str = "198.51.100.66";

fn found_passwords(found: &[Finding]) -> Vec<(&str, u32)> {
    notices(found)
        .into_iter()
        .filter_map(|notice| match notice {
            Notice::PasswordFound { account, failures, .. } => Some((account.as_str(), *failures)),
            _ => None,
        })
        .collect()
}

#[test]
fn a_success_right_after_failures_is_a_password_that_was_found() {
    let mut bench = Bench::new();
    bench.all((0..3).map(|n| wrong(GUEST, n, "1002")));
    let found = bench.see(&success(GUEST, 4, "1002"));
    assert_eq!(found_passwords(&found), [("1002", 3)]);
    assert!(matches!(&found[0], Finding::Notice(notice) if notice.is_urgent()));
    // Once.
    assert_eq!(bench.all((5..9).map(|n| success(GUEST, n, "1002"))), []);
    // One typing error or two are no guesses.
    let mut bench = Bench::new();
    bench.all((0..2).map(|n| wrong(GUEST, n, "1002")));
    assert_eq!(bench.see(&success(GUEST, 4, "1002")), []);
}

#[test]
fn a_success_from_where_somebody_has_just_scanned() {
    let mut bench = Bench::new();
    bench.all([unknown(GUEST, 0, "100"), unknown(GUEST, 1, "101"), wrong(GUEST, 2, "102")]);
    assert_eq!(found_passwords(&bench.see(&success(GUEST, 5, "103"))), [("103", 3)]);
    assert_eq!(bench.see(&success(GUEST, 6, "103")), []);
    assert_eq!(found_passwords(&bench.see(&success(GUEST, 7, "104"))).len(), 1);
    // After the ban ended, from where 1002 was guessed.
    let mut bench = Bench::new();
    one_attack(&bench.all((0..5).map(|n| wrong(GUEST, n, "1002"))));
    assert_eq!(found_passwords(&bench.see(&success(GUEST, 700, "1002"))), [("1002", 5)]);
    // Hours later it is somebody else.
    let mut bench = Bench::new();
    bench.all((0..4).map(|n| wrong(GUEST, n, "1002")));
    assert_eq!(bench.see(&success(GUEST, 2 * HOUR, "1002")), []);
}

#[test]
fn slow_guesses_that_look_like_a_phone_are_found_out_too() {
    let mut bench = Bench::new();
    let slow = bench.all((0..100).map(|n| wrong(GUEST, n * 61, "1002")));
    no_attack(&slow);
    assert_eq!(found_passwords(&bench.see(&success(GUEST, 100 * 61, "1002"))), [("1002", 100)]);
}

#[test]
fn a_phone_that_was_repaired_is_no_password_that_was_found() {
    let mut bench = Bench::new();
    bench.all((-DAY..0).step_by(600).map(|at| success(GUEST, at, "204")));
    bench.all((0..100).map(|n| wrong(GUEST, n * 61, "204")));
    let found = bench.see(&success(GUEST, 6101, "204"));
    let recovered = Notice::PhoneRecovered {
        source: GUEST.parse().unwrap(),
        account: "204".into(),
        attempts: 100,
        since: second(0),
        at: second(6101),
    };
    assert_eq!(found, [Finding::Notice(recovered)]);
    assert_eq!(bench.see(&success(GUEST, 6102, "204")), []);
    // Another account at the same place was never used before.
    bench.all((0..4).map(|n| wrong(GUEST, 7000 + n * 20, "205")));
    assert_eq!(found_passwords(&bench.see(&success(GUEST, 7100, "205"))), [("205", 4)]);
}
