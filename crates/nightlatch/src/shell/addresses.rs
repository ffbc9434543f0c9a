//! This machine's own addresses, as the kernel shows them, and those that people write.

use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use nightlatch_core::AddrRange;

/// Every address of this network namespace, loopback included.
pub fn own() -> BTreeSet<IpAddr> {
    let v4 = fs::read_to_string("/proc/self/net/fib_trie").unwrap_or_default();
    let v6 = fs::read_to_string("/proc/self/net/if_inet6").unwrap_or_default();
    local_v4(&v4).map(IpAddr::V4).chain(local_v6(&v6).map(IpAddr::V6)).collect()
}

/// Reads a single address that somebody wrote.
///
/// # Errors
/// What to write instead.
pub fn one(text: &str) -> Result<IpAddr, String> {
    let address = text.trim().parse::<IpAddr>().map(|address| address.to_canonical());
    address.map_err(|_| match text.parse::<AddrRange>() {
        Ok(range) => {
            format!(
                "this is more than one address: write a single one, e.g. {}",
                range.first_address()
            )
        }
        Err(_) => "write a single address, e.g. 203.0.113.7 or 2001:db8::1".to_owned(),
    })
}

/// In the routing trie a local address is a line with the address, followed by one that says
/// `/32 host LOCAL`.
fn local_v4(trie: &str) -> impl Iterator<Item = Ipv4Addr> {
    trie.lines().zip(trie.lines().skip(1)).filter_map(|(address, kind)| {
        let address = address.trim().strip_prefix("|-- ")?;
        kind.contains("/32 host LOCAL").then(|| address.parse().ok())?
    })
}

/// One line an address, 32 hexadecimal digits first.
fn local_v6(table: &str) -> impl Iterator<Item = Ipv6Addr> {
    table.lines().filter_map(|line| {
        let digits = line.split_whitespace().next()?;
        u128::from_str_radix(digits, 16).ok().map(Ipv6Addr::from_bits)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_is_written() {
        for (text, expected) in [
            ("203.0.113.7", "203.0.113.7"),
            (" 2001:db8::1 ", "2001:db8::1"),
            ("::ffff:203.0.113.7", "203.0.113.7"),
            (
                "203.0.113.0/24",
                "this is more than one address: write a single one, e.g. 203.0.113.0",
            ),
            ("nowhere", "write a single address, e.g. 203.0.113.7 or 2001:db8::1"),
        ] {
            let said = one(text).map_or_else(|wrong| wrong, |address| address.to_string());
            assert_eq!(said, expected, "{text}");
        }
    }

    #[test]
    fn the_kernels_tables() {
        let trie = "Local:\n  +-- 127.0.0.0/8 2 0 2\n     |-- 127.0.0.1\n        /32 host LOCAL\n     |-- 198.51.100.0\n        /24 link UNICAST\n     |-- 198.51.100.1\n        /32 host LOCAL\n";
        let found: Vec<Ipv4Addr> = local_v4(trie).collect();
        assert_eq!(found, [Ipv4Addr::LOCALHOST, Ipv4Addr::new(198, 51, 100, 1)]);
        let table = "20010db8000100000000000000000001 02 40 00 80     eth0\n";
        let found: Vec<String> = local_v6(table).map(|address| address.to_string()).collect();
        assert_eq!(found, ["2001:db8:1::1"]);
    }
}
