//! What ends by itself, and what somebody else does to the table.

use super::*;

#[test]
fn an_account_and_a_block_end() {
    let mut desk = Desk::on();
    desk.done(allow("joe 203.0.113.7 all for 60"));
    desk.done(allow("ann 203.0.113.8 all for 60"));
    desk.done(block("192.0.2.1 for 61"));
    assert_eq!(desk.engine.next_deadline(), Some(START.after(Duration::from_secs(60))));
    desk.wait(59);
    assert_eq!(desk.engine.ledger().accounts.len(), 2);
    desk.wait(1);
    assert!(desk.engine.ledger().accounts.is_empty());
    let closed = Flows::Of(vec![range("203.0.113.8"), range("203.0.113.7")]);
    // The kernel drops every packet of a block, so its flows need no cut.
    assert_eq!(desk.cuts, [closed]);
    let (level, message) = desk.told.last().unwrap();
    assert_eq!((*level, message.as_str()), (Level::Info, ENDED));
    desk.wait(1);
    assert!(desk.engine.ledger().blocks.is_empty());
    assert_eq!(
        desk.log()[3..],
        ["nightlatch: expire ann", "nightlatch: expire joe", "nightlatch: expire 192.0.2.1"]
    );
    assert_eq!(desk.engine.next_deadline(), None);
}

const ENDED: &str = "account \"ann\" has ended; account \"joe\" has ended";

#[test]
fn an_end_comes_even_when_the_disk_is_full() {
    let mut desk = Desk::on();
    desk.done(allow("joe 203.0.113.7 all for 60"));
    desk.store = Err("database or disk is full".to_owned());
    desk.wait(60);
    assert!(desk.engine.ledger().accounts.is_empty());
    assert_eq!(desk.cuts.len(), 1);
    let told = desk.told.iter().find(|(level, _)| *level == Level::Error).unwrap();
    assert_eq!(
        told.1,
        "it happens all the same, but is not in the audit log: database or disk is full"
    );
    // Found again after a restart, it ends again before anybody is let in.
    let mut restarted = Desk::new(desk.stored(Desk::on().engine.ledger()));
    restarted.now = desk.now;
    assert_eq!(restarted.engine.ledger().accounts.len(), 1);
    assert!(restarted.engine.desired(restarted.now).unwrap().accounts.is_empty());
    restarted.wait(0);
    assert!(restarted.engine.ledger().accounts.is_empty());
}

#[test]
fn a_start_makes_everything_anew_and_ends_what_a_crash_left_running() {
    let mut desk = Desk::on();
    desk.done(allow("joe 203.0.113.7 all"));
    desk.done(remove("joe"));
    let mut restarted = Desk::new(desk.stored(Desk::on().engine.ledger()));
    restarted.feed(Event::Started);
    assert_eq!(restarted.projections, [Project::Whole]);
    assert_eq!(restarted.cuts, [Flows::BegunByPeers, Flows::Of(vec![range("203.0.113.7")])]);
    // The door is open again: nothing of it must be cut any more.
    restarted.done(allow("joe 203.0.113.0/29 all"));
    assert!(restarted.engine.ledger().denials.is_empty());
}

#[test]
fn somebody_elses_hand_is_undone_and_written_down() {
    let mut desk = Desk::on();
    let hand = || Event::Tampered {
        by: "nft (process 7)".to_owned(),
        found: "the table was removed".to_owned(),
    };
    desk.feed(hand());
    assert_eq!(desk.projections, [Project::Whole]);
    assert_eq!(desk.log(), ["nightlatch: restore nightlatch"]);
    assert_eq!(desk.records[0].before, "the table was removed");
    assert_eq!(desk.records[0].after, "by nft (process 7)");
    let told = (
        Level::Warning,
        "nft (process 7) changed the firewall (the table was removed); it is being restored"
            .to_owned(),
    );
    assert_eq!(desk.told, [told]);
    let Reply::Status(status) = desk.ask(Request::Status) else { panic!() };
    assert_eq!((status.restored, status.restored_last), (1, Some("nft (process 7)".to_owned())));
    // With a full disk the table comes back all the same.
    desk.store = Err("database or disk is full".to_owned());
    desk.feed(hand());
    assert_eq!(desk.projections.len(), 2);
    let gap = "the audit log has a gap: database or disk is full";
    assert!(desk.told.contains(&(Level::Error, gap.to_owned())));
    desk.store = Ok(());
    desk.done(allow("joe 203.0.113.7 all"));
}

#[test]
fn what_ends_within_a_day_is_announced() {
    let mut desk = Desk::on();
    desk.done(allow("late 203.0.113.9 all for 86401"));
    desk.done(allow("soon 203.0.113.7 all for 86400"));
    desk.done(block("192.0.2.1 for 60"));
    let Reply::Status(status) = desk.ask(Request::Status) else { panic!() };
    let soon: Vec<&str> = status.ending.iter().map(|ending| ending.what.as_str()).collect();
    assert_eq!(soon, ["block of 192.0.2.1", "account \"soon\""]);
    assert_eq!((status.accounts, status.blocks), (2, 1));
    assert_eq!(status.strangers_reach, [] as [&str; 0]);
    desk.done(mode(Mode::Open));
    let Reply::Status(status) = desk.ask(Request::Status) else { panic!() };
    assert_eq!(
        status.strangers_reach,
        [
            "rtp (udp/10000-20000)",
            "sip (udp/5060, tcp/5060), under rate limits",
            "sip-tls (tcp/5061), under rate limits"
        ]
    );
    desk.done(Request::Down);
    let Reply::Status(status) = desk.ask(Request::Status) else { panic!() };
    assert_eq!(status.strangers_reach, ["everything"]);
}
