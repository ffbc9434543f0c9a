//! Attempts, sessions, thresholds, trust, and when attacks begin and end.

use nightlatch_parse::log::Doubt;

use super::*;
use crate::attack::Weight;

const GUEST: &str = "198.51.100.66";

/// The six lines of one REGISTER of an account that does not exist, in two files.
fn six_lines(at: i64, session: &str) -> Vec<Shown> {
    let line = |outcome, account, log| {
        unknown(GUEST, at, "9999").session(session).with(|shown| {
            shown.outcome = outcome;
            shown.account = account;
            shown.log = log;
            if outcome == Outcome::UnknownAccount {
                shown.proof = Proof::Claimed;
            }
        })
    };
    let mut lines = Vec::new();
    for log in ["/var/log/asterisk/security", "/var/log/asterisk/messages"] {
        lines.push(line(Outcome::UnknownAccount, Some("9999"), log));
        lines.push(line(Outcome::UnknownAccount, Some("9999"), log));
        lines.push(line(Outcome::WrongPassword, Some("<unknown>"), log));
    }
    lines
}

#[test]
fn six_lines_of_one_session_are_one_attempt() {
    let mut bench = Bench::new();
    no_attack(&bench.all((0..2).flat_map(|n| six_lines(n, &format!("call-{n}")))));
    let found = bench.all(six_lines(2, "call-2"));
    let attack = one_attack(&found[..1]);
    // The first line of the third session is claimed only, and the first two sessions were answered.
    assert_eq!((attack.evidence.attempts, attack.evidence.score), (3, 6));
    assert_eq!(attack.weight, Weight::Brief);
    let rest = attacks(&found[1..]);
    assert_eq!((rest.len(), rest[0].weight), (1, Weight::Full), "{rest:#?}");
    assert_eq!(rest[0].evidence.accounts, ["9999"]);
    no_attack(&bench.all(six_lines(2, "call-2")));
}

#[test]
fn one_session_for_all_guesses_does_not_help() {
    let mut bench = Bench::new();
    let guesses = (0..40).map(|n| wrong(GUEST, n / 10, "204").session("same"));
    let found: Vec<_> = guesses.map(|guess| attacks(&bench.see(&guess)).len()).collect();
    assert_eq!(found.iter().position(|attacks| *attacks > 0), Some(16));
}

#[test]
fn without_a_session_each_line_counts_but_not_the_same_line_in_another_log() {
    let mut bench = Bench::new();
    let line = |log: &'static str| {
        wrong(GUEST, 1, "204").session("").with(|shown| {
            shown.log = log;
            shown.text = "Registration from '204' failed".into();
        })
    };
    let both = || ["messages", "full"].map(line);
    for _ in 0..4 {
        no_attack(&bench.all(both()));
    }
    one_attack(&bench.all(both()));
    no_attack(&bench.all((0..4).map(|_| line("messages"))));
    one_attack(&bench.all([line("messages")]));
}

#[test]
fn five_failures_within_ten_minutes_or_twenty_in_a_week() {
    let mut bench = Bench::new();
    let quick = bench.all((0..5).map(|n| wrong(GUEST, n * 150, "root").ssh()));
    let attack = one_attack(&quick);
    assert_eq!((attack.evidence.threshold, attack.evidence.attempts), ((5, 600), 5));
    assert_eq!((attack.evidence.since, attack.evidence.last), (second(0), second(600)));
    assert_eq!(attack.source.to_string(), GUEST);

    let mut bench = Bench::new();
    no_attack(&bench.all((0..19).map(|n| wrong(GUEST, n * 151, "root").ssh())));
    let slow = bench.see(&wrong(GUEST, 7 * DAY, "root").ssh());
    assert_eq!(one_attack(&slow).evidence.threshold, (20, 7 * 86_400));
    let mut bench = Bench::new();
    no_attack(&bench.all((0..19).map(|n| wrong(GUEST, n * 151, "root").ssh())));
    no_attack(&bench.see(&wrong(GUEST, 7 * DAY + 1, "root").ssh()));
}

#[test]
fn who_attacked_attacks_again_only_after_as_many_attempts() {
    let mut bench = Bench::new();
    let found = bench.all((0..10).map(|n| wrong(GUEST, n, "root").ssh()));
    let attacks = attacks(&found);
    assert_eq!(attacks.len(), 2);
    assert!(attacks[0].evidence.last < attacks[1].evidence.since);
}

#[test]
fn what_no_honest_client_does_counts_twice() {
    for outcome in [Outcome::UnknownAccount, Outcome::Malformed] {
        let mut bench = Bench::new();
        let found = bench
            .all((0..3).map(|n| wrong(GUEST, n, "x").ssh().with(|shown| shown.outcome = outcome)));
        assert_eq!(one_attack(&found).evidence.score, 6);
    }
}

#[test]
fn an_honest_login_is_nothing() {
    let mut bench = Bench::new();
    for n in 0..1000 {
        for outcome in [Outcome::Challenged, Outcome::TooMany, Outcome::Succeeded] {
            let line = wrong(GUEST, n * 60, "204").with(|shown| shown.outcome = outcome);
            assert_eq!(bench.see(&line), []);
        }
    }
}

#[test]
fn challenges_for_unknown_accounts_are_a_scan_unless_somebody_logs_in() {
    let challenge = |n| {
        wrong(GUEST, n, "<unknown>").claimed().with(|shown| shown.outcome = Outcome::Challenged)
    };
    let mut bench = Bench::new();
    let found = bench.all((0..20).map(challenge));
    assert_eq!(one_attack(&found).weight, Weight::Brief);
    let mut bench = Bench::new();
    let mixed = (0..100).map(|n| if n % 10 == 9 { success(GUEST, n, "204") } else { challenge(n) });
    assert_eq!(bench.all(mixed), []);
}

#[test]
fn what_can_be_forged_bans_briefly_until_enough_is_proven() {
    let mut bench = Bench::new();
    let claimed = bench.all((0..5).map(|n| wrong(GUEST, n, "204").ssh().claimed()));
    assert_eq!(one_attack(&claimed).weight, Weight::Brief);
    let low = bench.all((5..10).map(|n| wrong(GUEST, n, "204").ssh().low()));
    assert_eq!(one_attack(&low).weight, Weight::Brief);
    let proven = bench.all((10..15).map(|n| wrong(GUEST, n, "204").ssh()));
    assert_eq!(one_attack(&proven).weight, Weight::Full);
    let mut bench = Bench::new();
    // Four of five are proven: not enough for more than a brief ban, until the fifth comes.
    let mixed = bench.all((0..5).map(|n| {
        let line = wrong(GUEST, n, "204").ssh();
        if n == 2 { line.claimed() } else { line }
    }));
    assert_eq!(one_attack(&mixed).weight, Weight::Brief);
    assert_eq!(one_attack(&bench.see(&wrong(GUEST, 6, "204").ssh())).weight, Weight::Full);
}

#[test]
fn attacks_begin_and_end_once() {
    let mut bench = Bench::new();
    let found = bench.all((0..5).map(|n| wrong(GUEST, n, "root").ssh()));
    assert!(matches!(notices(&found)[..], [Notice::AttackBegan { .. }]));
    let more = bench.all((5..8).map(|n| wrong("198.51.100.67", n, "root").ssh()));
    let more =
        more.into_iter().chain(bench.all((8..10).map(|n| wrong("198.51.100.67", n, "root").ssh())));
    assert_eq!(notices(&more.collect::<Vec<_>>()), Vec::<&Notice>::new());
    assert_eq!(bench.pass(9 + 1799), []);
    let underway = bench.judge.underway().unwrap();
    assert_eq!((underway.since, underway.last), (second(4), second(9)));
    assert_eq!((underway.sources, underway.attempts), (2, 10));
    let ended =
        Notice::AttackEnded { sources: 2, attempts: 10, since: second(4), until: second(9) };
    assert_eq!(bench.pass(9 + 1800), [Finding::Notice(ended)]);
    assert_eq!(bench.judge.underway(), None);
    assert_eq!(bench.pass(9 + 1801), []);
}

#[test]
fn a_clock_that_jumps_bans_nobody_and_ends_attacks_all_the_same() {
    let mut bench = Bench::new();
    let times = [0, 400 * DAY, -3 * DAY, 0, i64::MAX / 2000, i64::MIN / 2000, 30 * DAY];
    no_attack(&bench.all(times.map(|at| wrong(GUEST, at, "root").ssh())));
    let mut found = Vec::new();
    for millis in [i64::MAX, i64::MIN, 0, i64::MAX] {
        bench.judge.pass(Time::from_millis(millis), &mut found);
    }
    assert_eq!(found, []);
    bench.all((0..5).map(|n| wrong(GUEST, 100 * DAY + n, "root").ssh()));
    assert_eq!(bench.pass(0), []);
    assert_eq!(bench.pass(1800).len(), 1, "it ended");
}

#[test]
fn lines_of_several_logs_may_come_in_any_order() {
    let mut bench = Bench::new();
    let order = [300, 0, 599, 100, 450];
    one_attack(&bench.all(order.map(|at| wrong(GUEST, at, "root").ssh())));
    let mut bench = Bench::new();
    let far = [700, 0, 699, 100, 50];
    no_attack(&bench.all(far.map(|at| wrong(GUEST, at, "root").ssh())));
}

#[test]
fn evidence_is_printable_and_short() {
    let mut bench = Bench::new();
    let found = bench.all((0..5).map(|n| {
        wrong(GUEST, n, "2\u{1b}[31m04\r\n\"x\"0123456789012345678901234567890123456789")
            .ssh()
            .with(|shown| shown.text = format!("line {n} \u{202e}\r\n{}", "y".repeat(60_000)))
    }));
    let evidence = &one_attack(&found).evidence;
    let texts = evidence.lines.iter().map(|line| &line.text).chain(&evidence.accounts);
    for text in texts {
        assert!(text.chars().count() <= 403 && !text.contains(char::is_control), "{text}");
        assert!(!text.contains('\u{202e}'), "{text}");
    }
    assert!(evidence.lines.last().unwrap().text.starts_with("line 4 "));
    assert_eq!((evidence.lines.len(), evidence.accounts.len()), (4, 1));
}

#[test]
fn deceptive_lines_are_told_once_an_hour_for_each_log() {
    let mut bench = Bench::new();
    let sources: Vec<IpAddr> = (0..9).map(|n| IpAddr::from([192, 0, 2, n])).collect();
    let text = vec![0x1b; 5000];
    let mut found = Vec::new();
    for n in 0..7200 {
        let doubt =
            Doubt { stamp: None, service: Service::Sip, sources: sources.clone(), text: &text };
        bench.judge.doubt(second(n), "/var/log/asterisk/security", &doubt, &mut found);
        bench.judge.pass(second(n), &mut found);
    }
    found.extend(bench.pass(7200));
    found.extend(bench.pass(3 * 3600));
    let told: Vec<u32> = notices(&found)
        .into_iter()
        .map(|notice| match notice {
            Notice::Doubtful { lines, sources, text, .. } => {
                assert!(sources.len() == 4 && text.len() <= 83);
                *lines
            }
            other => unreachable!("{other:?}"),
        })
        .collect();
    assert_eq!(told, [1, 3600, 3599]);
    let mut bench = Bench::new();
    let doubt = Doubt { stamp: None, service: Service::Sip, sources, text: b"x" };
    let mut found = Vec::new();
    for n in 0..1000 {
        bench.judge.doubt(second(n), &format!("log {n}"), &doubt, &mut found);
    }
    assert_eq!(found.len(), 1000);
}

/// chan_sip writes no session into `messages`: what `security` says of the same attempt is another line of it.
#[test]
fn a_line_without_a_session_is_one_attempt_with_a_line_of_another_log() {
    let of = |n: i64, log: &'static str| wrong(GUEST, n, "204").with(|shown| shown.log = log);
    let message = |n: i64| {
        let text = format!("message {n}");
        of(n, "messages").session("").claimed().with(|shown| shown.text = text)
    };
    let event = |n: i64, log| of(n, log).session(&format!("nonce-{n}"));
    for order in [[0, 1, 2], [1, 0, 2], [1, 2, 0], [2, 0, 1]] {
        let lines = |n: i64| {
            order.map(|log| match log {
                0 => message(n),
                1 => event(n, "security"),
                _ => event(n, "security.json"),
            })
        };
        let mut bench = Bench::new();
        no_attack(&bench.all((0..4).flat_map(lines)));
        let found = bench.all(lines(4));
        let counted: Vec<u32> = attacks(&found).iter().map(|it| it.evidence.attempts).collect();
        assert!(!counted.is_empty() && counted.iter().all(|it| *it == 5), "{order:?}: {counted:?}");
        // The same where one log is read after the other.
        let mut bench = Bench::new();
        let attempts: Vec<[Shown; 3]> = (0..4).map(lines).collect();
        for log in 0..3 {
            no_attack(&bench.all(attempts.iter().map(|lines| lines[log].clone())));
        }
    }
    // In one log, each line is an attempt, and another account is another attempt.
    let mut bench = Bench::new();
    one_attack(&bench.all((0..5).map(message)));
    let mut bench = Bench::new();
    no_attack(&bench.all([message(0), message(1)]));
    let others = (0..3).map(|n| event(n, "security").with(|shown| shown.account = Some("205")));
    one_attack(&bench.all(others));
}
