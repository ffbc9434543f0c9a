//! From what is heard to the command, through the engine.

use std::collections::BTreeMap;
use std::time::Duration;

use super::hearing::MAX_SHOWN;
use super::*;
use crate::action::{Action, Level};
use crate::api::Caller;
use crate::config::Config;
use crate::engine::Engine;
use crate::event::{Event as EngineEvent, Ticket};
use crate::features::{self, Change, Loading, State};
use crate::heard::Topic;

const START: Time = Time::from_millis(1_795_166_220_000);

/// The engine with a store, and a command that is run by hand.
struct Bench {
    engine: Engine,
    now: Time,
    store: Result<(), String>,
    rows: BTreeMap<(String, String), String>,
    log: Vec<String>,
    deliveries: Vec<Delivery>,
    /// Those of the last delivery.
    settings: Settings,
}

impl Bench {
    fn new(config: &str) -> Bench {
        Bench::over(State::default(), BTreeMap::new(), config, START)
    }

    fn over(
        state: State,
        rows: BTreeMap<(String, String), String>,
        config: &str,
        now: Time,
    ) -> Bench {
        let engine = Engine::new(state, Config::read(config).unwrap());
        let (log, deliveries) = (Vec::new(), Vec::new());
        let settings = Settings::default();
        let mut bench = Bench { engine, now, store: Ok(()), rows, log, deliveries, settings };
        bench.feed(EngineEvent::Started);
        bench
    }

    /// The daemon after a restart.
    fn restart(self, config: &str) -> Bench {
        let mut loading = Loading::default();
        for ((feature, key), body) in &self.rows {
            loading.take_row(feature, key, body).unwrap();
        }
        Bench::over(loading.finish(), self.rows, config, self.now.after(Duration::from_secs(1)))
    }

    fn feed(&mut self, event: EngineEvent) {
        let actions = self.engine.handle(event, self.now);
        self.execute(actions);
    }

    fn execute(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Commit { changes, records } => {
                    if self.store.is_ok() {
                        changes.iter().for_each(|change| self.write(change));
                        self.log.extend(
                            records.iter().map(|it| format!("{} {}", it.action, it.subject)),
                        );
                    }
                    self.feed(EngineEvent::Stored(self.store.clone()));
                }
                Action::TakeDown { to } => {
                    self.feed(EngineEvent::Applied { to, result: Ok(()) });
                }
                Action::Run(features::Job::Notices(Job::Deliver { delivery, settings })) => {
                    self.deliveries.push(*delivery);
                    self.settings = settings;
                }
                _ => {}
            }
        }
    }

    fn write(&mut self, change: &Change) {
        let row = change.row().unwrap();
        let key = (row.feature.to_owned(), row.key);
        match row.body {
            Some(body) => self.rows.insert(key, body),
            None => self.rows.remove(&key),
        };
    }

    fn hear(&mut self, topic: Topic) {
        let (message, at) = (format!("about {}", topic.kind), self.now);
        let heard = Heard { feature: "engine", topic, level: Level::Error, message, at };
        self.feed(EngineEvent::Heard(heard));
        self.pass(0);
    }

    fn pass(&mut self, seconds: u64) {
        self.now = self.now.after(Duration::from_secs(seconds));
        for _ in 0..100 {
            if self.engine.next_deadline().is_none_or(|at| at > self.now) {
                return;
            }
            let actions = self.engine.handle_timeout(self.now);
            self.execute(actions);
        }
        panic!("it never comes to rest");
    }

    fn answer(&mut self, result: Result<(), &str>) {
        let id = self.deliveries.last().unwrap().id;
        let result = result.map_err(ToOwned::to_owned);
        self.feed(EngineEvent::Feature(Event::Delivered { id, result }.into()));
        self.pass(0);
    }

    fn answer_later(&mut self, result: Result<(), &str>, seconds: u64) {
        self.pass(seconds);
        self.answer(result);
    }

    fn reload(&mut self, config: &str) {
        let (ticket, caller) = (Ticket(1), Caller::default());
        let config = Ok(Config::read(config).unwrap());
        self.feed(EngineEvent::Configured { ticket, caller, config });
        self.pass(0);
    }

    fn saved(&self) -> usize {
        self.rows.keys().filter(|(feature, key)| feature == "notices" && key != "state").count()
    }

    fn report(&self) -> Reply {
        let notices = &self.engine.state().notices;
        notices.shown(self.now)
    }

    /// How many are shown, and how many wait.
    fn report_counts(&self) -> (usize, usize) {
        let Reply::Report { recent, waiting, .. } = self.report();
        (recent.len(), waiting)
    }

    fn failing(&self) -> Option<(u32, String)> {
        let Reply::Report { failing, .. } = self.report();
        failing
    }
}

const COMMAND: &str = "[notices]\ncommand = [\"/usr/local/bin/tell-me\"]\n";

#[test]
fn what_is_heard_is_delivered_once_and_kept() {
    let mut bench = Bench::new(COMMAND);
    for _ in 0..3 {
        bench.hear(Topic::new("disk-full", ""));
    }
    assert_eq!(bench.deliveries.len(), 1);
    assert_eq!(bench.deliveries[0].notice.subject.kind, "disk-full");
    bench.answer(Ok(()));
    bench.pass(5);
    assert_eq!((bench.deliveries.len(), bench.saved()), (1, 1));
    assert_eq!(bench.log, ["notice disk-full"]);
    let mut again = bench.restart(COMMAND);
    again.pass(3600);
    assert_eq!(again.deliveries.len(), 0);
    let Reply::Report { recent, waiting, lost, failing } = again.report();
    assert_eq!((recent.len(), recent[0].count), (1, 3));
    assert_eq!((waiting, lost, failing), (0, 0, None));
}

/// What is only counted waits some seconds for others. Until then a kill would lose a new one, and have
/// one that is delivered come again.
#[test]
fn new_and_delivered_ones_are_saved_at_once() {
    let mut bench = Bench::new(COMMAND);
    bench.hear(Topic::new("disk-full", ""));
    bench.answer(Err("exit code 3"));
    bench.hear(Topic::new("table-changed", "nft"));
    let mut again = bench.restart(COMMAND);
    assert_eq!(again.report_counts(), (2, 2));
    again.pass(30);
    again.answer(Ok(()));
    assert_eq!(again.restart(COMMAND).report_counts(), (2, 1));
}

#[test]
fn what_failed_is_tried_again_after_a_restart_too() {
    let mut bench = Bench::new(COMMAND);
    bench.hear(Topic::new("table-changed", "nft").in_log());
    bench.answer(Err("exit code 3"));
    bench.pass(29);
    assert_eq!(bench.deliveries.len(), 1);
    bench.pass(1);
    assert_eq!(bench.deliveries.len(), 2);
    bench.answer(Err("exit code 3"));
    bench.pass(5);
    assert_eq!(bench.log, [""; 0], "the audit log has a record of it already");
    let Reply::Report { waiting, failing, .. } = bench.report();
    assert_eq!((waiting, failing), (1, Some((2, "exit code 3".to_owned()))));
    let mut again = bench.restart(COMMAND);
    again.pass(60);
    assert_eq!(again.deliveries.len(), 1);
    again.answer(Ok(()));
    let Reply::Report { waiting, failing, .. } = again.report();
    assert_eq!((waiting, failing), (0, None));
}

#[test]
fn a_full_disk_keeps_nobody_from_hearing_of_it() {
    let mut bench = Bench::new(COMMAND);
    bench.store = Err("database or disk is full".to_owned());
    bench.hear(Topic::new("disk-full", ""));
    assert_eq!(bench.deliveries.len(), 1);
    bench.answer(Ok(()));
    bench.pass(60);
    bench.store = Ok(());
    bench.pass(10);
    assert_eq!((bench.saved(), bench.log.len()), (1, 1));
}

#[test]
fn without_a_command_they_are_only_listed_and_written_down_together() {
    let mut bench = Bench::new("");
    for number in 0..50 {
        bench.hear(Topic::new("kernel-failed", number));
        bench.pass(1);
    }
    bench.pass(5);
    assert_eq!((bench.deliveries.len(), bench.saved()), (0, 50));
    let again = bench.restart("");
    let Reply::Report { recent, .. } = again.report();
    assert_eq!(recent.len(), MAX_SHOWN);
    assert_eq!(recent[0].subject.key, "49");
}

#[test]
fn records_that_cannot_be_read_do_not_stop_the_start() {
    let mut bench = Bench::new(COMMAND);
    bench.store = Err("database or disk is full".to_owned());
    bench.hear(Topic::new("disk-full", ""));
    bench.store = Ok(());
    bench.pass(10);
    let whole = bench.rows.clone();
    for (key, body) in [("notice-1", "7"), ("notice-2", "{\"notice"), ("", ""), ("état", "[[]]")] {
        bench.rows.insert(("notices".to_owned(), key.to_owned()), body.to_owned());
    }
    let mut again = bench.restart(COMMAND);
    again.pass(0);
    assert_eq!(again.report_counts(), (1, 1));
    again.answer(Ok(()));
    again.pass(5);
    assert!(again.rows.keys().eq(whole.keys()));
}

#[test]
fn after_a_reload_another_command_gets_what_waits() {
    let mut bench = Bench::new(COMMAND);
    bench.hear(Topic::new("disk-full", ""));
    bench.answer(Err("exit code 3"));
    bench.answer_later(Err("exit code 3"), 30);
    // The same command again is no reason to hurry.
    bench.reload(COMMAND);
    assert_eq!(bench.deliveries.len(), 2);
    bench.reload("[notices]\ncommand = [\"/usr/local/bin/other\"]\n");
    assert_eq!(bench.deliveries.len(), 3);
    assert_eq!(bench.settings.command, ["/usr/local/bin/other"]);
    bench.answer(Ok(()));
    assert_eq!(bench.report_counts(), (1, 0));
}

#[test]
fn after_a_reload_without_a_command_nothing_waits() {
    let mut bench = Bench::new(COMMAND);
    bench.hear(Topic::new("disk-full", ""));
    bench.hear(Topic::new("kernel-failed", ""));
    // What the disk does not take does not count.
    bench.store = Err("database or disk is full".to_owned());
    bench.reload("");
    assert_eq!(bench.report_counts(), (2, 2));
    bench.store = Ok(());
    bench.reload("");
    assert_eq!(bench.report_counts(), (2, 0));
    // The answer to what runs meanwhile is of no use any more, and another command gets what is new.
    bench.answer(Err("exit code 3"));
    assert_eq!((bench.failing(), bench.deliveries.len()), (None, 1));
    bench.reload(COMMAND);
    bench.pass(3600);
    assert_eq!((bench.failing(), bench.deliveries.len()), (None, 1));
    bench.hear(Topic::new("disk-full", ""));
    assert_eq!(bench.deliveries.len(), 2);
}

#[test]
fn the_audit_log_names_what_was_heard_even_if_the_list_is_full() {
    let mut bench = Bench::new("");
    for number in 0..200 {
        bench.hear(Topic::new("kernel-failed", number).in_log());
    }
    let (topic, at) = (Topic::new("account-ended", "office"), bench.now);
    let (level, message) = (Level::Info, "office has ended".to_owned());
    let heard = Heard { feature: "accounts", topic, level, message, at };
    bench.feed(EngineEvent::Heard(heard));
    bench.pass(5);
    assert_eq!(bench.log, ["notice account-ended"]);
}
