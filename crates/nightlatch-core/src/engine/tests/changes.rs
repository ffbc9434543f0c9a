//! An account changes: one change, one record, and only what goes is touched.

use super::*;
use crate::features::Fact;
use crate::features::accounts::{AccountName, Edit, Ends, Terms};
use crate::policy::Stance;

fn entries(text: &str) -> Vec<Entry> {
    text.split(',').map(|text| text.parse().unwrap()).collect()
}

fn name(text: &str) -> AccountName {
    text.parse().unwrap()
}

fn add(account: &str, text: &str) -> Request {
    Request::of(accounts::Request::Add { name: name(account), entries: entries(text) })
}

fn drop_of(account: &str, text: &str) -> Request {
    Request::of(accounts::Request::Drop { name: name(account), entries: entries(text) })
}

fn set(account: &str, edit: Edit) -> Request {
    Request::of(accounts::Request::Set { name: name(account), edit })
}

fn services(text: &str) -> Edit {
    Edit { services: Some(Grant::parse(text).unwrap()), ..Edit::default() }
}

fn ends(ends: Ends) -> Edit {
    Edit { ends: Some(ends), ..Edit::default() }
}

fn rename(to: &str) -> Edit {
    Edit { rename: Some(name(to)), ..Edit::default() }
}

/// The entries of an account, as text.
fn shown(desk: &Desk, account: &str) -> String {
    let account = desk.engine.state().accounts.all.get(&name(account)).unwrap();
    let entries: Vec<String> = account.entries.iter().map(Entry::to_string).collect();
    format!("{} for {}", entries.join(","), account.services)
}

/// The kernel's pieces, as text: `203.0.113.7 sip`.
fn pieces(desk: &Desk) -> Vec<String> {
    let table = desk.table.table.as_ref().unwrap();
    let pieces = table.pieces.iter().map(|(range, target)| match &target.answer.stance {
        Stance::Account { grant, .. } => format!("{range} {grant}"),
        other => format!("{range} {other:?}"),
    });
    pieces.collect()
}

fn denials(desk: &Desk) -> Vec<String> {
    desk.engine.state().denials.all.keys().map(ToString::to_string).collect()
}

#[test]
fn entries_come_and_go() {
    let mut desk = Desk::on();
    desk.done(allow("office 203.0.113.7 sip,web"));
    let there = entries("203.0.113.7");
    let added = accounts::Reply::Added {
        name: name("office"),
        services: Grant::parse("sip,web").unwrap(),
        entries: entries("203.0.113.8,2001:db8::/64"),
        there: there.clone(),
    };
    let done = desk.done(add("office", "203.0.113.8,203.0.113.7,2001:db8::/64"));
    assert_eq!(done, changed([added.into()]));
    assert_eq!(shown(&desk, "office"), "203.0.113.7,203.0.113.8,2001:db8::/64 for sip, web");
    assert_eq!(desk.cuts, []);
    // What is there already changes nothing.
    let done = desk.done(add("office", "203.0.113.7"));
    assert!(!done.changed);
    assert_eq!(desk.log(), ["anna: allow office", "anna: add office"]);
    let dropped = accounts::Reply::Dropped {
        name: name("office"),
        entries: there,
        covered: Vec::new(),
        left: 2,
    };
    assert_eq!(desk.done(drop_of("office", "203.0.113.7")), changed([dropped.into()]));
    assert_eq!(shown(&desk, "office"), "203.0.113.8,2001:db8::/64 for sip, web");
    assert_eq!(desk.cuts, [Flows::Of(vec![range("203.0.113.7")])]);
    assert_eq!(denials(&desk), ["203.0.113.7"]);
    assert_eq!(pieces(&desk)[0], "203.0.113.7 Stranger");
    // The record has what differs, and how much does not.
    let record = desk.records.last().unwrap();
    assert_eq!((record.action.as_str(), record.subject.as_str()), ("drop", "office"));
    assert_eq!(record.before["entries"], serde_json::json!([{ "range": "203.0.113.7" }]));
    assert_eq!(record.after["entries"], serde_json::json!([]));
    assert_eq!(record.after["unchanged_entries"], 2);
    // What comes back is no longer denied.
    desk.done(add("office", "203.0.113.7"));
    assert_eq!(denials(&desk), [""; 0]);
}

#[test]
fn what_another_entry_covers_stays() {
    let mut desk = Desk::on();
    desk.done(allow("office 203.0.113.0/30,203.0.113.1,203.0.113.9 sip"));
    let covered = entries("203.0.113.1");
    let done = desk.done(drop_of("office", "203.0.113.1"));
    let [features::Reply::Accounts(accounts::Reply::Dropped { covered: shown, left: 2, .. })] =
        done.said.as_slice()
    else {
        panic!("{done:?}")
    };
    assert_eq!(*shown, covered);
    assert_eq!((denials(&desk), desk.cuts.as_slice()), (Vec::new(), [].as_slice()));
    desk.done(add("office", "203.0.113.1"));
    desk.done(drop_of("office", "203.0.113.0/30"));
    assert_eq!(denials(&desk), ["203.0.113.0", "203.0.113.2/31"]);
    assert_eq!(desk.cuts, [Flows::Of(vec![range("203.0.113.0"), range("203.0.113.2/31")])]);
}

#[test]
fn fewer_services_end_what_is_no_longer_allowed() {
    let mut desk = Desk::on();
    desk.done(allow("office 203.0.113.7,203.0.113.8 sip,web"));
    let terms = |text: &str| {
        let services = Grant::parse(text).unwrap();
        Box::new(Terms {
            name: name("office"),
            services,
            until: None,
            hours: None,
            note: String::new(),
        })
    };
    let (before, after) = (terms("sip,web"), terms("sip"));
    let reply = accounts::Reply::Changed { before, after, entries: 2 };
    assert_eq!(desk.done(set("office", services("sip"))), changed([reply.into()]));
    let both = vec![range("203.0.113.7"), range("203.0.113.8")];
    assert_eq!(desk.cuts, [Flows::Of(both)]);
    assert_eq!(denials(&desk), ["203.0.113.7", "203.0.113.8"]);
    assert!(desk.why("203.0.113.7", Some("udp/5060")).verdict.passes);
    assert!(!desk.why("203.0.113.7", Some("tcp/443")).verdict.passes);
    // More services end no flow, and the denial.
    desk.done(set("office", services("sip,web,ssh")));
    assert_eq!((desk.cuts.len(), denials(&desk)), (1, Vec::new()));
    // What another service brings is nothing less: sip brings rtp.
    desk.done(set("office", services("sip,rtp")));
    desk.cuts.clear();
    desk.done(set("office", services("sip")));
    assert_eq!(desk.cuts, []);
    // The same once more.
    assert!(!desk.done(set("office", services("sip"))).changed);
}

#[test]
fn another_name_touches_no_packet() {
    let mut desk = Desk::on();
    desk.done(allow("offcie 203.0.113.7,2001:db8::/64 sip,web"));
    let (before, projections) = (pieces(&desk), desk.projections.len());
    let note = Some("Berlin".to_owned());
    desk.done(set("offcie", Edit { note, ..rename("office") }));
    assert_eq!(shown(&desk, "office"), "203.0.113.7,2001:db8::/64 for sip, web");
    assert_eq!(desk.engine.state().accounts.all.len(), 1);
    assert_eq!((pieces(&desk), desk.projections.len()), (before, projections));
    assert_eq!((desk.cuts.as_slice(), denials(&desk)), ([].as_slice(), Vec::new()));
    // One record, before and after.
    assert_eq!(desk.log(), ["anna: allow offcie", "anna: change offcie"]);
    let record = desk.records.last().unwrap();
    assert_eq!(
        (&record.before["name"], &record.after["name"]),
        (&"offcie".into(), &"office".into())
    );
    assert_eq!(record.after["note"], "Berlin");
    // A restart finds the new one alone.
    let stored = desk.stored(&State::default());
    assert_eq!(stored.accounts, desk.engine.state().accounts);
    // Others keep their names.
    desk.done(allow("home 203.0.113.9 all"));
    let taken = accounts::Refusal::Exists {
        account: Box::new(made("home 203.0.113.9 all")),
        more: Vec::new(),
    };
    assert_eq!(desk.refused(RefusalKind::No, set("office", rename("home"))), because(taken));
    assert!(!desk.done(set("office", rename("office"))).changed);
}

#[test]
fn an_end_comes_moves_and_goes() {
    let mut desk = Desk::on();
    desk.done(allow("office 203.0.113.7 sip"));
    let until = START.after(Duration::from_secs(60));
    desk.done(set("office", ends(Ends::At(until))));
    assert_eq!(desk.engine.state().accounts.all.next_end(), Some(until));
    desk.done(set("office", ends(Ends::After(Duration::from_secs(90)))));
    desk.wait(60);
    assert_eq!(shown(&desk, "office"), "203.0.113.7 for sip");
    desk.done(set("office", ends(Ends::Never)));
    assert_eq!(desk.engine.state().accounts.all.next_end(), None);
    desk.wait(60);
    assert_eq!(shown(&desk, "office"), "203.0.113.7 for sip");
    assert_eq!(desk.cuts, []);
    let passed = because(accounts::Refusal::Passed { until: desk.now });
    assert_eq!(desk.refused(RefusalKind::Wrong, set("office", ends(Ends::At(desk.now)))), passed);
    let new = NewAccount { until: Some(START), ..account("joe 203.0.113.8 sip") };
    let passed = because(accounts::Refusal::Passed { until: START });
    let request = Request::of(accounts::Request::Allow(new));
    assert_eq!(desk.refused(RefusalKind::Wrong, request), passed);
    // The end that was set comes.
    desk.done(set("office", ends(Ends::After(Duration::from_secs(5)))));
    desk.wait(5);
    assert!(desk.engine.state().accounts.all.is_empty());
}

#[test]
fn bad_changes_are_refused_and_change_nothing() {
    use accounts::Refusal::{LastAddress, NobodyElse, NotInAccount, Unknown, Wide};
    let mut desk = Desk::on();
    desk.done(allow("office 203.0.113.7,203.0.113.0/29 sip"));
    let unknown = |text: &str, near: Option<&str>| {
        because(Unknown { name: name(text), near: near.map(name) })
    };
    let missing = |text: &str| {
        because(NotInAccount {
            name: name("office"),
            missing: entries(text),
            has: entries("203.0.113.7,203.0.113.0/29"),
            count: 2,
        })
    };
    for (request, cause) in [
        (add("offcie", "203.0.113.9"), unknown("offcie", Some("office"))),
        (drop_of("Office", "203.0.113.7"), unknown("Office", Some("office"))),
        (set("elsewhere", services("sip")), unknown("elsewhere", None)),
        (remove("ofice"), unknown("ofice", Some("office"))),
        // Exactly the entries that are there, and all or none.
        (drop_of("office", "203.0.113.1"), missing("203.0.113.1")),
        (drop_of("office", "203.0.113.7,pbx.example.net"), missing("pbx.example.net")),
        (
            drop_of("office", "203.0.113.0/29,203.0.113.7"),
            because(LastAddress { name: name("office") }),
        ),
        (add("office", "203.0.0.0/15"), because(Wide { range: range("203.0.0.0/15") })),
        (add("office", "2001:db8::/31"), because(Wide { range: range("2001:db8::/31") })),
    ] {
        assert_eq!(desk.refused(RefusalKind::No, request.clone()), cause, "{request:?}");
    }
    for (request, cause) in [
        (add("office", "127.0.0.1"), because(NobodyElse { range: range("127.0.0.1") })),
        (set("office", services("")), because(accounts::Refusal::NoServices)),
        (
            add("office", "0.0.0.0/0"),
            because(accounts::Refusal::Everybody { range: range("0.0.0.0/0") }),
        ),
    ] {
        assert_eq!(desk.refused(RefusalKind::Wrong, request.clone()), cause, "{request:?}");
    }
    desk.done(add("office", "203.0.0.0/15").forced(true));
    // A host name gets all services only if somebody says so.
    desk.done(allow("admin 203.0.113.9 all"));
    let host = "pbx.example.net".parse().unwrap();
    let refused = because(accounts::Refusal::HostForAll { name: name("admin"), host });
    assert_eq!(desk.refused(RefusalKind::No, add("admin", "pbx.example.net")), refused);
    desk.done(add("admin", "pbx.example.net").forced(true));
    assert!(matches!(
        desk.refused(RefusalKind::Wrong, set("office", services("spi"))),
        Cause::Feature(_)
    ));
}

#[test]
fn nobody_locks_himself_out_by_a_change() {
    let mut desk = Desk::on();
    desk.caller = anna_from("203.0.113.7");
    desk.done(allow("home 203.0.113.7,203.0.113.8 ssh,web"));
    let locked = || locked_out("203.0.113.7");
    assert_eq!(desk.refused(RefusalKind::No, drop_of("home", "203.0.113.7")), locked());
    assert_eq!(desk.refused(RefusalKind::No, set("home", services("web"))), locked());
    desk.done(drop_of("home", "203.0.113.8"));
    desk.done(set("home", rename("anna")));
    desk.done(set("anna", services("web")).forced(true));
}

#[test]
fn if_the_disk_refuses_a_change_nothing_has_happened() {
    let mut desk = Desk::on();
    desk.done(allow("office 203.0.113.7,203.0.113.8 sip,web"));
    let (before, stand) = (desk.engine.state().clone(), pieces(&desk));
    desk.store = Err("disk full".to_owned());
    for request in [
        add("office", "203.0.113.9"),
        drop_of("office", "203.0.113.7"),
        set("office", services("sip")),
        set("office", rename("home")),
    ] {
        let cause = Cause::NotWritten { error: "disk full".to_owned() };
        assert_eq!(desk.refused(RefusalKind::Failed, request.clone()), cause, "{request:?}");
        assert_eq!(*desk.engine.state(), before, "{request:?}");
        assert_eq!(pieces(&desk), stand, "{request:?}");
    }
    desk.store = Ok(());
    desk.done(set("office", rename("home")));
    assert_eq!(desk.stored(&State::default()).accounts, desk.engine.state().accounts);
}

#[test]
fn if_the_kernel_refuses_a_change_is_written_down_and_the_table_follows() {
    let mut desk = Desk::on();
    desk.done(allow("office 203.0.113.7,203.0.113.8 sip,web"));
    desk.kernel = Err("no".to_owned());
    match desk.ask(drop_of("office", "203.0.113.7")) {
        Reply::Refused(refusal) => assert!(matches!(refusal.why, Cause::NotInKernel { .. })),
        other => panic!("{other:?}"),
    }
    desk.kernel = Ok(());
    desk.done(set("office", rename("home")));
    assert_eq!(shown(&desk, "home"), "203.0.113.8 for sip, web");
    assert_eq!(pieces(&desk), ["203.0.113.7 Stranger", "203.0.113.8 sip, web"]);
}

/// What is on the disk is what is found after a crash: never half of a change.
#[test]
fn a_crash_in_between_leaves_the_old_or_the_new_account() {
    for request in [
        add("office", "203.0.113.9"),
        drop_of("office", "203.0.113.7"),
        set("office", services("sip")),
        set("office", rename("home")),
    ] {
        let mut desk = Desk::on();
        desk.done(allow("office 203.0.113.7,203.0.113.8 sip,web"));
        let event = Event::Asked { ticket: Ticket(9), caller: anna(), request };
        let mut actions = desk.engine.handle(event, desk.now);
        if let [Action::ReadSets(_)] = actions.as_slice() {
            actions = desk.engine.handle(Event::SetsRead(None), desk.now);
        }
        let commits = actions.iter().filter(|it| matches!(it, Action::Commit { .. })).count();
        assert_eq!(commits, 1, "{actions:?}");
        let Some(Action::Commit { changes, records }) = actions.last() else {
            panic!("{actions:?}")
        };
        assert_eq!(records.len(), 1);
        let mut disk = desk.stored(&State::default());
        changes.iter().cloned().for_each(|change| drop(disk.apply(change)));
        assert_eq!(disk.accounts, desk.engine.state().accounts);
        assert_eq!(disk.denials, desk.engine.state().denials);
    }
}

#[test]
fn a_host_name_without_an_address_waits_for_one() {
    let mut desk = Desk::on();
    let new = NewAccount { entries: entries("pbx.example.net"), ..account("x 192.0.2.1 sip") };
    desk.done(Request::of(accounts::Request::Allow(new)));
    assert_eq!(shown(&desk, "x"), "pbx.example.net (no address yet) for sip");
    desk.done(add("x", "192.0.2.1"));
    desk.done(drop_of("x", "PBX.example.net"));
    assert_eq!(shown(&desk, "x"), "192.0.2.1 for sip");
}

/// The cost of a change follows the entries that change, except for the row on the disk.
#[test]
fn a_change_of_a_long_account_touches_what_changes() {
    let mut desk = Desk::on();
    let many: Vec<String> =
        (0..10_000u32).map(|n| format!("10.0.{}.{}", n >> 8, n & 255)).collect();
    desk.done(allow(&format!("many {} sip", many.join(","))));
    desk.done(add("many", "192.0.2.1"));
    let change = desk.changes.last().unwrap();
    let undo = desk.changes.iter().rev().nth(1).unwrap();
    assert_eq!(change.touched(undo), [range("192.0.2.1")]);
    let record = desk.records.last().unwrap();
    assert!(record.before.to_string().len() + record.after.to_string().len() < 500);
}

/// What other features follow: `names` resolves the host names of each record.
#[test]
fn whoever_follows_host_names_hears_of_each_change() {
    let mut desk = Desk::on();
    desk.done(allow("office 203.0.113.7 sip"));
    let view = |desk: &Desk, request: accounts::Request| -> Vec<String> {
        use crate::features::Feature as _;
        let caller = anna();
        let view = desk.engine.view(&caller, false, desk.now);
        let plan = desk.engine.state().accounts.asked(request, &view).unwrap();
        let facts = plan.effects.facts.iter().filter_map(|fact| match fact {
            Fact::HostNames { of, names, .. } => {
                let names: Vec<String> = names.keys().map(ToString::to_string).collect();
                Some(format!("{of}: {}", names.join(" ")))
            }
            _ => None,
        });
        facts.collect()
    };
    let request = |entries: Vec<Entry>| accounts::Request::Add { name: name("office"), entries };
    assert_eq!(view(&desk, request(entries("203.0.113.9"))), [""; 0]);
    let two = "b.example.net,a.example.net";
    assert_eq!(
        view(&desk, request(entries(two))),
        ["accounts/office: a.example.net b.example.net"]
    );
    desk.done(add("office", two));
    let request =
        accounts::Request::Drop { name: name("office"), entries: entries("a.example.net") };
    assert_eq!(view(&desk, request), ["accounts/office: b.example.net"]);
    let request = accounts::Request::Set { name: name("office"), edit: rename("home") };
    assert_eq!(
        view(&desk, request),
        ["accounts/home: a.example.net b.example.net", "accounts/office: "]
    );
    let request = accounts::Request::Remove { name: name("office") };
    assert_eq!(view(&desk, request), ["accounts/office: "]);
}
