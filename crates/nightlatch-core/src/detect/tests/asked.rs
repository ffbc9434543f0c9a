//! Accounts for which a source was challenged and did not answer.

use super::*;
use crate::attack::Weight;

const SCANNER: &str = "198.51.100.66";
const OFFICE: &str = "203.0.113.20";
/// More accounts than count as an attack.
const ACCOUNTS: [&str; 40] = [
    "100", "101", "102", "103", "104", "105", "106", "107", "108", "109", "110", "111", "112",
    "113", "114", "115", "116", "117", "118", "119", "120", "121", "122", "123", "124", "125",
    "126", "127", "128", "129", "130", "131", "132", "133", "134", "135", "136", "137", "138",
    "139",
];

fn challenged(source: &str, at: i64, account: &'static str) -> Shown {
    wrong(source, at, account).claimed().with(|shown| shown.outcome = Outcome::Challenged)
}

/// A bench at whose log somebody else has logged in.
fn bench() -> Bench {
    let mut bench = Bench::new();
    assert_eq!(bench.see(&success("192.0.2.9", 0, "900")), []);
    bench
}

/// Each of these accounts, one a second; twice where a request is sent again.
fn scan(source: &str, from: i64, accounts: &[&'static str]) -> Vec<Shown> {
    let each = (from..).zip(accounts.iter().copied());
    each.flat_map(|(at, account)| {
        [challenged(source, at, account), challenged(source, at, account)]
    })
    .collect()
}

#[test]
fn who_asks_for_many_accounts_and_answers_nothing_is_banned_briefly() {
    let mut bench = bench();
    let found = bench.all(scan(SCANNER, 0, &ACCOUNTS));
    let attack = one_attack(&found);
    assert_eq!(attack.source.to_string(), SCANNER);
    assert_eq!((attack.weight, attack.trusted_since), (Weight::Brief, None));
    let Evidence { attempts, score, accounts_tried, threshold, .. } = attack.evidence;
    assert_eq!((attempts, score, accounts_tried, threshold), (20, 5, 20, (5, 600)));
    assert_eq!((attack.evidence.since, attack.evidence.last), (second(0), second(29)));
    assert!(!attack.evidence.lines.is_empty(), "{attack:?}");
    let [Notice::AttackBegan { .. }] = notices(&found).as_slice() else { panic!("{found:?}") };
    // It goes on after the ban: once more as many.
    no_attack(&bench.all(scan(SCANNER, 700, &ACCOUNTS[..20])));
    one_attack(&bench.all(scan(SCANNER, 720, &ACCOUNTS[20..])));
}

#[test]
fn an_office_whose_phones_all_begin_at_once_is_not() {
    // All requests come before the first answer.
    let mut bench = bench();
    for round in 0..10 {
        let at = round * 3600;
        let asks = ACCOUNTS.iter().map(|account| challenged(OFFICE, at, account));
        no_attack(&bench.all(asks));
        let answers = ACCOUNTS.iter().map(|account| success(OFFICE, at + 9, account));
        no_attack(&bench.all(answers));
    }
}

#[test]
fn nobody_is_where_people_log_in() {
    for proof in [Proof::Answered, Proof::Claimed] {
        let mut bench = self::bench();
        bench.see(&success(OFFICE, 0, "204").with(|shown| shown.proof = proof));
        no_attack(&bench.all(scan(OFFICE, 100, &ACCOUNTS)));
    }
    let mut bench = bench();
    // Nor does one phone that never answers count more than once.
    let one = (0..1000).map(|at| challenged(SCANNER, at, "100"));
    no_attack(&bench.all(one));
    // Nor do requests of a week.
    let slow = (0..).zip(ACCOUNTS).map(|(n, account)| challenged(SCANNER, n * 60, account));
    no_attack(&bench.all(slow));
}

#[test]
fn a_log_without_successes_shows_no_answers() {
    let mut bench = Bench::new();
    no_attack(&bench.all(scan(OFFICE, 0, &ACCOUNTS)));
    // Those of another log, or of long ago, tell nothing either.
    bench.see(&success("192.0.2.9", 100, "900").with(|shown| shown.log = "/var/log/other"));
    no_attack(&bench.all(scan(OFFICE, 200, &ACCOUNTS)));
    bench.see(&success("192.0.2.9", 300, "900"));
    no_attack(&bench.all(scan(OFFICE, 400 + DAY, &ACCOUNTS)));
    // Neither does what a web server or sshd asks.
    bench.see(&success("192.0.2.9", 500 + DAY, "900"));
    no_attack(&bench.all(scan(OFFICE, 600 + DAY, &ACCOUNTS).into_iter().map(Shown::ssh)));
    one_attack(&bench.all(scan(OFFICE, 700 + DAY, &ACCOUNTS)));
}
