//! Name servers that fail, and names that vanish: for how long the last good addresses count.

use super::*;
use crate::features::names::{Failure, Name};

/// The name servers do not know.
fn fails(failure: Failure) -> (Found, Found) {
    (Found::Failed(failure), Found::Failed(failure))
}

fn nothing() -> (Found, Found) {
    (Found::Nothing, Found::Nothing)
}

#[test]
fn while_name_servers_fail_the_last_addresses_count_for_seven_days() {
    for failure in [Failure::Silent, Failure::Server(2), Failure::Malformed] {
        let mut names = Names::with("203.0.113.20,2001:db8::20");
        names.answer_for("office.example.net", fails(failure));
        names.wait(67);
        let since = names.record("office.example.net").fails().unwrap().since;
        // It is asked often enough for a name server that comes back to be noticed soon.
        let asked = names.asked.len();
        names.wait(HOUR);
        let asked = names.asked.len() - asked;
        assert!((11..=20).contains(&asked), "{asked}");
        let left = |names: &Names| since.after(Duration::from_secs(7 * DAY)).since(names.desk.now);
        names.wait(left(&names).as_secs() - 1);
        assert!(names.is_open("203.0.113.20") && names.is_open("2001:db8::20"));
        names.wait(2 * MINUTE);
        assert!(!names.is_open("203.0.113.20") && !names.is_open("2001:db8::20"));
        assert_eq!(names.notices(), ["name-lost", "name-lost"]);
        // It is asked for all the same.
        names.answer("203.0.113.20");
        names.wait(6 * MINUTE);
        assert!(names.is_open("203.0.113.20"));
        assert!(names.record("office.example.net").fails().is_none());
    }
}

#[test]
fn an_answer_in_between_begins_the_seven_days_anew() {
    let mut names = Names::with("203.0.113.20");
    for _ in 0..4 {
        names.answer_for("office.example.net", fails(Failure::Silent));
        names.wait(6 * DAY);
        names.answer("203.0.113.20");
        names.wait(6 * MINUTE);
        assert!(names.is_open("203.0.113.20"));
    }
}

#[test]
fn of_a_family_that_fails_alone_what_was_known_counts() {
    let mut names = Names::with("203.0.113.20,2001:db8::20");
    let (v4, _) = found("203.0.113.30", 60);
    names.answer_for("office.example.net", (v4, Found::Failed(Failure::Server(2))));
    names.wait(HOUR);
    assert_eq!(names.addresses(), "203.0.113.30,2001:db8::20");
    assert!(names.record("office.example.net").fails().is_some());
    names.wait(7 * DAY);
    assert_eq!(names.addresses(), "203.0.113.30");
    // A family of which nothing is known is no trouble: many name servers fail for IPv6.
    assert!(names.record("office.example.net").fails().is_none());
}

#[test]
fn a_name_that_vanished_counts_for_a_day_once_that_is_confirmed() {
    let mut names = Names::with("203.0.113.20");
    names.answer_for("office.example.net", nothing());
    names.wait(67);
    let gone = names.record("office.example.net").gone.unwrap();
    names.wait(55 * MINUTE);
    assert!(names.notices().is_empty());
    names.wait(15 * MINUTE);
    assert_eq!(names.notices(), ["name-gone"]);
    let left = gone.since.after(Duration::from_secs(DAY)).since(names.desk.now).as_secs();
    names.wait(left - 1);
    assert!(names.is_open("203.0.113.20"));
    names.wait(2 * MINUTE);
    assert!(!names.is_open("203.0.113.20"));
    assert_eq!(names.notices(), ["name-gone", "name-lost"]);
    names.answer("203.0.113.20");
    names.wait(11 * MINUTE);
    assert!(names.is_open("203.0.113.20"));
    assert_eq!(names.record("office.example.net").gone, None);
}

#[test]
fn an_empty_answer_that_is_not_repeated_is_not_believed() {
    let mut names = Names::with("203.0.113.20");
    for _ in 0..100 {
        names.answer_for("office.example.net", nothing());
        names.wait(50 * MINUTE);
        names.answer("203.0.113.20");
        names.wait(11 * MINUTE);
    }
    assert!(names.is_open("203.0.113.20"));
    assert!(names.notices().is_empty());
}

#[test]
fn names_of_providers_that_vanished_count_for_seven_days() {
    let mut names = Names::new();
    let mut record = Name::new("sip.example.net".parse().unwrap());
    record.of.insert("providers/example".to_owned(), false);
    names.desk.engine.state.apply(names::put(record));
    names.answer_for("sip.example.net", found("203.0.113.20", 60));
    names.wait(1);
    names.answer_for("sip.example.net", nothing());
    names.wait(7 * DAY);
    assert_eq!(names.addresses_of("sip.example.net"), "203.0.113.20");
    names.wait(10 * MINUTE);
    assert_eq!(names.addresses_of("sip.example.net"), "");
}

#[test]
fn a_clock_that_is_set_forward_ends_nothing() {
    let mut names = Names::with("203.0.113.20");
    names.jump(30 * DAY);
    assert!(names.is_open("203.0.113.20"));
    names.answer_for("office.example.net", fails(Failure::Silent));
    names.wait(5 * MINUTE);
    names.jump(8 * DAY);
    names.wait(HOUR);
    assert!(names.is_open("203.0.113.20"), "no name server was asked for these eight days");
    names.wait(7 * DAY);
    assert!(!names.is_open("203.0.113.20"));
    let mut names = Names::with("203.0.113.20");
    names.answer_for("office.example.net", nothing());
    names.wait(2 * HOUR);
    names.jump(3 * DAY);
    names.wait(HOUR);
    assert!(names.is_open("203.0.113.20"));
    names.wait(DAY);
    assert!(!names.is_open("203.0.113.20"));
}

#[test]
fn after_a_restart_the_stored_addresses_count() {
    let mut names = Names::with("203.0.113.20");
    names.answer_for("office.example.net", fails(Failure::Silent));
    names.wait(DAY);
    let mut names = names.restart(0);
    // Before anybody was asked: this is what the early unit loads.
    assert!(names.asked.is_empty());
    assert!(names.is_open("203.0.113.20"));
    names.wait(5 * DAY);
    assert!(names.is_open("203.0.113.20"));
    names.wait(DAY + HOUR);
    assert!(!names.is_open("203.0.113.20"), "the seven days began before the restart");
}

#[test]
fn a_replacement_that_a_restart_interrupts_is_noticed_again() {
    let mut names = Names::with("203.0.113.20");
    names.answer("203.0.113.30");
    names.wait(67);
    let mut names = names.restart(1);
    assert!(names.is_open("203.0.113.20") && names.is_open("203.0.113.30"));
    names.wait(OVERLAP + 40);
    assert!(!names.is_open("203.0.113.20") && names.is_open("203.0.113.30"));
}

#[test]
fn host_names_of_an_earlier_version_are_followed() {
    let mut state = Names::new().desk.engine.state().clone();
    for (account, name, address) in
        [("office", "office.example.net", "203.0.113.20"), ("lan", "lan.example.net", "10.0.0.7")]
    {
        let addresses = vec![address.parse().unwrap()];
        let host = Entry::Host { name: name.parse().unwrap(), addresses };
        let made = made(&format!("{account} 192.0.2.1 all"));
        state.apply(accounts::put(Account { entries: vec![host], ..made }));
    }
    let mut desk = Desk::new(state);
    desk.feed(Event::Started);
    let mut names = Names { desk, answers: BTreeMap::new(), asked: Vec::new() };
    names.answer("203.0.113.30");
    names.answer_for("lan.example.net", found("10.0.0.8", 60));
    assert!(names.is_open("203.0.113.20") && names.is_open("10.0.0.7"));
    names.wait(1);
    assert!(names.is_open("203.0.113.30"));
    // Private addresses counted before, and still do.
    assert!(names.is_open("10.0.0.8"));
}

#[test]
fn with_a_full_disk_a_new_address_waits() {
    let mut names = Names::with("203.0.113.20");
    names.desk.store = Err("database or disk is full".to_owned());
    names.answer("203.0.113.30");
    names.wait(HOUR);
    assert!(names.is_open("203.0.113.20") && !names.is_open("203.0.113.30"));
    names.desk.store = Ok(());
    names.wait(5 * MINUTE);
    assert!(!names.is_open("203.0.113.20") && names.is_open("203.0.113.30"));
}

/// Whoever answers for a name may name an address of somebody else, and then another one.
#[test]
fn a_name_denies_nobody_what_every_stranger_may_do() {
    let mut names = Names::with("203.0.113.20");
    names.desk.done(mode(Mode::Open));
    names.answer("203.0.113.30");
    names.wait(10 * MINUTE);
    assert_eq!(names.addresses(), "203.0.113.30");
    assert!(names.desk.engine.state().denials.all.is_empty());
}

#[test]
fn a_name_with_ever_other_addresses_fills_neither_memory_nor_the_log() {
    let mut names = Names::with("203.0.113.1");
    let hour = |names: &mut Names, turn: usize| {
        for part in 0..120 {
            let all = (0..64).map(|at| format!("198.18.{}.{}", (turn * 120 + part) % 256, at));
            names.answer(&all.collect::<Vec<_>>().join(","));
            names.wait(30);
        }
        names.desk.log().len()
    };
    for turn in 0..3 {
        let _ = hour(&mut names, turn);
    }
    let before = hour(&mut names, 3);
    let a_day = (hour(&mut names, 4) - before) * 24;
    assert!((1..400).contains(&a_day), "{a_day} entries a day");
    let denials = names.desk.engine.state().denials.all.len();
    assert!((1..=4096).contains(&denials), "{denials}");
    assert!(names.addresses().split(',').count() <= 64);
}
