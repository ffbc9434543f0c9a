//! What ends by itself, and what somebody else does to the table.

use super::*;
use crate::features::firewall::Reached;

#[test]
fn an_account_and_a_block_end() {
    let mut desk = Desk::on();
    desk.done(allow("joe 203.0.113.7 all for 60"));
    desk.done(allow("ann 203.0.113.8 all for 60"));
    desk.done(block("192.0.2.1 for 61"));
    assert_eq!(desk.engine.next_deadline(), Some(START.after(Duration::from_secs(60))));
    desk.wait(59);
    assert_eq!(desk.engine.state().accounts.all.len(), 2);
    desk.wait(1);
    assert!(desk.engine.state().accounts.all.is_empty());
    let closed = Flows::Of(vec![range("203.0.113.8"), range("203.0.113.7")]);
    // The kernel drops every packet of a block, so its flows need no cut.
    assert_eq!(desk.cuts, [closed]);
    let [.., first, second] = desk.told.as_slice() else { panic!("{:?}", desk.told) };
    let ended = |name: &str| notice(accounts::Notice::Ended { name: name.parse().unwrap() });
    assert_eq!((first, second), (&ended("ann"), &ended("joe")));
    assert_eq!((first.level(), second.level()), (Level::Info, Level::Info));
    desk.wait(1);
    assert!(desk.engine.state().blocks.all.is_empty());
    let ended = notice(blocks::Notice::Ended { range: range("192.0.2.1") });
    assert_eq!(desk.told.last(), Some(&ended));
    assert_eq!(
        desk.log()[3..],
        ["nightlatch: expire ann", "nightlatch: expire joe", "nightlatch: expire 192.0.2.1"]
    );
    assert_eq!(desk.engine.next_deadline(), None);
}

#[test]
fn an_end_comes_even_when_the_disk_is_full() {
    let mut desk = Desk::on();
    desk.done(allow("joe 203.0.113.7 all for 60"));
    let error = "database or disk is full".to_owned();
    desk.store = Err(error.clone());
    desk.wait(60);
    assert!(desk.engine.state().accounts.all.is_empty());
    assert_eq!(desk.cuts.len(), 1);
    let told = desk.told.iter().find(|told| told.level() == Level::Error);
    assert_eq!(told, Some(&Told::Trouble(Trouble::NotRecorded { error })));
    // Found again after a restart, it ends again before anybody is let in.
    let mut restarted = Desk::new(desk.stored(Desk::on().engine.state()));
    restarted.now = desk.now;
    assert_eq!(restarted.engine.state().accounts.all.len(), 1);
    assert!(restarted.engine.desired(restarted.now).unwrap().accounts.is_empty());
    restarted.wait(0);
    assert!(restarted.engine.state().accounts.all.is_empty());
}

#[test]
fn a_start_makes_everything_anew_and_ends_what_a_crash_left_running() {
    let mut desk = Desk::on();
    desk.done(allow("joe 203.0.113.7 all"));
    desk.done(remove("joe"));
    let mut restarted = Desk::new(desk.stored(Desk::on().engine.state()));
    restarted.feed(Event::Started);
    assert_eq!(restarted.projections, [Project::Whole]);
    assert_eq!(restarted.cuts, [Flows::BegunByPeers, Flows::Of(vec![range("203.0.113.7")])]);
    // The door is open again: nothing of it must be cut any more.
    restarted.done(allow("joe 203.0.113.0/29 all"));
    assert!(restarted.engine.state().denials.all.is_empty());
}

#[test]
fn somebody_elses_hand_is_undone_and_written_down() {
    let mut desk = Desk::on();
    let (by, found) = ("nft (process 7)".to_owned(), "the table was removed".to_owned());
    let hand = || Event::Tampered { by: by.clone(), found: found.clone() };
    desk.feed(hand());
    assert_eq!(desk.projections, [Project::Whole]);
    assert_eq!(desk.log(), ["nightlatch: restore nightlatch"]);
    assert_eq!(desk.records[0].before, "the table was removed");
    assert_eq!(desk.records[0].after, "by nft (process 7)");
    let trouble = Trouble::Tampered { by: by.clone(), found: found.clone() };
    assert_eq!(desk.told, [Told::Trouble(trouble)]);
    assert_eq!(desk.told[0].level(), Level::Warning);
    let status = desk.status();
    assert_eq!((status.restored, status.restored_last), (1, Some("nft (process 7)".to_owned())));
    // With a full disk the table comes back all the same.
    let error = "database or disk is full".to_owned();
    desk.store = Err(error.clone());
    desk.feed(hand());
    assert_eq!(desk.projections.len(), 2);
    let gap = Told::Trouble(Trouble::AuditGap { error });
    assert!(desk.told.contains(&gap) && gap.level() == Level::Error, "{:?}", desk.told);
    desk.store = Ok(());
    desk.done(allow("joe 203.0.113.7 all"));
}

/// What strangers reach.
fn reached(status: &Status) -> &[Reached] {
    let reached = status.reports.iter().find_map(|report| match report {
        features::Reply::Firewall(firewall::Reply::Report { strangers_reach, .. }) => {
            Some(strangers_reach)
        }
        _ => None,
    });
    reached.unwrap()
}

#[test]
fn what_ends_within_a_day_is_announced() {
    let mut desk = Desk::on();
    desk.done(allow("late 203.0.113.9 all for 86401"));
    desk.done(allow("soon 203.0.113.7 all for 86400"));
    desk.done(block("192.0.2.1 for 60"));
    let status = desk.status();
    let after = |seconds| desk.now.after(Duration::from_secs(seconds));
    let ending = vec![("soon".parse().unwrap(), after(86_400))];
    let accounts = accounts::Reply::Report { count: 2, ending };
    let ending = vec![(range("192.0.2.1"), after(60))];
    let blocks = blocks::Reply::Report { count: 1, ending };
    assert!(status.reports.contains(&accounts.into()), "{:?}", status.reports);
    assert!(status.reports.contains(&blocks.into()), "{:?}", status.reports);
    assert_eq!(reached(&status), []);
    desk.done(mode(Mode::Open));
    let status = desk.status();
    let service = |name: &str, ports: &[&str], limited| Reached {
        hours: None,
        service: name.parse().unwrap(),
        ports: ports.iter().map(|ports| ports.parse().unwrap()).collect(),
        limited,
    };
    assert_eq!(
        reached(&status),
        [
            service("rtp", &["udp/10000-20000"], false),
            service("sip", &["udp/5060", "tcp/5060"], true),
            service("sip-tls", &["tcp/5061"], true),
        ]
    );
    desk.done(down());
    let status = desk.status();
    assert_eq!(reached(&status), []);
}
