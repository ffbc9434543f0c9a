//! What credentials open without an administrator: SPA packets and secret user agents.

use std::net::IpAddr;

use super::*;
use crate::features::leases::LeaseKey;
use crate::features::users::{self, Kind, Message, NewUser, Proved, Registers, UserName, Why};
use crate::hours::Hours;
use crate::secret::{Entropy, Secret};
use crate::service::Ports;

const SOURCE: &str = "203.0.113.7";

fn name() -> UserName {
    "anna".parse().unwrap()
}

/// A desk with the user "anna" for these services.
fn desk(services: &str, change: impl FnOnce(&mut NewUser)) -> Desk {
    let mut desk = Desk::on();
    desk.feed(Event::Started);
    let mut new = NewUser {
        permanent: false,
        name: name(),
        services: Some(Grant::parse(services).unwrap()),
        kinds: Kind::ALL.into(),
        agent: None,
        idle: None,
        hours: None,
        note: String::new(),
        any_address: false,
        require_address: false,
    };
    change(&mut new);
    let bytes = (0..Entropy::LENGTH).map(|at| (at * 37 + at / 7 * 11).to_le_bytes()[0]);
    let entropy = Entropy::new(bytes.collect());
    desk.done(Request::of(users::Request::Add { new: Box::new(new), entropy }));
    desk
}

fn fingerprint(desk: &Desk, kind: Kind) -> String {
    let user = desk.engine.state().users.all.get(&name());
    user.map_or_else(String::new, |user| user.credentials[&kind].fingerprint.clone())
}

/// `udp/5060`, or `udp/5060 for 203.0.113.7`, in a message of so many seconds ago.
fn message(desk: &Desk, text: &str, age: i64) -> Message {
    let (ports, address) = text.split_once(" for ").unwrap_or((text, ""));
    Message {
        at: Time::from_millis(desk.now.millis() - age * 1000),
        address: address.parse().ok(),
        ports: ports.split(',').map(|ports| ports.parse::<Ports>().unwrap()).collect(),
        lasts: None,
    }
}

fn proved(desk: &Desk, code: u8, message: Message) -> Event {
    let proved = Proved {
        user: name(),
        fingerprint: fingerprint(desk, Kind::Spa),
        source: SOURCE.parse().unwrap(),
        code: Secret::new([code; 32]),
        message: Ok(message),
    };
    Event::Feature(users::Event::Proved(Box::new(proved)).into())
}

fn registers(desk: &Desk) -> Event {
    let fingerprint = fingerprint(desk, Kind::Agent);
    let registers = Registers { user: name(), fingerprint, source: SOURCE.parse().unwrap() };
    Event::Feature(users::Event::Registers(registers).into())
}

impl Desk {
    /// The services of the lease at an address.
    fn opened(&self, address: &str) -> Option<String> {
        let address: IpAddr = address.parse().unwrap();
        let key = LeaseKey { user: "anna".into(), address, permanent: false };
        self.engine.state().leases.all.get(&key).map(|lease| lease.services.to_string())
    }

    /// Why the last request of a credential was refused.
    fn why_refused(&mut self) -> Option<Why> {
        let mut told = self.told.drain(..).filter_map(|told| match told {
            Told::Notice(features::Notice::Users(users::Notice::Refused { why, .. })) => Some(why),
            _ => None,
        });
        told.next_back()
    }

    /// Nothing is opened, and this is told.
    fn refuses(&mut self, event: Event, expected: &Why) {
        let state = self.engine.state().leases.clone();
        let rows = self.changes.len();
        self.feed(event);
        assert_eq!(self.why_refused().as_ref(), Some(expected));
        assert_eq!((&self.engine.state().leases, self.changes.len()), (&state, rows));
    }
}

#[test]
fn a_message_opens_its_source_by_set_elements_alone() {
    let mut desk = desk("sip,web", |_| {});
    let before = desk.engine.state().clone();
    let (structures, loads) = (desk.structures, desk.projections.len());
    let event = proved(&desk, 1, message(&desk, "tcp/443,udp/5060", 5));
    desk.jobs.clear();
    desk.feed(event);
    assert_eq!(desk.opened(SOURCE).as_deref(), Some("sip, web"));
    assert_eq!(desk.jobs, [Job::Users(users::Job::Taken)]);
    // The lease and the record of the message are in one transaction.
    assert_eq!(desk.stored(&before), *desk.engine.state());
    assert_eq!(desk.structures, structures, "the chains were there already");
    assert_eq!(desk.projections[loads..], [Project::Difference]);
    assert_eq!(desk.taught.len(), 2);
    assert!(
        desk.log().contains(&"nightlatch: open anna 203.0.113.7".to_owned()),
        "{:?}",
        desk.log()
    );
}

#[test]
fn a_message_counts_once_whatever_the_clock_says_also_after_a_restart() {
    let mut desk = desk("sip", |_| {});
    let before = desk.engine.state().clone();
    let used = message(&desk, "udp/5060", 0);
    let event = proved(&desk, 1, used.clone());
    desk.feed(event.clone());
    assert_eq!(desk.opened(SOURCE).as_deref(), Some("sip"));
    desk.refuses(event.clone(), &Why::Replayed);
    desk.now = desk.now.after(Duration::from_secs(60));
    desk.engine = Engine::new(desk.stored(&before), Config::default());
    desk.feed(Event::Started);
    desk.refuses(event.clone(), &Why::Replayed);
    // Another one, long after: the first is no longer kept, and is too old for ever.
    desk.now = desk.now.after(Duration::from_secs(3600));
    let later = proved(&desk, 2, message(&desk, "udp/5060", 0));
    desk.feed(later);
    let latest = desk.now;
    desk.now = START;
    desk.told.clear();
    desk.refuses(event, &Why::Outdated { latest });
}

#[test]
fn where_the_disk_refuses_nothing_is_opened_and_the_message_may_come_again() {
    let mut desk = desk("sip", |_| {});
    desk.store = Err("the disk is full".to_owned());
    let event = proved(&desk, 1, message(&desk, "udp/5060", 0));
    desk.feed(event.clone());
    assert_eq!((desk.opened(SOURCE), desk.taught.len()), (None, 0));
    desk.store = Ok(());
    desk.feed(event);
    assert_eq!(desk.opened(SOURCE).as_deref(), Some("sip"));
}

#[test]
fn what_is_refused_is_told() {
    let mut desk = desk("sip,web", |_| {});
    let clock = |ahead| Why::Clock { ahead };
    let other = || Why::OtherAddress { address: "203.0.113.8".parse().unwrap() };
    let ssh = || Why::NothingGranted { asked: vec!["tcp/22".parse().unwrap()] };
    for (text, age, expected) in [
        ("udp/5060", 121, clock(-121)),
        ("udp/5060 for 203.0.113.8", 0, other()),
        ("tcp/22", 0, ssh()),
    ] {
        let event = proved(&desk, 1, message(&desk, text, age));
        desk.refuses(event, &expected);
    }
    // The same kind of a user is told again only after a while.
    let ahead = |desk: &Desk| proved(desk, 1, message(desk, "udp/5060", -300));
    let event = ahead(&desk);
    desk.feed(event);
    assert_eq!(desk.why_refused(), None);
    desk.now = desk.now.after(Duration::from_secs(601));
    let event = ahead(&desk);
    desk.refuses(event, &clock(300));
    // None of them was used up.
    let event = proved(&desk, 1, message(&desk, "tcp/22,tcp/443 for 203.0.113.7", 120));
    desk.feed(event);
    assert_eq!(desk.opened(SOURCE).as_deref(), Some("web"));
}

#[test]
fn other_addresses_are_opened_where_the_user_may() {
    let mut desk = desk("sip", |new| (new.any_address, new.require_address) = (true, true));
    let event = proved(&desk, 1, message(&desk, "udp/5060", 0));
    desk.refuses(event, &Why::NoAddress);
    for address in ["203.0.113.8", "2001:db8::8"] {
        let code = address.bytes().last().unwrap() + u8::from(address.contains(':'));
        let event = proved(&desk, code, message(&desk, &format!("udp/5060 for {address}"), 0));
        desk.feed(event);
        assert_eq!(desk.opened(address).as_deref(), Some("sip"));
    }
    let event = proved(&desk, 9, message(&desk, "udp/5060 for 127.0.0.1", 0));
    desk.refuses(event, &Why::NotAPeer { address: "127.0.0.1".parse().unwrap() });
    assert_eq!(desk.opened(SOURCE), None);
}

#[test]
fn nobody_opens_what_is_blocked() {
    let mut desk = desk("sip", |_| {});
    let new = NewBlock { range: range("203.0.113.0/24"), lasts: None, reason: String::new() };
    desk.done(Request::of(blocks::Request::Set(new)));
    let event = proved(&desk, 1, message(&desk, "udp/5060", 0));
    let blocked = || Why::Blocked { address: SOURCE.parse().unwrap() };
    desk.refuses(event, &blocked());
    let event = registers(&desk);
    desk.now = desk.now.after(Duration::from_secs(601));
    desk.refuses(event, &blocked());
}

#[test]
fn a_message_closes_what_its_user_opened() {
    let mut desk = desk("sip", |_| {});
    let event = proved(&desk, 1, message(&desk, "udp/5060", 0));
    desk.feed(event);
    assert!(desk.opened(SOURCE).is_some());
    let close = Message { lasts: Some(users::CLOSES), ..message(&desk, "udp/5060", 0) };
    let event = proved(&desk, 2, close);
    desk.feed(event.clone());
    assert_eq!(desk.opened(SOURCE), None);
    assert_eq!(desk.engine.state().denials.all.len(), 1);
    desk.refuses(event, &Why::Replayed);
    // It opens again what was denied, still without new chains.
    let structures = desk.structures;
    let event = proved(&desk, 3, message(&desk, "udp/5060", 0));
    desk.feed(event);
    assert_eq!(desk.opened(SOURCE).as_deref(), Some("sip"));
    assert_eq!(desk.structures, structures);
}

#[test]
fn a_phone_with_the_secret_user_agent_gets_in() {
    let mut desk = desk("sip", |_| {});
    let event = registers(&desk);
    desk.feed(event.clone());
    assert_eq!(desk.opened(SOURCE).as_deref(), Some("sip"));
    // Not with one that was replaced, and not with that of a user who is gone.
    for request in [
        users::Request::Rotate {
            name: name(),
            kinds: [Kind::Agent].into(),
            agent: None,
            entropy: Entropy::new(vec![7; Entropy::LENGTH]),
        },
        users::Request::Revoke { name: name() },
    ] {
        desk.done(Request::of(request));
        desk.told.clear();
        let leases = desk.engine.state().leases.clone();
        desk.feed(event.clone());
        assert_eq!(
            desk.engine.state().leases.all.get(&LeaseKey {
                user: "bob".into(),
                address: SOURCE.parse().unwrap(),
                permanent: false
            }),
            None
        );
        assert_eq!(desk.engine.state().leases, leases);
    }
}

#[test]
fn a_phone_gets_in_during_the_hours_only_and_where_the_user_may_call() {
    let hours = Hours::parse("Mon 07:00-08:00", "UTC").unwrap();
    let mut closed = desk("sip", |new| new.hours = Some(hours));
    let event = registers(&closed);
    closed.refuses(event, &Why::OutsideHours);
    let mut web = desk("web", |_| {});
    let event = registers(&web);
    web.refuses(event, &Why::NoSip);
}

#[test]
fn the_thread_that_reads_packets_gets_the_keys() {
    let mut desk = desk("sip", |_| {});
    let keys = |desk: &Desk| {
        let know = desk.jobs.iter().rev().find_map(|job| match job {
            Job::Users(users::Job::Know(keys)) => Some((**keys).clone()),
            _ => None,
        });
        know.unwrap()
    };
    let first = keys(&desk);
    assert_eq!(first.spa.as_ref().unwrap().0, fingerprint(&desk, Kind::Spa));
    assert_eq!(first.agent.as_ref().unwrap().1.text, None);
    let entropy = Entropy::new(vec![7; Entropy::LENGTH]);
    desk.store = Err("the disk is full".to_owned());
    let rotate =
        users::Request::Rotate { name: name(), kinds: [Kind::Spa].into(), agent: None, entropy };
    desk.ask(Request::of(rotate.clone()));
    assert_eq!(keys(&desk), first, "nothing is told that is not written down");
    desk.store = Ok(());
    desk.done(Request::of(rotate));
    let second = keys(&desk);
    assert!(second.spa != first.spa && second.agent == first.agent);
    desk.jobs.clear();
    desk.engine = Engine::new(desk.engine.state().clone(), Config::default());
    desk.feed(Event::Started);
    assert_eq!(keys(&desk), second);
    desk.done(Request::of(users::Request::Revoke { name: name() }));
    assert_eq!(desk.jobs.last(), Some(&Job::Users(users::Job::Forget(name()))));
}
