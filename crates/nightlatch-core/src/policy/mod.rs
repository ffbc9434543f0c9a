//! Who wins. One function, [`judge`], says for any packet whether it passes and why; `nightlatch
//! why` asks it, and the kernel's table is tested against it packet by packet.
//!
//! The order, first match decides. The numbers are those of the design:
//!
//! 1. loopback
//! 2. what IPv4 and IPv6 cannot work without
//! 3. a block at least as specific as every account covering the address; a ban of an address that no
//!    account, lease or exemption covers; a denial of services that no account grants
//! 4. (5, 6) established flows: replies to this host, and media streams. Not UDP signalling, for
//!    which connection tracking cannot be relied on
//! 5. (7, 8) an account, for its services; a lease, for its user's services, which no block covers unless an
//!    account is more specific
//! 6. any wider block, for new connections
//! 7. (4) signalling from a peer at which this host registered, which it called or to which it sent a
//!    request; it only adds to what accounts grant, so the order of these two does not matter
//! 8. (10) a feed or a country, for new connections from addresses that no account and no exemption
//!    covers
//! 9. (11) the mode: services open to strangers, under limits; everything else is dropped

mod claims;
mod packet;
mod standing;

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::AddrRange;
use crate::condition::{self, Met};
use crate::config::{MediaSources, Rules};
use crate::features::State;
use crate::posture::Mode;
use crate::service::{Catalogue, Grant, Opening, Protocol, Role, Service, ServiceName};
use crate::signalling::{self, Learned, LearnedBy, Peer};
use crate::time::Time;

pub use claims::{Answer, Claim, Conditional, DenialScope, Says, Stance, Weighing, pieces};
pub use packet::{Flow, Packet, To, What};
pub use standing::{Allowed, Standing};

/// All that a judgement depends on.
#[derive(Clone, Copy, Debug)]
pub struct World<'a> {
    /// The state of all features.
    pub state: &'a State,
    /// The administrator's configuration.
    pub rules: &'a Rules,
    /// The services of this server.
    pub catalogue: &'a Catalogue,
    /// The peers known from this host's own requests.
    pub learned: &'a Learned,
    /// What to take for granted of whether a list names the address; as it is where absent.
    pub assume_listed: Option<bool>,
    /// The moment of the judgement.
    pub now: Time,
}

/// What happens to a packet, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[must_use]
pub struct Verdict {
    /// Whether it passes.
    pub passes: bool,
    /// Why.
    pub reason: Reason,
}

/// Why a packet passes or not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Reason {
    /// The firewall is off.
    Off,
    /// It is the host talking with itself.
    Loopback,
    /// It belongs to a flow that the host began.
    Answer,
    /// It belongs to a flow that was let in before.
    Running,
    /// IPv4 or IPv6 cannot live without it.
    Essential,
    /// It is addressed to another host; the firewall guards this one.
    NotForThisHost,
    /// Blocks shut the address out, the most specific first.
    Blocked {
        /// The deciding block's range.
        range: AddrRange,
    },
    /// The address is banned: it attacks.
    Banned {
        /// The range of the ban.
        range: AddrRange,
        /// When the ban ends.
        until: Time,
    },
    /// The address is denied services: its account was removed, or never existed.
    Denied {
        /// The range of the denial.
        range: AddrRange,
    },
    /// This host sent the peer something that allows this packet.
    Peer {
        /// What this host did.
        by: LearnedBy,
        /// When it last did so.
        seen: Time,
    },
    /// Media are accepted from any address.
    Media,
    /// A list shuts the address out.
    Listed,
    /// Accounts let it in.
    Account {
        /// Their names.
        names: Vec<String>,
    },
    /// The service is open to strangers.
    OpenService {
        /// The service.
        service: ServiceName,
        /// Whether only under the rate limits.
        limited: bool,
    },
    /// Nobody knows the address, or not for this service: silence.
    Stranger,
}

/// Who wins: whether the packet passes, and why.
pub fn judge(world: &World<'_>, packet: &Packet) -> Verdict {
    if !world.state.posture().protection.stands() {
        return pass(Reason::Off);
    }
    if packet.on_loopback {
        return pass(Reason::Loopback);
    }
    if is_essential(packet) {
        return pass(Reason::Essential);
    }
    let standing = Standing::of(world, packet.peer);
    let wall = standing.block.map(|range| drop(Reason::Blocked { range }));
    if let (Some(blocked), Stance::Blocked) = (&wall, &standing.answer.stance) {
        return blocked.clone();
    }
    if let Some((range, until)) = standing.ban {
        return drop(Reason::Banned { range, until });
    }
    if let Some(range) = standing.denial.filter(|_| is_denied(world, &standing, packet))
        && knocked(world, packet).is_none()
    {
        return drop(Reason::Denied { range });
    }
    if let Some(reason) = running(world, &standing, packet) {
        return pass(reason);
    }
    if packet.to == To::Elsewhere {
        return pass(Reason::NotForThisHost);
    }
    if standing.grants(world, packet.what) {
        return pass(Reason::Account { names: standing.granting(world, packet.what) });
    }
    if let Some(blocked) = wall {
        return blocked;
    }
    let known = || known_peer(world, packet);
    if let Some(reason) = (!standing.is_outside_hours(world, packet.what)).then(known).flatten() {
        return pass(reason);
    }
    if let Some(names) = knocked(world, packet) {
        return pass(Reason::Account { names });
    }
    if standing.answer.stance == Stance::Listed {
        return drop(Reason::Listed);
    }
    by_mode(world, packet)
}

/// The users who have opened the address by knocking, for what the packet asks for, where the daemon has not
/// made a lease of that.
fn knocked(world: &World<'_>, packet: &Packet) -> Option<Vec<String>> {
    let knocks = world.state.knocks();
    let opened = knocks.opened(packet.peer, &world.learned.sets, world.now).into_iter();
    let opened = opened.filter(|knock| {
        let met = knock.opens.condition().met(packet.peer, &world.learned.sets, world.now);
        knock.is_possible(&world.catalogue.every_port())
            && admits(world, met, &knock.opens.services, packet.what)
    });
    let names: Vec<String> = opened.map(|knock| knock.user.to_string()).collect();
    (!names.is_empty()).then_some(names)
}

/// Whether a knock has opened the address, so that a service may send there: at any hour.
fn is_knocked_outwards(world: &World<'_>, packet: &Packet) -> bool {
    let (knocks, sets, now) = (world.state.knocks(), &world.learned.sets, world.now);
    let lasts = condition::idle_end(packet.peer, sets, now).and(condition::absolute_end(
        packet.peer,
        sets,
        now,
    ));
    lasts.is_some()
        && knocks.opened(packet.peer, sets, now).into_iter().any(|knock| {
            knock.is_possible(&world.catalogue.every_port())
                && grants(world.catalogue, &knock.opens.services, packet.what)
        })
}

/// The role of the port that a packet is addressed to.
fn role(world: &World<'_>, packet: &Packet) -> Role {
    match packet.what {
        What::Udp { port, .. } => world.catalogue.role(port),
        _ => Role::Plain,
    }
}

/// A denial applies to every service of this host that no account grants, whoever began the flow, and
/// whether or not a condition of the account is met.
/// Flows that this host began from other ports continue.
fn is_denied(world: &World<'_>, standing: &Standing<'_>, packet: &Packet) -> bool {
    let Some(scope) = standing.answer.denied else { return false };
    // A reply to this host's own ping is not a request.
    let is_reply = packet.what.is_echo_request() && packet.flow == Flow::HostBegan;
    let is_spared = scope == DenialScope::ExceptMedia && role(world, packet) == Role::Media;
    packet.to != To::Elsewhere
        && !is_reply
        && !is_spared
        && opens(&world.catalogue.every_port(), packet.what)
        && !standing.may_grant(world, packet.what)
}

/// Whether a service of this host may not send to a peer, because the peer is blocked or banned, or is
/// denied the service.
pub fn is_closed_outwards(world: &World<'_>, peer: IpAddr, protocol: Protocol, port: u16) -> bool {
    let what = match protocol {
        Protocol::Tcp => What::Tcp { port },
        Protocol::Udp => What::Udp { from: 0, port },
    };
    let packet = Packet::new(peer, what);
    let standing = Standing::of(world, peer);
    let is_service = world.catalogue.every_port().contains(protocol, port);
    let is_blocked = standing.answer.stance == Stance::Blocked || standing.ban.is_some();
    let is_denied = || is_denied(world, &standing, &packet);
    (is_blocked && is_service) || (is_denied() && !is_knocked_outwards(world, &packet))
}

/// The reason to accept a packet from a known peer, if there is one.
fn known_peer(world: &World<'_>, packet: &Packet) -> Option<Reason> {
    let (address, now) = (packet.peer.to_canonical(), world.now);
    let known = |by, port, local_port| {
        let until = world.learned.until(Peer { by, address, port, local_port }, now)?;
        Some(Reason::Peer { by, seen: Learned::seen(by, until) })
    };
    match packet.what {
        What::Udp { from, port } => {
            let role = world.catalogue.role(port);
            let known = |by| known(by, from, port);
            match signalling::kind(role, &packet.first) {
                signalling::Kind::Request => {
                    known(LearnedBy::Registered).or_else(|| known(LearnedBy::Called))
                }
                signalling::Kind::Response => known(LearnedBy::Registered)
                    .or_else(|| known(LearnedBy::Called))
                    .or_else(|| known(LearnedBy::Asked)),
                signalling::Kind::Other => {
                    let anybody = world.rules.media == MediaSources::Any;
                    (anybody && role == Role::Media).then_some(Reason::Media)
                }
            }
        }
        What::Tcp { port } => {
            let ports = world.catalogue.sip_tcp_ports();
            let is_sip = ports.iter().any(|ports| ports.contains(Protocol::Tcp, port));
            known(LearnedBy::RegisteredByTcp, 0, 0).filter(|_| is_sip)
        }
        _ => None,
    }
}

/// Whether a grant lets a packet in, as far as its condition is met.
fn admits(world: &World<'_>, met: Met, grant: &Grant, what: What) -> bool {
    let is_met = match met {
        Met::No => false,
        Met::ForCalls => is_of_calls(world.catalogue, what),
        Met::Fully => true,
    };
    is_met && grants(world.catalogue, grant, what)
}

/// Whether the port is one of signalling or media.
fn is_of_calls(catalogue: &Catalogue, what: What) -> bool {
    let Some((protocol, port)) = what.service_port() else { return false };
    catalogue.of_calls().iter().any(|ports| ports.contains(protocol, port))
}

/// Whether a list holds an address.
fn is_held(state: &State, address: IpAddr) -> bool {
    let mut held = false;
    state.holding(address, &mut |_| held = true);
    held
}

/// Whether a grant holds the service that the packet asks for.
fn grants(catalogue: &Catalogue, grant: &Grant, what: What) -> bool {
    match grant {
        Grant::All => true,
        Grant::Some(names) => catalogue.any_brought(&**names, |service| has(service, what)),
    }
}

/// Whether a service has the port that the packet asks for.
fn has(service: &Service, what: What) -> bool {
    match what.service_port() {
        Some((protocol, port)) => service.ports.iter().any(|ports| ports.contains(protocol, port)),
        None => service.ping && what.is_echo_request(),
    }
}

fn opens(opening: &Opening, what: What) -> bool {
    match what.service_port() {
        Some((protocol, port)) => opening.contains(protocol, port),
        None => opening.ping && what.is_echo_request(),
    }
}

/// Established flows are accepted without being judged again, with three exceptions: UDP signalling,
/// which is judged packet by packet; flows without ports; and in open mode what strangers send to a
/// rate-limited service, because one flow is enough to guess passwords.
fn running(world: &World<'_>, standing: &Standing<'_>, packet: &Packet) -> Option<Reason> {
    if role(world, packet).is_signalling() {
        return None;
    }
    match packet.flow {
        Flow::New => None,
        Flow::HostBegan => Some(Reason::Answer),
        // Without ports there is nothing to cut a flow by: each ping is judged by itself.
        Flow::PeerBegan if packet.what.service_port().is_none() && !packet.what.is_error() => None,
        Flow::PeerBegan => {
            let limited = world.state.posture().mode == Mode::Open
                && role(world, packet) != Role::Media
                && !standing.grants(world, packet.what)
                && opens(&limited_to_strangers(world.rules, world.catalogue), packet.what);
            (!limited).then_some(Reason::Running)
        }
    }
}

/// Rule 2. The answers these draw, if any, stay on the link; none of them tells a stranger beyond
/// a router that the host exists.
fn is_essential(packet: &Packet) -> bool {
    const PACKET_TOO_BIG: u8 = 2;
    match packet.what {
        // "Fragmentation needed" (RFC 1191).
        What::Icmp { kind: 3, code: 4 } | What::Icmp6 { kind: PACKET_TOO_BIG, .. } => true,
        // Router solicitation to neighbour advertisement (RFC 4861).
        What::Icmp6 { kind: 133..=136, hop_limit } => hop_limit == 255,
        // Multicast listener discovery (RFC 2710, 3810).
        What::Icmp6 { kind: 130..=132 | 143, hop_limit } => {
            hop_limit == 1 && is_link_local(packet.peer)
        }
        // DHCP offers to a host without an address. To a single address they are answers.
        What::Udp { from: 67, port: 68 } => packet.peer.is_ipv4() && packet.to == To::Broadcast,
        What::Udp { from: 547, port: 546 } => is_link_local(packet.peer),
        _ => false,
    }
}

fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local())
}

/// The last rule: what the mode lets strangers reach.
fn by_mode(world: &World<'_>, packet: &Packet) -> Verdict {
    let what = packet.what;
    if world.state.posture().mode == Mode::Allowlist {
        return drop(Reason::Stranger);
    }
    let limited = opens(&limited_to_strangers(world.rules, world.catalogue), what);
    let in_call = || {
        is_of_calls(world.catalogue, what)
            && condition::is_in_call(packet.peer, &world.learned.sets, world.now)
    };
    let by_hours = world.rules.open_by_hours().into_iter();
    let counting = by_hours.filter(|(hours, _)| hours.contain(world.now) || in_call());
    let open = world.rules.always_open().chain(counting.flat_map(|(_, names)| names));
    let opened = world.catalogue.with_brought(open);
    let service = opened.into_iter().find(|name| opens(&world.catalogue.opening([*name]), what));
    match service {
        Some(service) => pass(Reason::OpenService { service: service.clone(), limited }),
        None => drop(Reason::Stranger),
    }
}

/// The ports that strangers reach in open mode, those under the rate limits and those with hours included.
pub fn open_to_strangers(rules: &Rules, catalogue: &Catalogue) -> Opening {
    catalogue.opening(&rules.open)
}

/// The ports that strangers reach in open mode only under the rate limits, those with hours included.
pub fn limited_to_strangers(rules: &Rules, catalogue: &Catalogue) -> Opening {
    limited_among(&rules.open, catalogue)
}

/// The ports of some services, with what they bring, that strangers reach only under the rate limits.
pub fn limited_among<'a>(
    services: impl IntoIterator<Item = &'a ServiceName>,
    catalogue: &'a Catalogue,
) -> Opening {
    let opened = catalogue.with_brought(services);
    let limited = opened
        .into_iter()
        .filter(|name| catalogue.get(name).is_some_and(|service| service.limited));
    let ports = limited.filter_map(|name| catalogue.get(name)).flat_map(|s| s.ports.clone());
    Opening { ports: crate::service::merge(ports.collect()), ping: false }
}

fn pass(reason: Reason) -> Verdict {
    Verdict { passes: true, reason }
}

fn drop(reason: Reason) -> Verdict {
    Verdict { passes: false, reason }
}

#[cfg(test)]
mod tests;
