//! What the PBX reports about its peers, as values for the engine.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use nightlatch_core::AddrRange;
use nightlatch_core::cut::{Began, LiveFlow};
use nightlatch_core::pbx::{self as core, PbxContact, PbxPeers, Registrar};
use nightlatch_core::service::{Catalogue, Ports, Protocol, Role};

use super::flows::TrackedFlows;
use super::pbx::{
    self, Driver, NamedContact, PbxAnswer, Registration, RegistrationState, Remaining, Subjects,
};
use super::sockets::Connections;

/// The most host names that are resolved. A carrier has a few.
const MAX_NAMES: usize = 64;

/// A server at which the PBX is or tries to be registered, with its addresses.
#[derive(Clone, Debug)]
pub struct Trunk {
    /// The registration.
    pub registration: Registration,
    /// All addresses of its server's name.
    pub places: Vec<pbx::Place>,
    /// The lookups that failed.
    pub unread: Vec<pbx::Unread>,
}

/// Asks the PBX for its registrations and contacts. The catalogue lists the services of this host.
pub fn ask(catalogue: &Catalogue) -> PbxPeers {
    let programs = pbx::running();
    let subjects = Subjects { channels: false, ..Subjects::ALL };
    let answer = pbx::ask(&programs, subjects);
    // The kernel itself detects registrations over UDP.
    let by_tcp = |registration: &&Registration| {
        registration.state == RegistrationState::Registered
            && registration.server.protocol() == Protocol::Tcp
    };
    let trunks = resolve(answer.registrations.iter().filter(by_tcp));
    let named = resolve_named(&answer);
    let mut peers = peers(&answer, !programs.is_empty(), &trunks, &named);
    // If it does not report its registrations, infer them from its connections.
    if peers.answer != core::PbxAnswer::Answered && !programs.is_empty() {
        peers.registrars.extend(outbound_sip(catalogue));
    }
    mark_heard(&mut peers, catalogue);
    peers
}

/// Marks the contacts from whose addresses signalling came, according to connection tracking and
/// sockets. If neither can be read, no contact is marked.
pub fn mark_heard(peers: &mut PbxPeers, catalogue: &Catalogue) {
    let dynamic = peers.contacts.iter().filter(|contact| contact.dynamic);
    let contacts: BTreeSet<IpAddr> = dynamic.map(|it| it.address.to_canonical()).collect();
    if contacts.is_empty() {
        return;
    }
    let mut heard = BTreeSet::new();
    let mut hear = |flow: LiveFlow| {
        if contacts.contains(&flow.peer) && core::is_signalling_of_peer(&flow, catalogue) {
            heard.insert(flow.peer);
        }
    };
    Connections::read(catalogue).flows().for_each(&mut hear);
    if let Ok(mut tracked) = TrackedFlows::open() {
        let _ = tracked.for_each(hear);
    }
    peers.mark_heard(&heard);
}

/// The servers to whose SIP ports this host has opened TCP connections.
fn outbound_sip(catalogue: &Catalogue) -> impl Iterator<Item = Registrar> {
    const USUAL: Ports = Ports::new(Protocol::Tcp, 5060, 5061);
    let mut sip = catalogue.sip_tcp_ports();
    sip.push(USUAL);
    let is_sip = |port| sip.iter().any(|ports| ports.contains(Protocol::Tcp, port));
    let flows = Connections::read(catalogue).flows_of_listener(is_sip);
    let trunks = flows.into_iter().filter(move |flow| {
        flow.began == Began::Host
            && sip.iter().any(|ports| ports.contains(Protocol::Tcp, flow.peer_port))
    });
    trunks.map(|flow| Registrar {
        name: "outbound TCP connection".to_owned(),
        address: flow.peer,
        port: flow.peer_port,
        protocol: Protocol::Tcp,
        role: Role::Sip,
    })
}

/// The addresses of the registrations' servers, looked up in parallel.
pub fn resolve<'a>(registrations: impl Iterator<Item = &'a Registration>) -> Vec<Trunk> {
    std::thread::scope(|scope| {
        let lookups: Vec<_> = registrations
            .take(MAX_NAMES)
            .map(|registration| {
                (
                    registration,
                    scope.spawn(|| pbx::resolve(&registration.server, registration.driver)),
                )
            })
            .collect();
        lookups
            .into_iter()
            .map(|(registration, lookup)| {
                let found = lookup.join().unwrap_or_default();
                Trunk {
                    registration: registration.clone(),
                    places: found.places,
                    unread: found.unread,
                }
            })
            .collect()
    })
}

/// The addresses of configured contacts that have a host name.
pub fn resolve_named(answer: &PbxAnswer) -> Vec<(NamedContact, Vec<SocketAddr>)> {
    let fixed = answer.named.iter().filter(|named| !named.registered).take(MAX_NAMES);
    std::thread::scope(|scope| {
        let lookups: Vec<_> = fixed
            .map(|named| (named, scope.spawn(|| pbx::resolve(&named.server, named.driver))))
            .collect();
        lookups
            .into_iter()
            .map(|(named, lookup)| {
                let places = lookup.join().unwrap_or_default().places;
                (named.clone(), places.into_iter().map(|place| place.address).collect())
            })
            .collect()
    })
}

/// Converts an answer for the engine. `runs` is whether a PBX runs here at all.
pub fn peers(
    answer: &PbxAnswer,
    runs: bool,
    trunks: &[Trunk],
    named: &[(NamedContact, Vec<SocketAddr>)],
) -> PbxPeers {
    let registrars = trunks.iter().flat_map(|trunk| {
        let role = match trunk.registration.driver {
            Driver::Iax2 => Role::Iax,
            Driver::Pjsip | Driver::Sip | Driver::Kamailio => Role::Sip,
        };
        trunk.places.iter().map(move |place| Registrar {
            name: trunk.registration.name.clone(),
            address: place.address.ip(),
            port: place.address.port(),
            protocol: place.protocol,
            role,
        })
    });
    let known = answer.contacts.iter().map(|contact| PbxContact {
        extension: contact.name.clone(),
        address: contact.address,
        port: contact.port,
        dynamic: contact.registered,
        heard: false,
    });
    let resolved = named.iter().flat_map(|(contact, places)| {
        places.iter().map(|place| PbxContact {
            extension: contact.name.clone(),
            address: place.ip(),
            port: place.port(),
            dynamic: false,
            heard: false,
        })
    });
    PbxPeers {
        answer: how_it_answered(answer, runs),
        registrars: registrars.collect(),
        contacts: known.chain(resolved).collect(),
        named: answer.identifies.iter().flat_map(|identify| identify.ranges.clone()).collect(),
    }
}

/// What remains to be done at the PBX after ranges of addresses were denied or blocked; with `trunks`
/// (for a block) also for registrations. Nothing if no PBX runs.
pub fn remaining(ranges: &[AddrRange], trunks: bool) -> Remaining {
    let programs = pbx::running();
    if programs.is_empty() {
        return Remaining::default();
    }
    let subjects = Subjects { registrations: trunks, ..Subjects::CALLS };
    let answer = pbx::ask(&programs, subjects);
    let mut remaining = pbx::remaining(&answer, ranges, trunks);
    let unread = answer.unread.iter().map(|it| format!("{}: {}", it.what, it.reason));
    remaining.left_out.extend(answer.not_asked.iter().cloned().chain(unread));
    remaining
}

/// Whether the PBX answered. An incomplete list of contacts counts as no answer, because a missing
/// contact would look like a removed one.
fn how_it_answered(answer: &PbxAnswer, runs: bool) -> core::PbxAnswer {
    let about_contacts = |unread: &pbx::Unread| {
        ["contact", "peers", "ul.dump"].iter().any(|word| unread.what.contains(word))
    };
    match answer.asked.as_slice() {
        [] if runs && answer.not_asked.is_none() => core::PbxAnswer::Silent,
        [] => core::PbxAnswer::NoneHere,
        _ if answer.unread.iter().any(about_contacts) => core::PbxAnswer::Silent,
        _ => core::PbxAnswer::Answered,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shell::pbx::{Console, Unread};

    #[test]
    fn an_answer_with_gaps_is_none() {
        let answer = |asked: &[Console], unread: &[&str]| PbxAnswer {
            asked: asked.to_vec(),
            unread: unread
                .iter()
                .map(|what| Unread { what: (*what).to_owned(), reason: String::new() })
                .collect(),
            ..PbxAnswer::default()
        };
        for (asked, unread, expected) in [
            (&[][..], &[][..], core::PbxAnswer::Silent),
            (&[Console::Asterisk], &[], core::PbxAnswer::Answered),
            (
                &[Console::Asterisk],
                &["asterisk -rx \"pjsip show contacts\""],
                core::PbxAnswer::Silent,
            ),
            (&[Console::Asterisk], &["sip registration 3"], core::PbxAnswer::Answered),
        ] {
            assert_eq!(how_it_answered(&answer(asked, unread), true), expected, "{unread:?}");
        }
        let nobody = PbxAnswer { not_asked: Some("none".to_owned()), ..answer(&[], &[]) };
        assert_eq!(how_it_answered(&nobody, false), core::PbxAnswer::NoneHere);
    }
}
