//! Exemptions: no list counts for them, and they are allowed nothing.

use std::collections::BTreeMap;

use super::*;
use crate::features::exemptions::{self, Exemption, ExemptionName, Exemptions};
use crate::features::{Fact, Feature as _};
use crate::policy::Reason;

fn entries(text: &str) -> Vec<Entry> {
    text.split(',').filter(|it| !it.is_empty()).map(|text| text.parse().unwrap()).collect()
}

fn name(text: &str) -> ExemptionName {
    text.parse().unwrap()
}

fn exempt(name_: &str, text: &str) -> Request {
    Request::of(exemptions::Request::Add { name: name(name_), entries: entries(text) })
}

fn unexempt(name_: &str, text: &str) -> Request {
    Request::of(exemptions::Request::Remove { name: name(name_), entries: entries(text) })
}

fn of(desk: &Desk, address: &str) -> crate::policy::Stance {
    desk.table.at(address.parse().unwrap()).stance
}

#[test]
fn an_exemption_allows_nothing_and_a_block_wins() {
    use crate::policy::Stance::{Blocked, Spared, Stranger};
    let mut desk = Desk::on();
    let done = desk.done(exempt("doctor", "203.0.113.7,2001:db8::/64"));
    let (list, there) = (entries("203.0.113.7,2001:db8::/64"), Vec::new());
    let added = exemptions::Reply::Added { name: name("doctor"), entries: list, there };
    assert_eq!(done, changed([added.into()]));
    assert_eq!((of(&desk, "203.0.113.7"), of(&desk, "203.0.113.8")), (Spared, Stranger));
    let why = desk.why("203.0.113.7", Some("udp/5060"));
    assert!(why.is_spared_by_lists);
    assert_eq!((why.verdict.passes, why.verdict.reason), (false, Reason::Stranger));
    desk.done(mode(Mode::Open));
    assert!(desk.why("203.0.113.7", Some("udp/5060")).verdict.passes);
    desk.done(block("203.0.113.0/24"));
    assert_eq!(of(&desk, "203.0.113.7"), Blocked);
    let done = desk.done(exempt("doctor", "203.0.113.9"));
    let stays = exemptions::Reply::StaysBlocked { range: range("203.0.113.0/24") };
    assert_eq!(done.said.last(), Some(&stays.into()));
    desk.done(unblock("203.0.113.0/24"));
    // What is exempt already changes nothing.
    assert!(!desk.done(exempt("doctor", "203.0.113.7")).changed);
    desk.done(unexempt("doctor", "203.0.113.7"));
    assert_eq!((of(&desk, "203.0.113.7"), of(&desk, "203.0.113.9")), (Stranger, Spared));
    let removed = exemptions::Reply::Removed {
        name: name("doctor"),
        entries: entries("2001:db8::/64,203.0.113.9"),
        left: 0,
    };
    assert_eq!(desk.done(unexempt("doctor", "")), changed([removed.into()]));
    assert!(desk.engine.state().exemptions.all.is_empty());
    assert_eq!(desk.cuts, []);
    let log = ["exempt doctor", "unexempt doctor"].map(|it| format!("anna: {it}"));
    assert_eq!((desk.log().first(), desk.log().last()), (Some(&log[0]), Some(&log[1])));
}

#[test]
fn bad_exemptions_are_refused_and_change_nothing() {
    use exemptions::Refusal::{Everybody, NoAddress, NobodyElse, NotIn, Unknown, Wide};
    let mut desk = Desk::on();
    desk.done(exempt("doctor", "203.0.113.7"));
    let missing = NotIn {
        name: name("doctor"),
        missing: entries("203.0.113.8"),
        has: entries("203.0.113.7"),
        count: 1,
    };
    let unknown =
        |text: &str, near: Option<&str>| Unknown { name: name(text), near: near.map(name) };
    for (request, refusal) in [
        (unexempt("docter", ""), unknown("docter", Some("doctor"))),
        (unexempt("elsewhere", ""), unknown("elsewhere", None)),
        (unexempt("doctor", "203.0.113.7,203.0.113.8"), missing),
        (exempt("wide", "203.0.0.0/15"), Wide { range: range("203.0.0.0/15") }),
        (exempt("wide", "2001:db8::/31"), Wide { range: range("2001:db8::/31") }),
    ] {
        assert_eq!(desk.refused(RefusalKind::No, request), because(refusal));
    }
    for (request, refusal) in [
        (exempt("none", ""), NoAddress { name: name("none") }),
        (exempt("own", "127.0.0.1"), NobodyElse { range: range("127.0.0.1") }),
        (exempt("all", "0.0.0.0/0").forced(true), Everybody { range: range("0.0.0.0/0") }),
    ] {
        assert_eq!(desk.refused(RefusalKind::Wrong, request), because(refusal));
    }
    desk.done(exempt("wide", "203.0.0.0/15").forced(true));
}

#[test]
fn what_opens_waits_for_the_disk_and_comes_back_after_it_refuses() {
    use crate::policy::Stance::{Spared, Stranger};
    let mut desk = Desk::on();
    desk.store = Err("disk full".to_owned());
    let not_written = || Cause::NotWritten { error: "disk full".to_owned() };
    let refused = desk.refused(RefusalKind::Failed, exempt("doctor", "203.0.113.7"));
    assert_eq!((refused, of(&desk, "203.0.113.7")), (not_written(), Stranger));
    desk.store = Ok(());
    desk.done(exempt("doctor", "203.0.113.7,203.0.113.8"));
    desk.store = Err("disk full".to_owned());
    let refused = desk.refused(RefusalKind::Failed, unexempt("doctor", "203.0.113.7"));
    assert_eq!((refused, of(&desk, "203.0.113.7")), (not_written(), Spared));
    // Nothing of it reaches the kernel before it is written down.
    desk.store = Ok(());
    let request = exempt("other", "203.0.113.20");
    let event = Event::Asked { ticket: Ticket(9), caller: anna(), request };
    let actions = desk.engine.handle(event, desk.now);
    assert!(matches!(actions.as_slice(), [Action::Commit { .. }]), "{actions:?}");
    // The kernel refuses: it is written down all the same, and the next load has it.
    let _ = desk.engine.handle(Event::Stored(Err("full".to_owned())), desk.now);
    desk.kernel = Err("no".to_owned());
    let reply = desk.ask(exempt("third", "203.0.113.30"));
    assert!(matches!(reply, Reply::Refused(_)), "{reply:?}");
    desk.kernel = Ok(());
    desk.done(unexempt("doctor", ""));
    assert_eq!((of(&desk, "203.0.113.30"), of(&desk, "203.0.113.7")), (Spared, Stranger));
    let stored = desk.stored(&State::default()).exemptions;
    assert_eq!(stored, desk.engine.state().exemptions);
}

#[test]
fn host_names_follow_what_they_resolve_to() {
    let mut desk = Desk::on();
    let asked = |desk: &Desk, request: exemptions::Request| {
        let caller = anna();
        let view = desk.engine.view(&caller, false, desk.now);
        desk.engine.state().exemptions.asked(request, &view).unwrap().effects.facts
    };
    let (host, of) = ("home.example.net", "exemptions/doctor".to_owned());
    let request = exemptions::Request::Add { name: name("doctor"), entries: entries(host) };
    let names = BTreeMap::from([(host.parse().unwrap(), Vec::new())]);
    let fact = Fact::HostNames { of: of.clone(), names, private: false };
    assert_eq!(asked(&desk, request), [fact]);
    desk.done(exempt("doctor", host));
    desk.done(exempt("other", "192.0.2.1"));
    let resolved = |addresses: &[&str]| Fact::Resolved {
        name: host.parse().unwrap(),
        addresses: addresses.iter().map(|text| text.parse().unwrap()).collect(),
    };
    let caller = anna();
    let follow = |state: &Exemptions, desk: &Desk, fact: &Fact| {
        state.follow(fact, &desk.engine.view(&caller, false, desk.now))
    };
    let mut state = desk.engine.state().exemptions.clone();
    let plan = follow(&state, &desk, &resolved(&["203.0.113.7", "2001:db8::7"]));
    let [step] = plan.changes.as_slice() else { panic!("{plan:?}") };
    assert!(step.deed.is_none() && step.put.key == name("doctor"));
    let _ = state.put(&step.put.key, step.put.record.clone());
    let ranges = state.all.get(&name("doctor")).unwrap().ranges();
    assert_eq!(ranges.collect::<Vec<AddrRange>>(), [range("203.0.113.7"), range("2001:db8::7")]);
    // The same once more changes nothing.
    let plan = follow(&state, &desk, &resolved(&["203.0.113.7", "2001:db8::7"]));
    assert!(plan.changes.is_empty());
    let request = exemptions::Request::Remove { name: name("doctor"), entries: Vec::new() };
    let fact = Fact::HostNames { of, names: BTreeMap::new(), private: false };
    assert_eq!(asked(&desk, request), [fact]);
    let by = Exemption { name: name("x"), exempt: Vec::new(), since: START, by: String::new() };
    assert_eq!(Exemptions::own_key(&by), Some(name("x")));
}
