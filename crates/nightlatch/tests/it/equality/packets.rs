//! Random packets, and what runs before they come.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use nightlatch_core::AddrRange;
use nightlatch_core::cut::{Began, LiveFlow};
use nightlatch_core::policy::{self, Flow, Packet, To, Verdict, What, World};
use nightlatch_core::service::{Protocol, Role};
use nightlatch_core::signalling::{self, FirstBytes, Peer};
use nightlatch_core::time::Time;
use nightlatch_lab::packet::{self, flags, protocol};

use super::dice::Dice;
use super::state::{NOW, State};

/// A packet, and the story of its flow.
#[derive(Clone, Debug)]
pub(super) struct Case {
    pub(super) packet: Packet,
    /// Whether the flow was cut before the packet comes.
    pub(super) cut: bool,
    /// The flags of a TCP packet.
    flags: u8,
    /// The source port, or the identifier of an echo; each case has its own.
    from: u16,
    /// To which of several addresses of its kind it goes.
    which: bool,
    /// The payload of a datagram.
    payload: Vec<u8>,
    /// What the host had sent to that peer, from the port to which the packet goes.
    asked: Option<Vec<u8>>,
}

/// The addresses on the field.
pub(super) const SERVER_V4: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);
pub(super) const SERVER_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 1);
const ELSEWHERE_V4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 77);
const ELSEWHERE_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xc, 0, 0, 0, 0, 77);

/// A hop limit by which the field knows the packets of a case.
pub(super) const HOPS: u8 = 77;
/// The hop limit of packets that only begin a flow.
pub(super) const HOPS_OF_A_BEGINNING: u8 = 99;

/// A peer and until when it is known.
pub(super) type KnownPeer = (Peer, Time);

pub(super) fn random(dice: &mut Dice, state: &State, number: usize) -> Case {
    let peer = random_peer(dice, state);
    let what = random_what(dice, state, peer);
    let to = match dice.below(16) {
        0 if peer.is_ipv4() => To::Broadcast,
        1 => To::Multicast,
        2 => To::Elsewhere,
        _ => To::Host,
    };
    // DHCP to everybody is worth more than one in a hundred thousand.
    let to = match what {
        What::Udp { from: 67, port: 68 } if peer.is_ipv4() && dice.one_in(2) => To::Broadcast,
        _ => to,
    };
    let on_loopback = to == To::Host && dice.one_in(40);
    let can_run = to == To::Host && !on_loopback && runs(what) && !is_of_the_link(peer);
    let flow = match dice.below(6) {
        0 if can_run => Flow::HostBegan,
        1 | 2 if can_run => Flow::PeerBegan,
        _ => Flow::New,
    };
    let cut = flow != Flow::New && what.service_port().is_some() && dice.one_in(3);
    let flags = match flow {
        Flow::New => *dice.pick(&[
            flags::SYN,
            flags::SYN,
            flags::ACK,
            flags::FIN,
            0,
            flags::XMAS,
            flags::SYN | flags::ACK,
            flags::SYN | flags::FIN,
            flags::RST,
        ]),
        Flow::HostBegan => flags::SYN | flags::ACK,
        Flow::PeerBegan => flags::ACK | flags::PSH,
    };
    let role = match what {
        What::Udp { port, .. } => state.catalogue().role(port),
        _ => Role::Plain,
    };
    // What arrives at a signalling port, and what the host had sent from there.
    let payload = payload(dice, role);
    let asks = role.is_signalling() && to == To::Host && !on_loopback && !is_of_the_link(peer);
    let asked = (asks && !dice.one_in(4)).then(|| self::payload(dice, role));
    // No flow may be taken for that of another case, so each has a port of its own; well-known
    // ones are for packets that begin something.
    let own = u16::try_from(20_000 + number % 40_000).unwrap();
    let (what, from) = match what {
        What::Udp { from, .. } if flow == Flow::New && asked.is_none() => (what, from),
        What::Udp { port, .. } => (What::Udp { from: own, port }, own),
        _ => (what, own),
    };
    let first = FirstBytes::of(&payload);
    let packet = Packet { peer, to, what, flow, on_loopback, first };
    Case { packet, cut, flags, from, which: dice.one_in(2), payload, asked }
}

/// Requests, responses and other packets of both kinds of signalling, including short ones.
fn payload(dice: &mut Dice, role: Role) -> Vec<u8> {
    let text = [
        "REGISTER sip:a SIP/2.0",
        "REGISTER sip:a SIP/2.0",
        "register sip:a SIP/2.0",
        "\r\nREGISTER sip:a",
        "INVITE sip:a SIP/2.0",
        "INVITE sip:a SIP/2.0",
        "ACK sip:a SIP/2.0",
        "BYE sip:a SIP/2.0",
        "CANCEL sip:a SIP/2.0",
        "OPTIONS sip:a SIP/2.0",
        "INFO sip:a SIP/2.0",
        "PRACK sip:a SIP/2.0",
        "UPDATE sip:a SIP/2.0",
        "NOTIFY sip:a SIP/2.0",
        "REFER sip:a SIP/2.0",
        "MESSAGE sip:a SIP/2.0",
        "SUBSCRIBE sip:a SIP/2.0",
        "PUBLISH sip:a SIP/2.0",
        "SIP/2.0 200 OK",
        "SIP/2.0 401 Unauthorized",
        "\x01\x01\0\0\x21\x12",
        "INV",
        "",
        "nightlatch",
    ];
    let stun = |kind: u8| vec![1, kind, 0, 8, 0x21, 0x12, 0xa4, 0x42, 1, 2, 3, 4, 5, 6, 7, 8];
    match (role, dice.below(5)) {
        (Role::Iax, 0) => vec![0, 1, 0, 0, 9, 9, 9, 9],
        (Role::Iax, 1) => vec![0x80, 1, 0, 0],
        (Role::Iax, _) => {
            let kinds: [[u8; 2]; 12] = [
                [6, 1],
                [6, 13],
                [6, 13],
                [6, 17],
                [6, 30],
                [6, 3],
                [6, 4],
                [6, 10],
                [6, 5],
                [6, 15],
                [2, 4],
                [4, 1],
            ];
            let [kind, subclass] = *dice.pick(&kinds);
            vec![0x80, 1, 0, 0, 0, 0, 0, 0, 0, 0, kind, subclass]
        }
        (Role::Sip, 0) => stun(*dice.pick(&[0x01, 0x11])),
        _ => dice.pick(&text).as_bytes().to_vec(),
    }
}

/// What connection tracking can follow.
fn runs(what: What) -> bool {
    matches!(what, What::Tcp { .. } | What::Udp { .. }) || what.is_echo_request()
}

fn is_of_the_link(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local())
}

/// Inside, at the edge of, or just outside a range that somebody named; or anywhere.
fn random_peer(dice: &mut Dice, state: &State) -> IpAddr {
    let mut ranges = state.ranges();
    let all = |text: &str| text.parse::<AddrRange>().unwrap();
    ranges.extend(["203.0.113.0/25", "2001:db8:2::/121", "2001:db8:2::/62"].map(all));
    ranges.push(all("fe80::/124"));
    let range = *dice.pick(&ranges);
    let width = range.width().saturating_add(1).max(1);
    let number = match dice.below(6) {
        0 => range.first(),
        1 => range.last(),
        2 => range.first().saturating_sub(1),
        3 => range.last().saturating_add(1).min(range.family().highest()),
        _ => range.first() + u128::from(dice.roll()) % width,
    };
    let address = AddrRange::new(range.family(), number, number).unwrap().first_address();
    if can_be_sent(address) { address } else { "203.0.113.250".parse().unwrap() }
}

/// The kernel throws packets of other sources away before any firewall sees them.
fn can_be_sent(address: IpAddr) -> bool {
    !address.is_loopback()
        && !address.is_multicast()
        && !address.is_unspecified()
        && address != IpAddr::V4(SERVER_V4)
        && address != IpAddr::V6(SERVER_V6)
}

fn random_what(dice: &mut Dice, state: &State, peer: IpAddr) -> What {
    let port = |dice: &mut Dice, wanted: Protocol| {
        let catalogue = state.catalogue();
        let (open, every) = (catalogue.opening(&state.rules.open), catalogue.every_port());
        let strangers = dice.one_in(2) && open.of(wanted).next().is_some();
        let of: Vec<_> = (if strangers { &open } else { &every }).of(wanted).collect();
        let ports = *dice.pick(&of);
        match dice.below(7) {
            0 => ports.first,
            1 => ports.last,
            2 => ports.first.saturating_sub(1).max(1),
            3 => ports.last.saturating_add(1),
            4 => 5060,
            5 => ports.first + (ports.last - ports.first) / 2,
            _ => u16::try_from(1 + dice.below(65_535)).unwrap(),
        }
    };
    match dice.below(12) {
        0..=3 => What::Tcp { port: port(dice, Protocol::Tcp) },
        4..=7 => {
            let from = *dice.pick(&[53, 67, 547, 5060, 10_000]);
            let from =
                if dice.one_in(3) { from } else { from + u16::try_from(dice.below(9000)).unwrap() };
            let port = match dice.below(6) {
                0 if from == 67 => 68,
                0 => *dice.pick(&[68, 546]),
                _ => port(dice, Protocol::Udp),
            };
            let port = if from == 67 && dice.one_in(2) { 68 } else { port };
            let port = if from == 547 && dice.one_in(2) { 546 } else { port };
            What::Udp { from, port }
        }
        8 => What::Other(*dice.pick(&[132, 47, 50, 253, 4, 2, 41])),
        _ if peer.is_ipv4() => {
            let (kind, code) = *dice.pick(&[
                (8, 0),
                (8, 0),
                (3, 4),
                (3, 3),
                (0, 0),
                (13, 0),
                (11, 0),
                (5, 1),
                (9, 0),
            ]);
            What::Icmp { kind, code }
        }
        _ => {
            let kinds =
                [128, 128, 129, 1, 2, 3, 4, 130, 131, 132, 133, 134, 135, 136, 137, 143, 200];
            What::Icmp6 { kind: *dice.pick(&kinds), hop_limit: *dice.pick(&[255, 1, 64, 254]) }
        }
    }
}

impl Case {
    /// Whether its flow can only begin while no firewall stands.
    pub(super) fn needs_open_ground(&self) -> bool {
        self.packet.flow == Flow::PeerBegan
    }

    /// What the policy says.
    pub(super) fn judged(&self, state: &State) -> Verdict {
        let mut packet = self.packet;
        // Established media belong to calls of the PBX: they are not cut.
        let is_media = match self.packet.what {
            What::Udp { port, .. } => state.catalogue().role(port) == Role::Media,
            _ => false,
        };
        if self.cut && !is_media {
            packet.flow = Flow::New;
        }
        state.with(|world| policy::judge(world, &packet))
    }

    /// The flow as the daemon names it.
    pub(super) fn live_flow(&self) -> Option<LiveFlow> {
        let (protocol, local_port) = self.packet.what.service_port()?;
        Some(LiveFlow {
            protocol,
            peer: self.packet.peer,
            peer_port: self.from,
            local_port,
            began: if self.packet.flow == Flow::PeerBegan { Began::Peer } else { Began::Host },
            host_sends: true,
        })
    }

    /// The packet that the host sends to the peer beforehand, and how the peer becomes known by it.
    pub(super) fn asking(&self, state: &State) -> Option<(packet::Packet, Option<KnownPeer>)> {
        let payload = self.asked.as_ref()?;
        let What::Udp { from, port } = self.packet.what else { return None };
        let v4 = self.packet.peer.is_ipv4();
        let host: IpAddr = if v4 { SERVER_V4.into() } else { SERVER_V6.into() };
        let (host, peer) = (SocketAddr::new(host, port), SocketAddr::new(self.packet.peer, from));
        let sent = packet::Packet::udp(host, peer, payload).with_hop_limit(HOPS_OF_A_BEGINNING);
        let role = state.catalogue().role(port);
        let by = signalling::asks(role, &FirstBytes::of(payload));
        let (address, closed) = (self.packet.peer, |world: &World<'_>| {
            policy::is_closed_outwards(world, self.packet.peer, Protocol::Udp, port)
        });
        let by = by.filter(|_| !state.with(closed));
        let peer = by.map(|by| {
            let peer = Peer { by, address, port: from, local_port: port };
            (peer, NOW.after(by.timeout()))
        });
        Some((sent, peer))
    }

    /// The packet itself.
    pub(super) fn crafted(&self) -> packet::Packet {
        let crafted = self.craft(self.packet.peer, self.target(), self.flags, true);
        match self.packet.what {
            What::Icmp6 { hop_limit, .. } => crafted.with_hop_limit(hop_limit),
            _ => crafted.with_hop_limit(HOPS),
        }
    }

    /// Where it goes.
    fn target(&self) -> IpAddr {
        let v4 = self.packet.peer.is_ipv4();
        match self.packet.to {
            To::Host if v4 => SERVER_V4.into(),
            To::Host => SERVER_V6.into(),
            To::Broadcast if self.which => Ipv4Addr::BROADCAST.into(),
            To::Broadcast => Ipv4Addr::new(198, 51, 100, 255).into(),
            To::Multicast if v4 => Ipv4Addr::new(224, 0, 0, 1).into(),
            To::Multicast => Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1).into(),
            To::Elsewhere if v4 => ELSEWHERE_V4.into(),
            To::Elsewhere => ELSEWHERE_V6.into(),
        }
    }

    /// The packets that make its flow run, in order: whether the host sends it, and the packet.
    pub(super) fn beginning(&self) -> Vec<(bool, packet::Packet)> {
        let (peer, host) = (self.packet.peer, self.target());
        let steps: &[(bool, u8)] = match self.packet.flow {
            Flow::New => &[],
            Flow::HostBegan => &[(true, flags::SYN)],
            Flow::PeerBegan => {
                &[(false, flags::SYN), (true, flags::SYN | flags::ACK), (false, flags::ACK)]
            }
        };
        let step = |(by_host, flags): &(bool, u8)| {
            let packet = match by_host {
                true => self.craft_from_host(host, peer, *flags),
                false => self.craft(peer, host, *flags, true),
            };
            (*by_host, packet.with_hop_limit(HOPS_OF_A_BEGINNING))
        };
        steps.iter().map(step).collect()
    }

    fn craft_from_host(&self, host: IpAddr, peer: IpAddr, flags: u8) -> packet::Packet {
        match self.packet.what {
            What::Tcp { port } => {
                let from = SocketAddr::new(host, port);
                packet::Packet::tcp(from, SocketAddr::new(peer, self.from), flags)
            }
            What::Udp { port, .. } => {
                let from = SocketAddr::new(host, port);
                packet::Packet::udp(from, SocketAddr::new(peer, self.from), b"from the host")
            }
            _ => self.craft(host, peer, flags, self.packet.flow == Flow::HostBegan),
        }
    }

    /// The packet from `source` to `target`; `asks` is for echoes: the request or its reply. What
    /// the host began is answered by the peer, so the peer's packet is the reply then.
    fn craft(&self, source: IpAddr, target: IpAddr, flags: u8, asks: bool) -> packet::Packet {
        let from = SocketAddr::new(source, self.from);
        let to = |port| SocketAddr::new(target, port);
        let icmp = |number, kind: u8, code: u8| {
            let [high, low] = self.from.to_be_bytes();
            let body = [kind, code, 0, 0, high, low, 0, 1, 0x4e, 0x4c];
            packet::Packet::other(source, target, number, &body)
        };
        let answers_host = self.packet.flow == Flow::HostBegan && source == self.packet.peer;
        let reply = !asks || answers_host;
        match self.packet.what {
            What::Tcp { port } => packet::Packet::tcp(from, to(port), flags),
            What::Udp { port, .. } => packet::Packet::udp(from, to(port), &self.payload),
            What::Icmp { kind: 8, .. } if reply => icmp(protocol::ICMP, 0, 0),
            What::Icmp6 { kind: 128, .. } if reply => icmp(protocol::ICMPV6, 129, 0),
            What::Icmp { kind, code } => icmp(protocol::ICMP, kind, code),
            What::Icmp6 { kind, .. } => icmp(protocol::ICMPV6, kind, 0),
            What::Other(number) => packet::Packet::other(source, target, number, &[0; 40]),
        }
    }
}
