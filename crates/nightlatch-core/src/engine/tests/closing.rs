//! Closing signalling to strangers: which peers are forgotten, also after a crash or rollback.

use super::*;
use crate::features::denials::{Denial, DenialCause};
use crate::features::peers;
use crate::pbx::{PbxAnswer, PbxContact, PbxPeers, Registrar};
use crate::service::{Protocol, Role};
use crate::signalling::LearnedBy;

const STRANGER: &str = "203.0.113.200";
const TRUNK: &str = "203.0.113.80";

fn peer(by: LearnedBy, address: &str) -> Peer {
    let port = if by == LearnedBy::RegisteredByTcp { 0 } else { 5060 };
    Peer { by, address: address.parse().unwrap(), port, local_port: port }
}

/// A desk in open mode with known peers.
fn open(known: &[(LearnedBy, &str)]) -> Desk {
    let mut desk = Desk::on();
    desk.done(mode(Mode::Open));
    learn(&mut desk, known);
    desk
}

fn learn(desk: &mut Desk, known: &[(LearnedBy, &str)]) {
    let known =
        known.iter().map(|(by, address)| (peer(*by, address), desk.now.after(by.timeout())));
    desk.feed(read(known));
}

fn known(desk: &Desk) -> Vec<String> {
    let known = desk.engine.learned().at(desk.now);
    known.map(|(peer, _)| format!("{:?} {}", peer.by, peer.address)).collect()
}

fn fixed(address: &str) -> Event {
    let (extension, address) = ("trunk".to_owned(), address.parse().unwrap());
    let contact = PbxContact { extension, address, port: 5060, dynamic: false, heard: false };
    let answer = PbxAnswer::Answered;
    told(PbxPeers { answer, contacts: vec![contact], ..PbxPeers::default() })
}

/// An answer with a registrar that is inferred from a connection, unless the PBX answered.
fn connected(answer: PbxAnswer, address: &str) -> Event {
    let registrar = Registrar {
        name: "outbound TCP connection".to_owned(),
        address: address.parse().unwrap(),
        port: 5061,
        protocol: Protocol::Tcp,
        role: Role::Sip,
    };
    told(PbxPeers { answer, registrars: vec![registrar], ..PbxPeers::default() })
}

fn told(pbx: PbxPeers) -> Event {
    Event::Feature(peers::Event::Told(pbx).into())
}

/// The daemon after a restart, one second later.
fn restart(desk: &Desk) -> Desk {
    let mut again = Desk::new(desk.stored(Desk::on().engine.state()));
    again.now = desk.now.after(Duration::from_secs(1));
    again
}

#[test]
fn a_trial_of_mode_open_that_is_rolled_back_closes_it() {
    let trial = || {
        let mut desk = Desk::on();
        let up = Up {
            mode: Some(Mode::Open),
            accounts: Vec::new(),
            site: desk.engine.state().posture().site.clone(),
            trial: Some(Duration::from_secs(60)),
            ..Up::default()
        };
        desk.done(put_up(up));
        learn(&mut desk, &[(LearnedBy::Called, STRANGER)]);
        (desk.cuts, desk.unlearned) = (Vec::new(), Vec::new());
        desk
    };
    let mut asked = trial();
    asked.done(rollback());
    let mut overdue = trial();
    overdue.wait(61);
    for desk in [asked, overdue] {
        assert_eq!(desk.engine.state().posture().mode, Mode::Allowlist);
        assert_eq!(known(&desk), [""; 0]);
        assert_eq!(desk.cuts, [Flows::BegunByPeers]);
        assert!(matches!(desk.unlearned.as_slice(), [Unlearn::UnregisteredExcept(_)]));
    }
}

/// The saved state says that signalling is closed, but the kernel's sets or the file of saved peers
/// still contain the stranger.
#[test]
fn a_crash_in_the_middle_of_closing_keeps_no_stranger() {
    let mut desk = open(&[]);
    desk.wait(10);
    desk.done(mode(Mode::Allowlist));
    let mut again = restart(&desk);
    let before = [(peer(LearnedBy::Registered, TRUNK), 5), (peer(LearnedBy::Called, STRANGER), 5)];
    let after = [(peer(LearnedBy::Called, "203.0.113.9"), 0)];
    let now = again.now;
    let known_since = |(peer, ago): &(Peer, u64)| {
        (*peer, now.after(peer.by.timeout().saturating_sub(Duration::from_secs(*ago))))
    };
    again.feed(read(before.iter().chain(&after).map(known_since)));
    again.feed(Event::Started);
    assert_eq!(known(&again), ["Registered 203.0.113.80", "Called 203.0.113.9"]);
    let stale = peer(LearnedBy::Called, STRANGER);
    let stale = std::iter::once((stale.by.set(), stale.key())).collect();
    assert_eq!(again.unlearned, [Unlearn::Exactly(stale)]);
    assert!(again.taught.iter().all(|element| element.key.address.to_string() != STRANGER));
}

/// Contacts configured by host name, and all contacts after a start, are known only once the PBX
/// answers.
#[test]
fn fixed_trunks_are_taken_over_again_once() {
    let mut desk = open(&[(LearnedBy::Called, TRUNK)]);
    desk.done(mode(Mode::Allowlist));
    assert_eq!(known(&desk), [""; 0]);
    desk.feed(fixed(TRUNK));
    let called = LearnedBy::Called.set();
    let taught = |desk: &Desk| desk.taught.iter().filter(|it| it.set == called).count();
    assert!(taught(&desk) > 0 && known(&desk)[0] == format!("Called {TRUNK}"));
    desk.taught.clear();
    desk.feed(fixed(TRUNK));
    assert_eq!(taught(&desk), 0, "they expire like other peers");
    // A blocked trunk is not learned again.
    desk.done(block(TRUNK));
    desk.done(mode(Mode::Open));
    desk.done(mode(Mode::Allowlist));
    desk.feed(fixed(TRUNK));
    assert_eq!((taught(&desk), known(&desk)), (0, Vec::new()));
}

/// The mode is allowlist, and a server can no longer open connections.
fn closed_to(server: &str) -> Done {
    let ended = peers::Reply::NoLongerConnects { address: server.parse().unwrap() };
    changed([mode_set(Mode::Allowlist, &["sip", "sip-tls"]), ended.into()])
}

#[test]
fn a_connection_is_no_registration_while_strangers_may_register() {
    let mut desk = open(&[]);
    desk.feed(connected(PbxAnswer::Silent, STRANGER));
    assert_eq!(known(&desk), [""; 0]);
    // Inferred before open mode, and not expired yet.
    learn(&mut desk, &[(LearnedBy::RegisteredByTcp, STRANGER)]);
    assert_eq!(desk.done(mode(Mode::Allowlist)), closed_to(STRANGER));
    assert_eq!(known(&desk), [""; 0]);
    desk.feed(connected(PbxAnswer::Silent, STRANGER));
    assert_eq!(known(&desk), [""; 0]);
    desk.feed(connected(PbxAnswer::Silent, TRUNK));
    assert_eq!(known(&desk), ["RegisteredByTcp 203.0.113.80"]);
    // The PBX's own answer takes precedence.
    desk.feed(connected(PbxAnswer::Answered, STRANGER));
    desk.done(mode(Mode::Open));
    assert_eq!(desk.done(mode(Mode::Allowlist)), closed_to(TRUNK));
    assert_eq!(known(&desk), ["RegisteredByTcp 203.0.113.200"]);
}

#[test]
fn a_removed_trunk_is_denied_while_the_pbx_holds_its_fixed_contact() {
    let mut desk = Desk::on();
    desk.done(allow("trunk 203.0.113.80 sip"));
    desk.done(remove("trunk"));
    desk.feed(fixed(TRUNK));
    desk.wait(Denial::DURATION.as_secs());
    desk.feed(fixed(TRUNK));
    let denial = desk.engine.state().denials.all.values().next().unwrap();
    assert!(matches!(denial.cause, DenialCause::AccountGone { .. }) && denial.until > desk.now);
    desk.wait(Denial::PROLONGATION.as_secs());
    desk.feed(told(PbxPeers { answer: PbxAnswer::Answered, ..PbxPeers::default() }));
    assert!(desk.engine.state().denials.all.is_empty());
}
