//! Hours of access: what passes when, and what ends.

use super::*;
use crate::action::Apply;
use crate::condition::{self, IN_CALL};
use crate::hours::{Hours, Within};
use crate::learned::Element;

const HOUR: u64 = 3600;

/// START is a Friday, 09:17 UTC.
fn hours() -> Hours {
    Hours::parse("Mon-Fri 07:00-19:00", "Europe/Berlin").unwrap()
}

fn allow_within(text: &str, hours: Hours) -> Request {
    Request::of(accounts::Request::Allow(NewAccount { hours: Some(hours), ..account(text) }))
}

impl Desk {
    fn passes(&mut self, to: &str) -> bool {
        self.why("203.0.113.7", Some(to)).verdict.passes
    }
}

#[test]
fn an_account_counts_during_its_hours() {
    let mut desk = Desk::on();
    desk.done(allow_within("office 203.0.113.7 sip,web", hours()));
    let projections = desk.projections.len();
    // 09:17 UTC is 10:17 in Berlin; 18:00 UTC is 19:00.
    assert!(desk.passes("udp/5060") && desk.passes("tcp/443"));
    desk.cuts.clear();
    desk.wait(8 * HOUR);
    assert!(desk.passes("udp/5060"));
    assert_eq!(desk.cuts, []);
    desk.wait(HOUR);
    assert!(!desk.passes("udp/5060") && !desk.passes("tcp/443"));
    assert_eq!(desk.cuts, [Flows::Of(vec![range("203.0.113.7")])]);
    // Not on Saturday, and on Monday again: the kernel knows it by itself.
    desk.wait(20 * HOUR);
    assert!(!desk.passes("udp/5060"));
    desk.wait(45 * HOUR);
    assert!(desk.passes("udp/5060"));
    assert_eq!(desk.cuts.len(), 1);
    assert_eq!(desk.projections.len(), projections + 2, "the windows of two other days");
    assert_eq!(desk.log(), ["anna: allow office"]);
}

#[test]
fn a_call_continues_when_the_hours_end() {
    let mut desk = Desk::on();
    desk.done(allow_within("office 203.0.113.0/24 sip,web", hours()));
    // Until a minute before the hours end.
    desk.wait(8 * HOUR + 42 * 60);
    desk.cuts.clear();
    let in_call = |desk: &Desk| {
        let until = desk.now.after(Duration::from_secs(55));
        Element { set: &IN_CALL, key: condition::key("203.0.113.7".parse().unwrap()), until }
    };
    let call = in_call(&desk);
    desk.feed(Event::SetsRead(Some(vec![call])));
    for _ in 0..4 {
        desk.wait(30);
        let call = in_call(&desk);
        desk.feed(Event::SetsRead(Some(vec![call])));
    }
    desk.wait(30);
    let call = in_call(&desk);
    desk.feed(Event::SetsRead(Some(vec![call])));
    assert!(desk.passes("udp/5060") && desk.passes("udp/10500"));
    assert!(!desk.passes("tcp/443"), "not of the call");
    assert!(!desk.why("203.0.113.8", Some("udp/5060")).verdict.passes, "somebody else's call");
    desk.wait(25);
    let ended = desk.cuts.len();
    assert!(ended >= 1);
    // It is over.
    desk.feed(Event::SetsRead(Some(Vec::new())));
    assert!(!desk.passes("udp/5060"));
    desk.wait(30);
    assert_eq!(desk.cuts.len(), ended + 1, "what carried the call");
    desk.wait(HOUR);
    assert_eq!(desk.cuts.len(), ended + 1);
}

#[test]
fn the_kernel_gets_the_windows_of_the_days_to_come() {
    let mut desk = Desk::on();
    desk.done(allow_within("office 203.0.113.7 sip", hours()));
    let windows = |desk: &Desk| {
        let structure = desk.engine.sent().unwrap().1;
        let [chain] = structure.conditions.values().collect::<Vec<_>>()[..] else { panic!() };
        chain.windows.clone().unwrap()
    };
    let first = windows(&desk);
    let start = START.millis() / 1000;
    assert!(first[0].0 < start && start < first[0].1, "{first:?}");
    assert!(first.len() >= 5 && first.last().unwrap().1 > start + 6 * 86_400, "{first:?}");
    // On the same day nothing is loaded anew; on the next one it is, with the next reading.
    desk.wait(HOUR);
    assert_eq!(desk.engine.handle(Event::SetsRead(Some(Vec::new())), desk.now).len(), 1);
    desk.wait(24 * HOUR);
    desk.feed(Event::SetsRead(Some(Vec::new())));
    assert_ne!(windows(&desk), first);
    // The clock is set back: a day of which the kernel knows nothing.
    desk.now = Time::from_millis(START.millis() - 30 * 86_400_000);
    let actions = desk.engine.handle(Event::SetsRead(Some(Vec::new())), desk.now);
    let is_structure = |action: &Action| matches!(action, Action::Apply(apply) if matches!(**apply, Apply { structure: Some(_), .. }));
    assert!(actions.iter().any(is_structure), "{actions:?}");
}

#[test]
fn hours_are_set_and_removed() {
    let mut desk = Desk::on();
    desk.done(allow("office 203.0.113.7 sip"));
    desk.wait(12 * HOUR);
    assert!(desk.passes("udp/5060"));
    desk.cuts.clear();
    let set = |within| {
        let edit = accounts::Edit { within: Some(within), ..accounts::Edit::default() };
        Request::of(accounts::Request::Set { name: "office".parse().unwrap(), edit })
    };
    desk.done(set(Within::Hours(hours())));
    assert!(!desk.passes("udp/5060"));
    assert_eq!(desk.cuts.first(), Some(&Flows::Of(vec![range("203.0.113.7")])));
    desk.done(set(Within::Always));
    assert!(desk.passes("udp/5060"));
    let stored = desk.stored(Desk::on().engine.state());
    assert_eq!(stored.accounts.all.values().next().unwrap().hours, None);
}

/// A phone that the PBX has called does not come back outside of the hours as a known peer.
#[test]
fn outside_of_the_hours_a_phone_is_no_known_peer() {
    use crate::signalling::LearnedBy;
    let mut desk = Desk::on();
    desk.done(allow_within("office 203.0.113.7 sip", hours()));
    let called = |address: &str, now: Time| {
        let address = address.parse().unwrap();
        let peer = Peer { by: LearnedBy::Called, address, port: 5060, local_port: 5060 };
        (peer, now.after(Duration::from_secs(9 * HOUR)))
    };
    desk.wait(10 * HOUR);
    let now = desk.now;
    desk.feed(read([called("203.0.113.7", now), called("203.0.113.9", now)]));
    let passes =
        |desk: &mut Desk, address: &str| desk.why(address, Some("udp/5060")).verdict.passes;
    assert!(!passes(&mut desk, "203.0.113.7"));
    assert!(passes(&mut desk, "203.0.113.9"), "one without an account");
}

/// A desk in mode open, with this configuration.
fn open_desk(configuration: &str) -> Desk {
    let state = State::with_posture(Posture {
        protection: Protection::On { since: START },
        mode: Mode::Open,
        ..Posture::default()
    });
    let mut desk = Desk::new(state.clone());
    desk.engine = Engine::new(state, Config::read(configuration).unwrap());
    desk.feed(Event::Started);
    desk.cuts.clear();
    desk
}

#[test]
fn open_services_answer_strangers_during_their_hours() {
    let mut desk = open_desk(
        "[open]\nservices = [\"sip\", \"web\"]\nhours = { web = \"Mon-Fri 07:00-19:00\" }\nzone = \"Europe/Berlin\"\n",
    );
    desk.wait(0);
    desk.cuts.clear();
    assert!(desk.passes("tcp/443") && desk.passes("udp/5060") && desk.passes("udp/10500"));
    desk.wait(9 * HOUR);
    assert!(!desk.passes("tcp/443"));
    assert!(desk.passes("udp/5060") && desk.passes("udp/10500"), "at any time");
    assert_eq!(desk.cuts, [Flows::BegunByPeers]);
    desk.wait(65 * HOUR);
    assert!(desk.passes("tcp/443"));
    assert_eq!(desk.cuts.len(), 1);
}

#[test]
fn a_strangers_call_continues_when_the_hours_end() {
    let mut desk =
        open_desk("[open]\nservices = [\"sip\"]\nhours = { sip = \"daily 08:00-10:00\" }\n");
    desk.wait(HOUR);
    assert!(!desk.passes("udp/5060") && !desk.passes("udp/10500"));
    let until = desk.now.after(Duration::from_secs(55));
    let call =
        Element { set: &IN_CALL, key: condition::key("203.0.113.7".parse().unwrap()), until };
    desk.feed(Event::SetsRead(Some(vec![call])));
    let passes = |desk: &mut Desk, address: &str, to| desk.why(address, Some(to)).verdict.passes;
    desk.feed(Event::SetsRead(Some(vec![call])));
    assert!(
        passes(&mut desk, "203.0.113.7", "udp/5060")
            && passes(&mut desk, "203.0.113.7", "udp/10500")
    );
    assert!(!passes(&mut desk, "203.0.113.8", "udp/5060"));
}

/// Tonight is too late to hear of it.
#[test]
fn who_sets_hours_for_his_own_account_hears_when_his_session_ends() {
    let mut desk = Desk::on();
    desk.done(allow("admin 203.0.113.7 all"));
    desk.caller = anna_from("203.0.113.7");
    let set = |desk: &mut Desk, edit: accounts::Edit| {
        let name = "admin".parse().unwrap();
        let request = Request::of(accounts::Request::Set { name, edit });
        let done = desk.done(request);
        done.said.into_iter().find_map(|reply| match reply {
            features::Reply::Accounts(accounts::Reply::EndsYours { at, comes_back, .. }) => {
                Some((at.since(desk.now).as_secs(), comes_back))
            }
            _ => None,
        })
    };
    let within = |within: Within| accounts::Edit { within: Some(within), ..Default::default() };
    // 09:17 UTC, and 19:00 in Berlin is 18:00 UTC.
    let told = set(&mut desk, within(Within::Hours(hours())));
    assert_eq!(told, Some((8 * HOUR + 43 * 60, true)));
    assert_eq!(set(&mut desk, within(Within::Always)), None);
    let ends = accounts::Ends::After(Duration::from_secs(HOUR));
    let edit = accounts::Edit { ends: Some(ends), ..Default::default() };
    assert_eq!(set(&mut desk, edit), Some((HOUR, false)));
    // Another account keeps the session.
    desk.done(allow("other 203.0.113.0/24 ssh"));
    assert_eq!(set(&mut desk, within(Within::Hours(hours()))), None);
}
