//! Host names: asked of the system's resolver, once, now.

use std::collections::BTreeSet;
use std::net::{IpAddr, ToSocketAddrs as _};

use nightlatch_core::features::accounts::{Entry, HostName};

use crate::shell::outcome::{Code, Failure};

/// How many addresses of one name are taken.
const MOST_ADDRESSES: usize = 64;

/// Reads an entry as written: an address, a network, a range, or else a host name, which is
/// resolved.
///
/// # Errors
/// Neither an address nor a name, or a name without an address now.
pub fn entry(text: &str) -> Result<Entry, Failure> {
    if let Ok(range) = text.parse() {
        return Ok(Entry::Range(range));
    }
    // What holds a slash, a colon or only digits was meant as an address: say what is wrong with
    // the address then.
    let meant_as_address = text.contains(['/', ':']) || !text.contains(|c: char| c.is_alphabetic());
    let name = text.parse::<HostName>().map_err(|error| {
        let wrong = text.parse::<nightlatch_core::AddrRange>().err();
        match wrong.filter(|_| meant_as_address) {
            Some(wrong) => Failure::new(Code::Usage, wrong),
            None => Failure::new(Code::Usage, error),
        }
    })?;
    let addresses = resolve(&name)?;
    Ok(Entry::Host { name, addresses })
}

fn resolve(name: &HostName) -> Result<Vec<IpAddr>, Failure> {
    let found = (name.as_str(), 0).to_socket_addrs().map_err(|error| {
        Failure::no(format!(
            "the host name {name} cannot be resolved ({error}): nothing was changed; check the name, or give its address"
        ))
    })?;
    let addresses: BTreeSet<IpAddr> = found.map(|found| found.ip().to_canonical()).collect();
    // A name that points into the machine itself opens nothing and is a mistake or an attack.
    let usable: Vec<IpAddr> = addresses
        .into_iter()
        .filter(|address| {
            !address.is_loopback() && !address.is_unspecified() && !address.is_multicast()
        })
        .take(MOST_ADDRESSES)
        .collect();
    if usable.is_empty() {
        return Err(Failure::no(format!(
            "the host name {name} has no usable address now: nothing was changed"
        )));
    }
    Ok(usable)
}
