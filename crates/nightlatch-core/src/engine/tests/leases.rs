//! Leases: how they end, and what the kernel is told.

use super::*;
use crate::condition::{self, IN_CALL, LEASE, LEASE_END};
use crate::features::leases::{self, Lease, LeaseKey};
use crate::learned::{Element, SetSpec};

const ADDRESS: &str = "203.0.113.7";
const HOUR: u64 = 3600;

/// `anna 203.0.113.7 sip`, open since the start for at most a week.
fn lease(text: &str) -> Lease {
    let words: Vec<&str> = text.split(' ').collect();
    let [user, address, services] = words.as_slice() else { panic!("{text}") };
    Lease {
        key: LeaseKey { permanent: false, user: (*user).into(), address: address.parse().unwrap() },
        credential: "knock".to_owned(),
        services: Grant::parse(services).unwrap(),
        hours: None,
        idle: 8 * HOUR,
        since: START,
        until: Some(START.after(Duration::from_secs(7 * 24 * HOUR))),
    }
}

/// A desk with these leases, of which the kernel knows.
fn desk(texts: &[&str]) -> Desk {
    let mut desk = Desk::on();
    let mut state = desk.engine.state().clone();
    for text in texts {
        let _ = state.apply(leases::put(lease(text)));
    }
    desk.engine = Engine::new(state, Config::default());
    desk.feed(Event::Started);
    desk.wait(0);
    desk
}

fn element(set: &'static SetSpec, address: &str, until: Time) -> Element {
    Element { set, key: condition::key(address.parse().unwrap()), until }
}

impl Desk {
    fn in_seconds(&self, seconds: u64) -> Time {
        self.now.after(Duration::from_secs(seconds))
    }

    /// The kernel has the lease of the address, which last sent a packet so many seconds ago.
    fn sent(&mut self, seconds_ago: u64) {
        let lease = element(&LEASE, ADDRESS, self.in_seconds(8 * HOUR - seconds_ago));
        let end = element(&LEASE_END, ADDRESS, self.in_seconds(HOUR));
        self.feed(Event::SetsRead(Some(vec![lease, end])));
    }

    /// The kernel has the lease, and the address is in a call.
    fn calls(&mut self) {
        let call = element(&IN_CALL, ADDRESS, self.in_seconds(55));
        let lease = element(&LEASE, ADDRESS, self.in_seconds(8 * HOUR));
        self.feed(Event::SetsRead(Some(vec![lease, call])));
    }

    fn count(&self) -> usize {
        self.engine.state().leases.all.len()
    }

    fn taught(&mut self) -> Vec<(&'static str, u64)> {
        let mut taught: Vec<_> =
            self.taught.drain(..).map(|it| (it.set.name, it.left.as_secs())).collect();
        taught.sort_unstable();
        taught
    }
}

#[test]
fn a_lease_lasts_as_long_as_packets_come() {
    let mut desk = desk(&["anna 203.0.113.7 sip"]);
    // Whatever was lost: a lease begins with the packet that opened it.
    assert_eq!(desk.taught(), [("lease", 8 * HOUR), ("lease_end", 7 * 24 * HOUR)]);
    for _ in 0..20 {
        desk.wait(7 * HOUR);
        desk.sent(10);
        assert_eq!(desk.count(), 1);
    }
    assert_eq!(desk.cuts.len(), 1, "only the cut at the start");
    // The clock alone ends nothing: it may have been set.
    desk.wait(8 * HOUR);
    assert_eq!(desk.count(), 1);
    desk.feed(Event::SetsRead(Some(Vec::new())));
    desk.wait(5);
    assert_eq!(desk.count(), 0);
    assert_eq!(desk.cuts.last(), Some(&Flows::Of(vec![range(ADDRESS)])));
    let both = [
        (&LEASE, condition::key(ADDRESS.parse().unwrap())),
        (&LEASE_END, condition::key(ADDRESS.parse().unwrap())),
    ];
    assert!(desk.unlearned.contains(&Unlearn::Exactly(both.into())), "{:?}", desk.unlearned);
    assert_eq!(desk.log().last().unwrap(), "nightlatch: expire anna 203.0.113.7");
    assert!(desk.engine.next_deadline().is_none());
}

#[test]
fn the_absolute_end_waits_for_a_call() {
    let mut desk = desk(&["anna 203.0.113.7 sip"]);
    desk.wait(7 * 24 * HOUR - 60);
    for _ in 0..10 {
        desk.calls();
        desk.wait(30);
        assert_eq!(desk.count(), 1, "the call runs");
    }
    let lease = element(&LEASE, ADDRESS, desk.in_seconds(HOUR));
    desk.feed(Event::SetsRead(Some(vec![lease])));
    desk.wait(5);
    assert_eq!(desk.count(), 0, "the call is over");
}

#[test]
fn of_two_users_behind_one_address_each_keeps_what_is_granted() {
    let mut desk = desk(&["anna 203.0.113.7 sip", "ben 203.0.113.7 web"]);
    desk.sent(0);
    let reaches = |desk: &mut Desk, to| desk.why(ADDRESS, Some(to)).verdict.passes;
    assert!(reaches(&mut desk, "udp/5060"));
    desk.unlearned.clear();
    let close =
        |address: &str| Request::of(leases::Request::Close { address: address.parse().unwrap() });
    let cause = desk.refused(RefusalKind::No, close("203.0.113.8"));
    let none = leases::Refusal::None { address: "203.0.113.8".parse().unwrap() };
    assert_eq!(cause, because(none));
    // The user is revoked, the other one is not.
    let mut state = desk.engine.state().clone();
    let _ = state.apply(leases::removed(lease("anna 203.0.113.7 sip").key));
    desk.engine = Engine::new(state, Config::default());
    desk.feed(Event::Started);
    desk.sent(0);
    assert!(!reaches(&mut desk, "udp/5060"));
    desk.done(close("::ffff:203.0.113.7"));
    assert_eq!(desk.count(), 0);
    assert_eq!(desk.log().last().unwrap(), "anna: close ben 203.0.113.7");
}

#[test]
fn nothing_is_ended_before_the_kernel_was_asked() {
    let mut state = Desk::on().engine.state().clone();
    for text in ["anna 203.0.113.7 sip", "ben 203.0.113.9 sip"] {
        let _ = state.apply(leases::put(lease(text)));
    }
    let mut desk = Desk::new(state);
    // Long after the leases were opened, with what was saved for the reboot of one of the two.
    desk.now = desk.in_seconds(2 * 24 * HOUR);
    let saved = element(&LEASE, ADDRESS, desk.in_seconds(6 * HOUR));
    let end = element(&LEASE_END, ADDRESS, desk.in_seconds(90 * HOUR));
    desk.engine.restore_learned([saved, end].into_iter().collect());
    desk.feed(Event::Started);
    assert_eq!(desk.taught(), [("lease", 6 * HOUR), ("lease_end", 90 * HOUR)]);
    desk.wait(100);
    assert_eq!(desk.count(), 2);
    desk.feed(Event::SetsRead(Some(vec![saved, end])));
    desk.wait(5);
    let left: Vec<String> =
        desk.engine.state().leases.all.keys().map(ToString::to_string).collect();
    assert_eq!(left, ["anna 203.0.113.7"], "the other one was idle for two days");
    // The clock is set back, and on: what the kernel said before does not count.
    for jump in [-3 * 24 * 3_600_000, 30 * 24 * 3_600_000] {
        desk.now = Time::from_millis(desk.now.millis() + jump);
        desk.wait(20);
        assert_eq!(desk.count(), 1, "{jump}");
        let element = |set, hours| element(set, ADDRESS, desk.in_seconds(hours * HOUR));
        desk.feed(Event::SetsRead(Some(vec![element(&LEASE, 6), element(&LEASE_END, 80)])));
        desk.wait(20);
        assert_eq!(desk.count(), 1, "{jump}");
    }
}

#[test]
fn what_may_have_been_renewed_after_the_last_reading_has_not_ended() {
    let mut desk = desk(&["anna 203.0.113.7 sip"]);
    desk.wait(9 * HOUR);
    // Three seconds are left, as the kernel says; a packet comes in the next moment.
    desk.sent(8 * HOUR - 3);
    desk.wait(9);
    assert_eq!(desk.count(), 1);
    desk.sent(8);
    desk.wait(60);
    assert_eq!(desk.count(), 1);
    // The same for a call beyond the absolute end.
    desk.wait(7 * 24 * HOUR);
    let call = element(&IN_CALL, ADDRESS, desk.in_seconds(2));
    let lease = element(&LEASE, ADDRESS, desk.in_seconds(HOUR));
    desk.feed(Event::SetsRead(Some(vec![lease, call])));
    desk.wait(9);
    assert_eq!(desk.count(), 1);
    desk.feed(Event::SetsRead(Some(vec![lease])));
    desk.wait(10);
    assert_eq!(desk.count(), 0);
}

#[test]
fn the_kernel_keeps_an_address_no_longer_than_its_leases() {
    let mut desk = desk(&["anna 203.0.113.7 sip", "ben 203.0.113.7 web"]);
    let key = condition::key(ADDRESS.parse().unwrap());
    let both: std::collections::BTreeSet<_> = [(&LEASE, key), (&LEASE_END, key)].into();
    desk.done(Request::of(leases::Request::Close { address: ADDRESS.parse().unwrap() }));
    assert!(desk.unlearned.contains(&Unlearn::Exactly(both.clone())), "{:?}", desk.unlearned);
    // One who had the address for a week has it for an hour from now on.
    let opens = |longest| crate::features::UserOpens {
        at: None,
        user: "anna".to_owned(),
        credential: "knock".to_owned(),
        address: ADDRESS.parse().unwrap(),
        services: Grant::parse("sip").unwrap(),
        idle: Duration::from_secs(longest).min(Duration::from_secs(8 * HOUR)),
        longest: Some(Duration::from_secs(longest)),
        permanent: false,
        hours: None,
    };
    let caller = anna();
    let plan = |desk: &Desk, longest| {
        let view = desk.engine.view(&caller, false, desk.now);
        desk.engine.state().leases.open(&opens(longest), &view).effects
    };
    let week = 7 * 24 * HOUR;
    assert_eq!(plan(&desk, week).unlearn, []);
    let end = element(&LEASE_END, ADDRESS, desk.in_seconds(week));
    let lease = element(&LEASE, ADDRESS, desk.in_seconds(8 * HOUR));
    desk.feed(Event::SetsRead(Some(vec![lease, end])));
    let shorter = plan(&desk, HOUR);
    assert_eq!(shorter.unlearn, [Unlearn::Exactly(both)]);
    assert!(shorter.teach.iter().all(|it| it.left <= Duration::from_secs(HOUR)), "{shorter:?}");
    assert_eq!(plan(&desk, week).unlearn, []);
}

/// Whoever has a credential does not override what an administrator has blocked.
#[test]
fn a_lease_opens_nothing_within_a_block() {
    let mut desk = desk(&["anna 203.0.113.7 sip"]);
    desk.sent(0);
    let passes = |desk: &mut Desk| desk.why(ADDRESS, Some("udp/5060")).verdict.passes;
    assert!(passes(&mut desk));
    desk.done(block("203.0.113.0/24"));
    assert!(!passes(&mut desk));
    // An account that is more specific than the block does, and the lease counts beside it.
    desk.done(allow("anna 203.0.113.7 web"));
    assert!(passes(&mut desk) && desk.why(ADDRESS, Some("tcp/443")).verdict.passes);
    desk.done(remove("anna"));
    assert!(!passes(&mut desk));
    desk.done(unblock("203.0.113.0/24"));
    assert!(passes(&mut desk));
}
