//! Trunks and phones that the PBX reports, for the plan of `up`: trunks that keep working, trunks
//! whose inbound calls will be lost, phones that are registered without an account.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use nightlatch_core::AddrRange;
use nightlatch_core::cut::{Began, LiveFlow};
use nightlatch_core::features::providers::{Provider, Status, catalogue};
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
    /// Providers of the catalogue at which this host registers, and the commands that allow them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) providers: Vec<Advice>,
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
        let host = registration.server.host.as_str();
        let provider = catalogue::of_server(Some(host), &open).filter(|_| !open.is_empty());
        if let Some(provider) = provider {
            self.add_provider(&name, provider);
        } else if addresses.len() > 1 && !open.is_empty() {
            self.add_lost(
                &name,
                Some(host),
                &open,
                "only the address that accepts the registration becomes a known peer",
            );
        }
    }

    /// A provider at which this host registers: all of its servers can be allowed by its name.
    fn add_provider(&mut self, name: &str, provider: &Provider) {
        let (title, command) = (&provider.title, enable(provider));
        if self.providers.iter().any(|known| known.command == command) {
            return;
        }
        let text = format!(
            "{name} belongs to {title}: its other servers and its media are accepted only if it is enabled{}",
            caution(provider)
        );
        self.providers.push(Advice { text, command });
    }

    /// Trunks without a registration: fixed contacts, and endpoints that the PBX identifies by address.
    fn add_fixed(&mut self, known: &Known<'_>, registrars: &BTreeSet<IpAddr>, judge: &Judge<'_>) {
        let contacts = known.answer.contacts.iter().filter(|contact| !contact.registered);
        let contacts = contacts.map(|it| (it.name.as_str(), None, AddrRange::from(it.address)));
        let named = known.named.iter().flat_map(|(contact, places)| {
            let host = Some(contact.server.host.as_str());
            let range = |place: &SocketAddr| AddrRange::from(place.ip());
            places.iter().map(move |place| (contact.name.as_str(), host, range(place)))
        });
        let identified = known.answer.identifies.iter().flat_map(|identify| {
            identify.ranges.iter().map(|range| (identify.endpoint.as_str(), None, *range))
        });
        let mut by_name: Vec<(&str, Option<&str>, Vec<AddrRange>)> = Vec::new();
        for (name, host, range) in contacts.chain(named).chain(identified) {
            let registrar = range.is_single() && registrars.contains(&range.first_address());
            if registrar || range.first_address().is_loopback() || judge.allows(&range) {
                continue;
            }
            match by_name.iter_mut().find(|(known, ..)| *known == name) {
                Some((_, known, ranges)) => {
                    *known = known.or(host);
                    if !ranges.contains(&range) {
                        ranges.push(range);
                    }
                }
                None => by_name.push((name, host, vec![range])),
            }
        }
        for (name, host, ranges) in by_name {
            self.add_lost(
                &printable(name),
                host,
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
            self.add_lost("SIP peers of this host", None, &open, why);
        }
    }

    fn add_lost(&mut self, name: &str, host: Option<&str>, ranges: &[AddrRange], why: &str) {
        let shown: Vec<String> = ranges.iter().map(ToString::to_string).collect();
        let text = format!("{name} from {}: {why}", shown.join(", "));
        self.inbound_lost.push(match catalogue::of_server(host, ranges) {
            Some(provider) => Advice {
                text: format!("{text}; it belongs to {}{}", provider.title, caution(provider)),
                command: enable(provider),
            },
            None => Advice {
                text: format!("{text}{}", host.map_or_else(String::new, of_domain)),
                command: format!(
                    "nightlatch allow {} {} --services sip",
                    account_name(name),
                    shown.join(" ")
                ),
            },
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
    pub(super) fn sections(&self) -> [(&'static str, Vec<String>); 5] {
        let advice = |all: &[Advice]| {
            all.iter().flat_map(|it| [it.text.clone(), format!("    {}", it.command)]).collect()
        };
        [
            ("Trunks", self.registered.clone()),
            ("Providers that can be allowed by name", advice(&self.providers)),
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

/// The command that allows a provider.
fn enable(provider: &Provider) -> String {
    let force = if provider.status == Status::Verified { "" } else { " --force" };
    format!("nightlatch provider enable {}{force}", provider.name)
}

/// What must be done before a provider is enabled.
fn caution(provider: &Provider) -> String {
    match provider.status {
        Status::Verified => String::new(),
        Status::Unverified | Status::Defunct => format!(
            " (its addresses are {}: compare \"nightlatch provider show {}\" first)",
            provider.status, provider.name
        ),
    }
}

/// What is said of a server in the domain of a provider that does not have it among its servers.
fn of_domain(host: &str) -> String {
    catalogue::of_domain(host).map_or_else(String::new, |provider| {
        let name = &provider.name;
        format!(
            "; {} is {name} of \"nightlatch provider list\", but not this server",
            provider.title
        )
    })
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
