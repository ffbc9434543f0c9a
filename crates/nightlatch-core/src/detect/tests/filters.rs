//! What filters of fail2ban read: thresholds of their own, counted apart, and never more than a brief ban.

use std::time::Duration;

use nightlatch_parse::log::Doubt;

use super::*;
use crate::attack::Weight;

const GUEST: &str = "198.51.100.66";
const MAIL: &str = "/var/log/mail.log";
const WEB: &str = "/var/log/web.log";

fn thresholds(maxretry: u32, findtime: u64, bantime: u64) -> Thresholds {
    let [findtime, bantime] = [findtime, bantime].map(Duration::from_secs);
    Thresholds { maxretry, findtime, bantime }
}

fn by_filter(at: i64, log: &'static str, filter: Thresholds) -> Shown {
    wrong(GUEST, at, "alice").with(|shown| shown.service = Service::Other).filtered(log, filter)
}

#[test]
fn a_filter_has_its_own_thresholds() {
    let mut bench = Bench::new();
    let filter = thresholds(3, 60, 7200);
    no_attack(&bench.all([0, 1, 62, 63].map(|at| by_filter(at, MAIL, filter))));
    let found = bench.see(&by_filter(64, MAIL, filter));
    let attack = one_attack(&found);
    assert_eq!((attack.weight, attack.bantime), (Weight::Brief, Some(Duration::from_secs(7200))));
    assert_eq!((attack.evidence.threshold, attack.evidence.attempts), ((3, 60), 3));
    assert_eq!((attack.evidence.since, attack.evidence.last), (second(62), second(64)));
    assert_eq!(attack.evidence.accounts, ["alice"]);
    assert!(attack.evidence.lines.iter().all(|line| line.log == MAIL), "{attack:?}");
    // As many again make the next one.
    let more = bench.all((65..71).map(|at| by_filter(at, MAIL, filter)));
    assert_eq!(attacks(&more).len(), 2);
    // One attempt is enough, and a hundred within a week are.
    one_attack(&Bench::new().see(&by_filter(0, MAIL, thresholds(1, 1, 10))));
    let mut bench = Bench::new();
    let slow = thresholds(100, 7 * 86_400, 10);
    let found = bench.all((0..100).map(|n| by_filter(n * 6000, MAIL, slow)));
    assert_eq!(one_attack(&found).evidence.attempts, 100);
}

#[test]
fn what_a_filter_reads_adds_up_with_nothing_else() {
    let mut bench = Bench::new();
    let filter = Thresholds::default();
    let mut lines = Vec::new();
    for n in 0..4 {
        lines.push(by_filter(n, MAIL, filter));
        lines.push(by_filter(n, WEB, filter));
        lines.push(wrong(GUEST, n, "204").ssh());
    }
    no_attack(&bench.all(lines));
    assert_eq!(one_attack(&bench.see(&wrong(GUEST, 5, "204").ssh())).weight, Weight::Full);
    for log in [WEB, MAIL] {
        let found = bench.see(&by_filter(5, log, filter));
        let evidence = &one_attack(&found).evidence;
        assert!(evidence.attempts == 5 && evidence.lines.iter().all(|line| line.log == log));
    }
    // No neighbourhood is found to attack by it.
    let mut bench = Bench::new();
    let networks = (0..9).flat_map(|network| (0..5).map(move |n| (network, n)));
    let found = bench.all(networks.map(|(network, n)| {
        by_filter(n, MAIL, filter)
            .with(|shown| shown.source = IpAddr::from([0x2001, 0xdb8, 0x66, network, 0, 0, 0, 1]))
    }));
    assert_eq!(attacks(&found).len(), 9);
    assert!(attacks(&found).iter().all(|attack| attack.source.to_string().ends_with("/64")));
}

#[test]
fn from_where_people_log_in_a_filter_bans_nobody() {
    let mut bench = Bench::new();
    bench.see(&success(GUEST, -DAY, "200"));
    let found = bench.all((0..5).map(|n| by_filter(n, MAIL, Thresholds::default())));
    assert_eq!(one_attack(&found).trusted_since, Some(second(-DAY)));
    // It began too late.
    let mut bench = Bench::new();
    bench.see(&by_filter(-DAY, MAIL, Thresholds::default()));
    bench.see(&success(GUEST, -DAY + 60, "200"));
    let found = bench.all((0..5).map(|n| by_filter(n, MAIL, Thresholds::default())));
    assert_eq!(one_attack(&found).trusted_since, None);
}

#[test]
fn one_bad_phone_in_a_log_of_phones_is_a_notice() {
    let mut bench = Bench::new();
    let filter = thresholds(5, 3600, 86_400);
    let line = |n: i64| wrong(GUEST, n * 120, "204").filtered("/var/log/other-pbx.log", filter);
    let found = bench.all((0..60).map(line));
    assert!(
        matches!(&found[..], [Finding::Notice(Notice::BadPhone { account, attempts: 5, .. })] if account == "204"),
        "{found:#?}"
    );
    // Two accounts are no phone.
    let found = bench.see(&line(61).with(|shown| shown.account = Some("205")));
    no_attack(&found);
    let more = bench.all((62..66).map(|n| line(n).with(|shown| shown.account = Some("205"))));
    assert_eq!(one_attack(&more).weight, Weight::Brief);
}

#[test]
fn what_a_filter_counts_survives_a_restart() {
    let settings = Settings { slow_attempts: 5, ..Settings::default() };
    let mut bench = Bench::with(settings.clone());
    let mut stored = std::collections::BTreeMap::new();
    let filter = thresholds(100, 86_400, 600);
    no_attack(&bench.all((0..99).map(|n| by_filter(n, MAIL, filter))));
    bench.restart(&mut stored, &settings);
    no_attack(&bench.see(&by_filter(99, WEB, filter)));
    assert_eq!(one_attack(&bench.see(&by_filter(99, MAIL, filter))).evidence.attempts, 100);
}

#[test]
fn a_name_in_the_place_of_the_address_is_told_and_counts_for_nobody() {
    let mut bench = Bench::new();
    let mut found = Vec::new();
    let (log, service) = (MAIL, Service::Other);
    let name = b"guest.example.net\x1b[31m";
    for n in 0..600 {
        let doubt = Doubt { stamp: None, service, sources: Vec::new(), text: name };
        bench.judge.doubt(second(n * 10), log, &doubt, &mut found);
        let sources = vec![GUEST.parse().unwrap(), "203.0.113.9".parse().unwrap()];
        let doubt = Doubt { stamp: None, service, sources, text: b"x" };
        bench.judge.doubt(second(n * 10), log, &doubt, &mut found);
    }
    let told: Vec<u32> = notices(&found)
        .into_iter()
        .filter_map(|notice| match notice {
            Notice::NoAddress { lines, name, .. } => {
                assert_eq!(name, "guest.example.net\\x1b[31m");
                Some(*lines)
            }
            _ => None,
        })
        .collect();
    assert_eq!((told.as_slice(), found.len()), ([1, 360].as_slice(), 4));
    assert_eq!(bench.judge.sources(), 0);
}
