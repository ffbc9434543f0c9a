//! Telephones and trunks of which the PBX knows the address.

use super::super::Contact;

/// Sorts contacts by address; the same address, port and protocol counts once, and as registered
/// where any says so.
pub fn join(mut contacts: Vec<Contact>) -> Vec<Contact> {
    contacts.sort_by(|a, b| {
        let key = |c: &Contact| (c.address, c.port, c.protocol, !c.registered);
        key(a).cmp(&key(b)).then_with(|| a.name.cmp(&b.name))
    });
    contacts.dedup_by(|a, b| (a.address, a.port, a.protocol) == (b.address, b.port, b.protocol));
    contacts
}
