//! Learned state: what a load puts back, and what is deleted.

use super::*;
use crate::cut::{Began, LiveFlow};
use crate::service::Protocol;
use crate::signalling::LearnedBy;

const ADDRESS: &str = "203.0.113.7";

fn flow(protocol: Protocol, port: u16) -> LiveFlow {
    LiveFlow {
        protocol,
        peer: ADDRESS.parse().unwrap(),
        peer_port: 40_000,
        local_port: port,
        began: Began::Peer,
        host_sends: true,
    }
}

fn tampered() -> Event {
    Event::Tampered { by: "nft".to_owned(), found: "gone".to_owned() }
}

/// The flows that a load puts back, by local port, each with the seconds that it has left.
fn put_back(desk: &mut Desk) -> Vec<(u16, u64)> {
    desk.taught.clear();
    desk.feed(tampered());
    let cut = desk.taught.iter().filter(|it| it.set == &crate::cut::SET);
    cut.map(|it| (it.key.local_port, it.left.as_secs())).collect()
}

#[test]
fn a_flow_is_put_back_from_the_moment_in_which_it_is_cut() {
    let mut desk = Desk::on();
    let listing = desk.engine.cut(vec![Flows::BegunByPeers], Vec::new());
    assert!(matches!(listing.as_slice(), [Action::ListFlows { .. }]), "{listing:?}");
    desk.engine.handle(Event::Flows(vec![flow(Protocol::Tcp, 22)]), desk.now);
    let cut = desk.engine.handle(Event::FlowsListed(Ok(())), desk.now);
    assert!(matches!(cut.as_slice(), [Action::Cut(_)]), "{cut:?}");
    // Before the kernel has answered, and without any reading.
    assert_eq!(put_back(&mut desk), [(22, 7200)]);
    desk.feed(Event::FlowsCut(Ok(())));
    // A reading may have begun before; a later end wins.
    desk.wait(3600);
    desk.feed(Event::SetsRead(Some(Vec::new())));
    assert_eq!(put_back(&mut desk), [(22, 3600)]);
    desk.feed(Event::SetsRead(Some(vec![flow(Protocol::Tcp, 22).cut(desk.now)])));
    assert_eq!(put_back(&mut desk), [(22, 7200)]);
    desk.wait(7200);
    assert_eq!(put_back(&mut desk), []);
}

#[test]
fn a_peer_that_is_allowed_again_is_cut_no_longer_and_a_blocked_one_stays_cut() {
    let mut desk = Desk::on();
    let flows = [flow(Protocol::Tcp, 22), flow(Protocol::Udp, 69)].map(|flow| flow.cut(desk.now));
    let peer = Peer {
        by: LearnedBy::Registered,
        address: ADDRESS.parse().unwrap(),
        port: 5060,
        local_port: 5060,
    };
    let known = peer.until(desk.now.after(Duration::from_secs(60)));
    desk.feed(Event::SetsRead(Some([flows.to_vec(), vec![known]].concat())));
    desk.done(block(ADDRESS));
    assert_eq!(desk.unlearned, [Unlearn::Within(vec![range(ADDRESS)])]);
    assert_eq!(put_back(&mut desk).len(), 2, "both stay cut");
    desk.unlearned.clear();
    desk.done(allow("other 203.0.113.8 ssh"));
    assert_eq!(desk.unlearned, [], "an account for somebody else");
    desk.done(unblock(ADDRESS));
    assert_eq!(desk.unlearned, [], "strangers are dropped");
    desk.done(allow("phone 203.0.113.0/24 ssh"));
    let [Unlearn::Exactly(allowed)] = desk.unlearned.as_slice() else { panic!() };
    assert_eq!(allowed.iter().map(|(_, key)| key.local_port).collect::<Vec<_>>(), [22]);
    let left: Vec<u16> = put_back(&mut desk).into_iter().map(|(port, _)| port).collect();
    assert_eq!(left, [69], "another service");
}

#[test]
fn a_peer_that_is_allowed_while_flows_are_listed_is_not_cut() {
    let mut desk = Desk::on();
    desk.engine.cut(vec![Flows::BegunByPeers], Vec::new());
    let flows = [flow(Protocol::Tcp, 22), flow(Protocol::Udp, 69)];
    desk.engine.handle(Event::Flows(flows.to_vec()), desk.now);
    desk.done(allow("phone 203.0.113.7 ssh"));
    let cut = desk.engine.handle(Event::FlowsListed(Ok(())), desk.now);
    let [Action::Cut(cut)] = cut.as_slice() else { panic!("{cut:?}") };
    assert_eq!(cut, &[flow(Protocol::Udp, 69)], "another service");
    assert_eq!(put_back(&mut desk), [(69, 7200)]);
}

#[test]
fn a_reading_from_before_a_peer_was_allowed_cuts_nothing() {
    let mut desk = Desk::on();
    let flows = [flow(Protocol::Tcp, 22), flow(Protocol::Udp, 69)].map(|flow| flow.cut(desk.now));
    desk.feed(Event::SetsRead(Some(flows.to_vec())));
    desk.done(allow("phone 203.0.113.7 ssh"));
    desk.unlearned.clear();
    desk.feed(Event::SetsRead(Some(flows.to_vec())));
    let [Unlearn::Exactly(mistakes)] = desk.unlearned.as_slice() else { panic!() };
    assert_eq!(mistakes.iter().map(|(_, key)| key.local_port).collect::<Vec<_>>(), [22]);
    assert_eq!(put_back(&mut desk), [(69, 7200)]);
}

#[test]
fn nothing_is_put_back_after_the_firewall_was_off() {
    let mut desk = Desk::on();
    desk.feed(Event::SetsRead(Some(vec![flow(Protocol::Tcp, 22).cut(desk.now)])));
    let sets = desk.engine.learned().sets.clone();
    desk.done(down());
    for restored in [false, true] {
        if restored {
            // As the saved ones of an earlier run.
            desk.engine.restore_learned(sets.clone());
        }
        let up = Up { site: Site::default(), ..Up::default() };
        desk.taught.clear();
        desk.done(put_up(up));
        assert_eq!(desk.taught, []);
        desk.done(down());
    }
}

#[test]
fn a_long_set_is_not_listed_time_and_again() {
    let mut desk = Desk::on();
    let reads_cuts = |desk: &Desk| match desk.engine.read_all_sets() {
        Action::ReadSets(sets) => sets.contains(&&crate::cut::SET),
        other => panic!("{other:?}"),
    };
    assert!(reads_cuts(&desk));
    let of = |number: u32| {
        let peer = std::net::Ipv4Addr::from(0xc612_0000 | number);
        LiveFlow { peer: peer.into(), ..flow(Protocol::Tcp, 22) }.cut(START)
    };
    desk.feed(Event::SetsRead(Some((0..=50_000).map(of).collect())));
    assert!(!reads_cuts(&desk));
    desk.now = desk.now.after(crate::cut::CUT_TIMEOUT);
    desk.feed(Event::SetsRead(Some(Vec::new())));
    assert!(reads_cuts(&desk));
}
