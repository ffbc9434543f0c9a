//! The outbox from outside: heard, listed, delivered.

mod random;

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::action::Level;
use crate::heard::Topic;

const SECOND: i64 = 1000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;

fn at(millis: i64) -> Time {
    Time::from_millis(millis)
}

/// Saves what has changed.
fn save(notices: &mut Outbox, store: &mut BTreeMap<String, Value>) {
    for (key, value) in notices.changes() {
        match value {
            Some(value) => store.insert(key, value),
            None => store.remove(&key),
        };
    }
    notices.saved();
}

fn settings() -> Settings {
    Settings { command: vec!["/usr/local/bin/tell-me".to_owned()], ..Settings::default() }
}

fn notices() -> Outbox {
    let mut notices = Outbox::default();
    notices.configure(settings());
    notices
}

/// The outbox after a restart.
fn restored(store: &BTreeMap<String, Value>, millis: i64) -> Outbox {
    Outbox::restore(settings(), store, at(millis))
}

fn heard(kind: &'static str, key: impl ToString, level: Level, millis: i64) -> Heard {
    let (topic, message) = (Topic::new(kind, key), format!("about {kind}"));
    Heard { feature: "firewall", topic, level, message, at: at(millis) }
}

/// Begins what is due and gives its number and what it tells.
fn begin(notices: &mut Outbox, millis: i64) -> Option<(u64, Notice)> {
    notices.give_up(at(millis));
    let delivery = notices.due(at(millis))?;
    let told = (delivery.id, delivery.notice.clone());
    notices.began(delivery, at(millis));
    Some(told)
}

/// Delivers what is due, well or with an error.
fn run(notices: &mut Outbox, millis: i64, result: Result<(), &str>) -> Option<Notice> {
    let (id, notice) = begin(notices, millis)?;
    notices.delivered(id, result, at(millis));
    Some(notice)
}

#[test]
fn equal_notices_within_a_period_are_one() {
    let mut notices = notices();
    for millis in [0, 10 * SECOND, HOUR - 1] {
        notices.heard(&heard("disk-full", "", Level::Error, millis));
    }
    let listed: Vec<&Notice> = notices.recent().collect();
    assert_eq!(listed.len(), 1);
    assert_eq!((listed[0].count, listed[0].first, listed[0].last), (3, at(0), at(HOUR - 1)));
    assert_eq!(notices.waiting(), 1);
    // A period later it is a new one, and so it is for another key or kind.
    notices.heard(&heard("disk-full", "", Level::Error, HOUR));
    notices.heard(&heard("disk-full", "b", Level::Error, HOUR));
    notices.heard(&heard("store-failed", "", Level::Error, HOUR));
    assert_eq!(notices.recent().count(), 4);
}

#[test]
fn what_becomes_more_severe_is_heard_again() {
    let mut notices = notices();
    notices.heard(&heard("disk-full", "", Level::Warning, 0));
    assert!(run(&mut notices, 0, Ok(())).is_some());
    notices.heard(&heard("disk-full", "", Level::Info, 1));
    assert!(run(&mut notices, 1, Ok(())).is_none());
    notices.heard(&heard("disk-full", "", Level::Error, 2));
    assert_eq!(run(&mut notices, 2, Ok(())).unwrap().severity, Severity::Error);
}

#[test]
fn without_a_command_and_below_the_severity_nothing_waits() {
    let mut notices = Outbox::default();
    notices.heard(&heard("disk-full", "", Level::Error, 0));
    assert_eq!((notices.recent().count(), notices.waiting()), (1, 0));
    assert_eq!((notices.due(at(0)), notices.next_due()), (None, None));
    notices.configure(Settings { severity: Severity::Warning, ..settings() });
    notices.heard(&heard("account-ends", "a", Level::Info, 0));
    assert_eq!(notices.waiting(), 0);
    notices.heard(&heard("feed-stale", "a", Level::Warning, 0));
    assert_eq!(notices.waiting(), 1);
    notices.configure(Settings::default());
    notices.command_changed(at(1));
    assert_eq!((notices.waiting(), notices.next_due()), (0, None));
}

#[test]
fn the_list_drops_the_oldest_of_the_least_severity() {
    let mut notices = Outbox::default();
    notices.heard(&heard("firewall-off", "", Level::Error, 0));
    notices.heard(&heard("account-ends", "first", Level::Info, 1));
    for number in 0..250 {
        notices.heard(&heard("feed-stale", number, Level::Warning, 2 + number));
    }
    assert_eq!(notices.recent().count(), MAX_LISTED);
    assert!(notices.recent().any(|notice| notice.subject.kind == "firewall-off"));
    assert!(!notices.recent().any(|notice| notice.subject.kind == "account-ends"));
    assert_eq!(notices.recent().next().unwrap().subject.key, "249");
}

#[test]
fn one_at_a_time_and_the_most_severe_first() {
    let mut notices = notices();
    notices.heard(&heard("account-ends", "a", Level::Info, 0));
    notices.heard(&heard("firewall-off", "", Level::Error, 1));
    let (id, first) = begin(&mut notices, 1).unwrap();
    assert_eq!(first.subject.kind, "firewall-off");
    assert_eq!((notices.due(at(2)), notices.next_due()), (None, None));
    notices.delivered(id + 7, Ok(()), at(2));
    assert_eq!(notices.due(at(2)), None, "the answer to another delivery");
    notices.delivered(id, Ok(()), at(3));
    notices.delivered(id, Err("too late"), at(3));
    assert_eq!(run(&mut notices, 3, Ok(())).unwrap().subject.kind, "account-ends");
    assert_eq!((notices.due(at(4)), notices.next_due()), (None, None));
}

#[test]
fn failures_are_tried_again_ever_more_calmly_and_given_up_after_a_day() {
    let mut notices = notices();
    notices.heard(&heard("firewall-off", "", Level::Error, 0));
    let mut tries = Vec::new();
    while let Some(next) = notices.next_due().filter(|_| notices.lost().count == 0) {
        notices.give_up(next);
        if run(&mut notices, next.millis(), Err("curl: (7)\u{1b}[1m no route")).is_some() {
            tries.push(next.millis() / SECOND);
        }
    }
    assert_eq!(tries[..6], [0, 30, 90, 210, 450, 930]);
    assert!(tries.len() < 35, "{tries:?}");
    assert_eq!((notices.waiting(), notices.lost().first), (0, at(24 * HOUR)));
    assert_eq!(notices.failing().unwrap().1, "curl: (7)\\u{1b}[1m no route");
    let listed: Vec<&Notice> = notices.recent().collect();
    assert_eq!(listed[0].message, "1 notice was not delivered");
    assert_eq!(listed[0].fields["last-error"], "curl: (7)\\u{1b}[1m no route");
    // When the command works again, that is told, once.
    let later = notices.next_due().unwrap().millis();
    let told = run(&mut notices, later, Ok(())).unwrap();
    assert_eq!((told.subject.kind.as_str(), told.count), ("not-delivered", 1));
    assert_eq!((notices.due(at(later)), notices.lost().count, notices.failing()), (None, 0, None));
}

#[test]
fn what_is_lost_after_it_was_told_is_another_notice() {
    let (mut notices, mut store) = (notices(), BTreeMap::new());
    for start in [0, 100 * HOUR, 200 * HOUR] {
        notices.heard(&heard("firewall-off", "a", Level::Error, start));
        notices.heard(&heard("firewall-off", "b", Level::Error, start + SECOND));
        notices.give_up(at(start + 30 * HOUR));
        assert_eq!(run(&mut notices, start + 31 * HOUR, Ok(())).unwrap().count, 2);
        save(&mut notices, &mut store);
        notices = restored(&store, start + 32 * HOUR);
    }
    let lost = notices.recent().filter(|notice| notice.subject.kind == "not-delivered");
    assert_eq!(lost.map(|notice| notice.count).collect::<Vec<_>>(), [2, 2, 2]);
}

#[test]
fn another_command_gets_what_waits_at_once() {
    let mut notices = notices();
    notices.heard(&heard("firewall-off", "", Level::Error, 0));
    for _ in 0..5 {
        let next = notices.next_due().unwrap().millis();
        assert!(run(&mut notices, next, Err("no")).is_some());
    }
    let other = Settings { command: vec!["/usr/local/bin/other".to_owned()], ..settings() };
    notices.configure(other);
    notices.command_changed(at(HOUR / 4));
    assert_eq!((notices.failing(), notices.next_due()), (None, Some(at(HOUR / 4))));
    assert!(run(&mut notices, HOUR / 4, Ok(())).is_some());
    assert_eq!(notices.waiting(), 0);
}

#[test]
fn one_that_always_fails_does_not_hold_up_the_others() {
    let mut notices = notices();
    notices.heard(&heard("firewall-off", "", Level::Error, 0));
    assert!(run(&mut notices, 0, Err("no")).is_some());
    notices.heard(&heard("account-ends", "a", Level::Info, 1));
    assert_eq!(run(&mut notices, 29 * SECOND, Ok(())), None);
    let told = run(&mut notices, 30 * SECOND, Ok(())).unwrap();
    assert_eq!(told.subject.kind, "account-ends");
}

#[test]
fn what_is_too_much_becomes_a_summary() {
    let mut notices = notices();
    for number in 0..9 {
        let key = number.to_string();
        notices.heard(&heard("account-ends", &key, Level::Info, 0));
        assert_eq!(run(&mut notices, 0, Ok(())).unwrap().subject.key, key);
    }
    // One run is left now.
    for number in 10..15 {
        notices.heard(&heard("feed-stale", number, Level::Warning, 1));
    }
    notices.heard(&heard("firewall-off", "", Level::Error, 2));
    let told = run(&mut notices, 2, Ok(())).unwrap();
    assert_eq!((told.subject.kind.as_str(), told.count), ("summary", 6));
    assert_eq!(
        told.message,
        "6 notices, too many to deliver one by one: 5 firewall/feed-stale, 1 firewall/firewall-off"
    );
    assert_eq!(told.severity, Severity::Error);
    assert_eq!(told.fields["firewall/feed-stale"], "5");
    assert_eq!(told.fields["message-1"], "about firewall-off");
    assert_eq!((notices.waiting(), notices.due(at(HOUR))), (0, None));
    // The bucket is empty; the next token is there after six minutes.
    notices.heard(&heard("account-ends", "x", Level::Info, 3));
    assert_eq!(notices.due(at(3)), None);
    assert_eq!(notices.next_due(), Some(at(6 * MINUTE)));
    assert!(run(&mut notices, 6 * MINUTE, Ok(())).is_some());
}

#[test]
fn a_full_queue_loses_the_oldest_of_the_least_severity_and_says_so() {
    let mut notices = notices();
    notices.heard(&heard("firewall-off", "", Level::Error, 0));
    assert!(run(&mut notices, 0, Err("no")).is_some());
    for number in 0..MAX_PENDING + 20 {
        notices.heard(&heard("account-ends", number, Level::Info, 1));
    }
    assert_eq!(notices.waiting(), MAX_PENDING);
    assert_eq!(notices.lost().count, 21);
    let told = run(&mut notices, HOUR, Ok(())).unwrap();
    assert_eq!((told.subject.kind.as_str(), told.count), ("summary", 100));
    assert_eq!(told.fields["not-delivered"], "21");
    assert!(told.message.ends_with("; 21 more were not delivered"), "{}", told.message);
    assert_eq!((notices.waiting(), notices.lost().count), (0, 0));
}

#[test]
fn a_restart_keeps_the_list_and_what_waits() {
    let mut notices = notices();
    notices.heard(&heard("disk-full", "", Level::Error, 0));
    assert!(run(&mut notices, 0, Ok(())).is_some());
    notices.heard(&heard("firewall-off", "", Level::Error, 1));
    begin(&mut notices, 1).unwrap();
    let mut store = BTreeMap::new();
    save(&mut notices, &mut store);
    let mut after = restored(&store, 2);
    assert!(notices.recent().eq(after.recent()));
    // Still one with what is heard again, and what was being delivered is delivered again.
    after.heard(&heard("disk-full", "", Level::Error, 3));
    assert_eq!(after.recent().map(|notice| notice.count).sum::<u64>(), 3);
    assert_eq!(run(&mut after, 3, Ok(())).unwrap().subject.kind, "firewall-off");
    assert_eq!(run(&mut after, 3, Ok(())), None);
}

#[test]
fn records_that_cannot_be_read_are_left_out_and_removed() {
    let mut notices = notices();
    notices.heard(&heard("disk-full", "", Level::Error, 0));
    let mut store = BTreeMap::new();
    save(&mut notices, &mut store);
    let whole = store.clone();
    let entry = store["notice-00000000000000000001"].clone();
    for (key, value) in [
        ("notice-00000000000000000002", entry),
        ("notice-00000000000000000003", json!({ "notice": 7 })),
        ("other", Value::Null),
    ] {
        store.insert(key.to_owned(), value);
    }
    let mut after = restored(&store, 2);
    assert!(notices.recent().eq(after.recent()));
    assert!(after.has_changes());
    save(&mut after, &mut store);
    assert!(store == whole && !after.has_changes());
    // Without what is kept besides, the next notice has a number of its own all the same.
    store.insert("state".to_owned(), json!([]));
    let mut after = restored(&store, 3);
    after.heard(&heard("firewall-off", "", Level::Error, 3));
    save(&mut after, &mut store);
    assert_eq!((store.len(), &store["state"]["last_id"]), (3, &json!(2)));
}

#[test]
fn moments_of_a_wrong_clock_are_brought_within_reach() {
    let mut notices = notices();
    let far = HOUR * 24 * 3650;
    notices.heard(&heard("disk-full", "", Level::Error, far));
    for _ in 0..9 {
        let next = notices.next_due().unwrap().millis();
        assert!(run(&mut notices, next, Err("no")).is_some());
    }
    let mut store = BTreeMap::new();
    save(&mut notices, &mut store);
    let mut after = restored(&store, 0);
    let next = after.next_due().unwrap();
    assert!(next <= at(HOUR), "{next}");
    assert!(run(&mut after, next.millis(), Ok(())).is_some());
}

#[test]
fn the_document_is_one_line_of_json_with_the_texts_in_their_fields() {
    let mut notices = notices();
    let hostile = "\"}\r\n, \"severity\": \"$(x)`y`<b>\u{1b}[2J\u{202e}\0";
    let mut heard = heard("unlisted-registration", "203.0.113.7", Level::Warning, 1000);
    heard.topic = heard.topic.with("user-agent", hostile);
    heard.message = format!("the phone {hostile} is registered");
    notices.heard(&heard);
    let body = notices.due(at(1000)).unwrap().body("pbx\n1", at(2000));
    assert!(!body.contains('\n') && body.chars().all(|c| !c.is_control()));
    let shown = "\"}\\r\\n, \"severity\": \"$(x)`y`<b>\\u{1b}[2J\\u{202e}\\u{0}";
    assert_eq!(
        serde_json::from_str::<Value>(&body).unwrap(),
        json!({
            "product": "nightlatch", "host": "pbx\\n1", "at": 2000, "feature": "firewall",
            "kind": "unlisted-registration", "severity": "warning", "count": 1, "first": 1000,
            "last": 1000, "fields": { "user-agent": shown },
            "message": format!("the phone {shown} is registered"),
        })
    );
    assert!(body.starts_with("{\"product\":\"nightlatch\",\"host\":"), "{body}");
}

#[test]
fn only_what_has_changed_is_written() {
    let mut notices = notices();
    notices.heard(&heard("disk-full", "", Level::Error, 0));
    let keys = |notices: &Outbox| -> Vec<String> {
        notices.changes().into_iter().map(|(key, _)| key).collect()
    };
    assert_eq!(keys(&notices), ["notice-00000000000000000001", "state"]);
    notices.saved();
    assert_eq!(keys(&notices), [""; 0]);
    notices.heard(&heard("disk-full", "", Level::Error, 1));
    assert_eq!(keys(&notices), ["notice-00000000000000000001"]);
    assert_eq!(notices.settings().period, Duration::from_secs(3600));
}
