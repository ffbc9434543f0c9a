//! One entry of a list, in the forms lists use beside those administrators write.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::address::{AddrRange, Family, to_number};

/// No entry is longer: two IPv6 addresses written in full, with some space.
const MAX_LEN: usize = 100;

/// Reads an address, a network (also `192.0.2.0/255.255.255.0`), or a range; an address may carry
/// a port (`192.0.2.1:5060`, `[2001:db8::1]:5060`) or be padded with zeros
/// (`192.000.002.001`, decimal as in eMule's lists).
pub(crate) fn read(text: &[u8]) -> Option<AddrRange> {
    let text = text.trim_ascii();
    if text.len() > MAX_LEN {
        return None;
    }
    // Cheap refusal of words, before any message is made for them.
    if !text.iter().all(|byte| byte.is_ascii_hexdigit() || b".:/-[] \t".contains(byte)) {
        return None;
    }
    let text = std::str::from_utf8(text).ok()?;
    text.parse()
        .ok()
        .or_else(|| with_netmask(text))
        .or_else(|| with_port(text))
        .or_else(|| padded_range(text))
}

/// The prefix length of a netmask such as `255.255.255.0`.
pub(crate) fn netmask(text: &str) -> Option<u32> {
    let mask = text.parse::<Ipv4Addr>().ok()?.to_bits();
    let prefix = mask.leading_ones();
    (prefix > 0 && prefix + mask.trailing_zeros() >= 32).then_some(prefix)
}

fn with_netmask(text: &str) -> Option<AddrRange> {
    let (base, mask) = text.split_once('/')?;
    let base: Ipv4Addr = base.parse().ok()?;
    AddrRange::network(IpAddr::V4(base), netmask(mask)?)
}

fn with_port(text: &str) -> Option<AddrRange> {
    let is_port = |port: &str| {
        (1..=5).contains(&port.len()) && port.bytes().all(|byte| byte.is_ascii_digit())
    };
    if let Some(rest) = text.strip_prefix('[') {
        let (inner, port) = rest.split_once(']')?;
        let address: Ipv6Addr = inner.parse().ok()?;
        let fits = port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
        return fits.then(|| AddrRange::from(IpAddr::V6(address)));
    }
    let (address, port) = text.split_once(':')?;
    let address: Ipv4Addr = address.parse().ok()?;
    is_port(port).then(|| AddrRange::from(IpAddr::V4(address)))
}

fn padded_range(text: &str) -> Option<AddrRange> {
    let (first, last) = match text.split_once('-') {
        Some((first, last)) => (padded(first.trim())?, padded(last.trim())?),
        None => (padded(text)?, padded(text)?),
    };
    let number = |address| to_number(IpAddr::V4(address));
    AddrRange::new(Family::V4, number(first), number(last))
}

/// Four groups of exactly three digits: nothing else with leading zeros is taken, because some
/// read such numbers as octal.
fn padded(text: &str) -> Option<Ipv4Addr> {
    let mut octets = [0_u8; 4];
    let mut groups = text.split('.');
    for octet in &mut octets {
        let group = groups.next()?;
        if group.len() != 3 || !group.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        *octet = group.parse().ok()?;
    }
    groups.next().is_none().then(|| Ipv4Addr::from(octets))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let shown = read(text.as_bytes()).map_or("none".to_owned(), |range| range.to_string());
        assert_eq!(shown, expected, "{text}");
    }

    #[test]
    fn forms_of_an_entry() {
        check("192.0.2.1", "192.0.2.1");
        check("192.0.2.7/24", "192.0.2.0/24");
        check("192.0.2.1-192.0.2.9", "192.0.2.1-192.0.2.9");
        check("192.0.2.1 - 192.0.2.9", "192.0.2.1-192.0.2.9");
        check("192.0.2.1/255.255.255.0", "192.0.2.0/24");
        check("192.0.2.1/255.255.255.255", "192.0.2.1");
        check("192.0.2.1/255.0.255.0", "none");
        check("192.0.2.1/0.0.0.255", "none");
        check("192.0.2.1:5060", "192.0.2.1");
        check("192.0.2.1:506000", "none");
        check("192.0.2.1:", "none");
        check("[2001:db8::1]", "2001:db8::1");
        check("[2001:db8::1]:5061", "2001:db8::1");
        check("[2001:db8::1]5061", "none");
        check("2001:db8::/32", "2001:db8::/32");
        check("192.000.002.001", "192.0.2.1");
        check("192.000.002.000 - 192.000.002.255", "192.0.2.0/24");
        check("192.0.2.010", "none");
        check("0300.0.2.1", "none");
        check("fe80::1%eth0", "none");
        check("!192.0.2.1", "none");
        check("192.0.2", "none");
        check("3221225985", "none");
        check("-", "none");
        check("", "none");
    }
}
