//! A disk that does not answer, and one that answers late.

use super::*;

/// What the engine does about an event, as words.
fn words(actions: &[Action]) -> Vec<&'static str> {
    let word = |action: &Action| match action {
        Action::Commit { .. } => "commit",
        Action::Apply(_) => "apply",
        Action::ReadSets(_) => "read sets",
        Action::ReadCounters => "read counters",
        Action::Reply(..) => "reply",
        Action::Tell(told) if told.level() == Level::Error => "error",
        Action::Tell(..) => "tell",
        Action::ListFlows { .. } => "list flows",
        Action::Unlearn(_) => "unlearn",
        _ => "other",
    };
    actions.iter().map(word).collect()
}

fn asked(desk: &mut Desk, ticket: u64, request: Request) -> Vec<Action> {
    let event = Event::Asked { ticket: Ticket(ticket), caller: anna(), request };
    let actions = desk.engine.handle(event, desk.now);
    match actions.as_slice() {
        [Action::ReadSets(_)] => desk.engine.handle(Event::SetsRead(None), desk.now),
        _ => actions,
    }
}

#[test]
fn while_the_disk_hangs_questions_are_answered_and_ends_come() {
    let mut desk = Desk::on();
    desk.done(allow("joe 203.0.113.7 all for 60"));
    // What closes goes to the kernel at the same time as to the disk.
    let actions = asked(&mut desk, 1, block("192.0.2.1"));
    assert_eq!(words(&actions), ["apply", "commit"]);
    // Others wait.
    assert_eq!(words(&asked(&mut desk, 2, allow("ann 203.0.113.8 all"))), [] as [&str; 0]);
    assert_eq!(words(&asked(&mut desk, 3, Request::Status)), ["read counters"]);
    assert_eq!(words(&asked(&mut desk, 4, Request::of(accounts::Request::List))), ["reply"]);
    let told = desk.engine.next_deadline().unwrap();
    assert_eq!(told, desk.now.after(Duration::from_secs(2)));
    assert_eq!(words(&desk.engine.handle_timeout(told)), ["error"]);
    // Told once; next is the end of the account, which closes at once and waits to be written.
    let end = desk.engine.next_deadline().unwrap();
    assert_eq!(end, desk.now.after(Duration::from_secs(60)));
    assert_eq!(words(&desk.engine.handle_timeout(end)), ["apply"]);
    assert!(desk.engine.state().accounts.all.is_empty());
    // It answers after all: what waited is decided, and written together with the end.
    let actions = desk.engine.handle(Event::Stored(Ok(())), end);
    assert_eq!(words(&actions), ["commit"]);
    let Some(Action::Commit { changes, .. }) = actions.first() else { panic!("{actions:?}") };
    let keys: Vec<String> = changes.iter().map(|it| format!("{:?}", it.id())).collect();
    let named = |name: &str| keys.iter().position(|key| key.contains(name)).unwrap();
    assert!(named("joe") < named("ann"), "{keys:?}");
}

#[test]
fn what_opens_waits_for_the_disk() {
    let mut desk = Desk::on();
    desk.done(block("192.0.2.0/24"));
    let actions = asked(&mut desk, 1, unblock("192.0.2.0/24"));
    assert_eq!(words(&actions), ["commit"]);
    let actions = desk.engine.handle(Event::Stored(Ok(())), desk.now);
    assert_eq!(words(&actions), ["apply"]);
    let Some(Action::Apply(apply)) = actions.first() else { panic!("{actions:?}") };
    assert_eq!((apply.delta.gone.len(), apply.delta.new.len()), (1, 0));
}

#[test]
fn all_that_waits_is_written_down_together() {
    let mut desk = Desk::on();
    assert_eq!(words(&asked(&mut desk, 1, allow("a 203.0.113.1 sip"))), ["commit"]);
    for number in 2..20 {
        let request = allow(&format!("a{number} 203.0.113.{number} sip"));
        assert_eq!(words(&asked(&mut desk, number, request)), [] as [&str; 0]);
    }
    // One of them cannot be: its name is taken.
    assert_eq!(words(&asked(&mut desk, 20, allow("a2 203.0.113.99 sip"))), [] as [&str; 0]);
    let actions = desk.engine.handle(Event::Stored(Ok(())), desk.now);
    assert_eq!(words(&actions), ["apply", "reply", "commit"]);
    let Some(Action::Commit { changes, records }) = actions.last() else { panic!("{actions:?}") };
    assert_eq!((changes.len(), records.len()), (18, 18));
    // If the disk refuses them, none has happened.
    let actions = desk.engine.handle(Event::Stored(Err("full".to_owned())), desk.now);
    let refused = actions.iter().filter(|action| matches!(action, Action::Reply(..)));
    assert_eq!((refused.count(), desk.engine.state().accounts.all.len()), (18, 1));
}

#[test]
fn of_two_ends_the_later_row_is_written_when_the_disk_has_room_again() {
    let mut desk = Desk::on();
    desk.done(allow("joe 203.0.113.7 all for 5"));
    desk.done(allow("ann 203.0.113.7 all for 10"));
    let first = desk.now.after(Duration::from_secs(5));
    assert_eq!(words(&desk.engine.handle_timeout(first)), ["apply", "commit"]);
    // The second comes while the disk hangs with the first; both deny the same address.
    let second = desk.now.after(Duration::from_secs(10));
    let actions = [desk.engine.handle_timeout(second), desk.engine.handle_timeout(second)];
    assert_eq!(words(&actions.concat()), ["apply", "error"]);
    let _ = desk.engine.handle(Event::Stored(Err("full".to_owned())), second);
    let again = desk.engine.next_deadline().unwrap();
    let actions = desk.engine.handle_timeout(again);
    let Some(Action::Commit { changes, records }) = actions.first() else { panic!("{actions:?}") };
    let mut disk = State::default();
    changes.iter().cloned().for_each(|change| drop(disk.apply(change)));
    assert_eq!(disk.denials, desk.engine.state().denials);
    let subjects: Vec<&str> = records.iter().map(|record| record.subject.as_str()).collect();
    assert_eq!(subjects, ["joe", "ann"]);
}
