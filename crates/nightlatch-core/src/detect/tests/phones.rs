//! One bad phone bans no office, and nobody guesses behind that.

use super::*;

const OFFICE: &str = "203.0.113.20";
const ACCOUNTS: [&str; 12] =
    ["200", "201", "202", "203", "204", "205", "206", "207", "208", "209", "210", "211"];

/// An office in which ten phones have registered every few minutes for a day.
fn office() -> Bench {
    let mut bench = Bench::new();
    let lines =
        (-DAY..0).step_by(300).flat_map(|at| ACCOUNTS.map(|name| success(OFFICE, at, name)));
    assert_eq!(bench.all(lines.filter(|line| line.account != Some("211"))), []);
    bench
}

fn bad_phones(found: &[Finding]) -> Vec<(&str, Outcome)> {
    notices(found)
        .into_iter()
        .filter_map(|notice| match notice {
            Notice::BadPhone { account, fault, .. } => Some((account.as_str(), *fault)),
            _ => None,
        })
        .collect()
}

#[test]
fn one_phone_with_a_wrong_password_bans_no_office() {
    let mut bench = office();
    let mut found = Vec::new();
    for at in (0..7 * DAY).step_by(60) {
        found.extend(
            bench.see(&wrong(OFFICE, at, "204").with(|shown| shown.agent = Some("desk\r"))),
        );
        if at % 300 == 0 {
            let others = ACCOUNTS.iter().filter(|name| !["204", "211"].contains(name));
            found.extend(bench.all(others.map(|name| success(OFFICE, at, name))));
        }
    }
    assert_eq!(found.len(), 1, "{found:#?}");
    let Finding::Notice(Notice::BadPhone { since, account, agent, attempts, at, .. }) = &found[0]
    else {
        unreachable!("{found:#?}");
    };
    assert_eq!((account.as_str(), agent.as_deref()), ("204", Some("desk\\x0d")));
    assert_eq!((*since, *at, *attempts), (second(0), second(240), 5));
    // It is switched off for two days, and then fails again.
    let again = bench.all((0..5).map(|n| {
        wrong(OFFICE, 9 * DAY + n * 60, "204").with(|shown| shown.agent = Some("desk\r"))
    }));
    assert_eq!(bad_phones(&again), [("204", Outcome::WrongPassword)]);
}

#[test]
fn without_positive_evidence_the_pace_decides() {
    let mut bench = Bench::new();
    let slow = bench.all((0..DAY / 61).map(|n| wrong(OFFICE, n * 61, "204")));
    assert_eq!(bad_phones(&slow), [("204", Outcome::WrongPassword)]);
    no_attack(&slow);
    let mut bench = Bench::new();
    one_attack(&bench.all((0..5).map(|n| wrong(OFFICE, n * 14, "204"))));
    // A phone that becomes fast.
    let mut bench = Bench::new();
    no_attack(&bench.all((0..20).map(|n| wrong(OFFICE, n * 61, "204"))));
    let fast = bench.all((0..5).map(|n| wrong(OFFICE, 20 * 61 + n, "204")));
    let evidence = &one_attack(&fast).evidence;
    assert_eq!((evidence.attempts, evidence.threshold), (5, (5, 60)));
    // What asks every 20 s is a phone for some time, and then is not.
    let mut bench = Bench::new();
    let found: Vec<_> = (0..200).map(|n| bench.see(&wrong(OFFICE, n * 20, "204"))).collect();
    let first = found.iter().position(|found| !attacks(found).is_empty());
    assert_eq!(first, Some(44));
    let evidence = &one_attack(&found[44]).evidence;
    assert_eq!((evidence.attempts, evidence.threshold), (45, (45, 880)));
    // Two accounts are no phone, and neither are several computers of one IPv6 network.
    let mut bench = Bench::new();
    one_attack(&bench.all((0..5).map(|n| wrong(OFFICE, n * 61, ACCOUNTS[n as usize % 2]))));
}

#[test]
fn people_who_mistype_are_not_banned() {
    // A person tries four passwords, the phone twice each of them within a minute.
    let mut bench = Bench::new();
    let tries = [0, 2, 40, 42, 90, 92, 140, 142];
    let found = bench.all(tries.map(|at| wrong("192.0.2.9", at, "204")).into_iter().take(4));
    assert_eq!(found, []);
    // A typing error a day, then the right one, for a year: SSH.
    let mut bench = Bench::new();
    for day in 0..365_i64 {
        let line = |n: i64| wrong("192.0.2.9", day * DAY + n * 10, "alice").ssh();
        assert_eq!(bench.all([line(0), line(1)]), []);
        let right = line(2).with(|shown| shown.outcome = Outcome::Succeeded);
        assert_eq!(bench.see(&right), [], "day {day}");
    }
    // The colleagues of an office, one typing error each, and each logs in afterwards.
    let mut bench = office();
    for n in 0..1000 {
        let name = ACCOUNTS[n as usize % 11];
        let found = bench.all([wrong(OFFICE, n * 300, name), success(OFFICE, n * 300 + 20, name)]);
        assert_eq!(found, [], "{n}");
    }
}

#[test]
fn an_extension_that_was_deleted_is_a_misconfiguration() {
    let mut bench = office();
    let mut found = Vec::new();
    for n in 0..1000 {
        found.extend(bench.see(&unknown(OFFICE, n * 60, "204")));
        found.extend(bench.all(ACCOUNTS.iter().take(4).map(|name| success(OFFICE, n * 60, name))));
    }
    assert_eq!(found.len(), 1, "{found:#?}");
    assert_eq!(bad_phones(&found), [("204", Outcome::UnknownAccount)]);
    // Without positive evidence it is a scan.
    let mut bench = Bench::new();
    one_attack(&bench.all((0..3).map(|n| unknown(OFFICE, n * 60, "204"))));
}

#[test]
fn three_accounts_from_an_office_are_an_attack_that_limits() {
    let mut bench = office();
    let found = bench.all((0..5).map(|n| wrong(OFFICE, n, ACCOUNTS[n as usize % 3])));
    let attack = one_attack(&found);
    assert_eq!(attack.trusted_since, Some(second(-DAY)));
    assert_eq!(attack.evidence.accounts_tried, 3);
    let urgent: Vec<_> = notices(&found).into_iter().filter(|notice| notice.is_urgent()).collect();
    let [Notice::AccountsGuessed { accounts, trusted_since, .. }] = urgent[..] else {
        unreachable!("{found:#?}");
    };
    assert_eq!((accounts.len(), *trusted_since), (3, second(-DAY)));
    // Nobody hears that phones of the office, which go on registering, were found by guessing.
    assert_eq!(bench.all(ACCOUNTS.iter().take(10).map(|name| success(OFFICE, 10, name))), []);
}

#[test]
fn two_bad_phones_are_two_notices() {
    let mut bench = office();
    let found = bench.all((0..500).map(|n| wrong(OFFICE, n * 61, ACCOUNTS[n as usize % 2])));
    assert_eq!(found.len(), 2, "{found:#?}");
    assert_eq!(bad_phones(&found).len(), 2);
}

#[test]
fn misdialled_numbers_limit_no_office() {
    let mut bench = office();
    let dialled = |n: i64| {
        wrong(OFFICE, n * 20, ACCOUNTS[n as usize % 11])
            .with(|shown| shown.outcome = Outcome::UnknownNumber)
    };
    assert_eq!(bench.all((0..30).map(dialled)), []);
    // A guest that calls numbers abroad scans.
    let mut bench = Bench::new();
    let guest = |n| dialled(n).with(|shown| shown.account = None);
    one_attack(&bench.all((0..3).map(guest)));
}

/// Who owns one extension and guesses others makes fewer than 100 guesses before he is limited, and fewer
/// than 100 an hour if he does not want to be.
#[test]
fn who_owns_an_extension_makes_fewer_than_100_guesses_an_hour() {
    let accounts: [&[&str]; 4] = [&["201"], &["201", "202"], &["201", "202", "203"], &ACCOUNTS];
    for accounts in accounts {
        for pause in [1, 5, 15, 20, 30, 36, 37, 45, 60, 90] {
            let mut bench = office();
            let mut guesses = 0;
            for n in 0..3600 / pause {
                let account = accounts[n as usize % accounts.len()];
                let found = bench.see(&wrong(OFFICE, n * pause, account));
                guesses += 1;
                if let [attack] = attacks(&found)[..] {
                    assert_eq!(attack.trusted_since, Some(second(-DAY)), "limited, not banned");
                    break;
                }
            }
            assert!(guesses < 100, "{guesses} guesses at {accounts:?}, one every {pause} s");
        }
    }
}

#[test]
fn positive_evidence_begins_an_hour_before_the_first_failure() {
    let guess = |bench: &mut Bench| {
        let found = bench.all((0..5).map(|n| wrong(OFFICE, n, ACCOUNTS[n as usize])));
        one_attack(&found).trusted_since
    };
    let mut bench = Bench::new();
    bench.see(&success(OFFICE, -3600, "200"));
    assert_eq!(guess(&mut bench), Some(second(-3600)));
    let mut bench = Bench::new();
    bench.see(&success(OFFICE, -3599, "200"));
    assert_eq!(guess(&mut bench), None);
    // A password that was found is none: failures came before.
    let mut bench = Bench::new();
    bench.see(&wrong(OFFICE, -6 * DAY, "209"));
    bench.all((-5 * DAY..0).step_by(600).map(|at| success(OFFICE, at, "200")));
    assert_eq!(guess(&mut bench), None);
    // Nor what somebody claims, nor what ended long ago.
    let mut bench = Bench::new();
    bench.see(&success(OFFICE, -7200, "200").claimed());
    bench.see(&success(OFFICE, -8 * DAY, "200"));
    assert_eq!(guess(&mut bench), None);
    // For SSH only a log that others cannot write shows it.
    let ssh = |bench: &mut Bench| {
        one_attack(&bench.all((0..5).map(|n| wrong(OFFICE, n, "root").ssh()))).trusted_since
    };
    let mut bench = Bench::new();
    bench.see(&success(OFFICE, -DAY, "root").ssh().low());
    assert_eq!(ssh(&mut bench), None);
    let mut bench = Bench::new();
    bench.see(&success(OFFICE, -DAY, "root").ssh());
    assert_eq!(ssh(&mut bench), Some(second(-DAY)));
}
