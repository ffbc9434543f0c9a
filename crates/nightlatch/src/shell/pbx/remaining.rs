//! What remains to be done at the PBX after an account was removed. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use nightlatch_core::AddrRange;
use serde::{Deserialize, Serialize};

use super::asterisk::word;
use super::{Channel, Contact, Driver, PbxAnswer, Removal};

/// What remains to be done at the PBX.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remaining {
    /// Shell commands, in this order.
    pub commands: Vec<String>,
    /// What has no command in `commands`, and why.
    pub left_out: Vec<String>,
}

/// The commands that remove the contacts in `removed` from the PBX and hang up their calls.
///
/// A trunk at which the PBX registers keeps working when its account is removed, so its calls are not
/// hung up. With `trunks` (for a block, which ends it) they are, and the trunk is unregistered.
///
/// Names come from the PBX, and some of them from strangers. So a command contains only names that
/// every shell and the console interpret in the same way, in single quotes. A forged call can only
/// refer to an endpoint in `removed`.
pub fn remaining(answer: &PbxAnswer, removed: &[AddrRange], trunks: bool) -> Remaining {
    let is_removed = |address: IpAddr| removed.iter().any(|range| range.contains(address));
    let mut left = Remaining::default();
    // The contacts that each removal removes, and those of each endpoint.
    let mut removals: BTreeMap<&Removal, Vec<&Contact>> = BTreeMap::new();
    let mut endpoints: BTreeMap<(Driver, &str), Vec<&Contact>> = BTreeMap::new();
    for contact in &answer.contacts {
        endpoints.entry((contact.driver, &contact.name)).or_default().push(contact);
        if let Some(removal) = &contact.removal {
            removals.entry(removal).or_default().push(contact);
        }
    }
    for contact in answer.contacts.iter().filter(|contact| is_removed(contact.address)) {
        match &contact.removal {
            Some(removal) => {
                if let Some(theirs) = removals.remove(removal) {
                    left.forget(contact, removal, &addresses(&theirs, |a| !is_removed(a)));
                }
            }
            None if contact.registered => left.left_out.push(format!(
                "the contact of \"{}\" at {}: Asterisk truncates its name or stores it in another database",
                contact.name, contact.address
            )),
            None => {}
        }
    }
    let unregister = answer.registrations.iter().filter(|registration| {
        trunks
            && registration.driver == Driver::Pjsip
            && has_address(answer, &registration.name, &registration.server.host, &is_removed)
    });
    for registration in unregister {
        left.asterisk("pjsip send unregister", &registration.name, "the registration");
    }
    for channel in &answer.channels {
        let endpoint = channel.endpoint.as_str();
        let theirs = channel.driver.and_then(|driver| endpoints.get(&(driver, endpoint)));
        let theirs = theirs.map(Vec::as_slice);
        left.hang_up(answer, channel, theirs.unwrap_or_default(), trunks, &is_removed);
    }
    left
}

impl Remaining {
    /// Whether there is nothing to do, and nothing unknown.
    pub fn is_empty(&self) -> bool {
        self.commands.is_empty() && self.left_out.is_empty()
    }

    /// The lines to print.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if !self.commands.is_empty() {
            lines.push("calls and contacts remain at the PBX; to remove them, run:".to_owned());
            lines.extend(self.commands.iter().map(|command| format!("    {command}")));
        }
        let unknown = self.left_out.iter().map(|it| format!("check at the PBX: {it}"));
        lines.extend(unknown);
        lines
    }

    fn forget(&mut self, contact: &Contact, removal: &Removal, others: &[IpAddr]) {
        match removal {
            Removal::RegistrarKey(key) => {
                self.asterisk("database del registrar/contact", key, "the contact");
            }
            Removal::SipPeer(name) => self.asterisk("sip unregister", name, "the contact"),
            Removal::IaxPeer(name) => self.asterisk("iax2 unregister", name, "the contact"),
            Removal::Location { table, aor } => {
                let is_table = !table.is_empty()
                    && table.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
                // "s:" makes kamcmd read a number as a string.
                let command = word(aor).filter(|word| is_table && word == aor);
                let command = command.map(|aor| format!("kamcmd ul.rm {table} 's:{aor}'"));
                let Some(command) = command else {
                    self.unsafe_name("the contact", aor);
                    return;
                };
                if others.is_empty() {
                    self.commands.push(command);
                } else {
                    self.left_out.push(format!(
                        "\"{}\" is also registered at {}; to remove it there too, run: {command}",
                        contact.name,
                        list(others)
                    ));
                }
            }
        }
    }

    fn hang_up(
        &mut self,
        answer: &PbxAnswer,
        channel: &Channel,
        theirs: &[&Contact],
        trunks: bool,
        is_removed: &impl Fn(IpAddr) -> bool,
    ) {
        let is_trunk =
            answer.registrations.iter().any(|trunk| trunk.name == channel.endpoint && !trunks);
        let others = addresses(theirs, |address| !is_removed(address));
        let mut gone = theirs.iter().filter(|contact| is_removed(contact.address));
        let is_gone = gone.any(|contact| contact.registered || !is_trunk)
            || !is_trunk && others.is_empty() && is_accepted_by(answer, channel, is_removed);
        if !is_gone {
            return;
        }
        if others.is_empty() {
            self.asterisk("channel request hangup", &channel.name, "the call");
            return;
        }
        match quoted("channel request hangup", &channel.name) {
            Some(command) => self.left_out.push(format!(
                "the call \"{}\" may belong to \"{}\" at {}; to hang it up, run: {command}",
                channel.name,
                channel.endpoint,
                list(&others)
            )),
            None => self.unsafe_name("the call", &channel.name),
        }
    }

    fn asterisk(&mut self, command: &str, name: &str, what: &str) {
        match quoted(command, name) {
            Some(command) => self.commands.push(command),
            None => self.unsafe_name(what, name),
        }
    }

    fn unsafe_name(&mut self, what: &str, name: &str) {
        self.left_out.push(format!(
            "{what} \"{}\": its name contains characters that a shell or the console may misinterpret",
            name.escape_debug()
        ));
    }
}

/// `asterisk -rx 'COMMAND NAME'`.
fn quoted(command: &str, name: &str) -> Option<String> {
    Some(format!("asterisk -rx '{command} {}'", word(name)?))
}

/// The contacts' addresses that are `wanted`, each once.
fn addresses(contacts: &[&Contact], wanted: impl Fn(IpAddr) -> bool) -> Vec<IpAddr> {
    let all: BTreeSet<IpAddr> = contacts.iter().map(|contact| contact.address).collect();
    all.into_iter().filter(|address| wanted(*address)).collect()
}

/// Whether a trunk's server is at a removed address, according to its host or to a configured contact
/// of the same name.
fn has_address(
    answer: &PbxAnswer,
    name: &str,
    host: &str,
    is_removed: &impl Fn(IpAddr) -> bool,
) -> bool {
    host.parse().is_ok_and(is_removed)
        || answer.contacts.iter().any(|contact| {
            !contact.registered && contact.name == name && is_removed(contact.address)
        })
}

/// Whether the endpoint of a call is accepted without registration, and all its addresses are removed.
fn is_accepted_by(
    answer: &PbxAnswer,
    channel: &Channel,
    is_removed: &impl Fn(IpAddr) -> bool,
) -> bool {
    let mut theirs = answer
        .identifies
        .iter()
        .filter(|identify| {
            channel.driver == Some(Driver::Pjsip) && identify.endpoint == channel.endpoint
        })
        .flat_map(|identify| &identify.ranges)
        .peekable();
    theirs.peek().is_some()
        && theirs.all(|range| is_removed(range.first_address()) && is_removed(range.last_address()))
}

fn list(addresses: &[IpAddr]) -> String {
    let shown: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    shown.join(", ")
}
