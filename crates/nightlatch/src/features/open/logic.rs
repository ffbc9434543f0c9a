//! What is asked of the server, and what its answers and its silence mean.

use std::net::IpAddr;

use nightlatch_parse::spa::{Address, Named, Protocol, Service};
use serde::{Serialize, Serializer};

/// How many ports of each protocol are tried.
const MAX_TCP: usize = 4;
const MAX_UDP: usize = 2;
/// How many addresses of a server are used, for each family.
const MAX_ADDRESSES: usize = 2;
/// Where SIP usually is.
const SIP: std::ops::RangeInclusive<u16> = 5000..=5999;
/// UDP ports at which something other than SIP is: TFTP, NTP, IPsec, OpenVPN, IAX, WireGuard.
const NOT_SIP: [u16; 7] = [69, 123, 500, 1194, 4500, 4569, 51820];

/// What is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Action {
    Open,
    Close,
}

/// IPv4 or IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Family {
    Ipv4,
    Ipv6,
}

/// How it ended for one address of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum State {
    /// Something answers that did not before.
    Open,
    /// All that was tried answered before.
    WasOpen,
    /// Sent, but what should answer does not.
    Unverified,
    /// What should not answer does not.
    Closed,
    /// It answers although it should be closed.
    StillOpen,
    /// It could not be sent.
    NotSent,
    /// This computer has no route to it.
    NoRoute,
    /// The server has no address of this family.
    NoAddress,
    /// The packet must name an address, which cannot be known here.
    AddressNeeded,
}

/// An answer of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Answer {
    #[serde(serialize_with = "text")]
    pub(super) service: Service,
    pub(super) how: How,
}

/// In which way something answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum How {
    /// A TCP connection.
    Accepted,
    /// No program listens there.
    Refused,
    /// A datagram.
    Replied,
}

/// What was done for one address of the server, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Tried {
    pub(super) family: Family,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) server: Option<IpAddr>,
    /// From where.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) source: Option<IpAddr>,
    /// The address that the packets name, if any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) named: Option<IpAddr>,
    pub(super) state: State,
    /// How many packets were sent.
    pub(super) packets: u32,
    #[serde(serialize_with = "texts")]
    pub(super) answered_before: Vec<Service>,
    pub(super) answers: Vec<Answer>,
    /// What was tried and did not answer after the packets.
    #[serde(serialize_with = "texts")]
    pub(super) silent: Vec<Service>,
    /// What the system said, if it refused something.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<String>,
}

/// All that was done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Report {
    pub(super) action: Action,
    pub(super) host: String,
    pub(super) user: String,
    /// Whether each family that can be used is as it should be.
    pub(super) verified: bool,
    pub(super) paths: Vec<Tried>,
}

impl Family {
    pub(super) fn of(address: &IpAddr) -> Family {
        if address.is_ipv4() { Family::Ipv4 } else { Family::Ipv6 }
    }
}

impl Tried {
    /// Nothing was done yet.
    pub(super) fn new(family: Family, server: Option<IpAddr>, state: State) -> Tried {
        Tried {
            family,
            server,
            source: None,
            named: None,
            state,
            packets: 0,
            answered_before: Vec::new(),
            answers: Vec::new(),
            silent: Vec::new(),
            error: None,
        }
    }
}

impl Report {
    /// All that was tried, and the families that were not.
    pub(super) fn new(action: Action, host: &str, user: &str, tried: Vec<Tried>) -> Report {
        let good = |it: &Tried| matches!(it.state, State::Open | State::WasOpen | State::Closed);
        let unused = |it: &Tried| matches!(it.state, State::NoRoute | State::NoAddress);
        let verified = tried.iter().any(good) && tried.iter().all(|it| good(it) || unused(it));
        let (host, user) = (host.to_owned(), user.to_owned());
        Report { action, host, user, verified, paths: tried }
    }
}

/// The addresses of a server to which packets are sent.
pub(super) fn targets(found: &[IpAddr], only: Option<Family>) -> Vec<IpAddr> {
    let mut targets: Vec<IpAddr> = Vec::new();
    for address in found.iter().map(IpAddr::to_canonical) {
        let family = Family::of(&address);
        let same = targets.iter().filter(|it| Family::of(it) == family).count();
        let is_wanted = only.is_none_or(|only| only == family);
        if is_wanted && same < MAX_ADDRESSES && !targets.contains(&address) {
            targets.push(address);
        }
    }
    targets.sort_by_key(Family::of);
    targets
}

/// The families that are wanted and of which the server has no address.
pub(super) fn without_address(found: &[IpAddr], only: Option<Family>) -> Vec<Tried> {
    let all = [Family::Ipv4, Family::Ipv6].into_iter();
    let wanted = all.filter(|family| only.is_none_or(|only| only == *family));
    let missing = wanted.filter(|family| !found.iter().any(|it| Family::of(it) == *family));
    missing.map(|family| Tried::new(family, None, State::NoAddress)).collect()
}

/// The ports at which something may answer: TCP, and UDP where SIP is likely.
pub(super) fn asked(access: &[Service]) -> Vec<Service> {
    let of = |protocol| access.iter().copied().filter(move |it| it.protocol == protocol);
    let sip = || of(Protocol::Udp).filter(|it| SIP.contains(&it.port)).take(MAX_UDP);
    let mut asked: Vec<Service> = of(Protocol::Tcp).take(MAX_TCP).chain(sip()).collect();
    if asked.is_empty() {
        let others = of(Protocol::Udp).filter(|it| !NOT_SIP.contains(&it.port));
        asked.extend(others.take(MAX_UDP));
    }
    asked
}

/// Which address a packet names, `None` if it must name one that is not known.
pub(super) fn named(card: Named, given: &[IpAddr], source: IpAddr) -> Option<Address> {
    let family = Family::of(&source);
    let mine = given.iter().find(|it| Family::of(it) == family);
    match (mine, card) {
        (Some(address), _) => Some(Address::Given(*address)),
        (None, Named::Given(address)) if Family::of(&address) == family => {
            Some(Address::Given(address))
        }
        (None, Named::Own | Named::Given(_)) => {
            is_public(&source).then_some(Address::Given(source))
        }
        (None, Named::Source) => Some(Address::Source),
    }
}

/// Whether nobody replaces an address on its way through the internet.
fn is_public(address: &IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            let is_shared = a == 100 && (64..128).contains(&b);
            !(v4.is_private() || v4.is_loopback() || v4.is_link_local() || is_shared)
        }
        IpAddr::V6(v6) => !(v6.is_unique_local() || v6.is_unicast_link_local() || v6.is_loopback()),
    }
}

/// What it means that these answered before the packets and these of the `asked` after them. The second are
/// those that did not answer before; with [`Action::Close`], all.
pub(super) fn judge(
    action: Action,
    asked: &[Service],
    before: &[Service],
    after: &[Answer],
) -> State {
    let has_answered = |it: &Service| after.iter().any(|answer| answer.service == *it);
    match action {
        Action::Open if !after.is_empty() => State::Open,
        // What strangers reach too says nothing about the rest.
        Action::Open if !asked.is_empty() && asked.iter().all(|it| before.contains(it)) => {
            State::WasOpen
        }
        Action::Close if before.iter().any(|it| !has_answered(it)) => State::Closed,
        Action::Close if asked.iter().any(has_answered) => State::StillOpen,
        // An open TCP port would answer, whether or not a program listens there.
        Action::Close if asked.iter().any(|it| it.protocol == Protocol::Tcp) => State::Closed,
        Action::Open | Action::Close => State::Unverified,
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn text<S: Serializer>(service: &Service, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(service)
}

fn texts<S: Serializer>(services: &[Service], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(services.iter().map(Service::to_string))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn services(text: &str) -> Vec<Service> {
        let service = |text: &str| {
            let (protocol, port) = text.split_once('/').unwrap();
            let protocol = if protocol == "tcp" { Protocol::Tcp } else { Protocol::Udp };
            Service { protocol, port: port.parse().unwrap() }
        };
        text.split(',').filter(|text| !text.is_empty()).map(service).collect()
    }

    fn addresses(text: &str) -> Vec<IpAddr> {
        text.split(' ').filter(|text| !text.is_empty()).map(|it| it.parse().unwrap()).collect()
    }

    #[test]
    fn which_ports_are_asked() {
        for (access, expected) in [
            ("udp/5060,tcp/443,udp/10000", "tcp/443,udp/5060"),
            ("udp/10000", "udp/10000"),
            ("udp/51820,udp/1194", ""),
            ("udp/51820,udp/45060,udp/45061,udp/45062", "udp/45060,udp/45061"),
            ("tcp/1,tcp/2,tcp/3,tcp/4,tcp/5", "tcp/1,tcp/2,tcp/3,tcp/4"),
            ("udp/5060,udp/5160,udp/5061", "udp/5060,udp/5160"),
        ] {
            assert_eq!(asked(&services(access)), services(expected), "{access}");
        }
    }

    #[test]
    fn which_addresses_are_used() {
        let found = "2001:db8::1 192.0.2.1 192.0.2.1 192.0.2.2 192.0.2.3 ::ffff:192.0.2.1";
        for (only, expected) in [
            (None, "192.0.2.1 192.0.2.2 2001:db8::1"),
            (Some(Family::Ipv4), "192.0.2.1 192.0.2.2"),
            (Some(Family::Ipv6), "2001:db8::1"),
        ] {
            assert_eq!(targets(&addresses(found), only), addresses(expected), "{only:?}");
        }
        let missing = |found: &str, only| {
            let missing = without_address(&addresses(found), only);
            missing.iter().map(|it| it.family).collect::<Vec<_>>()
        };
        assert_eq!(missing("192.0.2.1", None), [Family::Ipv6]);
        assert_eq!(missing("192.0.2.1", Some(Family::Ipv4)), []);
        assert_eq!(missing("192.0.2.1", Some(Family::Ipv6)), [Family::Ipv6]);
    }

    #[test]
    fn which_address_is_named() {
        let given = |text: &str| Some(Address::Given(text.parse().unwrap()));
        let card = "203.0.113.9".parse().unwrap();
        for (names, by_hand, source, expected) in [
            (Named::Source, "", "192.168.1.2", Some(Address::Source)),
            (Named::Source, "203.0.113.7", "192.168.1.2", given("203.0.113.7")),
            (Named::Source, "203.0.113.7", "2001:db8::2", Some(Address::Source)),
            (Named::Own, "", "192.168.1.2", None),
            (Named::Own, "", "100.64.0.1", None),
            (Named::Own, "", "fd00::1", None),
            (Named::Own, "", "198.51.100.2", given("198.51.100.2")),
            (Named::Own, "", "2001:db8::2", given("2001:db8::2")),
            (Named::Own, "203.0.113.7", "192.168.1.2", given("203.0.113.7")),
            (Named::Given(card), "", "192.168.1.2", given("203.0.113.9")),
            (Named::Given(card), "203.0.113.7", "192.168.1.2", given("203.0.113.7")),
            (Named::Given(card), "", "2001:db8::2", given("2001:db8::2")),
        ] {
            let by_hand = addresses(by_hand);
            let found = named(names, &by_hand, source.parse().unwrap());
            assert_eq!(found, expected, "{names:?} {by_hand:?} {source}");
        }
    }

    #[test]
    fn what_answers_mean() {
        use Action::{Close, Open};
        for (action, asked, before, after, expected) in [
            (Open, "tcp/443,udp/5060", "", "tcp/443", State::Open),
            (Open, "tcp/443,udp/5060", "", "udp/5060", State::Open),
            (Open, "tcp/443,udp/5060", "", "", State::Unverified),
            (Open, "tcp/443,udp/5060", "tcp/443,udp/5060", "", State::WasOpen),
            (Open, "tcp/443,udp/5060", "tcp/443", "", State::Unverified),
            (Open, "tcp/443,udp/5060", "udp/5060", "", State::Unverified),
            (Open, "tcp/443,udp/5060", "udp/5060", "tcp/443", State::Open),
            (Open, "", "", "", State::Unverified),
            (Close, "tcp/443,udp/5060", "tcp/443", "", State::Closed),
            (Close, "tcp/443,udp/5060", "", "", State::Closed),
            (Close, "tcp/443,udp/5060", "tcp/443", "tcp/443", State::StillOpen),
            (Close, "tcp/443,udp/5060", "tcp/443,udp/5060", "tcp/443", State::Closed),
            (Close, "tcp/443,udp/5060", "", "tcp/443", State::StillOpen),
            (Close, "udp/5060", "udp/5060", "", State::Closed),
            (Close, "udp/5060", "", "", State::Unverified),
            (Close, "", "", "", State::Unverified),
        ] {
            let answer = |service| Answer { service, how: How::Accepted };
            let after: Vec<Answer> = services(after).into_iter().map(answer).collect();
            let state = judge(action, &services(asked), &services(before), &after);
            assert_eq!(state, expected, "{action:?} {asked} {before} {after:?}");
        }
    }

    #[test]
    fn all_families_that_can_be_used_count() {
        for (states, expected) in [
            (&[State::Open, State::NoAddress][..], true),
            (&[State::Open, State::WasOpen], true),
            (&[State::Open, State::Unverified], false),
            (&[State::Open, State::AddressNeeded], false),
            (&[State::NoRoute, State::NoAddress], false),
            (&[State::Closed, State::NoRoute], true),
            (&[State::Closed, State::StillOpen], false),
            (&[State::NotSent], false),
        ] {
            let tried = states.iter().map(|state| Tried::new(Family::Ipv4, None, *state));
            let report = Report::new(Action::Open, "pbx.example.net", "anna", tried.collect());
            assert_eq!(report.verified, expected, "{states:?}");
        }
    }
}
