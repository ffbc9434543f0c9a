//! Queries to Asterisk's console.

use std::collections::{BTreeMap, BTreeSet};

use nightlatch_core::service::Protocol;
use nightlatch_parse::pbx::{
    self as parse, Aor, RegistrarContact, SipPlace, Transport, first_route,
};

use super::{
    Channel, Contact, Driver, Identify, NamedContact, PbxAnswer, Registration, Removal, Server,
    Subjects, Unread, protocol, usual_port,
};

/// The most registrations and addresses of record that are queried individually.
const MAX_DETAILS: usize = 100;
/// What Asterisk answers if a module is not loaded.
const NO_COMMAND: &str = "No such command";

/// Runs one console command; the error is a message.
pub(super) type Run<'a> = dyn FnMut(&str) -> Result<String, String> + 'a;

/// The console. After the first query without an answer, no other is sent.
struct Asking<'a> {
    run: &'a mut Run<'a>,
    answer: &'a mut PbxAnswer,
    is_silent: bool,
    details: usize,
}

/// Queries the console and adds its answers.
pub(super) fn ask<'a>(subjects: Subjects, run: &'a mut Run<'a>, answer: &'a mut PbxAnswer) {
    let mut asking = Asking { run, answer, is_silent: false, details: 0 };
    if subjects.registrations {
        asking.registrations();
    }
    if subjects.contacts {
        asking.contacts();
    }
    if subjects.identifies {
        let text = asking.question("pjsip show identifies");
        asking.answer.identifies.extend(
            parse::identifies(&text)
                .into_iter()
                .map(|found| Identify { endpoint: found.endpoint, ranges: found.ranges }),
        );
    }
    if subjects.channels {
        asking.channels();
    }
}

impl Asking<'_> {
    /// The answer; empty if there is none or the module is not loaded.
    fn question(&mut self, command: &str) -> String {
        if self.is_silent {
            return String::new();
        }
        match (self.run)(command) {
            Ok(text) if text.starts_with(NO_COMMAND) => String::new(),
            Ok(text) => text,
            Err(reason) => {
                self.is_silent = true;
                self.miss(&format!("asterisk -rx \"{command}\""), reason);
                String::new()
            }
        }
    }

    /// Queries one object by its name; empty if the name cannot be written as one word.
    fn detail(&mut self, command: &str, name: &str) -> String {
        self.details += 1;
        match word(name) {
            Some(word) if self.details <= MAX_DETAILS => {
                self.question(&format!("{command} {word}"))
            }
            _ => String::new(),
        }
    }

    fn miss(&mut self, what: &str, reason: impl ToString) {
        self.answer.unread.push(Unread::new(what, reason));
    }

    fn registrations(&mut self) {
        let text = self.question("pjsip show registrations");
        for found in parse::registrations(&text) {
            let detail = self.detail("pjsip show registration", &found.name);
            let setting = |name: &str| parse::settings(&detail, name).first().copied();
            let uri = setting("server_uri").or(found.uri.as_deref());
            let Some(place) = uri.and_then(SipPlace::parse) else {
                let what = format!("the server of registration \"{}\"", found.name);
                self.miss(&what, "Asterisk truncates its URI");
                continue;
            };
            let proxy = setting("outbound_proxy").and_then(first_route);
            let registrar = proxy.is_some().then(|| place.host.clone());
            self.answer.registrations.push(Registration {
                name: found.name,
                server: server(proxy.unwrap_or(place)),
                registrar,
                driver: Driver::Pjsip,
                state: found.state,
            });
        }
        let text = self.question("sip show registry");
        self.registry(parse::sip_registry(&text), Driver::Sip);
        let text = self.question("iax2 show registry");
        self.registry(parse::iax_registry(&text), Driver::Iax2);
    }

    fn registry(&mut self, found: Vec<parse::Registry>, driver: Driver) {
        for entry in found {
            let Some(host) = entry.host else {
                let what = format!("the server of registration \"{}\"", entry.user);
                self.miss(&what, "Asterisk truncates its name or has not resolved it yet");
                continue;
            };
            // Asterisk shows the standard port even if none is configured. SRV records are used
            // then.
            let is_sip = driver == Driver::Sip;
            let port = entry.port.filter(|port| !is_sip || *port != 5060);
            let transport = (is_sip && port == Some(5061)).then_some(Transport::Tls);
            self.answer.registrations.push(Registration {
                name: entry.user,
                server: Server { host, port, transport },
                registrar: None,
                driver,
                state: entry.state,
            });
        }
    }

    fn contacts(&mut self) {
        // Before and after the other query: a contact that is added or removed in between is in at
        // least one of them.
        let mut stored = parse::registrar(&self.question("database show registrar/contact"));
        let aors = parse::aors(&self.question("pjsip show aors"));
        if aors.iter().any(|aor| aor.max_contacts > 0) {
            stored.extend(parse::registrar(&self.question("database show registrar/contact")));
        }
        self.pjsip_contacts(&stored, &aors);
        let text = self.question("sip show peers");
        self.peers(parse::sip_peers(&text), Driver::Sip, Removal::SipPeer);
        let text = self.question("iax2 show peers");
        self.peers(parse::iax_peers(&text), Driver::Iax2, Removal::IaxPeer);
    }

    fn pjsip_contacts(&mut self, stored: &[RegistrarContact], aors: &[Aor]) {
        let mut keys = BTreeSet::new();
        let mut by_aor: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for contact in stored.iter().filter(|contact| keys.insert(&contact.key)) {
            by_aor.entry(&contact.aor).or_default().push(&contact.uri);
            let name = contact.endpoint.as_ref().unwrap_or(&contact.aor);
            let removal = Removal::RegistrarKey(contact.key.clone());
            self.contact(name, SipPlace::parse(&contact.uri), Some(removal.clone()), true);
            if let Some(proxy) = first_route(&contact.path) {
                self.contact(name, Some(proxy), Some(removal), true);
            }
        }
        let mut elsewhere = None;
        for aor in aors {
            let Some(name) = aor.contacts.first().map(|contact| contact.aor.as_str()) else {
                continue;
            };
            let own = by_aor.get(name).map(Vec::as_slice).unwrap_or_default();
            let is_own = |uri: &str| own.iter().any(|known| known.starts_with(uri));
            let mut rest: Vec<String> = Vec::new();
            let mut is_cut = false;
            for contact in aor.contacts.iter().filter(|contact| !is_own(&contact.uri)) {
                is_cut |= contact.may_be_cut;
                rest.push(contact.uri.clone());
            }
            if rest.is_empty() {
                continue;
            }
            if is_cut {
                let detail = self.detail("pjsip show aor", name);
                let all = parse::settings(&detail, "contact");
                let configured = all.iter().filter(|uri| !is_own(uri));
                rest = configured.map(|uri| (*uri).to_owned()).collect();
                if all.is_empty() {
                    let what = format!("the contacts of \"{name}\"");
                    self.miss(&what, "Asterisk truncates their URIs");
                }
            }
            // A contact that is not in Asterisk's database is configured or in another database.
            let registered = aor.max_contacts > 0
                && *elsewhere.get_or_insert_with(|| self.has_contacts_elsewhere());
            for uri in rest {
                self.contact(name, SipPlace::parse(&uri), None, registered);
            }
        }
    }

    /// Whether Asterisk stores registered contacts in a database other than its own.
    fn has_contacts_elsewhere(&mut self) -> bool {
        let text = self.question("core show config mappings");
        self.is_silent || text.is_empty() || text.contains("contacts")
    }

    fn contact(
        &mut self,
        name: &str,
        place: Option<SipPlace>,
        removal: Option<Removal>,
        registered: bool,
    ) {
        let driver = Driver::Pjsip;
        let Some(place) = place else {
            self.miss(&format!("a contact of \"{name}\""), "its URI cannot be read");
            return;
        };
        match place.address() {
            Some(address) => self.answer.contacts.push(Contact {
                name: name.to_owned(),
                protocol: protocol(place.transport),
                address,
                port: place.port.unwrap_or(usual_port(place.transport)),
                registered,
                driver,
                removal,
            }),
            None => self.answer.named.push(NamedContact {
                name: name.to_owned(),
                server: server(place),
                registered,
                driver,
            }),
        }
    }

    fn peers(&mut self, found: Vec<parse::Peer>, driver: Driver, removal: fn(String) -> Removal) {
        self.answer.contacts.extend(found.into_iter().map(|peer| Contact {
            removal: (peer.dynamic && !peer.name_may_be_cut).then(|| removal(peer.name.clone())),
            name: parse::shown(&peer.name),
            protocol: Protocol::Udp,
            address: peer.address,
            port: peer.port,
            registered: peer.dynamic,
            driver,
        }));
    }

    /// A caller's number may contain a line break (`%0a` in a SIP URI) and so forge lines, so the
    /// number of lines must equal the number of channels. Because calls begin and end, this is tried
    /// twice. Forged calls are listed too: an action on a call only affects the endpoint in its own
    /// name.
    fn channels(&mut self) {
        let mut listed = String::new();
        for _ in 0..2 {
            let before = parse::channel_count(&self.question("core show channels count"));
            listed = self.question("core show channels concise");
            let after = parse::channel_count(&self.question("core show channels count"));
            let lines = listed.lines().filter(|line| !line.is_empty()).count();
            if before == Some(lines) && after == before {
                self.answer.channels.extend(parse::channels(&listed).into_iter().map(channel));
                return;
            }
        }
        self.answer.channels.extend(parse::channels(&listed).into_iter().map(channel));
        if !self.is_silent {
            let reason = "the number of lines differs from the number of calls: some lines may be \
                          forged by a line break in a caller's number";
            self.miss("the running calls", reason);
        }
    }
}

fn channel(found: parse::Channel) -> Channel {
    let driver = match found.driver.as_str() {
        "PJSIP" => Some(Driver::Pjsip),
        "SIP" => Some(Driver::Sip),
        "IAX2" => Some(Driver::Iax2),
        _ => None,
    };
    Channel { name: found.name, driver, endpoint: found.endpoint, state: found.state }
}

fn server(place: SipPlace) -> Server {
    Server { host: place.host, port: place.port, transport: place.transport }
}

/// One word of Asterisk's command line. `None` if the name contains a character that is special
/// there, in a shell's single quotes, or in the patterns that some commands accept.
pub(super) fn word(name: &str) -> Option<String> {
    let is_plain = |letter: char| {
        letter.is_ascii_alphanumeric() || "_.@:;/+-=,#%~&$()<>{}|!^".contains(letter)
    };
    match name {
        "" | "all" => None,
        _ if name.chars().all(is_plain) => Some(name.to_owned()),
        _ if name.chars().all(|letter| is_plain(letter) || letter == ' ') => {
            Some(format!("\"{name}\""))
        }
        _ => None,
    }
}
