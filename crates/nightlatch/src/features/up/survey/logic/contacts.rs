//! Telephones and trunks whose addresses the PBX knows.

use super::super::Contact;

/// Sorts contacts by address and removes duplicates of address, port and protocol, preferring the
/// registered ones.
pub fn join(mut contacts: Vec<Contact>) -> Vec<Contact> {
    contacts.sort_by(|a, b| {
        let key = |c: &Contact| (c.address, c.port, c.protocol, !c.registered);
        key(a).cmp(&key(b)).then_with(|| a.name.cmp(&b.name))
    });
    contacts.dedup_by(|a, b| (a.address, a.port, a.protocol) == (b.address, b.port, b.protocol));
    contacts
}
