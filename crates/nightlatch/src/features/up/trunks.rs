//! Trunks and phones that the PBX reports, for the plan of `up`: trunks that keep working, trunks
//! whose inbound calls will be lost, phones that are registered without an account.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use nightlatch_core::AddrRange;
use nightlatch_core::cut::{Began, LiveFlow};
use nightlatch_core::posture::Mode;
use nightlatch_core::probe::RangeFinding;
use nightlatch_core::service::{Catalogue, Protocol};
use serde::Serialize;

use crate::shell::pbx::{NamedContact, PbxAnswer, RegistrationState};
use crate::shell::pbx_peers::Trunk;

/// What the plan says about trunks and phones.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Trunks {
    /// Trunks at which this host registers.
    pub(super) registered: Vec<String>,
    /// Trunks whose inbound calls will be lost, and the commands that allow them.
    pub(super) inbound_lost: Vec<Advice>,
    /// Phones that are registered without an account, and the commands that allow them.
    pub(super) unlisted_phones: Vec<Advice>,
    /// What early media of carriers need.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) media: Option<String>,
    /// Why the PBX was not asked, or which parts of its answer could not be read.
    pub(super) unread: Vec<String>,
}

/// A consequence, and the command that avoids it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Advice {
    /// What happens.
    pub(super) text: String,
    /// The command.
    pub(super) command: String,
}

/// What is known of the PBX.
pub(super) struct Known<'a> {
    pub(super) answer: &'a PbxAnswer,
    pub(super) trunks: &'a [Trunk],
    pub(super) named: &'a [(NamedContact, Vec<SocketAddr>)],
    /// Whether a PBX is installed or runs here.
    pub(super) is_there: bool,
    /// The running flows, which reveal trunks if the PBX was not asked.
    pub(super) flows: &'a [LiveFlow],
}

impl Trunks {
    /// What the plan says, given what accounts will allow for [`Known::ranges`].
    pub(super) fn of(
        known: &Known<'_>,
        allowed: &BTreeMap<AddrRange, RangeFinding>,
        catalogue: &Catalogue,
        mode: Mode,
    ) -> Trunks {
        let judge = Judge { allowed, catalogue };
        let mut trunks = Trunks::default();
        let mut registrars = BTreeSet::new();
        for trunk in known.trunks {
            registrars.extend(trunk.places.iter().map(|place| place.address.ip()));
            trunks.add_registration(trunk, &judge);
        }
        trunks.add_fixed(known, &registrars, &judge);
        if known.answer.not_asked.is_some() {
            trunks.add_running(known.flows, &judge);
        }
        if mode == Mode::Allowlist {
            trunks.add_phones(known, &registrars, &judge);
        }
        let any = !known.trunks.is_empty() || !trunks.inbound_lost.is_empty();
        trunks.media = any.then(|| {
            "early media (ringback, announcements) that a carrier sends from other addresses are accepted only if its media networks are allowed: nightlatch allow NAME NETWORK --services rtp (or media = \"any\" in the configuration)".to_owned()
        });
        let not_asked = known.answer.not_asked.iter().filter(|_| known.is_there);
        trunks.unread = not_asked
            .map(|reason| format!("the PBX was not asked for its trunks and phones: {reason}"))
            .chain(
                known
                    .answer
                    .unread
                    .iter()
                    .map(|it| format!("could not read {}: {}", it.what, it.reason)),
            )
            .collect();
        trunks
    }

    fn add_registration(&mut self, trunk: &Trunk, judge: &Judge<'_>) {
        let registration = &trunk.registration;
        let name = printable(&registration.name);
        let state = match registration.state {
            RegistrationState::Registered => "registered",
            RegistrationState::Trying => "registering",
            RegistrationState::Refused => "rejected by the server",
            RegistrationState::Disabled => "disabled",
        };
        let addresses: BTreeSet<IpAddr> =
            trunk.places.iter().map(|place| place.address.ip()).collect();
        let shown: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        let shown = if shown.is_empty() { "address unknown".to_owned() } else { shown.join(", ") };
        self.registered.push(format!(
            "{name} at {} ({shown}; {state}): stays connected, inbound calls included, while this host is registered there",
            printable(&registration.server.host)
        ));
        self.unread.extend(
            trunk
                .unread
                .iter()
                .map(|it| format!("could not resolve an address of {}: {}", it.what, it.reason)),
        );
        let open: Vec<AddrRange> = addresses
            .iter()
            .map(|address| AddrRange::from(*address))
            .filter(|address| !judge.allows(address))
            .collect();
        if addresses.len() > 1 && !open.is_empty() {
            self.add_lost(
                &name,
                &open,
                "only the address that accepts the registration becomes a known peer",
            );
        }
    }

    /// Trunks without a registration: fixed contacts, and endpoints that the PBX identifies by address.
    fn add_fixed(&mut self, known: &Known<'_>, registrars: &BTreeSet<IpAddr>, judge: &Judge<'_>) {
        let contacts = known.answer.contacts.iter().filter(|contact| !contact.registered);
        let contacts = contacts.map(|it| (it.name.as_str(), AddrRange::from(it.address)));
        let named = known.named.iter().flat_map(|(contact, places)| {
            places.iter().map(|place| (contact.name.as_str(), AddrRange::from(place.ip())))
        });
        let identified = known.answer.identifies.iter().flat_map(|identify| {
            identify.ranges.iter().map(|range| (identify.endpoint.as_str(), *range))
        });
        let mut by_name: Vec<(&str, Vec<AddrRange>)> = Vec::new();
        for (name, range) in contacts.chain(named).chain(identified) {
            let registrar = range.is_single() && registrars.contains(&range.first_address());
            if registrar || range.first_address().is_loopback() || judge.allows(&range) {
                continue;
            }
            match by_name.iter_mut().find(|(known, _)| *known == name) {
                Some((_, ranges)) if ranges.contains(&range) => {}
                Some((_, ranges)) => ranges.push(range),
                None => by_name.push((name, vec![range])),
            }
        }
        for (name, ranges) in by_name {
            self.add_lost(
                &printable(name),
                &ranges,
                "this host does not register there, and no account covers it",
            );
        }
    }

    /// Peers to which this host began a signalling flow, if the PBX cannot say whether it is registered
    /// there. They do not become known peers: a phone with a guessed password looks the same.
    fn add_running(&mut self, flows: &[LiveFlow], judge: &Judge<'_>) {
        let peers = running_peers(flows, judge.catalogue);
        let open: Vec<AddrRange> =
            peers.into_iter().map(AddrRange::from).filter(|peer| !judge.allows(peer)).collect();
        if !open.is_empty() {
            let why =
                "it is unknown whether this host is registered there until it registers again";
            self.add_lost("SIP peers of this host", &open, why);
        }
    }

    fn add_lost(&mut self, name: &str, ranges: &[AddrRange], why: &str) {
        let ranges: Vec<String> = ranges.iter().map(ToString::to_string).collect();
        self.inbound_lost.push(Advice {
            text: format!("{name} from {}: {why}", ranges.join(", ")),
            command: format!(
                "nightlatch allow {} {} --services sip",
                account_name(name),
                ranges.join(" ")
            ),
        });
    }

    fn add_phones(&mut self, known: &Known<'_>, registrars: &BTreeSet<IpAddr>, judge: &Judge<'_>) {
        let mut seen = BTreeSet::new();
        for contact in known.answer.contacts.iter().filter(|contact| contact.registered) {
            let address = contact.address.to_canonical();
            let covered = judge.covers(address) || registrars.contains(&address);
            if covered || address.is_loopback() || !seen.insert((&contact.name, address)) {
                continue;
            }
            let name = printable(&contact.name);
            self.unlisted_phones.push(Advice {
                text: format!("{name} at {address}: registered, but no account covers its address"),
                command: format!(
                    "nightlatch allow phone-{} {address} --services sip",
                    account_name(&name)
                ),
            });
        }
    }

    /// The sections of the plan on the screen, each with its title.
    pub(super) fn sections(&self) -> [(&'static str, Vec<String>); 4] {
        let advice = |all: &[Advice]| {
            all.iter().flat_map(|it| [it.text.clone(), format!("    {}", it.command)]).collect()
        };
        [
            ("Trunks", self.registered.clone()),
            (
                "Trunks whose inbound calls WILL BE LOST unless you run the command",
                advice(&self.inbound_lost),
            ),
            (
                "Registered phones that WILL BE DENIED unless you run the command",
                advice(&self.unlisted_phones),
            ),
            ("PBX", self.unread.iter().chain(&self.media).cloned().collect()),
        ]
    }
}

/// The ports of SIP over TCP and TLS unless others are configured.
const USUAL_SIP_TCP: [u16; 2] = [5060, 5061];

/// The peers to which this host began a signalling flow.
fn running_peers(flows: &[LiveFlow], catalogue: &Catalogue) -> BTreeSet<IpAddr> {
    let peers = flows.iter().filter(|flow| {
        let signalling = match flow.protocol {
            Protocol::Udp => catalogue.role(flow.local_port).is_signalling(),
            Protocol::Tcp => USUAL_SIP_TCP.contains(&flow.peer_port),
        };
        signalling && flow.began == Began::Host
    });
    peers.map(|flow| flow.peer.to_canonical()).collect()
}

impl Known<'_> {
    /// The addresses and networks of which the plan must know what accounts will allow.
    pub(super) fn ranges(&self, catalogue: &Catalogue) -> BTreeSet<AddrRange> {
        let registrars = self.trunks.iter().flat_map(|trunk| &trunk.places);
        let registrars = registrars.map(|place| place.address.ip());
        let contacts = self.answer.contacts.iter().map(|contact| contact.address.to_canonical());
        let named = self.named.iter().flat_map(|(_, places)| places).map(SocketAddr::ip);
        let running = self.answer.not_asked.as_ref().map(|_| running_peers(self.flows, catalogue));
        let addresses = registrars.chain(contacts).chain(named);
        let addresses = addresses.chain(running.into_iter().flatten()).map(AddrRange::from);
        let networks = self.answer.identifies.iter().flat_map(|identify| &identify.ranges);
        addresses.chain(networks.copied()).collect()
    }
}

/// What accounts will allow.
struct Judge<'a> {
    allowed: &'a BTreeMap<AddrRange, RangeFinding>,
    catalogue: &'a Catalogue,
}

impl Judge<'_> {
    /// Whether one account allows SIP for an entire range.
    fn allows(&self, range: &AddrRange) -> bool {
        self.allowed.get(range).is_some_and(|found| found.sip)
    }

    /// Whether any account covers an address.
    fn covers(&self, address: IpAddr) -> bool {
        self.allowed.get(&AddrRange::from(address)).is_some_and(|found| found.covered)
    }
}

/// A name from the PBX, safe to print: a phone may have chosen it.
fn printable(name: &str) -> String {
    name.chars().filter(|letter| !letter.is_control()).take(64).collect()
}

/// A valid account name that no shell interprets.
fn account_name(name: &str) -> String {
    let plain = |letter: char| if letter.is_ascii_alphanumeric() { letter } else { '-' };
    let name: String = name.chars().map(plain).take(50).collect();
    let name = name.trim_matches('-');
    if name.is_empty() { "trunk".to_owned() } else { name.to_owned() }
}

#[cfg(test)]
mod tests;
