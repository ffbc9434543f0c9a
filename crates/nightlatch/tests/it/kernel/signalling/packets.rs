//! Fragments, STUN, IAX2: packets that are not one short SIP message.

use super::super::ground::Prober;
use super::ends::{End, INVITE, NEVER, OPTIONS, REGISTER, RESPONSE, forget_flows, keys, learned};
use super::{Pbx, Scene, stage};
use nightlatch_lab::packet::Packet;

fn long(first: &str, length: usize) -> String {
    format!("{first}\r\nX-Padding: {}", "x".repeat(length))
}

/// Before, the first fragment of such an INVITE was treated as a stranger's.
#[test]
fn long_messages_in_fragments_are_judged_as_short_ones() {
    let Some(stage) = stage() else { return };
    let scene = Scene::guarded(&stage, "");
    let Scene { server, pbx, carrier, .. } = &scene;
    pbx.ignores(carrier, [long(INVITE, 5000)]);
    // The host's own REGISTER, with all its credentials.
    pbx.sends(carrier, long(REGISTER, 4000));
    assert_eq!(learned(server, "registered"), keys(carrier, 5060));
    for _ in 0..2 {
        forget_flows(server);
        pbx.hears(carrier, [long(INVITE, 5000), long(RESPONSE, 2000)]);
        pbx.ignores(carrier, [long(REGISTER, 5000), long(NEVER[3], 5000)]);
    }
    let stranger = End::on(stage.host("office").unwrap(), 5060);
    pbx.ignores(&stranger, [long(INVITE, 5000)]);
    // Fragments so small that the first one does not contain the method.
    let prober = Prober::on(stage.host("attacker").unwrap());
    for (from, to) in carrier.at().into_iter().zip(pbx.end.at()) {
        for (text, number) in [(INVITE, 91_000_001), (REGISTER, 91_000_002)] {
            let text = format!("{text}\r\nX-Number: {number}");
            prober.send_pieces(&Packet::udp(from, to, text.as_bytes()), 8);
        }
    }
    let mut heard: Vec<u64> = pbx.heard_until_now().into_iter().map(|(_, it)| it).collect();
    heard.retain(|number| *number / 1_000_000 == 91);
    assert_eq!(heard, [91_000_001; 2]);
}

fn stun(kind: u16, cookie: u32) -> Vec<u8> {
    [&kind.to_be_bytes()[..], &[0, 0], &cookie.to_be_bytes(), &[7; 12]].concat()
}

/// Before, the response passed only until the flow's timeout.
#[test]
fn a_stun_server_may_respond() {
    const COOKIE: u32 = 0x2112_a442;
    let Some(stage) = stage() else { return };
    let scene = Scene::guarded(&stage, "");
    let Scene { server, pbx, carrier, .. } = &scene;
    let responses = || [stun(0x0101, COOKIE), stun(0x0111, COOKIE)];
    let others = || [stun(0x0001, COOKIE), stun(0x0101, 0), stun(0x0011, COOKIE)];
    pbx.ignores(carrier, responses());
    // The host's own response adds no peer.
    pbx.sends(carrier, stun(0x0101, COOKIE));
    forget_flows(server);
    pbx.ignores(carrier, responses());
    pbx.sends(carrier, stun(0x0001, COOKIE));
    assert_eq!(learned(server, "asked"), keys(carrier, 5060));
    for _ in 0..2 {
        pbx.hears(carrier, responses());
        pbx.ignores(carrier, others());
        forget_flows(server);
    }
    pbx.ignores(carrier, [INVITE, OPTIONS]);
}

/// A full frame of IAX2 (RFC 5456, section 8.1.1).
fn full(kind: u8, subclass: u8) -> Vec<u8> {
    vec![0x80, 1, 0, 2, 0, 0, 0, 9, 0, 0, kind, subclass]
}

fn iax(subclass: u8) -> Vec<u8> {
    full(6, subclass)
}

/// NEW, PING, HANGUP, ACCEPT, AUTHREQ, REGAUTH, a DTMF and a voice frame.
fn calls() -> Vec<Vec<u8>> {
    let mut frames: Vec<_> = [0x01, 0x02, 0x05, 0x07, 0x08, 0x0e].map(iax).into();
    frames.extend([full(1, b'5'), full(2, 4)]);
    frames
}

/// A mini frame with a call's number, and a meta frame, whose number is 0 (sections 8.1.2, 8.1.3).
fn media() -> [Vec<u8>; 2] {
    [vec![0, 1, 0, 20, 7, 7, 7, 7], vec![0, 0, 0x80, 1, 0, 20, 7, 7]]
}

/// PONG, ACK, INVAL.
fn pongs() -> [Vec<u8>; 3] {
    [0x03, 0x04, 0x0a].map(iax)
}

/// REGREQ, REGREL.
fn registrations() -> [Vec<u8>; 2] {
    [0x0d, 0x11].map(iax)
}

/// Before, an IAX2 trunk was treated like any flow: dropped after two minutes, and the host's own
/// answers to a stranger could begin one.
#[test]
fn iax_trunks_call_and_speak_and_do_not_register() {
    let Some(stage) = stage() else { return };
    let scene = Scene::guarded(&stage, "");
    let server = scene.server;
    let (carrier, office) = (stage.host("attacker").unwrap(), stage.host("office").unwrap());
    let pbx = Pbx::at(server, stage.host("traveller").unwrap(), 4569);
    let [registrar, called, asked] = [4569, 4570, 4571].map(|port| End::on(carrier, port));
    let stranger = End::on(office, 4569);
    let everything = || calls().into_iter().chain(media()).chain(pongs()).chain(registrations());
    pbx.ignores(&registrar, everything());
    pbx.sends(&registrar, iax(0x0d));
    pbx.sends(&called, iax(0x01));
    pbx.sends(&asked, iax(0x1e));
    assert_eq!(learned(server, "registered"), keys(&registrar, 4569));
    assert_eq!(learned(server, "called"), keys(&called, 4569));
    assert_eq!(learned(server, "asked"), keys(&asked, 4569));
    // No other packet from this host adds a peer: voice, hang-ups, answers to strangers.
    for sent in calls().into_iter().skip(1).chain(media()).chain(pongs()) {
        pbx.sends(&stranger, sent);
    }
    for _ in 0..2 {
        forget_flows(server);
        for peer in [&registrar, &called] {
            pbx.hears(peer, calls());
            pbx.hears(peer, media());
            pbx.hears(peer, pongs());
            pbx.ignores(peer, registrations());
        }
        pbx.hears(&asked, pongs());
        pbx.ignores(&asked, calls().into_iter().chain(media()).chain(registrations()));
        pbx.ignores(&stranger, everything());
    }
    // SIP at the IAX2 port and IAX2 at the SIP port are invalid.
    pbx.ignores(&asked, [OPTIONS, INVITE]);
    scene.pbx.ignores(&registrar, calls());
}
