//! Many names: how many queries they cause, and how much is written down.

use super::*;

/// Each name is two queries.
const MAX_NAMES_A_SECOND: usize = 100;
const COUNT: usize = 5_000;

fn many() -> Names {
    let mut names = Names::new();
    for at in 0..COUNT / 50 {
        let hosts: Vec<String> = (0..50).map(|host| format!("h{host}.n{at}.example.net")).collect();
        for (host, name) in hosts.iter().enumerate() {
            names.answer_for(name, found(&format!("203.0.{at}.{}", host + 1), 60));
        }
        names.allow(&format!("account{at}"), &hosts.join(","), HostOptions::default());
    }
    names
}

#[test]
fn five_thousand_names_are_asked_for_evenly() {
    let mut names = many();
    names.wait(5 * MINUTE);
    names.asked.clear();
    let (records, changes) = (names.desk.log().len(), names.desk.changes.len());
    names.wait(10 * MINUTE);
    check_pace(&names);
    let per_name = names.asked.len() / COUNT;
    assert!((9..=10).contains(&per_name), "{per_name}");
    assert_eq!((names.desk.log().len(), names.desk.changes.len()), (records, changes));
    // After a restart, their addresses are known.
    let mut names = names.restart(0);
    names.wait(3 * MINUTE);
    check_pace(&names);
    let asked: std::collections::BTreeSet<&HostName> =
        names.asked.iter().map(|(_, name)| name).collect();
    assert_eq!(asked.len(), COUNT);
    // A new name does not wait behind them.
    names.answer("203.0.113.20");
    names.allow("office", "office.example.net", HostOptions::default());
    names.wait(0);
    assert!(names.is_open("203.0.113.20"));
}

fn check_pace(names: &Names) {
    let mut seconds = BTreeMap::<i64, usize>::new();
    for (at, _) in &names.asked {
        *seconds.entry(at.millis() / 1000).or_default() += 1;
    }
    let most = seconds.values().max().unwrap();
    assert!(*most <= MAX_NAMES_A_SECOND, "{most} names within a second");
    let all = names.asked.len();
    let span = seconds.len();
    assert!(all <= span * MAX_NAMES_A_SECOND, "{all} names within {span} seconds");
}
