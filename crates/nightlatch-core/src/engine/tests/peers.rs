//! Known peers, denials, and reports of the PBX.

use crate::features::{denials, peers};
use std::net::IpAddr;

use super::*;
use crate::api::PacketKind;
use crate::features::denials::{Denial, DenialCause};
use crate::pbx::{PbxAnswer, PbxContact, PbxPeers, Registrar};
use crate::policy::{DenialScope, Reason};
use crate::service::{Protocol, Role};
use crate::signalling::LearnedBy;

fn peer(by: LearnedBy, address: &str) -> Peer {
    Peer { by, address: address.parse().unwrap(), port: 5060, local_port: 5060 }
}

pub(super) fn contact(extension: &str, address: &str, dynamic: bool) -> PbxContact {
    let (extension, address) = (extension.to_owned(), address.parse().unwrap());
    PbxContact { extension, address, port: 5080, dynamic, heard: true }
}

pub(super) fn answered(contacts: Vec<PbxContact>) -> Event {
    told(PbxPeers { answer: PbxAnswer::Answered, contacts, ..PbxPeers::default() })
}

fn told(pbx: PbxPeers) -> Event {
    Event::Feature(peers::Event::Told(pbx).into())
}

fn denied(desk: &Desk) -> Vec<String> {
    desk.engine.state().denials.all.keys().map(ToString::to_string).collect()
}

#[test]
fn a_removed_account_is_denied_but_a_trunk_stays() {
    let mut desk = Desk::on();
    let known = vec![
        (peer(LearnedBy::Registered, "203.0.113.70"), desk.now.after(Duration::from_secs(60))),
        (peer(LearnedBy::Called, "203.0.113.71"), desk.now.after(Duration::from_secs(60))),
    ];
    desk.feed(read(known));
    let carrier = "carrier 203.0.113.70/31 sip";
    desk.done(allow(carrier));
    let stays = denials::Reply::TrunkStays { address: "203.0.113.70".parse().unwrap() };
    assert_eq!(desk.done(remove("carrier")), changed([removed(carrier), stays.into()]));
    assert_eq!(denied(&desk), ["203.0.113.71"]);
    assert_eq!(desk.unlearned, [Unlearn::Within(vec![range("203.0.113.71")])]);
    assert_eq!(desk.engine.learned().at(desk.now).count(), 1, "the other peer is forgotten");
    assert_eq!(desk.stored(Desk::on().engine.state()), *desk.engine.state());
    // An account that allows the address again ends the denial.
    desk.done(allow("carrier 203.0.113.0/24 sip"));
    assert_eq!(denied(&desk), [""; 0]);
}

#[test]
fn a_block_forgets_a_trunk() {
    let mut desk = Desk::on();
    let until = desk.now.after(Duration::from_secs(60));
    desk.feed(read([(peer(LearnedBy::Registered, "203.0.113.70"), until)]));
    desk.done(block("203.0.113.0/24"));
    assert_eq!(desk.unlearned, [Unlearn::Within(vec![range("203.0.113.0/24")])]);
    assert_eq!(desk.engine.learned().at(desk.now).count(), 0);
    assert_eq!(denied(&desk), [""; 0]);
}

#[test]
fn a_denial_is_extended_while_the_pbx_has_a_contact() {
    let mut desk = Desk::on();
    desk.done(allow("phone 203.0.113.7 sip"));
    desk.done(remove("phone"));
    desk.feed(answered(Vec::new()));
    let hours = |desk: &mut Desk, number: u64| desk.wait(3600 * number);
    hours(&mut desk, 25);
    assert_eq!(denied(&desk), ["203.0.113.7"]);
    desk.feed(answered(vec![contact("1007", "203.0.113.7", true)]));
    hours(&mut desk, 2);
    let questions = desk.questions;
    assert!(questions > 0, "the PBX is asked when the denial ends");
    desk.feed(answered(vec![contact("1007", "203.0.113.7", true)]));
    assert_eq!(denied(&desk), ["203.0.113.7"], "extended");
    desk.feed(told(PbxPeers { answer: PbxAnswer::Silent, ..PbxPeers::default() }));
    hours(&mut desk, 3);
    desk.feed(answered(Vec::new()));
    assert_eq!(denied(&desk), [""; 0]);
}

#[test]
fn addresses_registered_without_an_account_are_denied() {
    let mut desk = Desk::on();
    desk.done(allow("office 203.0.113.0/25 sip"));
    desk.feed(answered(vec![
        contact("1001", "203.0.113.7", true),
        contact("1002\r\n", "203.0.113.200", true),
        contact("1003", "127.0.0.1", true),
        contact("trunk", "203.0.113.201", false),
        // A phone may claim any address as its contact.
        contact("1004", "203.0.113.201", true),
    ]));
    assert_eq!(denied(&desk), ["203.0.113.200"]);
    let denial = desk.engine.state().denials.all.values().next().unwrap();
    assert_eq!(denial.cause, DenialCause::UnlistedContact { extension: "1002".to_owned() });
    let unlisted = notice(denials::Notice::UnlistedContact(denial.clone()));
    assert_eq!((unlisted.level(), desk.told.last()), (Level::Warning, Some(&unlisted)));
    // Without an answer nothing changes; an answer without the contact ends the denial.
    desk.feed(told(PbxPeers::default()));
    assert_eq!(denied(&desk), ["203.0.113.200"]);
    desk.feed(answered(Vec::new()));
    assert_eq!(denied(&desk), [""; 0]);
    // In open mode, strangers may register.
    desk.feed(answered(vec![contact("1002", "203.0.113.200", true)]));
    desk.done(mode(Mode::Open));
    assert_eq!(denied(&desk), [""; 0]);
    desk.feed(answered(vec![contact("1002", "203.0.113.200", true)]));
    assert_eq!(denied(&desk), [""; 0]);
    let questions = desk.questions;
    desk.done(mode(Mode::Allowlist));
    desk.wait(1);
    assert!(desk.questions > questions, "closing asks the PBX");
}

/// A lease or an account with hours covers a phone as well as any other account, also outside its hours.
#[test]
fn a_phone_that_is_allowed_under_a_condition_is_not_denied() {
    let mut desk = Desk::on();
    let hours = crate::hours::Hours::parse("Sun 03:00-04:00", "UTC").unwrap();
    let office = NewAccount { hours: Some(hours), ..account("office 203.0.113.7 sip") };
    desk.done(Request::of(accounts::Request::Allow(office)));
    let mut state = desk.engine.state().clone();
    let lease = serde_json::json!({
        "user": "anna", "address": "203.0.113.8", "credential": "knock", "services": ["sip"],
        "idle": 3600, "since": START,
    });
    let _ = state.apply(features::leases::put(serde_json::from_value(lease).unwrap()));
    desk.engine = Engine::new(state, Config::default());
    let phones = ["203.0.113.7", "203.0.113.8", "203.0.113.9"];
    desk.feed(answered(phones.map(|address| contact("1001", address, true)).into()));
    assert_eq!(denied(&desk), ["203.0.113.9"]);
}

/// A phone with an account may register somebody else's address, e.g. that of the carrier's media.
#[test]
fn an_address_that_nothing_came_from_keeps_its_media() {
    let mut desk = Desk::on();
    let claimed = PbxContact { heard: false, ..contact("1002", "203.0.113.200", true) };
    desk.feed(answered(vec![claimed, contact("1003", "203.0.113.201", true)]));
    let scopes = desk.engine.state().denials.all.values().map(|denial| denial.scope);
    assert_eq!(scopes.collect::<Vec<_>>(), [DenialScope::ExceptMedia, DenialScope::Everything]);
    for (address, denied) in [("203.0.113.200", false), ("203.0.113.201", true)] {
        for (port, denied) in [("udp/5060", true), ("udp/10000", denied), ("tcp/443", true)] {
            let why = desk.why(address, Some(port));
            let is_denied = matches!(why.verdict.reason, Reason::Denied { .. });
            assert_eq!(is_denied, denied, "{address} {port}: {why:?}");
        }
    }
}

#[test]
fn a_reload_that_closes_signalling_denies_them_too() {
    let mut desk = Desk::on();
    let reload = |desk: &mut Desk, text: &str| {
        let (ticket, caller) = (Ticket(0), desk.caller.clone());
        desk.feed(Event::Configured { ticket, caller, config: Ok(Config::read(text).unwrap()) });
    };
    desk.done(mode(Mode::Open));
    let stranger = || answered(vec![contact("1002", "203.0.113.200", true)]);
    desk.feed(stranger());
    assert_eq!(denied(&desk), [""; 0]);
    let questions = desk.questions;
    reload(&mut desk, "[open]\nservices = [\"web\"]");
    desk.wait(1);
    assert!(desk.questions > questions, "closing asks the PBX");
    desk.feed(stranger());
    assert_eq!(denied(&desk), ["203.0.113.200"]);
    // Then open mode does not allow strangers to register either.
    desk.done(mode(Mode::Open));
    assert_eq!(denied(&desk), ["203.0.113.200"]);
    reload(&mut desk, "[open]\nservices = [\"sip\"]");
    assert_eq!(denied(&desk), [""; 0]);
}

#[test]
fn up_takes_over_registrations_and_fixed_contacts() {
    let mut desk = Desk::new(State::default());
    let registrar = |address: &str, protocol| Registrar {
        name: "itsp".to_owned(),
        address: address.parse().unwrap(),
        protocol,
        role: Role::Sip,
        port: 5070,
    };
    let pbx = PbxPeers {
        answer: PbxAnswer::Answered,
        registrars: vec![
            registrar("203.0.113.70", Protocol::Udp),
            registrar("2001:db8:70::70", Protocol::Tcp),
        ],
        contacts: vec![
            contact("trunk", "203.0.113.80", false),
            contact("1001", "203.0.113.7", true),
            contact("1002", "203.0.113.8", true),
        ],
        named: Vec::new(),
    };
    let accounts = vec![account("office 203.0.113.7 sip")];
    let up = Up { accounts, pbx, ..Up::default() };
    desk.done(put_up(up));
    let taught: Vec<(LearnedBy, IpAddr, u16, u16)> = desk
        .taught
        .iter()
        .filter_map(|it| Peer::of(it.set, &it.key))
        .map(|peer| (peer.by, peer.address, peer.port, peer.local_port))
        .collect();
    let address = |text: &str| text.parse::<IpAddr>().unwrap();
    assert_eq!(
        taught,
        [
            (LearnedBy::RegisteredByTcp, address("2001:db8:70::70"), 0, 0),
            (LearnedBy::Registered, address("203.0.113.70"), 5070, 5060),
            (LearnedBy::Called, address("203.0.113.80"), 5080, 5060),
            (LearnedBy::Called, address("203.0.113.80"), 5080, 4569),
        ]
    );
    assert_eq!(denied(&desk), ["203.0.113.8"], "a phone without an account is denied");
    assert!(matches!(desk.cuts.as_slice(), [Flows::BegunByPeers]));
}

#[test]
fn known_peers_are_restored_after_a_flush() {
    let mut desk = Desk::on();
    let until = desk.now.after(Duration::from_secs(100));
    let known = [
        (peer(LearnedBy::Registered, "203.0.113.70"), until),
        (peer(LearnedBy::Called, "203.0.113.7"), until),
        (peer(LearnedBy::Called, "203.0.113.8"), desk.now),
    ];
    desk.feed(read(known));
    let mut state = desk.engine.state().clone();
    let cause = DenialCause::AccountGone { account: String::new() };
    state.apply(denials::put(Denial::new(range("203.0.113.7"), cause, desk.now)));
    let learned = desk.engine.learned().clone();
    let mut desk = Desk::new(state);
    desk.engine.restore_learned(learned.sets);
    desk.feed(Event::Tampered { by: "nft".to_owned(), found: "gone".to_owned() });
    let expected = peer(LearnedBy::Registered, "203.0.113.70").lasting(Duration::from_secs(100));
    assert_eq!(desk.taught, [expected], "with the table");
}

#[test]
fn a_peer_can_be_forgotten() {
    let mut desk = Desk::on();
    let until = desk.now.after(Duration::from_secs(60));
    desk.feed(read([(peer(LearnedBy::Called, "203.0.113.70"), until)]));
    let forget =
        |address: &str| Request::of(peers::Request::Forget { address: address.parse().unwrap() });
    assert_eq!(
        desk.refused(RefusalKind::No, forget("203.0.113.71")),
        because(peers::Refusal::NotKnown { address: "203.0.113.71".parse().unwrap() })
    );
    let forgotten = peers::Reply::Forgotten { address: "203.0.113.70".parse().unwrap() };
    assert_eq!(desk.done(forget("203.0.113.70")), changed([forgotten.into()]));
    assert_eq!(desk.unlearned, [Unlearn::Within(vec![range("203.0.113.70")])]);
    assert_eq!(desk.log(), ["anna: forget 203.0.113.70"]);
}

#[test]
fn why_answers_for_each_kind_of_packet() {
    let mut desk = Desk::on();
    let seen = Duration::from_secs(26 * 3600 - 12);
    let until = desk.now.after(seen);
    let known = Peer { port: 5070, ..peer(LearnedBy::Registered, "203.0.113.70") };
    desk.feed(read([(known, until)]));
    let why = desk.why("203.0.113.70", Some("udp/5060"));
    let since = Time::from_millis(desk.now.millis() - 12_000);
    let reason = Reason::Peer { by: LearnedBy::Registered, seen: since };
    assert_eq!((why.verdict.passes, &why.verdict.reason, why.from), (true, &reason, 5070));
    let kinds: Vec<(PacketKind, bool)> =
        why.packets.iter().map(|(kind, verdict)| (*kind, verdict.passes)).collect();
    assert_eq!(
        kinds,
        [
            (PacketKind::Request, true),
            (PacketKind::Registration, false),
            (PacketKind::Response, true)
        ]
    );
    let about = why.about.iter().find_map(|about| match about {
        features::Reply::Peers(peers::Reply::Known(known)) => known.first(),
        _ => None,
    });
    assert_eq!(about.unwrap().peer, known);
    let why = desk.why("203.0.113.70", Some("udp/4569"));
    assert!(!why.verdict.passes && why.packets.iter().all(|(_, verdict)| !verdict.passes));
}

#[test]
fn why_without_a_port_names_the_denial() {
    let mut desk = Desk::on();
    desk.done(allow("phone 203.0.113.7 sip"));
    desk.done(remove("phone"));
    let why = desk.why("203.0.113.7", None);
    assert_eq!(why.verdict.reason, Reason::Denied { range: range("203.0.113.7") });
    let cause = why.about.iter().find_map(|about| match about {
        features::Reply::Denials(denials::Reply::All(denials)) => Some(&denials.first()?.cause),
        _ => None,
    });
    assert_eq!(cause, Some(&DenialCause::AccountGone { account: "phone".to_owned() }));
}

#[test]
fn registrations_are_listed_first() {
    let mut desk = Desk::on();
    let until = desk.now.after(Duration::from_secs(60));
    let many = (0..1_000).map(|port| Peer { port, ..peer(LearnedBy::Called, "203.0.113.7") });
    let trunk = peer(LearnedBy::Registered, "203.0.113.70");
    desk.feed(read(many.chain([trunk]).map(|peer| (peer, until))));
    let status = desk.status();
    let (first, count) = status
        .reports
        .iter()
        .find_map(|report| match report {
            features::Reply::Peers(peers::Reply::Report { first, count, .. }) => {
                Some((first, *count))
            }
            _ => None,
        })
        .unwrap();
    assert_eq!((first[0].peer, count), (trunk, 1_001));
}
