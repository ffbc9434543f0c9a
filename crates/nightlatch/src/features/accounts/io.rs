//! What a person writes: addresses, networks, ranges and host names.

use nightlatch_core::features::accounts::{Entry, HostName};

use crate::shell::outcome::{Code, Failure};

/// Reads an entry as written: an address, a network, a range, or else a host name, which the daemon looks
/// up.
///
/// # Errors
/// Neither an address nor a name.
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
    Ok(Entry::Host { name, addresses: Vec::new() })
}
