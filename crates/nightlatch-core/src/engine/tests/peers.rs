//! Known peers, denials, and reports of the PBX.

use std::net::IpAddr;

use super::*;
use crate::ledger::{Denial, DenialCause, DenialScope};
use crate::pbx::{PbxAnswer, PbxContact, PbxPeers, Registrar};
use crate::service::{Protocol, Role};
use crate::signalling::LearnedBy;

fn peer(by: LearnedBy, address: &str) -> Peer {
    Peer { by, address: address.parse().unwrap(), port: 5060, local_port: 5060 }
}

fn contact(extension: &str, address: &str, dynamic: bool) -> PbxContact {
    let (extension, address) = (extension.to_owned(), address.parse().unwrap());
    PbxContact { extension, address, port: 5080, dynamic, heard: true }
}

fn answered(contacts: Vec<PbxContact>) -> Event {
    Event::PbxTold(PbxPeers { answer: PbxAnswer::Answered, contacts, ..PbxPeers::default() })
}

fn denied(desk: &Desk) -> Vec<String> {
    desk.engine.ledger().denials.keys().map(ToString::to_string).collect()
}

#[test]
fn a_removed_account_is_denied_but_a_trunk_stays() {
    let mut desk = Desk::on();
    let known = vec![
        (peer(LearnedBy::Registered, "203.0.113.70"), desk.now.after(Duration::from_secs(60))),
        (peer(LearnedBy::Called, "203.0.113.71"), desk.now.after(Duration::from_secs(60))),
    ];
    desk.feed(Event::Learned(known));
    desk.done(allow("carrier 203.0.113.70/31 sip"));
    let said = desk.done(remove("carrier"));
    assert!(said.contains("203.0.113.70 stays a trunk"), "{said}");
    assert_eq!(denied(&desk), ["203.0.113.71"]);
    assert_eq!(desk.unlearned, [Unlearn::Within(vec![range("203.0.113.71")])]);
    assert_eq!(desk.engine.learned().at(desk.now).count(), 1, "the other peer is forgotten");
    assert_eq!(desk.stored(Desk::on().engine.ledger()), *desk.engine.ledger());
    // An account that allows the address again ends the denial.
    desk.done(allow("carrier 203.0.113.0/24 sip"));
    assert_eq!(denied(&desk), [""; 0]);
}

#[test]
fn a_block_forgets_a_trunk() {
    let mut desk = Desk::on();
    let until = desk.now.after(Duration::from_secs(60));
    desk.feed(Event::Learned(vec![(peer(LearnedBy::Registered, "203.0.113.70"), until)]));
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
    desk.feed(Event::PbxTold(PbxPeers { answer: PbxAnswer::Silent, ..PbxPeers::default() }));
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
    let denial = desk.engine.ledger().denials.values().next().unwrap();
    assert_eq!(denial.cause, DenialCause::UnlistedContact { extension: "1002".to_owned() });
    assert!(desk.told.iter().any(|(_, told)| told.contains("1002 is registered at the PBX")));
    // Without an answer nothing changes; an answer without the contact ends the denial.
    desk.feed(Event::PbxTold(PbxPeers::default()));
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

/// A phone with an account may register somebody else's address, e.g. that of the carrier's media.
#[test]
fn an_address_that_nothing_came_from_keeps_its_media() {
    let mut desk = Desk::on();
    let claimed = PbxContact { heard: false, ..contact("1002", "203.0.113.200", true) };
    desk.feed(answered(vec![claimed, contact("1003", "203.0.113.201", true)]));
    let scopes = desk.engine.ledger().denials.values().map(|denial| denial.scope);
    assert_eq!(scopes.collect::<Vec<_>>(), [DenialScope::ExceptMedia, DenialScope::Everything]);
    for (address, denied) in [("203.0.113.200", false), ("203.0.113.201", true)] {
        for (port, denied) in [("udp/5060", true), ("udp/10000", denied), ("tcp/443", true)] {
            let to = Some(port.parse().unwrap());
            let why = desk.ask(Request::Why { address: address.parse().unwrap(), to });
            let Reply::Why(why) = why else { panic!() };
            let is_denied = why.sentence.contains("registered at the PBX with this address");
            assert_eq!(is_denied, denied, "{address} {port}: {}", why.sentence);
        }
    }
}

#[test]
fn a_reload_that_closes_signalling_denies_them_too() {
    let mut desk = Desk::on();
    let reload = |desk: &mut Desk, text: &str| {
        let (ticket, caller) = (Ticket(0), desk.caller.clone());
        desk.feed(Event::Configured { ticket, caller, rules: Ok(Rules::read(text).unwrap()) });
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
    let mut desk = Desk::new(Ledger::default());
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
    let accounts = match allow("office 203.0.113.7 sip") {
        Request::Allow(account) => vec![account],
        _ => unreachable!(),
    };
    let up = crate::api::Up {
        mode: None,
        accounts,
        site: Site::default(),
        trial: None,
        dry_run: false,
        pbx,
    };
    desk.done(Request::Up(up));
    let taught: Vec<(LearnedBy, IpAddr, u16, u16)> = desk
        .taught
        .iter()
        .map(|(peer, _)| (peer.by, peer.address, peer.port, peer.local_port))
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
    desk.feed(Event::Learned(known.to_vec()));
    let mut ledger = desk.engine.ledger().clone();
    let cause = DenialCause::AccountGone { account: String::new() };
    ledger.apply(Change::PutDenial(Denial::new(range("203.0.113.7"), cause, desk.now)));
    let learned = desk.engine.learned().clone();
    let mut desk = Desk::new(ledger);
    desk.engine.restore_learned(learned);
    desk.feed(Event::Tampered { by: "nft".to_owned(), found: "gone".to_owned() });
    let expected = (peer(LearnedBy::Registered, "203.0.113.70"), Duration::from_secs(100));
    assert_eq!(desk.taught, [expected], "once the table is loaded");
}

#[test]
fn a_peer_can_be_forgotten() {
    let mut desk = Desk::on();
    let until = desk.now.after(Duration::from_secs(60));
    desk.feed(Event::Learned(vec![(peer(LearnedBy::Called, "203.0.113.70"), until)]));
    let forget = |address: &str| Request::ForgetPeer { address: address.parse().unwrap() };
    let said = desk.refused(RefusalKind::No, forget("203.0.113.71"));
    assert!(said.contains("not a known peer"), "{said}");
    desk.done(forget("203.0.113.70"));
    assert_eq!(desk.unlearned, [Unlearn::Within(vec![range("203.0.113.70")])]);
    assert_eq!(desk.log(), ["anna: forget 203.0.113.70"]);
}

#[test]
fn why_answers_for_each_kind_of_packet() {
    let mut desk = Desk::on();
    let seen = Duration::from_secs(26 * 3600 - 12);
    let until = desk.now.after(seen);
    let known = Peer { port: 5070, ..peer(LearnedBy::Registered, "203.0.113.70") };
    desk.feed(Event::Learned(vec![(known, until)]));
    let ask = |to: &str| Request::Why {
        address: "203.0.113.70".parse().unwrap(),
        to: Some(to.parse().unwrap()),
    };
    let Reply::Why(why) = desk.ask(ask("udp/5060")) else { panic!() };
    assert!(why.passes);
    assert_eq!(
        why.sentence,
        "requests to udp/5060, but not registrations, from port 5070 of 203.0.113.70 pass: this host sent a registration there, most recently 12s ago"
    );
    let kinds: Vec<(&str, bool)> =
        why.packets.iter().map(|packet| (packet.kind.as_str(), packet.passes)).collect();
    assert_eq!(kinds, [("request", true), ("registration", false), ("response", true)]);
    assert_eq!(why.known[0].peer, known);
    let Reply::Why(why) = desk.ask(ask("udp/4569")) else { panic!() };
    assert!(!why.passes && why.packets.iter().all(|packet| !packet.passes));
}

#[test]
fn why_without_a_port_names_the_denial() {
    let mut desk = Desk::on();
    desk.done(allow("phone 203.0.113.7 sip"));
    desk.done(remove("phone"));
    let why = Request::Why { address: "203.0.113.7".parse().unwrap(), to: None };
    let Reply::Why(why) = desk.ask(why) else { panic!() };
    assert!(
        !why.passes && why.sentence.contains("account \"phone\" was removed"),
        "{}",
        why.sentence
    );
}

#[test]
fn registrations_are_listed_first() {
    let mut desk = Desk::on();
    let until = desk.now.after(Duration::from_secs(60));
    let many = (0..1_000).map(|port| Peer { port, ..peer(LearnedBy::Called, "203.0.113.7") });
    let trunk = peer(LearnedBy::Registered, "203.0.113.70");
    desk.feed(Event::Learned(many.chain([trunk]).map(|peer| (peer, until)).collect()));
    let Reply::Status(status) = desk.ask(Request::Status) else { panic!() };
    assert_eq!(status.known_peers[0].peer, trunk);
    assert_eq!(status.known_peer_count, 1_001);
}
